"""Execution: from an analysis and its samples to results. Nothing is written here but finished tasks."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..channel import Channel
from ..config.analysis import Analysis, Fit, Process, Task
from ..config.combination import Combination
from ..estimate import Estimate, Setup, Terms, estimate, maps, observe, pictures, template, terms
from ..events import Events, Source
from ..inference import fit, ranking, workspace
from ..method import OffersBins, OffersTerms, target
from ..methods import METHODS
from ..region import Region
from ..tasks import Map
from ..validation import Checks, Variable, closure
from . import review
from .checks import Rows, after, before, unmoved

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..inference import FitResult, Impact
    from ..learn.pictures import Pictures
    from ..maps import BinnedMap
    from ..validation import Closure, Pulls

__all__ = ["Outcome", "execute", "workspaces"]

_RANKED = 25


@dataclass(frozen=True)
class Outcome:
    """What an analysis gives, by method name."""

    estimates: Mapping[str, Estimate] = field(default_factory=dict)
    closures: Mapping[str, Mapping[str, Closure]] = field(default_factory=dict)
    observed: Mapping[str, Mapping[str, NDArray[Any] | None]] = field(default_factory=dict)
    workspaces: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    fits: Mapping[str, FitResult] = field(default_factory=dict)
    rankings: Mapping[str, Mapping[str, Impact]] = field(default_factory=dict)
    pulls: Mapping[str, Pulls] = field(default_factory=dict)
    maps: Mapping[str, tuple[BinnedMap, ...]] = field(default_factory=dict)
    pictures: Mapping[str, Pictures] = field(default_factory=dict)
    checks: Checks = field(default_factory=Checks)
    warnings: tuple[str, ...] = ()


def execute(
    analysis: Analysis,
    samples: Mapping[str, Source],
    *,
    map: Map = builtins.map,
    titled: Callable[[Map, str], Map] = lambda map, title: map,
) -> Outcome:
    """Estimate, compare and fit.

    Parameters
    ----------
    analysis
        The analysis.
    samples
        Its samples by name, read behind the seals.
    map
        Any map; see `tasks.pool` and `tasks.resumable`.
    titled
        Adds a title to a map, for a progress bar.

    Raises
    ------
    BlindedError
        If a closure or a training needs sealed rows.
    DataError
        If a method is trained on the observed rows of a channel that is no closure test.
    BackdropError
        Whatever an estimate or a fit cannot do.
    """
    inputs = _Inputs(samples)
    rows = {name: Rows(analysis, name, task, inputs.of(task.events)) for name, task in analysis.tasks.items()}
    warnings = [text for one in rows.values() for text in before(one)]
    asked = {name: review.variables(analysis, name, inputs.of(task.events)) for name, task in analysis.tasks.items()}
    pairs = {
        name: _estimates(analysis, name, asked[name], inputs, titled(map, f"{name}: fits")) for name in analysis.tasks
    }
    estimates = {name: pair[0] for name, pair in pairs.items()}
    closures = _closures(analysis, estimates, inputs)
    estimates = {name: _with_closures(analysis, name, one, closures[name]) for name, one in estimates.items()}
    observed = {name: _observed(task, inputs) for name, task in analysis.tasks.items()}
    found, more = _checks(analysis, asked, {name: pair[1] for name, pair in pairs.items()}, samples, inputs)
    warnings += [text for name, one in rows.items() for text in after(one, estimates[name])]
    measured = _maps(analysis, inputs)
    warnings += [
        text for name, one in measured.items() for text in unmoved(name, rows[name].task.method, one, estimates[name])
    ]
    outcome = Outcome(
        estimates,
        closures,
        observed,
        maps=measured,
        pictures=_pictures(analysis, inputs),
        checks=found,
        warnings=tuple(dict.fromkeys([*warnings, *more])),
    )
    if analysis.fit is None:
        return outcome
    spaces = {name: _workspace(analysis, analysis.fit, name, estimates, inputs) for name in analysis.fit.methods}
    fits = {name: fit(one) for name, one in spaces.items()}
    ranked = {name: ranking(spaces[name], most=_RANKED) for name, one in fits.items() if one.poi is not None}
    return replace(outcome, workspaces=spaces, fits=fits, rankings=ranked)


def workspaces(analysis: Analysis, samples: Mapping[str, Source]) -> dict[str, dict[str, Any]]:
    """Return the workspaces of the fit by method, of what they need alone."""
    asked, inputs = analysis.fit, _Inputs(samples)
    if asked is None:
        return {}
    others = [one.events for one in asked.backgrounds.values() if isinstance(one.events, str)]
    names = tuple(dict.fromkeys([*asked.methods, *others]))
    closures = tuple(one for one in analysis.closures if one.as_variation and one.method in names)
    wanted = {*asked.channels, *(one.channel for one in closures)}
    estimates = {}
    for name in names:
        channels = [one for one in analysis.tasks[name].channels if one.name in wanted]
        estimates[name] = _estimate(analysis, name, channels, inputs, builtins.map)
    found = _closures(replace(analysis, closures=closures), estimates, inputs)
    estimates = {name: _with_closures(analysis, name, one, found[name]) for name, one in estimates.items()}
    return {name: _workspace(analysis, asked, name, estimates, inputs) for name in asked.methods}


class _Inputs:
    """The combinations of samples, each made once."""

    def __init__(self, samples: Mapping[str, Source]) -> None:
        self._samples = samples
        self._made: dict[Combination, Any] = {}

    def of(self, combination: Combination) -> Any:
        if combination not in self._made:
            combination.check(self._samples)
            self._made[combination] = combination.of(self._samples)
        return self._made[combination]

    def sample(self, name: str) -> Any:
        return self.of(Combination(((name, 1.0),)))


def _setup(task: Task, inputs: _Inputs) -> Setup:
    return Setup(task.method, inputs.of(task.events))


def _setups(analysis: Analysis, name: str, inputs: _Inputs) -> dict[str, Setup | tuple[Setup, Setup]]:
    """Return the setups of a method's variations."""
    found: dict[str, Setup | tuple[Setup, Setup]] = {}
    for label, sides in analysis.variations[name].items():
        setups = [_setup(side, inputs) for side in sides]
        found[label] = (setups[0], setups[1]) if len(setups) == 2 else setups[0]
    return found


