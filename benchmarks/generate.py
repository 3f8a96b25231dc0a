"""The event generator's rates and the numbers by which its samples are judged: ``make validate NAME=generate``.

Every case is generated anew, with a fixed seed, into ``benchmarks/.validate/generate``; its record in
``benchmarks/results/generate.json`` is replaced when it is done, so single cases can be repeated:
``python -m benchmarks.generate zee``. The references are samples made earlier with the same generator version and other
detector code. ``--tables`` prints the tables of ``docs/generate.md``.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from backdrop.generate import CASES, Detector, Generated, generate
from backdrop.generate.cases import settings
from backdrop.generate.objects import Final, Jets, cluster, deposits, final, measured, same_event
from backdrop.generate.pythia import Record, Run
from backdrop.kinematics import delta_r, ring, x_hh
from backdrop.tasks import stream, write_atomic

from .harness import RESULTS, machine, versions

KEPT = Path(__file__).resolve().parent / ".validate" / "generate"
SEED = 20_264
RATE, SIGMAS = 1.5, 4.0
"""How much slower than the reference a case may be, and how far off a number may lie, in its standard errors."""

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


def record_of(name: str) -> dict[str, Any]:
    """Generate a case and return its record: what it took, and what its events say."""
    sample, path = SAMPLES[name], KEPT / f"{name}.parquet"
    done = generate(name, events=sample.events, seed=SEED, out=path, overwrite=True)
    table = pq.read_table(path)
    columns = {column: table[column].to_numpy() for column in table.column_names}
    fields = "what", "value", "error", "reference", "reference_error"
    numbers = [dict(zip(fields, row, strict=True)) for row in sample.numbers(columns, dict(done.metadata))]
    return {
        "case": name,
        "title": CASES[name].title,
        **_rates(done, sample),
        "numbers": [{key: _rounded(value) for key, value in one.items()} | {"off": off(one)} for one in numbers],
        "machine": machine(),
        "date": datetime.now(UTC).date().isoformat(),
        "versions": versions(("awkward", "fastjet", "pyarrow", "pythia8mc")),
    }


def _rates(done: Generated, sample: Sample) -> dict[str, Any]:
    counts = {key: value for key, value in asdict(done).items() if key in ("events", "rows", "n_generated")}
    return counts | {
        "seed": SEED,
        "cpu_s": _rounded(done.cpu_s),
        "generated_per_cpu_s": _rounded(done.generated_per_cpu_s),
        "rows_per_cpu_hour": _rounded(done.rows_per_cpu_hour),
        "reference_generated_per_cpu_s": sample.generated_per_cpu_s,
        "reference_rows_per_cpu_hour": sample.rows_per_cpu_hour,
    }


def _rounded(value: Any) -> Any:
    return float(f"{value:.5g}") if isinstance(value, float) else value


def off(number: dict[str, Any]) -> float | None:
    """Return how far a number lies from its reference, in standard errors of the difference."""
    if number["reference"] is None:
        return None
    error = np.hypot(number["error"], number["reference_error"])
    return round(float((number["value"] - number["reference"]) / error), 2)


def faults(record: dict[str, Any]) -> Iterator[str]:
    """Yield what is wrong with a record: rates too low, numbers too far off."""
    slower = max(record[f"reference_{key}"] / record[key] for key in ("generated_per_cpu_s", "rows_per_cpu_hour"))
    if slower > RATE:
        yield f"{record['case']}: {slower:.2f} times slower than the reference"
    for one in record["numbers"]:
        if one["off"] is not None and abs(one["off"]) > SIGMAS:
            yield f"{record['case']}: {one['what']} is {one['value']:.4g}, {one['off']:+.1f} sigma off"


def rates_table(records: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yield the lines of the table of rates."""
    yield "| case | what it is | generated per CPU second | rows per CPU hour | of the reference's rate |"
    yield "|---|---|---|---|---|"
    for one in records:
        share = one["rows_per_cpu_hour"] / one["reference_rows_per_cpu_hour"]
        generated, rows = (f"{float(f'{one[key]:.2g}'):,.0f}" for key in ("generated_per_cpu_s", "rows_per_cpu_hour"))
        yield f"| `{one['case']}` | {one['title']} | {generated} | {rows} | {share:.2f} |"


def detector_table() -> Iterator[str]:
    """Yield the lines of the table of the detector's parameters."""
    yield "| parameter | value | unit | meaning | reference |"
    yield "|---|---|---|---|---|"
    for name, value, unit, meaning, reference in Detector().table():
        shown = str(value).strip("()") if isinstance(value, tuple) and not isinstance(value[0], tuple) else str(value)
        cells = shown, unit, meaning, reference
        yield f"| `{name}` | {' | '.join(cell.replace('|', '∣') for cell in cells)} |"


