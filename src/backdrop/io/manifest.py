"""Manifests: what a file that was written here holds, beside it, so that damage is noticed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..errors import DataError
from ..strict_json import loads
from ..tasks import write_atomic
from .files import digest

SCHEMA = 1


@dataclass(frozen=True)
class Manifest:
    """Size, SHA-256 and number of entries of a file, and the types of its columns."""

    bytes: int
    sha256: str
    entries: int
    columns: Mapping[str, str] = field(default_factory=dict)
    schema: int = SCHEMA

    def save(self, path: Path | str) -> None:
        """Write the manifest of `path` beside it."""
        text = json.dumps(asdict(self), indent=1, sort_keys=True, allow_nan=False)
        write_atomic(beside(path), text.encode() + b"\n")

    def check(self, path: str, entries: Callable[[], int] | None) -> None:
        """Raise a DataError if the file is not the one that was written.

        `entries` counts what is there now, to tell a stopped writer from other damage; None where that may not be told.
        """
        if os.path.getsize(path) == self.bytes and digest(path) == self.sha256:
            return
        raise DataError(
            f"{path} is not what was written: its SHA-256 differs from the one in {beside(path).name}"
            f"{self._counted(entries) if entries else ''}; get the file again, or remove the manifest if the change "
            "was wanted"
        )

    def _counted(self, entries: Callable[[], int]) -> str:
        try:
            found = entries()
        except DataError:
            return ", and it cannot be opened"
        return "" if found == self.entries else f", and it holds {found} entries instead of {self.entries}"


def beside(path: Path | str) -> Path:
    """Return the path of a file's manifest."""
    path = Path(path)
    return path.with_name(path.name + ".manifest.json")


def manifest_of(path: str) -> Manifest | None:
    """Return the manifest beside a local file, or None if there is none.

    Raises
    ------
    DataError
        If the manifest itself cannot be read.
    """
    place = beside(path)
    if not place.exists():
        return None
    try:
        found: dict[str, Any] = loads(place.read_bytes())
        if found["schema"] != SCHEMA:
            raise DataError(f"{place} has schema {found['schema']}, this version reads schema {SCHEMA}")
        return Manifest(
            int(found["bytes"]), str(found["sha256"]), int(found["entries"]), dict(found["columns"]), SCHEMA
        )
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{place} is damaged ({error}); remove it to read the file unverified") from error
