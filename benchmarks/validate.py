"""Long physics ensembles, shard by shard: ``python -m benchmarks.validate NAME --budget 90m``.

Finished toys are kept in ``benchmarks/.validate/NAME``; a later run goes on from there. The result so far is written to
``benchmarks/results/validate_NAME.json`` after every step.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import hist
import numpy as np

from backdrop import Channel, Setup
from backdrop.methods.abcd import Plane
from backdrop.methods.efficiency import Efficiency
from backdrop.methods.fake_factor import FakeFactor
from backdrop.methods.likelihood_abcd import LikelihoodABCD
from backdrop.methods.matrix import MatrixMethod
from backdrop.methods.transfer import Binned
from backdrop.synthetic import GaussianPlane, Leptons
from backdrop.tasks import Map, pool, write_atomic
from backdrop.validation import Coverage, coverage

from .flips import TWELVE, FlipEnsemble
from .four_b_ensemble import FOUR_B
from .harness import RESULTS, machine, versions
from .intervals import IntervalEnsemble
from .leptons import LikelihoodEnsemble, MatrixEnsemble
from .phi_gamma_ensemble import ENSEMBLES
from .signals import SIGNALS
from .signed import SignedEnsemble, SignedToy

KEPT = Path(__file__).resolve().parent / ".validate"
STEP = 100


class Validation(Protocol):
    """What can be validated, step by step."""

    @property
    def title(self) -> str:
        """What it is."""
        ...

    def records(self, spread: Map, home: Path) -> Iterator[dict[str, Any]]:
        """Yield the result after every step; `toys`, `of` and `met` say how far it is, and whether it holds."""
        ...


@dataclass(frozen=True)
class PullEnsemble:
    """An ensemble: how to draw a toy, its truth, how many toys, and the bands of the pull mean and width."""

    title: str
    make: Callable[[int], Setup]
    channels: tuple[Channel, ...]
    truth: np.ndarray
    seed: int
    replicas: int
    toys: int
    mean: tuple[float, float]
    width: tuple[float, float]
    bins: bool = True
    """Whether the bins are held to the bands, too: not where they expect fewer than 2000 counts (a ratio's pull)."""

    def records(self, spread: Map, home: Path) -> Iterator[dict[str, Any]]:
        """Yield the pulls so far."""
        for toys in range(STEP, self.toys + 1, STEP):
            found = coverage(
                self.make, self.channels, self.truth, toys=toys, seed=self.seed, replicas=self.replicas, map=spread,
                directory=home,
            )  # fmt: skip
            yield self._record(found)

    def _record(self, found: Coverage) -> dict[str, Any]:
        return {
            "title": self.title,
            "toys": found.toys,
            "of": self.toys,
            "replicas": self.replicas,
            "seed": self.seed,
            "bands": {"mean": self.mean, "width": self.width},
            "bins_held": self.bins,
            "met": found.meets(self.mean, self.width, bins=self.bins),
            "pulls": [
                {
                    "quantity": quantity,
                    "mean": round(float(table.mean[i]), 4),
                    "mean_error": round(float(table.mean_error[i]), 4),
                    "width": round(float(table.width[i]), 4),
                    "width_error": round(float(table.width_error[i]), 4),
                }
                for table in (found.yields, found.bins)
                for i, quantity in enumerate(table.names)
            ],
        }


PLANE = Plane("x1", "x2", 0.0, 0.0)
MASS = hist.axis.Regular(4, 100, 200, name="m", label=r"$m$ [GeV]")
TOY = GaussianPlane(fakes=12_000, reals=2_000)
SIMULATION = GaussianPlane(fakes=0, reals=10_000)


def plane_minus_reals(seed: int) -> Setup:
    """Fakes and reals, the reals subtracted by a simulation of five times their size."""
    simulated = SIMULATION.draw(seed=seed, sample="reals", weight=0.2)
    return Setup(PLANE.abcd(), TOY.draw(seed=seed) - simulated)


def binned_plane(seed: int) -> Setup:
    """Fakes alone, the transfer factor measured per mass bin."""
    return Setup(PLANE.abcd(Binned(MASS)), GaussianPlane(fakes=40_000, reals=0).draw(seed=seed))


def likelihood_minus_reals(seed: int) -> Setup:
    """The same sample as `plane_minus_reals`, for the likelihood."""
    setup, roles = plane_minus_reals(seed), PLANE.abcd()
    return replace(setup, method=LikelihoodABCD(roles.target, roles.source, roles.control))


def _abcd(fakes: GaussianPlane) -> np.ndarray:
    return fakes.expected(0.0, 0.0)["A"] * fakes.mass_shares(np.asarray(MASS.edges))


LEPTONS = Leptons({"RR": 5000.0, "RF": 8000.0, "FR": 6000.0, "FF": 30_000.0}, single_fakes=40_000.0)
MET = hist.axis.Variable([0, 20, 50, 1000], name="met", label=r"$E_T^{miss}$ [GeV]")


def measured_efficiencies(seed: int) -> Setup:
    """Pairs of leptons, r from Z decays and f from single leptons less prompt ones, a tenth of weights negative."""
    axes = LEPTONS.maps()[0].axes
    real = Efficiency(LEPTONS.z_region, axes, tag="iso < 0.15", sample="data")
    method = MatrixMethod(LEPTONS.objects, real, Efficiency(LEPTONS.fake_region, axes), sample="data")
    return Setup(method, LEPTONS.draw(seed=seed) - LEPTONS.simulation(seed=seed, size=2.0, negative=0.1))


def measured_factor(seed: int) -> Setup:
    """The same pairs; the fake factor from single leptons, prompt leptons subtracted there and where it is applied."""
    toy = replace(LEPTONS, z=0.0)
    method = FakeFactor(toy.objects, Efficiency(toy.fake_region, toy.maps()[0].axes))
    return Setup(method, toy.draw(seed=seed) - toy.simulation(seed=seed, size=2.0, negative=0.1))


def _fake_pairs() -> np.ndarray:
    number = sum(LEPTONS.expected(truth, "TT") for truth in ("RF", "FR", "FF"))
    return number * LEPTONS.off_z * LEPTONS.met_shares(np.asarray(MET.edges))


VALIDATIONS: Mapping[str, Validation] = {
    "abcd": PullEnsemble(
        "ABCD, reals subtracted, 3000 expected fakes in each region: yield and four mass bins",
        plane_minus_reals,
        (Channel("SR", PLANE.region, (MASS,)),),
        _abcd(TOY),
        seed=20_260,
        replicas=100,
        toys=2000,
        mean=(0.0, 0.0),
        width=(1.0, 1.0),
    ),
    "abcd_binned": PullEnsemble(
        "ABCD with a transfer factor per mass bin, 10 000 expected fakes in each region",
        binned_plane,
        (Channel("SR", PLANE.region, (MASS,)),),
        _abcd(GaussianPlane(fakes=40_000, reals=0)),
        seed=20_261,
        replicas=100,
        toys=2000,
        mean=(0.0, 0.0),
        width=(1.0, 1.0),
    ),
    "likelihood_abcd": PullEnsemble(
        "Likelihood ABCD, reals subtracted, 3000 expected fakes in each region: yield and four mass bins",
        likelihood_minus_reals,
        (Channel("SR", PLANE.region, (MASS,)),),
        _abcd(TOY),
        seed=20_262,
        replicas=0,
        toys=2000,
        mean=(0.0, 0.0),
        width=(1.0, 1.0),
        bins=False,
    ),
    "abcd_intervals": IntervalEnsemble(
        "Likelihood ABCD: coverage of its intervals for equal expected counts in B, C and D",
        counts=(5.0, 10.0, 20.0, 50.0, 200.0, 1000.0, 10_000.0),
        seed=20_263,
        toys=2000,
    ),
    "matrix_measured": PullEnsemble(
        "Matrix method, both efficiencies measured: yield and three bins of missing momentum",
        measured_efficiencies,
        (Channel("SR", LEPTONS.pairs_region, (MET,)),),
        _fake_pairs(),
        seed=20_265,
        replicas=64,
        toys=2000,
        mean=(0.0, 0.0),
        width=(1.0, 1.0),
    ),
    "fake_factor": PullEnsemble(
        "Fake factor measured in single leptons, prompt leptons subtracted: yield and three bins of missing momentum",
        measured_factor,
        (Channel("SR", LEPTONS.pairs_region, (MET,)),),
        _fake_pairs(),
        seed=20_267,
        replicas=64,
        toys=2000,
        mean=(0.0, 0.0),
        width=(1.0, 1.0),
    ),
    "matrix": MatrixEnsemble(
        "Matrix method: 1 to 4 leptons with r = 0.9 ± 0.1 and f = 0.2 ± 0.1 each, 100 and 10 000 events",
        numbers=(100.0, 10_000.0),
        seed=20_264,
        toys=1000,
    ),
    "likelihood_matrix": LikelihoodEnsemble(
        "Likelihood matrix method: 1 to 4 leptons with r = 0.9 ± 0.1 and f = 0.2 ± 0.1 each, 100 and 10 000 events",
        numbers=(100.0, 10_000.0),
        seed=20_265,
        toys=1000,
    ),
    "charge_flip": FlipEnsemble(
        "Charge flip rates of 12 bins, 200 000 pairs: bias of all rates, coverage at few flips",
        TWELVE,
        seed=20_264,
        toys=2000,
    ),
    "charge_flip_background": FlipEnsemble(
        "Charge flip rates of 12 bins, 2 million pairs with background in window and side bands, and leakage",
        # as many background electrons in each bin: neither they nor the rates are near zero
        replace(TWELVE, pairs=2e6, background=60_000.0, random=300.0, tail=0.1, background_shares=(1 / 12,) * 12),
        seed=20_266,
        toys=2000,
    ),
    **FOUR_B,
    "positive": SignedEnsemble(
        "Positive weights of signed samples, a quarter of the weight negative: total, bins and cells, and refusals",
        SignedToy(),
        seed=20_268,
        members=25,
        toys=200,
    ),
    **SIGNALS,
    **ENSEMBLES,
}


def run(name: str, seconds: float, jobs: int) -> dict[str, Any]:
    """Run one validation as far as the time allows, and write its result after every step."""
    started = time.monotonic()
    record: dict[str, Any] = {}
    with pool(jobs) as spread:
        for found in VALIDATIONS[name].records(spread, KEPT / name):
            today = datetime.now(UTC).date().isoformat()
            stamp = {"machine": machine(), "date": today, "versions": versions(("numpy", "scipy", "numba"))}
            record = {"name": name, **found, **stamp}
            write_atomic(RESULTS / f"validate_{name}.json", (json.dumps(record, indent=1) + "\n").encode())
            tables = [rows for rows in found.values() if isinstance(rows, list)]
            print(f"{found['toys']}/{found['of']} {tables[0]}", flush=True)
            if time.monotonic() - started > seconds:
                break
    return record


def budget(text: str) -> float:
    """Return seconds from 90m, 2h, 45s or plain seconds."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text.strip())
    if not found:
        raise argparse.ArgumentTypeError(f"'{text}' is not a time: write 45s, 90m or 2h")
    return float(found[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[found[2]]


def main() -> int:
    """Run the validation named on the command line; 1 if it is complete and its bands are not met."""
    parser = argparse.ArgumentParser(prog="make validate", description=__doc__)
    parser.add_argument("name", nargs="?", choices=[*sorted(VALIDATIONS), "generate"], help="which validation")
    parser.add_argument("--budget", type=budget, default=budget("90m"), help="time to spend: 45s, 90m, 2h")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args()
    if given.name is None:
        print("make validate NAME=… BUDGET=90m, with NAME one of:")
        print(*(f"  {name:16s} {one.title}" for name, one in VALIDATIONS.items()), sep="\n")
        print(f"  {'generate':16s} rates of the event generator, and the numbers of its samples")
        return 0
    if given.name == "generate":
        from . import generate

        return generate.main([])
    record = run(given.name, given.budget, given.jobs)
    print(f"bands met: {record['met']} ({record['toys']} of {record['of']} toys)")
    return 0 if record["met"] or record["toys"] < record["of"] else 1


if __name__ == "__main__":
    sys.exit(main())
