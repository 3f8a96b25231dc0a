"""Every case: the columns, the selection, and the physics that it is for, in a few hundred generated events."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import yaml

import backdrop
from backdrop.cli.main import _run as command
from backdrop.config import load
from backdrop.generate import CASES, Detector, fragment
from backdrop.generate.cases import settings
from backdrop.generate.chunk import Chunk, columns_of, run_chunk
from backdrop.generate.fourjet import tag_probabilities
from backdrop.generate.lepton_event import nlo_weight
from backdrop.generate.output import Writer
from backdrop.kinematics import delta_r, invariant_mass, pair_columns, x_wt

from .roles import names, roles

Columns = dict[str, np.ndarray]

GENERATED = {
    "gamma-jet": 2000,
    "h-phigamma": 600,
    "z-jets": 1200,
    "h-za": 600,
    "ttbar": 500,
    "ttbar-hf": 500,
    "w-jets": 700,
    "heavy-flavour": 1500,
    "four-jet": 3000,
    "four-jet-bb": 2500,
    "hh-4b": 700,
    "zee": 4000,
}
SHARED = {
    "gamma-jet": "case1_gammajet",
    "h-phigamma": "case1_hphigamma_signal",
    "z-jets": "case2_zjets_2trk",
    "h-za": "case2_hza_signal",
    "ttbar-hf": "case3_ttbar_hfenriched",
    "w-jets": "case3_wjets",
    "heavy-flavour": "case3_qcdhf",
    "four-jet": "case4_fourjet_pseudotag",
    "four-jet-bb": "case4_qcd_plain",
    "hh-4b": "case4_hh4b_signal",
}
LEPTONS = ("ttbar", "ttbar-hf", "w-jets", "heavy-flavour")


def chunk_of(name: str, size: int | None = None, detector: Detector | None = None) -> Chunk:
    case = CASES[name]
    return Chunk(name, settings(case), case.veto, detector or Detector(), 77, 0, size or GENERATED[name], "test")


def fraction(passed: np.ndarray, expected: float, sigmas: float = 4.0) -> bool:
    """Say whether a fraction is as expected, within its binomial error."""
    return bool(abs(passed.mean() - expected) < sigmas * np.sqrt(expected * (1 - expected) / len(passed)))


# ---- what each case is for -------------------------------------------------------------------------------------------


def phi_candidate(c: Columns) -> None:
    assert ((c["m_phi"] > 0.987) & (c["m_phi"] < 1.12) & (c["pt_phi"] > 20) & (c["pt_g"] > 35)).all()
    assert ((c["pt_k1"] > c["pt_k2"]) & (c["pt_k1"] > 10) & (c["pt_k2"] > 8) & (c["iso_phi"] >= 0)).all()
    assert ((c["dphi"] > np.pi / 2) & (c["dphi"] <= np.pi + 1e-6)).all()
    pair = [np.stack([c[f"{x}_phi"], c[f"{x}_g"]], axis=1) for x in ("pt", "eta", "phi")]
    masses = np.stack([c["m_phi"], np.zeros(len(c["m_phi"]))], axis=1)
    np.testing.assert_allclose(invariant_mass(*pair, masses), c["m_phig"], rtol=1e-4)
    assert not (c["true_phi"] & ~c["is_kk"]).any()


def gamma_jet(c: Columns) -> None:
    phi_candidate(c)
    assert c["is_kk"].mean() < 0.4
    assert 70 < np.median(c["m_phig"]) < 120


def h_phigamma(c: Columns) -> None:
    phi_candidate(c)
    peak = c["m_phig"][np.abs(c["m_phig"] - 125) < 5]
    assert fraction(c["true_phi"], 0.978)
    assert abs(np.median(peak) - 125.0) < 4 * 1.25 * 1.25 / np.sqrt(len(peak))
    assert peak.std() == pytest.approx(1.23, abs=4 * 1.23 / np.sqrt(2 * len(peak)))


def two_tracks(c: Columns) -> None:
    assert ((c["m_mumuj"] > 80) & (c["m_mumuj"] < 250) & (np.abs(c["m_mumu"] - 91.19) < 10)).all()
    assert ((c["trk1_pt"] >= c["trk2_pt"]) & (c["trk2_pt"] > 0.5) & (c["jet_pt"] > 20)).all()
    assert (np.maximum(c["mu1_pt"], c["mu2_pt"]) > 27).all()
    share = c["trk1_pt"] / (c["trk1_pt"] + c["trk2_pt"])
    np.testing.assert_allclose(c["U1_07"], share * (1 - share) * c["dR_trk"] ** 0.7, rtol=1e-3)
    assert (c["pt_ratio"] >= share - 1e-6).all()
    assert ((c["dR_lead_axis"] < 0.4) & (c["angularity2"] < 0.16)).all()
    assert np.median(c["m_mumu"]) == pytest.approx(90.8, abs=0.6)


def z_jets(c: Columns) -> None:
    two_tracks(c)
    assert not c["trk_from_a"].any()
    assert c["m_mumuj"].min() > 95


def h_za(c: Columns) -> None:
    two_tracks(c)
    assert fraction(c["trk_from_a"], 0.92)
    core = c["m_mumuj"][c["trk_from_a"] & c["trk_os"]]
    assert np.median(core) == pytest.approx(125.0, abs=4 * 1.25 * 2.7 / np.sqrt(len(core)))


def leptons(c: Columns) -> None:
    electron = c["flavour"] == 11
    assert set(c["flavour"]) <= {11, 13} and set(c["charge"]) <= {-1, 1} and set(c["origin"]) <= set(range(6))
    assert ((c["pt"] > 10) & (np.abs(c["eta"]) < 2.47) & (np.abs(c["d0sig"]) < 15)).all()
    assert not (electron & (np.abs(c["eta"]) > 1.37) & (np.abs(c["eta"]) < 1.52)).any()
    isolated = (c["ptvarcone30"] / c["pt"] < 0.15) & (c["topoetcone20"] / c["pt"] < 0.20)
    np.testing.assert_array_equal(c["iso_ok"], isolated)
    np.testing.assert_array_equal(
        c["tight"], c["id_ok"] & isolated & (np.abs(c["d0sig"]) < np.where(electron, 5.0, 3.0))
    )
    _, row, count = np.unique(c["event"], return_inverse=True, return_counts=True)
    np.testing.assert_array_equal(c["n_loose"], count[row])
    np.testing.assert_array_equal(c["n_tight"], np.bincount(row, c["tight"])[row])
    same = np.diff(c["event"]) == 0
    assert (np.diff(c["pt"])[same] <= 0).all()
    for name in ("met", "n_jets", "ht", "w_nlo"):
        assert (np.diff(c[name].astype(float))[same] == 0).all()
    assert ((c["dr_jet"] == 9.0) == (c["n_jets"] == 0)).all()
    chance = np.minimum(0.08 + 0.04 * c["n_jets"], 0.3)
    np.testing.assert_allclose(np.abs(c["w_nlo"]), 1 / (1 - 2 * chance), rtol=1e-6)
    # what tells b hadrons from the rest: they fly
    from_b = c["origin"] == 2
    if from_b.sum() > 50 and (c["origin"] == 0).sum() > 50:
        assert np.median(np.abs(c["d0sig"][from_b])) > 2 * np.median(np.abs(c["d0sig"][c["origin"] == 0]))


def prompt_leptons(c: Columns) -> None:
    leptons(c)
    prompt = c["origin"] == 0
    assert fraction(c["tight"][prompt & (c["flavour"] == 11)], 0.805)
    assert fraction(c["tight"][prompt & (c["flavour"] == 13)], 0.915)
    assert c["tight"][c["origin"] == 2].mean() < 0.08
    assert fraction(c["charge"] > 0, 0.5, 5.0)


def hf_leptons(c: Columns) -> None:
    leptons(c)
    assert (c["origin"] == 2).mean() > 0.3
    # W⁺ → lν, W⁻ → qq: prompt leptons are positive
    assert (c["charge"][c["origin"] == 0] == 1).mean() > 0.99


def w_leptons(c: Columns) -> None:
    leptons(c)
    assert (c["origin"] <= 1).mean() > 0.95
    assert fraction(c["tight"][(c["origin"] == 0) & (c["flavour"] == 13)], 0.95)


def qcd_leptons(c: Columns) -> None:
    leptons(c)
    assert (c["origin"] >= 2).all()
    assert 0.005 < c["tight"].mean() < 0.2


def four_jets(c: Columns) -> tuple[np.ndarray, ...]:
    jets = tuple(
        np.stack([c[f"j{i}_{x}"] for i in range(1, 5)], axis=1).astype(float) for x in ("pt", "eta", "phi", "m")
    )
    assert ((jets[0] > 35) & (np.abs(jets[1]) < 2.5)).all() and (c["n_jets"] >= 4).all()
    for name, values in pair_columns(*jets).items():
        np.testing.assert_allclose(values, c[name], rtol=2e-3, atol=2e-3)
    exact = c["n_jets"] == 4
    np.testing.assert_allclose(x_wt(*(x[exact] for x in jets)), c["X_wt"][exact], rtol=1e-2)
    assert (c["X_wt"][~exact] <= x_wt(*(x[~exact] for x in jets)) * 1.01).all()
    return jets


def pseudo_tags(c: Columns) -> None:
    jets = four_jets(c)
    epsilon = np.stack([c[f"j{i}_eps"] for i in range(1, 5)], axis=1).astype(float)
    apart = delta_r(jets[1][:, :, None], jets[2][:, :, None], jets[1][:, None], jets[2][:, None]) + 9 * np.eye(4)
    expected = Detector().pseudo_tagged(jets[0], jets[1], apart.min(axis=2))
    np.testing.assert_allclose(epsilon, expected, atol=1e-4)
    for tags in (2, 3, 4):
        chance = c[f"p_{tags}tag"].astype(float)
        np.testing.assert_allclose(chance, tag_probabilities(epsilon)[:, tags], rtol=1e-4)
        drawn = (c["n_tag"] == tags).sum()
        assert abs(drawn - chance.sum()) < 4 * np.sqrt((chance * (1 - chance)).sum())
    assert (np.diff(jets[0], axis=1) <= 0).all()


def true_tags(c: Columns) -> None:
    jets = four_jets(c)
    flavour = np.stack([c[f"j{i}_fl"] for i in range(1, 5)], axis=1)
    assert set(np.unique(flavour)) <= {0, 4, 5} and (c["n_tag"] >= 2).all() and (c["w"] == 1).all()
    np.testing.assert_array_equal(c["n_b_true4"], (flavour == 5).sum(axis=1))
    np.testing.assert_array_equal(c["n_c_true4"], (flavour == 4).sum(axis=1))
    # tagged jets first, each group by falling pT
    for tags in (2, 3):
        rows = c["n_tag"] == tags
        for group in (slice(0, tags), slice(tags, 4)):
            assert (np.diff(jets[0][rows, group], axis=1) <= 0).all()
    assert (flavour[:, :2] == 5).mean() > 0.85


def hh(c: Columns) -> None:
    true_tags(c)
    assert (c["n_b_true4"] >= 3).mean() > 0.7
    assert fraction(c["n_tag"] >= 4, 0.226)
    right = (c["n_b_true4"] == 4) & (c["dR_h1"] < 1.5) & (c["dR_h2"] < 2.0)
    assert np.median(c["m_h1"][right]) == pytest.approx(113.0, abs=10.0)


def zee(c: Columns) -> None:
    electron = {k: {x: c[f"e{k}_{x}"] for x in ("pt", "eta", "phi", "charge", "flip", "eps")} for k in (1, 2)}
    assert (electron[1]["pt"] >= electron[2]["pt"]).all() and (electron[2]["pt"] > 25).all()
    four = [np.stack([electron[k][x] for k in (1, 2)], axis=1) for x in ("pt", "eta", "phi")]
    np.testing.assert_allclose(invariant_mass(*four, 0.000511), c["m_ee"], rtol=1e-4)
    np.testing.assert_array_equal(c["same_sign"], electron[1]["charge"] == electron[2]["charge"])
    np.testing.assert_array_equal(c["same_sign"], electron[1]["flip"] ^ electron[2]["flip"])
    chance = np.concatenate([electron[k]["eps"] for k in (1, 2)]).astype(float)
    drawn = np.concatenate([electron[k]["flip"] for k in (1, 2)]).sum()
    # flipped electrons lose energy, so a few per cent fewer of them pass the cut on pT
    assert abs(drawn - 0.93 * chance.sum()) < 4 * np.sqrt(chance.sum())
    assert np.median(c["m_ee"]) == pytest.approx(90.95, abs=4 * 1.25 * 3.0 / np.sqrt(len(c["m_ee"])))


CHECKS: dict[str, Callable[[Columns], None]] = {
    "gamma-jet": gamma_jet,
    "h-phigamma": h_phigamma,
    "z-jets": z_jets,
    "h-za": h_za,
    "ttbar": prompt_leptons,
    "ttbar-hf": hf_leptons,
    "w-jets": w_leptons,
    "heavy-flavour": qcd_leptons,
    "four-jet": pseudo_tags,
    "four-jet-bb": true_tags,
    "hh-4b": hh,
    "zee": zee,
}


# ---- the tests -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CASES)
def test_case(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    pytest.importorskip("pythia8mc")
    pytest.importorskip("fastjet")
    columns = columns_of(run_chunk(chunk_of(name)))
    event = columns["event"]
    assert event.dtype == np.int64 and (np.diff(event) >= 0).all()
    assert name in LEPTONS or len(np.unique(event)) == len(event)
    for column, values in columns.items():
        assert len(values) == len(event) and np.isfinite(values.astype(float)).all(), column
        assert column == "event" or values.dtype in (np.float32, np.int8, np.bool_), column
    selected = len(np.unique(event)) / GENERATED[name]
    error = np.sqrt(CASES[name].efficiency / GENERATED[name])
    assert abs(selected - CASES[name].efficiency) < 4 * error + 0.05 * CASES[name].efficiency
    CHECKS[name](columns)
    _fragment_fits(name, columns, tmp_path)
    if name in SHARED:
        _same_columns(columns, request.getfixturevalue("shared_data") / "generated" / f"{SHARED[name]}.parquet")


MINIMAL = """\
name: minimal
seed: 1
inputs:
  data: {{files: events.parquet, keys: [event]}}
