"""What a format keeps of the likelihood: files read back by the other program's rules give the workspace's value."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import backdrop as bd
from backdrop import export
from backdrop.inference import fit
from backdrop.inference.likelihood import read
from tests.export.readers import Card, Fitter, cabinetry_workspace
from tests.export.samples import CHANNELS, NAMES, channels, estimate, kinds, made, plain, point, somewhere
from tests.export.test_golden import SPEC


@pytest.fixture(scope="module", params=NAMES)
def case(request) -> tuple[str, dict[str, Any]]:
    return request.param, made(request.param)


def written(kind: str, case: tuple[str, dict[str, Any]], folder: Path) -> Path:
    name, spec = case
    export.write(getattr(export, kind)(spec, channels(name)), folder)
    return folder


def test_combine_has_the_same_likelihood(case, tmp_path) -> None:
    """Everywhere: combine's morphing of yields is the polynomial of a histosys."""
    card = Card.read(written("combine", case, tmp_path))
    for seed in range(5):
        likelihood, parameters = somewhere(case[1], seed)
        values, gammas = point(case[1], likelihood, parameters)
        rounded = _rounding(likelihood, parameters)
        assert card.nll(values, gammas) == pytest.approx(likelihood(parameters) + rounded, rel=1e-9, abs=1e-6)


def _rounding(likelihood: Any, parameters: np.ndarray) -> float:
    """What combine's whole numbers of effective events change: D(k, k gamma) is k times that of one event."""
    one = likelihood.poisson
    gamma = parameters[one.where]
    return float(((np.floor(0.5 + one.scale) - one.scale) * (gamma - 1.0 - np.log(gamma))).sum())


def test_whole_effective_events_are_not_rounded() -> None:
    likelihood, parameters = somewhere(plain(), 1)
    assert abs(_rounding(likelihood, parameters)) < 1e-9
    assert len(likelihood.poisson.where) > 10


@pytest.mark.parametrize("nuisances", [0, 1])
def test_trexfitter_has_the_same_likelihood_where_nuisances_are_one_by_one(case, nuisances, tmp_path) -> None:
    fitter = Fitter.read(written("trexfitter", case, tmp_path))
    for seed in range(4):
        likelihood, parameters = somewhere(case[1], seed, nuisances)
        values, gammas = point(case[1], likelihood, parameters)
        assert fitter.nll(values, gammas) == pytest.approx(likelihood(parameters), rel=1e-9, abs=1e-6)


def test_trexfitter_is_complete(case, tmp_path) -> None:
    """Every nuisance and free factor of the workspace is there, with its bounds; nothing is pruned or smoothed."""
    found = Fitter.read(written("trexfitter", case, tmp_path)).blocks
    systematics = {row["NuisanceParameter"] for row in found["Systematic"].values()}
    types = kinds(case[1])
    assert systematics == {name for name, kind in types.items() if kind in ("histosys", "normsys")}
    free = {name for name, kind in types.items() if kind in ("normfactor", "shapefactor")}
    assert found["NormFactor"].keys() | found.get("ShapeFactor", {}).keys() == free
    given = {one["name"]: one for one in case[1]["measurements"][0]["config"]["parameters"]}
    for name, row in found["NormFactor"].items():
        assert [[float(row["Min"]), float(row["Max"])]] == given[name]["bounds"]
    assert not {"Smoothing", "Symmetrisation"} & {key for row in found["Systematic"].values() for key in row}


def test_cabinetry_has_the_same_yields_where_nuisances_are_one_by_one(case, tmp_path) -> None:
    built = cabinetry_workspace(written("cabinetry", case, tmp_path))
    theirs = read(built)
    for seed in range(4):
        ours, parameters = somewhere(case[1], seed, 1)
        start = parameters.copy()
        own = [i for i in ours.poisson.where if not ours.fixed[i]]
        start[own] = 1.0
        values, _ = point(case[1], ours, start)
        other = np.array([1.0 if "staterror" in name else values[name] for name in theirs.names])
        assert theirs.yields(other) == pytest.approx(ours.yields(start), rel=1e-9)


def test_cabinetry_fits_the_same(case, tmp_path) -> None:
    """Its normalisation times shape, and shared Gaussian factors of the bins, move the result by little.

    The bins' own errors are 25 per cent in one of these workspaces.
    """
    theirs, ours = fit(cabinetry_workspace(written("cabinetry", case, tmp_path))), fit(case[1])
    assert theirs.value == pytest.approx(ours.value, abs=0.1 * ours.error)
    assert theirs.error == pytest.approx(ours.error, rel=0.05)


