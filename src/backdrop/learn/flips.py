"""Charge flips of pairs: the Poisson likelihood of all pairs of bins, its maximum, covariance and intervals."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from ..errors import DataError, FitError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Index = NDArray[np.int64]

__all__ = ["Flips", "Side", "pairs", "same_sign_probability"]

_STEPS = 500
_DISTANCE = 1e-10
_LIFT = 0.5
_FINEST = 1e-3
_RIDGE = 1e-6
_NEGLIGIBLE = 1e-10
_HIGHEST = 0.5
_SPREAD = 0.3


def same_sign_probability(first: Array, second: Array) -> Array:
    """Return the probability that exactly one of two electrons flips: ``e1 (1 - e2) + e2 (1 - e1)``."""
    return first + second - 2.0 * first * second


def pairs(bins: int) -> tuple[Index, Index]:
    """Return the two bins of each unordered pair of bins, shape (bins (bins + 1) / 2,) each."""
    first, second = np.triu_indices(bins)
    return first.astype(np.int64), second.astype(np.int64)


@dataclass(frozen=True, eq=False)
class Side:
    """Pairs of one charge combination, in each cell: what was counted, and what is expected besides Z decays.

    With z Z decays in the main window and a background b there, ``main ~ Pois(z + b + others)`` and
    ``sides ~ Pois(b / kappa + leak z + others_sides)``.

    Attributes
    ----------
    main, sides
        Counts in the main window and in its side bands, shape (cells,).
    others, others_sides
        Expected other processes there, known.
    kappa
        Background in the main window over that in the side bands; 0 without side bands, where b is 0.
    leak
        Z decays in the side bands over those in the main window.
    """

    main: Array
    sides: Array
    others: Array | float = 0.0
    others_sides: Array | float = 0.0
    kappa: float = 0.0
    leak: float = 0.0

    @property
    def kept(self) -> float:
        """What is left of Z decays when the side bands are subtracted."""
        return 1.0 - self.kappa * self.leak

    @property
    def total(self) -> Array:
        """All counts of a cell."""
        return self.main + self.sides

    @property
    def left(self) -> Array:
        """Z decays in the main window, by subtraction."""
        return (self.main - self.others - self.kappa * (self.sides - self.others_sides)) / self.kept

    @cached_property
    def table(self) -> Array:
        """All of it, shape (cells, 4)."""
        parts = np.broadcast_arrays(self.main, self.sides, self.others, self.others_sides)
        return np.ascontiguousarray(np.stack(parts, axis=1), np.float64)


@dataclass(frozen=True, eq=False)
class Flips:
    """The likelihood of flip rates: every pair of bins is a cell, and no cell is left out.

    In cell (i, j) the N Z decays have equal charges with probability ``q = e_i (1 - e_j) + e_j (1 - e_i)``: the
    same-sign side has ``z = N q`` of them, the opposite-sign side ``z = N (1 - q)``. N and the background of opposite
    sign, which may be negative, are at their best in each cell: N is what the subtraction of the side bands leaves.
    Where backgrounds vanish this is the binomial likelihood of ``q``.

    The background of same sign is ``b_ij = 2 beta_i beta_j`` (``beta_i^2`` for i = j) where it is pooled, with one
    free beta for each bin: its two electrons are independent, and it is not negative. Otherwise each cell has its own,
    at its best there; it may be negative, and needs some events in the side bands of each cell.

    The rate of a bin is the product of one factor for each axis of `shape`: with one axis the rates are free.

    Attributes
    ----------
    opposite, same
        The counts, cells in the order of :func:`pairs`.
    shape
        The number of factors along each axis; their product is the number of bins, in C order.
    pooled
        Whether the background of same sign is that of independent electrons.
    """

    opposite: Side
    same: Side
    shape: tuple[int, ...]
    pooled: bool = True

    def __post_init__(self) -> None:
        for name, side in (("opposite", self.opposite), ("same", self.same)):
            if not (side.kappa >= 0.0 and side.leak >= 0.0 and side.kept > 0.0):
                raise DataError(
                    f"{name} sign: kappa = {side.kappa:g} and leak = {side.leak:g} must not be negative, and their "
                    "product below one: else the side bands hold more of the Z than the main window"
                )
            if (bad := np.argwhere(~(side.table >= 0.0))).size:
                i, j = (int(one[bad[0, 0]]) for one in self.cells)
                raise DataError(
                    f"{name} sign: {side.table[tuple(bad[0])]:g} pairs of bins {i} and {j}, but a likelihood needs "
                    "counts: merge bins, or drop negative weights"
                )

    @property
    def bins(self) -> int:
        """The number of bins."""
        return int(np.prod(self.shape))

    @cached_property
    def cells(self) -> tuple[Index, Index]:
        """The two bins of each cell."""
        return pairs(self.bins)

    def of_bins(self, cells: Array) -> Array:
        """Return what the electrons of each bin have of numbers of pairs, shape (bins,)."""
        first, second = (np.bincount(one, cells, self.bins) for one in self.cells)
        return np.asarray(first + second, np.float64)

    @cached_property
    def electrons(self) -> Array:
        """Electrons of Z decays in each bin, about, shape (bins,)."""
        return self.of_bins(np.maximum(self.opposite.left, 0.0) + np.maximum(self.same.left, 0.0))

    @cached_property
    def lift(self) -> Array:
        """The rate at which half an electron of each bin flips."""
        return _LIFT / np.maximum(self.electrons, 1.0)

    # ---- rates and backgrounds -------------------------------------------------------------------------------------

    @cached_property
    def _size(self) -> int:
        """How many parameters are factors of rates; the others are those of the background."""
        return sum(self.shape)

    @cached_property
    def _smooth(self) -> int:
        return self.bins if self.pooled and self.same.kappa > 0.0 else 0

    @cached_property
    def _factors(self) -> tuple[Index, ...]:
        """The place of each bin along each axis."""
        return tuple(np.unravel_index(np.arange(self.bins), self.shape))

    @cached_property
    def _places(self) -> tuple[Index, ...]:
        """The parameter of each axis for each bin."""
        starts = np.concatenate([[0], np.cumsum(self.shape)[:-1]])
        return tuple(first + place for first, place in zip(starts, self._factors, strict=True))

    def rates(self, theta: Array) -> Array:
        """Return the rate of each bin, shape (bins,)."""
        return np.asarray(np.prod([theta[place] for place in self._places], axis=0))

    def slopes(self, theta: Array) -> Array:
        """Return the derivatives of the rates by the parameters, shape (bins, parameters)."""
        found = np.zeros((self.bins, len(theta)))
        for k, place in enumerate(self._places):
            others = [theta[other] for i, other in enumerate(self._places) if i != k]
            found[np.arange(self.bins), place] = np.prod(others, axis=0) if others else 1.0
        return found

    @cached_property
    def _indicators(self) -> tuple[Array, Array]:
        first, second = self.cells
        return np.eye(self.bins)[first], np.eye(self.bins)[second]

    def _of_cells(self, theta: Array) -> tuple[Array, Array]:
        """Return q and the pooled background of each cell."""
        (first, second), rates = self.cells, self.rates(theta)
        beta = theta[self._size :] if self._smooth else np.zeros(self.bins)
        pooled = np.where(first == second, 1.0, 2.0) * beta[first] * beta[second]
        return same_sign_probability(rates[first], rates[second]), pooled

    def _spread(self, theta: Array) -> tuple[Array, Array]:
        """Return the derivatives of q and the pooled background by the parameters, shape (cells, parameters)."""
        (first, second), (one, two), rates = self.cells, self._indicators, self.rates(theta)
        q = (1.0 - 2.0 * rates[second])[:, None] * one + (1.0 - 2.0 * rates[first])[:, None] * two
        background = np.zeros((len(first), len(theta)))
        if self._smooth:
            beta, times = theta[self._size :], np.where(first == second, 1.0, 2.0)
            background[:, self._size :] = (times * beta[second])[:, None] * one + (times * beta[first])[:, None] * two
        return q @ self.slopes(theta), background

    def _local(self, theta: Array) -> Array:
        from ._kernels import flip_cells

        q, pooled = self._of_cells(theta)
        share = 1.0 / self.same.kappa if self._smooth else 0.0
        kappa = np.array([self.opposite.kappa, 0.0 if self._smooth else self.same.kappa])
        leak = np.array([self.opposite.leak, self.same.leak])
        return flip_cells(q, pooled, share, self.opposite.table, self.same.table, kappa, leak)

    def value(self, theta: Array) -> float:
        """Return minus the logarithm of the likelihood, relative to means that equal the counts."""
        q, _ = self._of_cells(theta)
        return float(self._local(theta)[:, 0].sum()) if ((q >= 0.0) & (q <= 1.0)).all() else float("inf")

    # ---- the maximum -----------------------------------------------------------------------------------------------

    @cached_property
    def start(self) -> Array:
        """The rates that factorise as the electrons of same-sign pairs do, and the background of the side bands."""
        flips, electrons = self.of_bins(np.maximum(self.same.left, 0.0)) + _LIFT, np.maximum(self.electrons, 1.0)
        mean = flips.sum() / electrons.sum()
        factors = [np.bincount(place, flips) / np.bincount(place, electrons) for place in self._factors]
        beside = self.of_bins(self.same.sides) + _LIFT
        background = beside * np.sqrt(self.same.kappa / (2.0 * beside.sum()))
        rates = [0.5 * factors[0], *(one / mean for one in factors[1:])]
        return np.concatenate([np.minimum(rates[0], _HIGHEST / 2.0), *rates[1:], background[: self._smooth]])

    @cached_property
    def limits(self) -> tuple[Array, Array]:
        """The lowest and highest values of the parameters."""
        high = np.full(len(self.start), np.inf)
        high[: self.shape[0]] = _HIGHEST
        return np.zeros(len(high)), high

    @cached_property
    def best(self) -> Array:
        """The parameters at the maximum.

        Raises
        ------
        FitError
            If the search does not end, or no pair is left after the subtraction of the side bands.
        """
        if float(self.opposite.left.sum()) <= 0.0:
            raise FitError("the side bands subtract all opposite-sign pairs of the main window: check both windows")
        found = self.maximum(self.start, *self.limits)
        if (found[self._size :] > 0.0).all():
            return found
        # a background of few events has several maxima: that of few bins, or first of all bins
        low, high = self.limits
        spread = np.where(np.arange(len(low)) < self._size, low, _SPREAD * self.start[self._size :].mean())
        again = self.maximum(self.maximum(self.start, spread, high), low, high)
        return min(found, again, key=self.value)

    @cached_property
    def fitted(self) -> Array:
        """The rates at the maximum, shape (bins,)."""
        return self.rates(self.best)

    def maximum(self, theta: Array, low: Array, high: Array) -> Array:
        """Return the parameters of the largest likelihood between limits; equal limits hold one where it is.

        Newton steps are projected on the limits. A small part of the expected information keeps them finite where no
        same-sign pair was seen.

        Raises
        ------
        FitError
            If the search does not end.
        """
        theta = np.clip(theta, low, high)
        value = self.value(theta)
        for _ in range(_STEPS):
            cells, spread = self._local(theta), self._spread(theta)
            gradient = cells[:, 1] @ spread[0] + cells[:, 2] @ spread[1]
            free = ~((theta <= low) & (gradient >= 0.0)) & ~((theta >= high) & (gradient <= 0.0))
            metric = _metric(cells[:, 3:6] + _RIDGE * cells[:, 6:], spread) + self._bent(theta, cells)
            step = np.zeros(len(theta))
            step[free] = _inverse(metric[np.ix_(free, free)]) @ gradient[free]
            if float(gradient @ step) < _DISTANCE:
                return theta
            found = self._shorter(theta, step, gradient, value, (low, high))
            if found is None:
                # rounding hides what is left to gain
                return theta
            theta, value = found
        raise FitError(f"the fit of {self.bins} flip rates did not end after {_STEPS} steps; merge bins")

    def _bent(self, theta: Array, cells: Array) -> Array:
        """Return what the products of factors add to the second derivatives."""
        found = np.zeros((len(theta),) * 2)
        rates, (one, two), (first, second) = self.rates(theta), self._indicators, self.cells
        slope = cells[:, 1] @ ((1.0 - 2.0 * rates[second])[:, None] * one + (1.0 - 2.0 * rates[first])[:, None] * two)
        for pair in combinations(range(len(self.shape)), 2):
            others = [theta[place] for i, place in enumerate(self._places) if i not in pair]
            moved = slope * np.prod(others, axis=0) if others else slope
            np.add.at(found, tuple(self._places[k] for k in pair), moved)
        if self._smooth:
            np.add.at(
                found, (self._size + first, self._size + second), np.where(first == second, 1.0, 2.0) * cells[:, 2]
            )
        return found + found.T

    def _shorter(
        self, theta: Array, step: Array, gradient: Array, value: float, limits: tuple[Array, Array]
    ) -> tuple[Array, float] | None:
        length = 1.0
        while length > 1e-9:
            trial = np.clip(theta - length * step, *limits)
            found = self.value(trial)
            if found <= value - 1e-4 * float(gradient @ (theta - trial)):
                return trial, found
            length /= 2.0
        return None

    # ---- what is not known -----------------------------------------------------------------------------------------

    def covariance(self) -> Array:
        """Return the covariance of the rates from the expected information, shape (bins, bins).

        Rates below half a flip of their bin count as half a flip.
        """
        theta = self.best.copy()
        for _ in range(len(self.shape)):
            low = np.flatnonzero(self.rates(theta) < self.lift)
            for place in self._places:
                axis = np.unique(place)
                need = np.array([self.lift[(place == k)].min() for k in axis]) ** (1.0 / len(self.shape))
                hit = np.isin(axis, place[low])
                theta[axis] = np.where(hit, np.maximum(theta[axis], need), theta[axis])
        slopes = self.slopes(theta)
        return np.asarray(slopes @ _inverse(_metric(self._local(theta)[:, 6:], self._spread(theta))) @ slopes.T)

    def interval(self, place: int, level: float = 0.6827) -> tuple[float, float]:
        """Return the interval of a bin's rate from the profile likelihood, which covers at few flips, too.

        Its lower end is where the profile likelihood has fallen by ``z^2 / 2``, its upper end where that of one more
        flip has: counts are discrete, and without the flip intervals of three flips cover 62 % instead of 68 %.

        Raises
        ------
        DataError
            If no electron is in the bin.
        """
        if self.electrons[place] <= 0.0:
            raise DataError(f"no electron of a Z decay is in bin {place}: nothing says what its flip rate is")
        fall = NormalDist().inv_cdf((1.0 + level) / 2.0) ** 2 / 2.0
        return self._lower(place, fall), self._with_flip(place)._upper(place, fall)

    def _with_flip(self, place: int) -> Flips:
        """Return the likelihood with one more flip in a bin, spread over its cells as its electrons are."""
        first, second = self.cells
        share = np.maximum(self.opposite.left, 0.0) * ((first == place).astype(float) + (second == place))
        return replace(self, same=replace(self.same, main=self.same.main + share / share.sum()))

    def _lower(self, place: int, fall: float) -> float:
        from scipy.optimize import brentq

        low, least = float(self.fitted[place]), self.value(self.best) + fall
        while low > _FINEST * float(self.lift[place]):
            high, low = low, low / 2.0
            if self.profile(place, low) > least:
                return float(brentq(lambda rate: self.profile(place, rate) - least, low, high, xtol=1e-4 * high))
        return 0.0

    def _upper(self, place: int, fall: float) -> float:
        from scipy.optimize import brentq

        low, least = float(self.fitted[place]), self.value(self.best) + fall
        high = low + 2.0 * float(self.lift[place])
        while high < _HIGHEST:
            if self.profile(place, high) > least:
                return float(brentq(lambda rate: self.profile(place, rate) - least, low, high, xtol=1e-4 * high))
            low, high = high, low + 2.0 * (high - low)
        return _HIGHEST

    def profile(self, place: int, rate: float) -> float:
        """Return the smallest value for a given rate of a bin: the other factors of its rate are held at one."""
        theta, (own, *others) = self.best.copy(), [int(one[place]) for one in self._places]
        low, high = (one.copy() for one in self.limits)
        for k, other in enumerate(others, start=1):
            axis, scale = slice(sum(self.shape[:k]), sum(self.shape[: k + 1])), max(float(theta[other]), 1e-6)
            theta[axis], theta[: self.shape[0]] = theta[axis] / scale, theta[: self.shape[0]] * scale
            theta[other] = low[other] = high[other] = 1.0
        theta[own] = low[own] = high[own] = rate
        return self.value(self.maximum(theta, low, high))


def _metric(cells: Array, spread: tuple[Array, Array]) -> Array:
    """Return second derivatives by the parameters from those of each cell by q and its background."""
    (q, background), (qq, mixed, own) = spread, cells.T
    cross = (q * mixed[:, None]).T @ background
    return np.asarray((q * qq[:, None]).T @ q + (background * own[:, None]).T @ background + cross + cross.T)


def _inverse(matrix: Array) -> Array:
    """Return the inverse of a symmetric matrix, its eigenvalues made positive.

    What a product leaves open (a factor moved between axes) is dropped.
    """
    if not len(matrix):
        return matrix
    scale = np.sqrt(np.maximum(np.diag(matrix), 0.0))
    scale = np.where(scale > 0.0, scale, 1.0)
    values, vectors = np.linalg.eigh(matrix / np.outer(scale, scale))
    kept = np.abs(values) > _NEGLIGIBLE
    return np.asarray((vectors[:, kept] / np.abs(values[kept])) @ vectors[:, kept].T / np.outer(scale, scale))
