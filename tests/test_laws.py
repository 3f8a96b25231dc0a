"""Every law on every case of the table."""

from __future__ import annotations

import pytest

from backdrop.methods import METHODS
from backdrop.testing import LAWS, check
from cases import CASES


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("name", CASES)
def test_law(name: str, law: str) -> None:
    check(law, CASES[name]())


def test_every_method_of_the_package_has_a_case() -> None:
    methods = {type(make().method) for make in CASES.values()}
    assert {row.method for row in METHODS.values()} <= methods
