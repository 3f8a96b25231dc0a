"""Z → μμ with a jet of two tracks: Z+jets background and H → Za, a → hadrons."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..kinematics import delta_phi, delta_r, total
from .detector import Detector
from .objects import Final, Jets, Tracks, cluster, deposits, final, measured, same_event, tracks
from .pythia import Record

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Index = NDArray[np.intp]
    Columns = dict[str, NDArray[np.generic]]

__all__ = ["analyse"]

Z_MASS, MUON, PION = 91.19, 0.105658, 0.139570
MUON_PT, LEAD_MUON_PT, MUON_ETA, Z_WINDOW = 5.0, 27.0, 2.7, 10.0
JET_PT, JET_ETA, TRACK_PT = 20.0, 2.1, 0.5
WINDOW = (80.0, 250.0)
A_BOSON = 36


def analyse(record: Record, detector: Detector, rng: np.random.Generator) -> Columns:
    """Return one row per event with a Z candidate and a leading jet with exactly two tracks."""
    muons = _muons(record, detector, rng)
    z, events = _z_candidates(muons)
    chosen = final(record, np.isin(record.event, events))
    jets = _jets(record, chosen, detector, rng)
    events, z_row, jet_row = np.intersect1d(events, jets.event, return_indices=True)
    lead = jets[jet_row]
    _, count = np.unique(jets.event, return_counts=True)
    charged = tracks(chosen[~np.isin(chosen.id, (13, -13))], detector, rng)
    first, second, two = _two_tracks(charged, lead)
    z, lead, count = z[z_row][two], lead[two], count[np.searchsorted(np.unique(jets.event), events[two])]
    columns = _columns(muons, z, lead, charged[first], charged[second])
    columns["n_jets"] = count
    columns["trk_from_a"] = _from_a(record, charged[first].particle) & _from_a(record, charged[second].particle)
    keep = (columns["m_mumuj"] > WINDOW[0]) & (columns["m_mumuj"] < WINDOW[1])
    return {"event": lead.event[keep]} | {name: values[keep] for name, values in columns.items()}


def _muons(record: Record, detector: Detector, rng: np.random.Generator) -> Tracks:
    """Return the measured muons within acceptance."""
    muons = final(record, np.abs(record.id) == 13)
    muons = muons[rng.random(len(muons.pt)) < detector.muon_efficiency]
    measured = Tracks(muons.row, muons.event, muons.charge, *detector.smear_track(muons.pt, muons.eta, muons.phi, rng))
    return measured[(measured.pt > MUON_PT) & (np.abs(measured.eta) < MUON_ETA)]


def _z_candidates(muons: Tracks) -> tuple[Index, NDArray[np.int64]]:
    """Return (μ⁻, μ⁺), shape (n, 2), and the events: the pair closest to the Z mass where there are several."""
    i, j = same_event(muons.event, muons.event)
    pair = np.flatnonzero((muons.charge[i] < 0) & (muons.charge[j] > 0))
    pairs = np.stack([i[pair], j[pair]], axis=1)
    off = np.abs(total(muons.pt[pairs], muons.eta[pairs], muons.phi[pairs], MUON)[3] - Z_MASS)
    good = np.flatnonzero((off < Z_WINDOW) & (muons.pt[pairs].max(axis=1) > LEAD_MUON_PT))
    good = good[np.lexsort((off[good], muons.event[pairs[good, 0]]))]
    events, best = np.unique(muons.event[pairs[good, 0]], return_index=True)
    return pairs[good[best]], events


def _jets(record: Record, particles: Final, detector: Detector, rng: np.random.Generator) -> Jets:
    """Return the jets within acceptance; muons leave nothing in the calorimeter."""
    seen, momentum = measured(record, particles, deposits(record, particles, detector, rng))
    jets = cluster(particles.event[seen], momentum, detector.jet_radius, JET_PT)
    return jets[np.abs(jets.eta) < JET_ETA]


def _two_tracks(charged: Tracks, lead: Jets) -> tuple[Index, Index, Index]:
    """Return the harder and the softer track of the jets with exactly two tracks in the cone, and those jets."""
    jet, track = same_event(lead.event, charged.event)
    inside = delta_r(lead.eta[jet], lead.phi[jet], charged.eta[track], charged.phi[track]) < 0.4
    inside &= (charged.pt[track] > TRACK_PT) & (np.abs(charged.eta[track]) < 2.5)
    jet, track = jet[inside], track[inside]
    order = np.lexsort((-charged.pt[track], jet))
    jet, track = jet[order], track[order]
    number = np.bincount(jet, minlength=len(lead.event))
    pairs = track[np.isin(jet, np.flatnonzero(number == 2))].reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1], np.flatnonzero(number == 2)


def _columns(muons: Tracks, z: Index, jet: Jets, hard: Tracks, soft: Tracks) -> Columns:
    pt_z, eta_z, phi_z, m_z = total(muons.pt[z], muons.eta[z], muons.phi[z], MUON)
    pairs = zip((pt_z, eta_z, phi_z, m_z), (jet.pt, jet.eta, jet.phi, jet.m), strict=True)
    pt_all, _, _, m_all = total(*(np.stack(pair, axis=-1) for pair in pairs))
    both = [np.stack(pair, axis=-1) for pair in ((hard.pt, soft.pt), (hard.eta, soft.eta), (hard.phi, soft.phi))]
    pt_two, _, _, m_two = total(*both, PION)
    share = both[0] / both[0].sum(axis=1, keepdims=True)
    to_axis = delta_r(both[1], both[2], jet.eta[:, None], jet.phi[:, None])
    apart = delta_r(hard.eta, hard.phi, soft.eta, soft.phi)
    columns = {"m_mumuj": m_all, "pt_mumuj": pt_all, "m_mumu": m_z, "pt_mumu": pt_z}
    columns |= {"jet_pt": jet.pt, "jet_eta": jet.eta, "jet_phi": jet.phi, "jet_m": jet.m}
    for number in (0, 1):
        columns |= {f"mu{number + 1}_pt": muons.pt[z[:, number]], f"mu{number + 1}_eta": muons.eta[z[:, number]]}
    return columns | {
        "trk1_pt": hard.pt,
        "trk2_pt": soft.pt,
        "trk_os": hard.charge * soft.charge < 0,
        "m_trk": m_two,
        "dR_lead_axis": to_axis[:, 0],
        "pt_ratio": hard.pt / pt_two,
        "angularity2": (share * to_axis**2).sum(axis=1),
        "U1_07": share.prod(axis=1) * apart**0.7,
        "dR_trk": apart,
    }


def _from_a(record: Record, rows: Index) -> NDArray[np.bool_]:
    """Tell which particles descend from the light boson."""
    current, found = rows, np.zeros(len(rows), bool)
    while len(rows):
        found |= record.id[current] == A_BOSON
        above = np.minimum(record.mother[current], current)
        if (above == current).all():
            break
        current = above
    return found
