"""What the estimates are tested with: closures, predictions, methods compared."""

from __future__ import annotations

import re

import numpy as np

from .. import plot
from ..results import Results
from ..validation import Closure, Compared, Correlations
from . import captions
from .gallery import Gallery
from .markup import Cell, Html, breakable, code, element, section, table, unformatted
from .words import Verdict, fixed, probability, rounded, several

__all__ = ["closures", "comparison", "predictions", "variables"]


def closures(results: Results, gallery: Gallery) -> Html:
    """Return every closure test with its verdict, figure and bins."""
    found = [
        _closure(method, name, one, gallery)
        for method, tests in results.closures.items()
        for name, one in tests.items()
    ]
    return section("closures", "Closure tests", *found) if found else Html()


def _closure(method: str, name: str, one: Closure, gallery: Gallery) -> Html:
    verdict = Verdict.of(one)
    figure = plot.closure(one, name=method, panel="both", label=gallery.label)
    picture = gallery.show(f"closure-{name}-{method}", figure, f"Closure in {name} with {method}", captions.CLOSURE)
    heading = element("h3", breakable(f"{name} with {method} "), verdict.badge)
    verdict_line = element("p", _sentence(one, verdict), at={"class": f"outcome {verdict.level}"})
    return element("article", heading, verdict_line, picture, _bins(one))


def _sentence(one: Closure, verdict: Verdict) -> str:
    text = {
        "rejected": "The prediction does not describe the observed yields within its uncertainty",
        "questionable": "The prediction describes the observed yields poorly",
        "passed": "The observed yields are compatible with the prediction",
        "untested": "The test has no result",
    }[verdict.level]
    text += f": χ²/ndf = {one.chi2:.2f}/{one.ndf}, {verdict.reason}."
    if one.few_bins:
        text += (
            f" {several(one.few_bins, 'bin')} expect{'s' * (one.few_bins == 1)} fewer than 5 events, so the p-value is "
            "approximate; toys give a better one."
        )
    if one.contradicted:
        text += f" Bins {', '.join(map(str, one.contradicted))} disagree without any uncertainty on either side."
    return text


def _bins(one: Closure) -> Html:
    errors = np.sqrt(np.diag(one.covariance))
    ratio, _, _ = one.ratios
    rows = [
        [
            text,
            Cell(f"{one.observed[i]:.5g}".replace("-", "−"), float(one.observed[i]), "number"),
            rounded(float(one.predicted[i]), float(errors[i])),
            rounded(float(errors[i]), float(errors[i])),
            fixed(float(ratio[i]), 3),
            fixed(float(one.pulls[i]), 2),
        ]
        for i, text in enumerate(_bin_names(one))
    ]
    head = ["Bin", *(Cell(text, None, "number") for text in ("Observed", "Predicted", "± total", "Ratio", "Pull"))]
    return element("details", element("summary", "Bin by bin"), table(f"Bins of {one.channel.name}", head, rows))


def _bin_names(one: Closure) -> list[str]:
    axes = one.channel.axes
    places = [np.unravel_index(i, one.channel.shape) for i in range(one.channel.size)]
    labels = [unformatted(str(axis.label or axis.name)) for axis in axes]
    several = len(axes) > 1
    return [
        ", ".join(
            f"{label + ' ' if several else ''}{axis.edges[int(i)]:g} to {axis.edges[int(i) + 1]:g}"
            for axis, label, i in zip(axes, labels, place, strict=True)
        )
        or "all events"
        for place in places
    ]


def variables(results: Results, gallery: Gallery) -> Html:
    """Return the comparisons of further columns, each without the channel's own cuts on it, and their correlations."""
    found = [
        (method, name, column, one)
        for method, channels in results.checks.variables.items()
        for name, columns in channels.items()
        for column, one in columns.items()
    ]
    if not found:
        return Html()
    pictures = [_variable(*one, gallery) for one in found]
    pictures += [
        _correlations(results, method, name, one, gallery)
        for method, channels in results.checks.correlations.items()
        for name, one in channels.items()
    ]
    head = ["Channel", "Method", "Variable", "Left out", *(Cell(text, None, "number") for text in _VARIABLE), "Verdict"]
    text = (
        "Each variable is compared with all its bins that no seal hides, with the statistical and systematic "
        "uncertainty of the method (a non-closure systematic is not in it). The tests of one channel share their "
        "events, so they are not independent. Beyond the cuts that are left out, a bin may hold rows of the "
        "training."
    )
    rows = [_variable_row(*one) for one in found]
    note = element("p", text, at={"class": "note"})
    gallery_of = element("div", *pictures, at={"class": "gallery"})
    return section("variables", "Further variables (N−1)", table("χ² of each variable", head, rows), note, gallery_of)


