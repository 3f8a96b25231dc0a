"""The page on generated samples says what the detector, and the numbers that were measured, say."""

from __future__ import annotations

from pathlib import Path

import pytest

from backdrop.generate import CASES
from benchmarks.generate import SAMPLES, faults, known, tables

PAGE = Path(__file__).resolve().parents[2] / "docs" / "generate.md"

pytestmark = pytest.mark.skipif(not PAGE.parent.is_dir(), reason="the source distribution has no docs")


def test_every_case_was_measured_and_holds() -> None:
    assert [*known()] == [*SAMPLES] == [*CASES]
    assert [fault for record in known().values() for fault in faults(record)] == []


@pytest.mark.parametrize("place", range(4), ids=["rates", "detector", "published", "numbers"])
def test_the_tables_are_those_of_the_page(place: int) -> None:
    page = PAGE.read_text(encoding="utf-8")
    lines = [*[*tables(known())][place]]
    assert len(lines) > 8
    missing = [line for line in lines if line not in page.splitlines()]
    assert not missing, "python -m benchmarks.generate --tables prints the tables of docs/generate.md"
    assert "\n".join(lines) in page
