"""Toys: the fits of an analysis, repeated on samples that are drawn anew."""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ..config.analysis import Analysis
from ..errors import FitError
from ..inference import fit
from ..tasks import Map, named_seed
from ..validation import Pulls
from .execution import workspaces
from .samples import read

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["pulls"]


def pulls(analysis: Analysis, *, map: Map = builtins.map) -> dict[str, Pulls]:
    """Return the pulls of the signal strength from zero, by method; none if the analysis asks for no toys.

    Each toy has its own samples and its own random numbers of the methods; one whose fit fails has no value.
    """
    if analysis.fit is None or analysis.draw is None or not analysis.fit.toys:
        return {}
    rows = list(map(_strengths, [_toy(analysis, i) for i in range(analysis.fit.toys)]))
    value, error = (np.stack([row[name] for row in rows]) for name in ("value", "error"))
    columns = enumerate(analysis.fit.methods)
    return {name: Pulls(("mu",), value[:, [i]], error[:, [i]], np.zeros((len(rows), 1))) for i, name in columns}


def _toy(analysis: Analysis, index: int) -> Analysis:
    """Return the analysis with other seeds; how many toys there are makes no difference to one of them."""
    given = analysis.configuration
    seed = named_seed(given.seed, "toy", index) >> 1
    fit = given.fit and given.fit.model_copy(update={"toys": 0})
    draw = analysis.draw and replace(analysis.draw, seed=seed)
    return replace(analysis, draw=draw, configuration=given.model_copy(update={"seed": seed, "fit": fit}))


def _strengths(toy: Analysis) -> Mapping[str, NDArray[np.float64]]:
    """Fit the signal strength with each method, with no limits and no tests."""
    found: list[tuple[float | None, float | None]] = []
    for space in workspaces(toy, read(toy).events).values():
        try:
            one = fit(space, level=None)
        except FitError:
            found.append((np.nan, np.nan))
        else:
            found.append((one.value, one.error))
    value, error = np.array(found, np.float64).T
    return {"value": value, "error": error}
