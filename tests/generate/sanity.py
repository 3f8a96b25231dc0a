"""Print the numbers by which generated samples are judged, each with its error beside its reference.

    python tests/generate/sanity.py FOLDER

The folder holds CASE.parquet files, such as ``backdrop generate CASE --events N --seed 1 --out FOLDER/CASE.parquet``
makes; cases that are absent are left out. The references are samples that were made with the same generator version.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from backdrop.generate import Detector
from backdrop.kinematics import ring, x_hh

Columns = dict[str, np.ndarray]
Row = tuple[str, float, float, float | None, float]
"""What, value, error, reference, its error."""


def load(path: Path) -> tuple[Columns, dict]:
    table = pq.read_table(path)
    return {name: table[name].to_numpy() for name in table.column_names}, json.loads(table.schema.metadata[b"gen"])


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


def leptons(
    c: Columns, m: dict, rate: tuple[float, float], tight: dict[tuple[int, int], tuple[float, float]]
) -> Iterator[Row]:
    yield "leptons / generated", *of(m["n_rows"], m["n_generated"]), *rate
    origin = {0: "prompt", 1: "from tau", 2: "from b", 3: "from c"}
    for (flavour, source), (reference, error) in tight.items():
        chosen = (c["flavour"] == flavour) & (c["origin"] == source)
        if chosen.sum() < 10:
            continue
        name = f"{origin[source]} {'electrons' if flavour == 11 else 'muons'}"
        yield f"tight, {name}", *share(c["tight"][chosen]), reference, error
        if source == 2:
            without = c["id_ok"] & c["iso_ok"]
            yield f"tight without the cut on d0, {name}", *share(without[chosen]), reference, error
    _, first = np.unique(c["event"], return_index=True)
    yield "mean of w_nlo", float(c["w_nlo"][first].mean()), float(c["w_nlo"][first].std() / len(first) ** 0.5), 1.0, 0.0


def ttbar(c: Columns, m: dict) -> Iterator[Row]:
    yield from leptons(
        c,
        m,
        (0.48, 0.01),
        {(11, 0): (0.80, 0.005), (13, 0): (0.91, 0.005), (11, 2): (0.016, 0.003), (13, 2): (0.032, 0.004)},
    )
    yield "negative weights, of leptons", *share(c["w_nlo"] < 0), 0.22, 0.002


def ttbar_hf(c: Columns, m: dict) -> Iterator[Row]:
    tight = {(11, 0): (0.803, 0.003), (13, 0): (0.908, 0.002), (11, 2): (0.0238, 0.0015), (13, 2): (0.0318, 0.0016)}
    yield from leptons(c, m, (1.238, 0.006), tight)
    yield "negative weights, of leptons", *share(c["w_nlo"] < 0), 0.2175, 0.002
    for name, chosen, reference in _same_sign(c):
        yield f"{name} / generated", *of(chosen, m["n_generated"]), *of(reference, 42000)


def _same_sign(c: Columns) -> Iterator[tuple[str, int, int]]:
    """Yield the same-sign pairs of the two leading leptons of an event, by how many are tight."""
    start = np.flatnonzero(np.diff(c["event"], prepend=c["event"][0] - 1))
    two = start[
        (c["n_loose"][start] >= 2) & (c["charge"][start] == c["charge"][np.minimum(start + 1, len(c["pt"]) - 1)])
    ]
    tight = c["tight"][two].astype(int) + c["tight"][two + 1]
    for name, number, reference in (("same-sign TT", 2, 136), ("same-sign TL", 1, 4740), ("same-sign LL", 0, 979)):
        yield name, int((tight == number).sum()), reference


def w_jets(c: Columns, m: dict) -> Iterator[Row]:
    tight = {(11, 0): (0.826, 0.006), (13, 0): (0.951, 0.003), (11, 1): (0.826, 0.019), (13, 1): (0.946, 0.010)}
    yield from leptons(c, m, (0.426, 0.0044), tight)


def heavy_flavour(c: Columns, m: dict) -> Iterator[Row]:
    yield from leptons(c, m, (0.0496, 0.0011), {(11, 2): (0.078, 0.011), (13, 2): (0.129, 0.012)})
    yield "negative weights, of leptons", *share(c["w_nlo"] < 0), 0.105, 0.007


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
    for tags, reference in ((2, 3418.3), (3, 1595.2), (4, 281.2)):
        p = c[f"p_{tags}tag"].astype(float)
        yield (
            f"mean p_{tags}tag",
            float(p.mean()),
            float(p.std() / len(p) ** 0.5),
            reference / 9763,
            0.002 * reference / 9763,
        )
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


CASES: dict[str, Callable[[Columns, dict], Iterator[Row]]] = {
    "gamma-jet": gamma_jet,
    "h-phigamma": h_phigamma,
    "z-jets": z_jets,
    "h-za": h_za,
    "ttbar": ttbar,
    "ttbar-hf": ttbar_hf,
    "w-jets": w_jets,
    "heavy-flavour": heavy_flavour,
    "four-jet": four_jet,
    "four-jet-bb": four_jet_bb,
    "hh-4b": hh_4b,
    "zee": zee,
}


def main(folder: Path) -> None:
    print("| case | number | here | reference | off by |\n|---|---|---|---|---|")
    for name, numbers in CASES.items():
        path = folder / f"{name}.parquet"
        if not path.exists():
            continue
        for what, value, error, reference, reference_error in numbers(*load(path)):
            if reference is None:
                print(f"| {name} | {what} | {value:.4g} ± {error:.2g} | | |")
                continue
            off = (value - reference) / np.hypot(error, reference_error)
            known = f"{reference:.4g} ± {reference_error:.2g}"
            print(f"| {name} | {what} | {value:.4g} ± {error:.2g} | {known} | {off:+.1f} σ |")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
