"""Evidence: kernels, and the marginal likelihood of a Gaussian process in as many columns as its kernel needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ConfigError
from ..tasks import Result, once

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Index = NDArray[np.int64]

__all__ = ["Evidence", "Matern", "Solved", "SquaredExponential", "lowest", "pivoted"]

_STEP = 0.02


@dataclass(frozen=True)
class SquaredExponential:
    """Correlation of infinitely smooth functions, ``k = exp(-r**2 / 2)`` of the distance r in length scales."""

    def __call__(self, squared: Array) -> tuple[Array, Array]:
        """Return the correlation and its slope ``h = -2 dk / d(r**2)``, both in place of squared distances."""
        # memory that is fresh costs more than the exponential
        squared *= -0.5
        k = np.exp(squared, out=squared)
        return k, k


@dataclass(frozen=True)
class Matern:
    """Correlation of functions that can be differentiated once (smoothness 1.5) or twice (2.5).

    ``k = (1 + a) exp(-a)`` with ``a = sqrt(3) r``, or ``k = (1 + a + a**2 / 3) exp(-a)`` with ``a = sqrt(5) r``.
    """

    smoothness: float = 2.5

    def __post_init__(self) -> None:
        if self.smoothness not in (1.5, 2.5):
            raise ConfigError(f"a Matern kernel has the smoothness 1.5 or 2.5, not {self.smoothness}")

    def __call__(self, squared: Array) -> tuple[Array, Array]:
        """Return the correlation and its slope ``h = -2 dk / d(r**2)``, both at squared distances."""
        a = np.sqrt(2.0 * self.smoothness * squared)
        decay = np.exp(-a)
        if self.smoothness == 1.5:
            return (1.0 + a) * decay, 3.0 * decay
        return (1.0 + a + a**2 / 3.0) * decay, 5.0 / 3.0 * (1.0 + a) * decay


def kernel_state(kernel: SquaredExponential | Matern) -> float | None:
    """Return a kernel as a number: the smoothness of a Matérn one, None for the squared exponential."""
    return kernel.smoothness if isinstance(kernel, Matern) else None


def kernel_from_state(smoothness: float | None) -> SquaredExponential | Matern:
    """Restore the kernel of `kernel_state`."""
    return SquaredExponential() if smoothness is None else Matern(smoothness)


def check_search(bounds: tuple[float, float], restarts: int) -> None:
    """Raise a ConfigError if length scales cannot be searched between these bounds, or so often."""
    low, high = bounds
    if not 0.0 < low < high < np.inf:
        raise ConfigError(f"the bounds of the length scales must be positive and increase, not {bounds}")
    if restarts < 0:
        raise ConfigError(f"restarts must be 0 or more, not {restarts}")


@dataclass(frozen=True, eq=False)
class Solved:
    """``C = B B' + diag(v)``, solved in the r columns of B: ``C**-1 = 1 / v - H' H`` with ``H = L**-1 B' / v``.

    ``L L' = 1 + B' B / v``: n points cost ``n r**2`` in place of ``n**3``.

    Attributes
    ----------
    basis
        B, shape (n, r).
    noise
        v, shape (n,).
    """

    basis: Array
    noise: Array

    @cached_property
    def lower(self) -> Array:
        """L, shape (r, r)."""
        scaled = self.basis / self.noise[:, None]
        return np.asarray(np.linalg.cholesky(np.eye(self.basis.shape[1]) + self.basis.T @ scaled))

    @cached_property
    def half(self) -> Array:
        """H, shape (r, n)."""
        return self.whitened(self.basis / self.noise[:, None]).T

    def whitened(self, rows: Array) -> Array:
        """Return rows of a basis, shape (m, r), times ``L'**-1``: a root of the covariance that the data leave them."""
        from scipy.linalg import solve_triangular

        return np.asarray(solve_triangular(self.lower, rows.T, lower=True, check_finite=False).T)

    def solve(self, z: Array) -> Array:
        """Return ``C**-1 z``."""
        return np.asarray(z / self.noise - self.half.T @ (self.half @ z))

    def log_marginal(self, z: Array) -> float:
        """Return ``log N(z | 0, C)``."""
        determinant = 2.0 * np.log(self.lower.diagonal()).sum() + np.log(self.noise).sum()
        return float(-0.5 * (z @ self.solve(z) + determinant + len(z) * np.log(2.0 * np.pi)))


