"""Figure of a plane: binned yields, what was fitted to them, and the pulls of the two."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..learn.pictures import PlanePicture
from .bins import title, width
from .file import keep
from .style import COLOURS, GREY, Label, caption, freeze, note, safe, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["plane"]

_REACH = 4.0
_HATCH, _PALE = "#b9b3da", "#f1eff8"


def plane(one: PlanePicture, *, label: Label | str = "") -> Figure:
    """Draw the yields in the conditioning variables, a row a category: observed, fitted, the error of that, and pulls.

    Bins whose observed yield is not known are hatched. Two variables are drawn as maps, one as a histogram; of more
    there are the pulls alone: ``(fitted - observed) / observed error`` of the bins that the fit saw, and of those it
    did not, where these are open.
    """
    from matplotlib.figure import Figure

    maps = {1: 1, 2: 4}.get(len(one.axes), 0)
    rows = len(one.names)
    with style():
        figure = Figure(figsize=(3.6 * (maps + 1) if maps else 5.0, 3.15 * rows + 0.5))
        figure.set_layout_engine("constrained", h_pad=0.05, w_pad=0.05)
        panels = figure.subplots(rows, maps + 1, squeeze=False)
        summary = {}
        for row, name in enumerate(one.names):
            if maps == 4:
                _maps(figure, panels[row, :4], one, row)
            elif maps:
                _line(panels[row, 0], one, row)
            summary[name or "all"] = _histogram(panels[row, -1], one, row)
            panels[row, -1].set_title(safe(name), fontsize=13, loc="right")
        caption(panels[0, 0], label)
        freeze(figure)
    kept: dict[str, Any] = {"figure": "plane"}
    kept |= {f"edges {axis.name}": axis.edges for axis in one.axes}
    arrays = {name: getattr(one, name) for name in ("observed", "mean", "errors", "pulls")}
    return keep(figure, {**kept, "trained": one.trained, **arrays, "summary": summary})


def _maps(figure: Figure, panels: Any, one: PlanePicture, row: int) -> None:
    """Draw the four maps of a category."""
    shape = tuple(len(axis) for axis in one.axes)
    top = float(np.nanmax(np.append(one.mean[row], one.observed[row])))
    per = " × ".join(width(axis) for axis in one.axes)
    texts = (f"Events / ({per})", f"Fitted / ({per})", "Error of the fit", "(Fitted − obs.) / σ(obs.)")
    values = one.observed[row], one.mean[row], one.errors[row], one.pulls[row]
    for column, (axes, array, text) in enumerate(zip(panels, values, texts, strict=True)):
        reach = {"vmin": -_REACH, "vmax": _REACH} if column == 3 else {"vmin": 0.0, "vmax": top if column < 2 else None}
        look: dict[str, Any] = {"cmap": "RdBu_r" if column == 3 else "viridis", "rasterized": True, **reach}
        axes.patch.set(facecolor=_PALE, edgecolor=_HATCH, hatch="//////" if column in (0, 3) else None, linewidth=0)
        first, second = one.axes
        image = axes.pcolormesh(first.edges, second.edges, np.ma.masked_invalid(array.reshape(shape)).T, **look)
        bar = figure.colorbar(image, ax=axes, pad=0.02, aspect=18, extend="both" if column == 3 else "neither")
        bar.ax.minorticks_off()
        bar.ax.tick_params(labelsize=10)
        bar.set_label(text, fontsize=11)
        axes.set_xlabel(safe(title(first)), fontsize=12)
        axes.set_ylabel(safe(title(second)) if column == 0 else "", fontsize=12)
        axes.tick_params(which="both", labelsize=10, color="white" if column in (1, 2) else "black")


def _line(axes: Axes, one: PlanePicture, row: int) -> None:
    """Draw the only conditioning variable of a category."""
    (axis,) = one.axes
    mean, error = one.mean[row], one.errors[row]
    edges = np.asarray(axis.edges)
    axes.stairs(mean + error, edges, baseline=mean - error, fill=True, color=COLOURS[0], alpha=0.3, label="± error")
    axes.stairs(mean, edges, baseline=None, color=COLOURS[0], linewidth=1.5, label="Fitted")
    axes.errorbar(axis.centers, one.observed[row], np.sqrt(one.variances[row]), fmt="ko", ms=3, lw=1, label="Observed")
    for low, high in zip(edges[:-1][~one.trained], edges[1:][~one.trained], strict=True):
        axes.axvspan(low, high, facecolor=_PALE, edgecolor=_HATCH, hatch="////", linewidth=0, zorder=0)
    axes.set(xlim=(edges[0], edges[-1]), xlabel=safe(title(axis)), ylabel=f"Events / {width(axis)}")
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
    axes.set_xlabel("(Fitted − obs.) / σ(obs.)", fontsize=12)
    axes.set_ylabel("Share of the bins", fontsize=12)
    axes.tick_params(which="both", labelsize=10)
    if found:
        axes.legend(loc="upper left", fontsize=10, borderaxespad=0.3)
    else:
        note(axes, "no open bin")
    return found
