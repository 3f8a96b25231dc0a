import awkward as ak
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backdrop.errors import CutError
from backdrop.region import Region, evaluate
from tests.cuts.strategies import POOL, conditions, tables

T, F, U = True, False, None


def truth(cut, columns):
    """Give True, False or None (undefined) for every event."""
    inside, maybe = Region("R", cut).mask(columns), Region("R", cut).possible(columns)
    assert inside.dtype == maybe.dtype == np.bool_
    assert not (inside & ~maybe).any()
    return [None if may and not is_in else bool(is_in) for is_in, may in zip(inside, maybe, strict=True)]


@pytest.fixture
def events():
    return {
        "m": np.array([100.0, 125.0, np.nan, np.inf]),
        "n": np.array([2, 4, 0, 2], dtype=np.int32),
        "tight": np.array([True, False, True, False]),
        "pt": ak.Array([[30.0, 20.0], [], [np.nan, 50.0], [10.0]]),
        "eta": ak.Array([[0.5, -2.0], [], [1.0, 3.0], [0.0]]),
        "iso": ak.Array([[True, False], [], [True, True], [False]]),
        "hits": ak.Array([[3, None], [], None, [5]]),
        "good": ak.Array([[True, None], [], None, [False]]),
        "score": ak.Array([0.5, None, 0.2, 0.9]),
        "flag": ak.Array([True, None, False, True]),
        "pair": np.array([[1.0, 2.0], [3.0, np.nan], [5.0, 6.0], [7.0, 8.0]]),
        "masked": np.ma.MaskedArray([1, 2, 3, 4], mask=[False, True, False, False]),
    }


@pytest.mark.parametrize(
    ("cut", "expected"),
    [
        ("m > 110", [F, T, U, T]),
        ("~(m > 110)", [T, F, U, F]),
        ("m != 125", [T, F, U, T]),
        ("~(m != 125)", [F, T, U, F]),
        ("m == m", [T, T, U, T]),
        ("(m > 110) | true", [T, T, T, T]),
        ("(m > 110) | (n == 0)", [F, T, T, T]),
        ("(m > 110) & (n == 2)", [F, F, F, T]),
        ("not m > 110 or n == 4", [T, T, U, F]),
        ("m - m == 0", [T, T, U, U]),
        ("n / n == 1", [T, T, U, T]),
        ("n % n == 0", [T, T, U, T]),
        ("sqrt(n - 3) == 1", [U, T, U, U]),
        ("m**0 == 1", [T, T, U, T]),
        ("hypot(m, 1 / 0.0000001) > 0", [T, T, U, T]),
        ("min(m, 3) < 5", [T, T, U, T]),
        ("max(m, n, 3) > 50", [T, T, U, T]),
        ("tight", [T, F, T, F]),
        ("~tight & (n == 2)", [F, F, F, T]),
        ("tight == true", [T, F, T, F]),
        ("tight + (n == 2) == 2", [T, F, F, F]),
        ("(m > 110) != tight", [T, T, U, T]),
        ("(m > 110) + 0 == 1", [F, T, U, T]),
        ("where(tight, m > 110, n == 4)", [F, T, U, F]),
        ("where(m > 110, tight, tight)", [T, F, T, F]),
        ("where(m > 110, 1, 0) == 1", [F, T, U, T]),
        ("where(tight, m, n) == 4", [F, T, U, F]),
        ("score > 0.4", [T, U, F, T]),
        ("flag", [T, U, F, T]),
        ("~flag | tight", [T, U, T, F]),
        ("masked > 1", [F, U, T, T]),
        # lists
        ("any(pt > 25)", [T, F, T, F]),
        ("any(pt > 60)", [F, F, U, F]),
        ("all(pt > 25)", [F, T, U, F]),
        ("all(pt > 60)", [F, T, F, F]),
        ("~all(pt > 60)", [T, F, T, T]),
        ("count(pt > 25) == 1", [T, F, U, F]),
        ("count(pt) == 2", [T, F, U, F]),
        ("count(eta) == 2", [T, F, T, F]),
        ("count(iso) == 1", [T, F, F, F]),
        ("count(~iso) == 1", [T, F, F, T]),
        ("sum(eta) > 0", [F, F, T, F]),
        ("sum(pt) >= 0", [T, T, U, T]),
        ("sum(eta > 0) == 2", [F, F, T, F]),
        ("max(eta) > -9", [T, U, T, T]),
        ("min(eta) < -1", [T, U, F, F]),
        ("max(pt) > 0", [T, U, U, T]),
        ("pt[0] > 15", [T, U, U, F]),
        ("pt[1] > 15", [T, U, T, U]),
        ("pt[7] > 15", [U, U, U, U]),
        ("iso[0]", [T, U, T, F]),
        ("~iso[1]", [T, U, F, U]),
        ("any(iso & (pt > 25))", [T, F, T, F]),
        ("any((pt > 25) & (m > 110))", [F, F, U, F]),
        ("count(pt > max(pt) / 2 - m * 0) == 2", [T, F, U, U]),
        ("any(where(iso, pt, eta) > 25)", [T, F, T, F]),
        ("any(min(pt, eta) < -1)", [T, F, U, F]),
        ("any(hits > 4)", [U, F, U, T]),
        ("count(hits > 4) == 0", [U, T, U, F]),
        ("count(hits) == 0", [U, T, U, F]),
        ("sum(hits) == 5", [U, F, U, T]),
        ("any(good)", [T, F, U, F]),
        ("all(good)", [U, T, U, F]),
        ("good[0]", [T, U, U, F]),
        ("any(pair > 5)", [F, U, T, T]),
        ("pair[1] == 2", [T, U, F, F]),
        ("any(true | (pt > 3))", [T, F, T, T]),
    ],
)
def test_truth_is_three_valued(events, cut, expected):
    assert truth(cut, events) == expected
    assert truth(f"not ({cut})", events) == [None if value is None else not value for value in expected]


