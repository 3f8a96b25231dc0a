"""The detector: every parameter in one table, and the functions that apply them to particles.

A parametric response in the spirit of the Delphes ATLAS card: no magnetic-field bending, no towers, no pile-up; the
calorimeter resolution is applied to particles. Publications are named beside the parameters they give; "choice" marks
numbers that are ours, "choice, as in" those that only follow a publication in their size or shape.
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
BTAG = "ATLAS flavour tagging, arXiv:2211.16345"
CHARGE = "ATLAS electrons, arXiv:1902.04655"
MISSING = "ATLAS missing transverse momentum, arXiv:1802.08168"
IMPACT = "ATLAS early tracking, ATL-PHYS-PUB-2015-051"
CHOICE = "choice"
LIKE = "choice, as in "


def _row(default: Any, unit: str, meaning: str, reference: str) -> Any:
    return field(default=default, metadata={"unit": unit, "meaning": meaning, "reference": reference})


@dataclass(frozen=True)
class Detector:
    """The parameters of the detector and of its objects: this class is the table.

    A pair of rows stands for ``|η|`` below and above 1.5, three values for below 0.5, below 1.5 and above.

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
    track_constant: tuple[float, float, float] = _row((0.01, 0.015, 0.025), "", "σ(pT)/pT, constant term", LIKE + ATLAS)
    track_linear: tuple[float, float, float] = _row(
        (2.5e-4, 4e-4, 6e-4), "1/GeV", "σ(pT)/pT, term in pT, added in quadrature", LIKE + ATLAS
    )
    muon_constant: tuple[float, float, float] = _row(
        (0.014, 0.017, 0.021), "", "the same for muons, constant", LIKE + MUONS
    )
    muon_linear: float = _row(2e-4, "1/GeV", "the same for muons, term in pT", LIKE + MUONS)
    track_angle: float = _row(3e-4, "rad", "σ(η), σ(φ) of tracks", CHOICE)
    calorimeter_pt: float = _row(0.1, "GeV", "smallest pT of a particle that leaves a deposit", CHOICE)
    calorimeter_eta: float = _row(4.9, "", "|η| up to which energy is measured", ATLAS)
    electromagnetic: tuple[float, float] = _row(
        (0.10, 0.007), "√GeV, 1", "σ(E)/E of electrons and photons: stochastic, constant", ATLAS
    )
    hadronic: tuple[float, float] = _row((0.50, 0.03), "√GeV, 1", "σ(E)/E of hadrons: stochastic, constant", ATLAS)
    b_loss: tuple[float, float] = _row(
        (0.65, 0.19), "", "b quarks that lose energy to neutrinos and muons: probability, mean of −ln(kept)", CHOICE
    )
    missing_noise: float = _row(6.0, "GeV", "soft-term noise of missing pT, each component", LIKE + MISSING)
    cone_noise: tuple[float, float] = _row((0.2, 0.85), "GeV", "electronic noise in topoetcone20: mean, width", CHOICE)
    photon_eta: float = _row(2.37, "", "|η| of photons", ELECTRONS)
    electron_eta: float = _row(2.47, "", "|η| of electrons; loose muons use the same", ELECTRONS)
    crack: tuple[float, float] = _row((1.37, 1.52), "", "|η| without electrons and photons", ELECTRONS)
    photon_efficiency: tuple[float, float] = _row((0.95, 0.85), "", "photons found", DELPHES)
    electron_efficiency: float = _row(0.87, "", "electrons reconstructed and loosely identified", LIKE + ELECTRONS)
    muon_efficiency: float = _row(0.965, "", "muons reconstructed and loosely identified", LIKE + MUONS)
    lepton_pt: float = _row(10.0, "GeV", "smallest pT of a loose lepton", CHOICE)
    lepton_isolation: float = _row(1.0, "", "largest ptvarcone30/pT of a loose lepton", CHOICE)
    lepton_d0: float = _row(15.0, "σ", "largest |d0|/σ of a loose lepton", CHOICE)
    d0_resolution: tuple[float, float] = _row(
        (0.016, 0.14), "mm, mm GeV", "σ(d0): constant with the beam spot, term in 1/pT", LIKE + IMPACT
    )
    lifetimes: bool = _row(True, "", "whether flights before a decay enter d0; without them d0 is noise", CHOICE)
    tight_d0: tuple[float, float] = _row((5.0, 3.0), "σ", "largest |d0|/σ of a tight electron, muon", ELECTRONS)
    tight_track_isolation: float = _row(0.15, "", "largest ptvarcone30/pT of a tight lepton", ELECTRONS)
    tight_calo_isolation: float = _row(0.20, "", "largest topoetcone20/pT of a tight lepton", ELECTRONS)
    isolation_track_pt: float = _row(0.5, "GeV", "smallest pT of a track in ptvarcone30", CHOICE)
    electron_prompt: tuple[float, float, float] = _row(
        (0.90, 0.205, 15.0), "1, 1, GeV", "identification a − b exp(−pT/c) of prompt electrons", LIKE + ELECTRONS
    )
    electron_from_hadron: float = _row(0.62, "", "identification of electrons from b and c hadrons", CHOICE)
    electron_other: float = _row(0.25, "", "identification of converted photons and hadrons as electrons", CHOICE)
    muon_prompt: float = _row(0.98, "", "identification of prompt muons", CHOICE)
    muon_from_hadron: float = _row(0.93, "", "identification of muons from hadrons", CHOICE)
    hadron_as_electron: float = _row(0.006, "", "probability that a charged hadron is a loose electron", CHOICE)
    jet_radius: float = _row(0.4, "", "anti-kt radius", "arXiv:0802.1189")
    flavour_radius: float = _row(0.3, "", "ΔR between a jet and the hadron or quark that gives its flavour", BTAG)
    flavour_pt: float = _row(5.0, "GeV", "smallest pT of that hadron or quark", BTAG)
    tag_leptons: tuple[float, float, float] = _row(
        (0.77, 0.20, 0.006), "", "b-tag of b, c and light jets in the lepton samples", BTAG
    )
    tag_four_jets: tuple[float, float, float] = _row(
        (0.85, 0.25, 0.02), "", "b-tag of b, c and light jets in the four-jet samples", LIKE + BTAG
    )
    pseudo_tag: tuple[float, float, float, float, float, float, float] = _row(
        (0.40, 0.06, 70.0, 60.0, 0.016, 0.12, 0.6),
        "",
        "pseudo-tag a + b tanh((pT−c)/d) − e η² + f exp(−(ΔR−0.4)/g)",
        CHOICE,
    )
    flip_pt: tuple[tuple[float, float], ...] = _row(
        ((25.0, 0.0025), (60.0, 0.0045), (120.0, 0.0100), (250.0, 0.0300)),
        "GeV, 1",
        "charge flip σ(pT), linear between these points, constant beyond",
        LIKE + CHARGE,
    )
    flip_eta: tuple[tuple[float, float], ...] = _row(
        ((0.6, 0.2), (1.1, 0.4), (1.52, 0.7), (2.0, 1.3), (2.47, 2.4)),
        "",
        "factor f(|η|) of the charge flip up to each edge, 1 on average over the edges",
        LIKE + CHARGE,
    )
    flip_loss: float = _row(0.035, "", "mean of −ln(kept energy) of a flipped electron, exponential", CHOICE)
    electron_cone: float = _row(0.1, "", "ΔR within which radiated photons are part of an electron (Z → ee)", CHOICE)

    def table(self) -> Iterator[tuple[str, Any, str, str, str]]:
        """Yield (name, value, unit, meaning, reference) of every parameter."""
        for one in fields(self):
            yield (one.name, getattr(self, one.name), *_notes(one))

    @staticmethod
    def response(width: Array, rng: np.random.Generator) -> Array:
        """Return log-normal factors of mean 1 and relative `width`: Gaussian where narrow, positive where wide."""
        square = np.log1p(np.square(width))
        return np.asarray(np.exp(np.sqrt(square) * rng.standard_normal(len(width)) - 0.5 * square))

    # ---- tracks ------------------------------------------------------------------------------------------------------

    def track_found(self, pt: ArrayLike, eta: ArrayLike) -> Array:
        """Return the probability that a charged particle leaves a track."""
        pt, eta = np.asarray(pt, np.float64), np.abs(eta)
        efficiency = np.asarray(self.track_efficiency)[(eta > 1.5).astype(int), (pt > 1.0).astype(int)]
        return np.asarray(np.where((pt > self.track_pt) & (eta < self.track_eta), efficiency, 0.0))

    def track_resolution(self, pt: ArrayLike, eta: ArrayLike) -> Array:
        """Return σ(pT)/pT of a track."""
        zone = np.digitize(np.abs(eta), (0.5, 1.5))
        constant, linear = np.asarray(self.track_constant)[zone], np.asarray(self.track_linear)[zone]
        return np.asarray(np.hypot(constant, linear * np.asarray(pt, np.float64)))

    def muon_resolution(self, pt: ArrayLike, eta: ArrayLike) -> Array:
        """Return σ(pT)/pT of a muon, inner and outer detectors combined."""
        constant = np.asarray(self.muon_constant)[np.digitize(np.abs(eta), (0.5, 1.5))]
        return np.asarray(np.hypot(constant, self.muon_linear * np.asarray(pt, np.float64)))

    def smear(
        self, pt: Array, eta: Array, phi: Array, resolution: Array, rng: np.random.Generator
    ) -> tuple[Array, Array, Array]:
        """Return measured (pT, η, φ) of tracks or muons, given σ(pT)/pT."""
        shift = self.track_angle * rng.standard_normal((2, len(pt)))
        return pt * self.response(resolution, rng), eta + shift[0], phi + shift[1]

    def smear_d0(self, d0: Array, pt: Array, rng: np.random.Generator) -> Array:
        """Return the measured impact parameter in units of its resolution; `d0` in mm."""
        width = np.hypot(self.d0_resolution[0], self.d0_resolution[1] / pt)
        return self.lifetimes * d0 / width + rng.standard_normal(len(d0))

    # ---- calorimeter -------------------------------------------------------------------------------------------------

    def energy_factor(self, energy: Array, electromagnetic: NDArray[np.bool_], rng: np.random.Generator) -> Array:
        """Return measured over true energy of particles."""
        terms = np.where(electromagnetic[:, None], self.electromagnetic, self.hadronic)
        return self.response(np.hypot(terms[:, 0] / np.sqrt(energy), terms[:, 1]), rng)

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
        return np.asarray(np.select([flavour == 5, flavour == 4], efficiency[:2], efficiency[2]), np.float64)

    def pseudo_tagged(self, pt: ArrayLike, eta: ArrayLike, nearest: ArrayLike) -> Array:
        """Return the pseudo-tag probability of a jet with its nearest jet at ΔR = `nearest`."""
        base, rise, middle, width, fall, near, scale = self.pseudo_tag
        slope = np.tanh((np.asarray(pt, np.float64) - middle) / width)
        return np.asarray(
            base + rise * slope - fall * np.square(eta) + near * np.exp((0.4 - np.asarray(nearest)) / scale)
        )

    def flipped(self, pt: ArrayLike, eta: ArrayLike) -> Array:
        """Return the probability ``ε = σ(pT) f(|η|)`` that the charge of an electron is measured wrongly."""
        edges, factors = np.asarray(self.flip_eta).T
        zone = np.minimum(np.searchsorted(edges, np.abs(eta), "right"), len(edges) - 1)
        return np.asarray(np.interp(np.asarray(pt, np.float64), *np.asarray(self.flip_pt).T) * factors[zone])


def _notes(one: Field[Any]) -> tuple[str, str, str]:
    return one.metadata["unit"], one.metadata["meaning"], one.metadata["reference"]
