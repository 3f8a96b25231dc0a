from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import hist
import numpy as np
import pytest

from backdrop import Channel, Events, Region, terms
from backdrop.errors import ConfigError, DataError, FitError
from backdrop.inference import SignalFit
from backdrop.tasks import pool
from backdrop.validation import Injection, injection, spurious_signal
from backdrop.validation.ensemble import Measured
from tests.validation.ensembles import ABSORBED, CHANNELS, EXPECTED, SIGNAL, Counting, Plain, Signal, likelihood


def run(make: Any = Plain(), signal: Any = Signal(), toys: int = 6, fit: Any = Counting(), **more: Any) -> Injection:  # noqa: B008
    settings: dict[str, Any] = {"strengths": (1.0, 2.0), "seed": 3, **more}
    return injection(make, signal, CHANNELS, fit, toys=toys, **settings)


@pytest.fixture(scope="module")
def leaking() -> Injection:
    return run(toys=40, strengths=(1.0, 0.5, 2.0))


ARRAYS = ("value", "error", "crossed", "background", "injected")


def same(first: Injection, second: Injection) -> None:
    for part in ARRAYS:
        np.testing.assert_array_equal(getattr(first, part), getattr(second, part))


def nothing(seed: int, strength: float) -> Events:
    return Events.of({name: np.zeros(0) for name in ("x1", "x2", "m")})


def named_as_the_data(seed: int, strength: float) -> Events:
    return Events.of(dict(Signal()(seed, strength).columns), sample="data")


# ---- closed form -----------------------------------------------------------------------------------------------------


def test_the_absorption_is_the_part_that_the_control_region_holds(leaking: Injection) -> None:
    assert ABSORBED == pytest.approx(0.2)
    assert leaking.absorbed["all"].agrees(ABSORBED, 4)
    assert leaking.slope["all"].agrees(1.0 - ABSORBED, 4)
    assert leaking.response["all"].agrees(1.0, 4)
    assert leaking.curvature["all"].agrees(0.0, 4)
    for strength, rise in zip(leaking.strengths, leaking.rise["all"], strict=True):
        assert rise.agrees(strength * (1.0 - ABSORBED), 4)
    # a fit that gives half of the strength has half of the response
    assert leaking.slope["half"].value == pytest.approx(0.5 * leaking.slope["all"].value)
    assert leaking.response["half"].agrees(0.5, 4)
    # small enough to tell 0.8 from 1
    assert max(leaking.slope["all"].error, leaking.absorbed["all"].error) < 0.02
    assert "slope 0." in repr(leaking) and "strengths 0.5, 1, 2" in repr(leaking)


def test_the_background_moves_by_the_signal_of_the_control_region(leaking: Injection) -> None:
    for strength, moved in zip((0.5, 1.0, 2.0), leaking.moved(), strict=True):
        assert moved.agrees(strength * SIGNAL["B"] / EXPECTED, 4)
        assert moved.error < 0.3 * moved.value
    assert leaking.captured().agrees(ABSORBED, 4)


def test_a_window_holds_the_bins_between_its_edges(leaking: Injection) -> None:
    bins = leaking.window("SR", 125.0, 175.0)
    assert bins == slice(1, 3)
    # the mass of the source rows is that of the signal: all of what moves is in the window
    in_window = leaking.background[:, 1:, bins] - leaking.background[:, :1, bins]
    everywhere = leaking.background[:, 1:] - leaking.background[:, :1]
    np.testing.assert_allclose(in_window.sum(axis=2), everywhere.sum(axis=2))
    share = leaking.background[:, 0, bins].sum() / leaking.background[:, 0].sum()
    assert leaking.moved(bins)[1].value == pytest.approx(leaking.moved()[1].value / share)
    with pytest.raises(DataError, match=r"from 110 to 175; its edges: \[100\.0, 125\.0"):
        leaking.window("SR", 110.0, 175.0)
    with pytest.raises(DataError, match="no channel 'VR'; there is: SR"):
        leaking.window("VR", 125.0, 175.0)


def test_nothing_is_absorbed_from_a_signal_region_that_is_not_trained_on() -> None:
    found = run(signal=Signal(leaks=False), toys=20)
    np.testing.assert_array_equal(found.background[:, 1:], np.repeat(found.background[:, :1], 2, axis=1))
    assert found.absorbed["all"] == Measured(0.0, 0.0)
    assert found.slope["all"].agrees(1.0, 4)
    # the rise is exactly what was injected
    rise = found.value[:, 1:, 0] - found.value[:, :1, 0]
    np.testing.assert_allclose(rise, found.injected.sum(axis=2) / SIGNAL["A"])


def test_a_bent_response_has_a_curvature() -> None:
    found = run(fit=Counting(bend=0.1), signal=Signal(leaks=False), toys=20)
    assert found.curvature["all"].agrees(0.1, 4)
    assert not found.curvature["all"].agrees(0.0, 4)


