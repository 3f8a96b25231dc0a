"""Gaussian processes against scikit-learn, finite differences, and densities that are known."""

from __future__ import annotations

import warnings
from dataclasses import replace
from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest

from backdrop.errors import ConfigError, DataError
from backdrop.io.states import Decoder, Encoder
from backdrop.learn.evidence import Evidence
from backdrop.learn.gp import GaussianProcess, Matern, Posterior, SquaredExponential, poisson_variance

KERNELS = [SquaredExponential(), Matern(1.5), Matern(2.5)]
TEXTBOOK = GaussianProcess(noise="observed", restarts=0, scale_errors=False)


def plane(mean, bins=15, seed=1, shape=None):
    """Counts in a mass plane with a hidden circle: a hill, wider than the circle, that is not centred on it."""
    width = 90.0 / bins
    centres = (np.arange(bins) + 0.5) * width
    points = np.stack(np.meshgrid(centres, centres, indexing="ij"), axis=-1).reshape(-1, 2)
    if shape is None:
        shape = np.exp(-0.5 * (((points - [40.0, 35.0]) / [75.0, 40.0]) ** 2).sum(axis=1))
    expected = mean * shape / shape.mean()
    counts = np.random.default_rng(seed).poisson(expected).astype(float)
    hidden = np.hypot(*np.maximum(np.abs(points - [47.0, 42.0]) - width / 2.0, 0.0).T) < 11.0
    return SimpleNamespace(points=points, expected=expected, counts=counts, hidden=hidden, seen=~hidden)


def fitted(one, process=TEXTBOOK, seed=1):
    n = one.counts[one.seen]
    return process.fit(one.points[one.seen], n, poisson_variance(n), rng=np.random.default_rng(seed))


@cache
def example(kernel=KERNELS[0]):
    one = plane(50.0)
    return one, fitted(one, replace(TEXTBOOK, kernel=kernel))


def theirs(one, kernel, variance, optimizer="fmin_l_bfgs_b"):
    """scikit-learn's regressor, on targets standardised by hand."""
    from sklearn.gaussian_process import GaussianProcessRegressor

    n = one.counts[one.seen]
    process = GaussianProcessRegressor(kernel, alpha=variance / n.std() ** 2, optimizer=optimizer)
    return process.fit(one.points[one.seen], (n - n.mean()) / n.std())


def their_kernel(kernel, scales, bounds=(1e-3, 1e5)):
    from sklearn.gaussian_process import kernels

    if isinstance(kernel, SquaredExponential):
        return kernels.RBF(scales, bounds)
    return kernels.Matern(scales, bounds, nu=kernel.smoothness)


@pytest.mark.parametrize("kernel", KERNELS)
def test_mean_covariance_and_log_marginal_are_scikit_learns(kernel):
    one, found = example(kernel)
    process = theirs(one, their_kernel(kernel, found.length_scales), found.variance, optimizer=None)
    points = np.vstack([one.points, one.points + 60.0])  # far away as well
    mean, covariance = process.predict(points, return_cov=True)
    n = one.counts[one.seen]
    assert found.log_marginal == pytest.approx(process.log_marginal_likelihood_value_, abs=1e-8)
    assert found.mean(points) == pytest.approx(n.mean() + n.std() * mean, abs=1e-8 * n.std())
    assert found.covariance(points) == pytest.approx(n.var() * covariance, abs=1e-8 * n.var())


@pytest.mark.parametrize("kernel", KERNELS)
def test_the_optimum_is_scikit_learns(kernel):
    one, found = example(kernel)
    process = theirs(one, their_kernel(kernel, [42.0, 42.0]), found.variance)
    assert found.log_marginal >= process.log_marginal_likelihood_value_ - 1e-8
    assert np.log(found.length_scales) == pytest.approx(process.kernel_.theta, abs=1e-3)


def test_the_amplitude_can_be_fitted_and_is_scikit_learns():
    from sklearn.gaussian_process.kernels import RBF, ConstantKernel

    one = plane(50.0)
    found = fitted(one, replace(TEXTBOOK, fit_amplitude=True))
    process = theirs(one, ConstantKernel(1.0, (0.01, 100.0)) * RBF([42.0, 42.0]), found.variance)
    squared, *scales = np.exp(process.kernel_.theta)
    assert [found.amplitude, *found.length_scales] == pytest.approx([np.sqrt(squared), *scales], rel=2e-3)
    assert found.log_marginal > example()[1].log_marginal
    prior_far_away = found.covariance([[1e6, 1e6]])[0, 0]
    assert prior_far_away == pytest.approx(found.amplitude**2 * one.counts[one.seen].var())


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("theta", [(4.5, 3.5, 0.3), (3.0, 1.5, -0.5), (8.0, 6.0, 0.0)])
def test_the_gradient_is_that_of_finite_differences(kernel, theta):
    one = plane(50.0)
    x, n = one.points[one.seen], one.counts[one.seen]
    evidence, noise = Evidence(kernel, x, (n - n.mean()) / n.std()), poisson_variance(n) / n.var()
    slope, steps = evidence(np.array(theta), noise)[1], 1e-4 * np.eye(3)
    moved = [(evidence(theta + step, noise)[0] - evidence(theta - step, noise)[0]) / 2e-4 for step in steps]
    assert slope == pytest.approx(moved, rel=1e-5, abs=1e-4)


