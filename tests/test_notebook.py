"""What objects look like in a notebook: escaped, of any theme, and blind."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import awkward as ak
import hist
import numpy as np
import pytest

from backdrop import Channel, Estimate, Events, Region, Setup, closure, estimate, fit, seal, workspace
from backdrop._notebook import measured
from backdrop.methods.abcd import Plane
from backdrop.plot import prediction
from backdrop.synthetic import GaussianPlane

HOSTILE = "<script>alert('x')</script> & \"y\""
SENTINEL = 131.1234
SR = Region("SR", "(m > 120) & (m < 140)")


class Tree(HTMLParser):
    """The tags of a page and its text; every tag that was opened is closed."""

    VOID = ("circle", "path")

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(page)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.add(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data if self.open[-1] != "style" else ""


def channel(name: str, low: float, high: float, bins: int = 4) -> Channel:
    axis = hist.axis.Regular(bins, low, high, name="m", label=HOSTILE)
    return Channel(name, Region(name, f"(m > {low}) & (m < {high})"), (axis,))


@pytest.fixture(scope="module")
def objects() -> dict[str, object]:
    """One of each kind, with names that are markup."""
    plane = Plane("x1", "x2", 1.0, 1.0)
    method = plane.abcd()
    data = GaussianPlane(fakes=20_000, reals=0).draw(seed=1, sample=HOSTILE)
    window = Channel(HOSTILE, plane.region & SR, channel("SR", 120, 140).axes)
    side = Channel("VR", plane.region & Region("high mass", "m > 140"), channel("VR", 140, 200).axes)
    found = estimate(Setup(method, data), [window, side], replicas=20, seed=1)
    found = found.with_variation(HOSTILE, 1.1 * found.nominal)
    test = closure(found, data.select(side.region & method.target), channel="VR")
    return {
        "Region": Region(HOSTILE, "m > 1"),
        "Events": data,
        "Channel": window,
        "Estimate": found,
        "Closure": test,
        "FitResult": fit(workspace({"fakes": found}, {"signal": 0.1 * found.only(HOSTILE, "VR")})),
    }


@pytest.mark.parametrize("kind", ["Region", "Events", "Channel", "Estimate", "Closure", "FitResult"])
def test_every_object_is_well_formed_escaped_and_takes_the_colours_of_the_page(objects, kind):
    page = objects[kind]._repr_html_()
    tree = Tree(page)
    assert tree.text.startswith(kind)
    known = {"style", "div", "table", "thead", "tbody", "tr", "th", "td", "code", "svg", "path", "circle"}
    assert tree.tags <= known
    assert not {name for name in tree.attributes if name.startswith("on")}
    assert not re.search(r"#[0-9a-fA-F]{3,6}\b|\bwhite\b|\bblack\b|url\(|@import|https?:", page)
    if kind not in ("Closure", "FitResult"):
        assert HOSTILE in tree.text


def read(inside: np.ndarray, reveal: tuple[str, ...] = ()) -> Events:
    """Return sealed events whose sealed rows hold `inside`."""
    mass = np.concatenate([inside, [100.0, 150.25, 160.0]])
    columns = {"m": mass, "pt": ak.Array([[float(one), 1.0] for one in mass])}
    weight = np.where(np.arange(len(mass)) < len(inside), 7.0, 1.0)
    return Events.of(columns, weight=weight, seal=seal(SR, reveal))


@pytest.mark.parametrize("reveal", [(), ("m",)])
def test_events_show_their_open_rows_and_the_seal_and_nothing_of_the_sealed_rows(reveal):
    events = read(np.array([SENTINEL]), reveal)
    tree = Tree(events._repr_html_())
    assert "150.25" in tree.text
    assert "SR" in tree.text and SR.cut in tree.text
    assert "data33" in tree.text  # the sample, its 3 open rows and their sum of weights
    assert "131" not in tree.text
    for other in (np.full(5, np.nan), np.array([125.0, 126.0]), np.zeros(0)):
        assert read(other, reveal)._repr_html_() == events._repr_html_()
    assert events.select(~SR)._repr_html_() == events._repr_html_()


def test_events_show_the_first_rows_and_the_names_of_further_columns():
    many = Events.of({f"c{i}": np.arange(9.0) + i / 8 for i in range(12)})
    text = Tree(many._repr_html_()).text
    assert "the first 5 of 9 open rows" in text
    assert "4 more columns: c8, c9, c10, c11" in text
    assert "3.125" in text and "5.125" not in text
    assert "all open rows" in Tree(many.select(Region("none", "c0 < 0"))._repr_html_()).text


def test_an_estimate_shows_predictions_and_no_observed_column(objects):
    found = objects["Estimate"]
    text = Tree(found._repr_html_()).text
    assert "observed" not in text
    assert f"{found.total('VR').value:.0f} ± " in text
    assert "data (20)" in text
    flat = replace(found, channels=(channel("SR", 120, 140, 4), channel("VR", 140, 200, 4)))
    assert Tree(flat._repr_html_()).tags >= {"svg"}


def test_channels_of_several_axes_or_many_bins_are_told_without_a_drawing():
    two = Channel("two", SR, (*channel("SR", 120, 140, 3).axes, hist.axis.Regular(2, 0, 1, name="x")))
    many = channel("many", 140, 200, 300)
    found = Estimate((two, many), np.ones(306), np.ones(306))
    assert "svg" not in Tree(found._repr_html_()).tags


def test_a_fit_without_data_says_so(objects):
    result = objects["FitResult"]
    text = Tree(result._repr_html_()).text
    assert "sealed, or not given" in text and "observed limit" not in text
    state = json.loads(json.dumps(result.state()))
    name = next(iter(state["postfit"]))
    state["postfit"][name]["observed"] = [12.0, 30.0]
    assert "42" in Tree(type(result).from_state(state)._repr_html_()).text


def test_the_drawing_has_a_step_for_each_bin_and_a_point_where_something_was_observed(objects):
    page = objects["Closure"]._repr_html_()
    assert page.count("<circle") == 4
    line = re.search(r'<path d="([^"]+)" fill="none"', page)
    assert line and line[1].count("L") == 7
    heights = [float(one.split(",")[1]) for one in line[1].removeprefix("M").split("L")]
    predicted = objects["Closure"].predicted
    drop = (heights[2] - heights[0]) / (heights[4] - heights[0])
    assert drop == pytest.approx((predicted[0] - predicted[1]) / (predicted[0] - predicted[2]), abs=0.02)


def test_a_figure_is_shown_without_pyplot(objects):
    picture, size = prediction(objects["Estimate"], "VR")._repr_png_()
    assert picture.startswith(b"\x89PNG")
    pixels = [int.from_bytes(picture[at : at + 4], "big") for at in (16, 20)]
    assert pixels == [2 * size["width"], 2 * size["height"]]
    assert 400 < size["width"] < 800


def test_a_strength_of_zero_is_printed_as_one():
    assert (measured(-6.5e-16, 0.58), measured(6226.6, 263.0)) == ("0.00 ± 0.58", "6227 ± 263")
