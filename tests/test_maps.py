"""Binned maps against NumPy and correctionlib, their nuisances against their covariance, and what they refuse."""

from __future__ import annotations

import json
from pathlib import Path

import correctionlib
import hist
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backdrop import Events
from backdrop.correction import read_maps, write_maps
from backdrop.errors import ConfigError, DataError
from backdrop.maps import BinnedMap

_PT = hist.axis.Variable([10.0, 20.0, 35.0, 60.0, 500.0], name="pt", label="$p_T$ [GeV]")
_ETA = hist.axis.Variable([0.0, 0.8, 1.37, 2.5], name="eta", label=r"$|\eta|$")


def _map(flow: str = "error", covariance: np.ndarray | None = None, seed: int = 1) -> BinnedMap:
    rng = np.random.default_rng(seed)
    values = rng.uniform(0.1, 0.9, 12)
    errors = rng.uniform(0.01, 0.05, 12)
    if covariance is None:
        covariance = np.diag(errors**2)
    shift = {"prompt": (values * 1.1, values * 0.95)}
    return BinnedMap("fake_factor", (_PT, _ETA), values, covariance, shift, flow)  # type: ignore[arg-type]


def _leptons(n: int, seed: int = 2) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {"pt": np.minimum(10.0 + rng.exponential(30.0, n), 499.0), "eta": rng.uniform(0.0, 2.5, n)}


# ---- evaluation ------------------------------------------------------------------------------------------------------


def _reference(one: BinnedMap, columns: dict[str, np.ndarray]) -> np.ndarray:
    bins = [np.searchsorted(axis.edges, columns[axis.name], side="right") - 1 for axis in one.axes]
    return one.values[np.ravel_multi_index(bins, one.shape)]


def test_values_are_those_of_numpy_and_of_correctionlib() -> None:
    one, leptons = _map(), _leptons(100_000)
    found = one.evaluate(leptons)
    assert np.array_equal(found, _reference(one, leptons))
    text = json.dumps({"schema_version": 2, "corrections": [one.to_correctionlib()]})
    theirs = correctionlib.CorrectionSet.from_string(text)["fake_factor"]
    # its reader of JSON may be off by the last bit of a number
    np.testing.assert_allclose(theirs.evaluate("nominal", leptons["pt"], leptons["eta"]), found, rtol=5e-16)
    for name in one.nuisances:
        for side in ("up", "down"):
            ours = one.varied(name, side).evaluate(leptons)  # type: ignore[arg-type]
            moved = theirs.evaluate(f"{name}_{side}", leptons["pt"], leptons["eta"])
            np.testing.assert_allclose(moved, ours, rtol=5e-16, err_msg=name)


@given(st.integers(0, 2**32))
def test_edges_belong_to_the_bin_above(seed: int) -> None:
    """On random edges, at the edges themselves and one float to either side."""
    rng = np.random.default_rng(seed)
    edges = np.unique(rng.choice([rng.normal(0, 10, 9), rng.normal(0, 1e-3, 9), 10.0 ** rng.uniform(-3, 6, 9)]))
    one = BinnedMap(
        "r", (hist.axis.Variable(edges, name="x"),), np.arange(len(edges) - 1.0), np.zeros((len(edges) - 1,) * 2)
    )
    inside = np.concatenate([edges[:-1], np.nextafter(edges[1:], -np.inf), rng.uniform(edges[0], edges[-1], 50)])
    assert np.array_equal(one.evaluate({"x": inside}), np.searchsorted(edges, inside, side="right") - 1.0)


def test_beyond_the_range_is_the_nearest_bin_if_asked() -> None:
    one = _map("clamp")
    found = one.evaluate({"pt": np.array([5.0, 1e4]), "eta": np.array([0.1, 3.0])})
    assert found.tolist() == [one.values[0], one.values[-1]]


def test_infinite_edges_hold_everything_that_is_finite() -> None:
    axis = hist.axis.Variable([-np.inf, 0.0, np.inf], name="x")
    one = BinnedMap("r", (axis,), np.array([1.0, 2.0]), np.zeros((2, 2)))
    assert one.evaluate({"x": np.array([-1e300, 0.0, 1e300])}).tolist() == [1.0, 2.0, 2.0]
    with pytest.raises(DataError, match="1 NaN or infinite"):
        one.evaluate({"x": np.array([np.inf])})


def test_rows_of_events_are_read() -> None:
    leptons = _leptons(10)
    assert np.array_equal(_map().evaluate(Events.of(leptons)), _map().evaluate(leptons))


