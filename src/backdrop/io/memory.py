"""Tables in memory: data frames, Arrow tables, record arrays, dicts of arrays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import DataError
from .fields import Column, Field, field_in_memory, is_awkward
from .tables import Stored


class MemoryTable:
    """The rows of arrays at hand."""

    stored: Stored | None = None

    def __init__(self, value: Any) -> None:
        self._columns = _columns_of(value)
        lengths = {name: len(column) for name, column in self._columns.items()}
        if not lengths:
            raise DataError("the table in memory has no columns")
        if len(set(lengths.values())) > 1:
            raise DataError(f"columns differ in length: {lengths}")
        self._length = next(iter(lengths.values()))

    def __str__(self) -> str:
        return "table in memory"

    @property
    def names(self) -> Sequence[str]:
        """The names of all columns."""
        return list(self._columns)

    @property
    def entries(self) -> int:
        """The number of rows."""
        return self._length

    def has(self, name: str) -> bool:
        """Say whether there is a column of this name."""
        return name in self._columns

    def field(self, name: str) -> Field:
        """Return the type of a column."""
        return field_in_memory(self._columns[name])

    def blocks(self, names: Sequence[str], rows: int, start: int = 0) -> Iterator[dict[str, Column]]:
        """Yield the named columns from row `start` on."""
        for first in range(start, self._length, rows):
            yield {name: self._columns[name][first : first + rows] for name in names}

    def close(self) -> None:
        """Do nothing: the arrays belong to the caller."""


def is_table(value: Any) -> bool:
    """Say whether a value is a table in memory rather than a path."""
    if isinstance(value, Mapping):
        return not (value and all(isinstance(entry, str) for entry in value.values()))
    return _library(value) in ("awkward", "pandas", "polars", "pyarrow") or (
        isinstance(value, np.ndarray) and value.dtype.names is not None
    )


def _library(value: Any) -> str:
    return type(value).__module__.split(".")[0]


def _columns_of(value: Any) -> dict[str, Column]:
    if isinstance(value, Mapping):
        return {str(name): _column(column, str(name)) for name, column in value.items()}
    if isinstance(value, np.ndarray):
        return {name: _column(value[name], name) for name in value.dtype.names or ()}
    if _library(value) == "awkward":
        import awkward as ak

        if not ak.fields(value):
            raise DataError(f"an awkward array of {ak.type(value)} has no named fields; give {{name: array}}")
        return {name: _column(value[name], name) for name in ak.fields(value)}
    return _columns_of_arrow(value)


def _columns_of_arrow(value: Any) -> dict[str, Column]:
    import pyarrow as pa

    from .arrow import column_of_arrow, field_of_arrow

    if _library(value) == "pandas":
        value = pa.Table.from_pandas(value, preserve_index=False)
    elif _library(value) == "polars":
        value = value.to_arrow()
    found = {}
    for name in value.column_names:
        kind = field_of_arrow(value.schema.field(name).type)
        found[name] = np.zeros(len(value), "V1") if kind.kind == "unreadable" else column_of_arrow(value.column(name))
    return found


def _column(value: Any, name: str) -> Column:
    if is_awkward(value) or type(value) is np.ndarray:
        return _objects(value, name) if isinstance(value, np.ndarray) and value.dtype == object else value
    if isinstance(value, np.ma.MaskedArray):
        import awkward as ak

        return ak.from_numpy(value) if np.ma.is_masked(value) else np.asarray(value)
    try:
        return _column(np.asarray(value), name)
    except ValueError:
        import awkward as ak

        return ak.Array(list(value))


def _objects(value: Any, name: str) -> Column:
    """Return an array of Python objects as text or as lists."""
    import awkward as ak

    entries = value.tolist()
    if all(isinstance(entry, str) for entry in entries):
        return np.array(entries, np.str_)
    try:
        return ak.Array(entries)
    except (TypeError, ValueError) as error:
        raise DataError(f"column '{name}' holds Python objects that are no numbers, lists or text: {error}") from None
