"""What stands at the end of a report: health and warnings, the blinding record, where the results came from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from ..estimate import Estimate
from ..results import Results
from ..validation import WeightHealth
from ..version import __version__
from .account import sealed_list
from .markup import Cell, Html, code, element, section, table
from .words import Verdict, number, rounded

__all__ = ["blinding", "health", "provenance", "warnings_of"]

_FEW_EVENTS, _FEW_REPLICAS, _SHOWN, _NOTHING = 10.0, 20, 40, 1e-9
_ONE_SIDED = 0.1


def warnings_of(results: Results) -> tuple[str, ...]:
    """Return what a reader must heed: the run's own warnings, and what the numbers themselves say."""
    found = list(results.warnings)
    for method, estimate in results.estimates.items():
        found += [text for channel in estimate.channels for text in _channel_warnings(method, estimate, channel.name)]
        found += [
            f"{method}: {len(rows)} replicas in block '{name}' know their spread only to {_precision(len(rows))}"
            for name, rows in estimate.replicas.items()
            if len(rows) < _FEW_REPLICAS
        ]
    for method, tests in results.closures.items():
        for name, one in tests.items():
            if (verdict := Verdict.of(one)).level == "rejected":
                found.append(f"{method}: closure in {name} is rejected ({verdict.reason}){_covered(results, method)}")
    return tuple(dict.fromkeys(found))


def health(results: Results, warnings: tuple[str, ...]) -> Html:
    """Return the warnings, and what the bins and weights of each estimate are worth."""
    listed = element("ul", *(element("li", text) for text in warnings), at={"class": "warnings"})
    quiet = element("p", "No warnings.", at={"class": "note"})
    rows = [
        [method, channel.name, *_health_row(estimate.only(channel.name))]
        for method, estimate in results.estimates.items()
        for channel in estimate.channels
    ]
    head = ["Method", "Channel", *(Cell(text, None, "number") for text in _HEALTH), "Replicas"]
    text = (
        "The effective number is (Σw)²/Σw² of the source rows that make the prediction: the number of unweighted "
        "events with the same relative error. A dash says that replicas, or the counts of a fit, hold that part of the "
        "uncertainty."
    )
    worth = (
        [table("What the estimates are worth", head, rows), element("p", text, at={"class": "note"})] if rows else []
    )
    return section("health", "Health and warnings", listed if warnings else quiet, *worth, *_weights(results))


def _weights(results: Results) -> list[Html]:
    """Return the health of the weights that methods are trained on, and of those that they give."""
    rows = [
        [method, where if where == "training" else f"prediction in {where}", *_weight_row(one)]
        for method, found in results.checks.weights.items()
        for where, one in found.items()
    ]
    if not rows:
        return []
    head = ["Method", "Rows of", *(Cell(text, None, "number") for text in _WEIGHTS)]
    text = (
        "The effective number is (Σw)²/Σw²; the negative part is that of Σ|w|; the largest share is that of the event "
        "with the largest Σ|w|. A share above 5 %, or an effective number below 10, is a warning. Numbers have three "
        "digits, so that they count nothing that a seal leaves open."
    )
    return [table("Health of the weights", head, rows), element("p", text, at={"class": "note"})]


_WEIGHTS = ("Rows", "Sum of weights", "Effective", "Negative rows", "Negative part", "Largest share", "Its weight")


def _weight_row(one: WeightHealth) -> list[object]:
    heaviest = one.largest[0]
    counts = (one.rows, one.total, one.effective, one.negative_rows)
    shares = [Cell(f"{100 * part:.3g} %", part, "number") for part in (one.negative_fraction, heaviest.share)]
    return [
        *(rounded(float(count), 0.0 if count % 1 else 10.0) for count in counts),
        *shares,
        number(heaviest.weight, 3),
    ]


_HEALTH = ("Bins", "Empty", "Negative", "Effective events", "Largest error of a bin")


def _health_row(part: Estimate) -> list[object]:
    errors = np.sqrt(np.diag(part.covariance(part.channels[0].name)))
    # a fit of no count comes as close to zero as it goes
    nothing = np.abs(part.nominal) <= _NOTHING * np.abs(part.nominal).sum()
    filled = (part.nominal > 0) & ~nothing
    largest = float((errors[filled] / part.nominal[filled]).max()) if filled.any() else None
    counts = [len(part.nominal), int(nothing.sum()), int((part.nominal < 0).sum())]
    replicas = ", ".join(f"{len(rows)} ({name})" for name, rows in part.replicas.items()) or "none"
    cells = [Cell(str(count), float(count), "number") for count in counts]
    relative = Cell("–", "", "number") if largest is None else Cell(f"{100 * largest:.3g} %", largest, "number")
    return [*cells, number(_effective(part), 4), relative, replicas]


def _effective(part: Estimate) -> float | None:
    squares = float(part.sumw2.sum())
    return float(part.nominal.sum()) ** 2 / squares if squares > 0 else None


