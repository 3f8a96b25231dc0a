"""Interpolation: what is drawn where, what its yields are normalised to, and its blocks of uncertainty."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import hist
import numpy as np
import pytest

from backdrop import Channel, Events, Region, Setup, estimate, fitted
from backdrop.errors import BlindedError, ConfigError, CutError, DataError, ResourceError
from backdrop.estimate import predicted
from backdrop.learn.gp import GaussianProcess
from backdrop.learn.scale import Feature
from backdrop.learn.train import fit_flows
from backdrop.methods.interpolate import Interpolate, InterpolateModel
from falling import CHANNEL, MASS, METHOD, SMALL, SR, WINDOW, draw, expected


@pytest.fixture(scope="module")
def model() -> InterpolateModel:
    return fitted(Setup(METHOD, draw(1)), seed=1)


def test_the_open_yield_is_the_observed_one(model: InterpolateModel) -> None:
    data = draw(1)
    inside = Region("open", "(m > 60) & (m < 180) & ~((m > 110) & (m < 130))")
    rows = model.predict(data, inside)
    assert rows.weight.sum() == pytest.approx(len(data.select(inside & METHOD.target)))
    assert set(rows["member"]) == {0, 1, 2}


def test_the_blind_region_is_predicted_within_the_uncertainty() -> None:
    found = estimate(Setup(METHOD, draw(2)), [CHANNEL], seed=2)
    assert set(found.replicas) == {"gp", "number", "flow"}
    assert [len(found.replicas[name]) for name in ("gp", "number", "flow")] == [20, 20, 3]
    true, total = expected().sum(), found.total("SR")
    assert abs(total.value - true) < 4 * total.total
    # between the error of a count of as many events and three of them
    assert 0.5 < total.total / np.sqrt(true) < 3.0


def test_an_event_is_the_same_whatever_the_region(model: InterpolateModel) -> None:
    none = draw(1)
    whole = model.predict(none, Region("wide", "(m > 60) & (m < 180)"))
    part = model.predict(none, SR)
    kept = SR.mask(whole.columns)
    order, other = np.argsort(whole.key[kept]), np.argsort(part.key)
    assert 0 < kept.sum() < len(whole) and len(part) == kept.sum()
    for name in ("m", "u", "v", "member", "product"):
        assert np.allclose(whole[name][kept][order], part[name][other], rtol=1e-5), name
    assert np.array_equal(whole.weight[kept][order], part.weight[other])


def test_a_late_cut_is_a_part_of_the_region(model: InterpolateModel) -> None:
    cut = Region("late", "(m > 110) & (m < 130) & (product > 1)")
    rows = model.predict(draw(1), cut)
    assert len(rows) and (rows["product"] > 1).all() and np.allclose(rows["product"], rows["u"] * rows["v"])


def test_blocks_are_the_same_draws_with_other_weights(model: InterpolateModel) -> None:
    rows = next(iter(model.drawn(SR)))
    replicas = model.replicas
    weights = model.factors(rows, [model, *replicas["flow"]])
    assert np.allclose(weights[1:].mean(axis=0), weights[0])
    size = model.spread
    assert 0.0 < size < 1.5
    values, _ = model.features.scale.forward(rows.columns)
    given, _ = model.features.given.scale.forward(rows.columns)
    density = np.exp(model.features.flows.log_prob(values, given))
    odds = density / density.sum(axis=0)
    assert np.allclose(weights[1:] / weights[0], 1.0 + size * (3.0 * odds - 1.0), rtol=1e-4)
    numbers = model.factors(rows, replicas["number"])
    assert np.allclose(numbers / weights[0], (numbers / weights[0])[:, :1])
    assert (numbers[:, 0] / weights[0, 0]).std() == pytest.approx(1 / np.sqrt(model.number[0]), rel=0.6)
    planes = model.factors(rows, replicas["gp"])
    bins = np.asarray(MASS.index(rows["m"]))
    assert all(np.ptp(planes[:, bins == one], axis=1).max() < 1e-9 for one in np.unique(bins))


def test_a_member_weighs_all_draws_as_its_own_are(model: InterpolateModel) -> None:
    """The same bins from the third of the rows that a member drew, and from all rows with its density."""
    rows = next(iter(model.drawn(SR)))
    for i, row in enumerate(np.eye(3)):
        weight = model.factors(rows, [replace(model, shares=row)])[0]
        own = CHANNEL.fill(rows.with_weight(np.where(rows["member"] == i, 3.0 * model.factors(rows, [model])[0], 0.0)))
        every = CHANNEL.fill(rows.with_weight(weight))
        assert (np.abs(own[0] - every[0]) < 4.0 * np.sqrt(own[1])).all()
        assert (every[1] < 0.7 * own[1]).all()


def test_equal_members_have_no_spread_whatever_they_draw(model: InterpolateModel) -> None:
    flows = replace(model.features.flows, **{
        name: np.repeat(getattr(model.features.flows, name)[:1], 3, axis=0)
        for name in ("parameters", "orders", "mean", "variance")
    })  # fmt: skip
    rows = next(iter(model.drawn(SR)))
    equal = replace(model, features=replace(model.features, flows=flows))
    weights = equal.factors(rows, [equal, *equal.replicas["flow"]])
    assert np.allclose(weights[1:], weights[0], rtol=1e-9)


def test_a_row_on_the_bound_of_its_transform_is_its_members(model: InterpolateModel) -> None:
    rows = next(iter(model.drawn(SR)))
    bound = np.arange(len(rows)) % 7 == 0
    ended = rows.with_columns({"u": np.where(bound, 0.0, rows["u"])})
    own = np.where(rows["member"] == 1, 3.0, 0.0)
    ratio = model.factors(ended, [replace(model, shares=np.eye(3)[1])])[0] / model.factors(ended, [model])[0]
    assert np.allclose(ratio[bound], own[bound]) and not np.allclose(ratio[~bound], own[~bound])


def test_each_plane_keeps_the_observed_yield(model: InterpolateModel) -> None:
    inside = Region("open", "(m > 60) & (m < 180) & ~((m > 110) & (m < 130))")
    rows = [part for part in model.drawn(inside)]
    sums = sum(model.factors(part, model.replicas["gp"]).sum(axis=1) for part in rows)
    assert np.allclose(sums, model.number.sum())


@pytest.mark.parametrize(("error", "size"), [("bootstrap", None), ("spread", 1.0), ("seed", 1 / np.sqrt(3))])
def test_the_error_of_the_flows_is_what_it_says(error: Any, size: float | None) -> None:
    method = replace(METHOD, error=error, planes=0)
    found = estimate(Setup(method, draw(3)), [CHANNEL], seed=3)
    assert set(found.replicas) == {"flow"}
    model = fitted(Setup(method, draw(3)), seed=3)
    alone = [CHANNEL.fill(one.predict(draw(3), SR))[0] for one in model.replicas["flow"]]
    assert np.allclose(found.replicas["flow"], alone)
    members = np.stack([CHANNEL.fill(replace(model, shares=row).predict(draw(3), SR))[0] for row in np.eye(3)])
    assert np.allclose(found.nominal, members.mean(axis=0))
    centred = members - members.mean(axis=0)
    assert model.spread == pytest.approx(size) if size else 0.0 < model.spread < 1.5
    assert np.allclose(found.replicas["flow"] - found.nominal, model.spread * centred)


def test_no_block_where_none_is_asked_for() -> None:
    found = estimate(Setup(replace(METHOD, error="none", planes=0, members=1), draw(3)), [CHANNEL], seed=3)
    assert not found.replicas and found.nominal.sum() > 0


def test_bootstrapped_members_see_other_events_than_those_of_one_sample() -> None:
    """All members have the same seeds; only the events differ."""
    same, other = (fitted(Setup(replace(METHOD, error=kind), draw(3)), seed=3) for kind in ("spread", "bootstrap"))
    assert same.features.flows.seeds == other.features.flows.seeds
    assert not np.allclose(same.features.flows.parameters, other.features.flows.parameters)


def test_two_members_share_a_resample_and_are_judged_by_what_it_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    def noted(values: Any, conditions: Any, weights: Any, keys: Any, **more: Any) -> Any:
        seen.update(weights=weights, held_out=more["held_out"])
        return fit_flows(values, conditions, weights, keys, **more)

    monkeypatch.setattr("backdrop.methods.interpolate.fit_flows", noted)
    for data in (draw(3), draw(3) - 0.25 * draw(4, 4000).relabel("other")):
        fitted(Setup(replace(METHOD, members=5), data), seed=3)
        weights, held_out = seen["weights"], seen["held_out"]
        assert np.array_equal(weights[[0, 2]], weights[[1, 3]]) and np.array_equal(held_out[[0, 2]], held_out[[1, 3]])
        assert not np.array_equal(weights[0], weights[2]) and not np.array_equal(weights[2], weights[4])
        assert np.array_equal(held_out > 0.0, weights == 0.0)
        assert (held_out > 0.0).mean(axis=1) == pytest.approx(np.exp(-1), abs=0.04)


def test_the_spread_of_trainings_alone_is_not_an_error_of_their_mean() -> None:
    """A training that is cut short differs by its start: the mean of the members keeps little of that."""
    short = replace(METHOD, train=replace(METHOD.train, epochs=1, steps=0), members=12)
    model = fitted(Setup(short, draw(3)), seed=3)
    pairs = model.compared().reshape(6, 2, -1)
    assert pairs.var(axis=1, ddof=1).sum() > 3.0 * pairs.mean(axis=1).var(axis=0, ddof=1).sum() / 2.0
    assert model.spread < 0.6


def test_categories_have_their_own_yield_and_plane() -> None:
    method = replace(METHOD, category="year", draws=2000)
    data = draw(4)
    model = fitted(Setup(method, data), seed=4)
    inside = Region("open", "(m > 60) & (m < 180) & ~((m > 110) & (m < 130))")
    rows, seen = model.predict(data, inside), data.select(inside & method.target)
    for year in (1, 2):
        assert rows.weight[rows["year"] == year].sum() == pytest.approx(np.sum(seen["year"] == year))
    first = model.predict(data, Region("first", "(m > 110) & (m < 130) & (year == 1)"))
    assert set(first["year"]) == {1.0}


def test_a_plane_of_two_masses_and_the_sample_boundary() -> None:
    rng = np.random.default_rng(5)
    m1, m2 = rng.exponential(40, (2, 9000)) + 60
    inside = np.hypot(m1 - 100, m2 - 100) < 38
    columns = {"m1": m1[inside], "m2": m2[inside], "v": rng.normal((m1 + m2)[inside] / 100, 0.3)}
    axes = tuple(hist.axis.Regular(16, 60, 140, name=name) for name in ("m1", "m2"))
    circle, sample = (Region("c", f"hypot(m1 - 100, m2 - 100) < {size}") for size in (12, 37))
    method = Interpolate(Region.everything(), axes, circle, (Feature("v"),), within=sample, **SMALL)
    data = Events.of(columns)
    found = estimate(Setup(method, data), [Channel("SR", circle & sample)], seed=1).total("SR")
    true = len(data.select(circle))
    assert abs(found.value - true) < 4 * np.hypot(found.total, np.sqrt(true))
    wide = fitted(Setup(method, data), seed=1).predict(
        data, Region("box", "(m1 > 60) & (m1 < 140) & (m2 > 60) & (m2 < 140)")
    )
    assert sample.mask(wide.columns).all() and len(wide)


def test_a_subtracted_process_leaves_the_difference() -> None:
    data, other = draw(6, 9000), draw(7, 12_000)
    events = data - 0.25 * other.relabel("other")
    found = estimate(Setup(METHOD, events), [CHANNEL], seed=6)
    total = found.total("SR")
    assert abs(total.value - expected().sum()) < 4 * total.total
    assert total.value == pytest.approx(expected().sum(), rel=0.25)


def test_sealed_rows_are_not_needed() -> None:
    data = Events.of(dict(draw(1).columns), seal=WINDOW & METHOD.target)
    opened = draw(1).select(~(WINDOW & METHOD.target))
    assert len(data) == len(opened)
    assert estimate(Setup(METHOD, data), [CHANNEL], seed=1).nominal.sum() > 0
    with pytest.raises(BlindedError, match="window"):
        wide = replace(METHOD, blind=Region("narrow", "(m > 115) & (m < 125)"))
        estimate(Setup(wide, data), [CHANNEL], seed=1)


def test_a_region_beyond_the_box_is_refused(model: InterpolateModel) -> None:
    for cut in ("v > 0.5", "m < 130", "(m > 110) & (m < 200)", "(m > 110) | (v > 0)"):
        with pytest.raises(CutError, match=r"reaches beyond the box .* add \(m >= 60.0\) & \(m < 180.0\)"):
            model.predict(draw(1), Region("wide", cut))
    with pytest.raises(CutError, match="tag"):
        model.predict(draw(1), Region("tagged", "(m > 110) & (m < 130) & (tag > 0)"))


@pytest.mark.parametrize(
    ("channel", "message"),
    [
        (Channel("wide", Region("wide", "m < 130"), CHANNEL.axes), "reaches beyond the box"),
        (Channel("late", Region("late", "(m > 110) & (m < 130) & (prodct > 1)")), "did you mean 'product'"),
        (Channel("w", SR, (hist.axis.Regular(4, 0, 4, name="w"),)), "channel 'w' reads 'w', which is neither drawn"),
    ],
)
def test_a_channel_that_cannot_be_drawn_is_refused_before_the_training(
    monkeypatch: pytest.MonkeyPatch, channel: Channel, message: str
) -> None:
    monkeypatch.setattr(Interpolate, "fit", lambda *_, **__: pytest.fail("it was trained"))
    with pytest.raises(CutError, match=message):
        estimate(Setup(METHOD, draw(1)), [channel], seed=1)
    with pytest.raises(CutError, match=message):
        predicted(Setup(METHOD, draw(1)), [channel], [], seed=1)


def test_a_category_is_a_number() -> None:
    columns = dict(draw(1).columns)
    named = replace(METHOD, category="year")
    with pytest.raises(DataError, match="column 'year' does not hold one number a row"):
        fitted(Setup(named, Events.of({**columns, "year": columns["year"].astype(str)})), seed=1)


def test_draws_that_normalise_nothing_are_too_few(model: InterpolateModel) -> None:
    few = replace(model, draws=1, blind=Region("most", "m < 179"))
    with pytest.raises(ConfigError, match=r"draws = 1: .* outside of 'most'"):
        few.predict(draw(1), WINDOW)


def test_a_device_that_is_not_there_is_named() -> None:
    with pytest.raises(ResourceError, match=r"device 'cuda:99': \d+ such devices are here"):
        fitted(Setup(replace(METHOD, device="cuda:99"), draw(1)), seed=1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"axes": ()}, "needs conditioning variables of different names"),
        ({"axes": (MASS, MASS)}, "needs conditioning variables of different names: m, m"),
        ({"blind": SR}, r"region 'SR' \(blind\) reads 'v', which is no conditioning variable; it may read m"),
        ({"within": Region("cut", "u > 1")}, r"region 'cut' \(within\) reads 'u'"),
        ({"features": ()}, "at least one feature"),
        ({"features": (Feature("m"),)}, "feature 'm' is a condition, the category or another column already"),
        ({"features": (Feature("u"), Feature("u"))}, "feature 'u' is a condition"),
        ({"category": "u"}, "feature 'u' is a condition"),
        ({"derived": {"x": "z + u"}}, "derived variable 'x' reads 'z', which is neither drawn nor derived"),
        ({"derived": {"u": "v"}}, "derived variable 'u' is drawn or derived already"),
        ({"members": 1}, "members = 1: train at least 3 where the uncertainty of the flows is 'bootstrap'"),
        ({"members": 0, "error": "none"}, "members = 0"),
        ({"planes": 1}, "planes = 1: one draw has no spread"),
        ({"draws": 0}, "draws = 0"),
        ({"axes": (hist.axis.Regular(5000, 0, 100, name="m"),)}, "axes have 5000 bins in all"),
        ({"device": "tpu"}, "device = 'tpu': write cpu, cuda"),
        ({"device": ""}, "device = '': write cpu, cuda"),
    ],
)
def test_contradicting_settings_are_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        replace(METHOD, **settings)


def test_undefined_features_are_named() -> None:
    columns = dict(draw(1).columns)
    columns["u"] = np.where(np.arange(len(columns["u"])) == 7, -1.0, columns["u"])
    columns["tag"] = np.ones_like(columns["tag"])
    columns["m"] = np.where(np.arange(len(columns["u"])) == 7, 70.0, columns["m"])
    with pytest.raises(DataError, match=r"column 'u' has 1 of .* values that are not above the offset 0"):
        fitted(Setup(METHOD, Events.of(columns)), seed=1)


def test_the_reference_process_is_an_option() -> None:
    found = estimate(Setup(replace(METHOD, process=GaussianProcess(noise="observed")), draw(8)), [CHANNEL], seed=8)
    total = found.total("SR")
    assert abs(total.value - expected().sum()) < 5 * total.total
