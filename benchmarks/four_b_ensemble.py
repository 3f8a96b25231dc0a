"""Interpolation on the closed-form HH → 4b sample: bias and pulls of the yield, χ² of every variable."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import hist
import numpy as np

import backdrop as bd
from backdrop.learn.flow import Flow
from backdrop.learn.gp import GaussianProcess
from backdrop.learn.scale import Bounded, Feature, Log, LogGap
from backdrop.learn.train import Training
from backdrop.methods.interpolate import Interpolate
from backdrop.synthetic import FourB
from backdrop.tasks import Map, named_seed, resumable
from backdrop.validation import chi2

FEATURES = (
    Feature("pt_h1", Log()),
    Feature("pt_h2", Log()),
    # the edge of the training in Δη is one of a feature, not a line across two
    Feature("gap", Bounded(-1.5, 1.5)),
    Feature("middle"),
    Feature("dphi", LogGap()),
    Feature("x_wt", Log()),
)
SUM = {
    "eta_h1": "middle + gap / 2",
    "eta_h2": "middle - gap / 2",
    "deta": "abs(gap)",
    "e_h1": "hypot(pt_h1 * cosh(eta_h1), m_h1)",
    "e_h2": "hypot(pt_h2 * cosh(eta_h2), m_h2)",
    "along": "pt_h1 * pt_h2 * (cos(dphi) + sinh(eta_h1) * sinh(eta_h2))",
    "m_hh": "sqrt(m_h1**2 + m_h2**2 + 2 * (e_h1 * e_h2 - along))",
    "pt_hh": "sqrt(pt_h1**2 + pt_h2**2 + 2 * pt_h1 * pt_h2 * cos(dphi))",
}
VARIABLES = ("m_hh", "deta", "pt_h1", "pt_h2", "eta_h1", "eta_h2", "dphi", "x_wt", "pt_hh")
BINS = 12
SMALL: dict[str, Any] = {
    "flow": Flow(layers=5, hidden=16),
    "train": Training(batch=256, steps=500, rate=3e-3),
    "draws": 40_000,
}
"""What is quick enough for two hundred data sets of ten thousand events."""
TOY = FourB()
REGIONS = TOY.selection
SR = bd.Region("SR", (REGIONS.sr & REGIONS.top_veto).cut)


def interpolation(members: int, bins: int = 25, **settings: Any) -> Interpolate:
    """Return the method with the features, the box and the years of the sample."""
    axes = tuple(
        hist.axis.Regular(bins, low, high, name=name)
        for name, (low, high) in zip(("m_h1", "m_h2"), REGIONS.limits, strict=True)
    )
    tagged = bd.Region("4b", f"(n_b >= 4) & ({REGIONS.near.cut})")
    return Interpolate(tagged, axes, REGIONS.sr, FEATURES, SUM, category="year", members=members, **settings)


@lru_cache
def channels() -> tuple[bd.Channel, ...]:
    """Return the signal region in each variable, in bins of equal expectation."""
    drawn = replace(TOY, size=4.0).draw(seed=1, sample="edges", region=SR & REGIONS.near)
    found = []
    for name in VARIABLES:
        edges = np.quantile(drawn[name], np.arange(1, BINS) / BINS)
        # the outer bins hold all that is beyond
        far = 1e6 if name in ("m_hh", "pt_h1", "pt_h2", "pt_hh", "x_wt") else 100.0
        found.append(bd.Channel(name, SR, (hist.axis.Variable([-far, *edges, far], name=name),)))
    return tuple(found)


@dataclass(frozen=True)
class Toy:
    """One data set: its size relative to the thesis's, its seed, and how it is interpolated."""

    size: float
    seed: int
    members: int
    reference: bool = False
    """Whether the plane is the reference's Gaussian process of the counts."""


