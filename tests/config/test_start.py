"""The configuration to start from: what `backdrop init` writes is checked, run, and completed by an editor."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import yaml

from backdrop.cli.main import _run
from backdrop.config import Configuration, start
from backdrop.demos import demos
from backdrop.errors import ConfigError
from backdrop.io import write

ROOT = Path(__file__).resolve().parents[2]


def sample(seed: int, fakes: int, prompts: int) -> dict[str, np.ndarray]:
    """Fakes: broad isolation, steep missing momentum; prompts: isolated, harder."""
    rng = np.random.default_rng(seed)
    iso = np.concatenate([rng.exponential(0.2, fakes), rng.exponential(0.03, prompts)])
    met = np.concatenate([rng.exponential(25, fakes), rng.exponential(45, prompts)])
    return {"iso": iso, "met": met, "w": np.full(fakes + prompts, 0.2)}


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_what_is_written_runs_with_other_file_names_alone(here, capsys):
    assert _run(["init"]) == 0
    said = capsys.readouterr().out
    assert "backdrop check analysis.yaml" in said and "backdrop run analysis.yaml --out results" in said
    text = (here / "analysis.yaml").read_text()
    assert "backdrop run analysis.yaml --out results" in text and "FILE" not in text
    write("mine.parquet", sample(1, 40_000, 4_000))
    write("mc.parquet", sample(2, 0, 20_000))
    for old, new in (("data.parquet", "mine.parquet"), ("prompt.parquet", "mc.parquet")):
        text = text.replace(f"files: {old}", f"files: {new}")
    (here / "analysis.yaml").write_text(text)
    assert _run(["check", "analysis.yaml"]) == 0
    assert _run(["run", "analysis.yaml", "--out", "results"]) == 0
    found = json.loads((here / "results" / "results.json").read_text())
    signal = found["estimates"]["fakes"]["SR"]
    truth = 40_000 * (np.exp(-60 / 25) - np.exp(-140 / 25)) * (1 - np.exp(-0.1 / 0.2))
    assert abs(signal["yield"] - truth) < 4 * np.hypot(signal["statistical"], signal["systematic"])
    assert found["closures"]["fakes"]["VR"]["p_value"] > 0.001


def test_the_fit_that_is_commented_out_is_right_as_well(here):
    text = start("a.yaml").read_text()
    block = text[text.index("# signal: 1.0") :]
    (here / "a.yaml").write_text(text.replace(block, re.sub(r"^# ", "", block, flags=re.M)).replace(
        "    weight: w ", "    weight: w\n  signal_simulation: {files: signal.parquet, weight: w}\n# "
    ))  # fmt: skip
    for name in ("data", "prompt", "signal"):
        write(f"{name}.parquet", sample(3, 1_000, 1_000))
    assert _run(["check", "a.yaml"]) == 0


def test_a_file_that_exists_is_left_alone(here, capsys):
    (here / "analysis.yaml").write_text("mine")
    assert _run(["init"]) == 2
    assert "'analysis.yaml' exists and is left alone" in capsys.readouterr().err
    assert (here / "analysis.yaml").read_text() == "mine"
    with pytest.raises(ConfigError, match=r"there is no folder 'none'"):
        start("none/a.yaml")


def test_a_file_that_cannot_be_written_is_not_there(here, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("backdrop.tasks.os.fsync", full)
    assert _run(["init"]) == 7
    assert not any(here.iterdir())


def test_the_schema_that_the_file_names_accepts_it_and_finds_mistakes(here, capsys):
    text = start("a.yaml").read_text()
    assert re.search(r"^# yaml-language-server: \$schema=backdrop\.schema\.json$", text, re.M)
    assert _run(["schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    assert schema == Configuration.model_json_schema()
    check = jsonschema.Draft202012Validator(schema)
    examples = [*demos().values(), *ROOT.glob("examples/*/*.yaml")]
    for file in [here / "a.yaml", *examples]:
        check.validate(yaml.safe_load(file.read_text()))
    for right, wrong in (("seed: 1", "seeds: 1"), ("bins: 4", "bins: four"), ("replicas: 100", "replicas: -1")):
        assert right in text
        assert not check.is_valid(yaml.safe_load(text.replace(right, wrong)))


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("backdrop re", "report"),
        ("backdrop demo ", "abcd"),
        ("backdrop methods ab", "abcd"),
        ("backdrop run --un", "--unblind"),
    ],
)
def test_the_shell_completes_commands_options_methods_and_demonstrations(monkeypatch, capsys, words, wanted):
    monkeypatch.setenv("_BACKDROP_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(len(words.split(" ")) - 1))
    assert _run([]) == 0
    assert wanted in capsys.readouterr().out.split()


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
def test_bash_takes_the_completion_script(here):
    command = f"{sys.executable} -c 'from backdrop.cli import main; main()'"
    made = subprocess.run(
        ["bash", "-c", f"{command} --show-completion"], capture_output=True, text=True, check=True
    ).stdout
    (here / "completion.sh").write_text(made)
    loaded = "source completion.sh && complete -p backdrop"
    done = subprocess.run(["bash", "--norc", "-c", loaded], capture_output=True, text=True, check=True)
    assert "_backdrop_completion" in done.stdout