def test_a_likelihood_that_expects_the_signal_in_the_control_region_finds_all_of_it() -> None:
    simulated = Signal()(1, 100.0).relabel("signal")
    template = terms(likelihood(1), CHANNELS, seed=1).template(0.01 * simulated)
    exact = replace(template, sumw2=np.zeros_like(template.nominal))
    found = run(likelihood, fit=SignalFit({"s": exact}), toys=8, strengths=(2.0,), relation=True)
    assert found.slope["s"].agrees(1.0, 4)
    assert found.slope["s"].error < 0.05
    # data without the signal that its control region holds: - s_B / (s_A - s_B), as B predicts A one to one
    assert found.absorbed["s"].agrees(SIGNAL["B"] / (SIGNAL["A"] - SIGNAL["B"]), 4)


# ---- pairs -----------------------------------------------------------------------------------------------------------


def test_a_smaller_strength_is_a_part_of_a_larger_one(leaking: Injection) -> None:
    assert leaking.strengths == (0.5, 1.0, 2.0)
    assert (np.diff(leaking.injected, axis=1) >= 0).all()
    sums = leaking.injected.sum(axis=(0, 2))
    expected = 40 * SIGNAL["A"] * np.array(leaking.strengths)
    assert (np.abs(sums - expected) < 4 * np.sqrt(expected)).all()


def test_without_signal_it_is_the_spurious_signal(leaking: Injection) -> None:
    plain = spurious_signal(Plain(), CHANNELS, Counting(), largest=0.2, toys=40, seed=3)
    np.testing.assert_array_equal(leaking.value[:, 0], plain.fitted.value)
    np.testing.assert_array_equal(leaking.pulls[0].pulls, plain.fitted.pulls)
    assert len(leaking.pulls) == 4 and (leaking.pulls[3].truth == 2.0).all()


def test_pairs_have_less_noise_than_two_samples(leaking: Injection) -> None:
    rise = leaking.value[:, 2, 0] - leaking.value[:, 0, 0]
    assert rise.std(ddof=1) < 0.5 * leaking.error[:, 0, 0].mean()


def test_processes_do_not_matter_and_it_goes_on_from_what_is_finished(tmp_path: Path) -> None:
    with pool(2) as map:
        same(run(map=map), run())
    run(toys=3, directory=tmp_path)
    assert len(list(tmp_path.iterdir())) == 3
    same(run(directory=tmp_path), run())
    assert len(list(tmp_path.iterdir())) == 6
    run(signal=Signal(leaks=False), toys=2, directory=tmp_path)
    assert len(list(tmp_path.iterdir())) == 8


# ---- what is not there -----------------------------------------------------------------------------------------------


def test_failed_toys_have_no_part_in_the_means() -> None:
    limit = EXPECTED + SIGNAL["A"]
    found, whole = run(fit=Counting(fails_above=limit), strengths=(1.0,), toys=12), run(strengths=(1.0,), toys=12)
    assert 0 < len(found.failed) < 12 and f"{len(found.failed)} failed" in repr(found)
    good = np.delete(np.arange(12), found.failed)
    np.testing.assert_array_equal(found.value[good], whole.value[good])
    rise = whole.value[good, 1, 0] - whole.value[good, 0, 0]
    assert found.slope["all"].value == pytest.approx(rise.mean())
    assert found.moved()[0].value > 0.0
    again = Injection.from_state(found.state())
    same(again, found)
    assert (again.strengths, again.names, again.failed) == (found.strengths, found.names, found.failed)
    assert again.window("SR", 100.0, 200.0) == slice(0, 4)
    with pytest.raises(FitError, match="all 2 toys failed"):
        run(fit=Counting(fails_above=0.0), toys=2)


@pytest.mark.parametrize("strengths", [(), (0.0, 1.0), (1.0, 1.0), (float("nan"),)])
def test_strengths_are_positive_and_different(strengths: tuple[float, ...]) -> None:
    with pytest.raises(ConfigError, match="positive numbers, each once"):
        run(strengths=strengths)


def test_a_toy_needs_a_signal() -> None:
    with pytest.raises(DataError, match="no signal event was drawn for strength 2"):
        run(signal=nothing)


def test_signal_and_background_have_keys_of_their_own() -> None:
    with pytest.raises(DataError, match=r"[0-9]+ signal events have keys of background events"):
        run(signal=named_as_the_data)


def test_one_strength_has_no_curvature_and_two_axes_no_window() -> None:
    found = run(toys=2, strengths=(1.0,))
    with pytest.raises(ConfigError, match="no curvature"):
        _ = found.curvature
    axes = tuple(hist.axis.Regular(2, 0, 1, name=name) for name in ("x1", "x2"))
    both = Channel("SR", Region("SR", "m > 0"), axes)
    with pytest.raises(DataError, match="has 2 axes"):
        replace(found, channels=(both,)).window("SR", 0.0, 1.0)


def test_a_mean_has_the_error_of_its_spread() -> None:
    found = Measured.of(np.array([1.0, 2.0, 3.0, 4.0]))
    assert (found.value, found.error) == (2.5, pytest.approx(np.sqrt(5 / 3) / 2))
    assert found.agrees(3.7) and not found.agrees(3.9)
    assert np.isnan(Measured.of(np.array([1.0])).error)
