"""Measured objects of a batch of events: tracks, calorimeter deposits and jets, as flat columns sorted by event."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..kinematics import pseudorapidity, to_cylindrical
from .detector import Detector
from .pythia import Record, require

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Index = NDArray[np.intp]
    Columns = dict[str, NDArray[Any]]

__all__ = [
    "Final",
    "Jets",
    "Tracks",
    "cluster",
    "deposits",
    "final",
    "measured",
    "measured_partons",
    "muons",
    "padded",
    "parton_deposits",
    "same_event",
    "tracks",
]

NEUTRINOS = (12, 14, 16)
# of the charged particles that live long enough to be seen
POSITIVE = (-11, -13, 211, 321, 2212, 3222, -3112, -3312, -3334)


@dataclass(frozen=True)
class Final:
    """Final particles: their rows in the record, and pT, η, φ as generated."""

    row: Index
    event: NDArray[np.int64]
    id: NDArray[np.int64]
    charge: NDArray[np.int64]
    pt: Array
    eta: Array
    phi: Array

    def __getitem__(self, chosen: Any) -> Final:
        return Final(*(getattr(self, name)[chosen] for name in self.__dataclass_fields__))


@dataclass(frozen=True)
class Tracks:
    """Reconstructed tracks; `particle` is the row in the record."""

    particle: Index
    event: NDArray[np.int64]
    charge: NDArray[np.int64]
    pt: Array
    eta: Array
    phi: Array

    def __getitem__(self, chosen: Any) -> Tracks:
        return Tracks(*(getattr(self, name)[chosen] for name in self.__dataclass_fields__))


@dataclass(frozen=True)
class Jets:
    """Jets, sorted by event and falling pT."""

    event: NDArray[np.int64]
    pt: Array
    eta: Array
    phi: Array
    m: Array

    def __getitem__(self, chosen: Any) -> Jets:
        return Jets(*(getattr(self, name)[chosen] for name in self.__dataclass_fields__))


def final(record: Record, chosen: NDArray[np.bool_] | None = None) -> Final:
    """Return the final particles of the record, or those of them that are `chosen`."""
    keep = record.status > 0
    row = np.flatnonzero(keep if chosen is None else keep & chosen)
    ids = record.id[row]
    charge = np.isin(ids, POSITIVE).astype(np.int64) - np.isin(-ids, POSITIVE)
    px, py, pz = record.px[row], record.py[row], record.pz[row]
    return Final(row, record.event[row], ids, charge, np.hypot(px, py), pseudorapidity(px, py, pz), np.arctan2(py, px))


def tracks(particles: Final, detector: Detector, rng: np.random.Generator) -> Tracks:
    """Find and measure the tracks of charged particles."""
    charged = particles[(particles.charge != 0) & (particles.pt > detector.track_pt)]
    found = rng.random(len(charged.pt)) < detector.track_found(charged.pt, charged.eta)
    seen = charged[found]
    width = detector.track_resolution(seen.pt, seen.eta)
    return Tracks(seen.row, seen.event, seen.charge, *detector.smear(seen.pt, seen.eta, seen.phi, width, rng))


def muons(particles: Final, detector: Detector, rng: np.random.Generator) -> Tracks:
    """Find and measure muons."""
    seen = particles[np.abs(particles.id) == 13]
    seen = seen[rng.random(len(seen.pt)) < detector.muon_efficiency]
    width = detector.muon_resolution(seen.pt, seen.eta)
    return Tracks(seen.row, seen.event, seen.charge, *detector.smear(seen.pt, seen.eta, seen.phi, width, rng))


def deposits(record: Record, particles: Final, detector: Detector, rng: np.random.Generator) -> Array:
    """Return measured over true energy of each particle; 0 for muons, neutrinos and what leaves the calorimeter."""
    kind = np.abs(particles.id)
    seen = (np.abs(particles.eta) < detector.calorimeter_eta) & (particles.pt > detector.calorimeter_pt)
    seen &= ~np.isin(kind, (13, *NEUTRINOS))
    factor = np.zeros(len(kind))
    electromagnetic = np.isin(kind[seen], (11, 22))
    factor[seen] = detector.energy_factor(record.e[particles.row[seen]], electromagnetic, rng)
    return factor


def measured(record: Record, particles: Final, factor: Array) -> tuple[Index, tuple[Array, Array, Array, Array]]:
    """Return which particles left a deposit, and their momenta (px, py, pz, E) scaled by `factor`, the masses kept."""
    seen = np.flatnonzero(factor > 0.0)
    row = particles.row[seen]
    px, py, pz = (factor[seen] * getattr(record, name)[row] for name in ("px", "py", "pz"))
    return seen, (px, py, pz, np.sqrt(px**2 + py**2 + pz**2 + np.square(record.m[row])))


def measured_partons(
    record: Record, particles: Final, factor: Array
) -> tuple[Index, tuple[Array, Array, Array, Array]]:
    """Return the same for partons, each standing for a jet of particles: all of the four-vector scaled."""
    seen = np.flatnonzero(factor > 0.0)
    row, scale = particles.row[seen], factor[seen]
    return seen, (scale * record.px[row], scale * record.py[row], scale * record.pz[row], scale * record.e[row])


def parton_deposits(record: Record, particles: Final, detector: Detector, rng: np.random.Generator) -> Array:
    """Return measured over true energy of partons; b quarks lose what neutrinos and muons of their decays carry."""
    factor = deposits(record, particles, detector, rng)
    b = np.flatnonzero(np.abs(particles.id) == 5)
    probability, loss = detector.b_loss
    factor[b] *= np.exp(-np.where(rng.random(len(b)) < probability, rng.exponential(loss, len(b)), 0.0))
    return factor


def cluster(
    event: NDArray[np.int64], momentum: tuple[Array, Array, Array, Array], radius: float, pt_min: float
) -> Jets:
    """Cluster (px, py, pz, E), sorted by event, with the anti-kt algorithm."""
    if len(event) == 0:
        return Jets(np.zeros(0, np.int64), *(np.zeros(0) for _ in range(4)))
    import awkward as ak

    fastjet = require("fastjet")
    events, counts = np.unique(event, return_counts=True)
    particles = ak.unflatten(ak.zip(dict(zip(("px", "py", "pz", "E"), momentum, strict=True))), counts)
    # the banner would be printed among the results
    fastjet._swig.ClusterSequence.set_fastjet_banner_stream(None)
    definition = fastjet.JetDefinition(fastjet.antikt_algorithm, radius)
    found = fastjet.ClusterSequence(particles, definition).inclusive_jets(min_pt=pt_min)
    flat = ak.flatten(found)
    owner = np.repeat(events, ak.to_numpy(ak.num(found)))
    pt, eta, phi, m = to_cylindrical(*(ak.to_numpy(flat[name]) for name in ("px", "py", "pz", "E")))
    return Jets(owner, pt, eta, phi, m)[np.lexsort((-pt, owner))]


def same_event(first: NDArray[np.int64], second: NDArray[np.int64]) -> tuple[Index, Index]:
    """Return the indices (i, j) of all combinations with ``first[i] == second[j]``; `second` is sorted.

    Examples
    --------
    >>> i, j = same_event(np.array([3, 1]), np.array([1, 1, 2, 3]))
    >>> i.tolist(), j.tolist()
    ([0, 1, 1], [3, 0, 1])
    """
    start, stop = np.searchsorted(second, first, "left"), np.searchsorted(second, first, "right")
    count = stop - start
    i = np.repeat(np.arange(len(first)), count)
    j = np.arange(len(i)) - np.repeat(np.cumsum(count) - count, count) + np.repeat(start, count)
    return i, j


def padded(event: NDArray[np.int64], values: NDArray[Any], events: NDArray[np.int64], width: int) -> NDArray[Any]:
    """Return the first `width` values of each of `events`, shape (len(events), width), zero where there are fewer.

    Examples
    --------
    >>> padded(np.array([0, 0, 0, 2]), np.array([5.0, 4.0, 3.0, 9.0]), np.array([0, 1, 2]), 2).tolist()
    [[5.0, 4.0], [0.0, 0.0], [9.0, 0.0]]
    """
    start, stop = np.searchsorted(event, events, "left"), np.searchsorted(event, events, "right")
    place = start[:, None] + np.arange(width)
    present = place < stop[:, None]
    table = np.zeros((len(events), width), values.dtype)
    table[present] = values[place[present]]
    return table
