"""The promise: whatever the sealed rows hold, and however many there are, nothing that comes out changes."""

from __future__ import annotations

import functools
import math
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import awkward as ak
import hist
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backdrop import Channel, Events, Region, Setup, estimate
from backdrop.errors import BackdropError, BlindedError, DataError
from backdrop.estimate import observe
from backdrop.events import Objects, Seal, seal
from backdrop.methods import ABCD
from backdrop.tasks import fingerprint, resumable
from backdrop.validation import closure

_SR, _TIGHT = Region("SR", "x > 0.8"), Region("tight", "y > 0.8")
_SEALED = Region("blind", "(x > 0.8) & (y > 0.8)")
_VR = Region("VR", "(x > 0.2) & (x <= 0.8)")
_AXIS = hist.axis.Regular(3, 0, 100, name="m", label="m [GeV]")
_CHANNELS = (Channel("SR", _SR, (_AXIS,)), Channel("VR", _VR, (_AXIS,)))
_METHOD = ABCD(_TIGHT, Region("loose", "y <= 0.8"), Region("low x", "x <= 0.2"), kappa_error=0.1)

Table = dict[str, np.ndarray]


def _open(n: int = 500, seed: int = 1) -> Table:
    """Return open rows: outside x > 0.8 and y > 0.8, with signed weights and an event number."""
    rng = np.random.default_rng(seed)
    x, y = rng.normal(0.3, 0.6, (2, 3 * n))
    inside = np.flatnonzero(~((x > 0.8) & (y > 0.8)))[:n]
    columns = {"x": x[inside], "y": y[inside], "m": rng.uniform(0, 100, n), "w": rng.normal(1, 0.2, n)}
    return {**columns, "event": np.arange(n)}


def _with(rows: list[tuple[float, ...]], seed: int) -> Table:
    """Return the open rows with sealed ones put between them."""
    table = _open()
    order = np.random.default_rng(seed).permutation(len(table["x"]) + len(rows))
    sealed = np.array(rows, float).reshape(len(rows), 4).T
    columns = dict(zip("xymw", sealed, strict=True)) | {"event": 2**40 + np.arange(len(rows))}
    place = np.empty(len(order), int)
    place[np.sort(order[: len(table["x"])])] = np.arange(len(table["x"]))
    place[np.sort(order[len(table["x"]) :])] = len(table["x"]) + np.arange(len(rows))
    return {name: np.concatenate([column, columns[name]])[place] for name, column in table.items()}


def _data(table: Mapping[str, Any], hidden: Region | Seal = _SEALED, **options: Any) -> Events:
    return Events.of(table, sample="data", weight="w", seal=hidden, **options)


# ---- what a seal refuses ---------------------------------------------------------------------------------------------

_atoms = st.tuples(st.sampled_from(["x", "y", "m", "x + y", "abs(x)"]), st.sampled_from(["<", "<=", ">", ">=", "=="]))
_cuts = st.recursive(
    st.tuples(_atoms, st.floats(-1, 2)).map(lambda one: f"({one[0][0]} {one[0][1]} {one[1]!r})"),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from("&|"), inner).map(lambda one: f"({' '.join(one)})"),
        inner.map(lambda one: f"(~{one})"),
    ),
    max_leaves=5,
)


@given(_cuts)
def test_an_overlap_raises_with_a_remedy_that_works(cut: str) -> None:
    events, region = _data(_open()), Region("asked", cut)
    try:
        rows = events.select(region)
        assert region.disjoint(_SEALED)
    except BlindedError as error:
        inside = region.disjoint(~_SEALED)
        how = "is inside" if inside else "may overlap"
        assert f"region 'asked' {how} the sealed region 'blind' of sample 'data'" in str(error)
        assert ("select 'asked & ~blind', or read with unblind=REASON" in str(error)) is not inside
        rows = events.select(region & ~_SEALED)
    assert len(rows) == region.mask(_open()).sum()
    assert len(rows.select(_SR)) == (region.mask(_open()) & _SR.mask(_open())).sum()


def test_nothing_is_offered_in_place_of_the_sealed_region_itself() -> None:
    events = _data(_open())
    for region in (_SEALED, _SEALED & Region("more", "m > 0")):
        with pytest.raises(
            BlindedError, match=r"is inside the sealed region 'blind' of sample 'data'; read with unblind"
        ):
            events.select(region)


def test_undefined_rows_are_sealed_also_under_not() -> None:
    x = np.array([0.0, 1.0, math.nan, math.nan, 1.0])
    y = np.array([1.0, 1.0, 1.0, 0.0, math.nan])
    table = {"x": x, "y": y, "w": np.ones(5)}
    assert np.array_equal(_data(table)["x"], [0.0, math.nan], equal_nan=True)
    assert np.array_equal(_data(table, ~_SEALED)["y"], [1.0])
    assert len(_data(table, Region("everywhere", "(x > 0) | ~(x > 0)"))) == 0
    missing = {"lep_pt": ak.Array([[1.0], [None, 2.0], [50.0], []]), "w": np.ones(4)}
    assert _data(missing, Region("hard", "any(lep_pt > 10)"))["lep_pt"].tolist() == [[1.0], []]


