"""Transforms: exact inverses, Jacobians against finite differences, and errors that say what to do."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backdrop.errors import ConfigError, DataError
from backdrop.io.states import Decoder, Encoder
from backdrop.learn.scale import Bounded, Feature, Identity, Log, LogGap, Scale, transform_from_state

TRANSFORMS = [Identity(), Log(), Log(40.0), LogGap(), LogGap(-2.0), Bounded(), Bounded(-3.0, 5.0)]
INSIDE = st.floats(-15.0, 15.0)
"""Where a transform goes to; its values follow from it, at most exp(15) or 3e-7 of a range from a bound."""

FEATURES = (
    Feature("pt", Log(40.0)),
    Feature("eta"),
    Feature("dphi", LogGap()),
    Feature("score", Bounded()),
)


def columns(n=500, seed=1):
    rng = np.random.default_rng(seed)
    return {
        "pt": 40.0 + rng.exponential(60.0, n),
        "eta": rng.normal(0.0, 1.2, n),
        "dphi": np.pi - rng.exponential(0.3, n),
        "score": rng.beta(2.0, 3.0, n),
        "other": np.zeros(n),
    }


@pytest.mark.parametrize("transform", TRANSFORMS)
@given(u=INSIDE)
def test_the_inverse_is_exact(transform, u):
    x = transform.inverse(np.array([u]))
    assert transform.defined(x).all()
    assert transform.inverse(transform.forward(x)) == pytest.approx(x, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("transform", TRANSFORMS)
@given(u=st.floats(-8.0, 8.0))
def test_the_slope_is_that_of_finite_differences(transform, u):
    x = transform.inverse(np.array([u]))
    # a step that is small against the distance to the nearest bound
    step = 1e-4 * np.exp(-transform.log_slope(x)) / 2.0
    moved = (transform.forward(x + step) - transform.forward(x - step)) / (2.0 * step)
    assert transform.log_slope(x) == pytest.approx(np.log(np.abs(moved)), abs=1e-6)


def test_values_have_mean_zero_and_width_one_and_come_back():
    data = columns()
    scale = Scale.fit(FEATURES, data)
    values, _ = scale.forward(data)
    assert values.shape == (500, 4)
    assert values.mean(axis=0) == pytest.approx(np.zeros(4), abs=1e-12)
    assert values.std(axis=0) == pytest.approx(np.ones(4), rel=1e-12)
    back = scale.inverse(values)
    assert list(back) == ["pt", "eta", "dphi", "score"]
    for name, found in back.items():
        assert found == pytest.approx(data[name], rel=1e-12, abs=1e-12)


def test_a_weight_is_a_number_of_repetitions():
    data, times = columns(50), np.random.default_rng(2).integers(0, 4, 50)
    weighted = Scale.fit(FEATURES, data, 0.3 * times)
    repeated = Scale.fit(FEATURES, {name: np.repeat(x, times) for name, x in data.items()})
    assert weighted.mean == pytest.approx(repeated.mean, rel=1e-12)
    assert weighted.std == pytest.approx(repeated.std, rel=1e-12)


def test_the_jacobian_is_that_of_the_whole():
    """The determinant of finite differences of all features, which do not mix."""
    data = columns(40)
    scale = Scale.fit(FEATURES, data)
    values, log_jacobian = scale.forward(data)
    steps = 1e-5 * np.eye(4)
    moved = [[scale.inverse(values + sign * step) for sign in (1.0, -1.0)] for step in steps]
    slopes = np.array([[(up[f.name] - down[f.name]) / 2e-5 for f in FEATURES] for up, down in moved])
    assert log_jacobian == pytest.approx(-np.log(np.abs(np.linalg.det(slopes.transpose(2, 0, 1)))), abs=1e-7)


def test_a_density_keeps_its_integral():
    """A unit normal of the values is a density of the column, which a grid integrates to one."""
    scale = Scale((Feature("score", Bounded(2.0, 4.0)),), np.array([0.3]), np.array([1.4]))
    x = np.linspace(2.0, 4.0, 200_002)[1:-1]
    values, log_jacobian = scale.forward({"score": x})
    density = np.exp(-0.5 * values[:, 0] ** 2 + log_jacobian) / np.sqrt(2.0 * np.pi)
    assert density.sum() * (x[1] - x[0]) == pytest.approx(1.0, abs=1e-6)


def test_values_next_to_a_bound_keep_their_digits():
    x = np.array([1e-300, 1e-12])
    assert Bounded().inverse(Bounded().forward(x)) == pytest.approx(x, rel=1e-12)
    assert np.isfinite(Log().forward(x)).all()


def test_a_scale_survives_its_state_exactly():
    scale = Scale.fit(FEATURES, columns())
    encoder = Encoder()
    plain = encoder.encode(scale.state(), "scale")
    back = Scale.from_state(Decoder(encoder.arrays, encoder.texts, {}).decode(plain))
    assert back.features == scale.features
    assert np.array_equal(back.forward(columns())[0], scale.forward(columns())[0])


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_a_transform_survives_its_state(transform):
    (state,) = Scale((Feature("x", transform),), np.zeros(1), np.ones(1)).state()["features"]
    assert transform_from_state({name: value for name, value in state.items() if name != "name"}) == transform


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("pt", 40.0, r"column 'pt' has 2 of 9 values.*above the offset 40.*pt > 40; the first is 40$"),
        ("dphi", 3.15, r"column 'dphi' has 2 of 9 values.*below the bound 3\.14159.*dphi < 3\.14159.*first is 3\.14"),
        ("score", 0.0, r"column 'score' has 2 of 9 values.*between its bounds 0 and 1, both excluded"),
        ("eta", np.nan, r"column 'eta' has 2 of 9 values that are not finite.*first is nan"),
        ("pt", np.inf, r"column 'pt' has 2 of 9 values.*first is inf"),
        ("dphi", -np.inf, r"column 'dphi' has 2 of 9 values.*first is -inf"),
        ("score", np.nan, r"column 'score' has 2 of 9 values"),
    ],
)
def test_values_without_a_transform_are_refused(name, value, words):
    scale, data = Scale.fit(FEATURES, columns()), columns(9)
    data[name][[4, 7]] = value
    with pytest.raises(DataError, match=words):
        scale.forward(data)
    with pytest.raises(DataError, match=words):
        Scale.fit(FEATURES, data)


@pytest.mark.parametrize("values", [np.array(["1", "2"]), ak.Array([[1.0], [2.0, 3.0]]), np.ones((2, 2))])
def test_a_column_of_no_numbers_is_named(values):
    with pytest.raises(DataError, match=r"column 'x' does not hold one number a row; of lists .* 'x\[0\]' or 'sum"):
        Scale.fit([Feature("x")], {"x": values})


def test_a_column_that_is_not_there_is_named():
    with pytest.raises(DataError, match="no column 'etta', did you mean 'eta'"):
        Scale.fit([Feature("etta")], columns())


@pytest.mark.parametrize(
    ("column", "weight", "words"),
    [
        (np.full(4, 3.0), None, "column 'x' has the weighted variance"),
        (np.full(4, 1e9) / 3.0, None, "column 'x' has the weighted variance"),
        (np.array([1.0, 5.0, 2.0, 3.0]), [1.0, -0.9, 1.0, 1.0], "negative weights must not outweigh"),
        (np.arange(4.0), [1.0, -1.0, 1.0, -1.0], "positive sum, not 0"),
        (np.arange(4.0), [1.0, np.nan, 1.0, 1.0], "finite and have a positive sum"),
        (np.arange(4.0), [1.0, 1.0], r"shape \(2,\), the columns 4 rows"),
        (np.zeros(0), None, "positive sum, not 0"),
    ],
)
def test_columns_and_weights_that_give_no_scale_are_refused(column, weight, words):
    with pytest.raises(DataError, match=words):
        Scale.fit([Feature("x")], {"x": column}, weight)


def test_values_that_no_column_has_are_refused():
    scale = Scale.fit(FEATURES, columns())
    with pytest.raises(DataError, match=r"\(3, 2\), but there are 4 features"):
        scale.inverse(np.zeros((3, 2)))
    far = np.zeros((3, 4))
    far[1, 0] = 1e4
    with pytest.raises(DataError, match="1 of 3 values of 'pt' are not finite after the inverse"):
        scale.inverse(far)


@pytest.mark.parametrize(
    "make", [lambda: Log(np.nan), lambda: LogGap(np.inf), lambda: Bounded(1.0, 1.0), lambda: Bounded(0.0, np.inf)]
)
def test_bounds_that_make_no_sense_are_refused(make):
    with pytest.raises(ConfigError, match=r"bounds|low end"):
        make()
