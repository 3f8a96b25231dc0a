"""Minimise: the best fit of a likelihood, freely and along the signal strength."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..errors import FitError
from .likelihood import Likelihood

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["Point", "Profile", "minimise"]

_FISHER_STEPS = 10
_STEPS = 40
_DISTANCE = 1e-9
_NOISE = 1e-6


@dataclass(frozen=True, eq=False)
class Point:
    """A minimum: the parameters and the value there."""

    parameters: Array
    value: float


def minimise(likelihood: Likelihood, start: Array, held: Mapping[int, float] | None = None) -> Point:
    """Return the minimum over the parameters that are neither constant nor held.

    Newton steps, with the Fisher information and later with the second derivatives, until the estimated distance to the
    minimum is below 1e-9; where they do not get there, MIGRAD with the analytic gradient. Bounds hold for free factors
    other than the signal strength (a constraint is bound enough): a parameter at its bound stays there as long as the
    likelihood falls beyond it.

    Raises
    ------
    FitError
        If MIGRAD does not converge either.
    """
    held = held or {}
    full = start.copy()
    full[list(held)] = list(held.values())
    free = np.flatnonzero(~likelihood.fixed & ~np.isin(np.arange(len(full)), list(held)))
    return _newton(likelihood, full, free) or migrad(likelihood, full, free)


def _newton(likelihood: Likelihood, start: Array, free: NDArray[np.int64]) -> Point | None:
    """Return the minimum, or None if the steps do not reach it."""
    lower, upper = likelihood.reach
    start = np.clip(start, lower, upper)
    here = Point(start, likelihood(start))
    for number in range(_STEPS):
        slope, curvature = likelihood.local(here.parameters)
        if number >= _FISHER_STEPS:
            curvature = likelihood.hessian(here.parameters)
        moving = free[~likelihood.stopped(here.parameters, slope)[free]]
        try:
            step = np.asarray(np.linalg.solve(curvature[np.ix_(moving, moving)], slope[moving]), np.float64)
        except np.linalg.LinAlgError:
            return None
        expected = float(slope[moving] @ step)
        if 0.0 <= expected < 2.0 * _DISTANCE:
            return here
        further = _downhill(likelihood, here, moving, step, slope)
        if further is None:
            return here if 0.0 <= expected < _NOISE else None
        here = further
    return None


def _downhill(
    likelihood: Likelihood, here: Point, moving: NDArray[np.int64], step: Array, slope: Array
) -> Point | None:
    """Return a point along the step, cut off at the bounds, that is lower by some of what is expected, or None."""
    lower, upper = likelihood.reach
    length = 1.0
    while length > 1e-6:
        parameters = here.parameters.copy()
        parameters[moving] -= length * step
        parameters = np.clip(parameters, lower, upper)
        value = likelihood(parameters)
        expected = float(slope[moving] @ (here.parameters - parameters)[moving])
        if expected > 0.0 and value <= here.value - 0.1 * expected:
            return Point(parameters, value)
        length /= 2.0
    return None


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
