"""The search for H → φγ: what its graph predicts and what it cannot, and what moves the signal strength of its fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from backdrop.cli import tables
from backdrop.config import load
from backdrop.demos import demo
from backdrop.inference import ranking
from backdrop.results import Results
from backdrop.run.execution import Outcome, execute
from backdrop.run.samples import read


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    file = tmp_path_factory.mktemp("phi_gamma") / "a.yaml"
    file.write_text(demo("phi-gamma").read_text().replace("toys: 20", "toys: 2"))
    analysis = load(file)
    return execute(analysis, read(analysis).events)


def test_the_mass_closes_in_every_region(outcome: Outcome) -> None:
    assert list(outcome.closures["kernel"]) == ["GR", "VR1", "VR2", "SR"]
    for name, one in outcome.closures["kernel"].items():
        assert one.p_value > 0.01, name
        assert one.total.predicted == pytest.approx(one.total.observed, rel=0.02), name


def test_what_the_graph_draws_closes_and_what_it_lacks_does_not(outcome: Outcome) -> None:
    kernel, paper = (outcome.checks.variables[name] for name in ("kernel", "table2"))
    for region in ("GR", "SR"):
        for name in ("pt", "eta", "eta_phi", "pt_phi", "pt_gamma", "dphi", "deta", "iso_phi"):
            assert kernel[region][name].closure.p_value > 0.01, (region, name)
    for name in ("eta", "eta_phi"):
        assert paper["SR"][name].closure.p_value < 1e-10, name


def test_correlations_inside_a_template_are_kept(outcome: Outcome) -> None:
    found = outcome.checks.correlations["kernel"]["GR"]
    names = list(found.observed.columns)
    gap = np.abs(np.asarray(found.observed.matrix) - np.asarray(found.predicted.matrix))
    drawn = ("pt_phi", "pt_gamma"), ("dphi", "pt_gamma"), ("dphi", "pt_phi"), ("deta", "dphi"), ("iso_phi", "pt_gamma")
    for one, other in drawn:
        assert gap[names.index(one), names.index(other)] < 0.02, (one, other)
    paper = outcome.checks.correlations["table2"]["SR"]
    seen, drawn_there = (np.asarray(one.matrix) for one in (paper.observed, paper.predicted))
    place = [list(paper.observed.columns).index(name) for name in ("eta_phi", "eta")]
    assert abs(seen - drawn_there)[place[0], place[1]] > 0.05


def test_the_kernel_learns_a_part_of_the_injected_events(outcome: Outcome) -> None:
    plain, more = (outcome.estimates[name].only("SR") for name in ("kernel", "injected"))
    edges = np.asarray(plain.channels[0].axes[0].edges)
    window = (edges[:-1] >= 122.5) & (edges[1:] <= 127.5)
    learned = more.nominal[window].sum() - plain.nominal[window].sum()
    # 110 events in the signal region, about eight tenths of them in the window
    assert 0.02 < learned / plain.nominal[window].sum() < 0.1
    assert learned < 0.6 * 88


def test_the_data_constrain_the_shapes(outcome: Outcome) -> None:
    fit = outcome.fits["kernel"]
    assert fit.value is not None and fit.error is not None and abs(fit.value) < 3 * fit.error
    assert fit.parameters["kernel_norm"].value == pytest.approx(1.0, abs=0.03)
    for name in ("kernel_pt_shift", "kernel_m_tilt"):
        assert fit.parameters[name].error < 0.4, name


def test_a_run_ranks_what_moves_the_signal_strength(outcome: Outcome, tmp_path: Path) -> None:
    found = outcome.rankings["kernel"]
    assert found == ranking(outcome.workspaces["kernel"], most=25)
    assert {"kernel_norm", "kernel_m_tilt", "kernel_pt_shift"} <= set(list(found)[:6])
    assert found["kernel_norm"].up < -0.05 and found["kernel_norm"].down > 0.05
    table = tables.rankings(outcome)
    assert [str(one) for one in table.columns[1].cells][:2] == ["mu", next(iter(found))]
    Results("toy", 1, fits=outcome.fits, rankings=outcome.rankings).save(tmp_path)
    assert Results.load(tmp_path).rankings == outcome.rankings
