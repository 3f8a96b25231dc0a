"""EventFiles: the same verbs as Events, the same rows, whatever the blocks and chunks."""

from __future__ import annotations

import pickle
from dataclasses import replace

import awkward as ak
import hist
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backdrop import Channel, Region, Setup, estimate, seal, template
from backdrop.errors import BlindedError, CutError, DataError
from backdrop.events import Events
from backdrop.io import read, reading
from backdrop.tasks import fingerprint
from tests.io.written import columns, same, to_file

SR = Region("SR", "(m > 110) & (m < 140) & (tag == 4)")
NAMES = ["m", "pt", "tag", "jet_pt"]


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    kinds = ("ttree", "rntuple", "parquet")
    return {
        "data": [to_file(folder / f"data{i}", columns(700 + i, i), kind) for i, kind in enumerate(kinds)],
        "mc": [to_file(folder / "mc", columns(500, 9), "ttree")],
    }


def both(paths, sealed=True, **options):
    """The same samples in files and in memory."""
    door = seal(SR, reveal=("m",)) if sealed else None
    pairs = []
    for lazy in (True, False):
        data = read(paths["data"], NAMES, seal=door, lazy=lazy, **(options if lazy else {}))
        mc = read(paths["mc"], NAMES, sample="mc", weight="w", lazy=lazy, **(options if lazy else {}))
        pairs.append((data, mc))
    return pairs


def equal(first: Events, second: Events) -> bool:
    return (
        first.samples == second.samples
        and set(first.columns) == set(second.columns)
        and np.array_equal(first.weight, second.weight)
        and np.array_equal(first.key, second.key)
        and np.array_equal(first.sample, second.sample)
        and all(same(first[name], second[name]) for name in first.columns)
    )


def glued(chunks) -> Events:
    parts = list(chunks)
    first = parts[0]
    return replace(
        first,
        columns={name: ak.concatenate([part[name] for part in parts]) for name in first.columns if name == "jet_pt"}
        | {name: np.concatenate([part[name] for part in parts]) for name in first.columns if name != "jet_pt"},
        weight=np.concatenate([part.weight for part in parts]),
        sample=np.concatenate([part.sample for part in parts]),
        key=np.concatenate([part.key for part in parts]),
    )


LOW, HIGH = Region("low", "m < 100"), Region("high", "(pt > 20) & (m > 150)")
EXPRESSIONS = {
    "one": lambda d, m: d,
    "difference": lambda d, m: d - 1.1 * m,
    "selected": lambda d, m: (d - 0.5 * m).select(LOW),
    "selected twice": lambda d, m: (d.select(HIGH) - m).select(Region("tags", "tag > 1") & HIGH),
    "only": lambda d, m: (d - 2 * m).only("mc"),
    "sum of parts": lambda d, m: d.select(LOW) + d.select(HIGH) - m,
    "negative": lambda d, m: -(m - d),
    "relabelled": lambda d, m: d - m.relabel("prompt"),
}


@pytest.mark.parametrize("name", EXPRESSIONS)
@pytest.mark.parametrize("chunk_rows", [None, 137])
def test_verbs_agree_with_events(paths, name, chunk_rows):
    (data, mc), (data_whole, mc_whole) = both(paths, chunk_rows=chunk_rows)
    files, whole = EXPRESSIONS[name](data, mc), EXPRESSIONS[name](data_whole, mc_whole)
    assert equal(files.load(), whole)
    assert equal(glued(files.chunks()), whole)
    assert [(s.sample, s.region) for s in files.sealed] == [(s.sample, s.region) for s in whole.sealed]
    mid = Region("mid", "(m > 145) & (pt > 3)")
    part = whole.select(mid)
    assert equal(files.load(["m"], mid), replace(part, columns={"m": part["m"]}))


@settings(max_examples=8)
@given(st.integers(1, 2500), st.integers(12, 16))
def test_chunks_have_a_fixed_number_of_open_rows(paths, chunk_rows, block):
    files = read(paths["data"], ["m", "jet_pt"], seal=SR, lazy=True, chunk_rows=chunk_rows)
    whole = files.load()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "BLOCK_BYTES", 1 << block)
        patch.setattr(reading, "_FEWEST_ROWS", 1)
        chunks = list(files.chunks())
    sizes = [len(chunk) for chunk in chunks]
    assert set(sizes[:-1]) <= {chunk_rows}
    assert 0 < sizes[-1] <= chunk_rows
    assert equal(glued(chunks), whole)


