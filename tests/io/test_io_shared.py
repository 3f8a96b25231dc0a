"""Real files: CMS open data and the small ROOT files of other projects."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pyarrow.parquet as pq
import pytest
import uproot

from backdrop import Objects, Region
from backdrop.errors import DataError
from backdrop.io import read, write
from tests.io.written import same

PARQUET = ["cms2010_dimuon100k", "cms2011_zee", "cms2012_nanoaod_muons100k", "cms2016_ttbar_mtt", "lhco_rd_inner"]
ROOT = {"uproot-HZZ": "events", "uproot-Zmumu": "events", "hep_tutorial_ww": "events"}


@pytest.mark.parametrize("name", PARQUET)
def test_parquet_files(shared_data, name):
    path = shared_data / f"{name}.parquet"
    events = read(path)
    table = pq.read_table(path)
    assert list(events.columns) == table.column_names
    for column in table.column_names:
        if isinstance(events[column], ak.Array):
            assert ak.to_list(events[column][:200]) == table[column][:200].to_pylist()
        else:
            assert np.array_equal(events[column], table[column].to_numpy(), equal_nan=events[column].dtype.kind == "f")
    lazy = read(path, list(events.columns)[:3], lazy=True, chunk_rows=7777)
    assert sum(len(chunk) for chunk in lazy.chunks()) == len(events)


@pytest.mark.parametrize("name", ROOT)
def test_root_files(shared_data, name, tmp_path):
    path = shared_data / "root_io" / f"{name}.root"
    events = read(f"{path}:{ROOT[name]}")
    with uproot.open(path) as file:
        tree = file[ROOT[name]]
        for branch in tree.branches:
            expected = branch.array()
            assert ak.to_list(events[branch.name]) == ak.to_list(expected), branch.name
    numbers = [n for n, column in events.columns.items() if isinstance(column, ak.Array) or column.dtype.kind != "U"]
    chosen = read(path, numbers)
    for target in ("a.root", "a.parquet"):
        write(tmp_path / target, chosen)
        again = read(tmp_path / target)
        assert all(same(again[column], chosen[column]) for column in numbers)


def test_nanoaod(shared_data):
    path = shared_data / "root_io" / "nano_dy.root"
    with pytest.raises(DataError, match=r"2 trees \(Events, Runs\)"):
        read(path)
    ids = ["run", "luminosityBlock", "event"]
    events = read(f"{path}:Events", ["Muon_pt", "Muon_eta", *ids], keys=ids, weight="genWeight", sample="dy")
    assert events["event"].dtype == np.uint64
    assert len(np.unique(events.key)) == 40
    assert str(ak.type(events["Muon_pt"])) == "40 * var * float32"
    flat = events.flatten(Objects("Muon"))
    assert len(flat) == ak.sum(ak.num(events["Muon_pt"]))
    sums = read(f"{path}:Runs", ["genEventSumw_"])
    assert sums["genEventSumw_"].dtype == np.float64
    dimuon = read(
        f"{path}:Events", ["MET_pt"], derived={"lead": "Muon_pt[0]"}, seal=Region("few", "count(Muon_pt) < 2")
    )
    assert len(dimuon) == ak.sum(ak.num(events["Muon_pt"]) >= 2)
    both = [shared_data / "root_io" / f"nano_{name}.root" for name in ("dy", "dimuon")]
    assert len(read(both, ["Muon_pt", "event"], tree="Events", keys=ids)) == 80


def test_delphes_like_names_are_renamed(shared_data):
    path = shared_data / "root_io" / "uproot-HZZ.root"
    events = read(
        path,
        ["weight_column", "met"],
        rename={"weight_column": "EventWeight"},
        derived={"met": "hypot(MET_px, MET_py)"},
    )
    with uproot.open(path) as file:
        px, py, weight = (file["events"][name].array(library="np") for name in ("MET_px", "MET_py", "EventWeight"))
    assert np.allclose(events["met"], np.hypot(px.astype(float), py.astype(float)), rtol=1e-12)
    assert np.array_equal(events["weight_column"], weight)
