"""Figure of a binned map: an efficiency, a fake factor, a flip rate, with what is not known of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..maps import BinnedMap
from .bins import interval, title
from .file import keep
from .style import COLOURS, GREY, INK, Label, aside, canvas, caption, freeze, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["factors"]

_LINES = 8
_WIDE = 10.0


def factors(one: BinnedMap, *, label: Label | str = "") -> Figure:
    """Draw a map along its first axis, a line of points for each bin of the others, up to eight.

    Inner error bars are statistical, outer ones include the systematics. Where there is one line alone, the systematics
    are drawn as well, up solid and down dashed.
    """
    axis, others = one.axes[0], one.axes[1:]
    edges, wanted = _edges(axis), min(_LINES, one.size // len(one.axes[0]))
    values, errors, totals = (
        array.reshape(len(axis), -1)[:, :wanted] for array in (one.values, one.errors, _total(one))
    )
    names = [_name(others, line) for line in range(wanted)]
    with style():
        figure, (axes,) = canvas(size=(8.6, 4.75))
        if wanted == 1:
            _systematics(axes, one, edges)
        for line, name in enumerate(names):
            inner, outer = (_within(one, values[:, line], array[:, line]) for array in (errors, totals))
            _line(axes, edges, values[:, line], inner, outer, line, wanted, name)
        if wanted > 1:
            axes.vlines(edges[1:-1], 0.0, 1.0, GREY, "dotted", linewidth=0.8, transform=axes.get_xaxis_transform())
        _scales(axes, axis, edges, values, totals, one.name.replace("_", " "))
        more = one.size // len(axis) - wanted
        texts = ["inner bars: statistical" if (totals > errors).any() else ""]
        texts += [f"{more} more lines not drawn" if more else ""]
        aside(axes, "\n".join(filter(None, [", ".join(title(other) for other in others), *texts])))
        caption(axes, label)
        freeze(figure)
    drawn: dict[str, Any] = {"figure": "factors", "map": one.name, "x": title(axis), "edges": edges}
    columns = {name or one.name: values[:, i] for i, name in enumerate(names)}
    bars = {f"error {name}".strip(): totals[:, i] for i, name in enumerate(names)}
    return keep(figure, {**drawn, "values": columns, "errors": bars})


def _edges(axis: Any) -> Array:
    """Return finite edges: an infinite end is drawn as wide as the bin beside it."""
    edges = np.array(axis.edges, np.float64)
    if not np.isfinite(edges[0]):
        edges[0] = edges[1] - (edges[2] - edges[1] if len(edges) > 3 else 1.0)
    if not np.isfinite(edges[-1]):
        edges[-1] = edges[-2] + (edges[-2] - edges[-3] if len(edges) > 3 else 1.0)
    return edges


def _total(one: BinnedMap) -> Array:
    shifts = [np.maximum(abs(up - one.values), abs(down - one.values)) for up, down in one.variations.values()]
    return np.asarray(np.sqrt(one.errors**2 + sum((shift**2 for shift in shifts), np.zeros(one.size))))


def _within(one: BinnedMap, values: Array, error: Array) -> Array:
    """Return error bars downwards and upwards, shape (2, bins), that end at the physical range."""
    return np.array([np.minimum(error, values - one.bounds[0]), np.minimum(error, one.bounds[1] - values)])


def _name(others: tuple[Any, ...], line: int) -> str:
    if not others:
        return ""
    bins = np.unravel_index(line, tuple(len(axis) for axis in others))
    return ", ".join(interval(axis, int(i)) for axis, i in zip(others, bins, strict=True))


def _systematics(axes: Axes, one: BinnedMap, edges: Array) -> None:
    for colour, (name, (up, down)) in zip(COLOURS[1:], one.variations.items(), strict=False):
        axes.stairs(up, edges, color=colour, linewidth=1.6, label=name)
        axes.stairs(down, edges, color=colour, linewidth=1.6, linestyle="--")


def _line(
    axes: Axes, edges: Array, values: Array, errors: Array, totals: Array, place: int, of: int, name: str
) -> None:
    colour = INK if of == 1 else COLOURS[place]
    # lines stand beside one another in a bin
    share = 0.5 if of == 1 else (place + 1.0) / (of + 1.0)
    x = edges[:-1] + np.diff(edges) * share
    if edges[0] > 0.0 and edges[-1] / edges[0] > _WIDE:
        x = edges[:-1] * (edges[1:] / edges[:-1]) ** share
    half = np.array([x - edges[:-1], edges[1:] - x]) if of == 1 else None
    if (totals > errors).any():
        axes.errorbar(x, values, totals, fmt="none", color=GREY if of == 1 else colour, linewidth=1.0, capsize=3.0)
    axes.errorbar(x, values, errors, half, fmt="o", color=colour, markersize=5.5, linewidth=1.8, label=name or None)


def _scales(axes: Axes, axis: Any, edges: Array, values: Array, totals: Array, text: str) -> None:
    axes.set_xlim(edges[0], edges[-1])
    if edges[0] > 0.0 and edges[-1] / edges[0] > _WIDE:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xlabel(title(axis))
    axes.set_ylabel(text[:1].upper() + text[1:])
    positive = values[values > 0.0]
    if positive.size == values.size and positive.max() / positive.min() > _WIDE:
        axes.set_yscale("log")
    else:
        low, high = axes.get_ylim()
        axes.set_ylim(min(0.0, low), high + 0.05 * (high - low))
