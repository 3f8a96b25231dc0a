"""Parquet files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from .arrow import column_of_arrow, field_of_arrow
from .fields import Column, Field
from .files import File
from .remote import filesystem
from .tables import Stored

_BUFFER = 1 << 20
METADATA = b"backdrop"


class ParquetTable:
    """The rows of a Parquet file; page checksums are verified where the file has them."""

    def __init__(self, file: File) -> None:
        import pyarrow.parquet as pq

        self._opened: Any = None
        source: Any = file.path.removeprefix("file://")
        if file.remote:
            system, inside = filesystem(file.path)
            source = self._opened = system.open(inside, "rb")
        self._file = pq.ParquetFile(source, page_checksum_verification=True, buffer_size=_BUFFER, pre_buffer=False)
        self._schema = self._file.schema_arrow
        metadata = self._schema.metadata or {}
        found = metadata.get(METADATA)
        self.stored = Stored.of(found.decode(), file.path) if found else None

    @property
    def names(self) -> Sequence[str]:
        """The names of all columns."""
        return list(self._schema.names)

    @property
    def entries(self) -> int:
        """The number of rows."""
        return int(self._file.metadata.num_rows)

    def has(self, name: str) -> bool:
        """Say whether there is a column of this name."""
        return name in self._schema.names

    def field(self, name: str) -> Field:
        """Return the type of a column."""
        return field_of_arrow(self._schema.field(name).type)

    def blocks(self, names: Sequence[str], rows: int, start: int = 0) -> Iterator[dict[str, Column]]:
        """Yield the named columns from row `start` on."""
        groups, skip = self._groups_from(start)
        wanted = list(dict.fromkeys(names))
        for batch in self._file.iter_batches(rows, row_groups=groups, columns=wanted):
            if skip >= batch.num_rows:
                skip -= batch.num_rows
                continue
            part = batch.slice(skip)
            skip = 0
            yield {name: column_of_arrow(part.column(part.schema.get_field_index(name))) for name in wanted}

    def _groups_from(self, start: int) -> tuple[list[int], int]:
        metadata = self._file.metadata
        first, skip = 0, start
        while first < metadata.num_row_groups and skip >= metadata.row_group(first).num_rows > 0:
            skip -= metadata.row_group(first).num_rows
            first += 1
        return list(range(first, metadata.num_row_groups)), skip

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()
        if self._opened is not None:
            self._opened.close()
