"""Ancestral sampling against closed forms: yields, shapes, spread, subtraction, removal of a resonance, systematics."""

from __future__ import annotations

import pickle
from dataclasses import replace

import hist
import numpy as np
import pytest

import chain
from backdrop import Channel, Events, Region, Setup, estimate, fitted
from backdrop.errors import BlindedError, ConfigError, CutError, DataError, FitError
from backdrop.learn.graph import Template
from backdrop.methods import AncestralModel, AncestralSampling, load
from backdrop.methods.ancestral import FinalTilt, Resonance, Shift, Tilt

_EVERY = Region.everything()
_SUM = hist.axis.Regular(8, 0, 2, name="s")
_GR = Channel("GR", _EVERY, (_SUM,))
_TOY = chain.Chain(20_000.0)
_METHOD = AncestralSampling(_EVERY, chain.GRAPH, {"s": "u + v"}, draws=100_000)


def filled(method: AncestralSampling, events: Events, channel: Channel = _GR) -> np.ndarray:
    return estimate(Setup(method, events), [channel], seed=1).nominal


def exact(cells: np.ndarray) -> np.ndarray:
    """Return the bins of s for expected numbers in the cells of (u, v)."""
    found = np.zeros(8)
    for (i, j), number in np.ndenumerate(cells):
        found[i + j : i + j + 2] += number / 2
    return found


def counted(events: Events) -> np.ndarray:
    """Return what the templates make of some events, cell by cell: the halves of u share a template of v."""
    cells = np.histogram2d(events["u"], events["v"], bins=(4, 4), range=((0, 1), (0, 1)), weights=events.weight)[0]
    halves = cells.reshape(2, 2, 4).sum(axis=1)
    return cells.sum(axis=1)[:, None] * np.repeat(halves / halves.sum(axis=1, keepdims=True), 2, axis=0)


def test_the_prediction_is_the_product_of_the_histograms() -> None:
    events = _TOY.draw(1)
    expected = exact(counted(events))
    found = filled(_METHOD, events)
    assert found.sum() == pytest.approx(len(events), rel=1e-12)
    error = np.sqrt(expected * len(events) / _METHOD.draws)
    assert np.abs((found - expected) / error).max() < 4


def test_it_closes_on_the_truth_with_its_own_uncertainty() -> None:
    found = estimate(Setup(_METHOD, _TOY.draw(2)), [_GR], replicas=60, seed=1)
    assert not found.sumw2.any()
    difference, covariance = found.nominal - _TOY.sums, found.covariance()
    assert np.abs(difference / np.sqrt(np.diag(covariance))).max() < 4


@pytest.mark.parametrize(("with_replacement", "variance"), [(False, 1.0), (True, 2.0)])
def test_replicas_have_the_variance_of_their_sampling(with_replacement: bool, variance: float) -> None:
    """The share of v > 1/2 in the upper half of u: binomial, twice so where events are drawn with replacement."""
    upper = Channel("upper", Region("upper", "(u > 0.5) & (v > 0.5)"), (hist.axis.Regular(1, 0, 1, name="v"),))
    both = Channel("both", Region("both", "u > 0.5"), (hist.axis.Regular(1, 0, 1, name="v"),))
    method = replace(_METHOD, with_replacement=with_replacement, draws=20_000)
    rows = estimate(Setup(method, chain.Chain(2000.0).draw(3)), [upper, both], replicas=300, seed=1).replicas["data"]
    share = rows[:, 0] / rows[:, 1]
    expected = 0.7 * 0.3 * (variance / 1400 + 1 / 14_000)
    assert share.var(ddof=1) == pytest.approx(expected, rel=4 * np.sqrt(2 / 300))


def test_with_replacement_the_yield_is_still_that_of_the_generation_region() -> None:
    events = _TOY.draw(4)
    found = filled(replace(_METHOD, with_replacement=True), events)
    assert found.sum() == pytest.approx(len(events), rel=1e-12)
    assert np.abs(found - filled(_METHOD, events)).max() > 0


def test_cuts_act_on_what_is_drawn_and_derived() -> None:
    model = fitted(Setup(_METHOD, _TOY.draw(5)), seed=1)
    everything = model.predict(Events.of({"x": []}), _EVERY)
    high = model.predict(Events.of({"x": []}), Region("high", "(s > 1.2) & (u < 0.7)"))
    inside = (everything["s"] > 1.2) & (everything["u"] < 0.7)
    assert np.array_equal(high["s"], everything["s"][inside]) and np.array_equal(high.key, everything.key[inside])
    assert np.array_equal(high["s"], high["u"] + high["v"])
    assert len(np.unique(everything.key)) == _METHOD.draws == len(everything)
    with pytest.raises(CutError, match="reads column 'w', which is not there"):
        model.predict(everything, Region("w", "w > 1"))