def test_three_axes_in_other_units_give_the_same_answer():
    rng = np.random.default_rng(3)
    x = rng.uniform(0.0, 1.0, (150, 3))
    y = np.sin(3.0 * x[:, 0]) + x[:, 1] ** 2 + 0.05 * rng.normal(size=150)
    units, origin = np.array([1.0, 1e3, 1e-4]), np.array([0.0, -5e3, 3e-4])
    one = TEXTBOOK.fit(x, y, np.full(150, 0.05**2), rng=rng)
    two = TEXTBOOK.fit(x * units + origin, 100.0 * y - 7.0, np.full(150, 25.0), rng=rng)
    assert two.length_scales == pytest.approx(one.length_scales * units, rel=1e-3)
    new = rng.uniform(0.0, 1.0, (20, 3))
    assert two.mean(new * units + origin) == pytest.approx(100.0 * one.mean(new) - 7.0, abs=1e-2)


def test_the_order_of_points_does_not_matter():
    one, found = example()
    order = np.random.default_rng(2).permutation(one.seen.sum())
    x, n = one.points[one.seen][order], one.counts[one.seen][order]
    mixed = TEXTBOOK.fit(x, n, poisson_variance(n), rng=np.random.default_rng(1))
    assert mixed.mean(one.points) == pytest.approx(found.mean(one.points), rel=1e-6)


@pytest.mark.parametrize("process", [TEXTBOOK, GaussianProcess()])
def test_covariance_is_symmetric_and_nowhere_negative_inside_and_far_away(process):
    one = plane(50.0)
    found = fitted(one, process)
    points = np.vstack([one.points, one.points + 40.0, one.points[:3]])
    covariance = found.covariance(points)
    assert np.array_equal(covariance, covariance.T)
    lowest, *_, highest = np.linalg.eigvalsh(covariance)
    assert lowest > -1e-12 * highest


@pytest.mark.parametrize("scale_errors", [False, True])
def test_draws_have_the_mean_and_the_covariance(scale_errors):
    one = plane(50.0)
    found = fitted(one, replace(TEXTBOOK, scale_errors=scale_errors))
    at, number = one.points[one.hidden], 4000
    draws = found.draws(at, number, np.random.default_rng(5))
    covariance = found.covariance(at)
    assert draws.shape == (number, len(at))
    pulls = (draws.mean(axis=0) - found.mean(at)) / np.sqrt(covariance.diagonal() / number)
    assert np.abs(pulls).max() < 4.0
    assert draws.sum(axis=1).std() == pytest.approx(np.sqrt(covariance.sum()), rel=4.0 / np.sqrt(2.0 * number))
    spread = np.sqrt(np.outer(covariance.diagonal(), covariance.diagonal()))
    assert np.abs(np.cov(draws.T) - covariance).max() < 5.0 * spread.max() / np.sqrt(number)
    assert np.array_equal(draws, found.draws(at, number, np.random.default_rng(5)))


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_posterior_survives_its_state_exactly(kernel):
    one = plane(50.0, bins=10)
    found = fitted(one, GaussianProcess(kernel=kernel, restarts=0))
    encoder = Encoder()
    plain = encoder.encode(found.state(), "gp")
    back = Posterior.from_state(Decoder(encoder.arrays, encoder.texts, {}).decode(plain))
    assert back.kernel == found.kernel
    assert np.array_equal(back.covariance(one.points), found.covariance(one.points))
    assert np.array_equal(back.mean(one.points), found.mean(one.points))
    assert back.log_marginal == found.log_marginal


def test_same_seed_same_answer():
    one = plane(50.0)
    first, second = (
        fitted(one, GaussianProcess(restarts=1)).draws(one.points, 2, np.random.default_rng(1)) for _ in "12"
    )
    assert np.array_equal(first, second)


