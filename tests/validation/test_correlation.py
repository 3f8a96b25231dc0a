from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kstest

from backdrop import Events
from backdrop.errors import ConfigError, DataError
from backdrop.validation import correlation

R = 0.6


def normal(n: int, rng: np.random.Generator, **parts) -> Events:
    values = rng.multivariate_normal([1.0, 2.0], [[1.0, 3 * R], [3 * R, 9.0]], size=n)
    return Events.of({"x": values[:, 0], "y": values[:, 1]}, **parts)


def test_unit_weights_agree_with_numpy():
    events = normal(500, np.random.default_rng(1))
    found = correlation(events, ["x", "y"])
    np.testing.assert_allclose(found.matrix, np.corrcoef(events["x"], events["y"]), rtol=1e-12)
    assert found.error[0, 1] == found.error[1, 0]
    assert found.error[0, 0] == 0.0


def test_a_weight_is_a_repetition():
    rng = np.random.default_rng(2)
    weight = rng.integers(0, 4, 300).astype(float)
    events = normal(300, rng, weight=weight)
    repeated = Events.of({name: np.repeat(events[name], weight.astype(int)) for name in ("x", "y")})
    first, second = correlation(events, ["x", "y"]), correlation(repeated, ["x", "y"])
    np.testing.assert_allclose(first.matrix, second.matrix, rtol=1e-12)


def test_the_error_of_a_normal_distribution():
    found = correlation(normal(20000, np.random.default_rng(3)), ["x", "y"])
    assert found.error[0, 1] == pytest.approx((1 - R**2) / np.sqrt(20000), rel=0.05)


@pytest.mark.parametrize("kind", ["dependent", "signed"])
def test_pulls_of_weighted_samples_are_normal(kind):
    pulls = []
    for seed in range(400):
        rng = np.random.default_rng(seed)
        sample = normal(400, rng)
        if kind == "dependent":
            sample = sample.with_weight(np.exp(0.3 * sample["x"]))
        else:
            # rows of another correlation, added and taken away again
            extra = [Events.of({"x": rng.normal(size=100), "y": rng.normal(size=100)}, sample=name) for name in "ab"]
            sample = sample + 0.5 * extra[0] - 0.5 * extra[1]
        # an exponential tilt shifts a normal distribution and leaves its covariance
        pulls.append((correlation(sample, ["x", "y"]).matrix[0, 1] - R) / correlation(sample, ["x", "y"]).error[0, 1])
    assert np.mean(pulls) == pytest.approx(0.0, abs=3 / 20 + 0.05)
    assert np.std(pulls) == pytest.approx(1.0, abs=3 / np.sqrt(800) + 0.03)


def test_the_difference_of_equal_samples_is_covered():
    pulls = []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        pulls.append((correlation(normal(300, rng), "xy") - correlation(normal(600, rng), "xy")).pulls[0, 1])
    assert kstest(pulls, "norm").pvalue > 0.01


def test_the_difference_of_unequal_samples_is_found():
    rng = np.random.default_rng(5)
    independent = Events.of({"x": rng.normal(size=500), "y": rng.normal(size=500)})
    assert abs((correlation(normal(500, rng), "xy") - correlation(independent, "xy")).pulls[0, 1]) > 5


def test_refusals():
    events = normal(10, np.random.default_rng(6))
    with pytest.raises(ConfigError, match="different columns"):
        correlation(events, ["x", "y"]) - correlation(events, ["y", "x"])
    with pytest.raises(DataError, match="variance"):
        correlation(events.with_columns({"x": np.ones(10)}), ["x", "y"])
    with pytest.raises(DataError, match="sum of weights 0"):
        correlation(events.with_weight(np.zeros(10)), ["x"])
    with pytest.raises(DataError, match="'x'"):
        correlation(events.with_columns({"x": np.full(10, np.nan)}), ["x"])
