"""A configured likelihood ABCD: the prediction in the tables, the relation in the fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from backdrop.config import load
from backdrop.run.execution import execute
from backdrop.run.samples import read
from backdrop.synthetic import GaussianPlane

CONFIG = """\
name: toy
seed: 5
inputs:
  data: {files: data.parquet}
  reals: {files: reals.parquet, weight: w}
regions: {tight: x1 > 1, loose: x1 <= 1, high: x2 > 1, low: x2 <= 1}
seal: [{sample: data, region: "{tight} & {high}"}]
channels:
  SR: {region: high, axes: [{column: m, bins: 2, range: [100, 200]}]}
methods:
  fakes:
    type: likelihood_abcd
    events: data - reals
    settings: {target: tight, source: loose, control: low, kappa: 1.05, kappa_error: 0.1}
    variations:
      reals: {up: {events: data - 1.1 * reals}, down: {events: data - 0.9 * reals}}
      smooth:
        settings: {transfer: {type: binned, axis: {column: m, edges: [100, 150, 200]}}}
signal: 0.1 * reals
fit: {data: data, channels: [SR]}
"""


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):  # type: ignore[no-untyped-def]
    home: Path = tmp_path_factory.mktemp("relation")
    data = GaussianPlane(fakes=20_000, reals=3000).draw(seed=1)
    reals = GaussianPlane(fakes=0, reals=9000).draw(seed=1, sample="reals")
    for name, rows in {"data": data, "reals": reals}.items():
        columns = {column: np.asarray(rows[column]) for column in ("x1", "x2", "m")}
        pq.write_table(pa.table(columns | {"w": np.full(len(rows), 1 / 3)}), home / f"{name}.parquet")
    (home / "analysis.yaml").write_text(CONFIG)
    analysis = load(home / "analysis.yaml")
    return execute(analysis, read(analysis).events)


def test_the_fit_holds_the_relation_and_the_prediction_agrees(outcome) -> None:  # type: ignore[no-untyped-def]
    spec, found = outcome.workspaces["fakes"], outcome.estimates["fakes"]
    names = [channel["name"] for channel in spec["channels"]]
    assert names == ["SR", "SR_source", "control_target", "control_source"]
    (sealed,) = (one["data"] for one in spec["observations"] if one["name"] == "SR")
    reals = next(one for one in spec["channels"][0]["samples"] if one["name"] == "reals")
    assert sealed == pytest.approx(found.nominal + np.array(reals["data"]), rel=1e-6)
    assert outcome.fits["fakes"].asimov_channels == ("SR",)


def test_each_systematic_enters_once_and_where_it_belongs(outcome) -> None:  # type: ignore[no-untyped-def]
    """Simulated yields move their process; kappa and other settings move the relation; counts are no nuisance."""
    kinds = {
        (sample["name"], one["name"])
        for channel in outcome.workspaces["fakes"]["channels"]
        for sample in channel["samples"]
        for one in sample["modifiers"]
        if one["type"] == "histosys"
    }
    assert kinds == {("reals", "reals_reals"), ("fakes", "fakes_kappa"), ("fakes", "fakes_smooth")}
    assert not any("counts" in name for name in outcome.fits["fakes"].parameters)


def test_the_signal_may_be_in_every_channel(outcome) -> None:  # type: ignore[no-untyped-def]
    having = {
        channel["name"]
        for channel in outcome.workspaces["fakes"]["channels"]
        for sample in channel["samples"]
        if sample["name"] == "signal" and sum(sample["data"]) > 0
    }
    assert having == {"SR", "SR_source", "control_target", "control_source"}
