"""The harness of the benchmarks, on pairs whose times are known."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import harness
from benchmarks.harness import Disagreement, Row

FIELDS = ["name", "peer", "ratio", "bar", "ours", "theirs", "unit", "quality", "machine", "date", "versions"]

BENCH = '''
"""Sum of the first integers: the formula against the loop."""
from benchmarks.harness import Row

N = 100_000


def rows():
    return [
        Row(
            name="sum of integers",
            peer="a loop",
            bar={bar},
            unit="s",
            ours=lambda: N * (N - 1) // 2,
            theirs=lambda: sum(i for i in range(N)),
            quality=lambda ours, theirs: {{"difference": ours - theirs}},
            repeats=3,
        )
    ]
'''


class Clock:
    """A clock that only `spend` moves, so that times are exact."""

    now = 0.0

    def __call__(self):
        return self.now

    def spend(self, seconds):
        self.now += seconds


def timed(ours, theirs, **settings):
    """Measure a row whose sides take the given seconds, call after call; also the order of the calls."""
    clock, calls = Clock(), []
    ours, theirs = iter(ours), iter(theirs)

    def side(label, seconds):
        calls.append(label)
        clock.spend(next(seconds))
        return label

    row = Row(
        name="pair",
        peer="peer 1.0",
        bar=2.0,
        unit="s",
        ours=lambda: side("A", ours),
        theirs=lambda: side("B", theirs),
        quality=lambda a, b: f"{a} and {b}",
        repeats=3,
        warmups=1,
    )
    return harness.measure(replace(row, **settings), clock), calls


def test_sides_take_turns_and_medians_leave_warm_up_and_outliers_out():
    result, calls = timed(ours=[50.0, 1.0, 9.0, 1.5], theirs=[70.0, 4.0, 6.0, 99.0])
    assert calls == ["A", "B"] * 4
    assert result.record["ours"] == 1.5
    assert result.record["theirs"] == 6.0
    assert result.record["ratio"] == 4.0
    assert result.record["quality"] == "A and B"
    assert result.failure == ""


def test_times_are_per_unit_of_each_sides_work():
    result, _ = timed(ours=[2.0] * 4, theirs=[3.0] * 4, ours_work=100, theirs_work=10)
    record = result.record
    assert (record["ours"], record["theirs"], record["ratio"]) == (0.02, 0.3, 15.0)


def test_a_row_below_its_bar_fails():
    result, _ = timed(ours=[1.0] * 4, theirs=[1.99] * 4)
    assert result.failure == "ratio 1.99 is below the bar 2.0"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_quality_that_is_no_number_fails(value):
    result, _ = timed(ours=[1.0] * 4, theirs=[9.0] * 4, quality=lambda *_: {"difference": value})
    assert result.failure == f"results disagree: difference is {value}"
    assert result.record["quality"] == {"disagreement": f"difference is {value}"}


def test_a_fast_row_that_computes_something_else_fails():
    def quality(ours, theirs):
        raise Disagreement("off by 3")

    result, _ = timed(ours=[1.0] * 4, theirs=[9.0] * 4, quality=quality)
    assert result.failure == "results disagree: off by 3"


def test_machine_names_the_processor_and_not_the_host():
    words = harness.machine()
    assert words.endswith(("core", "cores"))
    assert os.uname().nodename not in words


def test_versions_hold_the_packages_asked_for():
    found = harness.versions(["pytest", "numpy"])
    assert list(found) == ["python", "backdrop", "numpy", "pytest"]
    assert found["pytest"] == pytest.__version__


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "sum.json"
    harness.write(path, [{"ratio": 3.0}])
    with pytest.raises(ValueError, match="JSON"):
        harness.write(path, [{"ratio": float("nan")}])
    assert json.loads(path.read_text()) == [{"ratio": 3.0}]
    assert os.listdir(tmp_path) == ["sum.json"]


def test_main_measures_writes_and_holds_the_bar(tmp_path, capsys):
    (tmp_path / "bench_sum.py").write_text(BENCH.format(bar=2))
    results = tmp_path / "results"
    assert harness.main(["sum"], folder=tmp_path, results=results) == 0
    (record,) = json.loads((results / "sum.json").read_text())
    assert list(record) == FIELDS
    assert record["ratio"] > 2
    assert record["quality"] == {"difference": 0.0}
    assert "held" in capsys.readouterr().out


def test_main_fails_below_the_bar_and_keeps_the_result(tmp_path):
    (tmp_path / "bench_sum.py").write_text(BENCH.format(bar=1e12))
    assert harness.main([], folder=tmp_path, results=tmp_path) == 1
    assert json.loads((tmp_path / "sum.json").read_text())[0]["bar"] == 1e12


def test_one_that_stops_does_not_stop_the_others(tmp_path, capsys):
    (tmp_path / "bench_broken.py").write_text("def rows():\n    raise RuntimeError('no peer')\n")
    (tmp_path / "bench_sum.py").write_text(BENCH.format(bar=2))
    assert harness.main([], folder=tmp_path, results=tmp_path) == 1
    assert "RuntimeError: no peer" in capsys.readouterr().out
    assert not (tmp_path / "broken.json").exists()
    assert (tmp_path / "sum.json").exists()


def test_unknown_names_run_nothing(tmp_path, capsys):
    (tmp_path / "bench_sum.py").write_text(BENCH.format(bar=2))
    assert harness.main(["sum", "sun"], folder=tmp_path, results=tmp_path) == 2
    assert "did you mean 'sum'?" in capsys.readouterr().out
    assert not (tmp_path / "sum.json").exists()


def test_the_command_pins_itself_to_one_core_and_one_thread():
    code = "import os, benchmarks.__main__; print(len(os.sched_getaffinity(0)), os.environ['OMP_NUM_THREADS'])"
    root = Path(harness.__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert done.stdout.split() == ["1", "1"]


def test_the_command_lists_what_there_is():
    root = Path(harness.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--list"], capture_output=True, text=True, check=True, cwd=root
    )
    assert done.stdout.split() == list(harness.discover())
