from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hist
import numpy as np
import pytest

from backdrop import Channel, Events, Region, Setup
from backdrop.errors import ArtifactError, ConfigError, DataError, FitError
from backdrop.tasks import pool
from backdrop.validation import Coverage, coverage

LOOSE = Region("loose", "tight < 0.5")
EXPECTED = np.array([400.0, 900.0, 600.0])
AXIS = hist.axis.Regular(3, 0, 3, name="m")
CHANNELS = (Channel("VR", Region("VR", "n < 1"), (AXIS,)), Channel("SR", Region("SR", "n >= 1"), (AXIS,)))
TRUTH = {"VR": 0.5 * EXPECTED, "SR": 0.1 * EXPECTED}


@dataclass(frozen=True)
class Transfer:
    """Half of the loose rows; `error` scales the weights' spread by splitting each row into parts."""

    factor: float = 0.5
    parts: int = 1
    fails_below: int = 0

    def fit(self, events: Events, *, rng: np.random.Generator) -> Weighted:
        if len(events) < self.fails_below:
            raise FitError(f"{len(events)} rows")
        return Weighted(self.factor, self.parts)


@dataclass(frozen=True)
class Weighted:
    factor: float
    parts: int

    @property
    def reads(self) -> Region:
        return LOOSE

    def predict(self, events: Events, region: Region) -> Events:
        rows = events.select(region & LOOSE)
        rows = rows.with_weight(rows.weight * self.factor / self.parts)
        return functools.reduce(lambda a, b: a + b, [rows] * self.parts)

    def state(self) -> dict[str, Any]:
        return {"factor": self.factor, "parts": self.parts}


def draw(seed: int) -> Events:
    rng = np.random.default_rng(seed)
    columns = []
    for n, scale in ((0, 1.0), (1, 0.2)):
        m = np.repeat([0.5, 1.5, 2.5], rng.poisson(scale * EXPECTED))
        columns.append({"m": m, "n": np.full(len(m), n), "tight": np.zeros(len(m))})
    return Events.of({name: np.concatenate([part[name] for part in columns]) for name in columns[0]})


def right(seed: int) -> Setup:
    return Setup(Transfer(), draw(seed))


def biased(seed: int) -> Setup:
    return Setup(Transfer(factor=0.53), draw(seed))


def overconfident(seed: int) -> Setup:
    # every row counted as four quarters: a quarter of the variance
    return Setup(Transfer(parts=4), draw(seed))


def sometimes_failing(seed: int) -> Setup:
    return Setup(Transfer(fails_below=2200), draw(seed))


def truth_of(seed: int) -> dict[str, np.ndarray]:
    return TRUTH


def logged(folder: str, seed: int) -> Setup:
    (Path(folder) / str(seed)).touch()
    return right(seed)


@dataclass(frozen=True)
class Scaled:
    """A sample with a setting of its own."""

    factor: float

    def __call__(self, seed: int) -> Setup:
        return Setup(Transfer(factor=self.factor), draw(seed))


def run(make: Callable[[int], Setup] = right, toys: int = 20, **settings: Any) -> Coverage:
    return coverage(make, CHANNELS, settings.pop("truth", TRUTH), toys=toys, seed=settings.pop("seed", 3), **settings)


# ---- verdicts --------------------------------------------------------------------------------------------------------


def test_a_correct_uncertainty_is_covered():
    found = run(toys=400)
    assert found.meets(mean=(0.0, 0.0), width=(1.0, 1.0), bins=True)
    for level in (0.683, 0.954):
        fraction, error = found.yields.covered(level)
        assert (np.abs(fraction - level) < 3 * error).all()
    assert found.yields.names == ("VR", "SR")
    assert found.bins.names == ("VR[0]", "VR[1]", "VR[2]", "SR[0]", "SR[1]", "SR[2]")
    np.testing.assert_allclose(found.bins.value.mean(axis=0), np.r_[TRUTH["VR"], TRUTH["SR"]], rtol=0.02)
    assert repr(found).startswith("Coverage(400 toys: VR pull ")


