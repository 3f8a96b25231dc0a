"""Cut flows, region maps and further variables: right numbers, and none that a seal hides."""

from __future__ import annotations

import hist
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backdrop import Channel, Events, Region
from backdrop.errors import CutError
from backdrop.events import Sealed
from backdrop.validation import CutFlow, RegionMap, Use, Variable, cut_flow, variable
from backdrop.validation.cutflow import may_count, steps

_SR = Region("SR", "(m > 110) & (m < 140) & (x > 1)")


def _table(n: int = 400, seed: int = 1) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {"m": rng.uniform(80, 200, n), "x": rng.normal(1, 1, n), "w": rng.normal(1, 0.3, n)}


def test_every_step_is_the_sum_of_weights_after_the_cuts_so_far() -> None:
    table = _table()
    flow = cut_flow({"mc": Events.of(table, sample="mc", weight="w")}, _SR)
    assert flow.cuts == ("m > 110", "m < 140", "x > 1")
    masks = [np.ones(400, bool), table["m"] > 110, table["m"] < 140, table["x"] > 1]
    for i in range(4):
        inside = np.logical_and.reduce(masks[: i + 1])
        assert flow.yields[i, 0] == pytest.approx(table["w"][inside].sum(), rel=1e-12)
        assert flow.sumw2[i, 0] == pytest.approx((table["w"][inside] ** 2).sum(), rel=1e-12)


def test_steps_that_may_hold_sealed_rows_have_no_number() -> None:
    data = Events.of(_table(), seal=_SR)
    flow = cut_flow({"data": data, "mc": Events.of(_table(), sample="mc")}, Region("VR", "(x > 1) & (m < 110)"))
    assert flow.hidden[:, 0].tolist() == [True, True, False]
    assert not flow.hidden[:, 1].any()
    low = Region("low", "(m < 150) & (x < 1) & (m > 90)")
    assert cut_flow({"data": data}, low).hidden[:, 0].tolist() == [True, True, False, False]
    assert cut_flow({"data": data}, _SR).hidden.all()


def test_all_that_lies_outside_the_seal_is_not_counted() -> None:
    data = Events.of(_table(), seal=Region("SR", "(m > 110) & (m < 140)"))
    assert may_count(data, Region("part", "(m <= 110) | (m >= 150)"))
    for cut in ("~((m > 110) & (m < 140))", "(m <= 110) | (m >= 140)", "true", "m > 110"):
        assert not may_count(data, Region("rest", cut)), cut
    assert may_count(data.select(Region("low", "m < 100")), Region("rest", "true"))


_names = st.sampled_from(["m", "x"])
_atoms = st.tuples(_names, st.sampled_from(["<", "<=", ">", ">="]), st.floats(-2, 200)).map(
    lambda one: f"({one[0]} {one[1]} {one[2]!r})"
)
_cuts = st.recursive(
    _atoms, lambda inner: st.tuples(inner, st.sampled_from("&|"), inner).map(" ".join).map("({})".format)
)


@given(_cuts, _cuts, st.lists(st.tuples(st.floats(80, 200), st.floats(-2, 4)), max_size=20))
def test_no_number_depends_on_rows_in_the_seal(sealed: str, selection: str, rows: list[tuple[float, float]]) -> None:
    hidden, table = Region("SR", sealed), _table()
    opened = hidden.mask(table)
    base = {name: values[~opened] for name, values in table.items()}
    added = {"m": [row[0] for row in rows], "x": [row[1] for row in rows], "w": [7.0] * len(rows)}
    kept = hidden.mask({name: np.array(values, float) for name, values in added.items()})
    more = {name: np.concatenate([base[name], np.array(values, float)[kept]]) for name, values in added.items()}
    flows = [
        cut_flow({"data": Events.of(one, weight="w", seal=hidden)}, Region("S", selection)) for one in (base, more)
    ]
    np.testing.assert_array_equal(flows[0].yields, flows[1].yields)
    shown = [step for step, shut in zip(steps(Region("S", selection)), flows[0].hidden[:, 0], strict=True) if not shut]
    for step in shown:
        # a fully open count and the rest of the file never differ by the sealed rows alone
        assert step.disjoint(hidden) and not (~step).disjoint(~hidden)


def test_the_parts_of_a_cut_are_its_conjunction() -> None:
    region = Region("R", "x > 1 and (m > 2 or m < 1) and ((m < 9) & ~(x == 3))")
    assert [term.cut for term in region.terms] == ["x > 1", "m > 2 or m < 1", "m < 9", "~(x == 3)"]
    table = {"x": np.arange(10.0), "m": np.arange(10.0)[::-1]}
    together = np.logical_and.reduce([term.mask(table) for term in region.terms])
    assert (together == region.mask(table)).all()
    assert [term.cut for term in region.without("m").terms] == ["x > 1", "~(x == 3)"]
    assert region.without("z") is region
    assert region.thresholds("m") == (1.0, 2.0, 9.0) and region.thresholds("x") == (1.0, 3.0)


def test_a_lacking_column_is_named() -> None:
    with pytest.raises(CutError, match="z"):
        cut_flow({"mc": Events.of(_table())}, Region("typo", "(m > 1) & (z > 2)"))


def test_relations_of_sets_follow_from_their_cuts() -> None:
    cuts = {"SR": "(m > 110) & (m < 140)", "same": "(m < 140) & (m > 110)", "wide": "m > 100", "other": "y > 1"}
    found = RegionMap.of([Use(name, "observed", cut) for name, cut in cuts.items()])
    assert found.relations[0] == ("same", "same", "inside", "overlap")
    assert found.relations[2] == ("around", "around", "same", "overlap")
    assert RegionMap.from_state(found.state()) == found
    flow = cut_flow({"mc": Events.of(_table())}, _SR)
    again = CutFlow.from_state(flow.state())
    assert again.cuts == flow.cuts and (again.yields == flow.yields).all()


# ---- further variables -----------------------------------------------------------------------------------------------

_MASS = hist.axis.Regular(6, 80, 200, name="m")
_VR = Channel("VR", Region("VR", "(x > 1) & ~((m > 110) & (m < 140))"), (_MASS,))


def test_bins_that_may_hold_sealed_rows_are_left_out_on_both_sides() -> None:
    found = variable(_VR, _MASS, Region("t", "t > 0"), [Sealed("data", Region("S", "(m > 110) & (m < 140) & (t > 0)"))])
    assert found is not None
    assert (found.hidden, found.dropped, found.thresholds) == ((1, 2), ("~((m > 110) & (m < 140))",), (110.0, 140.0))
    m = np.linspace(70, 210, 1401)
    inside = found.channel.region.mask({"x": np.full(len(m), 2.0), "m": m})
    assert not inside[(m >= 100) & (m < 140)].any()
    assert inside[(m >= 80) & (m < 100)].all() and inside[(m >= 140) & (m < 200)].all()
    assert not inside[(m < 80) | (m >= 200)].any()
    assert Variable.from_state(found.state()) == found


def test_a_variable_that_no_seal_touches_keeps_the_other_cuts_as_they_are() -> None:
    found = variable(_VR, _MASS, Region("t", "t < 0"), [Sealed("data", Region("S", "(m > 110) & (t > 0)"))])
    assert found is not None and found.hidden == () and found.channel.region.cut == "x > 1"
    free = variable(_VR, hist.axis.Regular(2, 0, 1, name="z"), Region.everything(), [])
    assert free is not None and free.dropped == () and free.channel.region == _VR.region
    assert variable(_VR, _MASS, Region.everything(), [Sealed("data", Region("S", "x > 0"))]) is None
