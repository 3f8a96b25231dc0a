"""Ensembles of lepton events with efficiencies of 0.9 ± 0.1 and 0.2 ± 0.1: the matrix methods at few and at many."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import backdrop as bd
from backdrop.maps import BinnedMap
from backdrop.methods.likelihood_matrix import LikelihoodMatrix, LikelihoodMatrixModel
from backdrop.methods.matrix import MatrixMethod, Number
from backdrop.synthetic import Leptons
from backdrop.tasks import Map, named_seed, resumable

BATCH = 50
LEVEL = 0.6827
MANY = 2000.0
"""Expected events from which pulls and intervals are held to a unit Gaussian."""


@cache
def toy(leptons: int, events: float) -> Leptons:
    """Return what is drawn: so many leptons an event, every composition as frequent."""
    return Leptons.spread(leptons, events)


def drawn(leptons: int, events: float, seed: int, number: int) -> bd.Events:
    """Return one toy's events."""
    return toy(leptons, events).draw(seed=named_seed(seed, "leptons", leptons, repr(events), number))


@cache
def efficiencies(leptons: int) -> tuple[BinnedMap, BinnedMap]:
    """Return the maps of r, in the momentum, and of f, in the pseudorapidity, as they are drawn."""
    return toy(leptons, 1.0).maps()


def truth(leptons: int, events: float, fakes: Number) -> float:
    """Return the expected number of all-tight events with so many fakes."""
    found, most = toy(leptons, events), leptons if fakes.high is None else fakes.high
    kept = [one for one in found.events if fakes.low <= one.count("F") <= most]
    return sum(found.expected(one, "T" * leptons) for one in kept)


@dataclass(frozen=True)
class MatrixEnsemble:
    """The algebraic matrix method for 1 to 4 leptons: all tight, at least one or all of them fake.

    The estimate is linear in the events, so its mean is the truth at any number of them; it is held to that within
    three standard errors. Its square root of the sum of squared weights is an error where there are many events.
    """

    title: str
    numbers: tuple[float, ...]
    seed: int
    toys: int

    def records(self, spread: Map, home: Path) -> Iterator[dict[str, Any]]:
        """Yield the biases, pulls and coverages so far, one number of events and leptons after the other."""
        return _records(self, estimated, _pull_rows, "pulls", spread, home)


def compositions(leptons: int) -> dict[str, Number]:
    """Return what is estimated by name."""
    return {"1 or more fake": Number(1)} | ({"all fake": Number(leptons)} if leptons > 1 else {})


def estimated(batch: tuple[int, float, int, int, int]) -> dict[str, np.ndarray]:
    """Return estimate and error of each composition, shape (toys, 2), for the toys of a batch."""
    leptons, events, seed, first, size = batch
    everywhere, (real, fake) = bd.Region.everything(), efficiencies(leptons)
    rng = np.random.default_rng(0)
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in compositions(leptons)}
    for number in range(first, first + size):
        rows = drawn(leptons, events, seed, number)
        for name, fakes in compositions(leptons).items():
            method = MatrixMethod(Leptons.objects, real, fake, fakes=fakes)
            weight = method.fit(rows, rng=rng).predict(rows, everywhere).weight
            found[name].append((float(weight.sum()), float(np.sqrt((weight**2).sum()))))
    return {name: np.array(pairs) for name, pairs in found.items()}


