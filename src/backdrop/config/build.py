"""From a configuration to an analysis: names become regions, methods, channels and samples."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path as FilePath
from typing import Any, TypeVar

from ..channel import Channel, overlapping
from ..errors import BackdropError, ConfigError, nearest
from ..events import Seal
from ..io import Derived
from ..io.door import derivations
from ..methods import METHODS
from ..region import Region
from ..synthetic import SAMPLES
from . import model, settings, strict_yaml
from .analysis import Analysis, Closure, Compared, Draw, Fit, Predicted, Process, SealedSample, Task
from .combination import Combination
from .document import Document, Path
from .regions import Regions
from .settings import Scope
from .validate import configuration

__all__ = ["build", "load"]

T = TypeVar("T")

_SAMPLE_SETTINGS = ("observed", "sample")
"""Settings of a method, or of a part of it, that name a sample."""


def load(path: FilePath | str, *, seed: int | None = None, inputs: Mapping[str, str] | None = None) -> Analysis:
    """Read a YAML configuration and build its analysis.

    `seed` replaces the configuration's, and `inputs` the files of the samples it names (relative to where the program
    runs).

    Raises
    ------
    ConfigError, CutError
        If anything in it is wrong: the message names line and column and the nearest right name.
    """
    document = strict_yaml.read(path)
    given, folder = configuration(document), FilePath(path).parent
    if seed is not None and not 0 <= seed < 2**63:
        raise ConfigError(f"the seed {seed} must be 0 or more, and less than 2**63")
    changes: dict[str, Any] = {} if seed is None else {"seed": seed}
    if inputs:
        changes["inputs"] = {**given.inputs, **{name: _input(given, name, one, folder) for name, one in inputs.items()}}
    return build(document, given.model_copy(update=changes), folder)


def _input(given: model.Configuration, name: str, files: str, folder: FilePath) -> model.Input:
    """Return the input of a sample with other files, their path made relative to the configuration's folder."""
    if name not in given.inputs:
        have = ", ".join(given.inputs) or "none"
        raise ConfigError(f"--input {name}={files}: no input '{name}'{nearest(name, given.inputs)}; inputs: {have}")
    if not files:
        raise ConfigError(f"--input {name}=: no file is named; write --input {name}=events.root:tree")
    place = files if "://" in files else os.path.relpath(files, folder)
    return given.inputs[name].model_copy(update={"files": [place]})


def build(document: Document, given: model.Configuration, folder: FilePath) -> Analysis:
    """Build the analysis of a validated configuration.

    Raises
    ------
    ConfigError, CutError
        If a name stands for nothing, or settings contradict each other.
    """
    names = _Names(document, given, folder)
    for name, text in given.derived.items():
        names.at(("derived", name), functools.partial(Derived, name, text))
    names.at(("derived",), lambda: derivations(given.derived))
    if given.replicas == 1:
        raise document.error(("replicas",), "1 replica has no spread: ask for 0, or for 2 or more")
    channels = tuple(_channel(names, name, one) for name, one in given.channels.items())
    tasks = {name: _task(names, name, method, channels) for name, method in given.methods.items()}
    return Analysis(
        configuration=given,
        document=document,
        folder=folder,
        draw=_draw(names),
        regions=names.regions.named,
        predicted={name: _predicted(names, name, one) for name, one in given.predicted.items()},
        cuts=_cuts(names),
        seals=_seals(names),
        tasks=tasks,
        variations={
            name: _variations(names, ("methods", name, "variations"), method.variations, tasks[name])
            for name, method in given.methods.items()
        },
        channels=channels,
        closures=_closures(names),
        variables=_variables(names),
        fit=None if given.fit is None else _fit(names, given.fit, channels),
    )


