"""The likelihood matrix method on leptons of known efficiencies, against the algebraic one, and what it refuses."""

from __future__ import annotations

from dataclasses import replace

import awkward as ak
import hist
import numpy as np
import pytest

import backdrop as bd
from backdrop import Channel, Events, Objects, Region, Setup, estimate
from backdrop.errors import BlindedError, ConfigError, DataError, FitError
from backdrop.maps import BinnedMap
from backdrop.methods.efficiency import Efficiency
from backdrop.methods.likelihood_matrix import LikelihoodMatrix, LikelihoodMatrixModel, exact_interval, interval
from backdrop.methods.matrix import MatrixMethod, Number
from backdrop.synthetic import Leptons

TOY = Leptons({"RR": 5_000.0, "RF": 8_000.0, "FR": 6_000.0, "FF": 30_000.0}, z=0.0, single_fakes=0.0, single_prompt=0.0)
REAL, FAKE = TOY.maps()
MET = hist.axis.Regular(3, 0, 90, name="met", label="missing momentum [GeV]")
SR = Channel("SR", Leptons.pairs_region)
BINNED = Channel("SR", Leptons.pairs_region, (MET,))
METHOD = LikelihoodMatrix(TOY.objects, REAL, FAKE)
DATA = TOY.draw(seed=7)
ANY = np.random.default_rng(1)


def found(method, events, channel=SR):
    return estimate(Setup(method, events), [channel], seed=1)


def expected(truths=("RF", "FR", "FF"), patterns=("TT",), toy=TOY):
    return toy.off_z * sum(toy.expected(truth, tight) for truth in truths for tight in patterns)


def one_bin(r, f, dr=0.0, df=0.0):
    axis = hist.axis.Variable([0, 100], name="lep_pt")
    pairs = (("real_efficiency", r, dr), ("fake_efficiency", f, df))
    return tuple(BinnedMap(n, (axis,), np.array([e]), np.array([[d**2]]), bounds=(0, 1)) for n, e, d in pairs)


def singles(tight, loose, weight=1.0, sample="data", **columns):
    """Events of one lepton, at a pt of 20."""
    iso = np.repeat([0.1, 0.4], [tight, loose])
    return Events.of({"pt1": np.full(len(iso), 20.0), "iso1": iso, **columns}, sample=sample, weight=weight * (iso > 0))


ONE = Objects("lep", "iso < 0.15", ("{}1",))
ALL = Channel("all", Region("all", "pt1 > 0"))


# ---- against the algebraic form --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"fakes": "RF"},
        {"fakes": "FF"},
        {"fakes": Number(0, 0)},
        {"fakes": Number(1, 1)},
        {"tight": Number(1, 1)},
        {"tight": "not all", "fakes": Number(2)},
        {"tight": Number(0)},
    ],
    ids=str,
)
def test_at_large_counts_it_is_the_algebraic_form(settings):
    algebraic = found(MatrixMethod(TOY.objects, REAL, FAKE, **settings), DATA).total("SR")
    ours = found(replace(METHOD, **settings), DATA).total("SR")
    assert ours.value == pytest.approx(algebraic.value, rel=1e-6)
    assert ours.statistical == pytest.approx(algebraic.statistical, rel=0.02)


def test_the_maps_nuisances_are_the_algebraic_forms_variations():
    real, fake = TOY.maps(0.05)
    fake = replace(fake, variations={"composition": (1.1 * fake.values, 0.9 * fake.values)})
    algebraic = found(MatrixMethod(TOY.objects, real, fake), DATA)
    ours = found(LikelihoodMatrix(TOY.objects, real, fake), DATA)
    names = [name for name in ours.variations if not name.startswith("counts")]
    assert set(names) == set(algebraic.variations)
    assert "fake_composition" in names and "real_stat_lep_pt2_lep_eta1" in names
    for name in names:
        up, down = ours.variations[name]
        theirs = algebraic.variations[name]
        assert (up - down) / 2 == pytest.approx((theirs[0] - theirs[1]) / 2, rel=0.05, abs=0.5)
    assert ours.total("SR").systematic == pytest.approx(algebraic.total("SR").systematic, rel=0.02)


