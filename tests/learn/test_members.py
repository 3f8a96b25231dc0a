"""The error of the mean of an ensemble, from members of known statistics and randomness."""

from __future__ import annotations

import numpy as np
import pytest

from backdrop.learn.members import spread_factor


@pytest.mark.parametrize(("statistics", "training"), [(1.0, 0.0), (1.0, 1.0), (0.5, 2.0), (0.0, 1.0)])
@pytest.mark.parametrize("members", [6, 7, 24])
def test_the_factor_turns_the_spread_into_the_error_of_the_mean(
    statistics: float, training: float, members: int
) -> None:
    """Many bins of data sets whose own fluctuation, resamples and trainings are Gaussian."""
    rng = np.random.default_rng(members)
    resamples, bins = np.arange(members) // 2, 40_000
    own = statistics * rng.normal(size=bins)
    chosen = own + statistics * rng.normal(size=(resamples[-1] + 1, bins))
    found = chosen[resamples] + training * rng.normal(size=(members, bins))
    stated = spread_factor(found, resamples) ** 2 * found.var(axis=0, ddof=1).mean()
    assert stated == pytest.approx(found.mean(axis=0).var(), rel=0.05)


def test_the_order_of_the_members_does_not_matter() -> None:
    rng = np.random.default_rng(1)
    found, resamples, order = rng.normal(size=(9, 5)), np.arange(9) // 2, rng.permutation(9)
    assert spread_factor(found[order], resamples[order]) == pytest.approx(spread_factor(found, resamples))


def test_members_of_their_own_resamples_only_have_no_randomness_to_be_seen() -> None:
    found = np.random.default_rng(1).normal(size=(10, 5))
    assert spread_factor(found, np.arange(10)) == pytest.approx(np.sqrt(1.1))


@pytest.mark.parametrize(("members", "known_to"), [(3, 0.25), (8, 0.1)])
def test_few_members_know_the_factor_from_thirty_bins(members: int, known_to: float) -> None:
    rng = np.random.default_rng(5)
    resamples, factors, stated, actual = np.arange(members) // 2, [], [], []
    for _ in range(400):
        own = rng.normal(size=30)
        chosen = own + rng.normal(size=(resamples[-1] + 1, 30))
        found = chosen[resamples] + rng.normal(size=(members, 30))
        factors.append(spread_factor(found, resamples))
        stated.append(factors[-1] ** 2 * found.var(axis=0, ddof=1).mean())
        actual.append(np.square(found.mean(axis=0)).mean())
    assert np.std(factors) / np.mean(factors) < known_to
    assert np.mean(stated) == pytest.approx(np.mean(actual), rel=0.06)
