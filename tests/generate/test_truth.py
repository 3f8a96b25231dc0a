"""Truth on event records written by hand, and its vertices against Pythia's own."""

from __future__ import annotations

import numpy as np
import pytest

from backdrop.generate import truth
from backdrop.generate.objects import Jets
from backdrop.generate.pythia import Record


def record(*particles: tuple[int, int, int, float]) -> Record:
    """Build one event from (id, status, mother, lifetime in mm); all have momentum (3, 4, 0) and mass 2."""
    rows = [(90, -11, 0, 0.0), *particles]
    ids, status, mother, tau = (np.array(column) for column in zip(*rows, strict=True))
    n = len(rows)
    px, py, m = np.full(n, 3.0), np.full(n, 4.0), np.full(n, 2.0)
    return Record(np.zeros(n, np.int64), mother, ids, status, px, py, np.zeros(n), np.full(n, 29**0.5), m, tau, 1)


W, B, D, TAU, PION = (24, -22), (521, -83), (-421, -91), (15, -91), (111, -84)
CHAINS = [
    (truth.PROMPT, [(*W, 0, 0.0), (13, 1, 1, 0.0)]),
    # a copy of the lepton after it radiated
    (truth.PROMPT, [(*W, 0, 0.0), (13, -51, 1, 0.0), (13, 1, 2, 0.0)]),
    (truth.TAU, [(*W, 0, 0.0), (*TAU, 1, 0.1), (13, 1, 2, 0.0)]),
    (truth.B_HADRON, [(5, -23, 0, 0.0), (*B, 1, 0.4), (13, 1, 2, 0.0)]),
    (truth.B_HADRON, [(5, -23, 0, 0.0), (*B, 1, 0.4), (*D, 2, 0.1), (13, 1, 3, 0.0)]),
    (truth.B_HADRON, [(5, -23, 0, 0.0), (*B, 1, 0.4), (*TAU, 2, 0.1), (13, 1, 3, 0.0)]),
    (truth.C_HADRON, [(4, -23, 0, 0.0), (-421, -83, 1, 0.1), (13, 1, 2, 0.0)]),
    (truth.LIGHT, [(2, -23, 0, 0.0), (*PION, 1, 0.0), (11, 1, 2, 0.0)]),
    (truth.LIGHT, [(2, -23, 0, 0.0), (*PION, 1, 0.0), (22, -91, 2, 0.0), (11, 1, 3, 0.0)]),
    # light hadrons of a jet that also holds a b quark stay light
    (truth.LIGHT, [(5, -71, 0, 0.0), (211, -83, 1, 0.0), (-13, 1, 2, 0.0)]),
]


@pytest.mark.parametrize(("expected", "chain"), CHAINS)
def test_origin(expected: int, chain: list[tuple[int, int, int, float]]) -> None:
    events = record(*chain)
    assert truth.origin(events, np.array([len(chain)])).tolist() == [expected]


def test_flight_adds_up_along_the_chain() -> None:
    events = record((5, -23, 0, 0.0), (*B, 1, 0.4), (*D, 2, 0.1), (13, 1, 3, 0.0))
    x, y = truth.flight(events, np.array([4]))
    assert (x[0], y[0]) == pytest.approx((0.5 * 3 / 2, 0.5 * 4 / 2))


def test_a_copy_of_a_particle_flies_once() -> None:
    events = record((*W, 0, 0.0), (15, -23, 1, 0.1), (15, -51, 2, 0.1), (13, 1, 3, 0.0))
    assert truth.flight(events, np.array([4]))[0][0] == pytest.approx(0.1 * 3 / 2)


def test_stable_copies_do_not_fly() -> None:
    # a muon carries a lifetime in the record although it does not decay
    events = record((*W, 0, 0.0), (13, -23, 1, 4e5), (13, 1, 2, 4e5))
    assert truth.flight(events, np.array([3]))[0][0] == 0.0


def test_quark_content() -> None:
    ids = np.array([511, -531, 5122, 553, 10511, 411, -4122, 443, 211, 2212, 310, 5, 21, 22])
    assert ids[truth.quarks(ids, 5)].tolist() == [511, -531, 5122, 553, 10511]
    assert ids[truth.quarks(ids, 4)].tolist() == [411, -4122, 443]


def test_flavour_of_jets() -> None:
    events = record((5, -23, 0, 0.0), (*B, 1, 0.4), (-421, -91, 2, 0.1), (13, 1, 3, 0.0))
    phi = np.arctan2(4.0, 3.0)
    jets = Jets(np.zeros(3, np.int64), np.full(3, 50.0), np.array([0.0, 0.2, 0.4]), np.full(3, phi), np.zeros(3))
    assert truth.flavours(events, jets, radius=0.3, pt_min=4.0).tolist() == [5, 5, 0]
    assert truth.flavours(events, jets, radius=0.3, pt_min=6.0).tolist() == [0, 0, 0]


def test_flight_agrees_with_the_generator() -> None:
    """Production points of leptons and pions from decays, as Pythia has them particle by particle."""
    pythia8mc = pytest.importorskip("pythia8mc")
    from backdrop.generate.cases import CASES, settings

    pythia = pythia8mc.Pythia("", False)
    for line in (*settings(CASES["heavy-flavour"]), "Random:setSeed = on", "Random:seed = 7"):
        assert pythia.readString(line)
    pythia.init()
    displaced = 0
    for _ in range(8):
        pythia.next()
        particles = [pythia.event[i] for i in range(pythia.event.size())]
        columns = {
            name: np.array([getattr(p, name)() for p in particles])
            for name in ("id", "status", "px", "py", "pz", "e", "m", "tau")
        }
        mother = np.maximum([p.mother1() for p in particles], 0)
        events = Record(np.zeros(len(particles), np.int64), mother, **columns, size=1)
        rows = np.flatnonzero((events.status > 0) & np.isin(np.abs(events.id), (11, 13, 211)))
        x, y = truth.flight(events, rows)
        expected = np.array([(particles[i].xProd(), particles[i].yProd()) for i in rows])
        np.testing.assert_allclose(np.stack([x, y], axis=1), expected, atol=1e-4)
        displaced += int((np.hypot(x, y) > 0.05).sum())
    assert displaced > 20
