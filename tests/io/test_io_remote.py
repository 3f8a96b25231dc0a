"""Remote files: any fsspec URL, a deadline for every answer, a few retries, and never fewer files than asked for."""

from __future__ import annotations

import time

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from backdrop import Region
from backdrop.errors import DataError
from backdrop.io import read, reading, remote
from tests.io.written import columns, to_file


class Unsteady(MemoryFileSystem):
    """A server that fails or hangs now and then."""

    protocol = "unsteady"
    store: dict = {}  # noqa: RUF012  (fsspec's own way to share files between instances)
    pseudo_dirs = [""]  # noqa: RUF012
    faults: list = []  # noqa: RUF012
    calls = 0

    @classmethod
    def _strip_protocol(cls, path):
        return super()._strip_protocol(str(path).replace("unsteady://", "memory://"))

    def unstrip_protocol(self, name):
        return f"unsteady:/{self._strip_protocol(name)}"

    def _fault(self):
        Unsteady.calls += 1
        if Unsteady.faults:
            fault = Unsteady.faults.pop(0)
            if isinstance(fault, float):
                time.sleep(fault)
            elif fault is not None:
                raise fault

    def _open(self, *args, **kwargs):
        self._fault()
        return super()._open(*args, **kwargs)

    def cat_file(self, *args, **kwargs):
        self._fault()
        return super().cat_file(*args, **kwargs)


@pytest.fixture
def server(tmp_path, monkeypatch):
    """Put files of every format on the server; retries without long waits."""
    fsspec.register_implementation("unsteady", Unsteady, clobber=True)
    monkeypatch.setattr(remote, "DELAYS", (0.01, 0.02, 0.03))
    monkeypatch.setattr(remote, "TIMEOUT", 2.0)
    Unsteady.faults.clear()
    system = Unsteady()
    for i, kind in enumerate(("ttree", "rntuple", "parquet", "csv")):
        path = to_file(tmp_path / kind, columns(500, i, lists=False), kind)
        with system.open(f"/store/{kind}{path.suffix}", "wb") as file:
            file.write(path.read_bytes())
    return "unsteady://store"


NAMES = ["ttree.root", "rntuple.root", "parquet.parquet", "csv.csv"]


@pytest.mark.parametrize("name", NAMES)
def test_urls_read_like_paths(server, name):
    table = columns(500, NAMES.index(name), lists=False)
    events = read(f"{server}/{name}", ["m", "tag"], seal=Region("SR", "m > 150"))
    assert len(events) == (table["m"] <= 150).sum()
    files = read(f"{server}/{name}", ["m"], lazy=True, chunk_rows=100)
    assert sum(len(chunk) for chunk in files.chunks()) == 500
    assert len(files.fingerprint) == 64
    assert files.provenance()[0]["files"][0]["entries"] == 500


def test_globs_and_trees_in_urls(server):
    assert len(read(f"{server}/*.root", ["m"])) == 1000
    assert len(read(f"{server}/ttree.root:Events", ["m"])) == 500
    with pytest.raises(DataError, match=r"'unsteady://store/no\*\.root' matches no file on the server"):
        read(f"{server}/no*.root")


@pytest.mark.parametrize("name", NAMES)
def test_a_server_that_fails_at_any_moment_is_asked_again(server, name, monkeypatch):
    monkeypatch.setattr(reading, "BLOCK_BYTES", 1 << 12)
    monkeypatch.setattr(reading, "_FEWEST_ROWS", 1)
    Unsteady.calls = 0
    expected = read(f"{server}/{name}", ["m", "tag"]).fingerprint
    calls = Unsteady.calls
    assert calls > 2
    for when in range(calls):
        Unsteady.faults[:] = [None] * when + [OSError("Operation expired"), TimeoutError("slow")]
        assert read(f"{server}/{name}", ["m", "tag"]).fingerprint == expected


def test_a_server_that_hangs_is_given_up_in_time(server):
    Unsteady.faults[:] = [30.0]
    start = time.monotonic()
    assert len(read(f"{server}/parquet.parquet", ["m"])) == 500
    assert time.monotonic() - start < 15


def test_files_that_stay_away_are_listed(server, tmp_path):
    good = to_file(tmp_path / "good", columns(10, lists=False), "ttree")
    Unsteady.faults[:] = [OSError("Operation expired")] * 1000
    with pytest.raises(DataError) as told:
        read([good, f"{server}/ttree.root", f"{server}/rntuple.root"], ["m"])
    Unsteady.faults.clear()
    assert "2 of 3 inputs cannot be read" in str(told.value)
    for name in ("ttree", "rntuple"):
        assert f"{server}/{name}.root: cannot be read in 4 tries, the last one: OSError: Operation expired" in str(
            told.value
        )


def test_a_file_that_goes_away_in_the_middle_ends_the_reading(server):
    files = read(f"{server}/parquet.parquet", ["m"], lazy=True)
    Unsteady.faults[:] = [OSError("Operation expired")] * 1000
    with pytest.raises(DataError, match="cannot be read in 4 tries"):
        files.load()
    Unsteady.faults.clear()
    fsspec.filesystem("unsteady").rm("/store/parquet.parquet")
    with pytest.raises(DataError, match="does not exist"):
        files.load()
    with pytest.raises(DataError, match=r"'unsteady://store/parquet\.parquet' does not exist"):
        read(f"{server}/parquet.parquet")


def test_a_missing_plug_in_is_named():
    with pytest.raises(DataError, match=r"nothing installed reads 'nowhere://' .*; install the plug-in"):
        read("nowhere://host/file.root")