@pytest.mark.parametrize(
    ("cut", "words"),
    [
        ("mm > 3", "region 'SR' reads column 'mm', which is not there, did you mean 'm'?"),
        ("zzz > 3", "there are big, bigs, "),
        ("n", "write `n != 0`"),
        ("tight & n", "write `n != 0`"),
        ("hits[0]", "write `hits[0] != 0`"),
        ("pt > 25", "`any(...)`"),
        ("iso", "`any(...)`"),
        ("m[0] > 3", "without [0]"),
        ("sum(m) > 3", "one list per event"),
        ("count(m > 3) == 1", "one list per event"),
        ("any(tight)", "one list per event"),
        ("any(pt > hits)", "lists of different lengths"),
        ("word > 3", "column 'word' holds <U1"),
        ("words[0] > 3", "column 'words' holds"),
        ("deep[0] > 3", "column 'deep' holds"),
        ("record > 3", "column 'record' holds"),
        ("z > 3", "column 'z' holds complex128"),
        ("cube > 3", "column 'cube' holds float64 in 3 dimensions"),
        ("short > 3 or m > 3", "column 'short' has 3 events where 'm' has 4"),
        ("big * big > 3", "64-bit integers; multiply by 1.0"),
        ("sum(bigs) > 3", "64-bit integers; multiply by 1.0"),
        ("m > pi", "the constant 'pi', which is a column as well"),
    ],
)
def test_what_does_not_fit_is_named(events, cut, words):
    events |= {
        "word": np.array(["a", "b", "c", "d"]),
        "words": ak.Array([["a"], [], ["b"], []]),
        "deep": ak.Array([[[1]], [], [], []]),
        "record": ak.Array([{"a": 1}] * 4),
        "z": np.zeros(4, dtype=complex),
        "cube": np.zeros((4, 2, 2)),
        "short": np.zeros(3),
        "big": np.full(4, 2**40),
        "bigs": ak.Array([[2**62] * 4] * 4),
        "pi": np.zeros(4),
    }
    with pytest.raises(CutError) as caught:
        Region("SR", cut).mask(events)
    assert words in str(caught.value)
    assert "region 'SR'" in str(caught.value)


