"""Setup: a method and the events it sees, and the estimate that follows from them."""

from __future__ import annotations

import builtins
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np

from ..channel import Channel, check_compatible, check_names
from ..errors import ConfigError, DataError
from ..events import Events, Source, bootstrap_counts
from ..maps import BinnedMap
from ..method import (
    DrawsMembers,
    FitsMembers,
    Method,
    Model,
    OffersBins,
    OffersChunks,
    OffersMaps,
    OffersReplicas,
    OffersTerms,
    OffersVariations,
    WeighsMembers,
    fit_columns,
    resampling,
)
from ..region import Region
from ..tasks import Map, Result, named_seed, stream
from .result import Estimate
from .terms import Terms

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["Setup", "estimate", "fitted", "maps", "observe", "predicted", "template", "terms"]

_TASKS = 16
_NOTHING = 1e-9


@dataclass(frozen=True)
class Setup:
    """A method and the events it sees."""

    method: Method
    events: Source


def template(events: Source, channels: Sequence[Channel]) -> Estimate:
    """Return the weighted events themselves as an estimate (simulation, or open data)."""
    parts = [np.zeros((2, channel.size)) for channel in channels]
    for chunk in events.chunks(_columns(None, channels)):
        for part, channel in zip(parts, channels, strict=True):
            part += channel.fill(chunk.select(channel.region))
    nominal, sumw2 = np.concatenate(parts, axis=1)
    return Estimate(tuple(channels), nominal, sumw2)


def fitted(setup: Setup, *, seed: int) -> Model:
    """Fit the method of a setup to its events, with the nominal stream of `seed`."""
    return setup.method.fit(_training(setup), rng=stream(seed, "fit"))


def predicted(setup: Setup, channels: Sequence[Channel], columns: Sequence[str], *, seed: int) -> dict[str, Events]:
    """Return the weighted rows that stand for the background in each channel, with some columns: one fit of the method.

    They have the weights and the streams of the nominal estimate, and are held in memory.
    """
    _check_channels(setup.method, channels)
    model = fitted(setup, seed=seed)
    read = _columns(setup.method, channels)
    wanted = None if read is None else sorted({*read, *columns})
    parts: dict[str, list[Events]] = {channel.name: [] for channel in channels}
    for chunk in [_NO_EVENTS] if model.reads is None else setup.events.chunks(wanted):
        for channel in channels:
            found = model.predict(chunk, channel.region)
            parts[channel.name].append(replace(found, columns={name: found[name] for name in columns}))
    return {name: reduce(Events.__add__, found).sorted() for name, found in parts.items()}


