"""Non-prompt lepton pairs beside and under the Z from isolation x charge, in Python."""

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import hist
import numpy as np

import backdrop as bd
from backdrop.methods.abcd import ABCD
from backdrop.methods.transfer import Binned
from backdrop.validation import dependence

MASS = "sqrt(2 * pt1 * pt2 * (cosh(eta1 - eta2) - cos(phi1 - phi2)))"
ISOLATION = {  # summed in a cone over the transverse momentum: tracks and calorimeters, or tracks alone
    "electrons": "(isoTrack{0} + isoEcal{0} + isoHcal{0}) / pt{0}",
    "muons": "iso{0} / pt{0}",
}
USABLE = {"electrons": "true", "muons": "(pt1 > 10) & (pt2 > 10) & (abs(dxy1) < 0.2) & (abs(dxy2) < 0.2)"}

OPPOSITE, SAME = bd.Region("opposite_sign", "Q1 * Q2 < 0"), bd.Region("same_sign", "Q1 * Q2 > 0")
ISOLATED = bd.Region("isolated", "(better < 0.15) & (worse < 0.15)")
MIXED = bd.Region("mixed", "(better < 0.15) & (worse > 0.3)")
RING = bd.Region("ring", "(better > 0.15) & (better < 0.3)")
LOOSE = bd.Region("loose", "better > 0.3")
LOW = bd.Region("low", "(mass > 60) & (mass < 75)")
PEAK = bd.Region("peak", "(mass > 81) & (mass < 101)")
HIGH = bd.Region("high", "(mass > 101) & (mass < 120)")
SEALED = (LOW | HIGH) & ISOLATED & OPPOSITE


def read(path: str, leptons: str) -> bd.Events:
    """Return the usable pairs, with isolated opposite-sign pairs sealed beside the Z."""
    relative = [ISOLATION[leptons].format(i) for i in (1, 2)]
    derived = {"mass": MASS, "charge": "Q1 * Q2"}
    derived |= {"better": f"min({', '.join(relative)})", "worse": f"max({', '.join(relative)})"}
    usable = bd.Region("usable", USABLE[leptons])
    columns = ["Q1", "Q2", *derived, *sorted(usable.columns)]
    return bd.read(path, columns, keys=["Run", "Event"], derived=derived, seal=SEALED).select(usable & ~SEALED)


def channel(window: bd.Region, pairs: bd.Region, edges: Sequence[float]) -> bd.Channel:
    """Return the pairs of a mass window as a channel."""
    axis = hist.axis.Variable(edges, name="mass", label=r"$m_{\ell\ell}$ [GeV]")
    return bd.Channel(f"{window.name}_{pairs.name}", window & pairs, (axis,))


def main(path: str, leptons: str = "electrons", out: str = "") -> None:
    """Estimate, test and report."""
    data = read(path, leptons)
    few = leptons == "muons"
    low, high, peak = ([60, 65, 70, 75], [101, 120], [81, 101]) if few else _edges()
    charge = ABCD(OPPOSITE, SAME, LOOSE, Binned(hist.axis.Variable([60, 75, 81, 101, 120], name="mass")))

    windows = [
        channel(LOW, ISOLATED, [60, 65, 70, 75]),
        channel(HIGH, ISOLATED, [101, 120] if few else [101, 110, 120]),
    ]
    other = bd.Setup(replace(charge, control=MIXED), data)
    found = bd.estimate(bd.Setup(charge, data), windows, replicas=200, variations={"control": other}, seed=2011)

    between = [channel(LOW, pairs, low) for pairs in (RING, MIXED)]
    between += [channel(HIGH, pairs, high) for pairs in (RING, MIXED)]
    under = [channel(PEAK, pairs, peak) for pairs in (RING, MIXED, ISOLATED)]
    checked = bd.estimate(bd.Setup(charge, data), [*between, *under], replicas=200, seed=2011)
    tests = [bd.closure(checked, data.select(one.region & OPPOSITE), channel=one.name) for one in [*between, *under]]

    flips = channel(PEAK, SAME, peak)
    isolation = ABCD(ISOLATED, LOOSE, (LOW | HIGH) & SAME)
    continuum = bd.estimate(bd.Setup(isolation, data), [flips], replicas=200, seed=2011)
    tests.append(bd.closure(continuum, data.select(flips.region & ISOLATED), channel=flips.name))

    for window in windows:
        print(window.name, found.total(window.name))
    for test in tests:
        print(test)
    for window in (LOW | HIGH, PEAK):
        for pairs in (RING | LOOSE, RING | LOOSE | MIXED):
            measured = dependence(data.select(window & pairs), "better", "charge", seed=2011)
            print(f"{window.name}, {pairs.name}: correlation {measured.pearson:.3f}, p {measured.pearson_p_value:.3g}")
    bd.report(Path(out or f"{leptons}-report.html"), found, checked, continuum, *tests, title=f"Non-prompt {leptons}")


def _edges() -> tuple[list[float], list[float], list[float]]:
    return [60, 63, 66, 69, 72, 75], [101, 105, 110, 115, 120], np.linspace(81, 101, 11).tolist()


if __name__ == "__main__":
    main(*sys.argv[1:])
