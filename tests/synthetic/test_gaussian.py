"""The toy's closed-form expectations against its draws."""

from __future__ import annotations

import numpy as np
import pytest

from backdrop import Region
from backdrop.errors import ConfigError
from backdrop.synthetic import SAMPLES, GaussianPlane


@pytest.mark.parametrize("correlation", [0.0, 0.3, -0.5])
def test_expected_yields_are_those_drawn(correlation: float) -> None:
    toy = GaussianPlane(fakes=200_000, reals=100_000, correlation=correlation)
    events = toy.draw(seed=3)
    cuts = {"A": "(x1 > 0.5) & (x2 > 1)", "B": "(x1 > 0.5) & (x2 <= 1)", "C": "(x1 <= 0.5) & (x2 > 1)"}
    for fakes in (True, False):
        expected = toy.expected(0.5, 1.0, fakes=fakes)
        for name, cut in cuts.items():
            rows = events.select(Region(name, cut))
            assert abs(float((rows["is_fake"] == fakes).sum()) - expected[name]) < 4 * np.sqrt(expected[name])


def test_mass_spectrum_has_the_stated_shares() -> None:
    toy = GaussianPlane(fakes=200_000, reals=0, slope=0.03)
    edges = np.array([100.0, 110.0, 130.0, 170.0, 200.0])
    counts, _ = np.histogram(toy.draw(seed=1)["m"], edges)
    expected = 200_000 * toy.mass_shares(edges)
    assert toy.mass_shares(edges).sum() == pytest.approx(1.0)
    assert (np.abs(counts - expected) < 4 * np.sqrt(expected)).all()


def test_a_seed_repeats_and_samples_are_independent() -> None:
    toy = GaussianPlane(fakes=1000, reals=1000)
    assert toy.draw(seed=1).fingerprint == toy.draw(seed=1).fingerprint
    first, other = toy.draw(seed=1), toy.draw(seed=1, sample="other")
    assert not np.intersect1d(first.key, other.key).size
    assert not np.isin(first["m"], other["m"]).any()


def test_samples_table_gives_named_events() -> None:
    samples = SAMPLES["gaussian_abcd"](seed=1, reals=1000.0, simulated=4.0)
    assert set(samples) == {"data", "reals"}
    assert samples["reals"].weight[0] == 0.25
    assert abs(samples["reals"].weight.sum() - 1000) < 4 * np.sqrt(250)


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(ConfigError, match="correlation"):
        GaussianPlane(correlation=1.0)


def test_a_simulation_has_a_size() -> None:
    with pytest.raises(ConfigError, match="simulated = 0"):
        SAMPLES["gaussian_abcd"](seed=1, simulated=0.0)