def test_every_name_is_checked_before_anything_is_evaluated(events):
    class Untouchable(dict):
        def __getitem__(self, name):
            raise AssertionError(name)

    with pytest.raises(CutError, match="'gone'"):
        Region("SR", "(m > 3) & (gone > 3)").mask(Untouchable(events))


def test_only_columns_and_declared_constants_exist():
    threshold = 3.0
    assert threshold
    with pytest.raises(CutError, match="'threshold'"):
        Region("SR", "m > threshold").mask({"m": np.ones(2)})
    for name in ("__import__", "np", "self", "e", "inf", "nan"):
        with pytest.raises(CutError):
            Region("SR", f"m > {name}").mask({"m": np.ones(2)})


def test_literals_keep_their_double_precision_beside_float32():
    x = np.array([0.1], dtype=np.float32)  # 0.100000001...
    assert truth("x == 0.1", {"x": x}) == [F]
    assert truth("x > 0.1", {"x": x}) == [T]
    assert truth("x * 1 > 0.1", {"x": x}) == [T]
    assert truth("x < 1e300", {"x": np.array([np.inf], dtype=np.float32)}) == [F]


def test_event_numbers_are_exact():
    event = {"event": np.array([2**63 - 1, 2**53 + 1])}
    assert truth("event == 9223372036854775807", event) == [T, F]
    assert truth("event == 9007199254740992", event) == [F, F]
    assert truth("event % 2 == 1", event) == [T, T]
    assert truth("event - 1 == 9223372036854775806", event) == [T, F]
    assert truth("event == 18446744073709551615", {"event": np.array([2**64 - 1], dtype=np.uint64)}) == [T]


def test_a_mask_is_a_new_array_of_the_length_of_the_events():
    flag = np.array([True, False])
    mask = Region("R", "flag").mask({"flag": flag})
    mask[:] = False
    assert flag.tolist() == [True, False]
    assert truth("true", {"m": np.zeros(3)}) == [T, T, T]
    assert truth("false or 2 < 1", {"m": np.zeros(3)}) == [F, F, F]
    assert Region("R", "true").mask({"m": np.zeros(3)}).flags.writeable
    assert truth("(m > 1) & any(pt > 3)", {"m": np.zeros(0), "pt": ak.Array([[1.0]])[:0]}) == []
    assert truth("max(pt) > 3", {"pt": ak.Array([[1.0]])[:0]}) == []


def test_columns_are_left_as_they_were(events):
    before = {name: ak.to_list(column) for name, column in events.items()}
    for cut in ("tight & (n == 2)", "flag | tight", "any(iso & (pt > 3))", "iso[0] & tight"):
        Region("R", cut).mask(events)
    assert str({name: ak.to_list(column) for name, column in events.items()}) == str(before)


def test_a_cut_without_any_column_needs_to_know_the_number_of_events():
    with pytest.raises(CutError, match="number of events"):
        Region("R", "true").mask({})


def test_expressions_make_columns(events):
    assert evaluate("m * 2", events).tolist()[:2] == [200.0, 250.0]
    assert evaluate("n + n", events).dtype == np.int64
    assert evaluate("n / 2", events).tolist() == [1.0, 2.0, 0.0, 1.0]
    assert evaluate("m > 110", events).tolist() == [False, True, False, True]
    assert evaluate("tight", events).dtype == np.bool_
    assert evaluate("pi", events) == pytest.approx([np.pi] * 4)
    assert evaluate("true", events).tolist() == [True] * 4
    assert ak.to_list(evaluate("pt[0] * 0 + count(eta)", events))[0] == 2.0
    assert ak.to_list(evaluate("eta + n", events)) == [[2.5, 0.0], [], [1.0, 3.0], [2.0]]
    assert ak.to_list(evaluate("eta > n", events)) == [[False, False], [], [True, True], [False]]
    copied = evaluate("m", events)
    copied[:] = 0
    assert events["m"][0] == 100.0
    with pytest.raises(CutError, match="expression 'mm \\+ 1' reads column 'mm'"):
        evaluate("mm + 1", events)


