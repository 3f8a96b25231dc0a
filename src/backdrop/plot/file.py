"""Figures to files: the same bytes on every run, and the drawn numbers beside them."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from weakref import WeakKeyDictionary

import numpy as np

from ..tasks import write_atomic
from .style import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["numbers", "savefig", "svg"]

_DPI = 160

_NUMBERS: WeakKeyDictionary[Figure, dict[str, Any]] = WeakKeyDictionary()


def keep(figure: Figure, drawn: Mapping[str, Any]) -> Figure:
    """Attach the numbers that a figure shows, and what it looks like in a notebook."""
    _NUMBERS[figure] = plain(drawn)
    # matplotlib's own display is set up by pyplot, which is not loaded here
    figure._repr_png_ = partial(_shown, figure)  # type: ignore[attr-defined]
    return figure


def _shown(figure: Figure) -> tuple[bytes, dict[str, int]]:
    """Return a figure as PNG, and the size at which a notebook shows it."""
    width, height = (round(_DPI / 2 * inches) for inches in figure.get_size_inches())
    return _render(figure, "png", {"Software": None}), {"width": width, "height": height}


def numbers(figure: Figure) -> dict[str, Any]:
    """Return the numbers that a figure shows, as plain values; empty for a figure drawn elsewhere."""
    return dict(_NUMBERS.get(figure, {}))


def savefig(figure: Figure, path: Path | str) -> tuple[Path, Path, Path]:
    """Write a figure as PNG and PDF and its numbers as JSON; `path` has no suffix, or one that is replaced.

    The files hold no date, so that the same figure gives the same bytes.

    Returns
    -------
    The three paths.
    """
    stem = Path(path)
    stem = stem.with_suffix("") if stem.suffix in (".png", ".pdf", ".json") else stem
    png, pdf, text = (stem.with_name(stem.name + suffix) for suffix in (".png", ".pdf", ".json"))
    write_atomic(png, _render(figure, "png", {"Software": None}))
    write_atomic(pdf, _render(figure, "pdf", {"CreationDate": None, "Producer": None, "Creator": None}))
    write_atomic(text, json.dumps(numbers(figure), indent=1, allow_nan=False).encode() + b"\n")
    return png, pdf, text


def svg(figure: Figure) -> bytes:
    """Return a figure as SVG without a date, its text as outlines."""
    return _render(figure, "svg", {"Date": None, "Creator": None, "Format": None, "Type": None})


def plain(value: Any) -> Any:
    """Return arrays, tuples and NumPy scalars as lists and numbers; what is not finite as None.

    Examples
    --------
    >>> plain({"x": np.array([1.0, np.nan])})
    {'x': [1.0, None]}
    """
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _render(figure: Figure, kind: Literal["png", "pdf", "svg"], metadata: dict[str, None]) -> bytes:
    """Return the bytes of a figure.

    The backends are called directly, because `Figure.savefig` draws everything twice.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.backends.backend_pdf import FigureCanvasPdf
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    buffer, canvas, dpi = io.BytesIO(), figure.canvas, figure.dpi
    try:
        with style():
            figure.set_dpi(_DPI)
            if kind == "svg":
                text = io.StringIO()
                FigureCanvasSVG(figure).print_svg(text, metadata=metadata)  # type: ignore[no-untyped-call]
                buffer.write(text.getvalue().encode())
            elif kind == "pdf":
                FigureCanvasPdf(figure).print_pdf(buffer, metadata=metadata)  # type: ignore[no-untyped-call]
            else:
                FigureCanvasAgg(figure).print_png(buffer, metadata=metadata)  # type: ignore[no-untyped-call]
    finally:
        figure.set_canvas(canvas)
        figure.set_dpi(dpi)
    return buffer.getvalue()
