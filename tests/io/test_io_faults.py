"""Faults of inputs: each ends in an error that says what, where, how many and what to do."""

from __future__ import annotations

import json
import os
import shutil

import awkward as ak
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import uproot

from backdrop import Region
from backdrop.errors import BackdropError, CutError, DataError, ResourceError
from backdrop.io import read, reading, tables, write
from backdrop.io.manifest import beside
from backdrop.io.parquet import ParquetTable
from tests.io.written import columns, same, to_file


def test_missing_files_and_globs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=rf"'none\.root' does not exist \(looked from {tmp_path}\)"):
        read("none.root:Events")
    with pytest.raises(DataError, match=r"'data\*\.root' matches no file .*; 'b\.parquet' does not exist"):
        read(["data*.root", "b.parquet"])
    with pytest.raises(DataError, match="the list of paths is empty"):
        read([])
    with pytest.raises(DataError, match=r"is a folder; name its files, as in '.*\*\.root'"):
        read(tmp_path)
    with pytest.raises(DataError, match="cannot read a int"):
        read([1])
    assert DataError.exit_code == 3


@pytest.mark.parametrize("content", [b"", b"hello, world\n", os.urandom(5000), b"PAR1" + bytes(100)])
@pytest.mark.parametrize("kind", ["root", "parquet"])
def test_files_that_are_not_what_they_are_called(tmp_path, kind, content):
    path = tmp_path / f"a.{kind}"
    path.write_bytes(content)
    title = {"root": "ROOT", "parquet": "Parquet"}[kind]
    expected = rf"not a {title} file: .*a.{kind} \({len(content)} bytes\)"
    if kind == "parquet" and content.startswith(b"PAR1"):
        expected = r"a.parquet is damaged or truncated"
    with pytest.raises(DataError, match=expected):
        read(path)


def test_a_wrong_extension_and_none(tmp_path):
    source = to_file(tmp_path / "a", columns(10), "parquet")
    shutil.copy(source, tmp_path / "b.root")
    with pytest.raises(DataError, match=r"not a ROOT file: .*; its content is Parquet"):
        read(tmp_path / "b.root")
    shutil.copy(source, tmp_path / "c.dat")
    assert len(read(tmp_path / "c.dat")) == 10
    (tmp_path / "d.dat").write_text("m\n1\n")
    with pytest.raises(DataError, match="neither a ROOT nor a Parquet file"):
        read(tmp_path / "d.dat")
    with pytest.raises(DataError, match="is a Parquet file: it has no tree 'x'"):
        read(source, tree="x")


@pytest.mark.parametrize("share", [0.3, 0.8, 0.99])
@pytest.mark.parametrize("kind", ["ttree", "rntuple"])
def test_truncated_root_files_are_found_before_reading(tmp_path, kind, share):
    path = to_file(tmp_path / "a", columns(5000), kind)
    size = path.stat().st_size
    with open(path, "r+b") as file:
        file.truncate(int(share * size))
    expected = rf"a.root is truncated: {int(share * size)} bytes found, {size} expected"
    with pytest.raises(DataError, match=expected):
        read(path, lazy=True)


def test_a_truncated_tree_names_the_branch(tmp_path):
    path = tmp_path / "a.root"
    with uproot.recreate(path) as file:
        tree = file.mktree("t", {"x": "f8", "late": "f8"})
        tree.extend({"x": np.arange(9.0), "late": np.arange(9.0)})
        tree.extend({"x": np.arange(9000.0), "late": np.random.default_rng(1).random(9000)})
    with uproot.open(path) as file:
        wanted = int(file["t"]["late"].member("fBasketSeek")[1] + file["t"]["late"].member("fBasketBytes")[1])
    content = bytearray(path.read_bytes())
    # A file whose directory stands before its data, as after a recovered crash.
    with pytest.raises(DataError, match=r"truncated: .* its list of trees is lost|branch 'late' reaches to byte"):
        path.write_bytes(content[: wanted - 1000])
        read(path, lazy=True)


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_truncated_other_files(tmp_path, kind):
    path = to_file(tmp_path / "a", columns(2000, lists=False), kind)
    with open(path, "r+b") as file:
        file.truncate(int(0.7 * path.stat().st_size) - 3)
    if kind == "parquet":
        with pytest.raises(DataError, match=r"a\.parquet is damaged or truncated"):
            read(path)
    else:
        with pytest.raises(DataError, match=r"a\.csv: a value does not fit .* or a line has another number of values"):
            read(path, ["m", "w"])