def test_expressions_agree_with_numpy():
    rng = np.random.default_rng(1)
    c = {"a": rng.normal(size=50), "b": rng.uniform(0.1, 3, 50), "k": rng.integers(1, 9, 50)}
    a, b, k = c["a"], c["b"], c["k"]
    for text, expected in {
        "sqrt(b) + log(b) - exp(a) * abs(a)": np.sqrt(b) + np.log(b) - np.exp(a) * np.abs(a),
        "hypot(a, b) / arctan2(a, b)": np.hypot(a, b) / np.arctan2(a, b),
        "sin(a) * cos(a) + tan(b) - sinh(a) % cosh(a)": np.sin(a) * np.cos(a)
        + np.tan(b)
        - np.remainder(np.sinh(a), np.cosh(a)),
        "b**2 + 2**-k + b**a": b**2 + 2.0**-k + b**a,
        "min(a, b, 0.3) + max(k, 3)": np.minimum(np.minimum(a, b), 0.3) + np.maximum(k, 3),
        "where(a > 0, k, -k) % 3": np.where(a > 0, k, -k) % 3,
        "-a**2": -(a**2),
        "a - b - k": a - b - k,
    }.items():
        np.testing.assert_allclose(evaluate(text, c), expected, rtol=1e-14)


@given(conditions, tables())
def test_an_event_is_in_a_region_or_its_complement_or_undefined(cut, columns):
    try:
        region = Region("R", cut)
        inside, outside = region.mask(columns), (~region).mask(columns)
    except CutError:
        return
    assert not (inside & outside).any()
    assert ((~inside & ~outside) == (region.possible(columns) & ~inside)).all()
    assert (region.possible(columns) == ~outside).all()


@given(conditions, tables(), st.sampled_from(POOL), st.sampled_from(POOL))
def test_what_is_certain_stays_so_whatever_the_undefined_values_are(cut, columns, x, y):
    """The meaning of three-valued logic: filling in NaNs never changes an answer that was given."""
    try:
        region = Region("R", cut)
        inside, maybe = region.mask(columns), region.possible(columns)
        with np.errstate(over="ignore"):
            filled = columns | {
                "x": np.where(np.isnan(columns["x"]), columns["x"].dtype.type(x), columns["x"]),
                "y": np.where(np.isnan(columns["y"]), y, columns["y"]),
            }
        assert not (inside & ~region.mask(filled)).any()
        assert not (region.possible(filled) & ~maybe).any()
    except CutError:
        return


@given(conditions, tables(), st.integers(0, 24))
def test_masks_do_not_depend_on_the_chunking(cut, columns, edge):
    try:
        region = Region("R", cut)
        whole = region.mask(columns)
    except CutError:
        return
    parts = [region.mask({k: v[cut] for k, v in columns.items()}) for cut in (slice(0, edge), slice(edge, None))]
    assert (np.concatenate(parts) == whole).all()


@given(tables())
def test_lists_agree_with_a_loop_over_events(columns):
    counts = np.arange(24) % 4
    pt = np.resize(columns["y"], counts.sum())
    lists = ak.unflatten(pt, counts)
    table = {"pt": lists, "x": columns["x"]}
    some, every, count = truth("any(pt > x)", table), truth("all(pt > x)", table), evaluate("count(pt > x)", table)
    for event, (entries, x) in enumerate(zip(ak.to_list(lists), columns["x"].tolist(), strict=True)):
        passed = [None if np.isnan(p) or np.isnan(x) else p > x for p in entries]
        assert some[event] is (True if True in passed else (None if None in passed else False))
        assert every[event] is (False if False in passed else (None if None in passed else True))
        assert np.isnan(count[event]) if None in passed else count[event] == sum(passed)