@pytest.mark.parametrize("distortion", [None, Tilt("v", 0.5), FinalTilt("s", 0.3, 0.0, 2.0)])
def test_chunks_are_the_prediction_in_parts(distortion: object) -> None:
    method = _METHOD if distortion is None else replace(_METHOD, distortions=(distortion,))
    model = fitted(Setup(method, _TOY.draw(5)), seed=1)
    region = Region("high", "s > 1.2")
    parts, whole = list(model.chunks(region)), model.predict(Events.of({"x": []}), region)
    assert len(parts) > 1
    for name in ("u", "s"):
        assert np.array_equal(np.concatenate([part[name] for part in parts]), whole[name])
    assert np.array_equal(np.concatenate([part.weight for part in parts]), whole.weight)
    assert np.array_equal(np.concatenate([part.key for part in parts]), whole.key)
    assert model.predict(whole, _EVERY).weight.sum() == pytest.approx(model.number, rel=1e-12)


def test_composite_columns_are_computed_when_asked_for() -> None:
    method = replace(_METHOD, derived={"s": "u + v", "double": "2 * s", "high": "double > 2"}, draws=1000)
    rows = fitted(Setup(method, _TOY.draw(5)), seed=1).predict(Events.of({"x": []}), Region("high", "high"))
    assert set(rows.columns) == {"u", "v", "s", "double", "high"} and len(rows.columns) == 5
    assert rows["high"].all() and (rows["double"] > 2).all()
    again = pickle.loads(pickle.dumps(rows))
    assert again.fingerprint == rows.fingerprint


def test_more_draws_begin_with_the_same_ones() -> None:
    few, many = (
        fitted(Setup(replace(_METHOD, draws=n), _TOY.draw(6)), seed=1).predict(Events.of({"x": []}), _EVERY)
        for n in (1000, 40_000)
    )
    assert np.array_equal(few["s"], many["s"][:1000])


def test_signed_weights_subtract_a_process() -> None:
    other = chain.Chain(10_000.0, chain.FLAT, (chain.FLAT, chain.FLAT))
    data = _TOY.draw(7) + other.draw(7, sample="more").relabel("data")
    events = data - other.draw(8, sample="other")
    found, expected = filled(_METHOD, events), exact(counted(events))
    assert found.sum() == pytest.approx(events.weight.sum(), rel=1e-12)
    assert np.abs(found - expected).max() < 0.02 * expected.max()
    assert np.abs(found - _TOY.sums).max() < 4 * np.sqrt(2 * 40_000 / 8)


def test_rows_outside_the_axes_are_left_out_and_told() -> None:
    events = _TOY.draw(9)
    wide = events + Events.of({name: np.full(1000, 1.5) for name in events.columns}, sample="wide")
    model = fitted(Setup(_METHOD, wide), seed=1)
    assert model.number == len(events)
    assert model.outside == pytest.approx(1000 / len(wide))
    assert any("of the yield of the generation region is outside the axes" in text for text in model.warnings)
    assert fitted(Setup(_METHOD, events), seed=1).warnings == ()
    with pytest.raises(DataError, match="region 'all' holds a sum of weights 0 inside the axes"):
        fitted(Setup(_METHOD, wide.only("wide")), seed=1)


def test_fallbacks_are_reported() -> None:
    events = _TOY.draw(10)
    fine = Template("B", (chain.axis("v"),), (chain.axis("u", 4),))
    low = events.select(Region("low", "u < 0.25"))
    hole = events.select(Region("high", "u >= 0.25")) + low._take(np.arange(1))
    assert fitted(Setup(replace(_METHOD, templates=(chain.GRAPH[0], fine)), hole), seed=1).fallbacks["B"] == (0, 0.0)
    wide = Template("A", (hist.axis.Variable([0, 0.5, 1], name="u"),))
    method = replace(_METHOD, templates=(wide, fine))
    model = fitted(Setup(method, events.select(Region("high", "u >= 0.25"))), seed=1)
    slices, share = model.fallbacks["B"]
    expected = 0.5 * 0.2 / 0.9  # the lower half holds 0.2 of the 0.9 left, and half of it is drawn below u = 1/4
    assert slices == 1 and share == pytest.approx(expected, abs=4 * np.sqrt(expected / model.draws) + 0.01)
    assert "template 'B': " in model.warnings[0] and "meet one of 1 empty slices" in model.warnings[0]


