"""The numbers by which generated samples are judged, beside those of reference samples."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from backdrop.generate import CASES, Detector
from backdrop.generate.cases import settings
from backdrop.generate.objects import Final, Jets, cluster, deposits, final, measured, same_event
from backdrop.generate.pythia import Record, Run
from backdrop.kinematics import delta_r, ring, x_hh
from backdrop.tasks import stream

SEED = 20_264

Columns = dict[str, np.ndarray]
Row = tuple[str, float, float, float | None, float]
"""What, value, error, reference, its error."""


@dataclass(frozen=True)
class Sample:
    """How many events are generated for the numbers, and the reference's rates."""

    events: int
    generated_per_cpu_s: float
    rows_per_cpu_hour: float
    numbers: Callable[[Columns, dict], Iterator[Row]]


def share(passed: np.ndarray) -> tuple[float, float]:
    p, n = float(passed.mean()), len(passed)
    return p, float(np.sqrt(max(p * (1 - p), 1 / n) / n))


def of(count: float, total: float) -> tuple[float, float]:
    return count / total, float(np.sqrt(max(count, 1)) / total)


def median(x: np.ndarray) -> tuple[float, float]:
    low, middle, high = np.percentile(x, [16, 50, 84])
    return float(middle), float(1.25 * (high - low) / 2 / np.sqrt(len(x)))


def spread(x: np.ndarray) -> tuple[float, float]:
    return float(x.std()), float(x.std() / np.sqrt(2 * len(x)))


def correlation(x: np.ndarray, y: np.ndarray, rank: bool = False) -> tuple[float, float]:
    if rank:
        x, y = (np.argsort(np.argsort(v)) for v in (x, y))
    r = float(np.corrcoef(x, y)[0, 1])
    return r, float((1 - r * r) / np.sqrt(len(x)))


def gamma_jet(c: Columns, m: dict) -> Iterator[Row]:
    n, made = m["n_generated"], 1_816_000
    yield "cross section after the veto [pb]", m["sigma_pb"], m["sigma_error_pb"], 29106.0, 20.0
    region = (c["m_phi"] > 0.99) & (c["m_phi"] < 1.06)
    threshold = c["pt_phi"] > 24 + 5 * np.clip((c["m_phig"] - 70) / 70, 0, 1)
    isolated = c["iso_phi"] < 0.5
    every = np.ones(len(region), bool)
    for name, chosen, reference in (
        ("all rows / generated", every, 27832),
        ("GR / generated", region, 14189),
        ("VR1 / generated", region & threshold, 7357),
        ("VR2 / generated", region & isolated, 7360),
        ("SR / generated", region & threshold & isolated, 4468),
        ("SR of the wide window / generated", threshold & isolated, 9881),
    ):
        yield name, *of(chosen.sum(), n), *of(reference, made)
    yield "pairs of true kaons", *share(c["is_kk"]), *of(0.0975 * 27832, 27832)
    yield "true phi", *share(c["true_phi"]), *of(0.0359 * 27832, 27832)
    yield "median m(phi gamma) [GeV]", *median(c["m_phig"]), 92.87, 0.25
    histogram, edges = np.histogram(c["m_phig"], np.arange(45, 151, 7.5))
    yield "highest bin of m(phi gamma) [GeV]", float(edges[histogram.argmax()] + 3.75), 3.75, 70.0, 10.0
    yield "corr(pT gamma, isolation)", *correlation(c["pt_g"], c["iso_phi"]), 0.50, 0.02
    yield "corr(pT phi, pT gamma)", *correlation(c["pt_phi"], c["pt_g"]), 0.30, 0.02


def h_phigamma(c: Columns, m: dict) -> Iterator[Row]:
    core = c["m_phig"][np.abs(c["m_phig"] - 125) < 5]
    yield "selected / generated", *of(m["n_selected"], m["n_generated"]), 4305 / 11000, 0.0047
    yield "peak of m(phi gamma) [GeV]", *median(core), 125.03, 0.025
    yield "its width, within 5 GeV [GeV]", *spread(core), 1.227, 0.013
    yield "true phi", *share(c["true_phi"]), 0.978, 0.002


def z_jets(c: Columns, m: dict) -> Iterator[Row]:
    n, made = m["n_generated"], 254_500
    yield "cross section after the veto [pb]", m["sigma_pb"], m["sigma_error_pb"], 318.1, 0.6
    mass = c["m_mumuj"]
    signal = (mass > 123) & (mass < 135)
    yield "rows / generated", *of(len(mass), n), *of(10615, made)
    yield "SR / generated", *of(signal.sum(), n), *of(2331, made)
    yield "side bands / generated", *of(((mass > 90) & (mass < 190) & ~signal).sum(), n), *of(6841, made)
    yield "rows below 103 GeV", *of((mass < 103).sum(), len(mass)), *of(1, 10615)
    wide = (mass > 90) & (mass < 190)
    yield "Spearman(m, U1)", *correlation(mass[wide], c["U1_07"][wide], rank=True), -0.145, 0.01
    yield "Spearman(m, jet pT)", *correlation(mass[wide], c["jet_pt"][wide], rank=True), 0.62, 0.01
    yield "median m(mumu) [GeV]", *median(c["m_mumu"]), 90.88, 0.03


