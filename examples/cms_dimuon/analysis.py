"""The opposite-sign dimuon continuum under the Upsilon from same-sign pairs, in Python."""

import sys
from dataclasses import replace
from pathlib import Path

import hist

import backdrop as bd
from backdrop.methods.abcd import ABCD
from backdrop.methods.transfer import Constant, Polynomial


def channel(name: str, low: float, high: float, bins: int) -> bd.Channel:
    """Return a mass window as a channel."""
    axis = hist.axis.Regular(bins, low, high, name="M", label=r"$m_{\mu\mu}$ [GeV]")
    return bd.Channel(name, bd.Region(name, f"(M > {low}) & (M < {high})"), (axis,))


def main(path: str, out: str = "dimuon-report.html") -> None:
    """Estimate, test and report."""
    opposite, same = bd.Region("opposite_sign", "Q1 * Q2 < 0"), bd.Region("same_sign", "Q1 * Q2 > 0")
    upsilon = channel("upsilon", 9, 10.6, 8)
    windows = [channel("low_window", 4.5, 6, 6), channel("left_window", 8.5, 9, 5)]
    windows += [channel("right_window", 10.6, 11, 4), channel("high_window", 15, 20, 10)]
    side_bands = bd.Region("side_bands", "((M > 6) & (M < 8.5)) | ((M > 11) & (M < 15))")

    data = bd.read(path, ["M", "Q1", "Q2"], seal=upsilon.region & opposite)
    linear = ABCD(opposite, same, side_bands, Polynomial("M", 1))
    slope = bd.Setup(replace(linear, transfer=Constant()), data)
    found = bd.estimate(
        bd.Setup(linear, data), [upsilon, *windows], replicas=200, variations={"slope": slope}, seed=2010
    )
    tests = [bd.closure(found, data.select(one.region & opposite), channel=one.name) for one in windows]

    z = channel("z_window", 81, 101, 5)
    below_z = ABCD(opposite, same, bd.Region("below_z", "(M > 30) & (M < 50)"))
    failing = bd.estimate(bd.Setup(below_z, data), [z], replicas=200, seed=2010)
    tests.append(bd.closure(failing, data.select(z.region & opposite), channel="z_window"))

    print(found.total("upsilon"))
    for test in tests:
        print(test)
    bd.report(Path(out), found, failing, *tests, title="Dimuon continuum under the Upsilon")


if __name__ == "__main__":
    main(*sys.argv[1:])
