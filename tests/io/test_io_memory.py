"""Memory: inputs larger than it are read in blocks, and a failure says what would have been needed."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import uproot

ROWS, COLUMNS, GROUP = 10_000_000, 10, 500_000

PREDICT = """
import sys
import hist
import numpy as np
from backdrop import Channel, Region, Setup, estimate
from backdrop.io import read
from backdrop.methods import ABCD

names = [f"c{i}" for i in range(10)]
files = read(sys.argv[1], names, lazy=True)
method = ABCD(Region("target", "c1 > 0.5"), Region("source", "c1 <= 0.5"), Region("side", "c2 < 0.2"))
axis = hist.axis.Regular(20, 0, 1, name="c0")
found = estimate(Setup(method, files), [Channel("SR", Region("SR", "c2 >= 0.2"), (axis,))], seed=1)
total = sum(sum(float(chunk[name].sum()) for name in names) for chunk in files.chunks())
peak = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(found.nominal.sum(), total, peak)
"""

STARVED = """
import resource
import sys
import numpy as np
from backdrop import Region, template
from backdrop.errors import ResourceError
from backdrop.io import read
import awkward, hist, pyarrow.parquet, uproot
read({"x": np.ones(3)}, keys=())
files = read(sys.argv[1], lazy=True)
next(files.chunks())
used = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmSize")) * 1024
resource.setrlimit(resource.RLIMIT_AS, (used + 400_000_000, -1))
try:
    files.load()
except ResourceError as error:
    print(error.exit_code, error)
print(sum(len(chunk) for chunk in files.chunks(["c0"])))
"""


def blocks():
    rng = np.random.default_rng(1)
    values = rng.random(1000)
    for _ in range(ROWS // GROUP):
        yield {f"c{i}": values[rng.integers(0, 1000, GROUP, dtype=np.int16)] for i in range(COLUMNS)}


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """10^7 rows of 10 columns: 800 MB in memory, less on disk."""
    path = tmp_path_factory.mktemp("large") / "large.parquet"
    total = source = 0.0
    schema = pa.schema([(f"c{i}", pa.float64()) for i in range(COLUMNS)])
    with pq.ParquetWriter(path, schema) as writer:
        for block in blocks():
            writer.write_table(pa.table(block))
            total += sum(float(column.sum()) for column in block.values())
            source += predicted(block)
    yield path, total
    path.unlink()


def predicted(block) -> float:
    return float(((block["c1"] <= 0.5) & (block["c2"] >= 0.2)).sum())


def run(code: str, path) -> str:
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_ten_million_rows_are_predicted_in_one_gigabyte(large):
    path, total = large
    _, found, peak = map(float, run(PREDICT, path).split())
    assert abs(found / total - 1) < 1e-12
    assert peak < 1_000_000, f"{peak / 1000:.0f} MB"


@pytest.mark.slow
def test_what_does_not_fit_is_said(large):
    path, _ = large
    first, second = run(STARVED, path).splitlines()
    assert first.startswith("7 the rows do not fit in memory: ")
    assert "open rows of 10 columns" in first
    assert "go through chunks()" in first
    assert int(second) == ROWS


@pytest.mark.slow
def test_a_tree_of_one_large_basket_is_read_in_pieces(tmp_path):
    path = tmp_path / "one.root"
    rng = np.random.default_rng(1)
    with uproot.recreate(path, compression=None) as file:
        tree = file.mktree("t", {f"c{i}": "f8" for i in range(COLUMNS)})
        tree.extend({f"c{i}": rng.random(3_000_000) for i in range(COLUMNS)})
    _, _, peak = map(float, run(PREDICT, path).split())
    path.unlink()
    assert peak < 1_000_000, f"{peak / 1000:.0f} MB"
