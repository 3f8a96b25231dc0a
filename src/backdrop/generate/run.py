"""generate(): events of a case in a file, made in chunks that resume, the same for any number of processes."""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..errors import ConfigError, DataError
from ..tasks import Map, Result, pool, resumable, sweep
from .bar import Clock, bar
from .cases import Case, case, settings
from .chunk import Chunk, run_chunk
from .detector import Detector
from .output import Writer, check_place, kept_bytes, locked, room, tasks_of
from .pythia import require, version
from .total import Generated, Total

__all__ = ["generate"]

FOOTER = 20_000
"""Bytes of a file without rows: the schema and the metadata."""

SLOWER = 12.0
"""About how much longer multi-parton interactions take."""

FRUITLESS = 50
"""Chunks without a single selected event after which the settings must be wrong."""


def generate(
    name: str,
    *,
    events: int,
    seed: int,
    out: Path | str,
    jobs: int = 1,
    mpi: bool = False,
    overwrite: bool = False,
    detector: Detector | None = None,
    chunk: int | None = None,
    map: Map | None = None,
) -> Generated:
    """Generate events of a case and write the selected ones to a Parquet file.

    The file holds the first `events` selected events in the order of the chunks, so it is the same, byte for byte, for
    any number of processes and after any interruption: finished chunks are kept beside it until it is complete.

    Multi-parton interactions are off unless asked for: real collisions have them, they would cost ten to fifteen times
    the time, and without them jets and isolation cones are cleaner than in data. There is no pile-up either.

    Parameters
    ----------
    name
        A row of `CASES`.
    events
        How many selected events; of leptons, events with at least one.
    seed
        Root of all random streams.
    out
        The Parquet file. The key ``gen`` of its metadata holds case, settings, seed, generated events, cross section,
        versions and the parameters of the detector as JSON.
    jobs
        Processes.
    mpi
        Generate multi-parton interactions.
    overwrite
        Replace a file that is there.
    detector
        Other parameters of the detector.
    chunk
        Generated events of one task, instead of the case's own; another number gives another file.
    map
        Any map to run the tasks with, in place of `jobs` processes.

    Raises
    ------
    ConfigError
        If there is no such case, the file exists or a number makes no sense.
    ResourceError
        If the `generate` extra is not installed, the disk is full or another process makes the same file.
    """
    chosen = case(name)
    path, size = Path(out), chosen.chunk if chunk is None else chunk
    _check(events=events, jobs=jobs, chunk=size)
    if not 0 <= seed < 2**63:
        raise ConfigError(f"seed must lie between 0 and 2**63 - 1, not {seed}")
    for module in ("pythia8mc", "fastjet"):
        require(module)
    # twice: the chunks are there until the file is complete
    needed = 2 * (events * chosen.row_bytes + FOOTER)
    check_place(path, needed - kept_bytes(path), overwrite=overwrite)
    lines = settings(chosen, mpi=mpi)
    first = Chunk(name, lines, chosen.veto, detector or Detector(), seed, 0, size, version())
    with room(path, needed), locked(path) as home, _mapping(map, jobs) as mapped:
        sweep(home)
        kept = len(list(home.glob("*.npz")))
        guess = events / chosen.selected_per_cpu_minute * 60.0 * (SLOWER if mpi else 1.0)
        clock = Clock(events, guess / min(jobs, os.cpu_count() or 1), kept)
        done = _written(path, home, first, chosen, clock, resumable(mapped, home))
    shutil.rmtree(tasks_of(path), ignore_errors=True)
    return done


# ---- the file --------------------------------------------------------------------------------------------------------


def _written(path: Path, home: Path, first: Chunk, chosen: Case, clock: Clock, mapped: Map) -> Generated:
    part = home / f".{path.name}.{os.getpid()}.part"
    writer, total = Writer(part), Total(first, chosen, clock.events)
    try:
        with bar(first.case, clock) as advance:
            for rows, selected in total.take(_results(first, chosen, clock.events, mapped)):
                writer.append(rows)
                advance(selected)
        writer.finish(json.dumps(total.metadata(), sort_keys=True, allow_nan=False))
        os.replace(part, path)
    except BaseException:
        writer.abandon()
        raise
    return total.generated(path)


def _results(first: Chunk, chosen: Case, events: int, mapped: Map) -> Iterator[Result]:
    """Yield the results of the chunks in order, started in waves of as many as are expected to be needed."""
    done, selected = 0, 0
    expected = chosen.efficiency * first.size
    while selected < events:
        if done >= FRUITLESS and not selected:
            raise DataError(f"no event of {done * first.size} generated was selected; check the settings of the case")
        mean = selected / done if selected else expected
        wave = range(done, done + max(1, math.ceil((events - selected) / mean)))
        for result in mapped(run_chunk, [replace(first, index=index) for index in wave]):
            done += 1
            selected += len(np.unique(result["event"]))
            yield result
            if selected >= events:
                return


# ---- around it -------------------------------------------------------------------------------------------------------


def _check(**numbers: int) -> None:
    for name, value in numbers.items():
        if value < 1:
            raise ConfigError(f"{name} must be at least 1, not {value}")


@contextmanager
def _mapping(given: Map | None, jobs: int) -> Iterator[Map]:
    if given is not None:
        yield given
        return
    with pool(jobs) as mapped:
        yield mapped
