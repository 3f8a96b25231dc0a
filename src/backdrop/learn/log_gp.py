"""Log-Gaussian process: a smooth logarithm of a rate, through binned counts with their Poisson noise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DataError, FitError
from ..tasks import Result, once
from .evidence import Matern, SquaredExponential, check_search, lowest, pivoted
from .prior import Prior, check_points

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[np.float64]
    Flags = NDArray[np.bool_]

__all__ = ["LogGaussianProcess", "LogPosterior"]

_AMPLITUDES = (0.05, 10.0)
_LEVEL = 1.0
"""Standard deviation of the prior of the rate's overall logarithm, about that of the mean count."""
_START = 0.5
_EDGE = 1e-3
_STEPS = 100
_LARGEST_STEP = 2.0


@dataclass(frozen=True)
class LogGaussianProcess:
    """Regression of binned counts whose rate has a smooth logarithm (a log-Gaussian Cox process).

    The yield of a bin of relative size v is ``v exp(f(x))``, ``f ~ GP(c, a**2 k(r))`` with ``r**2 = sum_i (x_i -
    x_i')**2 / l_i**2`` or, oblique, ``r = |A (x - x')|``; the counts are Poisson. The posterior of f is that of
    Laplace, a Gaussian about its mode, and the metric and the amplitude maximise its evidence. Rates are positive, an
    exponential fall is no structure at all, and thin bins count as what they are: where a Gaussian process of the
    counts straightens a convex fall, this one follows it.

    Weighted yields are scaled counts: the likelihood of a bin is that of ``y / s`` with ``s = sum w**2 / sum w`` of all
    bins, for which a negative yield is allowed.

    Attributes
    ----------
    kernel
        The form of the correlation.
    bounds
        Lowest and highest length scale, in units of the points' range along each axis.
    oblique
        Whether the length scales may belong to any directions, with A an upper triangular matrix, instead of to the
        axes: a turn-on along the sum of two masses is short along the sum and long along the difference.
    restarts
        Searches from random places besides the one from the middle; the best of all is kept.

    Assumes
    -------
    - The logarithm of the rate is smooth over one length scale along each axis, or along each direction.

    Fails when
    ----------
    - A structure is narrower than the gap it shall be interpolated over.
    - The rate is zero in a part of the box: leave that part out.

    References
    ----------
    Rasmussen and Williams, Gaussian Processes for Machine Learning (2006), algorithms 3.1 and 5.1.
    Møller, Syversveen and Waagepetersen, Scand. J. Stat. 25 (1998) 451.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> x = np.linspace(0.0, 1.0, 41)[:, None]
    >>> counts = rng.poisson(40.0 * np.exp(-2.0 * x[:, 0])).astype(float)
    >>> seen = np.abs(x[:, 0] - 0.5) > 0.1
    >>> found = LogGaussianProcess().fit_counts(x[seen], counts[seen], rng=rng)
    >>> hidden = np.array([[0.5]])
    >>> truth, error = 40.0 * np.exp(-1.0), np.sqrt(found.covariance(hidden)[0, 0])
    >>> bool(abs(found.mean(hidden)[0] - truth) < 2.0 * error), bool(error < 2.0)
    (True, True)
    """

    kernel: SquaredExponential | Matern = Matern()
    bounds: tuple[float, float] = (0.05, 20.0)
    oblique: bool = True
    restarts: int = 1

    def __post_init__(self) -> None:
        check_search(self.bounds, self.restarts)

    def fit_counts(
        self,
        points: ArrayLike,
        yields: ArrayLike,
        sumw2: ArrayLike | None = None,
        sizes: ArrayLike | None = None,
        *,
        rng: np.random.Generator,
    ) -> LogPosterior:
        """Fit length scales and amplitude.

        Parameters
        ----------
        points
            The centres of the bins, shape (n, d), in any units.
        yields, sumw2
            Sums of weights and of squared weights of the bins, shape (n,); counts without the latter.
        sizes
            Of the bins, relative to the one that rates are given for, shape (n,).
        rng
            Places the restarts.

        Raises
        ------
        DataError
            If there are too few points, numbers that are not finite, no positive sum of the yields, or points without
            a range along an axis.
        FitError
            If the mode of the posterior is not found.
        """
        x = check_points(points)
        y = np.asarray(yields, np.float64)
        squares = y if sumw2 is None else np.asarray(sumw2, np.float64)
        v = np.ones(len(y)) if sizes is None else np.asarray(sizes, np.float64)
        for values, what in ((y, "yields"), (squares, "sums of squared weights"), (v, "sizes")):
            if values.shape != (len(x),) or not np.isfinite(values).all():
                raise DataError(f"{what} have the shape {values.shape} or are not finite; give one number a point")
        if not (y.sum() > 0.0 and squares.sum() > 0.0 and (v > 0.0).all()):
            raise DataError(
                f"the yields of {len(y)} bins sum to {y.sum():g}; a rate needs a positive sum, and bins of positive "
                "size"
            )
        search = _Search(self, x, y, v, float(squares.sum() / y.sum()))
        low, high = search.limits
        starts = [search.middle, *rng.uniform(low, high, (self.restarts, len(low)))]
        return search.posterior(once(_maximum, (search, starts))["theta"])