class _Names:
    """What the names of a configuration stand for, and where a wrong one stands."""

    def __init__(self, document: Document, given: model.Configuration, folder: FilePath) -> None:
        self.document, self.given = document, given
        self.regions = Regions.read(document, given.regions)
        methods = {name: row.method for name, row in METHODS.items()}
        self.scope = Scope(document, self.regions, methods, folder)
        if given.signal is not None and given.fit is None:
            raise document.error(("signal",), "'signal' is used by the fit alone; give 'fit' as well", on_key=True)
        if bool(given.inputs) == (given.synthetic is not None):
            what = "either 'inputs' or 'synthetic', not both" if given.inputs else "'inputs' or 'synthetic'"
            raise document.error((), f"the configuration needs {what}")

    def sample(self, path: Path, name: str) -> str:
        """Return a sample's name; a generator's samples are known only once it ran."""
        known = {**self.given.inputs, **self.given.predicted}
        return name if self.given.synthetic else self.known(path, name, known, "sample")

    def channel(self, path: Path, name: str) -> str:
        return self.known(path, name, self.given.channels, "channel")

    def methods(self, path: Path, names: list[str] | None) -> tuple[str, ...]:
        """Return the named methods, or all of them."""
        if names is None:
            return tuple(self.given.methods)
        return tuple(self.known((*path, i), name, self.given.methods, "method") for i, name in enumerate(names))

    def methods_in(self, path: Path, names: list[str] | None, channels: Sequence[str]) -> tuple[str, ...]:
        """Return the named methods, which must have the channels, or all that have them."""
        found = []
        for i, name in enumerate(self.methods(path, names)):
            own = self.given.methods[name].channels
            lacking = [channel for channel in channels if own is not None and channel not in own]
            if lacking and names is not None:
                text = f"method '{name}' has no channel '{lacking[0]}'; its channels: {', '.join(own or ())}"
                raise self.document.error((*path, i), text)
            found += [] if lacking else [name]
        if not found:
            raise self.document.error(path[:-1], f"no method has the channels {', '.join(channels)}")
        return tuple(found)

    def events(self, path: Path, text: str) -> Combination:
        found = self.at(path, lambda: Combination.read(text))
        for name in found.samples:
            self.sample(path, name)
        return found

    def known(self, path: Path, name: str, known: Collection[str], what: str) -> str:
        if name not in known:
            have = ", ".join(known) or "none"
            raise self.document.error(path, f"no {what} '{name}'{nearest(name, known)}; there is: {have}")
        return name

    def at(self, path: Path, make: Callable[[], T]) -> T:
        """Return what `make` returns; its errors get the place."""
        try:
            return make()
        except BackdropError as error:
            raise self.document.located(path, error) from None


def _draw(names: _Names) -> Draw | None:
    given = names.given.synthetic
    if given is None:
        return None
    name = names.known(("synthetic", "name"), given.name, SAMPLES, "generator")
    values = settings.arguments(SAMPLES[name], given.settings, names.scope, ("synthetic", "settings"))
    return Draw(SAMPLES[name], names.given.seed if given.seed is None else given.seed, values)


def _predicted(names: _Names, name: str, given: model.Predicted) -> Predicted:
    path: Path = ("predicted", name)
    if name in names.given.inputs:
        raise names.document.error(path, f"'{name}' is an input; give the predicted sample another name", on_key=True)
    method = names.known((*path, "method"), given.method, names.given.methods, "method")
    for column, text in given.columns.items():
        names.at((*path, "columns", column), functools.partial(Derived, column, text))
    used = names.events(("methods", method, "events"), names.given.methods[method].events).samples
    if others := [one for one in used if one in names.given.predicted]:
        text = (
            f"the method '{method}' of '{name}' sees '{others[0]}', which is predicted itself; let it see inputs only"
        )
        raise names.document.error((*path, "method"), text)
    return Predicted(method, dict(given.columns))


def _cuts(names: _Names) -> dict[str, Region]:
    given = {name: one.cut for name, one in names.given.inputs.items() if one.cut is not None}
    return {name: names.regions.at(("inputs", name, "cut"), cut) for name, cut in given.items()}


def _seals(names: _Names) -> tuple[SealedSample, ...]:
    found: dict[str, SealedSample] = {}
    for i, one in enumerate(names.given.seal):
        path: Path = ("seal", i)
        if one.sample in found:
            text = f"sample '{one.sample}' is sealed twice; seal one region, such as '{{SR}} | {{VR}}'"
            raise names.document.error((*path, "sample"), text)
        region = names.regions.at((*path, "region"), one.region)
        sample = names.sample((*path, "sample"), one.sample)
        found[one.sample] = SealedSample(sample, Seal(region, tuple(one.reveal)))
    return tuple(found.values())


