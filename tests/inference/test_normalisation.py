"""Free normalisations, and estimates from which the free process was subtracted."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import hist
import numpy as np
import pyhf
import pytest

from backdrop import Channel, Estimate, Region
from backdrop.errors import ConfigError, ExportError
from backdrop.export import cabinetry, combine, trexfitter, write
from backdrop.export import pyhf as export_pyhf
from backdrop.inference import fit, workspace
from tests.export.readers import cabinetry_workspace

_AXIS = hist.axis.Regular(2, 0.0, 1.0, name="m")
_CHANNELS = (Channel("SR", Region("SR", "tag == 0"), (_AXIS,)), Channel("CR", Region("CR", "tag == 1"), (_AXIS,)))


def _estimate(*values: float, error: float = 0.02, **variations: tuple[np.ndarray, np.ndarray]) -> Estimate:
    nominal = np.array(values)
    return Estimate(_CHANNELS, nominal, (error * nominal) ** 2, {}, variations)


_DIBOSON = _estimate(20.0, 30.0, 400.0, 500.0)
_TAKEN = np.array([8.0, 12.0, 1.0, 2.0])
_FAKES = _estimate(60.0, 40.0, 15.0, 10.0)
_SHIFT = 0.1 * _TAKEN
_LINKED = _FAKES.with_variation("diboson", _FAKES.nominal - _SHIFT, _FAKES.nominal + _SHIFT)
_SIGNAL = _estimate(6.0, 9.0, 0.0, 0.0)


def _fitted(norm: float, fakes: Estimate = _LINKED, mu: float = 0.0) -> tuple[dict[str, Any], Any]:
    """Fit to counts of a world in which there is `norm` times the simulated diboson."""
    world = norm * _DIBOSON.nominal + _FAKES.nominal - (norm - 1.0) * _TAKEN + mu * _SIGNAL.nominal
    data = {"SR": world[:2], "CR": world[2:]}
    spec = workspace({"fakes": fakes, "diboson": _DIBOSON}, {"hh": _SIGNAL}, data, free={"diboson": 0.1})
    return spec, fit(spec)


@pytest.mark.parametrize("norm", [0.7, 1.0, 1.4])
def test_the_control_region_says_how_much_there_is_and_how_much_was_subtracted(norm: float) -> None:
    _, found = _fitted(norm, mu=1.0)
    assert found.parameters["diboson_norm"].value == pytest.approx(norm, abs=1e-4)
    assert found.value == pytest.approx(1.0, abs=1e-3)
    # its error: the counts of the control region, and the statistics of the simulation there
    counted, simulated = np.sqrt(900.0 * norm + 25.0) / 900.0, norm * 0.02 / np.sqrt(2.0)
    assert found.parameters["diboson_norm"].error == pytest.approx(np.hypot(counted, simulated), rel=0.05)
    # shown as one sample, whose yield is what is left of it
    assert set(found.postfit["SR"].samples) == {"fakes", "diboson", "hh"}
    left = _FAKES.nominal - (norm - 1.0) * _TAKEN
    assert np.allclose(found.postfit["SR"].samples["fakes"], left[:2], rtol=1e-3)


def test_without_the_link_the_signal_is_biased() -> None:
    assert abs(_fitted(1.4, _FAKES)[1].value - 0.0) > 0.2
    assert abs(_fitted(1.4)[1].value) < 1e-3


def test_pyhf_finds_the_same() -> None:
    spec, ours = _fitted(1.3, mu=0.5)
    pyhf.set_backend("numpy", pyhf.optimize.minuit_optimizer())
    model = pyhf.Workspace(spec).model()
    data = pyhf.Workspace(spec).data(model)
    best, twice = pyhf.infer.mle.fit(data, model, return_uncertainties=True, return_fitted_val=True)
    names = model.config.par_names
    for name in ("mu", "diboson_norm"):
        value, error = best[names.index(name)]
        assert ours.parameters[name].value == pytest.approx(value, abs=5e-3 * error)
        assert ours.parameters[name].error == pytest.approx(error, rel=0.01)
    assert np.isfinite(twice)


def test_the_asimov_set_is_the_nominal_and_other_uncertainties_stay() -> None:
    linked = _LINKED.with_variation("shape", 1.1 * _FAKES.nominal, 0.9 * _FAKES.nominal)
    linked = replace(linked, replicas={"data": _FAKES.nominal * np.array([[1.05], [0.95], [1.0]])}, seeds={"data": 1})
    spec = workspace({"fakes": linked, "diboson": _DIBOSON}, free={"diboson": 0.1})
    assert np.allclose(spec["observations"][0]["data"], (_FAKES.nominal + _DIBOSON.nominal)[:2])
    samples = {one["name"]: one for one in spec["channels"][0]["samples"]}
    assert np.allclose(samples["fakes"]["data"], (_FAKES.nominal + _TAKEN)[:2])
    assert np.allclose(samples["fakes_less_diboson"]["data"], -_TAKEN[:2])
    shapes = {one["name"]: one["data"] for one in samples["fakes"]["modifiers"] if one["type"] == "histosys"}
    up, down = np.array(shapes["fakes_shape"]["hi_data"]), np.array(shapes["fakes_shape"]["lo_data"])
    assert np.allclose(up - down, 0.2 * _FAKES.nominal[:2])
    assert {"fakes_data_pc1", "fakes_shape"} == set(shapes)
    assert [one["name"] for one in samples["fakes_less_diboson"]["modifiers"]] == ["diboson_norm"]


def test_what_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"no background 'dibosons' to be free, did you mean 'diboson'"):
        workspace({"diboson": _DIBOSON}, free={"dibosons": 0.1})
    with pytest.raises(ConfigError, match="its step is a positive number"):
        workspace({"diboson": _DIBOSON}, free={"diboson": 0.0})
    own = _DIBOSON.with_variation("diboson", 1.1 * _DIBOSON.nominal, 0.9 * _DIBOSON.nominal)
    with pytest.raises(ConfigError, match="'diboson' is free and has a variation of the same name"):
        workspace({"diboson": own}, free={"diboson": 0.1})
    # a negative template is nothing for programs that draw from every process
    for kind in (combine, trexfitter):
        with pytest.raises(
            ExportError,
            match=r"'fakes_less_diboson', bin 1 .* is -12: .* follows the free 'diboson_norm'.* export to pyhf",
        ):
            kind(_fitted(1.0)[0], _CHANNELS)
    for name, yields, message in (
        ("fakes", [-1.0, 1.0], "the nominal yield is -1 in"),
        ("fakes_less_diboson", [-100.0, -100.0], r"no background is expected \(-12 events\)"),
    ):
        spec = _fitted(1.0)[0]
        sample = next(one for one in spec["channels"][0]["samples"] if one["name"] == name)
        sample["data"] = yields
        with pytest.raises(ExportError, match=message):
            export_pyhf(spec, _CHANNELS)


def test_pyhf_and_cabinetry_take_what_is_subtracted(tmp_path: Path) -> None:
    spec, ours = _fitted(1.3, mu=0.5)
    assert json.loads(export_pyhf(spec, _CHANNELS)["workspace.json"]) == spec
    write(cabinetry(spec, _CHANNELS), tmp_path)
    theirs = fit(cabinetry_workspace(tmp_path))
    for name in ("mu", "diboson_norm"):
        assert theirs.parameters[name].value == pytest.approx(ours.parameters[name].value, abs=0.01)
        assert theirs.parameters[name].error == pytest.approx(ours.parameters[name].error, rel=0.02)
