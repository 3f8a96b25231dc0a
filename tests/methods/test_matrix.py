"""The matrix method on leptons of known efficiencies, and what it refuses."""

from __future__ import annotations

from dataclasses import replace

import awkward as ak
import hist
import numpy as np
import pytest

import backdrop as bd
from backdrop import Channel, Objects, Region, Setup, estimate
from backdrop.errors import BlindedError, ConfigError, DataError, FitError
from backdrop.maps import BinnedMap
from backdrop.methods import load
from backdrop.methods.efficiency import Efficiency
from backdrop.methods.matrix import MatrixMethod, Number
from backdrop.synthetic import Leptons, leptons

TOY = Leptons({"RR": 5_000.0, "RF": 8_000.0, "FR": 6_000.0, "FF": 30_000.0})
REAL, FAKE = TOY.maps()
SR = Channel("SR", Leptons.pairs_region)
FAKES = ("RF", "FR", "FF")
AXES = REAL.axes
MEASURED_REAL = Efficiency(Leptons.z_region, AXES, tag="iso < 0.15", sample="data")
MEASURED_FAKE = Efficiency(Leptons.fake_region, AXES)


def predicted(method, events, *, replicas=0, channel=SR):
    return estimate(Setup(method, events), [channel], replicas=replicas, seed=1).total(channel.name)


def expected(truths, patterns=("TT",), toy=TOY):
    return toy.off_z * sum(toy.expected(truth, tight) for truth in truths for tight in patterns)


@pytest.mark.parametrize(
    ("settings", "truths", "patterns"),
    [
        ({}, FAKES, ("TT",)),
        ({"fakes": "RF"}, ("RF",), ("TT",)),
        ({"fakes": "FF"}, ("FF",), ("TT",)),
        ({"fakes": Number(0, 0)}, ("RR",), ("TT",)),
        ({"fakes": Number(1, 1)}, ("RF", "FR"), ("TT",)),
        ({"tight": Number(1, 1)}, FAKES, ("TL", "LT")),
        ({"tight": Number(1)}, FAKES, ("TT", "TL", "LT")),
        ({"tight": "not all", "fakes": Number(2)}, ("FF",), ("TL", "LT", "LL")),
        ({"tight": Number(0)}, FAKES, ("TT", "TL", "LT", "LL")),
    ],
    ids=str,
)
def test_every_composition_closes_in_every_target(settings, truths, patterns):
    found = predicted(MatrixMethod(TOY.objects, REAL, FAKE, **settings), TOY.draw(seed=7))
    assert abs(found.value - expected(truths, patterns)) < 4 * found.total


def test_pulls_are_those_of_a_unit_gaussian():
    """Each of the four regions of tight and anti-tight leptons expects 2000 events or more."""
    smaller = {truth: 0.4 * number for truth, number in TOY.events.items()}
    toy = replace(TOY, events=smaller, z=0.0, single_fakes=0.0, single_prompt=0.0)
    assert all(sum(toy.expected(truth, tight) for truth in smaller) > 2000 for tight in ("TT", "TL", "LT", "LL"))
    model = MatrixMethod(TOY.objects, REAL, FAKE).fit(toy.draw(seed=0), rng=np.random.default_rng(1))
    weights = [model.predict(toy.draw(seed=seed), SR.region).weight for seed in range(1, 101)]
    pulls = np.array([(one.sum() - expected(FAKES, toy=toy)) / np.sqrt((one**2).sum()) for one in weights])
    assert abs(pulls.mean()) < 3 / np.sqrt(100)
    assert abs(pulls.std(ddof=1) - 1) < 3 / np.sqrt(200)


def test_measured_efficiencies_close_and_their_errors_come_from_replicas():
    samples = leptons(seed=3, simulated=2.0, negative=0.1)
    method = MatrixMethod(TOY.objects, MEASURED_REAL, MEASURED_FAKE)
    toy = Leptons()
    for events in (samples["data"] - samples["prompt"], samples["data"] + -1.0 * samples["prompt"]):
        found = predicted(method, events, replicas=16)
        assert abs(found.value - expected(FAKES, toy=toy)) < 4 * found.total
    given = predicted(replace(method, real=toy.maps()[0], fake=toy.maps()[1]), samples["data"])
    assert found.statistical > given.statistical


def test_without_prompt_subtraction_the_fake_efficiency_is_too_high():
    samples = leptons(seed=3)
    method = MatrixMethod(TOY.objects, MEASURED_REAL, MEASURED_FAKE)
    naive = predicted(method, samples["data"], replicas=16)
    assert naive.value > expected(FAKES, toy=Leptons()) + 2 * naive.total


