"""Densities against their definitions, and the fit of a double Gaussian to events drawn from one."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy import integrate, stats

from backdrop.errors import ConfigError, DataError
from backdrop.inference import DoubleGaussian, Interpolated


def _uneven(seed: int = 1) -> Interpolated:
    rng = np.random.default_rng(seed)
    return Interpolated(np.cumsum(rng.uniform(0.5, 1.5, 31)), rng.uniform(1.0, 3.0, 30))


def test_an_interpolated_density_is_linear_between_the_centres_and_level_at_the_ends() -> None:
    fine = _uneven()
    edges = np.asarray(fine.edges)
    raw = np.asarray(fine.values) / np.diff(edges)
    x = np.linspace(edges[0], edges[-1], 200_001)
    density = np.interp(x, (edges[1:] + edges[:-1]) / 2.0, raw)
    share = integrate.cumulative_trapezoid(density, x, initial=0.0)
    bins = np.array([edges[0], 5.3, 9.0, 20.1, edges[-1]])
    expected = np.diff(np.interp(bins, x, share / share[-1])) * np.sum(fine.values)
    assert fine.yields(bins) == pytest.approx(expected, rel=1e-7)
    mean = integrate.trapezoid(density * x, x) / share[-1]
    width = np.sqrt(integrate.trapezoid(density * (x - mean) ** 2, x) / share[-1])
    assert fine.moments == pytest.approx((mean, width), rel=1e-7)
    assert fine.total == pytest.approx(np.sum(fine.values))


def test_beyond_its_ends_a_density_is_level() -> None:
    fine = Interpolated([0.0, 1.0, 2.0], [2.0, 2.0])
    assert fine.integral(np.array([-1.0, 0.5, 3.0])) == pytest.approx([-2.0, 1.0, 6.0])


def test_a_far_tail_keeps_its_digits() -> None:
    edges = np.linspace(-20.0, 20.0, 161)
    middle = (edges[1:] + edges[:-1]) / 2.0
    fine = Interpolated(edges, stats.norm.pdf(middle))
    found = fine.yields(edges[::2])
    assert found[-1] == pytest.approx(found[0], rel=1e-9) and 0.0 < found[-1] < 1e-80


def test_a_peak_is_lowered_by_the_documented_fraction() -> None:
    edges = np.linspace(-8.0, 8.0, 161)
    fine = Interpolated(edges, 1000.0 * np.diff(stats.norm.cdf(edges)))
    middle = fine.yields(np.array([-0.01, 0.01]))[0] / (20.0 * stats.norm.pdf(0.0))
    # the mean over a bin lowers it by h² / 24, the line between two centres by up to h² / 8
    assert 1.0 - middle == pytest.approx(0.1**2 * (1 / 8 + 1 / 24), rel=0.2)


def test_a_double_gaussian_is_its_integral() -> None:
    shape = DoubleGaussian(125.0, 1.3, 4.0, 0.7, total=50.0)
    edges = np.linspace(115.0, 140.0, 12)

    def density(x: float) -> float:
        return 50.0 * (0.7 * stats.norm.pdf(x, 125.0, 1.3) + 0.3 * stats.norm.pdf(x, 125.0, 4.0))

    expected = [integrate.quad(density, *pair)[0] for pair in pairwise(edges)]
    assert shape.yields(edges) == pytest.approx(expected, rel=1e-8)
    assert shape.scaled(100.0).yields(edges) == pytest.approx(2.0 * np.array(expected), rel=1e-8)


@pytest.mark.parametrize("weighted", [False, True])
def test_a_double_gaussian_is_found_in_events_drawn_from_it(weighted: bool) -> None:
    rng = np.random.default_rng(5)
    n = 40_000
    x = rng.normal(125.0, np.where(rng.uniform(size=n) < 0.7, 1.5, 4.0))
    weight = np.full(n, 0.01) if weighted else None
    found = DoubleGaussian.of(x, weight)
    # Fisher errors of this mixture at n events are about 0.01, 0.02, 0.06 and 0.01
    assert found.mean == pytest.approx(125.0, abs=0.04)
    assert found.narrow == pytest.approx(1.5, abs=0.07)
    assert found.wide == pytest.approx(4.0, abs=0.2)
    assert found.share == pytest.approx(0.7, abs=0.04)
    assert found.total == pytest.approx(400.0 if weighted else n)


def test_refusals() -> None:
    for edges, values in (([0, 2, 1], [1, 1]), ([0, 1, np.nan], [1, 1]), ([0.0], [])):
        with pytest.raises(DataError, match="ascend"):
            Interpolated(edges, values)
    with pytest.raises(DataError, match="contents of shape"):
        Interpolated([0, 1, 2], [1, 2, 3])
    for values in ([1.0, np.nan], [0.0, 0.0], [-1.0, 0.5]):
        with pytest.raises(DataError, match="positive sum"):
            Interpolated([0, 1, 2], values)
    with pytest.raises(ConfigError, match="reach beyond the density, which is known from 0 to 2"):
        Interpolated([0, 1, 2], [1, 1]).yields(np.array([0.0, 3.0]))
    with pytest.raises(ConfigError, match="widths are positive"):
        DoubleGaussian(1.0, -1.0, 1.0, 0.5)
    with pytest.raises(DataError, match="ten finite values"):
        DoubleGaussian.of([1.0, 2.0])
