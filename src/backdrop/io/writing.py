"""write(): events to Parquet, ROOT or CSV, so that a reader finds all of the file or none of it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from itertools import chain
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias

from ..errors import DataError
from ..events import Events, Source
from ..tasks import refuse_input
from .fields import Column, field_in_memory, is_awkward
from .files import digest
from .manifest import Manifest, beside
from .tables import KEY, SAMPLE, WEIGHT, Stored

__all__ = ["write"]

Format: TypeAlias = Literal["parquet", "ttree", "rntuple", "csv"]

_FORMATS: dict[str, Format] = {".parquet": "parquet", ".pq": "parquet", ".root": "ttree", ".csv": "csv"}


class Sink(Protocol):
    """A file being written, block by block."""

    def append(self, columns: Mapping[str, Column]) -> None:
        """Write the rows of a block."""
        ...


def write(
    path: Path | str,
    events: Source | Mapping[str, Any],
    *,
    format: Format | None = None,
    tree: str = "Events",
    overwrite: bool = False,
) -> None:
    """Write events, or plain columns, to a file and its manifest.

    Weights, samples, keys and seals are written with the columns, so that `read` gives the same events back. What a
    seal reveals is not written. The file appears as a whole or not at all; ``<file>.manifest.json`` with its SHA-256
    and number of entries comes last, and `read` checks it.

    Parameters
    ----------
    path
        The file to be made.
    events
        `Events`, `EventFiles` (written chunk by chunk), or a mapping from name to column.
    format
        Parquet, TTree, RNTuple or CSV; by default what the extension says, a TTree for ``.root``.
    tree
        The name of the TTree or RNTuple.
    overwrite
        Replace a file that is there. A file that was read in this process is never replaced.

    Raises
    ------
    DataError
        If the file exists or was read, or the format cannot hold a column.
    """
    path = Path(path)
    kind = format or _format(path)
    _refuse(path, overwrite)
    blocks, stored = _blocks(events)
    first = next(blocks)
    _check_columns(first, kind)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        entries = _written(temporary, kind, tree, stored, first, blocks)
        _sync(temporary)
        beside(path).unlink(missing_ok=True)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    columns = {name: str(field_in_memory(column)) for name, column in first.items()}
    Manifest(path.stat().st_size, digest(str(path)), entries, columns).save(path)


def _format(path: Path) -> Format:
    if path.suffix.lower() not in _FORMATS:
        raise DataError(f"{path}: the extension names no format; use {', '.join(_FORMATS)}, or give format=")
    return _FORMATS[path.suffix.lower()]


def _refuse(path: Path, overwrite: bool) -> None:
    refuse_input(path)
    if path.exists() and not overwrite:
        raise DataError(f"{path} exists already; give overwrite=True to replace it")


def _blocks(events: Source | Mapping[str, Any]) -> tuple[Iterator[dict[str, Column]], Stored | None]:
    """Return the columns block by block, and what is to be said of them."""
    if isinstance(events, Mapping):
        from .memory import MemoryTable

        table = MemoryTable(events)
        return iter([next(table.blocks(table.names, max(1, table.entries)), dict(events))]), None
    chunks = events.chunks()
    first = next(chunks)
    sealed = tuple((one.sample, one.region.name, one.region.cut, one.cleared) for one in first.sealed)
    types = {name: str(field_in_memory(column)) for name, column in first.columns.items()}
    return _with_own(first, chunks), Stored(first.samples, sealed, types)


def _with_own(first: Events, others: Iterator[Events]) -> Iterator[dict[str, Column]]:
    for one in chain([first], others):
        yield _own(one)


def _own(events: Events) -> dict[str, Column]:
    clash = [name for name in (KEY, SAMPLE, WEIGHT) if name in events.columns]
    if clash:
        raise DataError(f"column '{clash[0]}' has a name that is kept for the events' own; rename it")
    return {**events.columns, WEIGHT: events.weight, SAMPLE: events.sample, KEY: events.key}


def _check_columns(columns: Mapping[str, Column], kind: Format) -> None:
    """Refuse what a format cannot hold, before anything is written."""
    allowed: dict[str, Sequence[str]] = {"parquet": ("number", "list", "text", "nested"), "csv": ("number", "text")}
    for name, column in columns.items():
        field = field_in_memory(column)
        missing = is_awkward(column) and "?" in str(column.type)
        if field.kind not in allowed.get(kind, ("number", "list")) or (missing and kind != "parquet"):
            what = f"{field}{' with missing entries' if missing else ''}"
            raise DataError(f"column '{name}' holds {what}, which {kind} cannot keep; write Parquet, or leave it out")


def _written(
    path: Path, kind: Format, tree: str, stored: Stored | None, first: dict[str, Column], rest: Iterator[Any]
) -> int:
    from .sinks import CsvSink, ParquetSink, RootSink

    text = stored.text() if stored else None
    fields = {name: field_in_memory(column) for name, column in first.items()}
    opened: AbstractContextManager[Sink]
    if kind == "parquet":
        opened = ParquetSink(path, first, text)
    elif kind == "csv":
        opened = CsvSink(path, fields, text)
    else:
        opened = RootSink(path, fields, text, tree, kind == "rntuple")
    entries = 0
    with opened as sink:
        for block in chain([first], rest):
            _check_columns(block, kind)
            sink.append(block)
            entries += len(next(iter(block.values())))
    return entries


def _sync(path: Path) -> None:
    with open(path, "rb") as file:
        os.fsync(file.fileno())