def test_three_and_four_leptons_beside_two():
    toy = replace(TOY, events={"RF": 3_000.0, "FFF": 9_000.0, "RRF": 3_000.0, "RRRR": 900.0, "RFFF": 6_000.0})
    data, everywhere = toy.draw(seed=3), Channel("all", Region("all", "met >= 0"))
    ours = found(METHOD, data, everywhere).total("all")
    true = sum(toy.expected(truth, "T" * len(truth)) for truth in toy.events if "F" in truth)
    assert abs(ours.value - true) < 4 * ours.total


# ---- small counts ----------------------------------------------------------------------------------------------------


def test_it_is_zero_or_more_where_the_algebraic_form_is_negative():
    real, fake = one_bin(0.9, 0.2, 0.01, 0.02)
    few = singles(95, 3)
    algebraic = found(MatrixMethod(ONE, real, fake), few, ALL).nominal[0]
    ours = found(LikelihoodMatrix(ONE, real, fake), few, ALL)
    assert algebraic < -1.0
    assert 0.0 <= ours.nominal[0] < 1e-4
    for up, down in ours.variations.values():
        assert (up >= 0.0).all() and (down >= 0.0).all()
    assert ours.variations["counts_1"][0][0] > 0.1


def test_it_is_finite_where_real_and_fake_leptons_are_alike():
    real, fake = one_bin(0.4, 0.4, 0.05, 0.05)
    ours = found(LikelihoodMatrix(ONE, real, fake), singles(40, 60), ALL)
    up, down = ours.variations["counts_1"]
    assert down[0] == pytest.approx(0.0, abs=1e-3)
    assert up[0] > 40.0
    assert all(np.isfinite(pair).all() for pair in ours.variations.values())


def test_it_is_finite_where_they_are_alike_in_several_bins_of_two_leptons():
    axis = hist.axis.Variable([0, 20, 100], name="lep_pt")
    real, fake = (BinnedMap(n, (axis,), np.full(2, 0.2), np.eye(2) * 1e-4) for n in ("real", "fake"))
    pairs = Events.of(
        {"pt1": np.full(40, 25.0), "pt2": np.full(40, 15.0), "iso1": np.tile([0.1, 0.4], 20), "m": np.arange(40) % 2.0}
        | {"iso2": np.repeat([0.1, 0.4], 20)},
        sample="data",
    )
    two = Channel("two", Region("two", "m >= 0"), (hist.axis.Regular(2, 0, 2, name="m"),))
    ours = found(LikelihoodMatrix(Objects("lep", "iso < 0.15", ("{}1", "{}2")), real, fake), pairs, two)
    assert np.isfinite(ours.covariance()).all()
    assert (ours.nominal >= 0.0).all()


def test_the_profile_interval_holds_the_efficiencies_errors():
    events, region = singles(600, 400), ALL.region
    known, vague = (LikelihoodMatrix(ONE, *one_bin(0.9, 0.2, *errors)) for errors in ((0, 0), (0.02, 0.04)))
    low, high = interval(known, region, events)
    wide = interval(vague, region, events)
    parts = found(vague, events, ALL).total("all")
    assert wide[1] - wide[0] > 2 * (high - low)
    assert (wide[1] - wide[0]) / 2 == pytest.approx(parts.total, rel=0.05)
    assert interval(known, region, events, level=0.9545)[0] < low


def test_exact_intervals_are_wider_than_the_profiles_at_small_counts():
    method, few = LikelihoodMatrix(ONE, *one_bin(0.9, 0.2)), singles(5, 3)
    low, high = exact_interval(method, ALL.region, few, toys=500)
    assert 0.0 <= low < found(method, few, ALL).nominal[0] < high
    with pytest.raises(DataError, match="2 numbers of leptons"):
        exact_interval(METHOD, Region("all", "met >= 0"), replace(TOY, events={"RF": 50.0, "FFF": 50.0}).draw(seed=1))


# ---- bins, channels, other samples -----------------------------------------------------------------------------------


def test_the_fit_of_a_channel_is_not_the_sum_of_its_poor_bins():
    """Every empty or negative bin is zero and more, so their sum is too large; the channel's is the total fit."""
    toy = replace(TOY, events={"RR": 300.0, "RF": 4.0, "FR": 3.0, "FF": 10.0})
    fine = Channel("SR", Leptons.pairs_region, (hist.axis.Regular(8, 0, 240, name="met"),))
    whole = Channel("SR", Region("in range", f"({Leptons.pairs_region.cut}) & (met < 240)"))
    sums: dict[str, list[float]] = {"bin": [], "channel": [], "algebraic": []}
    for seed in range(6):
        data = toy.draw(seed=seed)
        for per in ("bin", "channel"):
            sums[per].append(found(replace(METHOD, per=per), data, fine).nominal.sum())
        total = found(METHOD, data, whole).nominal[0]
        assert sums["channel"][-1] == pytest.approx(total, rel=1e-6, abs=1e-6)
        sums["algebraic"].append(found(MatrixMethod(TOY.objects, REAL, FAKE), data, fine).nominal.sum())
    assert np.mean(sums["bin"]) > np.mean(sums["channel"]) + 1.0
    assert abs(np.mean(sums["channel"]) - np.mean(sums["algebraic"])) < 1.5


