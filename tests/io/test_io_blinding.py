"""The promise of the seal: nothing that comes out depends on the sealed rows."""

from __future__ import annotations

import pickle
import warnings

import awkward as ak
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backdrop import Region, seal
from backdrop.errors import BackdropError, DataError
from backdrop.io import read, reading, write
from backdrop.tasks import fingerprint
from tests.io.written import FORMATS, columns, to_file

SR = Region("SR", "(m > 110) & (m < 140) & (tag >= 3)")
SENTINEL = 123456.789012345


def variants(kind: str, seed: int = 3) -> dict:
    """One set of open rows, with different sealed rows between them."""
    table = columns(900, seed, lists=kind != "csv")
    inside = SR.possible(table)
    changed = {name: column if isinstance(column, ak.Array) else column.copy() for name, column in table.items()}
    rng = np.random.default_rng(7)
    for name in ("m", "pt", "w"):
        changed[name][inside] = SENTINEL if name != "m" else 125.0
    changed["event"][inside] = rng.integers(0, 2**63, inside.sum())
    undefined = {name: column if isinstance(column, ak.Array) else column.copy() for name, column in table.items()}
    for name in ("m", "pt", "w"):
        undefined[name][inside] = np.nan
    fewer = {name: column[~inside] for name, column in table.items()}
    order = np.sort(np.concatenate([np.arange(900), np.repeat(np.flatnonzero(inside), 5)]))
    more = {name: column[order] for name, column in table.items()}
    return {"original": table, "other values": changed, "undefined": undefined, "none": fewer, "more": more}


def outputs(path, monkeypatch) -> dict:
    """Everything a reader can see, as bytes."""
    door = {"sample": "data", "weight": "w", "seal": SR, "derived": {"x": "pt * 2"}}
    seen: dict = {}
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        whole = read(path, **door)
        files = read(path, **door, lazy=True, chunk_rows=64)
        monkeypatch.setattr(reading, "BLOCK_BYTES", 1 << 12)
        monkeypatch.setattr(reading, "_FEWEST_ROWS", 1)
        seen["events"] = whole.fingerprint
        seen["memory"] = pickle.dumps(
            [np.asarray(whole.key), whole.weight, *(ak.to_list(c) for c in whole.columns.values())]
        )
        seen["repr"] = repr(whole) + repr(files) + repr(files.sealed)
        seen["chunks"] = [chunk.fingerprint for chunk in files.chunks()]
        seen["sums"] = [float(chunk["pt"].sum()) for chunk in files.chunks(["pt"])]
        seen["task"] = fingerprint(files.select(Region("low", "m < 100")))
        seen["pickle"] = pickle.dumps(files)
        seen["load"] = files.load(["pt"], Region("low", "m < 100")).fingerprint
        for wrong in (lambda: files.load(["pt"], SR), lambda: files.load(["n"]), lambda: whole.select(SR)):
            try:
                wrong()
            except BackdropError as error:
                seen.setdefault("errors", []).append(str(error))
    seen["warnings"] = [str(one.message) for one in told]
    return seen


@pytest.mark.parametrize("kind", FORMATS)
def test_outputs_are_identical_whatever_the_sealed_rows(tmp_path, monkeypatch, kind):
    path, seen = None, {}
    for name, table in variants(kind).items():
        path = to_file(tmp_path / "a", table, kind, block=170)
        with monkeypatch.context() as patch:
            seen[name] = outputs(path, patch)
    for name, found in seen.items():
        for what, value in found.items():
            assert value == seen["original"][what], (name, what)
    assert b"123456.789" not in pickle.dumps(seen["other values"])
    assert np.float64(SENTINEL).tobytes() not in pickle.dumps(seen["other values"])


def held(value, found: list) -> list:
    """Every buffer that events hold on to, views followed to what they view."""
    if isinstance(value, ak.Array):
        found += list(ak.to_buffers(value)[2].values())
    else:
        found.append(value)
    return found


