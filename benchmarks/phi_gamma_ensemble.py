"""Ensembles of the φγ case study: pulls of a signal where there is none, and injected signals (paper, 2.6 and 2.10)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import hist
import numpy as np

import backdrop as bd
from backdrop.errors import FitError
from backdrop.inference import DoubleGaussian, Interpolated, Model, Moment, Process
from backdrop.inference.fit import covariance
from backdrop.inference.minimise import Profile
from backdrop.synthetic import PhiGamma
from backdrop.tasks import Map
from backdrop.validation import Pulls, SpuriousSignal, spurious_signal

from .phi_gamma import kernel
from .phi_gamma_closure import ClosureEnsemble
from .signals import InjectionEnsemble

TOY = PhiGamma()
REGIONS = TOY.selection
ISOLATIONS = (0.05, 0.1, 0.2, 0.3, 0.5)
"""Isolation below which the signal region ends; the last one is the paper's, the others have a smaller share."""
MASS = hist.axis.Regular(350, 50, 400, name="m", label=r"$m_{\phi\gamma}$ [GeV]")
CHANNELS = (bd.Channel("SR", REGIONS.sr, (MASS, hist.axis.Variable((0.0, *ISOLATIONS), name="iso_phi"))),)
INJECTED = (bd.Channel("SR", REGIONS.sr, (hist.axis.Regular(700, 50, 400, name="m"),)),)
"""In half a GeV, so that the window of the paper's section 2.6 ends at edges."""
EDGES = tuple(range(70, 202, 2))
MASSES = (100.0, 125.0)
"""On the kinematic peak, and where the background falls."""
MODES = {"once each": False, "with replacement": True}
EXPECTED = 50.0
"""Events of the signal in the signal region at a strength of one."""


@lru_cache
def peak(mass: float) -> DoubleGaussian:
    """Return the shape of a simulated signal in the signal region."""
    simulated = PhiGamma.signal(mass).scaled(20_000.0, REGIONS.sr).draw(seed=1, sample="signal").select(REGIONS.sr)
    return DoubleGaussian.of(simulated["m"]).scaled(EXPECTED)


@dataclass(frozen=True)
class PeakFit:
    """The paper's fit (2.9) of peaks to the mass in signal regions that end at different isolations.

    The background is the interpolated fine histogram of the kernel, its normalisation free; the shift of pT and the
    tilt of ΔΦ are moment-morphed, constrained, with their measurements thrown. The tilt of the mass is free.
    """

    masses: tuple[float, ...] = MASSES
    isolations: tuple[float, ...] = ISOLATIONS

    def __call__(
        self, background: bd.Estimate, observed: Mapping[str, bd.Events], *, rng: np.random.Generator
    ) -> dict[str, tuple[float, float]]:
        """Return strength and error of each peak in each region."""
        thrown = {name: float(rng.standard_normal()) for name in background.variations}
        rows = observed["SR"]
        found = {}
        for isolation in self.isolations:
            slices = ISOLATIONS.index(isolation) + 1
            counts = np.histogram(rows["m"][rows["iso_phi"] < isolation], EDGES)[0]
            for mass in self.masses:
                model = _model(background, slices, mass).with_data(counts)
                name = f"m = {mass:g}" if isolation == ISOLATIONS[-1] else f"m = {mass:g}, isolation < {isolation:g}"
                found[name] = _fitted(model, thrown)
        return found


def _model(background: bd.Estimate, slices: int, mass: float) -> Model:
    """Return a peak and the background of the first slices of isolation."""
    axis = background.channels[0].axes[0]

    def density(values: np.ndarray, factor: np.ndarray | float = 1.0) -> Interpolated:
        return Interpolated(axis.edges, values.reshape(len(axis), -1)[:, :slices].sum(axis=1) * factor)

    shapes = {name: (density(up), density(down)) for name, (up, down) in background.variations.items()}
    line = kernel(systematics=True).systematics["m_tilt"].factor(axis.centers)
    shapes["m_tilt"] = density(background.nominal, line), density(background.nominal, 2.0 - line)
    return Model(
        EDGES,
        {
            "signal": Process(peak(mass), factor="mu"),
            "background": Process(density(background.nominal), "mu_background", shapes, morph=Moment()),
        },
        free=("m_tilt",),
    )


def _fitted(model: Model, thrown: Mapping[str, float]) -> tuple[float, float]:
    """Return strength and error with other measurements of the nuisances than zero."""
    likelihood = model.likelihood()
    where, centre = likelihood.normal.where, likelihood.normal.centre.copy()
    for name, value in thrown.items():
        centre[where == likelihood.names.index(name)] = value
    likelihood = replace(likelihood, normal=replace(likelihood.normal, centre=centre))
    best = Profile(likelihood, 0, likelihood.start).best
    error = float(np.sqrt(covariance(likelihood, best)[0, 0]))
    if not error > 0.0:
        raise FitError("the signal strength has no error")
    return float(best.parameters[0]), error


