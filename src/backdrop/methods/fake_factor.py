"""Fake factor: fake leptons in the tight selection from events with anti-tight ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DataError
from ..events import Events, Objects
from ..maps import BinnedMap
from ..region import Region
from . import efficiency
from .efficiency import Efficiency

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["FakeFactor", "FakeFactorModel"]

_POSITIVE = (0.0, np.inf)


@dataclass(frozen=True)
class FakeFactor:
    """Events with at least one fake lepton among their tight ones, from events with anti-tight leptons.

    An event of any number of leptons, at least one of them anti-tight, has the weight ``- prod (-F_k)`` over its
    anti-tight leptons: ``+F`` for one, ``-F_1 F_2`` for two. ``F = f / (1 - f)`` is the number of tight over
    anti-tight fake leptons, measured in a fake-enriched region. Signed weights are the subtraction of prompt leptons,
    there and where the factor is applied: pass ``data - prompt``.

    Attributes
    ----------
    leptons
        The leptons, and which are tight.
    factor
        Where and in which bins the factor is measured, or a map of it.
    selection
        Which events it is about, in target and source alike: same-sign pairs.

    Assumes
    -------
    - A fake lepton passes as often as one of the same bin in the fake-enriched region: same composition (heavy
      flavour, conversions, misidentified hadrons), same trigger.
    - The prompt sample holds only events whose selected leptons are all prompt (charge flips included).
    - Leptons of an event pass independently.

    Fails when
    ----------
    - Fakes in the target have another composition than those of the measurement: vary its selection (jet
      multiplicity, missing momentum), each as a variation.
    - Prompt leptons dominate the measurement: the factor is then the difference of large numbers.
    - Events with fake leptons are left in the prompt sample: they are subtracted, and predicted once less.
    - Anti-tight leptons are cut by what is not simulated: overlap with jets, triggers with isolation.

    Raises
    ------
    DataError
        If a given map is below 0. In fit: if a bin has no anti-tight lepton, or an unphysical number of them; bin and
        sums are named.

    References
    ----------
    L. Calic, "Data-driven background estimation" (fake factor, systematics); ATLAS, JINST 18 (2023) T11004.

    Examples
    --------
    >>> import hist
    >>> pt = hist.axis.Variable([10, 50], name="lep_pt")
    >>> rate = BinnedMap("fake_factor", (pt,), np.array([0.25]), np.zeros((1, 1)))
    >>> leptons = Objects("lep", "iso < 0.15", ("{}1", "{}2"))
    >>> pairs = Events.of({"pt1": [20.0] * 3, "iso1": [0.1, 0.4, 0.4], "pt2": [30.0] * 3, "iso2": [0.4, 0.1, 0.4]})
    >>> model = FakeFactor(leptons, rate).fit(pairs, rng=np.random.default_rng(1))
    >>> model.predict(pairs, Region.everything()).weight
    array([ 0.25  ,  0.25  , -0.0625])
    """

    leptons: Objects
    factor: Efficiency | BinnedMap
    selection: Region = Region.everything()

    def __post_init__(self) -> None:
        self.leptons.all_tight()
        if isinstance(self.factor, BinnedMap):
            efficiency.bounded(self.factor, _POSITIVE)

    @property
    def target(self) -> Region:
        """The rows that are observed: all leptons tight."""
        return efficiency.within(self.selection, self.leptons.all_tight())

    @property
    def source(self) -> Region:
        """The rows that are weighted: at least one lepton anti-tight."""
        return efficiency.within(self.selection, ~self.leptons.all_tight())

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns read besides those of the regions."""
        return efficiency.columns(self.leptons, self.factor)

    @property
    def training(self) -> Region:
        """The rows that fit reads: those in which the factor is measured."""
        return efficiency.training(self.factor)

    def fit(self, events: Events, *, rng: np.random.Generator) -> FakeFactorModel:
        """Measure the fake factor.

        Raises
        ------
        DataError
            If a bin of the measurement is empty or unphysical, or a column not finite.
        """
        return self.fit_members(events, events.weight[None, :], rngs=[rng])[0]

    def fit_members(
        self, events: Events, weights: Array, *, rngs: Sequence[np.random.Generator]
    ) -> tuple[FakeFactorModel, ...]:
        """Measure one fake factor for each row of weights, shape (members, n)."""
        if isinstance(self.factor, BinnedMap):
            return (FakeFactorModel(self.source, self.leptons, self.factor),) * len(weights)
        measured = efficiency.maps(self.factor, "fake_efficiency", events, self.leptons, weights)
        return tuple(FakeFactorModel(self.source, self.leptons, fake_factor(one)) for one in measured)

    def variations(self) -> Mapping[str, tuple[FakeFactor, FakeFactor]]:
        """Return the up and down settings of each nuisance of a map that is given."""
        pairs = efficiency.nuisances("fake", self.factor, _POSITIVE)
        return {name: (replace(self, factor=up), replace(self, factor=down)) for name, (up, down) in pairs.items()}


