"""Samples: what an analysis reads or draws, behind its seals."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import io
from ..channel import Channel
from ..config.analysis import Analysis, Process, Task
from ..config.combination import Combination
from ..errors import BackdropError, ConfigError, DataError, nearest
from ..estimate import Setup, predicted
from ..events import Events, Seal, Source
from ..method import fit_columns, target
from ..region import Region, evaluate, expression_columns

if TYPE_CHECKING:
    from ..config.model import Input

__all__ = ["Samples", "files_of", "needed_columns", "read"]

_WEIGHT = "__weight"


@dataclass(frozen=True)
class Samples:
    """The samples of an analysis.

    Attributes
    ----------
    events
        Name to events.
    files
        Name to what provenance keeps of its files.
    warnings
        What must be heeded about them.
    """

    events: Mapping[str, Source]
    files: Mapping[str, list[dict[str, Any]]]
    warnings: tuple[str, ...] = ()


def read(analysis: Analysis, opened: Collection[str] = (), *, lazy: bool | None = None) -> Samples:
    """Read or draw the samples of an analysis; the seals of the samples in `opened` are not applied.

    All files are looked into before a row is read. A lazy analysis (`lazy` decides in its place) reads no row here.

    Raises
    ------
    DataError
        If an input cannot be read, or a generator gives no sample of a name that is used.
    """
    seals = {one.sample: one.seal for one in analysis.seals if one.sample not in opened}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        wait = analysis.configuration.lazy if lazy is None else lazy
        found = Samples(_drawn(analysis, seals), {}) if analysis.draw else _from_files(analysis, seals, wait)
        found = replace(found, events={**found.events, **_predicted(analysis, found.events)})
    return Samples(found.events, found.files, tuple(dict.fromkeys(str(one.message) for one in caught)))


def files_of(analysis: Analysis, name: str) -> list[str]:
    """Return the paths of a sample's files, relative ones from the configuration's folder."""
    return [_path(analysis.folder, text) for text in analysis.configuration.inputs[name].files]


def needed_columns(analysis: Analysis, name: str) -> list[str] | None:
    """Return the columns of a sample that the analysis reads, None for all of them."""
    inputs = analysis.configuration.inputs
    given = inputs[name].columns if name in inputs else None
    found = set(given or ()).union(*(channel.columns for channel in analysis.channels))
    found |= set(inputs[name].keys if name in inputs else ())
    found |= analysis.cuts[name].columns if name in analysis.cuts else frozenset()
    found = found.union(*(one.seal.reveal for one in analysis.seals if one.sample == name))
    for task in _tasks(analysis):
        declared = fit_columns(task.method)
        if name in task.events.samples and declared is None and given is None:
            return None
        found |= target(task.method).columns | (declared or frozenset() if name in task.events.samples else frozenset())
    for compared in analysis.variables:
        found |= {compared.axis.name} if name in _seen(analysis, compared.method) else set()
    for label, one in analysis.predicted.items():
        if name in analysis.tasks[one.method].events.samples:
            more = needed_columns(analysis, label)
            if more is None:
                return None
            found |= (set(more) - one.columns.keys()).union(*map(expression_columns, one.columns.values()))
    return sorted(found)


def _predicted(analysis: Analysis, samples: Mapping[str, Source]) -> dict[str, Events]:
    """Return the samples that methods predict."""
    found = {}
    for name, one in analysis.predicted.items():
        task = analysis.tasks[one.method]
        setup = Setup(task.method, task.events.of(samples))
        asked = needed_columns(analysis, name)
        if asked is None:
            raise ConfigError(f"predicted sample '{name}': a method that sees it does not declare its columns")
        inner = sorted((set(asked) - one.columns.keys()).union(*map(expression_columns, one.columns.values())))
        rows = predicted(setup, [Channel(name, Region.everything())], inner, seed=analysis.configuration.seed)[name]
        made = {column: evaluate(text, rows.columns) for column, text in one.columns.items()}
        columns = {**rows.columns, **{column: np.broadcast_to(made, len(rows)) for column, made in made.items()}}
        found[name] = replace(rows, columns=columns).relabel(name)
    return found


def _from_files(analysis: Analysis, seals: Mapping[str, Seal], lazy: bool) -> Samples:
    used, inputs = _used(analysis), analysis.configuration.inputs
    files = {name: _files(analysis, name, one, seals.get(name)) for name, one in inputs.items() if name in used}
    kept = {name: [record for part in one.provenance() for record in part["files"]] for name, one in files.items()}
    if lazy:
        return Samples(files, kept)
    return Samples({name: _located(analysis, name, one.load) for name, one in files.items()}, kept)


def _files(analysis: Analysis, name: str, given: Input, seal: Seal | None) -> io.EventFiles:
    def look() -> io.EventFiles:
        found = io.read(
            files_of(analysis, name),
            needed_columns(analysis, name),
            sample=name,
            tree=given.tree,
            weight=given.weight,
            keys=given.keys,
            seal=seal,
            rename=given.rename,
            derived=analysis.configuration.derived,
            fill=given.fill,
            lazy=True,
        )
        return found.select(analysis.cuts[name]) if name in analysis.cuts else found

    return _located(analysis, name, look)  # type: ignore[no-any-return]


def _located(analysis: Analysis, name: str, action: Any) -> Any:
    """Return what an action on a sample's files returns; its errors get the place of the sample."""
    try:
        return action()
    except BackdropError as error:
        raise analysis.document.located(("inputs", name, "files"), error) from None


