"""Estimates as numbers: covariance by hand, addition, variations, and the way to disk and back."""

from __future__ import annotations

import json

import hist
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backdrop import Channel, Estimate, Region
from backdrop.errors import ConfigError, CutError, DataError

_SR = Channel("SR", Region("SR", "m > 50"), (hist.axis.Regular(2, 0, 1, name="x", label="x [GeV]"),))
_VR = Channel("VR", Region("VR", "m < 50"), (hist.axis.Variable([0, 1, 3, 4], name="y"),))
_ODD = Channel("ODD", Region("odd", "2 * m > 50"), (hist.axis.Integer(0, 1, name="n"),))


def _random(seed: int, channels: tuple[Channel, ...] = (_SR, _VR), blocks: dict[str, int] | None = None) -> Estimate:
    rng = np.random.default_rng(seed)
    bins = sum(channel.size for channel in channels)
    blocks = {"data": 7, "gp": 5} if blocks is None else blocks
    return Estimate(
        channels,
        rng.normal(10, 3, bins),
        rng.uniform(0, 2, bins),
        {name: rng.normal(10, 3, (n, bins)) for name, n in blocks.items()},
        {name: (rng.normal(11, 1, bins), rng.normal(9, 1, bins)) for name in ("kappa", "shape")},
        dict.fromkeys(blocks, 3),
    )


def _by_hand(found: Estimate) -> np.ndarray:
    n = len(found.nominal)
    total = np.zeros((n, n))
    for i in range(n):
        total[i, i] += found.sumw2[i]
        for j in range(n):
            for rows in found.replicas.values():
                a, b = rows[:, i], rows[:, j]
                total[i, j] += sum((a - a.mean()) * (b - b.mean())) / (len(a) - 1)
            for up, down in found.variations.values():
                total[i, j] += (up[i] - down[i]) / 2 * (up[j] - down[j]) / 2
    return total


def test_covariance_is_the_formula() -> None:
    found = _random(1)
    assert np.allclose(found.covariance(), _by_hand(found), rtol=1e-12)
    assert np.allclose(found.covariance("VR"), _by_hand(found)[2:, 2:], rtol=1e-12)
    without = Estimate(found.channels, found.nominal, found.sumw2, found.replicas)
    assert np.allclose(found.statistical_covariance(), _by_hand(without), rtol=1e-12)
    bare = Estimate((_SR,), np.ones(2), np.full(2, 4.0))
    assert np.array_equal(bare.covariance(), np.diag([4.0, 4.0]))


def test_total_and_histogram_are_the_same_numbers() -> None:
    found = _random(2)
    part, by_hand = found.total("VR"), _by_hand(found)[2:, 2:]
    systematic = np.sqrt(sum(((up - down)[2:].sum() / 2) ** 2 for up, down in found.variations.values()))
    assert part.value == pytest.approx(found.nominal[2:].sum())
    assert part.total == pytest.approx(np.sqrt(by_hand.sum()))
    assert part.systematic == pytest.approx(systematic)
    assert part.statistical == pytest.approx(np.sqrt(by_hand.sum() - systematic**2))
    histogram = found.hist("VR")
    assert isinstance(histogram.storage_type(), hist.storage.Weight)
    assert histogram.values() == pytest.approx(found.nominal[2:])
    assert histogram.variances() == pytest.approx(np.diag(by_hand))
    assert repr(found).startswith("Estimate(SR 19.0 ± 8.4, VR 26.8 ± 7.9; ")
    assert found.nominal[:2].sum() == pytest.approx(19.0, abs=0.05)


def test_overlapping_channels_have_no_common_covariance() -> None:
    found = _random(3, (_SR, _ODD))
    with pytest.raises(CutError, match="channels 'SR' and 'ODD' may share rows"):
        found.covariance()
    assert np.allclose(found.covariance("ODD"), _by_hand(found)[2:, 2:])
    assert found.total("SR").total == pytest.approx(np.sqrt(_by_hand(found)[:2, :2].sum()))


