"""Toys: thrown as the model says, and limits, p-values and intervals against exact counting experiments."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import poisson

import backdrop as bd
from backdrop.errors import ConfigError, FitError
from backdrop.inference import Toys, scan
from backdrop.inference.likelihood import read
from backdrop.inference.toys import throw
from backdrop.tasks import pool, resumable, stream
from tests.inference.samples import counting


def _spec(count: float = 8.0, background: float = 5.0) -> dict[str, Any]:
    return counting(count, background)


def test_data_and_auxiliary_measurements_are_thrown() -> None:
    """Poisson data at the expectation, Poisson counts behind a bin's factor, a normal centre of a nuisance."""
    spec = counting(100.0, 80.0, error=16.0)
    spec["channels"][0]["samples"][-1]["modifiers"] += [
        {"name": "size", "type": "normsys", "data": {"hi": 1.1, "lo": 0.9}}
    ]
    likelihood = read(spec)
    truth = likelihood.start.copy()
    drawn = [throw(likelihood, truth, stream(1, "toy", i)) for i in range(2000)]
    data = np.array([one.data[0] for one in drawn])
    rate = likelihood.yields(truth)[0]
    assert data.mean() == pytest.approx(rate, abs=4 * np.sqrt(rate / 2000))
    assert data.var() == pytest.approx(rate, rel=4 * np.sqrt(2 / 2000))
    counts = np.array([one.poisson.counts[0] for one in drawn])
    assert counts.mean() == pytest.approx(25.0, abs=4 * np.sqrt(25 / 2000))
    centres = np.array([one.normal.centre[0] for one in drawn])
    assert centres.std() == pytest.approx(1.0, rel=4 / np.sqrt(4000))


def test_the_limit_is_that_of_the_exact_counting_experiment() -> None:
    """CLs of n = 8 on b = 5: P(n <= 8 | s + b) / P(n <= 8 | b) = 0.05."""
    found = Toys(_spec(), toys=600, seed=3).limit(points=7)
    exact = brentq(lambda s: poisson.cdf(8, s + 5) / poisson.cdf(8, 5) - 0.05, 1, 30)
    assert found.observed is not None and found.error is not None
    # interpolation between strengths adds a few per cent
    assert found.observed == pytest.approx(exact, abs=4 * found.error + 0.03 * exact)
    assert list(found.expected) == sorted(found.expected)
    assert found.expected[0] < found.observed < found.expected[4]


def test_the_discovery_p_value_is_the_poisson_tail() -> None:
    found = Toys(_spec(count=12.0), toys=4000, seed=3).discovery()
    assert found.value == pytest.approx(poisson.sf(11, 5), abs=4 * found.error)
    assert Toys(_spec(count=3.0), toys=200, seed=3).discovery().value > 0.7


def test_the_interval_covers_where_the_asymptotic_one_does_not() -> None:
    """An accepted strength is one whose p-value is at least 1 - level, so the ends have just that."""
    low, high = Toys(_spec(count=4.0, background=1.0), toys=200, seed=5).interval(0.6827)
    assert low < 3.0 < high
    # Feldman and Cousins, table II: n = 4, b = 1 gives [1.20, 5.30]... in steps that toys smooth
    assert low == pytest.approx(1.2, abs=0.5)
    assert high == pytest.approx(5.3, abs=0.7)


def test_goodness_needs_degrees_of_freedom() -> None:
    with pytest.raises(FitError, match="nothing is tested"):
        Toys(_spec(), toys=10).goodness()


def test_goodness_is_small_for_data_that_do_not_fit() -> None:
    good, bad = ([101.0, 99.0, 100.0, 102.0], [160.0, 60.0, 150.0, 50.0])
    for counts, low, high in ((good, 0.9, 1.0), (bad, 0.0, 0.01)):
        spec = counting(100.0, 100.0)
        for one in spec["channels"][0]["samples"]:
            one["data"] = one["data"] * 4
        spec["observations"][0]["data"] = counts
        assert low <= Toys(spec, toys=300, seed=1).goodness().value <= high


def test_processes_and_resuming_change_nothing(tmp_path: Any) -> None:
    alone = Toys(_spec(), toys=120, seed=9).discovery()
    with pool(2) as two:
        together = Toys(_spec(), toys=120, seed=9, map=resumable(two, tmp_path)).discovery()
    again = Toys(_spec(), toys=120, seed=9, map=resumable(map, tmp_path)).discovery()
    assert alone == together == again


def test_nothing_is_tested_while_there_is_no_data() -> None:
    spec = _spec()
    spec["measurements"][0]["name"] = "asimov-SR"
    toys = Toys(spec, toys=150, seed=1)
    assert toys.limit(points=4).observed is None
    for test in (toys.discovery, toys.interval, toys.goodness):
        with pytest.raises(FitError, match="'SR' holds no data"):
            test()


def test_a_single_toy_and_no_signal_are_refused() -> None:
    with pytest.raises(ConfigError, match="1 toys are no distribution"):
        Toys(_spec(), toys=1)
    with pytest.raises(FitError, match="no signal strength"):
        spec = _spec()
        spec["measurements"][0]["config"]["poi"] = ""
        Toys(spec, toys=10).limit()


def test_a_scan_is_the_profile() -> None:
    """2 (mu + b - n + n ln(n / (mu + b))) of a counting experiment."""
    values = np.array([0.0, 1.5, 3.0, 6.0])
    rates = values + 5.0
    expected = 2.0 * (rates - 8.0 - 8.0 * np.log(rates / 8.0))
    assert scan(_spec(), values) == pytest.approx(expected, abs=1e-6)
    ends = bd.fit(_spec()).interval
    assert ends is not None
    assert scan(_spec(), ends) == pytest.approx([1.0, 1.0], abs=1e-3)
