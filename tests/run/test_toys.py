"""Toys of a run: fits of samples drawn anew, their pulls, and what refuses them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from backdrop.cli import tables
from backdrop.config import load
from backdrop.config.analysis import Analysis
from backdrop.errors import ConfigError
from backdrop.results import Results
from backdrop.run.execution import Outcome
from backdrop.run.toys import pulls
from backdrop.tasks import pool, resumable

SYNTHETIC = "synthetic: {name: gaussian_abcd, settings: {fakes: 20000, reals: 500}}"
CONFIG = f"""\
name: toy
seed: 5
{SYNTHETIC}
regions: {{tight: x1 > 1, loose: x1 <= 1, high: x2 > 1, low: x2 <= 1}}
channels:
  SR: {{region: high, axes: [{{column: m, bins: 4, range: [100, 200]}}]}}
methods:
  abcd:
    type: abcd
    events: data - reals
    settings: {{target: tight, source: loose, control: low}}
signal: 0.2 * reals
fit: {{data: data, channels: [SR], toys: 40, backgrounds: {{reals: {{events: reals}}}}}}
"""


@pytest.fixture
def analysis(tmp_path: Path):
    def make(text: str = CONFIG) -> Analysis:
        file = tmp_path / "a.yaml"
        file.write_text(text)
        return load(file)

    return make


def test_the_pulls_of_a_right_model_are_standard_normal(analysis, tmp_path: Path) -> None:
    found = pulls(analysis())["abcd"]
    assert found.names == ("mu",) and found.value.shape == (40, 1)
    assert len(np.unique(found.value)) == 40
    assert abs(found.mean[0]) < 4 * found.mean_error[0]
    assert abs(found.width[0] - 1.0) < 4 * found.width_error[0]
    table = tables.pulls(Outcome(pulls={"abcd": found}))
    assert [str(next(iter(one.cells))) for one in table.columns[:2]] == ["abcd", "40"]
    Results("toy", 1, pulls={"abcd": found}).save(tmp_path / "out")
    np.testing.assert_array_equal(Results.load(tmp_path / "out").pulls["abcd"].value, found.value)


def test_toys_do_not_depend_on_jobs_or_on_how_many_there_are(analysis, tmp_path: Path) -> None:
    few, more = analysis(CONFIG.replace("toys: 40", "toys: 3")), analysis(CONFIG.replace("toys: 40", "toys: 4"))
    plain = pulls(few)["abcd"].value
    with pool(2) as spread:
        kept = resumable(spread, tmp_path / "tasks")
        np.testing.assert_array_equal(pulls(few, map=kept)["abcd"].value, plain)
        np.testing.assert_array_equal(pulls(more, map=kept)["abcd"].value[:3], plain)
    assert len(list((tmp_path / "tasks").glob("*.npz"))) == 4


def test_no_toys_without_being_asked(analysis) -> None:
    assert pulls(analysis(CONFIG.replace("toys: 40, ", ""))) == {}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (SYNTHETIC, "inputs: {data: {files: a.csv}, reals: {files: b.csv}}"),
        ("regions:", "seal: [{sample: data, region: high}]\nregions:"),
        ("signal: 0.2 * reals\n", ""),
    ],
)
def test_toys_need_a_generator_a_signal_and_no_seal(analysis, old: str, new: str) -> None:
    with pytest.raises(ConfigError, match=r"a.yaml:\d+:\d+: toys are fits of a signal"):
        analysis(CONFIG.replace(old, new))
