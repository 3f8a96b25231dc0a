"""Events: their algebra, what they are made of, and their keys."""

from __future__ import annotations

import math
import pickle
from dataclasses import replace

import awkward as ak
import hist
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backdrop import Channel, Region
from backdrop.errors import DataError
from backdrop.events import Events, bootstrap_counts, event_keys

_CHANNEL = Channel("all", Region.everything(), (hist.axis.Regular(5, 0, 10, name="m"),))
_UPPER = Region("upper", "m > 5")

_weights = st.floats(-1e3, 1e3, allow_subnormal=False)
_rows = st.lists(st.tuples(st.floats(-2, 12), _weights), max_size=25)


@st.composite
def samples(draw: st.DrawFn) -> Events:
    rows, name = draw(_rows), draw(st.sampled_from(["data", "prompt", "hh"]))
    m, weight = (np.array([row[i] for row in rows], float) for i in range(2))
    return Events.of({"m": m, "row": np.arange(len(m))}, sample=name, weight=weight)


def _names(events: Events) -> list[str]:
    return [events.samples[code] for code in events.sample]


def _filled(events: Events) -> np.ndarray:
    return np.concatenate(_CHANNEL.fill(events))


# ---- algebra ---------------------------------------------------------------------------------------------------------


@given(samples())
def test_fill_is_the_sum_of_weights_and_squares(events: Events) -> None:
    values, squares = _CHANNEL.fill(events)
    for i, (low, high) in enumerate(zip(range(0, 10, 2), range(2, 12, 2), strict=True)):
        inside = [w for m, w in zip(events["m"], events.weight, strict=True) if low <= m < high]
        assert values[i] == pytest.approx(math.fsum(inside), rel=1e-12, abs=1e-12 * sum(map(abs, inside)))
        assert squares[i] == pytest.approx(math.fsum(w * w for w in inside), rel=1e-12)


@given(samples(), samples(), samples())
def test_addition_is_associative_and_subtraction_undoes_it(a: Events, b: Events, c: Events) -> None:
    assert np.array_equal(_filled((a + b) + c), _filled(a + (b + c)))
    scale = np.abs(_CHANNEL.fill(a.with_weight(np.abs(a.weight)))[0])
    assert (np.abs(_CHANNEL.fill(a - a)[0]) <= 1e-12 * scale).all()
    assert _CHANNEL.fill(a - a)[1] == pytest.approx(2 * _CHANNEL.fill(a)[1], rel=1e-12)


@given(samples(), samples(), _weights)
def test_a_factor_distributes(a: Events, b: Events, k: float) -> None:
    assert np.array_equal((k * (a + b)).weight, (k * a + k * b).weight)
    assert np.array_equal((np.float64(k) * a).weight, (k * a).weight)
    assert np.array_equal((a - k * b).weight, np.r_[a.weight, -(k * b.weight)])


@given(samples(), samples(), st.integers(0, 2**70))
def test_rows_keep_their_sample_through_everything(a: Events, b: Events, seed: int) -> None:
    joined = a - 1.1 * b
    assert _names(joined) == _names(a) + _names(b)
    chosen = joined.select(_UPPER).bootstrap(seed)
    kept = joined["m"] > 5
    assert _names(chosen) == [name for name, one in zip(_names(joined), kept, strict=True) if one]
    assert np.array_equal(chosen.key, joined.key[kept])
    for name in joined.samples:
        mine = np.array(_names(joined), object) == name
        assert np.array_equal(joined.only(name).weight, joined.weight[mine])
        assert joined.only(name).samples == (name,)


def test_what_cannot_be_done_is_refused() -> None:
    events = Events.of({"m": np.arange(3.0)})
    with pytest.raises(DataError, match="did you mean 'data'"):
        events.only("dat")
    with pytest.raises(DataError, match="factor must be finite"):
        math.nan * events
    with pytest.raises(DataError, match=r"shape \(2,\)"):
        events.with_weight(np.ones(2))
    with pytest.raises(DataError, match="2 rows, the events 3"):
        events.with_columns({"x": np.ones(2)})
    with pytest.raises(DataError, match=r"region 'none' holds 0 rows .* check the cut 'm > 9'"):
        events.require(Region("none", "m > 9"))
    with pytest.raises(DataError, match="1 negative weights"):
        events.with_weight(np.array([1.0, -0.5, 1.0])).require(Region.everything(), counts=True)
    with pytest.raises(DataError, match=r"2 weights that are NaN or infinite, first rows: 0, 2"):
        Events.of({"m": np.arange(3.0)}, weight=[math.nan, 1.0, math.inf])
    with pytest.raises(DataError, match="column 'm' has 1 NaN or infinite values of 2 in region 'all'"):
        Events.of({"m": np.array([1.0, math.nan])}).require(Region.everything(), ("m",))


