"""Review: region map, cut flows, further variables, correlations and weights, each behind the seals."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import reduce
from typing import Any

from ..channel import Channel
from ..config.analysis import Analysis, Task
from ..config.combination import Combination
from ..errors import DataError
from ..estimate import Estimate, Setup, predicted
from ..events import Source
from ..method import target
from ..region import Region
from ..validation import (
    Compared,
    Correlations,
    CutFlow,
    RegionMap,
    Use,
    Variable,
    WeightHealth,
    closure,
    correlation,
    cut_flow,
    variable,
    weight_health,
)
from ..validation.cutflow import steps

__all__ = ["compared", "correlations", "flows", "health", "hide_totals", "region_map", "variables"]

Inputs = Callable[[Combination], Any]
"""From a combination of samples to its events."""


# ---- regions ---------------------------------------------------------------------------------------------------------


def region_map(analysis: Analysis, samples: Mapping[str, Source]) -> RegionMap:
    """Return the sets of rows that are observed, weighted, trained on or sealed, and how they lie to one another."""
    seals = {one.sample: one.region for source in samples.values() for one in source.sealed}
    found: dict[tuple[str, str], Use] = {}
    for name, use in _uses(analysis):
        known = found.get((use.kind, use.cut), use)
        methods = tuple(dict.fromkeys([*known.methods, name]))
        together = tuple(dict.fromkeys([*known.samples, *use.samples]))
        found[use.kind, use.cut] = replace(known, methods=methods, samples=together)
    uses = [replace(use, name=_called(use), sealed=_sealed(use, seals)) for use in found.values()]
    shut = [Use(f"sealed in {name}", "sealed", one.cut, (name,), sealed="all") for name, one in seals.items()]
    kinds = ("observed", "read", "training")
    return RegionMap.of([*sorted(uses, key=lambda use: kinds.index(use.kind)), *shut])


def _uses(analysis: Analysis) -> Iterator[tuple[str, Use]]:
    for name, task in analysis.tasks.items():
        samples = task.events.samples
        for channel in task.channels:
            inside = channel.region & target(task.method)
            yield name, Use(f"{channel.name} observed", "observed", inside.cut, samples)
        if isinstance(source := getattr(task.method, "source", None), Region):
            for channel in task.channels:
                yield name, Use(f"{channel.name} source", "read", (channel.region & source).cut, samples)
        if isinstance(training := getattr(task.method, "training", None), Region):
            yield name, Use("training", "training", training.cut, samples)


def _called(use: Use) -> str:
    return f"training of {', '.join(use.methods)}" if use.kind == "training" else use.name


def _sealed(use: Use, seals: Mapping[str, Region]) -> Any:
    region = Region(use.name, use.cut)
    shared = [seals[name] for name in use.samples if name in seals and not region.disjoint(seals[name])]
    if not shared:
        return "no"
    return "all" if any(region.disjoint(~one) for one in shared) else "part"


# ---- cut flows -------------------------------------------------------------------------------------------------------


def flows(analysis: Analysis, samples: Mapping[str, Source]) -> dict[str, CutFlow]:
    """Return the cut flow of the observed rows of each channel, for the methods that observe different rows apart."""
    found: dict[str, CutFlow] = {}
    selections: dict[str, Region] = {}
    for channel in analysis.channels:
        users = {name: task for name, task in analysis.tasks.items() if channel in task.channels}
        alike: dict[str, list[str]] = {}
        for name, task in users.items():
            alike.setdefault(target(task.method).cut, []).append(name)
        for names in alike.values():
            title = channel.name if len(alike) == 1 else f"{channel.name} with {', '.join(names)}"
            used = {one for name in names for one in users[name].events.samples} | _fitted(analysis, channel.name)
            selection = channel.region & target(users[names[0]].method)
            found[title] = cut_flow({name: samples[name] for name in samples if name in used}, selection)
            selections[title] = selection
    return hide_totals(found, selections, samples)


def hide_totals(
    flows: Mapping[str, CutFlow], selections: Mapping[str, Region], samples: Mapping[str, Source]
) -> dict[str, CutFlow]:
    """Return cut flows that together do not hold all that a seal leaves open.

    If they did, the entries of the input less these yields were the sealed count. Of a sample for which the cuts prove
    it, the last step alone is left: it is the observed yield of the channel.
    """
    found = dict(flows)
    for name, source in samples.items():
        if not source.sealed:
            continue
        shown = [step for title, flow in flows.items() for step in _shown(flow, selections[title], name)]
        nowhere = reduce(Region.__and__, (~step for step in shown), Region.everything())
        if all(nowhere.disjoint(~one.region) for one in source.sealed):
            found = {title: flow.only_last(name) for title, flow in found.items()}
    return found


def _shown(flow: CutFlow, selection: Region, sample: str) -> list[Region]:
    if sample not in flow.samples:
        return []
    hidden = flow.hidden[:, flow.samples.index(sample)]
    return [step for step, shut in zip(steps(selection), hidden, strict=True) if not shut]


def _fitted(analysis: Analysis, channel: str) -> set[str]:
    """Return the samples that the fit adds to a channel."""
    if analysis.fit is None or channel not in analysis.fit.channels:
        return set()
    parts = [one.events for one in analysis.fit.backgrounds.values() if isinstance(one.events, Combination)]
    parts += [] if analysis.fit.signal is None else [analysis.fit.signal]
    return {analysis.fit.data, *(name for part in parts for name in part.samples)}


# ---- further variables -----------------------------------------------------------------------------------------------


def variables(analysis: Analysis, name: str, events: Source) -> tuple[Variable, ...]:
    """Return the further variables of a method that the seals leave something of."""
    where = target(analysis.tasks[name].method)
    asked = [one for one in analysis.variables if one.method == name]
    found = [variable(analysis.channel(one.channel), one.axis, where, events.sealed) for one in asked]
    return tuple(one for one in found if one is not None)


def compared(task: Task, asked: Iterable[Variable], found: Estimate, inputs: Inputs) -> dict[str, dict[str, Compared]]:
    """Return the comparisons of a method's further variables, by channel and column."""
    compared: dict[str, dict[str, Compared]] = {}
    for one in asked:
        rows = _observed(task, one.channel, sorted(one.channel.columns), inputs)
        tested = closure(found.only(one.channel.name), rows, channel=one.channel.name)
        compared.setdefault(one.of, {})[one.column] = Compared(one, tested)
    return compared


