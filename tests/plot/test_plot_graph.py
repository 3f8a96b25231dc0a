"""Figure of a graph: what it shows, and where."""

import hist
import pytest

from backdrop import plot
from backdrop.errors import ConfigError
from backdrop.learn.graph import Template


def axis(name, label=""):
    return hist.axis.Regular(2, 0, 1, name=name, label=label)


GRAPH = (
    Template("A", (axis("x", r"$p_{T}$ [GeV]"), axis("y"))),
    Template("B", (axis("z"),), given=(axis("x"), axis("y"))),
    Template("C", (axis("a_rather_long_name"),), given=(axis("z"),)),
    Template("D", (axis("w"),)),
)


def test_every_template_is_a_box_and_every_variable_given_an_arrow():
    figure = plot.graph(GRAPH, label="CMS Simulation")
    (axes,) = figure.axes
    kinds = [type(patch).__name__ for patch in axes.patches]
    assert (kinds.count("FancyBboxPatch"), kinds.count("Ellipse"), kinds.count("FancyArrowPatch")) == (4, 5, 3)
    texts = [text.get_text() for text in axes.texts]
    assert {"A", "B", "C", "D", "$p_{T}$", "y", "z", "w", "a_rather_lo…"} <= set(texts)
    assert plot.numbers(figure)["templates"][1] == {"name": "B", "draws": ["z"], "given": ["x", "y"]}


def test_children_stand_at_the_right_of_their_parents_and_single_ones_below():
    figure = plot.graph(GRAPH)
    boxes = [patch for patch in figure.axes[0].patches if type(patch).__name__ == "FancyBboxPatch"]
    a, b, c, d = (box.get_bbox() for box in boxes)
    assert a.x1 < b.x0 and b.x1 < c.x0
    assert d.y1 < min(box.y0 for box in (a, b, c))
    low, high = figure.axes[0].get_ylim()
    assert all(low < box.y0 and box.y1 < high for box in (a, b, c, d))


def test_a_wrong_graph_is_refused():
    with pytest.raises(ConfigError, match="put 'A' before 'B'"):
        plot.graph(GRAPH[1::-1])
