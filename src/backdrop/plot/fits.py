"""Figures of fits: pulls and impacts of the nuisances, limits, fitted yields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ..channel import Channel
from ..errors import DataError, nearest
from .bins import Bins
from .file import keep
from .panels import Band, Points, draw_points, draw_ratio, draw_uncertainty, name_channel, scale_yields
from .style import COLOURS, GREY, INK, Label, canvas, caption, columns, freeze, safe, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from ..inference import FitResult

    Array = NDArray[np.float64]

__all__ = ["limits", "nuisances", "postfit"]

_SHOWN = 25


def nuisances(result: FitResult, *, label: Label | str = "") -> Figure:
    """Draw the pulls of the constrained parameters and, beside them, their impacts on the signal strength.

    The 25 with the largest impacts are drawn, or with the largest pulls where nothing has an impact. A bar is the error
    after the fit in units of the constraint; parameters of another unit (factors of a bin) have none.

    Raises
    ------
    DataError
        If the fit has no constrained parameter.
    """
    found = {name: one for name, one in result.parameters.items() if one.pull is not None}
    if not found:
        raise DataError("the fit has no constrained parameter to draw")
    weight = result.impacts or {name: one.pull or 0.0 for name, one in found.items()}
    order = sorted(found, key=lambda name: -abs(weight.get(name, 0.0)))[:_SHOWN]
    pulls = np.array([found[name].pull for name in order], float)
    bars = np.array([found[name].error if _in_sigmas(found[name].value, found[name].pull) else 0.0 for name in order])
    impacts = np.array([result.impacts.get(name, 0.0) for name in order])
    rows = np.arange(len(order))[::-1]
    with style():
        figure, (left, right) = columns(bool(result.impacts), height=max(2.8, 1.5 + 0.29 * len(order)))
        _pulls(left, rows, pulls, bars)
        _names(left, rows, order)
        if result.impacts:
            _impacts(right, rows, impacts, result.poi)
        caption(left, _asimov(label, result.asimov_channels))
        freeze(figure)
    drawn = {name: {**one._asdict(), "impact": result.impacts.get(name)} for name, one in found.items()}
    return keep(figure, {"figure": "nuisances", "parameters": drawn, "asimov_channels": result.asimov_channels})


def limits(results: Mapping[str, FitResult], *, label: Label | str = "") -> Figure:
    """Draw the upper limit on the signal strength of each fit: expected with its bands, and observed where it is known.

    Raises
    ------
    DataError
        If no fit has a limit.
    """
    found = {name: one for name, one in results.items() if one.limit_expected is not None}
    if not found:
        raise DataError("no fit has an expected limit to draw")
    with style():
        figure, (axes,) = canvas(size=(7.4, 2.0 + 0.62 * len(found)))
        rows = np.arange(len(found))[::-1]
        for row, one in zip(rows, found.values(), strict=True):
            _brazil(axes, float(row), one)
        _names(axes, rows, [name + (" (Asimov)" if one.asimov_channels else "") for name, one in found.items()])
        axes.set_ylim(-0.6, len(found) - 0.4 + 0.75)
        axes.set_xlim(0, 1.08 * max(_ends(one) for one in found.values()))
        first = next(iter(found.values()))
        axes.set_xlabel(f"{100 * (first.level or 0.0):g} % CL upper limit on {safe(first.poi or 'signal strength')}")
        entries = dict(zip(*axes.get_legend_handles_labels()[::-1], strict=True))
        axes.legend(entries.values(), entries.keys(), loc="upper right", ncols=4, fontsize=11.5, columnspacing=1.0)
        caption(axes, label)
        freeze(figure)
    drawn = {name: {"expected": one.limit_expected, "observed": one.limit_observed} for name, one in found.items()}
    return keep(figure, {"figure": "limits", "limits": drawn})


def postfit(
    result: FitResult, channel: str, *, binned: Channel | None = None, log: bool | None = None, label: Label | str = ""
) -> Figure:
    """Draw the fitted yields of a channel of the workspace, sample on sample, with the observed ones.

    Parameters
    ----------
    binned
        The channel whose bins these are, for the axis; without it bins are numbered.

    Raises
    ------
    DataError
        If there is no such channel, or `binned` has another number of bins.
    """
    if channel not in result.postfit:
        raise DataError(f"the fit has no channel '{channel}'{nearest(channel, result.postfit)}")
    found = result.postfit[channel]
    bins = Bins.numbered(len(found.total)) if binned is None else Bins.of(binned)
    if len(bins.where) != len(found.total):
        raise DataError(f"channel '{channel}' of the fit has {len(found.total)} bins, not {len(bins.where)}")
    band = Band(np.array(found.total), np.array(found.error))
    points = None if found.observed is None else Points.of(*[np.array(found.observed)] * 2)
    with style():
        figure, (main, lower) = canvas(1)
        base = np.zeros_like(band.nominal)
        for colour, (name, yields) in zip(_repeated(COLOURS), found.samples.items(), strict=False):
            top = base + np.array(yields)
            main.stairs(top, bins.edges, baseline=base, fill=True, color=colour, alpha=0.75, label=safe(name), zorder=1)
            base = top
        draw_uncertainty(main, bins, band)
        if points is not None:
            draw_points(main, bins, points)
        draw_ratio(lower, bins, band, points)
        scale_yields(main, bins, band, points, log)
        bins.dress(main, lower)
        name_channel(main, bins, f"{channel} after the fit" + (" (Asimov)" if points is None else ""))
        figure.align_ylabels([main, lower])
        caption(main, label)
        freeze(figure)
    drawn = {"figure": "postfit", "channel": channel, "x": bins.label, "edges": bins.edges, "samples": found.samples}
    return keep(figure, {**drawn, "total": band.nominal, "error": band.total, "observed": found.observed})


def _pulls(axes: Axes, rows: NDArray[np.int64], pulls: Array, bars: Array) -> None:
    axes.axvspan(-2, 2, color="#fdf0d5", linewidth=0, zorder=0)
    axes.axvspan(-1, 1, color="#dcefdc", linewidth=0, zorder=0.1)
    axes.axvline(0, color=GREY, linewidth=1, zorder=1)
    axes.errorbar(pulls, rows, xerr=bars, fmt="o", color=INK, ms=5, lw=1.5, zorder=4)
    reach = max(2.6, 1.1 * float((np.abs(pulls) + bars).max()))
    axes.set_xlim(-reach, reach)
    axes.set_xlabel(r"$(\hat{\theta} - \theta_0)\, /\, \Delta\theta$")


def _impacts(axes: Axes, rows: NDArray[np.int64], impacts: Array, poi: str | None) -> None:
    axes.barh(rows, impacts, height=0.66, color=COLOURS[0])
    axes.axvline(0, color=INK, linewidth=0.9)
    reach = 1.15 * max(float(np.abs(impacts).max()), 1e-12)
    axes.set_xlim(-reach, reach)
    axes.tick_params(axis="y", which="both", length=0, labelleft=False)
    axes.yaxis.minorticks_off()
    axes.set_xlabel(f"Impact on {safe(poi or 'signal strength')}")
    axes.locator_params(axis="x", nbins=5)


def _brazil(axes: Axes, row: float, result: FitResult) -> None:
    low2, low1, middle, high1, high2 = result.limit_expected or (0.0,) * 5
    axes.barh(row, high2 - low2, left=low2, height=0.62, color="#f5bb54", label="95 % expected")
    axes.barh(row, high1 - low1, left=low1, height=0.62, color="#607641", label="68 % expected")
    axes.plot([middle] * 2, [row - 0.31, row + 0.31], "--", color=INK, lw=1.6, label="Median expected")
    if result.limit_observed is not None:
        axes.plot(result.limit_observed, row, "o", color=INK, ms=7, label="Observed")


def _ends(result: FitResult) -> float:
    return max(*(result.limit_expected or (0.0,)), result.limit_observed or 0.0)


def _names(axes: Axes, rows: NDArray[np.int64], names: Sequence[str]) -> None:
    axes.set_yticks(rows, [safe(name if len(name) <= 34 else f"{name[:33]}…") for name in names], fontsize=12)
    axes.tick_params(axis="y", which="both", length=0)
    axes.yaxis.minorticks_off()
    axes.set_ylim(-0.7, len(names) - 0.3)


def _in_sigmas(value: float, pull: float | None) -> bool:
    """Say whether a parameter is measured in units of its constraint, around zero."""
    return pull is not None and abs(value - pull) < 1e-6


def _repeated(colours: Sequence[str]) -> list[str]:
    return list(colours) * 12


def _asimov(label: Label | str, channels: Sequence[str]) -> Label:
    label = Label.of(label)
    return replace(label, status=f"{label.status} Asimov".strip()) if channels else label
