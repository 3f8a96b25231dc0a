"""Tables: one interface to the rows of any input, in blocks of the columns asked for."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from ..errors import DataError, ResourceError
from ..region import Region
from .fields import Column, Field
from .files import File
from .remote import guarded

__all__ = ["KEY", "SAMPLE", "WEIGHT", "Stored", "Table", "blocks_of", "open_table"]

KEY, SAMPLE, WEIGHT = "backdrop_key", "backdrop_sample", "backdrop_weight"
"""The columns that keep key, sample number and weight in a file written here."""

_FEWEST_ROWS = 1024


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
            found = json.loads(text)
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
    """Open a file whose format is known.

    Raises
    ------
    DataError
        If it cannot be read.
    """
    from .delimited import CsvTable
    from .parquet import ParquetTable
    from .root import RootTable

    kinds: dict[str, type[Any]] = {"root": RootTable, "parquet": ParquetTable, "csv": CsvTable}
    opened: Table = guarded(file.path, lambda: kinds[file.format](file))
    return opened


def blocks_of(file: File, names: Sequence[str], rows: int) -> Iterator[dict[str, Column]]:
    """Yield the blocks of a file; where memory runs out with smaller ones, where a server fails from there on.

    Raises
    ------
    DataError
        If the file is damaged or its server does not answer.
    ResourceError
        If even small blocks do not fit in memory.
    """
    done = 0
    while True:
        try:
            with closing(open_table(file)) as table:
                blocks = table.blocks(names, rows, done)
                while (block := guarded(file.path, partial(next, blocks, None), _of(names))) is not None:
                    done += len(next(iter(block.values())))
                    yield block
                return
        except MemoryError as error:
            rows //= 2
            if rows < _FEWEST_ROWS:
                raise ResourceError(
                    f"{file}: {rows * 2} rows of {len(names)} columns do not fit in memory; name fewer columns, "
                    "or give the job more memory"
                ) from error


def _of(names: Sequence[str]) -> str:
    return f" (reading {', '.join(names[:5])}{', ...' if len(names) > 5 else ''})"
