"""Fits against closed forms and pyhf."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pyhf
import pytest
from scipy.optimize import brentq
from scipy.stats import norm

from backdrop.errors import ConfigError, FitError
from backdrop.inference import FitResult, fit, workspace
from backdrop.inference.likelihood import read
from backdrop.inference.minimise import Profile, migrad, minimise
from tests.inference.samples import EVERY_MODIFIER, counting, estimate, plain


def _deviance(count: float, rate: float) -> float:
    return 2.0 * (rate - count + (count * np.log(count / rate) if count else 0.0))


@pytest.mark.parametrize(
    ("count", "background", "signal"), [(121.0, 100.0, 10.0), (90.0, 100.0, 10.0), (7.0, 3.2, 0.4)]
)
def test_a_counting_experiment_has_its_closed_form(count: float, background: float, signal: float) -> None:
    result = fit(counting(count, background, signal))
    assert result.value is not None and result.interval is not None
    assert result.value == pytest.approx((count - background) / signal, abs=1e-6)
    assert result.error == pytest.approx(np.sqrt(count) / signal, rel=1e-6)
    for edge, bracket in zip(result.interval, [(1e-9, count), (count, 10 * count)], strict=True):
        rate = brentq(lambda rate: _deviance(count, rate) - 1.0, *bracket)
        assert edge == pytest.approx((rate - background) / signal, abs=1e-4 * np.sqrt(count) / signal)
    significance = np.sqrt(_deviance(count, background)) if count > background else 0.0
    assert result.significance == pytest.approx(significance, abs=1e-5)
    assert result.p0 == pytest.approx(norm.sf(significance), rel=1e-4)
    assert result.deviance == pytest.approx(0.0, abs=1e-8)
    assert result.ndf == 0


def _cls(strength: float, count: float, background: float, signal: float) -> float:
    """Write CLs of a counting experiment out by hand, eqs. (16) and (64) to (67) of arXiv:1007.1727."""
    rate = background + strength * signal
    best = max(count, background)
    statistic = 0.0 if best > rate else _deviance(count, rate) - _deviance(count, best)
    spread = _deviance(background, rate)
    if statistic <= spread:
        above, both = np.sqrt(statistic), np.sqrt(statistic) - np.sqrt(spread)
    else:
        above = (statistic + spread) / (2.0 * np.sqrt(spread))
        both = (statistic - spread) / (2.0 * np.sqrt(spread))
    return float(norm.sf(above) / norm.sf(both))


@pytest.mark.parametrize(
    ("count", "background", "level"), [(100.0, 100.0, 0.95), (121.0, 100.0, 0.9), (70.0, 100.0, 0.95)]
)
def test_limits_of_a_counting_experiment_are_those_computed_by_hand(
    count: float, background: float, level: float
) -> None:
    result = fit(counting(count, background, 10.0), level=level)
    assert result.limit_observed is not None and result.limit_expected is not None
    by_hand = brentq(lambda mu: _cls(mu, count, background, 10.0) - (1.0 - level), 0.01, 50.0)
    assert result.limit_observed == pytest.approx(by_hand, rel=1e-4)
    for band, limit in zip((-2, -1, 0, 1, 2), result.limit_expected, strict=True):
        spread = norm.ppf(1.0 - (1.0 - level) * norm.cdf(band)) + band
        assert _deviance(background, background + 10.0 * limit) == pytest.approx(spread**2, rel=1e-3)


def test_a_background_measured_elsewhere_has_the_significance_of_li_and_ma() -> None:
    on, background, error = 140.0, 100.0, 10.0
    off, ratio = (background / error) ** 2, error**2 / background
    result = fit(counting(on, background, 10.0, error))
    expected = np.sqrt(
        2.0 * (on * np.log((1 + ratio) / ratio * on / (on + off)) + off * np.log((1 + ratio) * off / (on + off)))
    )
    assert result.significance == pytest.approx(expected, rel=1e-5)
    assert result.value == pytest.approx((on - background) / 10.0, rel=1e-6)
    assert result.error == pytest.approx(np.sqrt(on + error**2) / 10.0, rel=1e-6)


def test_without_a_signal_the_nuisances_are_fitted() -> None:
    counts, nominal, error = 130.0, 100.0, 20.0
    spec = workspace({"multijet": plain([nominal], [error**2])}, observed={"SR": [counts]})
    result = fit(spec)
    measured = (nominal / error) ** 2
    gamma = (counts + measured) / (nominal + measured)
    value, spread, pull = result.parameters["multijet_SR_stat[0]"]
    assert (result.poi, result.value, result.limit_expected, result.p0) == (None, None, None, None)
    assert value == pytest.approx(gamma, rel=1e-6)
    assert spread == pytest.approx(gamma / np.sqrt(counts + measured), rel=1e-5)
    assert pull == pytest.approx((gamma - 1.0) * nominal / error, rel=1e-5)
    assert result.postfit["SR"].total[0] == pytest.approx(nominal * gamma, rel=1e-6)
    assert result.postfit["SR"].error[0] == pytest.approx(nominal * spread, rel=1e-6)
    assert result.postfit["SR"].observed == (counts,)
    assert result.ndf == 1
    assert result.p_value is not None and 0.0 < result.p_value < 1.0


def _example(seed: int = 4, scale: float = 1.0) -> dict[str, Any]:
    background = estimate(seed, bins=3, variations=("shape",))
    signal = plain([2.0, 15.0, 3.0], [0.0, 0.0, 0.0])
    rng = np.random.default_rng(seed)
    expected = background.nominal + np.r_[signal.nominal, np.zeros(3)]
    counts = rng.poisson(expected).astype(float)
    return workspace({"multijet": background}, {"hh": scale * signal}, {"SR": counts[:3], "VR": counts[3:]})


def test_pyhf_with_either_optimiser_finds_the_same_strength_error_and_limits() -> None:
    spec = _example()
    result = fit(spec)
    assert result.value is not None and result.error is not None and result.limit_expected is not None
    model = pyhf.Workspace(spec).model()
    data = pyhf.Workspace(spec).data(model)
    poi = model.config.poi_index
    bounds = model.config.suggested_bounds()
    # bounds of five standard deviations bend the errors that Minuit gives
    free = [(-100.0, 100.0) if low < 0.0 else (low, high) for low, high in bounds]
    try:
        pyhf.set_backend("numpy", pyhf.optimize.minuit_optimizer(tolerance=1e-4))
        by_minuit = np.asarray(pyhf.infer.mle.fit(data, model, par_bounds=free, return_uncertainties=True))
        pyhf.set_backend("numpy", "scipy")
        by_scipy = np.asarray(pyhf.infer.mle.fit(data, model))
        bounds[poi] = (0.0, bounds[poi][1])
        for limit, which in (
            (result.limit_observed, None),
            (result.limit_expected[0], 0),
            (result.limit_expected[4], 4),
        ):
            seen, band = pyhf.infer.hypotest(limit, data, model, par_bounds=bounds, return_expected_set=True)
            assert float(seen if which is None else band[which]) == pytest.approx(0.05, abs=5e-5)
        p0 = pyhf.infer.hypotest(0.0, data, model, test_stat="q0", par_bounds=bounds)
    finally:
        pyhf.set_backend("numpy", "scipy")
    assert by_minuit[poi, 0] == pytest.approx(result.value, abs=5e-3 * result.error)
    assert by_scipy[poi] == pytest.approx(result.value, abs=5e-3 * result.error)
    assert by_minuit[poi, 1] == pytest.approx(result.error, rel=5e-3)
    assert float(p0) == pytest.approx(result.p0, rel=1e-3)
    for (value, error), (name, one) in zip(by_minuit, result.parameters.items(), strict=True):
        assert value == pytest.approx(one.value, abs=5e-3 * max(one.error, 1e-9)), name
        assert error == pytest.approx(one.error, rel=5e-3), name


@pytest.mark.parametrize("scale", [1.0, 1e-8])
def test_newton_steps_and_migrad_find_the_same_minimum(scale: float) -> None:
    likelihood = read(_example(scale=scale))
    free = np.flatnonzero(~likelihood.fixed)
    newton, minuit = minimise(likelihood, likelihood.start), migrad(likelihood, likelihood.start, free)
    assert newton.value == pytest.approx(minuit.value, abs=1e-6)
    errors = np.sqrt(np.diag(np.linalg.inv(likelihood.hessian(newton.parameters)[np.ix_(free, free)])))
    assert (abs(newton.parameters - minuit.parameters)[free] < 5e-3 * errors).all()


def test_a_model_of_another_program_is_fitted_as_pyhf_does() -> None:
    result = fit(EVERY_MODIFIER)
    spec = pyhf.Workspace(EVERY_MODIFIER)
    model = spec.model()
    data = spec.data(model)
    here = -2.0 * float(model.logpdf([one.value for one in result.parameters.values()], data)[0])
    best = pyhf.infer.mle.fit(data, model, return_fitted_val=True)[1]
    assert here == pytest.approx(float(best), abs=1e-3)
    assert result.asimov_channels == ()


def test_a_free_normalisation_stays_within_its_bounds() -> None:
    spec = counting(10.0, 8.0)
    spec["channels"][0]["samples"][1]["modifiers"] = [{"name": "free", "type": "normfactor", "data": None}]
    other = [
        {"name": "known", "data": [10.0], "modifiers": []},
        {"name": "multijet", "data": [8.0], "modifiers": [{"name": "free", "type": "normfactor", "data": None}]},
    ]
    spec["channels"].append({"name": "VR", "samples": other})
    spec["observations"].append({"name": "VR", "data": [5.0]})
    spec["measurements"][0]["config"]["parameters"][0]["bounds"] = [[-100.0, 100.0]]
    result = fit(spec)
    assert result.parameters["free"].value == pytest.approx(0.0, abs=1e-3)
    assert result.value == pytest.approx(10.0, abs=0.01)


def test_without_data_nothing_is_observed_and_the_result_says_so() -> None:
    background, signal = estimate(1), plain([2.0, 6.0, 4.0, 1.0], [0.0, 0.0, 0.0, 0.0])
    counts = np.round(background.nominal[4:])
    result = fit(workspace({"multijet": background}, {"hh": signal}, {"VR": counts}))
    assert result.asimov_channels == ("SR",)
    assert (result.limit_observed, result.p0, result.significance, result.p_value) == (None, None, None, None)
    assert result.postfit["SR"].observed is None
    assert result.postfit["VR"].observed == tuple(counts)
    assert "channel 'SR' holds no data" in result.notes[0]
    assert "no data (Asimov) in SR" in repr(result)
    nothing = fit(workspace({"multijet": background}, {"hh": signal}))
    assert nothing.asimov_channels == ("SR", "VR")
    assert nothing.value == pytest.approx(0.0, abs=1e-6)
    assert nothing.deviance == pytest.approx(0.0, abs=1e-9)
    assert all(one.pull is None or abs(one.pull) < 1e-6 for one in nothing.parameters.values())


def test_an_impact_is_the_change_when_the_nuisance_is_held_one_deviation_away() -> None:
    likelihood = read(_example())
    result = fit(_example())
    assert result.value is not None and result.error is not None and likelihood.poi is not None
    best = minimise(likelihood, likelihood.start)
    name = max(result.impacts, key=lambda one: abs(result.impacts[one]))
    index = likelihood.names.index(name)
    moved = [
        minimise(likelihood, best.parameters, {index: best.parameters[index] + side * result.parameters[name].error})
        for side in (1.0, -1.0)
    ]
    change = (moved[0].parameters[likelihood.poi] - moved[1].parameters[likelihood.poi]) / 2.0
    assert result.impacts[name] == pytest.approx(change, abs=0.03 * result.error)


def test_a_result_survives_strict_json() -> None:
    for spec in (_example(), counting(10.0, 8.0), workspace({"multijet": estimate(3)})):
        result = fit(spec)
        text = json.dumps(result.state(), allow_nan=False)
        assert FitResult.from_state(json.loads(text)) == result


def test_a_workspace_survives_json() -> None:
    spec = _example()
    assert fit(json.loads(json.dumps(spec, allow_nan=False))) == fit(spec)


@pytest.mark.parametrize("scale", [1e-5, 1e4])
def test_the_size_of_the_signal_only_changes_the_unit_of_its_strength(scale: float) -> None:
    background = estimate(1)
    signal = plain([2.0, 6.0, 4.0, 1.0], [0.0, 0.0, 0.0, 0.0])
    data = {"SR": np.round(background.nominal[:4] + 2.0 * signal.nominal), "VR": np.round(background.nominal[4:])}
    one, other = (fit(workspace({"multijet": background}, {"hh": s}, data)) for s in (signal, scale * signal))
    assert one.value is not None and other.value is not None
    assert one.limit_observed is not None and other.limit_observed is not None
    assert other.value * scale == pytest.approx(one.value, rel=1e-5)
    assert other.limit_observed * scale == pytest.approx(one.limit_observed, rel=1e-4)
    assert one.notes == other.notes == ()


def test_a_strong_deficit_reaches_the_bound_and_the_result_says_so() -> None:
    result = fit(counting(0.0, 5.0))
    assert result.value == pytest.approx(-5.0)
    assert any("at its bound" in note for note in result.notes)
    assert any("expectation is zero" in note for note in result.notes)
    assert result.limit_observed is not None
    assert _cls(result.limit_observed, 0.0, 5.0, 1.0) == pytest.approx(0.05, abs=1e-4)


def test_what_is_not_determined_is_refused_by_name() -> None:
    spec = counting(10.0, 8.0)
    spec["channels"][0]["samples"][1]["modifiers"] = [{"name": "free", "type": "normfactor", "data": None}]
    with pytest.raises(FitError, match=r"do not determine parameters '(mu|free)' and '(mu|free)' separately"):
        fit(spec)


def test_refusals() -> None:
    with pytest.raises(FitError, match="no parameter 'mue', did you mean 'mu'"):
        fit(counting(10.0, 8.0), poi="mue")
    with pytest.raises(FitError, match="'multijet_data_pc1' is constrained"):
        fit(_example(), poi="multijet_data_pc1")
    for level in (0.0, 1.0, 95.0):
        with pytest.raises(ConfigError, match="level"):
            fit(counting(10.0, 8.0), level=level)


def test_the_interval_covers() -> None:
    """Toys of data and of the auxiliary measurements; 68.27 % within three of its own errors, and unit pulls."""
    truth, toys = 1.5, 300
    background = estimate(6, bins=3, names=("SR",), level=200.0, spread=0.05)
    signal = plain([5.0, 25.0, 10.0], [0.0, 0.0, 0.0])
    likelihood = read(workspace({"multijet": background}, {"hh": signal}))
    assert likelihood.poi is not None
    start = likelihood.start.copy()
    start[likelihood.poi] = truth
    normal, poisson = likelihood.normal, likelihood.poisson
    rng = np.random.default_rng(2024)
    covered, pulls = 0, []
    for _ in range(toys):
        toy = replace(
            likelihood,
            data=rng.poisson(likelihood.yields(start)).astype(float),
            normal=replace(normal, centre=rng.normal(start[normal.where], normal.error)),
            poisson=replace(poisson, counts=rng.poisson(poisson.scale * start[poisson.where]).astype(float)),
        )
        profile = Profile(toy, likelihood.poi, start)
        rise = profile.rise(truth)
        covered += rise <= 1.0
        pulls.append(np.sign(profile.strength - truth) * np.sqrt(rise))
    expected = 0.6827
    assert abs(covered / toys - expected) < 3.0 * np.sqrt(expected * (1.0 - expected) / toys)
    assert abs(np.mean(pulls)) < 3.0 / np.sqrt(toys)
    assert abs(np.std(pulls) - 1.0) < 3.0 / np.sqrt(2.0 * toys)


def test_beside_data_an_expectation_has_a_strength_that_is_no_measurement() -> None:
    """More counts in one channel move the background of the other, whose expectation was made before."""
    background = estimate(1, spread=0.2)
    signal = plain([2.0, 6.0, 4.0, 1.0], np.zeros(4))
    more = 1.2 * background.nominal[4:]
    assert fit(workspace({"b": background}, {"s": signal})).value == pytest.approx(0.0, abs=1e-6)
    moved = fit(workspace({"b": background}, {"s": signal}, {"VR": more.round()}))
    assert moved.asimov_channels == ("SR",) and moved.limit_observed is None and moved.p0 is None
    assert moved.value is not None and moved.error is not None
    assert 0.05 * moved.error < abs(moved.value) < moved.error
