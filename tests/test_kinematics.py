"""Kinematics against closed forms, brute force and symmetries."""

from __future__ import annotations

from itertools import combinations, permutations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from backdrop import kinematics as k
from backdrop.errors import DataError

RNG = np.random.default_rng(20)
JETS = 400


def jets(number: int) -> tuple[np.ndarray, ...]:
    pt = RNG.uniform(30.0, 200.0, (JETS, number))
    eta, phi = RNG.normal(0.0, 1.2, (JETS, number)), RNG.uniform(-np.pi, np.pi, (JETS, number))
    return pt, eta, phi, RNG.uniform(0.0, 20.0, (JETS, number))


angle = st.floats(-20.0, 20.0)


def test_known_masses() -> None:
    # two massless particles back to back, and at a right angle
    assert k.invariant_mass([45.6, 45.6], [0.0, 0.0], [0.0, np.pi]) == pytest.approx(91.2)
    assert k.invariant_mass([10.0, 10.0], [0.0, 0.0], [0.0, np.pi / 2]) == pytest.approx(np.sqrt(200.0))
    # m² = 2 pT₁ pT₂ (cosh Δη − cos Δφ)
    expected = np.sqrt(2 * 30.0 * 40.0 * (np.cosh(1.3) - np.cos(2.0)))
    assert k.invariant_mass([30.0, 40.0], [0.5, -0.8], [1.0, 3.0]) == pytest.approx(expected)
    assert k.invariant_mass([3.0, 3.0], [0.0, 0.0], [1.0, 1.0], [4.0, 4.0]) == pytest.approx(8.0)


def test_mass_of_a_space_like_sum_is_negative() -> None:
    assert k.mass(0.0, 0.0, 5.0, 4.0) == pytest.approx(-3.0)


def test_light_particles_at_high_energy_keep_their_mass() -> None:
    four = k.to_cartesian(500.0, 1.0, 0.3, 0.105658)
    assert k.mass(*four) == pytest.approx(0.105658, rel=1e-4)


def test_round_trip() -> None:
    columns = jets(4)
    for given_, back in zip(columns, k.to_cylindrical(*k.to_cartesian(*columns)), strict=True):
        np.testing.assert_allclose(back, given_, rtol=1e-6, atol=1e-6)


def test_total_and_add_are_sums_of_components() -> None:
    pt, eta, phi, m = jets(3)
    px, py, pz, e = (x.sum(axis=1) for x in k.to_cartesian(pt, eta, phi, m))
    by_axis = k.total(pt, eta, phi, m)
    one_by_one = k.add(*((pt[:, i], eta[:, i], phi[:, i], m[:, i]) for i in range(3)))
    np.testing.assert_allclose(by_axis[0], np.hypot(px, py))
    np.testing.assert_allclose(by_axis[3], np.sqrt(e**2 - px**2 - py**2 - pz**2))
    for first, second in zip(by_axis, one_by_one, strict=True):
        np.testing.assert_allclose(first, second, rtol=1e-12)


def test_pseudorapidity() -> None:
    theta = np.array([0.1, 1.0, np.pi / 2, 3.0])
    expected = -np.log(np.tan(theta / 2))
    np.testing.assert_allclose(k.pseudorapidity(np.sin(theta), 0.0, np.cos(theta)), expected, atol=1e-12)
    assert k.pseudorapidity(0.0, 0.0, -3.0) == -np.inf
    assert np.isnan(k.pseudorapidity(0.0, 0.0, 0.0))


@given(angle, angle)
def test_delta_phi_is_the_short_way_round(first: float, second: float) -> None:
    difference = float(k.delta_phi(first, second))
    assert -np.pi <= difference < np.pi
    assert np.cos(difference) == pytest.approx(np.cos(first - second), abs=1e-9)
    assert np.sin(difference) == pytest.approx(np.sin(first - second), abs=1e-9)


def test_delta_r_across_the_branch_cut() -> None:
    assert k.delta_r(1.0, np.pi - 0.03, 1.0, -np.pi + 0.01) == pytest.approx(0.04)
    assert k.delta_r(0.0, 0.0, 3.0, 4.0 - 2 * np.pi) == pytest.approx(np.hypot(3.0, 4.0 - 2 * np.pi))


