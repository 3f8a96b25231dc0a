"""Names and labels: one name for one thing, and a label that survives its text."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backdrop.errors import ExportError
from backdrop.inference.label import Label, Names, clean

names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True)
places = st.dictionaries(
    st.tuples(names, names), st.lists(st.integers(0, 99), min_size=1, max_size=3).map(tuple), max_size=2
)


@given(st.lists(names, max_size=3).map(tuple), st.lists(names, max_size=3).map(tuple), places, places)
def test_a_label_is_read_back_from_its_text(
    observed: tuple[str, ...],
    asimov: tuple[str, ...],
    floored: dict[tuple[str, str], tuple[int, ...]],
    loose: dict[tuple[str, str], tuple[int, ...]],
) -> None:
    label = Label(observed, asimov, floored, loose)
    if label.text:
        assert Label.parse(label.text) == label
    assert len(label.notes) == len(asimov) + len(floored) + len(loose)


@pytest.mark.parametrize("text", ["", "NormalMeasurement", "observed", "fit.asimov-SR", "floor-a-b", "floor-a-b-c"])
def test_a_name_that_is_no_label_is_not_read_as_one(text: str) -> None:
    assert Label.parse(text) is None


@given(st.text())
def test_clean_names_are_identifiers_and_stay_as_they_are(name: str) -> None:
    plain = clean(name)
    assert re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", plain)
    assert clean(plain) == plain


def test_two_things_never_share_a_name() -> None:
    given_names = Names("channel")
    assert given_names.give("SR 4b", "channel 'SR 4b'") == "SR_4b"
    assert given_names.give("SR 4b", "channel 'SR 4b'") == "SR_4b"
    with pytest.raises(ExportError, match=r"'SR_4b' would stand for both channel 'SR 4b' and channel 'SR-4b'"):
        given_names.give("SR-4b", "channel 'SR-4b'")
