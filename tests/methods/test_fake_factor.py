"""Fake factor: its formula, closure on known truth, coherent systematics, composition, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import awkward as ak
import hist
import numpy as np
import pytest

from backdrop import Channel, Region, Setup, estimate
from backdrop.correction import read_maps, write_maps
from backdrop.errors import BlindedError, DataError
from backdrop.estimate import maps
from backdrop.events import Events, Objects
from backdrop.io import read
from backdrop.maps import BinnedMap
from backdrop.methods import FakeFactor
from backdrop.methods.efficiency import Efficiency
from backdrop.methods.fake_factor import fake_factor
from backdrop.synthetic import Leptons
from backdrop.validation import Closure, closure

_TOY = Leptons()
_PT, _ETA = (hist.axis.Variable(edges, name=name) for edges, name in ((_TOY.pt, "lep_pt"), (_TOY.eta, "lep_eta")))
_MET = hist.axis.Variable([0, 20, 45, 80, 500], name="met", label="$E_T^{miss}$ [GeV]")
_SR = Channel("SR", _TOY.pairs_region, (_MET,))
_METHOD = FakeFactor(_TOY.objects, Efficiency(_TOY.fake_region, (_PT, _ETA)))
_ANY = np.random.default_rng(0)


def _truth(toy: Leptons = _TOY) -> float:
    return toy.off_z * sum(toy.expected(truth, "TT") for truth in toy.events if "F" in truth)


# ---- the formula -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_weights_are_the_product_over_anti_tight_leptons(count: int) -> None:
    """The paper's +F1, +F2, -F1 F2 for two leptons, and its continuation."""
    rng = np.random.default_rng(count)
    n = 500
    tight, pt = rng.uniform(size=(n, count)) < 0.5, rng.uniform(10, 100, (n, count))
    factor = BinnedMap("fake_factor", (_PT,), np.array([0.3, 0.2, 0.4]), np.zeros((3, 3)))
    columns = {"lep_pt": ak.from_regular(pt), "lep_iso": ak.from_regular(np.where(tight, 0.1, 0.5))}
    events = Events.of(columns, weight=rng.normal(1, 1, n))
    model = FakeFactor(_TOY.objects, factor).fit(events, rng=_ANY)
    found = model.predict(events, Region.everything())
    each = factor.evaluate({"lep_pt": pt.ravel()}).reshape(n, count)
    wanted = -np.prod(np.where(tight, 1.0, -each), axis=1)
    kept = ~tight.all(axis=1)
    assert np.allclose(found.weight, (events.weight * wanted)[kept], rtol=1e-14)


def test_the_factor_of_an_efficiency() -> None:
    f = BinnedMap("fake_efficiency", (_PT,), np.array([0.1, 0.2, 0.5]), np.diag([0.01, 0.02, 0.05]) ** 2)
    found = fake_factor(replace(f, variations={"x": (f.values * 1.1, f.values * 0.9)}))
    assert np.allclose(found.values, [1 / 9, 0.25, 1.0])
    assert np.allclose(found.errors, f.errors / (1 - f.values) ** 2)
    assert np.allclose(found.variations["x"][0], 1.1 * f.values / (1 - 1.1 * f.values))
    assert (np.array([side for pair in found.nuisances.values() for side in pair]) >= 0.0).all()


# ---- truth -----------------------------------------------------------------------------------------------------------


def _closed(events: Events, method: FakeFactor = _METHOD, channel: Channel = _SR, seed: int = 2) -> Closure:
    found = estimate(Setup(method, events), [channel], replicas=60, seed=seed)
    return closure(found, events.select(channel.region & method.target), channel=channel.name)


def test_it_predicts_the_fakes_of_a_sample_of_known_truth() -> None:
    data, prompt = _TOY.draw(seed=11), _TOY.simulation(seed=11, negative=0.15)
    found = estimate(Setup(_METHOD, data - prompt), [_SR], replicas=60, seed=1)
    total = found.total("SR")
    assert abs(total.value - _truth()) < 3 * total.total
    shares = _TOY.met_shares(np.asarray(_MET.edges))
    assert (np.abs(found.nominal - _truth() * shares) < 3.5 * np.sqrt(np.diag(found.covariance()))).all()
    assert _closed(data - prompt).p_value > 0.01
    # without the subtraction prompt leptons are fakes as well
    raw = estimate(Setup(_METHOD, data), [_SR], replicas=60, seed=1).total("SR")
    assert raw.value - _truth() > 3 * raw.total


