"""Samples: an estimate under its name in the workspace, and what a template cannot hold of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..channel import Channel
from ..errors import ExportError
from ..estimate import Estimate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Mask = NDArray[np.bool_]

__all__ = ["Empty", "Sample"]

Empty = Literal["error"] | float
"""What an empty or negative yield becomes: an error, or this many events."""


@dataclass(frozen=True, eq=False)
class Sample:
    """An estimate under the name it has in the workspace.

    Attributes
    ----------
    name
        The name in the workspace.
    title
        The name that was given.
    estimate
        The estimate.
    signal
        Whether the signal strength scales it.
    partial
        Whether it may have empty bins, as a signal may: others stand for the background there.
    modifiers
        Channel to the free factors that multiply it there, as pyhf modifiers.
    norm
        The free factor of its yield in all channels, "" for none.
    signed
        Whether its yields may be negative: it is what another sample takes away.
    """

    name: str
    title: str
    estimate: Estimate
    signal: bool = False
    partial: bool = False
    modifiers: Mapping[str, tuple[Mapping[str, Any], ...]] = field(default_factory=dict)
    norm: str = ""
    signed: bool = False

    def bad(self, yields: Array) -> Mask:
        """Say which yields a template cannot hold."""
        if self.signed:
            return np.zeros(len(yields), np.bool_)
        return yields < 0.0 if self.signal or self.partial else yields <= 0.0

    def raised(self, what: str, yields: Array, bad: Mask, empty: Empty) -> Array:
        """Return the yields with the bad ones set to the floor.

        Raises
        ------
        ExportError
            If there are bad ones and no floor; naming the worst one's channel, region, sample and bin.
        """
        if bad.any() and isinstance(empty, str):
            worst = int(np.argmin(np.where(bad, yields, np.inf)))
            raise ExportError(
                f"{what} is {yields[worst]:g} in {self.place(worst)}{more(bad)}; a likelihood needs positive yields: "
                "merge bins, or set such yields to a floor with empty=EVENTS"
            )
        return np.where(bad, np.nan if isinstance(empty, str) else empty, yields)

    def place(self, index: int) -> str:
        """Name channel, region, sample and bin of an entry of the flat vector."""
        for channel in self.estimate.channels:
            if index < channel.size:
                break
            index -= channel.size
        return (
            f"channel '{channel.name}' (region '{channel.region.name}'), sample '{self.title}', bin {index}"
            f"{_edges(channel, index)}"
        )

    def by_channel(self, mask: Mask) -> dict[str, tuple[int, ...]]:
        """Return the marked bins of each channel that has some."""
        parts = {c.name: np.flatnonzero(mask[self.estimate.bins(c.name)]) for c in self.estimate.channels}
        return {name: tuple(map(int, bins)) for name, bins in parts.items() if len(bins)}


def more(bad: Mask) -> str:
    """Say how many bins there are besides the one named."""
    count = int(bad.sum()) - 1
    return f" and {count} more bin{'s' if count > 1 else ''}" if count else ""


def _edges(channel: Channel, index: int) -> str:
    where = np.unravel_index(index, channel.shape)
    edges = [np.asarray(axis.edges)[i : i + 2] for axis, i in zip(channel.axes, where, strict=True)]
    spans = [f"{axis.name} {low:g} to {high:g}" for axis, (low, high) in zip(channel.axes, edges, strict=True)]
    return f" ({', '.join(spans)})" if spans else ""
