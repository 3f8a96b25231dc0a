"""Interpolation from a configuration: its settings, its pictures in results and report, and what is sealed in them."""

import json
from dataclasses import replace

import numpy as np
import pytest

from backdrop import Events, Region, Setup, plot
from backdrop.config import load
from backdrop.demos import demo
from backdrop.errors import ConfigError
from backdrop.estimate import pictures
from backdrop.io import write
from backdrop.learn.flow import Flow
from backdrop.learn.gp import GaussianProcess
from backdrop.learn.log_gp import LogGaussianProcess
from backdrop.learn.scale import Feature, Identity, Log, LogGap
from backdrop.report import report
from backdrop.results import Results
from backdrop.run.collect import _settings
from backdrop.run.execution import execute
from backdrop.run.samples import read
from backdrop.synthetic import FourB
from backdrop.tasks import fingerprint

TOY = FourB(size=0.01)
SEALED = TOY.selection.sr & TOY.selection.near

CONFIG = """\
name: toy
seed: 5
inputs:
  data: {files: data.parquet}
regions:
  near: deta < 1.5
  far: deta >= 1.5
  SR: hypot((m_h1 - 124) / (0.1 * m_h1), (m_h2 - 117) / (0.1 * m_h2)) < 1.6
seal:
  - {sample: data, region: "{SR} & {near}"}
channels:
  SR: {region: SR, axes: [{column: pt_h1, bins: 4, range: [0, 800]}]}
methods:
  near:
    type: interpolate
    events: data
    settings:
      target: near
      axes: &box
        - {column: m_h1, bins: 6, range: [85, 175]}
        - {column: m_h2, bins: 6, range: [78, 168]}
      blind: SR
      features: &features
        - {name: pt_h1, transform: log}
        - {name: dphi, transform: {type: log_gap, bound: 3.141592653589793}}
        - {name: x_wt}
      process: log_gaussian_process
      flow: &flow {layers: 2, hidden: 4}
      train: &train {epochs: 2, steps: 0}
      members: 3
      planes: 2
      draws: 2000
  far:
    type: interpolate
    events: data
    settings:
      target: far
      axes: *box
      blind: SR
      category: year
      features: *features
      derived: {twice: 2 * x_wt}
      process: {type: gaussian_process, restarts: 0}
      flow: *flow
      train: *train
      members: 3
      planes: 2
      draws: 2000
"""


@pytest.fixture(scope="module")
def table():
    found = TOY.draw(seed=1, region=TOY.selection.box)
    columns = ("m_h1", "m_h2", "pt_h1", "dphi", "x_wt", "deta", "year")
    return {name: np.asarray(found[name], float) for name in columns}


@pytest.fixture(scope="module")
def outcome(table, tmp_path_factory):
    return executed(table, tmp_path_factory.mktemp("toy"))


def executed(table, home):
    write(home / "data.parquet", table)
    (home / "a.yaml").write_text(CONFIG)
    analysis = load(home / "a.yaml")
    return execute(analysis, read(analysis).events)


def test_settings_are_read(tmp_path):
    (tmp_path / "a.yaml").write_text(CONFIG)
    near, far = (task.method for task in load(tmp_path / "a.yaml").tasks.values())
    assert near.features == (Feature("pt_h1", Log()), Feature("dphi", LogGap()), Feature("x_wt", Identity()))
    assert near.process == LogGaussianProcess() and far.process == GaussianProcess(restarts=0)
    assert near.flow == Flow(layers=2, hidden=4) and near.train.epochs == 2
    assert (near.category, far.category, far.derived) == (None, "year", {"twice": "2 * x_wt"})
    assert [axis.name for axis in near.axes] == ["m_h1", "m_h2"]


def test_the_demonstration_tests_every_region_but_the_sealed_one():
    found = load(demo("four-b"))
    tested = {one.method for one in found.closures}
    assert tested == {"lower_left", "lower_right", "upper_right", "upper_left", "reversed", "three_b"}
    assert set(found.tasks) - tested == {"nominal"}
    assert {one.method for one in found.variables if one.channel != "SR"} | {"reversed", "three_b"} == tested
    (seal,) = found.seals
    for name, task in found.tasks.items():
        sealed = "data" in task.events.samples and not task.method.target.disjoint(seal.seal.region)
        assert sealed == (name == "nominal"), name
        centre = (
            TOY.selection
            if name in ("nominal", "reversed", "three_b")
            else TOY.selection.shifted(name.replace("_", " "))
        )
        drawn = TOY.draw(seed=2, region=centre.sr)
        assert task.method.blind.mask(drawn.columns).all() and (task.method.training.mask(drawn.columns) == 0).all()
        near = [axis.edges[[0, -1]] for axis in task.method.axes]
        np.testing.assert_allclose(near, centre.limits, atol=1.0)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("transform: log}", "transform: lgo}", "no type 'lgo', did you mean 'log'.*bounded, identity, log, log_gap"),
        ("bound: 3.14", "bounds: 3.14", "log_gap has no setting 'bounds', did you mean 'bound'"),
        ("layers: 2", "layers: 0", "layers is 0"),
        ("twice: 2 * x_wt", "twice: 2 * x_tw", "reads 'x_tw', which is neither drawn nor derived"),
        ("process: log_gaussian_process", "process: gaussian", "no type 'gaussian'"),
    ],
)
def test_a_wrong_setting_stands_in_the_file(tmp_path, old, new, message):
    assert old in CONFIG
    (tmp_path / "a.yaml").write_text(CONFIG.replace(old, new, 1))
    with pytest.raises(ConfigError, match=message) as caught:
        load(tmp_path / "a.yaml")
    assert "a.yaml:" in str(caught.value)


