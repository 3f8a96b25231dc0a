"""Models: against pyhf, closed forms and iminuit; their toys, rankings, and what a workspace of them says."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pyhf
import pytest

from backdrop.errors import ConfigError, ExportError, FitError
from backdrop.inference import (
    DoubleGaussian,
    FitResult,
    Interpolated,
    Model,
    Moment,
    Process,
    Toys,
    Vertical,
    fit,
    minuit,
    ranking,
    scan,
)
from backdrop.inference.fit import covariance
from backdrop.inference.fits import _errors, fits
from backdrop.inference.label import Label
from backdrop.inference.minimise import Point, Profile, minimise
from backdrop.inference.toys import thrown
from backdrop.tasks import stream

EDGES = np.linspace(100.0, 160.0, 31)
CENTRES = (EDGES[1:] + EDGES[:-1]) / 2.0


def _varied(rng: np.random.Generator, nominal: np.ndarray, size: float) -> tuple[np.ndarray, np.ndarray]:
    x = (CENTRES - 130.0) / 30.0
    wave = rng.normal() * x + rng.normal() * x**2 + rng.normal() * np.sin(4.0 * x + rng.uniform(0.0, 6.0))
    up = size * wave / np.abs(wave).max()
    return nominal * (1.0 + up), nominal * (1.0 - rng.uniform(0.6, 1.1) * up)


def _random(seed: int) -> Model:
    """A falling and a flat background with one to five nuisances, and a signal somewhere."""
    rng = np.random.default_rng(seed)
    count = 1 + seed % 5
    falling = np.exp(-(CENTRES - 100.0) / rng.uniform(15.0, 60.0))
    falling *= rng.uniform(2e3, 2e4) / falling.sum()
    flat = np.full(len(CENTRES), rng.uniform(5.0, 50.0))
    shapes = {f"shape{i}": _varied(rng, falling, rng.uniform(0.02, 0.2)) for i in range(max(count - 1, 1))}
    scales = {"size": rng.uniform(0.05, 0.3)} if count > 1 else {}
    shared = {"shape0": _varied(rng, flat, 0.1)} if count > 2 else {}
    variance = 0.05 * falling * rng.uniform(0.5, 1.5, len(falling)) if seed % 4 == 1 else None
    signal = DoubleGaussian(rng.uniform(110.0, 150.0), 2.0, 5.0, 0.7, total=rng.uniform(50.0, 300.0))
    model = Model(
        EDGES,
        {
            "signal": Process(signal, "mu"),
            "falling": Process(falling, "k", shapes, variance=variance),
            "flat": Process(flat, None, shared, scales, None if variance is None else 0.02 * flat),
        },
    )
    expected = model.yields(mu=rng.uniform(0.0, 2.0), k=1.05, **{name: rng.normal() for name in shapes})
    return model.with_data(rng.poisson(sum(expected.values())))


@contextmanager
def _minuit() -> Iterator[None]:
    try:
        pyhf.set_backend("numpy", pyhf.optimize.minuit_optimizer(tolerance=1e-4))
        yield
    finally:
        pyhf.set_backend("numpy", "scipy")


def _by_pyhf(spec: dict[str, Any]) -> dict[str, tuple[float, float]]:
    workspace = pyhf.Workspace(spec)
    model = workspace.model()
    # bounds of five standard deviations bend the errors that Minuit gives
    bounds = [(-100.0, 100.0) if low < 0.0 else (low, high) for low, high in model.config.suggested_bounds()]
    with _minuit():
        found = pyhf.infer.mle.fit(workspace.data(model), model, par_bounds=bounds, return_uncertainties=True)
    return {name: tuple(map(float, row)) for name, row in zip(model.config.par_names, np.asarray(found), strict=True)}


@pytest.mark.parametrize("seed", range(20))
def test_a_random_model_and_its_workspace_in_pyhf_agree(seed: int) -> None:
    model = _random(seed)
    ours, theirs = fit(model, level=None), _by_pyhf(model.workspace())
    assert ours.value is not None and ours.error is not None
    value, error = theirs["mu"]
    assert abs(value - ours.value) < 0.01 * ours.error
    assert error == pytest.approx(ours.error, rel=0.01)
    for name, one in ours.parameters.items():
        assert theirs[name][0] == pytest.approx(one.value, abs=0.02 * max(one.error, 1e-9)), name
        assert theirs[name][1] == pytest.approx(one.error, rel=0.02), name
    again = fit(model.workspace(), level=None)
    assert again.value == pytest.approx(ours.value, abs=1e-5 * ours.error)
    assert again.deviance == pytest.approx(ours.deviance, abs=1e-6)


def _fine(tilt: float = 0.0, move: float = 0.0) -> Interpolated:
    """A rising edge and a fall: the shape of the mass in paper 001."""
    edges = np.linspace(80.0, 180.0, 501)
    x = (edges[1:] + edges[:-1]) / 2.0
    z = (x - 118.0 - move) / 12.0
    values = np.exp(-(z + np.exp(-z)) / 2.0) * (1.0 + tilt * (x - 120.0) / 60.0)
    return Interpolated(edges, 8000.0 * values / values.sum())


def _paper(seed: int = 2, strength: float = 1.0, **changes: Any) -> Model:
    """A signal on a background with a moment-morphed shift and a free tilt."""
    shapes = {"shift": (_fine(move=1.5), _fine(move=-1.5)), "tilt": (_fine(0.1), _fine(-0.1))}
    background = Process(_fine(), "mu_bkgd", shapes, morph=Moment())
    signal = Process(DoubleGaussian(125.0, 1.5, 3.0, 0.7, total=100.0), "mu")
    model = Model(EDGES, {"signal": signal, "background": background}, free=("tilt",), **changes)
    expected = model.yields(mu=strength, shift=0.3, tilt=0.4)
    return model.with_data(np.random.default_rng(seed).poisson(sum(expected.values())))


def test_migrad_hesse_and_minos_agree_with_the_newton_fit() -> None:
    for model in (_paper(), _random(7)):
        ours = fit(model)
        theirs = minuit(model)
        theirs.migrad()
        theirs.hesse()
        theirs.minos("mu")
        assert ours.error is not None and ours.interval is not None
        for name, one in ours.parameters.items():
            assert theirs.values[name] == pytest.approx(one.value, abs=0.01 * max(one.error, 1e-9)), name
            assert theirs.errors[name] == pytest.approx(one.error, rel=0.01), name
        ends = theirs.merrors["mu"]
        sides = (theirs.values["mu"] + ends.lower, theirs.values["mu"] + ends.upper)
        assert ours.interval == pytest.approx(sides, abs=0.01 * ours.error)


def test_where_the_second_derivatives_are_not_positive_their_expectation_is_the_error() -> None:
    """A bend of the interpolated density under the minimum; here points are looked for where it is so."""
    likelihood = _paper().likelihood()
    points = np.random.default_rng(1).normal(likelihood.start, 1.5, (200, len(likelihood.names)))
    observed, expected = (likelihood.many(points, information=True, observed=one)[2] for one in (True, False))
    bent = np.flatnonzero(np.linalg.eigvalsh(observed)[:, 0] < 0.0)
    assert len(bent) > 10
    for i in bent[:10]:
        found = covariance(likelihood, Point(points[i], 0.0))
        np.testing.assert_allclose(found, np.linalg.inv(expected[i]), rtol=1e-6)
    errors = _errors(replace(likelihood, data=np.tile(likelihood.data, (200, 1))), points)
    assert np.isfinite(errors).all()
    for i in (bent[0], np.setdiff1d(np.arange(200), bent)[0]):
        np.testing.assert_allclose(errors[i] ** 2, np.diag(covariance(likelihood, Point(points[i], 0.0))), rtol=1e-6)


def test_a_free_nuisance_has_no_constraint_and_a_constrained_one_has() -> None:
    """One bin for the signal, one for the nuisance alone: free, its error is that of the counts."""
    shapes = {"a": (np.array([100.0, 440.0]), np.array([100.0, 360.0]))}
    processes = {
        "signal": Process(np.array([10.0, 0.0]), "mu"),
        "background": Process(np.array([100.0, 400.0]), shapes=shapes),
    }
    free = fit(Model([0, 1, 2], processes, [110.0, 430.0], free=("a",)), level=None).parameters["a"]
    held = fit(Model([0, 1, 2], processes, [110.0, 430.0]), level=None).parameters["a"]
    assert free[:2] == pytest.approx((30.0 / 40.0, np.sqrt(430.0) / 40.0), rel=1e-5)
    assert free.pull is None
    # the minimum of (400 + 40 a) - 430 ln(400 + 40 a) + a² / 2
    roots = np.roots([40.0, 400.0 + 1600.0, 40.0 * 400.0 - 40.0 * 430.0])
    assert held.value == pytest.approx(float(roots.max()), rel=1e-6)
    assert held.error == pytest.approx((1.0 + 430.0 / (10.0 + held.value) ** 2) ** -0.5, rel=1e-5)
    assert held.pull == pytest.approx(held.value)


def test_template_statistics_are_one_factor_for_each_bin() -> None:
    """``lambda = g b`` with ``N(1 | g, r)``: the closed form of the profiled factor."""
    background = Process(np.array([100.0]), variance=np.array([100.0]))
    extra = Process(np.array([100.0]), variance=np.array([44.0]))
    signal = Process(np.array([10.0]), "mu")
    found = fit(Model([0, 1], {"signal": signal, "b": background, "c": extra}, [230.0]), level=None)
    assert found.value == pytest.approx(3.0, abs=1e-6)
    assert found.error == pytest.approx(np.sqrt(230.0 + 144.0) / 10.0, rel=1e-5)
    alone = fit(Model([0, 1], {"b": background, "c": extra}, [230.0], poi=None))
    r = 0.06
    g = np.roots([1.0 / r**2, 200.0 - 1.0 / r**2, -230.0]).max()
    assert alone.parameters["stat_SR[0]"].value == pytest.approx(float(g), rel=1e-6)


def test_the_ranking_is_what_the_refits_give() -> None:
    model = _paper()
    result, found = fit(model, level=None), ranking(model)
    assert result.value is not None and result.error is not None
    assert set(found) == set(result.parameters) - {"mu"}
    sizes = [max(map(abs, one)) for one in found.values()]
    assert sizes == sorted(sizes, reverse=True)
    largest = sorted(found, key=lambda name: -abs(result.impacts[name]))[:2]
    assert ranking(model, most=2) == {name: one for name, one in found.items() if name in largest}
    theirs = minuit(model)
    theirs.migrad()
    for name, impact in found.items():
        one = result.parameters[name]
        for side, expected in zip((1.0, -1.0), impact, strict=True):
            theirs.values[name] = one.value + side * one.error
            theirs.fixed[name] = True
            theirs.migrad()
            assert (theirs.values["mu"] - result.value) / result.error == pytest.approx(expected, abs=5e-3)
            theirs.fixed[name] = False
        # to first order, the impact of the result
        assert (impact.up - impact.down) / 2.0 == pytest.approx(result.impacts[name] / result.error, abs=0.05)


def test_what_takes_a_workspace_takes_a_model() -> None:
    model = _random(3)
    one, other = fit(model), fit(model.workspace())
    assert isinstance(one, FitResult) and one.limit_expected is not None and other.limit_expected is not None
    assert one.limit_observed == pytest.approx(other.limit_observed, rel=1e-4)
    assert one.limit_expected == pytest.approx(other.limit_expected, rel=1e-4)
    assert one.p0 == pytest.approx(other.p0, rel=1e-3)
    assert scan(model, [0.0, 1.0]) == pytest.approx(scan(model.workspace(), [0.0, 1.0]), abs=1e-5)
    assert FitResult.from_state(one.state()) == one
    assert one.postfit["SR"].observed == tuple(np.asarray(model.observed))
    short = fit(model, level=None)
    assert (short.value, short.error, short.parameters) == (one.value, one.error, one.parameters)
    assert (short.interval, short.limit_expected, short.limit_observed, short.p0) == (None, None, None, None)
    assert f"mu = {one.value:.2f} ± {one.error:.2f}" in repr(short)


def test_without_data_the_background_stands_in() -> None:
    result = fit(_paper().with_data(None))
    assert result.asimov_channels == ("SR",) and result.limit_observed is None and result.p0 is None
    assert result.value == pytest.approx(0.0, abs=1e-6)


def test_many_fits_are_the_single_fits() -> None:
    for model in (_paper(), _random(9)):
        likelihood = model.likelihood()
        truth = minimise(likelihood, likelihood.start).parameters
        drawn = thrown(likelihood, truth, [stream(4, i) for i in range(12)])
        found = fits(drawn, truth)
        for toy in range(12):
            single = minimise(drawn.toys(toy), truth)
            assert found.parameters[toy] == pytest.approx(single.parameters, abs=1e-6)
            assert found.deviance[toy] == pytest.approx(2.0 * single.value, abs=1e-6)
        result = fit(model, level=None)
        again = fits(replace(likelihood, data=likelihood.data[None]), likelihood.start)
        for i, (name, one) in enumerate(result.parameters.items()):
            assert again.parameters[0, i] == pytest.approx(one.value, abs=1e-6 * max(one.error, 1e-9)), name
            assert again.errors[0, i] == pytest.approx(one.error, rel=1e-6), name


def test_toys_of_a_statistic_are_those_of_single_profiles() -> None:
    model = _random(5)
    toys = Toys(model, toys=25, seed=3)
    likelihood, index, _ = toys._read()
    truth = Profile(likelihood, index, likelihood.start).at(0.0).parameters
    for statistic in ("capped", "discovery", "two-sided"):
        strength = 0.0 if statistic == "discovery" else 0.4
        drawn = toys._draw(likelihood, truth, statistic, strength, "test")  # type: ignore[arg-type]
        for toy, found in enumerate(drawn):
            profile = Profile(thrown(likelihood, truth, [stream(3, "toy", "test", toy)]).toys(0), index, truth)
            expected = profile.rise(strength)
            if statistic == "discovery" and profile.strength <= 0.0:
                expected = 0.0
            if statistic == "capped" and profile.strength > strength:
                expected = 0.0
            if statistic == "capped" and profile.strength < 0.0:
                expected = 2.0 * (profile.at(strength).value - profile.at(0.0).value)
            assert found == pytest.approx(expected, abs=1e-6)


def test_a_toy_is_the_same_alone_and_among_others() -> None:
    model = _paper()
    many, few = (Toys(model, toys=n, seed=8).fits(1.0) for n in (230, 205))
    np.testing.assert_array_equal(many.parameters[:205], few.parameters)
    np.testing.assert_array_equal(many.errors[:205], few.errors)


@pytest.mark.parametrize("kind", ["moments", "vertical"])
def test_toys_cover(kind: str) -> None:
    """Auxiliary measurements are thrown, so pulls are unit normal and the interval holds the truth as often as said."""
    model, truth, toys = _paper() if kind == "moments" else _random(9), 1.0, 1500
    found = Toys(model, toys=toys, seed=11).fits(truth)
    pulls = found.pulls(truth)
    assert len(found) == toys and np.isfinite(found.errors).all()
    assert abs(pulls.mean()) < 3.0 / np.sqrt(toys)
    assert abs(pulls.std() - 1.0) < 3.0 / np.sqrt(2.0 * toys)
    share = float((np.abs(pulls) < 1.0).mean())
    assert abs(share - 0.6827) < 3.0 * np.sqrt(0.6827 * 0.3173 / toys)


def test_the_limit_from_toys_is_the_asymptotic_one_at_many_events() -> None:
    model = _random(0)
    asymptotic = fit(model)
    found = Toys(model, toys=400, seed=2).limit(points=5)
    assert found.observed is not None and found.error is not None and asymptotic.limit_observed is not None
    assert found.observed == pytest.approx(asymptotic.limit_observed, abs=4 * found.error + 0.05 * found.observed)


def test_toys_of_a_handful_of_events_all_have_a_minimum() -> None:
    """An event for each bin and templates known to half: factors of bins would like to be negative."""
    falling = np.linspace(1.5, 0.5, 10)
    shapes = {"a": (falling * np.linspace(0.8, 1.2, 10), falling * np.linspace(1.2, 0.8, 10))}
    signal = Process(DoubleGaussian(5.0, 0.5, 1.0, 0.7, total=3.0), "mu")
    background = Process(falling, "k", shapes, variance=0.2 * falling)
    model = Model(np.arange(11.0), {"signal": signal, "background": background}, np.round(falling))
    assert np.isfinite(Toys(model, toys=1000, seed=1).fits(1.0).parameters).all()


def test_what_a_workspace_cannot_hold_is_measured_and_said() -> None:
    model = _paper()
    spec = model.workspace(most=1.0)
    exact, approximate = fit(model, level=None), fit(spec, level=None)
    assert exact.value is not None and exact.error is not None
    assert approximate.value is not None and approximate.error is not None
    found = Label.parse(spec["measurements"][0]["name"])
    assert found is not None and found.approximate is not None
    assert found.approximate.nuisances == ("shift", "tilt")
    assert found.approximate.moved == pytest.approx(abs(approximate.value - exact.value) / exact.error, abs=1e-3)
    assert found.approximate.ratio == pytest.approx(approximate.error / exact.error, abs=1e-3)
    assert any("stand for nuisances that were free" in note for note in approximate.notes)
    assert Label.parse(found.text) == found
    by_pyhf = _by_pyhf(spec)["mu"]
    assert by_pyhf == pytest.approx((approximate.value, approximate.error), abs=0.01 * approximate.error)


def test_a_workspace_that_would_move_the_strength_is_refused() -> None:
    """The data want a tilt of four, which a constraint of one holds back."""
    model = _paper()
    far = model.with_data(np.random.default_rng(3).poisson(sum(model.yields(tilt=4.0).values())))
    with pytest.raises(ExportError, match=r"nuisances shift, tilt .* move the signal strength .*most="):
        far.workspace()
    assert far.workspace(most=10.0)["measurements"][0]["name"].startswith("observed-SR.approximate-")
    with pytest.raises(ExportError, match="no signal to judge by"):
        processes = {"background": model.processes["background"]}
        Model(EDGES, processes, poi=None).workspace()


def test_an_exact_workspace_says_nothing() -> None:
    assert _random(1).workspace()["measurements"][0]["name"] == "observed-SR"
    assert fit(_random(1).workspace(), level=None).notes == ()


ONES = np.ones(30)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"edges": [1.0, 1.0, 2.0]}, ConfigError, "edges of a model ascend"),
        ({"observed": np.ones(3)}, ConfigError, r"counts of shape \(3,\) for 30 bins"),
        ({"observed": -ONES}, ConfigError, "finite and not negative"),
        ({"poi": "nu"}, ConfigError, "no process has the factor 'nu'"),
        ({"free": ("shap",)}, ConfigError, "'shap' is no nuisance of shapes alone, did you mean 'shape'"),
        ({"free": ("size",)}, ConfigError, "'size' is no nuisance of shapes alone"),
        ({"channel": "S R"}, ConfigError, "'S R' is no name"),
        ({"b": Process(ONES, "mu", {"mu": (ONES, ONES)})}, ConfigError, "'mu' is both a free factor and a nuisance"),
        ({"b": Process(ONES, shapes={"a": (ONES,)})}, ConfigError, "'a' is not a pair of templates"),  # type: ignore[dict-item]
        ({"b": Process(ONES, shapes={"stat_SR": (ONES, ONES)})}, ConfigError, "name of the bins' factors"),
        ({"b": Process(ONES[:3])}, ConfigError, r"process 'b': yields of shape \(3,\)"),
        ({"b": Process(ONES, shapes={"a": (ONES, -ONES)})}, FitError, r"'a' down is -1 in bin 0 \(100 to 102\)"),
        ({"b": Process(ONES, variance=-ONES)}, ConfigError, "variance for each bin"),
        ({"b": Process(ONES, scales={"a": -0.1})}, ConfigError, "relative uncertainty -0.1"),
        (
            {"b": Process(0.0 * ONES), "s": Process(np.r_[0.0, ONES[1:]], "mu")},
            FitError,
            "nothing is expected in bin 0",
        ),
        ({"s": Process(0.0 * ONES, "mu")}, FitError, "the signal is zero"),
    ],
)
def test_refusals(changes: dict[str, Any], error: type[Exception], message: str) -> None:
    processes = {"s": Process(ONES, "mu"), "b": Process(ONES, None, {"shape": (ONES, ONES)}, {"size": 0.1})}
    processes |= {name: changes.pop(name) for name in ("s", "b") if name in changes}
    with pytest.raises(error, match=message):
        Model(**({"edges": EDGES, "processes": processes} | changes))


def test_more_refusals() -> None:
    with pytest.raises(ConfigError, match="no parameter 'mi'"):
        _random(1).yields(mi=1.0)
    with pytest.raises(FitError, match="no parameter 'mi'; there are mu, k, shape0, "):
        Toys(_random(1), toys=2).fits().value("mi")
    with pytest.raises(FitError, match="no signal strength to rank by"):
        ranking(Model([0, 1], {"b": Process([5.0], "k")}, [4.0], poi=None))
    assert Vertical() == Process([1.0]).morph
