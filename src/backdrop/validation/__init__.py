"""Validation: what is asked of every background estimate alike, whatever method made it."""

from __future__ import annotations

from .checks import Checks
from .chisquare import ChiSquare, PullSummary, chi2, pull_summary
from .closure import Closure, closure
from .correlation import Correlation, correlation
from .coverage import Coverage, coverage
from .cutflow import CutFlow, cut_flow
from .dependence import Dependence, dependence
from .ensemble import Fit, Measured
from .injection import Injection, injection
from .pulls import Pulls
from .regionmap import RegionMap, Use
from .spurious import SpuriousSignal, spurious_signal
from .twosample import AUC, KolmogorovSmirnov, auc, ks
from .variables import Compared, Correlations, Variable, variable
from .weights import HeavyEvent, Support, WeightHealth, support, weight_health
from .yields import Ratio, YieldClosure, yield_ratio

__all__ = [
    "AUC",
    "Checks",
    "ChiSquare",
    "Closure",
    "Compared",
    "Correlation",
    "Correlations",
    "Coverage",
    "CutFlow",
    "Dependence",
    "Fit",
    "HeavyEvent",
    "Injection",
    "KolmogorovSmirnov",
    "Measured",
    "PullSummary",
    "Pulls",
    "Ratio",
    "RegionMap",
    "SpuriousSignal",
    "Support",
    "Use",
    "Variable",
    "WeightHealth",
    "YieldClosure",
    "auc",
    "chi2",
    "closure",
    "correlation",
    "coverage",
    "cut_flow",
    "dependence",
    "injection",
    "ks",
    "pull_summary",
    "spurious_signal",
    "support",
    "variable",
    "weight_health",
    "yield_ratio",
]