def test_a_channels_yield_is_shared_out_with_its_statistical_error():
    bins, channel = (found(replace(METHOD, per=per), DATA, BINNED) for per in ("bin", "channel"))
    shares = TOY.met_shares(np.asarray(MET.edges))
    errors = np.sqrt(np.diag(channel.covariance()))
    assert (np.abs(channel.nominal - expected() * shares) < 4 * errors).all()
    assert channel.total("SR").statistical == pytest.approx(bins.total("SR").statistical, rel=0.02)
    assert channel.total("SR").value == pytest.approx(bins.total("SR").value, rel=1e-4)


def test_a_bin_without_rows_has_an_upper_side():
    far = Channel("SR", Leptons.pairs_region, (hist.axis.Variable([0, 60, 5000, 6000], name="met"),))
    ours = found(METHOD, DATA, far)
    up, down = ours.variations["counts_3"]
    assert ours.nominal[2] == pytest.approx(0.0, abs=1e-5) and down[2] == pytest.approx(0.0, abs=1e-5)
    assert 0.05 < up[2] < 1.0


@pytest.mark.parametrize("prompt", ["fitted", "expected"])
def test_measured_efficiencies_and_subtracted_prompt_events_close(prompt):
    toy = Leptons()
    data, simulation = toy.draw(seed=3), toy.simulation(seed=3, size=2.0, negative=0.1)
    real = Efficiency(Leptons.z_region, REAL.axes, tag="iso < 0.15", sample="data")
    method = LikelihoodMatrix(toy.objects, real, Efficiency(Leptons.fake_region, REAL.axes), prompt=prompt)
    ours = found(method, data - simulation)
    assert abs(ours.total("SR").value - expected(toy=toy)) < 4 * ours.total("SR").total
    assert {"counts_1", "real_stat_lep_pt0_lep_eta0", "fake_stat_lep_pt2_lep_eta2"} <= ours.variations.keys()


def test_prompt_events_that_are_known_leave_a_smaller_error():
    prompt = TOY.simulation(seed=3, size=10.0)
    fitted, known = (found(replace(METHOD, prompt=p), DATA - prompt).total("SR") for p in ("fitted", "expected"))
    assert known.statistical < 0.97 * fitted.statistical
    assert abs(known.value - expected()) < 4 * known.total


def test_rows_share_the_yield_and_none_is_negative():
    """All rows have one composition, so that they add up to the fit."""
    model = bd.fitted(Setup(METHOD, DATA), seed=1)
    rows = model.predict(DATA, Region.everything())
    total = found(METHOD, DATA, Channel("all", Region("all", "met >= 0"))).nominal[0]
    assert (rows.weight >= 0.0).all() and len(rows) == len(DATA)
    assert rows.weight.sum() == pytest.approx(total, rel=0.05)
    beside = model.predict(DATA - TOY.simulation(seed=1), Region.everything())
    assert beside.weight.sum() == pytest.approx(rows.weight.sum())


def test_a_selection_is_part_of_every_role():
    high = Region("high met", "met > 40")
    selected, cut = replace(METHOD, selection=high), Channel("SR", Leptons.pairs_region & high)
    assert found(selected, DATA).nominal == pytest.approx(found(METHOD, DATA, cut).nominal, rel=1e-9)
    assert selected.target == high & METHOD.target
    assert (bd.fitted(Setup(selected, DATA), seed=1).predict(DATA, SR.region)["met"] > 40).all()


def test_settings_survive_saving():
    method = replace(METHOD, tight=Number(1, 1), fakes="RF", per="channel", selection=Region("high", "met > 40"))
    model = bd.fitted(Setup(method, DATA), seed=1)
    again = LikelihoodMatrixModel.from_state(model.state())
    assert (again.method.tight, again.method.fakes, again.method.per) == (Number(1, 1), "RF", "channel")
    assert again.method.selection == method.selection
    assert np.array_equal(again.predict(DATA, SR.region).weight, model.predict(DATA, SR.region).weight)


