"""Likelihood ABCD: against the counting form, closed forms, an independent fit, and where it must refuse."""

from __future__ import annotations

from typing import Any

import hist
import numpy as np
import pyhf
import pytest
from iminuit import Minuit

import backdrop as bd
from backdrop.errors import ConfigError, DataError, FitError
from backdrop.inference.likelihood import read
from backdrop.methods.abcd import Plane, counts
from backdrop.methods.likelihood_abcd import LikelihoodABCD, exact_interval
from backdrop.methods.transfer import Binned, Chebyshev, Constant
from backdrop.synthetic import GaussianPlane, gaussian_abcd

_PLANE = Plane("x1", "x2", 0.0, 0.0)
_HALVES = hist.axis.Variable([100.0, 125.0, 200.0], name="m", label=r"$m$ [GeV]")
_MASS = hist.axis.Regular(8, 100, 200, name="m", label=r"$m$ [GeV]")
_COUNT = bd.Channel("SR", _PLANE.region)


def _method(**settings: Any) -> LikelihoodABCD:
    roles = _PLANE.abcd()
    return LikelihoodABCD(roles.target, roles.source, roles.control, **settings)


def _table(a: int, b: int, c: int, d: int, sample: str = "data", weight: float = 1.0) -> bd.Events:
    """Return events with given counts in A, B, C, D of a plane at (0, 0), all at m = 110."""
    x = np.repeat([1.0, 1.0, -1.0, -1.0], [a, b, c, d])
    y = np.repeat([1.0, -1.0, 1.0, -1.0], [a, b, c, d])
    weights = np.full(len(x), weight)
    return bd.Events.of({"x1": x, "x2": y, "m": np.full(len(x), 110.0)}, sample=sample, weight=weights)


def _estimate(method: LikelihoodABCD, events: bd.Events, channel: bd.Channel = _COUNT) -> bd.Estimate:
    return bd.estimate(bd.Setup(method, events), [channel], seed=1)


# ---- the prediction --------------------------------------------------------------------------------------------------


def test_large_counts_give_the_counting_form() -> None:
    data, simulated = _table(0, 40_000, 90_000, 30_000), _table(0, 9000, 8000, 2000, "prompt", 0.1)
    closed = counts(_PLANE.abcd(), _PLANE.region, data - simulated)
    found = _estimate(_method(), data - simulated).total("SR")
    assert found.value == pytest.approx(closed.predicted, rel=1e-6)
    assert found.statistical == pytest.approx(closed.error, rel=2e-3)
    assert found.systematic == 0.0


def test_bins_have_the_counting_forms_covariance() -> None:
    """cov_ij = N_i N_j (1/C + 1/D), plus N_i²/B_i on the diagonal."""
    data = GaussianPlane(fakes=400_000, reals=0).draw(seed=4)
    channel = bd.Channel("SR", _PLANE.region, (_MASS,))
    found = _estimate(_method(), data, channel)
    closed = counts(_PLANE.abcd(), _PLANE.region, data)
    b, _ = channel.fill(data.select(_PLANE.region & _PLANE.abcd().source))
    share = 1 / closed.yields["C"] + 1 / closed.yields["D"]
    expected = np.outer(found.nominal, found.nominal) * share + np.diag(found.nominal**2 / b)
    assert found.nominal == pytest.approx(b * closed.yields["C"] / closed.yields["D"], rel=1e-6)
    assert found.covariance() == pytest.approx(expected, rel=5e-3)


def test_weighted_pseudo_data_count_by_their_equivalent_numbers() -> None:
    """All weights 0.5: yields halve, and so do their errors (variance 0.25)."""
    one, half = (_estimate(_method(), _table(0, 40, 90, 30, weight=w)) for w in (1.0, 0.5))
    assert half.nominal == pytest.approx(0.5 * one.nominal)
    assert half.covariance() == pytest.approx(0.25 * one.covariance(), rel=1e-6)


def test_few_counts_have_unequal_sides() -> None:
    found = _estimate(_method(), _table(0, 4, 5, 3))
    (up, down), nominal = found.variations["counts_1"], found.nominal
    assert up[0] - nominal[0] > 1.5 * (nominal[0] - down[0])


@pytest.mark.parametrize(("b", "c"), [(0, 12), (12, 0)])
def test_a_zero_is_finite_with_an_upper_side(b: int, c: int) -> None:
    found = _estimate(_method(), _table(0, b, c, 30))
    up, down = found.variations["counts_1"]
    assert found.nominal[0] == pytest.approx(0.0, abs=1e-6)
    assert down[0] == pytest.approx(0.0, abs=1e-6)
    assert 0.1 < up[0] < 0.4


