"""Figures of drawn densities: what they show, and where."""

import hist
import numpy as np
import pytest

from backdrop import plot
from backdrop.learn.pictures import LayersPicture, PairsPicture, PlanePicture

BINS = 6
X, Y = (hist.axis.Regular(BINS, 80, 170, name=name, label=f"${name}$ [GeV]") for name in ("m1", "m2"))


def plane(axes=(X, Y), names=("year 2016", "year 2017"), *, sealed=True):
    size = int(np.prod([len(axis) for axis in axes]))
    mean = np.linspace(20, 60, len(names) * size).reshape(len(names), size)
    observed = np.random.default_rng(1).poisson(mean).astype(float)
    trained = np.ones(size, bool)
    trained[size // 3 : size // 2] = False
    if sealed:
        observed[:, ~trained] = np.nan
    return PlanePicture(axes, names, observed, observed, mean, 0.05 * mean, trained)


def pictures(features=3, layers=4, n=2000):
    rng = np.random.default_rng(3)
    names = tuple(f"x{i}" for i in range(features))
    steps = [rng.normal(i / layers, 1.0, (n, features)) for i in range(layers + 1)]
    seen, weight = rng.normal(1.0, 0.8, (300, features)), np.full(300, 2.0)
    return LayersPicture.of(names, steps), PairsPicture.of(names, "SR", seen, weight, steps[-1])


def test_a_plane_has_a_row_a_category_and_hatches_what_is_sealed():
    one = plane()
    figure = plot.plane(one, label="CMS Simulation")
    maps = [axes for axes in figure.axes if axes.get_xlim() == (80, 170)]
    assert len(maps) == 2 * 4
    seen, fitted, _, pulls = maps[:4]
    alone = next(axes for axes in figure.axes if axes.get_ylabel() == "Share of the bins")
    hidden = np.ma.getmaskarray(seen.collections[0].get_array()).ravel()
    np.testing.assert_array_equal(hidden, ~one.trained.reshape(BINS, BINS).T.ravel())
    assert seen.patch.get_hatch() and pulls.patch.get_hatch()
    frame = seen.collections[1].get_segments()
    missing = one.trained.reshape(BINS, BINS)
    assert len(frame) == (missing[1:] != missing[:-1]).sum() + (missing[:, 1:] != missing[:, :-1]).sum() > 0
    shown = fitted.collections[0].get_array().reshape(BINS, BINS).T.ravel()
    np.testing.assert_allclose(shown, one.mean[0])
    assert seen.collections[0].get_clim() == fitted.collections[0].get_clim()
    assert seen.get_ylabel() == "$m2$ [GeV]" and not seen.get_xlabel()
    assert maps[4].get_xlabel() == "$m1$ [GeV]"
    assert alone.texts[0].get_text() == "year 2016"


@pytest.mark.parametrize("sealed", [True, False])
def test_pulls_are_quoted_for_trained_bins_and_for_others_that_are_open(sealed):
    one = plane(sealed=sealed)
    figure = plot.plane(one)
    found = plot.numbers(figure)["summary"]["year 2017"]
    own = (one.mean[1] - one.observed[1]) / np.sqrt(one.observed[1])
    assert found["trained bins"] == one.trained.sum()
    assert found["trained mean"] == pytest.approx(own[one.trained].mean())
    assert found["trained width"] == pytest.approx(own[one.trained].std(ddof=1))
    assert ("not trained bins" in found) is not sealed
    alone = next(axes for axes in figure.axes if axes.get_ylabel() == "Share of the bins")
    texts = [text.get_text() for text in alone.get_legend().get_texts()]
    assert len(texts) == (1 if sealed else 2)
    assert f"width {plot.numbers(figure)['summary']['year 2016']['trained width']:.2f}" in texts[0]


def test_one_conditioning_variable_is_a_histogram():
    one = plane((X,), ("",), sealed=True)
    figure = plot.plane(one)
    line, alone = figure.axes
    assert line.get_xlabel() == "$m1$ [GeV]" and line.get_ylabel() == "Events / 15 GeV"
    spans = [patch for patch in line.patches if patch.get_hatch()]
    assert len(spans) == (~one.trained).sum()
    assert alone.get_xlabel().startswith("(Fitted")
    assert plot.numbers(figure)["edges m1"] == X.edges.tolist()


def test_three_conditioning_variables_leave_the_pulls():
    z = hist.axis.Regular(2, 0, 1, name="z")
    assert len(plot.plane(plane((X, Y, z), ("",))).axes) == 1


def test_bins_without_events_have_no_pull():
    one = plane()
    one.observed[0, 0] = 0.0
    assert np.isnan(one.pulls[0, 0]) and np.isfinite(one.pulls[0, 1])


def test_layers_are_columns_and_features_rows():
    one, _ = pictures()
    figure = plot.layers(one)
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.get_yticklabels()] == ["x2", "x1", "x0"]
    assert [text.get_text() for text in axes.texts if "layer" in text.get_text() or text.get_text() == "normal"] == [
        "normal", "layer 1", "layer 2", "layer 3", "layer 4",
    ]  # fmt: skip
    assert len(axes.patches) == 5 * 3
    assert np.shape(plot.numbers(figure)["counts"]["x0"]) == (24, 5)


def test_pairs_show_data_below_and_draws_above_the_diagonal():
    _, one = pictures()
    figure = plot.pairs(one)
    (axes,) = figure.axes
    assert len(axes.images) == 2 * 3
    below = [image for image in axes.images if sum(image.get_extent()[:2]) + sum(image.get_extent()[2:]) < 2 * 3]
    assert len(below) == 3
    first = np.sqrt(one.observed[0].T / one.observed[0].max())
    np.testing.assert_allclose(below[0].get_array(), first)
    names = [text.get_text() for text in axes.get_legend().get_texts()]
    assert names == ["Observed, SR", "Drawn"]
    assert sum(plot.numbers(figure)["observed"]["x1"]) == one.observed_alone[1].sum()


def test_pairs_without_observed_rows_are_drawn():
    layers, _ = pictures()
    empty = PairsPicture.of(layers.features, "SR", np.empty((0, 3)), np.empty(0), np.zeros((5, 3)))
    assert len(plot.pairs(empty).axes[0].images) == 6


def test_pictures_come_back_from_their_state():
    layers, pairs = pictures()
    for one in (plane(), layers, pairs):
        again = type(one).from_state(one.state())
        for name, value in one.state().items():
            np.testing.assert_array_equal(again.state()[name], value)
