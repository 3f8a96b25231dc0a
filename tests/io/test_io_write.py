"""write: read() gives the same events back, and a file is there as a whole or not at all."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace

import awkward as ak
import numpy as np
import pyarrow.parquet as pq
import pytest
import uproot

from backdrop import Region
from backdrop.errors import DataError
from backdrop.io import read, write
from backdrop.io.manifest import beside
from tests.io.written import columns, same, to_file

SR = Region("SR", "m > 120")
TARGETS = [("a.parquet", None), ("a.root", None), ("a.root", "rntuple"), ("a.csv", None)]


def mixture(lists: bool = True):
    data = read(columns(400, 1, lists), keys=["event"], seal=SR)
    return data - 0.3 * read(columns(300, 2, lists), sample='tt|bar, "x"', weight="w")


@pytest.mark.parametrize(("name", "format"), TARGETS)
def test_events_come_back_as_they_were(tmp_path, name, format):
    events = mixture(lists=not name.endswith("csv"))
    write(tmp_path / name, events, format=format)
    again = read(tmp_path / name)
    assert again.samples == events.samples
    assert list(again.columns) == list(events.columns)
    assert all(same(again[column], events[column]) for column in events.columns)
    for part in ("weight", "sample", "key"):
        assert np.array_equal(getattr(again, part), getattr(events, part))
    assert [(one.sample, one.region, one.cleared) for one in again.sealed] == [("data", SR, False)]
    chosen = read(tmp_path / name, ["m"], weight="w", keys=["event"])
    assert np.array_equal(chosen.weight, events["w"])
    assert again.only("data").fingerprint == events.only("data").fingerprint


@pytest.mark.parametrize(("name", "format"), TARGETS)
def test_plain_columns_come_back(tmp_path, name, format):
    table = columns(100, lists=not name.endswith("csv"))
    write(tmp_path / name, table, format=format)
    again = read(tmp_path / name, list(table), keys=["event"])
    for column, values in table.items():
        assert same(again[column], values), column
    assert again.samples == ("data",)


def test_other_tools_read_the_files(tmp_path):
    events = mixture()
    write(tmp_path / "a.root", events, tree="nominal")
    with uproot.open(tmp_path / "a.root") as file:
        assert file["nominal"].classname == "TTree"
        assert same(file["nominal"]["m"].array(library="np"), events["m"])
        assert same(file["nominal"]["jet_pt"].array(), events["jet_pt"])
    write(tmp_path / "b.root", events, format="rntuple")
    with uproot.open(tmp_path / "b.root") as file:
        assert "RNTuple" in file["Events"].classname
    write(tmp_path / "c.parquet", events)
    assert same(pq.read_table(tmp_path / "c.parquet", columns=["m"])["m"].to_numpy(), events["m"])


def test_files_are_written_chunk_by_chunk(tmp_path):
    source = to_file(tmp_path / "source", columns(1000), "ttree")
    files = read(source, seal=SR, lazy=True, chunk_rows=128)
    for name in ("a.parquet", "a.root"):
        write(tmp_path / name, files)
        assert read(tmp_path / name).fingerprint == files.load().fingerprint
    assert pq.ParquetFile(tmp_path / "a.parquet").num_row_groups > 2


def test_no_events_can_be_written(tmp_path):
    events = mixture().select(Region("none", "m < 0"))
    for name in ("a.parquet", "a.root", "a.csv"):
        kept = replace(events, columns={n: events[n] for n in ("m", "tag", "event")})
        write(tmp_path / name, kept)
        with pytest.warns(UserWarning, match="holds no"):
            again = read(tmp_path / name)
        assert again.samples == events.samples
        assert all(same(again[column], kept[column]) for column in kept.columns)


def test_missing_integers_and_text_stay_in_parquet(tmp_path):
    table = {"n": ak.Array([1, None, 3]), "name": np.array(["a", "", "ccc"])}
    write(tmp_path / "a.parquet", table)
    again = read(tmp_path / "a.parquet")
    assert ak.to_list(again["n"]) == [1, None, 3]
    assert again["name"].tolist() == ["a", "", "ccc"]
    with pytest.raises(DataError, match="column 'n' holds int64 with missing entries, which ttree cannot keep"):
        write(tmp_path / "a.root", table)
    with pytest.raises(DataError, match="column 'jet_pt' holds list of float32, which csv cannot keep"):
        write(tmp_path / "a.csv", columns(10))
    assert sorted(os.listdir(tmp_path)) == ["a.parquet", "a.parquet.manifest.json"]


def test_nothing_is_overwritten_unasked(tmp_path):
    path = tmp_path / "a.parquet"
    write(path, {"x": np.arange(3)})
    with pytest.raises(DataError, match=r"a\.parquet exists already; give overwrite=True"):
        write(path, {"x": np.arange(4)})
    write(path, {"x": np.arange(4)}, overwrite=True)
    assert len(read(path)) == 4
    (tmp_path / "link.parquet").symlink_to(path)
    for again in (path, tmp_path / "link.parquet"):
        with pytest.raises(DataError, match="was read as an input, which is never overwritten"):
            write(again, {"x": np.arange(5)}, overwrite=True)
    with pytest.raises(DataError, match="the extension names no format"):
        write(tmp_path / "a.txt", {"x": np.arange(3)})
    with pytest.raises(DataError, match="column 'backdrop_key' has a name that is kept"):
        write(tmp_path / "b.parquet", read({"x": np.arange(3)}).with_columns({"backdrop_key": np.arange(3)}))


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.parquet"
    write(path, {"x": np.arange(3)})
    before = {name: (tmp_path / name).read_bytes() for name in os.listdir(tmp_path)}
    bad = to_file(tmp_path / "source", columns(2000), "ttree")
    files = read(bad, ["m"], lazy=True, chunk_rows=100)
    content = bad.read_bytes()
    with uproot.open(bad) as file:
        place = int(file["Events"]["m"].member("fBasketSeek")[4])
    bad.write_bytes(content[: place + 60] + bytes(200) + content[place + 260 :])
    with pytest.raises(DataError, match="damaged"):
        write(path, files, overwrite=True)
    bad.unlink()
    assert {name: (tmp_path / name).read_bytes() for name in os.listdir(tmp_path)} == before


WRITER = """
import sys
import numpy as np
from backdrop.io import write
seed = int(sys.argv[2])
print("ready", flush=True)
while True:
    seed += 1
    write(sys.argv[1], {"x": np.full(20_000, float(seed)), "y": np.arange(20_000)}, overwrite=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a.parquet", "a.root"])
def test_a_killed_writer_never_leaves_a_part(tmp_path, name):
    path = tmp_path / name
    write(path, {"x": np.zeros(20_000), "y": np.arange(20_000)})
    pauses = random.Random(1)
    for attempt in range(5):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), str(100 * attempt)], stdout=subprocess.PIPE
        )
        process.stdout.readline()
        time.sleep(pauses.uniform(0.05, 0.4))
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        copy = tmp_path / f"copy{attempt}{path.suffix}"
        copy.write_bytes(path.read_bytes())
        if beside(path).exists():
            beside(copy).write_bytes(beside(path).read_bytes())
        events = read(copy)
        assert len(events) == 20_000
        assert (events["x"] == events["x"][0]).all()