def test_counts_of_a_hundred_million_keep_their_digits() -> None:
    data = _table(1, 1, 1, 1)
    heavy = data.with_weight(np.full(4, 1.0))
    method = _method()
    rows = bd.Events.of({name: np.asarray(heavy[name]) for name in ("x1", "x2", "m")})
    model = bd.fitted(bd.Setup(method, rows), seed=1)
    assert model.factor[0] == pytest.approx(1.0)
    spec = _spec(1e8, 1e8, 1e8, 1e8, signal=(1e4, 0.0, 0.0, 0.0))
    result = bd.fit(spec)
    assert result.value == pytest.approx(0.0, abs=1e-4)
    assert result.error == pytest.approx(np.sqrt(4 * 1e8) / 1e4, rel=1e-4)


def test_the_farther_region_repairs_a_correlation_that_grows_by_steps() -> None:
    """Transfer factors 0.2, 0.4, 0.8 along x: four regions predict 0.4 N, six predict 0.8 N."""
    x = np.repeat([0.0, 0.0, 1.0, 1.0, 2.0], [2000, 10_000, 4000, 10_000, 5000])
    y = np.repeat([1.0, -1.0, 1.0, -1.0, -1.0], [2000, 10_000, 4000, 10_000, 5000])
    data = bd.Events.of({"x": x, "y": y})
    regions = [bd.Region(name, cut) for name, cut in (("t", "y > 0"), ("s", "y < 0"), ("c", "x == 1"))]
    channel = bd.Channel("SR", bd.Region("SR", "x == 2"))
    four = LikelihoodABCD(*regions)
    six = LikelihoodABCD(*regions, farther=bd.Region("far", "x == 0"))
    assert _estimate(four, data, channel).nominal[0] == pytest.approx(2000, rel=1e-6)
    found = _estimate(six, data, channel).total("SR")
    assert found.value == pytest.approx(4000, rel=1e-6)
    parts = 1 / 5000 + 4 * (1 / 4000 + 1 / 10_000) + 1 / 2000 + 1 / 10_000
    assert found.statistical == pytest.approx(4000 * np.sqrt(parts), rel=5e-3)
    relation = bd.terms(bd.Setup(six, data), [channel], seed=1)
    assert bd.workspace({"fakes": relation})["observations"][0]["data"] == pytest.approx([4000], rel=1e-6)


def test_a_smooth_transfer_factor_finds_a_known_slope_with_a_smaller_error() -> None:
    """Transfer factor exp(0.4 x): per bin is unbiased, smooth too, and better known at the ends."""
    rng, bins = np.random.default_rng(11), 8
    centres = np.linspace(-1 + 1 / bins, 1 - 1 / bins, bins)
    expected = {"D": np.full(bins, 800.0), "C": 800.0 * 0.5 * np.exp(0.4 * centres), "B": np.full(bins, 4000.0)}
    x, y, m = [], [], []
    for name, (xs, ys) in {"B": (1.0, -1.0), "C": (-1.0, 1.0), "D": (-1.0, -1.0)}.items():
        numbers = rng.poisson(expected[name])
        x.append(np.full(numbers.sum(), xs))
        y.append(np.full(numbers.sum(), ys))
        m.append(np.repeat(106.25 + 12.5 * np.arange(bins), numbers))
    data = bd.Events.of({"x1": np.concatenate(x), "x2": np.concatenate(y), "m": np.concatenate(m)})
    channel = bd.Channel("SR", _PLANE.region, (_MASS,))
    truth = expected["B"] * expected["C"] / expected["D"]
    smooth, binned = (_estimate(_method(transfer=t), data, channel) for t in (Chebyshev(_MASS, 1), Binned(_MASS)))
    for found in (smooth, binned):
        distance = found.nominal - truth
        assert distance @ np.linalg.solve(found.covariance(), distance) < 26.1  # p = 0.001 at 8 bins
    errors = [np.sqrt(np.diag(found.covariance())) for found in (smooth, binned)]
    assert (errors[0] < 0.75 * errors[1]).all()


# ---- in a workspace --------------------------------------------------------------------------------------------------