# ---- resonance -------------------------------------------------------------------------------------------------------


def resonant(how: str) -> AncestralSampling:
    """A template of the mass itself, and the removal in its bins."""
    axis = hist.axis.Regular(8, 0, 2, name="s")
    return AncestralSampling(
        _EVERY,
        (Template("M", (axis,)),),
        draws=200_000,
        resonance=Resonance("peak", axis, how),  # type: ignore[arg-type]
    )


def peak(seed: int, number: int, sample: str, weight: float = 1.0) -> Events:
    rng = np.random.default_rng(seed)
    u, v = rng.uniform(0.75, 1, number), rng.uniform(0.25, 0.5, number)
    return Events.of({"u": u, "v": v, "s": u + v, "g": u}, sample=sample, weight=np.full(number, weight))


@pytest.mark.parametrize("how", ["drop", "weight"])
def test_a_resonance_is_removed_by_its_share_of_each_mass_bin(how: str) -> None:
    clean, simulated = _TOY.draw(11), peak(2, 30_000, "peak", 0.1)
    data = clean + peak(1, 3000, "bump").relabel("data")
    found = filled(resonant(how), data - simulated)
    seen, expected = (_GR.fill(one)[0] for one in (data, simulated))
    noise = found * found.sum() / 200_000
    dropped = 0.0 if how == "weight" else expected * (1 - expected / seen)
    difference = found - (seen - expected)
    assert np.abs(difference / np.sqrt(noise + dropped)).max() < 4
    assert np.abs(found - _GR.fill(clean)[0]).max() < 4 * np.sqrt(3000)


def test_dropping_and_weighting_agree_on_average() -> None:
    events = _TOY.draw(12) + peak(1, 3000, "bump").relabel("data") - peak(2, 30_000, "peak", 0.1)
    dropped, weighted = (fitted(Setup(resonant(how), events), seed=1).number for how in ("drop", "weight"))
    assert weighted == pytest.approx(float(events.weight.sum()), rel=1e-12)
    assert dropped == pytest.approx(weighted, abs=4 * np.sqrt(3000))


def test_a_resonance_that_cannot_be_removed_is_refused() -> None:
    data = _TOY.draw(13)
    with pytest.raises(DataError, match="no sample 'peak'"):
        fitted(Setup(resonant("drop"), data), seed=1)
    with pytest.raises(ConfigError, match="is added to the events; subtract it: data - peak"):
        fitted(Setup(resonant("drop"), data + peak(1, 100, "peak")), seed=1)
    with pytest.raises(FitError, match=r"'peak' has a yield of .* in s from 1 to 1.25, so p is no probability"):
        fitted(Setup(resonant("drop"), data - peak(1, 9000, "peak")), seed=1)


# ---- systematics -----------------------------------------------------------------------------------------------------


def varied(distortion: object, channel: Channel = _GR) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    method = replace(_METHOD, systematics={"moved": distortion})
    found = estimate(Setup(method, _TOY.draw(14)), [channel], seed=1)
    return found.nominal, *found.variations["moved"]


def test_a_shift_translates_a_variable() -> None:
    wide = Channel("u", _EVERY, (hist.axis.Regular(12, -1, 2, name="u"),))
    nominal, up, down = varied(Shift("u", 0.25), wide)
    np.testing.assert_allclose(up[1:], nominal[:-1])
    np.testing.assert_allclose(down[:-1], nominal[1:])


def test_a_tilt_multiplies_a_template_in_each_slice() -> None:
    axis = Channel("v", _EVERY, (hist.axis.Regular(4, 0, 1, name="v"),))
    nominal, up, down = varied(Tilt("v", 0.8), axis)
    cells = counted(_TOY.draw(14))
    centres = np.array([0.125, 0.375, 0.625, 0.875])
    for found, slope in ((up, 0.8), (down, -0.8)):
        tilted = cells * (1 + slope * centres)
        tilted *= cells.sum(axis=1, keepdims=True) / tilted.sum(axis=1, keepdims=True)
        # draws are shared with the nominal, so that their noise is nearly gone from the ratio
        np.testing.assert_allclose(found / nominal, tilted.sum(axis=0) / cells.sum(axis=0), rtol=0.01)
        assert found.sum() == pytest.approx(nominal.sum(), rel=1e-12)


def test_a_final_tilt_weights_each_event_with_a_line_in_the_final_variable() -> None:
    nominal, up, down = varied(FinalTilt("s", 0.8, 0.5, 1.5))
    rows = fitted(Setup(_METHOD, _TOY.draw(14)), seed=1).predict(Events.of({"x": []}), _EVERY)
    for found, slope in ((up, 0.8), (down, -0.8)):
        factor = 1 + slope * (np.clip(rows["s"], 0.5, 1.5) - 1)
        expected = _GR.fill(rows.with_weight(rows.weight * factor / factor.mean()))[0]
        np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert up.sum() == pytest.approx(nominal.sum(), rel=1e-12)