def test_sums_differences_and_only_keep_the_seal() -> None:
    data, prompt = _data(_open()), Events.of(_open(), sample="prompt")
    for joined in (data - 1.1 * prompt, prompt + data, (data + prompt).only("data"), data.bootstrap(1), data.sorted()):
        assert joined.is_sealed(_SR & _TIGHT) and joined.sealed == data.sealed
        with pytest.raises(BlindedError):
            joined.select(_SR)
    assert not (data - prompt).only("prompt").sealed
    assert (data + data).sealed == data.sealed
    assert len({*data.sealed, *data.select(_VR).sealed}) == 2
    other = Events.of(_open(), sample="other", seal=Region("low", "m < 3"))
    both = (data - other).select(_VR & ~Region("low", "m < 3"))
    assert [one.region.name for one in both.sealed] == ["blind", "low"]
    assert observe(both, _CHANNELS[0], _TIGHT) is None


def test_a_new_name_needs_rows_outside_the_seal() -> None:
    data = _data(_open())
    with pytest.raises(BlindedError, match="sealed in blind: relabelling would lose the seal; select a region outside"):
        data.relabel("other")
    renamed = data.select(_VR).relabel("other")
    assert renamed.samples == ("other",) and not renamed.sealed
    assert np.array_equal(renamed.key, data.select(_VR).key)


def test_revealed_columns_are_read_inclusively_and_follow_selections() -> None:
    rows = [(1.0, 1.0, m, 1.0) for m in (10.0, 20.0, 30.0)]
    data = _data(_with(rows, 1), seal(_SEALED, reveal=("m",)))
    everything = np.sort(_with(rows, 1)["m"])
    assert np.array_equal(np.sort(data.inclusive("m")), everything)
    low = Region("low m", "(m < 15) & ~(x > 0.8)")
    with pytest.raises(BlindedError, match=r"column 'm' of the sealed region 'blind' .* ask before selecting"):
        data.select(low).inclusive("m")
    with pytest.raises(BlindedError, match=r"column 'w' .* is not revealed here"):
        data.inclusive("w")
    with pytest.raises(BlindedError):
        _data(_open()).inclusive("m")
    window = _data(_with(rows, 1), seal(Region("window", "(m > 15) & (m < 25)"), reveal=("m",)))
    below, above = (window.select(region) for region in (Region("below", "m <= 15"), Region("above", "m >= 25")))
    assert below.inclusive("m").max() <= 15
    outside = everything[(everything <= 15) | (everything >= 25)]
    assert np.array_equal(np.sort((below + above).inclusive("m")), outside)
    fewer = _data(_with(rows[:2], 1), seal(_SEALED, reveal=("m",)))
    assert fewer.fingerprint != data.fingerprint


# ---- what is left of sealed rows -------------------------------------------------------------------------------------

_SENTINEL = 123456.789


def _traces(value: float = _SENTINEL) -> list[bytes]:
    kinds = [np.float64(value), np.float64(value).byteswap(), np.float32(value), np.int64(value)]
    return [*(kind.tobytes() for kind in kinds), str(int(value)).encode(), str(value).encode()]


def _hiding(value: float) -> dict[str, Any]:
    lists = ak.Array([[1.0], [value, value], [2.0, 3.0], [value], []])
    table = {
        "x": [0.0, 1.0, 0.5, math.nan, 0.1],
        "y": [2.0, value, 0.0, value, 0.0],
        "m": [1.0, value, 2.0, value, 3.0],
        "w": [1.0, value, 1.0, math.nan, 1.0],
        "event": [1, int(value), 2, int(value) + 1, 3],
    }
    return {name: np.array(column) for name, column in table.items()} | {"lep_pt": lists}


def _failures(events: Events) -> list[str]:
    """Return the messages of everything that can go wrong with events."""
    tries: list[Callable[[], object]] = [
        lambda: events.select(_SR),
        lambda: events.select(Region("typo", "z > 1")),
        lambda: events["mm"],
        lambda: events.inclusive("m"),
        lambda: events.relabel("other"),
        lambda: events.only("dat"),
        lambda: events.with_weight(np.ones(99)),
        lambda: events.with_columns({"z": np.ones(99)}),
        lambda: events.select(_VR).require(Region("none", "m > 9e9")),
        lambda: events.flatten(Objects("jet")),
        lambda: estimate(Setup(_METHOD, events), [Channel("far", Region("far", "x > 9"), (_AXIS,))], seed=1),
        lambda: estimate(Setup(_METHOD, events), _CHANNELS, seed=1),
    ]
    found = []
    for attempt in tries:
        with pytest.raises(BackdropError) as error:
            attempt()
        found.append(f"{type(error.value).__name__}: {error.value}")
    return found


