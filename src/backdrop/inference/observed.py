"""Observed counts: what stands in a likelihood as data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from ..channel import Channel
from ..errors import ExportError, nearest
from ..events import Events

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[np.float64]

__all__ = ["counts"]


def counts(observed: Mapping[str, Events | ArrayLike | None], channels: Mapping[str, Channel]) -> dict[str, Array]:
    """Return the counts of the channels that have data, shapes (bins,).

    Raises
    ------
    ExportError
        If there is no such channel, rows are weighted, or counts are negative, not finite or of another shape.
    BlindedError
        If rows may be sealed.
    """
    for name in observed:
        if name not in channels:
            raise ExportError(
                f"observed: no channel '{name}'{nearest(name, channels)}; channels: {', '.join(channels)}"
            )
    given = {name: rows for name in channels if (rows := observed.get(name)) is not None}
    return {name: _counts(rows, channels[name]) for name, rows in given.items()}


def _counts(rows: Events | ArrayLike, channel: Channel) -> Array:
    if isinstance(rows, Events):
        values, variances = channel.fill(rows.select(channel.region))
        if not np.array_equal(values, variances):
            raise ExportError(
                f"the observed rows of channel '{channel.name}' are weighted (samples: {', '.join(rows.samples)}), but "
                "a likelihood counts events: give the data alone, events.only(...), and what was subtracted from it as "
                "a background"
            )
        return values
    if hasattr(rows, "storage_type"):
        raise ExportError(
            f"observed: channel '{channel.name}' has a histogram with {rows.storage_type.__name__} storage, which does "
            "not say whether it holds plain counts; give the rows, or counts as an array: histogram.values()"
        )
    counts = np.asarray(rows, np.float64)
    if counts.shape not in (channel.shape, (channel.size,)):
        raise ExportError(f"observed: shape {counts.shape} for channel '{channel.name}' of shape {channel.shape}")
    counts = counts.reshape(-1)
    if bad := np.flatnonzero(~(np.isfinite(counts) & (counts >= 0.0))).tolist():
        raise ExportError(
            f"observed: {counts[bad[0]]:g} in bin {bad[0]} of channel '{channel.name}' ({len(bad)} such bins); counts "
            "are finite and not negative"
        )
    return counts
