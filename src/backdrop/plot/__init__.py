"""Figures of results: they draw, and compute nothing.

Every function returns a `matplotlib` Figure in the field's style, without touching `pyplot` or a global setting.
`savefig` writes it as PNG and PDF with the drawn numbers as JSON beside them, the same bytes on every run.
"""

from __future__ import annotations

from .file import numbers, savefig, svg
from .fits import limits, nuisances, postfit
from .spread import pulls, replicas, scan
from .style import Label, style
from .systematics import components, covariance, shifts
from .yields import Panel, closure, compare, prediction

__all__ = [
    "Label",
    "Panel",
    "closure",
    "compare",
    "components",
    "covariance",
    "limits",
    "nuisances",
    "numbers",
    "postfit",
    "prediction",
    "pulls",
    "replicas",
    "savefig",
    "scan",
    "shifts",
    "style",
    "svg",
]