def test_truth_fakes_in_the_simulation_change_nothing():
    """The prompt sample keeps the events whose leptons are all prompt, whatever else its file holds."""
    prompt = Region("prompt", "all(lep_prompt)")
    method = MatrixMethod(TOY.objects, MEASURED_REAL, MEASURED_FAKE, sample="data")
    samples = leptons(seed=5, simulated=1.0, fakes=True)
    alone = samples["prompt"].select(prompt)
    assert len(alone) < len(samples["prompt"])
    events = [samples["data"] - one.select(prompt) for one in (samples["prompt"], alone)]
    first, second = (estimate(Setup(method, one), [SR], replicas=4, seed=1) for one in events)
    np.testing.assert_array_equal(first.nominal, second.nominal)
    np.testing.assert_array_equal(first.replicas["data"], second.replicas["data"])
    # left in, they are subtracted from the fakes that are measured, and nothing is left of these
    with pytest.raises(DataError, match=r"fake_efficiency in region 'single', .* is no efficiency between 0 and 1"):
        estimate(Setup(method, samples["data"] - samples["prompt"]), [SR], seed=1)


def test_jets_near_leptons_change_the_fakes_and_an_axis_of_them_repairs_it():
    toy = replace(TOY, single_fakes=40_000.0, overlap=0.5, overlap_factor=0.2, jets=0.5)
    data = toy.draw(seed=9)
    veto = Channel("SR", SR.region & Region("veto", "n_jets == 0"))
    true = toy.off_z * sum(toy.expected(truth, "TT", veto=True) for truth in FAKES)
    method = MatrixMethod(TOY.objects, REAL, MEASURED_FAKE)
    events = data - toy.simulation(seed=9)
    wrong = predicted(method, events, replicas=8, channel=veto)
    assert wrong.value < true - 4 * wrong.total
    jet = hist.axis.Integer(0, 2, name="lep_jet")
    repaired = replace(method, fake=Efficiency(Leptons.fake_region, (*AXES, jet)))
    right = predicted(repaired, events, replicas=8, channel=veto)
    assert abs(right.value - true) < 4 * right.total


def test_rows_of_one_sample_alone_are_weighted():
    samples = leptons(seed=3, events={"RR": 2000.0})
    events = samples["data"] - samples["prompt"]
    method = MatrixMethod(TOY.objects, REAL, FAKE)
    one = predicted(replace(method, sample="data"), events)
    both, alone = predicted(method, events), predicted(method, samples["data"])
    assert one.value == alone.value
    with pytest.raises(DataError, match="no sample 'dat' in these events, did you mean 'data'"):
        predicted(replace(method, sample="dat"), events)
    assert both.value != alone.value
    # prompt leptons are estimated not to be fake, subtracted or not
    assert abs(both.value) < 4 * both.total
    assert abs(alone.value) < 4 * alone.total


def test_nuisances_of_given_maps_are_variations_of_whole_bins():
    real, fake = TOY.maps(relative=0.05)
    method = MatrixMethod(TOY.objects, real, fake)
    found = estimate(Setup(method, TOY.draw(seed=2)), [SR], seed=1)
    assert len(found.variations) == 18
    assert {"real_stat_lep_pt0_lep_eta0", "fake_stat_lep_pt2_lep_eta1"} <= set(found.variations)
    up, down = found.variations["fake_stat_lep_pt0_lep_eta1"]
    assert up[0] > found.nominal[0] > down[0]


def test_slots_and_lists_give_the_same_weights():
    data = TOY.draw(seed=4).select(SR.region)
    flat = {f"{name}{i + 1}": np.asarray(data[f"lep_{name}"][:, i]) for name in ("pt", "eta", "iso") for i in (0, 1)}
    pairs = bd.Events.of(flat)
    rng = np.random.default_rng(1)
    lists = MatrixMethod(TOY.objects, REAL, FAKE).fit(data, rng=rng).predict(data, SR.region)
    method = MatrixMethod(Objects("lep", "iso < 0.15", ("{}1", "{}2")), REAL, FAKE)
    slots = method.fit(pairs, rng=rng).predict(pairs, Region.everything())
    np.testing.assert_array_equal(lists.weight, slots.weight)
    assert method.columns == ("pt1", "pt2", "eta1", "eta2", "iso1", "iso2")


@pytest.mark.parametrize(
    "settings", [{"fakes": "RF", "sample": "data"}, {"tight": Number(1, 1), "fakes": Number(2)}, {"tight": "not all"}]
)
def test_models_survive_saving(settings, tmp_path):
    data = TOY.draw(seed=4)
    model = MatrixMethod(TOY.objects, REAL, FAKE, **settings).fit(data, rng=np.random.default_rng(1))
    bd.io.save(model, tmp_path / "model")
    again = load(tmp_path / "model")
    np.testing.assert_array_equal(model.predict(data, SR.region).weight, again.predict(data, SR.region).weight)


def test_sealed_tight_rows_are_asked_for_and_refused():
    data = TOY.draw(seed=1)
    sealed = bd.Events.of(dict(data.columns), seal=SR.region & TOY.objects.all_tight())
    with pytest.raises(BlindedError, match="may overlap the sealed region"):
        predicted(MatrixMethod(TOY.objects, REAL, FAKE), sealed)


# ---- faults ----------------------------------------------------------------------------------------------------------


def one_bin(name, value, edges=(10.0, 100.0)):
    axis = hist.axis.Variable(edges, name="lep_pt")
    size = len(edges) - 1
    return BinnedMap(name, (axis,), np.full(size, value), np.zeros((size, size)))


