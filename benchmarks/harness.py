"""Time ours and a peer in turns, compare what they computed, and keep the medians.

A benchmark is a file ``bench_NAME.py`` with a function ``rows()`` that gives `Row` objects. Both callables of a row run
in this process, on one core and one thread, in the order ours, theirs, ours, theirs, ..., so that a slow minute of the
machine hits both. The ratio is the peer's median time over ours: above 1 we are faster.
"""

from __future__ import annotations

import argparse
import difflib
import gc
import importlib.metadata
import importlib.util
import json
import math
import os
import platform
import statistics
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"

Clock = Callable[[], float]
Quality = str | Mapping[str, float | str]


class Disagreement(Exception):
    """Raised by ``Row.quality`` when the two sides did not compute the same thing: the row fails at any speed."""


@dataclass(frozen=True)
class Row:
    """One comparison with a peer.

    ``ours`` and ``theirs`` are what is timed; prepare their input before. Where the peer is too slow for our amount of
    work, give each side its own: times are then divided by ``ours_work`` and ``theirs_work``, and ``unit`` says what
    one unit of work is ("s/fit"). ``quality(ours_result, theirs_result)`` returns the agreement measured, or raises
    `Disagreement`. ``packages`` are the distributions whose versions belong to the result.
    """

    name: str
    peer: str
    bar: float
    unit: str
    ours: Callable[[], Any]
    theirs: Callable[[], Any]
    quality: Callable[[Any, Any], Quality]
    packages: tuple[str, ...] = ()
    ours_work: float = 1.0
    theirs_work: float = 1.0
    repeats: int = 5
    warmups: int = 1


@dataclass(frozen=True)
class Result:
    """What `measure` found: ``record`` is what the file keeps, ``failure`` why the row fails, or empty."""

    record: dict[str, Any]
    failure: str = ""


def measure(row: Row, clock: Clock = time.perf_counter) -> Result:
    """Run both sides of a row in turns and compare them."""
    ours, theirs, results = _interleave(row, clock)
    record: dict[str, Any] = {
        "name": row.name,
        "peer": row.peer,
        "ratio": _rounded(theirs / ours),
        "bar": row.bar,
        "ours": _rounded(ours),
        "theirs": _rounded(theirs),
        "unit": row.unit,
        "quality": "",
        "machine": machine(),
        "date": datetime.now(UTC).date().isoformat(),
        "versions": versions(row.packages),
    }
    failure = "" if theirs / ours >= row.bar else f"ratio {record['ratio']} is below the bar {row.bar}"
    try:
        record["quality"] = _plain(row.quality(*results))
    except Disagreement as error:
        record["quality"] = {"disagreement": str(error)}
        failure = f"results disagree: {error}"
    return Result(record, failure)


def _interleave(row: Row, clock: Clock) -> tuple[float, float, tuple[Any, Any]]:
    sides = (row.ours, row.theirs)
    for _ in range(row.warmups):
        for side in sides:
            side()
    times: tuple[list[float], list[float]] = ([], [])
    results: list[Any] = [None, None]
    for _ in range(row.repeats):
        for i, side in enumerate(sides):
            results[i] = None
            seconds, results[i] = _timed(side, clock)
            times[i].append(seconds)
    ours, theirs = (statistics.median(t) for t in times)
    return ours / row.ours_work, theirs / row.theirs_work, (results[0], results[1])


def _timed(side: Callable[[], Any], clock: Clock) -> tuple[float, Any]:
    gc.collect()
    gc.disable()
    try:
        start = clock()
        result = side()
        return clock() - start, result
    finally:
        gc.enable()


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")


def _plain(quality: Quality) -> str | dict[str, float | str]:
    if isinstance(quality, str):
        return quality
    plain = {key: value if isinstance(value, str) else _rounded(float(value)) for key, value in quality.items()}
    for key, value in plain.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise Disagreement(f"{key} is {value}")
    return plain


def machine() -> str:
    """The processor's model and the number of its cores, as the system states them."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    model = models[0] if models else platform.processor() or platform.machine()
    cores = len(models) or os.cpu_count() or 1
    return f"{model}, {cores} core{'s' if cores > 1 else ''}"


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Versions of Python, of ours, of NumPy and of the packages named."""
    names = dict.fromkeys(("backdrop", "numpy", *packages))
    return {"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in names}


def write(path: Path, records: list[dict[str, Any]]) -> None:
    """Replace a result file as a whole: a reader sees the old or the new one, also after a crash."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            json.dump(records, file, indent=2, ensure_ascii=False, allow_nan=False)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def discover(folder: Path = HERE) -> dict[str, Path]:
    """The benchmarks of a folder by name: ``bench_NAME.py``."""
    return {path.stem.removeprefix("bench_"): path for path in sorted(folder.glob("bench_*.py"))}


def load(path: Path) -> Iterable[Row]:
    """The rows of a benchmark file."""
    name = f"benchmarks.{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"cannot load {path}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # worker processes find the callables by this name
    spec.loader.exec_module(module)
    rows: Iterable[Row] = module.rows()
    return rows


def run(name: str, path: Path, results: Path, console: Console) -> bool:
    """Measure one benchmark, write its file, print its table; true when every row held."""
    try:
        measured = [measure(row) for row in load(path)]
    except Exception:
        console.print(f"[red]{name} stopped:[/red]")
        console.print(traceback.format_exc(), markup=False, highlight=False)
        return False
    write(results / f"{name}.json", [result.record for result in measured])
    console.print(table(name, measured))
    return not any(result.failure for result in measured)


def table(name: str, measured: Iterable[Result]) -> Table:
    """Draw one benchmark for the terminal."""
    drawn = Table("work", "peer", "ours", "theirs", "unit", "ratio", "bar", "agreement", "", title=name)
    for result in measured:
        drawn.add_row(*_cells(result))
    return drawn


def _cells(result: Result) -> list[str]:
    r = result.record
    verdict = f"[red]{escape(result.failure)}[/red]" if result.failure else "[green]held[/green]"
    times = [f"{r['ours']:.4g}", f"{r['theirs']:.4g}", r["unit"], f"{r['ratio']:.4g}", f"{r['bar']:g}"]
    return [escape(r["name"]), escape(r["peer"]), *times, escape(_in_words(r["quality"])), verdict]


def _in_words(quality: str | dict[str, float | str]) -> str:
    return quality if isinstance(quality, str) else ", ".join(f"{key} {value}" for key, value in quality.items())


def main(argv: list[str] | None = None, folder: Path = HERE, results: Path = RESULTS) -> int:
    """Run the benchmarks named, or all; 0 when every bar holds, 1 when one does not, 2 for a name that is not there."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Our speed against named peers.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="benchmarks to run (default: all)")
    parser.add_argument("--list", action="store_true", help="print the names and stop")
    asked = parser.parse_args(argv)
    found = discover(folder)
    if asked.list:
        print(*found, sep="\n")
        return 0
    console = Console(width=None if sys.stdout.isatty() else 160)
    unknown = [name for name in asked.names if name not in found]
    for name in unknown:
        near = difflib.get_close_matches(name, found, 1)
        hint = f"did you mean '{near[0]}'?" if near else f"there are: {', '.join(found) or 'none'}"
        console.print(f"no benchmark '{name}'; {hint}", markup=False)
    if unknown:
        return 2
    held = [run(name, found[name], results, console) for name in asked.names or found]
    return 0 if all(held) else 1
