"""Figures of uncertainties: shifts of the variations, principal components of the replicas, covariance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from ..errors import DataError, nearest
from ..estimate import Channel, Estimate
from ..inference.components import principal
from .bins import Bins
from .file import keep
from .panels import draw_grey, inverse
from .style import COLOURS, INK, Label, aside, canvas, caption, freeze, safe, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from ..validation import Correlations

    Array = NDArray[np.float64]

__all__ = ["components", "correlations", "covariance", "shifts"]

_SHOWN = 6


def shifts(estimate: Estimate, channel: str, *, at: Mapping[str, int] | None = None, label: Label | str = "") -> Figure:
    """Draw each systematic up (solid) and down (dashed) relative to the nominal, over the total systematic band.

    Variations that are the statistical uncertainty of a counting fit are none of them. The six that move the channel
    most are drawn; the others only enter the band.

    Raises
    ------
    DataError
        If the estimate has no systematic.
    """
    part = estimate.only(channel)
    pairs = {name: pair for name, pair in part.variations.items() if name not in part.counted}
    if not pairs:
        raise DataError(f"the estimate of channel '{channel}' has no variation to draw that is a systematic")
    bins = Bins.of(part.channels[0], at)
    size = {name: float((((up - down) / 2) ** 2).sum()) for name, (up, down) in pairs.items()}
    order = sorted(size, key=lambda name: -size[name])
    relative = {name: _relative(part, name, bins) for name in order}
    total = np.sqrt(np.sum([((up - down) / 2) ** 2 for up, down in relative.values()], axis=0))
    with style():
        figure, (axes,) = canvas(size=(8.6, 4.4))
        draw_grey(axes, bins.edges, total, "Total syst.")
        for colour, name in zip(COLOURS, order[:_SHOWN], strict=False):
            _pair(axes, bins, relative[name], colour, name)
        reach = _reach(total, *(side for name in order[:_SHOWN] for side in relative[name]))
        _relative_axis(axes, bins, 1.12 * reach, "Shift / nominal [%]")
        some = f"{_SHOWN} largest of {len(order)}\n" if len(order) > _SHOWN else ""
        aside(axes, f"{_title(channel, bins)}\n{some}solid up, dashed down")
        caption(axes, label)
        freeze(figure)
    sides = {name: {"up": up, "down": down} for name, (up, down) in relative.items()}
    drawn = {"figure": "shifts", "channel": channel, "x": bins.label, "edges": bins.edges}
    return keep(figure, {**drawn, "unit": "percent of nominal", "variations": sides, "total": total})


def components(
    estimate: Estimate, channel: str, block: str, *, at: Mapping[str, int] | None = None, label: Label | str = ""
) -> Figure:
    """Draw the principal components of a replica block relative to the nominal, with their share of the variance.

    The components are those that enter the fit (`inference.components.principal`), of this channel alone.

    Raises
    ------
    DataError
        If there is no such block.
    """
    part = estimate.only(channel)
    if block not in part.replicas:
        have = ", ".join(part.replicas) or "none"
        raise DataError(f"no replica block '{block}'{nearest(block, part.replicas)}; blocks: {have}")
    bins = Bins.of(part.channels[0], at)
    scale = np.sqrt(np.maximum(np.abs(part.nominal), 1e-9 * max(float(np.abs(part.nominal).max()), 1e-300)))
    found = principal(part.replicas[block], scale).shifts
    share = ((found / scale) ** 2).sum(axis=1)
    share = share / share.sum() if share.sum() > 0 else share
    inverted = 100 * inverse(part.nominal[bins.where])
    spread = part.replicas[block].std(axis=0, ddof=1)[bins.where] * inverted
    with style():
        figure, (axes,) = canvas(size=(8.6, 4.4))
        draw_grey(axes, bins.edges, spread, "All replicas")
        for colour, number in zip(COLOURS, range(min(4, len(found))), strict=False):
            text = f"Component {number + 1} ({_percent(share[number])})"
            shift = found[number][bins.where] * inverted
            axes.stairs(shift, bins.edges, baseline=None, color=colour, linewidth=1.7, label=text)
        _relative_axis(axes, bins, 1.15 * _reach(spread), "Shift / nominal [%]")
        aside(axes, f"{_title(channel, bins)}\n{len(part.replicas[block])} replicas '{safe(block)}'")
        caption(axes, label)
        freeze(figure)
    drawn = {"figure": "components", "channel": channel, "block": block, "x": bins.label, "edges": bins.edges}
    shown = [row[bins.where] * inverted for row in found[:4]]
    return keep(figure, {**drawn, "unit": "percent of nominal", "components": shown, "share": share, "spread": spread})


def covariance(
    estimate: Estimate,
    channel: str | None = None,
    *,
    kind: Literal["correlation", "covariance"] = "correlation",
    label: Label | str = "",
) -> Figure:
    """Draw the correlation, or covariance, matrix of the bins of one channel or of all channels.

    Raises
    ------
    CutError
        If all channels are asked for and two of them may share rows.
    """
    matrix = estimate.covariance(channel)
    channels = estimate.channels if channel is None else (estimate.channel(channel),)
    if kind == "correlation":
        errors = np.sqrt(np.diag(matrix))
        scale = np.outer(errors, errors)
        matrix = np.divide(matrix, scale, out=np.full_like(matrix, np.nan), where=scale > 0)
    with style():
        figure, (axes,) = canvas(size=(6.6, 5.6), square=True)
        edges, text = _matrix_edges(channels)
        _matrix(figure, axes, edges, matrix, kind)
        _matrix_axes(axes, channels, text)
        caption(axes, label)
        freeze(figure)
    sizes = {one.name: one.size for one in channels}
    return keep(figure, {"figure": kind, "bins": sizes, "matrix": matrix})


def correlations(found: Correlations, *, names: Mapping[str, str] | None = None, label: Label | str = "") -> Figure:
    """Draw the correlations of columns in observed and predicted rows, and their difference in units of its error.

    Parameters
    ----------
    names
        Column to what is printed for it.
    """
    from matplotlib.figure import Figure

    columns = [safe((names or {}).get(one, one)) for one in found.observed.columns]
    size = len(columns)
    difference = found.difference
    panels = {
        "Observed": found.observed.matrix,
        "Predicted": found.predicted.matrix,
        "Difference / error": difference.pulls,
    }
    with style():
        figure = Figure(figsize=(11.0, 4.2))
        figure.set_layout_engine("compressed", h_pad=0.06, w_pad=0.08)
        whole = figure.subplots(1, 3, sharey=True)
        for axes, (title, matrix) in zip(whole, panels.items(), strict=True):
            reach = 5.0 if title.startswith("Diff") else 1.0
            image = axes.pcolormesh(matrix, cmap="RdBu_r", vmin=-reach, vmax=reach, rasterized=True)
            _numbers(axes, np.arange(size + 1.0), matrix, reach)
            axes.set(aspect="equal", ylim=(size, 0))
            axes.minorticks_off()
            axes.tick_params(which="both", length=0)
            places = np.arange(size) + 0.5
            axes.set_xticks(places, columns, fontsize=12, rotation=35 if len("".join(columns)) > 24 else 0)
            axes.set_yticks(places, columns, fontsize=12)
            axes.set_xlabel(title, loc="center")
            if axes is not whole[1]:
                bar = figure.colorbar(image, ax=axes, pad=0.02, fraction=0.12, aspect=7.5, location="right")
                bar.ax.minorticks_off()
                bar.ax.tick_params(labelsize=11)
        above = Label.of(label)
        caption(whole[0], replace(above, lumi=None, com=None))
        caption(whole[2], replace(above, experiment="", status=""))
        freeze(figure)
    matrices = {"observed": found.observed.matrix, "predicted": found.predicted.matrix}
    errors = {"observed_error": found.observed.error, "predicted_error": found.predicted.error}
    drawn = {"figure": "correlations", "columns": found.observed.columns, **matrices, **errors}
    return keep(figure, {**drawn, "difference": difference.matrix, "pulls": difference.pulls})


def _pair(axes: Axes, bins: Bins, pair: tuple[Array, Array], colour: str, name: str) -> None:
    for values, line, text in zip(pair, ("-", (0, (4, 2))), (safe(name), "_nolegend_"), strict=True):
        axes.stairs(values, bins.edges, baseline=None, color=colour, linestyle=line, linewidth=1.7, label=text)


def _relative_axis(axes: Axes, bins: Bins, reach: float, title: str) -> None:
    axes.axhline(0, color=INK, linewidth=0.9)
    axes.set_ylim(-reach, reach * (1.2 if bins.named else 1.0))
    axes.set_ylabel(title)
    bins.dress(axes)


def _title(channel: str, bins: Bins) -> str:
    return "\n".join(filter(None, [safe(channel), safe(bins.fixed)]))


def _matrix(figure: Figure, axes: Axes, edges: Array, matrix: Array, kind: str) -> None:
    reach = 1.0 if kind == "correlation" else max(float(np.nanmax(np.abs(matrix))), 1e-300)
    image = axes.pcolormesh(edges, edges, matrix, cmap="RdBu_r", vmin=-reach, vmax=reach, rasterized=True)
    bar = figure.colorbar(image, ax=axes, pad=0.02, fraction=0.05)
    bar.set_label("Correlation" if kind == "correlation" else "Covariance [events²]")
    bar.ax.minorticks_off()
    if kind == "correlation":
        _numbers(axes, edges, matrix, 1.0)


def _numbers(axes: Axes, edges: Array, matrix: Array, reach: float) -> None:
    """Write the values of a matrix of correlations into its cells, if they are few."""
    if len(matrix) > 12:
        return
    centres, size = list((edges[1:] + edges[:-1]) / 2), 11 if len(matrix) <= 8 else 8.5
    for (row, column), value in np.ndenumerate(matrix):
        colour, text = "white" if abs(value) > 0.6 * reach else INK, f"{value:.2f}" if np.isfinite(value) else "–"
        axes.text(centres[column], centres[row], text, ha="center", va="center", fontsize=size, color=colour)


def _matrix_axes(axes: Axes, channels: tuple[Channel, ...], label: str) -> None:
    axes.minorticks_off()
    axes.tick_params(which="both", length=0)
    axes.set_aspect("equal")
    axes.locator_params(nbins=5)
    axes.set_xlabel(safe(label))
    axes.set_ylabel(safe(label))
    if len(channels) == 1:
        return
    ends = np.cumsum([channel.size for channel in channels])
    for end in ends[:-1]:
        axes.axhline(end, color=INK, linewidth=1.2)
        axes.axvline(end, color=INK, linewidth=1.2)
    middle, names = ends - np.array([channel.size for channel in channels]) / 2, [safe(one.name) for one in channels]
    axes.set_xticks(middle, names, rotation=25 if len("".join(names)) > 30 else 0, ha="center", fontsize=12)
    axes.set_yticks(middle, names, fontsize=12)


def _matrix_edges(channels: tuple[Channel, ...]) -> tuple[Array, str]:
    """Return the edges of the rows and their label: those of the axis where it is alone and its bins are alike."""
    if len(channels) > 1:
        return np.arange(sum(channel.size for channel in channels) + 1.0), "Bins of the channels"
    bins = Bins.of(channels[0])
    steps = np.diff(bins.edges)
    if bins.unrolled or steps.max() > 4 * steps.min():
        return np.arange(channels[0].size + 1.0), f"Bin of {channels[0].name}"
    return bins.edges, bins.label


def _relative(part: Estimate, name: str, bins: Bins) -> tuple[Array, Array]:
    """Return the (up, down) shifts of a variation in percent of the nominal."""
    nominal = part.nominal[bins.where]
    up, down = (100 * (side[bins.where] - nominal) * inverse(nominal) for side in part.variations[name])
    return up, down


def _reach(*shifts: Array) -> float:
    found = np.abs(np.concatenate(shifts))
    return max(float(found[np.isfinite(found)].max(initial=0.0)), 1e-3)


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.005 else "< 1 %"
