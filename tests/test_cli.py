"""The command line on small files: what it writes, that it is repeatable, resumable and blind, and how it fails."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from backdrop import Setup, estimate
from backdrop.blinding import looks
from backdrop.cli.main import Stopped, _run
from backdrop.config import load
from backdrop.io import read
from backdrop.provenance import Provenance
from backdrop.run.folder import held
from backdrop.run.state import state_of
from backdrop.synthetic import GaussianPlane

COMMAND = [sys.executable, "-c", "from backdrop.cli import main; main()"]

PLAIN = """\
name: toy
title: A <b>small</b> toy
seed: 7
inputs:
  data: {files: data.parquet, keys: [run, event]}
  reals: {files: [reals_*.parquet], weight: w, rename: {m: mass}}
derived:
  high: x2 > 1
regions:
  tight: x1 > 1
  loose: x1 <= 1
  low: ~high
  window: (m > 120) & (m < 140)
seal:
  - {sample: data, region: "{tight} & {window} & high"}
channels:
  SR: {region: "{window} & high", axes: [{column: m, bins: 2, range: [120, 140], label: "m [GeV]"}]}
  VR: {region: "~{window} & high", axes: [{column: m, edges: [100, 110, 120], label: "m [GeV]"}]}
methods:
  abcd:
    type: abcd
    events: data - reals
    settings: {target: tight, source: loose, control: low}
closures:
  - {channel: VR}
variables:
  - {column: m, bins: 5, range: [100, 150], label: "m [GeV]"}
"""

FULL = (
    PLAIN.replace("seed: 7", "seed: 7\nreplicas: 40")
    .replace(
        "control: low}\n",
        """control: low}
    variations:
      reals: {up: {events: data - 1.1 * reals}, down: {events: data - 0.9 * reals}}
""",
    )
    .replace("{channel: VR}", "{channel: VR, as_variation: true}")
    + """\
signal: 0.2 * reals
fit:
  data: data
  channels: [SR]
  backgrounds:
    reals: {events: reals, variations: {reals: {up: {events: 1.1 * reals}, down: {events: 0.9 * reals}}}}
"""
)

SENTINEL = 127.12345678901234


def write_inputs(folder: Path, *, sealed: str = "as drawn") -> None:
    """Write data and simulation; `sealed` says what stands in the rows that are sealed in data."""
    data = dict(GaussianPlane(fakes=6000, reals=2000).draw(seed=3).columns)
    data = {name: np.asarray(data[name]) for name in ("x1", "x2", "m")}
    data |= {"run": np.ones(len(data["m"]), np.int64), "event": np.arange(len(data["m"]))}
    inside = (data["x1"] > 1) & (data["x2"] > 1) & (data["m"] > 120) & (data["m"] < 140)
    assert inside.sum() > 30
    if sealed == "sentinel":
        data["m"] = np.where(inside, SENTINEL, data["m"])
    elif sealed == "nan":
        data["m"] = np.where(inside, np.nan, data["m"])
    elif sealed == "fewer":
        data = {name: values[~inside | (np.cumsum(inside) % 3 == 0)] for name, values in data.items()}
    elif sealed == "more":
        data = {name: np.concatenate([values, values[inside], values[inside]]) for name, values in data.items()}
    pq.write_table(pa.table(data), folder / "data.parquet")
    reals = dict(GaussianPlane(fakes=0, reals=6000).draw(seed=4).columns)
    for i in range(2):
        part = {{"m": "mass"}.get(name, name): np.asarray(reals[name])[i::2] for name in ("x1", "x2", "m")}
        pq.write_table(pa.table({**part, "w": np.full(len(part["mass"]), 1 / 3)}), folder / f"reals_{i}.parquet")


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("analysis")
    write_inputs(folder)
    (folder / "plain.yaml").write_text(PLAIN)
    (folder / "full.yaml").write_text(FULL)
    return folder


@pytest.fixture
def own(tmp_path) -> Path:
    """A folder with an analysis of the test's own."""
    write_inputs(tmp_path)
    (tmp_path / "plain.yaml").write_text(PLAIN)
    return tmp_path


