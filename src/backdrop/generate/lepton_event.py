"""The event around the leptons: missing pT, jets, b-tags and the signed weight."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..kinematics import delta_r, transverse_mass
from .detector import Detector
from .objects import Jets, cluster, measured, same_event
from .truth import flavours

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .leptons import Leptons, Readout
    from .objects import Array, Columns

__all__ = ["event_columns", "nlo_weight"]

JET_PT, JET_ETA, MUON_ETA = 25.0, 2.5, 2.7
NO_JET = 9.0


def event_columns(
    seen: Readout, leptons: Leptons, tight: NDArray[np.bool_], detector: Detector, rng: np.random.Generator
) -> Columns:
    """Return the columns of the event, repeated for each of its leptons."""
    events, row = np.unique(leptons.event, return_inverse=True)
    jets = _jets(seen, leptons, detector)
    of_event = _jet_columns(seen, jets, events, detector, rng)
    of_event["n_loose"] = np.bincount(row, minlength=len(events))
    of_event["n_tight"] = np.bincount(row[tight], minlength=len(events))
    of_event["met"], of_event["met_phi"] = (x[events] for x in _missing(seen, leptons, detector, rng))
    of_event["w_nlo"] = nlo_weight(of_event["n_jets"], rng)
    columns = {name: values[row] for name, values in of_event.items()}
    columns["mT"] = transverse_mass(leptons.pt, leptons.phi, columns["met"], columns["met_phi"])
    columns["dr_jet"] = _nearest(leptons, jets)
    return columns


def nlo_weight(n_jets: NDArray[np.int64], rng: np.random.Generator) -> Array:
    """Return signed weights ``s/(1 − 2p)``, negative with ``p = 0.08 + 0.04 n_jets``, at most 0.3.

    Their expectation is exactly 1 in every event, so that they change no distribution and only its errors.
    """
    p = np.minimum(0.08 + 0.04 * n_jets, 0.3)
    return np.asarray(np.where(rng.random(len(p)) < p, -1.0, 1.0) / (1.0 - 2.0 * p))


def _jets(seen: Readout, leptons: Leptons, detector: Detector) -> Jets:
    """Return the jets of what is left without the loose leptons, in events that have one."""
    particles, scale = seen.particles, seen.factor.copy()
    scale[np.searchsorted(particles.row, leptons.particle)] = 0.0
    scale[~np.isin(particles.event, leptons.event)] = 0.0
    hit, momentum = measured(seen.record, particles, scale)
    jets = cluster(particles.event[hit], momentum, detector.jet_radius, JET_PT)
    return jets[np.abs(jets.eta) < JET_ETA]


def _jet_columns(
    seen: Readout, jets: Jets, events: NDArray[np.int64], detector: Detector, rng: np.random.Generator
) -> Columns:
    place = np.searchsorted(events, jets.event)
    flavour = flavours(seen.record, jets, radius=detector.flavour_radius, pt_min=detector.flavour_pt)
    tagged = rng.random(len(flavour)) < detector.tag(flavour, detector.tag_leptons)
    lead = np.zeros(len(events))
    np.maximum.at(lead, place, jets.pt)
    return {
        "n_jets": np.bincount(place, minlength=len(events)),
        "n_btag": np.bincount(place[tagged], minlength=len(events)),
        "ht": np.bincount(place, jets.pt, minlength=len(events)),
        "jet1_pt": lead,
    }


def _missing(seen: Readout, leptons: Leptons, detector: Detector, rng: np.random.Generator) -> tuple[Array, Array]:
    """Return missing pT and its angle for every event of the batch: deposits, and muons as measured."""
    record, particles, scale = seen.record, seen.particles, seen.factor.copy()
    muon = np.flatnonzero((np.abs(particles.id) == 13) & (np.abs(particles.eta) < MUON_ETA))
    scale[muon] = detector.response(detector.muon_resolution(particles.pt[muon], particles.eta[muon]), rng)
    chosen = leptons[leptons.flavour == 13]
    place = np.searchsorted(particles.row, chosen.particle)
    scale[place] = chosen.pt / particles.pt[place]
    x, y = detector.missing_noise * rng.standard_normal((2, record.size))
    x -= np.bincount(particles.event, scale * record.px[particles.row], minlength=record.size)
    y -= np.bincount(particles.event, scale * record.py[particles.row], minlength=record.size)
    return np.hypot(x, y), np.arctan2(y, x)


def _nearest(leptons: Leptons, jets: Jets) -> Array:
    """Return ΔR to the nearest jet of each lepton."""
    i, j = same_event(leptons.event, jets.event)
    nearest = np.full(len(leptons), NO_JET)
    np.minimum.at(nearest, i, delta_r(leptons.eta[i], leptons.phi[i], jets.eta[j], jets.phi[j]))
    return nearest
