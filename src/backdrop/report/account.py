"""What was done: the methods with their assumptions, the regions and the roles they play."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .. import plot
from ..channel import Channel
from ..region import Region
from ..results import Results
from ..validation import CutFlow, Use
from . import captions
from .gallery import Gallery
from .markup import Cell, Html, code, element, join, prose, section, table, unformatted
from .words import rounded

__all__ = ["flows", "methods", "regions", "sealed_list"]


def methods(results: Results) -> Html:
    """Return what each method is, assumes and was told."""
    names = list(dict.fromkeys([*results.methods, *results.cards, *results.settings]))
    known = [name for name in names if results.cards.get(name) or results.settings.get(name)]
    notes = prose(results.notes) if results.notes else Html()
    if not known and not notes:
        return Html()
    articles = [_method(results, name, known[:i]) for i, name in enumerate(known)]
    return section("methods", "What was done", notes, *articles)


def _method(results: Results, name: str, before: Sequence[str]) -> Html:
    card = results.cards.get(name, {})
    same = next((other for other in before if card and results.cards.get(other) == card), None)
    if same is not None:
        card = {"summary": f"The method of {same}, with other settings or events."}
    boxes = [
        element("div", element("h4", title), prose(card[title]), at={"class": f"box {kind}"})
        for title, kind in (("Assumes", "assumes"), ("Fails when", "fails"))
        if card.get(title)
    ]
    settings, title = results.settings.get(name, {}), f"Settings of {name}"
    if same is not None and (others := results.settings.get(same, {})):
        both = {**dict.fromkeys(others, "–"), **settings}
        settings = {key: value for key, value in both.items() if others.get(key) != value}
        title += f" that are not those of {same}"
    rows = [[code(key), code(value)] for key, value in settings.items()]
    parts = [
        prose(card.get("summary", "")),
        element("div", *boxes, at={"class": "boxes"}) if boxes else Html(),
        table(title, ["Setting", "Value"], rows) if rows else Html(),
        element("details", element("summary", "References"), prose(card["References"]))
        if card.get("References")
        else "",
    ]
    return element("article", element("h3", name), *parts)


def regions(results: Results, gallery: Gallery) -> Html:
    """Return cuts, channels and roles, with what is sealed marked, and how all sets of rows lie to one another."""
    cuts = [[name, code(cut), _region_state(results, name, cut)] for name, cut in results.regions.items()]
    parts = [table("Regions", ["Region", "Cut", "Status"], cuts) if cuts else Html()]
    rows = [_channel(results, channel) for channel in _channels(results)]
    parts.append(table("Channels", ["Channel", "Region", "Bins", "Observed rows"], rows) if rows else Html())
    roles = [[method, role, code(region)] for method, found in results.roles.items() for role, region in _pairs(found)]
    parts.append(table("Roles: which rows a method reads", ["Method", "Role", "Region"], roles) if roles else Html())
    found = results.checks.regions
    if found is not None and found.uses:
        sets = [
            [f"{i}. {use.name}", ", ".join(use.samples), ", ".join(use.methods) or "–", code(use.cut), _use_state(use)]
            for i, use in enumerate(found.uses, start=1)
        ]
        figure = plot.regions(found, label=gallery.label)
        parts.append(gallery.show("regions", figure, "Region map", captions.REGIONS))
        parts.append(table("Sets of rows in the region map", ["Set", "Samples", "Methods", "Cut", "Sealed rows"], sets))
    return section("regions", "Regions and roles", *parts) if any(parts) else Html()


def flows(results: Results) -> Html:
    """Return what each cut of a channel's selection keeps of each sample; what a seal hides is not there."""
    tables = [_flow(name, flow) for name, flow in results.checks.flows.items() if not flow.hidden.all()]
    hidden = [name for name, flow in results.checks.flows.items() if flow.hidden.all()]
    if not tables and not hidden:
        return Html()
    text = (
        "Sums of weights of the rows that a method observes, after each cut and all those before it, with the part of "
        "the previous row. A sealed sample has a number only where the rows kept so far are provably outside its seal "
        "(from the cuts alone), and none for all of its rows: with the entries of its file it would give the sealed "
        "count."
    )
    shut = f"Sealed at every step: {', '.join(hidden)}." if hidden else ""
    notes = [element("p", one, at={"class": "note"}) for one in (text, shut) if one]
    return section("cut-flow", "Cut flow", *tables, *notes)


def _flow(name: str, flow: CutFlow) -> Html:
    head = ["Cut", *(Cell(part, None, "number") for sample in flow.samples for part in (sample, "kept"))]
    rows = []
    for i, cut in enumerate(["", *flow.cuts]):
        cells: list[object] = []
        for k in range(len(flow.samples)):
            cells += _step(flow, i, k)
        rows.append([code(cut) if cut else "all rows", *cells])
    return table(f"Cut flow of {name}", head, rows)


def _step(flow: CutFlow, i: int, k: int) -> tuple[Cell, Cell]:
    """Return the yield after a cut, and the part of the step before it."""
    here = float(flow.yields[i, k])
    if flow.hidden[i, k]:
        return Cell("sealed", "", "number sealed"), Cell("–", "", "number")
    before = float(flow.yields[i - 1, k]) if i else float("nan")
    kept = here / before if before > 0 else float("nan")
    share = Cell(f"{100 * kept:.1f} %", kept, "number") if np.isfinite(kept) else Cell("–", "", "number")
    return rounded(here, 10.0 if here == round(here) else float(np.sqrt(flow.sumw2[i, k]))), share


def _use_state(use: Use) -> Cell:
    if use.sealed == "all":
        return _state(True)
    return Cell("left out" if use.sealed == "part" else "none")


def sealed_list(results: Results) -> list[Mapping[str, Any]]:
    """Return the sealed (sample, region) pairs of the blinding record."""
    found = results.blinding.get("sealed", [])
    return [one if isinstance(one, Mapping) else {"region": one} for one in found]


def _region_state(results: Results, name: str, cut: str) -> Cell:
    """Say of a region whether its rows were sealed, in part where it may share rows with a seal."""
    seals = [one for one in sealed_list(results) if one.get("cut")]
    if any(one.get("region") == name or one["cut"] == cut for one in seals):
        return _state(True)
    region = Region(name, cut)
    shared = [one for one in seals if not region.disjoint(Region("sealed", str(one["cut"])))]
    samples = ", ".join(dict.fromkeys(str(one.get("sample", "")) for one in shared))
    return Cell(f"sealed in part ({samples})") if shared else _state(False)


def _state(sealed: bool) -> Cell:
    return Cell(element("span", "SEALED", at={"class": "badge sealed"}), "sealed") if sealed else Cell("open")


def _channels(results: Results) -> list[Channel]:
    return list({channel.name: channel for one in results.estimates.values() for channel in one.channels}.values())


def _channel(results: Results, channel: Channel) -> list[object]:
    sealed = [method for method in results.methods if results.is_sealed(method, channel.name)]
    bins = " × ".join(_axis(axis) for axis in channel.axes) or "one bin"
    region = join([channel.region.name, element("br"), code(channel.region.cut)])
    return [channel.name, region, bins, _state(bool(sealed))]


def _axis(axis: Any) -> str:
    edges = [float(edge) for edge in axis.edges]
    return f"{len(axis)} bins of {unformatted(str(axis.label or axis.name))}, {edges[0]:g} to {edges[-1]:g}"


def _pairs(found: Any) -> list[tuple[str, str]]:
    if isinstance(found, Mapping):
        return [(str(role), str(region)) for role, region in found.items()]
    return [("", str(found))]
