"""Loose and tight leptons with their origin: tt̄, W+jets and bb̄ + cc̄."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..kinematics import delta_r
from .detector import Detector
from .lepton_event import event_columns
from .objects import Final, Tracks, deposits, final, muons, same_event, tracks
from .pythia import Record
from .truth import B_HADRON, C_HADRON, MISIDENTIFIED, TAU, flight, origin

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .objects import Array, Columns, Index

__all__ = ["Leptons", "Readout", "analyse", "readout"]

ELECTRON, MUON = 11, 13
TRACK_CONE, CONE_SCALE, CALORIMETER_CONE = 0.3, 10.0, 0.2


@dataclass(frozen=True)
class Readout:
    """What the detector recorded of a batch: final particles, their measured over true energy, and tracks."""

    record: Record
    particles: Final
    factor: Array
    tracks: Tracks


@dataclass(frozen=True)
class Leptons:
    """Lepton candidates, sorted by event and falling pT; `particle` is the row in the record."""

    particle: Index
    event: NDArray[np.int64]
    flavour: NDArray[np.int64]
    charge: NDArray[np.int64]
    pt: Array
    eta: Array
    phi: Array
    origin: NDArray[np.int8]

    def __getitem__(self, chosen: Any) -> Leptons:
        return Leptons(*(getattr(self, name)[chosen] for name in self.__dataclass_fields__))

    def __len__(self) -> int:
        return len(self.event)


def analyse(record: Record, detector: Detector, rng: np.random.Generator, *, sample: int) -> Columns:
    """Return one row per loose lepton, the rows of an event together and by falling pT."""
    seen = readout(record, detector, rng)
    leptons = _candidates(seen, detector, rng)
    columns = _isolation(seen, leptons, detector, rng)
    columns["d0sig"] = detector.smear_d0(_impact(record, leptons), leptons.pt, rng)
    loose = columns["ptvarcone30"] / leptons.pt < detector.lepton_isolation
    loose &= np.abs(columns["d0sig"]) < detector.lepton_d0
    leptons, columns = leptons[loose], {name: values[loose] for name, values in columns.items()}
    columns |= _identification(leptons, columns, detector, rng)
    names = ("event", "flavour", "charge", "pt", "eta", "phi", "origin")
    columns = {name: getattr(leptons, name) for name in names} | columns
    columns |= event_columns(seen, leptons, columns["tight"], detector, rng)
    return columns | {"sample": np.full(len(leptons), sample)}


def readout(record: Record, detector: Detector, rng: np.random.Generator) -> Readout:
    """Let the detector record a batch of events."""
    particles = final(record)
    found = tracks(particles, detector, rng)
    return Readout(record, particles, deposits(record, particles, detector, rng), found)


# ---- candidates ------------------------------------------------------------------------------------------------------


def _candidates(seen: Readout, detector: Detector, rng: np.random.Generator) -> Leptons:
    """Return electrons, muons and hadrons taken for electrons."""
    parts = _electrons(seen, detector, rng), _muons(seen, detector, rng), _fakes(seen, detector, rng)
    names = Leptons.__dataclass_fields__
    every = Leptons(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))
    clear = (every.flavour == MUON) | detector.outside_crack(every.eta, detector.electron_eta)
    every = every[clear & (every.pt > detector.lepton_pt) & (np.abs(every.eta) < detector.electron_eta)]
    return every[np.lexsort((-every.pt, every.event))]


def _electrons(seen: Readout, detector: Detector, rng: np.random.Generator) -> Leptons:
    chosen = np.flatnonzero((np.abs(seen.particles.id) == ELECTRON) & (seen.factor > 0))
    chosen = chosen[rng.random(len(chosen)) < detector.electron_efficiency]
    one = seen.particles[chosen]
    pt, kind = seen.factor[chosen] * one.pt, np.full(len(chosen), ELECTRON)
    return Leptons(one.row, one.event, kind, one.charge, pt, one.eta, one.phi, origin(seen.record, one.row))


def _muons(seen: Readout, detector: Detector, rng: np.random.Generator) -> Leptons:
    one = muons(seen.particles, detector, rng)
    kind, source = np.full(len(one.pt), MUON), origin(seen.record, one.particle)
    return Leptons(one.particle, one.event, kind, one.charge, one.pt, one.eta, one.phi, source)


def _fakes(seen: Readout, detector: Detector, rng: np.random.Generator) -> Leptons:
    hadron = ~np.isin(np.abs(seen.record.id[seen.tracks.particle]), (ELECTRON, MUON))
    one = seen.tracks[hadron & (rng.random(len(hadron)) < detector.hadron_as_electron)]
    kind, source = np.full(len(one.pt), ELECTRON), np.full(len(one.pt), MISIDENTIFIED, np.int8)
    return Leptons(one.particle, one.event, kind, one.charge, one.pt, one.eta, one.phi, source)


# ---- what decides between loose and tight ----------------------------------------------------------------------------


def _impact(record: Record, leptons: Leptons) -> Array:
    """Return the transverse impact parameter in mm, signed like ``x p_y − y p_x``."""
    x, y = flight(record, leptons.particle)
    return x * np.sin(leptons.phi) - y * np.cos(leptons.phi)


def _isolation(seen: Readout, leptons: Leptons, detector: Detector, rng: np.random.Generator) -> Columns:
    """Return the sums of track pT and of calorimeter ET around each lepton, itself left out."""
    near = seen.tracks[seen.tracks.pt > detector.isolation_track_pt]
    cone = np.minimum(CONE_SCALE / leptons.pt, TRACK_CONE)
    track_sum = _cone_sum(leptons, cone, near, near.particle, near.pt)
    hit = seen.particles[seen.factor > 0]
    wide = np.full(len(leptons), CALORIMETER_CONE)
    calorimeter_sum = _cone_sum(leptons, wide, hit, hit.row, seen.factor[seen.factor > 0] * hit.pt)
    mean, width = detector.cone_noise
    noise = mean + width * rng.standard_normal(len(leptons))
    return {"ptvarcone30": track_sum, "topoetcone20": calorimeter_sum + noise}


def _cone_sum(leptons: Leptons, cone: Array, around: Tracks | Final, particle: Index, pt: Array) -> Array:
    i, j = same_event(leptons.event, around.event)
    inside = delta_r(leptons.eta[i], leptons.phi[i], around.eta[j], around.phi[j]) < cone[i]
    inside &= leptons.particle[i] != particle[j]
    return np.bincount(i[inside], pt[j[inside]], minlength=len(leptons)).astype(np.float64)


def _identification(leptons: Leptons, columns: Columns, detector: Detector, rng: np.random.Generator) -> Columns:
    """Draw the identification, and combine it with isolation and impact parameter to tight."""
    identified = rng.random(len(leptons)) < _efficiency(leptons, detector)
    isolated = columns["ptvarcone30"] / leptons.pt < detector.tight_track_isolation
    isolated &= columns["topoetcone20"] / leptons.pt < detector.tight_calo_isolation
    central = np.abs(columns["d0sig"]) < np.where(leptons.flavour == ELECTRON, *detector.tight_d0)
    return {"id_ok": identified, "iso_ok": isolated, "tight": identified & isolated & central}


def _efficiency(leptons: Leptons, detector: Detector) -> Array:
    electron, prompt = leptons.flavour == ELECTRON, leptons.origin <= TAU
    hadron = np.isin(leptons.origin, (B_HADRON, C_HADRON))
    choices = [
        (electron & prompt, detector.electron_identification(leptons.pt)),
        (electron & hadron, detector.electron_from_hadron),
        (electron, detector.electron_other),
        (prompt, detector.muon_prompt),
    ]
    conditions, efficiencies = zip(*choices, strict=True)
    return np.asarray(np.select(list(conditions), list(efficiencies), detector.muon_from_hadron), np.float64)
