"""Figures of fits: parameters, limits, fitted yields."""

from dataclasses import replace

import numpy as np
import pytest

from backdrop import plot
from backdrop.errors import DataError
from tests.plot.samples import MASS, channel, fitted


def test_parameters_are_drawn_with_pull_error_and_impact():
    result = fitted(sealed=False)
    figure = plot.nuisances(result)
    left, right = figure.axes
    names = [text.get_text() for text in left.get_yticklabels()]
    assert len(names) == 25 and all(result.parameters[name].pull is not None for name in names)
    largest = max(result.impacts, key=lambda name: abs(result.impacts[name]))
    assert names[0] == largest
    rows = dict(zip(left.containers[0][0].get_ydata(), left.containers[0][0].get_xdata(), strict=True))
    for place, name in zip(left.get_yticks(), names, strict=True):
        assert rows[place] == pytest.approx(result.parameters[name].pull)
    assert [bar.get_width() for bar in right.patches] == pytest.approx([result.impacts[name] for name in names])


def test_only_parameters_in_units_of_their_constraint_have_an_error_bar():
    result = fitted(sealed=False)
    left = plot.nuisances(result).axes[0]
    names = [text.get_text() for text in left.get_yticklabels()]
    lengths = [np.ptp(segment[:, 0]) for segment in left.containers[0][2][0].get_segments()]
    for name, length in zip(names, lengths, strict=True):
        shape = "_stat[" not in name
        assert length == pytest.approx(2 * result.parameters[name].error if shape else 0.0)


def test_asimov_data_are_named():
    figure = plot.nuisances(fitted(), label="CMS Open Data")
    assert "Open Data Asimov" in [text.get_text() for text in figure.axes[0].texts]
    figure = plot.limits({"abcd": fitted(), "open": fitted(sealed=False)})
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == ["abcd (Asimov)", "open"]


def test_limits_are_those_of_the_fits():
    result = fitted(sealed=False)
    figure = plot.limits({"abcd": result})
    low2, low1, middle, high1, high2 = result.limit_expected
    bars = [(bar.get_x(), bar.get_width()) for bar in figure.axes[0].patches]
    assert bars == [pytest.approx((low2, high2 - low2)), pytest.approx((low1, high1 - low1))]
    lines = {line.get_label(): line.get_xdata()[0] for line in figure.axes[0].lines}
    assert lines["Median expected"] == pytest.approx(middle)
    assert lines["Observed"] == pytest.approx(result.limit_observed)
    assert "mu" in figure.axes[0].get_xlabel() and "95 % CL" in figure.axes[0].get_xlabel()


def test_an_asimov_fit_has_no_observed_limit():
    labels = [line.get_label() for line in plot.limits({"abcd": fitted()}).axes[0].lines]
    assert "Observed" not in labels


def test_fitted_yields_stack_to_their_sum():
    result = fitted(sealed=False)
    figure = plot.postfit(result, "SR", binned=channel("SR"))
    main = figure.axes[0]
    tops = {patch.get_label(): patch.get_data() for patch in main.patches}
    last = list(result.postfit["SR"].samples)[-1]
    np.testing.assert_allclose(tops[last].values, result.postfit["SR"].total)
    observed = next(one for one in main.containers if one.get_label() == "Observed")
    np.testing.assert_allclose(observed[0].get_ydata(), result.postfit["SR"].observed)
    assert figure.axes[1].get_xlabel() == MASS


def test_a_sealed_channel_after_the_fit_has_no_points():
    figure = plot.postfit(fitted(), "SR")
    assert all(not axes.containers for axes in figure.axes)
    assert any("Asimov" in text.get_text() for text in figure.axes[0].texts)
    assert plot.numbers(figure)["observed"] is None


def test_what_a_fit_does_not_have_is_refused():
    with pytest.raises(DataError, match="no channel 'SRR', did you mean 'SR'"):
        plot.postfit(fitted(), "SRR")
    with pytest.raises(DataError, match="has 8 bins, not 24"):
        plot.postfit(fitted(), "SR", binned=channel("SR", two_axes=True))
    with pytest.raises(DataError, match="no constrained parameter"):
        plot.nuisances(replace(fitted(), parameters={}))
    with pytest.raises(DataError, match="no fit has an expected limit"):
        plot.limits({"abcd": replace(fitted(), limit_expected=None)})