def test_histograms_do_not_depend_on_chunks(paths):
    channels = [Channel("low", LOW, (hist.axis.Regular(12, 60, 100, name="m"),))]
    _, (data_whole, mc_whole) = both(paths)
    expected = template(data_whole - 0.7 * mc_whole, channels)
    for rows in (1, 7, 100, None):
        files, _ = both(paths, chunk_rows=rows)
        found = template(files[0] - 0.7 * files[1], channels)
        assert np.allclose(found.nominal, expected.nominal, rtol=1e-12, atol=1e-12)
        assert np.allclose(found.sumw2, expected.sumw2, rtol=1e-12, atol=0)


def test_an_estimate_from_files_equals_the_one_in_memory(paths):
    from backdrop.methods import ABCD

    many, few = Region("many tags", "tag > 2"), Region("few tags", "tag <= 2")
    method = ABCD(many, few, Region("side", "m < 110"))
    channel = Channel("high", Region("high", "m >= 140"), (hist.axis.Regular(3, 140, 200, name="m"),))
    (data, mc), (data_whole, mc_whole) = both(paths, chunk_rows=200)
    found = estimate(Setup(method, data - 0.2 * mc), [channel], replicas=5, seed=1)
    expected = estimate(Setup(method, data_whole - 0.2 * mc_whole), [channel], replicas=5, seed=1)
    assert np.allclose(found.nominal, expected.nominal, rtol=1e-12, atol=0)
    assert np.allclose(found.sumw2, expected.sumw2, rtol=1e-12, atol=0)
    assert np.allclose(found.replicas["data"], expected.replicas["data"], rtol=1e-12, atol=0)


def test_types_are_those_of_the_sum(tmp_path):
    first = to_file(tmp_path / "a", {"x": np.arange(3, dtype=np.float32), "n": np.arange(3, dtype=np.int32)}, "parquet")
    second = to_file(tmp_path / "b", {"x": np.arange(2, dtype=np.float64), "n": np.arange(2)}, "parquet")
    files = read(first, lazy=True) - read(second, sample="mc", lazy=True)
    for chunk in files.chunks():
        assert chunk["x"].dtype == np.float64
        assert chunk["n"].dtype == np.int64
    third = to_file(tmp_path / "c", {"n": np.arange(2, dtype=np.uint64)}, "parquet")
    with pytest.raises(DataError, match="column 'n' is int64 in sample 'mc' and uint64 in sample 'other'"):
        read(second, ["n"], sample="mc", lazy=True) + read(third, ["n"], sample="other", lazy=True)


def test_seals_are_decided_from_the_cuts_at_once(paths):
    (data, mc), _ = both(paths)
    files = data - mc
    with pytest.raises(BlindedError, match="may overlap the sealed region 'SR' of sample 'data'"):
        files.select(Region("all tags", "m > 120"))
    with pytest.raises(BlindedError, match="may overlap"):
        files.load(["m"], Region("all tags", "m > 120"))
    with pytest.raises(BlindedError, match="relabelling would lose the seal"):
        data.relabel("other")
    assert files.is_sealed(Region("x", "tag == 4"))
    assert not files.only("mc").is_sealed(SR)
    opened = data.select(LOW).relabel("other")
    assert opened.sealed == ()
    assert opened.load(["m"]).samples == ("other",)
    assert files.select(LOW).sealed[0].cleared
    with pytest.raises(CutError, match="reads column 'mm', which is not there, did you mean 'm'"):
        mc.select(Region("typo", "mm > 1"))


