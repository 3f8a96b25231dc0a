"""The look of the figures: the field's style, the experiment label, the colours."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["COLOURS", "Label", "style"]

COLOURS = ("#5790fc", "#f89c20", "#e42536", "#964a8b", "#7a21dd", "#86c8dd", "#656364", "#b9ac70")
"""Petroff's sequence, told apart with every common form of colour blindness."""

_LONG = 26

INK, FILL, GREY, MARK = "#16181d", "#a9c7fd", "#6b7280", "#b42318"

_KEPT = {"backend", "backend_fallback", "interactive", "toolbar", "timezone", "figure.max_open_warning"}

_SETTINGS: dict[str, Any] = {
    "font.family": ["TeX Gyre Heros", "DejaVu Sans"],
    "font.size": 15,
    "figure.dpi": 100,
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "axes.linewidth": 1.1,
    "axes.axisbelow": False,
    "legend.fontsize": 13,
    "legend.labelspacing": 0.35,
    "legend.borderpad": 0.3,
    "legend.frameon": True,
    "legend.fancybox": False,
    "legend.edgecolor": "none",
    "legend.facecolor": "white",
    "legend.framealpha": 0.85,
    "xtick.major.size": 7,
    "xtick.minor.size": 4,
    "ytick.major.size": 7,
    "ytick.minor.size": 4,
    "xtick.labelsize": 13,
    "ytick.labelsize": 13,
    # every tick is drawn five times, for the layout and for each kind of file
    "xtick.minor.ndivs": 2,
    "ytick.minor.ndivs": 2,
    "hatch.linewidth": 0.7,
    "errorbar.capsize": 0,
    "svg.hashsalt": "backdrop",
    "svg.fonttype": "path",
    # type 42 would declare these fonts, whose outlines are not TrueType's, as what they are not
    "pdf.fonttype": 3,
    "path.simplify": True,
}


@dataclass(frozen=True)
class Label:
    """What stands above a figure: experiment (bold), status (italic), luminosity in fb⁻¹, energy in TeV.

    Examples
    --------
    >>> Label.of("CMS Open Data")
    Label(experiment='CMS', status='Open Data', lumi=None, com=None)
    """

    experiment: str = ""
    status: str = ""
    lumi: float | None = None
    com: float | None = None

    @classmethod
    def of(cls, label: Label | str) -> Label:
        """Return the label itself, or one made of a text, whose first word is the experiment."""
        if isinstance(label, Label):
            return label
        first, _, rest = label.strip().partition(" ")
        return cls(first, rest.strip())

    @property
    def right(self) -> str:
        """The luminosity and the energy, as they stand above the right corner."""
        lumi = "" if self.lumi is None else f"{self.lumi:g} fb$^{{-1}}$"
        energy = "" if self.com is None else f"{self.com:g} TeV"
        return f"{lumi} ({energy})" if lumi and energy else lumi or energy


@contextmanager
def style() -> Iterator[None]:
    """Draw in the field's style inside the context; no global setting is left behind.

    Examples
    --------
    >>> with style():
    ...     pass
    """
    import matplotlib as mpl
    import mplhep

    # from the defaults on, so that no matplotlibrc of the reader's machine shows in a figure
    defaults = {name: value for name, value in mpl.rcParamsDefault.items() if name not in _KEPT}
    settings: Any = {**defaults, **mplhep.style.CMS, **_SETTINGS}
    with mpl.rc_context(settings):
        yield


def canvas(
    lower: int = 0, *, size: tuple[float, float] | None = None, square: bool = False
) -> tuple[Figure, tuple[Axes, ...]]:
    """Return a figure with one panel and, below it, as many small ones as asked for."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=size or (7.4, 4.75 + 1.45 * lower))
    figure.set_layout_engine("compressed" if square else "constrained", h_pad=0.06, w_pad=0.08, hspace=0.0)
    panels = figure.subplots(1 + lower, 1, sharex=True, height_ratios=(3.0, *[1.25] * lower), squeeze=False).ravel()
    for axes in panels[:-1]:
        axes.tick_params(labelbottom=False)
    return figure, tuple(panels)


def columns(two: bool, *, height: float) -> tuple[Figure, tuple[Axes, Axes]]:
    """Return a figure with a panel and, if asked for, a narrower one at its right; without it both are the same."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.2 if two else 7.4, height))
    figure.set_layout_engine("constrained", h_pad=0.06, w_pad=0.08, wspace=0.0)
    if not two:
        axes = figure.subplots()
        return figure, (axes, axes)
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(1.6, 1))
    return figure, (left, right)


def caption(axes: Axes, label: Label | str) -> None:
    """Write the experiment on the left and the luminosity on the right above a panel."""
    label = Label.of(label)
    points = "offset points"
    bold = axes.annotate(
        safe(label.experiment), (0, 1), (0, 3), xycoords="axes fraction", textcoords=points, va="bottom"
    )
    bold.set(fontsize=18, fontweight="bold")
    if label.status:
        beside, place = (bold, (1, 0)) if label.experiment else ("axes fraction", (0, 1))
        shift = (7, 1.5) if label.experiment else (0, 3)
        status = axes.annotate(safe(label.status), place, shift, xycoords=beside, textcoords=points, va="bottom")
        status.set(fontsize=14, fontstyle="italic")
    if label.right:
        axes.text(1.0, 1.012, label.right, transform=axes.transAxes, ha="right", va="bottom", fontsize=13)


def headroom(axes: Axes, rows: int) -> None:
    """Lift the upper limit so that `rows` lines of legend stand clear of what is drawn."""
    low, high = axes.get_ylim()
    share = min(0.075 * rows + 0.06, 0.6)
    if axes.get_yscale() == "log":
        axes.set_ylim(low, low * (high / low) ** (1 / (1 - share)))
    else:
        axes.set_ylim(low, low + (high - low) / (1 - share))


def note(axes: Axes, text: str, *, x: float = 0.04, y: float = 0.94, ha: str = "left", va: str = "top") -> None:
    """Write a line into a panel, in its own coordinates."""
    box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1.5}
    axes.text(x, y, text, transform=axes.transAxes, ha=ha, va=va, color=INK, fontsize=13, zorder=8, bbox=box)


def aside(axes: Axes, title: str) -> None:
    """Put the legend on the right of the panel, its entries short enough to leave the panel its width."""
    handles, labels = axes.get_legend_handles_labels()
    figure = axes.get_figure(root=True)
    short = [text if len(text) <= _LONG else f"{text[: _LONG - 1]}…" for text in labels]
    if figure is not None:
        legend = figure.legend(handles, short, title=title, loc="outside right upper", fontsize=12, title_fontsize=12)
        legend.set_alignment("left")


@functools.lru_cache(maxsize=1024)
def safe(text: str) -> str:
    """Return a text that mathtext can typeset: unbalanced or broken formulas are printed as they are."""
    from matplotlib.mathtext import MathTextParser

    if "$" not in text:
        return text
    try:
        MathTextParser("path").parse(text)
    except ValueError:
        return text.replace(r"\$", "$").replace("$", r"\$")
    return text


def freeze(figure: Figure) -> Figure:
    """Compute the layout once, so that every file of a figure has the same one."""
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
    figure.set_layout_engine("none")
    return figure
