"""Read, select and fill: our reader and channels against plain uproot or pyarrow with NumPy and hist."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import hist
import numpy as np

import backdrop as bd

from .harness import Disagreement, Row

ROWS = 2_000_000
READ = ["m", "pt", "iso", "w"]
CUT = "(pt > 30) & (iso < 0.15)"
AXIS = hist.axis.Regular(60, 60, 180, name="m", label="$m$ [GeV]")
CHANNEL = bd.Channel("SR", bd.Region("SR", CUT), (AXIS,))


def rows() -> list[Row]:
    """Give a row for each format."""
    here = Path(tempfile.mkdtemp(prefix="backdrop-bench-"))
    files = _write(here)
    plain = {"ROOT": partial(_uproot, files["ROOT"]), "Parquet": partial(_pyarrow, files["Parquet"])}
    peers = {"ROOT": "uproot + NumPy + hist", "Parquet": "pyarrow + NumPy + hist"}
    return [
        Row(
            name=f"read, select, fill: {kind}, {ROWS // 1_000_000}e6 rows, 4 of 10 columns",
            peer=peers[kind],
            bar=0.9,
            unit="s",
            ours=partial(_ours, files[kind]),
            theirs=plain[kind],
            quality=_same,
            packages=("uproot", "pyarrow", "hist"),
        )
        for kind in ("ROOT", "Parquet")
    ]


def _write(here: Path) -> dict[str, str]:
    import pyarrow as pa
    import pyarrow.parquet as pq
    import uproot

    rng = np.random.default_rng(7)
    columns: dict[str, Any] = {f"x{i}": rng.standard_normal(ROWS).astype(np.float32) for i in range(6)}
    columns |= {
        "m": rng.exponential(50, ROWS).astype(np.float32) + 60,
        "pt": rng.exponential(30, ROWS).astype(np.float32),
        "iso": rng.exponential(0.1, ROWS).astype(np.float32),
        "w": rng.normal(1, 0.1, ROWS),
    }
    with uproot.recreate(here / "events.root") as file:
        tree = file.mktree("events", {name: column.dtype for name, column in columns.items()})
        for part in np.array_split(np.arange(ROWS), 10):
            tree.extend({name: column[part] for name, column in columns.items()})
    pq.write_table(pa.table(columns), here / "events.parquet", row_group_size=200_000)
    return {"ROOT": f"{here / 'events.root'}:events", "Parquet": str(here / "events.parquet")}


def _ours(path: str) -> tuple[np.ndarray, np.ndarray]:
    found = bd.template(bd.read(path, READ, weight="w", lazy=True), [CHANNEL])
    return found.nominal, found.sumw2


def _fill(columns: Any) -> tuple[np.ndarray, np.ndarray]:
    inside = (columns["pt"] > 30) & (columns["iso"] < 0.15)
    histogram = hist.Hist(AXIS, storage=hist.storage.Weight())
    histogram.fill(columns["m"][inside], weight=columns["w"][inside])
    return histogram.values(), histogram.variances()


def _uproot(path: str) -> tuple[np.ndarray, np.ndarray]:
    import uproot

    with uproot.open(path) as tree:
        return _fill(tree.arrays(READ, library="np"))


def _pyarrow(path: str) -> tuple[np.ndarray, np.ndarray]:
    import pyarrow.parquet as pq

    table = pq.read_table(path, columns=READ)
    return _fill({name: table[name].to_numpy() for name in READ})


def _same(ours: Any, theirs: Any) -> dict[str, float]:
    worst = max(float(np.abs(a - b).max() / np.abs(b).max()) for a, b in zip(ours, theirs, strict=True))
    if worst > 1e-12:
        raise Disagreement(f"histograms differ by {worst:.2g}")
    return {"largest relative difference": worst}
