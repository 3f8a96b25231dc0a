"""Dependence of two variables: Pearson and distance correlation with permutation p-values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..errors import ConfigError, DataError
from ..events import Events, check_finite
from ..tasks import stream

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["Dependence", "dependence"]


@dataclass(frozen=True)
class Dependence:
    """Two measures of the dependence of two variables, each with its p-value under independence.

    Attributes
    ----------
    pearson, pearson_p_value
        Linear correlation and the p-value of ``|r|``.
    distance, distance_p_value
        Distance correlation, in [0, 1], and its p-value. It is 0 only for independent variables, but positive in any
        finite sample.
    distance_independent
        The mean distance correlation of the permutations: what independent variables give in a sample of this size.
    permutations
        How many permutations the p-values rest on; the smallest possible one is ``1 / (1 + permutations)``.
    rows
        Number of rows of positive weight.
    """

    pearson: float
    pearson_p_value: float
    distance: float
    distance_p_value: float
    distance_independent: float
    permutations: int
    rows: int


def dependence(events: Events, x: str, y: str, *, permutations: int = 200, seed: int) -> Dependence:
    """Measure the dependence of two columns.

    ``dCor² = dCov²(x, y) / sqrt(dCov²(x, x) dCov²(y, y))`` with
    ``dCov²(x, y) = Σ_ij p_i p_j A_ij B_ij``, ``p = w / Σw`` and A, B the doubly centred matrices of ``|x_i - x_j|`` and
    ``|y_i - y_j|``, in n log n steps. The p-values are ``(1 + permutations as dependent) / (1 + permutations)`` with y
    permuted over the rows; both are of independence, not of zero correlation. They are exact for equal weights. Unequal
    weights move once with x and once with y, and the larger p-value counts: never too small if the weights depend on
    one of the two alone; approximate if they depend on both.

    Parameters
    ----------
    events
        Independent rows (one for each event) of one class: a mixture of classes with different means is dependent,
        though each of them may not be.
    x, y
        Two flat columns.
    permutations
        Number of permutations, at least 1.
    seed
        Root of the permutations, which do not depend on the order of the rows.

    Raises
    ------
    ConfigError
        If there is no permutation.
    DataError
        If fewer than three rows have weight, a weight is negative, or a column is constant or not finite.

    References
    ----------
    G. J. Székely, M. L. Rizzo, N. K. Bakirov, Ann. Stat. 35 (2007) 2769; A. Chaudhuri, W. Hu, arXiv:1810.11332.

    Examples
    --------
    >>> x = np.random.default_rng(1).normal(size=1000)
    >>> found = dependence(Events.of({"x": x, "y": x**2}), "x", "y", permutations=99, seed=1)
    >>> round(found.distance, 2), round(found.distance_independent, 2), found.distance_p_value
    (0.55, 0.05, 0.01)
    """
    if permutations < 1:
        raise ConfigError(f"permutations={permutations}: a p-value needs at least one")
    pair = _Pair.of(events, x, y)
    rng = stream(seed, "dependence")
    unequal = bool((pair.weight != pair.weight[0]).any())
    rows = len(pair.x)
    nulls = np.stack([pair.permuted(rng.permutation(rows), unequal) for _ in range(permutations)], axis=1)
    pearson, distance = pair.measure(np.arange(rows), pair.weight)
    return Dependence(
        pearson=pearson,
        pearson_p_value=max(_p_value(np.abs(null[:, 0]), abs(pearson)) for null in nulls),
        distance=distance,
        distance_p_value=max(_p_value(null[:, 1], distance) for null in nulls),
        distance_independent=float(nulls[:, :, 1].mean()),
        permutations=permutations,
        rows=rows,
    )


def _p_value(null: Array, value: float) -> float:
    return (1 + int((null >= value * (1.0 - 1e-12)).sum())) / (1 + len(null))


@dataclass(frozen=True, eq=False)
class _Pair:
    """Rows in ascending order of x: x and weight; y in its own ascending order, and the rank of each row in it."""

    x: Array
    weight: Array
    y: Array
    rank: NDArray[np.int64]

    @classmethod
    def of(cls, events: Events, x: str, y: str) -> _Pair:
        if negative := int((events.weight < 0.0).sum()):
            raise DataError(
                f"{negative} of {len(events)} weights are negative: the distance correlation of signed weights means "
                "nothing; measure it in simulation of one class, or in unsubtracted data"
            )
        rows = events._take(np.flatnonzero(events.weight > 0.0)).sorted()
        if len(rows) < 3:
            raise DataError(f"the dependence of '{x}' and '{y}' in {len(rows)} rows: at least three are needed")
        values = [_scaled(rows, name) for name in (x, y)]
        order, place = (np.argsort(column, kind="stable") for column in values)
        rank = np.empty(len(rows), np.int64)
        rank[place] = np.arange(len(rows))
        return cls(values[0][order], rows.weight[order] / rows.weight.sum(), values[1][place], rank[order])

    def permuted(self, order: NDArray[np.int64], unequal: bool) -> Array:
        """Return the measures with y in another order: the weights move with x, and, if unequal, also with y."""
        weights = [self.weight, self.weight[order]] if unequal else [self.weight]
        return np.array([self.measure(order, weight) for weight in weights])

    def measure(self, order: NDArray[np.int64], weight: Array) -> tuple[float, float]:
        """Return Pearson and distance correlation with the y of the rows in another order, and these weights."""
        from ._kernels import absolute_means, distance_products

        rank = self.rank[order]
        y, spread = self.y[rank], np.empty_like(weight)
        spread[rank] = weight
        first, second = absolute_means(self.x, weight), absolute_means(self.y, spread)[rank]
        covariance = _centred(distance_products(self.x, y, rank, weight), first, second, weight)
        variances = _variance(self.x, weight), _variance(y, weight)
        own = _centred(2 * variances[0], first, first, weight) * _centred(2 * variances[1], second, second, weight)
        linear = weight @ (self.x * y) - (weight @ self.x) * (weight @ y)
        # the covariance is a sum of squares, up to the rounding of the terms it is computed from
        return float(linear / np.sqrt(variances[0] * variances[1])), float(np.sqrt(max(covariance, 0.0) / np.sqrt(own)))


def _centred(products: float, first: Array, second: Array, weight: Array) -> float:
    return float(products - 2 * weight @ (first * second) + (weight @ first) * (weight @ second))


def _variance(values: Array, share: Array) -> float:
    return float(share @ values**2 - (share @ values) ** 2)


def _scaled(events: Events, name: str) -> Array:
    """Return a column in units of its spread, around its mean, where sums of products keep their digits."""
    check_finite(events[name], name, "dependence")
    values = np.asarray(events[name], np.float64)
    if np.ptp(values) == 0.0:
        raise DataError(f"column '{name}' is constant in the {len(events)} rows: nothing can depend on it")
    return np.asarray((values - values.mean()) / values.std())
