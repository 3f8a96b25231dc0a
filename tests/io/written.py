"""Files written by the reading libraries themselves, so that reader and writer are tested apart."""

from __future__ import annotations

from pathlib import Path

import awkward as ak
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import uproot

FORMATS = ("ttree", "rntuple", "parquet", "csv")


def columns(n: int = 1000, seed: int = 1, lists: bool = True) -> dict:
    """Every type that files hold: numbers of several sizes, 64-bit ids, flags, lists of any length."""
    rng = np.random.default_rng(seed)
    table = {
        "m": rng.uniform(60.0, 200.0, n),
        "pt": rng.exponential(40.0, n).astype(np.float32),
        "tag": rng.integers(0, 5, n).astype(np.int32),
        "event": rng.integers(2**63, 2**64, n, dtype=np.uint64, endpoint=False),
        "iso": rng.random(n) < 0.5,
        "w": rng.normal(1.0, 0.5, n),
    }
    if lists:
        counts = rng.integers(0, 4, n)
        table["jet_pt"] = ak.unflatten(rng.exponential(30.0, counts.sum()).astype(np.float32), counts)
    return table


def to_file(path: Path, table: dict, kind: str, *, block: int = 300, tree: str = "Events") -> Path:
    """Write a table in several baskets, clusters or row groups."""
    n = len(next(iter(table.values())))
    if kind in ("ttree", "rntuple"):
        path = path.with_suffix(".root")
        types = {
            name: f"var * {ak.type(column).content.content.primitive}" if isinstance(column, ak.Array) else column.dtype
            for name, column in table.items()
        }
        with uproot.recreate(path) as file:
            sink = file.mktree(tree, types) if kind == "ttree" else file.mkrntuple(tree, types)
            for start in range(0, n, block):
                sink.extend({name: column[start : start + block] for name, column in table.items()})
    elif kind == "parquet":
        path = path.with_suffix(".parquet")
        arrow = {
            name: ak.to_arrow(column, extensionarray=False) if isinstance(column, ak.Array) else column
            for name, column in table.items()
        }
        pq.write_table(pa.table(arrow), path, row_group_size=block)
    else:
        path = path.with_suffix(".csv")
        flat = {name: column for name, column in table.items() if not isinstance(column, ak.Array)}
        flat = {name: column.astype(int) if column.dtype == bool else column for name, column in flat.items()}
        rows = zip(*[column.tolist() for column in flat.values()], strict=True)
        lines = [",".join(flat), *(",".join("nan" if v != v else repr(v) for v in row) for row in rows)]
        path.write_text("\n".join(lines) + "\n")
    return path


def same(first, second) -> bool:
    """Say whether two columns hold the same values of the same type; NaN equals NaN."""
    if isinstance(first, ak.Array) or isinstance(second, ak.Array):
        return str(ak.type(first)) == str(ak.type(second)) and ak.to_list(first) == ak.to_list(second)
    return first.dtype == second.dtype and np.array_equal(first, second, equal_nan=first.dtype.kind == "f")
