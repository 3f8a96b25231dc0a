"""The likelihood of charge flips: closed forms, an independent likelihood, ensembles, and what dropping cells does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import xlogy

from backdrop.errors import DataError, FitError
from backdrop.learn._kernels import flip_cells
from backdrop.learn.flips import Flips, Side, pairs, same_sign_probability
from backdrop.synthetic import FlippedPairs

_RATES = np.geomspace(2e-5, 7e-3, 12)
_SHARES = np.geomspace(1.0, 0.03, 12) / np.geomspace(1.0, 0.03, 12).sum()
# electrons are rarer where they flip more often, as in a detector
_TWELVE = FlippedPairs(
    rates=tuple(_RATES), shares=tuple(_SHARES), pt=(25.0, 35.0, 45.0, 60.0, 100.0), abs_eta=(0.0, 0.8, 1.6, 2.4)
)


def _expected(
    rates: np.ndarray, number: np.ndarray, shape: tuple[int, ...], *, beta: np.ndarray, kappa: float = 1.0, leak: float
) -> Flips:
    """Return a likelihood whose counts are what is expected."""
    first, second = pairs(len(rates))
    q = same_sign_probability(rates[first], rates[second])
    like = np.where(first == second, 1.0, 2.0) * beta[first] * beta[second]
    unlike = 0.02 * number

    def side(z: np.ndarray, background: np.ndarray) -> Side:
        return Side(z + background, background / kappa + leak * z, kappa=kappa, leak=leak)

    return Flips(side(number * (1.0 - q), unlike), side(number * q, like), shape)


# ---- one cell ------------------------------------------------------------------------------------------------------


def test_one_bin_is_the_binomial() -> None:
    found = Flips(Side(np.array([9_000.0]), np.zeros(1)), Side(np.array([30.0]), np.zeros(1)), (1,))
    q = 30.0 / 9_030.0
    rate = (1.0 - np.sqrt(1.0 - 2.0 * q)) / 2.0
    assert found.fitted[0] == pytest.approx(rate, rel=1e-6)
    error = np.sqrt(q * (1.0 - q) / 9_030.0) / (2.0 - 4.0 * rate)
    assert np.sqrt(found.covariance()[0, 0]) == pytest.approx(error, rel=1e-6)


def _deviance(counts: np.ndarray, means: np.ndarray) -> float:
    return float((means - counts + xlogy(counts, counts) - xlogy(counts, np.maximum(means, 1e-300))).sum())


@settings(deadline=None, max_examples=40, derandomize=True)
@given(
    counts=st.tuples(*[st.integers(0, 400)] * 2, *[st.integers(0, 12)] * 2),
    q=st.floats(0.001, 0.2),
    others=st.floats(0.0, 2.0),
    kappa=st.floats(0.5, 2.0),
    leak=st.floats(0.0, 0.2),
)
def test_a_cell_is_the_smallest_of_all_numbers_and_backgrounds(
    counts: tuple[int, ...], q: float, others: float, kappa: float, leak: float
) -> None:
    """The compiled profile against a general minimiser of the same likelihood."""
    n, m, k, l_ = (float(one) for one in counts)
    opposite, same = np.array([[n, m, 0.0, 0.0]]), np.array([[k, l_, others, others / 2.0]])
    found = flip_cells(np.array([q]), np.zeros(1), 0.0, opposite, same, np.full(2, kappa), np.full(2, leak))[0]
    data = np.array([n, m, k, l_])

    def value(x: np.ndarray) -> float:
        """Of the roots of the number of decays and of both means of the side bands: none of the means is negative."""
        number, unlike_sides, like_sides = x**2
        a, b = unlike_sides - leak * (1.0 - q) * number, like_sides - leak * q * number - others / 2.0
        means = [(1.0 - q) * number + kappa * a, unlike_sides, q * number + kappa * b + others, like_sides]
        return _deviance(data, np.array(means))

    start = np.sqrt([n + k + 0.1, m + 0.1, l_ + 0.1])
    best = minimize(value, start, method="Nelder-Mead", options=_FINE).fun
    assert found[0] == pytest.approx(best, abs=2e-6)
    assert found[0] <= best + 1e-9


_FINE = {"xatol": 1e-10, "fatol": 1e-12, "maxiter": 4000, "maxfev": 4000, "adaptive": True}


@pytest.mark.parametrize("pooled", [True, False])
@pytest.mark.parametrize("shape", [(6,), (2, 3)])
def test_derivatives_are_those_of_the_value(shape: tuple[int, ...], pooled: bool) -> None:
    toy = FlippedPairs(pairs=20_000, background=3_000, random=60, tail=0.1)
    found = replace(toy.counts(seed=3), shape=shape, pooled=pooled)
    theta = found.start * np.random.default_rng(1).uniform(0.6, 1.4, len(found.start))
    cells, (q, background) = found._local(theta), found._spread(theta)
    gradient = cells[:, 1] @ q + cells[:, 2] @ background
    steps = 1e-5 * theta * np.eye(len(theta))
    slopes = [(found.value(theta + step) - found.value(theta - step)) / (2.0 * step.max()) for step in steps]
    assert gradient == pytest.approx(np.array(slopes), rel=1e-5, abs=1e-6 * np.abs(gradient).max())


# ---- what is expected is found -------------------------------------------------------------------------------------


@pytest.mark.parametrize("pooled", [True, False])
@pytest.mark.parametrize(("shape", "kappa"), [((6,), 1.0), ((2, 3), 1.2)])
def test_expected_counts_give_the_true_rates(shape: tuple[int, ...], kappa: float, pooled: bool) -> None:
    """Side-band background and leakage included, to rounding."""
    rates = np.outer([1e-3, 3e-3], [1.0, 2.0, 8.0]).ravel()
    first, _ = pairs(6)
    number = np.geomspace(5e5, 1e4, len(first))
    beta = np.array([3.0, 2.0, 4.0, 1.0, 2.0, 3.0])
    found = replace(_expected(rates, number, shape, beta=beta, kappa=kappa, leak=0.06), pooled=pooled)
    assert found.fitted == pytest.approx(rates, rel=1e-5)


def test_leakage_that_is_ignored_cancels_in_the_rates_but_not_in_the_yields() -> None:
    rates, beta = np.array([1e-3, 8e-3]), np.array([3.0, 2.0])
    number = np.array([5e5, 2e5, 5e4])
    found = _expected(rates, number, (2,), beta=beta, leak=0.08)
    plain = replace(found, opposite=replace(found.opposite, leak=0.0), same=replace(found.same, leak=0.0))
    assert found.opposite.left == pytest.approx(number * (1.0 - found._of_cells(found.best)[0]), rel=1e-6)
    assert plain.opposite.left == pytest.approx(0.92 * found.opposite.left, rel=1e-6)
    assert plain.fitted == pytest.approx(rates, rel=0.03)


def test_no_flip_gives_zero_and_an_upper_limit() -> None:
    found = Flips(Side(np.array([6e4, 4e4, 1e4]), np.zeros(3)), Side(np.zeros(3), np.zeros(3)), (2,))
    assert found.fitted.tolist() == [0.0, 0.0]
    for place, electrons in enumerate((1.6e5, 6e4)):
        low, high = found.interval(place)
        # where e = -ln(e) - 1 + 1 has risen by a half for one flip
        assert low == 0.0
        assert high * electrons == pytest.approx(2.3579, rel=2e-3)
        assert found.interval(place, 0.9545)[1] * electrons == pytest.approx(4.5, rel=0.1)
    errors = np.sqrt(np.diag(found.covariance()))
    assert (errors * np.array([1.6e5, 6e4])).tolist() == pytest.approx([0.7, 0.7], rel=0.3)


def test_a_large_bin_has_the_interval_of_its_covariance() -> None:
    toy = FlippedPairs(pairs=2e7)
    found = toy.counts(seed=4)
    errors = np.sqrt(np.diag(found.covariance()))
    for place in (0, 5):
        low, high = (edge - found.fitted[place] for edge in found.interval(place))
        assert (-low, high) == pytest.approx((errors[place], errors[place]), rel=0.04)


def test_factors_have_the_intervals_of_their_products() -> None:
    """Free rates of one row are factors: the profile along a product must be the profile of the free likelihood."""
    toy = FlippedPairs(pairs=1e5, rates=(1e-3, 5e-3), shares=(0.6, 0.4), pt=(25.0, 100.0), abs_eta=(0.0, 1.0, 2.0))
    free = toy.counts(seed=1)
    product = replace(free, shape=(1, 2))
    assert product.fitted == pytest.approx(free.fitted, rel=1e-6)
    assert product.covariance() == pytest.approx(free.covariance(), rel=1e-5)
    for place in (0, 1):
        assert product.interval(place) == pytest.approx(free.interval(place), rel=1e-3)


def test_the_maximum_is_that_of_a_general_minimiser() -> None:
    found = _TWELVE.counts(seed=8)
    first, second = found.cells
    n, k = found.opposite.main, found.same.main

    def value(logs: np.ndarray) -> float:
        rates = np.exp(logs)
        q = same_sign_probability(rates[first], rates[second])
        return -float((k * np.log(q) + n * np.log1p(-q)).sum())

    best = minimize(value, np.log(_RATES), method="L-BFGS-B", options={"maxiter": 5000, "maxfun": 100_000})
    assert value(np.log(np.maximum(found.fitted, 1e-14))) <= best.fun + 1e-6
    assert found.fitted == pytest.approx(np.exp(best.x), rel=0.02, abs=1e-6)


def test_the_search_does_not_end_at_a_lower_maximum() -> None:
    """A background that a few events determine has several maxima; that of the first start is lower here."""
    shares = np.outer([0.2, 0.5, 0.25, 0.05], [0.4, 0.3, 0.17, 0.13]).ravel()
    rates = np.outer([1.0, 1.0, 1.2, 1.3], [0.003, 0.008, 0.028, 0.04]).ravel()
    edges = {"pt": (25.0, 35.0, 45.0, 60.0, 300.0), "abs_eta": (0.0, 0.8, 1.5, 2.0, 2.5)}
    few = {"pairs": 7_000, "background": 200, "random": 25, "background_shares": (1 / 16,) * 16, "tail": 0.1}
    found = FlippedPairs(rates=tuple(rates), shares=tuple(shares), **edges, **few).counts(seed=16)
    starts = found.start * np.random.default_rng(1).uniform(0.2, 4.0, (12, len(found.start)))
    values = [found.value(found.maximum(one, *found.limits)) for one in (found.start, *starts)]
    assert found.value(found.best) < values[0] - 0.5
    assert found.value(found.best) < min(values) + 1e-6


# ---- ensembles -----------------------------------------------------------------------------------------------------


def _dropped(found: Flips) -> Flips:
    """Return the likelihood without the cells that hold no same-sign pair."""
    kept = found.same.main > 0.0
    return replace(found, opposite=replace(found.opposite, main=found.opposite.main * kept))


def test_no_bias_at_low_rates_unless_empty_cells_are_dropped() -> None:
    toys = [_TWELVE.counts(seed=seed) for seed in range(250)]
    rates = np.array([toy.fitted for toy in toys])
    error = rates.std(axis=0, ddof=1) / np.sqrt(len(toys))
    assert (np.abs(rates.mean(axis=0) - _RATES) < 3.5 * error).all()
    dropped = np.array([_dropped(toy).fitted for toy in toys[:100]])
    place = int(np.abs(np.log(_RATES / 1e-4)).argmin())
    spread = dropped[:, place].std(ddof=1) / np.sqrt(len(dropped))
    assert dropped[:, place].mean() > 1.2 * _RATES[place] + 3.0 * spread


def test_no_bias_at_many_pairs() -> None:
    rates = np.array([replace(_TWELVE, pairs=2e7).counts(seed=seed).fitted for seed in range(40)])
    bias = rates.mean(axis=0) / _RATES - 1.0
    place = int(np.abs(np.log(_RATES / 1e-4)).argmin())
    assert abs(bias[place]) < 0.05
    assert (np.abs(bias) < 4.0 * rates.std(axis=0, ddof=1) / np.sqrt(40) / _RATES).all()


def test_covariance_and_correlations_are_those_of_toys() -> None:
    toy = FlippedPairs(pairs=400_000, background=20_000, random=400, tail=0.1)
    found = [toy.counts(seed=seed) for seed in range(300)]
    rates = np.array([one.fitted for one in found])
    covariance = np.mean([one.covariance() for one in found[:20]], axis=0)
    assert rates.std(axis=0, ddof=1) == pytest.approx(np.sqrt(np.diag(covariance)), rel=4 / np.sqrt(600))
    scale = np.sqrt(np.outer(np.diag(covariance), np.diag(covariance)))
    assert np.corrcoef(rates.T) == pytest.approx(covariance / scale, abs=4 / np.sqrt(300))
    pull = (rates.mean(axis=0) - np.array(toy.rates)) / np.sqrt(np.diag(covariance) / 300)
    assert np.abs(pull).max() < 4.0


def test_a_background_of_its_own_in_each_cell_needs_side_bands_with_events() -> None:
    """Why the background is pooled: 78 free numbers that 61 events determine cost rare electrons their flips."""
    toy = replace(_TWELVE, pairs=10_000, rates=(0.01,) * 12, random=100, tail=0.1)
    found = [toy.counts(seed=seed) for seed in range(100)]
    rates = [np.array([replace(one, pooled=pooled).fitted[6:].mean() for one in found]) for pooled in (True, False)]
    (pooled, error), (own, _) = ((one.mean() / 0.01 - 1.0, one.std(ddof=1) / 10.0 / 0.01) for one in rates)
    assert abs(pooled) < 3.0 * error
    assert own < -5.0 * error
    rich = replace(toy, pairs=1e6, random=10_000)
    rates = [np.array([replace(rich.counts(seed=seed), pooled=False).fitted for seed in range(60)])]
    assert np.abs((rates[0].mean(axis=0) - 0.01) / rates[0].std(axis=0, ddof=1) * np.sqrt(60)).max() < 4.0


def test_leakage_alone_leaves_the_number_of_decays() -> None:
    """Side bands of opposite sign that hold leakage of few events a cell must not cost decays."""
    toy = replace(_TWELVE, pairs=10_000, rates=(0.01,) * 12, tail=0.1)
    found = [toy.counts(seed=seed) for seed in range(100)]
    # same-sign side bands of nothing but leakage are another matter: that background is not negative
    rates = np.array([replace(one, same=Side(one.same.main, np.zeros(78))).fitted @ _SHARES for one in found])
    assert abs(rates.mean() - 0.01) < 3.0 * rates.std(ddof=1) / 10.0


def test_intervals_cover_at_few_flips() -> None:
    toy = FlippedPairs(pairs=4_000, rates=(3e-4, 6e-3), shares=(0.8, 0.2), pt=(25.0, 100.0), abs_eta=(0.0, 1.0, 2.0))
    found = np.array([[toy.counts(seed=seed).interval(place) for place in (0, 1)] for seed in range(60)])
    inside = (found[:, :, 0] <= toy.rates) & (np.array(toy.rates) <= found[:, :, 1])
    assert (inside.mean(axis=0) > 0.65 - 3.0 * np.sqrt(0.65 * 0.35 / 60)).all()
    assert (found[:, :, 0] == 0.0).any(axis=0).any()


# ---- refusals ------------------------------------------------------------------------------------------------------


def test_counts_that_no_likelihood_has_are_refused() -> None:
    some = Side(np.array([10.0, 20.0, 10.0]), np.zeros(3))
    with pytest.raises(DataError, match=r"same sign: -1 pairs of bins 0 and 1"):
        Flips(some, Side(np.array([1.0, -1.0, 0.0]), np.zeros(3)), (2,))
    with pytest.raises(DataError, match="below one"):
        Flips(replace(some, kappa=2.0, leak=0.5), some, (2,))
    with pytest.raises(FitError, match="subtract all"):
        _ = Flips(Side(np.full(3, 5.0), np.full(3, 9.0), kappa=1.0), some, (2,)).best
    empty = Flips(Side(np.array([10.0, 0.0, 0.0]), np.zeros(3)), Side(np.zeros(3), np.zeros(3)), (2,))
    with pytest.raises(DataError, match="no electron"):
        empty.interval(1)
