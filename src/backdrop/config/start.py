"""A commented configuration to start an analysis from."""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path

from ..errors import ConfigError

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
        with open(path, "x", encoding="utf-8") as file:
            file.write(text.replace("FILE", path.name))
    except FileExistsError:
        raise ConfigError(f"'{path}' exists and is left alone; name another file") from None
    except (FileNotFoundError, NotADirectoryError):
        raise ConfigError(f"'{path}': there is no folder '{path.parent}' in '{os.getcwd()}'; make it first") from None
    return path
