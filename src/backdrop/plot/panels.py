"""The parts that the yield figures share: bands, points, ratios and pulls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .bins import Bins
from .poisson import error_bars, garwood
from .style import COLOURS, FILL, GREY, INK, MARK, headroom, note, safe

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from ..validation import Closure, Variable

    Array = NDArray[np.float64]

__all__: list[str] = []

_NOTHING = 1e-4


@dataclass(frozen=True)
class Points:
    """Observed yields with the lengths of their error bars, shapes (n,), and their variances."""

    values: Array
    low: Array
    high: Array
    variances: Array

    @classmethod
    def of(cls, values: Array, variances: Array) -> Points:
        """Return points with Garwood errors for counts, square roots of the variances otherwise."""
        low, high = error_bars(values, variances)
        return cls(values, low, high, variances)

    def without(self, bins: Sequence[int]) -> Points:
        """Return the points without those of some bins."""
        values = self.values.astype(float)
        values[list(bins)] = np.nan
        return replace(self, values=values)

    @classmethod
    def tested(cls, result: Closure, where: NDArray[np.int64]) -> Points:
        """Return the observed yields of a closure test; its counts get Garwood errors, the rest of them its own."""
        values, variances = result.observed[where], result.observed_variance[where]
        if result.counts is None:
            return cls.of(values, variances)
        counts = result.counts[where]
        expected = np.maximum(result.predicted[where] - (values - counts), 0.0)
        others = np.maximum(variances - expected, 0.0)
        low, high = garwood(counts)
        return cls(values, np.sqrt((counts - low) ** 2 + others), np.sqrt((high - counts) ** 2 + others), variances)


@dataclass(frozen=True)
class Band:
    """A prediction with its total error, and its statistical one where the two are told apart; shapes (n,)."""

    nominal: Array
    total: Array
    statistical: Array | None = None

    @property
    def split(self) -> bool:
        """Whether the total error is visibly more than the statistical one."""
        return self.statistical is not None and bool((self.total > 1.0005 * self.statistical).any())


def draw_band(axes: Axes, bins: Bins, band: Band, name: str) -> None:
    """Draw the prediction as a filled histogram with its uncertainty."""
    axes.stairs(band.nominal, bins.edges, fill=True, color=FILL, label=name, zorder=1)
    axes.stairs(band.nominal, bins.edges, color=COLOURS[0], linewidth=1.4, zorder=2)
    draw_uncertainty(axes, bins, band)


def draw_uncertainty(axes: Axes, bins: Bins, band: Band) -> None:
    """Draw the uncertainty of a prediction, the statistical part apart where it is known."""
    _errors(axes, bins, band.nominal, band, np.ones_like(band.nominal))


def draw_points(axes: Axes, bins: Bins, points: Points) -> None:
    """Draw observed yields; on a logarithmic axis empty bins show only their upper bar."""
    draw_bars(axes, bins.centres, points.values, np.stack([points.low, points.high]), label="Observed")


def draw_bars(
    axes: Axes, x: Array, y: Array, error: Array, *, colour: str = INK, marker: str = "o", label: str = "_nolegend_"
) -> None:
    """Draw points with error bars, in front of everything that is filled."""
    axes.errorbar(x, y, error, fmt=marker, color=colour, ms=5, lw=1.4, label=label, zorder=6)


def draw_ratio(axes: Axes, bins: Bins, band: Band, points: Points | None) -> None:
    """Draw observed over predicted with the relative uncertainty band; points off the panel become arrows."""
    scale = _inverse(band.nominal)
    _errors(axes, bins, np.where(scale > 0, 1.0, np.nan), band, scale)
    axes.axhline(1, color=COLOURS[0], linewidth=1.2, zorder=2)
    low, high = _ratio_range(band, points, scale)
    axes.set_ylim(low, high)
    axes.set_ylabel("Obs. / pred." if points is not None else "Rel. unc.", loc="center")
    if points is None:
        return
    seen = scale > 0
    ratio = points.values[seen] * scale[seen]
    bars = np.stack([points.low, points.high])[:, seen] * scale[seen]
    draw_bars(axes, bins.centres[seen], ratio, bars)
    _arrows(axes, bins.centres[seen], ratio, low, high)


def draw_pulls(axes: Axes, bins: Bins, pulls: Array) -> None:
    """Draw pulls as bars between the lines of one and two standard deviations."""
    axes.axhspan(-2, 2, color="#fdf0d5", linewidth=0, zorder=0)
    axes.axhspan(-1, 1, color="#dcefdc", linewidth=0, zorder=0.1)
    shown = np.nan_to_num(pulls)
    axes.stairs(shown, bins.edges, baseline=0, fill=True, color=COLOURS[0], alpha=0.85, zorder=2)
    axes.axhline(0, color=INK, linewidth=0.9, zorder=3)
    reach = float(np.clip(np.abs(shown).max(initial=0) * 1.15, 3.2, 8.0))
    axes.set_ylim(-reach, reach)
    axes.set_yticks([-2, 0, 2] if reach < 4.5 else [-5, -2, 0, 2, 5])
    _arrows(axes, bins.centres, shown, -reach, reach)
    axes.set_ylabel("Pull", loc="center")


def mark_cuts(panels: Sequence[Axes], bins: Bins, variable: Variable) -> None:
    """Mark the thresholds of cuts that were left out, and hatch the bins that a seal hides."""
    for axes in panels:
        for value in variable.thresholds:
            axes.axvline(value, color=MARK, linewidth=1.3, linestyle=(0, (5, 3)), zorder=5)
        for i in variable.hidden:
            span = axes.axvspan(bins.edges[i], bins.edges[i + 1], facecolor="#f1eff8", edgecolor="#b9b3da", linewidth=0)
            span.set(hatch="////", zorder=0.2)
    if variable.hidden:
        run = next((i for i, bin in enumerate(variable.hidden) if bin != variable.hidden[0] + i), len(variable.hidden))
        low, high = bins.edges[variable.hidden[0]], bins.edges[variable.hidden[run - 1] + 1]
        place: dict[str, Any] = {
            "transform": panels[0].get_xaxis_transform(),
            "ha": "center",
            "va": "center",
            "rotation": 90,
        }
        panels[0].text(
            (low + high) / 2, 0.3, "sealed", color="#4b3f8f", fontsize=12, fontweight="bold", zorder=6, **place
        )


def scale_y(axes: Axes, bins: Bins, tops: Array, floors: Array, log: bool | None) -> None:
    """Set the y axis: linear from zero, or below it where something is negative; logarithmic over three decades."""
    positive = floors[floors > 0]
    top = float(np.nanmax(tops, initial=0.0))
    wide = positive.size > 0 and top > 800 * float(positive.min())
    if (wide if log is None else log) and positive.size:
        axes.set_yscale("log")
        axes.set_ylim(max(0.4 * float(positive.min()), 1e-6 * top), 1.6 * top)
    else:
        least = min(float(np.nanmin(floors, initial=0.0)), 0.0)
        axes.set_ylim(1.1 * least, max(1.08 * top, 1e-9))
    axes.set_ylabel(f"Events / {bins.per}")


def scale_yields(
    axes: Axes, bins: Bins, band: Band, points: Points | None, log: bool | None, lines: Sequence[Array] = ()
) -> None:
    """Scale the y axis so that prediction, points and lines fit in."""
    # a yield below its own error says nothing about the range of the axis
    tops, floors = [band.nominal + band.total, *lines], [np.where(band.nominal > band.total, band.nominal, np.nan)]
    floors.append(np.minimum(band.nominal, 0.0))
    if points is not None:
        tops.append(points.values + points.high)
        # only yields below zero lower the axis, and their bars with them
        floors.append(np.where(points.values < 0, points.values - points.low, points.values))
    scale_y(axes, bins, np.concatenate(tops), np.concatenate(floors), log)


def name_channel(axes: Axes, bins: Bins, name: str, rows: int = 0, *, sealed: bool = False) -> float:
    """Draw the legend, the channel's name and room for `rows` more lines; return where the next line stands."""
    handles, labels = axes.get_legend_handles_labels()
    order = sorted(range(len(labels)), key=lambda i: labels[i] != "Observed")
    handles, labels = [handles[i] for i in order], [labels[i] for i in order]
    columns = 1 if len(labels) <= 3 else 2
    lines = -(-len(labels) // columns)
    top = 0.945 if bins.named else 1.0
    headroom(axes, max(lines + rows, 2) + bins.named)
    axes.legend(handles, labels, loc="upper right", ncols=columns, bbox_to_anchor=(1.0, top), borderaxespad=0.4)
    if sealed:
        _sealed_mark(axes, f"{safe(name)} sealed", top - 0.055)
    else:
        note(axes, "\n".join(filter(None, [safe(name), safe(bins.fixed)])), y=top - 0.045)
    return top - 0.04 - 0.068 * lines


def _sealed_mark(axes: Axes, text: str, y: float) -> None:
    box = {"boxstyle": "round,pad=0.35", "facecolor": "white", "edgecolor": MARK, "linewidth": 1.4}
    mark = axes.text(0.045, y, text, transform=axes.transAxes, va="top", color=MARK, fontweight="bold", bbox=box)
    mark.set(fontsize=14, zorder=10)


def draw_grey(axes: Axes, edges: Array, half: Array, label: str) -> None:
    """Draw a pale band of the given half width around zero."""
    axes.stairs(half, edges, baseline=-half, fill=True, color=GREY, alpha=0.22, label=label, linewidth=0)


def _errors(axes: Axes, bins: Bins, centre: Array, band: Band, scale: Array) -> None:
    """Draw the total error hatched over the statistical one in grey, or one grey band where they are not told apart."""
    statistical = band.total if band.statistical is None else band.statistical
    low, high = centre - statistical * scale, centre + statistical * scale
    text = "Uncertainty" if band.statistical is None else "Stat. unc."
    axes.stairs(high, bins.edges, baseline=low, fill=True, color=GREY, alpha=0.45, linewidth=0, label=text, zorder=3)
    if not band.split:
        return
    low, high = centre - band.total * scale, centre + band.total * scale
    hatched = axes.stairs(high, bins.edges, baseline=low, fill=True, linewidth=0, hatch="/////", zorder=4)
    hatched.set(facecolor="none", edgecolor=INK, alpha=0.75, label="Stat. ⊕ syst. unc.")


def inverse(values: Array) -> Array:
    """Return one over the positive values, NaN for the others and for those that are nothing beside the largest."""
    least = _NOTHING * float(np.abs(values).max(initial=0.0))
    return np.divide(1.0, values, out=np.full_like(values, np.nan), where=values > least)


def _inverse(values: Array) -> Array:
    return np.divide(1.0, values, out=np.zeros_like(values), where=values > 0)


def _ratio_range(band: Band, points: Points | None, scale: Array) -> tuple[float, float]:
    reach = np.minimum(band.total * scale, 1.0)
    if points is not None:
        off = np.abs(points.values * scale - 1) + np.maximum(points.low, points.high) * scale
        reach = np.maximum(reach, np.where(scale > 0, np.minimum(off, 1.0), 0))
    half = float(np.clip(1.25 * reach.max(initial=0.0), 0.06, 1.0))
    return 1 - half, 1 + half


def _arrows(axes: Axes, x: Array, y: Array, low: float, high: float) -> None:
    margin = 0.07 * (high - low)
    for out, at, marker in ((y > high, high - margin, "^"), (y < low, low + margin, "v")):
        # an empty line would still count in the layout
        if out.any():
            axes.plot(x[out], np.full(int(out.sum()), at), marker, color=MARK, ms=7, zorder=7, clip_on=False)
