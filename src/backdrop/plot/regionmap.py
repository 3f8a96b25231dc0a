"""Figure of the region map: which sets of rows can share rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..errors import DataError
from ..validation import RegionMap, Use
from .file import keep
from .style import INK, MARK, Label, canvas, caption, freeze, safe, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["regions"]

_LOOKS = {
    "same": ("#3f4654", "=", "white", "the same rows"),
    "inside": ("#a9c7fd", "⊂", INK, "inside the other"),
    "around": ("#dbe7fe", "⊃", INK, "holds the other"),
    "overlap": ("#f9c784", "∩", INK, "may share rows"),
    "disjoint": ("#ffffff", "", INK, "disjoint"),
}


def regions(found: RegionMap, *, label: Label | str = "") -> Figure:
    """Draw how every pair of sets of rows lies to each other, decided from their cuts; sealed sets are written in red.

    Raises
    ------
    DataError
        If the map is empty.
    """
    if not found.uses:
        raise DataError("the region map holds no set of rows to draw")
    size, longest = len(found.uses), max(len(_name(use)) for use in found.uses)
    with style():
        side = max(0.36 * size, 3.8)
        figure, (axes,) = canvas(size=(2.4 + 0.095 * longest + side, 0.9 + side))
        for row, relations in enumerate(found.relations):
            for column, relation in enumerate(relations):
                _cell(axes, row, column, relation)
        _dress(axes, found.uses)
        _legend(figure, found)
        caption(axes, label)
        freeze(figure)
    names = [use.name for use in found.uses]
    return keep(figure, {"figure": "regions", "sets": names, "relations": found.relations})


def _cell(axes: Axes, row: int, column: int, relation: str) -> None:
    from matplotlib.patches import Rectangle

    colour, sign, ink, _ = _LOOKS[relation]
    axes.add_patch(Rectangle((column, row), 1, 1, facecolor=colour, edgecolor="#c3c8d1", linewidth=0.6))
    if sign and row != column:
        axes.text(column + 0.5, row + 0.52, sign, ha="center", va="center", color=ink, fontsize=12)


def _dress(axes: Axes, uses: tuple[Use, ...]) -> None:
    size = len(uses)
    axes.set_xlim(0, size)
    axes.set_ylim(size, 0)
    axes.set_aspect("equal", anchor="W")
    axes.minorticks_off()
    axes.tick_params(which="both", length=0)
    centres = np.arange(size) + 0.5
    axes.set_xticks(centres, [str(i + 1) for i in range(size)], fontsize=11)
    texts = axes.set_yticks(centres, [f"{_name(use)}  {i + 1}" for i, use in enumerate(uses)], fontsize=11.5)
    for tick, use in zip(texts, uses, strict=True):
        tick.label1.set_color(MARK if use.sealed == "all" else INK)


def _name(use: Use) -> str:
    name = use.name if len(use.name) <= 40 else f"{use.name[:39]}…"
    return (
        safe(name)
        + {"all": " (sealed)", "part": " (sealed rows left out)", "no": ""}[
            "no" if use.kind == "sealed" else use.sealed
        ]
    )


def _legend(figure: Figure, found: RegionMap) -> None:
    from matplotlib.patches import Patch

    pairs = [(i, k) for i in range(len(found.uses)) for k in range(len(found.uses)) if i != k]
    seen = {found.relations[i][k] for i, k in pairs}
    shown = [look for kind, look in _LOOKS.items() if kind in seen]
    handles = [Patch(facecolor=look[0], edgecolor="#9aa1ad", label=f"{look[1]} {look[3]}".strip()) for look in shown]
    figure.legend(handles=handles, loc="outside right upper", fontsize=11.5, title="The row is …", title_fontsize=11.5)
