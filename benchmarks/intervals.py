"""Coverage of the intervals of the likelihood ABCD, from a handful of counts to ten thousand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import backdrop as bd
from backdrop.inference.likelihood import Likelihood, read
from backdrop.inference.minimise import Profile
from backdrop.inference.toys import throw
from backdrop.learn.exact import Ratio
from backdrop.methods.abcd import Plane
from backdrop.methods.likelihood_abcd import LikelihoodABCD
from backdrop.tasks import Map, resumable, stream

PLANE = Plane("x1", "x2", 0.0, 0.0)
CHANNEL = bd.Channel("SR", PLANE.region)
LEVELS = (0.6827, 0.9545)
ASYMPTOTIC_FROM = 50.0
"""Expected counts from which the profile likelihood is held to its level."""
INNER = 1000
BATCH = 50


@dataclass(frozen=True)
class IntervalEnsemble:
    """Equal expected counts in B, C and D, so that the true background in A is the same number.

    Per toy: does the profile likelihood interval of the predicted yield hold the truth, does the exact one, and does
    the interval of a signal strength whose signal is in A (twice the error) and, a tenth of that, in B?
    """

    title: str
    counts: tuple[float, ...]
    seed: int
    toys: int

    def records(self, spread: Map, home: Path) -> Iterator[dict[str, Any]]:
        """Yield the coverages so far, one number of counts after the other."""
        rows: list[dict[str, Any]] = []
        run = resumable(spread, home)
        for mean in self.counts:
            batches = [(mean, self.seed, i, min(BATCH, self.toys - i)) for i in range(0, self.toys, BATCH)]
            parts = list(run(covered, batches))
            rows += [_row(name, mean, np.concatenate([part[name] for part in parts])) for name in parts[0]]
            yield {
                "title": self.title,
                "toys": (self.counts.index(mean) + 1) * self.toys,
                "of": len(self.counts) * self.toys,
                "seed": self.seed,
                "met": all(row["met"] for row in rows if row["gated"]),
                "intervals": rows,
            }


def _row(name: str, mean: float, held: np.ndarray) -> dict[str, Any]:
    level = LEVELS[1] if name.endswith("95") else LEVELS[0]
    share, error = float(held.mean()), float(np.sqrt(level * (1.0 - level) / len(held)))
    exact = name.startswith("exact")
    met = share > level - 3.0 * error if exact else abs(share - level) < 3.0 * error
    return {
        "quantity": name,
        "expected_counts": mean,
        "level": level,
        "coverage": round(share, 4),
        "error": round(error, 4),
        "gated": exact if mean < ASYMPTOTIC_FROM else not exact,
        "met": bool(met),
    }


def covered(batch: tuple[float, int, int, int]) -> dict[str, np.ndarray]:
    """Say for each toy of a batch which intervals hold the truth."""
    mean, seed, first, size = batch
    rows = [_toy(mean, stream(seed, "intervals", repr(mean), toy)) for toy in range(first, first + size)]
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def _toy(mean: float, rng: np.random.Generator) -> dict[str, bool]:
    counts = rng.poisson(mean, 3)
    while counts[2] == 0:  # no method gives an interval without D
        counts = rng.poisson(mean, 3)
    found: dict[str, bool] = {}
    if mean <= ASYMPTOTIC_FROM:
        found["exact_68"] = Ratio(*counts.tolist(), INNER).p_value(mean) >= 1.0 - LEVELS[0]
    up, down = bd.estimate(bd.Setup(_method(), _table(*counts)), [CHANNEL], seed=1).variations["counts_1"]
    found["yield_68"] = bool(down[0] <= mean <= up[0])
    drawn = throw(_likelihood(mean), _likelihood(mean).start, rng)
    rise = Profile(drawn, drawn.poi or 0, drawn.start).rise(1.0)
    return found | {"mu_68": bool(rise <= 1.0), "mu_95": bool(rise <= 4.0)}


def _method() -> LikelihoodABCD:
    roles = PLANE.abcd()
    return LikelihoodABCD(roles.target, roles.source, roles.control)


def _table(b: int, c: int, d: int) -> bd.Events:
    x = np.repeat([1.0, -1.0, -1.0], [b, c, d])
    y = np.repeat([-1.0, 1.0, -1.0], [b, c, d])
    return bd.Events.of({"x1": x, "x2": y})


_KNOWN: dict[float, Likelihood] = {}


def _likelihood(mean: float) -> Likelihood:
    """Return the workspace's likelihood with equal counts and a signal, at a signal strength of one."""
    if mean not in _KNOWN:
        number = round(mean)
        relation = bd.terms(bd.Setup(_method(), _table(number, number, number)), [CHANNEL], seed=1)
        strength = 2.0 * np.sqrt(4.0 * mean)
        signal = bd.Events.of(
            {"x1": np.array([1.0, 1.0]), "x2": np.array([1.0, -1.0])},
            sample="signal",
            weight=np.array([strength, 0.1 * strength]),
        )
        template = relation.template(signal)
        exact = bd.Estimate(template.channels, template.nominal, np.zeros_like(template.nominal))
        spec = bd.workspace({"fakes": relation}, {"signal": exact}, {"SR": [number]})
        found = read(spec)
        found.start[found.poi or 0] = 1.0
        _KNOWN[mean] = found
    return _KNOWN[mean]