def test_the_plane_holds_the_open_rows_and_nothing_sealed(outcome, table):
    near, far = (outcome.pictures[name].plane for name in ("near", "far"))
    assert near.names == ("",) and far.names == ("year 2016", "year 2017", "year 2018")
    edges = [axis.edges for axis in near.axes]
    for one, rows in ((near, table["deta"] < 1.5), (far, table["deta"] >= 1.5)):
        counts = np.histogram2d(table["m_h1"][rows], table["m_h2"][rows], edges)[0].ravel()
        shown = one.observed.sum(axis=0)
        known = np.isfinite(shown)
        np.testing.assert_array_equal(shown[known], counts[known])
        # the trained bins are those that the signal region does not touch
        np.testing.assert_array_equal(known, one.trained if one is near else np.ones_like(known))
    sealed = SEALED.mask(table)
    assert sealed.sum() > 50
    touched = np.histogram2d(table["m_h1"][sealed], table["m_h2"][sealed], edges)[0].ravel() > 0
    assert np.isnan(near.observed[:, touched]).all() and not near.trained[touched].any()


def test_features_are_shown_where_they_are_open(outcome, table):
    near, far = (outcome.pictures[name] for name in ("near", "far"))
    assert (near.pairs.region, far.pairs.region) == ("training", "SR")
    inside = TOY.selection.sr.mask(table) & (table["deta"] >= 1.5)
    assert 0.9 * inside.sum() < far.pairs.observed_alone[0].sum() <= inside.sum()
    assert near.layers.features == ("log pt_h1", "log(π − dphi)", "x_wt")
    assert near.layers.counts.shape == (3, 3, 24)
    np.testing.assert_array_equal(near.layers.counts[-1], near.pairs.drawn_alone)


def test_a_gap_without_drawn_events_has_pictures(tmp_path, table):
    (tmp_path / "a.yaml").write_text(CONFIG)
    near = load(tmp_path / "a.yaml").tasks["near"].method
    nowhere = replace(
        near, blind=Region("corner", "(m_h1 < 85.001) & (m_h2 < 78.001)"), draws=5, error="none", members=1
    )
    found = pictures(Setup(nowhere, Events.of(table)), seed=1)
    assert found.pairs.region == "corner" and not found.pairs.drawn.any() and not found.layers.counts.any()
    assert plot.pairs(found.pairs).axes and plot.layers(found.layers).axes


def test_pictures_are_kept_and_reported(outcome, tmp_path):
    Results("toy", 5, pictures={"far": outcome.pictures["near"]}).save(tmp_path)
    again = Results.load(tmp_path)
    assert fingerprint(again.pictures["far"].state()) == fingerprint(outcome.pictures["near"].state())
    page = report(tmp_path / "report.html", again, figures=tmp_path / "figures").read_text()
    assert "What the densities learnt" in page
    for kind in ("plane", "pairs", "layers"):
        assert f'id="figure-{kind}-far"' in page
    numbers = json.loads((tmp_path / "figures" / "plane-far.json").read_text())
    assert None in numbers["observed"]["all"] and "not trained bins" not in numbers["summary"]["all"]


def test_a_setting_does_not_hide_the_process_that_a_method_estimates(outcome, tmp_path):
    home = tmp_path / "a.yaml"
    home.write_text(CONFIG.replace("type: interpolate\n", "type: interpolate\n    process: 4b\n", 1))
    analysis = load(home)
    near, far = (_settings(analysis, name, task) for name, task in analysis.tasks.items())
    assert near["process"] == "4b" and "process" not in far
    assert near["settings.process"].startswith("log_gaussian_process(") and "settings.process" in far


def test_nothing_depends_on_the_sealed_rows(outcome, table, tmp_path):
    sealed = SEALED.mask(table)
    # fewer rows inside of the signal region, of other values
    other = {name: np.concatenate([column[~sealed], column[sealed][::2]]) for name, column in table.items()}
    other["pt_h1"][(~sealed).sum() :] = np.nan
    other["m_h1"][(~sealed).sum() :] = 124.0
    again = executed(other, tmp_path)
    for name, one in outcome.pictures.items():
        assert fingerprint(one.state()) == fingerprint(again.pictures[name].state())
        np.testing.assert_array_equal(outcome.estimates[name].nominal, again.estimates[name].nominal)
    assert again.warnings == outcome.warnings
