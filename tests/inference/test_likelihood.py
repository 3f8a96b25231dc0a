"""The likelihood against pyhf, against an evaluation written here, and its derivatives against differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyhf
import pytest
from scipy import stats
from scipy.special import gammaln

from backdrop.errors import FitError
from backdrop.inference import workspace
from backdrop.inference.likelihood import Likelihood, read
from tests.inference.samples import EVERY_MODIFIER, counting, estimate, plain


def _spec() -> dict[str, Any]:
    first = estimate(1, variations=("shape", "jes"))
    second = estimate(2, level=40.0, variations=("jes",), block="other")
    signal = plain([3.0, 8.0, 5.0, 1.0], [0.1, 0.2, 0.1, 0.0])
    return workspace({"multijet": first, "top": second}, {"hh": signal}, {"SR": [150.0, 90.0, 60.0, 50.0]})


def _points(likelihood: Likelihood, count: int, width: float) -> list[np.ndarray]:
    rng = np.random.default_rng(11)
    steps = width / np.sqrt(np.diag(likelihood.information(likelihood.start)))
    return [likelihood.start + steps * rng.normal(size=len(steps)) * ~likelihood.fixed for _ in range(count)]


@pytest.mark.parametrize("spec", [EVERY_MODIFIER, _spec()], ids=["every modifier", "exported"])
def test_the_value_is_that_of_pyhf(spec: dict[str, Any]) -> None:
    likelihood = read(spec)
    model = pyhf.Workspace(spec).model()
    data = pyhf.Workspace(spec).data(model)
    assert likelihood.names == tuple(model.config.par_names)
    far = [likelihood.start.copy(), likelihood.start.copy()]
    for side, point in zip((-2.0, 2.0), far, strict=True):
        point[likelihood.normal.where] += side * likelihood.normal.error
    for parameters in _points(likelihood, 8, 1.0) + far:
        expected = -float(model.logpdf(parameters, data)[0])
        assert likelihood(parameters) + likelihood.saturated == pytest.approx(expected, abs=1e-9)


def _by_hand(spec: dict[str, Any], parameters: dict[str, np.ndarray]) -> float:
    """Evaluate an exported workspace from its JSON: densities of SciPy, and the interpolation as published."""
    total: float = 0.0
    alphas: set[str] = set()
    for channel, seen in zip(spec["channels"], spec["observations"], strict=True):
        rates = np.zeros(len(seen["data"]))
        for sample in channel["samples"]:
            nominal = np.array(sample["data"])
            factor, shifted = np.ones(len(nominal)), nominal.copy()
            for modifier in sample["modifiers"]:
                value: np.ndarray = parameters[modifier["name"]]
                if modifier["type"] == "histosys":
                    alphas.add(modifier["name"])
                    up = np.array(modifier["data"]["hi_data"]) - nominal
                    down = nominal - np.array(modifier["data"]["lo_data"])
                    a = value[0]
                    odd = a * (up + down) / 2
                    even = (up - down) / 16 * (15 * a**2 - 10 * a**4 + 3 * a**6)
                    shifted += a * up if a > 1 else a * down if a < -1 else odd + even
                elif modifier["type"] == "shapesys":
                    factor = factor * value
                    errors = np.array(modifier["data"])
                    # the factor of a bin without an error is constant, and pyhf counts one event for it
                    counts = np.where(errors > 0.0, nominal / np.where(errors > 0.0, errors, 1.0), 1.0) ** 2
                    total -= float(np.sum(counts * np.log(counts * value) - counts * value - gammaln(counts + 1.0)))
                else:
                    factor = factor * value
            rates += factor * shifted
        data = np.array(seen["data"])
        assert (data == np.round(data)).all()
        total -= float(np.sum(stats.poisson.logpmf(data, rates)))
    return total - float(np.sum([stats.norm.logpdf(0.0, parameters[name][0]) for name in alphas]))


def test_the_exported_likelihood_is_the_product_it_claims_to_be() -> None:
    spec = _spec()
    spec["observations"] = [{"name": o["name"], "data": np.round(o["data"]).tolist()} for o in spec["observations"]]
    likelihood = read(spec)
    for parameters in _points(likelihood, 8, 0.7):
        by_name: dict[str, np.ndarray] = {}
        for name, value in zip(likelihood.names, parameters, strict=True):
            stem = name.split("[")[0]
            by_name[stem] = np.append(by_name.get(stem, []), value)
        assert likelihood(parameters) + likelihood.saturated == pytest.approx(_by_hand(spec, by_name), abs=1e-6)


@pytest.mark.parametrize("spec", [EVERY_MODIFIER, _spec()], ids=["every modifier", "exported"])
def test_the_derivatives_are_those_of_the_value(spec: dict[str, Any]) -> None:
    likelihood = read(spec)
    for parameters in _points(likelihood, 4, 0.8):
        steps = np.diag(1e-5 / np.sqrt(np.diag(likelihood.information(parameters))))
        rises = np.array([likelihood(parameters + step) - likelihood(parameters - step) for step in steps])
        np.testing.assert_allclose(likelihood.gradient(parameters) * np.diag(steps) * 2, rises, atol=2e-11, rtol=1e-6)
        turns = np.array(
            [likelihood.gradient(parameters + step) - likelihood.gradient(parameters - step) for step in steps]
        )
        scale = np.outer(np.diag(steps), np.diag(steps))
        turns = turns * np.diag(steps) / 2
        np.testing.assert_allclose(likelihood.hessian(parameters) * scale, turns, atol=1e-6 * np.abs(turns).max())
        moved = [(likelihood.yields(parameters + step) - likelihood.yields(parameters - step)) / 2 for step in steps]
        rows = likelihood.yields.jacobian(parameters) * np.diag(steps)
        np.testing.assert_allclose(rows, np.transpose(moved), atol=1e-10)


def test_a_negative_expectation_leads_back_to_a_positive_one() -> None:
    likelihood = read(counting(3.0, 2.0))
    below, edge = np.array([-5.0]), np.array([-2.0 + 1e-5])
    assert likelihood(below) > likelihood(edge) > likelihood(np.array([1.0]))
    assert likelihood.gradient(below)[0] < 0.0


def test_what_cannot_be_read_is_refused() -> None:
    spec = counting(3.0, 2.0)
    broken = {**spec, "channels": [{"name": "SR"}]}
    with pytest.raises(FitError, match="pyhf cannot read the workspace"):
        read(broken)
    with pytest.raises(FitError, match="no observation for channel 'SR'"):
        read({**spec, "observations": [{"name": "VR", "data": [3.0]}]})
    shared = {"name": "bins", "type": "staterror", "data": [1.0]}
    spec["channels"][0]["samples"][1]["modifiers"].append(shared)
    sample = {"name": "multijet", "data": [5.0, 6.0], "modifiers": [{**shared, "data": [1.0, 1.0]}]}
    spec["channels"].append({"name": "VR", "samples": [sample]})
    spec["observations"].append({"name": "VR", "data": [5.0, 6.0]})
    with pytest.raises(FitError, match="'bins' of type 'staterror'"):
        read(spec)
