"""Cases: examples of a method, with samples whose truth is known."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np

from ..channel import Channel
from ..estimate import Estimate, Setup, estimate
from ..events import Events, Sealed, Source
from ..method import Method
from ..region import Region

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Case", "Chunked", "Table", "join"]


@dataclass(frozen=True)
class Table:
    """Columns of one sample, as they would stand in a file, and the factor it enters the events with."""

    sample: str
    columns: Mapping[str, Any]
    weight: NDArray[np.float64]
    factor: float = 1.0


@dataclass(frozen=True)
class Case:
    """One example of a method, with known truth.

    Attributes
    ----------
    name
        What the case is called in test output.
    method
        The settings.
    channels
        Where the background is estimated.
    draw
        Seed to the tables of an independent toy.
    truth
        Expected yield of each bin, flat over the channels.
    sealed
        The region sealed in the first table's sample.
    features
        Columns that the method reads in fit or predict besides those in cuts (NaN there is a DataError).
    replicas
        How many replicas the pulls need.
    toys
        How many toys the pull law runs; 0 for methods whose pulls belong in a long validation.
    scale_tolerance
        Relative tolerance of the scaling law: 0 means exact to rounding (weighting methods).
    types
        Type name to model type, for loading.
    """

    name: str
    method: Method
    channels: tuple[Channel, ...]
    draw: Callable[[int], Sequence[Table]]
    truth: NDArray[np.float64]
    sealed: Region
    types: Mapping[str, type]
    features: tuple[str, ...] = ()
    replicas: int = 50
    toys: int = 200
    scale_tolerance: float = 1e-12

    def events(self, seed: int = 1) -> Events:
        """Return one toy's events."""
        return join(self.draw(seed))

    def setup(self, seed: int = 1) -> Setup:
        """Return one toy's setup."""
        return Setup(self.method, self.events(seed))

    def estimate(self, events: Source, *, replicas: int = 4, seed: int = 5) -> Estimate:
        """Estimate on given events."""
        return estimate(Setup(self.method, events), self.channels, replicas=replicas, seed=seed)


def join(tables: Sequence[Table], seal: Region | None = None) -> Events:
    """Return the tables as one set of events, the first one sealed."""
    parts = [
        table.factor * Events.of(table.columns, sample=table.sample, weight=table.weight, seal=None if i else seal)
        for i, table in enumerate(tables)
    ]
    return reduce(lambda a, b: a + b, parts)


@dataclass(frozen=True)
class Chunked:
    """Events handed out in chunks, as a set of files would be."""

    events: Events
    size: int
    sealed: tuple[Sealed, ...] = field(default=())

    def load(self, columns: Sequence[str] | None = None, region: Region | None = None) -> Events:
        """Return the events, or those of `region`."""
        return self.events.load(columns, region)

    def chunks(self, columns: Sequence[str] | None = None) -> Iterator[Events]:
        """Yield `size` rows at a time."""
        for start in range(0, len(self.events), self.size):
            yield self.events._take(np.arange(start, min(start + self.size, len(self.events))))
