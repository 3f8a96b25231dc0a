"""The drawn events of the HH → 4b toy against its closed forms, and those against independent integrals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import vector
from scipy.integrate import dblquad
from scipy.stats import chi2, lognorm, norm

import backdrop.synthetic.four_b_features as features
import backdrop.synthetic.mass_plane as mass_plane
from backdrop import Region, kinematics
from backdrop.config import load
from backdrop.errors import ConfigError
from backdrop.events import Events
from backdrop.run.samples import read
from backdrop.synthetic import SAMPLES, Bump, Falling, Features, FourB, FourBSelection, Gaussian, Year

TOY = FourB(size=0.3)
NOMINAL = TOY.selection
SIDES = ("lower left", "lower right", "upper right", "upper left")
BINS = {
    "pt_h1": np.r_[0.0, np.linspace(80.0, 400.0, 9), np.inf],
    "pt_h2": np.r_[0.0, np.linspace(50.0, 300.0, 9), np.inf],
    "eta_h1": np.r_[-np.inf, np.linspace(-3.0, 3.0, 17), np.inf],
    "eta_h2": np.r_[-np.inf, np.linspace(-3.0, 3.0, 17), np.inf],
    "dphi": np.r_[0.0, np.linspace(1.5, np.pi, 17)],
    "deta": np.r_[np.linspace(0.0, 6.0, 25), np.inf],
    "x_wt": np.r_[0.0, np.linspace(1.0, 6.0, 21), np.inf],
}


CONFIGURATION = """
name: four-b
seed: 3
synthetic:
  name: four_b
  settings: {size: 0.02}
regions:
  near: deta < 1.5
  far: deta >= 1.5
  sr: "hypot((m_h1 - 124) / (0.1 * m_h1), (m_h2 - 117) / (0.1 * m_h2)) < 1.6"
  low: m_h1 < 100
seal:
  - {sample: data, region: "{sr} & {near}"}
channels:
  SR: {region: sr, axes: [{column: m_hh, bins: 4, range: [250, 650]}]}
methods:
  abcd: {type: abcd, events: data, settings: {target: near, source: far, control: low}}
