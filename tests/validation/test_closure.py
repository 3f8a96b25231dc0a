from __future__ import annotations

import json

import hist
import numpy as np
import pytest
from scipy.stats import kstest

from backdrop import Channel, Estimate, Events, Region
from backdrop.errors import BlindedError, ConfigError, DataError
from backdrop.validation import Closure, closure

VR, SR = Region("VR", "m < 10"), Region("SR", "m > 20")


def channel(name: str, region: Region, bins: int, column: str = "m", first: float = 0.0) -> Channel:
    return Channel(name, region, (hist.axis.Regular(bins, first, first + bins, name=column),))


def one(nominal, sumw2, **parts) -> Estimate:
    return Estimate((channel("VR", VR, len(nominal)),), np.array(nominal, float), np.array(sumw2, float), **parts)


def rows(counts, weight=None, sample="data", first=0.0) -> Events:
    """Rows at the centres of unit bins."""
    values = np.repeat(np.arange(len(counts)) + 0.5 + first, counts)
    return Events.of({"m": values}, sample=sample, weight=None if weight is None else np.full(len(values), weight))


# ---- χ² and yields ---------------------------------------------------------------------------------------------------


def test_counts_have_the_variance_of_their_expectation():
    test = closure(one([10, 20], [4, 9]), rows([12, 15]), channel="VR")
    assert test.chi2 == pytest.approx(4 / 14 + 25 / 29)
    assert test.ndf == 2
    np.testing.assert_allclose(test.pulls, [2 / np.sqrt(14), -5 / np.sqrt(29)])
    assert test.pull_mean == pytest.approx(np.mean([2 / np.sqrt(14), -5 / np.sqrt(29)]))
    assert test.pull_width == pytest.approx(np.std([2 / np.sqrt(14), -5 / np.sqrt(29)], ddof=1))
    total = test.total
    assert (total.observed, total.predicted) == (27, 30)
    assert total.predicted_uncertainty == pytest.approx(np.sqrt(13))
    assert total.observed_uncertainty == pytest.approx(np.sqrt(30))
    assert total.uncertainty == pytest.approx(np.sqrt(43))
    assert test.ratio.value == pytest.approx(0.9)
    assert test.ratio.error == pytest.approx(np.sqrt(30 + 0.81 * 13) / 30)


def test_weighted_rows_have_their_sum_of_squares():
    test = closure(one([10, 20], [4, 9]), rows([12, 15], 0.5), channel="VR")
    assert test.counts is None
    np.testing.assert_allclose(test.observed_variance, [3.0, 3.75])
    assert test.chi2 == pytest.approx(16 / 7 + 12.5**2 / 12.75)


def test_a_subtraction_leaves_the_counts_their_expectation():
    data, prompt = rows([8, 0]), rows([4, 6], 0.5, "prompt")
    test = closure(one([5, 2], [0, 0]), data - prompt, channel="VR")
    np.testing.assert_allclose(test.observed, [6, -3])
    # data expects 5 + 2 and 2 + 3 events; the prompt rows have 4 · 0.25 and 6 · 0.25
    np.testing.assert_allclose(test.observed_variance, [8.0, 6.5])
    np.testing.assert_allclose(test.counts, [8, 0])


def test_the_full_covariance_enters():
    rng = np.random.default_rng(1)
    nominal, replicas = np.array([40.0, 50.0, 60.0]), rng.normal(size=(20, 3)) * 5 + [40, 50, 60]
    up = nominal * [1.2, 1.0, 0.9]
    estimate = one(nominal, [5, 6, 7], replicas={"data": replicas}, variations={"slope": (up, 2 * nominal - up)})
    test = closure(estimate, rows([47, 45, 66]), channel="VR")
    matrix = np.diag([5, 6, 7]) + np.cov(replicas, rowvar=False) + np.outer(up - nominal, up - nominal)
    matrix = matrix + np.diag(nominal)
    difference = np.array([7.0, -5.0, 6.0])
    assert test.chi2 == pytest.approx(difference @ np.linalg.inv(matrix) @ difference, rel=1e-10)
    assert test.total.uncertainty == pytest.approx(np.sqrt(matrix.sum()))


def test_only_rows_of_the_region_are_filled():
    events = rows([5, 5]) + rows([7, 7], first=30.0)
    np.testing.assert_array_equal(closure(one([5, 5], [1, 1]), events, channel="VR").observed, [5, 5])


def toy_p_values(rng, truth, bias=1.0, toys=400):
    """A prediction with a correlated and an uncorrelated error, and counts around the truth."""
    p_values = []
    for _ in range(toys):
        values = np.array(truth) * (1 + 0.05 * rng.normal()) + 2.0 * rng.normal(size=len(truth))
        up = values * 1.05
        estimate = one(values, [4.0] * len(truth), variations={"norm": (up, 2 * values - up)})
        counts = rng.poisson(np.array(truth) * np.linspace(2 - bias, bias, len(truth)))
        p_values.append(closure(estimate, rows(counts), channel="VR").p_value)
    return p_values