def test_variations_share_the_random_numbers_and_other_settings() -> None:
    method = replace(_METHOD, systematics={"a": Shift("u", 0.0), "b": Tilt("v", 0.1)}, distortions=(Shift("v", 0.1),))
    found = estimate(Setup(method, _TOY.draw(15)), [_GR], seed=1)
    assert list(found.variations) == ["a", "b"]
    assert np.array_equal(found.variations["a"][0], found.nominal)
    up, _ = method.variations()["b"]
    assert up.distortions == (Shift("v", 0.1), Tilt("v", 0.1)) and not up.systematics and up.draws == method.draws


# ---- derived variables between templates -----------------------------------------------------------------------------

_T = hist.axis.Regular(16, 0, 2, name="t")
_BETWEEN = (*chain.GRAPH, Template("C", (hist.axis.Regular(40, -1, 3, name="w"),), given=(_T,)))


def _followed(seed: int) -> Events:
    """Return u and v of the chain, and w close to their sum: a relation of three variables."""
    rows = _TOY.draw(seed)
    noise = np.random.default_rng(seed).normal(0, 0.1, len(rows))
    return Events.of({"u": rows["u"], "v": rows["v"], "w": rows["u"] + rows["v"] + noise})


def test_a_template_follows_what_is_derived_from_those_before_it() -> None:
    data = _followed(21)
    gap = {"t": "u + v", "gap": "w - t"}
    method = AncestralSampling(_EVERY, _BETWEEN, gap, draws=100_000)
    assert method.columns == ("u", "v", "w")
    found = fitted(Setup(method, data), seed=1).predict(data, _EVERY)
    # bins of t are an eighth wide, those of w a tenth
    assert np.std(found["gap"]) == pytest.approx(np.hypot(0.1, np.sqrt((1 / 64 + 1 / 100) / 6)), rel=0.15)
    assert np.abs(np.corrcoef(found["gap"], found["u"])[0, 1]) < 0.05
    edges = np.linspace(0, 2, 9)
    seen, drawn = (np.histogram(one["w"], edges, weights=one.weight)[0] for one in (data, found))
    assert np.abs((drawn - seen) / np.sqrt(seen)).max() < 3.0
    # each of both alone cannot know their sum
    alone = (*chain.GRAPH, Template("C", _BETWEEN[2].draws, given=(chain.axis("u", 16),)))
    other = fitted(Setup(replace(method, templates=alone), data), seed=1).predict(data, _EVERY)
    assert np.std(other["gap"]) > 2.0 * np.std(found["gap"])


def test_what_is_derived_is_in_the_nearest_bin_where_it_is_outside() -> None:
    data = _followed(22)
    narrow = Template("C", _BETWEEN[2].draws, given=(hist.axis.Regular(8, 0.5, 1.5, name="t"),))
    method = AncestralSampling(_EVERY, (*chain.GRAPH, narrow), {"t": "u + v"}, draws=100_000)
    model = fitted(Setup(method, data), seed=1)
    assert model.outside == 0.0 and model.number == len(data)
    assert model.values[2].sum() == len(data)
    found = model.predict(data, _EVERY)
    low, high = (found.select(Region("side", cut)) for cut in ("t < 0.5", "t >= 1.5"))
    seen = (data["u"] + data["v"] < 0.625, data["u"] + data["v"] >= 1.375)
    for rows, inside in zip((low, high), seen, strict=True):
        assert np.mean(rows["w"]) == pytest.approx(np.mean(data["w"][inside]), abs=0.02)


def test_what_is_derived_is_so_in_the_fit_whatever_the_events_have() -> None:
    """Columns of the events with the names of derived variables, and another meaning."""
    data = _followed(26)
    other = data.with_columns({"half": np.zeros(len(data)), "t": np.full(len(data), 0.1)})
    method = AncestralSampling(_EVERY, _BETWEEN, {"half": "u / 2", "t": "2 * half + v"}, draws=1000)
    mine, same = (fitted(Setup(method, one), seed=1).values for one in (other, data))
    assert all(np.array_equal(a, b) for a, b in zip(mine, same, strict=True))


