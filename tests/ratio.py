"""The smallest method there is, a table with two tags for it, and events that come in chunks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import hist
import numpy as np

from backdrop import Channel, Events, Region
from backdrop.events import Sealed

TIGHT, LOOSE = Region("tight", "tag == 1"), Region("loose", "tag == 0")
LOW = Channel("low", Region("low", "m < 50"), (hist.axis.Regular(2, 0, 50, name="m"),))
HIGH = Channel("high", Region("high", "m >= 50"), (hist.axis.Regular(3, 50, 110, name="m"),))
BOTH = (LOW, HIGH)
CALLS: list[Any] = []
"""What the methods were called with."""


def table(seed: int = 1, n: int = 400) -> Events:
    """Return events with signed weights, a mass and a tag."""
    rng = np.random.default_rng(seed)
    columns = {"m": rng.uniform(0, 100, n), "tag": rng.integers(0, 2, n), "other": np.zeros(n)}
    return Events.of(columns, weight=rng.normal(1.0, 0.5, n))


@dataclass(frozen=True, eq=False)
class FactorModel:
    reads: Region
    factor: float

    def predict(self, events: Events, region: Region) -> Events:
        return self.factor * events.select(region & self.reads)

    def state(self) -> dict[str, Any]:
        return {"factor": self.factor}


@dataclass(frozen=True)
class Ratio:
    """Weights loose rows with the ratio of tight to loose ones, times a random number of a given width."""

    target: Region = TIGHT
    source: Region = LOOSE
    scale: float = 1.0
    noise: float = 0.0
    uncertainty: float = 0.0
    resample: str = "fit"
    columns = ("m",)

    def fit(self, events: Events, *, rng: np.random.Generator) -> FactorModel:
        CALLS.append(events)
        above, below = (events.require(region).weight.sum() for region in (self.target, self.source))
        return FactorModel(self.source, float(above / below) * self.scale + self.noise * rng.normal())

    def variations(self) -> Mapping[str, tuple[Ratio, Ratio]]:
        up, down = (replace(self, scale=self.scale + s * self.uncertainty, uncertainty=0.0) for s in (1, -1))
        return {"scale": (up, down)} if self.uncertainty else {}


@dataclass(frozen=True)
class Files:
    """Events handed out in chunks, as files would; notes which columns are asked for."""

    events: Events
    size: int
    asked: list[object] = field(default_factory=list)

    @property
    def sealed(self) -> tuple[Sealed, ...]:
        return self.events.sealed

    def load(self, columns: Sequence[str] | None = None, region: Region | None = None) -> Events:
        self.asked.append(columns)
        return self.events.load(columns, region)

    def chunks(self, columns: Sequence[str] | None = None) -> Iterator[Events]:
        self.asked.append(columns)
        for start in range(0, len(self.events), self.size):
            yield self.events._take(np.arange(start, min(start + self.size, len(self.events))))