def test_errors_of_the_length_scales_are_those_of_their_likelihood():
    """One error is where a parabola has fallen by a half; the covariance has what such moves do to the mean."""
    one, found = example()
    wide = fitted(one, replace(TEXTBOOK, scale_errors=True))
    n = one.counts[one.seen]
    evidence = Evidence(wide.kernel, wide.points, (n - n.mean()) / n.std())
    for move in 0.2 * wide.errors.T:
        sides = [evidence(wide.theta + sign * move, wide.variance / n.var())[0] for sign in (1.0, -1.0)]
        assert found.log_marginal - np.mean(sides) + 0.5 * move @ move == pytest.approx(0.5 * 0.2**2, rel=0.05)
    assert len(wide.errors.T) == 2
    added = wide.covariance(one.points) - found.covariance(one.points)
    assert np.linalg.matrix_rank(added, tol=1e-9 * n.var()) == 2
    assert np.array_equal(wide.mean(one.points), found.mean(one.points))


def test_a_flat_axis_stops_at_the_upper_bound_and_says_so():
    one = plane(400.0, shape=np.repeat(1.0 + np.linspace(0.0, 1.0, 15), 15))
    found = fitted(one, GaussianProcess(restarts=0))
    assert found.at_bound.tolist() == [False, True, False]
    assert found.length_scales[1] == pytest.approx(20.0 * 84.0)
    (text,) = found.warnings
    assert "length scale 1680 of axis 1 stopped at a bound" in text


def test_noise_alone_stops_at_the_lower_bound_where_it_is_said_to_be_none():
    rng = np.random.default_rng(4)
    x = np.linspace(0.0, 1.0, 60)[:, None]
    found = GaussianProcess(bounds=(0.2, 5.0), noise="observed").fit(x, rng.normal(size=60), np.full(60, 1e-3), rng=rng)
    assert found.at_bound.tolist() == [True, False]
    assert not example()[1].warnings


def test_restarts_find_the_higher_of_two_maxima():
    """Waves that a long length scale explains as noise: from the middle, only that maximum is found."""
    rng = np.random.default_rng(6)
    x = np.linspace(0.0, 1.0, 80)[:, None]
    y = np.sin(60.0 * x[:, 0]) + 0.6 * rng.normal(size=80)
    settings = {"noise": "observed", "bounds": (0.005, 20.0)}
    values = [
        GaussianProcess(restarts=r, **settings).fit(x, y, np.full(80, 0.36), rng=np.random.default_rng(7)).log_marginal
        for r in (0, 6)
    ]
    assert values[1] > values[0] + 5.0


def toy(one, process):
    """Relative bias of the hidden yield, its pull, and the pulls of the hidden bins."""
    found, at = fitted(one, process), one.points[one.hidden]
    covariance, off = found.covariance(at), found.mean(at) - one.expected[one.hidden]
    return (
        off.sum() / one.expected[one.hidden].sum(),
        off.sum() / np.sqrt(covariance.sum()),
        off / np.sqrt(covariance.diagonal()),
    )


@pytest.mark.parametrize("mean", [5.0, 20.0])
def test_observed_variances_lose_one_event_per_bin_and_expected_ones_do_not(mean):
    """Hidden events per bin, relative to the same smoother on the expectation, so that only the noise is left."""
    toys, lost = 50, {"expected": [], "observed": []}
    for noise, found in lost.items():
        process = replace(TEXTBOOK, bounds=(0.7, 0.7001), noise=noise)
        for seed in range(toys):
            one = plane(mean, seed=seed)
            posterior, at = fitted(one, process), one.points[one.hidden]
            sure, centre = one.expected[one.seen], one.expected[one.seen].mean()
            known = posterior._prior.correlation(at, posterior.points)
            smooth = centre + known @ posterior._solved.solve(sure - centre)
            found.append((posterior.mean(at) - smooth).mean())
    expected, observed = (np.array(found) for found in lost.values())
    assert abs(expected.mean()) < 3.0 * expected.std() / np.sqrt(toys)
    # one event to first order in 1 / mean
    assert (observed - expected).mean() == pytest.approx(-1.0, abs=0.15 + 1.0 / mean)


def test_the_hidden_yield_is_unbiased_and_covered():
    """At 400 events per bin; the density is no draw of the prior, which rounds off its top a little."""
    toys = 20
    bias, yields, bins = zip(
        *[toy(plane(400.0, seed=i), GaussianProcess(restarts=0)) for i in range(toys)], strict=True
    )
    assert abs(np.mean(bias)) < 0.005
    assert abs(np.mean(yields)) < 0.5 + 3.0 / np.sqrt(toys)
    assert 0.6 < np.std(yields) < 1.4
    assert 0.6 < np.std(bins) < 1.4


