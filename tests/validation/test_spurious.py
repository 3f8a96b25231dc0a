from __future__ import annotations

import functools
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import backdrop
from backdrop import Events, Region, Setup
from backdrop.errors import ArtifactError, ConfigError, DataError, FitError
from backdrop.tasks import pool
from backdrop.validation import SpuriousSignal, spurious_signal
from tests.validation.ensembles import CHANNELS, EXPECTED, PLANE, TOY, Counting, Plain

ERROR = np.sqrt(4.0 * EXPECTED)


def logged(folder: str, seed: int) -> Setup:
    (Path(folder) / str(seed)).touch()
    return Plain()(seed)


def sealed(seed: int) -> Setup:
    rows = TOY.draw(seed=seed)
    return Setup(PLANE.abcd(), Events.of(dict(rows.columns), seal=Region("both", "(x1 > 0) & (x2 > 0)")))


def run(make: Any = Plain(), toys: int = 10, fit: Any = Counting(), **settings: Any) -> SpuriousSignal:  # noqa: B008
    settings = {"largest": 0.2, "seed": 3, **settings}
    return spurious_signal(make, CHANNELS, fit, toys=toys, **settings)


def same(first: SpuriousSignal, second: SpuriousSignal) -> None:
    for part in ("value", "error"):
        np.testing.assert_array_equal(getattr(first.fitted, part), getattr(second.fitted, part))


def test_a_background_that_closes_passes() -> None:
    found = run(toys=200)
    assert found.passed
    assert found.fitted.names == ("all", "half")
    assert found.fitted.meets((0.0, 0.0), (1.0, 1.0)).all()
    np.testing.assert_allclose(found.size, found.fitted.pulls.mean(axis=0))
    assert repr(found).startswith("SpuriousSignal(200 toys: all ") and repr(found).endswith("at most 0.2 σ: passed)")


def test_a_background_that_is_too_large_does_not_pass() -> None:
    found = run(Plain(kappa=1.05), toys=60)
    size = -0.05 * EXPECTED / ERROR
    assert found.size == pytest.approx([size, size], abs=4 / np.sqrt(60))
    assert found.cost == pytest.approx(np.hypot(1.0, found.size) - 1.0)
    assert not found.passed
    assert run(Plain(kappa=1.05), toys=60, largest=1.5).passed
    assert repr(found).endswith("not passed)")


def test_the_width_tells_a_wrong_error() -> None:
    found = run(toys=60, fit=Counting(scale=0.5))
    assert found.fitted.width[0] == pytest.approx(2.0, abs=4 * 2.0 / np.sqrt(120))
    assert not found.fitted.meets((-9.0, 9.0), (1.0, 1.0))[0]


def test_failed_fits_are_counted_and_pass_nothing() -> None:
    found = run(toys=20, fit=Counting(fails_above=EXPECTED), largest=9.0)
    assert 0 < len(found.failed) < 20
    assert np.isnan(found.fitted.value[list(found.failed)]).all()
    assert np.isfinite(np.delete(found.fitted.value, found.failed, axis=0)).all()
    assert not found.passed and f"{len(found.failed)} failed" in repr(found)
    with pytest.raises(FitError, match=r"all 3 toys failed; the first: [0-9]+ rows are too many"):
        run(toys=3, fit=Counting(fails_above=0.0))


def test_processes_and_the_number_of_toys_do_not_matter() -> None:
    with pool(2) as map:
        same(run(map=map), run())
    few = run(toys=4)
    np.testing.assert_array_equal(few.fitted.value, run().fitted.value[:4])
    assert not np.array_equal(run(seed=4).fitted.value, run().fitted.value)


_KILLED = """
import functools, sys
from backdrop.validation import spurious_signal
from tests.validation.ensembles import CHANNELS, Counting
from tests.validation.test_spurious import logged

kept, log = sys.argv[1:]
spurious_signal(functools.partial(logged, log), CHANNELS, Counting(), largest=0.2, toys=2000, seed=3, directory=kept)
"""


def test_a_kill_loses_no_finished_toy(tmp_path: Path) -> None:
    kept, log = tmp_path / "kept", tmp_path / "log"
    log.mkdir()
    path = os.pathsep.join([str(Path(backdrop.__file__).parent.parent), str(Path(__file__).parents[2])])
    with subprocess.Popen(
        [sys.executable, "-c", _KILLED, str(kept), str(log)], env={**os.environ, "PYTHONPATH": path}
    ) as child:
        while len(list(kept.glob("*.npz"))) < 6:
            assert child.poll() is None
            time.sleep(0.01)
        child.kill()
    finished, started = len(list(kept.glob("*.npz"))), {file.name for file in log.iterdir()}
    assert finished < 2000
    # at most one toy had begun that was not finished
    assert finished <= len(started) <= finished + 1
    for file in log.iterdir():
        file.unlink()
    found = run(functools.partial(logged, str(log)), toys=finished + 4, directory=kept)
    assert len(list(log.iterdir())) == 4
    same(found, run(toys=finished + 4))


def test_other_settings_are_another_ensemble(tmp_path: Path) -> None:
    first, second = (run(Plain(kappa), toys=2, directory=tmp_path) for kappa in (1.0, 1.1))
    assert (first.fitted.value != second.fitted.value).all()
    run(toys=2, fit=Counting(scale=2.0), directory=tmp_path)
    assert len(list(tmp_path.iterdir())) == 6
    same(run(toys=2, directory=tmp_path, largest=5.0), first)
    assert len(list(tmp_path.iterdir())) == 6


def test_a_fit_with_outer_variables_is_not_kept(tmp_path: Path) -> None:
    scale = 1.0

    def closed(background: Any, observed: Any, *, rng: Any) -> Any:
        return Counting(scale)(background, observed, rng=rng)

    same(run(fit=closed), run())
    with pytest.raises(ArtifactError, match="dataclass with __call__"):
        run(fit=closed, directory=tmp_path)


def test_it_survives_its_state() -> None:
    found = run(fit=Counting(fails_above=EXPECTED))
    again = SpuriousSignal.from_state(found.state())
    same(again, found)
    assert (again.largest, again.seed, again.failed) == (0.2, 3, found.failed)


def test_refusals() -> None:
    with pytest.raises(ConfigError, match="toys=1"):
        run(toys=1)
    with pytest.raises(ConfigError, match="largest=0"):
        run(largest=0.0)
    with pytest.raises(DataError, match="channel 'SR' may be sealed in the toys"):
        run(sealed, toys=2)
