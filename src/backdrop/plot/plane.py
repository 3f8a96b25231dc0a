"""Figure of a plane: binned yields, what was fitted to them, and the pulls of the two."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..learn.pictures import PlanePicture
from .bins import title, width
from .file import keep
from .style import COLOURS, GREY, INK, Label, caption, note, safe, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["plane"]

_REACH = 4.0
_HATCH, _PALE = "#b9b3da", "#f1eff8"

_SIDE, _GAP, _LEFT, _BELOW, _ABOVE = 2.2, 0.16, 0.95, 0.7, 0.6
"""Lengths in inches: of a map, between two rows, and of the margins."""

_PLACES = {"Observed": 0.0, "Fitted": 2.4, "Error of the fit": 5.4, "Pull": 8.4}
"""Where the maps of a row begin, in inches from the left margin."""


def plane(one: PlanePicture, *, label: Label | str = "") -> Figure:
    """Draw the yields in the conditioning variables, a row a category: observed, fitted, the error of that, and pulls.

    Bins that are not known are hatched, and those that the fit did not see are framed. Two variables are drawn as maps,
    one as a histogram; of more there are the pulls alone: ``(fitted - observed) / observed error`` of the bins that the
    fit saw, and of those it did not, where these are open.
    """
    rows = len(one.names)
    start = {1: 4.4, 2: 11.7}.get(len(one.axes), 0.0)
    with style():
        sheet = _Sheet(_LEFT + start + 3.1, rows)
        for row in range(rows):
            if len(one.axes) == 2:
                _maps(sheet, one, row)
            elif len(one.axes) == 1:
                _line(sheet.panel(row, 0.0, 3.5), one, row, last=row == rows - 1)
        panels = [sheet.panel(row, start, 2.9) for row in range(rows)]
        summary = {}
        for row, (axes, name) in enumerate(zip(panels, one.names, strict=True)):
            summary[name or "all"] = _histogram(axes, one, row)
            axes.set_xlabel(_PULL if row == rows - 1 else "", fontsize=12)
            axes.tick_params(labelbottom=row == rows - 1)
            if name:
                note(axes, safe(name), x=0.97, ha="right")
        caption(panels[0], label)
    kept: dict[str, Any] = {"figure": "plane", "trained": one.trained}
    kept |= {f"edges {axis.name}": axis.edges for axis in one.axes}
    for name in ("observed", "mean", "errors", "pulls"):
        kept[name] = dict(zip(summary, getattr(one, name), strict=True))
    return keep(sheet.figure, {**kept, "summary": summary})


_PULL = "(Fitted − observed) / error of observed"


class _Sheet:
    """A figure whose panels stand where they are put, in inches, since their places need no search."""

    def __init__(self, width: float, rows: int) -> None:
        from matplotlib.figure import Figure

        self.width, self.rows = width, rows
        self.height = rows * (_SIDE + _GAP) + _BELOW + _ABOVE
        self.figure = Figure(figsize=(width, self.height))

    def panel(self, row: int, start: float, width: float) -> Axes:
        """Return a panel in a row; `start` counts from the left margin."""
        bottom = _BELOW + (self.rows - 1 - row) * (_SIDE + _GAP)
        place = (_LEFT + start) / self.width, bottom / self.height, width / self.width, _SIDE / self.height
        return self.figure.add_axes(place)


def _maps(sheet: _Sheet, one: PlanePicture, row: int) -> None:
    """Draw the four maps of a category, the first two with one scale."""
    shape = tuple(len(axis) for axis in one.axes)
    top = float(np.nanmax(np.append(one.mean[row], one.observed[row])))
    values = one.observed[row], one.mean[row], one.errors[row], one.pulls[row]
    tops = top, top, float(np.nanmax(one.errors[row])), _REACH
    first, second = one.axes
    for (name, start), array, reach in zip(_PLACES.items(), values, tops, strict=True):
        axes, low = sheet.panel(row, start, _SIDE), -_REACH if name == "Pull" else 0.0
        look: dict[str, Any] = {"cmap": "RdBu_r" if low else "viridis", "vmin": low, "vmax": reach, "rasterized": True}
        axes.patch.set(facecolor=_PALE, edgecolor=_HATCH, hatch="//////", linewidth=0)
        image = axes.pcolormesh(first.edges, second.edges, np.ma.masked_invalid(array.reshape(shape)).T, **look)
        _frame(axes, one, INK if name == "Pull" else "white")
        if name != "Observed":
            bar = sheet.figure.colorbar(image, cax=sheet.panel(row, start + _SIDE + 0.07, 0.12))
            bar.ax.minorticks_off()
            bar.ax.tick_params(labelsize=10)
        axes.tick_params(which="both", labelsize=10, color="white" if name in ("Fitted", "Error of the fit") else INK)
        axes.tick_params(labelbottom=row == sheet.rows - 1, labelleft=name == "Observed")
        axes.locator_params(nbins=5)
        if row == sheet.rows - 1:
            axes.set_xlabel(safe(title(first)), fontsize=12)
        if name == "Observed":
            axes.set_ylabel(safe(title(second)), fontsize=12)
        if row == 0:
            axes.set_title(f"{name} / ({_bin(one)})" if name == "Fitted" else name, fontsize=12)


def _frame(axes: Axes, one: PlanePicture, colour: str) -> None:
    """Draw a line between the bins that the fit saw and the others."""
    from matplotlib.collections import LineCollection

    x, y = (np.asarray(axis.edges) for axis in one.axes)
    seen = one.trained.reshape(len(x) - 1, len(y) - 1)
    steep = [[(x[i + 1], y[j]), (x[i + 1], y[j + 1])] for i, j in np.argwhere(seen[1:] != seen[:-1])]
    flat = [[(x[i], y[j + 1]), (x[i + 1], y[j + 1])] for i, j in np.argwhere(seen[:, 1:] != seen[:, :-1])]
    axes.add_collection(LineCollection(steep + flat, colors=colour, linewidths=1.1))


def _bin(one: PlanePicture) -> str:
    return " × ".join(width(axis) for axis in one.axes)


def _line(axes: Axes, one: PlanePicture, row: int, *, last: bool) -> None:
    """Draw the only conditioning variable of a category."""
    (axis,) = one.axes
    mean, error = one.mean[row], one.errors[row]
    edges = np.asarray(axis.edges)
    axes.stairs(mean + error, edges, baseline=mean - error, fill=True, color=COLOURS[0], alpha=0.3, label="± error")
    axes.stairs(mean, edges, baseline=None, color=COLOURS[0], linewidth=1.5, label="Fitted")
    axes.errorbar(axis.centers, one.observed[row], np.sqrt(one.variances[row]), fmt="ko", ms=3, lw=1, label="Observed")
    for low, high in zip(edges[:-1][~one.trained], edges[1:][~one.trained], strict=True):
        axes.axvspan(low, high, facecolor=_PALE, edgecolor=_HATCH, hatch="////", linewidth=0, zorder=0)
    axes.set(xlim=(edges[0], edges[-1]), ylabel=f"Events / {width(axis)}")
    axes.set_xlabel(safe(title(axis)) if last else "")
    axes.tick_params(labelbottom=last)
    axes.set_ylim(0.0, 1.35 * float(np.nanmax(np.append(mean + error, one.observed[row]))))
    axes.legend(loc="upper right", fontsize=11)


def _histogram(axes: Axes, one: PlanePicture, row: int) -> dict[str, Any]:
    """Draw the pulls of the bins that were seen and of the others; return their numbers, means and widths."""
    edges = np.linspace(-_REACH, _REACH, 25)
    found: dict[str, Any] = {}
    for name, where, colour in (("trained", one.trained, GREY), ("not trained", ~one.trained, COLOURS[2])):
        pulls = one.pulls[row][where]
        pulls = pulls[np.isfinite(pulls)]
        if len(pulls) < 2:
            continue
        mean, spread = float(pulls.mean()), float(pulls.std(ddof=1))
        text = f"{name}: {len(pulls)} bins\nmean {mean:+.2f}, width {spread:.2f}"
        share = np.histogram(np.clip(pulls, -_REACH, _REACH), edges)[0] / len(pulls)
        axes.stairs(share, edges, color=colour, linewidth=1.7, label=text, fill=name == "trained", alpha=0.55)
        found |= {f"{name} bins": len(pulls), f"{name} mean": mean, f"{name} width": spread}
    x = np.linspace(-_REACH, _REACH, 81)
    axes.plot(x, (edges[1] - edges[0]) * np.exp(-0.5 * x**2) / np.sqrt(2 * np.pi), "k--", linewidth=1)
    axes.set(xlim=(-_REACH, _REACH), ylim=(0.0, 1.7 * axes.get_ylim()[1]))
    axes.set_ylabel("Share of the bins", fontsize=12)
    axes.tick_params(which="both", labelsize=10)
    if found:
        axes.legend(loc="upper left", fontsize=10, borderaxespad=0.3)
    else:
        note(axes, "no open bin")
    return found
