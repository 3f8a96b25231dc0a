"""Notebook: what objects look like in a notebook, as escaped HTML that takes the colours of the page around it."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["MOST_BINS", "card", "drawing", "facts", "measured", "note", "rounded", "table"]

# no colour of text or ground is set: a light and a dark page both give their own
_STYLE = """<style>
.backdrop { font: 13px/1.5 system-ui, sans-serif; color: inherit; overflow-x: auto; padding: .2em 0 }
.backdrop .title { font-size: 1.1em; font-weight: 600 }
.backdrop table { border-collapse: collapse; margin: .4em 0; color: inherit; width: auto }
.backdrop tr, .backdrop tr:nth-child(even), .backdrop tr:hover { background: none }
.backdrop th, .backdrop td { border: 0; border-bottom: 1px solid rgba(128, 128, 128, .4); color: inherit;
  background: none; padding: .15em 1.2em .15em 0; text-align: left; font-variant-numeric: tabular-nums }
.backdrop .number { text-align: right }
.backdrop code { font-size: .95em; color: inherit; background: none }
.backdrop .note { opacity: .85; margin: .3em 0 }
.backdrop .drawing { display: inline-block; margin: 0 2em .3em 0 }
.backdrop svg { display: block; margin: .3em 0; overflow: visible }
</style>"""

_NUMBER = re.compile(r"[-+]?[\d.]|nan|-?inf")

MOST_BINS = 200
"""A channel of more bins is not drawn."""

_WIDTH, _HEIGHT = 240.0, 60.0


def card(kind: str, title: str, *parts: str) -> str:
    """Return one object: what it is, its name if it has one, and its parts."""
    name = f" {_code(title)}" if title else ""
    return f'{_STYLE}<div class="backdrop"><div class="title">{html.escape(kind)}{name}</div>{"".join(parts)}</div>'


def facts(pairs: Iterable[tuple[str, str]]) -> str:
    """Return names and values, the values in a fixed-width font."""
    rows = "".join(f"<tr><th>{html.escape(name)}</th><td>{_code(value)}</td></tr>" for name, value in pairs)
    return f"<table><tbody>{rows}</tbody></table>"


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table, columns of numbers on the right; all cells are escaped."""
    cells = [[str(cell) for cell in row] for row in rows]
    right = [all(map(_NUMBER.match, column)) for column in zip(*cells, strict=True)] if cells else [False] * len(head)
    lines = "".join(_row("td", row, right) for row in cells)
    return f"<table><thead>{_row('th', head, right)}</thead><tbody>{lines}</tbody></table>"


def _row(kind: str, cells: Sequence[str], right: Sequence[bool]) -> str:
    opened = (f'<{kind} class="number">' if number else f"<{kind}>" for number in right)
    inner = (f"{tag}{html.escape(cell)}</{kind}>" for tag, cell in zip(opened, cells, strict=True))
    return f"<tr>{''.join(inner)}</tr>"


def note(text: str) -> str:
    """Return a sentence."""
    return f'<div class="note">{html.escape(text)}</div>'


def measured(value: float, error: float) -> str:
    """Return a value with its error, to two digits of the error.

    Examples
    --------
    >>> measured(4541.83, 86.2), measured(0.012345, 0.00061), measured(12.0, 0.0)
    ('4542 ± 86', '0.01235 ± 0.00061', '12 ± 0')
    """
    return f"{rounded(value, error)} ± {rounded(error, error)}"


def rounded(value: float, error: float) -> str:
    """Return a value with as many digits as two digits of an error need."""
    if not (error > 0.0 and math.isfinite(error)):
        return f"{value:.6g}"
    text = f"{value:.{max(0, 1 - math.floor(math.log10(error)))}f}"
    return text if float(text) else text.lstrip("-")


def drawing(
    title: str, edges: NDArray[np.float64], values: ArrayLike, errors: ArrayLike, points: ArrayLike | None = None
) -> str:
    """Return yields as steps with their error as a band, and observed yields as points, if there are any."""
    values, errors = np.asarray(values, float), np.asarray(errors, float)
    seen = np.zeros(0) if points is None else np.asarray(points, float)
    high = max(float(np.concatenate([values + errors, seen]).max(initial=0.0)), 1e-300)
    low = min(float(np.concatenate([values - errors, seen]).min(initial=0.0)), 0.0)
    x = _WIDTH * (edges - edges[0]) / (edges[-1] - edges[0])

    def y(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return _HEIGHT * (high - values) / (high - low)

    band = _path(x, y(values + errors)) + _path(x, y(values - errors), back=True) + "Z"
    places = zip(((x[1:] + x[:-1]) / 2)[: len(seen)], y(seen), strict=True)
    dots = "".join(f'<circle cx="{a:.1f}" cy="{b:.1f}" r="2.5"/>' for a, b in places)
    return (
        f'<div class="drawing">{note(title)}'
        f'<svg width="{_WIDTH:g}" height="{_HEIGHT:g}" role="img" fill="currentColor" stroke="none">'
        f'<path d="M{band}" fill-opacity=".25"/>'
        f'<path d="M{_path(x, y(values))}" fill="none" stroke="currentColor" stroke-width="1.5"/>{dots}'
        f'<path d="M0,{_HEIGHT:g}H{_WIDTH:g}" stroke="currentColor" stroke-opacity=".5"/></svg></div>'
    )


def _path(x: NDArray[np.float64], y: NDArray[np.float64], *, back: bool = False) -> str:
    """Return the points of a step line; a second one going back closes a band."""
    corners = list(zip(np.repeat(x, 2)[1:-1], np.repeat(y, 2), strict=True))
    return ("L" if back else "") + "L".join(f"{a:.1f},{b:.1f}" for a, b in (corners[::-1] if back else corners))


def _code(text: str) -> str:
    return f"<code>{html.escape(text)}</code>"
