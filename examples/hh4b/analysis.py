"""4b multijet events interpolated into circles of the mass plane, six regions that are blinded one after another."""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import hist
import numpy as np
import pyarrow.parquet as pq

import backdrop as bd
from backdrop import kinematics
from backdrop.learn.scale import Bounded, Feature, Log
from backdrop.learn.train import Training
from backdrop.methods.interpolate import Interpolate
from backdrop.plot import closure as draw
from backdrop.plot import savefig
from backdrop.validation import chi2

MIDDLE, EDGE, HALF = 128.75, 29.5, 30.0
"""The middle of the sample in both masses, a little less than its radius, and half the edge of the box."""
RADIUS, SHIFT = 10.0, 10.0
AXES = tuple(hist.axis.Regular(24, MIDDLE - HALF, MIDDLE + HALF, name=name) for name in ("m_h1", "m_h2"))
TRAIN = Training(epochs=24)
LATE = bd.Region("top veto", "x_wt > 1.5")
BINS = 12
LABELS = {
    "m_hh": r"$m_{HH}$ [GeV]",
    "deta": r"$|\Delta\eta_{HH}|$",
    "pt_h1": r"$p_{T,H1}$ [GeV]",
    "pt_h2": r"$p_{T,H2}$ [GeV]",
    "eta_h1": r"$\eta_{H1}$",
    "eta_h2": r"$\eta_{H2}$",
    "dphi": r"$\Delta\phi_{HH}$",
    "x_wt": r"$X_{Wt}$",
    "pt_hh": r"$p_{T,HH}$ [GeV]",
}

FEATURES = (Feature("pt_h1", Log()), Feature("share", Bounded(0.0, 1.0)), Feature("middle"))
OTHERS = (Feature("dphi", Bounded(0.0, np.pi)), Feature("x_wt", Log()))
DERIVED = {
    "pt_h2": "share * pt_h1",
    "eta_h1": "middle + gap / 2",
    "eta_h2": "middle - gap / 2",
    "deta": "abs(gap)",
    "e_h1": "hypot(pt_h1 * cosh(eta_h1), m_h1)",
    "e_h2": "hypot(pt_h2 * cosh(eta_h2), m_h2)",
    "along": "pt_h1 * pt_h2 * (cos(dphi) + sinh(eta_h1) * sinh(eta_h2))",
    "m_hh": "sqrt(m_h1**2 + m_h2**2 + 2 * (e_h1 * e_h2 - along))",
    "pt_hh": "sqrt(pt_h1**2 + pt_h2**2 + 2 * pt_h1 * pt_h2 * cos(dphi))",
}


def circle(name: str, m_h1: float, m_h2: float, radius: float = RADIUS) -> bd.Region:
    """Return a disc of the mass plane."""
    return bd.Region(name, f"hypot(m_h1 - {m_h1}, m_h2 - {m_h2}) < {radius}")


@dataclass(frozen=True)
class Test:
    """A blinded circle of the events on one side of |Δη| = 1.5, where the transform of Δη ends."""

    region: bd.Region
    target: bd.Region
    gap: Feature


NEAR, FAR = bd.Region("near", "abs(gap) < 1.5"), bd.Region("reversed", "gap > 1.5")
SIDE, BEYOND = Feature("gap", Bounded(-1.5, 1.5)), Feature("gap", Log(1.5))
PLACES = {"lower_left": (-1, -1), "lower_right": (1, -1), "upper_right": (1, 1), "upper_left": (-1, 1)}
CENTRE = circle("4b", MIDDLE, MIDDLE)
TESTS = {
    **{name: Test(circle(name, MIDDLE + SHIFT * i, MIDDLE + SHIFT * j), NEAR, SIDE) for name, (i, j) in PLACES.items()},
    "reversed_deta": Test(replace(CENTRE, name="reversed_deta"), FAR, BEYOND),
    "4b": Test(CENTRE, NEAR, SIDE),
}


def read(path: str | Path) -> bd.Events:
    """Return the multijet events of the sample, their jets paired, as two Higgs-boson candidates."""
    table = pq.read_table(path, filters=[("sample", "==", "bbbb")])
    pt, eta, phi = (np.stack([table[f"jet{i}_{x}"].to_numpy() for i in range(4)], axis=1) for x in ("pt", "eta", "phi"))
    jets = (pt.astype(float), eta.astype(float), phi.astype(float), np.zeros(pt.shape))
    found = kinematics.pair_columns(*jets, chosen=kinematics.mass_pairing(*jets))
    columns = {name: found[name] for name in ("m_h1", "m_h2", "pt_h1", "pt_h2", "eta_h1", "eta_h2", "m_hh", "pt_hh")}
    columns |= {"dphi": found["dphi_hh"], "deta": found["deta_hh"], "x_wt": kinematics.x_wt(*jets)}
    columns |= {"share": found["pt_h2"] / found["pt_h1"], "gap": found["eta_h1"] - found["eta_h2"]}
    columns |= {"middle": (found["eta_h1"] + found["eta_h2"]) / 2}
    return bd.Events.of(columns, sample="4b", weight=table["weight"].to_numpy().astype(float))


