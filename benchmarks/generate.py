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
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from backdrop.generate import CASES, Detector, Generated, generate
from backdrop.tasks import write_atomic

from .harness import RESULTS, machine, versions
from .samples import SAMPLES, SEED, Sample

KEPT = Path(__file__).resolve().parent / ".validate" / "generate"
RATE, SIGMAS = 1.5, 4.0
"""How much slower than the reference a case may be, and how far off a number may lie, in its standard errors."""


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
    identified = f"identified ({100 * detector.muon_prompt:.0f} %) and isolated"
    yield f"| prompt muons {identified}: tt̄, W | {', '.join(kept)} | isolated 93–100 % | arXiv:1603.05598 |"
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
