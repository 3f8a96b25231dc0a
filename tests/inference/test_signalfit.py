"""The fit that ensembles take: the workspace's fit, with the measurements of variations thrown."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import backdrop as bd
from backdrop import Events
from backdrop.errors import ExportError
from backdrop.inference import SignalFit
from backdrop.tasks import fingerprint, stream
from tests.inference.samples import plain

SIGNAL = plain([20.0], [0.0])
BACKGROUND = plain([400.0], [0.0]).with_variation("size", np.array([440.0]), np.array([360.0]))


def rows(number: int, sample: str = "data") -> Events:
    return Events.of({"m": np.full(number, 0.5), "tag": np.zeros(number)}, sample=sample)


def test_it_is_the_fit_of_the_workspace() -> None:
    found = SignalFit({"s": SIGNAL}, thrown=False)(BACKGROUND, {"SR": rows(430)}, rng=stream(1, "x"))
    result = bd.fit(bd.workspace({"background": BACKGROUND}, {"signal": SIGNAL}, {"SR": rows(430)}))
    assert found == {"s": (result.value, result.error)}
    assert found["s"] == pytest.approx((1.5, np.hypot(np.sqrt(430), 40) / 20), rel=1e-3)


def test_a_thrown_measurement_moves_the_background_with_it() -> None:
    """One bin fixes nothing but the strength, so the nuisance stays where it was measured."""
    fit = SignalFit({"s": SIGNAL, "double": 2.0 * SIGNAL})
    values = []
    for toy in range(6):
        thrown = stream(toy, "x").standard_normal(1)[0]
        found = fit(BACKGROUND, {"SR": rows(430)}, rng=stream(toy, "x"))
        assert found["s"][0] == pytest.approx((430 - 400 - 40 * thrown) / 20, rel=1e-4)
        assert found["double"][0] == pytest.approx(found["s"][0] / 2, rel=1e-4)
        values.append(found["s"][0])
    assert len(set(values)) == 6


def test_a_variation_of_two_backgrounds_is_thrown_once() -> None:
    other = plain([100.0], [0.0]).with_variation("size", np.array([120.0])).with_variation("own", np.array([103.0]))
    fit = SignalFit({"s": SIGNAL}, others={"prompt": other})
    size, own = stream(3, "x").standard_normal(2)
    found = fit(BACKGROUND, {"SR": rows(530)}, rng=stream(3, "x"))
    assert found["s"][0] == pytest.approx((530 - 500 - (40 + 20) * size - 3 * own) / 20, rel=1e-4)


def test_the_observed_rows_are_those_of_one_sample() -> None:
    mixed = {"SR": rows(430) - 0.5 * rows(60, "prompt")}
    fit = SignalFit({"s": SIGNAL}, thrown=False)
    with pytest.raises(ExportError, match="weighted"):
        fit(BACKGROUND, mixed, rng=stream(1, "x"))
    assert replace(fit, sample="data")(BACKGROUND, mixed, rng=stream(1, "x"))["s"][0] == pytest.approx(1.5, rel=1e-3)


def test_a_free_background_is_fixed_by_the_bin_without_signal() -> None:
    signal, background = plain([20.0, 0.0], [0.0, 0.0]), plain([400.0, 400.0], [0.0, 0.0])
    counts = {"SR": Events.of({"m": np.repeat([0.25, 0.75], [540, 500]), "tag": np.zeros(1040)})}
    fit = SignalFit({"s": signal}, free={"background": 0.1})
    value, error = fit(background, counts, rng=stream(1, "x"))["s"]
    assert value == pytest.approx((540 - 500) / 20, rel=1e-4)
    assert error == pytest.approx(np.sqrt(540 + 500) / 20, rel=1e-3)
    held = SignalFit({"s": signal})(background, counts, rng=stream(1, "x"))["s"]
    assert held[0] == pytest.approx((540 - 400) / 20, rel=1e-4)


def test_toys_can_be_kept_by_it() -> None:
    fits = [SignalFit({"s": one}, others=other) for one in (SIGNAL, 2.0 * SIGNAL) for other in ({}, {"b": BACKGROUND})]
    assert len({fingerprint(one) for one in fits}) == 4
    assert fingerprint(replace(fits[0])) == fingerprint(fits[0])
