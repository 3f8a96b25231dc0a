import copy
import pickle
import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import given

from backdrop.errors import CutError
from backdrop.region import Region, evaluate, expression_columns
from tests.cuts.strategies import conditions, tables

SR, FOUR_B, CR = Region("SR", "(m > 110) & (m < 140)"), Region("4b", "n == 4"), Region("CR", "m < 90 or m > 160")


def test_names_and_cuts_are_joined_with_the_brackets_they_need():
    assert (SR & FOUR_B) == Region("SR & 4b", "(m > 110) & (m < 140) & (n == 4)")
    assert (FOUR_B | CR) == Region("4b | CR", "(n == 4) | (m < 90 or m > 160)")
    assert (SR & CR).cut == "(m > 110) & (m < 140) & (m < 90 or m > 160)"
    assert ((SR | CR) & FOUR_B).name == "(SR | CR) & 4b"
    assert ((SR & CR) & FOUR_B).name == "SR & CR & 4b"
    assert (~SR) == Region("~SR", "~((m > 110) & (m < 140))")
    assert (~(SR & FOUR_B)).name == "~(SR & 4b)"
    assert (~Region("T", "tight")).cut == "~tight"
    assert (Region("T", "tight") & ~FOUR_B).cut == "tight & (~(n == 4))"


def test_only_regions_are_joined():
    with pytest.raises(TypeError):
        SR & "n == 4"
    with pytest.raises(TypeError):
        SR | True


def test_many_regions_can_be_joined():
    union = Region("w0", "n == 0")
    for i in range(1, 150):
        union |= Region(f"w{i}", f"n == {i}")
    assert union.mask({"n": np.array([-1, 0, 149, 150])}).tolist() == [False, True, True, False]
    assert (SR & ~union).disjoint(union)


def test_everything():
    assert Region.everything() == Region("all", "true")
    assert Region.everything().mask({"m": np.array([1.0, np.nan])}).all()
    assert not (~Region.everything()).possible({"m": np.array([1.0, np.nan])}).any()


@pytest.mark.parametrize("name", ["", "  ", None, 3])
def test_a_region_needs_a_name(name):
    with pytest.raises(CutError, match="name"):
        Region(name, "m > 3")


def test_a_bad_cut_is_refused_at_once_and_names_the_region():
    with pytest.raises(CutError, match="region 'SR': comparisons are not chained"):
        Region("SR", "110 < m < 140")
    with pytest.raises(CutError, match="region 'SR': a cut is a text, not list"):
        Region("SR", ["m > 3"])


def test_regions_are_values():
    assert len({SR, Region("SR", SR.cut), CR}) == 2
    assert pickle.loads(pickle.dumps(SR)) == SR == copy.deepcopy(SR)
    with pytest.raises(AttributeError):
        SR.cut = "true"


def test_repr_is_short():
    assert repr(CR) == "Region('CR', 'm < 90 or m > 160')"
    assert len(repr(Region("long", " & ".join(["(m > 110)"] * 100)))) < 110


def test_columns_are_what_the_cut_reads():
    assert (SR & FOUR_B).columns == {"m", "n"}
    assert Region.everything().columns == frozenset()
    assert expression_columns("sqrt(2 * pt1 * pt2 * (cosh(eta1 - eta2) - cos(phi1 - phi2))) + lep_pt[0]") == {
        "pt1", "pt2", "eta1", "eta2", "phi1", "phi2", "lep_pt",
    }  # fmt: skip


def test_a_seal_takes_the_undefined_events_and_leaves_what_is_disjoint():
    seal = SR & FOUR_B
    events = {"m": np.array([125.0, np.nan, np.nan, 200.0, 125.0]), "n": np.array([4, 4, 2, 4, 2])}
    assert seal.possible(events).tolist() == [True, True, False, False, False]
    assert (~seal).mask(events).tolist() == [False, False, True, True, True]
    assert seal.mask(events).tolist() == [True, False, False, False, False]


@given(conditions, conditions, tables())
def test_the_algebra_of_regions_is_that_of_their_masks(first, second, columns):
    try:
        a, b = Region("a", first), Region("b", second)
        in_a, in_b = a.mask(columns), b.mask(columns)
    except CutError:
        return
    assert ((a & b).mask(columns) == (in_a & in_b)).all()
    assert ((a | b).mask(columns) == (in_a | in_b)).all()
    assert ((a & b).possible(columns) == (a.possible(columns) & b.possible(columns))).all()
    assert ((a | b).possible(columns) == (a.possible(columns) | b.possible(columns))).all()
    assert ((~~a).mask(columns) == in_a).all()
    assert ((~(a & b)).mask(columns) == (~a | ~b).mask(columns)).all()
    assert ((a & b & a | b).mask(columns) == ((in_a & in_b) | in_b)).all()


@given(conditions, tables())
def test_a_condition_as_an_expression_is_its_mask(cut, columns):
    try:
        mask = Region("R", cut).mask(columns)
    except CutError:
        return
    assert (evaluate(cut, columns) == mask).all()


def test_a_mask_costs_what_numpy_costs():
    m = np.random.default_rng(1).uniform(50, 200, 1_000_000)

    def seconds(function):
        start = time.process_time()
        function()
        return time.process_time() - start

    pairs = [(seconds(lambda: SR.mask({"m": m})), seconds(lambda: (m > 110) & (m < 140))) for _ in range(40)]
    ours, plain = (min(times) for times in zip(*pairs, strict=True))
    assert ours < 2 * plain  # 1.1 on a quiet machine


def test_importing_regions_imports_numpy_at_most():
    code = "import sys, backdrop.region; print({'awkward', 'scipy', 'pandas', 'torch'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