def test_revealed_columns(paths):
    (data, _), (whole, _) = both(paths)
    every = np.sort(np.concatenate([columns(700 + i, i)["m"] for i in range(3)]))
    assert np.array_equal(np.sort(data.inclusive("m")), every)
    assert np.array_equal(data.inclusive("m"), whole.inclusive("m"))
    low = data.select(LOW)
    assert np.array_equal(np.sort(low.inclusive("m")), every[every < 100])
    assert set(data.sealed[0].revealed) == {"m"}
    assert np.array_equal(np.sort(data.sealed[0].revealed["m"]), np.sort(whole.sealed[0].revealed["m"]))
    with pytest.raises(BlindedError, match="column 'pt' of the sealed region 'SR'"):
        data.inclusive("pt")
    with pytest.raises(BlindedError, match="not revealed here"):
        data.select(Region("far", "pt < 10") & LOW).inclusive("m")


def test_pickles_are_small_and_reopen_the_files(paths):
    (data, mc), _ = both(paths)
    files = (data - 0.5 * mc).select(LOW)
    text = pickle.dumps(files)
    assert len(text) < 5000
    assert equal(pickle.loads(text).load(), files.load())


def test_fingerprints_know_content_and_meaning(paths, tmp_path):
    (data, mc), _ = both(paths)
    prints = [
        fingerprint(one)
        for one in (data, mc, data - mc, data - 2 * mc, data.select(LOW), data.select(HIGH), mc.relabel("x"))
    ]
    assert len(set(prints)) == len(prints)
    again, _ = both(paths, chunk_rows=10)
    assert fingerprint(again[0] - 2 * again[1]) == prints[3]
    copy = tmp_path / "elsewhere.root"
    copy.write_bytes(paths["mc"][0].read_bytes())
    moved = read(copy, NAMES, sample="mc", weight="w", lazy=True)
    assert fingerprint(moved) == fingerprint(mc)
    other = read(to_file(tmp_path / "x", columns(500, 10), "ttree"), NAMES, sample="mc", weight="w", lazy=True)
    assert fingerprint(other) != fingerprint(mc)


def test_two_sets_of_one_sample_need_ids(paths):
    first, second = (read(path, ["m"], lazy=True) for path in paths["data"][:2])
    with pytest.raises(DataError, match="both sample 'data' and have no id columns"):
        first + second
    ids = [read(path, ["m"], keys=["event"], lazy=True) for path in paths["data"][:2]]
    assert len((ids[0] + ids[1]).load()) == 1401
    assert len((first.select(LOW) + first.select(Region("high", "m > 150"))).load()) > 0


def test_columns_that_a_sample_lacks(paths):
    data = read(paths["data"], ["m", "pt"], lazy=True)
    mc = read(paths["mc"], ["m", "tag"], sample="mc", lazy=True)
    files = data - mc
    assert files.names == ("m",)
    with pytest.raises(DataError, match="sample 'mc' has no column 'pt'"):
        next(files.chunks(["pt"]))
    with pytest.raises(DataError, match="no sample 'dat' in these events, did you mean 'data'"):
        files.only("dat")


def test_provenance_names_the_files_and_their_entries(paths):
    (data, mc), _ = both(paths)
    first, second = (data - mc + data.select(LOW)).provenance()
    assert first["samples"] == ["data"]
    assert [one["entries"] for one in first["files"]] == [700, 701, 702]
    assert all(len(one["sha256"]) == 64 and one["verified"] == "unverified" for one in first["files"])
    assert [one["bytes"] for one in second["files"]] == [paths["mc"][0].stat().st_size]


def test_the_digest_of_open_rows_does_not_depend_on_blocks(tmp_path):
    """Integers with a hole, lists with holes, text: a block without a hole has another form in memory."""
    n = 200
    table = pa.table(
        {
            "x": np.arange(n),
            "hole": [None if i == 150 else i for i in range(n)],
            "lists": [[1.5, None] if i == 120 else [float(i)] * (i % 3) for i in range(n)],
            "flags": [None if i == 50 else bool(i % 2) for i in range(n)],
            "name": ["abc"[: i % 4] for i in range(n)],
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")
    found = set()
    for block in (1 << 8, 1 << 10, 1 << 25):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(reading, "BLOCK_BYTES", block)
            patch.setattr(reading, "_FEWEST_ROWS", 1)
            files = read(tmp_path / "a.parquet", seal=Region("SR", "x == 199"), lazy=True)
            found.add(files.fingerprint)
            assert files.load().fingerprint == read(table, seal=Region("SR", "x == 199")).fingerprint
    assert len(found) == 1
