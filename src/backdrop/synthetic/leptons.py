"""Events of one or more leptons whose chances to be tight are known: Z decays, single leptons, and equal charges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..errors import ConfigError
from ..events import Events, Objects
from ..maps import BinnedMap
from ..region import Region
from ..tasks import stream

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Flags = NDArray[np.bool_]

__all__ = ["Leptons", "leptons"]

_MASS, _WIDTH, _SLOPE = 91.0, 2.5, 0.02
_PAIRS = {"RR": 600.0, "RF": 800.0, "FR": 700.0, "FF": 3000.0}


@dataclass(frozen=True)
class Leptons:
    """Events of prompt and fake leptons, each tight with the probability of its bin in (pt, eta), independently.

    There are Z decays (two prompt leptons of opposite charge, a mass of 91 ± 2.5 GeV), single fake leptons (both with
    little missing momentum), single prompt ones (with more of it), and events of any composition, whose leptons have
    equal charges. The momenta of an event's leptons are independent and not sorted. The expected numbers are those of
    all leptons, tight or not; the drawn ones are Poisson.

    Attributes
    ----------
    events
        Expected number of each composition, such as ``RF``: the first lepton is prompt, the second is fake.
    z, single_fakes, single_prompt
        Expected numbers of Z decays and of single leptons.
    real, fake
        Probability of a prompt and of a fake lepton to be tight, in each bin, flat: pt, then eta.
    real_shares, fake_shares
        Share of the prompt and of the fake leptons in each bin.
    pt, eta
        Edges of the bins; leptons are even within one.
    equal
        Share of `events` whose charges are all equal; in the others the last lepton's is opposite.
    flip
        Probability of a prompt lepton to have the wrong charge: of all, or in each bin.
    jets
        Mean number of jets, Poisson.
    overlap, overlap_factor
        Share of the fake leptons that overlap a jet, in events with a jet, and what multiplies their probability.

    Examples
    --------
    >>> toy = Leptons({"RR": 100.0, "RF": 200.0})
    >>> toy.expected("RF", "TT") == 200.0 * toy.mean_real * toy.mean_fake()
    True
    """

    events: Mapping[str, float] = field(default_factory=lambda: dict(_PAIRS))
    z: float = 20_000.0
    single_fakes: float = 20_000.0
    single_prompt: float = 2_000.0
    real: tuple[float, ...] = (0.75, 0.84, 0.78, 0.85, 0.92, 0.87, 0.92, 0.96, 0.93)
    fake: tuple[float, ...] = (0.25, 0.14, 0.22, 0.20, 0.12, 0.18, 0.32, 0.20, 0.28)
    real_shares: tuple[float, ...] = (0.06, 0.08, 0.06, 0.12, 0.16, 0.12, 0.12, 0.16, 0.12)
    fake_shares: tuple[float, ...] = (0.18, 0.24, 0.18, 0.09, 0.12, 0.09, 0.03, 0.04, 0.03)
    pt: tuple[float, ...] = (10.0, 20.0, 35.0, 100.0)
    eta: tuple[float, ...] = (-2.5, -1.0, 1.0, 2.5)
    equal: float = 1.0
    flip: float | tuple[float, ...] = 0.0
    jets: float = 1.0
    overlap: float = 0.0
    overlap_factor: float = 1.0

    objects: ClassVar[Objects] = Objects("lep", tight="iso < 0.15")
    """The leptons, and which of them are tight."""
    z_region: ClassVar[Region] = Region("Z", "(n_leptons == 2) & ~same_sign & (m_ll > 81) & (m_ll < 101)")
    """Two leptons of opposite charge and the mass of a Z: prompt."""
    z_same_sign: ClassVar[Region] = Region("Z same sign", "(n_leptons == 2) & same_sign & (m_ll > 81) & (m_ll < 101)")
    """The same with equal charges: as many pairs that are no Z decays, where their charges are random."""
    fake_region: ClassVar[Region] = Region("single", "(n_leptons == 1) & (met < 25)")
    """Single leptons with little missing momentum: fakes, and prompt ones to be subtracted."""
    pairs_region: ClassVar[Region] = Region("SS", "(n_leptons == 2) & same_sign & ((m_ll <= 81) | (m_ll >= 101))")
    """Two leptons of equal charge, away from the Z."""

    def __post_init__(self) -> None:
        bins = (len(self.pt) - 1) * (len(self.eta) - 1)
        for name in ("real", "fake", "real_shares", "fake_shares", "flip"):
            given = getattr(self, name)
            if not isinstance(given, float | int) and len(given) != bins:
                raise ConfigError(f"leptons: {bins} bins need as many numbers in '{name}', not {len(given)}")
        chances = [*self.real, *self.fake, *(self.overlap_factor * one for one in self.fake)]
        if not all(0.0 <= one <= 1.0 for one in (*chances, *self._flips, self.equal, self.overlap)):
            raise ConfigError(f"leptons: every probability is from 0 to 1: {self}")
        if bad := [name for name in self.events if not name or set(name) - set("RF")]:
            raise ConfigError(f"leptons: a composition has one R or F for each lepton, such as 'RF', not '{bad[0]}'")

    # ---- drawing ---------------------------------------------------------------------------------------------------

    def draw(self, *, seed: int, sample: str = "data", weight: float = 1.0, negative: float = 0.0) -> Events:
        """Draw one data set.

        Lists ``lep_pt`` (GeV), ``lep_eta``, ``lep_iso``, ``lep_charge``, ``lep_jet`` (1 where it overlaps a jet) and
        the truth ``lep_prompt`` and ``lep_flip`` (the charge is wrong); event columns ``n_leptons``, ``n_jets``,
        ``met``, ``m_ll`` (GeV, 0 for one lepton) and ``same_sign`` (all charges are equal; two leptons or more).

        Parameters
        ----------
        seed
            Seed of the draw, which also depends on the sample's name.
        sample
            Its name.
        weight
            Weight of an event, on average.
        negative
            Probability of a negative weight.
        """
        import awkward as ak

        rng = stream(seed, "leptons", sample)
        kinds = self._kinds
        kind = np.repeat(np.arange(len(kinds)), rng.poisson([number for _, number in kinds.values()]))
        counts = np.array([len(truth) for truth, _ in kinds.values()], np.int64)[kind]
        event = np.repeat(np.arange(len(kind)), counts)
        truths = np.array([list(truth.ljust(max(map(len, self._truths)))) for truth in self._truths])
        place = np.arange(len(event)) - np.repeat(np.cumsum(counts) - counts, counts)
        prompt = truths[kind[event], place] == "R"
        columns = self._event_columns(rng, kind, counts)
        flat = self._lepton_columns(rng, prompt, columns["n_jets"][event] > 0)
        flat |= {"flip": prompt & (rng.uniform(size=len(prompt)) < self._flips[flat.pop("bin")]), "prompt": prompt}
        flat |= {"charge": np.where(flat["flip"], -1, 1) * self._charges(rng, kind, counts)}
        sums = np.bincount(event, flat["charge"], len(kind))
        columns |= {"same_sign": (np.abs(sums) == counts) & (counts > 1)}
        columns |= {f"lep_{name}": ak.unflatten(values, counts) for name, values in flat.items()}
        sign = np.where(rng.uniform(size=len(kind)) < negative, -1.0, 1.0)
        return Events.of(columns, sample=sample, weight=weight * sign / (1.0 - 2.0 * negative))

    @cached_property
    def _kinds(self) -> dict[str, tuple[str, float]]:
        """Kind of event to its composition and expected number."""
        single = {"z": ("RR", self.z), "fake": ("F", self.single_fakes), "prompt": ("R", self.single_prompt)}
        return single | {f"events {truth}": (truth, number) for truth, number in self.events.items()}

    @property
    def _flips(self) -> Array:
        return np.broadcast_to(np.asarray(self.flip, np.float64), len(self.real))

    @property
    def _truths(self) -> list[str]:
        return [truth for truth, _ in self._kinds.values()]

    def _event_columns(self, rng: np.random.Generator, kind: Any, counts: Any) -> dict[str, Any]:
        scale = np.where(kind < 2, 15.0, np.where(kind == 2, 45.0, 40.0))
        mass = np.where(kind == 0, rng.normal(_MASS, _WIDTH, len(kind)), 20.0 + rng.exponential(1 / _SLOPE, len(kind)))
        return {
            "n_leptons": counts,
            "n_jets": rng.poisson(self.jets, len(kind)),
            "met": rng.exponential(scale),
            "m_ll": np.where(counts > 1, mass, 0.0),
        }

    def _lepton_columns(self, rng: np.random.Generator, prompt: Flags, near: Flags) -> dict[str, Any]:
        size, shape = len(prompt), (len(self.pt) - 1, len(self.eta) - 1)
        shares = (np.cumsum(self.fake_shares), np.cumsum(self.real_shares))
        spot = rng.uniform(size=size)
        places = [np.minimum(np.searchsorted(one, spot, side="right"), len(one) - 1) for one in shares]
        bins = np.where(prompt, places[1], places[0])
        found: dict[str, Any] = {}
        for name, edges, index in zip(("pt", "eta"), (self.pt, self.eta), np.unravel_index(bins, shape), strict=True):
            low, high = np.array(edges)[index], np.array(edges)[index + 1]
            found[name] = low + (high - low) * rng.uniform(size=size)
        jet = ~prompt & near & (rng.uniform(size=size) < self.overlap)
        chance = np.where(prompt, np.array(self.real)[bins], np.array(self.fake)[bins])
        tight = rng.uniform(size=size) < chance * np.where(jet, self.overlap_factor, 1.0)
        where = rng.uniform(size=size)
        found["iso"] = np.where(tight, 0.15 * where, 0.15 + 0.85 * where)
        return found | {"jet": jet.astype(np.int64), "bin": bins}

    def _charges(self, rng: np.random.Generator, kind: Any, counts: Any) -> NDArray[np.int64]:
        last = np.cumsum(counts) - 1
        charge = np.repeat(rng.choice([-1, 1], len(kind)), counts)
        opposite = np.where(kind == 0, True, (counts > 1) & (rng.uniform(size=len(kind)) >= self.equal))
        charge[last[opposite]] *= -1
        return charge

    # ---- simulation ------------------------------------------------------------------------------------------------

    def simulation(
        self, *, seed: int, size: float = 5.0, negative: float = 0.0, fakes: bool = False, sample: str = "prompt"
    ) -> Events:
        """Draw a simulation of the events whose leptons are all prompt, `size` times as many as there are in data.

        Its weights make up for the size. With `fakes`, it holds the events with fake leptons, too.

        Raises
        ------
        ConfigError
            If the size is not positive, or half of the weights or more would be negative.
        """
        if not (size > 0.0 and 0.0 <= negative < 0.5):
            raise ConfigError(
                f"a simulation has a positive size ({size:g}) and less than half of its weights negative ({negative:g})"
            )
        kept = self.events if fakes else {truth: number for truth, number in self.events.items() if "F" not in truth}
        larger = replace(
            self,
            events={truth: size * number for truth, number in kept.items()},
            z=size * self.z,
            single_prompt=size * self.single_prompt,
            single_fakes=size * self.single_fakes if fakes else 0.0,
        )
        return larger.draw(seed=seed, sample=sample, weight=1.0 / size, negative=negative)

    # ---- truth -----------------------------------------------------------------------------------------------------

    def expected(self, truth: str, tight: str, *, veto: bool = False) -> float:
        """Return the expected number of `events` of a composition whose leptons are tight (T) or not (L) in that order.

        Z decays are not among them; with `veto`, neither are events with a jet.
        """
        without = float(np.exp(-self.jets))
        chances = {"R": (self.mean_real,) * 2, "F": (self.mean_fake(near=False), self.mean_fake(near=True))}
        total = 0.0
        for near, share in enumerate((without, 0.0 if veto else 1.0 - without)):
            pairs = zip((chances[one][near] for one in truth), tight, strict=True)
            total += share * float(np.prod([chance if one == "T" else 1.0 - chance for chance, one in pairs]))
        return self.events.get(truth, 0.0) * total

    @property
    def mean_real(self) -> float:
        """The probability of a prompt lepton to be tight, all bins together."""
        return float(np.dot(self.real_shares, self.real))

    def mean_fake(self, *, near: bool = False) -> float:
        """Return the probability of a fake lepton to be tight, all bins together; `near`: in events with a jet."""
        factor = 1.0 - self.overlap + self.overlap * self.overlap_factor if near else 1.0
        return factor * float(np.dot(self.fake_shares, self.fake))

    def met_shares(self, edges: Array) -> Array:
        """Return the probability of each bin of ``met`` for `events`, shape (len(edges) - 1,)."""
        return np.asarray(-np.diff(np.exp(-np.asarray(edges) / 40.0)))

    @property
    def off_z(self) -> float:
        """Share of `events` outside the Z's mass window."""
        low, high = np.exp(-_SLOPE * (np.array([81.0, 101.0]) - 20.0))
        return float(1.0 - low + high)

    def maps(self, relative: float = 0.0) -> tuple[BinnedMap, BinnedMap]:
        """Return the true real and fake efficiency (of leptons without a jet), with a relative error of every bin."""
        import hist

        axes = (hist.axis.Variable(self.pt, name="lep_pt"), hist.axis.Variable(self.eta, name="lep_eta"))

        def one(name: str, given: tuple[float, ...]) -> BinnedMap:
            values = np.array(given)
            return BinnedMap(name, axes, values, np.diag((relative * values) ** 2), bounds=(0.0, 1.0))

        return one("real_efficiency", self.real), one("fake_efficiency", self.fake)

    @classmethod
    def spread(cls, count: int, events: float, bins: int = 20) -> Leptons:
        """Return events of `count` leptons with efficiencies ``r = 0.9 ± 0.1`` and ``f = 0.2 ± 0.1`` of the leptons.

        Every composition is as frequent. r depends on the momentum, f on the pseudorapidity: they are quantiles of
        Gaussians cut off at 0 and 1, one for each of so many bins.
        """
        from scipy.stats import truncnorm

        middles = (np.arange(bins) + 0.5) / bins
        real, fake = (truncnorm.ppf(middles, -m / 0.1, (1.0 - m) / 0.1, m, 0.1) for m in (0.9, 0.2))
        names = [format(i, f"0{count}b").replace("0", "R").replace("1", "F") for i in range(2**count)]
        return cls(
            {name: events / len(names) for name in names},
            z=0.0,
            single_fakes=0.0,
            single_prompt=0.0,
            real=tuple(np.repeat(real, bins).tolist()),
            fake=tuple(np.tile(fake, bins).tolist()),
            real_shares=(1.0 / bins**2,) * bins**2,
            fake_shares=(1.0 / bins**2,) * bins**2,
            pt=tuple(np.linspace(10.0, 110.0, bins + 1).tolist()),
            eta=tuple(np.linspace(-2.5, 2.5, bins + 1).tolist()),
        )


def leptons(
    *,
    seed: int,
    events: Mapping[str, float] | None = None,
    simulated: float = 5.0,
    negative: float = 0.0,
    fakes: bool = False,
    equal: float = 1.0,
    flip: float = 0.0,
    overlap: float = 0.0,
    overlap_factor: float = 1.0,
) -> Mapping[str, Events]:
    """Return `Leptons` as samples: ``data``, and ``prompt``, the simulation of events with prompt leptons alone.

    `simulated` is the size of the simulation in units of the data's, `negative` the share of its weights below zero;
    with `fakes`, its file also holds the events with fake leptons.
    """
    toy = Leptons(
        dict(_PAIRS if events is None else events),
        equal=equal,
        flip=flip,
        overlap=overlap,
        overlap_factor=overlap_factor,
    )
    simulation = toy.simulation(seed=seed, size=simulated, negative=negative, fakes=fakes)
    return {"data": toy.draw(seed=seed), "prompt": simulation}