def fake_factor(fake_efficiency: BinnedMap) -> BinnedMap:
    """Return ``F = f / (1 - f)`` of a map of fake efficiencies, its covariance and systematics with it.

    Raises
    ------
    DataError
        If an efficiency is 1 or more: there is no anti-tight lepton in the bin.

    Examples
    --------
    >>> import hist
    >>> pt = hist.axis.Variable([10, 50], name="lep_pt")
    >>> fake_factor(BinnedMap("fake_efficiency", (pt,), np.array([0.2]), np.array([[0.0064]]))).errors
    array([0.125])
    """
    f = fake_efficiency.values
    if (bad := np.flatnonzero(f >= 1.0)).size:
        raise DataError(
            f"the fake efficiency is {f[bad[0]]:.4g} in bin {fake_efficiency.bin_label(int(bad[0]))}, of all events or "
            "of a resample: no anti-tight lepton there, so no fake factor; use fewer bins, or merge poor ones (merge)"
        )
    slope = 1.0 / (1.0 - f) ** 2
    covariance = slope[:, None] * fake_efficiency.covariance * slope
    moved = {name: (up / (1.0 - up), down / (1.0 - down)) for name, (up, down) in fake_efficiency.variations.items()}
    low = 0.0 if (f >= 0.0).all() else -np.inf
    values = f / (1.0 - f)
    return BinnedMap(
        "fake_factor", fake_efficiency.axes, values, covariance, moved, fake_efficiency.flow, (low, np.inf)
    )


@dataclass(frozen=True, eq=False)
class FakeFactorModel:
    """A fake factor: weights the events with anti-tight leptons.

    Attributes
    ----------
    reads
        The events with at least one anti-tight lepton.
    leptons
        The leptons.
    factor
        The fake factor of a lepton.
    """

    reads: Region
    leptons: Objects
    factor: BinnedMap

    @property
    def maps(self) -> tuple[BinnedMap, ...]:
        """The fake factor."""
        return (self.factor,)

    def predict(self, events: Events, region: Region) -> Events:
        """Return the events with anti-tight leptons inside `region`, weighted with the product of fake factors."""
        self.check_rows(events, region)
        rows = events.select(region & self.reads)
        return rows.with_weight(rows.weight * self.factors(rows, [self])[0])

    def check_rows(self, events: Events, region: Region) -> None:
        """Raise a DataError if an undefined value hides whether a row of `region` has an anti-tight lepton."""
        inside = region.mask(events.columns)
        unknown = inside & self.reads.possible(events.columns) & ~self.reads.mask(events.columns)
        if unknown.any():
            raise DataError(
                f"{int(unknown.sum())} of {int(inside.sum())} rows in region '{region.name}' (samples: "
                f"{', '.join(events.samples)}) may be in '{self.reads.name}' or not: a value of "
                f"{', '.join(sorted(self.reads.columns))} is NaN; cut them away in the region, or clean the input"
            )

    def factors(self, rows: Events, models: Sequence[FakeFactorModel]) -> Array:
        """Return what rows that all have anti-tight leptons are weighted with by models of one fit, (members, n)."""
        if not len(rows):
            return np.zeros((len(models), 0))
        flat = efficiency.flattened(rows, self.leptons, self.factor.columns)
        loose = flat._take(np.flatnonzero(~flat[f"{self.leptons.name}_tight"]))
        efficiency.check_objects(loose, self.leptons, self.factor.columns, self.reads)
        each = -np.stack([one.factor.values for one in models])[:, self.factor.index(loose)]
        return -np.multiply.reduceat(each, np.searchsorted(loose[efficiency.ROW], np.arange(len(rows))), axis=1)

    def state(self) -> dict[str, Any]:
        """Return the model as plain values."""
        return {
            "reads": [self.reads.name, self.reads.cut],
            "leptons": self.leptons.state(),
            "factor": self.factor.state(),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> FakeFactorModel:
        """Restore the model from :meth:`state`."""
        leptons, factor = Objects.from_state(state["leptons"]), BinnedMap.from_state(state["factor"])
        return cls(Region(*state["reads"]), leptons, factor)