"""


@pytest.fixture(scope="module")
def data() -> Events:
    return TOY.draw(seed=5)


@pytest.fixture(scope="module")
def two_b() -> Events:
    toy = FourB.two_b(0.2)
    return toy.around(NOMINAL).draw(seed=6, sample="two_b")


def rows_of(events: Events, selection: FourBSelection, area: str, deta: str, top_veto: bool) -> Events:
    region = getattr(selection, area)
    if deta != "all":
        region = region & getattr(selection, deta)
    return events.select(region & selection.top_veto if top_veto else region)


def test_regions_are_those_of_the_mass_plane(data: Events) -> None:
    m1, m2 = data["m_h1"], data["m_h2"]
    assert np.array_equal(NOMINAL.sr.mask(data.columns), kinematics.x_hh(m1, m2) < 1.6)
    inside = (np.abs(m1 - 1.05 * 124) < 45) & (np.abs(m2 - 1.05 * 117) < 45)
    assert np.array_equal(NOMINAL.box.mask(data.columns), inside)
    assert np.array_equal(NOMINAL.open.mask(data.columns), inside & ~(kinematics.x_hh(m1, m2) < 1.6))
    assert NOMINAL.open.disjoint(NOMINAL.sr)
    circle = FourBSelection((125.0, 125.0), radius=12.0, resolution=None, offset=1.0, edge=60.0)
    assert np.array_equal(circle.sr.mask(data.columns), kinematics.ring(m1, m2, centre=(125, 125), shift=1.0) < 12)
    deta = np.abs(data["eta_h1"] - data["eta_h2"])
    assert np.allclose(data["deta"], deta, atol=1e-12)
    assert np.array_equal(NOMINAL.far.mask(data.columns), ~NOMINAL.near.mask(data.columns))


def test_the_lower_shifted_regions_do_not_overlap_with_the_nominal_one(data: Events) -> None:
    for side in ("lower left", "lower right", "upper left"):
        assert not len(data.select(NOMINAL.sr & NOMINAL.shifted(side).sr)), side


@pytest.mark.parametrize("where", ["nominal", *SIDES])
def test_expected_yields_are_those_drawn(data: Events, where: Any) -> None:
    selection = NOMINAL if where == "nominal" else NOMINAL.shifted(where)
    for area in ("sr", "box", "open"):
        for deta in ("near", "far", "all"):
            for top_veto in (False, True):
                year = rows_of(data, selection, area, deta, top_veto)["year"]
                expected = TOY.expected(area, selection=selection, deta=deta, top_veto=top_veto)  # type: ignore[arg-type]
                for one, number in expected.items():
                    assert abs((year == one).sum() - number) < 4 * np.sqrt(number), (area, deta, top_veto, one)


def test_default_size_is_that_of_a_full_run_two_search() -> None:
    toy = FourB()
    assert sum(toy.expected("sr").values()) == pytest.approx(16_111, abs=1)
    assert sum(toy.expected("open", top_veto=False).values()) == pytest.approx(198_546, abs=1)
    halves = [replace(toy, years=(one,)).expected("sr") for one in toy.years]
    assert toy.expected("sr") == {year: value for one in halves for year, value in one.items()}


@pytest.mark.parametrize("toy", [FourB(), FourB.signal()], ids=["4b", "signal"])
def test_quadrature_has_converged(toy: FourB, monkeypatch: pytest.MonkeyPatch) -> None:
    edges = np.linspace(60.0, 400.0, 5)

    def values() -> np.ndarray:
        mass_plane._disc.cache_clear()
        mass_plane._rectangle.cache_clear()
        found = [np.array([*toy.expected(area).values()]) for area in ("sr", "box")]
        return np.concatenate([*found, *(toy.histogram("pt_h1", edges, "sr", deta=deta) for deta in ("near", "far"))])

    usual = values()
    for module, name, nodes in (
        (mass_plane, "_BOX_NODES", 40),
        (mass_plane, "_RADII", 20),
        (mass_plane, "_ANGLES", 40),
        (features, "_DETA_NODES", 48),
    ):
        monkeypatch.setattr(module, name, nodes)
    np.testing.assert_allclose(usual, values(), rtol=1e-6)
    monkeypatch.undo()
    mass_plane._disc.cache_clear()
    mass_plane._rectangle.cache_clear()


def test_quadrature_of_the_signal_region_against_scipy() -> None:
    plane = TOY.years[0].plane

    def upper(m1: float, sign: float) -> float:
        rest = np.sqrt(max(1.6**2 - ((m1 - 124) / (0.1 * m1)) ** 2, 0.0))
        return float(117 / (1 - sign * 0.1 * rest))

    def density(m2: float, m1: float) -> float:
        return float(plane.density(np.array(m1), np.array(m2)))

    slow = dblquad(density, 124 / 1.16, 124 / 0.84, lambda m: upper(m, -1.0), lambda m: upper(m, 1.0), epsrel=1e-7)[0]
    m1, m2, weight = NOMINAL.nodes("sr")
    assert (weight * plane.density(m1, m2)).sum() == pytest.approx(slow, rel=1e-6)
    circle = replace(NOMINAL, radius=12.0, resolution=None)
    assert circle.nodes("sr")[2].sum() == pytest.approx(np.pi * 144)
    assert circle.nodes("open")[2].sum() == pytest.approx(90**2 - np.pi * 144)


@pytest.mark.parametrize(
    ("area", "deta", "top_veto"),
    [("sr", "near", True), ("open", "near", False), ("open", "far", True), ("sr", "all", False)],
)
def test_expected_histograms_are_those_drawn(data: Events, area: Any, deta: Any, top_veto: bool) -> None:
    rows = rows_of(data, NOMINAL, area, deta, top_veto)
    total = sum(TOY.expected(area, deta=deta, top_veto=top_veto).values())
    for name, edges in BINS.items():
        expected = TOY.histogram(name, edges, area, deta=deta, top_veto=top_veto)
        assert expected.sum() == pytest.approx(total, rel=1e-6), name
        counts = np.histogram(rows[name], edges)[0]
        empty = expected < 1e-6 * total
        assert not counts[empty].any(), name
        square = np.square(counts - expected)[~empty] / expected[~empty]
        assert chi2.sf(square.sum(), len(square)) > 1e-4, name


def test_features_depend_on_the_masses_and_on_one_another(data: Events) -> None:
    shapes = [TOY.histogram("pt_h2", BINS["pt_h2"], "sr", selection=NOMINAL.shifted(one)) for one in SIDES[:2]]
    first, second = (one / one.sum() for one in shapes)
    assert np.abs(first - second).max() > 0.01
    slices = [f"(m_h1 > {low}) & (m_h1 < {low + 10}) & (m_h2 > 80) & (m_h2 < 110) & (deta < 1)" for low in (60, 180)]
    found = []
    for cut in slices:
        rows = data.select(Region("slice", cut))
        found.append(np.corrcoef(np.log(rows["pt_h1"]), np.log(rows["pt_h2"]))[0, 1])
    assert found[1] - found[0] > 0.1


def test_log_prob_integrates_to_one() -> None:
    rng = np.random.default_rng(3)
    n = 200_000
    proposal = {
        "pt_h1": lognorm(0.6, scale=130.0),
        "pt_h2": lognorm(0.6, scale=95.0),
        "eta_h1": norm(0.0, 1.9),
        "eta_h2": norm(0.0, 1.9),
        "x_wt": lognorm(0.65, scale=1.45),
    }
    columns = {name: one.rvs(n, random_state=rng) for name, one in proposal.items()}
    turn = norm(-2.3, 1.3)
    z = turn.rvs(n, random_state=rng)
    columns["dphi"] = np.pi / (1 + np.exp(z))
    drawn = sum(one.logpdf(columns[name]) for name, one in proposal.items())
    drawn = drawn + turn.logpdf(z) + np.log(np.pi / (columns["dphi"] * (np.pi - columns["dphi"])))
    for m1, m2 in ((124.0, 117.0), (80.0, 150.0)):
        rows = columns | {"m_h1": np.full(n, m1), "m_h2": np.full(n, m2), "year": np.full(n, 2017)}
        weight = np.exp(TOY.log_prob(rows) - drawn)
        assert abs(weight.mean() - 1.0) < 4 * weight.std() / np.sqrt(n)
        assert weight.std() / np.sqrt(n) < 0.02
        both = TOY.log_density(rows) - TOY.log_prob(rows)
        assert np.allclose(np.exp(both), 0.3 * TOY.years[1].plane.density(np.array(m1), np.array(m2)))


def test_a_bump_integrates_to_its_number() -> None:
    m1, m2 = np.meshgrid(np.arange(20.0, 230.0), np.arange(10.0, 230.0))
    assert Bump(50.0, (122.0, 116.0), (11.0, 12.0), 0.4).density(m1, m2).sum() == pytest.approx(50.0)


def test_two_b_events_with_the_ratio_as_weights_are_four_b_events(two_b: Events) -> None:
    base, target = FourB.two_b(0.2), FourB(1.0)
    weight = base.ratio(target, two_b)
    assert (weight > 0.0).all() and weight.max() < 3 * weight.mean()
    mask = (NOMINAL.sr & NOMINAL.near & NOMINAL.top_veto).mask(two_b.columns)
    w = weight[mask]
    for name, edges in BINS.items():
        expected, plain = target.histogram(name, edges, "sr"), base.histogram(name, edges, "sr")
        counts, found, variance = (
            np.histogram(two_b[name][mask], edges, weights=one)[0] for one in (np.ones_like(w), w, w**2)
        )
        full = plain > 10.0
        square = np.square(found - expected)[full] / variance[full]
        assert chi2.sf(square.sum(), full.sum()) > 1e-4, name
        if name in ("pt_h1", "pt_h2", "x_wt"):
            scale = expected.sum() / plain.sum()
            wrong = np.square(scale * counts - expected)[full] / (scale**2 * counts[full])
            assert chi2.sf(wrong.sum(), full.sum()) < 1e-10, name


def test_four_vectors_add_up(data: Events) -> None:
    rows = data.select(Region("some", "m_h1 > 170"))
    first = vector.array({"pt": rows["pt_h1"], "eta": rows["eta_h1"], "phi": 0 * rows["dphi"], "mass": rows["m_h1"]})
    second = vector.array({"pt": rows["pt_h2"], "eta": rows["eta_h2"], "phi": rows["dphi"], "mass": rows["m_h2"]})
    both = first + second
    assert np.allclose(both.mass, rows["m_hh"]) and np.allclose(both.pt, rows["pt_hh"])
    assert ((rows["dphi"] > 0) & (rows["dphi"] < np.pi)).all()


def test_a_draw_around_an_area_has_all_its_events(data: Events) -> None:
    region = NOMINAL.sr & NOMINAL.near & NOMINAL.top_veto
    toy = FourB(size=2.0).around(NOMINAL, "sr")
    assert toy.expected("sr") == pytest.approx(FourB(size=2.0).expected("sr"))
    large, rows = toy.draw(seed=8, region=region), data.select(region)
    total = sum(toy.expected("sr").values())
    assert abs(len(large) - total) < 4 * np.sqrt(total)
    for name in ("m_hh", "pt_hh", "m_h1"):
        edges = np.quantile(large[name], np.linspace(0.0, 1.0, 16))
        expected = np.histogram(large[name], edges)[0] * (0.3 / 2.0)
        square = np.square(np.histogram(rows[name], edges)[0] - expected) / (expected * (1 + 0.3 / 2.0))
        assert chi2.sf(square.sum(), 15) > 1e-4, name


def test_a_seed_repeats_and_samples_are_independent() -> None:
    toy = FourB(size=0.002)
    first = toy.draw(seed=1)
    assert first.fingerprint == toy.draw(seed=1).fingerprint
    others = toy.draw(seed=2), toy.draw(seed=1, sample="other"), FourB.three_b(0.0002).draw(seed=1)
    for other in others:
        assert not np.isin(first["pt_h1"], other["pt_h1"]).any()
    some = toy.draw(seed=1, region=NOMINAL.sr & Region("heavy", "m_hh > 350"))
    assert np.array_equal(some["pt_h1"], first.select(NOMINAL.sr & Region("heavy", "m_hh > 350"))["pt_h1"])
    assert np.array_equal(toy.draw(seed=1, region=NOMINAL.sr)["m_hh"], first.select(NOMINAL.sr)["m_hh"])


def test_categories_of_tags_differ() -> None:
    shapes = []
    for toy, tags, factor in ((FourB(), 4, 1), (FourB.three_b(), 3, 11), (FourB.two_b(), 2, 5)):
        assert toy.n_b == tags
        found = toy.histogram("pt_h1", BINS["pt_h1"], "sr")
        assert found.sum() == pytest.approx(16_111 * factor, rel=0.2)
        shapes.append(found / found.sum())
    assert min(np.abs(shapes[i] - shapes[j]).max() for i, j in ((0, 1), (0, 2), (1, 2))) > 0.002
    signal = FourB.signal(1000.0)
    rows = signal.draw(seed=1, sample="signal")
    assert abs(len(rows.select(NOMINAL.sr)) - sum(signal.expected("sr", deta="all", top_veto=False).values())) < 120
    assert sum(signal.expected("sr").values()) > 2 * sum(signal.expected("open").values())


def test_samples_of_a_configuration(tmp_path: Path) -> None:
    plain = SAMPLES["four_b"](seed=3, size=0.02)
    more = SAMPLES["four_b"](seed=3, size=0.02, wide=True, two_b=0.01, three_b=0.001, injected=200.0)
    assert set(plain) == {"data", "signal"} and set(more) == {"data", "two_b", "three_b", "signal"}
    assert (NOMINAL.box.mask(plain["data"].columns)).all() and more["data"].samples == ("data",)
    assert plain["signal"].weight.sum() == pytest.approx(100.0, rel=0.03)
    extra = len(more["data"]) - len(SAMPLES["four_b"](seed=3, size=0.02, wide=True)["data"])
    assert abs(extra - 200) < 60
    file = tmp_path / "a.yaml"
    file.write_text(CONFIGURATION)
    samples = read(load(file)).events
    open_rows = plain["data"].select(~(NOMINAL.sr & NOMINAL.near))
    assert np.array_equal(samples["data"].load(["m_hh"])["m_hh"], open_rows["m_hh"])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: FourB(size=-1.0), "not negative"),
        (lambda: FourB(years=(TOY.years[0], TOY.years[0])), "each once"),
        (lambda: FourB(limits=((50.0, 40.0), (50.0, 90.0))), "lower limit comes first"),
        (lambda: FourBSelection(radius=10.0, resolution=0.1), "no upper end"),
        (lambda: FourBSelection(edge=20.0), "not in its box"),
        (lambda: Falling(1.0, (0.0, 10.0), 100.0, 10.0), "lengths and width are positive"),
        (lambda: Bump(1.0, (120.0, 120.0), (10.0, 10.0), 1.0), "correlation"),
        (lambda: FourB(years=(Year(1, TOY.years[0].plane, Features(pts=(0.5, 0.8, 0.0))),)), "correlation pts"),
        (
            lambda: FourB(
                years=(Year(1, TOY.years[0].plane, Features(x_wt=Gaussian((0.0, 0.0, 0.0), (0.1, 0.5, 0)))),)
            ),
            "width .* of x_wt is not positive",
        ),
        (lambda: TOY.around(NOMINAL).expected("sr", selection=NOMINAL.shifted("lower left")), "widen its limits"),
        (lambda: TOY.expected("sr", deta="left"), "none of near, far, all"),  # type: ignore[arg-type]
        (lambda: TOY.histogram("m_hh", [0.0, 1.0], "sr"), "no closed form of 'm_hh'"),
        (lambda: TOY.log_prob({"year": np.array([2015])}), "year 2015 is none of"),
    ],
)
def test_impossible_settings_are_refused(make: Callable[[], object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        make()
