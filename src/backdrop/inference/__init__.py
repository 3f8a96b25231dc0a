"""Inference: estimates as a binned likelihood, and its fit."""

from .fit import fit
from .result import FitResult
from .workspace import workspace

__all__ = ["FitResult", "fit", "workspace"]