def h_za(c: Columns, m: dict) -> Iterator[Row]:
    mass = c["m_mumuj"]
    yield "selected / generated", *of(m["n_selected"], m["n_generated"]), *of(1561, 10000)
    yield "in 123-135 GeV", *share((mass > 123) & (mass < 135)), 0.750, 0.011
    yield "both tracks from a", *share(c["trk_from_a"]), 0.918, 0.007
    yield "peak of m(mumu j), tracks from a [GeV]", *median(mass[c["trk_from_a"]]), 124.95, 0.09


Efficiencies = dict[tuple[int, int], tuple[float, float]]
"""Value and error by flavour and origin."""


def leptons(
    c: Columns, m: dict, rate: tuple[float | None, float], isolated: Efficiencies, tight: Efficiencies
) -> Iterator[Row]:
    """Compare what does not depend on d0, where the references know no flights; `tight` for prompt leptons only."""
    yield "leptons / generated", *of(m["n_rows"], m["n_generated"]), *rate
    origin = {0: "prompt", 1: "from tau", 2: "from b", 3: "from c"}
    for (flavour, source), (reference, error) in isolated.items():
        chosen = (c["flavour"] == flavour) & (c["origin"] == source)
        name = f"{origin[source]} {'electrons' if flavour == 11 else 'muons'}"
        yield f"identified and isolated, {name}", *share((c["id_ok"] & c["iso_ok"])[chosen]), reference, error
        yield f"tight, {name}", *share(c["tight"][chosen]), *tight.get((flavour, source), (None, 0.0))
    _, first = np.unique(c["event"], return_index=True)
    yield "mean of w_nlo", float(c["w_nlo"][first].mean()), float(c["w_nlo"][first].std() / len(first) ** 0.5), 1.0, 0.0


def ttbar(c: Columns, m: dict) -> Iterator[Row]:
    isolated = {(11, 0): (0.80, 0.01), (13, 0): (0.92, 0.01), (11, 2): (0.016, 0.003), (13, 2): (0.032, 0.004)}
    yield from leptons(c, m, (0.48, 0.01), isolated, {(11, 0): (0.80, 0.005), (13, 0): (0.91, 0.005)})
    yield "negative weights, of leptons", *share(c["w_nlo"] < 0), 0.22, 0.002


def ttbar_hf(c: Columns, m: dict) -> Iterator[Row]:
    isolated = {
        (11, 0): (0.8098, 0.0033),
        (13, 0): (0.9191, 0.0021),
        (11, 2): (0.0240, 0.0015),
        (13, 2): (0.0322, 0.0016),
    }
    yield from leptons(c, m, (None, 0.0), isolated, {})
    yield "negative weights, of leptons", *share(c["w_nlo"] < 0), 0.2175, 0.002


def w_jets(c: Columns, m: dict) -> Iterator[Row]:
    isolated = {
        (11, 0): (0.8292, 0.0061),
        (13, 0): (0.9575, 0.0030),
        (11, 1): (0.8261, 0.0192),
        (13, 1): (0.9521, 0.0095),
    }
    yield from leptons(c, m, (0.426, 0.0044), isolated, {(11, 0): (0.826, 0.006), (13, 0): (0.951, 0.003)})
    yield from _jet_resolution()


def _jet_resolution() -> Iterator[Row]:
    """Yield the half-width of measured over true pT of central jets of the same particles, at a few momenta."""
    detector, rng, found = Detector(), stream(SEED, "jets"), []
    process = [line for line in settings(CASES["w-jets"]) if "pTHatMin" not in line]
    for least, events in ((15, 6000), (60, 2000), (250, 2000)):
        for record in Run((*process, f"PhaseSpace:pTHatMin = {least}"), SEED).batches(events):
            particles = final(record, ~np.isin(np.abs(record.id), (12, 13, 14, 16)))
            factor = deposits(record, particles, detector, rng)
            true, seen = (_jets(record, particles, scale) for scale in ((factor > 0).astype(float), factor))
            i, j = same_event(true.event, seen.event)
            near = delta_r(true.eta[i], true.phi[i], seen.eta[j], seen.phi[j]) < 0.2
            near &= np.abs(true.eta[i]) < 0.8
            found.append((true.pt[i[near]], seen.pt[j[near]] / true.pt[i[near]]))
    pt, response = (np.concatenate(column) for column in zip(*found, strict=True))
    for middle in (20, 100, 300):
        inside = response[np.abs(pt / middle - 1) < 0.1]
        low, high = np.percentile(inside, [16, 84])
        yield (
            f"jet pT resolution at {middle} GeV",
            float(high - low) / 2,
            float(high - low) / len(inside) ** 0.5,
            None,
            0.0,
        )


