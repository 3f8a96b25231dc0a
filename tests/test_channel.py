"""Channels: bins against brute force and against hist, what is refused, and the way to disk and back."""

from __future__ import annotations

import json
import math

import awkward as ak
import hist
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backdrop import Channel, Region
from backdrop.channel import check_compatible, overlapping
from backdrop.errors import ConfigError, CutError, DataError
from backdrop.events import Events

_ALL = Region.everything()
_M = hist.axis.Regular(4, 0, 100, name="m", label=r"$m$ [GeV]")

_edges = st.lists(st.integers(-20, 20), min_size=2, max_size=6, unique=True).map(sorted)


@st.composite
def axes(draw: st.DrawFn, name: str = "x") -> object:
    kind, edges = draw(st.sampled_from(["Regular", "Variable", "Integer"])), draw(_edges)
    flow = {"underflow": draw(st.booleans()), "overflow": draw(st.booleans())}
    if kind == "Regular":
        return hist.axis.Regular(len(edges), edges[0], edges[-1], name=name, label="l", **flow)
    if kind == "Integer":
        return hist.axis.Integer(edges[0], edges[-1], name=name, **flow)
    return hist.axis.Variable(edges, name=name, **flow)


def _numbers(axis: object, n: int, seed: int) -> np.ndarray:
    """Return values in and around the axis, edges among them; whole ones for an Integer axis."""
    rng = np.random.default_rng(seed)
    # hist computes the inner edges of a Regular axis twice, and not to the last digit alike
    edges = np.asarray(axis.edges)[[0, -1] if type(axis).__name__ == "Regular" else slice(None)]
    values = np.r_[rng.uniform(edges[0] - 3, edges[-1] + 3, n - len(edges)), edges]
    return rng.permutation(np.floor(values) if type(axis).__name__ == "Integer" else values)


# ---- bins ------------------------------------------------------------------------------------------------------------


@given(axes(), st.integers(0, 2**32))
def test_fill_is_brute_force(axis: object, seed: int) -> None:
    values = _numbers(axis, 40, seed)
    weight = np.random.default_rng(seed).normal(size=len(values))
    found = Channel("c", _ALL, (axis,)).fill(Events.of({"x": values}, weight=weight))
    closed = type(axis).__name__ != "Integer" and not axis.traits.overflow
    for i, (low, high) in enumerate(zip(axis.edges[:-1], axis.edges[1:], strict=True)):
        last = closed and i == len(axis) - 1
        inside = [w for x, w in zip(values, weight, strict=True) if low <= x < high or (last and x == high)]
        assert found[0][i] == pytest.approx(math.fsum(inside), rel=1e-12, abs=1e-12)
        assert found[1][i] == pytest.approx(math.fsum(w * w for w in inside), rel=1e-12)


@given(axes("x"), axes("y"), axes("z"), st.integers(0, 2**32))
def test_fill_is_the_fill_of_hist_in_c_order(x: object, y: object, z: object, seed: int) -> None:
    channel = Channel("c", _ALL, (x, y, z))
    columns = {axis.name: _numbers(axis, 60, seed + i) for i, axis in enumerate((x, y, z))}
    weight = np.random.default_rng(seed).normal(size=60)
    reference = hist.Hist(x, y, z, storage=hist.storage.Weight())
    whole = {a.name: columns[a.name].astype(int) for a in (x, y, z) if type(a).__name__ == "Integer"}
    reference.fill(**{**columns, **whole}, weight=weight)
    values, variances = channel.fill(Events.of(columns, weight=weight))
    assert channel.shape == (len(x), len(y), len(z))
    assert values.shape == (channel.size,)
    assert np.allclose(values, reference.values().ravel(), rtol=1e-12, atol=1e-12)
    assert np.allclose(variances, reference.variances().ravel(), rtol=1e-12, atol=1e-12)
    again = channel.hist(values, variances)
    assert isinstance(again.storage_type(), hist.storage.Weight)
    assert np.array_equal(again.values().ravel(), values)
    assert np.array_equal(again.variances().ravel(), variances)


def test_rows_outside_are_not_counted_and_the_region_is_not_applied() -> None:
    channel = Channel("c", Region("cut", "m > 60"), (_M,))
    events = Events.of({"m": np.array([-1.0, 0.0, 30.0, 99.9, 100.0, 1e300])})
    assert channel.fill(events)[0].tolist() == [1.0, 1.0, 0.0, 1.0]
    assert channel.index(events).tolist() == [-1, 0, 1, 3, -1, -1]
    assert channel.fill(events._take(np.zeros(0, int)))[0].tolist() == [0.0] * 4


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_undefined_values_are_refused_by_name(bad: float) -> None:
    channel = Channel("c", Region("window", "m > 60"), (_M,))
    with pytest.raises(DataError, match="column 'm' has 2 NaN or infinite values of 3 in region 'window'"):
        channel.fill(Events.of({"m": np.array([bad, 1.0, bad])}))


