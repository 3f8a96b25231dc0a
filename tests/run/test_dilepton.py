"""The same-sign dilepton search: its parts against truth, its fit against what the data were made with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from backdrop.config import load
from backdrop.config.analysis import Analysis
from backdrop.demos import demo
from backdrop.errors import BackdropError, BlindedError
from backdrop.estimate import Setup, estimate
from backdrop.run.execution import Outcome, execute
from backdrop.run.overlaps import overlaps, refuse_sealed
from backdrop.run.samples import read
from backdrop.synthetic import SameSign

_TEXT = demo("same-sign-dilepton").read_text().replace("replicas: 100", "replicas: 16")
_NORMS = {"drell_yan": 1.1, "diboson": 0.9}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Analysis]:
    home = tmp_path_factory.mktemp("dilepton")

    def make(old: str = "", new: str = "", seed: int | None = None) -> Analysis:
        assert old in _TEXT
        (home / "a.yaml").write_text(_TEXT.replace(old, new, 1) if old else _TEXT)
        return load(home / "a.yaml", seed=seed)

    return make


@pytest.fixture(scope="module")
def outcome(made: Callable[..., Analysis]) -> Outcome:
    analysis = made()
    return execute(analysis, read(analysis).events)


def _truth(region: str, analysis: Analysis) -> dict[str, float]:
    """Numbers of tight pairs of each kind, averaged over twenty draws."""
    where = analysis.regions[region] & analysis.regions["same_sign_tight"]
    search, counts = SameSign(drell_yan_norm=1.1, diboson_norm=0.9), np.zeros(2)
    for seed in range(20):
        rows = search.samples(seed=100 + seed, size=0.1)["data"].select(where)
        counts += [len(rows.select(search.true_fakes())), len(rows.select(search.true_flips()))]
    return {"fakes": counts[0] / 20, "flips": counts[1] / 20}


def test_fakes_and_flips_are_those_of_the_truth(made: Callable[..., Analysis], outcome: Outcome) -> None:
    for channel, region in (("SR", "signal"), ("VR", "validation")):
        truth = _truth(region, made())
        for name in ("fakes", "flips"):
            found = outcome.estimates[name].total(channel)
            assert abs(found.value - truth[name]) < 3 * np.hypot(found.total, np.sqrt(truth[name] / 20)), (
                channel,
                name,
            )
    assert outcome.closures["fakes"]["VR"].p_value > 0.01


def test_flips_are_subtracted_from_tight_and_anti_tight_pairs(made: Callable[..., Analysis], outcome: Outcome) -> None:
    analysis = made()
    samples = read(analysis).events
    flips = samples["flips"].select(analysis.regions["validation"])
    tight = flips.select(analysis.regions["tight"]).weight.sum()
    assert 0.7 < tight / flips.weight.sum() < 0.85
    assert tight == pytest.approx(outcome.estimates["flips"].total("VR").value, rel=0.15)
    whole = replace(analysis.tasks["fakes"].events, factors=analysis.tasks["fakes"].events.factors[:-1])
    assert "flips" not in whole.samples
    setup = Setup(analysis.tasks["fakes"].method, whole.of(samples))
    raw = estimate(setup, [analysis.channel("VR")], seed=analysis.configuration.seed).total("VR").value
    # a pair with one anti-tight lepton of two prompt ones is taken for a fake
    assert raw > outcome.estimates["fakes"].total("VR").value + 5.0


def test_the_fit_finds_the_normalisations_and_a_signal(made: Callable[..., Analysis], outcome: Outcome) -> None:
    for mu, found in ((0.0, outcome.fits["fakes"]), (1.0, _with_signal(made))):
        for name, norm in _NORMS.items():
            one = found.parameters[f"{name}_norm"]
            # a charge flip takes an opposite-sign pair out of the Z's control region, which the simulation does not
            expected = norm * (0.985 if name == "drell_yan" else 1.0)
            assert abs(one.value - expected) < 3.5 * one.error, (name, one)
        if mu:
            assert abs(found.value - mu) < 3 * found.error
    spec = outcome.workspaces["fakes"]
    kinds = {
        (sample["name"], one["name"])
        for channel in spec["channels"]
        for sample in channel["samples"]
        for one in sample["modifiers"]
        if one["type"] == "normfactor"
    }
    assert {("diboson", "diboson_norm"), ("drell_yan", "drell_yan_norm")} < kinds
    assert {("fakes_less_diboson", "diboson_norm"), ("fakes_less_drell_yan", "drell_yan_norm")} < kinds


def test_both_forms_of_the_matrix_method_agree_with_the_fake_factor(outcome: Outcome) -> None:
    fakes, matrix, likelihood = (outcome.estimates[name].total("VR") for name in ("fakes", "matrix", "likelihood"))
    assert abs(likelihood.value - matrix.value) < 0.3 * matrix.total
    assert likelihood.total == pytest.approx(matrix.total, rel=0.25)
    assert abs(fakes.value - likelihood.value) < likelihood.total


@pytest.mark.parametrize("name", ["matrix", "likelihood"])
def test_a_method_that_reads_sealed_pairs_is_known_before_it_runs(made: Callable[..., Analysis], name: str) -> None:
    analysis = made()
    task = replace(analysis.tasks[name], channels=(analysis.channel("SR"),))
    sealed = replace(analysis, tasks={**analysis.tasks, name: task})
    with pytest.raises(BlindedError, match=rf"{name}: read in SR: region 'signal & search' of sample 'data' may hold"):
        refuse_sealed(overlaps(sealed))
    refuse_sealed(overlaps(analysis))
    refuse_sealed(overlaps(sealed, opened=["data"]))


def _with_signal(made: Callable[..., Analysis]):
    analysis = made("settings: {drell_yan_norm", "settings: {signal: 30.0, drell_yan_norm", seed=3)
    open_ = read(analysis, ["data"]).events
    return execute(analysis, open_).fits["fakes"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("flips: {method: flips_of_all", "flips: {method: fakes", "sees 'flips', which is predicted itself"),
        ("flips: {method: flips_of_all", "flips: {method: flipped", "no method 'flipped'"),
        ('same_sign: "true"', 'same_sign: "tru("', "same_sign"),
        ("flips: {method: flips}", "flips: {method: flips, events: data}", "needs either 'events' or 'method'"),
        ("flips: {method: flips}", "flips: {method: flip}", "no method 'flip', did you mean 'flips'"),
        ("free: 0.1}\n    drell", "free: 0}\n    drell", "free"),
        (
            "sample: data\n      real",
            "sample: dat\n      real",
            r"no sample 'dat' \('sample'\) in its events, did you mean",
        ),
        ("iso < 0.15, sample: data", "iso < 0.15, sample: diboson", "no sample 'diboson'.* these are: data, w_jets"),
        ("target: same_sign_tight", "observed: dat\n      target: same_sign_tight", r"no sample 'dat' \('observed'\)"),
        (
            "&fake_leptons {region: single, axes: *lepton_bins}",
            "&fake_leptons fakes.json",
            "a correctionlib file and the",
        ),
        ("&fake_leptons {region: single, axes: *lepton_bins}", "&fake_leptons f.json:f", "f.json is no correctionlib"),
    ],
)
def test_what_is_refused(made: Callable[..., Analysis], old: str, new: str, message: str) -> None:
    with pytest.raises(BackdropError, match=message):
        made(old, new)
