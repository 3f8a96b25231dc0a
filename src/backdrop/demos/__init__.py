"""Demonstrations: complete analyses of made-up events, as configurations to start from."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from pathlib import Path

from ..errors import ConfigError, nearest

__all__ = ["demo", "demos"]


def demos() -> Mapping[str, Path]:
    """Return the demonstrations: name to configuration file."""
    folder = Path(str(resources.files(__name__)))
    return {file.stem: file for file in sorted(folder.glob("*.yaml"))}


def demo(name: str) -> Path:
    """Return the configuration file of a demonstration.

    Raises
    ------
    ConfigError
        If there is no such demonstration.
    """
    known = demos()
    if name not in known:
        raise ConfigError(f"no demo '{name}'{nearest(name, known)}; there is: {', '.join(known)}")
    return known[name]
