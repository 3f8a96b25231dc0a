import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backdrop.errors import CutError
from backdrop.region import Region
from tests.cuts.strategies import conditions, tables

SR, VR, CR = "(hypot(a - 120, b - 110) < 25)", "(hypot(a - 120, b - 110) < 45)", "(hypot(a - 120, b - 110) < 60)"
EDGES = range(0, 400, 10)
SETTLED = " & ".join(f"((m > {i}) | (c{i} > 0))" for i in range(25))  # by m > 1000, with nothing left to choose


def disjoint(first, second):
    forwards = Region("first", first).disjoint(Region("second", second))
    assert forwards == Region("second", second).disjoint(Region("first", first))
    return forwards


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("n == 2", "n == 4"),
        ("n == 2", "n >= 3"),
        ("n == 2", "n != 2"),
        ("2 == n", "~(n == 2)"),
        ("(m < 110) | (m > 140)", "(m > 110) & (m < 140)"),
        ("m < 110", "m >= 110"),
        ("m < 110", "m > 110.5"),
        ("(m >= 110) & (m <= 110)", "m != 110"),
        ("(m < 110) & (m <= 110)", "m >= 110"),
        ("(m <= 110) & (m < 110)", "m >= 110"),
        ("(m > 110) & (m >= 110)", "m <= 110"),
        ("(m >= 110) & (m > 110)", "m <= 110"),
        ("event == 9007199254740993", "event <= 9007199254740992.0"),
        ("Q1*Q2 < 0", "Q1*Q2 > 0"),
        ("Q1*Q2 < 0", "Q2*Q1 > 0"),
        ("a + b < 0", "b + a > 0"),
        ("a > b", "b >= a"),
        ("a > b", "a < b"),
        ("a == b", "b != a"),
        ("abs(x) < 2", "x > 3"),
        ("abs(x) < 2", "x <= -2"),
        ("abs(x) > 2", "(x > -1) & (x < 1)"),
        ("abs(x) == 2", "abs(x) < 1"),
        ("abs(x) < -1", "true"),
        ("abs(-x) < 1", "x > 1"),
        ("-x > 3", "x > 0"),
        ("false", "m > 3"),
        ("(m > 3) & (m < 2)", "true"),
        ("tight", "~tight"),
        ("tight", "tight == 0"),
        ("tight & (m > 3)", "not tight and m > 3"),
        ("any(lep_pt > 30)", "~any(lep_pt > 30)"),
        ("count(lep_pt > 30) == 2", "count(lep_pt > 30) >= 3"),
        ("lep_pt[0] > 30", "lep_pt[0] < 20"),
        ("where(tight, a > 1, b > 1)", "~where(tight, a > 1, b > 1)"),
        (SR, f"{VR} & ~{SR}"),
        (SR, f"{CR} & ~{VR}"),
        (f"{VR} & ~{SR}", f"{CR} & ~{VR}"),
        (f"{SR} & (n == 4)", f"{SR} & (n == 2)"),
        (f"({SR} | {VR}) & ~({SR} & (n == 4))", f"{SR} & (n == 4)"),
        ("(a > 1) & (b > 1)", "(c > 1) & ~(b > 1)"),
        ("a & ~((b | c) & (d | e))", "(c | b) & (e | d) & z"),
        ("(p | q) & (p | ~q)", "~p"),
        ("(a > 0) | (b > 0)", "((a < 0) | (c > 0)) & (b < 0) & (a <= 0)"),
        (f"(m > 1000) & {SETTLED} & ((n == 1) | (n == 2) | (n == 3))", "(n == 4) | (n == 5) | (n == 6)"),
        (" | ".join(f"(n == {i})" for i in range(100)), " | ".join(f"(n == {i})" for i in range(100, 200))),
        (
            " | ".join(f"((m > {e}) & (m < {e + 5}))" for e in EDGES),
            " | ".join(f"((m > {e + 5}) & (m < {e + 10}))" for e in EDGES),
        ),
    ],
)
def test_proven(first, second):
    assert disjoint(first, second)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("true", "true"),
        ("m > 3", "m > 4"),
        ("m <= 3", "m >= 3"),
        ("m > 3", "n > 3"),
        ("m != 3", "m != 4"),
        ("a >= b", "b >= a"),
        ("a > b", "b > c"),
        ("abs(x) > 2", "x < 0"),
        ("abs(x) != -1", "x > 0"),
        ("any(pt > 3)", "any(pt < 3)"),
        ("a - b > 0", "b - a > 0"),  # true on paper, but no arithmetic is done on expressions
        ("x * 3 > 0.3", "x < 0.1"),  # rounding may put a value in both
        ("x * 2 > 3", "x * 2.0 < 3"),
        ("(a > 1) & (b > 1)", "(c > 1) & ~(d > 1)"),
    ],
)
def test_not_proven(first, second):
    assert not disjoint(first, second)