def test_only_takes_channels_in_the_order_asked_for() -> None:
    found = _random(4)
    part = found.only("VR", "SR")
    assert [channel.name for channel in part.channels] == ["VR", "SR"]
    order = [2, 3, 4, 0, 1]
    assert np.array_equal(part.nominal, found.nominal[order])
    assert np.array_equal(part.replicas["gp"], found.replicas["gp"][:, order])
    assert np.array_equal(part.variations["kappa"][1], found.variations["kappa"][1][order])
    assert np.allclose(part.covariance(), _by_hand(found)[np.ix_(order, order)])
    assert part.seeds == found.seeds
    assert found.bins("VR") == slice(2, 5)


@pytest.mark.parametrize("ask", ["only", "bins", "channel", "covariance", "total", "hist"])
@pytest.mark.parametrize("channels", [(_SR,), (_SR, _VR)])
def test_an_unknown_channel_is_named(ask: str, channels: tuple[Channel, ...]) -> None:
    with pytest.raises(ConfigError, match=r"no channel 'S', did you mean 'SR'\?; channels: SR"):
        getattr(_random(5, channels), ask)("S")


# ---- algebra ---------------------------------------------------------------------------------------------------------


def test_equal_blocks_add_row_by_row_and_others_are_independent() -> None:
    a, b = _random(6), _random(7)
    renamed = Estimate(b.channels, b.nominal, b.sumw2, {"other": b.replicas["data"]}, {}, {"other": 3})
    together, apart = a + b, a + renamed
    assert np.allclose(together.nominal, a.nominal + b.nominal)
    assert np.allclose(together.sumw2, a.sumw2 + b.sumw2)
    assert np.allclose(together.replicas["data"], a.replicas["data"] + b.replicas["data"])
    for name in ("kappa", "shape"):
        assert np.allclose(together.variations[name], np.add(a.variations[name], b.variations[name]))
    assert np.allclose(together.covariance(), _by_hand(together))
    assert np.allclose(apart.statistical_covariance(), a.statistical_covariance() + renamed.statistical_covariance())
    assert np.allclose(apart.covariance(), a.covariance() + renamed.covariance())
    assert apart.seeds == {"data": 3, "gp": 3, "other": 3}


def test_fully_correlated_and_anticorrelated_parts() -> None:
    """`a + a` doubles every error but that of Σw²; `a - a` cancels them."""
    a = _random(8)
    a = Estimate(a.channels, a.nominal, np.zeros(5), a.replicas, a.variations, a.seeds)
    assert np.allclose((a + a).covariance(), 4 * a.covariance())
    assert np.allclose((a + -1 * a).covariance(), 0, atol=1e-12)


def test_what_two_fits_have_counted_is_independent_in_their_sum() -> None:
    """Directions of one name are those of two fits: neither one nuisance, nor a systematic of that name."""
    a, b, c = (_random(seed) for seed in (30, 31, 32))
    a, b = (
        Estimate(one.channels, one.nominal, one.sumw2, {}, one.variations, {}, frozenset({"kappa"})) for one in (a, b)
    )
    shared = np.outer(*[sum((up - down) / 2 for up, down in (a.variations["shape"], b.variations["shape"]))] * 2)
    alone = [np.outer(up - down, up - down) / 4 for up, down in (a.variations["shape"], b.variations["shape"])]
    expected = a.covariance() + b.covariance() + shared - sum(alone)
    for found in (a + b, b + a):
        assert len(found.counted) == 2 and len(found.variations) == 3
        assert np.allclose(found.covariance(), expected)
        assert np.allclose(found.statistical_covariance(), a.statistical_covariance() + b.statistical_covariance())
    assert len((a + b + a).counted) == 3
    for found in (a + c, c + a):
        assert "kappa" not in found.counted and len(found.counted) == 1
        assert np.allclose(found.statistical_covariance(), a.statistical_covariance() + c.statistical_covariance())


