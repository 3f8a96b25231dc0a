"""Weights of ten million leptons from a map in two variables, against NumPy and correctionlib."""

from __future__ import annotations

import json
from typing import Any

import hist
import numpy as np

from backdrop.maps import BinnedMap

from .harness import Disagreement, Row

LEPTONS = 10_000_000


def rows() -> list[Row]:
    """Give a row for each peer."""
    import correctionlib

    rng = np.random.default_rng(7)
    columns = {"pt": np.minimum(10.0 + rng.exponential(30.0, LEPTONS), 499.0), "eta": rng.uniform(0.0, 2.5, LEPTONS)}
    axes = (
        hist.axis.Variable([10, 15, 20, 25, 30, 40, 60, 100, 500], name="pt"),
        hist.axis.Variable([0, 0.8, 1.37, 1.52, 2.0, 2.5], name="eta"),
    )
    one = BinnedMap("fake_factor", axes, rng.uniform(0.1, 0.5, 40), np.zeros((40, 40)))
    text = json.dumps({"schema_version": 2, "corrections": [one.to_correctionlib()]})
    theirs = correctionlib.CorrectionSet.from_string(text)["fake_factor"]
    edges = [np.asarray(axis.edges) for axis in axes]

    def searched() -> Any:
        i, j = (np.searchsorted(e, columns[a.name], side="right") - 1 for e, a in zip(edges, axes, strict=True))
        return one.values.reshape(one.shape)[i, j]

    name = f"map weights in two variables, {LEPTONS // 1_000_000}e6 leptons"
    peers = {
        "NumPy searchsorted": (5.0, searched),
        "correctionlib": (10.0, lambda: theirs.evaluate("nominal", columns["pt"], columns["eta"])),
    }
    return [
        Row(name, peer, bar, "s", lambda: one.evaluate(columns), run, _same, ("correctionlib", "numba"), repeats=3)
        for peer, (bar, run) in peers.items()
    ]


def _same(ours: Any, theirs: Any) -> dict[str, float]:
    worst = float(np.max(np.abs(ours - theirs) / ours))
    if worst > 5e-16:
        raise Disagreement(f"weights differ by {worst:.2g}")
    return {"largest relative difference": worst}
