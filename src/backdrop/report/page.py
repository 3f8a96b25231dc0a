"""The page: its sections in their order, in one file with style and script."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from pathlib import Path

from ..plot import Label
from ..results import Results
from ..version import __version__
from .account import flows, methods, regions
from .evidence import closures, comparison, predictions, variables
from .gallery import Gallery
from .graphs import graphs
from .inferred import fits
from .maps import maps
from .markup import Html, element, escape, join
from .overview import summary
from .pictures import pictures
from .record import blinding, health, provenance, warnings_of
from .uncertainties import systematics

__all__ = ["page"]


def page(results: Results, title: str, label: Label | str | None, figures: Path | None) -> str:
    """Return the HTML of a report; figures are also written to the folder `figures`, if there is one."""
    above = Label(**results.label) if label is None and results.label else Label.of(label or "")
    gallery = Gallery(above, figures)
    warnings = warnings_of(results)
    sections = [
        summary(results, warnings),
        methods(results),
        regions(results, gallery),
        graphs(results, gallery),
        pictures(results, gallery),
        flows(results),
        closures(results, gallery),
        variables(results, gallery),
        predictions(results, gallery),
        comparison(results, gallery),
        maps(results, gallery),
        systematics(results, gallery),
        fits(results, gallery),
        health(results, warnings),
        blinding(results),
        provenance(results),
    ]
    values = {
        "title": escape(title),
        "head": _head(results, title),
        "contents": _contents(sections),
        "sections": join(section for section in sections if section),
        "style": _text("page.css"),
        "script": _text("page.js"),
    }
    return _filled(_text("page.html"), values)


def _head(results: Results, title: str) -> Html:
    seed = "" if results.seed is None else f" · seed {results.seed}"
    line = f"{results.name}{seed} · backdrop {__version__}"
    return element("header", element("h1", title), element("p", line, at={"class": "byline"}), at={"class": "head"})


def _contents(sections: list[Html]) -> Html:
    links = []
    for one in sections:
        if one:
            identity = one.split('id="', 1)[1].split('"', 1)[0]
            text = one.split("<h2", 1)[1].split(">", 1)[1].split("</h2>", 1)[0]
            links.append(element("li", element("a", Html(text), at={"href": f"#{identity}"})))
    return element("ol", *links)


def _filled(page: str, values: Mapping[str, str]) -> str:
    """Return the page with each ``<!-- name -->`` replaced; what is filled in is not searched again."""
    parts = page.split("<!-- ")
    filled = [parts[0]]
    for part in parts[1:]:
        name, _, rest = part.partition(" -->")
        filled += [values[name], rest]
    return "".join(filled)


def _text(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
