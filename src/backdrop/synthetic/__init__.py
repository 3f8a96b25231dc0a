"""Samples whose truth is known in closed form."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..events import Events
from .flips import FlippedPairs
from .gaussian import GaussianPlane, gaussian_abcd

__all__ = ["SAMPLES", "FlippedPairs", "GaussianPlane", "gaussian_abcd"]

SAMPLES: Mapping[str, Callable[..., Mapping[str, Events]]] = {"gaussian_abcd": gaussian_abcd}
"""Name to a function of (seed, settings) that gives the samples by name; what a configuration's `synthetic` names."""
