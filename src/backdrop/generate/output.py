"""The file: Parquet in row groups, with what it was made from in its metadata, there as a whole or not at all."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError, ResourceError

__all__ = ["METADATA", "Writer", "check_place", "kept_bytes", "locked", "room", "tasks_of"]

Columns = Mapping[str, NDArray[Any]]

METADATA = "gen"
"""The key of the schema metadata that holds the settings, as JSON."""

GROUP = 65536
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Writer:
    """A Parquet file that grows by whole row groups, of a size that does not depend on how the rows arrive."""

    def __init__(self, path: Path) -> None:
        self._path, self._waiting, self._rows = path, [], 0
        self._file = path.open("wb")
        self._parquet: Any = None

    _waiting: list[Columns]

    def append(self, columns: Columns) -> None:
        """Take rows; full groups are written."""
        self._waiting.append(columns)
        self._rows += _length(columns)
        while self._rows >= GROUP:
            self._write(GROUP)

    def finish(self, metadata: str) -> None:
        """Write the rest and the metadata, and make the file safe."""
        self._write(self._rows)
        self._parquet.add_key_value_metadata({METADATA: metadata})
        self._parquet.close()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()

    def abandon(self) -> None:
        """Remove what was written."""
        # the footer that closing writes may not fit on the disk either
        self._parquet = None
        with suppress(OSError):
            self._file.close()
        self._path.unlink(missing_ok=True)

    def _write(self, rows: int) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        merged = {name: np.concatenate([part[name] for part in self._waiting]) for name in self._waiting[0]}
        table = pa.table({name: values[:rows] for name, values in merged.items()})
        if self._parquet is None:
            self._parquet = pq.ParquetWriter(
                self._file, table.schema, compression="zstd", write_page_checksum=True, store_schema=False
            )
        self._parquet.write_table(table, row_group_size=GROUP)
        self._waiting = [{name: values[rows:] for name, values in merged.items()}]
        self._rows -= rows


def _length(columns: Columns) -> int:
    return len(next(iter(columns.values())))


def check_place(path: Path, needed: int, *, overwrite: bool) -> None:
    """Refuse a place that cannot take the file, before any work.

    Raises
    ------
    ConfigError
        If it is no Parquet file, exists, or lies in what is not a folder.
    ResourceError
        If about `needed` bytes do not fit, or the folder cannot be written to.
    """
    if path.suffix.lower() not in (".parquet", ".pq"):
        raise ConfigError(f"'{path}': events are written as Parquet; end the name with .parquet")
    if path.is_dir():
        raise ConfigError(f"'{path}' is a folder; name a file in it")
    if os.path.lexists(path) and not overwrite:
        raise ConfigError(f"'{path}' exists; give --overwrite (overwrite=True) to replace it, or another --out")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise ConfigError(f"'{path.parent}' is no folder; name another --out") from None
    except PermissionError as error:
        raise ResourceError(f"not allowed to make '{path.parent}' ({error.strerror}); name another --out") from None
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise ResourceError(f"not allowed to write in '{path.parent}'; name another --out")
    free = shutil.disk_usage(path.parent).free
    if free < needed:
        raise ResourceError(
            f"'{path.parent}' has {free / 1e6:.1f} MB free, but about {needed / 1e6:.1f} MB are needed; "
            "make room, ask for fewer events, or name another --out"
        )


def tasks_of(path: Path) -> Path:
    """Return the folder beside the file that keeps finished tasks until it is complete."""
    return path.with_name(f".{path.name}.tasks")


def kept_bytes(path: Path) -> int:
    """Return how much of the disk the finished tasks of a file take."""
    return sum(file.stat().st_size for file in tasks_of(path).glob("*.npz"))


@contextmanager
def room(path: Path, needed: int) -> Iterator[None]:
    """Turn a full disk into one message.

    Raises
    ------
    ResourceError
        If there is no space; finished tasks are kept.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise ResourceError(
            f"no space left to write '{path}' ({error.strerror}): about {needed / 1e6:.1f} MB are needed in all; "
            f"finished work is kept in '{tasks_of(path)}': make room and give the same command again to resume"
        ) from None


@contextmanager
def locked(path: Path) -> Iterator[Path]:
    """Hold the folder of tasks of a file; the system lets go of it however the process ends.

    Raises
    ------
    ResourceError
        If another process makes the same file.
    """
    import fcntl

    home = tasks_of(path)
    home.mkdir(exist_ok=True)
    handle = os.open(home / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ResourceError(f"another process is making '{path}'; wait for it, or name another --out") from None
        yield home
    finally:
        os.close(handle)
