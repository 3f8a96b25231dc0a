"""The detector against closed forms."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from backdrop.generate.detector import Detector

DETECTOR = Detector()
ROWS = 40_000


def rng() -> np.random.Generator:
    return np.random.default_rng(5)


def close(values: np.ndarray, expected: float) -> bool:
    """Say whether the mean is as expected, within four of its standard errors."""
    return bool(abs(values.mean() - expected) < 4 * values.std() / np.sqrt(len(values)))


def test_every_parameter_is_explained() -> None:
    rows = list(DETECTOR.table())
    assert len({name for name, *_ in rows}) == len(rows) > 30
    for name, _, _, meaning, reference in rows:
        assert meaning and reference, name


@pytest.mark.parametrize("width", [0.01, 0.1, 0.5])
def test_response_keeps_the_mean(width: float) -> None:
    factors = DETECTOR.response(np.full(ROWS, width), rng())
    assert (factors > 0).all()
    assert close(factors, 1.0)
    assert factors.std() == pytest.approx(width, rel=0.05)


def test_track_efficiency() -> None:
    found = DETECTOR.track_found([0.4, 0.9, 5.0, 0.9, 5.0, 5.0], [0.0, 1.0, -1.0, 2.0, -2.0, 2.6])
    np.testing.assert_allclose(found, [0.0, 0.70, 0.95, 0.60, 0.85, 0.0])


def test_resolutions() -> None:
    assert DETECTOR.track_resolution(40.0, 0.2) == pytest.approx(np.hypot(0.01, 2.5e-4 * 40))
    assert DETECTOR.track_resolution(40.0, -1.0) == pytest.approx(np.hypot(0.015, 4e-4 * 40))
    assert DETECTOR.track_resolution(40.0, 2.0) == pytest.approx(np.hypot(0.025, 6e-4 * 40))
    assert DETECTOR.muon_resolution(45.0, 0.0) == pytest.approx(np.hypot(0.014, 2e-4 * 45))
    energy = np.full(ROWS, 64.0)
    for electromagnetic, width in ((True, np.hypot(0.1 / 8, 0.007)), (False, np.hypot(0.50 / 8, 0.03))):
        factor = DETECTOR.energy_factor(energy, np.full(ROWS, electromagnetic), rng())
        assert factor.std() == pytest.approx(width, rel=0.03)
        assert close(factor, 1.0)


def test_smearing_of_tracks() -> None:
    pt, eta, phi = np.full(ROWS, 20.0), np.full(ROWS, 0.3), np.full(ROWS, 1.0)
    measured = DETECTOR.smear(pt, eta, phi, DETECTOR.track_resolution(pt, eta), rng())
    assert (measured[0] / pt).std() == pytest.approx(np.hypot(0.01, 0.005), rel=0.03)
    for column, truth in zip(measured[1:], (0.3, 1.0), strict=True):
        assert close(column, truth)
        assert column.std() == pytest.approx(3e-4, rel=0.03)


def test_impact_parameter_is_in_units_of_its_resolution() -> None:
    pt = np.full(ROWS, 20.0)
    sigma = np.hypot(0.016, 0.14 / 20.0)
    prompt = DETECTOR.smear_d0(np.zeros(ROWS), pt, rng())
    displaced = DETECTOR.smear_d0(np.full(ROWS, 5 * sigma), pt, rng())
    assert close(prompt, 0.0) and prompt.std() == pytest.approx(1.0, rel=0.03)
    assert close(displaced, 5.0)
    without = replace(DETECTOR, lifetimes=False).smear_d0(np.full(ROWS, 5 * sigma), pt, rng())
    np.testing.assert_array_equal(without, prompt)


def test_crack() -> None:
    eta = [0.0, 1.36, 1.4, -1.5, 1.53, 2.46, -2.48]
    assert DETECTOR.outside_crack(eta, 2.47).tolist() == [True, True, False, False, True, True, False]


def test_identification_rises_to_its_plateau() -> None:
    pt = np.array([10.0, 30.0, 1000.0])
    np.testing.assert_allclose(DETECTOR.electron_identification(pt), 0.9 - 0.205 * np.exp(-pt / 15.0))
    assert DETECTOR.electron_identification(1000.0) == pytest.approx(0.9)


def test_tag_by_flavour() -> None:
    flavour = np.array([5, 4, 0, 5])
    np.testing.assert_allclose(DETECTOR.tag(flavour, DETECTOR.tag_four_jets), [0.85, 0.25, 0.02, 0.85])


def test_pseudo_tag_at_known_points() -> None:
    assert DETECTOR.pseudo_tagged(70.0, 0.0, 0.4) == pytest.approx(0.40 + 0.12)
    assert DETECTOR.pseudo_tagged(130.0, 2.0, 1.0) == pytest.approx(
        0.40 + 0.06 * np.tanh(1.0) - 0.016 * 4.0 + 0.12 * np.exp(-1.0)
    )
    pt, eta, near = np.meshgrid(np.linspace(35, 1000, 40), np.linspace(-2.5, 2.5, 21), np.linspace(0.4, 9.0, 30))
    probability = DETECTOR.pseudo_tagged(pt, eta, near)
    assert probability.min() > 0.2 and probability.max() < 0.65


def test_flip_probability_factorises() -> None:
    assert DETECTOR.flipped(60.0, 0.3) == pytest.approx(0.0045 * 0.2)
    assert DETECTOR.flipped(42.5, -2.2) == pytest.approx(0.0035 * 2.4)
    # constant beyond the last point and the last edge
    assert DETECTOR.flipped(2000.0, 2.47) == pytest.approx(0.03 * 2.4)
    pt, eta = np.array([[30.0], [50.0], [200.0]]), np.array([[0.1, 0.8, 1.3, 1.7, 2.3]])
    table = DETECTOR.flipped(pt, eta)
    np.testing.assert_allclose(table / table[:, :1], np.broadcast_to(table[0] / table[0, 0], table.shape))
    assert np.mean([factor for _, factor in DETECTOR.flip_eta]) == pytest.approx(1.0)
