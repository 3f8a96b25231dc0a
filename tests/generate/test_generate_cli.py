"""`backdrop generate`: what it prints and writes, and how it fails."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from backdrop.cli.main import _run
from backdrop.generate import CASES, fragment
from backdrop.generate.bar import Clock


def call(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Run a command in this process: exit code, output and errors."""
    code = _run(["generate", *(str(one) for one in arguments)])
    found = capsys.readouterr()
    return code, found.out, found.err


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the tasks of one case short."""
    pytest.importorskip("pythia8mc")
    pytest.importorskip("fastjet")
    monkeypatch.setitem(CASES, "zee", replace(CASES["zee"], chunk=200))


def test_cases_are_listed(capsys):
    code, out, errors = call(capsys, "--list")
    assert (code, errors) == (0, "")
    assert all(f"  {name} " in out for name in CASES)


@pytest.mark.parametrize("name", CASES)
def test_the_fragment_is_printed(name, capsys):
    assert call(capsys, name, "--yaml") == (0, fragment(name), "")


@pytest.mark.usefixtures("small")
def test_a_file_is_written_kept_and_replaced(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, errors = call(capsys, "zee", "--events", 50, "--seed", 4)
    assert (code, errors) == (0, "")
    assert out.startswith("zee.parquet: 50 events, selected from ")
    for part in ("cross section ", " pb: the file is ", "generated events per second", "backdrop generate zee --yaml"):
        assert part in out
    before = Path("zee.parquet").read_bytes()
    code, _, errors = call(capsys, "zee", "--events", 50, "--seed", 5)
    assert code == 2
    assert "'zee.parquet' exists; give --overwrite" in errors
    assert Path("zee.parquet").read_bytes() == before
    assert call(capsys, "zee", "--events", 50, "--seed", 4, "--overwrite")[0] == 0
    assert Path("zee.parquet").read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["zee.parquet"]


@pytest.mark.usefixtures("small")
def test_multi_parton_interactions_are_turned_on(tmp_path, capsys):
    path = tmp_path / "mpi.parquet"
    assert call(capsys, "zee", "--events", 3, "--mpi", "--out", path)[0] == 0
    made_from = json.loads(pq.read_schema(path).metadata[b"gen"])
    assert made_from["mpi"] is True
    assert "PartonLevel:MPI = on" in made_from["settings"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["gama-jet"], 2, "no case 'gama-jet', did you mean 'gamma-jet'?; cases: gamma-jet, h-phigamma"),
        (["gama-jet", "--yaml"], 2, "did you mean 'gamma-jet'?"),
        ([], 2, "which case? 'backdrop generate --list' explains them: gamma-jet"),
        (["zee", "--events", "0"], 2, "--events"),
        (["zee", "--out", "zee.root"], 2, "end the name with .parquet"),
        (["zee", "--events", str(10**15)], 7, "MB free, but about"),
    ],
)
@pytest.mark.usefixtures("small")
def test_a_mistake_gives_one_message_and_its_exit_code(arguments, code, message, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found, _, errors = call(capsys, *arguments)
    assert found == code
    assert message in errors
    assert not list(tmp_path.iterdir())


def test_a_missing_extra_ends_with_seven_and_the_remedy(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "pythia8mc", None)
    code, _, errors = call(capsys, "zee", "--out", tmp_path / "zee.parquet")
    assert code == 7
    assert errors == (
        "error: generating events needs 'pythia8mc', which is not installed: pip install 'backdrop[generate]'\n"
    )


def test_the_remaining_time_knows_of_finished_chunks():
    clock = Clock(1000, guess=60.0, kept=2)
    clock.advance(100, elapsed=0.1)
    clock.advance(100, elapsed=0.1)
    # they were there: the guess stays
    assert clock.total == 60.0
    clock.advance(100, elapsed=10.0)
    # 100 events in ten seconds, 700 more to come
    assert clock.total == 80.0
    clock.advance(700, elapsed=50.0)
    assert clock.total == 50.0
