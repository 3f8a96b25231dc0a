"""Minimise: the best fit of a likelihood, freely and along the signal strength."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..errors import FitError
from . import _kernels
from .likelihood import Likelihood

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["Point", "Points", "Profile", "blocks", "minima", "minimise"]

_FISHER_STEPS = 10
_STEPS = 40
_SHORTEST = 1e-6
_DISTANCE = 1e-9
_NOISE = 1e-6
_MEMORY = 2**17
_COLUMNS = ("parameters", "values", "reached")


@dataclass(frozen=True, eq=False)
class Point:
    """A minimum: the parameters and the value there."""

    parameters: Array
    value: float


@dataclass(frozen=True, eq=False)
class Points:
    """The minima of many toys.

    Attributes
    ----------
    parameters
        The parameters, shape (toys, parameters).
    values
        The values there, shape (toys,).
    reached
        Where Newton steps ended at the minimum, shape (toys,).
    """

    parameters: Array
    values: Array
    reached: NDArray[np.bool_]


def minimise(likelihood: Likelihood, start: Array, held: Mapping[int, float] | None = None) -> Point:
    """Return the minimum over the parameters that are neither constant nor held.

    Newton steps (:func:`newton`), from the likelihood's own start if need be; where they do not get there, MIGRAD with
    the analytic gradient.

    Raises
    ------
    FitError
        If MIGRAD does not converge either.
    """
    held = held or {}
    full = start.copy()
    full[list(held)] = list(held.values())
    free = ~likelihood.fixed
    free[list(held)] = False
    found = _descended(likelihood, full[None], free)
    if found.reached[0]:
        return Point(found.parameters[0], float(found.values[0]))
    return migrad(likelihood, full, np.flatnonzero(free))


def minima(likelihood: Likelihood, start: Array, held: Mapping[int, Array | float] | None = None) -> Points:
    """Return the minimum of each toy of a likelihood of many, as :func:`minimise` finds it.

    Parameters
    ----------
    likelihood
        The likelihood, whose data have one row for each toy.
    start
        Where to start, shape (parameters,) or (toys, parameters).
    held
        Parameter to its value, or to its values in the toys.

    Raises
    ------
    FitError
        If a toy's fit does not converge.
    """
    held = held or {}
    full = np.broadcast_to(start, (len(likelihood.data), len(likelihood.names))).copy()
    for index, value in held.items():
        full[:, index] = value
    free = ~likelihood.fixed
    free[list(held)] = False
    found = [_descended(likelihood.toys(part), full[part], free) for part in blocks(likelihood)]
    best = Points(*(np.concatenate([getattr(one, name) for one in found]) for name in _COLUMNS))
    for toy in np.flatnonzero(~best.reached).tolist():
        point = migrad(likelihood.toys(toy), full[toy], np.flatnonzero(free))
        best.parameters[toy], best.values[toy] = point.parameters, point.value
    return best


def blocks(likelihood: Likelihood) -> list[NDArray[np.int64]]:
    """Return the toys of a likelihood of many in blocks whose derivatives fit into a processor's cache."""
    toys, size, yields = len(likelihood.data), len(likelihood.names), likelihood.yields
    cells = len(yields.bin) * (1 + (len(yields.alphas) if yields.morphs else 0))
    step = max(_MEMORY // (size * (size + cells)), 1)
    return [np.arange(first, min(first + step, toys)) for first in range(0, toys, step)]


def _descended(likelihood: Likelihood, start: Array, free: NDArray[np.bool_]) -> Points:
    """Return the ends of Newton steps; where they get nowhere, of those from the likelihood's own start."""
    found = newton(likelihood, start, free)
    lost = np.flatnonzero(~found.reached)
    if len(lost):
        again = newton(likelihood.toys(lost), np.where(free, likelihood.start, start[lost]), free)
        for name in _COLUMNS:
            getattr(found, name)[lost] = getattr(again, name)
    return found


def newton(likelihood: Likelihood, start: Array, free: NDArray[np.bool_]) -> Points:
    """Return where Newton steps over the free parameters end, toy by toy.

    The steps use the Fisher information and later the second derivatives, until the estimated distance to the minimum
    is below 1e-9; one that does not bring a tenth of what it promises is halved. Bounds hold as
    `Likelihood.limits` says: a parameter at its bound stays there as long as the likelihood falls beyond it.

    Parameters
    ----------
    likelihood
        The likelihood of one data set, or of as many as there are starts.
    start
        Where to start, shape (toys, parameters).
    free
        Which parameters move, shape (parameters,).
    """
    lower, upper = likelihood.reach
    here = np.clip(start, lower, upper)
    values, slopes, curvature = likelihood.many(here, information=True)
    reached = np.zeros(len(here), np.bool_)
    alive, length, taken = np.arange(len(here)), np.ones(len(here)), np.zeros(len(here), np.int64)
    while len(alive):
        moving = free & ~likelihood.stopped(here[alive], slopes[alive])
        steps, promised = np.empty(moving.shape), np.empty(len(alive))
        _kernels.newton_steps(curvature[alive], slopes[alive], moving, steps, promised)
        ends = (promised < 2.0 * _DISTANCE) | ((promised < _NOISE) & (length[alive] < _SHORTEST))
        if ends.any():
            reached[alive[ends]] = True
            # the last step lowers the value by nothing that can be seen, but brings the parameters closer
            here[alive[ends]] = np.clip(here[alive[ends]] - steps[ends], lower, upper)
        goes = ~ends & (promised >= 0.0) & (length[alive] >= _SHORTEST) & (taken[alive] < _STEPS)
        alive, steps = alive[goes], steps[goes]
        if not len(alive):
            break
        trial = np.clip(here[alive] - length[alive, None] * steps, lower, upper)
        found = likelihood.toys(alive).many(trial, information=True)
        fall = np.sum(slopes[alive] * (here[alive] - trial), axis=1)
        better = (fall > 0.0) & (found[0] <= values[alive] - 0.1 * fall)
        moved = alive[better]
        here[moved], values[moved], slopes[moved] = trial[better], found[0][better], found[1][better]
        curvature[moved] = found[2][better]
        taken[moved] += 1
        late = moved[taken[moved] >= _FISHER_STEPS]
        if len(late):
            curvature[late] = likelihood.toys(late).hessians(here[late])
        length[moved], length[alive[~better]] = 1.0, length[alive[~better]] / 2.0
    return Points(here, values, reached)


def migrad(likelihood: Likelihood, start: Array, free: NDArray[np.int64]) -> Point:
    """Return the minimum over the free parameters, by MIGRAD with the analytic gradient.

    Raises
    ------
    FitError
        If it does not converge.
    """
    from iminuit import Minuit

    unit = 1.0 / np.sqrt(np.maximum(np.diag(likelihood.information(start))[free], 1e-30))

    def put(values: Array) -> Array:
        whole = start.copy()
        whole[free] = start[free] + unit * values
        return whole

    minuit = Minuit(
        lambda values: likelihood(put(values)),
        np.zeros(len(free)),
        grad=lambda values: unit * likelihood.gradient(put(values))[free],
        hessian=lambda values: np.outer(unit, unit) * likelihood.information(put(values))[np.ix_(free, free)],
        name=[likelihood.names[i] for i in free],
    )
    minuit.errordef = Minuit.LIKELIHOOD
    minuit.tol = 1e-4
    limits = [likelihood.limits(int(i)) for i in free]
    minuit.limits = [
        tuple(None if edge is None else (edge - start[i]) / size for edge in pair)
        for i, size, pair in zip(free, unit, limits, strict=True)
    ]
    minuit.errors = np.ones(len(free))
    for strategy in (0, 1, 2):
        minuit.strategy = strategy
        if minuit.migrad(ncall=1000 * len(free)).valid:
            return Point(put(np.array(minuit.values)), float(minuit.fval))
    state = minuit.fmin
    raise FitError(
        f"the fit did not converge after {state.nfcn} calls: distance to the minimum {state.edm:.2g} (goal "
        f"{state.edm_goal:.2g}); parameters at a bound: {state.has_parameters_at_limit}. Look for a nuisance that "
        "shifts nothing, or bins without expectation"
    )


class Profile:
    """The likelihood along the signal strength, minimised over everything else.

    Attributes
    ----------
    likelihood, poi
        The likelihood, and the index of the signal strength in it.
    best
        The best fit with the signal strength free, within the workspace's bounds.
    """

    def __init__(self, likelihood: Likelihood, poi: int, start: Array) -> None:
        self.likelihood, self.poi = likelihood, poi
        self.points: dict[float, Point] = {}
        free = minimise(likelihood, start)
        self.points[self._strength(free)] = free
        inside = float(np.clip(self._strength(free), likelihood.lower[poi], likelihood.upper[poi]))
        self.best = self.at(inside)

    def at(self, strength: float) -> Point:
        """Return the minimum at a signal strength, searched from the nearest one known."""
        if strength not in self.points:
            nearest = self.points[min(self.points, key=lambda known: abs(known - strength))]
            self.points[strength] = minimise(self.likelihood, nearest.parameters, {self.poi: strength})
        return self.points[strength]

    def rise(self, strength: float) -> float:
        """Return twice the rise of the value from the best fit to a signal strength."""
        return max(2.0 * (self.at(strength).value - self.best.value), 0.0)

    @property
    def bounds(self) -> tuple[float, float]:
        """The bounds of the signal strength."""
        return float(self.likelihood.lower[self.poi]), float(self.likelihood.upper[self.poi])

    @property
    def strength(self) -> float:
        """The signal strength of the best fit."""
        return self._strength(self.best)

    def _strength(self, point: Point) -> float:
        return float(point.parameters[self.poi])
