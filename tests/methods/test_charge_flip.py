"""Charge flip: the odds, backgrounds and subtraction, scale factors, energy loss, and what is refused."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import correctionlib
import hist
import numpy as np
import pytest

from backdrop import Channel, Events, Region, Setup, estimate, fitted
from backdrop.correction import write_maps
from backdrop.errors import BlindedError, ConfigError, DataError, FitError
from backdrop.maps import BinnedMap
from backdrop.methods.charge_flip import ChargeFlip, ChargeFlipModel, EnergyLoss, Window
from backdrop.methods.flip_rates import factorisation, measure, scale_factor, simulation_weights
from backdrop.synthetic import FlippedPairs

_TOY = FlippedPairs(pairs=200_000, background=8_000, random=300, far=20_000, tail=0.1)
_PT, _ETA = hist.axis.Variable(_TOY.pt, name="pt"), hist.axis.Variable(_TOY.abs_eta, name="abs_eta")
_SAME, _OPPOSITE = Region("same_sign", "charge > 0"), Region("opposite_sign", "charge < 0")
_WINDOWS = Window.around("m", 91.0, 14.0, _TOY.leak), Window.around("m", 90.0, 14.0, _TOY.leak)
_METHOD = ChargeFlip(_SAME, _OPPOSITE, *_WINDOWS, (_PT, _ETA))
_MASS = hist.axis.Regular(7, 130, 200, name="m", label=r"$m$ [GeV]")
_FAR = Channel("far", Region("far", "m > 130"), (_MASS,))


@pytest.fixture(scope="module")
def data() -> Events:
    return _TOY.draw(seed=5)


# ---- rates ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["free", "factorised"])
def test_rates_are_those_of_the_sample(data: Events, form: str) -> None:
    """The default rates rise by 2 from one pt bin to the next in each |eta| bin: they factorise."""
    found = measure(replace(_METHOD, form=form), data)
    covariance = found.rates.covariance
    away = found.rates.values - np.array(_TOY.rates)
    assert np.abs(away / found.rates.errors).max() < 3.5
    if form == "free":
        assert away @ np.linalg.solve(covariance, away) < 22.5  # 0.1 % of 6 degrees of freedom


def test_events_and_cells_are_counted_alike(data: Events) -> None:
    """Each pair is in one cell, whichever electron comes first."""
    counted = measure(_METHOD, data).likelihood
    for side, role, window in ((counted.opposite, _OPPOSITE, _WINDOWS[0]), (counted.same, _SAME, _WINDOWS[1])):
        assert window.sides is not None
        assert side.main.sum() == len(data.select(role & window.main))
        assert side.sides.sum() == len(data.select(role & window.sides))
    turned = {name: data[name.translate(str.maketrans("12", "21"))] for name in data.columns}
    swapped = measure(_METHOD, Events.of(turned)).likelihood
    assert np.array_equal(swapped.opposite.main, counted.opposite.main)
    assert np.array_equal(swapped.same.main, counted.same.main)


def test_rates_that_do_not_factorise_are_seen(data: Events) -> None:
    assert factorisation(_METHOD, data).p_value > 0.005
    odd = replace(_TOY, rates=(5e-4, 2e-3, 1e-2, 3e-3, 4e-3, 8e-3)).draw(seed=2)
    found = factorisation(_METHOD, odd)
    assert (found.degrees, found.p_value < 1e-6) == (2, True)


def test_factorisation_holds_its_level() -> None:
    toy = replace(_TOY, pairs=20_000, background=0, random=0, far=0, tail=0.0)
    plain = replace(_METHOD, opposite=Window(_WINDOWS[0].main), same=Window(_WINDOWS[1].main))
    values = np.array([factorisation(plain, toy.draw(seed=seed)).p_value for seed in range(60)])
    assert values.mean() == pytest.approx(0.5, abs=4 * np.sqrt(1 / 12 / 60))


def test_another_process_is_subtracted_in_the_mean(data: Events) -> None:
    """Same-sign dibosons under the Z, and their simulation of five times their number."""
    extra = FlippedPairs(pairs=2_000, rates=(0.5,) * 6).draw(seed=9, sample="diboson")
    simulated = FlippedPairs(pairs=10_000, rates=(0.5,) * 6).draw(seed=8, sample="diboson", weight=0.2)
    spoilt = data + extra.relabel("data")
    bare = measure(_METHOD, data)
    wrong, right = measure(_METHOD, spoilt), measure(_METHOD, spoilt - simulated)
    pull = (right.rates.values - bare.rates.values) / bare.rates.errors
    assert np.abs(pull).max() < 3.0
    assert ((wrong.rates.values - bare.rates.values) / bare.rates.errors).max() > 5.0
    assert right.rates.errors.mean() > bare.rates.errors.mean()


def test_weights_change_rates_and_intervals_as_counts_do(data: Events) -> None:
    once, scaled = measure(_METHOD, data), measure(_METHOD, 0.1 * data)
    assert scaled.rates.values == pytest.approx(once.rates.values, rel=1e-9)
    assert scaled.rates.covariance == pytest.approx(once.rates.covariance, rel=1e-6)
    assert scaled.interval(0) == pytest.approx(once.interval(0), rel=1e-6)


def test_the_text_tells_rates_and_intervals(data: Events) -> None:
    text = repr(measure(_METHOD, data))
    assert "pt from 25 to 45, abs_eta from 0 to 0.8: 0.000" in text
    assert text.count(" flips") == 6


# ---- the prediction ------------------------------------------------------------------------------------------------


def test_a_pair_has_the_odds_of_equal_charges() -> None:
    rates = BinnedMap("flip_rate", (_PT, _ETA), np.array([0.1, 0.2, 0.3, 0.15, 0.25, 0.35]), np.zeros((6, 6)))
    model = ChargeFlipModel(_OPPOSITE, rates, ("{}1", "{}2"))
    pair = {"pt1": [30.0], "abs_eta1": [0.1], "pt2": [60.0], "abs_eta2": [2.0], "charge": [-1.0], "m": [150.0]}
    weight = model.predict(Events.of({k: np.array(v) for k, v in pair.items()}), _FAR.region).weight
    # 0.1 * 0.65 + 0.35 * 0.9 over 0.9 * 0.65 + 0.1 * 0.35
    assert weight == pytest.approx([0.38 / 0.62], rel=1e-12)


def test_same_sign_pairs_are_predicted(data: Events) -> None:
    found = estimate(Setup(_METHOD, data), [_FAR], replicas=100, seed=3)
    total = found.total("far")
    assert abs(total.value - 20_000 * _TOY.same_sign) < 3.0 * total.total
    # flips and twice their background in the window, and the application sample
    flips, background = 200_000 * _TOY.same_sign, 300 * 28 / 57
    expected = np.sqrt(total.value**2 * (flips + 2.0 * background) / flips**2 + found.sumw2.sum())
    assert total.statistical == pytest.approx(expected, rel=4 / np.sqrt(2 * 100))


def test_columns_of_electrons_may_have_any_name() -> None:
    rename = {"pt1": "lead_pt", "abs_eta1": "lead_abs_eta", "pt2": "other_pt", "abs_eta2": "other_abs_eta"}
    data = _TOY.draw(seed=7)
    renamed = Events.of({rename.get(name, name): data[name] for name in data.columns})
    found = measure(replace(_METHOD, electrons=("lead_{}", "other_{}")), renamed)
    assert np.array_equal(found.rates.values, measure(_METHOD, data).rates.values)


def test_flipped_electrons_lose_energy(data: Events) -> None:
    loss = EnergyLoss(0.04, 0.02, "pt", ("m",))
    wide = Region("wide", "m > 0")
    still, moved = (fitted(Setup(replace(_METHOD, loss=one), data), seed=1).predict(data, wide) for one in (None, loss))
    assert np.array_equal(still.weight, moved.weight)
    first, second = (moved[f"pt{i}"] / still[f"pt{i}"] for i in (1, 2))
    assert ((first == 1.0) ^ (second == 1.0)).all()
    left = np.minimum(first, second) * np.maximum(first, second)
    assert left.mean() == pytest.approx(0.96, abs=4 * 0.02 / np.sqrt(len(left)))
    assert left.std() == pytest.approx(0.02, rel=0.02)
    assert (moved["m"] / still["m"]) ** 2 == pytest.approx(left, rel=1e-12)
    # the electron whose rate is larger is the one that flipped, in proportion
    rates = measure(_METHOD, data).rates
    one, two = (rates.evaluate({name: still[f"{name}{i}"] for name in ("pt", "abs_eta")}) for i in (1, 2))
    share = one * (1.0 - two) / (one + two - 2.0 * one * two)
    for low, high in ((0.0, 0.3), (0.3, 0.7), (0.7, 1.0)):
        inside = (share >= low) & (share < high)
        spread = np.sqrt((share * (1.0 - share))[inside].sum())
        assert abs((first != 1.0)[inside].sum() - share[inside].sum()) < 4.0 * spread


def test_rows_that_lose_energy_move_into_a_region(data: Events) -> None:
    """Masses from 91 GeV go below 88 GeV; the estimate must read the rows above."""
    below = Channel("below", Region("below", "(m > 80) & (m < 88)"))
    method = replace(_METHOD, loss=EnergyLoss(0.08, 0.0, "pt", ("m",)))
    model = fitted(Setup(method, data), seed=1)
    rows = model.predict(data, below.region)
    assert rows["m"].max() < 88.0
    assert estimate(Setup(method, data), [below], seed=1).nominal[0] == pytest.approx(rows.weight.sum(), rel=1e-12)
    assert rows.weight.sum() > 2.0 * fitted(Setup(_METHOD, data), seed=1).predict(data, below.region).weight.sum()


def test_the_page_shows_what_its_code_prints(capsys: pytest.CaptureFixture[str]) -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "methods" / "charge_flip.md").read_text(encoding="utf-8")
    code, shown = (re.search(rf"```{kind}\n(.*?)```", page, re.S).group(1) for kind in ("python", "text"))
    names: dict[str, object] = {}
    exec(compile(code, "charge_flip.md", "exec"), names)
    assert capsys.readouterr().out == shown


# ---- simulation ----------------------------------------------------------------------------------------------------


def test_no_nuisance_makes_a_rate_negative(tmp_path: Path) -> None:
    few = FlippedPairs(pairs=4_000.0).draw(seed=3)
    rates = measure(_METHOD, few).rates
    assert (rates.errors > rates.values).any()
    write_maps(tmp_path / "flips.json", rates)
    written = correctionlib.CorrectionSet.from_file(str(tmp_path / "flips.json"))["flip_rate"]
    for name, pair in rates.nuisances.items():
        for side, values in zip(("up", "down"), pair, strict=True):
            assert ((values >= 0.0) & (values <= 1.0)).all()
            # its parser of numbers rounds in the last digit
            assert written.evaluate(f"{name}_{side}", 30.0, 0.1) == pytest.approx(values[0], rel=1e-14)


def test_scale_factors_have_the_errors_of_both() -> None:
    toy = replace(_TOY, far=0)
    simulation = replace(toy, rates=tuple(0.7 * one for one in toy.rates))
    one, two = (measure(_METHOD, sample.draw(seed=seed)).rates for sample, seed in ((toy, 1), (simulation, 2)))
    found = scale_factor(one, two)
    assert (found.name, found.axes) == ("flip_scale_factor", one.axes)
    expected = np.sqrt((one.errors / one.values) ** 2 + (two.errors / two.values) ** 2) * found.values
    assert found.errors == pytest.approx(expected, rel=1e-12)
    assert np.abs((found.values - 1.0 / 0.7) / found.errors).max() < 3.5


def test_a_simulation_is_corrected_to_the_rates_of_data() -> None:
    """The sum of weights stays, same-sign pairs become those of data."""
    wrong = tuple(3.0 * one for one in _TOY.rates)
    rates, others = (
        BinnedMap("flip_rate", (_PT, _ETA), np.array(one), np.zeros((6, 6))) for one in (_TOY.rates, wrong)
    )
    simulated = FlippedPairs(pairs=300_000, rates=wrong).draw(seed=3)
    weight = simulation_weights(simulated, rates, others, flipped=("flipped1", "flipped2"))
    flipped = simulated["charge"] > 0
    error = np.sqrt((weight[flipped] ** 2).sum())
    assert abs(weight[flipped].sum() - len(simulated) * _TOY.same_sign) < 4.0 * error
    assert abs(weight.sum() - len(simulated)) < 4.0 * np.sqrt(((weight - 1.0) ** 2).sum())


# ---- refusals ------------------------------------------------------------------------------------------------------


def test_settings_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"'all' .* may share rows"):
        replace(_METHOD, source=Region.everything())
    with pytest.raises(ConfigError, match=r"side bands 'far' .* may share rows"):
        Window(Region("z", "m < 140"), _FAR.region)
    with pytest.raises(ConfigError, match=r"kappa = 2 .* leak = 0.5"):
        replace(_WINDOWS[0], kappa=2.0, leak=0.5)
    with pytest.raises(ConfigError, match=r"hold {} once"):
        replace(_METHOD, electrons=("lead", "{}2"))
    with pytest.raises(ConfigError, match="form is 'free' or 'factorised', not 'both'"):
        replace(_METHOD, form="both")
    with pytest.raises(ConfigError, match="no axis"):
        replace(_METHOD, axes=())
    with pytest.raises(ConfigError, match="shift between"):
        EnergyLoss(0.7)
    with pytest.raises(ConfigError, match="nothing to factorise"):
        factorisation(replace(_METHOD, axes=(_ETA,)), _TOY.draw(seed=1))


def test_input_that_says_nothing_is_refused(data: Events) -> None:
    with pytest.raises(DataError, match="opposite_sign & Z window"):
        measure(_METHOD, data.select(_SAME))
    finer = hist.axis.Variable([25, 45, 100, 400], name="pt")
    with pytest.raises(FitError, match=r"no electron of a Z decay with pt from 100 to 400, abs_eta from 0 to 0.8"):
        measure(replace(_METHOD, axes=(finer, _ETA)), data)
    with pytest.raises(DataError, match=r"'pt' has .* outside map 'flip_rate'"):
        measure(replace(_METHOD, axes=(hist.axis.Variable([25, 50], name="pt"),)), data)
    with pytest.raises(DataError, match="take it from the data, as in 'data - mc'"):
        measure(_METHOD, data + _TOY.draw(seed=1, sample="mc"))
    with pytest.raises(DataError, match="no sample 'dta'"):
        measure(replace(_METHOD, observed="dta"), data)


def test_rates_without_flips_have_no_scale_factor(data: Events) -> None:
    rates = measure(_METHOD, data).rates
    zero = replace(rates, values=np.where(np.arange(6) == 1, 0.0, rates.values))
    with pytest.raises(DataError, match=r"no electron flips in the simulation with pt from 25 to 45, abs_eta from 0.8"):
        scale_factor(rates, zero)
    coarse = measure(replace(_METHOD, axes=(_ETA,)), data).rates
    with pytest.raises(ConfigError, match="same bins"):
        scale_factor(rates, coarse)


def test_a_sealed_same_sign_peak_is_not_used() -> None:
    table = dict(_TOY.draw(seed=1).columns)
    sealed = Events.of(table, seal=_SAME & Region("peak", "(m > 80) & (m < 100)"))
    with pytest.raises(BlindedError):
        estimate(Setup(_METHOD, sealed), [_FAR], seed=1)
    far = Events.of(table, seal=_SAME & _FAR.region)
    assert estimate(Setup(_METHOD, far), [_FAR], seed=1).nominal.sum() > 0.0
