"""The graphs of templates that methods draw from."""

from __future__ import annotations

from .. import plot
from ..results import Results
from . import captions
from .gallery import Gallery
from .markup import Html, element, section

__all__ = ["graphs"]


def graphs(results: Results, gallery: Gallery) -> Html:
    """Return the figure of each graph."""
    found = [
        gallery.show(f"graph-{method}", plot.graph(one, label=gallery.label), f"Graph of {method}", captions.GRAPH)
        for method, one in results.graphs.items()
    ]
    return (
        section("graphs", "Graphs of templates", element("div", *found, at={"class": "gallery"})) if found else Html()
    )
