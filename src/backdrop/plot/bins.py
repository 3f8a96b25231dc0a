"""Where the bins of a channel are drawn: one axis as it is, several unrolled or sliced."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..channel import Channel
from ..errors import ConfigError, nearest
from .style import GREY, safe

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["Bins"]

_SPELLED, _NAMED = 3, 10
"""Up to so many slices are named in full, or by their ranges."""


@dataclass(frozen=True)
class Bins:
    """The drawn bins of a channel.

    Attributes
    ----------
    edges
        Edges along the x axis, shape (n + 1,).
    where
        The channel's flat bins that are drawn, shape (n,).
    label
        Label of the x axis, with its unit.
    per
        What an entry counts: "10 GeV", or "bin".
    blocks
        First bin, last bin and text of each slice of an unrolled channel.
    fixed
        The slice that is drawn, where one was asked for.
    """

    edges: Array
    where: NDArray[np.int64]
    label: str
    per: str
    blocks: tuple[tuple[int, int, str], ...] = ()
    fixed: str = ""

    @classmethod
    def of(cls, channel: Channel, at: Mapping[str, int] | None = None) -> Bins:
        """Return the bins of a channel: all of them, unrolled, or those of the slice `at` (axis name to bin).

        Raises
        ------
        ConfigError
            If `at` names an axis or a bin that is not there.
        """
        at = dict(at or {})
        _check_slice(channel, at)
        free = [axis for axis in channel.axes if axis.name not in at]
        index = np.arange(channel.size).reshape(channel.shape)
        where = index[tuple(at.get(axis.name, slice(None)) for axis in channel.axes)].ravel()
        fixed = ", ".join(interval(axis, at[axis.name]) for axis in channel.axes if axis.name in at)
        if not channel.axes:
            return cls(np.arange(2.0), where, "All events", "bin")
        if len(free) == 1:
            edges = np.asarray(free[0].edges, float)
            return cls(edges, where, title(free[0]), width(free[0]), fixed=fixed)
        outer, inner = free[:-1], free[-1]
        spell = interval if np.prod([len(axis) for axis in outer]) <= _SPELLED else _range
        texts = [", ".join(spell(a, i) for a, i in zip(outer, bins, strict=True)) for bins in _grid(outer)]
        blocks = tuple((i * len(inner), (i + 1) * len(inner), text) for i, text in enumerate(texts))
        label = f"Bin of {title(inner)}, in slices of {', '.join(title(axis) for axis in outer)}"
        return cls(np.arange(len(where) + 1.0), where, label, "bin", blocks, fixed)

    @classmethod
    def numbered(cls, size: int) -> Bins:
        """Return bins that are known by their number alone."""
        return cls(np.arange(size + 1.0), np.arange(size), "Bin", "bin")

    @property
    def centres(self) -> Array:
        """The bin centres, shape (n,)."""
        return (self.edges[1:] + self.edges[:-1]) / 2

    @property
    def named(self) -> bool:
        """Whether the slices of an unrolled channel are named along the upper edge."""
        return 0 < len(self.blocks) <= _NAMED

    @property
    def unrolled(self) -> bool:
        """Whether several axes were laid out one after the other."""
        return bool(self.blocks)

    def dress(self, *panels: Axes) -> None:
        """Label the x axis of the lowest panel, and mark the slices of an unrolled channel."""
        from matplotlib.ticker import MaxNLocator

        panels[-1].set_xlabel(safe(self.label))
        panels[0].set_xlim(self.edges[0], self.edges[-1])
        if not self.unrolled:
            return
        for axes in panels:
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            axes.tick_params(axis="x", which="both", top=False)
            axes.tick_params(axis="x", which="minor", bottom=False)
            for first, _, _ in self.blocks[1:]:
                axes.axvline(first, color=GREY, linewidth=0.9, linestyle=(0, (4, 3)), zorder=0.5)
        self._name_slices(panels[0])

    def _name_slices(self, axes: Axes) -> None:
        for first, last, text in self.blocks if len(self.blocks) <= _NAMED else ():
            x = (first + last) / 2
            axes.text(x, 0.982, safe(text), transform=axes.get_xaxis_transform(), ha="center", va="top", fontsize=11)


def title(axis: Any) -> str:
    """Return an axis' label, or its name."""
    return str(axis.label or axis.name)


def interval(axis: Any, bin: int) -> str:
    """Return the range of a bin, as it is printed: "200 < m < 300 GeV"."""
    low, high = float(axis.edges[bin]), float(axis.edges[bin + 1])
    return f"{low:g} < {_symbol(axis)} < {high:g} {unit(axis)}".rstrip()


def unit(axis: Any) -> str:
    """Return the unit in the square brackets that end an axis' label, or an empty text."""
    found = re.search(r"\[([^\]]+)\]\s*$", title(axis))
    return found.group(1) if found else ""


def width(axis: Any) -> str:
    """Return the bin width with its unit, or "bin" where the widths differ."""
    steps = np.diff(np.asarray(axis.edges, float))
    if not np.allclose(steps, steps[0], rtol=1e-9):
        return "bin"
    return f"{steps[0]:.4g} {unit(axis)}".rstrip() if unit(axis) else f"{steps[0]:.4g}"


def _range(axis: Any, bin: int) -> str:
    return f"{float(axis.edges[bin]):g}–{float(axis.edges[bin + 1]):g}"


def _symbol(axis: Any) -> str:
    return re.sub(r"\s*\[[^\]]+\]\s*$", "", title(axis))


def _grid(axes: list[Any]) -> Any:
    return itertools.product(*(range(len(axis)) for axis in axes))


def _check_slice(channel: Channel, at: dict[str, int]) -> None:
    axes = {axis.name: len(axis) for axis in channel.axes}
    for name, bin in at.items():
        if name not in axes:
            raise ConfigError(f"channel '{channel.name}' has no axis '{name}'{nearest(name, axes)}")
        if not 0 <= bin < axes[name]:
            raise ConfigError(f"axis '{name}' of channel '{channel.name}' has bins 0 to {axes[name] - 1}, not {bin}")
    if at and len(at) == len(axes):
        raise ConfigError(f"every axis of channel '{channel.name}' is fixed; leave one to draw")