@pytest.mark.parametrize("name", ["a.parquet", "a.root", "a.csv"])
def test_manifests_catch_every_change(tmp_path, name):
    path = tmp_path / name
    write(path, columns(500, lists=False))
    good = path.read_bytes()
    assert len(read(path)) == 500
    rng = np.random.default_rng(4)
    for _ in range(10):
        bad = bytearray(good)
        bad[rng.integers(len(bad))] ^= 1 << rng.integers(8)
        path.write_bytes(bad)
        with pytest.raises(DataError, match=rf"{name} is not what was written: its SHA-256 differs"):
            read(path)
    path.write_bytes(good)
    assert len(read(path)) == 500


def test_a_killed_writer_leaves_fewer_entries_than_the_manifest_says(tmp_path):
    path, short = tmp_path / "a.parquet", tmp_path / "b.parquet"
    write(path, columns(500))
    write(short, columns(300))
    shutil.copy(short, path)
    with pytest.raises(DataError, match="and it holds 300 entries instead of 500"):
        read(path)
    with pytest.raises(DataError, match="SHA-256 differs") as told:
        read(path, seal=Region("SR", "m > 100"))
    assert "300" not in str(told.value)
    beside(path).unlink()
    files = read(path, lazy=True)
    assert files.provenance()[0]["files"][0]["verified"] == "unverified"
    assert read(short, lazy=True).provenance()[0]["files"][0]["verified"] == "manifest"


def test_damaged_and_foreign_manifests(tmp_path):
    path = tmp_path / "a.parquet"
    write(path, columns(10))
    text = json.loads(beside(path).read_text())
    beside(path).write_text(json.dumps({**text, "schema": 9}))
    with pytest.raises(DataError, match="has schema 9, this version reads schema 1"):
        read(path)
    beside(path).write_text("{")
    with pytest.raises(DataError, match=r"a\.parquet\.manifest\.json is damaged .*; remove it"):
        read(path)


def test_parquet_pages_carry_checksums_that_are_verified(tmp_path):
    path = tmp_path / "a.parquet"
    write(path, {"x": np.random.default_rng(1).random(20000)})
    beside(path).unlink()
    good = path.read_bytes()
    for place in np.random.default_rng(2).integers(200, len(good) - 2000, 30):
        bad = bytearray(good)
        bad[place] ^= 4
        path.write_bytes(bad)
        with pytest.raises(DataError, match=r"a\.parquet is damaged or truncated"):
            read(path)


def test_missing_columns_name_all_files_and_the_nearest_columns(tmp_path):
    paths = []
    for i in range(4):
        table = columns(20, seed=i)
        if i in (1, 3):
            table["PT"] = table.pop("pt")
        paths.append(to_file(tmp_path / f"f{i}", table, "ttree" if i < 2 else "parquet"))
    with pytest.raises(DataError) as told:
        read(paths, ["m", "PT"])
    assert "no column 'PT' in 2 of 4 inputs" in str(told.value)
    assert "f0.root, did you mean 'pt'" in str(told.value)
    assert "f2.parquet" in str(told.value)
    assert "f1.root" not in str(told.value)
    with pytest.raises(DataError, match=r"no column 'mass'.*\n.*no column 'weigth'"):
        read(paths[0], ["mass"], weight="weigth")
    with pytest.raises(DataError, match="name the columns to be read: all inputs must have each of them"):
        read(paths)


@pytest.mark.parametrize("kind", ["ttree", "rntuple"])
def test_selections_and_unknown_fields_mean_the_same_in_both(tmp_path, kind):
    table = columns(600)
    path = to_file(tmp_path / "a", table, kind)
    assert len(read(path, lazy=True).load(["m"], Region("r", "m > 150"))) == (table["m"] > 150).sum()
    with pytest.raises(DataError, match="no column 'mm'"):
        read(path, ["mm"])


