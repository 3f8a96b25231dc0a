from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest

from backdrop import Events
from backdrop.errors import ConfigError, DataError
from backdrop.validation import dependence
from backdrop.validation._kernels import absolute_means, distance_products


def reference(x: np.ndarray, y: np.ndarray, weight: np.ndarray) -> float:
    """Distance correlation from the full matrices."""
    share = weight / weight.sum()

    def centred(values):
        matrix = np.abs(values[:, None] - values)
        means = matrix @ share
        return matrix - means[:, None] - means + share @ means

    a, b = centred(x), centred(y)
    first, second, both = (share @ (u * v) @ share for u, v in ((a, a), (b, b), (a, b)))
    return float(np.sqrt(both / np.sqrt(first * second)))


def pair(x: np.ndarray, y: np.ndarray, weight: np.ndarray | None = None) -> Events:
    return Events.of({"x": x, "y": y}, weight=weight)


@given(st.integers(0, 10**6), st.integers(3, 60), st.booleans(), st.booleans())
def test_it_agrees_with_the_full_matrices(seed, n, ties, weighted):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(2, n)) * 100 + 1000
    if ties:
        x, y = np.round(x, -2), np.round(y, -2)
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return
    weight = rng.exponential(size=n) if weighted else np.ones(n)
    found = dependence(pair(x, y, weight), "x", "y", permutations=1, seed=1)
    assert found.distance == pytest.approx(reference(x, y, weight), rel=1e-6, abs=1e-6)
    share = weight / weight.sum()
    matrix = np.cov(x, y, aweights=share)
    assert found.pearson == pytest.approx(matrix[0, 1] / np.sqrt(matrix[0, 0] * matrix[1, 1]), rel=1e-8, abs=1e-10)


def test_the_kernels_agree_with_the_sums():
    rng = np.random.default_rng(1)
    x, y, weight = np.sort(rng.normal(size=80)), rng.normal(size=80), rng.normal(size=80)
    rank = np.argsort(np.argsort(y))
    expected = weight @ (np.abs(x[:, None] - x) * np.abs(y[:, None] - y)) @ weight
    assert distance_products(x, y, rank, weight) == pytest.approx(expected, rel=1e-10)
    np.testing.assert_allclose(absolute_means(x, weight), np.abs(x[:, None] - x) @ weight, atol=1e-12)


def p_values(make, n: int = 200) -> np.ndarray:
    found = [dependence(pair(*make(np.random.default_rng(i))), "x", "y", permutations=99, seed=i) for i in range(n)]
    return np.array([(one.pearson_p_value, one.distance_p_value) for one in found]).T


def spread(p_value: np.ndarray) -> np.ndarray:
    """Multiples of 1/100 spread over the step they stand for."""
    return p_value - np.random.default_rng(0).random(p_value.shape) / 100


def test_p_values_are_uniform_under_independence():
    linear, distance = p_values(lambda rng: (rng.exponential(size=100), rng.normal(size=100)))
    assert kstest(spread(linear), "uniform").pvalue > 0.01
    assert kstest(spread(distance), "uniform").pvalue > 0.01


@pytest.mark.parametrize("of", [0, 1])
def test_p_values_are_never_too_small_for_weights_of_one_variable(of):
    def make(rng):
        values = rng.normal(size=(2, 150))
        return *values, np.exp(values[of])

    for p_value in p_values(make):
        assert (p_value <= 0.05).mean() <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 200)
        assert (p_value <= 0.3).mean() <= 0.3 + 3 * np.sqrt(0.3 * 0.7 / 200)


def test_a_dependence_without_correlation_is_found():
    x = np.random.default_rng(2).normal(size=500)
    found = dependence(pair(x, np.cos(2 * x)), "x", "y", permutations=199, seed=1)
    assert found.distance_p_value == 1 / 200
    assert found.distance > 2 * found.distance_independent


def test_a_mixture_of_independent_classes_is_dependent():
    rng = np.random.default_rng(3)
    fakes, reals = rng.normal(0.0, 1.0, (2, 400)), rng.normal(1.5, 1.0, (2, 400))
    alone = dependence(pair(*fakes), "x", "y", permutations=199, seed=1)
    mixed = dependence(pair(*np.concatenate([fakes, reals], axis=1)), "x", "y", permutations=199, seed=1)
    assert min(alone.pearson_p_value, alone.distance_p_value) > 0.05
    assert max(mixed.pearson_p_value, mixed.distance_p_value) == 1 / 200


def test_the_order_of_the_rows_does_not_matter():
    rng = np.random.default_rng(4)
    events = pair(*rng.normal(size=(2, 200)), rng.exponential(size=200))
    order = rng.permutation(200)
    shuffled = replace(
        events,
        columns={name: events[name][order] for name in "xy"},
        weight=events.weight[order],
        key=events.key[order],
    )
    first, second = (dependence(one, "x", "y", permutations=50, seed=5) for one in (events, shuffled))
    assert first == second


def test_units_do_not_matter():
    x, y = np.random.default_rng(5).normal(size=(2, 300))
    plain = dependence(pair(x, x + y), "x", "y", permutations=20, seed=1)
    scaled = dependence(pair(1e6 + 1e-3 * x, 1e5 * (x + y)), "x", "y", permutations=20, seed=1)
    assert scaled.distance == pytest.approx(plain.distance, rel=1e-5)
    assert scaled.distance_p_value == plain.distance_p_value


def test_rows_without_weight_do_not_count():
    x, y = np.random.default_rng(7).normal(size=(2, 50))
    y = np.sign(y)
    full = dependence(pair(x, y, np.r_[np.ones(6), np.zeros(44)]), "x", "y", permutations=50, seed=1)
    assert full == dependence(pair(x[:6], y[:6]), "x", "y", permutations=50, seed=1)
    assert full.rows == 6


def test_refusals():
    x, y = np.random.default_rng(6).normal(size=(2, 10))
    with pytest.raises(DataError, match="2 of 10 weights are negative"):
        dependence(pair(x, y, np.where(np.arange(10) < 2, -1.0, 1.0)), "x", "y", seed=1)
    with pytest.raises(DataError, match="column 'y' is constant"):
        dependence(pair(x, np.ones(10)), "x", "y", seed=1)
    with pytest.raises(DataError, match="at least three"):
        dependence(pair(x[:2], y[:2]), "x", "y", seed=1)
    with pytest.raises(DataError, match="'x'"):
        dependence(pair(np.full(10, np.nan), y), "x", "y", seed=1)
    with pytest.raises(ConfigError, match="permutations=0"):
        dependence(pair(x, y), "x", "y", permutations=0, seed=1)