# ---- columns ---------------------------------------------------------------------------------------------------------


def test_missing_values_are_never_numbers() -> None:
    masked = Events.of({"x": np.ma.array([1.0, 999.0], mask=[False, True])})
    option = Events.of({"x": ak.Array([1.0, None])})
    for events in (masked, option):
        assert np.array_equal(events["x"], [1.0, math.nan], equal_nan=True)
    whole = Events.of({"x": ak.Array([1, None])})
    assert whole["x"].tolist() == [1, None]
    assert (whole + whole)["x"].tolist() == [1, None, 1, None]
    with pytest.raises(DataError, match="1 NaN or infinite values of 2"):
        whole.require(Region.everything(), ("x",))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (3.0, "one single value"),
        (np.array([1, None], object), "object values"),
        ([[1.0], [1.0, 2.0]], "awkward array"),
        (ak.Array([1, "a"]), "mixes types"),
        (ak.Array([{"pt": 1.0}]), "one number, text or list"),
    ],
)
def test_columns_of_something_else_are_refused(value: object, message: str) -> None:
    with pytest.raises(DataError, match=f"column 'x' .*{message}"):
        Events.of({"x": value})


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (np.array([2**63 + 1], np.uint64), np.array([-1], np.int32)),
        (np.array([2**53 + 1]), np.array([0.5])),
        (np.array(["a"]), np.array([1.0])),
        (ak.Array([[1.0]]), np.array([1.0])),
    ],
)
def test_columns_that_would_lose_something_do_not_add(first: object, second: object) -> None:
    a, b = (Events.of({"x": column}) for column in (first, second))
    for one, other in ((a, b), (b, a)):
        with pytest.raises(DataError, match=r"column 'x' (is|holds) .* in one sample and .* in the other"):
            one + other


def test_columns_of_different_widths_add_exactly() -> None:
    a, b = Events.of({"x": np.array([2**53], np.int64)}), Events.of({"x": np.array([0.25], np.float32), "y": [1]})
    assert (a + b)["x"].tolist() == [2.0**53, 0.25]
    assert list((a + b).columns) == ["x"]


def test_fingerprint_sees_every_part() -> None:
    def events(**changed: object) -> Events:
        columns = {"m": np.arange(3.0), "weight": np.ones(3), "pt": ak.Array([[1.0, 2.0], [], [3.0]])}
        return Events.of({**columns, **changed}, weight="weight")

    base = events()
    others = [
        2.0 * base,
        base.with_columns({"weight": 2.0 * base["weight"]}),
        events(pt=ak.Array([[1.0], [2.0], [3.0]])),
        events(pt=ak.Array([[[1.0, 2.0]], [], [[3.0]]])),
        events(pt=ak.Array([[1.0, None], [], [3.0]])),
        events(pt=ak.Array([[1.0, 2.0], None, [3.0]])),
        base.relabel("other"),
        replace(base, key=base.key[::-1]),
        Events.of(base.columns, weight="weight", seal=Region("SR", "m > 5")),
        Events.of(base.columns, weight="weight", seal=Region("SR", "m > 5")).select(Region("low", "m <= 5")),
    ]
    prints = [base.fingerprint, *(one.fingerprint for one in others)]
    assert len(set(prints)) == len(prints)
    assert events().fingerprint == base._take(np.arange(3)).fingerprint == base.fingerprint


def test_a_pickle_holds_the_selected_rows_only() -> None:
    events = Events.of({"m": np.array([1.0, 7.0, 9.0]), "x": np.array([123456.789, 1.0, 2.0])})
    again = pickle.loads(pickle.dumps(events.select(_UPPER)))
    assert np.float64(123456.789).tobytes() not in pickle.dumps(events.select(_UPPER))
    assert again.fingerprint == events.select(_UPPER).fingerprint


