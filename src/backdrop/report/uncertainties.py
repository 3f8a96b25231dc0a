"""Where the uncertainty of each estimate comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .. import plot
from ..estimate import Estimate
from ..results import Results
from . import captions
from .gallery import Gallery
from .markup import Cell, Html, element, section, table
from .words import percent

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["systematics"]


def systematics(results: Results, gallery: Gallery) -> Html:
    """Return where the uncertainty of each estimate comes from."""
    found = [_method_systematics(results, method, gallery) for method in results.estimates]
    return section("systematics", "Uncertainties", *found) if found else Html()


def _method_systematics(results: Results, method: str, gallery: Gallery) -> Html:
    estimate = results.estimates[method]
    text = (
        "Relative shifts of each channel's yield, up and down. Bins can move more than the yield, and against one "
        "another: see the figures."
    )
    parts = [_shift_table(method, estimate), _purposes(results, method), element("p", text, at={"class": "note"})]
    if estimate.variations.keys() - estimate.counted:
        shown = [
            _show(gallery, "shifts", plot.shifts(estimate, name, label=gallery.label), (name, method))
            for name in (channel.name for channel in estimate.channels)
        ]
        parts.append(element("div", *shown, at={"class": "gallery"}))
    parts += [_details(method, estimate, channel.name, gallery) for channel in estimate.channels]
    return element("article", element("h3", method), *parts)


_FIGURES = {
    "shifts": ("Systematics", captions.SHIFTS),
    "components": ("Components of the replicas", captions.COMPONENTS),
    "replicas": ("Replica yields", captions.REPLICAS),
    "correlation": ("Correlation of the bins", captions.CORRELATION),
}


def _show(gallery: Gallery, kind: str, figure: Figure, where: tuple[str, str], block: str = "") -> Html:
    """Return a figure of a channel (name, method), of one replica block if it is named."""
    title, look_for = _FIGURES[kind]
    name = "-".join(filter(None, [kind, block, *where]))
    of_block = f" '{block}'" if block else ""
    return gallery.show(name, figure, f"{title}{of_block} in {where[0]} with {where[1]}", look_for)


def _details(method: str, estimate: Estimate, name: str, gallery: Gallery) -> Html:
    """Return the figures behind the covariance of a channel, folded."""
    where, label = (name, method), gallery.label
    found = [
        _show(gallery, "components", plot.components(estimate, name, block, label=label), where, block)
        for block in estimate.replicas
    ]
    if estimate.replicas:
        found.append(_show(gallery, "replicas", plot.replicas(estimate, name, label=label), where))
    if estimate.channel(name).size > 1:
        found.append(_show(gallery, "correlation", plot.covariance(estimate, name, label=label), where))
    if not found:
        return Html()
    title = f"Replicas and correlations in {name}" if estimate.replicas else f"Correlations in {name}"
    return element("details", element("summary", title), element("div", *found, at={"class": "gallery"}))


def _purposes(results: Results, method: str) -> Html:
    """Return the table of what each variation changes, and why."""
    settings, start = results.settings.get(method, {}), "variation "
    names = [name.removeprefix(start) for name in settings if name.startswith(start)]
    rows = [[name, settings[start + name], settings.get(f"purpose {name}", "")] for name in names]
    return table(f"Variations of {method}", ["Variation", "Change", "Purpose"], rows) if rows else Html()


def _shift_table(method: str, estimate: Estimate) -> Html:
    names = [channel.name for channel in estimate.channels]
    parts = {name: estimate.only(name) for name in names}
    rows: list[list[object]] = []
    if estimate.sumw2.any() or not estimate.counted:
        weights = [_both(float(np.sqrt(part.sumw2.sum())), part) for part in parts.values()]
        rows.append(["Statistical: weights of the source rows", *weights])
    for block, replicas in estimate.replicas.items():
        spread = [float(part.replicas[block].sum(axis=1).std(ddof=1)) for part in parts.values()]
        cells = [_both(one, part) for one, part in zip(spread, parts.values(), strict=True)]
        rows.append([f"Statistical: {len(replicas)} replicas '{block}'", *cells])
    if estimate.counted:
        counted = [_both(_counted(part), part) for part in parts.values()]
        rows.append([f"Statistical: counts ({len(estimate.counted)} directions of the fit)", *counted])
    systematic = [name for name in estimate.variations if name not in estimate.counted]
    rows += [[f"Systematic: {name}", *(_pair(part, name) for part in parts.values())] for name in systematic]
    rows.append(["Total", *(_both(estimate.total(name).total, parts[name]) for name in names)])
    head = ["Source", *(Cell(name, None, "number") for name in names)]
    return table(f"Uncertainties of the yields with {method}", head, rows)


def _counted(part: Estimate) -> float:
    """Return the error of the yield from the counts of a fit."""
    pairs = [pair for name, pair in part.variations.items() if name in part.counted]
    return float(np.sqrt(sum((float((up - down).sum()) / 2) ** 2 for up, down in pairs)))


def _both(shift: float, part: Estimate) -> Cell:
    nominal = float(part.nominal.sum())
    share = shift / nominal if nominal > 0 else float("nan")
    one = percent(share)
    return Cell(f"± {str(one.shown).lstrip('+')}" if one.value != "" else "–", one.value, "number")


def _pair(part: Estimate, name: str) -> Cell:
    nominal = float(part.nominal.sum())
    up, down = (
        percent(float(side.sum()) / nominal - 1 if nominal > 0 else float("nan")) for side in part.variations[name]
    )
    return Cell(f"{up.shown} / {down.shown}", f"{up.value} / {down.value}", "number")
