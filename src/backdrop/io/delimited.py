"""CSV files: a header and numbers.

The types must not be guessed from the values, since those may be sealed: a column holds float64 unless it is named as
a key (int64), or the file or its manifest says what it holds.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from ..errors import DataError
from .fields import TEXT, Column, Field, number
from .files import File
from .remote import filesystem
from .tables import KEY, SAMPLE, WEIGHT, Stored

_BLOCK_BYTES = 1 << 20
_LONGEST_HEADER = 1 << 22
_KEPT = {KEY: np.uint64, SAMPLE: np.int16, WEIGHT: np.float64}


class CsvTable:
    """The rows of a CSV file."""

    def __init__(self, file: File) -> None:
        self._file = file
        with self._open() as opened:
            line = io.TextIOWrapper(opened, "utf-8-sig", newline="").readline(_LONGEST_HEADER)
        self._titles = next(csv.reader([line]), [])
        self.stored: Stored | None = None
        self._names = [self._name(title) for title in self._titles]
        twice = sorted({name for name in self._names if self._names.count(name) > 1})
        if twice or not self._names:
            what = f"names {', '.join(twice)} twice" if twice else "is empty; the first line must name the columns"
            raise DataError(f"{file.path}: the header {what}")

    def _name(self, title: str) -> str:
        name, space, text = title.partition(" ")
        if name == SAMPLE and space:
            self.stored = Stored.of(text, self._file.path)
        return name if name in _KEPT else title

    def _open(self) -> Any:
        import pyarrow as pa

        if self._file.remote:
            system, inside = filesystem(self._file.path)
            return system.open(inside, "rb", compression="infer")
        return pa.input_stream(self._file.path.removeprefix("file://"), compression="detect")

    @property
    def names(self) -> Sequence[str]:
        """The names of all columns."""
        return self._names

    @cached_property
    def entries(self) -> int:
        """The number of rows, by reading the file once."""
        first = self._names[:1]
        return sum(batch.num_rows for batch in self._batches(first, text=True))

    def has(self, name: str) -> bool:
        """Say whether there is a column of this name."""
        return name in self._names

    def field(self, name: str) -> Field:
        """Return the type of a column: what the file says, float64 otherwise."""
        if name in _KEPT:
            return number(_KEPT[name])
        said = {**dict(self._file.types), **(self.stored.columns if self.stored else {})}.get(name, "float64")
        return TEXT if said == TEXT.what else number(said)

    def blocks(self, names: Sequence[str], rows: int, start: int = 0) -> Iterator[dict[str, Column]]:
        """Yield the named columns from row `start` on."""
        from .arrow import column_of_arrow

        for batch in self._batches(names):
            if start >= batch.num_rows:
                start -= batch.num_rows
                continue
            part = batch.slice(start)
            start = 0
            yield {name: column_of_arrow(part.column(self._title(name))) for name in names}

    def _title(self, name: str) -> str:
        return self._titles[self._names.index(name)]

    def _batches(self, names: Sequence[str], *, text: bool = False) -> Iterator[Any]:
        import pyarrow as pa
        import pyarrow.csv

        types = {self._title(n): pa.string() if text else _arrow_type(self.field(n)) for n in names}
        convert = pa.csv.ConvertOptions(
            column_types=types,
            include_columns=list(types),
            null_values=["", "nan", "NaN", "NA", "null", "None"],
            true_values=["1", "true", "True"],
            false_values=["0", "false", "False"],
        )
        read = pa.csv.ReadOptions(block_size=_BLOCK_BYTES, use_threads=False)
        try:
            with self._open() as opened:
                yield from pa.csv.open_csv(opened, read_options=read, convert_options=convert)
        except pa.ArrowInvalid:
            # The library's message quotes the value, which may be a sealed one.
            kinds = ", ".join(f"{name} ({self.field(name)})" for name in names)
            raise DataError(
                f"{self._file.path}: a value does not fit the type of its column, or a line has another number of "
                f"values than the header; read as: {kinds}"
            ) from None

    def close(self) -> None:
        """Let go of the file."""


def _arrow_type(field: Field) -> Any:
    import pyarrow as pa

    return pa.string() if field == TEXT else pa.from_numpy_dtype(field.dtype)
