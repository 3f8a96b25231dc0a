"""The fit section of a report."""

from __future__ import annotations

from collections.abc import Mapping

from .. import plot
from ..channel import Channel
from ..inference import FitResult, Impact
from ..inference.label import clean
from ..results import Results
from . import captions
from .gallery import Gallery
from .markup import Cell, Html, code, element, join, section, table
from .words import measured, number, probability, rounded

__all__ = ["fits"]


def fits(results: Results, gallery: Gallery) -> Html:
    """Return signal strengths, limits, pulls and fitted yields, labelled where Asimov data stand in for sealed ones."""
    if not results.fits:
        return Html()
    parts = [_table(results), *(_asimov(name, one) for name, one in results.fits.items())]
    parts += [_ranking(method, one, results.fits[method]) for method, one in results.rankings.items() if one]
    limited = {name: one for name, one in results.fits.items() if one.limit_expected is not None}
    pictures = []
    if limited:
        figure = plot.limits(limited, label=gallery.label)
        pictures.append(gallery.show("limits", figure, "Upper limits on the signal strength", captions.LIMITS))
    for method, one in results.fits.items():
        pictures += _pictures(results, method, one, gallery)
    return section("fit", "Fit", *parts, element("div", *pictures, at={"class": "gallery"}), *_parameters(results))


def _table(results: Results) -> Html:
    rows = [[name, *_row(one)] for name, one in results.fits.items()]
    columns = ("Signal strength", "Observed limit", "Expected (−1σ, +1σ)", "p0", "Significance", "Fit p")
    return table("Fit results", ["Method", "Data", *(Cell(text, None, "number") for text in columns)], rows)


def _row(one: FitResult) -> list[object]:
    strength = Cell("background only" if one.poi is None else "–", "", "number")
    if one.value is not None and one.error is not None:
        strength = Cell(f"{one.poi} = {measured(one.value, one.error)}", one.value, "number")
    limits = one.limit_expected
    expected = Cell("–", "", "number")
    if limits is not None:
        expected = Cell(f"{limits[2]:.3g} ({limits[1]:.3g}, {limits[3]:.3g})", limits[2], "number")
    tests = [
        Cell("–" if p is None else probability(p), p if p is not None else "", "number") for p in (one.p0, one.p_value)
    ]
    mark = element("span", "ASIMOV", at={"class": "badge sealed"})
    data = Cell(mark, "Asimov") if one.asimov_channels else Cell("observed")
    significance = Cell("–" if one.significance is None else f"{one.significance:.2f} σ", one.significance, "number")
    return [data, strength, number(one.limit_observed, 3), expected, tests[0], significance, tests[1]]


def _ranking(method: str, found: Mapping[str, Impact], fit: FitResult) -> Html:
    """Return what moves the signal strength most: each parameter held one error up and down, all others refitted."""
    rows = []
    for name, impact in found.items():
        one = fit.parameters[name]
        rows.append(
            [
                code(name),
                rounded(one.value, one.error),
                number(one.error, 3),
                number(impact.up, 2),
                number(impact.down, 2),
            ]
        )
    head = ("Value", "Error", f"Δ{fit.poi} / σ, held 1 σ up", "1 σ down")
    title = f"Ranking of the parameters of the fit with {method}, by their impact on {fit.poi}"
    return table(title, ["Parameter", *(Cell(text, None, "number") for text in head)], rows)


def _asimov(method: str, one: FitResult) -> Html:
    if not (one.asimov_channels or one.notes):
        return Html()
    text = f"{method}: no data in {', '.join(one.asimov_channels)}; the expected background stands in (Asimov data)."
    if one.poi is not None:
        text += (
            " The value of the signal strength is no measurement; its error and expected limits are the sensitivity."
        )
    lines = [element("p", text)] if one.asimov_channels else []
    notes = [element("li", note) for note in one.notes if not (one.asimov_channels and "Asimov" in note)]
    return element("div", *lines, element("ul", *notes) if notes else "", at={"class": "box"})


def _pictures(results: Results, method: str, one: FitResult, gallery: Gallery) -> list[Html]:
    found = []
    if any(parameter.pull is not None for parameter in one.parameters.values()):
        figure = plot.nuisances(one, label=gallery.label)
        found.append(
            gallery.show(f"nuisances-{method}", figure, f"Parameters of the fit with {method}", captions.NUISANCES)
        )
    if method in results.pulls and results.pulls[method].defined[0] > 1:
        figure = plot.pulls(results.pulls[method].pulls, title=r"$\hat{\mu}\ /\ \sigma$", label=gallery.label)
        title = f"Pulls of the signal strength with {method}"
        found.append(gallery.show(f"pulls-{method}", figure, title, captions.PULLS))
    for name in one.postfit:
        figure = plot.postfit(one, name, binned=_binned(results, method, name, one), label=gallery.label)
        look_for = captions.POSTFIT_SEALED if one.postfit[name].observed is None else captions.POSTFIT
        found.append(gallery.show(f"postfit-{name}-{method}", figure, f"{name} after the fit with {method}", look_for))
    return found


def _binned(results: Results, method: str, name: str, one: FitResult) -> Channel | None:
    """Return the estimate's channel of that (cleaned) name, if the bins are those of the fit."""
    estimate = results.estimates.get(method)
    for channel in estimate.channels if estimate is not None else ():
        if name in (channel.name, clean(channel.name)) and channel.size == len(one.postfit[name].total):
            return channel
    return None


def _parameters(results: Results) -> list[Html]:
    found = []
    for method, one in results.fits.items():
        rows = [
            [
                code(name),
                rounded(p.value, p.error),
                number(p.error, 3),
                number(p.pull, 3),
                number(one.impacts.get(name), 3),
            ]
            for name, p in sorted(one.parameters.items(), key=lambda pair: -abs(one.impacts.get(pair[0], 0.0)))
        ]
        head = ["Parameter", *(Cell(text, None, "number") for text in ("Value", "Error", "Pull", "Impact"))]
        order = ", the largest impact first" if one.impacts else ""
        title = f"All {len(rows)} parameters of the fit with {method}{order}"
        found.append(element("details", element("summary", title), table(title, head, rows)))
    return [join(found)]
