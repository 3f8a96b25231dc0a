"""Three small methods that span the contract with ABCD: one draws, one is a fit, one weights two leptons per event."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import brentq

from backdrop.channel import Channel
from backdrop.errors import FitError
from backdrop.estimate import Estimate
from backdrop.events import Events, Objects
from backdrop.region import Region


@dataclass(frozen=True)
class Sampler:
    """Draws masses from the histogram of a control region."""

    control: Region
    edges: tuple[float, ...]
    scale: float = 1.0
    draws: int = 40_000

    columns = ("m",)

    def fit(self, events: Events, *, rng: np.random.Generator) -> SamplerModel:
        rows = events.require(self.control, ("m",))
        values, _ = np.histogram(rows["m"], self.edges, weights=rows.weight)
        return SamplerModel(np.array(self.edges), self.scale * values, self.draws, int(rng.integers(2**62)))


@dataclass(frozen=True, eq=False)
class SamplerModel:
    edges: np.ndarray
    values: np.ndarray
    draws: int
    seed: int

    reads = None

    def predict(self, events: Events, region: Region) -> Events:
        rng = np.random.default_rng(self.seed)
        bins = rng.choice(len(self.values), self.draws, p=self.values / self.values.sum())
        mass = rng.uniform(self.edges[bins], self.edges[bins + 1])
        weight = np.full(self.draws, self.values.sum() / self.draws)
        return Events.of({"m": mass}, sample="drawn", weight=weight).select(region)

    def state(self) -> dict[str, Any]:
        return {"edges": self.edges, "values": self.values, "draws": self.draws, "seed": self.seed}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> SamplerModel:
        return cls(state["edges"], state["values"], int(state["draws"]), int(state["seed"]))


@dataclass(frozen=True)
class SideBands:
    """Fits exp(-slope m) to the side bands of (low, high) and integrates it in the bins; spreads it over `source`."""

    bands: Region
    source: Region
    window: tuple[float, float]
    low: float = 100.0
    high: float = 200.0

    columns = ("m",)

    def fit(self, events: Events, *, rng: np.random.Generator) -> SideBandsModel:
        rows, spread = events.require(self.bands, ("m",)), events.require(self.source)
        mean = float(np.average(rows["m"], weights=rows.weight))
        number, squares = float(rows.weight.sum()), float((rows.weight**2).sum())
        try:
            slope = brentq(lambda b: self._mean(b) - mean, 1e-5, 1.0)
        except ValueError as error:
            raise FitError(f"no slope gives the mean mass {mean:g} GeV of '{self.bands.name}'") from error
        step = 1e-5
        sensitivity = (self._mean(slope + step) - self._mean(slope - step)) / (2 * step)
        spread_of_mean = np.sqrt(np.average((rows["m"] - mean) ** 2, weights=rows.weight) * squares) / number
        total = number / self._share(slope)
        model = SideBandsModel(
            self.source,
            self.window,
            (self.low, self.high),
            np.array([total, slope]),
            np.array([np.sqrt(squares) / number, abs(spread_of_mean / sensitivity)]),
            1.0,
        )
        inside = model.shares(slope, np.array(self.window))[0]
        weight = spread.select(Region("window", f"(m > {self.window[0]}) & (m < {self.window[1]})")).weight.sum()
        return SideBandsModel(self.source, self.window, model.span, model.values, model.errors, total * inside / weight)

    def _share(self, slope: float) -> float:
        edges = np.array([self.low, *self.window, self.high])
        return float(_exponential(edges, slope, (self.low, self.high))[[0, 2]].sum())

    def _mean(self, slope: float) -> float:
        pieces = [(self.low, self.window[0]), (self.window[1], self.high)]
        weight = [np.exp(-slope * a) - np.exp(-slope * b) for a, b in pieces]
        moment = [(a + 1 / slope) * np.exp(-slope * a) - (b + 1 / slope) * np.exp(-slope * b) for a, b in pieces]
        return float(sum(moment) / sum(weight))


def _exponential(edges: np.ndarray, slope: float, span: tuple[float, float]) -> np.ndarray:
    below = np.exp(-slope * (edges - span[0]))
    return -np.diff(below) / (1.0 - np.exp(-slope * (span[1] - span[0])))


@dataclass(frozen=True, eq=False)
class SideBandsModel:
    reads: Region
    window: tuple[float, float]
    span: tuple[float, float]
    values: np.ndarray
    errors: np.ndarray
    factor: float

    def shares(self, slope: float, edges: np.ndarray) -> np.ndarray:
        return _exponential(edges, slope, self.span)

    def predict(self, events: Events, region: Region) -> Events:
        rows = events.select(region & self.reads)
        return rows.with_weight(self.factor * rows.weight)

    def bins(self, events: Events, channels: Sequence[Channel]) -> Estimate:
        total, slope = self.values
        relative, error = self.errors

        def yields(number: float, b: float) -> np.ndarray:
            return number * np.concatenate([self.shares(b, np.asarray(c.axes[0].edges)) for c in channels])

        # the yield in the bands is what is counted: the total moves with the slope through their share of it
        def banded(b: float) -> float:
            edges = np.array([self.span[0], *self.window, self.span[1]])
            return float(self.shares(b, edges)[[0, 2]].sum())

        def moved(b: float) -> np.ndarray:
            return yields(total * banded(slope) / banded(b), b)

        nominal = yields(total, slope)
        variations = {
            "fit_yield": ((1 + relative) * nominal, (1 - relative) * nominal),
            "fit_slope": (moved(slope + error), moved(slope - error)),
        }
        return Estimate(tuple(channels), nominal, np.zeros_like(nominal), {}, variations)

    def state(self) -> dict[str, Any]:
        return {
            "reads": self.reads.name,
            "cut": self.reads.cut,
            "window": np.array(self.window),
            "span": np.array(self.span),
            "values": self.values,
            "errors": self.errors,
            "factor": self.factor,
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> SideBandsModel:
        window, span = ((float(a), float(b)) for a, b in (state["window"], state["span"]))
        return cls(
            Region(state["reads"], state["cut"]), window, span, state["values"], state["errors"], float(state["factor"])
        )


@dataclass(frozen=True)
class TwoLeptons:
    """Fake factor in two pT bins from single-lepton events, applied to both leptons of a pair."""

    control: Region
    target: Region
    split: float = 30.0

    columns = ("lep_pt", "lep_iso")
    leptons = Objects("lep", tight="iso < 0.15")

    def fit(self, events: Events, *, rng: np.random.Generator) -> TwoLeptonsModel:
        rows = events.require(self.control).flatten(self.leptons)
        factor = []
        for cut in (f"lep_pt < {self.split}", f"lep_pt >= {self.split}"):
            one = rows.select(Region("pT bin", cut))
            tight = one.weight[one["lep_tight"]].sum()
            loose = one.weight[~one["lep_tight"]].sum()
            if loose <= 0:
                raise FitError(f"no anti-tight lepton with {cut} in '{self.control.name}'")
            factor.append(tight / loose)
        return TwoLeptonsModel(Region("loose pair", "~all(lep_iso < 0.15)"), np.array(factor), self.split)


@dataclass(frozen=True, eq=False)
class TwoLeptonsModel:
    reads: Region
    factor: np.ndarray
    split: float

    def predict(self, events: Events, region: Region) -> Events:
        rows = events.select(region & self.reads)
        flat = rows.with_columns({"row": np.arange(len(rows))}).flatten(TwoLeptons.leptons)
        factor = np.where(flat["lep_tight"], 1.0, -self.factor[(flat["lep_pt"] >= self.split).astype(int)])
        product = np.ones(len(rows))
        np.multiply.at(product, flat["row"], factor)
        return rows.with_weight(-rows.weight * product)

    def state(self) -> dict[str, Any]:
        return {"reads": self.reads.name, "cut": self.reads.cut, "factor": self.factor, "split": self.split}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> TwoLeptonsModel:
        return cls(Region(state["reads"], state["cut"]), state["factor"], float(state["split"]))
