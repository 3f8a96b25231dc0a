"""Figures of systematics, covariance, replicas, toys and scans."""

import numpy as np
import pytest

from backdrop import Estimate, plot
from backdrop.errors import CutError, DataError
from tests.plot.samples import MASS, channel, estimate


@pytest.fixture(scope="module")
def found():
    return estimate()


def test_shifts_are_up_and_down_over_the_nominal(found):
    figure = plot.shifts(found, "SR")
    part = found.only("SR")
    kept = plot.numbers(figure)
    for name, (up, down) in part.variations.items():
        np.testing.assert_allclose(kept["variations"][name]["up"], 100 * (up / part.nominal - 1))
        np.testing.assert_allclose(kept["variations"][name]["down"], 100 * (down / part.nominal - 1))
    drawn = [patch for patch in figure.axes[0].patches if patch.get_label() in part.variations]
    styles = {patch.get_linestyle() for patch in drawn}
    assert len(drawn) == 3 and styles == {"-"}
    dashed = [patch for patch in figure.axes[0].patches if patch.get_linestyle() not in ("-", "solid")]
    assert len(dashed) == 3, "the down variations are not dashed"
    assert figure.axes[0].get_xlabel() == MASS and "[%]" in figure.axes[0].get_ylabel()


def test_the_total_of_the_shifts_is_the_systematic_error(found):
    part = found.only("SR")
    systematic = np.sqrt(np.diag(part.covariance() - part.statistical_covariance()))
    np.testing.assert_allclose(plot.numbers(plot.shifts(found, "SR"))["total"], 100 * systematic / part.nominal)


def test_of_many_variations_the_largest_are_drawn():
    many = estimate(variations=9)
    figure = plot.shifts(many, "SR")
    drawn = {patch.get_label() for patch in figure.axes[0].patches if not patch.get_label().startswith("_")}
    sizes = {n: ((u - d) ** 2).sum() for n, (u, d) in many.only("SR").variations.items()}
    assert drawn - {"Total syst."} == set(sorted(sizes, key=sizes.get)[-6:])
    assert "6 largest of 9" in figure.legends[0].get_title().get_text()
    assert len(plot.numbers(figure)["variations"]) == 9


def test_an_estimate_without_the_part_is_refused():
    bare = estimate(variations=0, replicas=0)
    with pytest.raises(DataError, match="no variation to draw"):
        plot.shifts(bare, "SR")
    with pytest.raises(DataError, match="no replicas to draw"):
        plot.replicas(bare, "SR")
    with pytest.raises(DataError, match="no replica block 'dat', did you mean 'data'"):
        plot.components(estimate(), "SR", "dat")


def test_components_hold_the_variance_of_the_replicas(found):
    figure = plot.components(found, "VR", "data")
    kept, part = plot.numbers(figure), found.only("VR")
    assert sum(kept["share"]) == pytest.approx(1.0)
    assert kept["share"] == sorted(kept["share"], reverse=True)
    spread = part.replicas["data"].std(axis=0, ddof=1) / part.nominal
    np.testing.assert_allclose(kept["spread"], 100 * spread)
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels[1] == f"Component 1 ({100 * kept['share'][0]:.0f} %)"


def test_correlation_is_that_of_the_covariance(found):
    figure = plot.covariance(found, "VR")
    errors = np.sqrt(np.diag(found.covariance("VR")))
    matrix = found.covariance("VR") / np.outer(errors, errors)
    np.testing.assert_allclose(plot.numbers(figure)["matrix"], matrix)
    image = figure.axes[0].collections[0]
    np.testing.assert_allclose(np.asarray(image.get_array()).reshape(8, 8), matrix)
    assert image.get_clim() == (-1.0, 1.0)
    assert figure.axes[0].get_xlabel() == MASS


def test_covariance_of_all_channels_needs_them_disjoint(found):
    figure = plot.covariance(found, kind="covariance")
    np.testing.assert_allclose(plot.numbers(figure)["matrix"], found.covariance())
    assert plot.numbers(figure)["bins"] == {"SR": 8, "VR": 8}
    both = (channel("SR"), channel("SR"))
    shared = Estimate((both[0], type(both[0])("SR2", both[1].region, both[1].axes)), np.ones(16), np.ones(16))
    with pytest.raises(CutError, match="may share rows"):
        plot.covariance(shared)


def test_an_empty_bin_has_no_correlation_and_breaks_nothing():
    nominal = np.array([5.0, 0.0, 3.0, 1.0, 1.0, 1.0, 1.0, 1.0])
    figure = plot.covariance(Estimate((channel("VR"),), nominal, nominal), "VR")
    assert plot.numbers(figure)["matrix"][1] == [None] * 8


def test_replicas_are_drawn_as_pulls_about_the_nominal(found):
    figure = plot.replicas(found, "VR")
    yields = found.only("VR").replicas["data"].sum(axis=1)
    np.testing.assert_allclose(plot.numbers(figure)["yields"]["data"], yields)
    shift = (yields.mean() - found.only("VR").nominal.sum()) / yields.std(ddof=1)
    assert f"mean {shift:+.2f} σ" in figure.axes[0].get_legend().get_texts()[0].get_text()
    heights = next(p for p in figure.axes[0].patches if p.get_label().startswith("data")).get_data()
    assert (heights.values * np.diff(heights.edges)).sum() == pytest.approx(1.0)


def test_pulls_quote_mean_and_width_with_errors():
    values = np.random.default_rng(1).normal(0.1, 1.2, size=400)
    figure = plot.pulls([*values, np.nan])
    text = " ".join(one.get_text() for one in figure.axes[0].texts)
    width = values.std(ddof=1)
    assert f"mean {values.mean():+.3f} ± {width / 20:.3f}" in text
    assert f"width {width:.3f} ± {width / np.sqrt(798):.3f}" in text
    with pytest.raises(DataError, match="1 finite pulls"):
        plot.pulls([1.0, np.nan])


def test_a_scan_shows_points_expectation_and_band():
    x, y, error = np.arange(4.0), np.array([0.1, -0.1, 0.3, 0.0]), np.full(4, 0.1)
    figure = plot.scan(x, y, error, xlabel="$m_X$ [GeV]", ylabel="Bias [%]", expected=0.0, allowed=(-0.2, 0.2))
    assert plot.numbers(figure)["expected"] == [0.0] * 4
    assert figure.axes[0].get_xlabel() == "$m_X$ [GeV]"
    assert figure.axes[0].containers[0][0].get_ydata().tolist() == y.tolist()
    with pytest.raises(DataError, match="of one length"):
        plot.scan(x, y[:3], xlabel="x", ylabel="y")
