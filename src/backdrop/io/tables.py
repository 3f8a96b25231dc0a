"""Tables: one interface to the rows of any input, in blocks of the columns asked for."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeVar

from ..errors import DataError, ResourceError
from ..region import Region
from ..strict_json import loads
from .fields import Column, Field
from .files import File
from .remote import Unanswered, guarded, pause

__all__ = ["KEY", "SAMPLE", "WEIGHT", "Stored", "Table", "blocks_of", "looked_into"]

T = TypeVar("T")

KEY, SAMPLE, WEIGHT = "backdrop_key", "backdrop_sample", "backdrop_weight"
"""The columns that keep key, sample number and weight in a file written here."""

_FEWEST_ROWS = 1024
_MOST_IDLE = 4

_idle: dict[tuple[Any, ...], Table] = {}


@dataclass(frozen=True)
class Stored:
    """What a file written here says of its events: sample names, seals, and the types of its columns."""

    samples: tuple[str, ...]
    sealed: tuple[tuple[str, str, str, bool], ...]
    columns: Mapping[str, str]

    def text(self) -> str:
        """Return it as JSON."""
        return json.dumps({"samples": self.samples, "sealed": self.sealed, "columns": dict(self.columns)})

    @classmethod
    def of(cls, text: str, path: str) -> Stored:
        """Read it from JSON.

        Raises
        ------
        DataError
            If the text is not what :meth:`text` writes.
        """
        try:
            found = loads(text)
            sealed = tuple((str(s), Region(n, c).name, str(c), bool(done)) for s, n, c, done in found["sealed"])
            return cls(tuple(map(str, found["samples"])), sealed, dict(found["columns"]))
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path}: its description of samples and seals is damaged ({error})") from error


class Table(Protocol):
    """The rows of one input."""

    stored: Stored | None

    @property
    def names(self) -> Sequence[str]:
        """The names of all columns."""
        ...

    @property
    def entries(self) -> int:
        """The number of rows, sealed ones included: for provenance and checks of damage, nothing else."""
        ...

    def has(self, name: str) -> bool:
        """Say whether there is a column of this name."""
        ...

    def field(self, name: str) -> Field:
        """Return the type of a column."""
        ...

    def blocks(self, names: Sequence[str], rows: int, start: int = 0) -> Iterator[dict[str, Column]]:
        """Yield the named columns from row `start` on, about `rows` rows at a time."""
        ...

    def close(self) -> None:
        """Let go of the file."""
        ...


def open_table(file: File) -> Table:
    """Open a file whose format is known."""
    from .delimited import CsvTable
    from .parquet import ParquetTable
    from .root import RootTable

    kinds: dict[str, type[Any]] = {"root": RootTable, "parquet": ParquetTable, "csv": CsvTable}
    opened: Table = kinds[file.format](file)
    return opened


def looked_into(file: File, look: Callable[[Table], T]) -> T:
    """Return what `look` finds in a file; each retry opens it afresh, since half-read tables stay broken.

    Raises
    ------
    DataError
        If it cannot be read.
    """

    def action() -> T:
        with opened(file) as table:
            return look(table)

    return guarded(file.path, action)


@contextmanager
def opened(file: File) -> Iterator[Table]:
    """Give a file's table, and keep it for the next time unless something went wrong.

    Opening a tree of a thousand branches takes a second, often more than reading the few that are needed.
    """
    table = _idle.pop(_state(file), None) or open_table(file)
    try:
        yield table
    except BaseException:
        table.close()
        raise
    if file.remote:
        table.close()
    else:
        _idle[_state(file)] = table
    while len(_idle) > _MOST_IDLE:
        _idle.pop(next(iter(_idle))).close()


def _state(file: File) -> tuple[Any, ...]:
    """Return what identifies an open file: of this process, and unchanged since."""
    if file.remote:
        return ()
    found = os.stat(file.path.removeprefix("file://"))
    return (os.getpid(), file, found.st_ino, found.st_size, found.st_mtime_ns)


def blocks_of(file: File, names: Sequence[str], rows: int) -> Iterator[dict[str, Column]]:
    """Yield the blocks of a file; where memory runs out with smaller ones, where a server fails from there on.

    Raises
    ------
    DataError
        If the file is damaged or its server does not answer.
    ResourceError
        If even small blocks do not fit in memory.
    """
    done = failures = 0
    while True:
        try:
            with ExitStack() as stack:
                table = guarded(file.path, lambda: stack.enter_context(opened(file)))
                blocks = table.blocks(names, rows, done)
                while (block := guarded(file.path, partial(next, blocks, None), _of(names), again=False)) is not None:
                    done, failures = done + len(next(iter(block.values()))), 0
                    yield block
                _check_end(file, table, done)
                return
        except Unanswered as error:
            # A generator that failed is over: the next try opens the file again and goes on behind the last block.
            failures += 1
            pause(file.path, failures, error)
        except MemoryError as error:
            rows //= 2
            if rows < _FEWEST_ROWS:
                raise ResourceError(
                    f"{file}: {rows * 2} rows of {len(names)} columns do not fit in memory; name fewer columns, "
                    "or give the job more memory"
                ) from error


def _check_end(file: File, table: Table, rows: int) -> None:
    if file.format != "csv" and rows != table.entries:
        raise DataError(f"{file} ends before the last entry that it announces; it is damaged or truncated")


def _of(names: Sequence[str]) -> str:
    return f" (reading {', '.join(names[:5])}{', ...' if len(names) > 5 else ''})"