def test_a_bias_is_found():
    found = run(biased, toys=100)
    # 6 % of 950, in units of 0.5 · √1900
    assert found.yields.mean[0] == pytest.approx(0.06 * 950 / (0.53 * np.sqrt(1900)), abs=0.3)
    assert not found.meets(mean=(0.0, 0.0), width=(0.0, 9.0))


def test_overconfidence_is_found():
    found = run(overconfident, toys=100)
    assert found.yields.width[0] == pytest.approx(2.0, abs=0.45)
    assert not found.meets(mean=(-9.0, 9.0), width=(1.0, 1.0))
    fraction, error = found.yields.covered(0.683)
    assert (fraction < 0.683 - 3 * error).all()


def test_failed_fits_are_counted_and_cover_nothing():
    found = run(sometimes_failing, toys=40)
    assert 0 < len(found.failed) < 40
    assert found.yields.undefined.tolist() == [len(found.failed)] * 2
    assert not found.meets(mean=(-9.0, 9.0), width=(0.0, 9.0))
    assert found.yields.covered(0.9999999)[0][0] == 1 - len(found.failed) / 40
    assert "failed" in repr(found)


# ---- the same toys, however they are run -----------------------------------------------------------------------------


def same(first: Coverage, second: Coverage) -> None:
    for table in ("yields", "bins"):
        for part in ("value", "error", "truth"):
            np.testing.assert_array_equal(getattr(getattr(first, table), part), getattr(getattr(second, table), part))


def test_processes_do_not_matter():
    with pool(2) as map:
        same(run(map=map, replicas=3), run(replicas=3))


def test_a_toy_is_the_same_in_any_number():
    few, many = run(toys=5), run(toys=20)
    np.testing.assert_array_equal(few.bins.value, many.bins.value[:5])
    assert not np.array_equal(run(seed=4).bins.value, many.bins.value)


@pytest.mark.parametrize("truth", [np.r_[0.5 * EXPECTED, 0.1 * EXPECTED], truth_of], ids=["vector", "function"])
def test_truth_comes_in_three_forms(truth):
    same(run(truth=truth), run())


def test_it_goes_on_from_what_is_finished(tmp_path):
    kept, log = tmp_path / "toys", tmp_path / "log"
    log.mkdir()
    make = functools.partial(logged, str(log))
    run(make, toys=20, directory=kept)
    assert len(list(log.iterdir())) == 20
    for file in log.iterdir():
        file.unlink()
    more = run(make, toys=30, directory=kept)
    assert len(list(log.iterdir())) == 10
    same(more, run(toys=30))


def test_a_changed_setting_is_another_ensemble(tmp_path):
    first, second = (run(Scaled(factor), directory=tmp_path) for factor in (0.5, 0.6))
    np.testing.assert_allclose(second.bins.value, 1.2 * first.bins.value)
    assert len(list(tmp_path.iterdir())) == 40
    same(run(Scaled(0.5), directory=tmp_path), first)
    assert len(list(tmp_path.iterdir())) == 40


def test_a_function_with_outer_variables_is_not_kept(tmp_path):
    factor = 0.5

    def closed(seed: int) -> Setup:
        return Setup(Transfer(factor), draw(seed))

    same(run(closed), run())
    with pytest.raises(ArtifactError, match="dataclass with __call__"):
        run(closed, directory=tmp_path)


def test_it_survives_its_state():
    found = run(sometimes_failing)
    again = Coverage.from_state(found.state())
    same(again, found)
    assert (again.seed, again.failed, again.toys) == (found.seed, found.failed, 20)


def test_refusals():
    with pytest.raises(ConfigError, match="toys=1"):
        run(toys=1)
    with pytest.raises(DataError, match=r"no truth for channels \['SR'\]"):
        run(truth={"VR": EXPECTED})
    with pytest.raises(DataError, match=r"shape \(3,\)"):
        run(truth=EXPECTED)
