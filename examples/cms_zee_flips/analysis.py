"""Charge flips of electrons from Z decays, and the isolation x charge ABCD under the Z redone without them."""

import sys
from dataclasses import replace
from pathlib import Path

import hist

import backdrop as bd
from backdrop.correction import write_maps
from backdrop.methods.abcd import ABCD
from backdrop.methods.charge_flip import ChargeFlip, EnergyLoss, Window
from backdrop.methods.flip_rates import factorisation, measure

MASS = "sqrt(2 * pt1 * pt2 * (cosh(eta1 - eta2) - cos(phi1 - phi2)))"
NARROW = (  # of the shower in eta, with little energy behind it; barrel and endcaps apart
    "(abs_eta{0} < 1.479) & (sigmaEtaEta{0} < 0.01) & (HoverE{0} < 0.04)",
    "(abs_eta{0} >= 1.479) & (sigmaEtaEta{0} < 0.03) & (HoverE{0} < 0.025)",
)

OPPOSITE, SAME = bd.Region("opposite_sign", "Q1 * Q2 < 0"), bd.Region("same_sign", "Q1 * Q2 > 0")
COVERED = bd.Region("covered", "(abs_eta1 < 2.5) & (abs_eta2 < 2.5)")
ISOLATED = bd.Region("isolated", "(better < 0.15) & (worse < 0.15)")
LOOSE = bd.Region("loose", "better > 0.3")
TIGHT = ISOLATED & bd.Region("narrow", " & ".join(f"(({' ) | ('.join(NARROW)}))".format(i) for i in (1, 2)))
PEAK = bd.Region("peak", "(mass > 81) & (mass < 101)")
BESIDE = bd.Region("beside", "((mass > 60) & (mass < 75)) | ((mass > 101) & (mass < 120))")

PT = hist.axis.Variable([25, 35, 45, 60, 300], name="pt", label=r"$p_T$ [GeV]")
ETA = hist.axis.Variable([0, 0.8, 1.479, 2.0, 2.5], name="abs_eta", label=r"$|\eta|$")
AXIS = hist.axis.Regular(10, 81, 101, name="mass", label=r"$m_{ee}$ [GeV]")


def read(path: str) -> bd.Events:
    """Return the pairs that the map covers."""
    relative = [f"(isoTrack{i} + isoEcal{i} + isoHcal{i}) / pt{i}" for i in (1, 2)]
    derived = {"mass": MASS, "abs_eta1": "abs(eta1)", "abs_eta2": "abs(eta2)"}
    derived |= {"better": f"min({', '.join(relative)})", "worse": f"max({', '.join(relative)})"}
    columns = {"Q1", "Q2", "pt1", "pt2", *derived, *TIGHT.columns}
    return bd.read(path, sorted(columns), keys=["Run", "Event"], derived=derived).select(COVERED)


def flips(electrons: bd.Region) -> ChargeFlip:
    """Return the method for pairs of some electrons; the sample ends at 60 and 120 GeV."""
    opposite = Window.around("mass", 90.6, 14.0, leak=0.054)
    same = Window(
        bd.Region("same_peak", "(mass > 74.3) & (mass < 105.9)"),
        bd.Region("same_sides", "(mass <= 74.3) | (mass >= 105.9)"),
        kappa=31.6 / 28.4,
        leak=0.041,
    )
    loss = EnergyLoss(0.01, 0.02, "pt", ("mass",))
    return ChargeFlip(SAME & electrons, OPPOSITE & electrons, opposite, same, (PT, ETA), loss=loss)


def main(path: str, out: str = "flips-report.html") -> None:
    """Measure the rates, predict the same-sign peak, and redo the ABCD."""
    data, method = read(path), flips(TIGHT)
    rates = measure(method, data)
    print(rates)
    print(factorisation(method, data))
    write_maps(Path(out).with_name("flip_rate.json"), rates.rates)

    peak = bd.Channel("peak", PEAK, (AXIS,))
    factorised = bd.Setup(replace(method, form="factorised"), data)
    predicted = bd.estimate(
        bd.Setup(method, data), [peak], replicas=200, variations={"factorised": factorised}, seed=2011
    )
    tests = {"tight": bd.closure(predicted, data.select(PEAK & method.target), channel="peak")}

    # isolated same-sign pairs under the Z: what isolation predicts from loose pairs, and the flips
    isolation, isolated = ABCD(ISOLATED & SAME, LOOSE & SAME, BESIDE), flips(ISOLATED)
    fakes, turned = (bd.estimate(bd.Setup(one, data), [peak], replicas=200, seed=2011) for one in (isolation, isolated))
    both, seen = fakes + turned, data.select(PEAK & isolated.target)
    tests |= {"isolated, fakes alone": bd.closure(fakes, seen, channel="peak")}
    tests |= {"isolated, fakes and flips": bd.closure(both, seen, channel="peak")}

    # isolated opposite-sign pairs that are not prompt: from same-sign pairs as they are, and without the flips
    where = bd.Channel("peak_isolated", PEAK & ISOLATED, (hist.axis.Variable([81, 101], name="mass"),))
    charge, total = ABCD(OPPOSITE, SAME, PEAK & LOOSE), turned.total("peak")
    wrong = bd.fitted(bd.Setup(isolated, data), seed=2011).predict(data, bd.Region.everything())
    wrong = wrong.with_columns({"Q1": -wrong["Q1"]}).relabel("flips")
    more = bd.Setup(charge, data - (1.0 + total.total / total.value) * wrong)
    before = bd.estimate(bd.Setup(charge, data), [where], replicas=200, seed=2011)
    after = bd.estimate(bd.Setup(charge, data - wrong), [where], replicas=200, variations={"flips": more}, seed=2011)

    for name, one in (("tight", TIGHT), ("isolated", ISOLATED)):
        like, unlike = (len(data.select(PEAK & one & sign)) for sign in (SAME, OPPOSITE))
        print(f"{name}: {like} same-sign and {unlike} opposite-sign pairs under the Z, {like / unlike:.4f}")
    for name, test in tests.items():
        print(f"{name}: {test}")
    for name, one in (("as they are", before), ("without flips", after)):
        found = one.total(where.name)
        print(f"not prompt, from same-sign pairs {name}: {found.value:.1f} ± {found.total:.1f}")
    bd.report(Path(out), predicted, both, after, *tests.values(), title="Charge flips under the Z")


if __name__ == "__main__":
    main(*sys.argv[1:])