def test_transverse_mass() -> None:
    assert k.transverse_mass(30.0, 1.0, 40.0, 1.0) == pytest.approx(0.0)
    assert k.transverse_mass(30.0, 0.0, 40.0, np.pi / 2) == pytest.approx(np.sqrt(2 * 30 * 40))


def test_mass_plane() -> None:
    # one resolution off in each mass: m = c/(1 - 0.1) is exactly one
    assert k.x_hh(124.0 / 0.9, 117.0) == pytest.approx(1.0)
    assert k.x_hh(124.0 / 0.9, 117.0 / 0.9) == pytest.approx(np.sqrt(2.0))
    assert k.x_hh(100.0, 100.0, centre=(100.0, 50.0), resolution=(0.2, 0.25)) == pytest.approx(2.0)
    assert np.isinf(k.x_hh(0.0, 117.0))
    assert k.ring(1.05 * 124.0, 1.05 * 117.0 + 45.0) == pytest.approx(45.0)
    assert k.ring(124.0, 117.0, shift=1.0) == pytest.approx(0.0)


def test_pairings_are_all_and_distinct() -> None:
    for number, count in ((2, 1), (4, 3), (6, 15), (8, 105)):
        found = k.pairings(number)
        assert found.shape == (count, number // 2, 2)
        assert len({frozenset(frozenset(map(int, pair)) for pair in one) for one in found}) == count
        assert all(sorted(one.ravel()) == list(range(number)) for one in found)
    for wrong in (0, 3, -2):
        with pytest.raises(DataError, match="even number"):
            k.pairings(wrong)


def test_closest_pairing_against_brute_force() -> None:
    pt, eta, phi, m = jets(4)
    chosen = k.closest_pairing(pt, eta, phi, m)
    for n in range(50):
        options = []
        for pairs in k.pairings(4):
            sums = [k.total(pt[n, p], eta[n, p], phi[n, p], m[n, p])[0] for p in pairs]
            lead = pairs[int(np.argmax(sums))]
            options.append((float(k.delta_r(eta[n, lead[0]], phi[n, lead[0]], eta[n, lead[1]], phi[n, lead[1]])), lead))
        assert sorted(chosen[n, 0]) == sorted(min(options, key=lambda one: one[0])[1])


def test_mass_pairing_against_brute_force() -> None:
    pt, eta, phi, m = jets(4)
    chosen = k.mass_pairing(pt, eta, phi, m, centre=(60.0, 50.0), resolution=(0.1, 0.2))
    for n in range(50):
        options = []
        for pairs in k.pairings(4):
            sums = [k.total(pt[n, p], eta[n, p], phi[n, p], m[n, p]) for p in pairs]
            first = int(sums[1][0] > sums[0][0])
            m1, m2 = sums[first][3], sums[1 - first][3]
            options.append((float(np.hypot((m1 - 60.0) / (0.1 * m1), (m2 - 50.0) / (0.2 * m2))), pairs[first]))
        assert sorted(chosen[n, 0]) == sorted(min(options, key=lambda one: one[0])[1])


def test_pair_columns_of_a_given_pairing() -> None:
    columns = jets(4)
    pairs = k.mass_pairing(*columns)
    found = k.pair_columns(*columns, chosen=pairs)
    assert (found["pt_h1"] >= found["pt_h2"]).all()
    rows = np.arange(len(pairs))[:, None]
    for i in (0, 1):
        np.testing.assert_allclose(found[f"m_h{i + 1}"], k.invariant_mass(*(x[rows, pairs[:, i]] for x in columns)))


def test_pair_columns() -> None:
    pt, eta, phi, m = jets(4)
    columns = k.pair_columns(pt, eta, phi, m)
    assert (columns["pt_h1"] >= columns["pt_h2"]).all()
    np.testing.assert_allclose(columns["m_hh"], k.invariant_mass(pt, eta, phi, m))
    np.testing.assert_allclose(columns["pt_hh"], k.total(pt, eta, phi, m)[0])
    pair = [np.stack([columns[f"{name}_h{i}"] for i in (1, 2)], axis=1) for name in ("pt", "eta", "phi", "m")]
    np.testing.assert_allclose(columns["m_hh"], k.invariant_mass(*pair))
    assert ((columns["dphi_hh"] >= 0) & (columns["dphi_hh"] <= np.pi) & (columns["deta_hh"] >= 0)).all()


def test_pairing_ignores_the_order_of_the_jets() -> None:
    columns = jets(4)
    reference = k.pair_columns(*columns)
    for order in list(permutations(range(4)))[::5]:
        shuffled = k.pair_columns(*(x[:, order] for x in columns))
        for name in reference:
            np.testing.assert_allclose(shuffled[name], reference[name], rtol=1e-9, atol=1e-9)


def test_pairing_needs_four_jets() -> None:
    with pytest.raises(DataError, match="four jets"):
        k.closest_pairing(*jets(3))


def test_x_wt_of_a_perfect_top_is_zero() -> None:
    # a W of two jets back to back at rest, and a b jet along z that makes the top mass
    energy = (172.5**2 - 80.4**2) / (2 * 80.4)
    eta_b = 3.0
    pt = np.array([[energy / np.cosh(eta_b), 40.2, 40.2]])
    eta, phi = np.array([[eta_b, 0.0, 0.0]]), np.array([[0.0, 0.0, np.pi]])
    assert k.x_wt(pt, eta, phi, np.zeros((1, 3)))[0] == pytest.approx(0.0, abs=1e-6)


def test_x_wt_against_brute_force() -> None:
    pt, eta, phi, m = jets(6)
    pt[:100, 5] = 0.0
    pt[:50, 4] = 0.0
    found = k.x_wt(pt, eta, phi, m)
    for n in range(0, 150, 7):
        there = [j for j in range(6) if pt[n, j] > 0]
        best = np.inf
        for b in (j for j in there if j < 4):
            for pair in combinations([j for j in there if j != b], 2):
                w = k.invariant_mass(*(x[n, list(pair)] for x in (pt, eta, phi, m)))
                top = k.invariant_mass(*(x[n, [b, *pair]] for x in (pt, eta, phi, m)))
                best = min(best, float(np.hypot((w - 80.4) / (0.1 * w), (top - 172.5) / (0.1 * top))))
        assert found[n] == pytest.approx(best)


def test_x_wt_wants_a_table() -> None:
    with pytest.raises(DataError, match="shape"):
        k.x_wt([40.0], [0.0], [0.0], [0.0])


@pytest.mark.parametrize("number", [1, 2, 3, 4, 7])
def test_thrust_beats_every_other_axis(number: int) -> None:
    momenta = RNG.normal(0.0, 50.0, (2, JETS, number))
    angle_, thrust = k.thrust_angle(*momenta)
    scan = np.linspace(0.0, np.pi, 721)
    along = np.abs(momenta[0][..., None] * np.cos(scan) + momenta[1][..., None] * np.sin(scan)).sum(axis=1)
    scanned = along.max(axis=1) / np.hypot(*momenta).sum(axis=1)
    # a scan in steps of δ misses at most a fraction 1 − cos(δ/2)
    assert (thrust >= scanned - 1e-12).all()
    assert (thrust - scanned < 1e-5).all()
    own = np.abs(momenta[0] * np.cos(angle_)[:, None] + momenta[1] * np.sin(angle_)[:, None]).sum(axis=1)
    np.testing.assert_allclose(own / np.hypot(*momenta).sum(axis=1), thrust)


def test_thrust_of_simple_events() -> None:
    angles, thrust = k.thrust_angle(
        [[10.0, 5.0, -15.0, 0.0], [1.0, -0.5, -0.5, 0.0], [0.0, 0.0, 0.0, 0.0]],
        [[0.0, 0.0, 0.0, 0.0], [0.0, np.sqrt(0.75), -np.sqrt(0.75), 0.0], [0.0, 0.0, 0.0, 0.0]],
    )
    assert thrust[0] == pytest.approx(1.0)
    assert angles[0] == pytest.approx(0.0)
    # a Mercedes star
    assert thrust[1] == pytest.approx(2 / 3)
    assert np.isnan(thrust[2]) and np.isnan(angles[2])


momenta = arrays(np.float64, (1, 4), elements=st.floats(-100, 100).filter(lambda p: p == 0.0 or abs(p) > 1e-6))


@given(momenta, momenta)
def test_thrust_lies_between_its_bounds(px: np.ndarray, py: np.ndarray) -> None:
    angles, thrust = k.thrust_angle(px, py)
    if np.isnan(thrust[0]):
        assert np.hypot(px, py).sum() == 0.0
    else:
        assert 2 / np.pi - 1e-9 <= thrust[0] <= 1 + 1e-9
        assert 0.0 <= angles[0] < np.pi


def test_thrust_turns_with_the_event() -> None:
    px, py = RNG.normal(0.0, 50.0, (2, JETS, 5))
    angles, thrust = k.thrust_angle(px, py)
    turn = 0.7
    turned, same = k.thrust_angle(px * np.cos(turn) - py * np.sin(turn), px * np.sin(turn) + py * np.cos(turn))
    np.testing.assert_allclose(same, thrust)
    np.testing.assert_allclose(np.cos(2 * (turned - angles - turn)), 1.0)


def test_thrust_wants_a_table() -> None:
    with pytest.raises(DataError, match="shape"):
        k.thrust_angle([1.0, 2.0], [1.0, 2.0])


def test_a_shared_sample_pairs_the_same_way(shared_data: Path) -> None:
    """The candidates of a file that another program wrote."""
    pq = pytest.importorskip("pyarrow.parquet")
    stored = pq.read_table(shared_data / "generated" / "case4_fourjet_pseudotag.parquet")
    table = {name: stored[name].to_numpy().astype(np.float64) for name in stored.column_names}
    columns = [np.stack([table[f"j{i}_{x}"] for i in range(1, 5)], axis=1) for x in ("pt", "eta", "phi", "m")]
    for name, values in k.pair_columns(*columns).items():
        np.testing.assert_allclose(values, table[name], rtol=2e-4, atol=2e-4)
    only_four = table["n_jets"] == 4
    np.testing.assert_allclose(k.x_wt(*(x[only_four] for x in columns)), table["X_wt"][only_four], rtol=1e-3)


def test_mass_pairing_gives_the_signal_region_of_a_shared_sample(shared_data: Path) -> None:
    """Its flag is X_HH < 1.6 about (125, 125) GeV, of the pairing that its own m_HH tells."""
    pq = pytest.importorskip("pyarrow.parquet")
    stored = pq.read_table(shared_data / "hh4bsim_4b_and_signal.parquet")
    table = {name: stored[name].to_numpy() for name in stored.column_names if name != "sample"}
    flag, number = table["SR"] == 1, len(table["SR"])
    pt, eta, phi = (
        np.stack([table[f"jet{i}_{x}"] for i in range(4)], axis=1).astype(np.float64) for x in ("pt", "eta", "phi")
    )
    mass = np.zeros_like(pt)
    assert (np.diff(pt, axis=1) <= 0).all()

    found = k.pair_columns(pt, eta, phi, mass, chosen=k.mass_pairing(pt, eta, phi, mass))
    inside = k.x_hh(found["m_h1"], found["m_h2"], centre=(125.0, 125.0)) < 1.6
    multijet = stored["sample"].to_numpy() == "bbbb"
    for rows, least in ((multijet, 0.978), (~multijet, 0.99)):
        assert (inside == flag)[rows].mean() > least

    options = k.pairings(4)
    pt_h, eta_h, phi_h, m_h = k.total(*(x[:, options] for x in (pt, eta, phi, mass)))
    # its m_HH scales both candidates to 125 GeV
    scaled = k.invariant_mass(pt_h * 125.0 / m_h, eta_h, phi_h, np.full_like(m_h, 125.0))
    m1, m2 = m_h[np.arange(number), np.abs(scaled - table["mHH"][:, None]).argmin(axis=1)].T
    assert ((k.x_hh(m1, m2, centre=(125.0, 125.0)) < 1.6) == flag).mean() > 0.9999
    assert k.ring(m1, m2, centre=(125.0, 125.0), shift=1.03).max() < 30.001
