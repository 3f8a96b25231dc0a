"""Objects: list columns as rows of their own, and back."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backdrop import Region
from backdrop.errors import DataError
from backdrop.events import Events, Objects

_LEPTONS = Objects("lep", tight="iso < 0.15")

_lists = st.lists(st.lists(st.tuples(st.floats(1, 100), st.floats(0, 1)), max_size=4), max_size=8)


def _jagged(rows: list[list[tuple[float, float]]]) -> Events:
    counts = np.array([len(row) for row in rows], int)
    pt, iso = (np.array([one[i] for row in rows for one in row], float) for i in range(2))
    columns = {"lep_pt": ak.unflatten(pt, counts), "lep_iso": ak.unflatten(iso, counts), "njet": np.arange(len(rows))}
    return Events.of({**columns, "jet_pt": np.arange(2.0 * len(rows)).reshape(-1, 2)}, weight="njet")


@given(_lists, st.integers(0, 99))
def test_group_undoes_flatten_but_for_events_without_objects(rows: list[list[tuple[float, float]]], seed: int) -> None:
    events = _jagged(rows)
    flat = events.flatten(_LEPTONS)
    assert len(flat) == sum(map(len, rows))
    assert flat["lep_tight"].tolist() == [iso < 0.15 for row in rows for _, iso in row]
    assert flat["lep_index"].tolist() == [i for row in rows for i in range(len(row))]
    assert np.array_equal(flat.key, np.repeat(events.key, np.array([len(row) for row in rows], int)))
    again = flat._take(np.random.default_rng(seed).permutation(len(flat))).group(_LEPTONS)
    wanted = events.select(Region("any", "count(lep_pt > 0) > 0")).sorted()
    for name in ("lep_pt", "lep_iso", "njet", "jet_pt"):
        assert ak.to_list(again[name]) == ak.to_list(wanted[name])
    assert np.array_equal(again.weight, wanted.weight)
    assert np.array_equal(again.key, wanted.key)


def test_objects_must_be_described_by_lists_of_one_length() -> None:
    events = Events.of({"lep_pt": ak.Array([[1.0, 2.0], [3.0]]), "lep_iso": ak.Array([[0.1], [0.2, 0.3]]), "m": [1, 2]})
    with pytest.raises(DataError, match=r"'lep_iso' and 'lep_pt' differ in length in 2 of 2 events"):
        events.flatten(_LEPTONS)
    with pytest.raises(DataError, match=r"no list columns 'jet_\*'; list columns start with: lep"):
        events.flatten(Objects("jet"))
    missing = Events.of({"lep_pt": ak.Array([[1.0, None], [3.0]])}).flatten(Objects("lep"))
    assert np.array_equal(missing["lep_pt"], [1.0, math.nan, 3.0], equal_nan=True)


def test_muons_of_a_real_file(shared_data: Path) -> None:
    columns = ak.from_parquet(shared_data / "cms2012_nanoaod_muons100k.parquet")
    events = Events.of({name: columns[name] for name in columns.fields})
    pairs = events.select(Region("pairs", "nMuon == 2"))
    charges = Counter(np.asarray(ak.sum(pairs["Muon_charge"], axis=1)).tolist())
    assert (charges[0], charges[2] + charges[-2]) == (37183, 11793)
    flat = pairs.flatten(Objects("Muon", tight="pt > 20"))
    assert len(flat) == 2 * len(pairs)
    assert flat["Muon_tight"].sum() == ak.sum(pairs["Muon_pt"] > 20)
    again, wanted = flat.group(Objects("Muon")), pairs.sorted()
    assert ak.array_equal(again["Muon_pt"], wanted["Muon_pt"])
    assert np.array_equal(again["nMuon"], wanted["nMuon"])
