"""Log-linear Poisson models against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.special import xlogy

from backdrop.errors import FitError
from backdrop.learn.loglinear import LogLinear, Products

_PLANE = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 1.0], [0.0, 0.0, 1.0]])
_WANTED = Products(np.zeros(1), np.array([[1.0, 1.0, 0.0]]))


def _plane(b: float, c: float, d: float) -> LogLinear:
    """b = beta, c = gamma tau, d = gamma."""
    return LogLinear(np.array([b, c, d]), np.arange(3), Products(np.zeros(3), _PLANE))


def _start(model: LogLinear) -> np.ndarray:
    return np.linalg.solve(_PLANE, np.log(np.maximum(model.counts, 0.5)))


def _rise(yields: float, b: float, c: float, d: float) -> float:
    """The closed-form profile of b c / d: means B + l, C + l, D - l."""
    half = (b + c + yields) / 2.0
    shift = -half + np.sqrt(half**2 - (b * c - yields * d))
    counts, means = np.array([b, c, d]), np.array([b + shift, c + shift, d - shift])
    return float((means - counts + xlogy(counts, counts) - xlogy(counts, means)).sum())


@pytest.mark.parametrize("counts", [(10, 20, 30), (1000, 2000, 500), (3, 2, 1), (2, 3, 1000), (1e8, 1e8, 1e8)])
def test_intervals_are_those_of_the_closed_form(counts: tuple[float, float, float]) -> None:
    model, (b, c, d) = _plane(*counts), counts
    best = b * c / d
    error = best * np.sqrt(1 / b + 1 / c + 1 / d)
    assert _WANTED(model.maximum(_start(model)))[0] == pytest.approx(best, rel=1e-6)
    up, down = model.interval(_start(model), _WANTED, np.ones(1), error)
    high = brentq(lambda y: _rise(y, *counts) - 0.5, best, best + 10 * error)
    low = brentq(lambda y: _rise(y, *counts) - 0.5, 1e-9 * best, best)
    assert (up[0] - best, best - down[0]) == pytest.approx((high - best, best - low), rel=1e-3)


@pytest.mark.parametrize("counts", [(0, 5, 7), (5, 0, 7)])
def test_a_zero_has_an_upper_end_only(counts: tuple[float, float, float]) -> None:
    model = _plane(*counts)
    start = model.lifted().maximum(_start(model))
    up, down = model.interval(start, _WANTED, np.ones(1), 0.5)
    assert up[0] == pytest.approx(brentq(lambda y: _rise(y, *counts) - 0.5, 1e-9, 10), rel=1e-3)
    assert down[0] < 1e-6


def test_the_background_only_maximum_of_four_counts_is_closed_form() -> None:
    """b_A = (A+B)(A+C)/N; with all four regions in the fit the relation is overdetermined."""
    a, b, c, d = 31.0, 40.0, 55.0, 60.0
    design = np.vstack([[1.0, 1.0, 0.0], _PLANE])
    model = LogLinear(np.array([a, b, c, d]), np.arange(4), Products(np.zeros(4), design))
    rates = model.rates(model.maximum(np.log([40.0, 1.0, 60.0])))
    total = a + b + c + d
    assert rates == pytest.approx(
        np.array([(a + b) * (a + c), (a + b) * (b + d), (a + c) * (c + d), (b + d) * (c + d)]) / total, rel=1e-5
    )


def test_covariance_is_that_of_the_counts() -> None:
    model = _plane(100.0, 50.0, 200.0)
    start = _start(model)
    slopes = _WANTED(start)[:, None] * _WANTED.design
    variance = (slopes @ model.covariance(start) @ slopes.T)[0, 0]
    assert variance == pytest.approx(25.0**2 * (1 / 100 + 1 / 50 + 1 / 200), rel=1e-9)


def test_an_expected_process_takes_its_share_and_brings_its_own_error() -> None:
    """n = b + p with p from k simulated events: var(b) = n + p²/k."""
    design = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    offset = np.log([1.0, 30.0, 90.0])
    model = LogLinear(np.array([130.0, 90.0]), np.array([0, 0, 1]), Products(offset, design))
    best = model.maximum(np.array([4.0, 0.0]))
    assert np.exp(best[0]) == pytest.approx(100.0, rel=1e-5)
    assert np.exp(2 * best[0]) * model.covariance(best)[0, 0] == pytest.approx(130.0 + 30.0**2 / 90.0, rel=1e-4)


def test_factors_that_the_counts_do_not_determine_are_refused() -> None:
    model = LogLinear(np.array([10.0]), np.array([0]), Products(np.zeros(1), np.array([[1.0, 1.0]])))
    with pytest.raises(FitError, match="do not determine all factors"):
        model.covariance(np.array([1.0, 1.3]))
