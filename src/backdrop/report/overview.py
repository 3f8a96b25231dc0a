"""The head of a report: the verdicts and the yields."""

from __future__ import annotations

import numpy as np

from ..results import Results
from .gallery import file_name
from .markup import Cell, Html, breakable, element, join, section, table
from .words import QUESTIONABLE, REJECTED, Verdict, fixed, measured, number, probability, rounded, several

__all__ = ["observed_yield", "summary"]


def summary(results: Results, warnings: tuple[str, ...]) -> Html:
    """Return the section that a reader may stop after."""
    return section(
        "summary", "Summary", _headline(results, warnings), _cards(results), _yields(results), _closures(results)
    )


def observed_yield(results: Results, method: str, channel: str) -> float | None:
    """Return the observed yield of a channel, None if it is sealed or was not looked at."""
    if channel in results.closures.get(method, {}):
        return float(results.closures[method][channel].observed.sum())
    seen = results.observed.get(method, {}).get(channel)
    return None if seen is None else float(np.asarray(seen)[0].sum() if np.ndim(seen) == 2 else np.sum(seen))


def _headline(results: Results, warnings: tuple[str, ...]) -> Html:
    verdicts = [Verdict.of(one) for found in results.closures.values() for one in found.values()]
    lines = [_closure_line(verdicts)]
    sealed = [name for name in results.channels if any(results.is_sealed(method, name) for method in results.methods)]
    if sealed:
        mark = element("span", "SEALED", at={"class": "badge sealed"})
        lines.append(join([mark, f" {', '.join(sealed)}: no observed yield was read, none is shown."]))
    lines += [_fit_line(results, method) for method in results.fits]
    if warnings:
        link = element("a", several(len(warnings), "warning"), at={"href": "#health"})
        lines.append(join([link, " to be read before these numbers are used."]))
    return element("div", *(element("p", line) for line in lines), at={"class": f"verdict {_worst(verdicts)}"})


def _worst(verdicts: list[Verdict]) -> str:
    levels = {one.level for one in verdicts}
    return next((level for level in ("rejected", "questionable", "untested", "passed") if level in levels), "untested")


def _closure_line(verdicts: list[Verdict]) -> Html:
    if not verdicts:
        return join([element("strong", "No closure test"), " was made: nothing here says that the method works."])
    counts = [(word, [one for one in verdicts if one.level == level]) for level, word in _LEVELS]
    named = ", ".join(f"{len(found)} {word}" for word, found in counts if found)
    tests = several(len(verdicts), "closure test")
    return element("strong", f"{tests}: {named}.")


_LEVELS = (("rejected", "REJECTED"), ("questionable", "QUESTIONABLE"), ("untested", "undefined"), ("passed", "passed"))


def _fit_line(results: Results, method: str) -> Html:
    fit = results.fits[method]
    if fit.poi is None or fit.value is None or fit.error is None:
        return join([f"Fit with {method}: background only."])
    text = f"Fit with {method}: {fit.poi} = {measured(fit.value, fit.error)}"
    if fit.limit_expected is not None:
        text += f"; expected limit {fit.limit_expected[2]:.3g}"
    if fit.limit_observed is not None and fit.level is not None:
        text += f", observed {fit.limit_observed:.3g} at {100 * fit.level:g} % CL"
    if not fit.asimov_channels:
        return join([text, "."])
    mark = element("span", "ASIMOV", at={"class": "badge sealed"})
    return join([text, " ", mark, f" (no data in {', '.join(fit.asimov_channels)})."])


def _cards(results: Results) -> Html:
    found = [(method, name, one) for method, tests in results.closures.items() for name, one in tests.items()]
    cards = []
    for method, name, one in found:
        verdict = Verdict.of(one)
        numbers = f"χ²/ndf = {one.chi2:.1f}/{one.ndf}"
        verb = f"expect{'s' * (one.few_bins == 1)}"
        few = f"{several(one.few_bins, 'bin')} {verb} fewer than 5 events: p is approximate" if one.few_bins else ""
        at = {"class": f"card {verdict.level}", "href": f"#figure-{file_name(f'closure-{name}-{method}')}"}
        lines = [
            element("span", line, at={"class": "line"})
            for line in (breakable(f"{name} · {method}"), verdict.reason, numbers, few)
        ]
        cards.append(element("a", verdict.badge, *lines, at=at))
    return element("div", *cards, at={"class": "cards"}) if cards else Html()


def _yields(results: Results) -> Html:
    rows = [
        _yield_row(results, method, name)
        for name in results.channels
        for method, estimate in results.estimates.items()
        if name in [channel.name for channel in estimate.channels]
    ]
    head = ["Channel", "Method", *(Cell(text, None, "number") for text in _YIELDS)]
    return table("Yields: predicted events with their uncertainties, and observed ones", head, rows) if rows else Html()


_YIELDS = ("Predicted", "± stat.", "± syst.", "± total", "Observed", "Obs. / pred.")


def _yield_row(results: Results, method: str, channel: str) -> list[object]:
    one = results.estimates[method].total(channel)
    seen = observed_yield(results, method, channel)
    parts = [rounded(value, one.total) for value in (one.value, one.statistical, one.systematic, one.total)]
    if not results.estimates[method].variations:
        parts[2] = Cell("–", 0.0, "number")
    if results.is_sealed(method, channel):
        return [channel, method, *parts, Cell("sealed", "", "number sealed"), Cell("–", "", "number")]
    if seen is None:
        return [channel, method, *parts, number(None), number(None)]
    ratio = seen / one.value if one.value > 0 else None
    return [channel, method, *parts, _seen(seen, one.total), fixed(ratio, 3)]


def _seen(value: float, error: float) -> Cell:
    """Return an observed yield: counts as they are, weighted ones with the digits of an error."""
    whole = abs(value - round(value)) < 1e-6
    return rounded(value, max(error, 10.0)) if whole else rounded(value, error)


def _closures(results: Results) -> Html:
    found = [(method, name, one) for method, tests in results.closures.items() for name, one in tests.items()]
    if not found:
        return Html()
    rows = []
    for method, name, one in found:
        total = one.total
        yields = [_seen(total.observed, total.uncertainty), rounded(total.predicted, total.uncertainty)]
        tests = [rounded(total.uncertainty, total.uncertainty), Cell(f"{one.chi2:.1f} / {one.ndf}", None, "number")]
        pulls = Cell(f"{fixed(one.pull_mean, 2).shown}, {fixed(one.pull_width, 2).shown}", None, "number")
        p_value = Cell(probability(one.p_value), one.p_value, "number")
        rows.append([name, method, Verdict.of(one).cell, *yields, *tests, p_value, pulls])
    head = ["Channel", "Method", "Verdict", *(Cell(text, None, "number") for text in _TESTS)]
    chance = f"{QUESTIONABLE * len(found):.2g}"
    text = (
        f"A test is rejected if p < {REJECTED} and questionable if p < {QUESTIONABLE}. p is the probability of a "
        "larger χ², computed with the full covariance of the prediction and the variance of the observed yields. Of "
        f"{several(len(found), 'test')}, {chance} would fall below {QUESTIONABLE} by chance alone. σ is "
        "the uncertainty of observed minus predicted."
    )
    return join([table("Closure tests", head, rows), element("p", text, at={"class": "note"})])


_TESTS = ("Observed", "Predicted", "σ", "χ² / ndf", "p", "Pulls: mean, width")
