"""The examples a newcomer meets: the README's Python, and the dimuon analysis on real data."""

from __future__ import annotations

import json
import os
import re
import runpy
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import backdrop
from backdrop.config import load
from backdrop.io import write
from backdrop.learn.train import Training
from backdrop.region import evaluate
from backdrop.run.execution import Outcome, execute
from backdrop.run.samples import read
from backdrop.validation import Closure

ROOT = Path(__file__).resolve().parents[1]


def _sample(seed: int, fakes: int, prompts: int) -> dict[str, np.ndarray]:
    """Fakes: broad isolation, steep missing momentum; prompts: isolated, harder."""
    rng = np.random.default_rng(seed)
    iso = np.concatenate([rng.exponential(0.2, fakes), rng.exponential(0.03, prompts)])
    met = np.concatenate([rng.exponential(25, fakes), rng.exponential(45, prompts)])
    return {"iso": iso, "met": met, "w": np.full(fakes + prompts, 0.2)}


def test_the_readme_example_runs_and_closes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "README.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text, re.S)
    assert len(code.replace("\n\n", "\n").splitlines()) <= 15
    monkeypatch.chdir(tmp_path)
    write("data1.root", _sample(1, 150_000, 20_000), tree="events")
    write("prompt.root", _sample(2, 0, 100_000), tree="events")
    names: dict[str, object] = {}
    exec(compile(code, "README.md", "exec"), names)
    fakes, test = names["fakes"], names["test"]
    assert test.p_value > 0.001
    truth = 150_000 * np.exp(-60 / 25) * (1 - np.exp(-100 / 25)) * (1 - np.exp(-0.1 / 0.2))
    found = fakes.total("SR")
    assert abs(found.value - truth) < 4 * found.total
    page = Path("abcd.html").read_text()
    assert "SR" in page and "VR" in page


def _cli(*arguments: str, cwd: Path) -> str:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "backdrop", *arguments]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_dimuon_example_closes_where_it_should(shared_data: Path, tmp_path: Path) -> None:
    here = tmp_path / "cms_dimuon"
    shutil.copytree(ROOT / "examples" / "cms_dimuon", here)
    shutil.copy(shared_data / "cms2010_dimuon100k.parquet", here / "dimuon.parquet")
    subprocess.run([sys.executable, "prepare.py", "dimuon.parquet", "dimuon.root"], cwd=here, check=True)
    _cli("run", "analysis.yaml", "--out", "parquet", cwd=here)
    found = json.loads((here / "parquet" / "results.json").read_text())
    closures = found["closures"]
    for window in ("low_window", "left_window", "right_window", "high_window"):
        assert closures["linear"][window]["p_value"] > 0.05, closures["linear"][window]
    assert closures["below_z"]["z_window"]["p_value"] < 1e-6
    assert found["blinding"]
    variables = found["variables"]["linear"]["high_window"]
    assert variables["M"]["without"] == ["M > 15", "M < 20"] and variables["M"]["p_value"] > 0.05
    assert variables["leading_pt"]["p_value"] < 0.01, "the transfer factor knows no momenta"
    upsilon = found["estimates"]["linear"]["upsilon"]
    assert upsilon["yield"] == pytest.approx(4542, abs=1)
    assert upsilon["systematic"] == pytest.approx(47, abs=1)
    _cli("run", "analysis.yaml", "--input", "data=dimuon.root:Events", "--out", "root", cwd=here)
    again = json.loads((here / "root" / "results.json").read_text())
    # without id columns an event is its file and entry, so the two files are resampled differently
    spread = 4 / np.sqrt(200)
    for method, channels in found["estimates"].items():
        for channel, one in channels.items():
            other = again["estimates"][method][channel]
            assert other["yield"] == pytest.approx(one["yield"], rel=1e-9)
            assert other["systematic"] == pytest.approx(one["systematic"], rel=1e-9)
            assert other["statistical"] == pytest.approx(one["statistical"], rel=spread)
    assert again["closures"]["below_z"]["z_window"]["p_value"] < 1e-6