def backdrop(*arguments: object, **options) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=280, check=False, **options)


def content(folder: Path) -> dict[str, str]:
    """Return the hash of every file that must be the same on every run."""
    files = [file for file in folder.rglob("*") if file.is_file() and ".tasks" not in file.parts]
    names = {str(file.relative_to(folder)): file for file in files if file.name != "provenance.json"}
    return {name: hashlib.sha256(file.read_bytes()).hexdigest() for name, file in names.items()}


def call(capsys, *arguments: object) -> tuple[int, str, str]:
    """Run a command in this process: exit code, output and errors."""
    code = _run([str(one) for one in arguments])
    found = capsys.readouterr()
    return code, found.out, found.err


@pytest.fixture(scope="module")
def finished(home) -> Path:
    done = backdrop("run", home / "full.yaml", "--out", home / "finished")
    assert (done.returncode, done.stderr) == (0, "")
    assert "abcd" in done.stdout
    assert "sealed" in done.stdout
    assert done.stdout.rstrip().endswith(f"report: {home / 'finished' / 'report.html'}")
    return home / "finished"


# ---- what a run writes -----------------------------------------------------------------------------------------------


def test_a_run_writes_the_whole_folder(finished):
    names = {name.split("/")[0] for name in content(finished)}
    assert names == {"report.html", "results.json", "parts.json", "analysis.yaml", "figures", "workspace", "estimates"}
    assert json.loads((finished / "workspace" / "abcd.json").read_bytes())["channels"][0]["name"] == "SR"
    assert (finished / "analysis.yaml").read_text() == FULL
    assert "A &lt;b&gt;small&lt;/b&gt; toy" in (finished / "report.html").read_text()
    assert not (finished / ".tasks" / "staging").exists()


def test_the_numbers_are_those_of_the_library(finished, home):
    analysis = load(home / "full.yaml")
    columns = ["m", "x1", "x2", "high"]
    seal = analysis.seals[0].seal
    derived = {"high": "x2 > 1"}
    data = read(home / "data.parquet", columns, sample="data", keys=["run", "event"], seal=seal, derived=derived)
    reals = read(
        [home / "reals_0.parquet", home / "reals_1.parquet"],
        columns,
        sample="reals",
        weight="w",
        rename={"m": "mass"},
        derived=derived,
    )
    method = analysis.tasks["abcd"].method
    setups = [Setup(method, data - factor * reals) for factor in (1.0, 1.1, 0.9)]
    found = estimate(setups[0], analysis.channels, replicas=40, variations={"reals": (setups[1], setups[2])}, seed=7)
    written = json.loads((finished / "results.json").read_bytes())
    expected = found.total("SR")
    assert written["estimates"]["abcd"]["SR"]["yield"] == pytest.approx(expected.value, rel=1e-12)
    assert written["estimates"]["abcd"]["SR"]["statistical"] == pytest.approx(expected.statistical, rel=1e-9)
    assert written["estimates"]["abcd"]["SR"]["systematic"] > expected.systematic  # the non-closure is added
    assert written["closures"]["abcd"]["SR"]["observed"] is None
    assert written["closures"]["abcd"]["VR"]["observed"] > 0
    assert written["fit"]["abcd"]["asimov_channels"] == ["SR"]


def test_provenance_names_files_versions_and_commit(finished, home):
    found = json.loads((finished / "provenance.json").read_bytes())
    assert found["seed"] == 7
    assert found["fingerprint"] == load(home / "full.yaml").fingerprint
    (data,) = found["inputs"]["data"]
    assert data["sha256"] == hashlib.sha256((home / "data.parquet").read_bytes()).hexdigest()
    assert data["entries"] == pq.read_metadata(home / "data.parquet").num_rows
    assert len(found["inputs"]["reals"]) == 2
    assert found["started"] <= found["finished"]
    assert found["versions"]["numpy"] == np.__version__
    assert found["outputs"]["report.html"] == hashlib.sha256((finished / "report.html").read_bytes()).hexdigest()
    assert not any("open" in name for files in found["inputs"].values() for file in files for name in file)


