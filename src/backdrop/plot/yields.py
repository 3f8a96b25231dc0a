"""Figures of yields: prediction, closure, several methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from ..errors import BlindedError, DataError
from ..estimate import Channel, Estimate
from .bins import Bins
from .file import keep
from .panels import (
    Band,
    Points,
    draw_band,
    draw_bars,
    draw_points,
    draw_pulls,
    draw_ratio,
    inverse,
    mark_cuts,
    name_channel,
    scale_y,
    scale_yields,
)
from .style import COLOURS, INK, Label, canvas, caption, freeze, note, safe, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from ..validation import Closure, Compared

    Array = NDArray[np.float64]

__all__ = ["Panel", "closure", "compare", "prediction", "variable"]

Panel = Literal["ratio", "pulls", "both"]


def prediction(
    estimate: Estimate,
    channel: str,
    observed: Array | None = None,
    *,
    sealed: bool = False,
    name: str = "Background",
    overlay: Mapping[str, Array] | None = None,
    panel: Panel = "ratio",
    at: Mapping[str, int] | None = None,
    log: bool | None = None,
    label: Label | str = "",
) -> Figure:
    """Draw the predicted yields of a channel with their uncertainty, and the observed ones.

    Parameters
    ----------
    observed
        Flat observed yields of the channel: counts, shape (bins,), or yields and variances, shape (2, bins).
    sealed
        Mark the channel as sealed; nothing observed may then be given.
    overlay
        Name to flat yields drawn as lines: a signal.
    panel
        What stands below: the ratio of observed yields to the prediction, their pulls, or both.
    at
        Axis name to bin: draw this slice of a channel with several axes, which are unrolled otherwise.
    log
        Logarithmic y axis; None: where the yields span about three decades.
    label
        Experiment, or a `Label` with luminosity and energy.

    Raises
    ------
    BlindedError
        If observed yields are given for a sealed channel.
    """
    if sealed and observed is not None:
        raise BlindedError(f"channel '{channel}' is sealed: draw it without observed yields")
    part = estimate.only(channel)
    bins = Bins.of(part.channels[0], at)
    band = _band(part, bins)
    points = None if observed is None else _points(observed, part.channels[0], bins)
    pulls = None if points is None or panel == "ratio" else _own_pulls(band, points)
    with style():
        figure, (main, *lower) = canvas(_lower(panel, pulls))
        draw_band(main, bins, band, safe(name))
        lines = {key: _flat(values, part.channels[0], key)[bins.where] for key, values in (overlay or {}).items()}
        _overlay(main, bins, lines)
        _finish(main, lower, bins, band, points, pulls)
        scale_yields(main, bins, band, points, log, list(lines.values()))
        name_channel(main, bins, channel, sealed=sealed)
        caption(main, label)
        freeze(figure)
    drawn = _numbers("prediction", channel, bins, band, points)
    return keep(figure, {**drawn, "sealed": sealed, "overlay": lines})


def closure(
    result: Closure,
    *,
    name: str = "Background",
    panel: Panel = "ratio",
    at: Mapping[str, int] | None = None,
    log: bool | None = None,
    label: Label | str = "",
) -> Figure:
    """Draw a closure test: observed yields over the prediction, with χ², p-value and the bins' pulls.

    The p-value is that of all bins of the channel, whichever slice is drawn.
    """
    bins = Bins.of(result.channel, at)
    where = bins.where
    errors = np.sqrt(np.diag(result.covariance))[where]
    band = Band(result.predicted[where], errors)
    points = Points.tested(result, where)
    pulls = None if panel == "ratio" else result.pulls[where]
    with style():
        figure, (main, *lower) = canvas(_lower(panel, pulls))
        draw_band(main, bins, band, safe(name))
        _finish(main, lower, bins, band, points, pulls)
        scale_yields(main, bins, band, points, log)
        line = name_channel(main, bins, result.channel.name, rows=1)
        text = f"$\\chi^2$ / ndf = {result.chi2:.1f} / {result.ndf},  p {_p(result.p_value)}"
        note(main, text, x=0.97, y=line, ha="right")
        caption(main, label)
        freeze(figure)
    drawn = _numbers("closure", result.channel.name, bins, band, points)
    tested = {"chi2": result.chi2, "ndf": result.ndf, "p_value": result.p_value, "pulls": result.pulls[where]}
    return keep(figure, {**drawn, **tested})


def variable(found: Compared, *, name: str = "Background", log: bool | None = None, label: Label | str = "") -> Figure:
    """Draw a further variable, observed over predicted, without the channel's own cuts on it, which are marked.

    Bins that a seal hides are hatched; neither side is drawn there.
    """
    result, where = found.closure, found.variable
    bins = Bins.of(result.channel)
    shown = np.isin(np.arange(result.channel.size), where.hidden, invert=True)
    band = Band(result.predicted * shown, np.sqrt(np.diag(result.covariance)) * shown)
    points = Points.tested(result, bins.where).without(where.hidden)
    with style():
        figure, (main, lower) = canvas(1)
        draw_band(main, bins, band, safe(name))
        _finish(main, [lower], bins, band, points, None)
        scale_yields(main, bins, band, points, log)
        line = name_channel(main, bins, where.of, rows=1)
        text = f"$\\chi^2$ / ndf = {result.chi2:.1f} / {result.ndf},  p {_p(result.p_value)}"
        note(main, text, x=0.97, y=line, ha="right")
        if where.dropped:
            note(main, f"without its cut{'s' * (len(where.dropped) > 1)} on {where.column}", y=0.86)
        mark_cuts([main, lower], bins, where)
        caption(main, label)
        freeze(figure)
    drawn = _numbers("variable", where.of, bins, band, points)
    tested = {"chi2": result.chi2, "ndf": result.ndf, "p_value": result.p_value}
    return keep(figure, {**drawn, **tested, "without": where.dropped, "hidden": where.hidden})


def compare(
    estimates: Mapping[str, Estimate],
    channel: str,
    observed: Array | None = None,
    *,
    sealed: bool = False,
    at: Mapping[str, int] | None = None,
    log: bool | None = None,
    label: Label | str = "",
) -> Figure:
    """Draw the predictions of several methods bin by bin; the lower panel is relative to the first.

    Raises
    ------
    BlindedError
        If observed yields are given for a sealed channel.
    DataError
        If no estimate is given.
    """
    if sealed and observed is not None:
        raise BlindedError(f"channel '{channel}' is sealed: draw it without observed yields")
    if not estimates:
        raise DataError("no estimate to compare; give at least one, by name")
    parts = {name: estimate.only(channel) for name, estimate in estimates.items()}
    first = next(iter(parts.values())).channels[0]
    bins = Bins.of(first, at)
    bands = {name: _band(part, bins) for name, part in parts.items()}
    points = None if observed is None else _points(observed, first, bins)
    with style():
        figure, (main, lower) = canvas(1)
        reference, *_ = bands.values()
        _side_by_side(main, lower, bins, bands, reference, points is not None)
        tops = [band.nominal + band.total for band in bands.values()]
        if points is not None:
            _observed(main, lower, bins, points, reference, (len(bands) // 2 + 1) / (len(bands) + 2))
            tops.append(points.values + points.high)
        # a yield below its own error says nothing about the range of the axis
        floors = np.concatenate([np.where(band.nominal > band.total, band.nominal, 0.0) for band in bands.values()])
        floors = np.append(floors, [min(0.0, float(band.nominal.min())) for band in bands.values()])
        scale_y(main, bins, np.concatenate(tops), floors, log)
        bins.dress(main, lower)
        lower.set_ylabel(f"Rel. to\n{safe(next(iter(bands)))}", loc="center", fontsize=12)
        name_channel(main, bins, channel, sealed=sealed)
        caption(main, label)
        freeze(figure)
    methods = {name: {"predicted": band.nominal, "total": band.total} for name, band in bands.items()}
    drawn = _numbers("compare", channel, bins, None, points)
    return keep(figure, {**drawn, "methods": methods, "sealed": sealed})


def _band(part: Estimate, bins: Bins) -> Band:
    statistical = np.diag(part.statistical_covariance())[bins.where]
    total = np.diag(part.covariance(part.channels[0].name))[bins.where]
    return Band(part.nominal[bins.where], np.sqrt(total), np.sqrt(statistical))


def _points(observed: Array, channel: Channel, bins: Bins) -> Points:
    observed = np.asarray(observed, float)
    pair = observed if observed.ndim == 2 else np.stack([observed, observed])
    values, variances = (_flat(row, channel, "observed")[bins.where] for row in pair)
    if bool((variances < 0).any()):
        raise DataError(
            f"observed yields of channel '{channel.name}' are negative in {int((variances < 0).sum())} bins and no "
            "variances are given; give yields and variances, shape (2, bins)"
        )
    return Points.of(values, variances)


def _flat(values: Array, channel: Channel, what: str) -> Array:
    flat = np.asarray(values, float).ravel()
    if flat.size != channel.size:
        raise DataError(f"'{what}' has {flat.size} bins, channel '{channel.name}' has {channel.size}")
    return flat


def _overlay(axes: Axes, bins: Bins, lines: Mapping[str, Array]) -> None:
    for colour, (name, values) in zip(COLOURS[2:], lines.items(), strict=False):
        axes.stairs(values, bins.edges, color=colour, linewidth=2, label=safe(name), zorder=5)


def _lower(panel: Panel, pulls: Array | None) -> int:
    return 2 if panel == "both" and pulls is not None else 1


def _finish(
    main: Axes, lower: Sequence[Axes], bins: Bins, band: Band, points: Points | None, pulls: Array | None
) -> None:
    """Draw what both yield figures have: points and the lower panels, the pulls in the last one if there are any."""
    if points is not None:
        draw_points(main, bins, points)
    if pulls is not None:
        draw_pulls(lower[-1], bins, pulls)
    if pulls is None or len(lower) > 1:
        draw_ratio(lower[0], bins, band, points)
    bins.dress(main, *lower)


def _own_pulls(band: Band, points: Points) -> Array:
    spread = np.sqrt(band.total**2 + points.variances)
    return np.divide(points.values - band.nominal, spread, out=np.zeros_like(spread), where=spread > 0)


def _side_by_side(main: Axes, lower: Axes, bins: Bins, bands: Mapping[str, Band], reference: Band, gap: bool) -> None:
    """Draw every method at its own place in the bins; with `gap` the middle place is left to the observed yields."""
    widths, slots = np.diff(bins.edges), len(bands) + gap
    scale = inverse(reference.nominal)
    for i, (name, band) in enumerate(bands.items()):
        slot = i + (gap and i >= len(bands) // 2)
        x = bins.edges[:-1] + widths * (slot + 1) / (slots + 1)
        colour, marker = COLOURS[i % len(COLOURS)], "s^vDPX"[i % 6]
        main.stairs(band.nominal, bins.edges, color=colour, linewidth=1.3, alpha=0.8, zorder=2)
        draw_bars(main, x, band.nominal, band.total, colour=colour, marker=marker, label=safe(name))
        draw_bars(lower, x, band.nominal * scale, band.total * scale, colour=colour, marker=marker)
    lower.axhline(1, color=INK, linewidth=0.9, zorder=1)


def _observed(main: Axes, lower: Axes, bins: Bins, points: Points, reference: Band, place: float) -> None:
    x, error = bins.edges[:-1] + np.diff(bins.edges) * place, np.stack([points.low, points.high])
    scale = inverse(reference.nominal)
    draw_bars(main, x, points.values, error, label="Observed")
    draw_bars(lower, x, points.values * scale, error * scale)


def _numbers(kind: str, channel: str, bins: Bins, band: Band | None, points: Points | None) -> dict[str, object]:
    slices = [text for _, _, text in bins.blocks]
    drawn: dict[str, object] = {
        "figure": kind,
        "channel": channel,
        "x": bins.label,
        "edges": bins.edges,
        "slices": slices,
    }
    if band is not None:
        drawn |= {"predicted": band.nominal, "statistical": band.statistical, "total": band.total}
    seen = None if points is None else {"values": points.values, "down": points.low, "up": points.high}
    return drawn | {"observed": seen}


def _p(value: float) -> str:
    """Return a p-value with its sign of equality."""
    if value == 0.0:
        return "< 1e−300"
    return f"= {value:.3f}" if value >= 0.001 else f"= {value:.1e}".replace("-", "−")
