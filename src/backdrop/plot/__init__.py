"""Figures of results: they draw, and compute nothing.

Every function returns a `matplotlib` Figure in the field's style, without touching `pyplot` or a global setting.
`savefig` writes it as PNG and PDF with the drawn numbers as JSON beside them, the same bytes on every run.
"""

from __future__ import annotations

from .factors import factors
from .file import numbers, savefig, svg
from .fits import limits, nuisances, postfit
from .flow import layers, pairs
from .graph import graph
from .plane import plane
from .regionmap import regions
from .spread import pulls, replicas, scan
from .style import Label, style
from .systematics import components, correlations, covariance, shifts
from .table import table
from .yields import Panel, closure, compare, prediction, variable

__all__ = [
    "Label",
    "Panel",
    "closure",
    "compare",
    "components",
    "correlations",
    "covariance",
    "factors",
    "graph",
    "layers",
    "limits",
    "nuisances",
    "numbers",
    "pairs",
    "plane",
    "postfit",
    "prediction",
    "pulls",
    "regions",
    "replicas",
    "savefig",
    "scan",
    "shifts",
    "style",
    "svg",
    "table",
    "variable",
]
