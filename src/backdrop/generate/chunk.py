"""A chunk: a task of fixed size with a seed of its own, so that the rows depend on nothing else."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..tasks import Result, named_seed, stream
from .cases import CASES
from .detector import Detector
from .pythia import BATCH, SEEDS, Run, Veto

__all__ = ["CPU", "SIGMA", "Chunk", "columns_of", "run_chunk"]

SIGMA, CPU = "_sigma_pb", "_cpu_s"


@dataclass(frozen=True)
class Chunk:
    """A task: a fixed number of generated events with a seed of its own, and all that its result follows from."""

    case: str
    settings: tuple[str, ...]
    veto: Veto | None
    detector: Detector
    seed: int
    index: int
    size: int
    versions: str

    @property
    def generator_seed(self) -> int:
        """The seed of Pythia: no two chunks of a run share one."""
        return 1 + (named_seed(self.seed, "generate", self.case) + self.index) % SEEDS

    @property
    def first_event(self) -> int:
        """The number of the first event: unlike that of other seeds and cases, so that files can be joined."""
        return (named_seed(self.seed, "events", self.case) >> 33 << 32) + self.index * self.size


def run_chunk(chunk: Chunk) -> Result:
    """Generate the events of a chunk, and return the columns of the selected ones and what it took."""
    analyse = CASES[chunk.case].analyse
    start = time.process_time()
    rng = stream(chunk.seed, "detector", chunk.case, chunk.index)
    run = Run(chunk.settings, chunk.generator_seed, chunk.veto)
    parts = []
    for number, record in enumerate(run.batches(chunk.size)):
        columns = analyse(record, chunk.detector, rng)
        first = chunk.first_event + number * BATCH
        parts.append({name: _compact(name, values, first) for name, values in columns.items()})
    result = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return result | {
        SIGMA: np.array(run.cross_section),
        CPU: np.array(time.process_time() - start),
    }


def _compact(name: str, values: NDArray[Any], first_event: int) -> NDArray[Any]:
    if name == "event":
        return values.astype(np.int64) + first_event
    return values.astype({"f": np.float32, "i": np.int8, "u": np.int8}.get(values.dtype.kind, values.dtype))


def columns_of(result: Result) -> Result:
    """Return the columns of a chunk's result without what is known of the chunk as a whole."""
    return {name: values for name, values in result.items() if not name.startswith("_")}
