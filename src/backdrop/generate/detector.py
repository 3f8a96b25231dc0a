"""The detector: every parameter in one table, and the functions that apply them to particles.

A parametric response in the spirit of the Delphes ATLAS card: no magnetic-field bending, no towers, no pile-up; the
calorimeter resolution is applied to particles. Publications are named beside the parameters; "choice" marks numbers that
are ours.
"""

from __future__ import annotations

from dataclasses import Field, dataclass, field, fields
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[np.float64]

__all__ = ["Detector"]

DELPHES = "Delphes 3 ATLAS card, arXiv:1307.6346"
ATLAS = "ATLAS experiment, JINST 3 (2008) S08003"
ELECTRONS = "ATLAS electrons and photons, arXiv:1908.00005"
MUONS = "ATLAS muons, arXiv:1603.05598"
BTAG = "ATLAS b-jet identification, arXiv:1907.05120"
IMPACT = "ATLAS impact parameters, ATL-PHYS-PUB-2015-018"
CHOICE = "choice"


def _row(default: Any, unit: str, meaning: str, reference: str) -> Any:
    return field(default=default, metadata={"unit": unit, "meaning": meaning, "reference": reference})


@dataclass(frozen=True)
class Detector:
    """The parameters of the detector and of its objects: this class is the table.

    A pair of rows stands for |η| below and above 1.5, three values for |η| below 0.5, below 1.5 and above.

    Examples
    --------
    >>> round(float(Detector().electron_identification(45.0)), 3)
    0.89
    >>> next(Detector().table())[:3]
    ('track_eta', 2.5, '')
    """

    track_eta: float = _row(2.5, "", "|η| up to which tracks are found", ATLAS)
    track_pt: float = _row(0.5, "GeV", "smallest track pT", ATLAS)
    track_efficiency: tuple[tuple[float, float], tuple[float, float]] = _row(
        ((0.70, 0.95), (0.60, 0.85)), "", "charged particles below and above 1 GeV", DELPHES
    )
    track_constant: tuple[float, float, float] = _row((0.01, 0.015, 0.025), "", "σ(pT)/pT, constant term", DELPHES)
    track_linear: tuple[float, float, float] = _row(
        (2.5e-4, 4e-4, 6e-4), "1/GeV", "σ(pT)/pT, term in pT, added in quadrature", ATLAS
    )
    track_angle: float = _row(3e-4, "rad", "σ(η), σ(φ) of tracks", ATLAS)
    calorimeter_eta: float = _row(4.9, "", "|η| up to which energy is measured", ATLAS)
    electromagnetic: tuple[float, float] = _row(
        (0.10, 0.007), "√GeV, 1", "σ(E)/E of electrons and photons: stochastic, constant", ATLAS
    )
    hadronic: tuple[float, float] = _row((0.52, 0.03), "√GeV, 1", "σ(E)/E of hadrons: stochastic, constant", ATLAS)
    photon_eta: float = _row(2.37, "", "|η| of photons", ELECTRONS)
    electron_eta: float = _row(2.47, "", "|η| of electrons; loose muons use the same", ELECTRONS)
    crack: tuple[float, float] = _row((1.37, 1.52), "", "|η| without electrons and photons", ELECTRONS)
    photon_efficiency: tuple[float, float] = _row((0.95, 0.85), "", "photons found", DELPHES)
    electron_efficiency: float = _row(0.95, "", "electrons found as loose", ELECTRONS)
    muon_efficiency: float = _row(0.98, "", "muons found as loose", MUONS)
    lepton_pt: float = _row(10.0, "GeV", "smallest pT of a loose lepton", ELECTRONS)
    lepton_isolation: float = _row(1.0, "", "largest ptvarcone30/pT of a loose lepton", CHOICE)
    lepton_d0: float = _row(15.0, "σ", "largest |d0|/σ of a loose lepton", CHOICE)
    d0_resolution: tuple[float, float] = _row((0.010, 0.10), "mm, mm GeV", "σ(d0): constant, term in 1/pT", IMPACT)
    tight_d0: tuple[float, float] = _row((5.0, 3.0), "σ", "largest |d0|/σ of a tight electron, muon", ELECTRONS)
    tight_track_isolation: float = _row(0.15, "", "largest ptvarcone30/pT of a tight lepton", ELECTRONS)
    tight_calo_isolation: float = _row(0.20, "", "largest topoetcone20/pT of a tight lepton", ELECTRONS)
    isolation_track_pt: float = _row(1.0, "GeV", "smallest pT of a track in ptvarcone30", ELECTRONS)
    electron_prompt: tuple[float, float, float] = _row(
        (0.90, 0.205, 15.0), "1, 1, GeV", "identification a − b exp(−pT/c) of prompt electrons", ELECTRONS
    )
    electron_from_hadron: float = _row(0.62, "", "identification of electrons from b and c hadrons", CHOICE)
    electron_other: float = _row(0.25, "", "identification of converted photons and hadrons as electrons", CHOICE)
    muon_prompt: float = _row(0.98, "", "identification of prompt muons", MUONS)
    muon_from_hadron: float = _row(0.93, "", "identification of muons from hadrons", CHOICE)
    hadron_as_electron: float = _row(0.006, "", "probability that a charged hadron is a loose electron", CHOICE)
    jet_radius: float = _row(0.4, "", "anti-kt radius", "arXiv:0802.1189")
    flavour_radius: float = _row(0.3, "", "ΔR between a jet and the hadron or quark that gives its flavour", BTAG)
    flavour_pt: float = _row(5.0, "GeV", "smallest pT of that hadron or quark", BTAG)
    tag_leptons: tuple[float, float, float] = _row(
        (0.77, 0.015, 0.015), "", "b-tag of b, c and light jets in the lepton samples", BTAG
    )
    tag_four_jets: tuple[float, float, float] = _row(
        (0.85, 0.25, 0.02), "", "b-tag of b, c and light jets in the four-jet samples", BTAG
    )
    pseudo_tag: tuple[float, float, float, float, float, float, float] = _row(
        (0.40, 0.06, 70.0, 60.0, 0.016, 0.12, 0.6),
        "",
        "pseudo-tag a + b tanh((pT−c)/d) − e η² + f exp(−(ΔR−0.4)/g)",
        CHOICE,
    )
    flip_pt: tuple[tuple[float, float], ...] = _row(
        ((25.0, 0.0008), (60.0, 0.0015), (120.0, 0.0040), (250.0, 0.0120)),
        "GeV, 1",
        "charge flip σ(pT), linear between these points, constant beyond",
        "ATLAS same-sign leptons, arXiv:1909.09226",
    )
    flip_eta: tuple[tuple[float, float], ...] = _row(
        ((0.6, 0.25), (1.1, 0.45), (1.52, 0.9), (2.0, 2.0), (2.47, 4.0)),
        "",
        "factor f(|η|) of the charge flip, up to each edge",
        "ATLAS same-sign leptons, arXiv:1909.09226",
    )
    flip_energy: tuple[float, float] = _row(
        (0.018, 0.02), "", "relative energy loss of a flipped electron: mean, width", CHOICE
    )

    def table(self) -> Iterator[tuple[str, Any, str, str, str]]:
        """Yield (name, value, unit, meaning, reference) of every parameter."""
        for one in fields(self):
            yield (one.name, getattr(self, one.name), *_notes(one))

    # ---- tracks ------------------------------------------------------------------------------------------------------

    def track_found(self, pt: ArrayLike, eta: ArrayLike) -> Array:
        """Return the probability that a charged particle leaves a track."""
        pt, eta = np.asarray(pt, np.float64), np.abs(eta)
        efficiency = np.asarray(self.track_efficiency)[(eta > 1.5).astype(int), (pt > 1.0).astype(int)]
        return np.asarray(np.where((pt > self.track_pt) & (eta < self.track_eta), efficiency, 0.0))

    def track_resolution(self, pt: ArrayLike, eta: ArrayLike) -> Array:
        """Return σ(pT)/pT of a track."""
        zone = np.digitize(np.abs(eta), (0.5, 1.5))
        return np.hypot(np.take(self.track_constant, zone), np.take(self.track_linear, zone) * np.asarray(pt))

    def smear_track(self, pt: Array, eta: Array, phi: Array, rng: np.random.Generator) -> tuple[Array, Array, Array]:
        """Return measured (pT, η, φ) of tracks."""
        shift = rng.standard_normal((3, len(pt)))
        measured = pt * np.maximum(1.0 + self.track_resolution(pt, eta) * shift[0], 0.01)
        return measured, eta + self.track_angle * shift[1], phi + self.track_angle * shift[2]

    def smear_d0(self, d0: Array, pt: Array, rng: np.random.Generator) -> Array:
        """Return the measured impact parameter in units of its resolution; `d0` in mm."""
        width = np.hypot(self.d0_resolution[0], self.d0_resolution[1] / pt)
        return d0 / width + rng.standard_normal(len(d0))

    # ---- calorimeter -------------------------------------------------------------------------------------------------

    def energy_factor(self, energy: Array, electromagnetic: NDArray[np.bool_], rng: np.random.Generator) -> Array:
        """Return measured over true energy of particles, never negative."""
        terms = np.where(electromagnetic[:, None], self.electromagnetic, self.hadronic)
        width = np.hypot(terms[:, 0] / np.sqrt(np.maximum(energy, 1e-3)), terms[:, 1])
        return np.maximum(1.0 + width * rng.standard_normal(len(energy)), 0.0)

    def outside_crack(self, eta: ArrayLike, eta_max: float) -> NDArray[np.bool_]:
        """Tell where electrons and photons are found."""
        eta = np.abs(eta)
        return np.asarray((eta < eta_max) & ~((eta > self.crack[0]) & (eta < self.crack[1])))

    # ---- objects -----------------------------------------------------------------------------------------------------

    def electron_identification(self, pt: ArrayLike) -> Array:
        """Return the tight identification efficiency of prompt electrons."""
        top, drop, scale = self.electron_prompt
        return np.asarray(top - drop * np.exp(-np.asarray(pt, np.float64) / scale))

    def tag(self, flavour: NDArray[np.integer[Any]], efficiency: tuple[float, float, float]) -> Array:
        """Return the b-tag probability of jets of flavour 5, 4 or 0."""
        return np.select([flavour == 5, flavour == 4], efficiency[:2], efficiency[2])

    def pseudo_tagged(self, pt: ArrayLike, eta: ArrayLike, nearest: ArrayLike) -> Array:
        """Return the pseudo-tag probability of a jet with its nearest jet at ΔR = `nearest`."""
        base, rise, middle, width, fall, near, scale = self.pseudo_tag
        slope = np.tanh((np.asarray(pt, np.float64) - middle) / width)
        return np.asarray(base + rise * slope - fall * np.square(eta) + near * np.exp((0.4 - np.asarray(nearest)) / scale))

    def flipped(self, pt: ArrayLike, eta: ArrayLike) -> Array:
        """Return the probability ``ε = σ(pT) f(|η|)`` that the charge of an electron is measured wrongly."""
        edges, factors = np.asarray(self.flip_eta).T
        zone = np.minimum(np.searchsorted(edges, np.abs(eta), "right"), len(edges) - 1)
        return np.asarray(np.interp(pt, *np.asarray(self.flip_pt).T) * factors[zone])


def _notes(one: Field[Any]) -> tuple[str, str, str]:
    return one.metadata["unit"], one.metadata["meaning"], one.metadata["reference"]