def test_events_with_fakes_in_the_simulation_change_nothing() -> None:
    """They are not part of the prompt sample, whose leptons are all prompt."""
    data, prompt = _TOY.draw(seed=12), _TOY.simulation(seed=12)
    with_fakes = {truth: number for truth, number in _TOY.events.items() if "F" in truth}
    fakes = replace(_TOY, events=with_fakes, z=0.0, single_prompt=0.0).simulation(seed=13, fakes=True)
    only = Region("all prompt", "all(lep_prompt == 1)")
    clean = estimate(Setup(_METHOD, data - prompt), [_SR], seed=1)
    file = prompt + 0.3 * fakes
    selected = estimate(Setup(_METHOD, data - file.select(only)), [_SR], seed=1)
    np.testing.assert_allclose(selected.nominal, clean.nominal, rtol=1e-12)
    assert not np.allclose(estimate(Setup(_METHOD, data - file), [_SR], seed=1).nominal, clean.nominal, rtol=0.1)


def test_leptons_of_any_number() -> None:
    toy = Leptons({"RFF": 4000.0, "FFF": 30_000.0, "RRF": 4000.0, "RRR": 1000.0}, z=0.0, single_fakes=40_000.0)
    channel = Channel("3l", Region("three", "n_leptons == 3"), (_MET,))
    data, prompt = toy.draw(seed=3), toy.simulation(seed=3)
    found = estimate(Setup(_METHOD, data - prompt), [channel], replicas=60, seed=1).total("3l")
    wanted = sum(toy.expected(truth, "TTT") for truth in toy.events if "F" in truth)
    assert abs(found.value - wanted) < 3 * found.total
    assert found.total < 0.15 * wanted


def test_composition_shows_in_the_closure_and_in_its_systematic() -> None:
    """Fakes near a jet pass three times less often: a factor from events without a jet is wrong beside one."""
    many = {"RR": 600.0, "RF": 8000.0, "FR": 8000.0, "FF": 1000.0}
    toy = Leptons(many, z=0.0, overlap=0.6, overlap_factor=0.3, single_fakes=40_000.0)
    data, prompt = toy.draw(seed=4), toy.simulation(seed=4)
    events = data - prompt
    bare = replace(_METHOD, factor=replace(_METHOD.factor, region=_TOY.fake_region & Region("no jet", "n_jets == 0")))
    jets = Channel("jets", _TOY.pairs_region & Region("with jets", "n_jets > 0"), (_MET,))
    veto = Channel("veto", _TOY.pairs_region & Region("without", "n_jets == 0"), (_MET,))
    assert _closed(events, bare, veto).p_value > 0.01
    assert _closed(events, bare, jets).p_value < 1e-4
    # the flipped requirement, as a variation, covers it: it is a re-measurement where jets are
    flipped = replace(bare, factor=replace(bare.factor, region=_TOY.fake_region & Region("jets", "n_jets > 0")))
    varied = {"n_jets": Setup(flipped, events)}
    found = estimate(Setup(bare, events), [jets], replicas=60, variations=varied, seed=2)
    assert closure(found, events.select(jets.region & bare.target), channel="jets").p_value > 0.01
    assert _closed(events, flipped, jets).p_value > 0.01


# ---- systematics -----------------------------------------------------------------------------------------------------