def test_the_dimuon_example_in_python(shared_data: Path, tmp_path: Path) -> None:
    script = ROOT / "examples" / "cms_dimuon" / "analysis.py"
    data = shared_data / "cms2010_dimuon100k.parquet"
    done = subprocess.run([sys.executable, str(script), str(data)], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Yield(value=4542." in done.stdout
    assert (tmp_path / "dimuon-report.html").stat().st_size > 100_000


_ZEE = ROOT / "examples" / "cms_zee"


def _executed(leptons: str, data: Path) -> Outcome:
    """Return what the YAML of the Z example gives, without a report."""
    analysis = load(_ZEE / f"{leptons}.yaml", inputs={"data": str(data)})
    return execute(analysis, read(analysis).events)


@pytest.mark.slow
def test_electron_pairs_close_beside_the_z_and_fail_under_it(shared_data: Path) -> None:
    found = _executed("electrons", shared_data / "cms2011_zee.parquet")
    windows, tests = found.estimates["windows"], found.closures
    for channel, predicted, systematic in (("low_isolated", 26.46, 0.65), ("high_isolated", 21.21, 3.60)):
        assert windows.total(channel).value == pytest.approx(predicted, abs=0.01)
        assert windows.total(channel).systematic == pytest.approx(systematic, abs=0.01)
        assert found.observed["windows"][channel] is None
    seen = {name: (one.total.observed, one.total.predicted) for name, one in tests["validation"].items()}
    assert seen == {
        "low_ring": (274, pytest.approx(253 * 574 / 564)),
        "low_mixed": (196, pytest.approx(188 * 574 / 564)),
        "high_ring": (315, pytest.approx(280 * 496 / 491)),
        "high_mixed": (260, pytest.approx(220 * 496 / 491)),
    }
    assert all(one.p_value > 0.1 for one in tests["validation"].values())
    assert all(one.p_value < 1e-3 for one in tests["under_z"].values())
    assert tests["under_z"]["peak_isolated"].total.predicted == pytest.approx(208 * 777 / 741)
    flips = tests["same_sign"]["peak_same_sign"]
    assert (flips.total.observed, flips.p_value < 1e-6) == (208, True)
    assert flips.total.predicted == pytest.approx(741 * (26 + 21) / (564 + 491))


@pytest.mark.slow
def test_muon_pairs_have_no_flips_and_few_counts(shared_data: Path) -> None:
    found = _executed("muons", shared_data / "cms2011_zmumu.parquet")
    windows, tests = found.estimates["windows"], found.closures
    assert windows.total("low_isolated").value == pytest.approx(12 * 126 / 74)
    assert windows.total("high_isolated").value == pytest.approx(1 * 10 / 8)
    assert windows.total("low_isolated").systematic == pytest.approx(12 * (100 / 42 - 126 / 74))
    assert all(one.p_value > 0.1 for one in tests["validation"].values())
    assert tests["same_sign"]["peak_same_sign"].total.observed == 8
    assert tests["under_z"]["peak_isolated"].p_value < 1e-6


def test_the_z_example_in_python_gives_the_same(
    shared_data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script = runpy.run_path(str(_ZEE / "analysis.py"))
    shown: list[object] = []
    monkeypatch.setattr("backdrop.report", lambda path, *results, **words: shown.extend(results))
    script["main"](str(shared_data / "cms2011_zee.parquet"), "electrons")
    text = capsys.readouterr().out
    assert "low_isolated Yield(value=26.46" in text
    assert "high_isolated Yield(value=21.21" in text
    assert "Closure(peak_mixed: observed 492, predicted 309 ± " in text
    (mixed,) = (one for one in shown if isinstance(one, Closure) and one.channel.name == "peak_mixed")
    assert mixed.total.predicted == pytest.approx(309.332, abs=5e-4)
    beside, _, under, _ = re.findall(r"correlation (\S+), p (\S+)", text)
    assert float(beside[1]) > 0.1
    assert float(under[1]) == pytest.approx(1 / 201, rel=0.01)


_FLIPS = ROOT / "examples" / "cms_zee_flips"


@pytest.mark.slow
def test_the_same_sign_peak_is_charge_flips(shared_data: Path) -> None:
    analysis = load(_FLIPS / "analysis.yaml", inputs={"data": str(shared_data / "cms2011_zee.parquet")})
    fewer = analysis.configuration.model_copy(update={"replicas": 20})
    analysis = replace(analysis, configuration=fewer)
    found = execute(analysis, read(analysis).events)
    seen = {name: one.total.observed for name, one in found.closures["crossed"].items()}
    assert seen == {"half": 81, "half_central": 2, "half_mixed": 57, "half_forward": 22}
    assert all(one.p_value > 0.05 for one in found.closures["crossed"].values())
    assert all(one.p_value > 0.05 for one in found.closures["flips"].values())
    assert found.closures["flips"]["spectrum"].total.predicted == pytest.approx(181, abs=1)
    (rates,) = found.maps["flips"]
    by_eta = rates.values.reshape(4, 4)[1]
    assert by_eta == pytest.approx([0.0027, 0.0079, 0.0258, 0.0322], rel=0.02)
    before, after = (found.estimates[name].total("isolated") for name in ("charge", "charge_without_flips"))
    assert before.value == pytest.approx(210, abs=1)
    # 31 same-sign pairs that are not prompt are what loose pairs predict there
    assert abs(after.value - 31) < 2.0 * after.total
    assert abs(before.value - 31) > 5.0 * before.total


@pytest.mark.slow
def test_the_flips_in_python_give_the_same(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script = runpy.run_path(str(_FLIPS / "analysis.py"))
    whole = backdrop.estimate
    monkeypatch.setattr("backdrop.report", lambda *results, **words: None)
    monkeypatch.setattr("backdrop.estimate", lambda *given, **words: whole(*given, **{**words, "replicas": 10}))
    script["main"](str(shared_data / "cms2011_zee.parquet"), str(tmp_path / "report.html"))
    text = capsys.readouterr().out
    assert "tight: 169 same-sign and 6338 opposite-sign pairs" in text
    assert "pt from 45 to 60, abs_eta from 0 to 0.8: 0 (0 to 0.00242), 0 flips" in text
    p_value = dict(re.findall(r"^isolated, (.*): Closure.* p (\S+?)[;)]", text, re.M))
    assert float(p_value["fakes alone"]) < 1e-10
    assert float(p_value["fakes and flips"]) > 0.05
    assert (tmp_path / "flip_rate.json").exists()


@pytest.mark.slow
def test_matrix_method_and_fake_factor_agree_on_the_fakes_under_the_z(shared_data: Path) -> None:
    analysis = load(_FLIPS / "fakes.yaml", inputs={"data": str(shared_data / "cms2011_zee.parquet")})
    fewer = analysis.configuration.model_copy(update={"replicas": 20})
    found = execute(replace(analysis, configuration=fewer), read(analysis).events)
    matrix, factor = (found.estimates[name].total("peak") for name in ("matrix", "factor"))
    assert matrix.value == pytest.approx(9.0, abs=0.2)
    assert factor.value == pytest.approx(10.4, abs=0.2)
    assert abs(matrix.value - factor.value) < matrix.total
    # what isolated pairs are not flips; with them the peak is explained
    one = found.closures["factor"]["peak"]
    assert one.total.observed == pytest.approx(15.4, abs=0.5) and one.p_value > 0.05
    real, fake = found.maps["matrix"]
    assert (real.values > 0.8).all() and (fake.values < 0.4).all()


@pytest.mark.slow
def test_fakes_of_simulated_leptons_close_where_the_composition_is_the_same(shared_data: Path) -> None:
    generated = shared_data / "generated"
    files = {"ttbar": "case3_ttbar_hfenriched", "beauty": "case3_qcdhf"}
    inputs = {name: str(generated / f"{file}.parquet") for name, file in files.items()}
    analysis = load(ROOT / "examples" / "fake_leptons" / "analysis.yaml", inputs=inputs)
    fewer = analysis.configuration.model_copy(update={"replicas": 30})
    found = execute(replace(analysis, configuration=fewer), read(analysis).events)
    assert all(one.p_value > 0.05 for one in found.closures["same"].values())
    for channels in found.checks.variables["same"].values():
        assert all(one.closure.p_value > 0.01 for one in channels.values())
    assert all(one.p_value < 0.01 for name in ("jets", "tags") for one in found.closures[name].values())
    assert all(1.0 / one.ratio.value > 1.5 for one in found.closures["beauty"].values())
    # the composition systematic is as large as the statistical error, or larger
    total = found.estimates["same"].total("muons")
    assert total.systematic > total.statistical


_PHI_GAMMA = ROOT / "examples" / "h_phigamma"


def test_the_isolation_needs_both_momenta(shared_data: Path, tmp_path: Path) -> None:
    text = (_PHI_GAMMA / "analysis.yaml").read_text()
    (tmp_path / "a.yaml").write_text(text.replace("draws: 2000000", "draws: 500000"))
    files = {"data": "case1_gammajet", "signal": "case1_hphigamma_signal"}
    paths = {name: shared_data / "generated" / f"{file}.parquet" for name, file in files.items()}
    if not all(path.exists() for path in paths.values()):
        pytest.skip("no generated photon-jet events here")
    analysis = load(tmp_path / "a.yaml", inputs={name: str(path) for name, path in paths.items()})
    found = execute(analysis, read(analysis).events)
    table2, linked = found.closures["table2"], found.closures["linked"]
    assert table2["SR"].p_value < 1e-10 and table2["VR2"].p_value < 1e-3
    assert table2["SR"].total.predicted < 0.9 * table2["SR"].total.observed
    for name, one in linked.items():
        assert one.p_value > 0.05, name
        assert one.total.predicted == pytest.approx(one.total.observed, rel=0.02), name
    tested = {name: one.closure for name, one in found.checks.variables["linked"]["SR"].items()}
    edge = tested.pop("eta_phi")
    assert all(one.p_value > 0.05 for one in tested.values())
    assert np.abs(edge.pulls[[0, -1]]).min() > 2.0 and np.abs(edge.pulls[1:-1]).max() < 3.0
    assert abs(found.fits["linked"].value) < 2 * found.fits["linked"].error


def test_the_hh_example_predicts_a_blinded_circle(shared_data: Path, tmp_path: Path) -> None:
    example = runpy.run_path(str(ROOT / "examples" / "hh4b" / "analysis.py"))
    events = example["read"](shared_data / "hh4bsim_4b_and_signal.parquet")
    assert len(events) == 38_269
    columns = {name: events[name] for name in ("m_h1", "m_h2", "pt_h1", "share", "gap", "middle", "dphi")}
    for name, text in example["DERIVED"].items():
        columns[name] = evaluate(text, columns)
    for name in ("m_hh", "pt_hh", "deta", "pt_h2", "eta_h1", "eta_h2"):
        assert columns[name] == pytest.approx(np.asarray(events[name]), rel=1e-6, abs=1e-6), name
    turned = example["mirrored"](events)
    assert (turned["gap"] >= 0.0).all() and (turned["deta"] == events["deta"]).all()
    quick = Training(epochs=4, steps=0)
    one = example["studied"](
        example["TESTS"]["upper_right"], events, tmp_path, seed=1, members=3, draws=20_000, train=quick
    )
    whole = one["before_veto"]
    # the plane alone, which needs no long training
    error = np.hypot(whole["predicted_error"], whole["observed"] ** 0.5)
    assert abs(whole["predicted"] - whole["observed"]) < 3.0 * error
    assert whole["predicted_error"] < 0.06 * whole["predicted"]
    assert 0.6 < one["predicted"] / whole["predicted"] < 0.9
    assert set(one["blocks"]) == {"gp", "number", "flow"}
    assert (tmp_path / "m_hh_upper_right.png").stat().st_size > 10_000
