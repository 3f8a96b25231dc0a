import operator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backdrop.cuts import arithmetic

RELATIONS = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
relations = st.sampled_from(sorted(RELATIONS))
corners = [0, 1, -1, 127, 2**24 + 1, 2**31, 2**53, 2**53 + 1, -(2**53) - 1, 2**63 - 1, 2**63, 2**64 - 1, -(2**63)]
integers = st.one_of(st.sampled_from(corners), st.integers(-(2**63), 2**64 - 1))
floats = st.one_of(
    st.sampled_from([0.1, -0.1, 0.5, 2.0**53, 2.0**63, 1e300, -1e300, 5e-324, 65504.5]),
    st.floats(allow_nan=False, allow_infinity=False),
)
dtypes = st.sampled_from(["f2", "f4", "f8", ">f4", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", ">i8"])


@given(relations, dtypes, st.lists(st.one_of(integers, floats), min_size=1), st.one_of(integers, floats))
def test_comparison_with_a_constant_is_exact_for_every_type(relation, dtype, values, constant):
    """Python compares int and float exactly: the oracle."""
    array = stored(values, np.dtype(dtype))
    expected = [RELATIONS[relation](value, constant) for value in array.tolist()]
    assert arithmetic.compare(relation, array, constant).tolist() == expected


@given(relations, st.sampled_from(["i8", "i4"]), st.sampled_from(["u8", "i8", "u1"]), st.lists(integers, min_size=1))
def test_integers_compare_exactly_with_one_another(relation, left, right, values):
    first, second = stored(values, np.dtype(left)), stored(values[::-1], np.dtype(right))
    expected = [RELATIONS[relation](a, b) for a, b in zip(first.tolist(), second.tolist(), strict=True)]
    assert arithmetic.compare(relation, first, second).tolist() == expected


def stored(values, dtype):
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            return np.array([float(value) for value in values]).astype(dtype)
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    return np.array([min(max(int(value), int(low)), int(high)) for value in values], dtype=dtype)


@pytest.mark.parametrize("relation", RELATIONS)
def test_nothing_holds_for_nan(relation):
    nan, one = np.array([np.nan, np.nan], dtype="f4"), np.array([1.0, np.nan])
    assert not arithmetic.compare(relation, nan, 1.0).any()
    assert not arithmetic.compare(relation, nan, 2**53 + 1).any()
    assert not arithmetic.compare(relation, nan, one).any()


exact = {"+": operator.add, "-": operator.sub, "*": operator.mul, "%": operator.mod, "min": min, "max": max}


@given(st.sampled_from(sorted(exact)), st.lists(st.tuples(integers, integers), min_size=1, max_size=4), dtypes, dtypes)
def test_integer_arithmetic_is_exact_or_refused(function, pairs, left, right):
    first = stored([pair[0] for pair in pairs], np.dtype(left))
    second = stored([pair[1] for pair in pairs], np.dtype(right))
    if first.dtype.kind == "f" or second.dtype.kind == "f":
        return
    pairs = list(zip(first.tolist(), second.tolist(), strict=True))
    try:
        result = arithmetic.apply(function, [first, second]).tolist()
    except OverflowError:
        # refused as a whole: some value, or some pairing of the values met, needs more than 64 bits
        reach = [value for pair in pairs for value in pair]
        reach += [exact[function](a, b) for a, _ in pairs for _, b in pairs if b or function != "%"]
        assert max(reach) >= 2**64 or (min(reach) < 0 and max(reach) >= 2**63) or min(reach) < -(2**63)
        return
    for value, (a, b) in zip(result, pairs, strict=True):
        if function == "%" and b == 0:
            assert np.isnan(value)
        elif function != "%" or abs(exact[function](a, b)) < 2**53:
            assert value == exact[function](a, b)


def test_narrow_integers_neither_wrap_nor_change_sign():
    small = np.array([200, 100], dtype=np.uint8)
    assert arithmetic.apply("+", [small, small]).tolist() == [400, 200]
    assert arithmetic.apply("-", [small, np.asarray(250)]).tolist() == [-50, -150]
    assert arithmetic.apply("neg", [small]).tolist() == [-200, -100]
    assert arithmetic.apply("abs", [np.array([-128], dtype=np.int8)]).tolist() == [128]
    with pytest.raises(OverflowError):
        arithmetic.apply("abs", [np.array([-(2**63)])])


def test_event_numbers_keep_their_parity():
    event = np.array([2**63 + 1, 2**63 + 2, 2**53 + 1], dtype=np.uint64)
    assert arithmetic.apply("%", [event, np.asarray(2)]).tolist() == [1, 0, 1]


def test_division_and_powers_are_real_numbers():
    n = np.array([1, 2, -3])
    assert arithmetic.apply("/", [n, np.asarray(2)]).tolist() == [0.5, 1.0, -1.5]
    assert arithmetic.apply("**", [n, np.asarray(-1)]).tolist() == [1.0, 0.5, pytest.approx(-1 / 3)]
    assert arithmetic.apply("**", [n, n]).tolist() == [1.0, 4.0, pytest.approx(-1 / 27)]


@pytest.mark.parametrize("function", arithmetic.ARITY)
def test_nan_makes_the_result_nan(function):
    if function == "where":
        return
    fewest, most = arithmetic.ARITY[function]
    for other in (0.0, 1.0, np.inf, -np.inf):
        for place in range(fewest):
            arguments = [np.array([other])] * fewest
            arguments[place] = np.array([np.nan])
            assert np.isnan(arithmetic.apply(function, arguments)).all()
            arguments = [np.asarray(other)] * fewest
            arguments[place] = np.array([np.nan])
            assert np.isnan(arithmetic.apply(function, arguments)).all()
    assert most != 1 or fewest == 1


def test_what_is_not_defined_is_nan_without_a_warning():
    zero, minus = np.array([0.0]), np.array([-1.0])
    for result in (
        arithmetic.apply("/", [zero, zero]),
        arithmetic.apply("%", [zero, zero]),
        arithmetic.apply("sqrt", [minus]),
        arithmetic.apply("log", [minus]),
        arithmetic.apply("**", [minus, np.array([0.5])]),
        arithmetic.apply("%", [np.array([3]), np.array([0])]),
    ):
        assert np.isnan(result).all()