# ---- keys ------------------------------------------------------------------------------------------------------------


def _big(n: int = 40_000) -> Events:
    ids = {"run": np.full(n, 7), "event": 2**53 + np.arange(n, dtype=np.uint64)}
    return Events.of({"m": np.zeros(n), **ids}, keys=("run", "event"))


def test_ids_are_64_bit_integers() -> None:
    keys = _big().key
    assert len(np.unique(keys)) == len(keys)
    high = event_keys("data", np.array([2**64 - 1, 2**64 - 2, 2**63], np.uint64))
    assert len(np.unique(high)) == 3
    run, event = np.array([1, 2]), np.array([2, 1])
    assert len(np.unique(np.r_[event_keys("data", run, event), event_keys("data", event, run)])) == 2
    assert event_keys("data", run, event)[0] != event_keys("data", event, run)[0]
    for column in (np.array([1.0, 2.0]), ak.Array([[1], [2]]), ak.Array([1, None])):
        with pytest.raises(DataError, match="id columns of sample 'data' must hold integers"):
            Events.of({"event": column}, keys=("event",))
    with pytest.raises(DataError, match="id columns"):
        event_keys("data", np.arange(3), np.arange(2))


def test_equal_ids_of_two_samples_are_different_events() -> None:
    n, ids = 40_000, {"event": np.arange(40_000)}
    one, two = (Events.of(ids, sample=name, keys=("event",)) for name in ("data", "prompt"))
    assert not np.intersect1d(one.key, two.key).size
    counts = [events.bootstrap(3).weight for events in (one, two)]
    assert abs(np.corrcoef(*counts)[0, 1]) < 3 / math.sqrt(n)


def test_bootstrap_is_poisson_and_independent_of_folds() -> None:
    events = _big()
    counts = np.array([events.bootstrap(seed).weight for seed in (1, 2)])
    n = len(events)
    assert np.abs(counts.mean(axis=1) - 1).max() < 3 / math.sqrt(n)
    assert np.abs(counts.var(axis=1) - 1).max() < 3 * math.sqrt(3 / n)
    assert np.abs(np.corrcoef([*counts, events.uniform(1)])[np.triu_indices(3, 1)]).max() < 3 / math.sqrt(n)
    assert np.array_equal(events.bootstrap(np.int64(5)).weight, events.bootstrap(5).weight)
    assert np.array_equal(events.uniform(np.uint64(5)), events.uniform(5 + 2**64))


@given(st.permutations(range(12)), st.integers(0, 12), st.integers(0, 2**32))
def test_bootstrap_depends_on_neither_order_nor_chunks(order: list[int], cut: int, seed: int) -> None:
    ids = np.repeat(np.arange(6), 2)
    whole = Events.of({"event": ids}, keys=("event",))
    parts = [Events.of({"event": ids[order][part]}, keys=("event",)) for part in (slice(cut), slice(cut, None))]
    pieces = np.concatenate([part.bootstrap(seed).weight for part in parts])
    assert np.array_equal(pieces, whole.bootstrap(seed).weight[order])
    assert np.array_equal(pieces[np.argsort(order, kind="stable")][::2], pieces[np.argsort(order, kind="stable")][1::2])
    assert np.array_equal(bootstrap_counts(whole.key, [seed, 1])[0], whole.bootstrap(seed).weight)


def test_without_ids_a_row_is_its_position() -> None:
    column = np.arange(6.0)
    parts = [Events.of({"m": column[:2]}), Events.of({"m": column[2:]}, first=2)]
    assert np.array_equal(Events.of({"m": column}).key, np.concatenate([part.key for part in parts]))


@given(st.permutations(range(10)))
def test_sorted_is_one_order_whatever_the_input(order: list[int]) -> None:
    a, b = (Events.of({"id": np.arange(5), "m": np.arange(5.0)}, sample=name) for name in ("a", "b"))
    events = replace(a + b, key=np.tile(a.key, 2))  # equal keys: the sample's name decides
    shuffled = events._take(np.array(order))
    assert shuffled.sorted().fingerprint == events.sorted().fingerprint
    once = shuffled.sorted()
    assert once.sorted() is once
    assert once.key.tolist() == sorted(once.key.tolist())