def test_nothing_but_provenance_knows_the_time_or_the_place(finished, home):
    year = time.strftime("%Y-")
    for name in content(finished):
        body = (finished / name).read_bytes()
        assert str(home).encode() not in body, name
        assert name.endswith((".png", ".pdf", ".html")) or year.encode() not in body, name


# ---- the same again --------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_any_number_of_jobs_gives_the_same_bytes(finished, home):
    done = backdrop("run", home / "full.yaml", "--out", home / "two", "--jobs", 2)
    assert (done.returncode, done.stderr) == (0, "")
    assert content(home / "two") == content(finished)


@pytest.mark.slow
def test_a_finished_run_repeated_keeps_its_work_and_its_bytes(finished, home, capsys):
    before = content(finished)
    tasks = {file.name: file.stat().st_mtime_ns for file in (finished / ".tasks" / "done").iterdir()}
    assert len(tasks) > 10
    assert call(capsys, "run", home / "full.yaml", "--out", finished)[0] == 0
    assert content(finished) == before
    assert {file.name: file.stat().st_mtime_ns for file in (finished / ".tasks" / "done").iterdir()} == tasks


def started(*arguments: object) -> subprocess.Popen[str]:
    command = [*COMMAND, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(process: subprocess.Popen[str], pattern: str, folder: Path, number: int) -> None:
    """Wait until a run has written so many files of a pattern, or ended."""
    deadline = time.monotonic() + 200
    while len(list(folder.glob(pattern))) < number and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def children_of(pid: int) -> set[int]:
    found = set()
    for place in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = place.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            child = int(place.parent.name)
            found |= {child} | children_of(child)
    return found


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_run_that_was_killed_again_and_again_ends_with_the_same_bytes(finished, home):
    out = home / "killed"
    for pattern, number, jobs in (
        (".tasks/done/*.npz", 2, 1),
        (".tasks/done/*.npz", 6, 2),
        (".tasks/staging/figures/*", 2, 1),
    ):
        process = started("run", home / "full.yaml", "--out", out, "--jobs", jobs)
        wait_for(process, pattern, out, number)
        children = children_of(process.pid)
        process.kill()
        process.communicate()
        deadline = time.monotonic() + 60
        while any(Path(f"/proc/{child}").exists() for child in children):
            assert time.monotonic() < deadline, "workers outlive a killed run"
            time.sleep(0.1)
        assert not (out / "results.json").exists() or content(out) == content(finished)
    done = backdrop("run", home / "full.yaml", "--out", out)
    assert (done.returncode, done.stderr) == (0, "")
    assert content(out) == content(finished)


@pytest.mark.slow
@pytest.mark.parametrize(("number", "jobs"), [(signal.SIGTERM, 2), (signal.SIGINT, 1)])
def test_a_run_that_is_asked_to_end_says_how_to_resume(home, tmp_path, number, jobs):
    process = started("run", home / "full.yaml", "--out", tmp_path / "out", "--jobs", jobs)
    wait_for(process, ".tasks/done/*.npz", tmp_path / "out", 1)
    process.send_signal(number)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 7
    assert "error: stopped before the end; give the same command again to resume" in errors
    assert "Traceback" not in errors
    assert not (tmp_path / "out" / "results.json").exists()
    with held(tmp_path / "out", state_of(tmp_path / "out")):
        pass


@pytest.mark.slow
def test_a_report_is_rendered_again_from_what_was_kept(finished, capsys):
    before = content(finished)
    page = (finished / "report.html").read_bytes()
    (finished / "report.html").write_text("lost")
    code, out, _ = call(capsys, "report", finished)
    assert (code, out.strip()) == (0, f"report: {finished / 'report.html'}")
    assert (finished / "report.html").read_bytes() == page
    assert content(finished) == before


# ---- blinding --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_no_output_depends_on_the_sealed_rows(own, capsys):
    wanted = None
    for sealed in ("as drawn", "sentinel", "nan", "fewer", "more"):
        write_inputs(own, sealed=sealed)
        out = own / f"out {sealed}"
        code, printed, errors = call(capsys, "run", own / "plain.yaml", "--out", out)
        assert (code, errors) == (0, "")
        found = content(out) | {"printed": printed.replace(str(out), "")}
        wanted = wanted or found
        assert found == wanted
        for file in out.rglob("*"):
            assert not file.is_file() or b"127.12345678" not in file.read_bytes(), file


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_unblinding_is_logged_reported_and_cannot_be_edited_away(own, capsys):
    config, out, log = own / "plain.yaml", own / "open", own / "unblinding.jsonl"
    reason = "all closures pass <3 May>"
    assert call(capsys, "run", config, "--out", out, "--unblind", reason)[0] == 0
    (entry,) = looks(log)
    assert (entry.reason, entry.sample, entry.fingerprint) == (reason, "data", load(config).fingerprint)
    written = json.loads((out / "results.json").read_bytes())
    assert written["closures"]["abcd"].get("SR", {"observed": 1})["observed"] is not None
    assert written["blinding"]["sealed"] == []
    assert "all closures pass &lt;3 May&gt;" in (out / "report.html").read_text()
    before = content(out)
    assert call(capsys, "run", config, "--out", out, "--unblind", reason)[0] == 0
    assert content(out) == before
    assert len(looks(log)) == 1

    code, _, errors = call(capsys, "run", config, "--out", out)
    assert code == 6
    assert 'unblinded samples: ["data"] -> []' in errors

    assert call(capsys, "run", config, "--out", own / "blind")[0] == 0
    assert "all closures pass &lt;3 May&gt;" in (own / "blind" / "report.html").read_text()
    assert json.loads((own / "blind" / "results.json").read_bytes())["closures"]["abcd"]["SR"]["observed"] is None

    kept = log.read_bytes()
    log.write_bytes(kept.replace(b"all closures pass", b"a small mistake  "))
    for arguments in (
        ("run", config, "--out", out, "--unblind", reason),
        ("report", out),
        ("run", config, "--out", own / "new"),
    ):
        code, _, errors = call(capsys, *arguments)
        assert code == 4
        assert "the chain of the unblinding log is broken" in errors
    log.unlink()
    code, _, errors = call(capsys, "report", out)
    assert code == 4
    assert "no longer holds 1 of the entries" in errors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--unblind", ""], "needs a reason"),
        (["--unblind", "x", "--unblind-region", "SR"], "no sealed region 'SR'; sealed: 'tight & window & high'"),
        (["--unblind-region", "SR"], "--unblind-region needs --unblind with a reason"),
    ],
)
def test_unblinding_needs_a_reason_and_a_sealed_region(own, capsys, arguments, message):
    code, _, errors = call(capsys, "run", own / "plain.yaml", "--out", own / "out", *arguments)
    assert code == 2
    assert message in errors
    assert not (own / "unblinding.jsonl").exists()