def test_cabinetry_fits_the_very_same_where_uncertainties_are_small(tmp_path) -> None:
    """What differs is of second order in the uncertainties: a hundredth for a tenth."""
    moved = []
    for size in (0.1, 0.01):
        background = estimate(1000.0, 1, counted=400.0 / size**2, size=size)
        spec = bd.workspace({"fakes": background}, {"hh": estimate(50.0, 3, replicas=0, counted=1e6, size=size)})
        for one in spec["observations"]:
            one["data"] = (np.array(one["data"]) * [1.02, 0.97, 1.03]).tolist()
        folder = written("cabinetry", ("plain", spec), tmp_path / str(size))
        theirs, ours = fit(cabinetry_workspace(folder)), fit(spec)
        moved.append(abs(theirs.value - ours.value) / ours.error)
    assert moved[0] < 2e-3
    assert moved[1] < moved[0] / 50


def test_cabinetry_itself_builds_that_workspace(case, tmp_path, monkeypatch) -> None:
    cabinetry = pytest.importorskip("cabinetry")
    folder = written("cabinetry", case, tmp_path)
    monkeypatch.chdir(folder)
    config = cabinetry.configuration.load("config.yml")
    built = cabinetry.workspace.build(config)
    expected = cabinetry_workspace(folder)
    parameters = built["measurements"][0]["config"].pop("parameters")
    wanted = expected["measurements"][0]["config"].pop("parameters")
    assert [one for one in parameters if "bounds" in one] == wanted
    assert built == expected
    model, data = cabinetry.model_utils.model_and_data(
        built
        | {
            "measurements": [
                {"name": "m", "config": {"poi": built["measurements"][0]["config"]["poi"], "parameters": wanted}}
            ]
        }
    )
    found = cabinetry.fit.fit(model, data)
    ours = fit(case[1])
    index = found.labels.index("mu")
    assert found.bestfit[index] == pytest.approx(ours.value, abs=0.1 * ours.error)
    assert found.uncertainty[index] == pytest.approx(ours.error, rel=0.05)


def test_a_factor_on_some_samples_here_and_others_there_is_kept(tmp_path) -> None:
    """TRExFitter and cabinetry have lists of samples and of regions only, so the samples get names of their own."""
    spec = copy.deepcopy(SPEC)
    spec["channels"][1]["samples"][1]["modifiers"].append({"name": "ratio", "type": "normfactor", "data": None})
    likelihood, parameters = somewhere(spec, 1, 1)
    parameters[likelihood.poisson.where] = 1.0
    values, _ = point(spec, likelihood, parameters)
    for kind in ("trexfitter", "cabinetry", "combine"):
        export.write(getattr(export, kind)(spec), tmp_path / kind)
    fitter = Fitter.read(tmp_path / "trexfitter")
    assert fitter.nll(values, {}) == pytest.approx(likelihood(parameters), rel=1e-9)
    assert "top_source" in fitter.blocks["Sample"]
    assert Card.read(tmp_path / "combine").nll(values, {}) == pytest.approx(likelihood(parameters), rel=1e-9)
    theirs = read(cabinetry_workspace(tmp_path / "cabinetry"))
    other = np.array([1.0 if "staterror" in name else values[name] for name in theirs.names])
    assert theirs.yields(other) == pytest.approx(likelihood.yields(parameters), rel=1e-9)


def test_the_covariance_of_an_estimate_is_in_the_card(tmp_path) -> None:
    """To first order in the nuisances: that of the estimate, correlated over channels."""
    background = estimate(100.0, 5)
    spec = bd.workspace({"fakes": background}, {"hh": estimate(5.0, 3, replicas=0)}, keep=1.0)
    card = Card.read(written("combine", ("plain", spec), tmp_path))
    columns = [i for i, (_, name, _) in enumerate(card.columns) if name == "fakes"]

    def yields(values: dict[str, float]) -> np.ndarray:
        return np.concatenate([card.process(i, {"r": 0.0} | values) for i in columns])

    step = 1e-5
    names = [name for name in card.nuisances if (yields({name: 1.0}) != yields({})).any()]
    slopes = np.array([(yields({name: step}) - yields({name: -step})) / (2 * step) for name in names])
    errors = np.concatenate([card.hists[f"{card.columns[i][0]}/fakes"][1] for i in columns])
    assert slopes.T @ slopes + np.diag(errors**2) == pytest.approx(background.covariance(), rel=1e-6)
    assert np.concatenate([channel.axes[0].edges for channel in CHANNELS[:1]]).tolist() == [100, 110, 130, 160]
