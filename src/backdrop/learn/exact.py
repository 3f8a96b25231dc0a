"""Exact intervals of ``b_B b_C / b_D`` from three counts, where the profile likelihood is not to be trusted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from ..errors import DataError
from ..tasks import stream

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["Ratio", "first", "quantile"]

_PRECISION = 1e-3
_FACTOR = 1.5
_FARTHEST = 200
_WIDTHS = 9.0


@dataclass(frozen=True)
class Ratio:
    """Counts B, C and D, and what they say of the yield ``b = b_B b_C / b_D``.

    For a hypothesis b the means that fit best are B + l, C + l and D - l, with ``(B + l) (C + l) = b (D - l)``. The
    distribution of the likelihood ratio is drawn there and at means of the same b one standard deviation away, and the
    largest p-value counts: with the best means alone, intervals of about ten counts cover two per cent too little.

    Attributes
    ----------
    b, c, d
        The counts.
    toys, seed
        How many pseudo-experiments, and their random stream.
    """

    b: float
    c: float
    d: float
    toys: int = 4000
    seed: int = 1

    def __post_init__(self) -> None:
        if min(self.b, self.c, self.d) < 0.0 or any(one != round(one) for one in (self.b, self.c, self.d)):
            raise DataError(f"B, C, D = {self.b:g}, {self.c:g}, {self.d:g} are no counts; exact intervals need counts")
        if self.d == 0.0:
            raise DataError("D holds no event: the ratio has no upper end; widen the region")

    @property
    def value(self) -> float:
        """The best value, ``B C / D``."""
        return self.b * self.c / self.d

    def p_value(self, yields: float) -> float:
        """Return the probability of a likelihood ratio as bad as this one if the yield is `yields`."""
        counts = np.array([[self.b], [self.c], [self.d]])
        seen = _statistic(counts, yields)[0]
        edge = seen - 1e-9 * max(1.0, seen)
        return max(
            float((_statistic(self._drawn(means), yields) >= edge).mean())
            for means in _neighbours(_means(counts, yields)[:, 0])
        )

    def interval(self, level: float = 0.6827) -> tuple[float, float]:
        """Return the yields whose p-value is at least ``1 - level``.

        References
        ----------
        Feldman and Cousins, Phys. Rev. D 57 (1998) 3873, with the other means profiled: Chuang and Lai, Statistica
        Sinica 10 (2000) 1.
        """
        from scipy.optimize import brentq

        def excess(yields: float) -> float:
            return self.p_value(yields) - (1.0 - level)

        best = max(self.value, 0.5 * max(self.b, self.c, 1.0) / self.d)
        # without B and C, half an event may be too much
        best = first(lambda yields: excess(yields) >= 0.0, _FACTOR * best, 1.0 / _FACTOR)
        high = first(lambda yields: excess(yields) < 0.0, best, _FACTOR)
        upper = float(brentq(excess, high / _FACTOR, high, xtol=_PRECISION * high))
        if self.value == 0.0:
            return 0.0, upper
        low = first(lambda yields: excess(yields) < 0.0, best, 1.0 / _FACTOR)
        return float(brentq(excess, low, low * _FACTOR, xtol=_PRECISION * low)), upper

    @cached_property
    def _uniform(self) -> Array:
        return np.asarray(stream(self.seed, "exact ratio").uniform(size=(3, self.toys)), np.float64)

    def _drawn(self, means: Array) -> Array:
        """Return Poisson numbers that move smoothly with their means, shape (3, toys)."""
        return np.stack([quantile(uniform, mean) for uniform, mean in zip(self._uniform, means, strict=True)])


def quantile(uniform: Array, mean: float) -> Array:
    """Return Poisson numbers of uniform ones, which move smoothly with their mean."""
    from scipy.stats import poisson

    reach = _WIDTHS * (np.sqrt(mean) + 1.0)
    numbers = np.arange(max(0.0, np.floor(mean - reach)), np.ceil(mean + reach) + 1.0)
    found: Array = numbers[np.minimum(np.searchsorted(poisson.cdf(numbers, mean), uniform), len(numbers) - 1)]
    return found


def _neighbours(means: Array) -> Iterator[Array]:
    """Yield means, and those one standard deviation away along which ``b_B b_C / b_D`` stays."""
    yield means
    for i, moved in ((1, np.array([-1.0, 1.0, 0.0])), (2, np.array([0.0, 1.0, 1.0]))):
        step = 1.0 / np.sqrt(max(float(means[i]), 1.0))
        for sign in (1.0, -1.0):
            yield means * np.exp(sign * step * moved)


def first(reached: Callable[[float], bool], start: float, factor: float) -> float:
    """Return the first of start, start * factor, ... where something is reached, or the last one tried."""
    yields = start * factor
    for _ in range(_FARTHEST):
        if reached(yields):
            break
        yields *= factor
    return yields


def _means(counts: Array, yields: float) -> Array:
    """Return the best means of B, C and D under the hypothesis, shape (3, n)."""
    b, c, d = counts
    half = (b + c + yields) / 2.0
    # the smaller root, without cancellation
    rest = b * c - yields * d
    shift = -rest / (half + np.sqrt(np.maximum(half**2 - rest, 0.0)))
    means: Array = np.maximum(np.stack([b + shift, c + shift, d - shift]), 0.0)
    return means


def _statistic(counts: Array, yields: float) -> Array:
    """Return minus twice the logarithm of the likelihood ratio, shape (n,)."""
    from scipy.special import xlogy

    means = np.maximum(_means(counts, yields), 1e-300)
    return np.asarray(2.0 * (means - counts + xlogy(counts, counts) - xlogy(counts, means)).sum(axis=0))
