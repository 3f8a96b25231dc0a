"""Sinks: files being written, block by block."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np

from .fields import Column, Field, is_awkward
from .tables import SAMPLE

_ROWS_OF_A_GROUP = 1 << 18


class ParquetSink:
    """A Parquet file with a checksum on every page."""

    def __init__(self, path: Path, first: Mapping[str, Column], text: str | None) -> None:
        import pyarrow.parquet as pq

        schema = _arrow(first).schema
        if text is not None:
            schema = schema.with_metadata({"backdrop": text})
        self._schema = schema
        self._writer = pq.ParquetWriter(path, schema, compression="zstd", write_page_checksum=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._writer.close()

    def append(self, columns: Mapping[str, Column]) -> None:
        """Write the rows of a block."""
        self._writer.write_table(_arrow(columns).cast(self._schema), row_group_size=_ROWS_OF_A_GROUP)


def _arrow(columns: Mapping[str, Column]) -> Any:
    import pyarrow as pa

    return pa.table({name: _arrow_array(column) for name, column in columns.items()})


def _arrow_array(column: Column) -> Any:
    import pyarrow as pa

    if not is_awkward(column):
        return pa.array(column.tolist() if column.dtype.kind == "U" else column)
    import awkward as ak

    return ak.to_arrow(column, extensionarray=False, list_to32=False)


class RootSink:
    """A TTree or an RNTuple in a ROOT file."""

    def __init__(self, path: Path, fields: Mapping[str, Field], text: str | None, tree: str, ntuple: bool) -> None:
        import uproot

        self._file = uproot.recreate(path)
        types = {name: _type(field) for name, field in fields.items()}
        if text is not None:
            self._file["backdrop"] = text
        self._tree = self._file.mkrntuple(tree, types) if ntuple else self._file.mktree(tree, types)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def append(self, columns: Mapping[str, Column]) -> None:
        """Write the rows of a block."""
        if len(next(iter(columns.values()))):
            self._tree.extend(dict(columns))


def _type(field: Field) -> Any:
    return f"var * {field.what}" if field.kind == "list" else field.dtype


class CsvSink:
    """A CSV file whose numbers read back as they were."""

    def __init__(self, path: Path, fields: Mapping[str, Field], text: str | None) -> None:
        self._file = open(path, "w", newline="", encoding="utf-8")  # noqa: SIM115  (closed by __exit__)
        self._rows = csv.writer(self._file, lineterminator="\n")
        self._rows.writerow([f"{name} {text}" if name == SAMPLE and text else name for name in fields])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def append(self, columns: Mapping[str, Column]) -> None:
        """Write the rows of a block."""
        self._rows.writerows(zip(*(_values(column) for column in columns.values()), strict=True))


def _values(column: Any) -> list[Any]:
    """Return Python values: their text is the shortest that reads back exactly."""
    if column.dtype == np.float32 or column.dtype == np.float16:
        return [str(value) for value in column]
    return list((column.astype(np.int8) if column.dtype == np.bool_ else column).tolist())
