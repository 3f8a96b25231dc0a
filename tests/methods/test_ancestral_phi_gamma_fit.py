"""The ensembles of the φγ case study, on one data set: the fit of a peak, and its closure."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from backdrop import estimate
from backdrop.validation.ensemble import Analysis
from benchmarks.phi_gamma_closure import CASES, EDGES, closed
from benchmarks.phi_gamma_ensemble import CHANNELS, INJECTED, ISOLATIONS, PeakFit, background, injected

_DRAWN = partial(background, with_replacement=True, draws=100_000)


@pytest.mark.parametrize("channels", [CHANNELS, INJECTED])
def test_a_signal_that_the_kernel_has_not_seen_is_found_with_its_strength(channels) -> None:
    analysis = Analysis(channels, PeakFit((125.0,), ISOLATIONS[-1:]))
    setup = _DRAWN(31)
    found = estimate(setup, channels, seed=1)
    with_signal = replace(setup, events=setup.events + injected(32, 6.0, mass=125.0))
    names, (plain, _) = analysis.fitted(found, analysis.observed(setup), 1)
    _, (moved, error) = analysis.fitted(found, analysis.observed(with_signal), 1)
    assert names == ["m = 125"]
    # the spread of 300 signal events, over background that both fits share
    assert abs(moved[0] - plain[0] - 6.0) < 3 * 6.0 / np.sqrt(300)
    assert 0.4 < error[0] < 1.0


def test_measurements_of_the_nuisances_are_thrown_and_the_same_for_one_toy() -> None:
    analysis = Analysis(CHANNELS, PeakFit((100.0,), ISOLATIONS[-1:]))
    setup = _DRAWN(33)
    found, rows = estimate(setup, CHANNELS, seed=1), analysis.observed(setup)
    one, same, other = (analysis.fitted(found, rows, seed)[1][0, 0] for seed in (1, 1, 2))
    assert one == same != other


def test_the_graph_of_the_case_study_closes_where_the_papers_does_not() -> None:
    place = list(EDGES).index("eta_phi")
    paper, own = (closed((case, 200_000, 5, 0)) for case in list(CASES)[1::2])
    assert paper["chi2"][2, place] > 20.0 > 3.0 > own["chi2"][2, place]
    for one in (paper, own):
        assert (one["chi2_expected"] < 3.0).all()
        assert np.abs(one["yields"] - 1.0).max() < 0.02