@dataclass(frozen=True, eq=False)
class Evidence:
    """The logarithm of the marginal likelihood, of theta: the logarithms of d length scales and of the amplitude.

    Attributes
    ----------
    kernel
        Gives the correlation and its slope from squared distances in length scales.
    points
        Where the values are, shape (n, d).
    values
        Standardised, shape (n,).
    """

    kernel: Callable[[Array], tuple[Array, Array]]
    points: Array
    values: Array

    @cached_property
    def gaps(self) -> Array:
        """Squared distances of all pairs along each axis, shape (d, n * n)."""
        gaps = (self.points.T[:, :, None] - self.points.T[:, None, :]) ** 2
        return np.asarray(gaps.reshape(len(gaps), -1))

    def rows(self, theta: Array) -> Index:
        """Return the points that a root of the correlation is made from."""
        return pivoted(self._correlation(theta)[0])[1]

    def maximum(self, noise: Array, starts: Sequence[Array], limits: tuple[Array, Array]) -> Array:
        """Return the theta of the highest maximum that is found from the starts."""
        return once(_maximum, (self, noise, list(starts), limits))["theta"]

    def errors(self, theta: Array, noise: Array, free: NDArray[np.bool_]) -> Array:
        """Return a root of the covariance of theta, shape (d + 1, free), from the curvature at its maximum.

        Besides the likelihood, each logarithm has a normal prior of unit width around the maximum: where the targets
        say nothing, a parameter is known to a factor of e.
        """
        steps = _STEP * np.eye(len(theta))[free]
        slopes = [self(theta - step, noise)[1] - self(theta + step, noise)[1] for step in steps]
        curvature = np.array(slopes)[:, free] / (2.0 * _STEP)
        values, vectors = np.linalg.eigh((curvature + curvature.T) / 2.0)
        root = np.zeros((len(theta), len(values)))
        root[free] = vectors / np.sqrt(np.maximum(values, 0.0) + 1.0)
        return root

    def __call__(self, theta: Array, noise: Array) -> tuple[float, Array]:
        """Return the value and its gradient, ``tr((u u' - C**-1) dC) / 2`` with ``u = C**-1 z``."""
        k, slope = self._correlation(theta)
        amplitude = np.exp(theta[-1])
        solved = Solved(amplitude * pivoted(k)[0], noise)
        u = solved.solve(self.values)
        rows = amplitude * np.vstack([u, solved.half])
        pull = rows.T @ rows
        pull *= slope
        scales = 0.5 * np.exp(-2.0 * theta[:-1]) * (self.gaps @ pull.ravel())
        # tr(C**-1 B B') = sum of H**2 v
        own = np.sum((u @ solved.basis) ** 2) - np.sum(solved.half**2 * noise)
        return solved.log_marginal(self.values), np.array([*scales, own])

    def _correlation(self, theta: Array) -> tuple[Array, Array]:
        squared: Array = np.exp(-2.0 * theta[:-1]) @ self.gaps
        return self.kernel(squared.reshape(len(self.points), -1))


def _maximum(task: tuple[Evidence, Array, Sequence[Array], tuple[Array, Array]]) -> Result:
    evidence, noise, starts, limits = task

    def loss(theta: Array) -> tuple[float, Array]:
        value, slope = evidence(theta, noise)
        return -value, -slope

    return {"theta": lowest(loss, starts, limits, tolerance=1e-12)}


def lowest(
    loss: Callable[[Array], tuple[float, Array]],
    starts: Sequence[Array],
    limits: tuple[Array, Array],
    *,
    tolerance: float,
) -> Array:
    """Return the place of the lowest minimum that is found from the starts, of a loss that comes with its gradient."""
    from scipy.optimize import Bounds, minimize

    def ended(start: Array) -> Any:
        bounds = Bounds(*limits)
        return minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"ftol": tolerance})

    return np.asarray(min(map(ended, starts), key=lambda one: float(one.fun)).x)


def pivoted(matrix: Array, least: float = -1.0) -> tuple[Array, Index]:
    """Return a root of a symmetric matrix that is nowhere negative, shape (n, r), and the r rows that it was made from.

    It ends where no row has more than `least` left on its diagonal, by default n times the rounding of the largest.
    """
    from scipy.linalg.lapack import dpstrf

    factor, pivots, rank, _ = dpstrf(matrix.T, tol=least, lower=1)
    rows = np.empty((len(matrix), rank))
    rows[pivots - 1] = np.tril(factor[:, :rank])
    return rows, (pivots[:rank] - 1).astype(np.int64)
