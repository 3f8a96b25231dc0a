"""Reading: every format and every kind of path gives the same events."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import uproot
from hypothesis import given, settings
from hypothesis import strategies as st

from backdrop import Events, Region, seal
from backdrop.errors import BlindedError, CutError, DataError
from backdrop.io import Derived, EventFiles, read
from backdrop.io.root import _edges
from tests.io.written import FORMATS, columns, same, to_file


@pytest.mark.parametrize("kind", ["ttree", "rntuple", "parquet"])
def test_every_format_gives_the_columns_with_their_types(tmp_path, kind):
    table = columns()
    events = read(to_file(tmp_path / "a", table, kind), list(table))
    assert list(events.columns) == list(table)
    for name, column in table.items():
        assert same(events[name], column), name
    assert events.samples == ("data",)
    assert (events.weight == 1.0).all()


def test_csv_gives_float64_and_keys_as_integers(tmp_path):
    table = columns(lists=False)
    table["event"] = (table["event"] >> np.uint64(1)).astype(np.int64)
    path = to_file(tmp_path / "a", table, "csv")
    events = read(path, keys=["event"], weight="w")
    for name, column in table.items():
        expected = column if name == "event" else column.astype(np.float64)
        assert same(events[name], expected), name
    assert np.array_equal(events.weight, table["w"])
    assert np.array_equal(events.key, read(table, keys=["event"]).key)


def test_tables_in_memory_equal_the_files(tmp_path):
    table = columns()
    flat = {name: column for name, column in table.items() if name != "jet_pt"}
    arrow = pa.table({**flat, "jet_pt": ak.to_arrow(table["jet_pt"], extensionarray=False)})
    expected = read(to_file(tmp_path / "a", table, "parquet"), weight="w").fingerprint
    assert read(table, weight="w").fingerprint == expected
    assert read(arrow, weight="w").fingerprint == expected
    assert read(ak.zip(table, depth_limit=1), weight="w").fingerprint == expected
    assert (
        read({**flat, "jet_pt": ak.to_list(table["jet_pt"])}, list(flat), weight="w").fingerprint
        == read(flat, weight="w").fingerprint
    )
    expected = read(flat, weight="w").fingerprint
    assert read(pd.DataFrame(flat), weight="w").fingerprint == expected
    record = np.rec.fromarrays(list(flat.values()), names=list(flat))
    assert read(np.asarray(record), weight="w").fingerprint == expected


def test_memory_equals_events_of():
    table = columns(lists=False)
    sr = Region("SR", "(m > 110) & (m < 140)")
    ours = read(table, sample="mc", weight="w", seal=seal(sr, reveal=("m",)))
    theirs = Events.of(table, sample="mc", weight="w", seal=seal(sr, reveal=("m",)))
    assert ours.fingerprint == theirs.fingerprint
    assert np.array_equal(ours.inclusive("m"), theirs.inclusive("m"))


def test_only_named_columns_are_kept_and_read(tmp_path):
    table = columns()
    path = to_file(tmp_path / "a", table, "ttree")
    damaged = bytearray(path.read_bytes())
    with uproot.open(path) as file:
        branch = file["Events"]["tag"]
        start, size = branch.member("fBasketSeek")[0], branch.member("fBasketBytes")[0]
    damaged[start + 80 : start + size] = bytes(size - 80)
    path.write_bytes(damaged)
    events = read(path, ["m"], weight="w", keys=["event"], derived={"high": "pt > 50"})
    assert list(events.columns) == ["m", "high"]
    with pytest.raises(DataError, match=r"a\.root:?.* is damaged or truncated \(reading tag\)"):
        read(path, ["tag"])


@pytest.mark.parametrize("spelled", ["{0}/a.root:Events", "{0}/*.root:Events", "{0}/a.root"])
def test_spellings_of_a_path(tmp_path, spelled):
    table = columns(50)
    to_file(tmp_path / "a", table, "ttree")
    assert same(read(spelled.format(tmp_path))["m"], table["m"])


def test_lists_globs_and_dicts_of_paths(tmp_path):
    tables = [columns(50, seed) for seed in range(3)]
    paths = [to_file(tmp_path / f"part{i}", table, "ttree") for i, table in enumerate(tables)]
    whole = np.concatenate([table["m"] for table in tables])
    for paths_given in (paths, str(tmp_path / "*.root"), [str(tmp_path / "part[0-1].root"), paths[2]]):
        assert same(read(paths_given, ["m"])["m"], whole)
    assert same(read({str(path): "Events" for path in paths}, ["m"])["m"], whole)
    backwards = read(paths[::-1], ["m"])
    assert same(backwards["m"], np.concatenate([table["m"] for table in tables[::-1]]))


def test_formats_may_be_mixed(tmp_path):
    tables = [columns(50, seed) for seed in range(2)]
    paths = [to_file(tmp_path / "a", tables[0], "parquet"), to_file(tmp_path / "b", tables[1], "rntuple")]
    assert len(read(paths, ["m", "jet_pt"])) == 100


def test_trees_are_named_where_there_are_several(tmp_path):
    path = tmp_path / "two.root"
    with uproot.recreate(path) as file:
        file.mktree("Events", {"m": "f8"}).extend({"m": np.arange(3.0)})
        file.mktree("sub/Runs", {"run": "i4"}).extend({"run": np.arange(2, dtype=np.int32)})
    with pytest.raises(DataError, match=r"holds 2 trees \(Events, sub/Runs\); name one"):
        read(path)
    with pytest.raises(DataError, match="holds no tree 'Event', did you mean 'Events'"):
        read(path, tree="Event")
    assert len(read(f"{path}:sub/Runs")) == 2
    assert len(read(path, tree="Events")) == 3
    with pytest.raises(DataError, match="names the tree 'Events', but tree='x'"):
        read(f"{path}:Events", tree="x")


def test_rename_reaches_branches_with_dots(tmp_path):
    path = tmp_path / "a.root"
    with uproot.recreate(path) as file:
        file.mktree("t", {"Jet.PT": "f8", "m": "f8"}).extend({"Jet.PT": np.arange(3.0), "m": np.ones(3)})
    events = read(path, rename={"jet_pt": "Jet.PT"}, seal=Region("SR", "jet_pt > 1.5"))
    assert list(events.columns) == ["jet_pt", "m"]
    assert events["jet_pt"].tolist() == [0.0, 1.0]
    assert list(read(path, ["jet_pt"], rename={"jet_pt": "Jet.PT"}).columns) == ["jet_pt"]


def test_derived_columns_come_in_order_and_before_the_seal(tmp_path):
    path = to_file(tmp_path / "a", columns(), "parquet")
    derived = [Derived("x", "m - 125"), Derived("y", "x ** 2"), Derived("nj", "count(jet_pt)")]
    events = read(path, ["m"], derived=derived, seal=Region("SR", "y < 100"))
    assert list(events.columns) == ["m", "x", "y", "nj"]
    assert np.array_equal(events["y"], (events["m"] - 125) ** 2)
    assert (events["y"] >= 100).all()
    with pytest.raises(CutError, match="derived column 'x' reads itself"):
        Derived("x", "x + 1")
    with pytest.raises(DataError, match=r"derived column 'pt' is a column of .*a.parquet as well"):
        read(path, derived={"pt": "m * 2"})


def test_weights_and_keys_do_not_become_columns_unless_named(tmp_path):
    table = columns()
    events = read(to_file(tmp_path / "a", table, "ttree"), ["m"], weight="w", keys=["event", "tag"])
    assert np.array_equal(events.weight, table["w"])
    assert np.array_equal(events.key, Events.of(table, keys=["event", "tag"]).key)
    doubled = read(table, ["m"], derived={"w2": "2 * w"}, weight="w2")
    assert np.array_equal(doubled.weight, 2 * table["w"])


def test_keys_without_ids_tell_files_apart(tmp_path):
    tables = [columns(500, seed) for seed in range(2)]
    paths = [to_file(tmp_path / f"p{i}", table, "parquet") for i, table in enumerate(tables)]
    both = read(paths, ["m"])
    assert len(np.unique(both.key)) == 1000
    assert np.array_equal(both.key[:500], read(paths[0], ["m"]).key)
    assert not set(read(paths, ["m"], sample="other").key) & set(both.key)


def test_missing_values(tmp_path):
    path = tmp_path / "a.parquet"
    floats, integers = [1.0, None, 3.0], [1, None, 2**62 + 1]
    pq.write_table(pa.table({"x": floats, "n": integers, "ok": [1, 2, 3], "l": [[1.5], [None, 2.5], []]}), path)
    events = read(path)
    assert same(events["x"], np.array([1.0, np.nan, 3.0]))
    assert ak.to_list(events["n"]) == integers
    assert str(ak.type(events["n"])) == "3 * ?int64"
    assert same(events["ok"], np.array([1, 2, 3]))
    assert str(ak.type(events["l"])) == "3 * var * float64"
    assert np.isnan(events["l"][1, 0])
    filled = read(path, fill={"n": -1, "x": 0.0})
    assert same(filled["n"], np.array([1, -1, 2**62 + 1]))
    assert same(filled["x"], np.array([1.0, 0.0, 3.0]))
    assert same(read(path, ["n"], seal=Region("SR", "(x > 100) | (ok == 2)"))["n"], np.array([1, 2**62 + 1]))
    with pytest.raises(DataError, match=r"fill names 'N', which is no column of the input, did you mean 'n'\?"):
        read(path, ["x"], fill={"N": 0})
    with pytest.raises(DataError, match=r"column 'n' is the weight .* missing; give fill=\{'n': value\}"):
        read(path, ["x"], weight="n")


def test_text_and_other_types(tmp_path):
    path = tmp_path / "a.parquet"
    when = pa.array([1, 2], pa.timestamp("ms"))
    pq.write_table(pa.table({"x": [1.0, 2.0], "when": when, "name": ["a", "long"]}), path)
    with pytest.warns(UserWarning, match=r"left out 1 columns of other types: 'when' \(timestamp\[ms\]\)"):
        events = read(path)
    assert list(events.columns) == ["x", "name"]
    assert events["name"].tolist() == ["a", "long"]
    with pytest.raises(DataError, match=r"cannot read 'when' \(timestamp\[ms\]\)"):
        read(path, ["when"])


def test_fixed_size_lists_become_lists(tmp_path):
    path = tmp_path / "a.root"
    with uproot.recreate(path) as file:
        file.mktree("t", {"v": np.dtype(("f4", (2,)))}).extend({"v": np.arange(6, dtype="f4").reshape(3, 2)})
    events = read(path, derived={"first": "v[0]"})
    assert str(ak.type(events["v"])) == "3 * var * float32"
    assert events["first"].tolist() == [0.0, 2.0, 4.0]
    assert str(ak.type(read({"v": np.zeros((3, 2))})["v"])) == "3 * var * float64"


def test_unblinding_needs_a_seal_and_a_reason(caplog):
    table, sr = columns(100), Region("SR", "m > 100")
    with pytest.raises(BlindedError, match="needs a reason"):
        read(table, seal=sr, unblind=" ")
    with pytest.raises(BlindedError, match="nothing is sealed"):
        read(table, unblind="why")
    events = read(table, seal=sr, unblind="approved by the collaboration")
    assert len(events) == 100
    assert events.sealed == ()
    assert "region 'SR' of sample 'data'; reason: approved by the collaboration" in caplog.text


@pytest.mark.parametrize("kind", FORMATS)
def test_no_rows_give_a_typed_table_and_a_warning(tmp_path, kind):
    table = columns(0, lists=kind != "csv")
    path = to_file(tmp_path / "a", table, kind)
    with pytest.warns(UserWarning, match=r"a\.\w+ holds no rows"):
        events = read(path, list(table))
    assert len(events) == 0
    if kind != "csv":
        assert all(same(events[name], column) for name, column in table.items())
    files = read(path, list(table), lazy=True)
    with pytest.warns(UserWarning, match="holds no rows"):
        (chunk,) = files.chunks(["m"])
    assert len(chunk) == 0
    assert list(chunk.columns) == ["m"]


def test_lazy_needs_files():
    with pytest.raises(DataError, match="lazy=True needs files"):
        read(columns(10), lazy=True)


def test_lazy_and_whole_give_the_same(tmp_path):
    path = to_file(tmp_path / "a", columns(), "ttree")
    files = read(path, ["m", "jet_pt"], weight="w", lazy=True)
    assert isinstance(files, EventFiles)
    assert files.load().fingerprint == read(path, ["m", "jet_pt"], weight="w").fingerprint


@settings(max_examples=200)
@given(st.lists(st.integers(1, 5000), min_size=1, max_size=40), st.integers(1, 3000), st.data())
def test_blocks_cover_a_tree_once_and_end_where_baskets_do(sizes, rows, data):
    boundaries = [0, *np.cumsum(sizes).tolist()]
    start = data.draw(st.integers(0, boundaries[-1]))
    edges = _edges(boundaries, rows, start)
    assert edges[0] == start
    assert edges[-1] == boundaries[-1]
    steps = np.diff(edges)
    assert (steps > 0).all()
    assert (steps <= 4 * rows).all()
    assert all(edge in boundaries or step == 4 * rows for edge, step in zip(edges[1:], steps, strict=True))
