"""The driver: settings that are checked, the veto, and the record as columns."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
import pytest

from backdrop.errors import ConfigError, ResourceError
from backdrop.generate.cases import CASES, settings
from backdrop.generate.pythia import SEEDS, Run, Veto, require

needs_pythia = pytest.mark.skipif(
    not (find_spec("pythia8mc") and find_spec("fastjet")),
    reason="needs the extra generate",
)


@dataclass(frozen=True)
class Particle:
    number: int
    transverse: float
    pseudorapidity: float

    def idAbs(self) -> int:
        return abs(self.number)

    def pT(self) -> float:
        return self.transverse

    def eta(self) -> float:
        return self.pseudorapidity


class Process(list):  # type: ignore[type-arg]
    """The outgoing particles, behind the five entries of beams and incoming partons."""

    def __init__(self, *outgoing: Particle) -> None:
        super().__init__([Particle(13, 99.0, 0.0)] * 5 + list(outgoing))

    def size(self) -> int:
        return len(self)


@pytest.mark.parametrize(
    ("outgoing", "dropped"),
    [
        ([Particle(13, 30.0, 1.0), Particle(-13, 20.0, -1.0)], False),
        ([Particle(13, 30.0, 1.0), Particle(-13, 20.0, -3.1)], True),
        ([Particle(13, 21.0, 1.0), Particle(-13, 20.0, -1.0)], True),
        ([Particle(13, 30.0, 1.0), Particle(-13, 9.0, -1.0)], True),
        ([Particle(13, 30.0, 1.0), Particle(11, 20.0, -1.0)], True),
        ([], True),
    ],
)
def test_veto(outgoing: list[Particle], dropped: bool) -> None:
    veto = Veto((13,), least=2, eta_max=3.0, pt_min=10.0, lead_pt=22.0)
    assert veto.drops(Process(*outgoing)) is dropped


def test_multi_parton_interactions_are_off_unless_asked_for() -> None:
    for case in CASES.values():
        assert "PartonLevel:MPI = off" in settings(case)
        assert "PartonLevel:MPI = on" in settings(case, mpi=True)
        assert len(settings(case, mpi=True)) == len(settings(case))


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pythia8mc", None)
    with pytest.raises(ResourceError, match=r"'pythia8mc'.*pip install 'backdrop\[generate\]'"):
        require("pythia8mc")


@needs_pythia
def test_an_unknown_setting_is_refused() -> None:
    with pytest.raises(ConfigError, match="does not accept the setting 'HardQCD:al = on'"):
        Run(("HardQCD:al = on",), 1)


@needs_pythia
def test_data_that_are_not_found_are_no_wrong_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHIA8DATA", "/nowhere")
    with pytest.raises(ResourceError, match="does not find its data; set PYTHIA8DATA"):
        Run(("HardQCD:all = on",), 1)


@needs_pythia
def test_a_process_that_cannot_start_is_refused() -> None:
    with pytest.raises(ConfigError, match="could not start"):
        Run(("Print:quiet = on", "HiggsBSM:gg2H2 = on"), 1)


@needs_pythia
@pytest.mark.parametrize("seed", [0, -1, SEEDS + 1])
def test_seeds_of_the_generator_have_limits(seed: int) -> None:
    with pytest.raises(ConfigError, match="seed"):
        Run(("HardQCD:all = on",), seed)


@needs_pythia
def test_the_veto_acts_before_the_shower_and_enters_the_cross_section() -> None:
    case = CASES["gamma-jet"]
    off = tuple(f"{part} = off" for part in ("PartonLevel:ISR", "PartonLevel:FSR", "HadronLevel:all"))
    lines = (*settings(case), *off, "PartonVertex:setVertex = on")
    free, cut = Run(lines, 3), Run(lines, 3, case.veto)
    hard = {"free": next(iter(free.batches(1000))), "cut": next(iter(cut.batches(1000)))}
    eta = {}
    for name, record in hard.items():
        photon = (record.id == 22) & (np.abs(record.status) == 23)
        assert photon.sum() == 1000
        eta[name] = np.abs(np.arcsinh(record.pz[photon] / np.hypot(record.px[photon], record.py[photon])))
    assert eta["free"].max() > 2.8 > eta["cut"].max()
    inside = (eta["free"] < 2.8).mean()
    (total, error), (after, _) = free.cross_section, cut.cross_section
    assert after / total == pytest.approx(inside, abs=4 * np.hypot(0.5 / np.sqrt(1000), 2 * error / total))


@needs_pythia
def test_the_record_is_that_of_the_generator() -> None:
    lines = settings(CASES["zee"])
    batch, single = Run(lines, 11), Run(lines, 11)
    record = next(iter(batch.batches(5)))
    assert record.size == 5
    for event in range(5):
        single._pythia.next()
        particles = [single._pythia.event[i] for i in range(single._pythia.event.size())]
        rows = np.flatnonzero(record.event == event)
        assert record.id[rows].tolist() == [p.id() for p in particles]
        assert record.status[rows].tolist() == [p.status() for p in particles]
        assert (record.mother[rows] - rows[0]).tolist() == [p.mother1() for p in particles]
        np.testing.assert_allclose(record.e[rows], [p.e() for p in particles])
        np.testing.assert_allclose(record.m[rows], [p.m() for p in particles])


@needs_pythia
def test_same_seed_same_events_other_seed_others() -> None:
    lines = settings(CASES["zee"])
    first, same, other = (next(iter(Run(lines, seed).batches(20))) for seed in (4, 4, 5))
    np.testing.assert_array_equal(first.px, same.px)
    assert len(first.px) != len(other.px) or not np.array_equal(first.px, other.px)


@needs_pythia
def test_batches_are_as_long_as_asked_for() -> None:
    assert [record.size for record in Run(settings(CASES["zee"]), 4).batches(1300)] == [1000, 300]