def background(seed: int, *, with_replacement: bool, draws: int, paper: bool = False) -> bd.Setup:
    """Candidates without signal, and the kernel of them."""
    method = kernel(draws, with_replacement=with_replacement, systematics=True, paper=paper)
    # the tilt of the mass is applied to the histogram, which needs no drawing
    drawn = {name: one for name, one in method.systematics.items() if name != "m_tilt"}
    return bd.Setup(replace(method, systematics=drawn), TOY.draw(seed=seed))


def injected(seed: int, strength: float, *, mass: float) -> bd.Events:
    """Candidates of a signal in all regions."""
    signal = PhiGamma.signal(mass).scaled(EXPECTED * strength, REGIONS.sr)
    return signal.draw(seed=seed, sample="injected").relabel("data")


@dataclass(frozen=True)
class PhiGammaEnsemble:
    """Pulls without signal in both modes; the width for smaller signal regions (the paper's figures 8 and 9b)."""

    title: str
    seed: int
    toys: int
    draws: int
    mean: tuple[float, float]
    width: tuple[float, float]
    paper: bool = False
    step: int = 20

    def records(self, spread: Map, home: Path) -> Iterator[dict[str, Any]]:
        """Yield the pulls so far."""
        shares = self._shares()
        for toys in range(self.step, self.toys + 1, self.step):
            found = {
                mode: spurious_signal(
                    partial(background, with_replacement=again, draws=self.draws, paper=self.paper),
                    CHANNELS, PeakFit(), largest=max(self.mean), toys=toys, seed=self.seed, map=spread, directory=home,
                )
                for mode, again in MODES.items()
            }  # fmt: skip
            yield self._record(found, shares)

    def _record(self, found: Mapping[str, SpuriousSignal], shares: Mapping[float, float]) -> dict[str, Any]:
        again, once = (found[mode].fitted for mode in ("with replacement", "once each"))
        whole = [i for i, name in enumerate(again.names) if "isolation" not in name]
        failed = sum(len(one.failed) for one in found.values())
        narrow = bool(once.meets((-np.inf, np.inf), (0.0, 1.0))[whole].all())
        return {
            "title": self.title,
            "toys": len(again.value),
            "of": self.toys,
            "seed": self.seed,
            "draws": self.draws,
            "failed": failed,
            "bands": {"mean": self.mean, "width": self.width},
            "narrow_once_each": narrow,
            "met": bool(again.meets(self.mean, self.width)[whole].all()) and narrow and not failed,
            "pulls": [
                {"mode": mode} | _row(one.fitted, i) for mode, one in found.items() for i in whole
            ],
            "widths": [
                {"n_sr_over_n_gr": round(shares[isolation], 3), "mode": mode}
                | _row(one.fitted, len(MASSES) * k + j)
                for k, isolation in enumerate(ISOLATIONS)
                for mode, one in found.items()
                for j in range(len(MASSES))
            ],
        }  # fmt: skip

    def _shares(self) -> dict[float, float]:
        rows = PhiGamma(2_000_000.0).draw(seed=self.seed, sample="shares").select(REGIONS.gr)
        inside = rows.select(REGIONS.sr)["iso_phi"]
        return {one: float((inside < one).sum() / len(rows)) for one in ISOLATIONS}


def _row(table: Pulls, i: int) -> dict[str, Any]:
    return {
        "quantity": table.names[i],
        "mean": round(float(table.mean[i]), 4),
        "mean_error": round(float(table.mean_error[i]), 4),
        "width": round(float(table.width[i]), 4),
        "width_error": round(float(table.width_error[i]), 4),
    }


def _injection(title: str, *, seed: int, paper: bool = False) -> InjectionEnsemble:
    return InjectionEnsemble(
        title,
        partial(background, with_replacement=False, draws=1_000_000, paper=paper),
        partial(injected, mass=125.0),
        INJECTED,
        partial(PeakFit, (125.0,), ISOLATIONS[-1:]),
        strengths=(1.0, 2.5, 5.0),
        window=("SR", 122.5, 127.5),
        seed=seed,
        toys=20,
    )


ENSEMBLES: Mapping[str, PhiGammaEnsemble | InjectionEnsemble | ClosureEnsemble] = {
    "phi_gamma": PhiGammaEnsemble(
        "Ancestral sampling on φγ: a peak fitted where there is none, both modes; widths for smaller signal regions",
        seed=20_283,
        toys=400,
        draws=1_000_000,
        mean=(-0.1, 0.1),
        width=(0.95, 1.05),
    ),
    "phi_gamma_table2": PhiGammaEnsemble(
        "The same with the graph of the paper's table 2, where Δη does not depend on the transverse momenta",
        seed=20_280,
        toys=400,
        draws=1_000_000,
        mean=(-0.1, 0.1),
        width=(0.95, 1.05),
        paper=True,
    ),
    "phi_gamma_injection": _injection(
        "Ancestral sampling on φγ: an injected peak at 125 GeV, strength 1 for 50 expected events in the signal region",
        seed=20_284,
    ),
    "phi_gamma_injection_table2": _injection("The same with the graph of the paper's table 2", seed=20_281, paper=True),
    "phi_gamma_closure": ClosureEnsemble(
        "Ancestral sampling on φγ: yields, χ² and correlations, against what data sets drawn from a kernel give",
        seed=20_285,
        toys=20,
        draws=500_000,
    ),
}
