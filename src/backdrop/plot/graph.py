"""Figure of a graph of templates: what is drawn from what, given what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..learn.graph import Template, check_graph
from .file import keep
from .style import COLOURS, FILL, GREY, INK, Label, canvas, caption, freeze, safe, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["graph"]

Place = tuple[float, float]

_STEP, _ROW, _GAP = 3.2, 0.85, 0.75
_HALF, _EDGE = 0.8, 0.15


def graph(templates: Sequence[Template], *, label: Label | str = "") -> Figure:
    """Draw a graph of templates: a box each, with the variables that are drawn from it together.

    An arrow leads from a variable to the template that is projected at its value. Templates that nothing is given to,
    and that give nothing, stand in a row below.

    Raises
    ------
    ConfigError
        If the graph is wrong.
    """
    check_graph(templates)
    linked = [one for one in templates if one.given or _children(one, templates)]
    single = [one for one in templates if one not in linked]
    places = _places(linked)
    columns = 1 + max((_depths(linked).values()), default=0)
    wide = max(columns * _STEP, min(len(single), 4) * 2.2)
    places |= _beside(single, places, wide)
    boxes = [_box(one, places) for one in templates]
    left, right = min(box[0] for box in boxes) - 0.3, max(box[0] + box[2] for box in boxes) + 0.3
    low, high = min(box[1] for box in boxes) - 0.2, max(box[1] + box[3] for box in boxes) + 0.5
    with style():
        figure, (axes,) = canvas(size=(0.95 * (right - left) + 0.4, 0.95 * (high - low) + 0.6))
        axes.set_axis_off()
        axes.set_aspect("equal")
        axes.set_xlim(left, right)
        axes.set_ylim(low, high)
        for one, box in zip(templates, boxes, strict=True):
            _draw(axes, one, box, places)
            for name in one.parents:
                _arrow(axes, places[name], box)
        caption(axes, label)
        freeze(figure)
    drawn = [{"name": one.name, "draws": list(one.variables), "given": list(one.parents)} for one in templates]
    return keep(figure, {"figure": "graph", "templates": drawn})


def _children(one: Template, templates: Sequence[Template]) -> list[Template]:
    return [other for other in templates if set(one.variables) & set(other.parents)]


def _depths(templates: Sequence[Template]) -> dict[str, int]:
    """Return how many steps each template is from those that are given nothing."""
    depth: dict[str, int] = {}
    known: dict[str, int] = {}
    for one in templates:
        depth[one.name] = 1 + max((known[name] for name in one.parents), default=-1)
        known |= dict.fromkeys(one.variables, depth[one.name])
    return depth


def _places(templates: Sequence[Template]) -> dict[str, Place]:
    """Return the centre of each variable: columns by depth, templates in a column near what they are given."""
    depth, places = _depths(templates), dict[str, Place]()
    for column in range(1 + max(depth.values(), default=-1)):
        own = [one for one in templates if depth[one.name] == column]
        own.sort(key=lambda one: -float(np.mean([places[name][1] for name in one.parents] or [0.0])))
        height = sum(len(one.draws) * _ROW for one in own) + _GAP * (len(own) - 1)
        y = height / 2
        for one in own:
            for name in one.variables:
                places[name] = (column * _STEP, y - _ROW / 2)
                y -= _ROW
            y -= _GAP
    return places


def _beside(templates: Sequence[Template], above: Mapping[str, Place], wide: float) -> dict[str, Place]:
    """Return the centres of variables that stand alone, in rows below the others."""
    places: dict[str, Place] = {}
    x, y = 0.0, min((place[1] for place in above.values()), default=0.0) - _ROW - _GAP - 0.2
    tallest = 0
    for one in templates:
        if x > 0.0 and x + 2 * _HALF > wide:
            x, y, tallest = 0.0, y - tallest * _ROW - _GAP, 0
        for i, name in enumerate(one.variables):
            places[name] = (x, y - i * _ROW)
        x, tallest = x + 2.2, max(tallest, len(one.draws))
    return places


def _box(one: Template, places: Mapping[str, Place]) -> tuple[float, float, float, float]:
    """Return left, bottom, width and height of a template's box."""
    x, top = places[one.variables[0]]
    height = len(one.draws) * _ROW + _EDGE
    return x - _HALF - _EDGE, top + (_ROW + _EDGE) / 2 - height, 2 * (_HALF + _EDGE), height


def _draw(axes: Axes, one: Template, box: tuple[float, float, float, float], places: Mapping[str, Place]) -> None:
    from matplotlib.patches import Ellipse, FancyBboxPatch

    left, bottom, width, height = box
    shape = "round,pad=0,rounding_size=0.15"
    axes.add_patch(FancyBboxPatch((left, bottom), width, height, shape, facecolor="#f3f4f6", edgecolor=GREY, zorder=1))
    axes.text(left + 0.05, bottom + height + 0.06, safe(one.name), color=COLOURS[2], fontsize=13, fontweight="bold")
    for axis in one.draws:
        place = places[axis.name]
        axes.add_patch(Ellipse(place, 2 * _HALF, 0.62, facecolor=FILL, edgecolor=INK, linewidth=0.9, zorder=2))
        axes.text(*place, _short(axis), ha="center", va="center", color=INK, fontsize=12.5, zorder=3)


def _arrow(axes: Axes, start: Place, box: tuple[float, float, float, float]) -> None:
    from matplotlib.patches import FancyArrowPatch

    left, bottom, _, height = box
    leave = start[0] + _HALF + _EDGE, start[1]
    look: dict[str, Any] = {"color": INK, "linewidth": 1.3}
    axes.plot([start[0] + _HALF, leave[0]], [start[1]] * 2, zorder=2, **look)
    # behind the boxes that it passes
    head: dict[str, Any] = {"arrowstyle": "-|>", "mutation_scale": 14, "shrinkA": 0, "shrinkB": 0, "zorder": 0.5}
    axes.add_patch(FancyArrowPatch(leave, (left - 0.03, bottom + height / 2), **head, **look))


def _short(axis: Any) -> str:
    """Return an axis' label without its unit."""
    text = safe(str(axis.label).split(" [")[0])
    return text if len(text) <= 12 or "$" in text else f"{text[:11]}…"