def test_p_values_are_uniform_for_a_correct_estimate():
    p_values = toy_p_values(np.random.default_rng(2), [100.0, 200.0, 300.0, 150.0])
    assert kstest(p_values, "uniform").pvalue > 0.01


def test_p_values_reject_a_wrong_shape():
    p_values = toy_p_values(np.random.default_rng(2), [100.0, 200.0, 300.0, 150.0], bias=1.2, toys=100)
    assert np.median(p_values) < 0.05


# ---- bins with little in them ----------------------------------------------------------------------------------------


def test_a_bin_without_anything_is_left_out():
    test = closure(one([10, 0], [4, 0]), rows([12, 0]), channel="VR")
    assert (test.ndf, test.contradicted) == (1, ())
    assert np.isnan(test.pulls[1])
    assert test.pull_width is None
    assert test.summary()["pull_width"] is None


def test_rows_where_exactly_nothing_is_expected_reject():
    test = closure(one([10, 0], [4, 0]), rows([10, 4]), channel="VR")
    assert (test.p_value, test.contradicted) == (0.0, (1,))
    assert test.chi2 == pytest.approx(4.0)
    assert test.p_value_toys(99, np.random.default_rng(1)) == 0.01


def test_an_estimate_below_zero_expects_no_counts():
    test = closure(one([10, -1], [4, 9]), rows([10, 2]), channel="VR")
    np.testing.assert_allclose(test.observed_variance, [10, 0])
    assert test.pulls[1] == pytest.approx(1.0)


def test_nothing_at_all_is_an_error():
    with pytest.raises(DataError, match="nothing to compare in channel 'VR'"):
        closure(one([0, 0], [0, 0]), rows([0, 0]), channel="VR")


def test_few_expected_events_are_reported():
    test = closure(one([1, 4.9, 5, 60], [0.1] * 4), rows([2, 5, 4, 55]), channel="VR")
    assert test.few_bins == 2
    assert "2 bins below 5 expected" in repr(test)
    # 10 events of weight 0.5 are as many as they are
    weighted = closure(one([10, 2], [0.1] * 2), rows([20, 4], 0.5), channel="VR")
    assert weighted.few_bins == 1


def test_toys_are_right_where_the_chi2_is_not():
    rng, truth = np.random.default_rng(3), np.array([0.3, 0.5, 0.6, 0.4, 0.7, 0.5, 0.6, 0.2])
    found = []
    for _ in range(300):
        test = closure(one(truth, 0.01 * truth), rows(rng.poisson(truth)), channel="VR")
        found.append((test.p_value, test.p_value_toys(200, rng)))
    chi2_p, toys_p = np.array(found).T
    # steps of the counts make the p-values discrete: compare the rejections
    assert (toys_p <= 0.05).mean() <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 300)
    assert (chi2_p <= 0.01).mean() > 0.01 + 3 * np.sqrt(0.01 * 0.99 / 300)


def test_toys_of_a_subtraction_and_of_weighted_rows():
    rng, fakes, prompt = np.random.default_rng(4), np.array([3.0, 4.0, 2.0]), np.array([20, 40, 30])
    subtracted, weighted = [], []
    for _ in range(250):
        data = rows(rng.poisson(fakes + 0.1 * prompt))
        test = closure(one(fakes, 0.02 * fakes), data - rows(rng.poisson(prompt), 0.1, "prompt"), channel="VR")
        subtracted.append(test.p_value_toys(150, rng))
        test = closure(one(fakes, 0.02 * fakes), rows(rng.poisson(fakes / 0.4), 0.4), channel="VR")
        weighted.append(test.p_value_toys(150, rng))
    assert kstest(subtracted, "uniform").pvalue > 0.01
    assert kstest(weighted, "uniform").pvalue > 0.01


# ---- non-closure -----------------------------------------------------------------------------------------------------


def three() -> Estimate:
    channels = (channel("VR", VR, 2), channel("SR", SR, 2, first=21.0), channel("count", SR, 1, "n"))
    return Estimate(channels, np.array([10.0, 20.0, 4.0, 6.0, 50.0]), np.ones(5))


def test_shifts_follow_the_difference_the_bins_and_the_yield():
    test = closure(three(), rows([12, 15]), channel="VR")
    up, down = test.shifts
    # the difference; +20 % and −25 % of the bins; −10 % of the yield
    np.testing.assert_allclose(up, [12, 15, 4.8, 4.5, 45])
    np.testing.assert_allclose(up + down, 2 * test.nominal)
    shifted = three().with_variation("nonclosure", up, down)
    assert shifted.total("count").systematic == pytest.approx(5.0)


