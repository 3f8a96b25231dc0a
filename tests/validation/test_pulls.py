from __future__ import annotations

import numpy as np
import pytest

from backdrop.errors import DataError
from backdrop.validation import Pulls


def pulls(values, error=1.0, truth=0.0) -> Pulls:
    values = np.asarray(values, float)
    if values.ndim == 1:
        values = values[:, None]
    names = tuple(f"q{i}" for i in range(values.shape[1]))
    return Pulls(names, values, np.broadcast_to(error, values.shape), np.broadcast_to(truth, values.shape))


def test_mean_width_and_their_errors():
    found = pulls([8.0, 12.0, 14.0, 6.0], error=2.0, truth=10.0)
    np.testing.assert_allclose(found.pulls[:, 0], [-1, 1, 2, -2])
    assert (found.mean[0], found.mean_error[0]) == (0.0, 0.5)
    assert found.width[0] == pytest.approx(np.sqrt(10 / 3))
    assert found.width_error[0] == pytest.approx(1 / np.sqrt(8))


def test_coverage_counts_the_truth_inside():
    found = pulls([-0.5, 0.9, 1.1, -1.9, 2.1], error=1.0)
    fraction, error = found.covered(0.6827)
    assert fraction[0] == 0.4
    assert error == pytest.approx(np.sqrt(0.6827 * 0.3173 / 5))
    assert found.covered(0.9545)[0][0] == 0.8
    normal = pulls(np.random.default_rng(1).normal(size=10000))
    for level in (0.683, 0.954):
        fraction, error = normal.covered(level)
        assert abs(fraction[0] - level) < 3 * error
    with pytest.raises(DataError, match="level 68"):
        found.covered(68)


def with_moments(mean: float, width: float, n: int = 100) -> np.ndarray:
    values = np.random.default_rng(2).normal(size=n)
    return mean + width * (values - values.mean()) / values.std(ddof=1)


@pytest.mark.parametrize(
    ("mean", "width", "met"),
    [
        (0.0, 1.0, True),
        # three errors of the mean of 100 pulls are 0.3, of the width 0.2121
        (0.499, 1.0, True),
        (0.501, 1.0, False),
        (-0.499, 1.0, True),
        (-0.501, 1.0, False),
        (0.0, 1.361, True),
        (0.0, 1.363, False),
        (0.0, 0.639, True),
        (0.0, 0.637, False),
    ],
)
def test_a_band_is_met_within_three_standard_errors(mean, width, met):
    found = pulls(with_moments(mean, width))
    assert found.meets((-0.2, 0.2), (0.85, 1.15)).tolist() == [met]


def test_a_band_of_one_point_can_be_met():
    assert pulls(with_moments(0.05, 1.05)).meets((0.0, 0.0), (1.0, 1.0)).all()
    with pytest.raises(DataError, match="empty"):
        pulls(with_moments(0.0, 1.0)).meets((0.2, -0.2), (0.9, 1.1))


def test_quantities_are_judged_apart():
    values = np.stack([with_moments(0.0, 1.0), with_moments(1.0, 1.0)], axis=1)
    assert pulls(values).meets((0.0, 0.0), (1.0, 1.0)).tolist() == [True, False]


def test_toys_without_a_pull_are_counted_and_never_meet():
    values = np.stack([with_moments(0.0, 1.0)] * 3, axis=1)
    values[3, 1] = np.nan
    error = np.ones_like(values)
    error[4, 2] = 0.0
    found = pulls(values, error)
    assert found.undefined.tolist() == [0, 1, 1]
    assert np.isfinite(found.mean).all()
    assert found.meets((0.0, 0.0), (1.0, 1.0)).tolist() == [True, False, False]
    assert found.covered(0.999999)[0].tolist() == [1.0, 0.99, 0.99]


def test_nothing_defined_is_not_a_number_and_no_warning():
    found = pulls([1.0, 2.0], error=0.0)
    assert np.isnan(found.mean[0]) and np.isnan(found.width[0])
    assert not found.meets((0.0, 0.0), (1.0, 1.0)).any()


def test_state_and_shapes():
    found = pulls(with_moments(0.0, 1.0))
    again = Pulls.from_state(found.state())
    np.testing.assert_array_equal(again.pulls, found.pulls)
    assert again.names == found.names
    with pytest.raises(DataError, match="shape"):
        Pulls(("a", "b"), np.ones((3, 1)), np.ones((3, 1)), np.ones((3, 1)))
