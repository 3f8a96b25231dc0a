"""What is asked of a method: its columns, its target, its card, and which optional protocols it follows."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

import reference
from backdrop import Region
from backdrop.method import (
    FitsMembers,
    Method,
    Model,
    OffersBins,
    OffersReplicas,
    OffersVariations,
    card,
    fit_columns,
    resampling,
    target,
)
from backdrop.methods import ABCD, METHODS
from backdrop.methods.transfer import Polynomial

_TIGHT, _LOOSE = Region("tight", "iso < 0.1"), Region("loose", "iso >= 0.1")
_ABCD = ABCD(_TIGHT, _LOOSE, Region("low", "met < 30"), Polynomial("pt", 1))


@dataclass(frozen=True)
class _Inner:
    region: Region


@dataclass(frozen=True)
class _Nested:
    """Reads regions at every depth."""

    parts: tuple[_Inner, ...]
    pairs: list[tuple[str, Region]]
    resample = "joint"
    columns = ("w",)


class _Bare:
    pass


class _Empty:
    """Say one thing.

    Assumes
    -------
    - Nothing.

    Parameters
    ----------
    x
        Is not on the card.

    Fails when
    ----------
    It rains.
    It pours.

    References
    ----------
    """


def test_columns_are_those_declared_and_of_all_regions() -> None:
    assert fit_columns(_ABCD) == {"iso", "met", "pt"}
    nested = _Nested((_Inner(Region("a", "a > 1")),), [("x", Region("b", "(b > 1) & (c < 2)"))])
    assert fit_columns(nested) == {"a", "b", "c", "w"}
    assert fit_columns(_Bare()) is None


def test_target_and_resampling_have_a_default() -> None:
    assert target(_ABCD) is _TIGHT
    assert target(_Bare()).cut == Region.everything().cut
    assert resampling(_ABCD) == "fit"
    assert resampling(_Nested((), [])) == "joint"


def test_protocols_are_recognised_by_what_is_there() -> None:
    model = reference.SideBandsModel(_LOOSE, (1, 2), (0, 3), None, None, 1.0)
    assert isinstance(_ABCD, Method) and isinstance(_ABCD, FitsMembers) and isinstance(_ABCD, OffersVariations)
    assert isinstance(model, Model) and isinstance(model, OffersBins)
    assert not isinstance(model, OffersReplicas)
    sampler = reference.Sampler(_LOOSE, (0.0, 1.0))
    assert isinstance(sampler, Method)
    assert not isinstance(sampler, FitsMembers | OffersVariations)
    assert not isinstance(_Bare(), Method)


def test_a_card_holds_what_a_reader_must_know() -> None:
    assert card(_Empty) == {
        "summary": "Say one thing.",
        "Assumes": "- Nothing.",
        "Fails when": "It rains.\nIt pours.",
        "References": "",
    }
    assert card(_Nested) == {"summary": "Reads regions at every depth."}
    assert card(_Bare) == {"summary": ""}


@pytest.mark.parametrize("name", METHODS)
def test_every_method_of_the_package_states_its_case(name: str) -> None:
    found = card(METHODS[name].method)
    assert set(found) == {"summary", "Assumes", "Fails when", "References"}
    assert all(found.values())
