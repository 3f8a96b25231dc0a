"""The drawn distributions of the φγ generator against their formulas, and its yields against those it is tuned to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import vector
from scipy.integrate import quad
from scipy.stats import kstest, norm, truncnorm

from backdrop import Region
from backdrop.errors import ConfigError
from backdrop.events import Events
from backdrop.kinematics import add
from backdrop.synthetic import SAMPLES, Isolation, Landau, Peak, PhiGamma, PhiGammaSelection

ALL = Region.everything()
TOY = PhiGamma(events=60_000.0)


@pytest.fixture(scope="module")
def systems() -> Events:
    """All systems, whether they are candidates or not."""
    return TOY.draw(seed=5, region=ALL)


@pytest.fixture(scope="module")
def candidates() -> list[Events]:
    return [PhiGamma().draw(seed=seed) for seed in range(8)]


def landau_cdf(values: np.ndarray) -> np.ndarray:
    def above(x: float) -> float:
        return quad(lambda t: np.exp(-t * np.log(t) - x * t) * np.sin(np.pi * t) / (np.pi * t), 0.0, 40.0, limit=400)[0]

    return np.array([1.0 - above(x) for x in values])


def agree(counts: np.ndarray, expected: np.ndarray, sigmas: float = 4.0) -> bool:
    return bool((np.abs(counts - expected) < sigmas * np.sqrt(expected)).all())


def test_landau_distribution_is_the_integral_of_its_definition() -> None:
    drawn = Landau(0.0, 1.0).draw(100_000, np.random.default_rng(2))
    points = np.array([-2.0, -1.0, -0.22278, 0.5, 1.35578, 3.0, 6.0, 12.0, 40.0])
    below = np.searchsorted(np.sort(drawn), points)
    expected = landau_cdf(points)
    assert expected[4] == pytest.approx(0.5, abs=1e-5)
    assert (np.abs(below / 1e5 - expected) < 4 * np.sqrt(expected * (1 - expected) / 1e5)).all()


def test_mass_is_the_landau_of_the_settings_inside_its_range(systems: Events) -> None:
    edges = np.array([50.0, 60.0, 70.0, 80.0, 100.0, 150.0, 250.0, 400.0])
    expected = TOY.events * np.diff(landau_cdf((edges - 50.0) / 12.0))
    negative = norm.cdf(-2.0)  # systems of negative pT are dropped, at two widths below the mean
    counts, _ = np.histogram(systems["m"], edges)
    assert counts.sum() == len(systems)
    assert agree(counts, expected * (1.0 - negative))


def test_transverse_momentum_is_a_gaussian_that_moves_with_the_mass(systems: Events) -> None:
    for low, high in ((50.0, 70.0), (70.0, 120.0), (120.0, 400.0)):
        rows = systems.select(Region("slice", f"(m > {low}) & (m < {high})"))
        unit = (rows["pt"] - 0.3 * rows["m"]) / (0.15 * rows["m"])
        assert kstest(unit, truncnorm(-2.0, np.inf).cdf).pvalue > 1e-3


def test_mean_and_width_of_the_momentum_are_those_of_the_settings() -> None:
    rows = PhiGamma(events=20_000.0, pt_mean=(40.0, 0.1), pt_width=(8.0, 0.01)).draw(seed=1, region=ALL)
    unit = (rows["pt"] - 40.0 - 0.1 * rows["m"]) / (8.0 + 0.01 * rows["m"])
    assert kstest(unit, "norm").pvalue > 1e-3


def test_pseudorapidity_is_two_gaussians_and_the_azimuth_uniform(systems: Events) -> None:
    edges = np.linspace(-5.0, 5.0, 21)
    below = 0.5 * (norm.cdf(edges, -1.5, 1.2) + norm.cdf(edges, 1.5, 1.2))
    assert agree(np.histogram(systems["eta"], edges)[0], len(systems) * np.diff(below))
    turns = np.histogram(systems["phi"], np.linspace(-np.pi, np.pi, 9))[0]
    assert agree(turns, np.full(8, len(systems) / 8))


def test_decay_products_add_up(systems: Events) -> None:
    meson, photon, first, second = (four(systems, name) for name in ("phi", "gamma", "k1", "k2"))
    both = add(meson, photon)
    for name, values in zip(("pt", "eta", "phi", "m"), both, strict=True):
        assert np.allclose(values, systems[name], rtol=1e-6, atol=1e-6)
    for values, expected in zip(add(first, second), meson, strict=True):
        assert np.allclose(values, expected, rtol=1e-5, atol=1e-5)
    assert (systems["pt_k1"] >= systems["pt_k2"]).all()


def test_decays_are_isotropic_in_the_rest_frame(systems: Events) -> None:
    for parent, daughter in (("", "gamma"), ("phi", "k1")):
        mother, child = (vector.array(momentum(systems, name)) for name in (parent, daughter))
        unit = child.boostCM_of_p4(mother)
        for component in (unit.x / unit.p, unit.y / unit.p, unit.z / unit.p):
            # the harder kaon is forward; even powers do not see which of the two is taken
            assert abs((component**2).mean() - 1 / 3) < 4 * np.sqrt(4 / 45 / len(systems))
            assert abs((component**4).mean() - 1 / 5) < 4 * np.sqrt((1 / 9 - 1 / 25) / len(systems))
            if daughter == "gamma":
                assert kstest(component, "uniform", args=(-1.0, 2.0)).pvalue > 1e-3


def test_mass_of_the_meson_is_a_breit_wigner(systems: Events) -> None:
    points = np.array([0.99, 1.012, 1.017, 1.019461, 1.022, 1.028, 1.06])
    below = np.arctan((points - 1.019461) / 0.0021245)
    expected = len(systems) * np.diff(below) / (below[-1] - below[0])
    assert agree(np.histogram(systems["m_phi"], points)[0], expected)


def test_angles_between_meson_and_photon(systems: Events) -> None:
    turned = np.cos(systems["phi_phi"] - systems["phi_gamma"])
    assert np.allclose(np.cos(systems["dphi"]), turned) and (systems["dphi"] >= 0).all()
    assert np.allclose(systems["deta"], systems["eta_phi"] - systems["eta_gamma"])


@pytest.mark.parametrize("follows", ["pt_phi", "pt_gamma"])
def test_isolation_is_exponential_with_a_mean_linear_in_the_momentum(follows: str) -> None:
    isolation = Isolation(0.6, -0.002, follows)  # type: ignore[arg-type]
    rows = PhiGamma(events=60_000.0, high=150.0, isolation=isolation).draw(seed=2, region=ALL)
    unit = rows["iso_phi"] / (0.6 - 0.002 * rows[follows])
    for low, high in ((0.0, 20.0), (20.0, 40.0), (40.0, 200.0)):
        assert kstest(unit[(rows[follows] > low) & (rows[follows] < high)], "expon").pvalue > 1e-3
    other = {"pt_phi": "pt_gamma", "pt_gamma": "pt_phi"}[follows]
    wrong = rows["iso_phi"] / (0.6 - 0.002 * rows[other])
    assert kstest(wrong[rows[other] > 40.0], "expon").pvalue < 1e-3


def test_an_isolation_without_a_positive_mean_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"0\.3 -0\.01 pt_phi is not positive at pt_phi = 30"):
        PhiGamma(isolation=Isolation(0.3, -0.01)).draw(seed=1)


def test_yields_are_those_it_is_tuned_to(candidates: list[Events]) -> None:
    regions = TOY.selection
    expected = {regions.gr: 23_000.0, regions.sr: 15_920.0}
    for region, number in expected.items():
        mean = np.mean([len(one.select(region)) for one in candidates])
        # the tuning itself is known to 0.1 per cent
        assert abs(mean - number) < 4 * np.sqrt(number / len(candidates) + (1e-3 * number) ** 2)


def test_signals_are_on_the_peak_and_on_the_falling_side(candidates: list[Events]) -> None:
    edges = np.arange(70.0, 180.0, 5.0)
    counts = sum(np.histogram(one.select(TOY.selection.sr)["m"], edges)[0] for one in candidates)
    peak = edges[np.argmax(counts)] + 2.5
    assert abs(peak - 100.0) <= 7.5
    low, high = counts[edges[:-1] == 120.0], counts[edges[:-1] == 130.0]
    assert (low - high > 3 * np.sqrt(low + high)).all()
    assert (counts[edges[:-1] == 75.0] < 0.4 * counts.max()).all()


def test_regions_are_those_of_the_cuts(candidates: list[Events]) -> None:
    rows, regions = candidates[0], TOY.selection
    loose = (rows["dphi"] > np.pi / 2) & (rows["pt_phi"] > 35.0)
    line = np.interp(rows["m"], [91.0, 140.0], [40.0, 47.2])
    above, isolated = rows["pt_phi"] > line, rows["iso_phi"] < 0.5
    for region, mask in (
        (regions.gr, loose),
        (regions.vr1, loose & above),
        (regions.vr2, loose & isolated),
        (regions.sr, loose & above & isolated),
    ):
        assert np.array_equal(region.mask(rows.columns), mask)
    eta = np.abs(rows["eta_gamma"])
    assert (rows["pt_gamma"] > 35.0).all() and (eta < 2.37).all() and not ((eta > 1.37) & (eta < 1.52)).any()
    assert (rows["pt_k1"] > 20.0).all() and (rows["pt_k2"] > 15.0).all()
    assert np.abs([rows["eta_k1"], rows["eta_k2"]]).max() < 2.5
    assert (np.abs(rows["m_phi"] - 1.02) < 0.008).all()


def test_another_selection_gives_another_share_of_signal_region() -> None:
    tight = PhiGammaSelection(threshold=(60.0, 70.0), isolation=0.1)
    rows = PhiGamma(selection=tight).draw(seed=1)
    assert 0.01 < len(rows.select(tight.sr)) / len(rows.select(tight.gr)) < 0.2


def test_signal_mass_is_a_double_gaussian() -> None:
    rows = PhiGamma.signal(125.0, events=20_000.0).draw(seed=1, region=ALL)

    def below(m: Any) -> Any:
        return 0.8 * norm.cdf(m, 125.0, 1.8) + 0.2 * norm.cdf(m, 125.0, 3.6)

    assert kstest(rows["m"], below).pvalue > 1e-3


def test_scaled_expects_the_number_in_the_region() -> None:
    regions = TOY.selection
    for generator in (PhiGamma(), PhiGamma.signal(100.0)):
        counts = [len(generator.scaled(2000.0, regions.sr).draw(seed=seed).select(regions.sr)) for seed in range(10)]
        assert abs(np.mean(counts) - 2000.0) < 4 * np.sqrt(200.0 + 8.0**2)
    with pytest.raises(ConfigError, match="none of 400000 systems is a candidate in region 'nowhere'"):
        PhiGamma().scaled(1.0, Region("nowhere", "m > 1000"))


def test_a_seed_repeats_and_samples_are_independent() -> None:
    toy = PhiGamma(events=2000.0)
    assert toy.draw(seed=1).fingerprint == toy.draw(seed=1).fingerprint
    first, other = toy.draw(seed=1), toy.draw(seed=1, sample="other")
    assert not np.intersect1d(first.key, other.key).size
    assert not np.isin(first["m"], other["m"]).any()


def test_samples_hold_the_injected_signal() -> None:
    regions = TOY.selection
    plain = SAMPLES["phi_gamma"](seed=3, events=10_000.0)
    injected = SAMPLES["phi_gamma"](seed=3, events=10_000.0, injected=130.0)
    assert set(plain) == {"data", "signal"}
    more = len(injected["data"].select(regions.gr)) - len(plain["data"].select(regions.gr))
    assert abs(more - 130.0) < 4 * np.sqrt(130.0)
    rows = injected["data"]
    assert rows.samples == ("data",)
    extra = ~np.isin(rows.key, plain["data"].key)
    assert abs(np.median(rows["m"][extra]) - 125.0) < 1.0
    assert abs(plain["signal"].select(regions.sr).weight.sum() - 50.0) < 4 * 50.0 * np.hypot(1 / np.sqrt(2e4), 0.003)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Landau(scale=0.0), "scale is positive"),
        (lambda: Peak(125.0, share=1.5), "share between 0 and 1"),
        (lambda: PhiGamma(low=0.5), "2 <= low"),
        (lambda: PhiGamma(pt_width=(10.0, -0.1)), "not positive from 50 to 400"),
        (lambda: PhiGammaSelection(rise=(140.0, 91.0)), "rises with the mass"),
    ],
)
def test_impossible_settings_are_refused(make: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        make()


def four(rows: Events, name: str) -> tuple[np.ndarray, ...]:
    masses = {"phi": rows["m_phi"], "gamma": np.zeros(len(rows))}
    kaon = np.full(len(rows), 0.493677)
    return rows[f"pt_{name}"], rows[f"eta_{name}"], rows[f"phi_{name}"], masses.get(name, kaon)


def momentum(rows: Events, name: str) -> Mapping[str, np.ndarray]:
    parts = four(rows, name) if name else (rows["pt"], rows["eta"], rows["phi"], rows["m"])
    return dict(zip(("pt", "eta", "phi", "mass"), parts, strict=True))
