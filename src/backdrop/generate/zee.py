"""Z → ee with a known probability that the charge of an electron is measured wrongly."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..kinematics import delta_r, total
from .detector import Detector
from .objects import Final, final, same_event
from .pythia import Record

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .objects import Array, Columns, Index

__all__ = ["analyse"]

ELECTRON = 0.000511
PT, WINDOW = 25.0, (50.0, 130.0)


def analyse(record: Record, detector: Detector, rng: np.random.Generator) -> Columns:
    """Return one row per event with two tight electrons of any charge, the harder one first."""
    particles = final(record, np.isin(np.abs(record.id), (11, 22)))
    photon = particles.id == 22
    electron = particles[~photon & (particles.pt > 5.0) & (np.abs(particles.eta) < detector.track_eta)]
    true_pt = electron.pt + _radiated(electron, particles[photon], detector.electron_cone)
    epsilon = detector.flipped(true_pt, electron.eta)
    flip = rng.random(len(epsilon)) < epsilon
    pt = true_pt * _measured(true_pt, electron.eta, flip, detector, rng)
    found = rng.random(len(pt)) < detector.electron_identification(true_pt)
    found &= (pt > PT) & detector.outside_crack(electron.eta, detector.electron_eta)
    charge = np.where(flip, -electron.charge, electron.charge)
    pairs = _pairs(electron, pt, found)
    each = {"pt": pt, "eta": electron.eta, "phi": electron.phi, "charge": charge, "flip": flip, "eps": epsilon}
    columns = _columns({name: values[pairs] for name, values in each.items()})
    columns["event"] = electron.event[pairs[:, 0]]
    keep = (columns["m_ee"] > WINDOW[0]) & (columns["m_ee"] < WINDOW[1])
    return {name: values[keep] for name, values in columns.items()}


def _measured(pt: Array, eta: Array, flip: NDArray[np.bool_], detector: Detector, rng: np.random.Generator) -> Array:
    """Return measured over true energy; a flipped electron has radiated hard in the material before."""
    loss = np.where(flip, rng.exponential(detector.flip_loss, len(pt)), 0.0)
    return detector.energy_factor(pt * np.cosh(eta), np.ones(len(pt), bool), rng) * np.exp(-loss)


def _columns(each: Columns) -> Columns:
    pt_ee, _, _, m_ee = total(each["pt"], each["eta"], each["phi"], ELECTRON)
    columns: Columns = {"m_ee": m_ee, "pt_ee": pt_ee, "same_sign": each["charge"].prod(axis=1) > 0}
    for k in (0, 1):
        columns |= {f"e{k + 1}_{name}": values[:, k] for name, values in each.items()}
    return columns


def _radiated(electrons: Final, photons: Final, cone: float) -> Array:
    """Return the pT of the photons around each electron."""
    i, j = same_event(electrons.event, photons.event)
    near = delta_r(electrons.eta[i], electrons.phi[i], photons.eta[j], photons.phi[j]) < cone
    return np.bincount(i[near], photons.pt[j[near]], minlength=len(electrons.pt)).astype(np.float64)


def _pairs(electrons: Final, pt: Array, found: NDArray[np.bool_]) -> Index:
    """Return the events with exactly two electrons found, the harder first, shape (n, 2)."""
    chosen = np.flatnonzero(found)
    chosen = chosen[np.lexsort((-pt[chosen], electrons.event[chosen]))]
    _, place, count = np.unique(electrons.event[chosen], return_inverse=True, return_counts=True)
    return np.asarray(chosen[count[place] == 2].reshape(-1, 2))
