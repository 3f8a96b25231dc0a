"""Files: what an export is before it is written, and the only place that writes one."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from ..tasks import write_atomic

__all__ = ["Files", "root_file", "write"]

Files = dict[str, bytes]
"""Relative path to content."""


def write(files: Mapping[str, bytes], folder: Path | str, *, overwrite: bool = False) -> tuple[Path, ...]:
    """Write files below a folder, and return their paths; nothing is written if one of them is there already.

    Raises
    ------
    ConfigError
        If a file is there already and `overwrite` is not given, or a path leaves the folder.
    """
    home = Path(folder)
    for name in files:
        path = home / name
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise ConfigError(f"'{name}' is not below '{home}'; give a relative path")
        if path.is_dir() or (os.path.lexists(path) and not overwrite):
            raise ConfigError(f"'{path}' exists; give --overwrite to replace it, or another --out")
        if blocked := next((one for one in path.parents if one.exists() and not one.is_dir()), None):
            raise ConfigError(f"'{blocked}' is a file, so '{path}' cannot be written; give another --out")
    for name, body in files.items():
        write_atomic(home / name, body)
    return tuple(home / name for name in files)


def root_file(objects: Mapping[str, Any]) -> bytes:
    """Return a ROOT file that holds histograms and texts under their paths."""
    import uproot

    buffer = io.BytesIO()
    with uproot.recreate(buffer) as file:
        for name, one in objects.items():
            file[name] = one
        return buffer.getvalue()  # uproot closes the buffer with the file