def event(pt=(20.0, 30.0), iso=(0.1, 0.4)):
    return bd.Events.of({"lep_pt": ak.Array([list(pt)]), "lep_iso": ak.Array([list(iso)])})


def weights(real, fake, events=None, **settings):
    method, events = MatrixMethod(Objects("lep", "iso < 0.15"), real, fake, **settings), events or event()
    return method.fit(events, rng=np.random.default_rng(1)).predict(events, Region("pairs", "count(lep_pt > 0) == 2"))


@pytest.mark.parametrize(
    ("r", "f", "what"), [(0.3, 0.3, "not above"), (0.2, 0.3, "not above"), (0.3, 0.28, "less than 0.05")]
)
def test_efficiencies_that_are_close_are_refused(r, f, what):
    with pytest.raises(FitError) as caught:
        weights(one_bin("r_map", r), one_bin("f_map", f))
    message = str(caught.value)
    assert f"region 'pairs': r = {r:g} (r_map in lep_pt from 10 to 100) is {what}" in message
    assert f"f = {f:g} (f_map in lep_pt from 10 to 100), for 2 of 2 leptons" in message
    assert "likelihood form" in message


def test_a_close_bin_without_leptons_does_not_matter():
    r, f = one_bin("r", 0.9, (10.0, 50.0, 100.0)), one_bin("f", 0.2, (10.0, 50.0, 100.0))
    f = replace(f, values=np.array([0.2, 0.9]))
    assert np.isfinite(weights(r, f).weight).all()
    with pytest.raises(FitError, match="lep_pt from 50 to 100"):
        weights(r, f, event(pt=(20.0, 60.0)))


@pytest.mark.parametrize(
    ("r", "f", "message"),
    [
        (1.2, 0.2, "map 'r' is 1.2 in bin lep_pt from 10 to 100: a real efficiency is above 0, and 1 at most"),
        (0.0, 0.2, "map 'r' is 0 in bin"),
        (0.9, -0.1, "map 'f' is -0.1 in bin lep_pt from 10 to 100: a fake efficiency is 0 or more, below 1"),
        (0.9, 1.0, "map 'f' is 1 in bin"),
    ],
)
def test_unphysical_efficiencies_are_refused(r, f, message):
    with pytest.raises(DataError, match=message):
        weights(one_bin("r", r), one_bin("f", f))


def test_a_measurement_without_anti_tight_leptons_is_refused():
    """The fake efficiency would be one: nothing is loose there."""
    singles = TOY.draw(seed=1).select(TOY.objects.all_tight())
    with pytest.raises(DataError, match=r"'fake_efficiency' is 1 in bin lep_pt from 10 to 20, .*merge poor ones"):
        predicted(MatrixMethod(TOY.objects, REAL, MEASURED_FAKE), singles)


def test_a_channel_without_anti_tight_leptons_is_refused():
    tight = TOY.draw(seed=1).select(TOY.objects.all_tight())
    with pytest.raises(DataError, match="channel 'SR': no row with weight in region 'SS' & '~all lep tight'"):
        predicted(MatrixMethod(TOY.objects, REAL, FAKE), tight)


def test_an_empty_bin_of_a_measurement_is_named():
    few = TOY.draw(seed=1).select(Region("low", "all(lep_pt < 35)"))
    with pytest.raises(
        DataError, match=r"fake_efficiency in region 'single', lep_pt from 35 to 100, lep_eta from -2.5"
    ):
        predicted(MatrixMethod(TOY.objects, REAL, MEASURED_FAKE), few)


def test_a_lepton_outside_the_map_is_named():
    with pytest.raises(DataError, match="column 'lep_pt' has 1 of 2 values outside map 'r', the first 300"):
        weights(one_bin("r", 0.9), one_bin("f", 0.2), event(pt=(20.0, 300.0)))
    clamped = replace(one_bin("r", 0.9), flow="clamp"), replace(one_bin("f", 0.2), flow="clamp")
    assert np.isfinite(weights(*clamped, event(pt=(20.0, 300.0))).weight).all()


@pytest.mark.parametrize("column", ["lep_pt", "lep_iso"])
def test_undefined_kinematics_are_named(column):
    broken = event(**{column.removeprefix("lep_"): (20.0, np.nan)})
    region = Region("all", "true")
    model = MatrixMethod(Objects("lep", "iso < 0.15"), one_bin("r", 0.9), one_bin("f", 0.2)).fit(
        broken, rng=np.random.default_rng(1)
    )
    with pytest.raises(DataError, match=f"column '{column}' has 1 NaN or infinite values of 2 in region 'all'"):
        model.predict(broken, region)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"closest": 0.0}, "between 0 and 1, not 0"),
        ({"fakes": "RX"}, "not 'RX'"),
        ({"tight": "some"}, "not 'some'"),
        ({"leptons": Objects("lep")}, "do not say which are tight"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    given = {"leptons": Objects("lep", "iso < 0.15"), "real": one_bin("r", 0.9), "fake": one_bin("f", 0.2)}
    with pytest.raises(ConfigError, match=message):
        MatrixMethod(**{**given, **settings})
