"""Analysis: everything a configuration asks for, as objects; nothing is read or computed yet."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..channel import Channel
from ..events import Events, Seal
from ..method import Method
from ..region import Region
from . import model
from .combination import Combination
from .document import Document

__all__ = ["Analysis", "Closure", "Compared", "Draw", "Fit", "Predicted", "Process", "SealedSample", "Task"]


@dataclass(frozen=True)
class Draw:
    """A generator of samples and its arguments."""

    generator: Callable[..., Mapping[str, Events]]
    seed: int
    arguments: Mapping[str, Any]

    def samples(self) -> Mapping[str, Events]:
        """Draw the samples."""
        return self.generator(seed=self.seed, **self.arguments)


@dataclass(frozen=True)
class SealedSample:
    """A region of a sample whose rows are not read."""

    sample: str
    seal: Seal


@dataclass(frozen=True)
class Task:
    """A method, the samples it sees and the channels it is asked for."""

    method: Method
    events: Combination
    channels: tuple[Channel, ...] = ()


@dataclass(frozen=True)
class Closure:
    """A comparison of prediction and observation that is asked for."""

    channel: str
    method: str
    as_variation: bool
    smooth: int | None


@dataclass(frozen=True)
class Compared:
    """A further axis in which a method is compared with what is observed in a channel."""

    channel: str
    method: str
    axis: Any


@dataclass(frozen=True)
class Predicted:
    """A sample that a method predicts, and the expressions of the columns that its rows have instead of their own."""

    method: str
    columns: Mapping[str, str]


@dataclass(frozen=True)
class Process:
    """A process and its (up, down) variations; one of them alone is mirrored.

    It is a combination of samples, or the estimate of the method `events` names. `free` is the relative change that a
    variation of its name stands for where its normalisation is free, None where it is fixed.
    """

    events: Combination | str
    variations: Mapping[str, tuple[Combination, ...]] = field(default_factory=dict)
    free: float | None = None


@dataclass(frozen=True)
class Fit:
    """A fit that is asked for."""

    data: str
    channels: tuple[str, ...]
    methods: tuple[str, ...]
    backgrounds: Mapping[str, Process]
    signal: Combination | None
    empty: float | None
    toys: int = 0


@dataclass(frozen=True)
class Analysis:
    """An analysis as objects.

    Attributes
    ----------
    configuration
        The validated configuration.
    document
        The text it was read from, for messages.
    folder
        Where relative paths start.
    draw
        The generator of the samples, None where they are read from files.
    regions
        Name to region.
    predicted
        Samples that methods predict, by name.
    cuts
        Sample to the region of the rows that belong to it, where not all do.
    seals
        The sealed (sample, region) pairs; one of them at most for a sample.
    tasks
        Method name to the method and its events.
    variations
        Method name to variation name to one task (mirrored) or an (up, down) pair.
    channels
        The channels, in the order of the configuration.
    closures
        The comparisons.
    variables
        The comparisons of further columns.
    fit
        The fit, None for none.
    """

    configuration: model.Configuration
    document: Document
    folder: Path
    draw: Draw | None
    regions: Mapping[str, Region]
    predicted: Mapping[str, Predicted]
    cuts: Mapping[str, Region]
    seals: tuple[SealedSample, ...]
    tasks: Mapping[str, Task]
    variations: Mapping[str, Mapping[str, tuple[Task, ...]]]
    channels: tuple[Channel, ...]
    closures: tuple[Closure, ...]
    variables: tuple[Compared, ...]
    fit: Fit | None

    @property
    def name(self) -> str:
        """The name of the analysis."""
        return self.configuration.name

    @property
    def settings(self) -> dict[str, Any]:
        """All settings as plain values, defaults filled in."""
        return self.configuration.model_dump(mode="json")

    @property
    def decisive(self) -> dict[str, Any]:
        """The settings that the numbers follow from: not title, notes and labels."""
        return {name: value for name, value in self.settings.items() if name not in ("title", "notes", "label")}

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the decisive settings."""
        return hashlib.sha256(json.dumps(self.decisive, sort_keys=True, allow_nan=False).encode()).hexdigest()

    def channel(self, name: str) -> Channel:
        """Return a channel by its name, which was checked when the analysis was built."""
        return next(channel for channel in self.channels if channel.name == name)
