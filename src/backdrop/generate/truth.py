"""Truth: where a particle comes from, where it was born, and the flavour of a jet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..kinematics import delta_r, pseudorapidity
from .objects import Jets, same_event
from .pythia import Record

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["B_HADRON", "C_HADRON", "LIGHT", "MISIDENTIFIED", "PROMPT", "TAU", "flavours", "flight", "origin", "quarks"]

PROMPT, TAU, B_HADRON, C_HADRON, LIGHT, MISIDENTIFIED = range(6)


def quarks(ids: NDArray[np.int64], flavour: int) -> NDArray[np.bool_]:
    """Tell which PDG numbers are hadrons with a quark of that flavour as their heaviest.

    Examples
    --------
    >>> quarks(np.array([511, -5122, 421, 5, 113, 553]), 5).tolist()
    [True, True, False, False, False, True]
    """
    digits = np.abs(ids) % 10000
    thousands, hundreds = digits // 1000, digits // 100 % 10
    return np.asarray((digits > 100) & (np.maximum(thousands, hundreds) == flavour))


def origin(record: Record, rows: NDArray[np.intp]) -> NDArray[np.int8]:
    """Return the origin of each lepton in `rows`, from its chain of mothers.

    A b hadron anywhere above makes it `B_HADRON`, else a charmed one `C_HADRON`, else any hadron `LIGHT` (photon
    conversions and Dalitz decays included), else a τ `TAU`; what is left comes from a W, Z or the hard process.
    """
    found = {name: np.zeros(len(rows), bool) for name in ("b", "c", "hadron", "tau")}
    current = record.mother[rows]
    while True:
        ids = record.id[current]
        found["b"] |= quarks(ids, 5)
        found["c"] |= quarks(ids, 4)
        found["hadron"] |= np.abs(ids) % 10000 > 100
        found["tau"] |= np.abs(ids) == 15
        last = _at_string(record, current)
        if last.all():
            break
        current = np.where(last, current, record.mother[current])
    cases = [found["b"], found["c"], found["hadron"], found["tau"]]
    return np.select(cases, [B_HADRON, C_HADRON, LIGHT, TAU], PROMPT).astype(np.int8)


def flight(record: Record, rows: NDArray[np.intp]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the transverse production point (x, y) in mm: the sum of the flights ``τ p/m`` of all mothers that decay.

    A copy of a particle within a shower carries the lifetime of the original, so only the last one counts.
    """
    x, y = np.zeros(len(rows)), np.zeros(len(rows))
    below, current = rows, record.mother[rows]
    while True:
        decays = (record.tau[current] > 0.0) & (record.m[current] > 0.0) & (record.id[below] != record.id[current])
        path = np.divide(record.tau[current], record.m[current], out=np.zeros(len(rows)), where=decays)
        x += path * record.px[current]
        y += path * record.py[current]
        last = _at_string(record, current)
        if last.all():
            return x, y
        below, current = current, np.where(last, current, record.mother[current])


def _at_string(record: Record, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Tell which particles are primary hadrons or the beginning of the record: above a string stands all the event."""
    return np.asarray((np.abs(record.status[rows]) // 10 == 8) | (record.mother[rows] >= rows))


def flavours(record: Record, jets: Jets, *, radius: float, pt_min: float) -> NDArray[np.int8]:
    """Return the flavour of each jet: 5 with a b quark or hadron within `radius`, else 4 with a charmed one, else 0.

    Weakly decaying hadrons are used where there are hadrons, final quarks where the event stops at the partons.
    """
    result = np.zeros(len(jets.event), np.int8)
    for flavour in (4, 5):
        heavy = _heavy(record, flavour, pt_min)
        jet, other = same_event(jets.event, record.event[heavy])
        row = heavy[other]
        eta = pseudorapidity(record.px[row], record.py[row], record.pz[row])
        phi = np.arctan2(record.py[row], record.px[row])
        result[jet[delta_r(jets.eta[jet], jets.phi[jet], eta, phi) < radius]] = flavour
    return result


def _heavy(record: Record, flavour: int, pt_min: float) -> NDArray[np.intp]:
    parton = (np.abs(record.id) == flavour) & (record.status > 0)
    hadron = quarks(record.id, flavour) & (record.tau > 0.0)
    rows = np.flatnonzero(parton | hadron)
    return rows[np.hypot(record.px[rows], record.py[rows]) > pt_min]