@given(conditions)
def test_a_region_is_disjoint_from_its_complement(cut):
    try:
        region = Region("R", cut)
    except CutError:
        return
    assert region.disjoint(~region)
    assert (~region).disjoint(region & Region("other", "zzz > 1"))
    assert Region.everything().disjoint(region & ~region)


@given(conditions, conditions)
def test_taking_a_region_out_makes_disjoint(first, second):
    try:
        selected, sealed = Region("selected", first), Region("sealed", second)
    except CutError:
        return
    assert (selected & ~sealed).disjoint(sealed)


@settings(max_examples=300)
@given(st.lists(conditions, min_size=2, max_size=5), tables(rows=60))
def test_no_event_is_in_two_disjoint_regions(cuts, columns):
    regions = []
    for cut in cuts:
        try:
            region = Region("R", cut)
            regions.append((region, region.mask(columns)))
        except CutError:
            continue
    for region, mask in regions:
        for other, other_mask in regions:
            if region.disjoint(other):
                assert not (mask & other_mask).any(), (region, other)


numbers = st.sampled_from(["0", "1", "-1", "2", "0.1", "2.5", "9007199254740993", "9007199254740992.0"])
bounds = st.builds(
    "({} {} {})".format,
    st.sampled_from(["x", "n", "abs(x)", "abs(n)", "-x", "x * y", "y * x", "abs(x) - 1"]),
    st.sampled_from(["<", "<=", ">", ">=", "==", "!="]),
    numbers,
)


@settings(max_examples=500)
@given(st.lists(bounds, min_size=1, max_size=3), st.lists(bounds, min_size=1, max_size=3), tables(rows=200))
def test_bounds_are_sound_to_the_last_bit(first, second, columns):
    selected, other = Region("A", " & ".join(first)), Region("B", " & ".join(second))
    if selected.disjoint(other):
        assert not (selected.mask(columns) & other.mask(columns)).any()


def test_small_boolean_formulas_are_decided_completely():
    """Over independent flags the search is complete: compare with the full truth table."""
    rng = np.random.default_rng(5)
    names = ["a", "b", "c", "d"]
    table = {name: (np.arange(16) >> place & 1).astype(bool) for place, name in enumerate(names)}
    decided = 0
    for _ in range(300):
        clauses = [
            " | ".join(("~" if rng.random() < 0.5 else "") + str(name) for name in rng.choice(names, 2, replace=False))
            for _ in range(6)
        ]
        first = Region("first", " & ".join(f"({clause})" for clause in clauses[:3]))
        second = Region("second", " & ".join(f"({clause})" for clause in clauses[3:]))
        expected = not (first.mask(table) & second.mask(table)).any()
        assert first.disjoint(second) == expected
        decided += expected
    assert decided > 20


def test_hard_cuts_are_given_up_in_bounded_time():
    pigeons, holes = 8, 7  # a proof needs exponentially many steps
    clauses = [" | ".join(f"p{i}{j}" for j in range(holes)) for i in range(pigeons)]
    clauses += [f"~p{i}{j} | ~p{k}{j}" for j in range(holes) for i in range(pigeons) for k in range(i)]
    region = Region("pigeons", " & ".join(f"({clause})" for clause in clauses))
    start = time.perf_counter()
    assert not region.disjoint(Region("other", "m > 3"))
    assert time.perf_counter() - start < 20


def test_the_answer_does_not_depend_on_the_names():
    assert Region("same", "m > 3").disjoint(Region("same", "m < 3"))
    assert not Region("one", "m > 3").disjoint(Region("two", "m > 3"))
