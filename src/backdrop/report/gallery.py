"""Gallery: figures inlined into the page and, if asked for, written beside it."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import TYPE_CHECKING

from .. import plot
from .markup import Html, copies, element

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Gallery", "file_name"]

_WIDE = 1300


class Gallery:
    """The figures of one report.

    Parameters
    ----------
    label
        What stands above every figure.
    directory
        Where figures are written as PNG, PDF and JSON of their numbers; None for the page alone.
    """

    def __init__(self, label: plot.Label, directory: Path | None = None) -> None:
        self.label = label
        self._directory = directory
        self._names: set[str] = set()

    def show(self, name: str, figure: Figure, title: str, look_for: str) -> Html:
        """Return the markup of a figure whose caption says what to look for in it."""
        name = self._given(name)
        if self._directory is not None:
            plot.savefig(figure, self._directory / name)
        source = f"data:image/svg+xml;base64,{base64.b64encode(plot.svg(figure)).decode()}"
        width, height = (round(100 * float(side)) for side in figure.get_size_inches())
        image = element("img", at={"src": source, "alt": f"{title}. {look_for}", "width": width, "height": height})
        kind = "plot wide" if width > min(2 * height, _WIDE) else "plot"
        text = element("figcaption", element("strong", f"{title}. "), look_for)
        return element("figure", image, copies(plot.table(figure)), text, at={"class": kind, "id": f"figure-{name}"})

    def _given(self, name: str) -> str:
        """Return the name of a file that was not given before."""
        plain = file_name(name)
        found, number = plain, 2
        while found.lower() in self._names:
            found, number = f"{plain}-{number}", number + 1
        self._names.add(found.lower())
        return found


def file_name(text: str) -> str:
    """Return a text without what file systems and links do not take."""
    return re.sub(r"[^A-Za-z0-9_.+-]+", "_", text).strip("._") or "figure"
