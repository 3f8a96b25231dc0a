"""Principal components: they hold the covariance exactly, or leave out exactly what they say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backdrop.errors import ConfigError, ExportError
from backdrop.inference.components import principal

sizes = st.tuples(st.integers(2, 12), st.integers(1, 9), st.integers(0, 10_000))


def _rows(replicas: int, bins: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return 10.0 ** rng.uniform(-1, 4, bins) * (1.0 + 0.3 * rng.normal(size=(replicas, bins)))


@given(sizes)
def test_all_components_are_the_covariance_in_any_scale(size: tuple[int, int, int]) -> None:
    rows = _rows(*size)
    scale = 10.0 ** np.random.default_rng(size[2]).uniform(-2, 2, size[1])
    found = principal(rows, scale)
    expected = np.cov(rows, rowvar=False).reshape(size[1], size[1])
    errors = np.sqrt(np.diag(expected))
    np.testing.assert_allclose(
        found.shifts.T @ found.shifts / np.outer(errors, errors), expected / np.outer(errors, errors), atol=1e-10
    )
    assert not found.remainder.any()
    assert len(found.shifts) <= min(size[0] - 1, size[1])


@given(sizes, st.floats(0.05, 0.99))
def test_what_is_left_out_is_the_remainder_and_within_the_promise(size: tuple[int, int, int], keep: float) -> None:
    rows = _rows(*size)
    scale = np.sqrt(rows.mean(axis=0).clip(1e-3))
    found = principal(rows, scale, keep)
    variance = rows.var(axis=0, ddof=1)
    np.testing.assert_allclose((found.shifts**2).sum(axis=0) + found.remainder, variance, rtol=1e-10)
    assert (found.remainder / scale**2).sum() <= (1.0 - keep) * (variance / scale**2).sum() * (1 + 1e-9)


def test_one_common_factor_is_one_component_that_raises_the_yield() -> None:
    nominal = np.array([100.0, 30.0, 5.0])
    rows = nominal * (1.0 + 0.1 * np.random.default_rng(3).normal(size=(40, 1)))
    found = principal(rows, np.sqrt(nominal), 0.999)
    assert found.shifts.shape == (1, 3)
    np.testing.assert_allclose(found.shifts[0], np.std(rows[:, 0], ddof=1) * nominal / 100.0, rtol=1e-9)


def test_a_channel_of_many_events_does_not_drown_one_of_few() -> None:
    rng = np.random.default_rng(5)
    many, few = rng.normal(1e6, 1e3, (50, 1)), rng.normal(100.0, 20.0, (50, 1))
    found = principal(np.hstack([many, few]), np.sqrt([1e6, 100.0]), 0.9)
    assert abs(found.shifts[:, 1]).max() == pytest.approx(few.std(ddof=1), rel=0.05)


def test_refusals() -> None:
    with pytest.raises(ExportError, match="1 replicas have no covariance"):
        principal(np.ones((1, 3)), np.ones(3))
    for keep in (0.0, 1.1, -1.0):
        with pytest.raises(ConfigError, match="keep"):
            principal(np.ones((4, 3)), np.ones(3), keep)