@pytest.mark.parametrize("command", [["check"], ["run", "--out", "OUT"]])
def test_a_closure_in_sealed_rows_is_refused_before_work_starts(own, capsys, command):
    (own / "a.yaml").write_text(PLAIN.replace("- {channel: VR}", "- {channel: SR}"))
    arguments = [own / "out" if one == "OUT" else one for one in command]
    code, _, errors = call(capsys, arguments[0], own / "a.yaml", *arguments[1:])
    assert code == 4
    assert "abcd: closure in SR: region 'window & high & tight' of sample 'data' may hold rows of the sealed" in errors
    assert not (own / "out").exists()


# ---- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "code", "message"),
    [
        ("seed: 7", "seed: 7\nseeds: 8", 2, "plain.yaml:4:1: unknown key 'seeds', did you mean 'seed'?"),
        ("seed: 7", "seed: 010", 2, "plain.yaml:3:7: 010 reads as 10"),
        ("x1 > 1", "x1 > 1 && x2 > 1", 2, "plain.yaml:10:10: region 'tight'"),
        ("(m > 120)", "(mm > 120)", 3, "did you mean 'm'"),
        ("data.parquet", "dato.parquet", 3, "dato.parquet' does not exist"),
        ("reals_*", "mc_*", 3, "mc_*.parquet' matches no file"),
        ("weight: w", "weight: v", 3, "'v'"),
        ("control: low", "control: nothing", 2, "no region 'nothing'"),
        ("  low: ~high", "  low: ~high & (x2 <= -100)", 3, "region 'low & tight' holds 0 rows"),
        ("column: m, bins", "column: mm, bins", 3, "did you mean 'm'"),
    ],
)
def test_a_mistake_gives_one_message_and_its_exit_code(own, capsys, old, new, code, message):
    assert old in PLAIN
    (own / "plain.yaml").write_text(PLAIN.replace(old, new, 1))
    found, out, errors = call(capsys, "run", own / "plain.yaml", "--out", own / "out")
    assert (found, out) == (code, "")
    assert errors.startswith("error: ")
    assert message in errors
    assert "Traceback" not in errors
    assert not (own / "out" / "results.json").exists()