def test_pulls_of_densities_that_the_prior_allows_are_standard():
    """Mean 0 and width 1, within the toys' own errors and what fitted length scales leave out."""
    toys, rng = 40, np.random.default_rng(8)
    points = plane(1.0, bins=12).points
    gaps = ((points[:, None] - points) ** 2 / np.array([60.0, 40.0]) ** 2).sum(axis=-1)
    root = np.linalg.cholesky(np.exp(-0.5 * gaps) + 1e-9 * np.eye(len(points)))
    shapes = np.maximum(1.0 + 0.25 * rng.normal(size=(toys, len(points))) @ root.T, 0.05)
    planes = [plane(150.0, bins=12, seed=i, shape=shape) for i, shape in enumerate(shapes)]
    _, yields, bins = zip(*[toy(one, GaussianProcess(restarts=0)) for one in planes], strict=True)
    assert abs(np.mean(yields)) < 3.0 / np.sqrt(toys)
    assert np.std(yields) == pytest.approx(1.0, abs=0.15 + 3.0 / np.sqrt(2.0 * toys))
    assert np.std(bins) == pytest.approx(1.0, abs=0.15 + 3.0 / np.sqrt(2.0 * toys))


def test_weighted_counts_have_the_length_scales_of_the_unweighted():
    one = plane(50.0)
    x, n = one.points[one.seen], one.counts[one.seen]
    plain = GaussianProcess(restarts=0).fit(x, n, poisson_variance(n), rng=np.random.default_rng(1))
    half = GaussianProcess(restarts=0).fit(
        x, 0.5 * n, poisson_variance(0.5 * n, 0.25 * n), rng=np.random.default_rng(1)
    )
    assert half.length_scales == pytest.approx(plain.length_scales, rel=1e-6)
    assert half.mean(x) == pytest.approx(0.5 * plain.mean(x), rel=1e-6)


def test_empty_bins_are_fitted():
    one = plane(0.7)
    found = fitted(one, GaussianProcess(restarts=0))
    assert (one.counts[one.seen] == 0.0).mean() > 0.3
    assert found.variance.min() >= 1.0
    assert np.isfinite(found.mean(one.points)).all()


X = np.linspace(0.0, 1.0, 12)[:, None]
Y = np.arange(12.0) + 3.0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"points": np.where(X == 0.0, np.nan, X)}, "1 of 12 coordinates of points are NaN or infinite"),
        ({"targets": np.where(Y < 5.0, np.inf, Y)}, "2 of 12 targets are NaN or infinite"),
        ({"variance": np.full(12, np.nan)}, "12 of 12 variances are NaN"),
        ({"variance": Y - 3.0}, "1 of 12 variances are not positive, the first is 0; use poisson_variance"),
        ({"targets": np.full(12, 4.0)}, "all 12 targets are 4"),
        ({"targets": Y[:-1]}, r"do not fit together: \(12, 1\), \(11,\), \(12,\)"),
        ({"points": X[:, 0]}, r"do not fit together: \(12,\)"),
        ({"points": np.hstack([X, np.ones_like(X)])}, "one coordinate along axis 1"),
        ({"points": X[:2], "targets": Y[:2], "variance": Y[:2]}, "2 points are too few for 1 axes; at least 3"),
    ],
)
def test_input_that_cannot_be_fitted_is_refused(change, words):
    given = {"points": X, "targets": Y, "variance": Y, **change}
    with pytest.raises(DataError, match=words):
        GaussianProcess().fit(**given, rng=np.random.default_rng(1))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"bounds": (0.0, 1.0)}, "positive and increase"),
        ({"bounds": (2.0, 1.0)}, "positive and increase"),
        ({"restarts": -1}, "0 or more"),
        ({"noise": "poisson"}, "'expected' or 'observed'"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, words):
    with pytest.raises(ConfigError, match=words):
        GaussianProcess(**settings)


def test_only_two_smoothnesses_are_known():
    with pytest.raises(ConfigError, match=r"1\.5 or 2\.5, not 2"):
        Matern(2.0)


@pytest.mark.parametrize("points", [[1.0, 2.0], [[1.0, 2.0, 3.0]], [[1.0, np.nan]]])
def test_points_of_another_kind_are_refused(points):
    with pytest.raises(DataError, match="points"):
        example()[1].mean(points)


def test_variances_of_counts():
    assert poisson_variance([0.0, 1.0, 9.0]).tolist() == [1.0, 1.0, 9.0]
    signed = poisson_variance([-1.0, 3.0], [2.0, 4.0])
    assert signed.tolist() == [9.0, 9.0]
    with pytest.raises(DataError, match=r"1 of 2 counts are negative.*sums of squared weights"):
        poisson_variance([-1.0, 3.0])
    with pytest.raises(DataError, match="add up to 0"):
        poisson_variance([-1.0, 1.0], [1.0, 1.0])


def test_nothing_warns():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted(plane(5.0), GaussianProcess(restarts=2))