def _spec(a: float, b: float, c: float, d: float, signal: tuple[float, float, float, float]) -> dict[str, Any]:
    """The workspace of given counts: that of a small table, with the counts and yields written in."""
    relation = bd.terms(bd.Setup(_method(), _table(0, 1, 1, 1)), [_COUNT], seed=1)
    spec = bd.workspace({"fakes": relation}, {"hh": relation.template(_table(1, 1, 1, 1, "hh", 0.5))}, {"SR": [a]})
    numbers = {"SR": (a, signal[0]), "SR_source": (b, signal[1]), "control_target": (c, signal[2])}
    numbers["control_source"] = (d, signal[3])
    nominal = {"SR": b * c / d, "SR_source": b, "control_target": c, "control_source": d}
    for channel, observed in zip(spec["channels"], spec["observations"], strict=True):
        observed["data"] = [numbers[channel["name"]][0]]
        fakes, hh = channel["samples"]
        fakes["data"], hh["data"] = [nominal[channel["name"]]], [numbers[channel["name"]][1]]
        hh["modifiers"] = [one for one in hh["modifiers"] if one["type"] == "normfactor"]
    strength = {"name": "mu", "inits": [0.0], "bounds": [[-1e6, 1e6]]}
    factors = [
        {"name": one["name"], "inits": [1.0] * len(one["inits"]), "bounds": [[0.0, 50.0]] * len(one["inits"])}
        for one in spec["measurements"][0]["config"]["parameters"]
        if one["name"].startswith("fakes")
    ]
    spec["measurements"][0]["config"]["parameters"] = [strength, *factors]
    return spec


def _independent(counts: tuple[float, ...], signal: tuple[float, ...]) -> tuple[float, float]:
    """The same likelihood written out for iminuit: mu and its error."""

    def value(mu: float, b: float, tau: float, g: float) -> float:
        rates = np.array([b * tau, b, g * tau, g]) + mu * np.array(signal)
        if (rates <= 0).any():
            return 1e10
        return float((rates - np.array(counts) * np.log(rates)).sum())

    _, b, c, d = counts
    minuit = Minuit(value, mu=0.0, b=b, tau=c / d, g=d)
    minuit.errordef = Minuit.LIKELIHOOD
    minuit.limits["b", "tau", "g"] = (1e-9, None)
    minuit.tol, minuit.strategy = 1e-5, 2
    minuit.migrad(ncall=20_000)
    minuit.hesse()
    return float(minuit.values["mu"]), float(minuit.errors["mu"])


@pytest.mark.parametrize(
    ("counts", "signal"),
    [
        ((60.0, 100.0, 200.0, 400.0), (10.0, 0.0, 0.0, 0.0)),
        ((60.0, 100.0, 200.0, 400.0), (10.0, 3.0, 4.0, 1.0)),
        ((60.0, 100.0, 200.0, 400.0), (1e-3, 1e-4, 0.0, 0.0)),
        ((6000.0, 100.0, 200.0, 400.0), (1e4, 1.0, 0.0, 0.0)),
    ],
)
def test_signal_moves_the_answer_as_an_independent_fit_says(
    counts: tuple[float, float, float, float], signal: tuple[float, float, float, float]
) -> None:
    """Contamination everywhere, and signal strengths far above and below one."""
    found = bd.fit(_spec(*counts, signal))
    mu, error = _independent(counts, signal)
    assert found.value == pytest.approx(mu, abs=2e-3 * error)
    assert found.error == pytest.approx(error, rel=2e-3)


def test_the_background_only_maximum_is_the_closed_form() -> None:
    """With A in the fit and no signal: b_A = (A+B)(A+C)/N."""
    a, b, c, d = 31, 40, 55, 60
    relation = bd.terms(bd.Setup(_method(), _table(0, b, c, d)), [_COUNT], seed=1)
    fitted = bd.fit(bd.workspace({"fakes": relation}, observed={"SR": [a]})).postfit
    total = a + b + c + d
    expected = {"SR": (a + b) * (a + c), "SR_source": (a + b) * (b + d), "control_target": (a + c) * (c + d)}
    for name, product in expected.items():
        assert fitted[name].total[0] == pytest.approx(product / total, rel=1e-5)