def test_no_buffer_holds_a_sealed_value(tmp_path):
    table = variants("parquet")["other values"]
    table["jet_pt"] = ak.where(
        SR.possible(table)[:, None] & (table["jet_pt"] > 0), np.float32(SENTINEL), table["jet_pt"]
    )
    for kind in ("ttree", "rntuple", "parquet", "memory"):
        source = table if kind == "memory" else to_file(tmp_path / kind, table, kind)
        events = read(source, seal=SR)
        for name in ("pt", "w", "jet_pt"):
            for array in held(events[name], []):
                while array is not None:
                    values = np.frombuffer(memoryview(array).cast("B"), np.uint8) if array.dtype == object else array
                    assert not np.isin(values, [SENTINEL, np.float32(SENTINEL)]).any(), (kind, name)
                    array = array.base if isinstance(array.base, np.ndarray) else None


def test_weights_are_checked_on_open_rows_only(tmp_path):
    table = columns(400)
    inside = SR.possible(table)
    table["w"][inside] = np.nan
    path = to_file(tmp_path / "a", table, "parquet")
    assert np.isfinite(read(path, weight="w", seal=SR).weight).all()
    rows = np.flatnonzero(~inside)[[3, 5, 90, 200]]
    table["w"][rows] = [np.inf, np.nan, -np.inf, np.nan]
    path = to_file(tmp_path / "b", table, "parquet")
    expected = r"has 4 weights that are NaN or infinite, the first: .*b.parquet entry 3; .*entry 5; .*entry 90 \(open"
    with pytest.raises(DataError, match=expected):
        read(path, weight="w", seal=SR)


def test_a_file_of_sealed_rows_alone_looks_like_an_empty_one(tmp_path):
    table = columns(300)
    inside = SR.possible(table)
    told = []
    for rows in (inside, np.zeros(300, bool)):
        path = to_file(tmp_path / "a", {name: column[rows] for name, column in table.items()}, "parquet")
        with pytest.warns(UserWarning, match="holds no open rows") as found:
            events = read(path, seal=SR)
        told.append((str(found[0].message), events.fingerprint))
    assert told[0] == told[1]


@settings(max_examples=20)
@given(st.lists(st.booleans(), min_size=1, max_size=60), st.integers(1, 20), st.integers(1, 7))
def test_any_pattern_of_sealed_rows(pattern, chunk_rows, block):
    """Where the sealed rows stand changes neither keys nor chunk edges of the open ones."""
    from backdrop.events import Seal
    from backdrop.io.door import Door
    from backdrop.io.opening import EventFiles, prepare  # the parts that read() puts together

    sealed = np.array(pattern)
    values = np.full(len(sealed), SENTINEL)
    values[~sealed] = np.arange((~sealed).sum())
    door = Door(seal=Seal(Region("SR", "x > 100000")))
    found = []
    for table in ({"x": values}, {"x": values[~sealed]}):
        source = prepare(table, None, None, door, chunk_rows)
        with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            patch.setattr(reading, "BLOCK_BYTES", block * 32)
            patch.setattr(reading, "_FEWEST_ROWS", 1)
            found.append([(c["x"].tolist(), c.key.tolist()) for c in EventFiles.of(source).chunks()])
    assert found[0] == found[1]


def test_derived_columns_seal_too(tmp_path):
    table = columns(500)
    path = to_file(tmp_path / "a", table, "rntuple")
    sr = Region("SR", "(distance < 20) | (count(jet_pt > 60) > 1)")
    events = read(path, ["m"], derived={"distance": "abs(m - 125)"}, seal=seal(sr, reveal=("m",)))
    assert (events["distance"] >= 20).all()
    assert np.array_equal(np.sort(events.inclusive("m")), np.sort(table["m"]))
    assert np.array_equal(np.sort(np.concatenate([events["m"], events.sealed[0].revealed["m"]])), np.sort(table["m"]))


def test_undefined_rows_are_sealed(tmp_path):
    table = columns(100)
    table["m"][:10] = np.nan
    events = read(to_file(tmp_path / "a", table, "ttree"), seal=Region("SR", "m > 1e9"))
    assert len(events) == 90
    inverted = read(to_file(tmp_path / "a", table, "ttree"), seal=~Region("SR", "m < 1e9"))
    assert len(inverted) == 90


def test_written_events_stay_sealed(tmp_path):
    events = read(columns(400), weight="w", seal=SR)
    write(tmp_path / "open.parquet", events)
    again = read(tmp_path / "open.parquet")
    assert [(one.sample, one.region) for one in again.sealed] == [("data", SR)]
    assert again.fingerprint == events.fingerprint
    lazy = read(tmp_path / "open.parquet", lazy=True)
    assert lazy.is_sealed(Region("x", "m > 100"))
