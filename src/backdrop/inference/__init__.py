"""Inference: estimates as a binned likelihood, its fit, and its pseudo-experiments."""

from .fit import fit, scan
from .result import FitResult
from .signalfit import SignalFit
from .toys import ToyLimit, Toys, ToyValue
from .workspace import workspace

__all__ = ["FitResult", "SignalFit", "ToyLimit", "ToyValue", "Toys", "fit", "scan", "workspace"]