_VARIABLE = ("Bins", "Sealed bins", "Obs. / pred.", "χ² / ndf", "p")


def _variable_row(method: str, name: str, column: str, one: Compared) -> list[object]:
    test, ratio = one.closure, one.closure.ratio
    return [
        name,
        method,
        _printed(one),
        code(" & ".join(one.variable.dropped)) if one.variable.dropped else "nothing",
        Cell(str(test.channel.size), float(test.channel.size), "number"),
        Cell(str(len(one.variable.hidden)), float(len(one.variable.hidden)), "number"),
        fixed(None if ratio is None else ratio.value, 3),
        Cell(f"{test.chi2:.1f} / {test.ndf}", None, "number"),
        Cell(probability(test.p_value), test.p_value, "number"),
        Verdict.of(test).cell,
    ]


def _variable(method: str, name: str, column: str, one: Compared, gallery: Gallery) -> Html:
    figure = plot.variable(one, name=method, label=gallery.label)
    title = f"{_printed(one)} in {name} with {method}"
    text = captions.VARIABLE
    if one.variable.dropped:
        text = captions.VARIABLE_CUT
        title += f", without {' & '.join(one.variable.dropped)}"
    return gallery.show(f"variable-{name}-{column}-{method}", figure, title, text)


def _correlations(results: Results, method: str, name: str, one: Correlations, gallery: Gallery) -> Html:
    known = results.checks.variables[method][name]
    names = {column: _symbol(str(found.closure.channel.axes[0].label or column)) for column, found in known.items()}
    figure = plot.correlations(one, names=names, label=gallery.label)
    title = f"Correlations of the variables in {name} with {method}"
    return gallery.show(f"correlations-{name}-{method}", figure, title, captions.CORRELATIONS)


def _printed(one: Compared) -> str:
    axis = one.closure.channel.axes[0]
    return _symbol(unformatted(str(axis.label or axis.name)))


def _symbol(label: str) -> str:
    """Return an axis label without its unit."""
    return label.partition(" [")[0]


def predictions(results: Results, gallery: Gallery) -> Html:
    """Return the figures of the channels that no closure test shows: the sealed ones above all."""
    found = []
    for method, estimate in results.estimates.items():
        for channel in estimate.channels:
            if channel.name in results.closures.get(method, {}):
                continue
            sealed = results.is_sealed(method, channel.name)
            seen = results.observed.get(method, {}).get(channel.name)
            figure = plot.prediction(estimate, channel.name, seen, sealed=sealed, name=method, label=gallery.label)
            title = f"{channel.name} predicted with {method}" + (", sealed" if sealed else "")
            found.append(
                gallery.show(
                    f"prediction-{channel.name}-{method}", figure, title, captions.SEALED if sealed else captions.OPEN
                )
            )
    return section("predictions", "Predictions", element("div", *found, at={"class": "gallery"})) if found else Html()


def comparison(results: Results, gallery: Gallery) -> Html:
    """Return the predictions of methods of one process beside one another, in every channel that two of them share."""
    processes: dict[str, list[str]] = {}
    for method in results.estimates:
        processes.setdefault(str(results.settings.get(method, {}).get("process", "")), []).append(method)
    found = [
        _compared(results, alike, name, process, gallery)
        for name in results.channels
        for process, methods in processes.items()
        if len(alike := _alike(results, methods, name)) > 1
    ]
    return (
        section("comparison", "Methods compared", element("div", *found, at={"class": "gallery"})) if found else Html()
    )


def _alike(results: Results, methods: list[str], name: str) -> list[str]:
    """Return the methods that have a channel, as the first of them has it."""
    having = [one for one in methods if name in [channel.name for channel in results.estimates[one].channels]]
    states = {one: results.estimates[one].channel(name).state() for one in having}
    return [one for one, state in states.items() if state == states[having[0]]]


def _compared(results: Results, methods: list[str], name: str, process: str, gallery: Gallery) -> Html:
    seen, sealed = _shared_view(results, methods, name)
    shared = {method: results.estimates[method] for method in methods}
    figure = plot.compare(shared, name, seen, sealed=sealed, label=gallery.label)
    file = "-".join(filter(None, ["compare", name, re.sub(r"\W+", "_", process)]))
    title = f"Methods compared in {name}"
    return gallery.show(file, figure, f"{title}: {process}" if process else title, captions.COMPARED)


def _shared_view(results: Results, methods: list[str], channel: str) -> tuple[np.ndarray | None, bool]:
    """Return observed yields that are the same for all methods, and whether the channel is sealed for any of them."""
    if any(results.is_sealed(method, channel) for method in methods):
        return None, True
    seen = [results.observed.get(method, {}).get(channel) for method in methods]
    first = seen[0]
    same = first is not None and all(one is not None and np.array_equal(one, first) for one in seen)
    return (first if same else None), False