def studied(toy: Toy) -> dict[str, np.ndarray]:
    """Return yields, errors by block, and the χ² of each variable after the prediction is scaled to the observed."""
    data = replace(TOY, size=toy.size).draw(seed=toy.seed, region=REGIONS.box & REGIONS.near)
    first, second = np.asarray(data["eta_h1"]), np.asarray(data["eta_h2"])
    data = data.with_columns({"gap": first - second, "middle": (first + second) / 2})
    method = interpolation(toy.members, **({"bins": 18, **SMALL} if toy.size < 0.5 else {}))
    if toy.reference:
        method = replace(method, process=GaussianProcess())
    places = channels()
    start = time.process_time()
    found = bd.estimate(bd.Setup(method, data.select(REGIONS.open)), places, seed=toy.seed)
    spent = time.process_time() - start
    total, part = found.total(VARIABLES[0]), found.only(VARIABLES[0])
    blocks = [float(part.replicas[name].sum(axis=1).std(ddof=1)) for name in ("gp", "number", "flow")]
    observed = data.select(SR)
    ratios = []
    for channel in places:
        ratios.append(_shape(found.only(channel.name), channel.fill(observed)[0]))
    return {
        "yield": np.array([total.value, total.total, *blocks, float(np.sqrt(part.sumw2.sum()))]),
        "observed": np.array([len(observed)]),
        "chi2": np.array(ratios),
        "bins": np.array([found.only(one.name).nominal for one in places]),
        "covariance": np.array([found.covariance(one.name) for one in places]),
        "cpu": np.array([spent]),
    }


def _shape(found: bd.Estimate, observed: np.ndarray) -> float:
    """Return χ²/(bins - 1) of the shapes, with the counting errors of the observed and the model's covariance."""
    scale = observed.sum() / found.nominal.sum()
    expected = scale * found.nominal
    project = _shape_only(expected)
    covariance = project @ (np.diag(expected) + scale**2 * found.covariance(found.channels[0].name)) @ project.T
    return chi2(observed, expected, covariance).value / (len(expected) - 1)


def _shape_only(expected: np.ndarray) -> np.ndarray:
    """Return the matrix that takes the change of the sum out of the changes of some bins."""
    return np.eye(len(expected)) - np.outer(expected / expected.sum(), np.ones(len(expected)))


@lru_cache
def expectation() -> np.ndarray:
    """Return the expected share of each bin of each channel, shape (channels, bins), from 1.6 million events."""
    drawn = [replace(TOY, size=20.0).draw(seed=i, sample="expected", region=SR & REGIONS.near) for i in range(2, 7)]
    filled = np.array([[one.fill(part)[0] for one in channels()] for part in drawn]).sum(axis=0)
    return np.asarray(filled / filled.sum(axis=1, keepdims=True))


def _widths(bins: np.ndarray, covariance: np.ndarray) -> list[tuple[float, float]]:
    """Return the root mean square deviation of each shape in units of its stated error, and an error of that.

    Deviations are from the exact expectation, without the counting error of observed events that hides a model's own.
    """
    found = []
    for values, stated, share in zip(
        np.swapaxes(bins, 0, 1), np.swapaxes(covariance, 0, 1), expectation(), strict=True
    ):
        project = _shape_only(share)
        off = np.square(values / values.sum(axis=1, keepdims=True) - share).sum(axis=1)
        size = values.sum(axis=1)
        variance = np.array([np.trace(project @ one @ project.T) for one in stated]) / size**2
        width = float(np.sqrt(off.mean() / variance.mean()))
        found.append((width, 0.5 * width * float(off.std(ddof=1) / off.mean()) / float(np.sqrt(len(off)))))
    return found


