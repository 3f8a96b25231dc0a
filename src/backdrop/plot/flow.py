"""Figures of a flow: its layers one after another, and its features in pairs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..learn.pictures import LayersPicture, PairsPicture
from .file import keep
from .style import COLOURS, GREY, INK, Label, canvas, caption, freeze, safe, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["layers", "pairs"]

_CELL = 0.92
"""The part of a cell that is drawn in."""


def layers(one: LayersPicture, *, label: Label | str = "") -> Figure:
    """Draw how a flow turns normal numbers into features: a row a feature, a column a layer, the normal numbers first.

    Every histogram is scaled to its own maximum.
    """
    steps, features = one.counts.shape[:2]
    with style():
        figure, (axes,) = canvas(size=(1.9 + 1.05 * steps, 1.3 + 0.85 * features))
        for step, row in np.ndindex(steps, features):
            counts = one.counts[step, features - 1 - row]
            colour = GREY if step == 0 else COLOURS[2] if step == steps - 1 else COLOURS[0]
            _histogram(axes, counts, one.edges, step, row, colour, filled=True)
        _grid(axes, steps, features, one.edges)
        axes.set_yticks(np.arange(features) + 0.5, [safe(name) for name in reversed(one.features)], fontsize=12)
        names = ["normal", *(f"layer {i}" for i in range(1, steps))]
        for step, name in enumerate(names):
            axes.text(step + 0.5, features + 0.04, name, ha="center", va="bottom", fontsize=11, color=INK)
        axes.set_ylim(0, features + 0.3)
        caption(axes, label)
        freeze(figure)
    kept = {name: one.counts[:, i].T for i, name in enumerate(one.features)}
    return keep(figure, {"figure": "layers", "edges": one.edges, "counts": kept})


def pairs(one: PairsPicture, *, label: Label | str = "") -> Figure:
    """Draw the densities of all pairs of features: observed below the diagonal, drawn above it.

    On the diagonal are the features alone, normalised to one.
    """
    size = len(one.features)
    with style():
        figure, (axes,) = canvas(size=(1.9 + 1.05 * size, 1.4 + 1.05 * size), square=True)
        places = ((i, j) for i in range(size) for j in range(i + 1, size))
        for (i, j), seen, drawn in zip(places, one.observed, one.drawn, strict=True):
            # the first feature of a pair is on the x axis below the diagonal, on the y axis above it
            _density(axes, seen.T, i, size - 1 - j, GREY)
            _density(axes, drawn, j, size - 1 - i, COLOURS[2])
        for i in range(size):
            top = max(float(_share(counts[i]).max()) for counts in (one.observed_alone, one.drawn_alone))
            for counts, colour, text in (
                (one.observed_alone, GREY, f"Observed, {one.region}"),
                (one.drawn_alone, COLOURS[2], "Drawn"),
            ):
                share = _share(counts[i]) / max(top, 1e-300)
                name = "_nolegend_" if i else safe(text)
                _histogram(axes, share, one.edges, i, size - 1 - i, colour, filled=colour == GREY, text=name, top=1.0)
        _grid(axes, size, size, one.edges)
        names = [safe(name) for name in one.features]
        axes.set_yticks(np.arange(size) + 0.5, names[::-1], fontsize=12)
        for place, name in enumerate(names):
            axes.text(place + 0.5, size + 0.05, name, ha="center", va="bottom", fontsize=11, color=INK)
        axes.set(ylim=(0, size + 0.35), aspect="equal")
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=2, fontsize=12)
        caption(axes, label)
        freeze(figure)
    alone = {"observed": dict(zip(one.features, one.observed_alone, strict=True))}
    alone |= {"drawn": dict(zip(one.features, one.drawn_alone, strict=True))}
    return keep(figure, {"figure": "pairs", "region": one.region, "edges": one.edges, **alone})


def _histogram(
    axes: Axes,
    counts: Array,
    edges: Array,
    column: int,
    row: int,
    colour: str,
    *,
    filled: bool,
    text: str = "_nolegend_",
    top: float | None = None,
) -> None:
    """Draw a histogram into a cell."""
    height = max(float(counts.max(initial=0.0)), 1e-300) if top is None else top
    values = row + 0.9 * _CELL * counts / height
    x = column + (1 - _CELL) / 2 + _CELL * (edges - edges[0]) / (edges[-1] - edges[0])
    look: dict[str, Any] = {"fill": True, "alpha": 0.55, "linewidth": 0} if filled else {"linewidth": 1.5}
    axes.stairs(values, x, baseline=row, color=colour, label=text, **look)


def _density(axes: Axes, counts: Array, column: int, row: int, colour: str) -> None:
    """Draw a two-dimensional histogram into a cell, its rows upwards."""
    from matplotlib.colors import LinearSegmentedColormap

    shades = LinearSegmentedColormap.from_list("shades", ["white", colour, INK])
    gap = (1 - _CELL) / 2
    place = (column + gap, column + 1 - gap, row + gap, row + 1 - gap)
    top = max(float(counts.max(initial=0.0)), 1e-300)
    # the root, so that the tails show
    shown = np.sqrt(np.maximum(counts, 0.0) / top)
    axes.imshow(
        shown, cmap=shades, vmin=0, vmax=1.3, extent=place, origin="lower", aspect="auto", interpolation="nearest"
    )


def _grid(axes: Axes, columns: int, rows: int, edges: Array) -> None:
    """Set the frame of the cells, and ticks at two standard deviations in each column."""
    span = edges[-1] - edges[0]
    ticks = [(column, value) for column in range(columns) for value in (-2.0, 0.0, 2.0)]
    places = [column + (1 - _CELL) / 2 + _CELL * (value - edges[0]) / span for column, value in ticks]
    axes.set_xticks(places, [f"{value:.0f}".replace("-", "−") for _, value in ticks], fontsize=9)
    axes.minorticks_off()
    axes.tick_params(which="both", top=False, right=False, left=False)
    axes.set_xlim(0, columns)
    for place in range(1, columns):
        axes.axvline(place, 0, 1, color=GREY, linewidth=0.4, alpha=0.6)
    for place in range(1, rows + 1):
        axes.axhline(place, color=GREY, linewidth=0.4, alpha=0.6)
    axes.set_xlabel("Standardised value", fontsize=13)


def _share(counts: Array) -> Array:
    total = float(counts.sum())
    return counts / total if total > 0.0 else np.zeros_like(counts)
