"""Data-driven background modelling in collider physics.

A background estimate is a pure function of a setup: a method and the events it sees. Methods turn events into weighted
events that stand for the background in a region; replicas are the same function on resampled events, a systematic is
the same function on a named other setup.
"""

from __future__ import annotations

__version__ = "0.1.0.dev0"

from .channel import Channel
from .estimate import Estimate, Setup, estimate, fitted, template
from .events import Events, Objects, seal
from .region import Region

__all__ = [
    "Channel",
    "Estimate",
    "Events",
    "Objects",
    "Region",
    "Setup",
    "estimate",
    "fitted",
    "seal",
    "template",
]
