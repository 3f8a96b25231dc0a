"""χ² of two binned vectors under a full covariance, and the summary of pulls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..errors import DataError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[np.float64]

__all__ = ["ChiSquare", "PullSummary", "chi2", "pull_summary"]

_IMPOSSIBLE = 1e-6


@dataclass(frozen=True, eq=False)
class ChiSquare:
    """The χ² of a difference of bins, its p-value and its pulls.

    Attributes
    ----------
    value
        ``d^T V^-1 d`` over the used bins.
    ndf
        The rank of the covariance of the used bins: their number, unless some are exactly correlated.
    p_value
        Probability of a larger χ²; 0 if a bin is contradicted, 1 if no bin is used.
    pulls
        ``d_i / sqrt(V_ii)``, shape (bins,), NaN where a bin is not used.
    contradicted
        Bins whose difference the covariance excludes with certainty.
    """

    value: float
    ndf: int
    p_value: float
    pulls: Array
    contradicted: tuple[int, ...] = ()

    @property
    def used(self) -> NDArray[np.bool_]:
        """The bins that enter, shape (bins,)."""
        return np.isfinite(self.pulls)


def chi2(a: ArrayLike, b: ArrayLike, covariance: ArrayLike) -> ChiSquare:
    """Return the χ² of ``a - b`` under the covariance of the difference.

    ``χ² = (a - b)^T V^-1 (a - b)`` with V of shape (bins, bins); V^-1 is the pseudo-inverse of the correlation matrix.
    A bin without variance and without difference says nothing and is left out. A bin without variance but with a
    difference has an infinite χ²; to keep the number finite it enters as an uncorrelated count of the size of its
    difference (pull ``± sqrt|d|``), is listed as contradicted, and makes the p-value 0. So does a difference along a
    combination of bins that the covariance fixes exactly.

    Raises
    ------
    DataError
        If shapes disagree, a value is not finite, or V is not a covariance (a negative variance or eigenvalue).

    Examples
    --------
    >>> test = chi2([12.0, 7.0], [10.0, 10.0], [[4.0, 0.0], [0.0, 9.0]])
    >>> test.value, test.ndf, round(test.p_value, 4)
    (2.0, 2, 0.3679)
    """
    difference, matrix = _checked(a, b, covariance)
    variance = np.diag(matrix).copy()
    fixed = variance == 0.0
    contradicted = np.flatnonzero(fixed & (difference != 0.0))
    variance[contradicted] = np.abs(difference[contradicted])
    used = np.flatnonzero(variance > 0.0)
    pulls = np.full(len(difference), np.nan)
    pulls[used] = difference[used] / np.sqrt(variance[used])
    matrix = matrix + np.diag(np.where(fixed, variance, 0.0))
    value, ndf, impossible = _quadratic(pulls[used], matrix[np.ix_(used, used)])
    bins = np.union1d(contradicted, used[impossible])
    return ChiSquare(value, ndf, 0.0 if len(bins) else _tail(value, ndf), pulls, tuple(int(i) for i in bins))


def _checked(a: ArrayLike, b: ArrayLike, covariance: ArrayLike) -> tuple[Array, Array]:
    first, second, matrix = (np.asarray(part, np.float64) for part in (a, b, covariance))
    if first.ndim != 1 or first.shape != second.shape or matrix.shape != (first.size, first.size):
        raise DataError(
            f"a χ² needs two vectors of n bins and an (n, n) covariance, not {first.shape}, {second.shape} and "
            f"{matrix.shape}"
        )
    if not (np.isfinite(first).all() and np.isfinite(second).all() and np.isfinite(matrix).all()):
        raise DataError("a χ² needs finite values; the vectors or the covariance hold NaN or infinity")
    if (np.diag(matrix) < 0.0).any():
        raise DataError(f"the covariance has negative variances in bins {np.flatnonzero(np.diag(matrix) < 0).tolist()}")
    return first - second, matrix


def _quadratic(pulls: Array, covariance: Array) -> tuple[float, int, NDArray[np.int64]]:
    """Return χ², rank, and the bins of differences along directions without any variance."""
    none = np.zeros(0, np.int64)
    if len(pulls) == 0:
        return 0.0, 0, none
    scale = np.sqrt(np.diag(covariance))
    eigenvalues, vectors = np.linalg.eigh(covariance / np.outer(scale, scale))
    floor = 10 * len(pulls) * np.finfo(float).eps * float(eigenvalues[-1])
    if eigenvalues[0] < -1e-8 * eigenvalues[-1]:
        raise DataError(f"the correlation matrix has a negative eigenvalue {eigenvalues[0]:.3g}: it is no covariance")
    along, kept = vectors.T @ pulls, eigenvalues > floor
    bad = np.abs(along[~kept]) > _IMPOSSIBLE * max(1.0, float(np.abs(pulls).max()))
    impossible = np.unique(np.abs(vectors[:, ~kept][:, bad]).argmax(axis=0)) if bad.any() else none
    return float((along[kept] ** 2 / eigenvalues[kept]).sum()), int(kept.sum()), impossible


def _tail(value: float, ndf: int) -> float:
    from scipy.stats import chi2 as distribution

    return float(distribution.sf(value, ndf)) if ndf else 1.0


@dataclass(frozen=True)
class PullSummary:
    """Mean and width of pulls with the errors expected of n unit normal ones."""

    n: int
    mean: float
    width: float

    @property
    def mean_error(self) -> float:
        """``1 / sqrt(n)``."""
        return float(1.0 / np.sqrt(self.n))

    @property
    def width_error(self) -> float:
        """``1 / sqrt(2 n)``."""
        return float(1.0 / np.sqrt(2.0 * self.n))


def pull_summary(pulls: ArrayLike) -> PullSummary:
    """Return mean and sample standard deviation (n - 1) of the finite pulls.

    Raises
    ------
    DataError
        If fewer than two pulls are finite.

    Examples
    --------
    >>> pull_summary([-1.0, 0.0, 1.0, float("nan")])
    PullSummary(n=3, mean=0.0, width=1.0)
    """
    values = np.asarray(pulls, np.float64)
    values = values[np.isfinite(values)]
    if len(values) < 2:
        raise DataError(f"{len(values)} finite pulls have no width; at least two are needed")
    return PullSummary(len(values), float(values.mean()), float(values.std(ddof=1)))
