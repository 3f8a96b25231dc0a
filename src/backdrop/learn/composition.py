"""Compositions: how many of an event's leptons are fake, how many are tight, and what one event says of both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..errors import ConfigError
from ..events import Objects
from ..region import Region

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Flags = NDArray[np.bool_]
    Index = NDArray[np.int64]

__all__ = ["Number", "Tight", "check_fakes", "matrix_weights", "plain", "restored", "selected", "target_region"]


@dataclass(frozen=True)
class Number:
    """How many objects of an event: at least `low`, and at most `high`.

    Examples
    --------
    >>> Number(1), Number(2, 2)  # at least one; two
    (Number(low=1, high=None), Number(low=2, high=2))
    """

    low: int = 0
    high: int | None = None

    def __post_init__(self) -> None:
        if self.low < 0 or (self.high is not None and self.high < self.low):
            raise ConfigError(f"a number of objects is 0 or more, its high end not below the low one: {self}")


Tight = Literal["all", "not all"] | Number
"""Which events are selected by their tight objects: all of them are tight, not all, or so many."""


def plain(given: Number | str) -> list[int | None] | str:
    """Return a number, or what is a text already, as plain values."""
    return given if isinstance(given, str) else [given.low, given.high]


def restored(state: Any) -> Any:
    """Return what :func:`plain` was given."""
    return state if isinstance(state, str) else Number(*state)


def target_region(objects: Objects, tight: Tight) -> Region:
    """Return the events that have as many tight objects.

    Raises
    ------
    ConfigError
        If the objects do not say which are tight, or the requirement is not one.

    Examples
    --------
    >>> target_region(Objects("lep", "iso < 0.15"), Number(2))
    Region('at least 2 tight lep', 'count(lep_iso < 0.15) >= 2')
    """
    if isinstance(tight, Number):
        return objects.tight_region(tight.low, tight.high)
    if tight not in ("all", "not all"):
        raise ConfigError(f"tight is 'all', 'not all' or a Number of {objects.name}, not '{tight}'")
    return objects.all_tight() if tight == "all" else ~objects.all_tight()


def check_fakes(fakes: Number | str) -> None:
    """Raise a ConfigError if a composition is neither a number of fakes nor a pattern."""
    if isinstance(fakes, str) and (not fakes or set(fakes) - set("RF")):
        raise ConfigError(
            f"fakes is a Number of fake leptons, or one R (prompt) or F (fake) for each lepton in its order, such as "
            f"'RF', not '{fakes}'"
        )


def selected(count: int, tight: Tight, fakes: Number | str) -> Array:
    """Return which patterns of which compositions are wanted, one or zero, shape (2**count, 2**count).

    Examples
    --------
    >>> selected(1, "all", Number(1)).tolist()  # composition R or F, pattern tight or loose
    [[0.0, 0.0], [1.0, 0.0]]
    """
    from .patterns import bits

    kinds = bits(count)
    passing = tight if isinstance(tight, Number) else Number(count) if tight == "all" else Number(0, count - 1)
    rows = _within(kinds.sum(axis=1), fakes) if isinstance(fakes, Number) else np.zeros(2**count, np.bool_)
    if isinstance(fakes, str) and len(fakes) == count:
        rows = (kinds == [one == "F" for one in fakes]).all(axis=1)
    return np.outer(rows, _within(count - kinds.sum(axis=1), passing)).astype(np.float64)


def _within(numbers: Index, wanted: Number) -> Flags:
    return (numbers >= wanted.low) & (numbers <= (np.inf if wanted.high is None else wanted.high))


def matrix_weights(
    real: Array, fake: Array, tight: Flags, offsets: Index, *, target: Tight = "all", fakes: Number | str = Number(1)
) -> Array:
    """Return what each event says of the expected number of events of a composition in a target, shape (n,).

    For M leptons of an event, ``w = sum over compositions i and targets j of prod_k E_k[j_k, i_k] E_k^-1[i_k, o_k]``
    with ``E = [[r, f], [1 - r, 1 - f]]`` and o what is observed: the row of the inverse of the tensor product, without
    ever making it.

    Parameters
    ----------
    real, fake
        Efficiencies of the leptons, all events one after the other, shape (leptons,).
    tight
        Whether each is tight, shape (leptons,).
    offsets
        Where each event's leptons start, and where the last one's end, shape (n + 1,).
    target
        Which tight and anti-tight leptons are wanted.
    fakes
        How many of the leptons are fake; or which, as in ``RF``: events of another number of leptons weigh nothing.

    Examples
    --------
    >>> one = np.ones(1)
    >>> matrix_weights(0.9 * one, 0.2 * one, one > 0, np.array([0, 1])).round(6)  # f (r - 1) / (r - f)
    array([-0.028571])
    """
    from ._matrix_kernels import composition_weights, fake_weights

    r, f = (np.ascontiguousarray(one, np.float64) for one in (real, fake))
    flags, starts = np.ascontiguousarray(tight, np.bool_), np.ascontiguousarray(offsets, np.int64)
    out = np.empty(len(starts) - 1)
    if target == "all" and fakes == Number(1):
        fake_weights(r, f, flags, starts, out)
        return out
    most = int(np.diff(starts).max(initial=0))
    pattern = np.array([one == "F" for one in fakes] if isinstance(fakes, str) else [], np.bool_)
    wanted = Number() if isinstance(fakes, str) else fakes
    passing = target if isinstance(target, Number) else Number(0, 0) if target == "all" else Number(1)
    counts = _range(wanted, most), _range(passing, most)
    composition_weights(r, f, flags, starts, *counts, isinstance(target, Number), pattern, out)
    return out


def _range(number: Number, most: int) -> Index:
    """Return first and last number, at most one beyond `most`, and whether the last stands for all from there on."""
    low = min(number.low, most + 1)
    high = low if number.high is None else min(number.high, most)
    return np.array([low, high, number.high is None], np.int64)
