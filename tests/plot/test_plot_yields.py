"""Yield figures: what was drawn is what was given."""

import numpy as np
import pytest
from scipy.stats import chi2

from backdrop import plot
from backdrop.errors import BlindedError, ConfigError, DataError
from backdrop.plot.poisson import error_bars, garwood
from tests.plot.samples import MASS, closed, estimate


def bands(axes):
    """The filled bands by label: (lower, upper) edges of each bin."""
    found = {}
    for patch in axes.patches:
        if type(patch).__name__ == "StepPatch" and not patch.get_label().startswith("_"):
            values, _, baseline = patch.get_data()
            found[patch.get_label()] = (np.asarray(baseline), np.asarray(values))
    return found


def points(axes, label=None):
    """The points of error bars with their bars: x, y, lower and upper ends."""
    for one in axes.containers:
        if label is None or one.get_label() == label:
            x, y = one[0].get_data()
            ends = np.array([segment[:, 1] for segment in one[2][-1].get_segments()])
            return np.asarray(x), np.asarray(y), ends[:, 0], ends[:, 1]
    return None


def labels(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def texts(axes):
    return [text.get_text() for text in axes.texts]


@pytest.fixture(scope="module")
def found():
    return estimate()


@pytest.fixture(scope="module")
def counts(found):
    return np.random.default_rng(4).poisson(found.only("VR").nominal).astype(float)


@pytest.fixture(scope="module")
def drawn(found, counts):
    return plot.prediction(found, "VR", counts, name="Multijet", label=plot.Label("CMS", "Open Data", 2.9, 7))


def test_bands_are_the_errors_of_the_estimate_and_tell_statistical_from_total(found, drawn):
    part, main = found.only("VR"), drawn.axes[0]
    statistical = np.sqrt(np.diag(part.statistical_covariance()))
    total = np.sqrt(np.diag(part.covariance()))
    inner, outer = bands(main)["Stat. unc."], bands(main)["Stat. ⊕ syst. unc."]
    np.testing.assert_allclose(inner[1] - inner[0], 2 * statistical)
    np.testing.assert_allclose(outer[1] - outer[0], 2 * total)
    np.testing.assert_allclose(bands(main)["Multijet"][1], part.nominal)
    hatched = {patch.get_label(): patch.get_hatch() for patch in main.patches}
    assert hatched["Stat. ⊕ syst. unc."] and not hatched["Stat. unc."]


def test_points_are_the_counts_with_garwood_bars(drawn, counts):
    _, y, low, high = points(drawn.axes[0], "Observed")
    np.testing.assert_array_equal(y, counts)
    np.testing.assert_allclose(low, chi2.ppf(0.15865525393145707, 2 * counts) / 2)
    np.testing.assert_allclose(high, chi2.isf(0.15865525393145707, 2 * counts + 2) / 2)


def test_ratio_panel_divides_points_and_bands_by_the_prediction(found, drawn, counts):
    part, lower = found.only("VR"), drawn.axes[1]
    np.testing.assert_allclose(points(lower)[1], counts / part.nominal)
    low, high = bands(lower)["Stat. ⊕ syst. unc."]
    np.testing.assert_allclose(high - low, 2 * np.sqrt(np.diag(part.covariance())) / part.nominal)


def test_axes_have_units_and_the_label_stands_above(drawn):
    main, lower = drawn.axes
    assert lower.get_xlabel() == MASS
    assert main.get_ylabel() == "Events / 20 GeV"
    assert labels(main)[0] == "Observed"
    assert {"CMS", "Open Data", "VR", "2.9 fb$^{-1}$ (7 TeV)"} <= set(texts(main))


def test_numbers_are_those_of_the_drawing(found, drawn, counts):
    kept = plot.numbers(drawn)
    assert kept["predicted"] == found.only("VR").nominal.tolist()
    assert kept["observed"]["values"] == counts.tolist()
    assert kept["edges"][0] == 100.0 and kept["sealed"] is False


def test_no_second_band_without_systematics():
    figure = plot.prediction(estimate(variations=0), "VR")
    assert labels(figure.axes[0]) == ["Background", "Stat. unc."]
    assert figure.axes[1].get_ylabel() == "Rel. unc."


def test_a_sealed_channel_says_so_and_shows_no_point(found):
    figure = plot.prediction(found, "SR", sealed=True)
    assert "SR sealed" in texts(figure.axes[0])
    assert all(points(axes) is None for axes in figure.axes)
    assert plot.numbers(figure)["observed"] is None


@pytest.mark.parametrize("draw", [plot.prediction, lambda e, *a, **k: plot.compare({"one": e}, *a, **k)])
def test_a_sealed_channel_takes_no_observed_yields(found, counts, draw):
    with pytest.raises(BlindedError, match="'SR' is sealed"):
        draw(found, "SR", counts, sealed=True)


def test_weighted_yields_have_the_errors_of_their_variances(found, counts):
    figure = plot.prediction(found, "VR", np.stack([counts - 0.5, 4 * counts]), panel="pulls")
    _, y, low, high = points(figure.axes[0], "Observed")
    np.testing.assert_allclose(y, counts - 0.5)
    np.testing.assert_allclose(high - low, 4 * np.sqrt(counts))
    part = found.only("VR")
    spread = np.sqrt(np.diag(part.covariance()) + 4 * counts)
    bars = next(patch for patch in figure.axes[1].patches if type(patch).__name__ == "StepPatch")
    np.testing.assert_allclose(bars.get_data()[0], (counts - 0.5 - part.nominal) / spread)


def test_yields_that_do_not_fit_are_refused(found, counts):
    with pytest.raises(DataError, match="has 3 bins, channel 'VR' has 8"):
        plot.prediction(found, "VR", counts[:3])
    with pytest.raises(DataError, match="negative in 8 bins and no variances are given"):
        plot.prediction(found, "VR", -counts - 1)


def test_an_overlay_is_drawn_as_given(found):
    signal = np.linspace(1, 30, 8)
    figure = plot.prediction(found, "SR", overlay={"Signal": signal})
    line = next(patch for patch in figure.axes[0].patches if patch.get_label() == "Signal")
    np.testing.assert_array_equal(line.get_data()[0], signal)


def test_a_wide_range_of_yields_turns_the_axis_logarithmic():
    steep = estimate(names=("VR",), variations=0, replicas=0)
    steep = type(steep)(steep.channels, np.geomspace(1e4, 1, 8), np.geomspace(1e4, 1, 8))
    assert plot.prediction(steep, "VR").axes[0].get_yscale() == "log"
    assert plot.prediction(steep, "VR", log=False).axes[0].get_yscale() == "linear"


def test_several_axes_are_unrolled_or_sliced():
    found = estimate(two_axes=True)
    whole = plot.prediction(found, "VR")
    assert len(plot.numbers(whole)["predicted"]) == 24
    assert whole.axes[1].get_xlabel() == f"Bin of {MASS}, in slices of $p_{{T}}$ [GeV]"
    assert plot.numbers(whole)["slices"][1] == "60 < $p_{T}$ < 120 GeV"
    assert whole.axes[0].get_ylabel() == "Events / bin"
    part = plot.prediction(found, "VR", at={"pt": 1})
    assert plot.numbers(part)["predicted"] == found.only("VR").nominal[8:16].tolist()
    assert part.axes[1].get_xlabel() == MASS
    assert any("60 < $p_{T}$ < 120 GeV" in text for text in texts(part.axes[0]))


@pytest.mark.parametrize(
    ("at", "message"),
    [({"p": 0}, "did you mean 'pt'"), ({"pt": 3}, "bins 0 to 2, not 3"), ({"pt": 0, "m": 0}, "leave one to draw")],
)
def test_a_slice_that_is_not_there_is_refused(at, message):
    with pytest.raises(ConfigError, match=message):
        plot.prediction(estimate(two_axes=True), "VR", at=at)


def test_closure_figure_shows_the_test():
    result = closed()
    figure = plot.closure(result, panel="both")
    main, ratio, pulls = figure.axes
    assert any(f"p = {result.p_value:.3f}" in text for text in texts(main))
    np.testing.assert_allclose(points(ratio)[1], result.ratios[0])
    np.testing.assert_allclose(bands(main)["Uncertainty"][1], result.predicted + np.sqrt(np.diag(result.covariance)))
    bars = next(patch for patch in pulls.patches if type(patch).__name__ == "StepPatch")
    np.testing.assert_allclose(bars.get_data()[0], result.pulls)
    _, _, low, high = points(main, "Observed")
    np.testing.assert_allclose((low, high), garwood(result.observed))
    assert plot.numbers(figure)["chi2"] == result.chi2


def test_ratios_off_the_panel_become_arrows():
    figure = plot.closure(closed(factor=2.0))
    arrows = [line for line in figure.axes[1].lines if line.get_marker() == "^"]
    low, high = figure.axes[1].get_ylim()
    assert arrows and all(low < y < high for line in arrows for y in line.get_ydata())
    assert sum(len(line.get_ydata()) for line in arrows) == (closed(factor=2.0).ratios[0] > high).sum()


def test_methods_are_compared_relative_to_the_first(found, counts):
    others = {"abcd": found, "reweight": estimate(seed=5, scale=1.1)}
    figure = plot.compare(others, "VR", counts)
    main, lower = figure.axes
    ratio = [one[0].get_ydata() for one in lower.containers]
    np.testing.assert_allclose(ratio[0], 1.0)
    np.testing.assert_allclose(ratio[1], 1.1)
    np.testing.assert_allclose(ratio[2], counts / found.only("VR").nominal)
    places = [one[0].get_xdata() for one in main.containers]
    assert len({float(x[0]) for x in places}) == 3, "points of two methods lie upon one another"
    assert set(labels(main)) == {"Observed", "abcd", "reweight"}
    assert "abcd" in lower.get_ylabel()


def test_nothing_to_compare_is_an_error():
    with pytest.raises(DataError, match="no estimate to compare"):
        plot.compare({}, "VR")


def test_garwood_covers_at_least_what_it_says():
    mean = np.linspace(0.2, 12, 60)
    counts = np.arange(60)
    low, high = garwood(counts.astype(float))
    log = (
        counts * np.log(mean[:, None]) - mean[:, None] - np.array([np.sum(np.log(np.arange(1, n + 1))) for n in counts])
    )
    inside = (low <= mean[:, None]) & (mean[:, None] <= high)
    assert ((np.exp(log) * inside).sum(axis=1) > 0.6826).all()


def test_counts_and_weights_are_told_apart():
    counts = np.array([0.0, 3.0])
    low, high = error_bars(counts, counts)
    assert low[0] == 0 and high[0] == pytest.approx(1.8410, abs=1e-4)
    low, high = error_bars(counts + 0.5, counts + 0.5)
    np.testing.assert_allclose(low, np.sqrt(counts + 0.5))
    np.testing.assert_array_equal(low, high)
