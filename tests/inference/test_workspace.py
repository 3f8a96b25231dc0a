"""Workspaces: what pyhf reads is the estimate, with its whole covariance, or a refusal that says where."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import hist
import numpy as np
import pyhf
import pytest

from backdrop import Channel, Estimate, Events, Region, template
from backdrop.errors import BlindedError, ConfigError, CutError, ExportError
from backdrop.estimate import observe
from backdrop.inference import fit, workspace
from tests.inference.samples import channels, counting, estimate, plain


def _covariance(spec: dict[str, Any], samples: tuple[str, ...]) -> np.ndarray:
    """Propagate the modifiers of some samples, summed, to the covariance of all bins, to first order."""
    size = sum(len(channel["samples"][0]["data"]) for channel in spec["channels"])
    shifts: dict[str, np.ndarray] = {}
    variance = np.zeros(size)
    start = 0
    for channel in spec["channels"]:
        width = len(channel["samples"][0]["data"])
        here = slice(start, start + width)
        start += width
        for sample in channel["samples"]:
            for modifier in sample["modifiers"] if sample["name"] in samples else ():
                if modifier["type"] == "histosys":
                    up, down = modifier["data"]["hi_data"], modifier["data"]["lo_data"]
                    shifts.setdefault(modifier["name"], np.zeros(size))[here] += (np.array(up) - np.array(down)) / 2
                elif modifier["type"] == "shapesys":
                    variance[here] += np.array(modifier["data"]) ** 2
    return np.diag(variance) + sum((np.outer(d, d) for d in shifts.values()), np.zeros((size, size)))


def _nuisances(spec: dict[str, Any], kind: str = "histosys") -> list[str]:
    modifiers = [m for c in spec["channels"] for s in c["samples"] for m in s["modifiers"]]
    return sorted({m["name"] for m in modifiers if m["type"] == kind})


def _sample(spec: dict[str, Any], sample: str, channel: int = 0) -> dict[str, Any]:
    return next(one for one in spec["channels"][channel]["samples"] if one["name"] == sample)


# ---- content -------------------------------------------------------------------------------------------------------


def test_pyhf_reads_it_and_expects_the_estimate() -> None:
    background, signal = estimate(1), plain([2.0, 6.0, 4.0, 1.0], [0.1, 0.2, 0.1, 0.1])
    spec = json.loads(json.dumps(workspace({"multijet": background}, {"hh": signal}), allow_nan=False))
    pyhf.schema.validate(spec, "workspace.json", version="1.0.0")
    model = pyhf.Workspace(spec).model()
    start = model.config.suggested_init()
    start[model.config.poi_index] = 1.0
    expected = background.nominal + np.r_[signal.nominal, np.zeros(4)]
    np.testing.assert_allclose(model.expected_actualdata(start), expected, rtol=1e-12)


def test_without_signal_there_is_no_strength() -> None:
    spec = workspace({"multijet": estimate(1)})
    assert spec["measurements"][0]["config"]["poi"] == ""
    assert pyhf.Workspace(spec).model().config.poi_index is None


def test_all_components_give_the_covariance_across_channels() -> None:
    background = estimate(1, replicas=50)
    spec = workspace({"multijet": background}, keep=1.0)
    expected = background.covariance()
    np.testing.assert_allclose(_covariance(spec, ("multijet",)), expected, rtol=1e-6, atol=1e-6 * expected.max())


@pytest.mark.parametrize("keep", [0.5, 0.9, 0.999])
def test_the_variance_of_every_bin_is_exact_however_many_components_are_kept(keep: float) -> None:
    rng = np.random.default_rng(9)
    background = estimate(1)
    rows = background.nominal * (1.0 + 0.1 * rng.normal(size=(40, 8)))
    background = replace(background, replicas={**background.replicas, "noise": rows}, seeds={"data": 7, "noise": 1})
    spec = workspace({"multijet": background}, keep=keep)
    found, expected = _covariance(spec, ("multijet",)), background.covariance()
    np.testing.assert_allclose(np.diag(found), np.diag(expected), rtol=1e-12)
    fewer = [name for name in _nuisances(spec) if "noise" in name]
    assert len(fewer) < 8 or keep > 0.99


def test_a_channel_of_many_events_leaves_the_components_of_one_of_few() -> None:
    rng = np.random.default_rng(4)
    nominal = np.array([100.0, 60.0, 1e6, 1e6])
    rows = nominal * (1.0 + np.repeat(rng.normal(size=(60, 2)) * [0.2, 0.001], 2, axis=1))
    background = Estimate(channels(2), nominal, nominal, {"data": rows}, {}, {"data": 1})
    found, expected = _covariance(workspace({"multijet": background}, keep=0.7), ("multijet",)), background.covariance()
    assert found[0, 1] == pytest.approx(expected[0, 1], rel=0.05)


def test_equal_blocks_are_the_same_resamples_in_all_samples() -> None:
    first, second = estimate(1), estimate(2, level=30.0)
    spec = workspace({"a": first, "b": second}, keep=1.0)
    expected = (first + second).covariance()
    np.testing.assert_allclose(_covariance(spec, ("a", "b")), expected, rtol=1e-6, atol=1e-6 * expected.max())
    assert [name for name in _nuisances(spec) if "_pc" in name] == [f"data_pc{i}" for i in range(1, 7)]


def test_a_variation_of_several_samples_is_one_nuisance() -> None:
    first, second = estimate(1, variations=("jes", "own")), estimate(2, variations=("jes",), block="other")
    spec = workspace({"a": first, "b": second}, keep=1.0)
    expected = (first + second).covariance()
    np.testing.assert_allclose(_covariance(spec, ("a", "b")), expected, rtol=1e-6, atol=1e-6 * expected.max())
    names = set(_nuisances(spec))
    assert {"jes", "a_own", "a_data_pc1", "b_other_pc1"} <= names
    assert not {"a_jes", "b_jes", "own"} & names
    assert _nuisances(spec, "shapesys") == ["a_SR_stat", "a_VR_stat", "b_SR_stat", "b_VR_stat"]


def test_what_two_samples_have_counted_is_no_nuisance_of_both() -> None:
    shifts = {"counts_1": ([11.0], [9.0]), "jes": ([12.0], [8.0])}
    pairs = {name: (np.array(up), np.array(down)) for name, (up, down) in shifts.items()}
    one = Estimate(channels(1, ("SR",)), np.array([10.0]), np.zeros(1), {}, pairs, {}, frozenset({"counts_1"}))
    spec = workspace({"a": one, "b": one})
    assert _nuisances(spec) == ["a_counts_1", "b_counts_1", "jes"]
    assert _covariance(spec, ("a", "b")).sum() == pytest.approx((one + one).covariance().sum())


def test_axes_of_two_dimensions_are_flattened_in_c_order() -> None:
    axes = (hist.axis.Regular(2, 0, 1, name="m"), hist.axis.Regular(3, 0, 1, name="pt"))
    channel = Channel("SR", Region("SR", "tag == 0"), axes)
    background = Estimate((channel,), np.arange(1.0, 7.0), np.arange(1.0, 7.0))
    counts = np.arange(10.0, 16.0).reshape(2, 3)
    spec = workspace({"multijet": background}, observed={"SR": counts})
    assert _sample(spec, "multijet")["data"] == background.nominal.tolist()
    assert spec["observations"][0]["data"] == counts.reshape(-1).tolist()


# ---- data ----------------------------------------------------------------------------------------------------------


def _events(n: int = 300, **given: Any) -> Events:
    rng = np.random.default_rng(1)
    return Events.of({"m": rng.uniform(size=n), "tag": rng.integers(0, 2, n).astype(float)}, **given)


def test_rows_are_counted_and_a_channel_without_data_is_labelled() -> None:
    data = _events()
    background = template(0.5 * _events(2000), channels())
    spec = workspace({"multijet": background}, observed={"SR": data, "VR": None})
    inside = data.select(Region("SR", "tag == 0"))
    assert spec["observations"][0]["data"] == np.histogram(inside["m"], 4, (0, 1))[0].tolist()
    assert spec["observations"][1]["data"] == background.nominal[4:].tolist()
    assert spec["measurements"][0]["name"] == "observed-SR.asimov-VR"
    assert fit(spec).asimov_channels == ("VR",)


def test_a_sealed_channel_cannot_be_put_in_and_observe_gives_asimov() -> None:
    sealed = _events(seal=Region("SR", "tag == 0"))
    background = template(0.5 * _events(2000), channels())
    with pytest.raises(BlindedError, match="SR"):
        workspace({"multijet": background}, observed={"SR": sealed})
    everything = Region.everything()
    spec = workspace(
        {"multijet": background}, observed={c.name: observe(sealed, c, everything) for c in background.channels}
    )
    assert spec["measurements"][0]["name"] == "observed-VR.asimov-SR"


def test_sealed_rows_change_no_byte_of_the_workspace() -> None:
    background = template(0.5 * _events(2000), channels())
    rng = np.random.default_rng(1)
    columns = {"m": rng.uniform(size=300), "tag": rng.integers(0, 2, 300).astype(float)}
    inside = columns["tag"] == 0
    texts = []
    for change in (lambda m: m, lambda m: np.where(inside, np.nan, m), lambda m: np.where(inside, 0.9, m)):
        data = Events.of({**columns, "m": change(columns["m"])}, seal=Region("SR", "tag == 0"))
        observed = {c.name: observe(data, c, Region.everything()) for c in background.channels}
        texts.append(json.dumps(workspace({"multijet": background}, observed=observed)))
    assert len(set(texts)) == 1


@pytest.mark.parametrize(
    ("observed", "message"),
    [
        ({"SR": [1.0, 2.0, np.nan, 4.0]}, "observed: nan in bin 2 of channel 'SR'"),
        ({"SR": [1.0, -2.0, 3.0, 4.0]}, "observed: -2 in bin 1 of channel 'SR'"),
        ({"SR": [1.0, 2.0]}, r"shape \(2,\) for channel 'SR' of shape \(4,\)"),
        ({"SRR": [1.0, 2.0, 3.0, 4.0]}, "no channel 'SRR', did you mean 'SR'"),
        ({"SR": 0.5 * _events()}, "rows of channel 'SR' are weighted"),
    ],
)
def test_what_is_no_count_is_refused(observed: dict[str, Any], message: str) -> None:
    with pytest.raises(ExportError, match=message):
        workspace({"multijet": estimate(1)}, observed=observed)


# ---- yields that a likelihood cannot hold --------------------------------------------------------------------------


@pytest.mark.parametrize("value", [0.0, -2.0])
def test_an_empty_or_negative_bin_is_refused_by_name(value: float) -> None:
    background = plain([10.0, 8.0, value, 5.0], [1.0, 1.0, 1.0, 1.0])
    message = (
        rf"the nominal yield is {value:g} in channel 'SR' \(region 'SR'\), sample 'multijet', bin 2 \(m 0.5 to 0.75\)"
    )
    with pytest.raises(ExportError, match=message):
        workspace({"multijet": background})


@pytest.mark.parametrize("side", [0, 1])
def test_a_variation_that_empties_a_bin_is_refused_by_name(side: int) -> None:
    background = plain([10.0, 8.0], [1.0, 1.0], names=("SR", "VR"))
    pair = [np.array([11.0, 9.0]), np.array([9.0, 7.0])]
    pair[side][1] = -0.5
    message = (
        rf"variation 'jes' \({('up', 'down')[side]}\) is -0.5 in channel 'VR' \(region 'VR'\), sample 'multijet', bin 0"
    )
    with pytest.raises(ExportError, match=message):
        workspace({"multijet": background.with_variation("jes", *pair)})


def test_a_floor_keeps_the_variance_and_is_recorded() -> None:
    background = plain([10.0, 0.0, -1.0, 5.0], [1.0, 0.0, 4.0, 1.0])
    background = background.with_variation("jes", np.array([11.0, 0.5, -2.0, -1.0]), np.array([9.0, 0.1, 0.0, 7.0]))
    spec = workspace({"multijet": background}, empty=0.1)
    assert _sample(spec, "multijet")["data"] == [10.0, 0.1, 0.1, 5.0]
    shape = next(m for m in _sample(spec, "multijet")["modifiers"] if m["name"] == "multijet_jes")
    assert shape["data"] == {"hi_data": [11.0, 0.1, 0.1, 0.1], "lo_data": [9.0, 0.1, 0.1, 7.0]}
    found, expected = np.diag(_covariance(spec, ("multijet",))), np.diag(background.covariance())
    np.testing.assert_allclose(found, np.maximum(expected, [0.0, 0.1**2, 0.0, 0.0]), rtol=1e-12)
    assert spec["measurements"][0]["name"] == "asimov-SR.floor-multijet-SR-1-2-3"
    result = fit(spec)
    assert any("bins 1, 2, 3 was set to the floor" in note for note in result.notes)


def test_a_factor_that_is_hardly_known_has_room() -> None:
    spec = workspace({"multijet": plain([10.0, -1.0], [1.0, 9.0])}, observed={"SR": [10.0, 4.0]}, empty=0.1)
    wide = {one["name"]: one["bounds"] for one in spec["measurements"][0]["config"]["parameters"]}
    assert wide["multijet_SR_stat"][0] == [1e-10, 10.0]
    assert wide["multijet_SR_stat"][1][1] == pytest.approx(1.0 + 10.0 * 3.0 / 0.1)
    measured = (0.1 / 3.0) ** 2
    assert fit(spec).postfit["SR"].total[1] == pytest.approx(0.1 * (4.0 + measured) / (0.1 + measured), rel=1e-6)


def test_a_signal_may_be_empty_but_not_negative() -> None:
    background = plain([10.0, 8.0], [1.0, 1.0])
    spec = workspace({"multijet": background}, {"hh": plain([3.0, 0.0], [0.1, 0.0])})
    assert _sample(spec, "hh")["data"] == [3.0, 0.0]
    assert fit(spec).value == pytest.approx(0.0, abs=1e-6)
    for values, variances in (([3.0, -0.1], [0.1, 0.0]), ([3.0, 0.0], [0.1, 0.2])):
        with pytest.raises(ExportError, match="sample 'hh', bin 1"):
            workspace({"multijet": background}, {"hh": plain(values, variances)})


def _spread_out(relative: list[float], level: list[float]) -> Estimate:
    rng = np.random.default_rng(2)
    nominal = np.array(level)
    rows = nominal * (1.0 + rng.normal(size=(40, 1)) * np.array(relative))
    return Estimate(channels(len(level), ("SR",)), nominal, 0.1 * nominal, {"data": rows}, {}, {"data": 1})


def test_replicas_beyond_the_yield_of_a_tiny_bin_become_its_own_factor() -> None:
    background = _spread_out([0.1, 0.1, 1.5], [100.0, 50.0, 0.2])
    spec = workspace({"multijet": background}, keep=1.0)
    found, expected = _covariance(spec, ("multijet",)), background.covariance()
    np.testing.assert_allclose(np.diag(found), np.diag(expected), rtol=1e-12)
    np.testing.assert_allclose(found[:2, :2], expected[:2, :2], rtol=1e-9)
    assert not found[2, :2].any()
    for modifier in _sample(spec, "multijet")["modifiers"]:
        if modifier["type"] == "histosys":
            assert min(modifier["data"]["lo_data"]) > 0.0
    assert spec["measurements"][0]["name"] == "asimov-SR.uncorrelated-multijet-SR-2"
    assert any("replicas spread by more than the yield in bin 2" in note for note in fit(spec).notes)


def test_replicas_beyond_the_yield_of_bins_that_matter_are_refused() -> None:
    message = r"the replicas spread by .* around a yield of 50 \(mostly 'multijet_data_pc1'\) in channel 'SR' .* bin 1 "
    with pytest.raises(ExportError, match=message):
        workspace({"multijet": _spread_out([0.1, 1.5, 0.1], [100.0, 50.0, 20.0])})
    with pytest.raises(ExportError, match="and 19 more bins"):
        workspace({"multijet": _spread_out([1.5] * 20, [0.5] * 20)})


# ---- names, channels, settings -------------------------------------------------------------------------------------


def test_names_are_cleaned_and_never_shared() -> None:
    made = workspace({"multi-jet (4b)": estimate(1, names=("SR 4b", "VR"))}, observed={"SR 4b": [1.0] * 4})
    assert [channel["name"] for channel in made["channels"]] == ["SR_4b", "VR"]
    assert made["channels"][0]["samples"][0]["name"] == "multi_jet_4b"
    assert made["measurements"][0]["name"] == "observed-SR_4b.asimov-VR"
    first, second = estimate(1), estimate(2, block="other")
    with pytest.raises(ExportError, match="'a_b' would stand for both sample 'a b' and sample 'a-b'"):
        workspace({"a b": first, "a-b": second})
    with pytest.raises(ExportError, match="would stand for both channel 'SR 1' and channel 'SR-1'"):
        workspace({"a": estimate(1, names=("SR 1", "SR-1"))})
    clash = {"a": estimate(1, variations=("b_c",)), "a_b": estimate(2, variations=("c",), block="other")}
    with pytest.raises(ExportError, match="nuisance name 'a_b_c' would stand for both"):
        workspace(clash)
    with pytest.raises(ExportError, match="nuisance name 'a_mu' would stand for both"):
        workspace({"a": estimate(1, variations=("mu",))}, {"s": plain([1.0] * 4, [0.0] * 4)}, poi="a_mu")


def test_channels_that_may_share_rows_are_refused() -> None:
    axis = (hist.axis.Regular(2, 0, 1, name="m"),)
    pair = (Channel("SR", Region("SR", "m > 0.5"), axis), Channel("VR", Region("VR", "m > 0.4"), axis))
    with pytest.raises(CutError, match=re.escape("channels 'SR' and 'VR' may share rows")):
        workspace({"multijet": Estimate(pair, np.ones(4), np.ones(4))})


def test_channels_that_differ_between_samples_are_refused() -> None:
    first, second = plain([10.0, 9.0], [1.0, 1.0]), plain([10.0, 9.0, 8.0], [1.0, 1.0, 1.0])
    with pytest.raises(ExportError, match="channel 'SR' of sample 'b' is not that of 'a'"):
        workspace({"a": first, "b": second})
    with pytest.raises(ExportError, match="channel 'VR' has a signal but no background"):
        workspace({"a": first}, {"s": plain([1.0, 1.0, 1.0, 1.0], [0.0] * 4, names=("SR", "VR"))})


def test_blocks_of_other_resamples_are_refused() -> None:
    first, second = estimate(1), estimate(2, replicas=20)
    with pytest.raises(ExportError, match=r"replica block 'data' has 30 replicas of seed 7 in sample 'a' and 20 of"):
        workspace({"a": first, "b": second})


def test_other_refusals() -> None:
    background = plain([10.0, 9.0], [1.0, 1.0])
    with pytest.raises(ExportError, match="no background"):
        workspace({})
    with pytest.raises(ExportError, match="'a' is both a background and a signal"):
        workspace({"a": background}, {"a": background})
    with pytest.raises(ExportError, match="signal is zero in every bin"):
        workspace({"a": background}, {"s": plain([0.0, 0.0], [0.0, 0.0])})
    with pytest.raises(ExportError, match="nothing to fit"):
        workspace({"a": plain([10.0, 9.0], [0.0, 0.0])})
    with pytest.raises(ConfigError, match="empty = -1"):
        workspace({"a": background}, empty=-1.0)
    with pytest.raises(ConfigError, match="poi = 'mu HH'"):
        workspace({"a": background}, {"s": background}, poi="mu HH")


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
@pytest.mark.parametrize("factor", [0.3, 1.0, 3.0])
def test_the_bounds_of_the_strength_never_bite(scale: float, factor: float) -> None:
    background = estimate(1, variations=())
    signal = scale * plain([2.0, 6.0, 4.0, 1.0], [0.0] * 4)
    data = {"SR": np.round(factor * background.nominal[:4]), "VR": np.round(factor * background.nominal[4:])}
    spec = workspace({"multijet": background}, {"hh": signal}, data)
    (strength,) = spec["measurements"][0]["config"]["parameters"]
    low, high = strength["bounds"][0]
    result = fit(spec)
    assert result.value is not None and result.limit_observed is not None and result.limit_expected is not None
    assert low < strength["inits"][0] < high
    assert low < result.value
    assert max(result.limit_observed, *result.limit_expected) < high
    assert low * signal.nominal[1] + background.nominal[1] > 0.0


def test_a_counting_experiment_written_by_hand_is_what_is_exported() -> None:
    spec = workspace({"multijet": plain([100.0], [25.0])}, {"hh": plain([10.0], [0.0])}, {"SR": [112.0]})
    by_hand = counting(112.0, 100.0, 10.0, 5.0)
    one, other = fit(spec), fit(by_hand)
    assert one.value == pytest.approx(other.value, abs=1e-7)
    assert one.limit_observed == pytest.approx(other.limit_observed, rel=1e-4)
