"""Samples whose truth is known in closed form."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..events import Events
from .gaussian import GaussianPlane, gaussian_abcd
from .leptons import Leptons, leptons

__all__ = ["SAMPLES", "GaussianPlane", "Leptons", "gaussian_abcd", "leptons"]

SAMPLES: Mapping[str, Callable[..., Mapping[str, Events]]] = {"gaussian_abcd": gaussian_abcd, "leptons": leptons}
"""Name to a function of (seed, settings) that gives the samples by name; what a configuration's `synthetic` names."""