def _channel(names: _Names, name: str, given: model.Channel) -> Channel:
    path: Path = ("channels", name)
    axes = tuple(settings.axis(one, names.document, (*path, "axes", i)) for i, one in enumerate(given.axes))
    region = names.regions.at((*path, "region"), given.region)
    return names.at(path, lambda: Channel(name, region, axes))


def _task(names: _Names, name: str, given: model.Method, channels: Sequence[Channel]) -> Task:
    path: Path = ("methods", name)
    kind = METHODS[names.known((*path, "type"), given.type, METHODS, "method")].method
    method = settings.build(kind, given.settings, names.scope, (*path, "settings"))
    events = names.events((*path, "events"), given.events)
    _check_samples(names, method, events, given.settings, (*path, "settings"))
    own = [names.channel((*path, "channels", i), one) for i, one in enumerate(given.channels or names.given.channels)]
    chosen = tuple(channel for channel in channels if channel.name in own)
    if check := getattr(method, "check_channel", None):
        for channel in chosen:
            names.at(("channels", channel.name), functools.partial(check, channel))
    return Task(method, events, chosen)


def _check_samples(names: _Names, part: Any, events: Combination, given: Mapping[str, Any], path: Path) -> None:
    """Refuse a setting that names a sample which the method does not see."""
    for field in fields(part):
        value, inside = getattr(part, field.name), given.get(field.name)
        if field.name in _SAMPLE_SETTINGS and isinstance(value, str) and value not in events.samples:
            have = ", ".join(events.samples)
            text = (
                f"no sample '{value}' ('{field.name}') in its events{nearest(value, events.samples)}; these are: {have}"
            )
            raise names.document.error(path if inside is None else (*path, field.name), text)
        if is_dataclass(value) and isinstance(inside, Mapping):
            _check_samples(names, value, events, inside, (*path, field.name))


def _variations(
    names: _Names, path: Path, given: Mapping[str, model.Variation], nominal: Task
) -> dict[str, tuple[Task, ...]]:
    return {
        label: tuple(_shifted(names, nominal, shift, place) for shift, place in _sides(names, one, (*path, label)))
        for label, one in given.items()
    }


def _sides(names: _Names, one: model.Variation, path: Path) -> list[tuple[model.Shift, Path]]:
    """Return the change of a variation, or its up and down changes, each with its place."""
    own = _changes(one)
    if own and (one.up or one.down):
        raise names.document.error(path, f"'{path[-1]}' has 'up' or 'down' beside a change of its own", on_key=True)
    if own:
        return [(one, path)]
    if one.up is None or one.down is None or not (_changes(one.up) and _changes(one.down)):
        text = f"'{path[-1]}' changes nothing: give 'events' or 'settings', or give them in both 'up' and 'down'"
        raise names.document.error(path, text, on_key=True)
    return [(one.up, (*path, "up")), (one.down, (*path, "down"))]


def _changes(one: model.Shift) -> bool:
    return one.events is not None or bool(one.settings)


def _shifted(names: _Names, nominal: Task, shift: model.Shift, path: Path) -> Task:
    method = settings.changed(nominal.method, shift.settings, names.scope, (*path, "settings"))
    events = nominal.events if shift.events is None else names.events((*path, "events"), shift.events)
    return Task(method, events, nominal.channels)


def _closures(names: _Names) -> tuple[Closure, ...]:
    found: dict[tuple[str, str], Closure] = {}
    for i, one in enumerate(names.given.closures):
        path: Path = ("closures", i)
        channel = names.channel((*path, "channel"), one.channel)
        if one.smooth is not None and one.smooth % 2 == 0:
            text = f"'smooth' must be an odd number of bins (1, 3, 5, …), not {one.smooth}"
            raise names.document.error((*path, "smooth"), text)
        for method in names.methods_in((*path, "methods"), one.methods, [channel]):
            if (channel, method) in found:
                raise names.document.error(path, f"the closure of '{method}' in '{channel}' is asked for twice")
            found[channel, method] = Closure(channel, method, one.as_variation, one.smooth)
    return tuple(found.values())


