"""Toys: pseudo-experiments of a workspace, and the limits, intervals and p-values that they give."""

from __future__ import annotations

import builtins
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..errors import ConfigError, FitError
from ..tasks import Map, Result, progress, stream
from .fits import Fits, bounded, fits
from .likelihood import Likelihood
from .limits import Asymptotic, capped, interval
from .minimise import Profile, minima, minimise
from .model import Model, opened

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["ToyLimit", "ToyValue", "Toys", "throw", "thrown"]

_BATCH = 200
_BANDS = (-2.0, -1.0, 0.0, 1.0, 2.0)
_ROUNDING = 1e-6
Statistic = Literal["capped", "discovery", "two-sided", "deviance"]


@dataclass(frozen=True)
class ToyValue:
    """A probability from toys, and its binomial error."""

    value: float
    error: float
    toys: int


@dataclass(frozen=True)
class ToyLimit:
    """A CLs upper limit from toys.

    Attributes
    ----------
    observed
        The limit of the data; None while a channel holds no data.
    error
        Its error from the number of toys, to first order; None with it.
    expected
        The limits of background alone: the median and the bands at -2, -1, 0, 1 and 2 standard deviations.
    strengths, cls
        The signal strengths that were tried, and CLs of the data there.
    """

    observed: float | None
    error: float | None
    expected: tuple[float, ...]
    strengths: tuple[float, ...]
    cls: tuple[float, ...]


def throw(likelihood: Likelihood, parameters: Array, rng: np.random.Generator) -> Likelihood:
    """Return the likelihood of one pseudo-experiment: data and auxiliary measurements drawn at the parameters."""
    return thrown(likelihood, parameters, [rng]).toys(0)


def thrown(likelihood: Likelihood, parameters: Array, rngs: Iterable[np.random.Generator]) -> Likelihood:
    """Return the likelihood of many pseudo-experiments, each drawn at the parameters from a stream of its own."""
    normal, poisson = likelihood.normal, likelihood.poisson
    rates = np.maximum(likelihood.yields(parameters), 0.0)
    auxiliary = np.maximum(poisson.scale * parameters[poisson.where], 0.0)
    draws = [(rng.poisson(rates), rng.standard_normal(len(normal.where)), rng.poisson(auxiliary)) for rng in rngs]
    data, normals, counts = (np.array(column, np.float64) for column in zip(*draws, strict=True))
    return replace(
        likelihood,
        data=data,
        normal=replace(normal, centre=parameters[normal.where] + normal.error * normals),
        poisson=replace(poisson, counts=counts),
    )