def test_the_same_file_twice(tmp_path):
    path = to_file(tmp_path / "a", columns(20), "parquet")
    (tmp_path / "link.parquet").symlink_to(path)
    shutil.copy(path, tmp_path / "copy.parquet")
    with pytest.raises(DataError, match=r"same file is given twice: '.*a\.parquet' and '.*a\.parquet'"):
        read([path, str(tmp_path / "a*.parquet")])
    with pytest.raises(DataError, match=r"'.*a\.parquet' and '.*link\.parquet'"):
        read([path, tmp_path / "link.parquet"])
    with pytest.raises(DataError, match=r"'.*a\.parquet' and '.*copy\.parquet' have the same content"):
        read([path, tmp_path / "copy.parquet"])


def test_types_that_differ_between_files(tmp_path):
    first = to_file(tmp_path / "a", {"m": np.arange(3, dtype=np.float32)}, "ttree")
    second = to_file(tmp_path / "b", {"m": np.arange(3, dtype=np.float64)}, "parquet")
    with pytest.raises(DataError, match=r"column 'm' is float32 in .*a\.root but float64 in .*b\.parquet"):
        read([first, second])
    third = to_file(tmp_path / "c", {"m": ak.Array([[1.0], []])}, "ttree")
    with pytest.raises(DataError, match=r"is float32 in .*a\.root but list of float64 in .*c\.root"):
        read([first, third], ["m"])


def test_lists_where_numbers_are_needed(tmp_path):
    path = to_file(tmp_path / "a", columns(20), "ttree")
    with pytest.raises(DataError, match=r"weight 'jet_pt' holds list of float32; take .* 'jet_pt\[0\]' or 'sum"):
        read(path, weight="jet_pt")
    with pytest.raises(DataError, match=r"id column 'm' holds float64; ids are integers"):
        read(path, keys=["m"])
    with pytest.raises(DataError, match=r"id column 'jet_pt' holds list of float32"):
        read(path, keys=["jet_pt"])
    with pytest.raises(CutError, match="gives one answer per list entry"):
        read(path, seal=Region("SR", "jet_pt > 1"))


@pytest.mark.parametrize("kind", ["ttree", "rntuple", "parquet", "csv"])
def test_ids_keep_their_64_bits(tmp_path, kind):
    ids = np.array([2**53 + 1, 2**62 + 1, 2**63 - 1], np.int64)
    path = to_file(tmp_path / "a", {"event": ids, "m": np.ones(3)}, kind)
    events = read(path, keys=["event"])
    assert events["event"].dtype == np.int64
    assert np.array_equal(events["event"], ids)
    assert len(np.unique(events.key)) == 3


def test_weights_that_are_not_finite(tmp_path):
    tables = [columns(50, seed) for seed in range(2)]
    tables[0]["w"][[4, 7]] = np.nan
    tables[1]["w"][[1, 2, 3]] = np.inf
    paths = [to_file(tmp_path / f"f{i}", table, "ttree") for i, table in enumerate(tables)]
    expected = (
        r"sample 'mc' has 5 weights that are NaN or infinite, the first: .*f0\.root entry 4; .*f0\.root entry 7; "
        r".*f1\.root entry 1; clean column 'w' of the input"
    )
    with pytest.raises(DataError, match=expected):
        read(paths, ["m"], sample="mc", weight="w")
    with pytest.raises(DataError, match=expected):
        list(read(paths, ["m"], sample="mc", weight="w", lazy=True).chunks())