def _channel_warnings(method: str, estimate: Estimate, name: str) -> Iterator[str]:
    part = estimate.only(name)
    effective = _effective(part)
    if effective is not None and effective < _FEW_EVENTS:
        yield f"{method}: the prediction in {name} is worth {effective:.3g} events, below {_FEW_EVENTS:g}"
    if negative := int((part.nominal < 0).sum()):
        yield f"{method}: {negative} of {len(part.nominal)} bins of {name} are negative"
    yield from _one_sided(method, part)
    for block, rows in part.replicas.items():
        yields = rows.sum(axis=1)
        spread = float(yields.std(ddof=1))
        shift = float(yields.mean() - part.nominal.sum())
        if spread > 0 and abs(shift) > max(0.5, 5 / np.sqrt(len(rows))) * spread:
            yield f"{method}: replicas '{block}' in {name} are off the nominal by {shift / spread:+.2f} of their spread"


def _one_sided(method: str, part: Estimate) -> Iterator[str]:
    """Yield which systematics move the yield of a channel one way on both sides: half the difference hides that."""
    name, nominal = part.channels[0].name, float(part.nominal.sum())
    error = part.total(name).total
    for variation in (one for one in part.variations if one not in part.counted):
        up, down = (float(side.sum()) - nominal for side in part.variations[variation])
        if up * down > 0.0 and abs(up + down) / 2 > max(abs(up - down) / 2, _ONE_SIDED * error):
            yield (
                f"{method}: variation '{variation}' moves {name} by {up:+.3g} and {down:+.3g} events, both one way; "
                f"its uncertainty is half the difference, {abs(up - down) / 2:.2g}: give the larger side alone, which "
                "is mirrored"
            )


def _covered(results: Results, method: str) -> str:
    names = (
        [name for name in results.estimates[method].variations if "closure" in name]
        if method in results.estimates
        else []
    )
    return f"; the estimate carries {', '.join(names)}" if names else "; no non-closure systematic covers it"


def _precision(replicas: int) -> str:
    return f"{100 / np.sqrt(2 * (replicas - 1)):.0f} %"


def blinding(results: Results) -> Html:
    """Return what was sealed, what its revealed columns give away, and the log of unblindings."""
    sealed = sealed_list(results)
    rows = [
        [one.get("sample", "–"), one.get("region", "–"), code(one.get("cut", "–")), _revealed(one)] for one in sealed
    ]
    parts = [
        table("Sealed: these rows were dropped when the input was read", ["Sample", "Region", "Cut", "Revealed"], rows)
        if rows
        else element("p", "Nothing was sealed in this run.", at={"class": "note"})
    ]
    if any(_columns(one) for one in sealed):
        text = (
            "All values of the revealed columns were readable, those of sealed rows included: the sealed yield can be "
            "inferred from them."
        )
        parts.append(element("p", text, at={"class": "box fails"}))
    log = [one for one in results.blinding.get("log", []) if isinstance(one, Mapping)]
    names = [name for name in _LOG if any(name in one for one in log)]
    shown = [[str(one.get(name, "–")) for name in names] for one in log]
    head = [_LOG[name] for name in names]
    parts.append(
        table("Unblinding log", head, shown)
        if shown
        else element("p", "The unblinding log has no entry: nothing was unblinded.", at={"class": "note"})
    )
    return section("blinding", "Blinding", *parts)


_UNRECORDED = "The report was given estimates without a record of what was sealed or unblinded."
_LOG = {
    "time": "Time (UTC)",
    "sample": "Sample",
    "region": "Region",
    "cut": "Cut",
    "reason": "Reason",
    "sha256": "Entry",
}


def _columns(one: Mapping[str, Any]) -> list[str]:
    found = one.get("reveal", one.get("revealed", ()))
    return [found] if isinstance(found, str) else [str(name) for name in found or ()]


def _revealed(one: Mapping[str, Any]) -> object:
    return code(", ".join(_columns(one))) if _columns(one) else "nothing"


def provenance(results: Results) -> Html:
    """Return versions, seed, fingerprint and names of inputs; times, sizes and hashes are in provenance.json alone."""
    versions = results.provenance.get("versions") or {"backdrop": __version__}
    facts: dict[str, Any] = {"Analysis": results.name, "Seed": "–" if results.seed is None else results.seed}
    if results.provenance.get("fingerprint"):
        facts["Fingerprint of the configuration"] = code(results.provenance["fingerprint"])
    rows = [*facts.items(), *((name, version) for name, version in versions.items())]
    parts = [table("Analysis and versions", ["What", "Value"], [list(row) for row in rows])]
    inputs = [[sample, code(name)] for sample, name in _inputs(results.provenance.get("inputs"))]
    if inputs:
        more = f" (first {_SHOWN} of {len(inputs)})" if len(inputs) > _SHOWN else ""
        parts.append(table(f"Input files{more}", ["Sample", "File"], inputs[:_SHOWN]))
    if results.provenance:
        text = "Times, sizes, hashes and the command are in provenance.json; this page depends on none of them."
        parts.append(element("p", text, at={"class": "note"}))
    return section("provenance", "Provenance", *parts)


def _inputs(found: Any) -> list[tuple[str, str]]:
    """Return (sample, file name) of each input, without the folders of the machine that it was read on."""
    if isinstance(found, Mapping):
        return [(str(sample), name) for sample, one in found.items() for _, name in _inputs(one)]
    if isinstance(found, str):
        return [("", PurePosixPath(found).name)]
    pairs = []
    for one in found or ():
        path = str(one.get("path", one.get("file", "–"))) if isinstance(one, Mapping) else str(one)
        pairs.append((str(one.get("sample", "")) if isinstance(one, Mapping) else "", PurePosixPath(path).name))
    return pairs
