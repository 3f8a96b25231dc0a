"""Gaussian processes: smooth functions through binned counts, with what they do not know where bins are missing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..errors import ConfigError, DataError, FitError
from .evidence import (
    Evidence,
    Matern,
    Solved,
    SquaredExponential,
    check_search,
    kernel_from_state,
    kernel_state,
    pivoted,
)
from .prior import Prior

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[np.float64]
    Flags = NDArray[np.bool_]
    Index = NDArray[np.int64]
    _Best = Callable[[Array, Sequence[Array]], "Posterior"]

__all__ = ["GaussianProcess", "Matern", "Posterior", "SquaredExponential", "poisson_variance"]

_AMPLITUDES = (0.1, 10.0)
_START = 0.5
_EDGE = 1e-3
_ROUNDS = 30
_SAME = 1e-3


@dataclass(frozen=True)
class GaussianProcess:
    """Regression of binned counts: the smooth functions that they allow, each as likely as the prior and the data say.

    On targets standardised to ``z = (y - mean) / std``, the prior is ``z(x) ~ GP(0, a**2 k(r))`` with
    ``r**2 = sum_i (x_i - x_i')**2 / l_i**2``, the noise of each point is Gaussian with its variance, and the length
    scales ``l`` maximise ``log p(z) = -z' C**-1 z / 2 - log |C| / 2 - n log(2 pi) / 2``, ``C = a**2 K + diag(v)``.

    The variance of a count is its expectation, which is not known. The observed count in its place gives bins that
    fluctuated down more weight, and the fit comes out about one event per bin too low at any number of events;
    an expected variance, smoothed by the process itself until nothing changes, has no such bias.

    **Assumes** a function that is smooth over a length scale, the same everywhere along an axis, and counts so large
    that their noise is nearly Gaussian.

    **Fails when** a structure is narrower than the gap it shall be interpolated over, or far from the data, where the
    answer returns to the mean of the targets.

    Attributes
    ----------
    kernel
        The form of the correlation.
    bounds
        Lowest and highest length scale, in units of the points' range along each axis.
    restarts
        Searches from random places besides the one from the middle; the best of all is kept.
    noise
        ``expected``: the variances are smoothed as above. ``observed``: they are taken as they are given, as the paper
        does, which is also right for targets that are no counts.
    fit_amplitude
        Whether the prior's amplitude a is fitted as well (0.1 to 10) instead of being 1.
    scale_errors
        Whether the errors of what is fitted enter the covariance, to first order: the mean moves with each length
        scale. Without them the covariance is that of known length scales, as in the paper, which is too small where
        counts are few.

    References
    ----------
    Rasmussen and Williams, Gaussian Processes for Machine Learning (2006), sections 2.2, 5.4.1; 000, section 13.1.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> x = np.linspace(0.0, 1.0, 41)[:, None]
    >>> counts = rng.poisson(400.0 * np.exp(-x[:, 0])).astype(float)
    >>> seen = np.abs(x[:, 0] - 0.5) > 0.1
    >>> found = GaussianProcess().fit(x[seen], counts[seen], poisson_variance(counts[seen]), rng=rng)
    >>> hidden = np.array([[0.5]])
    >>> truth, error = 400.0 * np.exp(-0.5), np.sqrt(found.covariance(hidden)[0, 0])
    >>> bool(abs(found.mean(hidden)[0] - truth) < 2.0 * error), bool(error < 10.0)
    (True, True)
    """

    kernel: SquaredExponential | Matern = SquaredExponential()
    bounds: tuple[float, float] = (0.05, 20.0)
    restarts: int = 2
    noise: Literal["expected", "observed"] = "expected"
    fit_amplitude: bool = False
    scale_errors: bool = True

    def __post_init__(self) -> None:
        check_search(self.bounds, self.restarts)
        if self.noise not in ("expected", "observed"):
            raise ConfigError(f"noise must be 'expected' or 'observed', not '{self.noise}'")

    def fit(self, points: ArrayLike, targets: ArrayLike, variance: ArrayLike, *, rng: np.random.Generator) -> Posterior:
        """Fit the length scales.

        Parameters
        ----------
        points
            Where the targets are known, shape (n, d), in any units.
        targets
            The known values, shape (n,).
        variance
            Their variances, shape (n,), all positive: :func:`poisson_variance` of counts.
        rng
            Places the restarts.

        Raises
        ------
        DataError
            If there are too few points, numbers that are not finite, variances that are not positive, targets that are
            all the same, or points that have no range along an axis.
        FitError
            If the expected variances do not settle.
        """
        x, y, v = _checked(points, targets, variance)
        low, high = self._limits(x)
        middle = np.clip(np.log([*(_START * np.ptp(x, axis=0)), 1.0]), low, high)
        starts = [middle, *rng.uniform(low, high, (self.restarts, len(low)))]
        evidence = Evidence(self.kernel, x, (y - y.mean()) / y.std())

        def best(variance: Array, starts: Sequence[Array]) -> Posterior:
            theta = evidence.maximum(variance / y.std() ** 2, starts, (low, high))
            stopped = (low < high) & (np.minimum(theta - low, high - theta) < _EDGE)
            scales, amplitude, rows = np.exp(theta[:-1]), float(np.exp(theta[-1])), evidence.rows(theta)
            known = np.zeros((len(theta), 0))
            return Posterior(self.kernel, scales, amplitude, x, y, variance, stopped, rows, known)

        found = best(v, starts) if self.noise == "observed" else _settled(best, v, starts)
        if not self.scale_errors:
            return found
        return replace(found, errors=evidence.errors(found.theta, found.variance / y.std() ** 2, low < high))

    def fit_counts(
        self,
        points: ArrayLike,
        yields: ArrayLike,
        sumw2: ArrayLike | None = None,
        sizes: ArrayLike | None = None,
        *,
        rng: np.random.Generator,
    ) -> Posterior:
        """Fit the yields of bins with their Poisson variances, per relative size of the bin; see `fit`.

        Parameters
        ----------
        points
            The centres of the bins, shape (n, d), in any units.
        yields, sumw2
            Sums of weights and of squared weights of the bins, shape (n,); counts without the latter.
        sizes
            Of the bins, relative to the one that yields are given for, shape (n,).
        rng
            Places the restarts.
        """
        y = np.asarray(yields, np.float64)
        v = np.ones(len(y)) if sizes is None else np.asarray(sizes, np.float64)
        return self.fit(points, y / v, poisson_variance(y, sumw2) / v**2, rng=rng)

    def _limits(self, points: Array) -> tuple[Array, Array]:
        """Return the lowest and the highest logarithms of length scales and amplitude, shape (d + 1,)."""
        spans, amplitudes = np.ptp(points, axis=0), _AMPLITUDES if self.fit_amplitude else (1.0, 1.0)
        low, high = (np.log([*(bound * spans), a]) for bound, a in zip(self.bounds, amplitudes, strict=True))
        return low, high


@dataclass(frozen=True, eq=False)
class Posterior:
    """The functions that a prior and data leave: their mean, covariance and draws, in the units of the targets.

    The prior's correlation is kept as ``K = B B'`` to rounding, from a Cholesky decomposition that picks its rows, with
    as many columns as it needs (some tens for smooth functions). The covariance is a square R R' by construction: it
    is symmetric and nowhere negative, and draws ``mean + R z`` need no jitter.

    Attributes
    ----------
    kernel
        The form of the correlation.
    length_scales
        One for each axis, shape (d,), in the units of the points.
    amplitude
        Of the prior, on standardised targets.
    points, targets, variance
        What was fitted; the variances as they were used.
    at_bound
        Which length scales stopped at a bound, and last, whether the amplitude did, shape (d + 1,).
    support
        The points that B is made from, shape (r,).
    errors
        Independent moves of the logarithms of length scales and amplitude by one standard error, shape (d + 1, q).
    """

    kernel: SquaredExponential | Matern
    length_scales: Array
    amplitude: float
    points: Array
    targets: Array
    variance: Array
    at_bound: Flags
    support: Index
    errors: Array

    @property
    def theta(self) -> Array:
        """Logarithms of the length scales and of the amplitude, shape (d + 1,)."""
        return np.log([*self.length_scales, self.amplitude])

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a user should know: length scales that the bounds, not the data, decided."""
        names = [f"length scale {value:.4g} of axis {i}" for i, value in enumerate(self.length_scales)]
        names.append(f"amplitude {self.amplitude:.4g}")
        why = "stopped at a bound, which decides it in place of the targets; widen the bounds, or leave a flat axis out"
        return tuple(f"the {name} {why}" for name, stopped in zip(names, self.at_bound, strict=True) if stopped)

    def mean(self, points: ArrayLike) -> Array:
        """Return the mean of the functions at points, shape (m,)."""
        known = self.amplitude**2 * self._prior.correlation(self._prior.check(points), self.points)
        return np.asarray(self._centre + self._spread * (known @ self._pulls))

    def covariance(self, points: ArrayLike) -> Array:
        """Return the covariance of the functions at points, without the noise of counts there, shape (m, m)."""
        root = self._root(self._prior.check(points))
        return np.asarray(root @ root.T)

    def draws(self, points: ArrayLike, number: int, rng: np.random.Generator) -> Array:
        """Return functions drawn from the posterior, at points, shape (number, m)."""
        at = self._prior.check(points)
        root = self._root(at)
        return self.mean(at) + rng.standard_normal((root.shape[1], number)).T @ root.T

    def expecting(self, observed: Array) -> Posterior:
        """Return the same process with its variances expected: the observed ones, smoothed by itself until they settle.

        None is below the smallest that was observed.

        Raises
        ------
        FitError
            If they do not settle.
        """
        one = self
        for _ in range(_ROUNDS):
            variance = np.maximum(one._smoothed(observed), observed.min())
            if np.all(np.abs(variance - one.variance) <= _SAME * one.variance):
                return one
            one = replace(one, variance=variance)
        raise _unsettled(len(observed))

    def _smoothed(self, values: Array) -> Array:
        """Return the mean that the process, with its noise, has for other values at the fitted points."""
        solved = self._solved
        return np.asarray(values - solved.noise * solved.solve(values - values.mean()))

    @cached_property
    def log_marginal(self) -> float:
        """Logarithm of the marginal likelihood of the standardised targets."""
        return self._solved.log_marginal(self._standard)

    def state(self) -> dict[str, Any]:
        """Return the posterior as plain values."""
        names = ("length_scales", "points", "targets", "variance", "at_bound", "support", "errors")
        return {
            "smoothness": kernel_state(self.kernel),
            "amplitude": self.amplitude,
            **{name: getattr(self, name) for name in names},
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Posterior:
        """Restore a posterior from :meth:`state`."""
        rest = dict(state)
        return cls(kernel=kernel_from_state(rest.pop("smoothness")), **rest)

    @cached_property
    def _centre(self) -> float:
        return float(self.targets.mean())

    @cached_property
    def _spread(self) -> float:
        return float(self.targets.std())

    @property
    def _standard(self) -> Array:
        return np.asarray((self.targets - self._centre) / self._spread)

    @cached_property
    def _solved(self) -> Solved:
        return Solved(self._prior.basis(self.points), self.variance / self._spread**2)

    @cached_property
    def _pulls(self) -> Array:
        return self._solved.solve(self._standard)

    @cached_property
    def _prior(self) -> Prior:
        return Prior(self.kernel, np.diag(1.0 / self.length_scales), self.amplitude, self.points[self.support])

    def _root(self, points: Array) -> Array:
        """Return a root of the covariance: what the data left, what they never reach, and the errors of the scales."""
        basis = self._prior.basis(points)
        left = [self._solved.whitened(basis), self._prior.beyond(points, basis)]
        moves = [(up.mean(points) - down.mean(points)) / 2.0 for up, down in self._moved]
        return np.hstack([self._spread * np.hstack(left), *(move[:, None] for move in moves)])

    @cached_property
    def _moved(self) -> tuple[tuple[Posterior, Posterior], ...]:
        """The same process with length scales and amplitude one standard error up and down."""
        return tuple((self._at_theta(self.theta + move), self._at_theta(self.theta - move)) for move in self.errors.T)

    def _at_theta(self, theta: Array) -> Posterior:
        moved = replace(self, length_scales=np.exp(theta[:-1]), amplitude=float(np.exp(theta[-1])))
        return replace(moved, support=pivoted(moved._prior.correlation(self.points, self.points))[1])


def poisson_variance(counts: ArrayLike, sumw2: ArrayLike | None = None) -> Array:
    """Return the variances of binned counts: the sums of squared weights, and of empty bins at least one event.

    One event of a weighted sample has the squared weight ``sum w**2 / number``, which the caller's bins do not tell; an
    empty bin gets ``(sum of all w**2 / sum of all w)**2``, the square of the weight of a typical event, and a bin
    with less gets no less.

    Parameters
    ----------
    counts
        Sums of weights of the bins.
    sumw2
        Sums of squared weights; the counts themselves where events have no weights.

    Examples
    --------
    >>> poisson_variance([0.0, 3.0, 20.0]).tolist()
    [1.0, 3.0, 20.0]
    >>> poisson_variance([0.0, 1.5], [0.0, 0.75]).tolist()
    [0.25, 0.75]
    """
    n = np.asarray(counts, np.float64)
    if sumw2 is None:
        _natural(n, "counts")
        return np.asarray(np.maximum(n, 1.0))
    squares = np.asarray(sumw2, np.float64)
    _natural(squares, "sums of squared weights")
    if not n.sum() > 0.0:
        raise DataError(
            f"the sums of weights add up to {n.sum():g}; they must be positive to say what one event weighs"
        )
    return np.asarray(np.maximum(squares, (squares.sum() / n.sum()) ** 2))


def _settled(
    best: Callable[[Array, Sequence[Array]], Posterior], observed: Array, starts: Sequence[Array]
) -> Posterior:
    """Return the posterior whose length scales no longer change with the variances that it expects."""
    found = best(np.full(len(observed), observed.mean()), starts)
    for _ in range(_ROUNDS):
        better = best(found.expecting(observed).variance, [found.theta])
        if np.abs(better.theta - found.theta).max() < _SAME:
            return better
        found = better
    raise _unsettled(len(observed))


def _unsettled(points: int) -> FitError:
    return FitError(
        f"the expected variances of {points} points still changed after {_ROUNDS} rounds; use wider bins, or "
        "noise='observed'"
    )


def _natural(values: Array, what: str) -> None:
    bad = ~(np.isfinite(values) & (values >= 0.0))
    if bad.any():
        raise DataError(
            f"{int(bad.sum())} of {values.size} {what} are negative or not finite, the first is {values[bad][0]:g}; "
            "a signed sample needs its sums of squared weights as well"
        )


def _checked(points: ArrayLike, targets: ArrayLike, variance: ArrayLike) -> tuple[Array, Array, Array]:
    """Return points, targets and variances as arrays that can be fitted."""
    x, y, v = (np.asarray(one, np.float64) for one in (points, targets, variance))
    if x.ndim != 2 or y.shape != (len(x),) or v.shape != (len(x),):
        raise DataError(
            f"points (n, d), targets (n,) and variances (n,) do not fit together: {x.shape}, {y.shape}, {v.shape}"
        )
    for values, what in ((x, "coordinates of points"), (y, "targets"), (v, "variances")):
        bad = ~np.isfinite(values)
        if bad.any():
            raise DataError(f"{int(bad.sum())} of {bad.size} {what} are NaN or infinite; leave these points out")
    if len(x) <= 2 * x.shape[1]:
        raise DataError(f"{len(x)} points are too few for {x.shape[1]} axes; at least {2 * x.shape[1] + 1} are needed")
    if not (v > 0.0).all():
        raise DataError(
            f"{int((v <= 0.0).sum())} of {len(v)} variances are not positive, the first is {v[v <= 0.0][0]:g}; "
            "use poisson_variance(counts), where empty bins have one"
        )
    if np.ptp(y) == 0.0:
        raise DataError(f"all {len(y)} targets are {y[0]:g}; there is nothing to fit a length scale to")
    if flat := np.flatnonzero(np.ptp(x, axis=0) == 0.0).tolist():
        raise DataError(f"all points have one coordinate along axis {flat[0]}; leave that axis out")
    return x, y, v