def estimate(
    setup: Setup,
    channels: Sequence[Channel],
    *,
    replicas: int = 0,
    variations: Mapping[str, Setup | tuple[Setup, Setup]] | None = None,
    seed: int,
    block: str = "data",
    map: Map = builtins.map,
) -> Estimate:
    """Estimate the background in the bins of the channels.

    The nominal is the method fitted to the events and its prediction filled into the channels; a replica is the same
    on events resampled by key; a systematic is the same for a named other setup, with the nominal streams.

    Parameters
    ----------
    setup
        Method and events.
    channels
        The channels; all share replicas and nuisances, so they stay correlated.
    replicas
        How many resampled fits make the block `block`. Not used for a model that brings its own uncertainty: one whose
        answer is a fit (``bins``), or that was trained on its own resamples (``replicas``).
    variations
        Name to a setup (mirrored) or an (up, down) pair. The method's own variations are added to them.
    seed
        The root of all random streams.
    block
        The name of the replica block. Estimates whose blocks have one name and seed are resampled together.
    map
        Any map; see `tasks.pool` and `tasks.resumable`.

    Raises
    ------
    BlindedError
        If a channel or the training would read sealed rows.
    CutError
        If a channel contradicts the rows that the method reads, or a cut names an unknown column.
    DataError
        If a needed column is not finite or a region is empty.
    """
    if replicas == 1 or replicas < 0:
        raise ConfigError(
            f"{replicas} replicas have no spread: ask for 0, or for 2 or more (100 give the error to 7 %)"
        )
    channels = tuple(channels)
    check_names(channels)
    pairs = _variation_setups(setup, variations or {})
    setup, *varied = _sorted([setup, *(one for pair in pairs.values() for one in pair)])
    for one in (setup, *varied):
        _check_channels(one.method, channels)
    tasks = [_Task(one, channels, seed) for one in (setup, *varied)]
    first, *others = map(_nominal, tasks)
    result = _unpacked(channels, first)
    if replicas and not first["complete"]:
        size = -(-replicas // _TASKS)
        members = [tuple(range(replicas)[i : i + size]) for i in range(0, replicas, size)]
        parts = map(_replicas, [_Task(setup, channels, seed, block, part) for part in members])
        result = replace(result, replicas={block: np.concatenate([part["values"] for part in parts])})
        result = replace(result, seeds={block: seed})
        if resampling(setup.method) == "joint":
            result = replace(result, sumw2=np.zeros_like(result.sumw2))
    shifts = iter(other["nominal"] for other in others)
    for name, pair in pairs.items():
        result = result.with_variation(name, *(next(shifts) for _ in pair))
    return result


def maps(
    setup: Setup, *, variations: Mapping[str, Setup | tuple[Setup, Setup]] | None = None, seed: int
) -> tuple[BinnedMap, ...]:
    """Return the maps a method rests on, fitted as the nominal estimate is, with those of the variations as theirs.

    A variation that measures in other bins, or leaves a map as it is, is none of that map's. No maps, no tuple entries.
    """
    found = _maps(setup, seed)
    for name, sides in _variation_setups(setup, variations or {}).items() if found else ():
        moved = [_maps(side, seed) for side in sides]
        found = tuple(_with_side(one, name, [side[i] for side in moved]) for i, one in enumerate(found))
    return found


def _maps(setup: Setup, seed: int) -> tuple[BinnedMap, ...]:
    model = fitted(setup, seed=seed)
    return model.maps if isinstance(model, OffersMaps) else ()


def _with_side(one: BinnedMap, name: str, sides: Sequence[BinnedMap]) -> BinnedMap:
    if any(side.axes != one.axes for side in sides) or all(np.array_equal(side.values, one.values) for side in sides):
        return one
    up, down = sides[0].values, (sides[1].values if len(sides) == 2 else 2.0 * one.values - sides[0].values)
    return replace(one, variations={**one.variations, name: (up, down)})


def terms(
    setup: Setup,
    channels: Sequence[Channel],
    *,
    variations: Mapping[str, Setup | tuple[Setup, Setup]] | None = None,
    seed: int,
) -> Terms:
    """Return a background as a relation of counts, for a workspace that fits them together.

    A variation whose setup has other simulated events moves those processes, in all channels; one with other settings
    of the method moves the relation by what it changes in the channels. Each is one nuisance.

    Parameters
    ----------
    setup
        A method whose model offers terms, and its events.
    channels
        The channels of the analysis.
    variations
        Name to a setup (mirrored) or an (up, down) pair. The method's own variations are added to them.
    seed
        The root of all random streams.

    Raises
    ------
    ConfigError
        If the method has no terms, or a variation changes the observed counts and the settings at once.
    """
    channels = tuple(channels)
    check_names(channels)
    pairs = _variation_setups(setup, variations or {})
    found = _terms(setup, channels, seed)
    for name, sides in pairs.items():
        if all(side.method == setup.method for side in sides):
            found = _with_processes(found, name, [_terms(side, channels, seed) for side in sides])
        else:
            found = found.with_variation(
                name, *(_unpacked(channels, _nominal(_Task(side, channels, seed))).nominal for side in sides)
            )
    return found


def _terms(setup: Setup, channels: tuple[Channel, ...], seed: int) -> Terms:
    model = fitted(setup, seed=seed)
    if not isinstance(model, OffersTerms):
        raise ConfigError(
            f"{type(setup.method).__name__} has no terms: its yields are no products of free parameters; use estimate()"
        )
    return model.terms(setup.events.load(_columns(setup.method, channels)), channels)


def _with_processes(found: Terms, name: str, sides: Sequence[Terms]) -> Terms:
    """Return terms whose processes vary."""
    for side in sides:
        if any(not np.array_equal(counts, found.counts[where]) for where, counts in side.counts.items()):
            raise ConfigError(f"variation '{name}' changes the observed counts, which are no nuisance; drop it")
    moved = {
        process: one.with_variation(name, *(side.processes[process].nominal for side in sides))
        for process, one in found.processes.items()
        if any(process in side.processes for side in sides)
    }
    return replace(found, processes={**found.processes, **moved})


@dataclass(frozen=True)
class _Task:
    """One fit, or the named replicas of it, filled into the channels."""

    setup: Setup
    channels: tuple[Channel, ...]
    seed: int
    block: str = ""
    members: tuple[int, ...] = ()


def _nominal(task: _Task) -> Result:
    model = fitted(task.setup, seed=task.seed)
    if isinstance(model, OffersBins):
        rows = task.setup.events.load(_columns(task.setup.method, task.channels))
        return _pack(_possible(model.bins(rows, task.channels)), complete=True)
    own = model.replicas if isinstance(model, OffersReplicas) else {}
    # in one pass, since the rows may be drawn, or read, at a cost
    values, sumw2 = _fill([model, *(one for members in own.values() for one in members)], task)
    edges = np.cumsum([1, *map(len, own.values())])
    blocks = {name: values[edges[i] : edges[i + 1]] for i, name in enumerate(own)}
    result = Estimate(task.channels, values[0], sumw2[0], blocks, seeds=dict.fromkeys(blocks, task.seed))
    return _pack(result, complete=isinstance(model, OffersReplicas))


def _possible(found: Estimate) -> Estimate:
    """Return the estimate without what a fit gives the bins that the cuts leave out: they are empty for certain."""
    gone = found.nominal <= _NOTHING * found.nominal.sum()
    if not gone.any():
        return found
    gone &= np.concatenate([channel.excluded for channel in found.channels])
    return found._map(lambda array: np.where(gone, 0.0, array))


def _replicas(task: _Task) -> Result:
    method, rows = task.setup.method, _training(task.setup)
    seeds = [named_seed(task.seed, "replica", task.block, member) for member in task.members]
    rngs = [stream(task.seed, "replica", task.block, member) for member in task.members]
    models: Sequence[Model]
    if isinstance(method, FitsMembers):
        models = method.fit_members(rows, rows.weight * bootstrap_counts(rows.key, seeds), rngs=rngs)
    else:
        models = [method.fit(rows.bootstrap(one), rng=rng) for one, rng in zip(seeds, rngs, strict=True)]
    joint = seeds if resampling(method) == "joint" else None
    return {"values": _fill(models, task, joint)[0]}


def _sorted(setups: Sequence[Setup]) -> list[Setup]:
    """Sort events that are in memory once, so that no task has to and equal setups give equal sums."""
    events = {id(one.events): one.events for one in setups}
    known = {key: one.sorted() if isinstance(one, Events) else one for key, one in events.items()}
    return [replace(one, events=known[id(one.events)]) for one in setups]


def _training(setup: Setup) -> Events:
    return setup.events.load(_columns(setup.method, ()), getattr(setup.method, "training", None)).sorted()


def _columns(method: Method | None, channels: Sequence[Channel]) -> list[str] | None:
    """Return the columns that are read, None for all of them."""
    wanted = frozenset() if method is None else fit_columns(method)
    return None if wanted is None else sorted(wanted.union(*(channel.columns for channel in channels)))


def _fill(models: Sequence[Model], task: _Task, seeds: Sequence[int] | None = None) -> tuple[Array, Array]:
    """Fill the predictions of each model: values and sums of squared weights, shape (models, bins)."""
    parts = [np.zeros((2, len(models), channel.size)) for channel in task.channels]
    read = np.zeros(len(parts), np.int64)
    if all(model.reads is None for model in models):
        read += _draw(models, task, parts)
    else:
        for chunk in task.setup.events.chunks(_columns(task.setup.method, task.channels)):
            # replicas weigh the rows that the nominal fit has been through
            if not task.members:
                _check_rows(models[0], task.channels, chunk)
            pairs = zip(task.channels, parts, strict=True)
            read += [_weight(models, channel, chunk, part, seeds) for channel, part in pairs]
    _check_read(read, models[0], task.channels)
    values, sumw2 = np.concatenate(parts, axis=2)
    return values, sumw2


def _check_channels(method: Method, channels: Sequence[Channel]) -> None:
    """Let a method refuse channels before an expensive fit."""
    if check := getattr(method, "check_channel", None):
        for channel in channels:
            check(channel)


def _check_rows(model: Model, channels: Sequence[Channel], chunk: Events) -> None:
    if check := getattr(model, "check_rows", None):
        for channel in channels:
            check(chunk, channel.region)


def _weight(models: Sequence[Model], channel: Channel, chunk: Events, part: Array, seeds: Sequence[int] | None) -> int:
    reads = {model.reads for model in models if model.reads is not None}
    for region in reads:
        check_compatible(channel.region, region, "source")
    # rows that a model moves may come from outside the region
    moves = getattr(models[0], "moves", False)
    where = [one if moves else channel.region & one for one in reads]
    rows = chunk.select(where[0]) if len(where) == 1 else chunk
    if len(where) == 1 and isinstance(models[0], WeighsMembers):
        weights = rows.weight if seeds is None else rows.weight * bootstrap_counts(rows.key, seeds)
        part += channel.fill_members(rows, weights * models[0].factors(rows, models))
        return _standing(rows, models[0])
    for i, model in enumerate(models):
        seen = rows if seeds is None else rows.bootstrap(seeds[i])
        part[:, i] += channel.fill(model.predict(seen, channel.region))
    return _standing(rows, models[0])


def _standing(rows: Events, model: Model) -> int:
    """Count the rows with weight, of those that a model cannot do without."""
    needed = getattr(model, "needs", None)
    return int(np.count_nonzero(rows.weight if needed is None else rows.weight[needed.mask(rows.columns)]))


def _check_read(read: NDArray[np.int64], model: Model, channels: Sequence[Channel]) -> None:
    for rows, channel in zip(read, channels, strict=True):
        if rows == 0:
            needed = getattr(model, "needs", None) or model.reads
            where = f"region '{channel.region.name}'" + (f" & '{needed.name}'" if needed else "")
            raise DataError(
                f"channel '{channel.name}': no row {'with weight' if model.reads else 'drawn'} in {where}, so nothing "
                "stands for its background; widen the region or drop the channel"
            )


def _draw(models: Sequence[Model], task: _Task, parts: Sequence[Array]) -> NDArray[np.int64]:
    drawn = np.zeros(len(parts), np.int64)
    union = task.channels[0].region
    for channel in task.channels[1:]:
        union = union | channel.region
    if isinstance(models[0], DrawsMembers):
        for rows in models[0].drawn(union):
            weights = models[0].factors(rows, models)
            for k, channel in enumerate(task.channels):
                where = np.flatnonzero(channel.region.mask(rows.columns))
                drawn[k] += len(where)
                parts[k] += channel.fill_members(rows._take(where), weights[:, where])
        return drawn
    for i, model in enumerate(models):
        for rows in model.chunks(union) if isinstance(model, OffersChunks) else [model.predict(_NO_EVENTS, union)]:
            for k, channel in enumerate(task.channels):
                inside = rows.select(channel.region)
                drawn[k] += len(inside)
                parts[k][:, i] += channel.fill(inside)
    return drawn


_NO_EVENTS = Events({}, np.zeros(0), np.zeros(0, np.int16), (), np.zeros(0, np.uint64))


def _variation_setups(
    setup: Setup, variations: Mapping[str, Setup | tuple[Setup, Setup]]
) -> dict[str, tuple[Setup, ...]]:
    pairs: dict[str, tuple[Setup, ...]] = {}
    if isinstance(setup.method, OffersVariations):
        for name, pair in setup.method.variations().items():
            pairs[name] = tuple(replace(setup, method=method) for method in pair)
    for name, given in variations.items():
        if name in pairs:
            raise ConfigError(f"variation '{name}' is one of the method's own; choose another name")
        pairs[name] = (given,) if isinstance(given, Setup) else tuple(given)
        if len(pairs[name]) > 2:
            raise ConfigError(f"variation '{name}' has {len(pairs[name])} setups; give one, or an (up, down) pair")
    return pairs


def _pack(result: Estimate, *, complete: bool) -> Result:
    """Flatten an estimate to named arrays; `complete` says that it brings its own uncertainty."""
    packed = {"nominal": result.nominal, "sumw2": result.sumw2, "complete": np.array(complete)}
    packed |= {f"replicas/{name}": rows for name, rows in result.replicas.items()}
    packed |= {f"seeds/{name}": np.array(seed, np.uint64) for name, seed in result.seeds.items()}
    for name, (up, down) in result.variations.items():
        packed |= {f"up/{name}": up, f"down/{name}": down}
    packed |= {f"counted/{name}": np.array(True) for name in result.counted}
    return packed


def _unpacked(channels: tuple[Channel, ...], packed: Result) -> Estimate:
    """Return the estimate of named arrays."""
    state: dict[str, Any] = {"channels": [channel.state() for channel in channels]}
    state |= {name: packed[name] for name in ("nominal", "sumw2")}
    for part in ("replicas", "seeds", "up", "down", "counted"):
        prefix = part + "/"
        state[part] = {key.removeprefix(prefix): value for key, value in packed.items() if key.startswith(prefix)}
    return replace(Estimate.from_state(state), channels=channels)


def observe(events: Source, channel: Channel, target: Region) -> Events | None:
    """Return the rows of a channel that the background is compared with, or None if they may be sealed.

    Observed rows are ``channel.region & target``; `target` is the method's (`backdrop.method.target`).
    """
    region = channel.region & target
    if any(not region.disjoint(one.region) for one in events.sealed):
        return None
    return events.load(sorted(region.columns | channel.columns), region)