@dataclass(frozen=True)
class FourBEnsemble:
    """Data sets of one size. Held are the mean deviation of the yield, the pulls, and the mean χ² of each variable."""

    title: str
    size: float
    seed: int
    toys: int
    members: int
    bias: float
    pulls: tuple[float, float, float] | None
    """Largest mean, least and largest width; None where there are too few toys to hold them."""
    step: int = 10
    reference: bool = False
    """Whether the plane is the reference's Gaussian process of the counts."""

    def records(self, spread: Map, home: Path) -> Iterator[dict[str, Any]]:
        """Yield the result so far."""
        run = resumable(spread, home)
        items = [
            Toy(self.size, named_seed(self.seed, "toy", i) % 2**31, self.members, self.reference)
            for i in range(self.toys)
        ]
        truth = self.size * sum(TOY.expected("sr").values())
        for number in range(self.step, self.toys + self.step, self.step):
            some = items[:number]
            parts = list(run(studied, some))
            yield self._record({name: np.array([part[name] for part in parts]) for name in parts[0]}, truth)

    def _record(self, found: dict[str, np.ndarray], truth: float) -> dict[str, Any]:
        predicted, error = found["yield"][:, 0], found["yield"][:, 1]
        number = len(predicted)
        off, pull = 100.0 * (predicted / truth - 1.0), (predicted - truth) / error
        bias, bias_error = float(off.mean()), float(off.std(ddof=1) / np.sqrt(number))
        centre, width = float(pull.mean()), float(pull.std(ddof=1))
        rows = [
            {
                "variable": name,
                "chi2": round(float(values.mean()), 3),
                "chi2_error": round(float(values.std(ddof=1) / np.sqrt(number)), 3),
                "shape_width": round(width, 3),
                "shape_width_error": round(error, 3),
            }
            for name, values, (width, error) in zip(
                VARIABLES, found["chi2"].T, _widths(found["bins"], found["covariance"]), strict=True
            )
        ]
        met = abs(bias) < self.bias + 3.0 * bias_error
        met &= all(0.8 - 3.0 * row["chi2_error"] < row["chi2"] < 1.2 + 3.0 * row["chi2_error"] for row in rows)
        if self.pulls is not None:
            mean, low, high = self.pulls
            slack = 3.0 / np.sqrt(2.0 * number)
            met &= abs(centre) < mean + 3.0 / np.sqrt(number) and low - slack < width < high + slack
        names = ("total", "gp", "number", "flow", "draws")
        return {
            "title": self.title,
            "toys": number,
            "of": self.toys,
            "seed": self.seed,
            "members": self.members,
            "yield": round(truth, 1),
            "met": bool(met),
            "pulls": [
                {
                    "bias_percent": round(bias, 3),
                    "bias_error": round(bias_error, 3),
                    "spread_percent": round(float(off.std(ddof=1)), 3),
                    "pull_mean": round(centre, 3),
                    "pull_mean_error": round(float(1.0 / np.sqrt(number)), 3),
                    "pull_width": round(width, 3),
                    "pull_width_error": round(float(1.0 / np.sqrt(2.0 * number)), 3),
                }
            ],
            "errors_percent": {
                name: round(float(100.0 * found["yield"][:, i + 1].mean() / truth), 3) for i, name in enumerate(names)
            },
            "chi2": rows,
            "cpu_seconds": round(float(found["cpu"].mean()), 1),
        }


FOUR_B = {
    "four_b": FourBEnsemble(
        "Interpolation, data sets of a twentieth of the thesis's size: bias, pulls and χ² in the signal region",
        size=0.05,
        seed=20_271,
        toys=200,
        members=12,
        bias=0.5,
        pulls=(0.2, 0.85, 1.15),
    ),
    "four_b_full": FourBEnsemble(
        "Interpolation, data sets of the thesis's size, 8 members",
        size=1.0,
        seed=20_272,
        toys=20,
        members=8,
        bias=0.5,
        pulls=None,
        step=2,
    ),
    "four_b_full_25": FourBEnsemble(
        "Interpolation, data sets of the thesis's size, 25 members",
        size=1.0,
        seed=20_272,
        toys=4,
        members=25,
        bias=0.5,
        pulls=None,
        step=2,
    ),
}
