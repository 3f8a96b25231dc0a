"""The cases as one table: process, veto, analysis, and what to expect of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from ..errors import ConfigError, nearest
from . import fourjet, leptons, phigamma, zee, zjet
from .pythia import Veto

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["CASES", "Case", "case", "settings"]

COLLISIONS = (
    "Beams:eCM = 13000.",
    "Print:quiet = on",
    "ParticleDecays:limitTau0 = on",
    "ParticleDecays:tau0Max = 10.",
    "SpaceShower:QEDshowerByQ = off",
    "TimeShower:QEDshowerByQ = off",
)
HADRONS = ("TimeShower:pTmin = 1.0", "SpaceShower:pTmin = 2.0")
# nextBatch needs at least one production vertex in every batch
PARTONS = ("TimeShower:pTmin = 2.0", "SpaceShower:pTmin = 3.0", "HadronLevel:all = off", "PartonVertex:setVertex = on")

HIGGS = ("HiggsSM:gg2H = on", "25:m0 = 125")
TOP = ("Top:gg2ttbar = on", "Top:qqbar2ttbar = on")
B_HADRONS = (511, 521, 531, 541, 5122, 5132, 5232, 5332)
SEMILEPTONIC = tuple(line for b in B_HADRONS for line in (f"{b}:onMode = off", f"{b}:onIfAny = 11 13"))


@dataclass(frozen=True)
class Case:
    """One kind of events.

    Attributes
    ----------
    name, title
        What the command line calls it, and what it is.
    process
        The Pythia settings of the process.
    analyse
        Function of (record, detector, rng) that gives the columns of the selected rows.
    fragment
        The YAML fragment with regions, roles and derived columns; cases that are used together share one.
    veto
        Cut on the hard process, before the shower.
    partons
        Whether the events stop at the parton level.
    chunk
        Generated events of one task, some ten seconds.
    efficiency
        About how many of the generated events are selected.
    speed
        About how many events are generated per second of CPU time, without multi-parton interactions.
    row_bytes
        About how many bytes one selected event takes in the file.
    """

    name: str
    title: str
    process: tuple[str, ...]
    analyse: Callable[..., Mapping[str, NDArray[np.generic]]]
    fragment: str
    veto: Veto | None = None
    partons: bool = False
    chunk: int = 5000
    efficiency: float = 0.1
    speed: float = 1000.0
    row_bytes: int = 100

    @property
    def selected_per_cpu_minute(self) -> float:
        """About how many events are selected per minute of CPU time."""
        return 60.0 * self.efficiency * self.speed


def _table(*rows: Case) -> dict[str, Case]:
    return {row.name: row for row in rows}


CASES: Mapping[str, Case] = _table(
    Case(
        "gamma-jet",
        "γ+jet with a K⁺K⁻ candidate, background of H → φγ",
        ("PromptPhoton:qg2qgamma = on", "PromptPhoton:qqbar2ggamma = on", "PhaseSpace:pTHatMin = 30"),
        phigamma.analyse,
        "h-phigamma",
        Veto((22,), least=1, eta_max=2.8),
        chunk=15000,
        efficiency=0.0153,
        speed=1300,
    ),
    Case(
        "h-phigamma",
        "gg → H → φγ, φ → K⁺K⁻",
        (
            *HIGGS,
            # oneChannel would delete the loop decays that gg → H is computed from
            "25:addChannel = 1 1.0 103 333 22",
            "25:onMode = off",
            "25:onIfMatch = 333 22",
            "333:onMode = off",
            "333:onIfMatch = 321 -321",
        ),
        phigamma.analyse,
        "h-phigamma",
        chunk=5000,
        efficiency=0.39,
        speed=930,
    ),
    Case(
        "z-jets",
        "Z(μμ)+jet, the jet with two tracks, background of H → Za",
        (
            "WeakBosonAndParton:qqbar2gmZg = on",
            "WeakBosonAndParton:qg2gmZq = on",
            "PhaseSpace:pTHatMin = 15",
            "PhaseSpace:mHatMin = 60",
            "WeakZ0:gmZmode = 2",
            "23:mMin = 70",
            "23:mMax = 110",
            "23:onMode = off",
            "23:onIfAny = 13",
        ),
        zjet.analyse,
        "h-za",
        Veto((13,), least=2, eta_max=3.0, lead_pt=22.0),
        chunk=8000,
        efficiency=0.042,
        speed=1200,
        row_bytes=130,
    ),
    Case(
        "h-za",
        "gg → H → Z(μμ) a, a(0.5 GeV) → hadrons",
        (
            *HIGGS,
            "25:addChannel = 1 1.0 100 23 36",
            "25:onMode = off",
            "25:onIfMatch = 23 36",
            "36:m0 = 0.5",
            "36:mWidth = 0.",
            "36:mMin = 0.5",
            "36:mMax = 0.5",
            "36:isResonance = off",
            "36:mayDecay = on",
            "36:tau0 = 0.",
            "36:oneChannel = 1 0.67 0 211 -211",
            "36:addChannel = 1 0.33 0 111 111",
            "23:onMode = off",
            "23:onIfAny = 13",
        ),
        zjet.analyse,
        "h-za",
        chunk=5000,
        efficiency=0.155,
        speed=890,
        row_bytes=130,
    ),
    Case(
        "ttbar",
        "tt̄, all decays",
        TOP,
        partial(leptons.analyse, sample=0),
        "leptons",
        chunk=3000,
        efficiency=0.41,
        speed=430,
        row_bytes=110,
    ),
    Case(
        "ttbar-hf",
        "tt̄ → lνb qq̄b̄ with every b hadron decaying to a lepton: many leptons from b, their mix of origins biased",
        (*TOP, "24:onMode = off", "24:onPosIfAny = 11 13", "24:onNegIfAny = 1 2 3 4 5", *SEMILEPTONIC),
        partial(leptons.analyse, sample=4),
        "leptons",
        chunk=4000,
        efficiency=0.84,
        speed=570,
        row_bytes=140,
    ),
    Case(
        "w-jets",
        "W(lν)+jet",
        (
            "WeakBosonAndParton:qqbar2Wg = on",
            "WeakBosonAndParton:qg2Wq = on",
            "PhaseSpace:pTHatMin = 20",
            "24:onMode = off",
            "24:onIfAny = 11 13 15",
        ),
        partial(leptons.analyse, sample=1),
        "leptons",
        chunk=5000,
        efficiency=0.43,
        speed=820,
    ),
    Case(
        "heavy-flavour",
        "bb̄ and cc̄ with a lepton, a region of fakes",
        ("HardQCD:hardbbbar = on", "HardQCD:hardccbar = on", "PhaseSpace:pTHatMin = 25"),
        partial(leptons.analyse, sample=3),
        "leptons",
        chunk=6000,
        efficiency=0.04,
        speed=1000,
    ),
    Case(
        "four-jet",
        "multijet events with pseudo-tags of exactly known probability",
        ("HardQCD:all = on", "PhaseSpace:pTHatMin = 70"),
        fourjet.pseudo_tagged,
        "hh-4b",
        partons=True,
        chunk=15000,
        efficiency=0.043,
        speed=2300,
        row_bytes=210,
    ),
    Case(
        "four-jet-bb",
        "bb̄ with four jets, at least two of them tagged by their true flavour",
        ("HardQCD:hardbbbar = on", "PhaseSpace:pTHatMin = 75"),
        fourjet.true_tagged,
        "hh-4b",
        partons=True,
        chunk=12000,
        efficiency=0.027,
        speed=2500,
        row_bytes=180,
    ),
    Case(
        "hh-4b",
        "gg → H(400 GeV, wide) → hh → 4b, a stand-in for non-resonant HH",
        (
            "Higgs:useBSM = on",
            "HiggsBSM:gg2H2 = on",
            "HiggsH2:coup2H1H1 = 1.",
            "35:m0 = 400",
            "35:mWidth = 120",
            "35:doForceWidth = on",
            "35:mMin = 255",
            "35:mMax = 1200",
            "35:onMode = off",
            "35:onIfMatch = 25 25",
            "25:m0 = 125",
            "25:onMode = off",
            "25:onIfMatch = 5 -5",
        ),
        fourjet.true_tagged,
        "hh-4b",
        partons=True,
        chunk=10000,
        efficiency=0.48,
        speed=1700,
        row_bytes=180,
    ),
    Case(
        "zee",
        "Z → ee with charge flips of known probability",
        ("WeakSingleBoson:ffbar2gmZ = on", "PhaseSpace:mHatMin = 40", "23:onMode = off", "23:onIfAny = 11"),
        zee.analyse,
        "zee",
        Veto((11,), least=2, eta_max=2.7, pt_min=17.0),
        partons=True,
        chunk=20000,
        efficiency=0.48,
        speed=4000,
        row_bytes=65,
    ),
)
"""Name to case; the order is that of the documentation."""


def case(name: str) -> Case:
    """Return the case of that name.

    Raises
    ------
    ConfigError
        If there is none.
    """
    if name not in CASES:
        raise ConfigError(f"no case '{name}'{nearest(name, CASES)}; cases: {', '.join(CASES)}")
    return CASES[name]


def settings(chosen: Case, *, mpi: bool = False) -> tuple[str, ...]:
    """Return the complete Pythia settings of a case, without the seed.

    Multi-parton interactions are off by default: they cost ten to fifteen times the time, and add the soft activity of
    the underlying event to jets and isolation cones.
    """
    level = PARTONS if chosen.partons else HADRONS
    return (*COLLISIONS, f"PartonLevel:MPI = {'on' if mpi else 'off'}", *level, *chosen.process)