def _drawn(analysis: Analysis, seals: Mapping[str, Seal]) -> Mapping[str, Source]:
    drawn = analysis.draw.samples() if analysis.draw else {}
    for name in sorted(_used(analysis) | seals.keys()):
        if name not in drawn:
            have = ", ".join(drawn)
            text = f"the generator gives no sample '{name}'{nearest(name, drawn)}; it gives: {have}"
            raise DataError(analysis.document.message(("synthetic", "name"), text))
    return {name: _admitted(analysis, name, events, seals.get(name)) for name, events in drawn.items()}


def _admitted(analysis: Analysis, name: str, events: Events, seal: Seal | None) -> Events:
    """Pass drawn events through the door that read ones come through."""
    try:
        return io.read(
            {**events.columns, _WEIGHT: events.weight},
            needed_columns(analysis, name) or [*events.columns, *analysis.configuration.derived],
            sample=name,
            weight=_WEIGHT,
            seal=seal,
            derived=analysis.configuration.derived,
        )
    except BackdropError as error:
        raise analysis.document.located(("synthetic",), error) from None


def _tasks(analysis: Analysis) -> Iterator[Task]:
    yield from analysis.tasks.values()
    for variations in analysis.variations.values():
        for sides in variations.values():
            yield from sides


def _seen(analysis: Analysis, method: str) -> set[str]:
    """Return the samples that a method or one of its variations sees."""
    tasks = [analysis.tasks[method], *(side for sides in analysis.variations[method].values() for side in sides)]
    return {name for task in tasks for name in task.events.samples}


def _used(analysis: Analysis) -> set[str]:
    """Return the names of the samples that the analysis needs."""
    names = {name for task in _tasks(analysis) for name in task.events.samples}
    if analysis.fit is not None:
        names |= {analysis.fit.data, *(analysis.fit.signal.samples if analysis.fit.signal else ())}
        names = names.union(*(one.samples for process in analysis.fit.backgrounds.values() for one in _all(process)))
    return names - analysis.predicted.keys()


def _all(process: Process) -> Iterator[Combination]:
    if isinstance(process.events, Combination):
        yield process.events
    for sides in process.variations.values():
        yield from sides


def _path(folder: Path, text: str) -> str:
    """Return a path from the configuration's folder; URLs and absolute paths stay."""
    if "://" in text or Path(text).expanduser().is_absolute():
        return text
    return str(folder / text)