def test_other_variables_with_as_many_bins_take_the_yield():
    channels = (channel("VR", VR, 2), channel("SR", SR, 2, "pt"))
    estimate = Estimate(channels, np.array([10.0, 20.0, 4.0, 6.0]), np.ones(4))
    np.testing.assert_allclose(closure(estimate, rows([12, 15]), channel="VR").shifts[0], [12, 15, 3.6, 5.4])


def test_bins_without_prediction_shift_like_the_yield():
    channels = (channel("VR", VR, 2), channel("SR", SR, 2, first=21.0))
    estimate = Estimate(channels, np.array([10.0, 0.0, 4.0, 6.0]), np.ones(4))
    np.testing.assert_allclose(closure(estimate, rows([12, 3]), channel="VR").shifts[0], [12, 3, 4.8, 9])


def test_smoothing_is_a_running_weighted_mean():
    nominal, counts = np.array([10.0, 20.0, 40.0, 80.0]), [13, 19, 44, 70]
    sumw2 = np.array([1.0, 2.0, 3.0, 4.0])
    test = closure(one(nominal, sumw2), rows(counts), channel="VR", smooth=3)
    relative, weight = (np.array(counts) - nominal) / nominal, nominal**2 / (sumw2 + nominal)
    windows = [slice(0, 2), slice(0, 3), slice(1, 4), slice(2, 4)]
    expected = [np.average(relative[where], weights=weight[where]) for where in windows]
    np.testing.assert_allclose(test.shift, nominal * expected)
    np.testing.assert_allclose(
        closure(one(nominal, sumw2), rows(counts), channel="VR", smooth=1).shift, np.array(counts) - nominal
    )


def test_smoothing_in_two_dimensions_averages_a_square():
    axes = (hist.axis.Regular(3, 0, 3, name="m"), hist.axis.Regular(3, 0, 3, name="n"))
    nominal = np.full(9, 100.0)
    estimate = Estimate((Channel("VR", VR, axes),), nominal, np.zeros(9))
    m, n = (part.ravel() + 0.5 for part in np.indices((3, 3)))
    counts = np.array([100] * 8 + [190])
    observed = Events.of({"m": np.repeat(m, counts), "n": np.repeat(n, counts)})
    shift = closure(estimate, observed, channel="VR", smooth=3).shift.reshape(3, 3)
    np.testing.assert_allclose(shift, [[0, 0, 0], [0, 10, 15], [0, 15, 22.5]])


@pytest.mark.parametrize("smooth", [0, 2, -3, 1.0, True])
def test_smoothing_takes_odd_numbers(smooth):
    with pytest.raises(ConfigError, match="odd number"):
        closure(one([10, 20], [4, 9]), rows([12, 15]), channel="VR", smooth=smooth)


def test_a_relative_shift_of_nothing_is_an_error():
    with pytest.raises(DataError, match="yield of zero"):
        closure(
            Estimate((channel("VR", VR, 1), channel("SR", SR, 1)), np.array([0.0, 5.0]), np.ones(2)),
            rows([3]),
            channel="VR",
        )
    alone = closure(one([0], [1]), rows([3]), channel="VR")
    np.testing.assert_allclose(alone.shifts, [[3], [-3]])
    assert alone.ratio is None


# ---- the rest --------------------------------------------------------------------------------------------------------


def test_sealed_rows_are_not_compared():
    sealed = Events.of({"m": np.array([1.5, 30.0])}, seal=VR)
    with pytest.raises(BlindedError, match="VR"):
        closure(one([10, 20], [4, 9]), sealed, channel="VR")


def test_unknown_channels_name_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'VR'"):
        closure(one([10, 20], [4, 9]), rows([1, 1]), channel="VRR")


def test_the_panel_of_ratios():
    points, bars, band = closure(one([10, 0], [4, 1]), rows([12, 1]), channel="VR").ratios
    np.testing.assert_allclose(points, [1.2, np.nan])
    np.testing.assert_allclose(bars[0], np.sqrt(10) / 10)
    np.testing.assert_allclose(band[0], 0.2)


@pytest.mark.parametrize("weight", [None, 0.5])
def test_it_survives_its_state(weight):
    test = closure(three(), rows([12, 15], weight), channel="VR", smooth=3)
    again = Closure.from_state(test.state())
    assert again.summary() == test.summary()
    np.testing.assert_array_equal(again.shifts, test.shifts)
    assert again.p_value_toys(50, np.random.default_rng(1)) == test.p_value_toys(50, np.random.default_rng(1))
    json.dumps(test.summary(), allow_nan=False)


def test_the_repr_is_short():
    text = repr(closure(three(), rows([12, 15]), channel="VR"))
    assert text.startswith("Closure(VR: observed 27, predicted 30.0 ± 5.7; ")
    assert len(text) < 120
