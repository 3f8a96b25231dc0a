"""What was done: the methods with their assumptions, the regions and the roles they play."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..channel import Channel
from ..region import Region
from ..results import Results
from .markup import Cell, Html, code, element, join, prose, section, table, unformatted

__all__ = ["methods", "regions", "sealed_list"]


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
    settings = results.settings.get(name, {})
    rows = [[code(key), code(value)] for key, value in settings.items()]
    parts = [
        prose(card.get("summary", "")),
        element("div", *boxes, at={"class": "boxes"}) if boxes else Html(),
        table(f"Settings of {name}", ["Setting", "Value"], rows) if rows else Html(),
        element("details", element("summary", "References"), prose(card["References"]))
        if card.get("References")
        else "",
    ]
    return element("article", element("h3", name), *parts)


def regions(results: Results) -> Html:
    """Return cuts, channels and roles, with what is sealed marked."""
    cuts = [[name, code(cut), _region_state(results, name, cut)] for name, cut in results.regions.items()]
    parts = [table("Regions", ["Region", "Cut", "Status"], cuts) if cuts else Html()]
    rows = [_channel(results, channel) for channel in _channels(results)]
    parts.append(table("Channels", ["Channel", "Region", "Bins", "Observed rows"], rows) if rows else Html())
    roles = [[method, role, code(region)] for method, found in results.roles.items() for role, region in _pairs(found)]
    parts.append(table("Roles: which rows a method reads", ["Method", "Role", "Region"], roles) if roles else Html())
    return section("regions", "Regions and roles", *parts) if any(parts) else Html()


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