def test_the_paper_s_variations_move_measurement_and_subtraction_together() -> None:
    data, prompt = _TOY.draw(seed=5), _TOY.simulation(seed=5)
    no_met = replace(_METHOD, factor=replace(_METHOD.factor, region=Region("no met", "n_leptons == 1")))
    varied = {
        "no_met": Setup(no_met, data - prompt),
        "prompt": (Setup(_METHOD, data - 1.1 * prompt), Setup(_METHOD, data - 0.9 * prompt)),
    }
    found = estimate(Setup(_METHOD, data - prompt), [_SR], variations=varied, seed=1)
    by_hand = estimate(Setup(_METHOD, data - 1.1 * prompt), [_SR], seed=1).nominal
    np.testing.assert_array_equal(found.variations["prompt"][0], by_hand)
    assert (found.variations["prompt"][0] < found.nominal).all()
    # its two parts: a factor from more subtracted leptons, applied to the same, and the other way around
    factor = fake_factor(
        _METHOD.factor.measured("f", data - 1.1 * prompt, _TOY.objects, [(data - 1.1 * prompt).weight])[0]
    )
    applied = estimate(Setup(replace(_METHOD, factor=factor), data - prompt), [_SR], seed=1).nominal
    assert (found.nominal > applied).all() and (applied > by_hand).all()
    one = maps(Setup(_METHOD, data - prompt), variations=varied, seed=1)[0]
    assert set(one.variations) == {"no_met", "prompt"}
    assert (one.variations["prompt"][0] < one.values).all()


def test_nuisances_of_a_given_map_are_coherent(tmp_path: Path) -> None:
    data = _TOY.draw(seed=6)
    truth = fake_factor(_TOY.maps(0.1)[1])
    write_maps(tmp_path / "fakes.json", truth)
    given = replace(read_maps(tmp_path / "fakes.json")["fake_factor"], flow="clamp")
    found = estimate(Setup(FakeFactor(_TOY.objects, given), data), [_SR], seed=1)
    assert len(found.variations) == 9
    up = given.varied("stat_lep_pt0_lep_eta1", "up")
    moved = estimate(Setup(FakeFactor(_TOY.objects, up), data), [_SR], seed=1).nominal
    np.testing.assert_array_equal(found.variations["fake_stat_lep_pt0_lep_eta1"][0], moved)
    covariance = found.covariance() - np.diag(found.sumw2)
    correlation = covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1])
    assert correlation > 0.95


# ---- what is refused -------------------------------------------------------------------------------------------------


def test_a_sealed_region_is_predicted_from_its_anti_tight_leptons() -> None:
    data = _TOY.draw(seed=7)
    sealed = Events.of(dict(data.columns), seal=_TOY.pairs_region & _TOY.objects.all_tight())
    found = estimate(Setup(_METHOD, sealed), [_SR], seed=1)
    np.testing.assert_allclose(found.nominal, estimate(Setup(_METHOD, data), [_SR], seed=1).nominal, rtol=1e-12)
    with pytest.raises(BlindedError):
        sealed.select(_TOY.pairs_region)


def test_bins_without_a_factor_are_named() -> None:
    data = _TOY.draw(seed=8)
    none_loose = data.select(Region("tight", "all(lep_iso < 0.15)"))
    with pytest.raises(DataError, match=r"fake efficiency is 1 in bin lep_pt from 10 to 20, .* no anti-tight lepton"):
        _METHOD.fit(none_loose, rng=_ANY)
    narrow = replace(_METHOD, factor=replace(_METHOD.factor, axes=(hist.axis.Regular(2, 20, 100, name="lep_pt"),)))
    with pytest.raises(DataError, match=r"column 'lep_pt' has \d+ of \d+ values outside map 'fake_efficiency'"):
        narrow.fit(data, rng=_ANY)
    with pytest.raises(DataError, match=r"single.*lep_pt from 10 to 20.*is no efficiency between 0 and 1"):
        _METHOD.fit(data - 30.0 * _TOY.simulation(seed=8), rng=_ANY)
    empty = Channel("none", Region("none", "(n_leptons == 2) & (met < 0)"), (_MET,))
    with pytest.raises(DataError, match="no row with weight in region 'none'"):
        estimate(Setup(_METHOD, data), [empty], seed=1)


