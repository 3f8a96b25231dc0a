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