def test_whole_numbers_of_any_type_fill_an_integer_axis() -> None:
    channel = Channel("c", _ALL, (hist.axis.Integer(-1, 3, name="n"),))
    for values in ([0, 2, 2, 7, -9], [0.0, 2.0, 2.0, 1e300, -9.0], [0, 2, 2, 2**40, -(2**40)]):
        assert channel.fill(Events.of({"n": np.array(values)}))[0].tolist() == [0.0, 1.0, 0.0, 2.0]
    assert channel.fill(Events.of({"n": np.array([True, False])}))[0].tolist() == [0.0, 1.0, 1.0, 0.0]
    assert channel.fill(Events.of({"n": np.array([2, 2**64 - 1], np.uint64)}))[0].tolist() == [0.0, 0.0, 0.0, 1.0]
    with pytest.raises(DataError, match="column 'n' has 2 values in region 'all' that are not whole numbers"):
        channel.fill(Events.of({"n": np.array([-0.5, 1.0, 1.5])}))


def test_lists_text_and_absent_columns_are_refused() -> None:
    channel = Channel("c", _ALL, (_M,))
    for column in (ak.Array([[1.0], [2.0, 3.0]]), np.ones((2, 2)), np.array(["a", "b"])):
        with pytest.raises(DataError, match="column 'm' is binned in region 'all', but does not hold numbers"):
            channel.fill(Events.of({"m": column}))
    with pytest.raises(DataError, match="no column 'm', did you mean 'mm'"):
        channel.fill(Events.of({"mm": np.ones(2)}))


# ---- what a channel may be -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ((hist.axis.Regular(2, 0, 1),), "has no name"),
        ((_M, _M), "two axes of one name: m, m"),
        (("m",), "has no name"),
        ((hist.axis.Variable([0, 1, math.inf], name="m"),), "not finite and increasing"),
        ((hist.axis.Regular(2, 1, 100, name="m", transform=hist.axis.transform.log),), "a Variable axis takes any"),
        ((hist.axis.Regular(2, 0, 1, name="m", growth=True),), "a Variable axis takes any"),
        ((hist.axis.StrCategory(["a"], name="m"),), "bin in Regular, Variable, Integer"),
    ],
)
def test_axes_that_cannot_be_kept_are_refused(bad: tuple[object, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=f"channel 'SR'.*{message}"):
        Channel("SR", _ALL, bad)


def test_a_channel_without_axes_counts_every_row() -> None:
    events = Events.of({"m": np.array([math.nan, -1e9, 3.0])}, weight=[1.0, 2.0, -0.5])
    counted = Channel("c", _ALL)
    values, squares = counted.fill(events)
    assert (counted.size, counted.shape) == (1, ())
    assert (values.tolist(), squares.tolist()) == ([2.5], [5.25])
    assert counted.hist(values, squares).values().tolist() == [2.5]
    assert Channel.from_state(counted.state()) == counted


@given(axes("x"), axes("y"), st.integers(0, 2**32))
def test_a_channel_survives_its_state_bin_for_bin(x: object, y: object, seed: int) -> None:
    channel = Channel("SR", Region("window", "(x > 1) & (y < 3)"), (x, y))
    state = json.loads(json.dumps(channel.state(), allow_nan=False))
    again = Channel.from_state(state)
    events = Events.of({axis.name: _numbers(axis, 50, seed) for axis in (x, y)})
    assert again == channel
    assert again.state() == channel.state()
    assert [axis.label for axis in again.axes] == [axis.label for axis in channel.axes]
    assert np.array_equal(again.index(events), channel.index(events))


def test_an_angle_wraps_and_stays_circular() -> None:
    channel = Channel("c", _ALL, (hist.axis.Regular(4, -2, 2, name="phi", circular=True),))
    events = Events.of({"phi": np.array([-1.5, 2.5, -5.5, 1.9])})
    for one in (channel, Channel.from_state(channel.state())):
        assert one.fill(events)[0].tolist() == [3.0, 0.0, 0.0, 1.0]


def test_columns_are_those_of_the_cut_and_the_axes() -> None:
    channel = Channel("c", Region("cut", "(pt > 20) & (abs(eta) < 2.5)"), (_M,))
    assert channel.columns == {"pt", "eta", "m"}


def test_overlapping_names_the_first_pair_that_is_not_provably_disjoint() -> None:
    cuts = {"low": "m < 50", "mid": "(m >= 50) & (m < 80)", "high": "m >= 80", "odd": "2 * m > 200"}
    low, mid, high, odd = (Channel(name, Region(name, cut), (_M,)) for name, cut in cuts.items())
    assert overlapping((low, mid, high)) is None
    assert overlapping((low, mid, high, odd)) == ("low", "odd")
    assert overlapping((mid, high, mid)) == ("mid", "mid")


def test_a_contradiction_names_both_regions() -> None:
    check_compatible(Region("SR", "m > 3"), Region("tight", "x > 1"), "source")
    with pytest.raises(CutError, match=r"'SR' \(m > 3\) contradicts the source region 'loose' \(m < 2\): no row can"):
        check_compatible(Region("SR", "m > 3"), Region("loose", "m < 2"), "source")
