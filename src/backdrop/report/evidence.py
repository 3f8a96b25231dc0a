"""What the estimates are tested with: closures, predictions, methods compared."""

from __future__ import annotations

import numpy as np

from .. import plot
from ..results import Results
from ..validation import Closure
from . import captions
from .gallery import Gallery
from .markup import Cell, Html, breakable, element, section, table, unformatted
from .words import Verdict, fixed, number, rounded

__all__ = ["closures", "comparison", "predictions"]


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
            f" {one.few_bins} bins expect fewer than 5 events, so the p-value is approximate; toys give a better one."
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
            number(float(ratio[i]), 3),
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
    """Return the predictions of several methods beside one another, in every channel that two of them share."""
    found = []
    for name in results.channels:
        states = {
            method: one.channel(name).state()
            for method, one in results.estimates.items()
            if name in [channel.name for channel in one.channels]
        }
        alike = [method for method, state in states.items() if state == next(iter(states.values()))]
        if len(alike) < 2:
            continue
        shared = {method: results.estimates[method] for method in alike}
        seen, sealed = _shared_view(results, alike, name)
        figure = plot.compare(shared, name, seen, sealed=sealed, label=gallery.label)
        found.append(gallery.show(f"compare-{name}", figure, f"Methods compared in {name}", captions.COMPARED))
    return (
        section("comparison", "Methods compared", element("div", *found, at={"class": "gallery"})) if found else Html()
    )


def _shared_view(results: Results, methods: list[str], channel: str) -> tuple[np.ndarray | None, bool]:
    """Return observed yields that are the same for all methods, and whether the channel is sealed for any of them."""
    if any(results.is_sealed(method, channel) for method in methods):
        return None, True
    seen = [results.observed.get(method, {}).get(channel) for method in methods]
    first = seen[0]
    same = first is not None and all(one is not None and np.array_equal(one, first) for one in seen)
    return (first if same else None), False
