"""What the densities of methods that draw their events learnt."""

from __future__ import annotations

from .. import plot
from ..learn.pictures import Pictures
from ..results import Results
from . import captions
from .gallery import Gallery
from .markup import Html, breakable, element, section

__all__ = ["pictures"]


def pictures(results: Results, gallery: Gallery) -> Html:
    """Return the figures of the plane, the layers and the pairs of each method."""
    found = [_pictures(method, one, gallery) for method, one in results.pictures.items()]
    return section("pictures", "What the densities learnt", *found) if found else Html()


def _pictures(method: str, one: Pictures, gallery: Gallery) -> Html:
    plane, layers, pairs = one.plane, one.layers, one.pairs
    label = gallery.label
    figures = [
        gallery.show(f"plane-{method}", plot.plane(plane, label=label), f"Plane of {method}", captions.PLANE),
        gallery.show(f"pairs-{method}", plot.pairs(pairs, label=label), f"Features of {method}", captions.PAIRS),
        gallery.show(f"layers-{method}", plot.layers(layers, label=label), f"Layers of {method}", captions.LAYERS),
    ]
    return element("article", element("h3", breakable(method)), element("div", *figures, at={"class": "gallery"}))