def test_blocks_of_other_resamples_do_not_add() -> None:
    a, b = _random(9, blocks={"data": 4}), _random(10, blocks={"data": 4})
    other_seed = Estimate(b.channels, b.nominal, b.sumw2, b.replicas, {}, {"data": 4})
    with pytest.raises(ConfigError, match=r"'data' has 4 replicas of seed 3 in one .* 4 of seed 4 in the other"):
        a + other_seed
    with pytest.raises(ConfigError, match=r"'data' has 4 replicas of seed 3 .* and 6 of seed 3"):
        a + _random(10, blocks={"data": 6})
    with pytest.raises(ConfigError, match="estimates of different channels do not add"):
        a + _random(9, (_SR,))


@given(st.floats(-50, 50), st.integers(0, 1000))
def test_a_factor_scales_the_covariance_by_its_square(k: float, seed: int) -> None:
    found = _random(seed)
    for scaled in (k * found, np.float64(k) * found):
        assert isinstance(scaled, Estimate)
        assert np.allclose(scaled.nominal, k * found.nominal)
        assert np.allclose(scaled.covariance(), k**2 * found.covariance(), atol=1e-9)
    assert np.allclose((k * (found + found)).replicas["gp"], (k * found + k * found).replicas["gp"])


def test_a_variation_is_mirrored_or_a_pair() -> None:
    found = _random(11)
    up = found.nominal + np.arange(5.0)
    one = found.with_variation("closure", up)
    assert np.allclose(one.variations["closure"], [up, found.nominal - np.arange(5.0)])
    assert np.allclose(one.covariance(), found.covariance() + np.outer(np.arange(5.0), np.arange(5.0)))
    two = found.with_variation("closure", list(up), list(found.nominal))
    assert np.allclose(two.covariance(), found.covariance() + np.outer(np.arange(5.0), np.arange(5.0)) / 4)
    with pytest.raises(ConfigError, match="there is a variation 'kappa' already"):
        found.with_variation("kappa", up)
    for wrong in (np.ones(1), np.ones(4), np.ones((5, 1)), 1.0):
        with pytest.raises(DataError, match="variation 'closure' up has shape"):
            found.with_variation("closure", wrong)
        with pytest.raises(DataError, match="variation 'closure' down has shape"):
            found.with_variation("closure", up, wrong)


# ---- what an estimate may be -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"nominal": np.ones(4)}, r"nominal has shape \(4,\), the bins of the channels need \(5,\)"),
        ({"sumw2": np.full(5, np.nan)}, "sumw2 holds 5 values that are NaN or infinite"),
        ({"replicas": {"data": np.ones((3, 4))}}, r"replica block 'data' has shape \(3, 4\)"),
        ({"replicas": {"data": np.ones((1, 5))}}, "replica block 'data' has 1 rows; a spread needs at least 2"),
        ({"replicas": {"data": np.full((2, 5), np.inf)}}, "replica block 'data' holds 10 values"),
        ({"variations": {"k": (np.ones(5), np.ones(4))}}, "variation 'k' down has shape"),
    ],
)
def test_wrong_arrays_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        Estimate(**{"channels": (_SR, _VR), "nominal": np.ones(5), "sumw2": np.ones(5), **change})


def test_channels_have_names_of_their_own() -> None:
    with pytest.raises(ConfigError, match="two channels are called 'SR'"):
        Estimate((_SR, _SR), np.ones(4), np.ones(4))
    with pytest.raises(ConfigError, match="no channel is given"):
        Estimate((), np.ones(0), np.ones(0))


def test_an_estimate_survives_its_state() -> None:
    found = _random(12)
    state = found.state()
    json.dumps(state, default=np.ndarray.tolist, allow_nan=False)
    again = Estimate.from_state(state)
    assert again.channels == found.channels
    assert np.array_equal(again.covariance(), found.covariance())
    assert (again + found).seeds == found.seeds
    assert repr(again) == repr(found)
    assert again.state().keys() == state.keys()
