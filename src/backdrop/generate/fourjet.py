"""Four jets paired to two Higgs-boson candidates: multijet events with pseudo-tags or true flavours, and HH → 4b."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..kinematics import delta_r, pair_columns, x_wt
from .detector import Detector
from .objects import Jets, cluster, final, measured_partons, padded, parton_deposits
from .pythia import Record
from .truth import flavours

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .objects import Array, Columns

__all__ = ["pseudo_tagged", "tag_probabilities", "true_tagged"]

JET_PT, JET_ETA = 35.0, 2.5
CANDIDATES, TOP_JETS = 4, 6
LEAST_TAGS = 2


def pseudo_tagged(record: Record, detector: Detector, rng: np.random.Generator) -> Columns:
    """Return one row per event with four jets, tagged by a known probability of their kinematics alone.

    ``p_2tag``, ``p_3tag`` and ``p_4tag`` are exact given the event, so that ``p_4tag/p_2tag`` is the density ratio of
    the events drawn with four and with two tags.
    """
    jets = _jets(record, detector, rng)
    events, count = _with_four(jets)
    table = _table(jets, events, TOP_JETS)
    probability = _pseudo(table, detector)
    drawn = (rng.random(probability.shape) < probability).sum(axis=1)
    number = tag_probabilities(probability)
    columns = _pairing(table) | {"n_jets": count, "n_tag": drawn}
    columns |= {f"p_{k}tag": number[:, k] for k in (2, 3, 4)}
    return {"event": events} | columns | _per_jet(table, "eps", probability)


def true_tagged(record: Record, detector: Detector, rng: np.random.Generator) -> Columns:
    """Return one row per event with four jets, at least two of them tagged by their true flavour.

    The candidates are the tagged jets by falling pT, then the others.
    """
    jets = _jets(record, detector, rng)
    events, count = _with_four(jets)
    jets = jets[np.isin(jets.event, events)]
    flavour = flavours(record, jets, radius=detector.flavour_radius, pt_min=detector.flavour_pt)
    tagged = rng.random(len(flavour)) < detector.tag(flavour, detector.tag_four_jets)
    number = np.bincount(np.searchsorted(events, jets.event[tagged]), minlength=len(events))
    events, count, number = (x[number >= LEAST_TAGS] for x in (events, count, number))
    order = np.lexsort((-jets.pt, ~tagged, jets.event))
    jets, flavour = jets[order], flavour[order].astype(np.int64)
    table = _table(jets, events, TOP_JETS)
    kinds = padded(jets.event, flavour, events, CANDIDATES)
    columns = _pairing(table) | {
        "n_jets": count,
        "n_tag": number,
        "n_b_true4": (kinds == 5).sum(axis=1),
        "n_c_true4": (kinds == 4).sum(axis=1),
        "w": np.ones(len(events)),
    }
    return {"event": events} | columns | _per_jet(table, "fl", kinds)


def tag_probabilities(probability: Array) -> Array:
    """Return the exact probabilities of 0 to k tags, shape (n, k + 1), of k jets with the given tag probabilities.

    Examples
    --------
    >>> tag_probabilities(np.array([[0.5, 0.5]])).tolist()
    [[0.25, 0.5, 0.25]]
    """
    rows, jets = probability.shape
    result = np.zeros((rows, jets + 1))
    result[:, 0] = 1.0
    for jet in range(jets):
        p = probability[:, jet : jet + 1]
        result[:, 1:] = result[:, 1:] * (1.0 - p) + result[:, :-1] * p
        result[:, :1] *= 1.0 - p
    return result


def _jets(record: Record, detector: Detector, rng: np.random.Generator) -> Jets:
    particles = final(record)
    seen, momentum = measured_partons(record, particles, parton_deposits(record, particles, detector, rng))
    jets = cluster(particles.event[seen], momentum, detector.jet_radius, JET_PT)
    return jets[np.abs(jets.eta) < JET_ETA]


def _with_four(jets: Jets) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the events with four jets or more, and their numbers of jets."""
    events, count = np.unique(jets.event, return_counts=True)
    return events[count >= CANDIDATES], count[count >= CANDIDATES]


def _table(jets: Jets, events: NDArray[np.int64], width: int) -> tuple[Array, Array, Array, Array]:
    pt, eta, phi, m = (padded(jets.event, getattr(jets, name), events, width) for name in ("pt", "eta", "phi", "m"))
    return pt, eta, phi, m


def _pseudo(table: tuple[Array, Array, Array, Array], detector: Detector) -> Array:
    """Return the pseudo-tag probabilities of the four candidates, of these alone: the file has no other jet."""
    pt, eta, phi = (x[:, :CANDIDATES] for x in table[:3])
    apart = delta_r(eta[:, :, None], phi[:, :, None], eta[:, None, :], phi[:, None, :])
    nearest = np.where(np.eye(CANDIDATES, dtype=bool), np.inf, apart).min(axis=2)
    return detector.pseudo_tagged(pt, eta, nearest)


def _pairing(table: tuple[Array, Array, Array, Array]) -> dict[str, NDArray[np.generic]]:
    return {**pair_columns(*(x[:, :CANDIDATES] for x in table)), "X_wt": x_wt(*table, b_jets=CANDIDATES)}


def _per_jet(table: tuple[Array, Array, Array, Array], name: str, extra: NDArray[np.generic]) -> Columns:
    columns: Columns = {}
    for jet in range(CANDIDATES):
        for key, values in zip(("pt", "eta", "phi", "m", name), (*table, extra), strict=True):
            columns[f"j{jet + 1}_{key}"] = values[:, jet]
    return columns