def _estimates(
    analysis: Analysis, name: str, variables: Sequence[Variable], inputs: _Inputs, map: Map
) -> tuple[Estimate, Estimate | None]:
    """Return the estimate in a method's channels, and the one in its further variables (None if there are none)."""
    own, others = analysis.tasks[name].channels, tuple(one.channel for one in variables)
    if not others:
        return _estimate(analysis, name, own, inputs, map), None
    if issubclass(METHODS[analysis.configuration.methods[name].type].model, OffersBins):
        # its uncertainties are directions in the bins of all channels together, which a variable must not change
        return _estimate(analysis, name, own, inputs, map), _estimate(analysis, name, others, inputs, map)
    found = _estimate(analysis, name, own + others, inputs, map)
    return found.only(*(one.name for one in own)), found.only(*(one.name for one in others))


def _estimate(analysis: Analysis, name: str, channels: Sequence[Channel], inputs: _Inputs, map: Map) -> Estimate:
    given = analysis.configuration
    return estimate(
        _setup(analysis.tasks[name], inputs),
        channels,
        replicas=given.replicas,
        variations=_setups(analysis, name, inputs),
        seed=given.seed,
        map=map,
    )


def _maps(analysis: Analysis, inputs: _Inputs) -> dict[str, tuple[BinnedMap, ...]]:
    """Return the maps that methods rest on."""
    return {
        name: maps(_setup(task, inputs), variations=_setups(analysis, name, inputs), seed=analysis.configuration.seed)
        for name, task in analysis.tasks.items()
        if hasattr(METHODS[analysis.configuration.methods[name].type].model, "maps")
    }


def _pictures(analysis: Analysis, inputs: _Inputs) -> dict[str, Pictures]:
    """Return what the models of methods show of themselves."""
    found = {
        name: pictures(_setup(task, inputs), seed=analysis.configuration.seed)
        for name, task in analysis.tasks.items()
        if hasattr(METHODS[analysis.configuration.methods[name].type].model, "pictures")
    }
    return {name: one for name, one in found.items() if one is not None}


def _checks(
    analysis: Analysis,
    asked: Mapping[str, Sequence[Variable]],
    found: Mapping[str, Estimate | None],
    samples: Mapping[str, Source],
    inputs: _Inputs,
) -> tuple[Checks, tuple[str, ...]]:
    """Return what a reviewer asks for beside the closures, and what is unhealthy about it."""
    compared, correlated, weights, warnings = {}, {}, {}, []
    for name, task in analysis.tasks.items():
        if (one := found[name]) is not None:
            compared[name] = review.compared(task, asked[name], one, inputs.of)
        seed = analysis.configuration.seed
        correlated[name], worth, problems = review.correlations(task, asked[name], task.channels, inputs.of, seed)
        weights[name] = {"training": review.health(task, inputs.of)} | worth
        warnings += [f"{name}, {text}" for text in problems]
        for where, health in worth.items():
            warnings += [
                f"{name}, prediction in {where}: {text.removeprefix('all rows: ')}" for text in health.warnings
            ]
    regions, flows = review.region_map(analysis, samples), review.flows(analysis, samples)
    return Checks(regions, flows, compared, correlated, weights), tuple(warnings)


