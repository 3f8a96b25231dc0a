"""Inference: estimates and models as binned likelihoods, their fits, and their pseudo-experiments."""

from .density import Density, DoubleGaussian, Interpolated
from .fit import fit, scan
from .fits import Fits
from .model import Model
from .morph import Moment, Vertical
from .process import Process
from .ranking import Impact, minuit, ranking
from .result import FitResult
from .signalfit import SignalFit
from .toys import ToyLimit, Toys, ToyValue
from .workspace import workspace

__all__ = [
    "Density",
    "DoubleGaussian",
    "FitResult",
    "Fits",
    "Impact",
    "Interpolated",
    "Model",
    "Moment",
    "Process",
    "SignalFit",
    "ToyLimit",
    "ToyValue",
    "Toys",
    "Vertical",
    "fit",
    "minuit",
    "ranking",
    "scan",
    "workspace",
]