def _variables(names: _Names) -> tuple[Compared, ...]:
    found: dict[tuple[str, str, str], Compared] = {}
    tested = [(one.channel, one.method) for one in _closures(names)]
    for i, one in enumerate(names.given.variables):
        path: Path = ("variables", i)
        axis = settings.axis(one, names.document, path)
        methods = names.methods((*path, "methods"), one.methods)
        chosen = [names.channel((*path, "channels", k), name) for k, name in enumerate(one.channels or ())]
        asked = [
            (name, method) for name in chosen for method in names.methods_in((*path, "methods"), one.methods, [name])
        ]
        pairs = asked if one.channels else [pair for pair in tested if pair[1] in methods]
        if not pairs:
            text = "no method has a closure test here; name the 'channels' in which the variable is compared"
            raise names.document.error(path, text)
        for channel, method in pairs:
            if (channel, method, one.column) in found:
                text = f"the variable '{one.column}' is compared in channel '{channel}' already; give it once"
                raise names.document.error((*path, "column"), text)
            found[channel, method, one.column] = Compared(channel, method, axis)
    return tuple(found.values())


def _fit(names: _Names, given: model.Fit, channels: Sequence[Channel]) -> Fit:
    signal = names.given.signal
    chosen = [names.channel(("fit", "channels", i), name) for i, name in enumerate(given.channels)]
    if twice := next((i for i, name in enumerate(chosen) if name in chosen[:i]), None):
        text = f"channel '{chosen[twice]}' is named twice, which a likelihood would count twice; keep one"
        raise names.document.error(("fit", "channels", twice), text)
    if pair := overlapping(tuple(channel for channel in channels if channel.name in chosen)):
        text = f"channels '{pair[0]}' and '{pair[1]}' may share rows, which a likelihood would count twice"
        raise names.document.error(("fit", "channels"), f"{text}; fit one of them, or make their regions disjoint")
    if given.toys and (names.given.synthetic is None or names.given.seal or signal is None):
        text = "toys are fits of a signal to samples that 'synthetic' draws: give it and 'signal', and seal nothing"
        raise names.document.error(("fit", "toys"), text)
    methods = names.methods_in(("fit", "methods"), given.methods, chosen)
    for name, one in given.backgrounds.items():
        if one.method in methods and name != one.method:
            text = (
                f"'{one.method}' is fitted itself, so its estimate would count twice; leave it out of 'methods', or "
                f"call this background '{one.method}'"
            )
            raise names.document.error(("fit", "backgrounds", name, "method"), text)
    return Fit(
        data=names.sample(("fit", "data"), given.data),
        channels=tuple(chosen),
        methods=methods,
        backgrounds={name: _process(names, name, one) for name, one in given.backgrounds.items()},
        signal=None if signal is None else names.events(("signal",), signal),
        empty=given.empty,
        toys=given.toys,
    )


def _process(names: _Names, name: str, given: model.Process) -> Process:
    path: Path = ("fit", "backgrounds", name)
    if given.method is not None:
        names.known((*path, "method"), given.method, names.given.methods, "method")
    if name == "signal" or (name in names.given.methods and name != given.method):
        raise names.document.error(path, f"'{name}' is taken by a method or the signal; choose another", on_key=True)
    variations = {
        label: tuple(_scaled(names, shift, place) for shift, place in _sides(names, one, (*path, "variations", label)))
        for label, one in given.variations.items()
    }
    if (given.events is None) == (given.method is None):
        raise names.document.error(path, f"'{name}' needs either 'events' or 'method'", on_key=True)
    if given.method is None:
        return Process(names.events((*path, "events"), given.events or ""), variations, given.free)
    if variations:
        raise names.document.error(
            path, f"'{name}' is a method's estimate: its variations are the method's", on_key=True
        )
    return Process(given.method, {}, given.free)


def _scaled(names: _Names, shift: model.Shift, path: Path) -> Combination:
    if shift.settings or shift.events is None:
        raise names.document.error(path, f"a process has no settings: '{path[-1]}' needs 'events'", on_key=True)
    return names.events((*path, "events"), shift.events)
