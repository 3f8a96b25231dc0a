"""Golden files: what the exports of one workspace are, word by word and number by number.

`python -m tests.export.test_golden` writes them anew; read the difference before it is committed.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import hist
import numpy as np
import pytest
import uproot

import backdrop as bd
from backdrop import export

_GOLDEN = Path(__file__).parent / "golden"
_MASS = hist.axis.Variable([100.0, 110.0, 130.0], name="m", label="m [GeV]")
_CHANNELS = (bd.Channel("SR", bd.Region("high", "x1 > 0"), (_MASS,)),)


def _free(name: str, kind: str = "normfactor") -> dict[str, Any]:
    return {"name": name, "type": kind, "data": None}


def _shape(name: str, up: list[float], down: list[float]) -> dict[str, Any]:
    return {"name": name, "type": "histosys", "data": {"hi_data": up, "lo_data": down}}


def _scale(name: str, up: float, down: float) -> dict[str, Any]:
    return {"name": name, "type": "normsys", "data": {"hi": up, "lo": down}}


def _own(name: str, errors: list[float]) -> dict[str, Any]:
    return {"name": name, "type": "shapesys", "data": errors}


def _sample(name: str, data: list[float], *modifiers: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "data": data, "modifiers": list(modifiers)}


SPEC: dict[str, Any] = {
    "version": "1.0.0",
    "channels": [
        {
            "name": "SR",
            "samples": [
                _sample(
                    "fakes", [20.0, 10.0], _free("ratio"), _free("yields", "shapefactor"), _scale("slope", 1.5, 0.5)
                ),
                _sample("top", [8.0, 4.0], _shape("model", [9.0, 4.5], [7.5, 3.0]), _own("top_SR_stat", [2.0, 1.0])),
                _sample("hh", [2.0, 3.0], _free("mu"), _shape("model", [2.5, 3.0], [2.0, 2.5])),
            ],
        },
        {
            "name": "source",
            "samples": [
                _sample("fakes", [40.0, 20.0], _free("yields", "shapefactor")),
                _sample("top", [2.0, 0.0], _own("top_source_stat", [0.5, 0.0])),
            ],
        },
        {
            "name": "control",
            "samples": [
                _sample("fakes", [64.0], _free("ratio"), _free("level", "shapefactor"), _scale("slope", 1.25, 0.75))
            ],
        },
    ],
    "observations": [
        {"name": "SR", "data": [28.0, 14.0]},
        {"name": "source", "data": [41.0, 19.0]},
        {"name": "control", "data": [70.0]},
    ],
    "measurements": [
        {
            "name": "observed-source-control.asimov-SR",
            "config": {
                "poi": "mu",
                "parameters": [
                    {"name": "mu", "inits": [1.0], "bounds": [[-4.0, 16.0]]},
                    {"name": "ratio", "inits": [1.0], "bounds": [[0.0, 20.0]]},
                    {"name": "yields", "inits": [1.0, 1.0], "bounds": [[0.0, 10.0], [0.0, 12.0]]},
                    {"name": "level", "inits": [1.0], "bounds": [[0.0, 8.0]]},
                ],
            },
        }
    ],
}
"""Each kind of modifier, a factor of the bins, one that is of a single bin, an empty bin and a sealed channel."""


def _made() -> dict[str, str]:
    """Return all text files, and the histograms of the others as text."""
    found = {}
    for kind in ("pyhf", "cabinetry", "trexfitter", "combine"):
        rows = []
        for name, body in getattr(export, kind)(SPEC, _CHANNELS).items():
            if name.endswith((".root", ".npz")):
                rows += _dump(name, body)
            elif name not in ("workspace.json", "background.json"):  # the input, and what its digest stands for
                found[f"{kind}/{name}"] = body.decode()
        if rows:
            found[f"{kind}/histograms.txt"] = "".join(f"{row}\n" for row in sorted(rows))
    return found


def _dump(name: str, body: bytes) -> list[str]:
    if name.endswith(".npz"):
        with np.load(io.BytesIO(body)) as file:
            return [_row(name, file["bins"], file["yields"], file["stdev"])]
    with uproot.open(io.BytesIO(body)) as file:
        hists = {key: file[key] for key, kind in file.classnames(cycle=False).items() if kind == "TH1D"}
        rows = {key: (one.axis().edges(), one.values(), one.errors()) for key, one in hists.items()}
        return [_row(f"{name}:{key} '{hists[key].title}'", *row) for key, row in rows.items()]


def _row(name: str, edges: np.ndarray, values: np.ndarray, errors: np.ndarray) -> str:
    parts = (" ".join(f"{number:.10g}" for number in numbers) for numbers in (edges, values, errors))
    return f"{name} | {' | '.join(parts)}"


def test_the_golden_files_are_all_there() -> None:
    stored = {file.relative_to(_GOLDEN).as_posix() for file in _GOLDEN.rglob("*") if file.is_file()}
    assert stored == _made().keys()


@pytest.mark.parametrize("name", sorted(file.relative_to(_GOLDEN).as_posix() for file in _GOLDEN.rglob("*.*")))
def test_exports_are_the_golden_files(name: str) -> None:
    assert _made()[name] == (_GOLDEN / name).read_text()


if __name__ == "__main__":
    for name, text in _made().items():
        (_GOLDEN / name).parent.mkdir(parents=True, exist_ok=True)
        (_GOLDEN / name).write_text(text)