@dataclass(frozen=True)
class Toys:
    """Pseudo-experiments of a workspace, for where the asymptotic distributions do not hold.

    Data, constraints of nuisances and the counts behind bin factors are all drawn, at the parameters that fit the data
    best for the signal strength in question. A toy is the same for any number of processes.

    Attributes
    ----------
    workspace
        As :func:`backdrop.workspace` makes it, or a model.
    toys
        How many for each signal strength and hypothesis.
    seed
        The root of their random streams.
    poi
        The signal strength, if it is not the one that the workspace names.
    map
        Any map; see `tasks.pool` and `tasks.resumable`.

    Examples
    --------
    >>> strength = {"name": "mu", "type": "normfactor", "data": None}
    >>> samples = [
    ...     {"name": "hh", "data": [10.0], "modifiers": [strength]},
    ...     {"name": "multijet", "data": [5.0], "modifiers": []},
    ... ]
    >>> spec = {
    ...     "version": "1.0.0",
    ...     "channels": [{"name": "SR", "samples": samples}],
    ...     "observations": [{"name": "SR", "data": [5.0]}],
    ...     "measurements": [{"name": "observed-SR", "config": {"poi": "mu", "parameters": []}}],
    ... }
    >>> found = Toys(spec, toys=200, seed=1).discovery()
    >>> found.value > 0.4
    True
    """

    workspace: Mapping[str, Any] | Model
    toys: int = 1000
    seed: int = 1
    poi: str | None = None
    map: Map = builtins.map

    def __post_init__(self) -> None:
        if self.toys < 2:
            raise ConfigError(f"{self.toys} toys are no distribution; ask for hundreds")

    def limit(self, level: float = 0.95, points: int = 9) -> ToyLimit:
        """Return the CLs upper limit.

        The distributions of ``q~`` with and without signal are drawn at `points` signal strengths around the
        asymptotic limit; between them CLs is interpolated in its logarithm.

        Raises
        ------
        FitError
            If the limit is not between the signal strengths that were tried.
        """
        likelihood, index, asimov = self._read()
        profile = Profile(likelihood, index, likelihood.start)
        none = profile.at(0.0)
        reference = Profile(likelihood.asimov(none.parameters), index, none.parameters)
        error = _spread(profile, reference)
        low, *_, high = Asymptotic(profile, reference, level, error).expected()
        strengths = np.geomspace(0.6 * low, 1.6 * high, points)
        rows = []
        for point, strength in enumerate(strengths.tolist()):
            with_signal = self._draw(likelihood, profile.at(strength).parameters, "capped", strength, f"signal {point}")
            without = self._draw(likelihood, none.parameters, "capped", strength, f"background {point}")
            seen = np.array([capped(profile, strength)])
            rows.append([_cls(with_signal, without, one) for one in (seen, np.sort(without))])
        expected = tuple(
            _solve(strengths, np.array([_band(found, band) for _, found in rows]), 1.0 - level) for band in _BANDS
        )
        data = np.array([float(found[0]) for found, _ in rows])
        observed = None if asimov else _solve(strengths, data, 1.0 - level)
        slope = None if observed is None else _slope(strengths, data, observed)
        return ToyLimit(
            observed,
            None if slope is None else float(np.sqrt((1.0 - level) * level / self.toys) / slope),
            expected,
            tuple(strengths.tolist()),
            tuple(data.tolist()),
        )

    def discovery(self) -> ToyValue:
        """Return the p-value of no signal from the distribution of ``q0``.

        Raises
        ------
        FitError
            If a channel holds no data.
        """
        likelihood, index, _ = self._read(data=True)
        profile = Profile(likelihood, index, likelihood.start)
        seen = profile.rise(0.0) if profile.strength > 0.0 else 0.0
        drawn = self._draw(likelihood, profile.at(0.0).parameters, "discovery", 0.0, "discovery")
        return _tail(drawn, seen)

    def goodness(self) -> ToyValue:
        """Return the probability of a worse fit than that of the data (saturated likelihood ratio).

        Raises
        ------
        FitError
            If a channel holds no data.
        """
        likelihood, _, _ = self._read(data=True, signal=False)
        if likelihood.ndf < 1:
            raise FitError("as many free parameters as bins: every data set is described, so nothing is tested")
        best = minimise(likelihood, likelihood.start)
        return _tail(self._draw(likelihood, best.parameters, "deviance", 0.0, "goodness"), 2.0 * best.value)

    def interval(self, level: float = 0.6827) -> tuple[float, float]:
        """Return the signal strengths that the data do not reject (Feldman and Cousins, nuisances profiled).

        Strengths may be negative, as everywhere, down to where a bin's expectation would be: the tables of the
        reference, whose strengths are not, differ for a deficit.

        Raises
        ------
        FitError
            If a channel holds no data.

        References
        ----------
        Feldman and Cousins, Phys. Rev. D 57 (1998) 3873; Chuang and Lai, Statistica Sinica 10 (2000) 1.
        """
        from scipy.optimize import brentq

        likelihood, index, _ = self._read(data=True)
        profile = Profile(likelihood, index, likelihood.start)
        reach = _spread(profile, profile)
        sides = interval(profile, reach)

        def excess(strength: float) -> float:
            drawn = self._draw(likelihood, profile.at(strength).parameters, "two-sided", strength, "interval")
            return _tail(drawn, profile.rise(strength)).value - (1.0 - level)

        found = []
        for side, bound in zip(sides, profile.bounds, strict=True):
            step = side - profile.strength
            if step == 0.0:
                found.append(bound)
                continue
            far = profile.strength + 1.5 * step
            while excess(far) > 0.0 and far != bound:
                far = profile.strength + 1.5 * (far - profile.strength)
                far = max(far, bound) if step < 0.0 else min(far, bound)
            inside = profile.strength + 0.05 * step
            if excess(far) > 0.0:
                found.append(bound)
            else:
                found.append(float(brentq(excess, inside, far, xtol=1e-3 * abs(step))))
        return found[0], found[1]

    def fits(self, strength: float = 0.0) -> Fits:
        """Fit toys that are drawn at a signal strength, all other parameters where they fit the data best.

        Raises
        ------
        FitError
            If a fit does not converge.
        """
        likelihood, index, _ = self._read()
        truth = Profile(likelihood, index, likelihood.start).at(strength).parameters
        tasks = self._batches(likelihood, truth, "two-sided", strength, "fits")
        parts = list(progress(self.map, "toys: fits")(_fits, tasks))
        columns = (np.concatenate([one[name] for one in parts]) for name in ("parameters", "errors", "deviance"))
        return Fits(likelihood.names, likelihood.names[index], *columns)

    # ---- drawing ---------------------------------------------------------------------------------------------------

    def _read(self, *, data: bool = False, signal: bool = True) -> tuple[Likelihood, int, bool]:
        """Return the likelihood, the index of the signal strength and whether a channel holds no data."""
        likelihood, label = opened(self.workspace)
        likelihood = likelihood if self.poi is None else likelihood.with_poi(self.poi)
        if data and label.asimov:
            raise FitError(
                f"channel '{label.asimov[0]}' holds no data but its expectation (Asimov): nothing is observed to test; "
                "ask for limit(), which gives the expected one"
            )
        if signal and likelihood.poi is None:
            raise FitError("the workspace has no signal strength; give it a signal, or name a free factor with poi=")
        return likelihood, -1 if likelihood.poi is None else likelihood.poi, bool(label.asimov)

    def _draw(self, likelihood: Likelihood, truth: Array, statistic: Statistic, strength: float, name: str) -> Array:
        """Return the statistic of all toys."""
        tasks = self._batches(likelihood, truth, statistic, strength, name)
        return np.concatenate([one["values"] for one in progress(self.map, f"toys: {name}")(_values, tasks)])

    def _batches(
        self, likelihood: Likelihood, truth: Array, statistic: Statistic, strength: float, name: str
    ) -> list[_Batch]:
        parts = [tuple(range(self.toys)[i : i + _BATCH]) for i in range(0, self.toys, _BATCH)]
        return [_Batch(likelihood, truth, statistic, strength, self.seed, name, part) for part in parts]


