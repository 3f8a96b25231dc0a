"""A chain of two variables, flat in cells: histograms of the same edges hold it exactly, sums have closed forms."""

from __future__ import annotations

from dataclasses import dataclass

import hist
import numpy as np

from backdrop import Events
from backdrop.learn.graph import Template
from backdrop.tasks import stream

CELLS = 4
FIRST = (0.1, 0.2, 0.3, 0.4)
SECOND = ((0.4, 0.3, 0.2, 0.1), (0.1, 0.2, 0.3, 0.4))
FLAT = (0.25, 0.25, 0.25, 0.25)


def axis(name: str, bins: int = CELLS) -> hist.axis.Regular:
    return hist.axis.Regular(bins, 0, 1, name=name)


GRAPH = (Template("A", (axis("u"),)), Template("B", (axis("v"),), given=(axis("u", 2),)))


@dataclass(frozen=True)
class Chain:
    """u in four cells; v in four cells that depend on the half of u; s = u + v, and a flat g beside them."""

    events: float = 4000.0
    first: tuple[float, ...] = FIRST
    second: tuple[tuple[float, ...], tuple[float, ...]] = SECOND

    def draw(self, seed: int, *, sample: str = "data", weight: float = 1.0) -> Events:
        rng = stream(seed, "chain", sample, int(self.events))
        number = rng.poisson(self.events)
        i = rng.choice(CELLS, number, p=self.first)
        j = (rng.uniform(size=number)[:, None] > np.cumsum(self.second, axis=1)[:, :-1][i // 2]).sum(axis=1)
        u, v = ((cell + rng.uniform(size=number)) / CELLS for cell in (i, j))
        columns = {"u": u, "v": v, "s": u + v, "g": rng.uniform(size=number)}
        return Events.of(columns, sample=sample, weight=np.full(number, weight))

    @property
    def cells(self) -> np.ndarray:
        """The expected number of events in each cell of (u, v)."""
        return self.events * np.array(self.first)[:, None] * np.array(self.second)[np.arange(CELLS) // 2]

    @property
    def sums(self) -> np.ndarray:
        """The expected number of events in eight bins of s from 0 to 2.

        In a cell (i, j) of a quarter's width, s is a triangle from (i + j) / 4 to (i + j + 2) / 4: half of it is in
        each quarter.
        """
        found = np.zeros(2 * CELLS)
        for (i, j), number in np.ndenumerate(self.cells):
            found[i + j : i + j + 2] += number / 2
        return found
