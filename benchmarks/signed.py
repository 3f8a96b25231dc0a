"""Signed samples of known expectation: are their positive weights right, and their errors?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from backdrop.errors import FitError
from backdrop.events.keys import bootstrap_counts, event_keys
from backdrop.learn.positive import Positive, PositiveWeights
from backdrop.tasks import Map, named_seed, resumable, stream
from backdrop.validation import Pulls

NAMES = ("a", "b", "c")
FAKES = (stats.expon(), stats.norm(0.0, 1.0), stats.beta(2, 3))
PROMPT = (stats.gamma(3, scale=0.5), stats.norm(0.7, 0.7), stats.beta(3, 2))
EDGES = (
    np.array([0.0, 0.3, 0.7, 1.2, 2.0, 3.0, np.inf]),
    np.array([-np.inf, -1.0, -0.3, 0.3, 0.8, 1.5, np.inf]),
    np.array([0.0, 0.2, 0.35, 0.5, 0.65, 0.8, 1.0]),
)
COARSE = (0, 2, 4, 6)
BATCH = 5


@dataclass(frozen=True)
class SignedToy:
    """Fakes and prompt events with weight 1, and simulated prompt events with negative weights: fakes are expected.

    Three features, independent for fakes and for prompt events; a quarter of the absolute weight is negative.

    Attributes
    ----------
    fakes, prompt
        Expected numbers.
    size
        Simulated events for each prompt one.
    scale
        What the simulation is too large by.
    end
        Largest `a` of fakes: beyond it the mean weight is zero.
    """

    fakes: float = 3000.0
    prompt: float = 1500.0
    size: float = 2.0
    scale: float = 1.0
    end: float = np.inf

    def draw(self, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return values of shape (n, 3), weights and keys of an independent sample."""
        rng = stream(seed, "signed")
        numbers = [int(rng.poisson(one)) for one in (self.fakes, self.prompt, self.size * self.prompt)]
        parts = [_drawn(one, n, rng) for one, n in zip((FAKES, PROMPT, PROMPT), numbers, strict=True)]
        parts[0] = parts[0][parts[0][:, 0] < self.end]
        counts = [len(part) for part in parts]
        weights = np.repeat([1.0, 1.0, -self.scale / self.size], counts)
        return np.concatenate(parts), weights, event_keys("signed", np.arange(len(weights)))

    @cached_property
    def expected(self) -> np.ndarray:
        """The expected sums of `sums`."""
        shares = [np.diff(one.cdf(edges)) for one, edges in zip(FAKES, EDGES, strict=True)]
        a, b = (np.add.reduceat(one, COARSE[:-1]) for one in shares[:2])
        return np.asarray(self.fakes * np.concatenate([[1.0], *shares, np.outer(a, b).ravel()]))


def _drawn(densities: tuple[Any, ...], number: int, rng: np.random.Generator) -> np.ndarray:
    return np.stack([one.rvs(number, random_state=rng) for one in densities], axis=1)


QUANTITIES = (
    "total",
    *(f"{name} bin {i}" for name in NAMES for i in range(6)),
    *(f"cell a {i}, b {j}" for i in range(3) for j in range(3)),
)
CELLS = np.array([name.startswith("cell") for name in QUANTITIES])


