"""Ensembles of signal fits: spurious signal, and injected signals."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import hist
import numpy as np

import backdrop as bd
from backdrop.inference import SignalFit
from backdrop.methods.abcd import Plane
from backdrop.synthetic import GaussianPlane
from backdrop.tasks import Map
from backdrop.validation import Injection, Measured, SpuriousSignal, injection, spurious_signal
from backdrop.validation.ensemble import Fit


@dataclass(frozen=True)
class SpuriousEnsemble:
    """Signals fitted to samples without any: the accepted mean of the pulls, and the band of their width."""

    title: str
    make: Callable[[int], bd.Setup]
    channels: tuple[bd.Channel, ...]
    fit: Callable[[], Fit]
    """Makes the fit: its templates take time, which is spent when it is run."""
    seed: int
    toys: int
    largest: float
    width: tuple[float, float]
    replicas: int = 0
    relation: bool = False
    step: int = 100

    def records(self, spread: Map, home: Path) -> Iterator[dict[str, Any]]:
        """Yield the pulls so far."""
        fit = self.fit()
        for toys in range(self.step, self.toys + 1, self.step):
            found = spurious_signal(
                self.make, self.channels, fit, largest=self.largest, toys=toys, seed=self.seed, replicas=self.replicas,
                relation=self.relation, map=spread, directory=home,
            )  # fmt: skip
            yield self._record(found)

    def _record(self, found: SpuriousSignal) -> dict[str, Any]:
        table = found.fitted
        return {
            "title": self.title,
            "toys": found.toys,
            "of": self.toys,
            "seed": self.seed,
            "failed": len(found.failed),
            "bands": {"mean": (-self.largest, self.largest), "width": self.width},
            "met": found.passed and bool(table.meets((-self.largest, self.largest), self.width).all()),
            "pulls": [
                {
                    "quantity": name,
                    "mean": round(float(table.mean[i]), 4),
                    "mean_error": round(float(table.mean_error[i]), 4),
                    "width": round(float(table.width[i]), 4),
                    "width_error": round(float(table.width_error[i]), 4),
                }
                for i, name in enumerate(table.names)
            ],
        }


@dataclass(frozen=True)
class InjectionEnsemble:
    """Injected signals: the slope is to be one minus the absorption, within two standard errors, and no curvature."""

    title: str
    make: Callable[[int], bd.Setup]
    signal: Callable[[int, float], bd.Events]
    channels: tuple[bd.Channel, ...]
    fit: Callable[[], Fit]
    strengths: tuple[float, ...]
    window: tuple[str, float, float]
    """Channel and edges where the background's movement is reported."""
    seed: int
    toys: int
    absorbed: float | None = None
    """The absorption where it is known."""
    replicas: int = 0
    relation: bool = False
    step: int = 20

    def records(self, spread: Map, home: Path) -> Iterator[dict[str, Any]]:
        """Yield the slopes so far."""
        fit = self.fit()
        for toys in range(self.step, self.toys + 1, self.step):
            found = injection(
                self.make, self.signal, self.channels, fit, strengths=self.strengths, toys=toys, seed=self.seed,
                replicas=self.replicas, relation=self.relation, map=spread, directory=home,
            )  # fmt: skip
            yield self._record(found)

    def _record(self, found: Injection) -> dict[str, Any]:
        moved = found.moved(found.window(*self.window))
        known = self.absorbed is None or all(one.agrees(self.absorbed) for one in found.absorbed.values())
        linear = all(one.agrees(1.0) for one in found.response.values())
        straight = all(one.agrees(0.0, 3.0) for one in found.curvature.values())
        return {
            "title": self.title,
            "toys": len(found.value),
            "of": self.toys,
            "seed": self.seed,
            "failed": len(found.failed),
            "met": known and linear and straight and not found.failed,
            "slopes": [
                {"quantity": name}
                | _flat("slope", found.slope[name])
                | _flat("absorbed", found.absorbed[name])
                | _flat("response", found.response[name])
                | _flat("curvature", found.curvature[name])
                for name in found.names
            ],
            "background": [
                {"injected": strength} | _flat("moved", one)
                for strength, one in zip(found.strengths, moved, strict=True)
            ],
        }


def _flat(name: str, one: Measured) -> dict[str, float]:
    return {name: round(one.value, 5), f"{name}_error": round(one.error, 5)}


PLANE = Plane("x1", "x2", 0.0, 0.0)
TOY = GaussianPlane(fakes=40_000, reals=0)
CHANNELS = (bd.Channel("SR", PLANE.region, (hist.axis.Regular(20, 100, 200, name="m", label=r"$m$ [GeV]"),)),)
ABOVE = bd.Region("above", "x2 > 0")
LEAK = 0.2


def plain(seed: int) -> bd.Setup:
    """Fakes alone, 10 000 in each region."""
    return bd.Setup(PLANE.abcd(), TOY.draw(seed=seed))


def peak(seed: int, strength: float, *, mass: float = 150.0, leak: float = LEAK) -> bd.Events:
    """A peak of 300 events above both thresholds, and a share of as many in the region that predicts them."""
    rng = np.random.default_rng(seed)
    numbers = rng.poisson(300.0 * strength * np.array([1.0, leak]))
    columns = {"x1": np.ones(numbers.sum()), "x2": np.repeat([1.0, -1.0], numbers)}
    return bd.Events.of(columns | {"m": rng.normal(mass, 3.0, numbers.sum())}, sample="signal").relabel("data")


def fit() -> Fit:
    """Fit peaks where the background is high and where it is low."""
    return SignalFit({f"m = {mass:g}": _template(mass) for mass in (110.0, 150.0, 190.0)})


def fit_150() -> Fit:
    """Fit the peak that is injected."""
    return SignalFit({"m = 150": _template(150.0)})


def _template(mass: float) -> bd.Estimate:
    simulated = bd.template(peak(1, 100.0, mass=mass, leak=0.0).select(ABOVE), CHANNELS)
    return replace(0.01 * simulated, sumw2=np.zeros_like(simulated.sumw2))


SIGNALS: Mapping[str, SpuriousEnsemble | InjectionEnsemble] = {
    "abcd_spurious": SpuriousEnsemble(
        "ABCD, 10 000 expected fakes in each region: a peak fitted at three masses where there is none",
        plain,
        CHANNELS,
        fit,
        seed=20_270,
        toys=400,
        largest=0.2,
        width=(0.95, 1.05),
        replicas=100,
    ),
    "abcd_injection": InjectionEnsemble(
        "ABCD, a fifth of the signal's size in the region that predicts the background: the absorption is 0.2",
        plain,
        partial(peak, leak=LEAK),
        CHANNELS,
        fit_150,
        strengths=(0.5, 1.0, 2.0),
        window=("SR", 145.0, 155.0),
        seed=20_271,
        toys=40,
        absorbed=LEAK,
        replicas=50,
    ),
}