methods:
  abcd: {{type: abcd, events: data, settings: {{target: {first}, source: "~{{{first}}}", control: {second}}}}}
channels:
  one: {{region: "~{{{second}}}", axes: [{{column: {column}, bins: 2, range: [0, 100]}}]}}
"""


def _fragment_fits(name: str, columns: Columns, folder: Path) -> None:
    """Paste the fragment behind a minimal configuration, check both on the file, and cut its events."""
    writer = Writer(folder / "events.parquet")
    writer.append(columns)
    writer.finish("{}")
    first, second, *_ = yaml.safe_load(fragment(name))["regions"]
    column = next(column for column, values in columns.items() if values.dtype == np.float32)
    configuration = folder / "minimal.yaml"
    configuration.write_text(MINIMAL.format(first=first, second=second, column=column) + fragment(name))
    assert command(["check", str(configuration)]) == 0
    analysis = load(configuration)
    derived = analysis.configuration.derived
    events = backdrop.read(folder / "events.parquet", keys=["event"], derived=derived)
    assert len(events) == len(columns["event"])
    for region in analysis.regions.values():
        assert len(events.select(region)) + len(events.select(~region)) == len(events)
    assert set(names(list(roles(name).values()))) <= {*analysis.regions, *derived, *columns}


def _same_columns(columns: Columns, path: Path) -> None:
    """Compare names and types with a file of an earlier generator, which also numbers its seeds."""
    pq = pytest.importorskip("pyarrow.parquet")
    schema = pq.read_schema(path)
    expected = {field.name: field.type.to_pandas_dtype() for field in schema if field.name != "seed"}
    assert {name: columns[name].dtype.type for name in expected} == {k: np.dtype(v).type for k, v in expected.items()}
    assert set(columns) - set(expected) <= {"event"}


def test_every_case_is_tested() -> None:
    assert set(GENERATED) == set(CASES) == set(CHECKS)


@pytest.mark.parametrize("name", ["gamma-jet", "z-jets", "ttbar", "four-jet", "hh-4b", "zee"])
def test_a_batch_in_which_nothing_passes(name: str) -> None:
    pytest.importorskip("pythia8mc")
    blind = Detector(
        track_efficiency=((0.0, 0.0), (0.0, 0.0)),
        photon_efficiency=(0.0, 0.0),
        electron_efficiency=0.0,
        muon_efficiency=0.0,
        electron_prompt=(0.0, 0.0, 1.0),
        calorimeter_eta=0.0,
    )
    columns = columns_of(run_chunk(chunk_of(name, 20, blind)))
    assert "event" in columns and all(len(values) == 0 for values in columns.values())


def test_tag_probabilities_against_all_outcomes() -> None:
    chance = np.random.default_rng(3).uniform(size=(20, 4))
    expected = np.zeros((20, 5))
    for outcome in product((0, 1), repeat=4):
        expected[:, sum(outcome)] += np.where(outcome, chance, 1 - chance).prod(axis=1)
    np.testing.assert_allclose(tag_probabilities(chance), expected)


def test_signed_weights_have_expectation_one() -> None:
    rng = np.random.default_rng(8)
    for n_jets in (0, 2, 5, 9):
        weight = nlo_weight(np.full(40_000, n_jets), rng)
        assert weight.mean() == pytest.approx(1.0, abs=4 * weight.std() / 200)
        assert fraction(weight < 0, min(0.08 + 0.04 * n_jets, 0.3))
