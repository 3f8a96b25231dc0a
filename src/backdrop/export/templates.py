"""Templates: the cells of a model as one-dimensional histograms."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from .model import Cell, Place

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["data", "templates"]


def data(place: Place) -> Any:
    """Return the data of a channel as a `hist.Hist`, whose title says if they are none."""
    return _histogram(place, place.data, np.sqrt(place.data), place.title)


def templates(place: Place, cell: Cell) -> Iterator[tuple[str, Any]]:
    """Yield the nominal histogram under an empty name, and ``_<nuisance>Up`` and ``_<nuisance>Down`` of each shape."""
    yield "", _histogram(place, cell.nominal, cell.errors, cell.sample)
    for name, sides in cell.shapes.items():
        for word, side in zip(("Up", "Down"), sides, strict=True):
            yield f"_{name}{word}", _histogram(place, side, np.zeros_like(side), f"{cell.sample}, {name} {word}")


def _histogram(place: Place, values: Array, errors: Array, title: str) -> Any:
    import hist

    axes = place.channel.axes if place.channel is not None else ()
    label = axes[0].label if len(axes) == 1 else "bin"
    found: Any = hist.Hist(hist.axis.Variable(place.edges, name="x", label=label), storage=hist.storage.Weight())
    found.title = title
    view = found.view()
    view["value"], view["variance"] = values, errors**2
    return found
