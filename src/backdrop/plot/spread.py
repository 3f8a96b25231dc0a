"""Figures of replicas, toys and scans."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..errors import DataError
from ..estimate import Estimate
from .file import keep
from .panels import draw_bars
from .style import COLOURS, FILL, GREY, INK, Label, canvas, caption, freeze, headroom, note, safe, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[np.float64]

__all__ = ["pulls", "replicas", "scan"]


def replicas(estimate: Estimate, channel: str, *, label: Label | str = "") -> Figure:
    """Draw the yields of a channel in the replicas of each block, as pulls about the nominal.

    A replica's pull is its yield minus the nominal one over the block's standard deviation: a mean far from zero says
    that resampled fits are biased against the nominal, an outlier that a fit failed.

    Raises
    ------
    DataError
        If the estimate has no replicas.
    """
    part = estimate.only(channel)
    if not part.replicas:
        raise DataError(f"the estimate of channel '{channel}' has no replicas to draw")
    nominal = float(part.nominal.sum())
    yields = {name: rows.sum(axis=1) for name, rows in part.replicas.items()}
    spread = {name: float(values.std(ddof=1)) for name, values in yields.items()}
    shown = {name: (values - nominal) / spread[name] for name, values in yields.items() if spread[name] > 0}
    with style():
        figure, (axes,) = canvas(size=(7.4, 4.6))
        for colour, (name, values) in zip(COLOURS, shown.items(), strict=False):
            text = f"{safe(name)}: {len(values)} replicas, σ = {spread[name]:.3g} events, mean {values.mean():+.2f} σ"
            _histogram(axes, values, colour, text, filled=len(shown) == 1)
        _standard_normal(axes)
        axes.set_xlabel("(Replica yield − nominal) / σ of the block")
        axes.set_ylabel("Replicas (normalised)")
        headroom(axes, len(shown) + 3)
        title = f"{safe(channel)}: nominal yield {nominal:.5g}"
        axes.legend(loc="upper right", fontsize=12, title=title, title_fontsize=12, alignment="left")
        caption(axes, label)
        freeze(figure)
    drawn = {"figure": "replicas", "channel": channel, "nominal": nominal, "yields": yields, "spread": spread}
    return keep(figure, drawn)


def pulls(values: ArrayLike, *, title: str = "Pull", label: Label | str = "") -> Figure:
    """Draw pulls over toys with a unit normal, their mean and their width, each with its error.

    Raises
    ------
    DataError
        If there are fewer than two finite values.
    """
    data = np.asarray(values, float).ravel()
    data = data[np.isfinite(data)]
    if len(data) < 2:
        raise DataError(f"{len(data)} finite pulls have no width; give two or more")
    mean, width, n = float(data.mean()), float(data.std(ddof=1)), len(data)
    with style():
        figure, (axes,) = canvas(size=(7.4, 4.6))
        _histogram(axes, data, COLOURS[0], f"{n} toys", filled=True)
        _standard_normal(axes)
        axes.set_xlabel(safe(title))
        axes.set_ylabel("Toys (normalised)")
        headroom(axes, 2)
        axes.legend(loc="upper right")
        text = f"mean {mean:+.3f} ± {width / np.sqrt(n):.3f}\nwidth {width:.3f} ± {width / np.sqrt(2 * (n - 1)):.3f}"
        note(axes, text)
        caption(axes, label)
        freeze(figure)
    return keep(figure, {"figure": "pulls", "values": data, "mean": mean, "width": width})


def scan(
    x: ArrayLike,
    y: ArrayLike,
    error: ArrayLike | None = None,
    *,
    xlabel: str,
    ylabel: str,
    expected: float | ArrayLike | None = None,
    allowed: tuple[float, float] | None = None,
    name: str = "Measured",
    label: Label | str = "",
) -> Figure:
    """Draw a quantity against a setting: spurious signal, injected signal, a likelihood, a hyperparameter.

    Parameters
    ----------
    x, y, error
        Settings, values and their errors (None: a line without bars), shape (n,).
    xlabel, ylabel
        Labels of the axes, with their units.
    expected
        What the values should be: a number, or an array of shape (n,).
    allowed
        The band that the values must stay in.
    """
    at, values = np.asarray(x, float), np.asarray(y, float)
    bars = None if error is None else np.asarray(error, float)
    if at.shape != values.shape or at.ndim != 1 or (bars is not None and bars.shape != at.shape):
        raise DataError(f"a scan needs x, y and errors of one length; got {at.shape}, {values.shape}")
    line = None if expected is None else np.broadcast_to(np.asarray(expected, float), at.shape)
    with style():
        figure, (axes,) = canvas(size=(7.4, 4.8))
        if allowed is not None:
            axes.axhspan(*allowed, color="#dcefdc", linewidth=0, label="Allowed", zorder=0)
        if line is not None:
            axes.plot(at, line, color=GREY, linestyle=(0, (5, 3)), linewidth=1.5, label="Expected", zorder=2)
        if bars is None:
            axes.plot(at, values, color=COLOURS[0], linewidth=1.8, label=safe(name), zorder=4)
        else:
            draw_bars(axes, at, values, bars, label=safe(name))
        axes.set_xlabel(safe(xlabel))
        axes.set_ylabel(safe(ylabel))
        axes.margins(x=0.05, y=0.12)
        headroom(axes, 1)
        axes.legend(loc="upper right", ncols=3)
        caption(axes, label)
        freeze(figure)
    drawn = {"figure": "scan", "xlabel": xlabel, "ylabel": ylabel, "x": at, "y": values, "error": bars}
    return keep(figure, {**drawn, "expected": line, "allowed": allowed})


def _edges(values: Sequence[float] | Array) -> Array:
    reach = max(4.0, float(np.ceil(np.abs(values).max())))
    return np.linspace(-reach, reach, int(2 * reach * (2 if len(values) < 150 else 4)) + 1)


def _histogram(axes: Axes, values: Array, colour: str, text: str, *, filled: bool) -> None:
    edges = _edges(values)
    heights = np.histogram(values, edges, density=True)[0]
    if filled:
        axes.stairs(heights, edges, fill=True, color=FILL, zorder=1)
    axes.stairs(heights, edges, color=colour, linewidth=1.7, label=text, zorder=2)


def _standard_normal(axes: Axes) -> None:
    x = np.linspace(-4.5, 4.5, 181)
    density = np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)
    axes.plot(x, density, color=INK, linewidth=1.5, linestyle=(0, (5, 3)), label="Unit normal")
    axes.margins(x=0)
    axes.set_ylim(0, 1.06 * axes.get_ylim()[1])
