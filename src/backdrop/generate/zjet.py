"""Z → μμ with a jet of two tracks: Z+jets background and H → Za, a → hadrons."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..kinematics import add, delta_r, total
from .detector import Detector
from .objects import Final, Jets, Tracks, cluster, deposits, final, measured, muons, same_event, tracks
from .pythia import Record

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .objects import Columns, Index

__all__ = ["analyse"]

Z_MASS, MUON, PION = 91.19, 0.105658, 0.139570
MUON_PT, LEAD_MUON_PT, MUON_ETA, Z_WINDOW = 5.0, 27.0, 2.7, 10.0
JET_PT, JET_ETA, TRACK_PT, TRACK_ETA = 20.0, 2.1, 0.5, 2.5
WINDOW = (80.0, 250.0)
A_BOSON = 36


def analyse(record: Record, detector: Detector, rng: np.random.Generator) -> Columns:
    """Return one row per event with a Z candidate and a leading jet with exactly two tracks."""
    lepton = muons(final(record, np.abs(record.id) == 13), detector, rng)
    lepton = lepton[(lepton.pt > MUON_PT) & (np.abs(lepton.eta) < MUON_ETA)]
    z, z_event = _z_candidates(lepton)
    particles = final(record, np.isin(record.event, z_event) & (np.abs(record.id) != 13))
    jets = _jets(record, particles, detector, rng)
    jet_event, lead, n_jets = np.unique(jets.event, return_index=True, return_counts=True)
    _, with_jet, with_z = np.intersect1d(z_event, jet_event, return_indices=True)
    z, jet, n_jets = z[with_jet], jets[lead[with_z]], n_jets[with_z]
    charged = tracks(particles, detector, rng)
    hard, soft, two = _two_tracks(charged, jet)
    z, jet, hard_track, soft_track = z[two], jet[two], charged[hard], charged[soft]
    columns = {"event": jet.event, **_systems(lepton, z, jet), "n_jets": n_jets[two]}
    columns |= _muon_columns(lepton, z) | _track_columns(hard_track, soft_track, jet)
    columns["trk_from_a"] = _from_a(record, hard_track.particle) & _from_a(record, soft_track.particle)
    keep = (columns["m_mumuj"] > WINDOW[0]) & (columns["m_mumuj"] < WINDOW[1])
    return {name: values[keep] for name, values in columns.items()}


def _z_candidates(lepton: Tracks) -> tuple[Index, NDArray[np.int64]]:
    """Return (μ⁻, μ⁺), shape (n, 2), and the events: the pair closest to the Z mass where there are several."""
    i, j = same_event(lepton.event, lepton.event)
    pair = np.flatnonzero((lepton.charge[i] < 0) & (lepton.charge[j] > 0))
    pairs = np.stack([i[pair], j[pair]], axis=1)
    off = np.abs(total(lepton.pt[pairs], lepton.eta[pairs], lepton.phi[pairs], MUON)[3] - Z_MASS)
    good = np.flatnonzero((off < Z_WINDOW) & (lepton.pt[pairs].max(axis=1) > LEAD_MUON_PT))
    good = good[np.lexsort((off[good], lepton.event[pairs[good, 0]]))]
    events, best = np.unique(lepton.event[pairs[good, 0]], return_index=True)
    return pairs[good[best]], events


def _jets(record: Record, particles: Final, detector: Detector, rng: np.random.Generator) -> Jets:
    seen, momentum = measured(record, particles, deposits(record, particles, detector, rng))
    jets = cluster(particles.event[seen], momentum, detector.jet_radius, JET_PT)
    return jets[np.abs(jets.eta) < JET_ETA]


def _two_tracks(charged: Tracks, lead: Jets) -> tuple[Index, Index, Index]:
    """Return the harder and the softer track of the jets with exactly two tracks in the cone, and those jets."""
    jet, track = same_event(lead.event, charged.event)
    inside = delta_r(lead.eta[jet], lead.phi[jet], charged.eta[track], charged.phi[track]) < 0.4
    inside &= (charged.pt[track] > TRACK_PT) & (np.abs(charged.eta[track]) < TRACK_ETA)
    jet, track = jet[inside], track[inside]
    order = np.lexsort((-charged.pt[track], jet))
    jet, track = jet[order], track[order]
    two = np.flatnonzero(np.bincount(jet, minlength=len(lead.event)) == 2)
    pairs = track[np.isin(jet, two)].reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1], two


def _systems(lepton: Tracks, z: Index, jet: Jets) -> Columns:
    boson = total(lepton.pt[z], lepton.eta[z], lepton.phi[z], MUON)
    pt_all, _, _, m_all = add(boson, (jet.pt, jet.eta, jet.phi, jet.m))
    columns = {"m_mumuj": m_all, "pt_mumuj": pt_all, "m_mumu": boson[3], "pt_mumu": boson[0]}
    return columns | {"jet_pt": jet.pt, "jet_eta": jet.eta, "jet_phi": jet.phi, "jet_m": jet.m}


def _muon_columns(lepton: Tracks, z: Index) -> Columns:
    columns: Columns = {}
    for k in (0, 1):
        columns |= {f"mu{k + 1}_pt": lepton.pt[z[:, k]], f"mu{k + 1}_eta": lepton.eta[z[:, k]]}
    return columns


def _track_columns(hard: Tracks, soft: Tracks, jet: Jets) -> Columns:
    """Return what the two tracks say of the jet's substructure."""
    pt_two, _, _, m_two = add((hard.pt, hard.eta, hard.phi, PION), (soft.pt, soft.eta, soft.phi, PION))
    share = hard.pt / (hard.pt + soft.pt)
    to_axis = [delta_r(track.eta, track.phi, jet.eta, jet.phi) for track in (hard, soft)]
    apart = delta_r(hard.eta, hard.phi, soft.eta, soft.phi)
    return {
        "trk1_pt": hard.pt,
        "trk2_pt": soft.pt,
        "trk_os": hard.charge * soft.charge < 0,
        "m_trk": m_two,
        "dR_lead_axis": to_axis[0],
        "pt_ratio": hard.pt / pt_two,
        "angularity2": share * to_axis[0] ** 2 + (1.0 - share) * to_axis[1] ** 2,
        "U1_07": share * (1.0 - share) * apart**0.7,
        "dR_trk": apart,
    }


def _from_a(record: Record, rows: Index) -> NDArray[np.bool_]:
    """Tell which particles descend from the light boson."""
    current, found = rows, np.zeros(len(rows), bool)
    while True:
        found |= record.id[current] == A_BOSON
        above = np.minimum(record.mother[current], current)
        if (above == current).all():
            return found
        current = above
