"""Data-driven background modelling in collider physics.

A background estimate is a pure function of a setup: a method and the events it sees. Methods turn events into weighted
events that stand for the background in a region; replicas are the same function on resampled events, a systematic is
the same function on a named other setup.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .channel import Channel
from .estimate import Estimate, Setup, Terms, estimate, fitted, template, terms
from .events import Events, Objects, seal
from .region import Region
from .report import report
from .version import __version__

if TYPE_CHECKING:
    from .inference import fit, workspace
    from .io import read, save
    from .methods import load
    from .validation import closure

__all__ = [
    "Channel",
    "Estimate",
    "Events",
    "Objects",
    "Region",
    "Setup",
    "Terms",
    "__version__",
    "closure",
    "estimate",
    "fit",
    "fitted",
    "load",
    "read",
    "report",
    "save",
    "seal",
    "template",
    "terms",
    "workspace",
]

_LATER = {
    "closure": "validation",
    "fit": "inference",
    "load": "methods",
    "read": "io",
    "save": "io",
    "workspace": "inference",
}


def __getattr__(name: str) -> Any:
    """Import what the core does not need when it is first asked for."""
    if name not in _LATER:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    value = getattr(import_module(f".{_LATER[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})
