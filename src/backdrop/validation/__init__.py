"""Validation: what is asked of every background estimate alike, whatever method made it."""

from __future__ import annotations

from .chisquare import ChiSquare, PullSummary, chi2, pull_summary
from .closure import Closure, closure
from .correlation import Correlation, correlation
from .coverage import Coverage, coverage
from .dependence import Dependence, dependence
from .pulls import Pulls
from .twosample import AUC, KolmogorovSmirnov, auc, ks
from .weights import HeavyEvent, Support, WeightHealth, support, weight_health
from .yields import Ratio, YieldClosure, yield_ratio

__all__ = [
    "AUC",
    "ChiSquare",
    "Closure",
    "Correlation",
    "Coverage",
    "Dependence",
    "HeavyEvent",
    "KolmogorovSmirnov",
    "PullSummary",
    "Pulls",
    "Ratio",
    "Support",
    "WeightHealth",
    "YieldClosure",
    "auc",
    "chi2",
    "closure",
    "correlation",
    "coverage",
    "dependence",
    "ks",
    "pull_summary",
    "support",
    "weight_health",
    "yield_ratio",
]