def correlations(
    task: Task, asked: Iterable[Variable], channels: Iterable[Channel], inputs: Inputs, seed: int
) -> tuple[dict[str, Correlations], dict[str, WeightHealth], list[str]]:
    """Return correlations and health of the prediction's weights in each channel, and what could not be computed."""
    columns: dict[str, list[str]] = {}
    for one in asked:
        columns.setdefault(one.of, []).append(one.column)
    chosen = [channel for channel in channels if channel.name in columns]
    if not chosen:
        return {}, {}, []
    every = sorted({name for names in columns.values() for name in names})
    found: dict[str, Correlations] = {}
    worth, warnings = {}, []
    for name, rows in predicted(Setup(task.method, inputs(task.events)), chosen, every, seed=seed).items():
        channel = next(one for one in chosen if one.name == name)
        worth[name] = weight_health(rows).rough()
        if len(columns[name]) < 2 or _shut(task, channel, inputs):
            continue
        try:
            sides = (_observed(task, channel, columns[name], inputs), rows)
            found[name] = Correlations(*(correlation(side, columns[name]) for side in sides))
        except DataError as error:
            warnings.append(f"correlations in {name}: {error}")
    return found, worth, warnings


def health(task: Task, inputs: Inputs) -> WeightHealth:
    """Return the health of the weights that a method is trained on, with three digits."""
    training = getattr(task.method, "training", None)
    columns = sorted(training.columns) if isinstance(training, Region) else None
    return weight_health(inputs(task.events).load(columns, training)).rough()


def _observed(task: Task, channel: Channel, columns: Iterable[str], inputs: Inputs) -> Any:
    region = channel.region & target(task.method)
    return inputs(task.events).load(sorted({*columns, *region.columns}), region)


def _shut(task: Task, channel: Channel, inputs: Inputs) -> bool:
    region = channel.region & target(task.method)
    return any(not region.disjoint(one.region) for one in inputs(task.events).sealed)
