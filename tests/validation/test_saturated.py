from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import kstest

from backdrop.errors import DataError
from backdrop.validation.saturated import saturated, saturated_p_value

EXPECTED = np.array([0.4, 2.0, 7.0, 3.0])
ROOT = np.array([[0.1, 0.0, 0.0, 0.0], [0.3, 0.5, 0.0, 0.0], [0.8, 0.6, 1.5, 0.0], [-0.2, 0.3, 0.4, 0.6]])
COVARIANCE = ROOT @ ROOT.T


def deviance(counts: np.ndarray, means: np.ndarray) -> float:
    logs = [n * np.log(n / b) if n else 0.0 for n, b in zip(counts, means, strict=True)]
    return float(2 * (means - counts + logs).sum())


def test_without_uncertainty_it_is_the_poisson_deviance():
    counts = np.array([0.0, 5.0, 4.0, 3.0])
    found = saturated(counts, EXPECTED, np.zeros((4, 4)))
    assert found == pytest.approx([deviance(counts, EXPECTED)], rel=1e-12)


@pytest.mark.parametrize("counts", [[0, 0, 0, 0], [1, 2, 3, 4], [12, 0, 40, 0], [0, 3, 7, 3]])
def test_it_is_the_minimum_over_the_prediction(counts):
    counts = np.array(counts, float)
    logs = np.log1p(COVARIANCE / np.outer(EXPECTED, EXPECTED))
    inverse, median = np.linalg.inv(logs), EXPECTED * np.exp(-np.diag(logs) / 2)

    def objective(x):
        return deviance(counts, median * np.exp(x)) + x @ inverse @ x

    reference = minimize(objective, np.zeros(4), method="BFGS", options={"gtol": 1e-7})
    assert saturated(counts, EXPECTED, COVARIANCE)[0] == pytest.approx(reference.fun, rel=1e-6, abs=1e-6)


def test_rows_are_independent_of_one_another():
    counts = np.random.default_rng(1).poisson(EXPECTED, size=(50, 4))
    together = saturated(counts, EXPECTED, COVARIANCE)
    np.testing.assert_allclose(together, [saturated(row, EXPECTED, COVARIANCE)[0] for row in counts], rtol=1e-6)


def test_far_outliers_converge():
    found = saturated(np.array([[500.0, 0.0, 0.0, 10000.0]]), EXPECTED, 0.5 * np.diag(EXPECTED**2))
    assert np.isfinite(found).all()


def test_p_values_are_uniform_for_few_events():
    rng = np.random.default_rng(2)
    p_values = []
    for _ in range(300):
        # the truth is fixed; the prediction that is tested fluctuates around it
        predicted = np.maximum(rng.multivariate_normal(EXPECTED, COVARIANCE / 4), 0.05)
        counts = rng.poisson(EXPECTED).astype(float)
        p_values.append(saturated_p_value(counts, predicted, COVARIANCE / 4, toys=200, rng=rng))
    assert kstest(p_values, "uniform").pvalue > 0.01
    assert min(p_values) >= 1 / 201


def test_it_rejects_a_wrong_prediction():
    p_value = saturated_p_value(
        np.array([6.0, 2.0, 1.0, 3.0]), EXPECTED, COVARIANCE / 4, toys=2000, rng=np.random.default_rng(3)
    )
    assert p_value < 0.005


@pytest.mark.parametrize(
    ("counts", "expected", "covariance", "words"),
    [
        ([1.0, 1.0], [1.0, -1.0], np.eye(2), r"bins \[1\]"),
        ([-1.0, 1.0], [1.0, 1.0], np.eye(2), r"bins \[0\] have negative counts"),
        ([1.0, 1.0], [1.0, 1.0], [[4.0, -2.0], [-2.0, 4.0]], "no positive prediction"),
    ],
)
def test_what_no_counts_can_be_is_refused(counts, expected, covariance, words):
    with pytest.raises(DataError, match=words):
        saturated(np.array(counts), np.array(expected), np.array(covariance))