@dataclass(frozen=True, eq=False)
class LogPosterior:
    """The rates that a prior and counts leave: a Gaussian posterior of their logarithm.

    Attributes
    ----------
    prior
        Of the logarithm.
    level
        The logarithm of the rate that the prior is about.
    weights
        The mode, in the columns of the prior's root and the constant, shape (r + 1,).
    precision
        The inverse covariance of the weights, shape (r + 1, r + 1).
    at_bound
        Which length scales stopped at their lower bound, shape (d,).
    log_evidence
        Laplace's, up to a constant of the counts.
    """

    prior: Prior
    level: float
    weights: Array
    precision: Array
    at_bound: Flags
    log_evidence: float

    @property
    def length_scales(self) -> Array:
        """One for each axis, shape (d,), in the units of the points."""
        return self.prior.length_scales

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a user should know: a length scale at its lower bound, below which the fit could not see."""
        return tuple(
            f"the length scale of axis {i} stopped at its lower bound" for i, low in enumerate(self.at_bound) if low
        )

    def log_rate(self, points: ArrayLike) -> tuple[Array, Array]:
        """Return mean and standard deviation of the logarithm of the rate at points, each of shape (m,)."""
        x = self.prior.check(points)
        root = self._root(x)
        return self.level + self._basis(x) @ self.weights, np.sqrt(np.sum(root**2, axis=1))

    def mean(self, points: ArrayLike) -> Array:
        """Return the mean of the rate at points, shape (m,)."""
        centre, width = self.log_rate(points)
        return np.asarray(np.exp(centre + 0.5 * width**2))

    def covariance(self, points: ArrayLike) -> Array:
        """Return the covariance of the rate at points, shape (m, m): that of log-normal numbers."""
        root = self._root(self.prior.check(points))
        mean = self.mean(points)
        return np.asarray(np.outer(mean, mean) * np.expm1(root @ root.T))

    def draws(self, points: ArrayLike, number: int, rng: np.random.Generator) -> Array:
        """Return rates drawn from the posterior, at points, shape (number, m)."""
        x = self.prior.check(points)
        root = self._root(x)
        # the symmetric root does not know which points the columns belong to, so draws move little where the fit does
        sizes, directions = np.linalg.eigh(root @ root.T)
        symmetric = (directions * np.sqrt(np.maximum(sizes, 0.0))) @ directions.T
        moved = rng.standard_normal((number, len(x))) @ symmetric
        return np.asarray(np.exp(self.level + self._basis(x) @ self.weights + moved))

    def state(self) -> dict[str, Any]:
        """Return the posterior as plain values."""
        names = ("level", "weights", "precision", "at_bound", "log_evidence")
        return {"prior": self.prior.state(), **{name: getattr(self, name) for name in names}}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> LogPosterior:
        """Restore a posterior from :meth:`state`."""
        return cls(**{**state, "prior": Prior.from_state(state["prior"])})

    def _basis(self, x: Array) -> Array:
        return np.column_stack([self.prior.basis(x), np.full(len(x), _LEVEL)])

    def _root(self, x: Array) -> Array:
        """Return a root of the covariance of the logarithm, shape (m, r)."""
        from scipy.linalg import solve_triangular

        basis = self._basis(x)
        own = solve_triangular(self._lower, basis.T, lower=True, check_finite=False).T
        return np.hstack([own, self.prior.beyond(x, basis[:, :-1])])

    @cached_property
    def _lower(self) -> Array:
        return np.asarray(np.linalg.cholesky(self.precision))


@dataclass(frozen=True, eq=False)
class _Search:
    """The evidence of counts as a function of the logarithms of the length scales and of the amplitude."""

    settings: LogGaussianProcess
    points: Array
    yields: Array
    sizes: Array
    event: float
    """The squared weights over the weights: what one event counts."""

    @cached_property
    def range(self) -> Array:
        """Of the points along each axis, shape (d,)."""
        return np.asarray(np.ptp(self.points, axis=0))

    @cached_property
    def steps(self) -> Array:
        """Differences of the points along each axis, in units of their range, shape (d, n, n)."""
        x = (self.points / self.range).T
        return np.asarray(x[:, :, None] - x[:, None, :])

    @cached_property
    def pairs(self) -> list[tuple[int, int]]:
        """Which elements of the metric besides the diagonal are free."""
        d = len(self.range)
        return [(i, j) for i in range(d) for j in range(i + 1, d)] if self.settings.oblique else []

    @property
    def level(self) -> float:
        """The logarithm of the mean rate."""
        return float(np.log(self.yields.sum() / self.sizes.sum()))

    @cached_property
    def limits(self) -> Array:
        """Lowest and highest parameters: log scales in units of the range, what leans, log amplitude."""
        scales = np.log(np.outer(self.settings.bounds, np.ones(len(self.range))))
        leans = np.outer((-1.0, 1.0), np.full(len(self.pairs), 1.0 / self.settings.bounds[0]))
        return np.hstack([scales, leans, np.log(_AMPLITUDES)[:, None]])

    @cached_property
    def middle(self) -> Array:
        """The first place to search from."""
        start = np.zeros(self.limits.shape[1])
        start[: len(self.range)] = np.log(_START)
        return np.clip(start, *self.limits)

    def _metric(self, theta: Array) -> Array:
        """Return the matrix of the distances, for points in units of their range."""
        d = len(self.range)
        metric = np.diag(np.exp(-theta[:d]))
        for (i, j), lean in zip(self.pairs, theta[d:-1], strict=True):
            metric[i, j] = lean
        return metric

    def _correlation(self, theta: Array) -> tuple[Array, Array, Array]:
        """Return the moved differences, the correlation and its slope."""
        moved = np.tensordot(self._metric(theta), self.steps, 1)
        return moved, *self.settings.kernel(np.sum(moved**2, axis=0))

    def _mode(self, basis: Array) -> tuple[Array, Array, Array]:
        """Return the most probable weights, the rates of the bins in events, and the precision there.

        Newton's steps, none of them larger than a factor e**2 in a rate.
        """
        from scipy.linalg import cho_solve

        weights = np.zeros(basis.shape[1])
        rate = precision = np.empty(0)
        for _ in range(_STEPS):
            rate = self.sizes * np.exp(self.level + basis @ weights) / self.event
            root = np.sqrt(rate)[:, None] * basis
            precision = np.eye(len(weights)) + root.T @ root
            lower = np.linalg.cholesky(precision), True
            step = cho_solve(lower, basis.T @ (self.yields / self.event - rate) - weights, check_finite=False)
            largest = float(np.abs(basis @ step).max())
            weights = weights + step * min(1.0, _LARGEST_STEP / max(largest, 1e-300))
            if largest < 1e-9:
                return weights, rate, precision
        raise FitError(
            f"the most probable rates of {len(self.yields)} bins were not found in {_STEPS} steps; is there a part of "
            "the box without any events? Leave it out"
        )

    def loss(self, theta: Array) -> tuple[float, Array]:
        """Return minus the evidence and its gradient (algorithm 5.1)."""
        from scipy.linalg import solve_triangular

        moved, k, slope = self._correlation(theta)
        amplitude = float(np.exp(theta[-1]))
        basis = np.column_stack([amplitude * pivoted(k)[0], np.full(len(k), _LEVEL)])
        weights, rate, precision = self._mode(basis)
        lower = np.asarray(np.linalg.cholesky(precision))
        value = self._evidence(basis, weights, rate, lower)
        residual = self.yields / self.event - rate
        half = solve_triangular(lower, basis.T, lower=True, check_finite=False)
        left = half.T @ half
        # R = (1/rate + K)^-1, of which the trace with dK is needed, and what moves the mode
        pull = np.outer(residual, residual) - np.diag(rate) + rate[:, None] * left * rate
        shift = -0.5 * left.diagonal() * rate
        # (1 - R K) shift, with K = B B'
        felt = shift - rate * (left @ shift)
        both = 0.5 * pull + np.outer(residual, felt)
        grown = amplitude**2 * slope * both
        metric = self._metric(theta)
        scales = [metric[i, i] * np.vdot(moved[i] * grown, self.steps[i]) for i in range(len(metric))]
        leans = [-np.vdot(moved[i] * grown, self.steps[j]) for i, j in self.pairs]
        own = 2.0 * amplitude**2 * np.vdot(k, both)
        return -value, -np.array([*scales, *leans, own])

    def _evidence(self, basis: Array, weights: Array, rate: Array, lower: Array) -> float:
        logarithm = self.level + basis @ weights
        determinant = 2.0 * float(np.log(lower.diagonal()).sum())
        return float(self.yields @ logarithm / self.event - rate.sum() - 0.5 * weights @ weights - 0.5 * determinant)

    def posterior(self, theta: Array) -> LogPosterior:
        """Return the posterior at some parameters."""
        _, k, _ = self._correlation(theta)
        metric = self._metric(theta) / self.range
        prior = Prior.of(self.settings.kernel, metric, float(np.exp(theta[-1])), self.points, k)
        basis = np.column_stack([prior.basis(self.points), np.full(len(k), _LEVEL)])
        weights, rate, precision = self._mode(basis)
        stopped = (theta - self.limits[0] < _EDGE)[: len(self.range)]
        value = self._evidence(basis, weights, rate, np.asarray(np.linalg.cholesky(precision)))
        return LogPosterior(prior, self.level, weights, precision, stopped, value)


def _maximum(task: tuple[_Search, list[Array]]) -> Result:
    search, starts = task
    low, high = search.limits
    return {"theta": lowest(search.loss, starts, (low, high), tolerance=1e-10)}
