"""What `estimate` does with a method: streams, replicas, variations, chunks, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from backdrop import Channel, Estimate, Events, Region, Setup, estimate
from backdrop.errors import BlindedError, ConfigError, CutError
from backdrop.estimate import fitted, observe, template
from backdrop.tasks import resumable
from ratio import BOTH, CALLS, HIGH, LOOSE, LOW, TIGHT, Files, Ratio, table


def _arrays(found: Estimate) -> list[np.ndarray]:
    pairs = [array for pair in found.variations.values() for array in pair]
    return [found.nominal, found.sumw2, *found.replicas.values(), *pairs]


def _same(a: Estimate, b: Estimate) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(_arrays(a), _arrays(b), strict=True))


# ---- nominal and replicas --------------------------------------------------------------------------------------------


def test_nominal_is_the_prediction_filled() -> None:
    events = table()
    tight, loose = (events.select(region) for region in (TIGHT, LOOSE))
    factor = tight.weight.sum() / loose.weight.sum()
    found = estimate(Setup(Ratio(), events), BOTH, seed=1)
    for channel in BOTH:
        values, squares = channel.fill(loose.select(channel.region))
        assert found.nominal[found.bins(channel.name)] == pytest.approx(factor * values)
        assert found.sumw2[found.bins(channel.name)] == pytest.approx(factor**2 * squares)
    assert not found.replicas and not found.seeds
    assert found.channels == BOTH


def test_a_replica_is_the_fit_to_resampled_events_and_known_by_its_number() -> None:
    few, many = (estimate(Setup(Ratio(noise=0.1), table()), BOTH, replicas=n, seed=1) for n in (3, 40))
    assert np.array_equal(few.replicas["data"], many.replicas["data"][:3])
    assert np.array_equal(few.nominal, many.nominal)
    assert len(np.unique(many.replicas["data"][:, 0])) == 40
    assert few.seeds == {"data": 1}
    renamed = estimate(Setup(Ratio(), table()), BOTH, replicas=3, seed=1, block="simulation")
    plain = estimate(Setup(Ratio(), table()), BOTH, replicas=3, seed=1)
    assert not np.array_equal(renamed.replicas["simulation"], plain.replicas["data"])
    # the fit varies, the rows it is applied to do not: all bins move together
    assert np.allclose(plain.replicas["data"] / plain.nominal, (plain.replicas["data"] / plain.nominal)[:, :1])


def test_channels_share_replicas_and_stay_correlated() -> None:
    setup = Setup(Ratio(), table())
    both = estimate(setup, BOTH, replicas=4, seed=2)
    for channel in BOTH:
        assert _same(both.only(channel.name), estimate(setup, [channel], replicas=4, seed=2))


def test_fit_gets_the_events_sorted_by_key() -> None:
    CALLS.clear()
    events = table()
    shuffled = events._take(np.random.default_rng(3).permutation(len(events)))
    for one in (events, shuffled, Files(shuffled, 7)):
        fitted(Setup(Ratio(), one), seed=1)
    assert len({seen.fingerprint for seen in CALLS}) == 1
    assert CALLS[0].key.tolist() == sorted(events.key.tolist())


@pytest.mark.parametrize("size", [1, 7, 99, 1000])
@pytest.mark.parametrize("resample", ["fit", "joint"])
def test_chunks_give_the_whole(size: int, resample: str) -> None:
    method = Ratio(noise=0.1, uncertainty=0.2, resample=resample)
    whole = estimate(Setup(method, table(n=100)), BOTH, replicas=3, seed=1)
    files = Files(table(n=100), size)
    chunked = estimate(Setup(method, files), BOTH, replicas=3, seed=1)
    for x, y in zip(_arrays(whole), _arrays(chunked), strict=True):
        assert np.allclose(x, y, rtol=1e-12, atol=1e-12 * np.abs(x).max())
    assert all(columns == ["m", "tag"] for columns in files.asked)
    assert np.allclose(template(files, BOTH).nominal, template(table(n=100), BOTH).nominal, rtol=1e-12)


# ---- variations ------------------------------------------------------------------------------------------------------


def test_variations_reuse_the_nominal_stream() -> None:
    """A shift is the systematic alone: the random part of the fit cancels."""
    events = table()
    setup, other = (Setup(Ratio(scale=scale, noise=0.3), events) for scale in (1.0, 1.25))
    low = Setup(Ratio(scale=0.5, noise=0.3), events)
    given = {"one": other, "pair": (other, low), "none": setup}
    found = estimate(setup, BOTH, variations=given, seed=4)
    loose = template(events.select(LOOSE), BOTH).nominal
    ratio = events.select(TIGHT).weight.sum() / events.select(LOOSE).weight.sum()
    assert found.variations["one"][0] - found.nominal == pytest.approx(0.25 * ratio * loose)
    assert np.add(*found.variations["one"]) == pytest.approx(2 * found.nominal)
    assert found.variations["pair"][1] - found.nominal == pytest.approx(-0.5 * ratio * loose)
    assert np.array_equal(found.variations["none"][0], found.nominal)
    assert np.array_equal(found.variations["one"][0], estimate(other, BOTH, seed=4).nominal)


def test_the_method_adds_its_own_variations() -> None:
    found = estimate(Setup(Ratio(uncertainty=0.1), table()), BOTH, seed=1)
    assert found.variations["scale"][0] == pytest.approx(1.1 * found.nominal)
    assert found.variations["scale"][1] == pytest.approx(0.9 * found.nominal)
    prompt = {"prompt": Setup(Ratio(), 2.0 * table())}
    assert list(estimate(Setup(Ratio(uncertainty=0.1), table()), BOTH, variations=prompt, seed=1).variations) == [
        "scale",
        "prompt",
    ]


def test_names_and_shapes_of_variations_are_checked_before_any_fit() -> None:
    CALLS.clear()
    setup = Setup(Ratio(uncertainty=0.1), table())
    with pytest.raises(ConfigError, match="'scale' is one of the method's own"):
        estimate(setup, BOTH, variations={"scale": setup}, seed=1)
    with pytest.raises(ConfigError, match="'x' has 3 setups"):
        estimate(setup, BOTH, variations={"x": (setup, setup, setup)}, seed=1)
    for replicas in (1, -2):
        with pytest.raises(ConfigError, match=f"{replicas} replicas have no spread"):
            estimate(setup, BOTH, replicas=replicas, seed=1)
    with pytest.raises(ConfigError, match="two channels are called 'low'"):
        estimate(setup, (LOW, HIGH, LOW), seed=1)
    with pytest.raises(ConfigError, match="no channel is given"):
        estimate(setup, (), seed=1)
    assert not CALLS


# ---- sealed, contradictory and resumed -------------------------------------------------------------------------------


def test_a_channel_that_contradicts_the_source_names_both() -> None:
    channel = Channel("SR", Region("tight high", "(m > 50) & (tag == 1)"), HIGH.axes)
    with pytest.raises(CutError, match=r"'tight high' \(.*\) contradicts the source region 'loose' \(tag == 0\)"):
        estimate(Setup(Ratio(), table()), [channel], seed=1)


def test_observed_rows_are_the_target_unless_sealed() -> None:
    events = table()
    sealed = Events.of(dict(events.columns), weight=events.weight, seal=HIGH.region & TIGHT)
    assert observe(sealed, HIGH, TIGHT) is None
    seen = observe(sealed, LOW, TIGHT)
    assert seen is not None and seen.weight.sum() == events.select(LOW.region & TIGHT).weight.sum()
    assert template(sealed, [LOW]).nominal == pytest.approx(LOW.fill(events)[0])
    for refused in (lambda: template(sealed, [HIGH]), lambda: fitted(Setup(Ratio(), sealed), seed=1)):
        with pytest.raises(BlindedError, match=r"may overlap the sealed region 'high & tight' of sample 'data'"):
            refused()


def test_a_resumed_estimate_fits_nothing_again(tmp_path: Path) -> None:
    def run(events: Events) -> Estimate:
        CALLS.clear()
        setup = Setup(Ratio(uncertainty=0.1), events)
        return estimate(setup, BOTH, replicas=20, seed=1, map=resumable(map, tmp_path))

    weighted = table().with_columns({"weight": np.ones(400)})
    plain = estimate(Setup(Ratio(uncertainty=0.1), weighted), BOTH, replicas=20, seed=1)
    for fits in (23, 0):
        assert _same(run(weighted), plain)
        assert len(CALLS) == fits
    assert run(2.0 * weighted).nominal == pytest.approx(2 * plain.nominal)
    assert len(CALLS) == 23
