"""Factors, bin by bin of each feature, that give positive weights the sums of signed ones in all these bins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import FitError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Index = NDArray[np.int64]

__all__ = ["Marginals", "equal_bins"]

_STEPS = 200
_PRECISION = 1e-10
_PRIOR = 1.0


@dataclass(frozen=True, eq=False)
class Marginals:
    """A product of a factor for each feature, ``exp(sum over features of shift[bin])``.

    The shifts solve, for each bin of each feature, ``sum of weight exp(shifts) + shift = sum of the signed weights``,
    both sums over the bin and in effective events: the minimum of a convex function. The term with the shift alone,
    which changes a sum by a fraction of an event, keeps a bin from zero whose signed weights have no positive sum.

    Attributes
    ----------
    edges
        Inner edges of the bins of each feature; a value belongs to the bin ``low < value <= high``.
    shifts
        Logarithm of the factor of each bin of each feature.
    """

    edges: tuple[Array, ...]
    shifts: tuple[Array, ...]

    @classmethod
    def fit(cls, values: Array, positive: Array, signed: Array, bins: int) -> Marginals:
        """Find the factors.

        Parameters
        ----------
        values
            Features, shape (n, d).
        positive, signed
            The weights to be changed, and those whose sums they are to have, shape (n,).
        bins
            Bins of each feature, of equal absolute weight where the values allow it.

        Raises
        ------
        FitError
            If the search does not end.
        """
        edges = tuple(equal_bins(x, np.abs(signed), bins) for x in values.T)
        starts = np.cumsum([0, *(len(one) + 1 for one in edges)])
        places = np.stack([np.searchsorted(one, x) for one, x in zip(edges, values.T, strict=True)]) + starts[:-1, None]
        wanted, theta = _sums(places, signed, int(starts[-1])), np.zeros(starts[-1])
        for _ in range(_STEPS):
            found = positive * np.exp(theta[places].sum(axis=0))
            slope = wanted - _sums(places, found, len(theta)) - _PRIOR * theta
            step = np.linalg.solve(_information(places, found, len(theta)), slope)
            theta += step * min(1.0, 1.0 / float(np.abs(step).max()))
            if float(slope @ step) < _PRECISION:
                return cls(edges, tuple(np.split(theta, starts[1:-1])))
        raise FitError(
            f"the sums of {len(values)} weights in {bins} bins of each feature were not found; use fewer bins"
        )

    def __call__(self, values: Array) -> Array:
        """Return the factor at each row, shape (n,)."""
        found = np.zeros(len(values))
        for edges, shift, x in zip(self.edges, self.shifts, values.T, strict=True):
            found += shift[np.searchsorted(edges, x)]
        return np.asarray(np.exp(found))

    def state(self) -> dict[str, Any]:
        """Return arrays from which :meth:`from_state` restores it."""
        return {"edges": list(self.edges), "shifts": list(self.shifts)}

    @classmethod
    def from_state(cls, state: Mapping[str, Sequence[Array]]) -> Marginals:
        """Restore it from :meth:`state`."""
        return cls(tuple(state["edges"]), tuple(state["shifts"]))


def equal_bins(x: Array, weights: Array, bins: int) -> Array:
    """Return inner edges of bins of about equal weight, all of them values of `x` and different."""
    order = np.argsort(x, kind="stable")
    share = np.cumsum(weights[order])
    edges = np.unique(x[order][np.searchsorted(share, share[-1] * np.arange(1, bins) / bins)])
    return np.asarray(edges[edges < x[order[-1]]])


def _sums(places: Index, weights: Array, number: int) -> Array:
    return np.asarray(np.sum([np.bincount(one, weights, number) for one in places], axis=0))


def _information(places: Index, weights: Array, number: int) -> Array:
    found = np.diag(_sums(places, weights, number) + _PRIOR)
    for one, other in combinations(places, 2):
        pairs = np.bincount(one * number + other, weights, number**2).reshape(number, number)
        found += pairs + pairs.T
    return found
