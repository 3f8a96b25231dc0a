from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2 as distribution
from scipy.stats import kstest

from backdrop.errors import DataError
from backdrop.validation import chi2, pull_summary, yield_ratio


def covariance(n: int, seed: int) -> np.ndarray:
    root = np.random.default_rng(seed).normal(size=(n, n))
    return root @ root.T + np.eye(n)


def test_it_is_the_quadratic_form_of_the_inverse():
    matrix, rng = covariance(6, 1), np.random.default_rng(2)
    first, second = rng.normal(size=(2, 6))
    test = chi2(first, second, matrix)
    assert test.value == pytest.approx((first - second) @ np.linalg.inv(matrix) @ (first - second), rel=1e-10)
    assert test.ndf == 6
    assert test.p_value == pytest.approx(distribution.sf(test.value, 6), rel=1e-10)
    np.testing.assert_allclose(test.pulls, (first - second) / np.sqrt(np.diag(matrix)))


def test_p_values_are_uniform_with_correlations():
    matrix, rng = covariance(5, 3), np.random.default_rng(4)
    draws = rng.multivariate_normal(np.zeros(5), matrix, size=1000)
    assert kstest([chi2(draw, np.zeros(5), matrix).p_value for draw in draws], "uniform").pvalue > 0.01


def test_p_values_of_neglected_correlations_are_not_uniform():
    matrix, rng = np.eye(5) + np.ones((5, 5)), np.random.default_rng(4)
    draws = rng.multivariate_normal(np.zeros(5), matrix, size=1000)
    wrong = [chi2(draw, np.zeros(5), np.diag(np.diag(matrix))).p_value for draw in draws]
    assert kstest(wrong, "uniform").pvalue < 1e-6


def test_bins_without_variance_and_difference_are_left_out():
    test = chi2([3.0, 0.0, 5.0], [1.0, 0.0, 4.0], np.diag([4.0, 0.0, 1.0]))
    assert (test.value, test.ndf, test.contradicted) == (2.0, 2, ())
    assert np.isnan(test.pulls[1])
    assert test.used.tolist() == [True, False, True]


def test_a_bin_without_variance_and_with_a_difference_rejects_with_a_finite_number():
    test = chi2([3.0, 4.0], [1.0, 0.0], np.diag([4.0, 0.0]))
    assert (test.value, test.ndf, test.p_value, test.contradicted) == (5.0, 2, 0.0, (1,))
    assert test.pulls[1] == 2.0


def test_fully_correlated_bins_count_once():
    shape = np.array([1.0, 2.0, 3.0])
    test = chi2(2 * shape, np.zeros(3), np.outer(shape, shape))
    assert test.ndf == 1
    assert test.value == pytest.approx(4.0)
    assert test.contradicted == ()


def test_a_difference_along_a_fixed_combination_rejects():
    test = chi2([1.0, -1.0], [0.0, 0.0], [[1.0, 1.0], [1.0, 1.0]])
    assert test.p_value == 0.0
    assert test.ndf == 1
    assert len(test.contradicted) == 1


def test_nothing_to_test():
    test = chi2([0.0], [0.0], [[0.0]])
    assert (test.value, test.ndf, test.p_value) == (0.0, 0, 1.0)


@given(st.floats(1e-12, 1e12), st.integers(0, 100))
def test_units_do_not_matter(scale, seed):
    matrix = covariance(4, seed)
    difference = np.random.default_rng(seed).normal(size=4)
    plain, scaled = (chi2(k * difference, np.zeros(4), k**2 * matrix) for k in (1.0, scale))
    assert scaled.value == pytest.approx(plain.value, rel=1e-6)


@pytest.mark.parametrize(
    ("first", "second", "matrix", "words"),
    [
        ([1.0], [1.0, 2.0], np.eye(2), r"\(1,\)"),
        ([1.0, np.nan], [1.0, 2.0], np.eye(2), "NaN"),
        ([1.0, 1.0], [1.0, 2.0], np.diag([1.0, -1.0]), r"negative variances in bins \[1\]"),
        ([1.0, 1.0], [1.0, 2.0], [[1.0, 2.0], [2.0, 1.0]], "negative eigenvalue"),
    ],
)
def test_what_is_no_covariance_is_refused(first, second, matrix, words):
    with pytest.raises(DataError, match=words):
        chi2(first, second, matrix)


def test_pull_summary_has_the_errors_of_normal_pulls():
    rng = np.random.default_rng(1)
    found = [pull_summary(rng.normal(size=200)) for _ in range(1000)]
    means, widths = np.array([one.mean for one in found]), np.array([one.width for one in found])
    assert means.std() == pytest.approx(found[0].mean_error, rel=0.1)
    assert widths.std() == pytest.approx(found[0].width_error, rel=0.1)
    with pytest.raises(DataError, match="1 finite pulls"):
        pull_summary([1.0, np.nan])


def test_yield_ratio_error_over_toys():
    rng = np.random.default_rng(5)
    first, second = rng.normal(300.0, 10.0, 20000), rng.normal(200.0, 8.0, 20000)
    ratio = yield_ratio(300.0, 10.0, 200.0, 8.0)
    assert ratio.value == 1.5
    assert (first / second).std() == pytest.approx(ratio.error, rel=0.03)
    assert yield_ratio(300.0, 10.0, -200.0, 8.0).error == ratio.error
    with pytest.raises(DataError, match="zero"):
        yield_ratio(1.0, 1.0, 0.0, 1.0)
