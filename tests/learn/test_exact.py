"""Exact intervals of B C / D: coverage where counts are few, agreement with the likelihood where they are many."""

from __future__ import annotations

import numpy as np
import pytest

from backdrop.errors import DataError
from backdrop.learn.exact import Ratio

_LEVEL = 0.6827


@pytest.mark.parametrize("mean", [3.0, 8.0])
def test_the_truth_is_covered(mean: float) -> None:
    """By three standard errors of the coverage; a data set without D has no interval and is drawn again."""
    rng, toys = np.random.default_rng(7), 600
    covered = 0
    for _ in range(toys):
        b, c, d = rng.poisson(mean, 3)
        while d == 0:
            b, c, d = rng.poisson(mean, 3)
        covered += Ratio(b, c, d, toys=500).p_value(mean) >= 1.0 - _LEVEL
    assert covered / toys > _LEVEL - 3 * np.sqrt(_LEVEL * (1 - _LEVEL) / toys)


def test_many_counts_have_the_likelihood_interval() -> None:
    low, high = Ratio(900, 1600, 400, toys=4000).interval()
    error = 3600 * np.sqrt(1 / 900 + 1 / 1600 + 1 / 400)
    assert (high - low) / 2 == pytest.approx(error, rel=0.06)
    assert low < 3600 < high


def test_no_count_gives_an_upper_end() -> None:
    low, high = Ratio(0, 5, 7, toys=1000).interval()
    assert low == 0.0
    assert 0.2 < high < 1.5


@pytest.mark.parametrize("below", [1, 3, 50])
def test_neither_b_nor_c_gives_an_upper_end(below: int) -> None:
    ratio = Ratio(0, 0, below, toys=1000)
    low, high = ratio.interval()
    assert low == 0.0
    assert ratio.p_value(0.9 * high) >= 1 - _LEVEL >= ratio.p_value(1.1 * high)


@pytest.mark.parametrize(("counts", "message"), [((1, 2, 0), "D holds no event"), ((1.5, 2, 3), "are no counts")])
def test_what_has_no_interval_is_refused(counts: tuple[float, float, float], message: str) -> None:
    with pytest.raises(DataError, match=message):
        Ratio(*counts)