def test_weighted_data_give_half_the_yield_and_half_its_error():
    one, half = found(METHOD, DATA), found(METHOD, 0.5 * DATA)
    assert half.nominal == pytest.approx(0.5 * one.nominal, rel=1e-6)
    assert half.total("SR").statistical == pytest.approx(0.5 * one.total("SR").statistical, rel=1e-4)


# ---- what is refused -------------------------------------------------------------------------------------------------


def test_unphysical_efficiencies_are_named():
    real, fake = one_bin(0.9, 0.2)
    with pytest.raises(DataError, match=r"map 'fake_efficiency' is 1\.2 in bin lep_pt from 0 to 100"):
        LikelihoodMatrix(ONE, real, replace(fake, values=np.array([1.2]), bounds=(-np.inf, np.inf)))
    with pytest.raises(FitError, match=r"r = 0\.2 \(fake_efficiency in lep_pt from 0 to 100\) is below f = 0\.9"):
        found(LikelihoodMatrix(ONE, fake, real), singles(60, 20), ALL)


def test_choices_that_are_none_are_refused():
    for settings, text in (
        ({"per": "row"}, "per is 'bin' or 'channel', not 'row'"),
        ({"prompt": "known"}, "prompt is 'fitted' or 'expected'"),
        ({"tight": "none"}, "tight is 'all', 'not all'"),
        ({"fakes": "RX"}, "one R .prompt. or F .fake."),
    ):
        with pytest.raises(ConfigError, match=text):
            replace(METHOD, **settings)


def test_leptons_that_are_in_no_bin_are_refused():
    method = LikelihoodMatrix(ONE, *one_bin(0.9, 0.2))
    for pt, text in ((np.nan, "'lep_pt' has 4 NaN"), (300.0, "'lep_pt' has 4 of 4 values outside map")):
        events = singles(3, 1).with_columns({"pt1": np.full(4, pt), "here": np.ones(4)})
        with pytest.raises(DataError, match=text):
            found(method, events, Channel("all", Region("all", "here > 0")))


@pytest.mark.parametrize("settings", [{}, {"fakes": "RF"}])
def test_channels_without_the_wanted_leptons_are_named(settings):
    events = singles(6, 4)
    lists = {name: ak.unflatten(events[name + "1"], [0] * 5 + [1] * 10) for name in ("pt", "iso")}
    events = Events.of(
        {"lep_pt": lists["pt"], "lep_iso": lists["iso"], "m": np.repeat([0.0, 1.0], [5, 10])}, sample="data"
    )
    method = LikelihoodMatrix(Objects("lep", "iso < 0.15"), *one_bin(0.9, 0.2), **settings)
    none = Channel("none", Region("none", "m < 1" if not settings else "m > 0"))
    with pytest.raises(
        DataError, match=r"channel 'none': no row of sample 'data' has leptons 'lep' in the composition"
    ):
        found(method, events, none)


def test_counts_that_are_none_are_refused():
    method = LikelihoodMatrix(ONE, *one_bin(0.9, 0.2), prompt="expected")
    with pytest.raises(DataError, match="no sample 'data'"):
        found(method, singles(9, 9, sample="mc"), ALL)
    with pytest.raises(DataError, match="region 'far' holds 0 rows"):
        found(method, singles(9, 9), Channel("far", Region("far", "pt1 > 50")))
    with pytest.raises(DataError, match="add 3 to a pattern of tight leptons in region 'all'"):
        found(method, singles(9, 9) + singles(3, 3, sample="prompt"), ALL)
    with pytest.raises(DataError, match=r"sample 'data' has a negative sum of weights \(-3\)"):
        found(method, singles(9, 0) + singles(0, 3, weight=-1.0), ALL)


def test_too_many_leptons_are_refused():
    toy = replace(TOY, events={"RRRRRRR": 5.0})
    with pytest.raises(DataError, match="rows with 7 lep"):
        found(METHOD, toy.draw(seed=1), Channel("all", Region("all", "met >= 0")))


def test_a_sealed_target_is_not_read():
    target = Leptons.pairs_region & METHOD.target
    sealed = Events.of({name: DATA[name] for name in DATA.columns}, seal=target)
    with pytest.raises(BlindedError, match="SS"):
        found(METHOD, sealed)