def test_a_change_of_a_region_is_shown_and_nothing_is_reused(finished, home, capsys):
    before = content(finished)
    (home / "changed.yaml").write_text(FULL.replace("m < 140", "m < 135").replace("bins: 2", "bins: 3"))
    code, _, errors = call(capsys, "run", home / "changed.yaml", "--out", finished)
    assert code == 6
    assert 'regions.window: "(m > 120) & (m < 140)" -> "(m > 120) & (m < 135)"' in errors
    assert "channels.SR.axes" in errors
    assert "--overwrite" in errors
    assert content(finished) == before


def test_a_changed_input_is_not_taken_for_the_same_run(finished, home, capsys):
    before = (home / "reals_1.parquet").read_bytes()
    table = pq.read_table(home / "reals_1.parquet")
    pq.write_table(table.slice(0, len(table) - 1), home / "reals_1.parquet")
    code, _, errors = call(capsys, "run", home / "full.yaml", "--out", finished)
    (home / "reals_1.parquet").write_bytes(before)
    assert code == 6
    assert "these inputs changed since" in errors
    assert "reals_1.parquet" in errors


def test_a_damaged_provenance_can_be_replaced(finished, home, capsys):
    path = finished / "provenance.json"
    before = path.read_bytes()
    path.write_bytes(before[:100])
    code, _, errors = call(capsys, "run", home / "full.yaml", "--out", finished)
    assert code == 6
    assert "provenance.json is damaged" in errors and "--overwrite" in errors
    assert path.read_bytes() == before[:100]
    assert call(capsys, "run", home / "full.yaml", "--out", finished, "--overwrite")[0] == 0
    assert Provenance.read(path) is not None


def test_two_runs_in_one_folder_exclude_each_other(finished, home, capsys):
    state = state_of(finished)
    assert state is not None
    with held(finished, state):
        code, _, errors = call(capsys, "run", home / "full.yaml", "--out", finished)
        assert code == 7
        assert f"in use by process {os.getpid()}" in errors
        assert call(capsys, "report", finished)[0] == 7


def test_inputs_and_other_folders_are_never_written_to(own, capsys):
    before = content(own)
    code, _, errors = call(capsys, "run", own / "plain.yaml", "--out", own, "--overwrite")
    assert code == 2
    assert "holds files that no run wrote" in errors
    assert content(own) == before


def test_a_damaged_run_is_named(own, capsys):
    code, _, errors = call(capsys, "report", own)
    assert code == 6
    assert "is not the folder of a run" in errors
    code, _, errors = call(capsys, "export", own)
    assert code == 6


