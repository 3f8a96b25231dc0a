"""Photon and φ(1020) → K⁺K⁻ candidate: γ+jet background and H → φγ."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..kinematics import delta_phi, delta_r, total
from .detector import Detector
from .objects import Final, Tracks, final, same_event, tracks
from .pythia import Record

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Columns = dict[str, NDArray[np.generic]]

__all__ = ["analyse"]

KAON, PHI_MASS = 0.493677, 1.019461
PHOTON_PT, TRACK_PT, LEAD_PT, PHI_PT = 35.0, 8.0, 10.0, 20.0
PHI_WINDOW = (0.987, 1.12)
CONE, CONE_PT = 0.2, 0.5


def analyse(record: Record, detector: Detector, rng: np.random.Generator) -> Columns:
    """Return one row per event with a photon and a φ candidate opposite to it.

    The candidate is the pair of oppositely charged tracks, kaon masses assigned, with the mass closest to the φ; there is
    no cut on its isolation.
    """
    photons, photon_pt = _photons(record, detector, rng)
    everything = tracks(_of_events(final(record), photons.event), detector, rng)
    hard = everything[(everything.pt > TRACK_PT) & (np.abs(everything.eta) < detector.track_eta)]
    first, second = _pairs(hard)
    pt, eta, phi, mass = total(*(_two(column, first, second) for column in (hard.pt, hard.eta, hard.phi)), KAON)
    photon = np.searchsorted(photons.event, hard.event[first])
    angle = np.abs(delta_phi(phi, photons.phi[photon]))
    good = (mass > PHI_WINDOW[0]) & (mass < PHI_WINDOW[1]) & (pt > PHI_PT)
    chosen = np.flatnonzero(good)
    chosen = chosen[np.lexsort((np.abs(mass[chosen] - PHI_MASS), hard.event[first[chosen]]))]
    _, best = np.unique(hard.event[first[chosen]], return_index=True)
    chosen = chosen[best]
    chosen = chosen[angle[chosen] > np.pi / 2]
    first, second, photon = first[chosen], second[chosen], photon[chosen]
    pt, eta, phi, mass, angle = pt[chosen], eta[chosen], phi[chosen], mass[chosen], angle[chosen]
    system = [np.stack(x, -1) for x in zip((pt, eta, phi, mass), _photon(photons, photon_pt, photon), strict=True)]
    pt_all, _, _, m_all = total(*system)
    rows = hard.particle[first], hard.particle[second]
    return {
        "event": hard.event[first],
        "m_phig": m_all,
        "pt_phig": pt_all,
        "m_phi": mass,
        "pt_phi": pt,
        "eta_phi": eta,
        "phi_phi": phi,
        "iso_phi": _isolation(everything, hard, first, second) / pt,
        "pt_k1": hard.pt[first],
        "pt_k2": hard.pt[second],
        "pt_g": photon_pt[photon],
        "eta_g": photons.eta[photon],
        "phi_g": photons.phi[photon],
        "dphi": angle,
        "deta": eta - photons.eta[photon],
        "is_kk": _both(record, rows, 321),
        "true_phi": _from_one_phi(record, rows),
    }


def _photons(record: Record, detector: Detector, rng: np.random.Generator) -> tuple[Final, Array]:
    """Return the leading photon of each event that has one, and its measured pT."""
    found = final(record, record.id == 22)
    found = found[(found.pt > 0.8 * PHOTON_PT) & detector.outside_crack(found.eta, detector.photon_eta)]
    found = found[rng.random(len(found.pt)) < np.take(detector.photon_efficiency, np.abs(found.eta) > 1.5)]
    pt = found.pt * detector.energy_factor(record.e[found.row], np.ones(len(found.pt), bool), rng)
    passing = np.flatnonzero(pt > PHOTON_PT)
    passing = passing[np.lexsort((-pt[passing], found.event[passing]))]
    _, lead = np.unique(found.event[passing], return_index=True)
    return found[passing[lead]], pt[passing[lead]]


def _photon(photons: Final, pt: Array, index: NDArray[np.intp]) -> tuple[Array, Array, Array, Array]:
    return pt[index], photons.eta[index], photons.phi[index], np.zeros(len(index))


def _of_events(particles: Final, events: NDArray[np.int64]) -> Final:
    return particles[np.isin(particles.event, events)]


def _pairs(hard: Tracks) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the pairs of oppositely charged tracks, the harder one first and above the higher threshold."""
    i, j = same_event(hard.event, hard.event)
    keep = (hard.charge[i] * hard.charge[j] < 0) & (hard.pt[i] > hard.pt[j]) & (hard.pt[i] > LEAD_PT)
    return i[keep], j[keep]


def _two(column: Array, first: NDArray[np.intp], second: NDArray[np.intp]) -> Array:
    return np.stack([column[first], column[second]], axis=-1)


def _isolation(everything: Tracks, hard: Tracks, first: NDArray[np.intp], second: NDArray[np.intp]) -> Array:
    """Return the sum of track pT around the harder kaon, without the pair."""
    i, j = same_event(hard.event[first], everything.event)
    near = delta_r(hard.eta[first[i]], hard.phi[first[i]], everything.eta[j], everything.phi[j]) < CONE
    other = (everything.particle[j] != hard.particle[first[i]]) & (everything.particle[j] != hard.particle[second[i]])
    keep = near & other & (everything.pt[j] > CONE_PT)
    return np.bincount(i[keep], everything.pt[j[keep]], minlength=len(first))


def _both(record: Record, rows: tuple[NDArray[np.intp], NDArray[np.intp]], kind: int) -> NDArray[np.bool_]:
    return np.asarray((np.abs(record.id[rows[0]]) == kind) & (np.abs(record.id[rows[1]]) == kind))


def _from_one_phi(record: Record, rows: tuple[NDArray[np.intp], NDArray[np.intp]]) -> NDArray[np.bool_]:
    first, second = (record.mother[row] for row in rows)
    return np.asarray((first == second) & (np.abs(record.id[first]) == 333))


