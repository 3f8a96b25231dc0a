"""Validation: what is asked of every background estimate alike, whatever method made it."""

from __future__ import annotations

from .checks import Checks
from .chisquare import ChiSquare, PullSummary, chi2, pull_summary
from .closure import Closure, closure
from .correlation import Correlation, correlation
from .coverage import Coverage, coverage
from .cutflow import CutFlow, cut_flow
from .dependence import Dependence, dependence
from .pulls import Pulls
from .regionmap import RegionMap, Use
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
    "HeavyEvent",
    "KolmogorovSmirnov",
    "PullSummary",
    "Pulls",
    "Ratio",
    "RegionMap",
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
    "ks",
    "pull_summary",
    "support",
    "variable",
    "weight_health",
    "yield_ratio",
]
