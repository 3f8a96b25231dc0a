"""Templates and graphs: what a wrong one is called, and where."""

from __future__ import annotations

import hist
import numpy as np
import pytest

from backdrop import Events
from backdrop.errors import ConfigError, DataError
from backdrop.learn.distortions import FinalTilt, Shift, Tilt, check_distortion, opposite, shifts, tilt
from backdrop.learn.graph import Template, check_graph

_LOG = hist.axis.transform.log


def axis(name: str, low: float = 0.0, high: float = 1.0, bins: int = 4) -> hist.axis.Regular:
    return hist.axis.Regular(bins, low, high, name=name)


A = Template("A", (axis("x"), axis("y")))
B = Template("B", (axis("z"),), given=(axis("x", bins=2), axis("y")))
C = Template("C", (axis("w"),), given=(axis("z"),))


def test_a_graph_is_drawn_in_its_order() -> None:
    check_graph((A, B, C))
    assert B.columns == ("x", "y", "z") and B.shape == (2, 4, 4)
    assert A.variables == ("x", "y") and C.parents == ("z",)


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        ((), "no template is given"),
        ((A, B, B), "two templates are called 'B'"),
        ((A, C), r"template 'C' is given 'z', which no template draws; drawn are x, y"),
        ((A, Template("D", (axis("v"),), (axis("xx"),))), "which no template draws, did you mean 'x'?"),
        ((A, C, B), "template 'C' is given 'z', which 'B' draws after it; put 'B' before 'C'"),
        ((A, Template("D", (axis("y"), axis("z")))), "'y' is drawn by the templates 'A' and 'D'"),
        (
            (Template("P", (axis("p"),), (axis("q"),)), Template("Q", (axis("q"),), (axis("p"),))),
            "depend on each other in a cycle: 'Q' -> 'P' -> 'Q'",
        ),
        (
            (
                Template("P", (axis("p"),), (axis("r"),)),
                Template("Q", (axis("q"),), (axis("p"),)),
                Template("R", (axis("r"),), (axis("q"),)),
            ),
            "in a cycle: 'R' -> 'Q' -> 'P' -> 'R'",
        ),
        ((A, Template("D", (axis("v"),), (axis("x", 0.0, 0.5),))), "given 'x' from 0 to 0.5, but 'A' draws it from 0"),
    ],
)  # fmt: skip
def test_a_wrong_graph_is_named(graph: tuple[Template, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_graph(graph)


def test_a_dense_graph_is_checked_at_once() -> None:
    names = [f"x{i}" for i in range(40)]
    check_graph(
        [Template(n, (axis(n, bins=1),), tuple(axis(m, bins=1) for m in names[:i])) for i, n in enumerate(names)]
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Template("A", ()), "draws no variable"),
        (lambda: Template("A", (axis("x"),), (axis("x"),)), "has two axes of 'x'"),
        (lambda: Template("A", (axis(""),)), "has no name"),
        (lambda: Template("A", (hist.axis.StrCategory(["a"], name="x"),)), "use Regular, Variable, Integer"),
        (lambda: Template("A", (hist.axis.Regular(2, 1, 9, name="x", transform=_LOG),)), "transform"),
        (lambda: Template("A", (hist.axis.Variable([0, np.inf], name="x"),)), "not finite and increasing"),
        (lambda: Template("A", tuple(axis(n, bins=1000) for n in "xyz")), "has 1000000000 bins, more than 50000000"),
    ],
)  # fmt: skip
def test_a_wrong_template_is_named(make, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()


def test_rows_outside_an_axis_have_no_bin() -> None:
    events = Events.of({"x": [0.1, 0.9, 1.0], "y": [0.0, 0.99, 0.5], "z": [-0.1, 0.3, 0.3]})
    assert B.index(events, "GR").tolist() == [-1, (1 * 4 + 3) * 4 + 1, -1]
    with pytest.raises(DataError, match="column 'z' has 1 NaN or infinite values of 1 in region 'GR'"):
        B.index(Events.of({"x": [0.1], "y": [0.1], "z": [np.nan]}), "GR")


def test_a_template_survives_its_state() -> None:
    whole = Template("N", (hist.axis.Integer(0, 5, name="n"),), (hist.axis.Variable([0, 1, 5], name="x", label="$x$"),))
    assert Template.from_state(whole.state()) == whole


def test_distortions_turn_round_and_add_up() -> None:
    moves = (Shift("x", 1.0), Shift("x", 0.5), Tilt("z", 0.2), Tilt("z", -0.1), FinalTilt("s", 0.1, 0.0, 2.0))
    assert [opposite(opposite(one)) for one in moves] == list(moves)
    assert shifts(moves) == {"x": 1.5}
    centres = np.array([0.125, 0.375, 0.625, 0.875])
    np.testing.assert_allclose(tilt(B, moves), (1 + 0.2 * centres) * (1 - 0.1 * centres))
    assert tilt(A, moves) is None
    both = tilt(A, (Tilt("y", 0.5),))
    np.testing.assert_allclose(both.reshape(4, 4), np.broadcast_to(1 + 0.5 * centres, (4, 4)))
    np.testing.assert_allclose(moves[-1].factor(np.array([-1.0, 1.0, 5.0])), [0.9, 1.0, 1.1])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: check_distortion(Shift("xx", 1.0), (A,), ()), "moves 'xx', which is not drawn, did you mean 'x'"),
        (lambda: check_distortion(Tilt("s", 1.0), (A,), ("s",)), "moves 's', which is not drawn"),
        (lambda: check_distortion(FinalTilt("t", 0.1, 0, 1), (A,), ("s",)), "which is neither drawn nor derived"),
        (lambda: check_distortion(Tilt("x", -2.0), (A,), ()), "is not positive, with either sign, in all bins of 'x'"),
        (lambda: FinalTilt("s", 1.0, 0.0, 2.0), "not positive at an end"),
        (lambda: FinalTilt("s", 0.1, 2.0, 0.0), "needs low < high"),
    ],
)  # fmt: skip
def test_a_wrong_distortion_is_named(make, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()