def test_what_is_derived_from_moved_variables_moves_with_them() -> None:
    method = AncestralSampling(_EVERY, _BETWEEN, {"t": "u + v"}, draws=20_000, distortions=(Shift("u", 0.25),))
    data = _followed(23)
    moved = fitted(Setup(method, data), seed=1).predict(data, _EVERY)
    still = fitted(Setup(replace(method, distortions=()), data), seed=1).predict(data, _EVERY)
    assert np.mean(moved["u"] - still["u"]) == pytest.approx(0.25)
    gaps = [np.mean((one["w"] - one["u"] - one["v"])[one["u"] + one["v"] < 1.9]) for one in (moved, still)]
    assert gaps == pytest.approx([0.0, 0.0], abs=0.01)


def test_a_kernel_with_derived_variables_survives_its_files(tmp_path) -> None:
    from backdrop.io import save

    model = fitted(Setup(AncestralSampling(_EVERY, _BETWEEN, {"t": "u + v"}, draws=5000), _followed(24)), seed=1)
    save(model, tmp_path / "kernel")
    nothing = _TOY.draw(1)
    assert load(tmp_path / "kernel").predict(nothing, _EVERY).fingerprint == model.predict(nothing, _EVERY).fingerprint


def test_the_graph_is_that_of_what_is_drawn() -> None:
    method = AncestralSampling(_EVERY, _BETWEEN, {"half": "v / 2", "t": "u + 2 * half"})
    assert [one.parents for one in method.graph] == [(), ("u",), ("u", "v")]
    assert [one.parents for one in method.templates] == [(), ("u",), ("t",)]


@pytest.mark.parametrize(
    ("templates", "derived", "message"),
    [
        (_BETWEEN, {}, "template 'C' is given 't', which no template draws"),
        (_BETWEEN, {"t": "u + w"}, "template 'C' is given 't', which is derived from 'w' that it draws itself"),
        (
            (_BETWEEN[0], _BETWEEN[2], _BETWEEN[1]),
            {"t": "u + v"},
            "given 'v', which 'B' draws after it; put 'B' before",
        ),
        (
            (_BETWEEN[0], Template("B", (chain.axis("v"),), (hist.axis.Regular(4, -1, 3, name="w"),)), _BETWEEN[2]),
            {"t": "u + v"},
            "in a cycle",
        ),
    ],
)
def test_what_cannot_be_derived_in_time_is_named(templates: tuple, derived: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        AncestralSampling(_EVERY, templates, derived)


def test_a_derived_variable_that_is_undefined_is_named() -> None:
    method = AncestralSampling(_EVERY, _BETWEEN, {"t": "log(u - 0.5)"})
    with pytest.raises(DataError, match="column 't'"):
        fitted(Setup(method, _followed(25)), seed=1)


# ---- settings and files ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"templates": chain.GRAPH[::-1]}, "put 'A' before 'B'"),
        ({"derived": {"s": "u + w"}}, "derived variable 's' reads 'w', which is neither drawn nor derived before it"),
        ({"derived": {"a": "b + u", "b": "u"}}, "derived variable 'a' reads 'b'"),
        ({"derived": {"u": "2 * v"}}, "'u' is drawn or derived already"),
        ({"draws": 0}, "draw at least one"),
        ({"distortions": (Shift("s", 1.0),)}, "a Shift moves 's', which is not drawn"),
        ({"systematics": {"x": Tilt("v", 3.0)}}, "is not positive"),
    ],
)
def test_wrong_settings_are_named(change: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        replace(_METHOD, **change)


def test_an_unknown_column_is_named() -> None:
    graph = (Template("A", (chain.axis("uu"),)),)
    with pytest.raises(ConfigError, match="template 'A' has the variable 'uu', which is no column of the events"):
        fitted(Setup(AncestralSampling(_EVERY, graph), _TOY.draw(1)), seed=1)


def test_sealed_rows_of_the_generation_region_are_refused() -> None:
    drawn = _TOY.draw(1)
    sealed = Events.of(drawn.columns, seal=Region("SR", "s > 1.5"))
    with pytest.raises(BlindedError):
        fitted(Setup(_METHOD, sealed), seed=1)


def test_a_model_survives_its_files(tmp_path) -> None:
    from backdrop.io import save

    distortions = (Tilt("v", 0.2), FinalTilt("s", 0.1, 0.5, 1.5), Shift("u", 0.1))
    model = fitted(Setup(replace(_METHOD, distortions=distortions), _TOY.draw(16)), seed=1)
    save(model, tmp_path / "kernel")
    again = load(tmp_path / "kernel")
    assert isinstance(again, AncestralModel) and again.distortions == distortions
    assert again.predict(_TOY.draw(1), _EVERY).fingerprint == model.predict(_TOY.draw(1), _EVERY).fingerprint
