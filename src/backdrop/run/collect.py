"""Collecting: from what was computed to `Results`, with all that a reader needs beside the numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, fields, is_dataclass
from typing import Any

from ..blinding import Unblinding
from ..config.analysis import Analysis, Task
from ..config.settings import described
from ..events import Source
from ..learn.graph import Template
from ..maps import BinnedMap
from ..method import card
from ..provenance import Provenance
from ..region import Region
from ..results import Results
from .execution import Outcome
from .samples import Samples

__all__ = ["results"]

_KEYS = ("method", "events", "process")
"""What a method of a configuration has besides its settings."""


def results(
    analysis: Analysis, outcome: Outcome, samples: Samples, looks: Sequence[Unblinding], provenance: Provenance
) -> Results:
    """Return the results of a run; what depends on times, paths and sizes of files is in the provenance alone."""
    given = analysis.configuration
    return Results(
        name=analysis.name,
        seed=given.seed,
        estimates=outcome.estimates,
        closures=outcome.closures,
        observed=outcome.observed,
        fits=outcome.fits,
        rankings=outcome.rankings,
        pulls=outcome.pulls,
        maps=outcome.maps,
        graphs={name: found for name, task in analysis.tasks.items() if (found := _templates(task))},
        pictures=outcome.pictures,
        checks=outcome.checks,
        cards={name: card(type(task.method)) for name, task in analysis.tasks.items()},
        settings={name: _settings(analysis, name, task) for name, task in analysis.tasks.items()},
        regions={name: region.cut for name, region in analysis.regions.items()},
        roles={name: _roles(task) for name, task in analysis.tasks.items()},
        blinding=_blinding(analysis, samples.events, looks),
        provenance=asdict(provenance),
        title=given.title,
        notes=given.notes,
        warnings=(*samples.warnings, *outcome.warnings),
        label=given.label.model_dump(),
    )


def _templates(task: Task) -> tuple[Template, ...]:
    """Return the graph that a method draws from, empty if it has none."""
    return tuple(one for one in getattr(task.method, "graph", ()) if isinstance(one, Template))


def _settings(analysis: Analysis, name: str, task: Task) -> dict[str, str]:
    given = analysis.configuration.methods[name]
    found = {"method": given.type, "events": str(task.events)}
    found |= {"process": given.process} if given.process else {}
    own = {setting: described(value) for setting, value in _fields(task.method).items()}
    found |= {f"settings.{name}" if name in _KEYS else name: text for name, text in own.items()}
    shifts = {label: _shifts(task, sides) for label, sides in analysis.variations[name].items()}
    purposes = {label: one.purpose for label, one in given.variations.items() if one.purpose}
    return (
        found
        | {f"variation {label}": text for label, text in shifts.items()}
        | {f"purpose {label}": text for label, text in purposes.items()}
    )


def _shifts(nominal: Task, sides: Sequence[Task]) -> str:
    return " / ".join("; ".join(_changes(nominal, side)) for side in sides) + (" (mirrored)" if len(sides) == 1 else "")


def _changes(nominal: Task, side: Task) -> Iterator[str]:
    if side.events != nominal.events:
        yield str(side.events)
    yield from _differences(nominal.method, side.method)


def _differences(nominal: object, side: object, prefix: str = "") -> Iterator[str]:
    """Yield the settings that differ, nested ones by their own name."""
    for name, value in _fields(side).items():
        old = getattr(nominal, name, None)
        if value == old:
            continue
        if type(value) is type(old) and is_dataclass(value) and not isinstance(value, Region | BinnedMap):
            yield from _differences(old, value, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name} = {described(value)}"


def _roles(task: Task) -> dict[str, str]:
    """Return the regions of a method by role: its own, those that follow from its settings, and those of its parts."""
    own = {name: getattr(task.method, name, None) for name in ("target", "source")} | _fields(task.method)
    parts = {f"{name} {inner}": one for name, value in own.items() for inner, one in _fields(value).items()}
    found = {name: one for name, one in (own | parts).items() if isinstance(one, Region)}
    return {name: one.name for name, one in found.items() if one != Region.everything()}


def _fields(method: object) -> dict[str, Any]:
    """Return the settings of a method."""
    if not is_dataclass(method) or isinstance(method, type):
        return {}
    return {field.name: getattr(method, field.name) for field in fields(method)}


def _blinding(analysis: Analysis, events: Mapping[str, Source], looks: Sequence[Unblinding]) -> dict[str, Any]:
    still = {one.sample for source in events.values() for one in source.sealed}
    return {
        "sealed": [
            {
                "sample": one.sample,
                "region": one.seal.region.name,
                "cut": one.seal.region.cut,
                "revealed": list(one.seal.reveal),
            }
            for one in analysis.seals
            if one.sample in still
        ],
        "log": [asdict(entry) for entry in looks if entry.analysis == analysis.name],
    }