def performance_table(records: Mapping[str, dict[str, Any]]) -> Iterator[str]:
    """Yield the lines of the table that compares with published performance."""
    detector = Detector()
    of_w = {one["what"]: one for one in records["w-jets"]["numbers"]}
    jets = [f"{100 * of_w[f'jet pT resolution at {pt} GeV']['value']:.1f} %" for pt in (20, 300)]
    muons = [f"{100 * float(detector.muon_resolution(45.0, eta)):.1f} %" for eta in (0.1, 2.3)]
    tags = detector.tag_leptons
    electrons = detector.electron_efficiency * float(detector.electron_identification(45.0))
    kept = [_number(records[name], "identified and isolated, prompt muons") for name in ("ttbar", "w-jets")]
    stochastic, constant = detector.electromagnetic
    yield "| quantity | here | published by ATLAS | reference |"
    yield "|---|---|---|---|"
    yield f"| σ(pT)/pT of muons from Z, central | {muons[0]} | 2.3 % | arXiv:1603.05598 |"
    yield f"| the same at ∣η∣ > 2.2 | {muons[1]} | 2.9 % | arXiv:1603.05598 |"
    yield f"| prompt muons kept by isolation: tt̄, W | {', '.join(kept)} | 93–100 %, by selection | arXiv:1603.05598 |"
    yield f"| tight of electrons, 45 GeV | {100 * electrons:.0f} % | 80 % on average | arXiv:1902.04655 |"
    energy = f"{100 * stochastic:.0f} %/√E ⊕ {100 * constant:.1f} %"
    yield f"| σ(E)/E of electrons and photons | {energy} | 10 %/√E ⊕ 0.7 % (design) | JINST 3 (2008) S08003 |"
    yield f"| σ(pT)/pT of jets, 20 GeV | {jets[0]} | 24 ± 1.5 % | arXiv:2007.02645 |"
    yield f"| the same at 300 GeV | {jets[1]} | 6 ± 0.5 % | arXiv:2007.02645 |"
    rejections = f"{1 / tags[2]:.0f}, {1 / tags[1]:.0f}"
    yield f"| rejection of light, c jets at {100 * tags[0]:.0f} % b-tag | {rejections} | 170, 5 | arXiv:2211.16345 |"


def _number(record: dict[str, Any], what: str) -> str:
    (value,) = (one["value"] for one in record["numbers"] if one["what"] == what)
    return f"{100 * value:.0f} %"


def numbers_table(records: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yield the lines of the table of numbers."""
    yield "| case | number | here | reference | off by |"
    yield "|---|---|---|---|---|"
    for record in records:
        for one in record["numbers"]:
            here = _with_error(one["value"], one["error"])
            known = "" if one["off"] is None else _with_error(one["reference"], one["reference_error"])
            far = "" if one["off"] is None else f"{one['off']:+.1f} σ"
            yield f"| {record['case']} | {one['what']} | {here} | {known} | {far} |"


def _with_error(value: float, error: float) -> str:
    if error == 0.0:
        return f"{value:.4g}"
    digits = int(np.clip(1 - np.floor(np.log10(error)), 0, 7))
    return f"{value:.{digits}f} ± {error:.{digits}f}"


def tables(records: Mapping[str, dict[str, Any]]) -> Iterator[Iterator[str]]:
    """Yield the tables of the documentation."""
    listed = [*records.values()]
    yield from (rates_table(listed), detector_table(), performance_table(records), numbers_table(listed))


def known() -> dict[str, dict[str, Any]]:
    """Return the records of earlier runs, by case."""
    path = RESULTS / "generate.json"
    return {one["case"]: one for one in json.loads(path.read_text())} if path.exists() else {}


def main(names: Sequence[str]) -> int:
    """Measure the cases named, or all; 1 if one is too slow or a number too far off."""
    found, wrong = known(), []
    for name in names or SAMPLES:
        found[name] = record_of(name)
        ordered = [found[one] for one in SAMPLES if one in found]
        write_atomic(RESULTS / "generate.json", (json.dumps(ordered, indent=1, ensure_ascii=False) + "\n").encode())
        print(*numbers_table([found[name]]), *rates_table([found[name]]), sep="\n", flush=True)
        wrong += faults(found[name])
    print(*wrong, sep="\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.generate", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="CASE", help="cases to measure (default: all)")
    parser.add_argument("--tables", action="store_true", help="print the tables of the documentation and stop")
    given = parser.parse_args()
    if unknown := set(given.names) - set(SAMPLES):
        parser.error(f"no case {', '.join(sorted(unknown))}; cases: {', '.join(SAMPLES)}")
    if given.tables:
        for lines in tables(known()):
            print(*lines, "", sep="\n")
        sys.exit(0)
    sys.exit(main(given.names))
