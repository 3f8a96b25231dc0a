"""Log-Gaussian processes: evidence and mode against other ways to compute them, and the yield of a hidden region."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from backdrop.errors import ConfigError, DataError
from backdrop.learn.evidence import Matern, SquaredExponential
from backdrop.learn.log_gp import LogGaussianProcess, LogPosterior, _Search

GRID = np.stack(np.meshgrid(np.linspace(0, 1, 9), np.linspace(10, 14, 8), indexing="ij"), -1).reshape(-1, 2)
RATE = np.exp(2.5 - 1.5 * GRID[:, 0] - 0.3 * (GRID[:, 1] - 10))


def counts(seed: int, rate: np.ndarray = RATE) -> np.ndarray:
    return np.random.default_rng(seed).poisson(rate).astype(float)


def search(kernel: SquaredExponential | Matern, event: float = 1.0) -> _Search:
    return _Search(LogGaussianProcess(kernel), GRID, counts(1) * event, np.linspace(0.5, 2.0, len(GRID)), event)


@pytest.mark.parametrize("kernel", [SquaredExponential(), Matern(1.5), Matern(2.5)])
def test_the_gradient_is_that_of_the_evidence(kernel: SquaredExponential | Matern) -> None:
    one, theta = search(kernel), np.array([-0.7, -0.3, 0.6, -0.1])
    value, gradient = one.loss(theta)
    steps = 1e-5 * np.eye(4)
    numerical = [(one.loss(theta + step)[0] - one.loss(theta - step)[0]) / 2e-5 for step in steps]
    assert np.allclose(gradient, numerical, rtol=1e-6, atol=1e-5), value


def test_the_mode_and_the_evidence_are_those_of_the_full_covariance() -> None:
    one, theta = search(SquaredExponential()), np.array([-0.7, -0.3, 0.6, -0.1])
    found = one.posterior(theta)
    metric = np.array([[np.exp(0.7), 0.6], [0.0, np.exp(0.3)]]) / np.ptp(GRID, axis=0)
    moved = GRID @ metric.T
    squared = ((moved[:, None] - moved[None]) ** 2).sum(-1)
    prior = np.exp(-0.2) * np.exp(-0.5 * squared) + 1.0 + 1e-9 * np.eye(len(GRID))
    inverse = np.linalg.inv(prior)

    def minus_log(f: np.ndarray) -> tuple[float, np.ndarray]:
        rate = one.sizes * np.exp(one.level + f)
        pull = inverse @ f
        return float(rate.sum() - one.yields @ (one.level + f) + 0.5 * f @ pull), rate - one.yields + pull

    best = minimize(minus_log, np.zeros(len(GRID)), jac=True, method="BFGS", options={"gtol": 1e-7, "maxiter": 2000})
    centre, width = found.log_rate(GRID)
    assert np.allclose(centre, one.level + best.x, atol=1e-4)
    rate = one.sizes * np.exp(centre)
    covariance = np.linalg.inv(inverse + np.diag(rate))
    assert np.allclose(width**2, np.diag(covariance), rtol=1e-4)
    sign, determinant = np.linalg.slogdet(np.eye(len(GRID)) + np.sqrt(np.outer(rate, rate)) * prior)
    assert sign > 0 and found.log_evidence == pytest.approx(-best.fun - 0.5 * determinant, abs=1e-4)


def test_rates_covariance_and_draws_agree() -> None:
    found = LogGaussianProcess().fit_counts(GRID, counts(2), rng=np.random.default_rng(1))
    points = np.array([[0.5, 12.0], [0.55, 12.5], [0.9, 10.5]])
    drawn = found.draws(points, 200_000, np.random.default_rng(1))
    assert (drawn > 0.0).all()
    errors = drawn.std(axis=0) / np.sqrt(len(drawn))
    assert (np.abs(drawn.mean(axis=0) - found.mean(points)) < 4 * errors).all()
    assert np.allclose(np.cov(drawn.T), found.covariance(points), rtol=0.03)


def test_weights_scale_the_rate_and_change_nothing_else() -> None:
    y = counts(3)
    once, scaled = (
        LogGaussianProcess().fit_counts(GRID, k * y, k**2 * y, rng=np.random.default_rng(1)) for k in (1.0, 0.01)
    )
    assert np.allclose(scaled.length_scales, once.length_scales, rtol=1e-3)
    assert np.allclose(scaled.mean(GRID), 0.01 * once.mean(GRID), rtol=1e-4)


def test_sizes_of_bins_are_exposures() -> None:
    """Bins of twice the size with twice the counts have the same rate."""
    y, sizes = counts(4, 20 * RATE), np.where(np.arange(len(GRID)) % 2, 2.0, 1.0)
    found = LogGaussianProcess().fit_counts(GRID, y * sizes, sizes=sizes, rng=np.random.default_rng(1))
    assert np.abs(found.mean(GRID) / (20 * RATE) - 1).max() < 0.2


def test_a_turn_on_along_the_sum_is_seen_as_one() -> None:
    grid = np.stack(np.meshgrid(*2 * (np.linspace(0, 1, 12),), indexing="ij"), -1).reshape(-1, 2)
    rate = 60.0 / (1.0 + np.exp(-8.0 * (grid.sum(axis=1) - 0.8)))
    y = counts(5, rate)
    rng = np.random.default_rng(1)
    along = LogGaussianProcess(SquaredExponential(), oblique=False).fit_counts(grid, y, rng=rng)
    oblique = LogGaussianProcess(SquaredExponential()).fit_counts(grid, y, rng=rng)
    assert oblique.log_evidence > along.log_evidence + 3.0
    short, long = oblique.length_scales
    assert long > 3.0 * short
    metric = oblique.prior.metric
    assert metric[0, 0] == pytest.approx(metric[0, 1], rel=0.2)


def test_a_hidden_yield_is_covered() -> None:
    """Fifty toys of a convex fall at six events a bin: what a Gaussian process of the counts is several % off in."""
    x = np.linspace(0.0, 1.0, 31)[:, None]
    rate = 6.0 * np.exp(1.5 - 3.0 * x[:, 0])
    hidden = np.abs(x[:, 0] - 0.5) < 0.15
    pulls = []
    for toy in range(50):
        y = counts(100 + toy, rate)
        found = LogGaussianProcess().fit_counts(x[~hidden], y[~hidden], rng=np.random.default_rng(toy))
        error = np.sqrt(found.covariance(x[hidden]).sum())
        pulls.append((found.mean(x[hidden]).sum() - rate[hidden].sum()) / error)
    assert abs(np.mean(pulls)) < 0.2 + 3 / np.sqrt(50)
    assert abs(np.std(pulls, ddof=1) - 1.0) < 0.15 + 3 / np.sqrt(100)


def test_negative_yields_of_a_subtraction_are_allowed() -> None:
    y = counts(6, 0.3 * RATE) - 0.2
    squares = np.abs(y) + 0.1
    found = LogGaussianProcess().fit_counts(GRID, y, squares, rng=np.random.default_rng(1))
    assert (y < 0).any() and (found.mean(GRID) > 0).all()
    assert found.mean(GRID).sum() == pytest.approx(y.sum(), rel=0.1)


def test_a_posterior_survives_its_state() -> None:
    found = LogGaussianProcess().fit_counts(GRID, counts(7), rng=np.random.default_rng(1))
    again = LogPosterior.from_state(found.state())
    points = GRID + 0.01
    assert np.array_equal(again.mean(points), found.mean(points))
    assert np.array_equal(again.covariance(points), found.covariance(points))


def test_wrong_input_is_named() -> None:
    fit, rng = LogGaussianProcess().fit_counts, np.random.default_rng(1)
    with pytest.raises(ConfigError, match="bounds of the length scales"):
        LogGaussianProcess(bounds=(1.0, 0.5))
    with pytest.raises(ConfigError, match="restarts must be 0 or more"):
        LogGaussianProcess(restarts=-1)
    with pytest.raises(DataError, match=r"points have the shape \(2, 2\); give \(n, d\)"):
        fit(GRID[:2], np.ones(2), rng=rng)
    with pytest.raises(DataError, match="all points have one coordinate along axis 1"):
        fit(GRID * [1.0, 0.0], counts(1), rng=rng)
    with pytest.raises(DataError, match="yields have the shape"):
        fit(GRID, np.full(len(GRID), np.nan), rng=rng)
    with pytest.raises(DataError, match="sum to 0; a rate needs a positive sum"):
        fit(GRID, np.zeros(len(GRID)), rng=rng)
    found = fit(GRID, counts(1), rng=rng)
    with pytest.raises(DataError, match="the fit had 2 axes"):
        found.mean(np.zeros((3, 1)))
    with pytest.raises(DataError, match="NaN or infinite coordinates"):
        found.mean(np.full((3, 2), np.nan))
