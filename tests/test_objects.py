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
from backdrop.errors import ConfigError, DataError
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


_ELECTRONS = Objects("ele", tight="(iso / pt < 0.1) & (pt > 10)", slots=("{}1", "{}2"))


def _numbered(n: int) -> Events:
    rng = np.random.default_rng(n)
    columns = {f"{name}{i}": rng.uniform(0, 20, n) for name in ("pt", "iso") for i in (1, 2)}
    return Events.of({**columns, "m": rng.uniform(60, 120, n), "pt10": np.arange(n), "charge1": np.arange(n)})


def test_numbered_columns_are_objects_as_well() -> None:
    events = _numbered(50)
    flat = events.flatten(_ELECTRONS)
    assert len(flat) == 100
    assert np.array_equal(flat["ele_pt"], np.stack([events["pt1"], events["pt2"]], axis=1).ravel())
    assert np.array_equal(flat["ele_index"], np.tile([0, 1], 50))
    assert np.array_equal(flat["ele_tight"], (flat["ele_iso"] / flat["ele_pt"] < 0.1) & (flat["ele_pt"] > 10))
    # what only one of the slots has is of the event
    assert {"m", "pt10", "charge1"} <= set(flat.columns)
    again = flat._take(np.random.default_rng(1).permutation(100)).group(_ELECTRONS)
    wanted = events.sorted()
    assert set(again.columns) == set(events.columns)
    assert all(np.array_equal(again[name], wanted[name]) for name in events.columns)
    with pytest.raises(DataError, match="1 of 50 events have not the 2 objects 'ele' of their slots"):
        flat._take(np.arange(99)).group(_ELECTRONS)


def test_slots_must_name_columns() -> None:
    with pytest.raises(DataError, match=r"no columns \{\}_a, \{\}_b of objects 'ele'; the columns are: pt1"):
        _numbered(3).flatten(Objects("ele", slots=("{}_a", "{}_b")))
    with pytest.raises(ConfigError, match=r"holds \{\} once"):
        Objects("ele", slots=("{}1", "pt2"))
    with pytest.raises(ConfigError, match="do not say which are tight"):
        Objects("lep").all_tight()


@pytest.mark.parametrize(("low", "high"), [(0, None), (1, None), (2, None), (3, None), (0, 0), (0, 1), (1, 1), (2, 3)])
def test_regions_of_so_many_tight_objects(low: int, high: int | None) -> None:
    for objects in (_ELECTRONS, _LEPTONS):
        events = (
            _numbered(60) if objects is _ELECTRONS else _jagged([[(9.0, 0.1)] * i + [(8.0, 0.2)] for i in range(4)])
        )
        flat = events.flatten(objects)
        tight = np.zeros(len(events), int)
        np.add.at(tight, np.searchsorted(events.key[np.argsort(events.key)], flat.key), flat[f"{objects.name}_tight"])
        tight = tight[np.argsort(np.argsort(events.key))]
        wanted = (tight >= low) & (tight <= (9 if high is None else high))
        assert np.array_equal(objects.tight_region(low, high).mask(events.columns), wanted)
        number = 2 if objects is _ELECTRONS else np.array([1, 2, 3, 4])
        assert np.array_equal(objects.all_tight().mask(events.columns), tight == number)