@pytest.mark.parametrize("slots", [(), ("{}1", "{}2")])
def test_an_undefined_isolation_is_no_anti_tight_lepton_without_a_word(slots: tuple[str, ...]) -> None:
    pt, iso = np.full((6, 2), 20.0), np.array([[0.1, 0.4]] * 5 + [[0.1, np.nan]])
    table = {f"{name}{i + 1}": column[:, i] for name, column in (("pt", pt), ("iso", iso)) for i in (0, 1)}
    lists = {"lep_pt": ak.from_regular(pt), "lep_iso": ak.from_regular(iso)}
    pairs = Events.of({**(table if slots else lists), "m": np.arange(6.0)}, sample="data")
    factor = BinnedMap("fake_factor", (_PT,), np.array([0.3, 0.2, 0.4]), np.zeros((3, 3)))
    method = FakeFactor(Objects("lep", "iso < 0.15", slots), factor)
    with pytest.raises(
        DataError, match=r"1 of 6 rows in region 'SR' \(samples: data\) may be in '~all lep tight' or not"
    ):
        estimate(Setup(method, pairs), [Channel("SR", Region("SR", "m >= 0"))], seed=1)
    fine = estimate(Setup(method, pairs), [Channel("SR", Region("SR", "m < 5"))], seed=1)
    assert fine.total("SR").value == pytest.approx(5 * 0.2)


def test_a_given_factor_is_not_negative_and_its_nuisances_are_not(tmp_path: Path) -> None:
    known = BinnedMap("fake_factor", (_PT,), np.array([0.1, 0.2, 0.3]), np.diag([0.3, 0.02, 0.02]) ** 2, bounds=(0, 9))
    write_maps(tmp_path / "fakes.json", known)
    method = FakeFactor(_TOY.objects, read_maps(tmp_path / "fakes.json")["fake_factor"])
    for name, pair in method.variations().items():
        for side, one in zip(("up", "down"), pair, strict=True):
            assert np.allclose(one.factor.values, known.varied(name.removeprefix("fake_"), side).values, rtol=2e-3)
    with pytest.raises(DataError, match=r"is -0.1 in bin lep_pt from 20 to 35, outside 0 to 1"):
        FakeFactor(_TOY.objects, replace(known, values=np.array([0.1, -0.1, 0.3]), bounds=(-1, 1)))


# ---- simulated leptons with truth ------------------------------------------------------------------------------------

_TABLE = Objects("lep", "tight > 0", ("{}",))
_FAKE = Region("not prompt", "origin >= 2")


@pytest.fixture(scope="module")
def simulated(shared_data: Path) -> Events:
    names = ["event", "pt", "flavour", "origin", "tight", "sample", "met", "n_jets", "n_btag"]
    files = {"tt": "case3_ttbar_hfenriched", "bb": "case3_qcdhf"}
    parts = [
        read(shared_data / "generated" / f"{file}.parquet", names, sample=one, keys=["event"])
        for one, file in files.items()
    ]
    return (parts[0] + parts[1]).select(_FAKE)


def _simulated(events: Events, flavour: int, measured: str, where: str) -> Closure:
    pt = hist.axis.Variable([10, 15, 20, 30, 60], name="lep_pt")
    kind = Region("flavour", f"flavour == {flavour}")
    method = FakeFactor(_TABLE, Efficiency(kind & Region("CR", measured), (pt,), flow="clamp", merge=5.0))
    axis = hist.axis.Variable([0, 40, 80, 120, 300], name="met")
    return _closed(events, method, Channel("VR", kind & Region("VR", where), (axis,)))


@pytest.mark.parametrize("flavour", [11, 13])
@pytest.mark.parametrize("veto", ["n_jets >= 0", "n_jets <= 3"])
def test_a_factor_of_the_same_composition_closes(simulated: Events, flavour: int, veto: str) -> None:
    one = _simulated(
        simulated, flavour, "(sample == 4) & (event % 2 == 0)", f"(sample == 4) & (event % 2 == 1) & ({veto})"
    )
    assert one.p_value > 0.01
    assert abs(one.ratio.value - 1.0) < 3 * one.ratio.error


@pytest.mark.parametrize("flavour", [11, 13])
@pytest.mark.parametrize(
    ("measured", "where", "least"),
    [
        ("(sample == 4) & (n_jets <= 2)", "(sample == 4) & (n_jets >= 5)", 2.0),
        ("(sample == 4) & (n_btag == 0)", "(sample == 4) & (n_btag >= 2)", 5.0),
    ],
)
def test_a_factor_of_another_composition_does_not(
    simulated: Events, flavour: int, measured: str, where: str, least: float
) -> None:
    one = _simulated(simulated, flavour, measured, where)
    assert one.p_value < 1e-3
    assert 1.0 / one.ratio.value > least