def test_no_trace_of_a_sealed_row_is_left() -> None:
    events = _data(_hiding(_SENTINEL), keys=("event",))
    other = _data(_hiding(98765.4321), keys=("event",))
    raw = [array for column in events.columns.values() for array in _memory(column)]
    texts = [repr(events), repr(events.sealed), str(len(events)), *_failures(events)]
    blobs = [pickle.dumps(events), pickle.dumps(events.select(_VR)), *(array.tobytes() for array in raw)]
    for trace in _traces():
        assert not any(trace in blob for blob in blobs)
        assert not any(trace in text.encode() for text in texts)
    assert pickle.dumps(events) == pickle.dumps(other)
    assert _failures(events) == _failures(other)
    assert (events.fingerprint, repr(events), len(events)) == (other.fingerprint, repr(other), len(other))


def _memory(column: Any) -> list[np.ndarray]:
    """Return all arrays behind a column, whether its rows point to them or not."""
    if isinstance(column, np.ndarray):
        return [column if column.base is None else np.asarray(column.base)]
    return list(ak.to_buffers(column)[2].values())


def test_the_sentinel_would_be_found() -> None:
    unsealed = Events.of(_hiding(_SENTINEL), weight=np.ones(5))
    assert all(trace in pickle.dumps(unsealed) for trace in _traces()[:1])
    assert any(_traces()[0] in array.tobytes() for array in _memory(unsealed["lep_pt"]))


def test_an_error_about_an_open_row_does_not_count_sealed_ones() -> None:
    def message(rows: list[tuple[float, ...]]) -> str:
        table = _with(rows, 3)
        table["w"][table["event"] == 400] = math.nan
        with pytest.raises(DataError, match="first rows: 400") as error:
            _data(table)
        return str(error.value)

    assert message([]) == message([(1.0, 1.0, 5.0, 1.0)] * 7) == message([(1.0, 1.0, 5.0, math.nan)] * 20)


def test_bisection_finds_nothing() -> None:
    """Whether a window raises depends on its cut alone, not on where the sealed masses are."""
    window = Region("window", "(m > 40) & (m < 60)")
    rng = np.random.default_rng(7)
    sealed = [_data(_with([(1.0, 1.0, m, 1.0) for m in masses], 1), window) for masses in ([], [41.0] * 5, [59.0] * 50)]

    def outcome(events: Events, region: Region) -> tuple[str, Any]:
        try:
            return "", events.select(region).fingerprint
        except BlindedError as error:
            return str(error), events.is_sealed(region)

    for threshold in rng.uniform(0, 100, 200).tolist():
        above = f"m > {threshold!r}"
        for cut, refused in (
            (above, threshold < 60),
            (f"({above}) & (m < 60)", threshold < 60),
            (f"2 * {above}", True),
        ):
            found = [outcome(events, Region("probe", cut)) for events in sealed]
            assert found.count(found[0]) == len(found)
            assert bool(found[0][0]) == refused


# ---- the whole chain -------------------------------------------------------------------------------------------------

_inside = st.floats(0.8, 9, exclude_min=True) | st.just(math.nan)
_anything = st.floats(width=64)
_sealed_rows = st.lists(st.tuples(_inside, _inside, _anything, _anything), max_size=30)


def _everything(table: Table, **options: Any) -> dict[str, bytes | str]:
    """Return every byte that a blinded estimate and its closure give, and the names of its stored tasks."""
    data = _data(table, **options)
    events = data - 0.9 * Events.of(_open(60, seed=2), sample="prompt", weight="w")
    with TemporaryDirectory() as home:
        found = estimate(Setup(_METHOD, events), _CHANNELS, replicas=3, seed=1, map=resumable(map, home))
        stored = sorted(file.name for file in Path(home).iterdir())
    test = closure(found, events.select(_VR & _TIGHT), channel="VR")
    assert observe(events, _CHANNELS[0], _TIGHT) is None
    arrays = {**_flat(found.state()), **{f"closure/{k}": v for k, v in _flat(test.state()).items()}}
    words = {"repr": repr((events, found, test)), "stored": str(stored), "identity": fingerprint([events, _METHOD])}
    return arrays | words | {"sealed": repr(events.sealed), "pickle": pickle.dumps(events)}


def _flat(state: Any, path: str = "") -> dict[str, bytes | str]:
    if isinstance(state, Mapping):
        return {k: v for name, one in state.items() for k, v in _flat(one, f"{path}/{name}").items()}
    return {path: state.tobytes() if isinstance(state, np.ndarray) else repr(state)}


@functools.cache
def _expected(keys: tuple[str, ...]) -> dict[str, bytes | str]:
    return _everything(_open(), keys=keys)


@pytest.mark.parametrize("keys", [(), ("event",)])
@settings(max_examples=25)
@given(rows=_sealed_rows, seed=st.integers(0, 2**32))
def test_nothing_depends_on_the_sealed_rows(keys: tuple[str, ...], rows: list[tuple[float, ...]], seed: int) -> None:
    found, expected = _everything(_with(rows, seed), keys=keys), _expected(keys)
    assert len(found) > 20
    assert [name for name in expected if found[name] != expected[name]] == []


def test_open_rows_do_matter() -> None:
    table = _open()
    table["m"][0] += 1e-9
    found = _everything(table)
    assert found["identity"] != _expected(())["identity"]
    assert found["stored"] != _expected(())["stored"]