def test_an_unexpected_error_is_said_to_be_one(own, capsys, monkeypatch):
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("backdrop.config.load", fail)
    code, _, errors = call(capsys, "check", own / "plain.yaml")
    assert code == 1
    assert errors == "error: an unexpected ZeroDivisionError: a bug; add --debug for the traceback\n"
    code, _, errors = call(capsys, "check", own / "plain.yaml", "--debug")
    assert code == 1
    assert "Traceback" in errors
    assert "in fail" in errors


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (MemoryError(), "out of memory"),
        (OSError(28, "No space left on device", "results.json"), "no space to write 'results.json'"),
        (OSError(28, "No space left on device"), "no space to write (No space left on device)"),
        (PermissionError(13, "Permission denied", "x.root"), "not allowed: 'x.root'"),
        (Stopped(), "stopped before the end"),
    ],
)
def test_what_runs_out_ends_with_seven_and_the_way_on(own, capsys, monkeypatch, error, message):
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("backdrop.run.session.execute", fail)
    code, _, errors = call(capsys, "run", own / "plain.yaml", "--out", own / "out")
    assert code == 7
    assert message in errors
    assert "give the same command again to resume" in errors


# ---- the other commands ----------------------------------------------------------------------------------------------


def test_check_shows_what_is_read_and_reads_no_row(own, capsys):
    code, out, errors = call(capsys, "check", own / "plain.yaml")
    assert (code, errors) == (0, "")
    assert "abcd: training" in out
    assert "abcd: closure in VR" in out
    assert "they are left out" in out
    assert "plain.yaml is fine: fingerprint" in out
    files = {file.name for file in own.iterdir()}
    assert files == {"plain.yaml", "data.parquet", "reals_0.parquet", "reals_1.parquet"}


def test_methods_are_listed_and_told(capsys):
    assert "abcd" in call(capsys, "methods")[1]
    code, out, _ = call(capsys, "methods", "abcd")
    assert code == 0
    for part in ("Assumes", "Fails when", "References", "kappa_error", "needed"):
        assert part in out
    code, _, errors = call(capsys, "methods", "abdc")
    assert code == 2
    assert "did you mean 'abcd'" in errors


def test_demonstrations_are_listed_and_shown(capsys, tmp_path):
    code, out, _ = call(capsys, "demo", "--list")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == ["abcd", "four-b", "phi-gamma", "same-sign-dilepton"]
    code, out, _ = call(capsys, "demo", "abcd", "--show")
    assert code == 0
    (tmp_path / "mine.yaml").write_text(out)
    assert call(capsys, "check", tmp_path / "mine.yaml")[0] == 0
    assert call(capsys, "demo", "none")[0] == 2


def test_the_schema_is_json(capsys):
    code, out, _ = call(capsys, "schema")
    assert code == 0
    assert json.loads(out)["properties"]["methods"]["description"]


def test_estimates_are_exported(finished, capsys, tmp_path):
    import uproot

    code, out, _ = call(capsys, "export", finished, "--out", tmp_path)
    assert (code, out.split()) == (0, [str(tmp_path / "abcd.root")])
    written = json.loads((finished / "results.json").read_bytes())["estimates"]["abcd"]["SR"]
    with uproot.open(tmp_path / "abcd.root") as file:
        assert file["SR/abcd"].values().sum() == pytest.approx(written["yield"], rel=1e-12)
        assert file["SR/abcd_realsUp"].values().sum() < written["yield"] < file["SR/abcd_realsDown"].values().sum()
        assert "VR/abcd_nonclosure_VRUp" in file
    code, _, errors = call(capsys, "export", finished, "--out", tmp_path)
    assert code == 2
    assert "exists; give --overwrite" in errors
    assert call(capsys, "export", finished, "--out", tmp_path, "--overwrite")[0] == 0
    assert call(capsys, "export", finished, "--out", tmp_path, "--format", "csv")[0] == 0
    rows = (tmp_path / "abcd.csv").read_text().splitlines()
    assert rows[0].startswith("channel,bin,axis,low,high,yield,statistical,reals up,reals down")
    assert sum(float(row.split(",")[5]) for row in rows if row.startswith("SR")) == pytest.approx(written["yield"])


