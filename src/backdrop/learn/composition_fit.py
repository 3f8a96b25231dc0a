"""Compositions of real and fake leptons: a Poisson likelihood of tight and loose counts, no composition below zero."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from ..errors import FitError
from .efficiencies import Efficiencies
from .loglinear import crossing, deviance
from .mixture import Mixture
from .patterns import Bin

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["Compositions", "Point"]

_FIRST_STEPS = 30
_STEPS = 200
_DISTANCE = 1e-9
_FIRST = 0.1
_CENTRING = 0.1
_FASTER = 1.5
_SPREAD = 1e8
_SHORT_OF = 0.995
_SHORTEST = 1e-6
_STIFFNESS = 0.3
_LIFT = 0.5
_LEAST = 1e-6
_RIDGE = 1e-13


@dataclass(frozen=True, eq=False)
class Point:
    """Parameters: the yield of each composition in each bin, and the nuisances of the efficiencies.

    Attributes
    ----------
    yields
        One array of shape (compositions,) for each bin.
    theta
        The nuisances, shape (nuisances,).
    """

    yields: tuple[Array, ...]
    theta: Array


@dataclass(frozen=True, eq=False)
class Compositions:
    """Counts of tight and loose patterns, ``n_bt / s_b ~ Poisson((sum_c nu_bc P_b(t | c) + p_bt) / s_b)``.

    ``nu >= 0`` are the expected events of each composition, tight or not; ``P_b(t | c)`` follows from the efficiencies,
    whose nuisances all bins share and a unit Gaussian constrains; ``p`` are known other processes.

    Attributes
    ----------
    bins
        The bins, of any number of leptons each.
    efficiencies
        The efficiencies and their nuisances.
    centre
        What the constraints measure the nuisances to be, shape (nuisances,); zero if not given.

    References
    ----------
    arXiv:2211.16178, section 2.4; scaled counts: arXiv:1309.1287.
    """

    bins: tuple[Bin, ...]
    efficiencies: Efficiencies
    centre: Array | None = None

    def wanted(self, point: Point) -> Array:
        """Return the wanted yield of each bin, shape (bins,)."""
        parts = zip(self.bins, point.yields, self.chances(point.theta), strict=True)
        return np.array([float(nu @ one.want(chance)) for one, nu, chance in parts])

    def chances(self, theta: Array) -> list[Array]:
        """Return the chance of each pattern for each composition, in each bin."""
        key = theta.tobytes()
        if key not in self._last:
            values = self.efficiencies(theta)
            self._last.clear()
            self._last[key] = [one.chances(values) for one in self.bins]
        return self._last[key]

    @cached_property
    def _last(self) -> dict[bytes, list[Array]]:
        return {}

    def value(self, point: Point) -> float:
        """Return the negative logarithm of the likelihood, relative to rates that equal the counts."""
        parts = zip(self.bins, point.yields, self.chances(point.theta), strict=True)
        total = sum(deviance(one.counts, nu @ chance + one.others) / one.scale for one, nu, chance in parts)
        return float(total) + float(((point.theta - self._centre) ** 2).sum()) / 2.0

    @property
    def _centre(self) -> Array:
        return np.zeros(self.efficiencies.size) if self.centre is None else self.centre

    @cached_property
    def start(self) -> Point:
        """A point of positive yields near the maximum: some steps of expectation maximisation."""
        pairs = zip(self.bins, self.chances(self._centre), strict=True)
        return Point(tuple(one.spread(chance, _FIRST_STEPS) for one, chance in pairs), self._centre)

    @cached_property
    def best(self) -> Point:
        """The maximum.

        Raises
        ------
        FitError
            If the search does not end.
        """
        return self._search(self.start, None)

    def moved(self, place: int, sign: float) -> Array:
        """Return the wanted yields of the maximum where a nuisance is measured one unit up or down, shape (bins,)."""
        shift = sign * (np.arange(self.efficiencies.size) == place)
        other = replace(self, centre=self._centre + shift)
        least = [_LEAST * max(float(nu.sum()), one.scale) for nu, one in zip(self.best.yields, self.bins, strict=True)]
        near = tuple(np.maximum(nu, small) for nu, small in zip(self.best.yields, least, strict=True))
        return other.wanted(other._search(Point(near, self.best.theta + shift), None))

    def mixture(self, place: int) -> Mixture:
        """Return one bin with the efficiencies of the maximum, for its counts alone."""
        one, chance = self.bins[place], self.chances(self.best.theta)[place]
        return Mixture(chance, one.want(chance), one.others, one.scale)

    def interval(self, weights: Array, rise: float = 0.5) -> tuple[Array, Array]:
        """Return the wanted yields where the profile likelihood of their weighted sum has risen, up and down.

        Where the likelihood does not rise that much before the yields end at zero, they are those of the end.

        Parameters
        ----------
        weights
            Weights of the sum, shape (bins,).
        rise
            Of the negative logarithm of the likelihood.
        """
        least, centre = self.value(self.best), float(weights @ self.wanted(self.best))
        error = self._error(weights) * np.sqrt(2.0 * rise)

        def side(sign: float) -> Array:
            def found(steps: float) -> tuple[float, Array]:
                pull = _Pull(weights, centre + sign * steps * error, _STIFFNESS * error)
                point = self._search(self.start, pull)
                return (self.value(point) - least) / (2.0 * rise) - 0.5, self.wanted(point)

            return crossing(found)

        return side(1.0), side(-1.0)

    def _error(self, weights: Array) -> float:
        """Return about the standard deviation of a weighted sum, with half an event where none was seen."""
        lifted = replace(self, bins=tuple(one.lifted(_LIFT) for one in self.bins))
        local = lifted._local(lifted.start, _Pull(weights, 0.0, 1.0), expected=True)
        slopes, turns = local.pull_slopes or [], local.pull_theta
        pairs = zip(lifted.bins, lifted.start.yields, strict=True)
        walls = [_LIFT / np.maximum(nu, _LIFT * one.scale) ** 2 for one, nu in pairs]
        steps, turn = replace(local, pull_slopes=None).step(slopes, turns, walls)
        return float(np.sqrt(_sum(slopes, steps) + float(turns @ turn)))

    # ---- the search --------------------------------------------------------------------------------------------------

    def _search(self, start: Point, pull: _Pull | None) -> Point:
        """Return the minimum by a primal-dual interior point method: compositions stay positive, down to nothing."""
        here, duals = start, [_FIRST / nu for nu in start.yields]
        for _ in range(_STEPS):
            products = np.concatenate([nu * z for nu, z in zip(here.yields, duals, strict=True)])
            mean = float(products.mean())
            barrier = min(_CENTRING * mean, mean**_FASTER)
            local = self._local(here, pull)
            slopes = [s - barrier / nu for s, nu in zip(local.slopes, here.yields, strict=True)]
            walls = [z / nu for z, nu in zip(duals, here.yields, strict=True)]
            steps, turn = local.step(slopes, local.theta, walls)
            gain = _sum(slopes, steps) + float(local.theta @ turn)
            if gain < _DISTANCE and float(products.sum()) < _DISTANCE:
                return here
            further = self._downhill(here, barrier, gain, steps, turn, pull)
            moved = zip(duals, here.yields, steps, strict=True)
            changes = [barrier / nu - z + z / nu * d for z, nu, d in moved]
            length = min(1.0, *(_reach(z, -change) for z, change in zip(duals, changes, strict=True)))
            duals = [z + length * change for z, change in zip(duals, changes, strict=True)]
            here = further
            duals = [
                np.clip(z, barrier / (_SPREAD * nu), _SPREAD * barrier / nu)
                for z, nu in zip(duals, here.yields, strict=True)
            ]
        raise FitError(
            f"the fit of {len(self.bins)} bins of tight and loose counts did not end within {_STEPS} steps; merge bins"
        )

    def _downhill(
        self, here: Point, barrier: float, gain: float, steps: Sequence[Array], turn: Array, pull: _Pull | None
    ) -> Point:
        """Return a point along the step, short of zero, that is lower by some of what is expected."""

        def height(point: Point) -> float:
            return self._pulled(point, pull) - barrier * sum(float(np.log(nu).sum()) for nu in point.yields)

        length = min(1.0, 3.0 / max(float(np.abs(turn).max(initial=0.0)), 1e-300))
        length = min(length, *(_reach(nu, d) for nu, d in zip(here.yields, steps, strict=True)))
        value = height(here)
        while True:
            yields = tuple(nu - length * d for nu, d in zip(here.yields, steps, strict=True))
            trial = Point(yields, here.theta - length * turn)
            # rounding hides what is left to gain of a short step
            if length < _SHORTEST or height(trial) <= value - 1e-4 * length * gain + 1e-12 * abs(value):
                return trial
            length /= 2.0

    def _pulled(self, point: Point, pull: _Pull | None) -> float:
        more = 0.0 if pull is None else pull.value(self.wanted(point))
        return self.value(point) + more

    def _local(self, point: Point, pull: _Pull | None, expected: bool = False) -> _Local:
        """Return slopes and curvatures of the value; `expected` ones are those of the expected counts."""
        values, turns = self.efficiencies(point.theta), self.efficiencies.slopes(point.theta)
        parts = [
            one.local(nu, chance, one.turned(values, turns), expected)
            for one, nu, chance in zip(self.bins, point.yields, self.chances(point.theta), strict=True)
        ]
        theta = point.theta - self._centre + sum((part.theta for part in parts), np.zeros(len(point.theta)))
        corner = np.eye(len(theta)) + sum((part.corner for part in parts), np.zeros((len(theta),) * 2))
        slopes = [part.slope for part in parts]
        local = _Local(slopes, theta, [part.block for part in parts], [part.border for part in parts], corner)
        if pull is None:
            return local
        wanted = np.array([part.wanted for part in parts])
        pull_slopes = [w * part.wanted_slope for w, part in zip(pull.weights, parts, strict=True)]
        pull_theta = sum((w * part.wanted_theta for w, part in zip(pull.weights, parts, strict=True)), 0.0 * theta)
        distance = pull.distance(wanted)
        return replace(
            local,
            slopes=[a + distance * b for a, b in zip(slopes, pull_slopes, strict=True)],
            theta=theta + distance * pull_theta,
            pull_slopes=pull_slopes,
            pull_theta=pull_theta,
            stiffness=pull.error**2,
        )


@dataclass(frozen=True, eq=False)
class _Pull:
    """A Gaussian measurement of a weighted sum of wanted yields."""

    weights: Array
    centre: float
    error: float

    def value(self, wanted: Array) -> float:
        return float((self.weights @ wanted - self.centre) / self.error) ** 2 / 2.0

    def distance(self, wanted: Array) -> float:
        return float(self.weights @ wanted - self.centre) / self.error**2


@dataclass(frozen=True, eq=False)
class _Local:
    """Slopes and curvature: one block for each bin, a border that joins it to the nuisances, and their corner."""

    slopes: list[Array]
    theta: Array
    blocks: list[Array]
    borders: list[Array]
    corner: Array
    pull_slopes: list[Array] | None = None
    pull_theta: Array = field(default_factory=lambda: np.zeros(0))
    stiffness: float = 0.0

    def step(self, slopes: Sequence[Array], theta: Array, walls: Sequence[Array]) -> tuple[list[Array], Array]:
        """Solve for the Newton step, with walls added to the curvature of the compositions.

        The pull is one more nuisance, of negative curvature.
        """
        corner, right = self.corner, theta
        if self.pull_slopes is not None:
            corner = np.block([[corner, self.pull_theta[:, None]], [self.pull_theta[None, :], -self.stiffness]])
            right = np.append(theta, 0.0)
        solved = list(self._eliminated(slopes, walls))
        for border, inner in solved:
            corner, right = corner - border.T @ inner[:, :-1], right - border.T @ inner[:, -1]
        turn = np.asarray(np.linalg.solve(corner, right)) if len(right) else right
        steps = [inner[:, -1] - inner[:, :-1] @ turn for _, inner in solved]
        return steps, turn[: len(theta)]

    def _eliminated(self, slopes: Sequence[Array], walls: Sequence[Array]) -> Iterator[tuple[Array, Array]]:
        for i, block in enumerate(self.blocks):
            border = self.borders[i]
            if self.pull_slopes is not None:
                border = np.column_stack([border, self.pull_slopes[i]])
            # compositions of equal chances (r = f) have no curvature against one another, and walls that vanish
            ridge = _RIDGE * np.diag(block).max()
            inside, right = block + np.diag(walls[i] + ridge), np.column_stack([border, slopes[i]])
            yield border, np.asarray(np.linalg.solve(inside, right))


def _sum(first: Sequence[Array], second: Sequence[Array]) -> float:
    return sum(float(a @ b) for a, b in zip(first, second, strict=True))


def _reach(values: Array, steps: Array) -> float:
    """Return the length of the step down that leaves all values positive, if only just."""
    longest = float((steps / values).max(initial=0.0))
    return _SHORT_OF / longest if longest > _SHORT_OF else 1.0
