"""A commented configuration to start an analysis from."""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path

from ..errors import ConfigError
from ..tasks import write_atomic

__all__ = ["start"]


def start(path: Path | str) -> Path:
    """Write the configuration, which names files that are to be replaced, and return its path.

    Raises
    ------
    ConfigError
        If the file exists already, or its folder does not.
    """
    path = Path(path)
    text = (resources.files(__package__) / "start.yaml").read_text(encoding="utf-8")
    try:
        # "x": of two programs at once one finds the file there
        path.open("x").close()
    except FileExistsError:
        raise ConfigError(f"'{path}' exists and is left alone; name another file") from None
    except (FileNotFoundError, NotADirectoryError):
        raise ConfigError(f"'{path}': there is no folder '{path.parent}' in '{os.getcwd()}'; make it first") from None
    try:
        write_atomic(path, text.replace("FILE", path.name).encode())
    except BaseException:
        path.unlink()
        raise
    return path
