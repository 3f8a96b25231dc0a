"""The efficiencies, factors and rates that the methods rest on."""

from __future__ import annotations

from .. import plot
from ..maps import BinnedMap
from ..results import Results
from . import captions
from .gallery import Gallery
from .markup import Html, element, section

__all__ = ["maps"]


def maps(results: Results, gallery: Gallery) -> Html:
    """Return the figures of all maps, and where they are as files."""
    found = [_map(method, one, gallery) for method, several in results.maps.items() for one in several]
    if not found:
        return Html()
    text = "Each map with its nuisances is written as correctionlib in the folder maps, one file for each method."
    return section(
        "maps",
        "Efficiencies and factors",
        element("p", text, at={"class": "note"}),
        element("div", *found, at={"class": "gallery"}),
    )


def _map(method: str, one: BinnedMap, gallery: Gallery) -> Html:
    figure = plot.factors(one, label=gallery.label)
    title = f"{one.name.replace('_', ' ').capitalize()} of {method}"
    return gallery.show(f"map-{one.name}-{method}", figure, title, captions.FACTORS)
