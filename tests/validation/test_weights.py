from __future__ import annotations

import numpy as np
import pytest

from backdrop import Events, Region
from backdrop.errors import BlindedError, ConfigError, DataError
from backdrop.validation import support, weight_health


def events(weight, **columns) -> Events:
    return Events.of(columns or {"m": np.arange(len(weight), dtype=float)}, weight=weight)


def test_the_numbers_of_signed_weights():
    health = weight_health(events([2.0, 1.0, -1.0, 0.5]))
    assert health.rows == 4
    assert health.total == 2.5
    assert health.effective == pytest.approx(2.5**2 / 6.25)
    assert (health.negative_rows, health.negative_fraction) == (1, pytest.approx(1 / 4.5))


def test_a_heavy_event_is_named_by_its_key():
    sample = events(np.r_[np.ones(94), 6.0])
    health = weight_health(sample)
    assert health.largest[0][:3] == (int(sample.key[94]), 6.0, 0.06)
    assert len(health.warnings) == 1
    assert f"{int(sample.key[94]):#018x} holds 6.0%" in health.warnings[0]
    assert weight_health(events(np.ones(100))).warnings == ()


def test_rows_of_one_event_weigh_together():
    sample = Events.of(
        {"m": np.zeros(60), "event": np.r_[np.zeros(4, int), np.arange(1, 57)]}, keys=("event",), weight=np.ones(60)
    )
    assert weight_health(sample).largest[0].share == pytest.approx(4 / 60)
    assert len(weight_health(sample).warnings) == 1


def test_few_effective_events_and_lost_sums_are_said():
    warnings = weight_health(events(np.r_[np.ones(50), -np.ones(60)])).warnings
    assert any("effective sample size is 0.909" in text for text in warnings)
    assert any("sum to -10" in text for text in warnings)


def test_a_region_is_selected_and_named():
    sample = events(np.ones(100))
    health = weight_health(sample, Region("low", "m < 5"))
    assert health.rows == 5
    assert all("region 'low'" in text for text in health.warnings)
    with pytest.raises(DataError, match="region 'none': 0 rows"):
        weight_health(sample, Region("none", "m < 0"))


def test_a_sealed_region_stays_closed():
    sample = Events.of({"m": np.arange(10.0)}, seal=Region("SR", "m > 5"))
    with pytest.raises(BlindedError):
        weight_health(sample, Region("high", "m > 7"))


def test_equal_samples_support_one_another():
    rng = np.random.default_rng(1)
    first, second = (events(np.ones(5000), x=rng.normal(size=5000), y=rng.normal(size=5000)) for _ in range(2))
    found = support(first, second, ["x", "y"])
    assert found.outside_any < 0.005
    assert found.empty < 0.005
    assert found.occupancy == pytest.approx(5000 / found.cells**2, rel=0.3)


def test_the_part_outside_the_range_is_weighted():
    source = events(np.ones(3), x=np.array([0.0, 1.0, 2.0]), y=np.array([0.0, 1.0, 2.0]))
    target = events([1.0, 2.0, -3.0, 4.0], x=np.array([1.0, 3.0, 1.5, 1.0]), y=np.array([1.0, 3.0, -1.0, 2.0]))
    found = support(source, target, ["x", "y"])
    assert found.outside == {"x": 0.2, "y": 0.5}
    assert found.outside_any == 0.5


def test_a_hole_that_no_single_variable_shows_is_found():
    rng = np.random.default_rng(2)
    x = rng.random(4000)
    source = events(np.ones(4000), x=x, y=np.clip(x + 0.02 * rng.normal(size=4000), 0, 1))
    target = events(np.ones(4000), x=x, y=np.clip(1 - x + 0.02 * rng.normal(size=4000), 0, 1))
    found = support(source, target, ["x", "y"])
    assert found.outside_any < 0.01
    assert found.empty > 0.7


def test_many_columns_still_count():
    rng = np.random.default_rng(3)
    names = [f"x{i}" for i in range(60)]
    sample = Events.of({name: rng.normal(size=200) for name in names})
    found = support(sample, sample, names)
    assert (found.cells, found.empty) == (2, 0.0)


def test_refusals():
    sample = events(np.ones(5))
    with pytest.raises(ConfigError, match="0 columns"):
        support(sample, sample, [])
    with pytest.raises(DataError, match="0 source and 5 target rows"):
        support(sample.select(Region("none", "m < 0")), sample, ["m"])
    with pytest.raises(DataError, match="'m'"):
        support(sample, sample.with_columns({"m": np.full(5, np.nan)}), ["m"])
