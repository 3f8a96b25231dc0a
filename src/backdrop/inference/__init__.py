"""Inference: estimates as a binned likelihood, its fit, and its pseudo-experiments."""

from .fit import fit, scan
from .fits import Fits
from .result import FitResult
from .signalfit import SignalFit
from .toys import ToyLimit, Toys, ToyValue
from .workspace import workspace

__all__ = ["FitResult", "Fits", "SignalFit", "ToyLimit", "ToyValue", "Toys", "fit", "scan", "workspace"]