def sums(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the sum of weights: all, in six bins of each feature, and in three by three cells of two of them."""
    places = [np.searchsorted(edges[1:-1], x) for edges, x in zip(EDGES, values.T, strict=True)]
    one = [np.bincount(place, weights, 6) for place in places]
    cells = np.bincount(places[0] // 2 * 3 + places[1] // 2, weights, 9)
    return np.concatenate([[weights.sum()], *one, cells])


def fitted(toy: SignedToy, seed: int, members: int) -> dict[str, np.ndarray]:
    """Return the sums of a sample and their errors: the stated variance, the members' spread, and sum (w g)²."""
    values, weights, keys = toy.draw(seed)
    found = Positive().fit(values, weights, keys, seed=seed, names=NAMES)
    return {
        "value": sums(values, found.weights),
        "signed": sums(values, weights),
        "variance": np.sqrt(sums(values, found.variance)),
        "bootstrap": _spread(values, weights, keys, found, members, seed),
        "naive": np.sqrt(sums(values, found.weights**2)),
    }


def _spread(
    values: np.ndarray, weights: np.ndarray, keys: np.ndarray, found: PositiveWeights, members: int, seed: int
) -> np.ndarray:
    seeds = [named_seed(seed, "member", i) for i in range(members)]
    resampled = weights * bootstrap_counts(keys, seeds)
    made = Positive().fit_members(values, resampled, keys, seeds=seeds, nominal=found)
    return np.std([sums(values, one.weights) for one in made], axis=0, ddof=1)


def batch_of(batch: tuple[SignedToy, int, int, int, int]) -> dict[str, np.ndarray]:
    """Return sums and errors of the toys of a batch, shape (toys, quantities)."""
    toy, seed, members, first, size = batch
    rows = [fitted(toy, named_seed(seed, "positive", number), members) for number in range(first, first + size)]
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def refused(batch: tuple[SignedToy, int, int, int]) -> dict[str, np.ndarray]:
    """Say of each toy of a batch whether it was refused, and whether the reason names the right feature."""
    toy, seed, first, size = batch
    found = []
    for number in range(first, first + size):
        one = named_seed(seed, "refused", number)
        try:
            Positive().fit(*toy.draw(one), seed=one, names=NAMES)
            found.append((False, False))
        except FitError as error:
            cell = str(error).split("most of it is where ")[-1].split(":")[0]
            found.append((True, "a > " in cell or "< a <=" in cell))
    return {"refused": np.array(found)}


@dataclass(frozen=True)
class SignedEnsemble:
    """Pulls of positive weights over independent signed samples, and how often a sample is refused.

    Held to mean 0 ± 0.2 and width 0.85 to 1.15: the total and bins of one feature with the variance that the object
    states, and everything with the spread of resamples. Cells of two features, where g is smoother than the cells, may
    have a pull narrower than that with the stated variance, but no wider.
    """

    title: str
    toy: SignedToy
    seed: int
    members: int
    toys: int
    mean: tuple[float, float] = (-0.2, 0.2)
    width: tuple[float, float] = (0.85, 1.15)

    def records(self, spread: Map, home: Path) -> Iterator[dict[str, Any]]:
        """Yield the pulls so far."""
        run, refusals = resumable(spread, home), list[dict[str, Any]]()
        for toys in range(40, self.toys + 1, 40):
            batches = [(self.toy, self.seed, self.members, i, BATCH) for i in range(0, toys, BATCH)]
            parts = list(run(batch_of, batches))
            found = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
            if toys == self.toys:
                refusals = self._refusals(run)
            rows = [row for error in ("variance", "bootstrap", "naive") for row in self.rows(found, error)]
            yield {
                "title": self.title,
                "toys": toys,
                "of": self.toys,
                "members": self.members,
                "seed": self.seed,
                "bands": {"mean": self.mean, "width": self.width},
                "met": all(row["met"] for row in (*rows, *refusals) if "met" in row),
                "pulls": rows,
                "refusals": refusals,
            }

    def rows(self, found: dict[str, np.ndarray], error: str) -> list[dict[str, Any]]:
        """Return the pulls of each quantity with one kind of error; without a verdict for sum (w g)²."""
        truth = np.broadcast_to(self.toy.expected, found["value"].shape)
        pulls = Pulls(QUANTITIES, found["value"], found[error], truth)
        lowest = np.where(CELLS & (error == "variance"), 0.0, self.width[0])
        met = [pulls.meets(self.mean, (low, self.width[1]))[i] for i, low in enumerate(lowest)]
        shift = (found["value"] - found["signed"]) / found["variance"]
        spread, original = (found[name].std(axis=0, ddof=1) for name in ("value", "signed"))
        return [
            {
                "quantity": f"{quantity}, {error}",
                "mean": round(float(pulls.mean[i]), 4),
                "mean_error": round(float(pulls.mean_error[i]), 4),
                "width": round(float(pulls.width[i]), 4),
                "width_error": round(float(pulls.width_error[i]), 4),
                "shift": round(float(shift[:, i].mean()), 4),
                "spread": round(float(spread[i]), 2),
                "spread_signed": round(float(original[i]), 2),
            }
            | ({} if error == "naive" else {"met": bool(met[i])})
            for i, quantity in enumerate(QUANTITIES)
        ]

    def _refusals(self, run: Map) -> list[dict[str, Any]]:
        cases = {
            "mean zero for a > 1": (replace(self.toy, end=1.0), 0.0, 0.02),
            "a third too much subtracted, and no fakes for a > 1": (replace(self.toy, end=1.0, scale=1.33), 0.9, 1.0),
        }
        return [self._refusal(run, name, *case) for name, case in cases.items()]

    def _refusal(self, run: Map, name: str, toy: SignedToy, low: float, high: float) -> dict[str, Any]:
        batches = [(toy, self.seed, i, BATCH) for i in range(0, self.toys, BATCH)]
        found = np.concatenate([part["refused"] for part in run(refused, batches)])
        rate, named = found.mean(axis=0)
        return {
            "quantity": f"refused: {name}",
            "rate": round(float(rate), 4),
            "names_a": round(float(named), 4),
            "samples": len(found),
            "met": bool(low <= rate <= high),
        }