def test_text_in_a_csv_is_not_quoted_in_the_error(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("m,name\n1.5,secret\n2.5,x\n")
    with pytest.raises(DataError, match=r"a value does not fit .*; read as: m \(float64\), name \(float64\)") as told:
        read(path)
    assert "secret" not in str(told.value)
    assert read(path, ["m"])["m"].tolist() == [1.5, 2.5]
    path.write_text("m,m\n1,2\n")
    with pytest.raises(DataError, match="the header names m twice"):
        read(path)
    path.write_text("")
    with pytest.raises(DataError, match="header is empty"):
        read(path)


def test_all_broken_files_are_listed(tmp_path):
    good = to_file(tmp_path / "good", columns(10), "ttree")
    for name in ("a.root", "b.root"):
        (tmp_path / name).write_bytes(b"nothing")
    with pytest.raises(DataError) as told:
        read([tmp_path / "a.root", good, tmp_path / "b.root"])
    assert "2 of 3 inputs cannot be read" in str(told.value)
    assert "a.root (7 bytes)" in str(told.value)
    assert "b.root (7 bytes)" in str(told.value)


def test_tables_in_memory_that_do_not_fit():
    with pytest.raises(DataError, match="columns differ in length"):
        read({"a": np.ones(2), "b": np.ones(3)})
    with pytest.raises(DataError, match="has no columns"):
        read({})
    with pytest.raises(DataError, match="column 'x' holds Python objects"):
        read({"x": np.array([object()], object)})
    with pytest.raises(DataError, match="has no named fields"):
        read(ak.Array([1.0]))
    with pytest.raises(DataError, match="tables in memory and files are mixed"):
        read([{"a": np.ones(2)}, "a.root"])
    with pytest.raises(DataError, match="chunk_rows=0"):
        read({"a": np.ones(2)}, chunk_rows=0)


@pytest.mark.parametrize("kind", ["ttree", "rntuple", "parquet", "csv"])
def test_mutated_files_end_in_errors_or_the_same_types(tmp_path, kind):
    """Flips without a manifest: no crash, no other exception than the package's own."""
    table = columns(300, lists=kind != "csv")
    good = to_file(tmp_path / "good", table, kind).read_bytes()
    rng = np.random.default_rng(5)
    path = tmp_path / ("bad" + {"ttree": ".root", "rntuple": ".root"}.get(kind, f".{kind}"))
    refused = 0
    for _ in range(60):
        bad = bytearray(good)
        for place in rng.integers(0, len(bad), rng.integers(1, 4)):
            bad[place] = rng.integers(256)
        path.write_bytes(bad)
        try:
            read(path, ["m", "pt", "tag"])
        except BackdropError:
            refused += 1
    assert refused > 0


def test_foreign_parquet_without_checksums_is_read(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"x": [1.0]}), path, write_page_checksum=False)
    assert read(path)["x"].tolist() == [1.0]


def test_blocks_that_do_not_fit_are_halved(tmp_path, monkeypatch):
    table = columns(8000)
    path = to_file(tmp_path / "a", table, "parquet", block=8000)
    asked = []

    class Tight(ParquetTable):
        """A file on a machine with room for few rows at a time."""

        room = 3000

        def blocks(self, names, rows, start=0):
            asked.append((rows, start))
            for number, block in enumerate(super().blocks(names, rows, start)):
                if rows > self.room and (number or start):
                    raise MemoryError
                yield block

    monkeypatch.setattr(tables, "open_table", Tight)
    monkeypatch.setattr(reading, "BLOCK_BYTES", 1 << 17)
    events = read(path, ["m"], lazy=True).select(Region("all", "m > 0")).load()
    assert same(events["m"], table["m"])
    assert [rows for rows, _ in asked] == sorted({rows for rows, _ in asked}, reverse=True)
    assert len(asked) > 1
    Tight.room = 0
    with pytest.raises(ResourceError, match=r"a\.parquet: \d+ rows of 1 columns do not fit in memory"):
        read(path, ["m"], lazy=True).select(Region("all", "m > 0")).load()


@pytest.mark.parametrize(
    ("table", "settings", "message"),
    [
        (None, {}, "cannot read a NoneType; give paths, a data frame"),
        ({"x": np.ones(2)}, {"seal": "x > 1"}, r"seal='x > 1' is no Region; give Region\(name, cut\)"),
    ],
)
def test_what_is_no_input_and_no_seal_is_named(table, settings, message):
    with pytest.raises(DataError, match=message):
        read(table, **settings)


def test_a_file_of_nothing_that_can_be_read_is_named(tmp_path):
    path = tmp_path / "times.parquet"
    pq.write_table(pa.table({"when": pa.array([1, 2], pa.timestamp("ms"))}), path)
    with (
        pytest.warns(UserWarning, match="left out 1 columns"),
        pytest.raises(DataError, match="has no column of numbers"),
    ):
        read(path)