def _closures(analysis: Analysis, estimates: Mapping[str, Estimate], inputs: _Inputs) -> dict[str, dict[str, Closure]]:
    found: dict[str, dict[str, Closure]] = {name: {} for name in estimates}
    for one in analysis.closures:
        task = analysis.tasks[one.method]
        where = analysis.channel(one.channel)
        # a sealed region raises here, and the message says which
        rows = inputs.of(task.events).load(_columns(where, target(task.method)), where.region & target(task.method))
        found[one.method][one.channel] = closure(estimates[one.method], rows, channel=one.channel, smooth=one.smooth)
    return found


def _with_closures(analysis: Analysis, name: str, one: Estimate, closures: Mapping[str, Closure]) -> Estimate:
    for asked in analysis.closures:
        if asked.method == name and asked.as_variation:
            one = one.with_variation(f"nonclosure_{asked.channel}", *closures[asked.channel].shifts)
    return one


def _observed(task: Task, inputs: _Inputs) -> dict[str, NDArray[Any] | None]:
    """Return the observed yields that each channel's background is compared with, None where they may be sealed.

    Counts have the shape (bins,); weighted yields have it with their variances, (2, bins).
    """
    found: dict[str, NDArray[Any] | None] = {}
    for channel in task.channels:
        rows = observe(inputs.of(task.events), channel, target(task.method))
        found[channel.name] = None if rows is None else _yields(*channel.fill(rows))
    return found


def _yields(values: NDArray[Any], variances: NDArray[Any]) -> NDArray[Any]:
    return values if np.array_equal(values, variances) else np.stack([values, variances])


def _workspace(
    analysis: Analysis, asked: Fit, name: str, estimates: Mapping[str, Estimate], inputs: _Inputs
) -> dict[str, Any]:
    found = estimates[name]
    channels = tuple(analysis.channel(one) for one in asked.channels)
    where = target(analysis.tasks[name].method)
    relation = _relation(analysis, name, channels, found.only(*asked.channels), inputs)
    backgrounds: dict[str, Estimate | Terms] = {name: relation or found.only(*asked.channels)}

    def filled(process: Process) -> Estimate:
        if relation is None:
            inside = [replace(one, region=one.region & where) for one in channels]
            return _where_it_is(_process(process, channels, inside, inputs, estimates))
        return _process(process, relation.all_channels, relation.filled, inputs, estimates)

    backgrounds |= {label: filled(one) for label, one in asked.backgrounds.items()}
    signal = None if asked.signal is None else {"signal": filled(Process(asked.signal))}
    data: dict[str, Events | None] = {one.name: observe(inputs.sample(asked.data), one, where) for one in channels}
    free = {label: one.free for label, one in asked.backgrounds.items() if one.free is not None}
    return workspace(backgrounds, signal, data, empty="error" if asked.empty is None else asked.empty, free=free)


def _relation(
    analysis: Analysis, name: str, channels: tuple[Channel, ...], found: Estimate, inputs: _Inputs
) -> Terms | None:
    """Return a method's background as a relation, where it has one; what only the estimate knows is added to it."""
    if not issubclass(METHODS[analysis.configuration.methods[name].type].model, OffersTerms):
        return None
    setup = _setup(analysis.tasks[name], inputs)
    relation = terms(setup, channels, variations=_setups(analysis, name, inputs), seed=analysis.configuration.seed)
    known = relation.variations.keys() | {label for one in relation.processes.values() for label in one.variations}
    for label, pair in found.variations.items():
        if label not in known | found.counted:
            relation = relation.with_variation(label, *pair)
    return relation


def _where_it_is(found: Estimate) -> Estimate:
    """Return an estimate without the channels in which it has no event at all; all of them if it has none anywhere."""
    there = [one.name for one in found.channels if found.nominal[found.bins(one.name)].any()]
    return found.only(*there) if there else found


def _process(
    process: Process,
    channels: tuple[Channel, ...],
    inside: Sequence[Channel],
    inputs: _Inputs,
    estimates: Mapping[str, Estimate],
) -> Estimate:
    """Return simulated events of the rows inside, with their variations, or the estimate of another method."""
    if isinstance(process.events, str):
        other = estimates[process.events]
        known = {one.name for one in other.channels}
        return other.only(*(one.name for one in channels if one.name in known))

    def filled(events: Combination) -> Estimate:
        return replace(template(inputs.of(events), inside), channels=channels)

    found = filled(process.events)
    for label, sides in process.variations.items():
        found = found.with_variation(label, *(filled(side).nominal for side in sides))
    return found


def _columns(channel: Channel, region: Region) -> list[str]:
    return sorted(channel.columns | region.columns)
