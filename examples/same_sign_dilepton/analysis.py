"""A same-sign dilepton search in Python: charge flips and fakes from data, prompt pairs from simulation, one fit."""

import sys
from dataclasses import replace
from pathlib import Path

import hist
import numpy as np

import backdrop as bd
from backdrop.estimate import fitted
from backdrop.methods import ChargeFlip, FakeFactor
from backdrop.methods.charge_flip import Window
from backdrop.methods.efficiency import Efficiency
from backdrop.region import evaluate
from backdrop.synthetic import SameSign

LEPTONS = bd.Objects("lep", tight="iso < 0.15")
PAIR, OFF_Z = bd.Region("pair", "n_leptons == 2"), bd.Region("off Z", "(m_ll <= 71) | (m_ll >= 111)")
Z = PAIR & bd.Region("Z", "(m_ll > 81) & (m_ll < 101)")
BESIDE = PAIR & bd.Region("beside the Z", "((m_ll > 71) & (m_ll <= 81)) | ((m_ll >= 101) & (m_ll < 111))")
SAME, OPPOSITE, THREE = (
    bd.Region(*one) for one in (("SS", "same_sign"), ("OS", "~same_sign"), ("3l", "n_leptons == 3"))
)
SEARCH = (SAME & PAIR & OFF_Z) | (OPPOSITE & Z) | THREE


def met(*edges: float) -> tuple:
    """Return an axis of missing momentum."""
    return (hist.axis.Variable(edges, name="met", label="$E_T^{miss}$ [GeV]"),)


SR = bd.Channel("SR", PAIR & OFF_Z & bd.Region("high", "met > 60"), met(60, 80, 100, 130, 180, 400))
VR = bd.Channel("VR", PAIR & OFF_Z & bd.Region("low", "met <= 60"), met(0, 10, 20, 30, 40, 50, 60))
CR_Z, CR_3L = bd.Channel("CR_z", Z, met(0, 20, 500)), bd.Channel("CR_3l", THREE, met(0, 40, 80, 500))


def samples(seed: int) -> dict[str, bd.Events]:
    """Draw the samples, give them flat columns of the first two leptons, and seal the signal region of the data."""
    found = {}
    for name, events in SameSign(drell_yan_norm=1.1, diboson_norm=0.9).samples(seed=seed).items():
        columns = dict(events.columns) | {"lep_abs_eta": abs(events["lep_eta"])}
        for i in (1, 2):
            for quantity in ("pt", "abs_eta"):
                columns[f"{quantity}{i}"] = evaluate(f"lep_{quantity}[{i - 1}]", columns)
        seal = SR.region & SAME & LEPTONS.all_tight() if name == "data" else None
        found[name] = bd.Events.of(columns, sample=name, weight=events.weight, seal=seal)
    return found


def flip_method(tight: bool) -> ChargeFlip:
    """Return the charge flips of tight pairs, or of all."""
    role = LEPTONS.all_tight() if tight else PAIR
    axes = (
        hist.axis.Variable([10, 20, 35, 100], name="pt", label="electron $p_T$ [GeV]"),
        hist.axis.Variable([0, 1, 2.5], name="abs_eta", label=r"electron $|\eta|$"),
    )
    return ChargeFlip(SAME & role, OPPOSITE & role, Window(Z, BESIDE), Window(Z, BESIDE), axes)


def main(out: str = "same-sign-report.html", seed: int = 2) -> None:
    """Estimate, test, fit and report."""
    found = samples(seed)
    data, dy, diboson, w = (found[name] for name in ("data", "drell_yan", "diboson", "w_jets"))

    flips = bd.estimate(bd.Setup(flip_method(tight=True), data), [SR, VR], replicas=100, seed=seed)
    # opposite-sign pairs that stand for same-sign ones, to be subtracted from tight and anti-tight pairs alike
    rows = fitted(bd.Setup(flip_method(tight=False), data), seed=seed).predict(data, PAIR)
    flipped = rows.with_columns({"same_sign": np.ones(len(rows), bool)}).relabel("flips")

    axes = (
        hist.axis.Variable([10, 20, 35, 100], name="lep_pt", label="lepton $p_T$ [GeV]"),
        hist.axis.Variable([0, 1, 2.5], name="lep_abs_eta", label=r"lepton $|\eta|$"),
    )
    single = bd.Region("single", "(n_leptons == 1) & (met < 25)")
    method = FakeFactor(LEPTONS, Efficiency(single, axes), SEARCH)
    any_met = replace(method, factor=Efficiency(bd.Region("any met", "n_leptons == 1"), axes))
    prompt = dy + diboson + w + flipped
    jets = replace(method, factor=Efficiency(single & bd.Region("jets", "n_jets > 0"), axes))
    varied = {"flipped_jets": bd.Setup(jets, data - prompt), "no_met": bd.Setup(any_met, data - prompt)}
    varied |= {
        name: tuple(bd.Setup(method, data - prompt - k * one) for k in (0.1, -0.1))
        for name, one in (("drell_yan", dy), ("diboson", diboson), ("w_jets", w))
    }
    setup = bd.Setup(method, data - prompt)
    fakes = bd.estimate(setup, [SR, VR, CR_Z, CR_3L], replicas=100, variations=varied, seed=seed)
    test = bd.closure(fakes, (data - prompt).select(VR.region & method.target), channel="VR")

    tight = {one.name: replace(one, region=one.region & method.target) for one in (SR, VR, CR_Z, CR_3L)}
    simulated = {"diboson": (diboson, ("SR", "VR", "CR_3l")), "drell_yan": (dy, ("CR_z",))}
    backgrounds = {"fakes": fakes, "flips": flips}
    for name, (events, names) in simulated.items():
        filled = bd.template(events, [tight[one] for one in names])
        backgrounds[name] = replace(filled, channels=tuple(one for one in (SR, VR, CR_Z, CR_3L) if one.name in names))
    signal = replace(bd.template(found["signal"], [tight["SR"]]), channels=(SR,))
    open_ = {one.name: data.select(tight[one.name].region) for one in (VR, CR_Z, CR_3L)}
    free = {"diboson": 0.1, "drell_yan": 0.1}
    result = bd.fit(bd.workspace(backgrounds, {"signal": signal}, open_, free=free))

    print("flips", flips.total("SR"), "fakes", fakes.total("SR"), test, sep="\n")
    for name in ("diboson_norm", "drell_yan_norm"):
        print(name, result.parameters[name])
    bd.report(Path(out), {"fakes": fakes}, test, result, {"flips": flips}, title="Same-sign dilepton search")


if __name__ == "__main__":
    main(*sys.argv[1:])