@dataclass(frozen=True, eq=False)
class _Batch:
    """Some toys of one hypothesis."""

    likelihood: Likelihood
    truth: Array
    statistic: Statistic
    strength: float
    seed: int
    name: str
    toys: tuple[int, ...]


def _values(task: _Batch) -> Result:
    return {"values": _statistics(_thrown(task), task)}


def _fits(task: _Batch) -> Result:
    found = fits(_thrown(task), task.truth)
    return {"parameters": found.parameters, "errors": found.errors, "deviance": found.deviance}


def _thrown(task: _Batch) -> Likelihood:
    return thrown(task.likelihood, task.truth, (stream(task.seed, "toy", task.name, toy) for toy in task.toys))


def _statistics(drawn: Likelihood, task: _Batch) -> Array:
    """Return the statistic of each toy."""
    if task.statistic == "deviance" or drawn.poi is None:
        return 2.0 * minima(drawn, task.truth).values
    poi = drawn.poi
    best = bounded(drawn, task.truth, poi)
    strengths = best.parameters[:, poi]

    def rises(strength: float, above: Array) -> Array:
        held = minima(drawn, best.parameters, {poi: strength})
        return np.maximum(2.0 * (held.values - above), 0.0)

    if task.statistic == "discovery":
        return np.where(strengths > 0.0, rises(0.0, best.values), 0.0)
    if task.statistic == "two-sided":
        return rises(task.strength, best.values)
    # as `limits.capped`, toy by toy
    none = minima(drawn, best.parameters, {poi: 0.0}).values
    found = rises(task.strength, np.where(strengths < 0.0, none, best.values))
    return np.where(strengths > task.strength, 0.0, found)


# ---- from distributions to results ---------------------------------------------------------------------------------


def _tail(drawn: Array, seen: float) -> ToyValue:
    """Return the fraction of toys at or beyond what was seen, equal up to rounding."""
    p = float((drawn >= seen - _ROUNDING * max(1.0, seen)).mean())
    return ToyValue(p, float(np.sqrt(max(p * (1.0 - p), 1.0 / len(drawn)) / len(drawn))), len(drawn))


def _cls(with_signal: Array, without: Array, seen: Array) -> Array:
    """Return CLs of each statistic seen, from its toys with and without signal."""
    edge = seen - _ROUNDING * np.maximum(1.0, seen)
    above = [1.0 - np.searchsorted(np.sort(drawn), edge, side="left") / len(drawn) for drawn in (with_signal, without)]
    return np.asarray(above[0] / np.maximum(above[1], 1.0 / len(without)))


def _band(found: Array, band: float) -> float:
    """Return CLs of background alone at a band of its distribution over background toys."""
    from scipy.special import ndtr

    return float(np.quantile(found, float(ndtr(band))))


def _solve(strengths: Array, cls: Array, target: float) -> float:
    """Return where CLs falls to the target, interpolated in its logarithm."""
    logs = np.log(np.maximum(cls, 1e-6))
    below = np.flatnonzero(logs <= np.log(target))
    if not len(below) or below[0] == 0:
        raise FitError(
            f"CLs goes from {cls[0]:.3g} to {cls[-1]:.3g} between the signal strengths {strengths[0]:.3g} and "
            f"{strengths[-1]:.3g}: the limit is not between them; use more toys"
        )
    i = int(below[0])
    share = (logs[i - 1] - np.log(target)) / (logs[i - 1] - logs[i])
    return float(strengths[i - 1] + share * (strengths[i] - strengths[i - 1]))


def _slope(strengths: Array, cls: Array, limit: float) -> float:
    """Return how fast CLs falls at the limit."""
    i = int(np.clip(np.searchsorted(strengths, limit), 1, len(strengths) - 1))
    return float(max((cls[i - 1] - cls[i]) / (strengths[i] - strengths[i - 1]), 1e-12))


def _spread(profile: Profile, reference: Profile) -> float:
    """Return about the error of the signal strength: where the reference has risen by one half."""
    lower, upper = profile.bounds
    guess = 1e-3 * (upper - lower)
    while reference.rise(reference.strength + guess) < 1.0 and reference.strength + guess < upper:
        guess *= 2.0
    return guess