@pytest.mark.parametrize("transfer", [Constant(), Binned(_HALVES), Chebyshev(_MASS, 1)])
@pytest.mark.parametrize("optimizer", ["scipy", "minuit"])
def test_pyhf_finds_the_same(transfer: Any, optimizer: str) -> None:
    toy = GaussianPlane(fakes=20_000, reals=6000)
    reals = GaussianPlane(fakes=0, reals=12_000).draw(seed=1, sample="reals", weight=0.5)
    signal = GaussianPlane(fakes=0, reals=2000, real_mean=(1.5, 1.5)).draw(seed=2, sample="hh", weight=0.2)
    data = toy.draw(seed=1)
    channel = bd.Channel("SR", _PLANE.region, (_MASS,))
    relation = bd.terms(bd.Setup(_method(transfer=transfer), data - reals), [channel], seed=1)
    spec = bd.workspace({"fakes": relation}, {"hh": relation.template(signal)}, {"SR": data})
    found, likelihood = bd.fit(spec), read(spec)
    optimizers = {
        "scipy": pyhf.optimize.scipy_optimizer(tolerance=1e-10),
        "minuit": pyhf.optimize.minuit_optimizer(tolerance=1e-4, strategy=1),
    }
    pyhf.set_backend("numpy", optimizers[optimizer])
    model = pyhf.Workspace(spec).model(validate=False)
    observed = pyhf.Workspace(spec).data(model)
    best = np.array([found.parameters[name].value for name in likelihood.names])
    ours = likelihood(best) + likelihood.saturated
    assert ours == pytest.approx(-float(model.logpdf(best, observed)[0]), abs=1e-6)
    theirs = np.asarray(pyhf.infer.mle.fit(observed, model, return_uncertainties=optimizer == "minuit"))
    mu = theirs[model.config.poi_index]
    assert np.ravel(mu)[0] == pytest.approx(found.value, abs=5e-3 * found.error)
    if optimizer == "minuit":
        assert mu[1] == pytest.approx(found.error, rel=5e-3)


def test_systematics_of_processes_and_relation_are_nuisances() -> None:
    data, prompt = _table(0, 400, 900, 300), _table(100, 90, 80, 20, "prompt", 0.5)
    method = _method(kappa=1.1, kappa_error=0.1)
    setups = {"prompt": bd.Setup(method, data - 1.2 * prompt)}
    relation = bd.terms(bd.Setup(method, data - prompt), [_COUNT], variations=setups, seed=1)
    spec = bd.workspace({"fakes": relation}, observed={"SR": [1400]})
    assert relation.processes["prompt"].variations["prompt"][0] == pytest.approx(
        1.2 * relation.processes["prompt"].nominal
    )
    kinds = {one["name"]: one["type"] for c in spec["channels"] for s in c["samples"] for one in s["modifiers"]}
    assert kinds["fakes_kappa"] == "histosys"
    assert kinds["prompt_prompt"] == "histosys"
    assert kinds["fakes_transfer"] == "normfactor"
    assert kinds["fakes_SR_yield"] == "shapefactor"
    assert bd.fit(spec).parameters["fakes_kappa"].error < 1.0


def test_observed_rows_are_those_of_the_target() -> None:
    data = _table(70, 400, 90, 300)
    relation = bd.terms(bd.Setup(_method(), data), [_COUNT], seed=1)
    spec = bd.workspace({"fakes": relation}, observed={"SR": data})
    assert spec["observations"][0] == {"name": "SR", "data": [70.0]}


def test_while_the_channel_is_sealed_the_expectation_comes_from_the_others() -> None:
    target = _PLANE.region & _PLANE.abcd().target
    both = _table(70, 400, 90, 300)
    sealed = bd.Events.of({name: np.asarray(both[name]) for name in ("x1", "x2", "m")}, seal=target)
    relation = bd.terms(bd.Setup(_method(), sealed), [_COUNT], seed=1)
    spec = bd.workspace({"fakes": relation})
    assert spec["observations"][0] == {"name": "SR", "data": pytest.approx([120.0])}
    assert spec["measurements"][0]["name"].endswith(".asimov-SR")


# ---- what is refused -------------------------------------------------------------------------------------------------


def test_empty_regions_are_named() -> None:
    with pytest.raises(DataError, match=r"'low x1 & low x2' .* holds 0 rows of 'data'"):
        _estimate(_method(), _table(0, 3, 4, 0))
    with pytest.raises(FitError, match=r"holds 0 rows of 'data' in bin 1 of 'm'.*merge bins"):
        _estimate(_method(transfer=Binned(_HALVES)), _table(0, 3, 4, 5), bd.Channel("SR", _PLANE.region, (_HALVES,)))


def test_simulation_must_be_subtracted() -> None:
    with pytest.raises(DataError, match=r"sample 'prompt' adds 3 to the data in region .*'data - prompt'"):
        _estimate(_method(), _table(0, 9, 9, 9) + _table(0, 3, 3, 3, "prompt"))


def test_a_workspace_needs_counts() -> None:
    with pytest.raises(DataError, match="has weights, but the likelihood of a workspace needs counts"):
        bd.terms(bd.Setup(_method(), _table(0, 9, 9, 9, weight=0.5)), [_COUNT], seed=1)