# ---- what is not known -----------------------------------------------------------------------------------------------


def test_nuisances_add_up_to_the_covariance() -> None:
    root = np.random.default_rng(4).normal(size=(12, 3)) * 0.02
    for covariance in (None, root @ root.T):
        one = _map(covariance=covariance)
        shifts = [(up - down) / 2 for name, (up, down) in one.nuisances.items() if name.startswith("stat")]
        assert sum(np.outer(d, d) for d in shifts) == pytest.approx(one.covariance, abs=1e-12)
    assert sum(name.startswith("stat") for name in one.nuisances) == 3
    assert "stat_pt0_eta2" in _map().nuisances


def test_a_file_gives_the_map_back(tmp_path: Path) -> None:
    root = np.random.default_rng(5).normal(size=(12, 2)) * 0.02
    for name in ("maps.json", "maps.json.gz"):
        ones = [_map("clamp"), BinnedMap("flip_rate", (_ETA,), np.array([1e-4, 3e-4, 2e-3]), root[:3] @ root[:3].T)]
        write_maps(tmp_path / name, *ones)
        found = read_maps(tmp_path / name)
        for one in ones:
            back = found[one.name]
            assert np.array_equal(back.values, one.values)
            assert back.covariance == pytest.approx(one.covariance, abs=1e-15)
            assert back.flow == one.flow
            assert [axis.edges.tolist() for axis in back.axes] == [axis.edges.tolist() for axis in one.axes]
            for variation, (up, down) in one.variations.items():
                assert np.array_equal(back.variations[variation][0], up)
                assert np.array_equal(back.variations[variation][1], down)


def test_a_state_gives_the_map_back() -> None:
    one = _map()
    back = BinnedMap.from_state(one.state())
    assert np.array_equal(back.values, one.values) and np.array_equal(back.covariance, one.covariance)
    assert back.variations.keys() == one.variations.keys()


def test_a_histogram_has_values_and_variances() -> None:
    one = _map()
    found = one.hist()
    assert np.array_equal(found.values().ravel(), one.values)
    assert found.variances().ravel() == pytest.approx(one.errors**2)


# ---- what is refused -------------------------------------------------------------------------------------------------


def test_what_is_outside_or_undefined_is_named() -> None:
    leptons = {"pt": np.array([15.0, 600.0, 9.0]), "eta": np.zeros(3)}
    with pytest.raises(DataError, match=r"column 'pt' has 2 of 3 values outside map 'fake_factor', the first 600"):
        _map().evaluate(leptons)
    with pytest.raises(DataError, match=r"column 'eta' has 1 NaN or infinite values of 2"):
        _map("clamp").evaluate({"pt": np.full(2, 15.0), "eta": np.array([0.1, np.nan])})
    with pytest.raises(DataError, match=r"no column 'pt'"):
        _map().evaluate({"eta": np.zeros(2)})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"values": np.ones(3)}, "values has shape"),
        ({"values": np.full(12, np.nan)}, "NaN or infinite"),
        ({"covariance": np.diag([-1.0] + [0.0] * 11)}, "negative variance in bin pt from 10 to 20"),
        ({"axes": ()}, "has no axis"),
        ({"axes": (_PT, _PT)}, "a name of its own"),
        ({"flow": "wrap"}, "'error' or 'clamp'"),
    ],
)
def test_a_map_that_makes_no_sense_is_refused(change: dict[str, object], message: str) -> None:
    given = {"name": "f", "axes": (_PT, _ETA), "values": np.ones(12), "covariance": np.zeros((12, 12))}
    with pytest.raises((ConfigError, DataError), match=message):
        BinnedMap(**{**given, **change})  # type: ignore[arg-type]


def test_an_unknown_nuisance_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="no nuisance 'promt', did you mean 'prompt'"):
        _map().varied("promt", "up")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"nodetype": "formula"}, "holds a formula; a map has bins only"),
        (
            {"nodetype": "binning", "input": "pt", "edges": [0, 1], "content": [0.5], "flow": 0.1},
            "'error' or 'clamp'",
        ),
    ],
)
def test_corrections_that_are_no_maps_are_refused(data: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        BinnedMap.from_correctionlib({"name": "sf", "inputs": [{"name": "pt", "type": "real"}], "data": data})


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "maps.json").write_text("{")
    with pytest.raises(DataError, match="is no correctionlib file"):
        read_maps(tmp_path / "maps.json")