def mirrored(events: bd.Events) -> bd.Events:
    """Return events seen along the beam from the side where Δη is positive: both are as probable."""
    sign = np.where(events["gap"] < 0.0, -1.0, 1.0)
    turned = ("gap", "middle", "eta_h1", "eta_h2")
    return events.with_columns({name: sign * events[name] for name in turned})


def interpolation(test: Test, **settings: Any) -> Interpolate:
    """Return the method of a test."""
    sample = circle("sample", MIDDLE, MIDDLE, EDGE)
    features = (*FEATURES, test.gap, *OTHERS)
    return Interpolate(test.target, AXES, test.region, features, DERIVED, within=sample, **settings)


def channels(test: Test, events: bd.Events) -> list[bd.Channel]:
    """Return the circle in each variable, in bins that hold as many of the open events each."""
    found = []
    for name, label in LABELS.items():
        values = np.asarray(events.select(LATE)[name])
        edges = np.quantile(values, np.arange(1, BINS) / BINS)
        # the outer bins hold all that is beyond
        far = 1e6 if name in ("m_hh", "pt_h1", "pt_h2", "pt_hh", "x_wt") else 100.0
        axis = hist.axis.Variable([-far, *edges, far], name=name, label=label)
        found.append(bd.Channel(name, test.region & LATE, (axis,)))
    return found


def spectrum(test: Test) -> bd.Channel:
    """Return the circle in m_HH, for the figure."""
    axis = hist.axis.Variable([*range(200, 500, 20), 500, 550, 600, 700, 800, 1000], name="m_hh", label=LABELS["m_hh"])
    return bd.Channel("spectrum", test.region & LATE, (axis,))


def shape(found: bd.Estimate, channel: bd.Channel, observed: bd.Events) -> float:
    """Return χ²/(bins - 1) after the prediction is scaled to the observed yield."""
    values, sumw2 = channel.fill(observed)
    scale = values.sum() / found.nominal.sum()
    expected = scale * found.nominal
    project = np.eye(len(expected)) - np.outer(expected / expected.sum(), np.ones(len(expected)))
    counted = np.diag(expected * sumw2.sum() / values.sum())
    covariance = project @ (counted + scale**2 * found.covariance(channel.name)) @ project.T
    return float(chi2(values, expected, covariance).value / (len(expected) - 1))


def studied(test: Test, events: bd.Events, home: Path, *, seed: int, **settings: Any) -> dict[str, Any]:
    """Interpolate into a circle, and compare with what is there."""
    events = mirrored(events) if test.target == FAR else events
    rows = events.select(test.target)
    blinded, seen = rows.select(~test.region), rows.select(test.region & LATE)
    bins, figure = channels(test, blinded), spectrum(test)
    whole = bd.Channel("whole", test.region, (hist.axis.Variable([0.0, 1e6], name="m_hh"),))
    found = bd.estimate(bd.Setup(interpolation(test, **settings), blinded), [*bins, figure, whole], seed=seed)
    total, part = found.total("m_hh"), found.only("m_hh")
    name = test.region.name
    savefig(draw(bd.closure(found, seen, channel="spectrum"), label=name), home / f"m_hh_{name}")
    observed, error = float(seen.weight.sum()), float(np.sqrt(np.sum(seen.weight**2)))
    return {
        "observed": observed,
        "observed_error": error,
        "predicted": total.value,
        "predicted_error": total.total,
        "blocks": {one: float(values.sum(axis=1).std(ddof=1)) for one, values in part.replicas.items()},
        "nonclosure_percent": 100.0 * (1.0 - total.value / observed),
        "nonclosure_error": 100.0 * float(np.hypot(error, total.total)) / observed,
        "pull": (total.value - observed) / float(np.hypot(error, total.total)),
        "before_veto": {
            "observed": float(rows.select(test.region).weight.sum()),
            "predicted": found.total("whole").value,
            "predicted_error": found.total("whole").total,
        },
        "chi2": {one.name: shape(found.only(one.name), one, seen) for one in bins},
    }


def main(path: str, out: str = "hh4b-results", names: str = "", members: int = 8, **settings: Any) -> Mapping[str, Any]:
    """Study every circle, or those that are named, and write figures and numbers."""
    home, events = Path(out), read(path)
    settings = {"train": TRAIN, **settings}
    home.mkdir(parents=True, exist_ok=True)
    results = {}
    for name in names.split(",") if names else TESTS:
        one = results[name] = studied(TESTS[name], events, home, seed=2023, members=int(members), **settings)
        print(
            f"{name:14s} observed {one['observed']:7.1f} ± {one['observed_error']:.1f}  predicted "
            f"{one['predicted']:7.1f} ± {one['predicted_error']:.1f}  non-closure {one['nonclosure_percent']:5.1f} ± "
            f"{one['nonclosure_error']:.1f} %  m_hh χ²/(bins - 1) {one['chi2']['m_hh']:.2f}",
            flush=True,
        )
        (home / "results.json").write_text(json.dumps(results, indent=1))
    return results


if __name__ == "__main__":
    main(*sys.argv[1:])
