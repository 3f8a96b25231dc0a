"""The signal strength: where its fit starts and how far it may go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ExportError
from .template import Template

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["strength"]


def strength(poi: str, templates: Sequence[Template], data: Mapping[str, Array]) -> dict[str, Any]:
    """Return the pyhf parameter of the signal strength: start and bounds.

    At the lower bound the expectation of a bin is zero. At the upper one the signal's total exceeds the excess that
    was seen by ten standard deviations of the total and twenty events, more than any exclusion needs.

    Raises
    ------
    ExportError
        If the signal is zero everywhere.
    """
    signal, background = (_sums(templates, data, scaled) for scaled in (True, False))
    size = {name: float(yields.sum()) for name, yields in signal.items()}
    having = [name for name in data if size[name] > 0.0]
    if not having:
        raise ExportError("the signal is zero in every bin; check its region and its weights")
    seen = sum(float(data[name].sum()) for name in having)
    hoped = sum(float(background[name].sum()) for name in having)
    spread = _variance([one for one in templates if not one.sample.signal], having)
    reach = max(seen - hoped, 0.0) + 10.0 * np.sqrt(max(seen, hoped) + spread) + 20.0
    upper = float(reach) / sum(size.values())
    pairs = [(background[name], signal[name]) for name in having]
    lower = -min(float((below[above > 0.0] / above[above > 0.0]).min()) for below, above in pairs)
    return {"name": poi, "inits": [1.0 if upper > 2.0 else 0.0], "bounds": [[lower * (1.0 - 1e-9), upper]]}


def _sums(templates: Sequence[Template], channels: Mapping[str, Array], scaled: bool) -> dict[str, Array]:
    sums = {name: np.zeros(len(bins)) for name, bins in channels.items()}
    for one in templates:
        for channel in one.sample.estimate.channels if one.sample.signal is scaled else ():
            sums[channel.name] = sums[channel.name] + one.nominal[one.sample.estimate.bins(channel.name)]
    return sums


def _variance(templates: Sequence[Template], channels: Sequence[str]) -> float:
    """Return the variance of the total yield in some channels."""
    moves: dict[str, float] = {}
    own = 0.0
    for one in templates:
        inside = np.zeros(len(one.nominal), np.bool_)
        for channel in one.sample.estimate.channels:
            inside[one.sample.estimate.bins(channel.name)] = channel.name in channels
        own += float(one.variance[inside].sum())
        for name, (up, down) in one.shapes.items():
            moves[name] = moves.get(name, 0.0) + float((up - down)[inside].sum()) / 2.0
    return own + sum(move**2 for move in moves.values())
