"""Features given a mass and a year: what members make of noise, and how they share a density."""

from __future__ import annotations

import numpy as np
import pytest

from backdrop.learn.conditional import Conditional, Given
from backdrop.learn.flow import Flow, Flows
from backdrop.learn.scale import Feature, Log, Scale
from backdrop.learn.train import Training, fit_flows

COLUMNS = {
    "m": np.linspace(50.0, 150.0, 2000),
    "year": np.tile([2017.0, 2018.0], 1000),
    "pt": np.exp(np.random.default_rng(1).normal(4.0, 0.5, 2000)),
}


@pytest.fixture(scope="module")
def features() -> Conditional:
    scale = Scale.fit([Feature("pt", Log())], COLUMNS)
    given = Given(Scale.fit([Feature("m")], COLUMNS), "year", (2017.0, 2018.0))
    flows: Flows = fit_flows(
        scale.forward(COLUMNS)[0], given(COLUMNS), np.ones((3, 2000)), np.arange(2000, dtype=np.uint64),
        flow=Flow(layers=2, hidden=8), training=Training(batch=256, epochs=1, steps=20), seeds=[1, 2, 3],
    )  # fmt: skip
    return Conditional(scale, given, flows)


def test_the_category_is_one_column_a_value(features: Conditional) -> None:
    found = features.given({"m": [50.0, 150.0], "year": [2018, 2017]})
    assert np.array_equal(found[:, 1:], [[0, 1], [1, 0]]) and found[0, 0] == -found[1, 0]
    assert features.given.names == ("m", "year") and features.names == ("pt",) and len(features) == 3


def test_members_draw_one_after_another(features: Conditional) -> None:
    noise = np.random.default_rng(2).standard_normal((3, 2000, 1), np.float32)
    drawn = features.drawn(noise, COLUMNS)["pt"].reshape(3, -1)
    for member in range(3):
        values = features.flows.transformed(noise, features.given(COLUMNS))[member]
        assert np.array_equal(drawn[member], features.scale.inverse(values)["pt"])


def test_odds_are_shares_of_the_density(features: Conditional) -> None:
    found = features.odds(COLUMNS, np.zeros(2000, int))
    density = np.exp(features.flows.log_prob(features.scale.forward(COLUMNS)[0], features.given(COLUMNS)))
    assert np.allclose(found, density / density.sum(axis=0)) and np.allclose(found.sum(axis=0), 1.0)


def test_a_row_without_a_transform_is_its_members(features: Conditional) -> None:
    columns = {**COLUMNS, "pt": np.where(np.arange(2000) == 7, 0.0, COLUMNS["pt"])}
    found = features.odds(columns, np.full(2000, 2))
    assert np.array_equal(found[:, 7], [0, 0, 1]) and 0.0 < found[2, 8] < 1.0


def test_members_are_compared_as_their_own_draws_are(features: Conditional) -> None:
    found = features.compared(COLUMNS, seed=3).reshape(3, 10)
    assert found.mean(axis=0) == pytest.approx(np.full(10, 0.1), abs=1e-6)
    drawn = features.flows.sample(features.given(COLUMNS), seed=4)[:, :, 0]
    edges = np.quantile(drawn, np.arange(1, 10) / 10)
    counted = np.stack([np.bincount(np.searchsorted(edges, one), minlength=10) for one in drawn]) / 2000
    # the bins' edges come from other draws, and both are counts of two thousand
    assert np.abs(found - counted).max() < 5.0 * np.sqrt(0.1 * 0.9 / 2000) * np.sqrt(2.0)
