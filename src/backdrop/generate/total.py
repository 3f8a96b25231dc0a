"""What is known of a file of events: counted while it is written, and what it says about itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..tasks import Result
from ..version import __version__
from .cases import Case
from .chunk import CPU, SIGMA, Chunk, columns_of
from .output import Columns

__all__ = ["Generated", "Total"]


@dataclass(frozen=True)
class Generated:
    """What was made.

    Attributes
    ----------
    path
        The file.
    case
        The name of the case.
    events, rows
        Selected events, and rows in the file (leptons have one row each).
    n_generated
        Events that passed the veto, up to the last one selected: `n_generated` / `sigma_pb` is the luminosity of the
        file in 1/pb.
    sigma_pb, sigma_error_pb
        Cross section after the veto, and its statistical error.
    cpu_s
        CPU time of the chunks, whenever they were run.
    chunk_events
        Events that were generated in them.
    metadata
        What the file says about itself.
    """

    path: Path
    case: str
    events: int
    rows: int
    n_generated: int
    sigma_pb: float
    sigma_error_pb: float
    cpu_s: float
    chunk_events: int
    metadata: Mapping[str, Any] = field(repr=False)

    @property
    def generated_per_cpu_s(self) -> float:
        """Generated events per second of CPU time."""
        return self.chunk_events / self.cpu_s

    @property
    def rows_per_cpu_hour(self) -> float:
        """Rows of the file per hour of CPU time."""
        return 3600.0 * self.rows / self.n_generated * self.generated_per_cpu_s


class Total:
    """What is known of the file when all its rows are there."""

    def __init__(self, first: Chunk, chosen: Case, events: int) -> None:
        self.first, self.chosen, self.events = first, chosen, events
        self.selected = self.rows = self.generated_events = self.chunks = 0
        self.sigma: list[NDArray[np.float64]] = []
        self.cpu_s = 0.0

    def take(self, results: Iterator[Result]) -> Iterator[tuple[Columns, int]]:
        """Yield the rows of the first `events` selected events, chunk by chunk, and of how many events they are."""
        for index, result in enumerate(results):
            numbers = np.unique(result["event"])[: self.events - self.selected]
            rows = int(np.isin(result["event"], numbers).sum())
            self.selected += len(numbers)
            self.rows += rows
            self.chunks = index + 1
            self.sigma.append(result[SIGMA])
            self.cpu_s += float(result[CPU])
            self.generated_events = self.chunks * self.first.size
            if self.selected == self.events:
                last = int(numbers[-1]) - self.first.first_event
                self.generated_events = last + 1
            yield {name: values[:rows] for name, values in columns_of(result).items()}, len(numbers)

    @property
    def _cross_section(self) -> tuple[float, float]:
        value, error = np.array(self.sigma).T
        return float(value.mean()), float(np.sqrt(np.square(error).sum()) / len(error))

    def metadata(self) -> dict[str, Any]:
        """Return what the file says about itself: nothing that differs from one run to the next."""
        sigma, error = self._cross_section
        return {
            "case": self.first.case,
            "title": self.chosen.title,
            "settings": list(self.first.settings),
            "veto": asdict(self.first.veto) if self.first.veto else None,
            "mpi": "PartonLevel:MPI = on" in self.first.settings,
            "seed": self.first.seed,
            "chunk": self.first.size,
            "n_chunks": self.chunks,
            "n_generated": self.generated_events,
            "n_selected": self.selected,
            "n_rows": self.rows,
            "selected_per_generated": self.selected / self.generated_events,
            "sigma_pb": sigma,
            "sigma_error_pb": error,
            "luminosity_per_pb": self.generated_events / sigma,
            "generator": self.first.versions,
            "backdrop": __version__,
            "detector": asdict(self.first.detector),
        }

    def generated(self, path: Path) -> Generated:
        """Return what was made."""
        sigma, error = self._cross_section
        return Generated(
            path,
            self.first.case,
            self.selected,
            self.rows,
            self.generated_events,
            sigma,
            error,
            self.cpu_s,
            self.chunks * self.first.size,
            self.metadata(),
        )
