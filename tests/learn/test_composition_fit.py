"""Compositions of leptons: closed forms, independent fits, the algebraic form, and what small counts give."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from iminuit import Minuit
from scipy.optimize import brentq, minimize_scalar

from backdrop.learn.composition import Number, selected
from backdrop.learn.composition_fit import Compositions, Point
from backdrop.learn.efficiencies import Efficiencies
from backdrop.learn.mixture import Mixture
from backdrop.learn.patterns import Bin, bits, chances, products

R, F = np.array([0.80, 0.88, 0.95]), np.array([0.12, 0.20, 0.35])
REAL_SHARES, FAKE_SHARES = np.array([0.2, 0.3, 0.5]), np.array([0.6, 0.3, 0.1])
VALUES = np.concatenate([R, F])
KNOWN = Efficiencies(VALUES, np.zeros((6, 0)), ())


def wanted(leptons):
    return selected(leptons, "all", Number(1))


def draw(leptons, shares, number, rng):
    """Events whose real and fake leptons have other kinematics: bins, patterns and compositions."""
    composition = rng.choice(2**leptons, number, p=shares)
    fake = bits(leptons)[composition] == 1
    spot = np.where(fake, rng.choice(3, fake.shape, p=FAKE_SHARES), rng.choice(3, fake.shape, p=REAL_SHARES))
    tight = rng.uniform(size=fake.shape) < np.where(fake, F[spot], R[spot])
    return spot, ~tight @ (1 << np.arange(leptons)[::-1])


def expected(leptons, shares, number):
    chance = np.where(bits(leptons) == 1, FAKE_SHARES @ F, REAL_SHARES @ R).prod(axis=1)
    return number * float(shares[1:] @ chance[1:])


def counted(spot, pattern, weight=1.0, plain=False):
    leptons = spot.shape[1]
    cells, where = np.unique(spot, axis=0, return_inverse=True)
    table = np.bincount(where * 2**leptons + pattern, minlength=len(cells) * 2**leptons).reshape(len(cells), -1)
    none = np.zeros(table.shape)
    index = np.stack([cells, cells + 3], axis=-1)
    one = Bin.of(index, (weight * table, weight**2 * table), (none, none), VALUES, wanted(leptons))
    return replace(one, scale=1.0, trust=0.0 * one.trust) if plain else one


def single(counts, leptons=1, r=0.9, f=0.2, weight=1.0):
    """All leptons in one bin of the map."""
    values = np.array([r, f])
    chance = products(chances(np.tile(values, (1, leptons, 1))))[0]
    return Mixture(chance, (wanted(leptons) * chance).sum(axis=1), np.zeros(2**leptons), weight)


def algebraic(spot, pattern):
    loose = bits(spot.shape[1])[pattern] == 1
    r, f = R[spot], F[spot]
    return (pattern == 0) - np.prod(r * np.where(loose, -f, 1.0 - f) / (r - f), axis=1)


# ---- one lepton ------------------------------------------------------------------------------------------------------


def test_one_lepton_is_the_closed_form():
    tight, loose, r, f = 6000.0, 4000.0, 0.9, 0.2
    one = single(None)
    low, high = one.interval(np.array([tight, loose]))
    value = f * (r * loose - (1 - r) * tight) / (r - f)
    error = f * np.sqrt(r**2 * loose + (1 - r) ** 2 * tight) / (r - f)
    assert one.best(np.array([tight, loose])) == pytest.approx(value, rel=1e-7)
    assert (high - low) / 2 == pytest.approx(error, rel=1e-3)


def test_no_count_at_all_is_zero_with_the_poisson_upper_side():
    """-ln L = nu: it rises by one half at nu = 1/2, of which f are tight."""
    one = single(None)
    assert one.best(np.zeros(2)) == pytest.approx(0.0, abs=1e-7)
    assert one.interval(np.zeros(2)) == pytest.approx((0.0, 0.5 * 0.2), abs=1e-4)


def test_where_the_inverse_is_negative_the_likelihood_is_at_zero():
    """N_l below (1 - r) / r N_t: all events are real, and nu_R is the maximum of what is left."""
    one, counts = single(None), np.array([95.0, 3.0])
    yields, _ = one.maximum(counts[None])
    assert 0.2 * (0.9 * 3 - 0.1 * 95) / 0.7 < 0
    assert yields[0] == pytest.approx([98.0, 0.0], abs=1e-5)
    low, high = one.interval(counts)
    assert low == pytest.approx(0.0, abs=1e-6) and 0.0 < high < 2.0


def test_equal_efficiencies_are_finite_and_say_nothing():
    one, counts = single(None, r=0.4, f=0.4), np.array([40.0, 60.0])
    low, high = one.interval(counts)
    assert 0.0 <= float(one.best(counts)) <= 40.0 * 1.001
    assert low == 0.0 and high == pytest.approx(0.4 * 110.4, rel=0.01)  # all 100 + sqrt(100)


# ---- independent fits ------------------------------------------------------------------------------------------------


def test_two_bins_and_their_common_nuisances_agree_with_minos():
    r, f, dr, df = 0.85, 0.25, 0.02, 0.03
    counts = [np.array([60.0, 50.0]), np.array([30.0, 55.0])]
    values, cell, none = np.array([r, f]), np.array([[[0, 1]]]), (np.zeros((1, 2)),) * 2
    bins = tuple(Bin.of(cell, (n[None], n[None]), none, values, wanted(1)) for n in counts)
    efficiencies = Efficiencies(values, np.diag([dr, df]), ("real", "fake"))
    ours = Compositions(bins, efficiencies)
    up, down = ours.interval(np.ones(2))

    def value(total, fake2, real1, real2, a, b):
        real, fake = r + dr * a, f + df * b
        found = (a**2 + b**2) / 2
        for n, fakes, reals in zip(counts, (total - fake2, fake2), (real1, real2), strict=True):
            rates = np.array([fakes + real * reals, (1 - fake) / fake * fakes + (1 - real) * reals])
            if (rates <= 0).any():
                return 1e9
            found += float((rates - n * np.log(rates)).sum())
        return found

    minuit = Minuit(value, total=30, fake2=15, real1=60, real2=20, a=0, b=0)
    minuit.errordef, minuit.tol, minuit.strategy = Minuit.LIKELIHOOD, 1e-6, 2
    minuit.migrad()
    minuit.minos("total")
    error = minuit.merrors["total"]
    assert ours.wanted(ours.best).sum() == pytest.approx(minuit.values["total"], abs=1e-3)
    assert up.sum() - minuit.values["total"] == pytest.approx(error.upper, rel=5e-3)
    assert minuit.values["total"] - down.sum() == pytest.approx(-error.lower, rel=5e-3)


@pytest.mark.parametrize("counts", [[50, 6, 5, 30], [90, 1, 12, 2], [0, 3, 0, 5], [7, 0, 0, 0], [400, 3, 300, 9]])
def test_two_leptons_agree_with_a_bounded_fit(counts):
    n = np.array(counts, float)
    one = single(None, leptons=2)

    def value(nu):
        rates = np.array(nu) @ one.chance
        return float((rates - n * np.log(np.maximum(rates, 1e-300)) + n * np.log(np.maximum(n, 1)) - n).sum())

    minuit = Minuit(value, np.full(4, n.sum() / 4), name=["RR", "RF", "FR", "FF"])
    minuit.limits = [(0, None)] * 4
    minuit.errordef, minuit.tol, minuit.strategy = Minuit.LIKELIHOOD, 1e-4, 2
    minuit.simplex(ncall=20_000).migrad(ncall=20_000)
    (yields,), (least,) = one.maximum(n[None])
    assert least == pytest.approx(minuit.fval, abs=2e-3) and least < minuit.fval + 1e-6
    assert one.want @ yields == pytest.approx(one.want @ np.array(minuit.values), abs=0.05 * np.sqrt(n.sum()))


def test_the_two_searches_agree():
    """Newton steps of many bins with a pull, and many fits of one bin with a held yield."""
    rng = np.random.default_rng(3)
    for leptons in (1, 2, 3):
        one = counted(*draw(leptons, np.full(2**leptons, 0.5**leptons), 60, rng))
        ours = Compositions((one,), KNOWN)
        up, down = ours.interval(np.ones(1))
        low, high = ours.mixture(0).interval(one.counts)
        assert ours.wanted(ours.best)[0] == pytest.approx(float(ours.mixture(0).best(one.counts)), abs=1e-4)
        assert (low, high) == pytest.approx((down[0], up[0]), abs=2e-3 * (high - low))


@pytest.mark.parametrize("counts", [[30, 1], [10, 0], [100, 3], [1000, 60]])
def test_a_yield_far_below_zero_has_an_upper_side_of_the_size_of_an_event(counts):
    """Fewer loose leptons than real ones leave: the yield is zero, and its upper end is that of the likelihood."""
    n = np.array(counts, float)
    values, cell = np.array([0.9, 0.2]), np.array([[[0, 1]]])
    one = Bin.of(cell, (n[None], n[None]), (np.zeros((1, 2)),) * 2, values, wanted(1))
    ours = Compositions((one,), Efficiencies(values, np.zeros((2, 0)), ()))

    def value(fakes, real):
        rates = np.array([fakes + 0.9 * real, 4.0 * fakes + 0.1 * real])
        return float((rates - n * np.log(rates)).sum())

    def profile(fakes):
        found = minimize_scalar(lambda log: value(fakes, np.exp(log)), bracket=(np.log(n.sum()), np.log(n.sum()) + 0.1))
        return float(found.fun)

    end = brentq(lambda fakes: profile(fakes) - value(0.0, n.sum()) - 0.5, 1e-6, 2.0)
    up, down = ours.interval(np.ones(1))
    assert down[0] == pytest.approx(0.0, abs=1e-6) and up[0] == pytest.approx(end, rel=1e-3)


def test_slopes_are_those_of_differences():
    rng = np.random.default_rng(5)
    bins = tuple(counted(*draw(2, np.array([0.4, 0.2, 0.1, 0.3]), 200, rng)) for _ in range(2))
    moves = rng.normal(0.0, 0.03, (6, 3))
    ours = Compositions(bins, Efficiencies(VALUES, moves, ("a", "b", "c")))
    point = Point(tuple(nu * rng.uniform(0.5, 1.5, 4) for nu in ours.start.yields), np.array([0.3, -0.8, 0.4]))
    local, step = ours._local(point, None), 1e-6
    for k in range(3):
        sides = [Point(point.yields, point.theta + sign * step * (np.arange(3) == k)) for sign in (1, -1)]
        assert local.theta[k] == pytest.approx((ours.value(sides[0]) - ours.value(sides[1])) / (2 * step), rel=1e-4)
    for c in range(4):
        change = 1e-4 * (np.arange(4) == c)
        sides = [Point((point.yields[0] + sign * change, point.yields[1]), point.theta) for sign in (1, -1)]
        assert local.slopes[0][c] == pytest.approx((ours.value(sides[0]) - ours.value(sides[1])) / 2e-4, rel=1e-4)


# ---- other kinematics of real and fake leptons -----------------------------------------------------------------------


@pytest.mark.parametrize("leptons", [1, 2, 3, 4])
def test_at_large_counts_yield_and_error_are_the_algebraic_ones(leptons):
    spot, pattern = draw(leptons, np.full(2**leptons, 0.5**leptons), 20_000, np.random.default_rng(leptons))
    one, weight = counted(spot, pattern), algebraic(spot, pattern)
    found = Compositions((one,), KNOWN)
    low, high = found.mixture(0).interval(one.counts)
    assert found.wanted(found.best)[0] == pytest.approx(weight.sum(), rel=1e-6)
    assert (high - low) / 2 == pytest.approx(np.sqrt((weight**2).sum()), rel=5e-3)


def test_averages_over_each_compositions_own_leptons_are_unbiased():
    """Those over all leptons of the bin are 25 % off, with the same counts."""
    rng, shares = np.random.default_rng(8), np.array([0.4, 0.15, 0.15, 0.3])
    own, plain = [], []
    for _ in range(100):
        spot, pattern = draw(2, shares, rng.poisson(2000), rng)
        for found, way in ((own, False), (plain, True)):
            one = counted(spot, pattern, plain=way)
            found.append(float(Compositions((one,), KNOWN).mixture(0).best(one.counts)))
    true, error = expected(2, shares, 2000), np.std(own, ddof=1) / 10
    assert abs(np.mean(own) - true) < 3 * error
    assert np.mean(plain) - true > 10 * error


def test_weighted_events_count_by_their_equivalent_numbers():
    spot, pattern = draw(2, np.full(4, 0.25), 3000, np.random.default_rng(2))
    one, half = counted(spot, pattern), counted(spot, pattern, weight=0.5)
    found = [np.array(Compositions((b,), KNOWN).mixture(0).interval(b.counts)) for b in (one, half)]
    assert half.scale == pytest.approx(0.5 * one.scale)
    assert found[1] == pytest.approx(0.5 * found[0], rel=1e-5)


# ---- small counts ----------------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 12), min_size=4, max_size=4), st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_every_count_and_efficiency_gives_a_finite_yield_of_zero_or_more(counts, r, f):
    one, n = single(None, leptons=2, r=0.02 + 0.96 * r, f=0.02 + 0.96 * f), np.array(counts, float)
    best, (low, high) = float(one.best(n)), one.interval(n)
    assert 0.0 <= low <= best + 1e-5 and best <= high + 1e-5 and np.isfinite(high)


@pytest.mark.parametrize("number", [4.0, 15.0])
def test_exact_intervals_cover_where_counts_are_small(number):
    one, rng, toys = single(None), np.random.default_rng(17), 150
    compositions = np.array([0.7 * number, 0.3 * number])
    true = float(compositions @ one.want)
    drawn = rng.poisson(compositions @ one.chance, (toys, 2)).astype(float)
    share = np.mean([one.p_value(counts, true, toys=400) >= 1 - 0.6827 for counts in drawn])
    assert share > 0.6827 - 3 * np.sqrt(0.6827 * 0.3173 / toys)


def test_the_exact_interval_ends_where_the_p_value_does():
    one, counts = single(None), np.array([6.0, 4.0])
    low, high = one.exact(counts, toys=1000)
    assert 0.0 < low < float(one.best(counts)) < high
    for end, inside in ((low, 1.05), (high, 0.95)):
        assert one.p_value(counts, end * inside, toys=1000) > 0.3173 - 0.02
        assert one.p_value(counts, end / inside, toys=1000) < 0.3173 + 0.02


# ---- nuisances -------------------------------------------------------------------------------------------------------


def test_efficiencies_never_leave_their_bounds():
    found = Efficiencies(np.array([0.95, 0.1, 1.0, 0.0]), np.full((4, 1), 0.1), ("a",))
    for theta in np.linspace(-50, 50, 201):
        values = found(np.array([theta]))
        assert (values >= 0.0).all() and (values <= 1.0).all()
    slope = (found(np.array([0.3 + 1e-6])) - found(np.array([0.3 - 1e-6]))) / 2e-6
    assert found.slopes(np.array([0.3]))[:, 0] == pytest.approx(slope, abs=1e-6)
    assert found(np.array([0.2]))[1] == pytest.approx(0.12)
