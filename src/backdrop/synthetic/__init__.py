"""Samples whose truth is known in closed form."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..events import Events
from .dilepton import SameSign, same_sign_dilepton
from .flips import FlippedPairs
from .gaussian import GaussianPlane, gaussian_abcd
from .leptons import Leptons, leptons

__all__ = [
    "SAMPLES",
    "FlippedPairs",
    "GaussianPlane",
    "Leptons",
    "SameSign",
    "gaussian_abcd",
    "leptons",
    "same_sign_dilepton",
]

SAMPLES: Mapping[str, Callable[..., Mapping[str, Events]]] = {
    "gaussian_abcd": gaussian_abcd,
    "leptons": leptons,
    "same_sign_dilepton": same_sign_dilepton,
}
"""Name to a function of (seed, settings) that gives the samples by name; what a configuration's `synthetic` names."""
