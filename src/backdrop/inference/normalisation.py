"""Free normalisations: a background's factor, and what other estimates subtract of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..errors import ConfigError, nearest
from ..estimate import Estimate
from .label import LESS, Names
from .sample import Sample

__all__ = ["factor", "released"]

_UPPER = 10.0


def released(samples: Sequence[Sample], free: Mapping[str, float], names: Names) -> list[Sample]:
    """Return the samples with free factors, and for each one that subtracts another what it takes away.

    Raises
    ------
    ConfigError
        If a free background is none of the estimates, or its step is not positive.
    """
    known = {one.title: one for one in samples if not (one.signal or one.modifiers)}
    for title, step in free.items():
        if title not in known:
            have = ", ".join(known) or "none"
            raise ConfigError(f"no background '{title}' to be free{nearest(title, known)}; estimates: {have}")
        if not (np.isfinite(step) and step > 0.0):
            raise ConfigError(f"free background '{title}': its step is a positive number, such as 0.1, not {step}")
    norms = {title: f"{known[title].name}_norm" for title in free}
    return [part for one in samples for part in _parts(one, norms, free, names)]


def factor(norm: str) -> dict[str, Any]:
    """Return the parameter of a free normalisation: start and bounds."""
    return {"name": norm, "inits": [1.0], "bounds": [[0.0, _UPPER]]}


def _parts(sample: Sample, norms: Mapping[str, str], free: Mapping[str, float], names: Names) -> Iterator[Sample]:
    linked = [] if sample.signal else [title for title in free if title in sample.estimate.variations]
    if own := [title for title in linked if title == sample.title]:
        raise ConfigError(f"background '{own[0]}' is free and has a variation of the same name; drop one of them")
    estimate = sample.estimate
    for title in linked:
        up, down = estimate.variations[title]
        taken = (down - up) / (2.0 * free[title])
        estimate = _more(estimate, taken, title)
        name = names.give(f"{sample.name}{LESS}{title}", f"what '{sample.title}' subtracts of '{title}'")
        minus = Estimate(estimate.channels, -taken, np.zeros_like(taken))
        yield Sample(name, name, minus, partial=True, norm=norms[title], signed=True)
    yield replace(sample, estimate=estimate, norm=norms.get(sample.title, ""))


def _more(estimate: Estimate, yields: Any, dropped: str) -> Estimate:
    """Return an estimate whose yields are larger, without one variation; its uncertainties stay as they are."""
    moved = {name: (up + yields, down + yields) for name, (up, down) in estimate.variations.items() if name != dropped}
    replicas = {name: rows + yields for name, rows in estimate.replicas.items()}
    return replace(estimate, nominal=estimate.nominal + yields, variations=moved, replicas=replicas)
