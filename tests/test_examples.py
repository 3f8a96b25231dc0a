"""The examples a newcomer meets: the README's Python, and the dimuon analysis on real data."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from backdrop.io import write

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
