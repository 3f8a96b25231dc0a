"""Samples whose truth is known in closed form."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..events import Events
from .dilepton import SameSign, same_sign_dilepton
from .flips import FlippedPairs
from .four_b import FourB, Year, four_b
from .four_b_features import Features, Gaussian
from .gaussian import GaussianPlane, gaussian_abcd
from .leptons import Leptons, leptons
from .mass_plane import Bump, Falling, FourBSelection, MassPlane
from .phi_gamma import Isolation, Landau, Peak, PhiGamma, PhiGammaSelection, Spectrum, phi_gamma

__all__ = [
    "SAMPLES",
    "Bump",
    "Falling",
    "Features",
    "FlippedPairs",
    "FourB",
    "FourBSelection",
    "Gaussian",
    "GaussianPlane",
    "Isolation",
    "Landau",
    "Leptons",
    "MassPlane",
    "Peak",
    "PhiGamma",
    "PhiGammaSelection",
    "SameSign",
    "Spectrum",
    "Year",
    "four_b",
    "gaussian_abcd",
    "leptons",
    "phi_gamma",
    "same_sign_dilepton",
]

SAMPLES: Mapping[str, Callable[..., Mapping[str, Events]]] = {
    "four_b": four_b,
    "gaussian_abcd": gaussian_abcd,
    "leptons": leptons,
    "phi_gamma": phi_gamma,
    "same_sign_dilepton": same_sign_dilepton,
}
"""Name to a function of (seed, settings) that gives the samples by name; what a configuration's `synthetic` names."""