def _pull_rows(leptons: int, events: float, found: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    known = compositions(leptons).items()
    return [_row(name, leptons, events, truth(leptons, events, fakes), found[name]) for name, fakes in known]


def _row(name: str, leptons: int, events: float, true: float, found: np.ndarray) -> dict[str, Any]:
    values, errors = found.T
    toys, spread = len(values), float(values.std(ddof=1))
    bias, bias_error = float(values.mean()) - true, spread / toys**0.5
    pulls = (values - true) / errors
    covered = float((np.abs(pulls) < 1.0).mean())
    met = [abs(bias) < 3.0 * bias_error]
    if events >= MANY:
        met += [abs(pulls.mean()) < 3.0 / toys**0.5, abs(pulls.std(ddof=1) - 1.0) < 3.0 / (2.0 * toys) ** 0.5]
        met += [abs(covered - LEVEL) < 3.0 * (LEVEL * (1.0 - LEVEL) / toys) ** 0.5]
    return {
        "quantity": f"{leptons} lepton{'s' * (leptons > 1)}, {events:g} events, {name}",
        "true": round(true, 4),
        "bias": round(bias, 4),
        "bias_error": round(bias_error, 4),
        "spread": round(spread, 4),
        "pull_mean": round(float(pulls.mean()), 4),
        "pull_width": round(float(pulls.std(ddof=1)), 4),
        "coverage": round(covered, 4),
        "negative": round(float((values < 0.0).mean()), 4),
        "met": all(bool(one) for one in met),
    }


INNER = 300
"""Pseudo-experiments of an exact interval."""
FEW = 1000.0
"""Events below which exact intervals are held to their level, and from which those of the profile likelihood are."""


@dataclass(frozen=True)
class LikelihoodEnsemble:
    """The likelihood matrix method on the same toys: all tight, at least one fake; intervals, and what is negative."""

    title: str
    numbers: tuple[float, ...]
    seed: int
    toys: int

    def records(self, spread: Map, home: Path) -> Iterator[dict[str, Any]]:
        """Yield biases and coverages so far, one number of events and leptons after the other."""
        return _records(self, fitted, _interval_rows, "intervals", spread, home)


def _records(
    one: MatrixEnsemble | LikelihoodEnsemble,
    task: Callable[[tuple[int, float, int, int, int]], dict[str, np.ndarray]],
    rows_of: Callable[[int, float, dict[str, np.ndarray]], list[dict[str, Any]]],
    name: str,
    spread: Map,
    home: Path,
) -> Iterator[dict[str, Any]]:
    """Run a task on all toys of each number of events and leptons, and yield the rows so far under a name."""
    rows: list[dict[str, Any]] = []
    run = resumable(spread, home)
    cases = [(events, leptons) for events in one.numbers for leptons in (1, 2, 3, 4)]
    for done, (events, leptons) in enumerate(cases, start=1):
        batches = [(leptons, events, one.seed, i, min(BATCH, one.toys - i)) for i in range(0, one.toys, BATCH)]
        parts = list(run(task, batches))
        rows += rows_of(leptons, events, {key: np.concatenate([part[key] for part in parts]) for key in parts[0]})
        yield {
            "title": one.title,
            "toys": done * one.toys,
            "of": len(cases) * one.toys,
            "seed": one.seed,
            "met": all(row["met"] for row in rows),
            name: rows,
        }


def fitted(batch: tuple[int, float, int, int, int]) -> dict[str, np.ndarray]:
    """Return yield and interval of each toy of a batch, and the p-value of the truth where there are few events."""
    leptons, events, seed, first, size = batch
    (real, fake), channel = efficiencies(leptons), bd.Channel("all", bd.Region.everything())
    method, true = LikelihoodMatrix(Leptons.objects, real, fake), truth(leptons, events, Number(1))
    found: dict[str, list[float]] = {name: [] for name in ("value", "low", "high", "p_value")}
    for number in range(first, first + size):
        rows = drawn(leptons, events, seed, number).sorted()
        likelihood = LikelihoodMatrixModel(method, real, fake).likelihood(rows, [channel])
        one, counts = likelihood.mixture(0), likelihood.bins[0].counts
        sides = (float(one.best(counts)), *one.interval(counts))
        p_value = one.p_value(counts, true, INNER, seed=number) if events < FEW else np.nan
        for name, value in zip(found, (*sides, p_value), strict=True):
            found[name].append(value)
    return {name: np.array(values) for name, values in found.items()}


def _interval_rows(leptons: int, events: float, found: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    true = truth(leptons, events, Number(1))
    values, low, high = found["value"], found["low"], found["high"]
    toys, error = len(values), (LEVEL * (1.0 - LEVEL) / len(values)) ** 0.5
    profile, exact = float(((low <= true) & (true <= high)).mean()), float((found["p_value"] >= 1.0 - LEVEL).mean())
    held = exact > LEVEL - 3.0 * error if events < FEW else abs(profile - LEVEL) < 3.0 * error
    row = {
        "quantity": f"{leptons} leptons, {events:g} events, 1 or more fake",
        "true": round(true, 4),
        "bias": round(float(values.mean()) - true, 4),
        "bias_error": round(float(values.std(ddof=1)) / toys**0.5, 4),
        "spread": round(float(values.std(ddof=1)), 4),
        "profile_coverage": round(profile, 4),
        "exact_coverage": round(exact, 4) if events < FEW else None,
        "coverage_error": round(error, 4),
        "lowest": round(float(values.min()), 6),
    }
    return [row | {"met": bool(held and low.min() >= 0.0 and np.isfinite(np.stack([values, low, high])).all())}]