def test_bins_must_lie_within_those_of_the_transfer_factor() -> None:
    data = GaussianPlane(fakes=1000, reals=0).draw(seed=1)
    uneven = bd.Channel("SR", _PLANE.region, (hist.axis.Variable([100, 120, 140, 200], name="m"),))
    with pytest.raises(ConfigError, match="every bin of the channel must lie within one"):
        _estimate(_method(transfer=Binned(_HALVES)), data, uneven)
    with pytest.raises(ConfigError, match="no axis of channel 'SR'"):
        _estimate(_method(transfer=Binned(_HALVES)), data)


def test_roles_that_overlap_are_refused() -> None:
    roles = _PLANE.abcd()
    with pytest.raises(ConfigError, match=r"target .* and source .* may share rows"):
        LikelihoodABCD(roles.target, bd.Region("s", "x2 < 1"), roles.control)
    with pytest.raises(ConfigError, match=r"control .* and farther .* may share rows"):
        LikelihoodABCD(roles.target, roles.source, roles.control, farther=bd.Region("f", "x1 < -1"))


def test_a_method_without_a_relation_has_no_terms() -> None:
    with pytest.raises(ConfigError, match="ABCD has no terms"):
        bd.terms(bd.Setup(_PLANE.abcd(), _table(0, 9, 9, 9)), [_COUNT], seed=1)


def test_exact_intervals_are_for_counts_alone() -> None:
    few = _table(0, 4, 5, 3)
    low, high = exact_interval(_method(), _PLANE.region, few, toys=500)
    assert low < 20 / 3 < high
    scaled = exact_interval(_method(kappa=2.0), _PLANE.region, few, toys=500)
    assert scaled == pytest.approx((2 * low, 2 * high))
    with pytest.raises(DataError, match="no other processes"):
        exact_interval(_method(), _PLANE.region, few - _table(0, 1, 1, 1, "prompt", 0.5))
    with pytest.raises(ConfigError, match="four regions with one constant"):
        exact_interval(_method(transfer=Binned(_HALVES)), _PLANE.region, few)


def test_the_intervals_of_bins_without_rows_are_found() -> None:
    """A product that becomes zero on the way to one crossing must not keep the search from the other."""
    samples = gaussian_abcd(seed=1, fakes=6_000, reals=600)
    region = bd.Region("VR", "(x2 > 1) & ((m < 120) | (m >= 140))")
    channel = bd.Channel("VR", region, (hist.axis.Regular(10, 100, 200, name="m"),))
    roles = (bd.Region("tight", "x1 > 1"), bd.Region("loose", "x1 <= 1"), bd.Region("low", "x2 <= 1"))
    found = _estimate(LikelihoodABCD(*roles), samples["data"] - samples["reals"], channel)
    errors = np.sqrt(np.diag(found.covariance("VR")))
    assert np.isfinite(errors).all() and (errors[[2, 3]] < 0.2 * errors[[1, 4]]).all()


def test_a_bin_that_the_cut_leaves_out_has_no_upper_side():
    """It is empty for certain, and no degree of freedom of a closure."""
    x1, x2 = np.repeat([0.0, 2.0, 0.0], [40, 20, 60]), np.repeat([2.0, 0.0, 0.0], [40, 20, 60])
    events = bd.Events.of({"x1": x1, "x2": x2, "m": np.tile([0.5, 2.5, 3.5, 3.9], 30)})
    axis = hist.axis.Regular(4, 0, 4, name="m")
    method = LikelihoodABCD(bd.Region("tight", "x1 > 1"), bd.Region("loose", "x1 <= 1"), bd.Region("low", "x2 <= 1"))
    high = bd.Region("high", "x2 > 1")
    whole, part = (bd.Channel("SR", one, (axis,)) for one in (high, high & ~bd.Region("gap", "(m > 1) & (m < 2)")))
    errors = [
        np.sqrt(np.diag(bd.estimate(bd.Setup(method, events), [one], seed=1).covariance())) for one in (whole, part)
    ]
    assert errors[0][1] > 0.0 and errors[1][1] == 0.0
    assert errors[1][[0, 2, 3]] == pytest.approx(errors[0][[0, 2, 3]], rel=1e-6)
    found = bd.estimate(bd.Setup(method, events), [part], seed=1)
    observed = bd.Events.of({"x1": np.full(9, 2.0), "x2": np.full(9, 2.0), "m": np.tile([0.5, 2.5, 3.5], 3)})
    assert bd.closure(found, observed, channel="SR").ndf == 3