def _jets(record: Record, particles: Final, factor: np.ndarray) -> Jets:
    hit, momentum = measured(record, particles, factor)
    return cluster(particles.event[hit], momentum, Detector().jet_radius, 8.0)


def heavy_flavour(c: Columns, m: dict) -> Iterator[Row]:
    yield from leptons(c, m, (None, 0.0), {(11, 2): (0.0792, 0.0106), (13, 2): (0.1319, 0.0118)}, {})


def _mass_plane(c: Columns, m: dict, counts: tuple[int, int], made: int) -> Iterator[Row]:
    yield "rows / generated", *of(len(c["m_hh"]), m["n_generated"]), *of(counts[0], made)
    yield "X_HH < 1.6 / rows", *share(x_hh(c["m_h1"], c["m_h2"]) < 1.6), *of(counts[1], counts[0])


def four_jet(c: Columns, m: dict) -> Iterator[Row]:
    yield from _mass_plane(c, m, (9763, 162), 228_000)
    yield (
        "ring < 45 GeV, X_HH > 1.6 / rows",
        *share((ring(c["m_h1"], c["m_h2"]) < 45) & (x_hh(c["m_h1"], c["m_h2"]) >= 1.6)),
        *of(641, 9763),
    )
    references = (2, 0.35013, 0.00015), (3, 0.16339, 0.00029), (4, 0.028803, 0.000093)
    for tags, reference, reference_error in references:
        p = c[f"p_{tags}tag"].astype(float)
        mean, error = float(p.mean()), float(p.std() / len(p) ** 0.5)
        yield f"mean p_{tags}tag", mean, error, reference, reference_error
        yield (
            f"{tags} tags: drawn minus expected, in sigma",
            float(((c["n_tag"] == tags).sum() - p.sum()) / np.sqrt((p * (1 - p)).sum())),
            1.0,
            0.0,
            1.0,
        )


def four_jet_bb(c: Columns, m: dict) -> Iterator[Row]:
    yield from _mass_plane(c, m, (6416, 130), 247_519)
    for tags, reference in ((3, 2.40e-3), (4, 2.3e-4)):
        yield (
            f"{tags} tags / generated",
            *of((c["n_tag"] >= tags if tags == 4 else c["n_tag"] == tags).sum(), m["n_generated"]),
            reference,
            0.1 * reference,
        )


def hh_4b(c: Columns, m: dict) -> Iterator[Row]:
    yield from _mass_plane(c, m, (12044, 1246), 25_171)
    yield "median m_h1 [GeV]", *median(c["m_h1"]), 112.1, 0.4
    yield "median m_h2 [GeV]", *median(c["m_h2"]), 122.1, 0.6
    yield "4 tags or more", *share(c["n_tag"] >= 4), *of(2726, 12044)


def zee(c: Columns, m: dict) -> Iterator[Row]:
    same = c["same_sign"]
    flips = np.concatenate([c["e1_flip"], c["e2_flip"]])
    chance = np.concatenate([c["e1_eps"], c["e2_eps"]]).astype(float)
    yield "same sign", *share(same), 314 / 62618, 314**0.5 / 62618
    yield "flips drawn / expected", *of(flips.sum(), chance.sum()), *of(320, 357)
    yield "median m(ee), opposite sign [GeV]", *median(c["m_ee"][~same]), 90.9, 0.05
    yield "median m(ee), same sign [GeV]", *median(c["m_ee"][same]), 89.4, 0.2
    pt, eta = (np.concatenate([c[f"e{k}_{x}"] for k in (1, 2)]).astype(float) for x in ("pt", "eta"))
    table = Detector().flipped(pt, eta)
    yield "flips / table at the measured pT", *of(flips.sum(), table.sum()), None, 0.0


SAMPLES = {
    "gamma-jet": Sample(3000, 1370, 76e3, gamma_jet),
    "h-phigamma": Sample(8000, 720, 1.0e6, h_phigamma),
    "z-jets": Sample(4000, 1040, 156e3, z_jets),
    "h-za": Sample(5000, 660, 370e3, h_za),
    "ttbar": Sample(6000, 380, 650e3, ttbar),
    "ttbar-hf": Sample(24_000, 460, 2.07e6, ttbar_hf),
    "w-jets": Sample(10_000, 640, 980e3, w_jets),
    "heavy-flavour": Sample(3000, 700, 126e3, heavy_flavour),
    "four-jet": Sample(8000, 2270, 350e3, four_jet),
    "four-jet-bb": Sample(6000, 1750, 164e3, four_jet_bb),
    "hh-4b": Sample(16_000, 1280, 2.2e6, hh_4b),
    "zee": Sample(100_000, 2680, 4.4e6, zee),
}