def test_no_export_replaces_an_input_of_the_run(finished, home, capsys, tmp_path):
    (tmp_path / "abcd.csv").write_bytes((home / "data.parquet").read_bytes())
    before = content(tmp_path)
    code, _, errors = call(capsys, "export", finished, "--out", tmp_path, "--format", "csv", "--overwrite")
    assert code == 2
    assert "abcd.csv' is an input of this run, which is never overwritten" in errors
    assert content(tmp_path) == before


def test_workspaces_are_exported(finished, capsys, tmp_path):
    """In each format of a likelihood, with the expectation in place of what is sealed."""
    import uproot

    space = json.loads((finished / "workspace" / "abcd.json").read_bytes())
    first = {"pyhf": "workspace.json", "cabinetry": "config.yml", "trexfitter": "trexfitter.config"}
    for kind, name in (first | {"combine": "datacard.txt"}).items():
        code, out, _ = call(capsys, "export", finished, "--out", tmp_path, "--format", kind)
        assert (code, out.split()[0]) == (0, str(tmp_path / kind / "abcd" / name))
        assert call(capsys, "export", finished, "--out", tmp_path, "--format", kind)[0] == 2
        assert "holds no data" in (tmp_path / kind / "abcd" / name).read_text() or kind == "pyhf"
    assert json.loads((tmp_path / "pyhf" / "abcd" / "workspace.json").read_bytes()) == space
    with uproot.open(tmp_path / "combine" / "abcd" / "shapes.root") as file:
        assert file["SR/data_obs"].values().tolist() == space["observations"][0]["data"]
        assert file["SR/data_obs"].title.startswith("Asimov")
        assert file["SR/abcd"].axis().edges().tolist() == [120.0, 130.0, 140.0]


def test_exports_that_cannot_be_are_explained(finished, capsys, tmp_path):
    def refused(folder: Path, *arguments: str) -> tuple[int, str]:
        code, _, errors = call(capsys, "export", folder, "--out", tmp_path / "out", *arguments)
        assert not (tmp_path / "out").exists()
        return code, errors

    code, errors = refused(finished, "--method", "abdc")
    assert (code, "no method 'abdc', did you mean 'abcd'?" in errors) == (2, True)
    code, errors = refused(finished, "--format", "combine", "--as-is")
    assert (code, "--as-is is for root and csv" in errors) == (2, True)
    changed = tmp_path / "changed"
    shutil.copytree(finished, changed)
    space = changed / "workspace" / "abcd.json"
    space.write_text(space.read_text().replace("120", "121", 1) + " ")
    code, errors = refused(changed, "--format", "pyhf")
    assert (code, "abcd.json is damaged: it is not what the run wrote" in errors) == (6, True)
    state = changed / ".tasks" / "run.json"
    state.write_text(json.dumps(json.loads(state.read_text()) | {"looks": ["0" * 64]}))
    code, errors = refused(changed)
    assert (code, "no longer holds 1 of the entries" in errors) == (4, True)


@pytest.mark.parametrize("arguments", [[], ["--help"], ["run", "--help"], ["--version"], ["demo", "-h"]])
def test_help_needs_no_configuration(arguments, capsys):
    code, out, err = call(capsys, *arguments)
    assert code in (0, 2)
    assert "backdrop" in out + err


@pytest.mark.parametrize("arguments", [["rum"], ["run"], ["run", "a.yaml"], ["run", "a", "--out", "b", "--jobs", "0"]])
def test_a_wrong_command_line_ends_with_two(arguments, capsys):
    assert call(capsys, *arguments)[0] == 2
