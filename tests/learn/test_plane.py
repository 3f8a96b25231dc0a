"""Planes: which bins a blind region touches, what is drawn from them, and what is wrong with the input."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import hist
import numpy as np
import pytest

from backdrop import Events, Region
from backdrop.errors import ConfigError, DataError
from backdrop.learn.gp import GaussianProcess
from backdrop.learn.log_gp import LogGaussianProcess
from backdrop.learn.plane import Plane, around, box, fit_plane
from backdrop.tasks import checkpoints, fingerprint

AXES = (hist.axis.Regular(10, 0, 10, name="x"), hist.axis.Variable([0, 1, 2, 4, 5, 6, 8], name="y"))
CIRCLE = Region("circle", "hypot(x - 5, y - 4) < 1.2")
EVERYWHERE = Region.everything()


def events(seed: int = 1, number: int = 6000) -> Events:
    rng = np.random.default_rng(seed)
    year = rng.choice([2016, 2017], number, p=[0.3, 0.7])
    x = 10 * (1 - rng.uniform(size=number) ** 0.5)
    y = 8 * np.where(year == 2016, rng.uniform(size=number), 1 - rng.uniform(size=number) ** 0.7)
    return Events.of({"x": x, "y": y, "year": year}).select(~CIRCLE)


def plane(process: GaussianProcess | LogGaussianProcess | None = None, within: Region = EVERYWHERE) -> Plane:
    rng = np.random.default_rng(1)
    return fit_plane(events().select(within), AXES, "year", CIRCLE, within, process or LogGaussianProcess(), rng)


def test_a_bin_that_the_blind_region_touches_is_not_fitted() -> None:
    trained = plane().trained.reshape(10, 6)
    # from 3.8 to 6.2 in x and from 2.8 to 5.2 in y, the corners of that square left out
    shut = {(i, j) for i, j in np.argwhere(~trained)}
    assert shut == {(4, 2), (5, 2), (4, 3), (5, 3), (3, 3), (6, 3), (3, 2), (6, 2), (4, 4), (5, 4)}


@pytest.mark.parametrize("process", [LogGaussianProcess(), GaussianProcess()])
def test_a_fit_that_is_kept_is_not_searched_again(
    process: GaussianProcess | LogGaussianProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = fingerprint(plane(process).state())
    with checkpoints(tmp_path):
        assert fingerprint(plane(process).state()) == expected
        monkeypatch.setattr("backdrop.learn.evidence.lowest", None)
        monkeypatch.setattr("backdrop.learn.log_gp.lowest", None)
        assert fingerprint(plane(process).state()) == expected
        with pytest.raises(TypeError):
            plane(replace(process, restarts=3))


def test_bins_beyond_the_sample_are_neither_fitted_nor_drawn() -> None:
    half = Region("half", "x + y < 11")
    found = plane(within=half)
    inside, trained = found.inside.reshape(10, 6), found.trained.reshape(10, 6)
    assert inside[0].all() and not inside[9, 3:].any()
    assert inside[9, 1] and not trained[9, 1]
    assert (found.density.reshape(2, 10, 6)[:, ~inside] == 0.0).all()
    columns, bins = found.draw(1000, np.random.default_rng(2))
    assert found.inside[bins].all() and len(columns["x"]) == 2000


def test_draws_follow_the_density_of_each_category() -> None:
    found = plane()
    columns, bins = found.draw(20_000, np.random.default_rng(2))
    kinds, again = found.index(columns)
    assert np.array_equal(kinds, np.repeat([0, 1], 20_000)) and np.array_equal(again, bins)
    for kind in (0, 1):
        share = found.density[kind] / found.density[kind].sum()
        drawn = np.bincount(bins[kinds == kind], minlength=60) / 20_000
        # strata of one draw each: a bin has its share up to two draws
        assert np.abs(drawn - share).max() < 2.0 / 20_000
    inner = (columns["x"] % 1.0).std()
    assert inner == pytest.approx(1 / np.sqrt(12), abs=0.005)


def test_yields_are_those_of_the_bins_whatever_their_size() -> None:
    rows = events()
    for process in (LogGaussianProcess(), GaussianProcess()):
        found = plane(process)
        for kind, year in enumerate((2016, 2017)):
            counts = np.histogramdd([rows[name][rows["year"] == year] for name in "xy"], [axis.edges for axis in AXES])[
                0
            ].ravel()
            pulls = ((found.mean[kind] - counts) / np.sqrt(np.maximum(counts, 1.0)))[found.trained]
            assert abs(pulls.mean()) < 0.3 and 0.7 < pulls.std() < 1.3
        assert found.errors.shape == (2, 60) and (found.errors > 0).all()


def test_posterior_draws_have_the_mean_and_the_errors() -> None:
    found = plane()
    drawn = found.posterior(4000, np.random.default_rng(3))
    assert drawn.shape == (4000, 2, 60)
    assert (np.abs(drawn.mean(axis=0) - found.mean) < 5 * found.errors / np.sqrt(4000)).all()
    assert np.allclose(drawn.std(axis=0), found.errors, rtol=0.1)


def test_rows_are_in_their_category_and_bin_or_in_none() -> None:
    columns = {"x": np.array([0.5, 12.0, 9.9]), "y": np.array([3.0, 1.0, 7.0]), "year": np.array([2016, 2017, 2018])}
    kinds, bins = plane().index(columns)
    assert kinds.tolist() == [0, 1, -1] and bins.tolist() == [2, -1, 59]


def test_points_around_the_box_are_outside_of_it() -> None:
    points = around(AXES)
    assert not box(AXES).mask(points).any()
    assert Region("near", "x > -0.05").mask(points).any() and Region("far", "(x > 20) & (y > 20)").mask(points).any()


@pytest.mark.parametrize("process", [LogGaussianProcess(), GaussianProcess()])
def test_a_plane_survives_its_state(process: GaussianProcess | LogGaussianProcess) -> None:
    found = plane(process)
    again = Plane.from_state(found.state())
    assert np.array_equal(again.mean, found.mean) and np.array_equal(again.errors, found.errors)
    assert again.values == (2016.0, 2017.0) and np.array_equal(again.trained, found.trained)


def test_a_mean_below_zero_is_told() -> None:
    """A Gaussian process of counts swings below zero beyond a sharp edge."""
    rng = np.random.default_rng(1)
    rows = Events.of({"x": np.concatenate([rng.uniform(0, 5, 2000), rng.uniform(0, 10, 20)])})
    edge, axes = Region("edge", "abs(x - 5) <= 0.6"), (hist.axis.Regular(20, 0, 10, name="x"),)
    stiff = GaussianProcess(bounds=(1.0, 20.0), noise="observed")
    found = fit_plane(rows.select(~edge), axes, None, edge, EVERYWHERE, stiff, rng)
    assert (found.mean < 0).any() and (found.density >= 0).all()
    below = -found.mean[found.mean < 0].sum() / found.density.sum()
    assert found.lost == pytest.approx(below) and below > 1e-3
    assert any(f"negative in bins that sum to {below:.2%}" in text for text in found.warnings)


def test_wrong_input_is_named() -> None:
    rng, rows = np.random.default_rng(1), events()
    everything = Region("everything", "x > -1")
    with pytest.raises(ConfigError, match="no bin of the box is outside 'everything' and wholly inside 'all'"):
        fit_plane(rows, AXES, "year", everything, EVERYWHERE, LogGaussianProcess(), rng)
    with pytest.raises(ConfigError, match=r"category 'x' has .* values in the training rows, more than 20"):
        fit_plane(rows, AXES, "x", CIRCLE, EVERYWHERE, LogGaussianProcess(), rng)
    with pytest.raises(DataError, match="year = 2016: the weights in the open bins of region 'training' sum to 0"):
        none = rows.with_weight(np.where(rows["year"] == 2016, 0.0, 1.0))
        fit_plane(none, AXES, "year", CIRCLE, EVERYWHERE, LogGaussianProcess(), rng)
