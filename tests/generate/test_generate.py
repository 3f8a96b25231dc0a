"""The file: the same for any number of processes and after a kill, and clear errors where it cannot be made."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from backdrop.errors import ConfigError, ResourceError
from backdrop.generate import Generated, generate
from backdrop.generate.chunk import Chunk
from backdrop.generate.output import Writer, locked, tasks_of

pytestmark = pytest.mark.filterwarnings("default::pytest.PytestUnraisableExceptionWarning")

CASE, EVENTS, SEED, CHUNK = "zee", 500, 5, 300


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Generated:
    """One file, made in one process."""
    pytest.importorskip("pythia8mc")
    pytest.importorskip("fastjet")
    return generate(CASE, events=EVENTS, seed=SEED, chunk=CHUNK, out=tmp_path_factory.mktemp("made") / "zee.parquet")


class Counting:
    """A map that counts what it runs, and may stop early as a killed process would."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.ran, self.stop_after = 0, stop_after

    def __call__(self, function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
        for item in items:
            if self.ran == self.stop_after:
                raise KeyboardInterrupt
            self.ran += 1
            yield function(item)


def columns_of(path: Path) -> dict[str, np.ndarray]:
    table = pq.read_table(path)
    return {name: table[name].to_numpy() for name in table.column_names}


# ---- the same file ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("jobs", [2, 4])
def test_processes_change_nothing(made: Generated, tmp_path: Path, jobs: int) -> None:
    other = generate(CASE, events=EVENTS, seed=SEED, chunk=CHUNK, jobs=jobs, out=tmp_path / "zee.parquet")
    assert other.path.read_bytes() == made.path.read_bytes()


def test_fewer_events_are_the_first_ones(made: Generated, tmp_path: Path) -> None:
    few = generate(CASE, events=100, seed=SEED, chunk=CHUNK, out=tmp_path / "few.parquet")
    all_of_them = columns_of(made.path)
    for name, values in columns_of(few.path).items():
        np.testing.assert_array_equal(values, all_of_them[name][:100])


def test_another_seed_gives_other_events(made: Generated, tmp_path: Path) -> None:
    other = generate(CASE, events=50, seed=SEED + 1, chunk=CHUNK, out=tmp_path / "other.parquet")
    first, second = columns_of(made.path), columns_of(other.path)
    assert not set(first["event"]) & set(second["event"])
    assert not set(first["m_ee"]) & set(second["m_ee"])


def test_an_interrupted_run_goes_on(made: Generated, tmp_path: Path) -> None:
    path = tmp_path / "zee.parquet"
    first, second = Counting(stop_after=2), Counting()
    with pytest.raises(KeyboardInterrupt):
        generate(CASE, events=EVENTS, seed=SEED, chunk=CHUNK, out=path, map=first)
    assert not path.exists()
    assert len(list(tasks_of(path).glob("*.npz"))) == 2
    generate(CASE, events=EVENTS, seed=SEED, chunk=CHUNK, out=path, map=second)
    assert path.read_bytes() == made.path.read_bytes()
    assert second.ran == made.metadata["n_chunks"] - 2
    assert not tasks_of(path).exists()


SCRIPT = """
import sys
from backdrop.generate import generate
if __name__ == "__main__":
    generate(sys.argv[1], events=int(sys.argv[2]), seed=int(sys.argv[3]), chunk=int(sys.argv[4]), out=sys.argv[5],
             jobs=int(sys.argv[6]))
"""


def start(tmp_path: Path, path: Path, jobs: int, before: str = "") -> subprocess.Popen[str]:
    script = tmp_path / "script.py"
    script.write_text(before + SCRIPT)
    arguments = [CASE, EVENTS, SEED, CHUNK, path, jobs]
    return subprocess.Popen(
        [sys.executable, str(script), *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("jobs", [1, 2])
def test_killed_and_given_again(made: Generated, tmp_path: Path, jobs: int) -> None:
    path = tmp_path / "zee.parquet"
    process = start(tmp_path, path, jobs)
    deadline = time.monotonic() + 120
    while not list(tasks_of(path).glob("*.npz")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not path.exists()
    kept = list(tasks_of(path).glob("*.npz"))
    assert kept
    again = Counting()
    generate(CASE, events=EVENTS, seed=SEED, chunk=CHUNK, out=path, map=again)
    assert path.read_bytes() == made.path.read_bytes()
    assert again.ran < made.metadata["n_chunks"]
    assert [file.name for file in tmp_path.iterdir() if file.name != "script.py"] == ["zee.parquet"]


# ---- what the file says ----------------------------------------------------------------------------------------------


def test_metadata(made: Generated) -> None:
    stored = json.loads(pq.read_schema(made.path).metadata[b"gen"])
    assert stored == json.loads(json.dumps(made.metadata))
    assert stored["case"] == CASE and stored["seed"] == SEED and stored["mpi"] is False
    assert "PartonLevel:MPI = off" in stored["settings"] and "23:onIfAny = 11" in stored["settings"]
    assert stored["veto"] == {"ids": [11], "least": 2, "eta_max": 2.7, "pt_min": 17.0, "lead_pt": 0.0}
    assert stored["generator"].startswith("pythia8mc 8.") and "fastjet 3." in stored["generator"]
    assert stored["detector"]["flip_loss"] == 0.035
    assert stored["n_selected"] == stored["n_rows"] == EVENTS == pq.read_metadata(made.path).num_rows
    assert stored["luminosity_per_pb"] == pytest.approx(stored["n_generated"] / stored["sigma_pb"])
    # up to the last selected event, and no further
    last = int(columns_of(made.path)["event"][-1])
    assert stored["n_generated"] == last - first_event() + 1
    assert (stored["n_chunks"] - 1) * CHUNK < stored["n_generated"] <= stored["n_chunks"] * CHUNK


def first_event() -> int:
    from backdrop.generate import Detector

    return Chunk(CASE, (), None, Detector(), SEED, 0, CHUNK, "").first_event


def test_rates(made: Generated) -> None:
    assert made.events == made.rows == EVENTS
    assert made.chunk_events == made.metadata["n_chunks"] * CHUNK
    assert made.generated_per_cpu_s == pytest.approx(made.chunk_events / made.cpu_s)
    assert made.rows_per_cpu_hour == pytest.approx(3600 * EVENTS / made.n_generated * made.generated_per_cpu_s)
    assert made.sigma_pb == pytest.approx(720.0, rel=0.1)


def test_leptons_of_an_event_stay_together(tmp_path: Path) -> None:
    pytest.importorskip("pythia8mc")
    pytest.importorskip("fastjet")
    path = tmp_path / "ttbar.parquet"
    done = generate("ttbar-hf", events=40, seed=3, chunk=100, out=path)
    columns = columns_of(path)
    _, row, count = np.unique(columns["event"], return_inverse=True, return_counts=True)
    np.testing.assert_array_equal(columns["n_loose"], count[row])
    assert len(count) == done.events == 40 and len(row) == done.rows > 40


def test_damage_is_noticed(made: Generated, tmp_path: Path) -> None:
    data = bytearray(made.path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    damaged = tmp_path / "damaged.parquet"
    damaged.write_bytes(data)
    with pytest.raises(OSError, match=r"(?i)crc|checksum|corrupt"):
        pq.read_table(damaged, page_checksum_verification=True)


def test_row_groups_do_not_depend_on_how_the_rows_arrive(tmp_path: Path) -> None:
    values = {"event": np.arange(150_000), "m": np.linspace(0, 1, 150_000, dtype=np.float32)}
    for name, cuts in (("one", []), ("many", [3, 70_000, 70_001, 140_000])):
        writer = Writer(tmp_path / name)
        for part in np.split(np.arange(150_000), cuts):
            writer.append({column: array[part] for column, array in values.items()})
        writer.finish("{}")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "many").read_bytes()
    assert pq.read_metadata(tmp_path / "one").num_row_groups == 3
    for name, array in columns_of(tmp_path / "many").items():
        np.testing.assert_array_equal(array, values[name])


def test_chunks_never_share_a_seed() -> None:
    from backdrop.generate import Detector

    chunks = [Chunk(CASE, (), None, Detector(), seed, index, CHUNK, "") for seed in (1, 2) for index in range(500)]
    assert len({chunk.generator_seed for chunk in chunks}) == len({chunk.first_event for chunk in chunks}) == 1000


# ---- what cannot be made ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "gama-jet"}, "no case 'gama-jet', did you mean 'gamma-jet'.*cases: gamma-jet, h-phigamma"),
        ({"events": 0}, "events must be at least 1, not 0"),
        ({"jobs": 0}, "jobs must be at least 1"),
        ({"chunk": -5}, "chunk must be at least 1"),
        ({"seed": -1}, "seed must lie between"),
        ({"out": "events.root"}, "written as Parquet"),
    ],
)
def test_requests_that_make_no_sense(
    change: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pythia8mc")
    pytest.importorskip("fastjet")
    monkeypatch.chdir(tmp_path)
    request = {"name": CASE, "events": 10, "seed": 1, "out": "zee.parquet", **change}
    with pytest.raises(ConfigError, match=message):
        generate(request.pop("name"), **request)
    assert not list(tmp_path.iterdir())


def test_a_missing_extra_is_named_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("pythia8mc", "fastjet"):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, "pythia8mc", sys)
            patch.setitem(sys.modules, module, None)
            with pytest.raises(ResourceError, match=f"'{module}', which is not installed"):
                generate(CASE, events=10, seed=1, out=tmp_path / "zee.parquet")
    assert not list(tmp_path.iterdir())


def test_an_existing_file_is_kept(made: Generated) -> None:
    before = made.path.read_bytes()
    with pytest.raises(ConfigError, match=r"zee\.parquet' exists; give --overwrite"):
        generate(CASE, events=10, seed=1, out=made.path)
    assert made.path.read_bytes() == before


def test_a_folder_and_a_file_in_the_way(tmp_path: Path) -> None:
    pytest.importorskip("pythia8mc")
    pytest.importorskip("fastjet")
    (tmp_path / "folder.parquet").mkdir()
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="is a folder"):
        generate(CASE, events=10, seed=1, out=tmp_path / "folder.parquet")
    with pytest.raises(ConfigError, match="is no folder"):
        generate(CASE, events=10, seed=1, out=tmp_path / "file" / "zee.parquet")


def test_a_disk_that_is_too_small_is_refused_at_once(tmp_path: Path) -> None:
    pytest.importorskip("pythia8mc")
    pytest.importorskip("fastjet")
    with pytest.raises(ResourceError, match=r"MB free, but about .* MB are needed"):
        generate(CASE, events=10**15, seed=1, out=tmp_path / "zee.parquet")
    assert not list(tmp_path.iterdir())


LIMIT = """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, ({0}, {0}))
"""


@pytest.mark.parametrize("share", [0.1, 0.9])
def test_a_disk_that_fills_up(made: Generated, tmp_path: Path, share: float) -> None:
    """No file larger than a share of the whole can be written: the chunks do not fit, or the file itself does not."""
    path = tmp_path / "zee.parquet"
    process = start(tmp_path, path, 1, LIMIT.format(int(share * made.path.stat().st_size)))
    _, output = process.communicate(timeout=120)
    assert process.returncode == 1
    assert f"ResourceError: no space left to write '{path}'" in output.splitlines()[-1]
    assert "give the same command again to resume" in output
    assert not path.exists() and not list(tasks_of(path).glob(".*.part"))
    assert bool(list(tasks_of(path).glob("*.npz"))) is (share > 0.5)
    generate(CASE, events=EVENTS, seed=SEED, chunk=CHUNK, out=path)
    assert path.read_bytes() == made.path.read_bytes()


def test_two_processes_do_not_make_the_same_file(tmp_path: Path) -> None:
    pytest.importorskip("pythia8mc")
    pytest.importorskip("fastjet")
    path = tmp_path / "zee.parquet"
    with locked(path), pytest.raises(ResourceError, match="another process is making"):
        generate(CASE, events=10, seed=1, out=path)
