"""Photon and φ(1020) → K⁺K⁻ candidate: γ+jet background and H → φγ."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..kinematics import add, delta_phi, delta_r
from .detector import Detector
from .objects import Final, Tracks, final, same_event, tracks
from .pythia import Record

if TYPE_CHECKING:
    from .objects import Array, Columns, Index

__all__ = ["analyse"]

KAON, PHI_MASS, PHI = 0.493677, 1.019461, 333
PHOTON_PT, TRACK_PT, LEAD_PT, PHI_PT = 35.0, 8.0, 10.0, 20.0
PHI_WINDOW = (0.987, 1.12)
CONE, CONE_PT = 0.2, 0.5


def analyse(record: Record, detector: Detector, rng: np.random.Generator) -> Columns:
    """Return one row per event with a photon and a φ candidate opposite to it.

    The candidate is the pair of oppositely charged tracks, kaon masses assigned, with the mass closest to the φ; there
    is no cut on its isolation.
    """
    photon, photon_pt = _photons(record, detector, rng)
    charged = tracks(final(record, np.isin(record.event, photon.event)), detector, rng)
    first, second, meson = _candidates(charged)
    place = np.searchsorted(photon.event, charged.event[first])
    photon, photon_pt = photon[place], photon_pt[place]
    dphi = np.abs(delta_phi(meson[2], photon.phi))
    system = add(meson, (photon_pt, photon.eta, photon.phi, np.zeros(len(place))))
    columns = {"event": photon.event, "m_phig": system[3], "pt_phig": system[0]}
    columns |= {"m_phi": meson[3], "pt_phi": meson[0], "eta_phi": meson[1], "phi_phi": meson[2]}
    columns["iso_phi"] = _isolation(charged, first, second) / meson[0]
    columns |= {"pt_k1": charged.pt[first], "pt_k2": charged.pt[second]}
    columns |= {"pt_g": photon_pt, "eta_g": photon.eta, "phi_g": photon.phi, "dphi": dphi}
    columns["deta"] = meson[1] - photon.eta
    columns |= _truth(record, charged.particle[first], charged.particle[second])
    return {name: values[dphi > np.pi / 2] for name, values in columns.items()}


def _photons(record: Record, detector: Detector, rng: np.random.Generator) -> tuple[Final, Array]:
    """Return the leading photon of each event that has one, and its measured pT."""
    photon = final(record, record.id == 22)
    photon = photon[(photon.pt > 0.8 * PHOTON_PT) & detector.outside_crack(photon.eta, detector.photon_eta)]
    efficiency = np.asarray(detector.photon_efficiency)[(np.abs(photon.eta) > 1.5).astype(int)]
    photon = photon[rng.random(len(photon.pt)) < efficiency]
    pt = photon.pt * detector.energy_factor(record.e[photon.row], np.ones(len(photon.pt), bool), rng)
    passing = np.flatnonzero(pt > PHOTON_PT)
    passing = passing[np.lexsort((-pt[passing], photon.event[passing]))]
    _, lead = np.unique(photon.event[passing], return_index=True)
    return photon[passing[lead]], pt[passing[lead]]


def _candidates(charged: Tracks) -> tuple[Index, Index, tuple[Array, Array, Array, Array]]:
    """Return the harder and the softer track of one pair per event, and the pair's four-vector."""
    hard = np.flatnonzero((charged.pt > TRACK_PT) & (np.abs(charged.eta) < 2.5))
    i, j = same_event(charged.event[hard], charged.event[hard])
    first, second = hard[i], hard[j]
    keep = (charged.charge[first] * charged.charge[second] < 0) & (charged.pt[first] > charged.pt[second])
    keep &= charged.pt[first] > LEAD_PT
    first, second = first[keep], second[keep]
    meson = add(*((charged.pt[k], charged.eta[k], charged.phi[k], KAON) for k in (first, second)))
    good = np.flatnonzero((meson[3] > PHI_WINDOW[0]) & (meson[3] < PHI_WINDOW[1]) & (meson[0] > PHI_PT))
    good = good[np.lexsort((np.abs(meson[3][good] - PHI_MASS), charged.event[first[good]]))]
    _, closest = np.unique(charged.event[first[good]], return_index=True)
    best = good[closest]
    return first[best], second[best], (meson[0][best], meson[1][best], meson[2][best], meson[3][best])


def _isolation(charged: Tracks, first: Index, second: Index) -> Array:
    """Return the sum of track pT around the harder kaon, without the pair."""
    i, j = same_event(charged.event[first], charged.event)
    near = delta_r(charged.eta[first[i]], charged.phi[first[i]], charged.eta[j], charged.phi[j]) < CONE
    near &= (j != first[i]) & (j != second[i]) & (charged.pt[j] > CONE_PT)
    return np.bincount(i[near], charged.pt[j[near]], minlength=len(first)).astype(np.float64)


def _truth(record: Record, first: Index, second: Index) -> Columns:
    mothers = record.mother[first], record.mother[second]
    kaons = (np.abs(record.id[first]) == 321) & (np.abs(record.id[second]) == 321)
    return {"is_kk": kaons, "true_phi": (mothers[0] == mothers[1]) & (np.abs(record.id[mothers[0]]) == PHI)}
