"""Flip rates over toys: bias, pulls and coverage in each bin, and the bias of a fit that drops empty cells."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from backdrop.learn.flips import Flips
from backdrop.synthetic import FlippedPairs
from backdrop.tasks import Map, named_seed, resumable

RATES = np.geomspace(2e-5, 7e-3, 12)
SHARES = np.geomspace(1.0, 0.03, 12) / np.geomspace(1.0, 0.03, 12).sum()
# electrons are rarer where they flip more often, as in a detector
TWELVE = FlippedPairs(
    rates=tuple(RATES), shares=tuple(SHARES), pt=(25.0, 35.0, 45.0, 60.0, 100.0), abs_eta=(0.0, 0.8, 1.6, 2.4)
)
PULLS_FROM = 25.0
"""Expected flips from which the pull of a covariance is held; below, the profile interval covers `COVERED`."""
COVERED = 0.65
BATCH, STEP = 20, 200


@dataclass(frozen=True)
class FlipEnsemble:
    """Toys of the counts of all cells.

    Held are the mean of the rate in every bin (within three standard errors of the truth), the pull's mean and width
    where 25 flips are expected, and the coverage of the 68 % interval below.
    """

    title: str
    toy: FlippedPairs
    seed: int
    toys: int

    def records(self, spread: Map, home: Path) -> Iterator[dict[str, Any]]:
        """Yield the bins so far."""
        run = resumable(spread, home)
        for toys in range(STEP, self.toys + 1, STEP):
            batches = [(self.toy, self.seed, i, min(BATCH, toys - i)) for i in range(0, toys, BATCH)]
            parts = list(run(fitted, batches))
            found = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
            rows = [self._row(i, {name: values[:, i] for name, values in found.items()}) for i in range(12)]
            yield {
                "title": self.title,
                "toys": toys,
                "of": self.toys,
                "seed": self.seed,
                "pairs": self.toy.pairs,
                "met": all(row["met"] for row in rows),
                "rates": rows,
            }

    def _row(self, place: int, found: dict[str, np.ndarray]) -> dict[str, Any]:
        true, size = self.toy.rates[place], len(found["rate"])
        flips = 2.0 * self.toy.pairs * self.toy.shares[place] * true
        bias, error = _mean(found["rate"] / true - 1.0)
        dropped, _ = _mean(found["dropped"] / true - 1.0)
        row = {"rate": f"{true:.3g}", "flips": round(float(flips), 1), "bias": round(bias, 4)}
        row |= {"bias_error": round(error, 4), "bias_without_empty_cells": round(dropped, 3)}
        met = abs(bias) < 3.0 * error
        if flips >= PULLS_FROM:
            pull = (found["rate"] - true) / found["error"]
            centre, width = float(pull.mean()), float(pull.std(ddof=1))
            row |= {"pull_mean": round(centre, 3), "pull_width": round(width, 3)}
            # the pull of a count of n has the mean -1 / (2 sqrt(n)): its error is smaller where it fell
            skew = 0.5 / np.sqrt(flips)
            met &= abs(centre + skew) < skew + 3.0 / np.sqrt(size)
            met &= abs(width - 1.0) < 0.05 + 3.0 / np.sqrt(2.0 * size)
        else:
            share = float(found["held"].mean())
            row |= {"coverage": round(share, 3)}
            met &= share + 3.0 * np.sqrt(COVERED * (1.0 - COVERED) / size) >= COVERED
        return {**row, "met": bool(met)}


def _mean(values: np.ndarray) -> tuple[float, float]:
    return float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values)))


def fitted(batch: tuple[FlippedPairs, int, int, int]) -> dict[str, np.ndarray]:
    """Return rates, errors, whether intervals hold the truth, and rates without empty cells, of each toy."""
    toy, seed, first, size = batch
    rows = [_toy(toy, named_seed(seed, "flips", i)) for i in range(first, first + size)]
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def _toy(toy: FlippedPairs, seed: int) -> dict[str, np.ndarray]:
    found = toy.counts(seed=seed)
    few = 2.0 * toy.pairs * np.array(toy.shares) * np.array(toy.rates) < PULLS_FROM
    edges = np.array([found.interval(place) if low else (np.nan, np.nan) for place, low in enumerate(few)])
    return {
        "rate": found.fitted,
        "error": np.sqrt(np.diag(found.covariance())),
        "held": (edges[:, 0] <= toy.rates) & (np.array(toy.rates) <= edges[:, 1]),
        "dropped": dropped(found).fitted,
    }


def dropped(found: Flips) -> Flips:
    """Return the likelihood without the cells that hold no same-sign pair."""
    kept = found.same.main > 0.0
    return replace(
        found,
        opposite=replace(found.opposite, main=found.opposite.main * kept, sides=found.opposite.sides * kept),
        same=replace(found.same, sides=found.same.sides * kept),
    )
