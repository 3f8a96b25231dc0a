"""Matrix method: fake leptons from how many leptons are tight, given how often prompt and fake ones are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..errors import ConfigError, DataError, FitError
from ..events import Events, Objects
from ..learn.composition import Number, check_fakes, matrix_weights, plain, restored, target_region
from ..maps import BinnedMap
from ..region import Region
from . import efficiency
from .efficiency import Efficiency

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Index = NDArray[np.int64]

__all__ = ["MatrixMethod", "MatrixModel", "Number"]


@dataclass(frozen=True)
class MatrixMethod:
    """Events with fake leptons, from the numbers of events with tight and anti-tight leptons.

    For one lepton ``(N_t, N_l) = [[r, f], [1 - r, 1 - f]] (N_r, N_f)`` with the efficiencies r of prompt and f of fake
    leptons; for M of them the matrix is the tensor product of theirs, each with its own r and f. It is inverted, and
    multiplied with the efficiencies of the leptons that are wanted, so that every event has a weight. For all M tight
    and at least one fake that is ``1[all tight] - prod_k r_k (t_k - f_k) / (r_k - f_k)`` with t = 1 for a tight and 0
    for an anti-tight lepton. All events are weighted, those of the target too.

    Attributes
    ----------
    leptons
        The leptons, and which are tight.
    real, fake
        Where and in which bins the efficiency is measured, or a map of it.
    tight
        The target: ``all`` leptons tight, ``not all``, or a `Number` of them; ``Number(0)`` is the loose selection.
    fakes
        The composition that is estimated: a `Number` of fake leptons, or which ones are, in their order: ``RF``.
    closest
        The smallest difference ``r - f`` of a lepton; weights grow with its inverse.
    sample
        The rows of this sample alone are weighted, and the others subtracted only where an efficiency is measured.
        Without it, ``data - prompt`` also subtracts what the prompt events are estimated to be.
    selection
        Which events it is about: same-sign pairs.

    Assumes
    -------
    - Prompt and fake leptons pass as often as those of the same bins where r and f are measured: same composition of
      the fakes (heavy flavour, conversions, misidentified hadrons), same trigger.
    - Leptons of an event pass independently.
    - The prompt sample holds only events whose selected leptons are all prompt (charge flips included).

    Fails when
    ----------
    - r and f are close: the weights, and errors, grow with ``1 / (r - f)`` for each lepton.
    - There are few events: the estimate may be negative, and its error is not Gaussian. The likelihood form is not.
    - Fakes in the target have another composition than those of the measurement: vary its selection.
    - The target is sealed: the tight rows are read. The fake factor does not need them.

    Raises
    ------
    ConfigError
        If target or composition are none, or `closest` is not between 0 and 1.
    DataError
        If a given map is outside 0 to 1.

    References
    ----------
    L. Calic, "Data-driven background estimation" (matrix method); ATLAS, JINST 18 (2023) T11004.

    Examples
    --------
    >>> import hist
    >>> pt = hist.axis.Variable([10, 50], name="lep_pt")
    >>> r, f = (BinnedMap(n, (pt,), np.array([e]), np.zeros((1, 1))) for n, e in (("real", 0.9), ("fake", 0.2)))
    >>> leptons = Objects("lep", "iso < 0.15", ("{}1",))
    >>> events = Events.of({"pt1": [20.0, 20.0], "iso1": [0.1, 0.4]})
    >>> model = MatrixMethod(leptons, r, f).fit(events, rng=np.random.default_rng(1))
    >>> model.predict(events, Region.everything()).weight.round(6)  # f (r - 1) / (r - f) and r f / (r - f)
    array([-0.028571,  0.257143])
    """

    leptons: Objects
    real: Efficiency | BinnedMap
    fake: Efficiency | BinnedMap
    tight: Literal["all", "not all"] | Number = "all"
    fakes: Number | str = Number(1)
    closest: float = 0.05
    sample: str | None = None
    selection: Region = Region.everything()

    def __post_init__(self) -> None:
        target_region(self.leptons, self.tight)
        check_fakes(self.fakes)
        if not 0.0 < self.closest < 1.0:
            raise ConfigError(f"matrix method: the smallest difference r - f is between 0 and 1, not {self.closest:g}")
        for given, kind in ((self.real, "real"), (self.fake, "fake")):
            if isinstance(given, BinnedMap):
                _check_physical(given, kind)

    @property
    def target(self) -> Region:
        """The rows that are observed: those with as many tight leptons."""
        return efficiency.within(self.selection, target_region(self.leptons, self.tight))

    @property
    def reads(self) -> Region:
        """The rows that are read in a channel: tight and anti-tight ones, so none of it may be sealed."""
        return self.selection

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns read besides those of the regions."""
        return efficiency.columns(self.leptons, self.real, self.fake)

    @property
    def training(self) -> Region:
        """The rows that fit reads: those in which the efficiencies are measured."""
        return efficiency.training(self.real, self.fake)

    def fit(self, events: Events, *, rng: np.random.Generator) -> MatrixModel:
        """Measure the efficiencies.

        Raises
        ------
        DataError
            If a bin of a measurement is empty, or an efficiency unphysical: its bin is named; or there is no such
            sample.
        """
        model = self.fit_members(events, events.weight[None, :], rngs=[rng])[0]
        _check_physical(model.real, "real")
        _check_physical(model.fake, "fake")
        return model

    def fit_members(
        self, events: Events, weights: Array, *, rngs: Sequence[np.random.Generator]
    ) -> tuple[MatrixModel, ...]:
        """Measure the efficiencies once for each row of weights, shape (members, n)."""
        if self.sample is not None:
            events.only(self.sample)
        real, fake = (
            efficiency.maps(given, name, events, self.leptons, weights)
            for given, name in ((self.real, "real_efficiency"), (self.fake, "fake_efficiency"))
        )
        rest = (self.leptons, self.tight, self.fakes, self.closest, self.sample, self.selection)
        return tuple(MatrixModel(r, f, *rest) for r, f in zip(real, fake, strict=True))

    def variations(self) -> Mapping[str, tuple[MatrixMethod, MatrixMethod]]:
        """Return the up and down settings of each nuisance of the maps that are given."""
        pairs = {
            name: (kind, sides)
            for kind, given in (("real", self.real), ("fake", self.fake))
            for name, sides in efficiency.nuisances(kind, given).items()
        }
        return {name: (self._with(kind, up), self._with(kind, down)) for name, (kind, (up, down)) in pairs.items()}

    def _with(self, kind: str, given: BinnedMap) -> MatrixMethod:
        return replace(self, real=given) if kind == "real" else replace(self, fake=given)


@dataclass(frozen=True, eq=False)
class MatrixModel:
    """Efficiencies of prompt and fake leptons: weights all events.

    Attributes
    ----------
    real, fake
        The efficiency of a lepton.
    leptons, tight, fakes, closest, sample, selection
        As in `MatrixMethod`.
    """

    real: BinnedMap
    fake: BinnedMap
    leptons: Objects
    tight: Literal["all", "not all"] | Number = "all"
    fakes: Number | str = Number(1)
    closest: float = 0.05
    sample: str | None = None
    selection: Region = Region.everything()

    @property
    def reads(self) -> Region:
        """The rows that are weighted: those of the selection, tight and anti-tight."""
        return self.selection

    @property
    def needs(self) -> Region:
        """The rows with an anti-tight lepton: without any, nothing says how many fakes there are."""
        return ~self.leptons.all_tight()

    @property
    def maps(self) -> tuple[BinnedMap, ...]:
        """Real and fake efficiency."""
        return (self.real, self.fake)

    def predict(self, events: Events, region: Region) -> Events:
        """Return the events inside `region`, weighted with what they say of the composition in the target.

        Raises
        ------
        FitError
            If r is not above f by the smallest difference allowed, for a lepton: the bins are named.
        DataError
            If a lepton is outside a map, or a column not finite.
        """
        rows = events.select(efficiency.within(self.selection, region))
        return rows.with_weight(rows.weight * self._factors(rows, [self], region)[0])

    def factors(self, rows: Events, models: Sequence[MatrixModel]) -> Array:
        """Return what each row is weighted with by models of one fit, shape (members, n)."""
        return self._factors(rows, models, self.reads)

    def _factors(self, rows: Events, models: Sequence[MatrixModel], region: Region) -> Array:
        out = np.zeros((len(models), len(rows)))
        where = self._weighted(rows)
        names = (*self.real.columns, *self.fake.columns)
        flat = efficiency.flattened(rows._take(where), self.leptons, names)
        efficiency.check_objects(flat, self.leptons, names, region)
        offsets = np.searchsorted(flat[efficiency.ROW], np.arange(len(where) + 1))
        tight = flat[f"{self.leptons.name}_tight"]
        bins = self.real.index(flat), self.fake.index(flat)
        for model, weights in zip(models, out, strict=True):
            real, fake = model.real.values[bins[0]], model.fake.values[bins[1]]
            self._check_apart(bins, real, fake, region)
            weights[where] = matrix_weights(real, fake, tight, offsets, target=self.tight, fakes=self.fakes)
        return out

    def _weighted(self, rows: Events) -> NDArray[np.int64]:
        """Return the rows of the sample that is weighted."""
        found = np.array([self.sample in (None, name) for name in rows.samples], np.bool_)
        return np.flatnonzero(found[rows.sample])

    def _check_apart(self, bins: tuple[Index, Index], real: Array, fake: Array, region: Region) -> None:
        bad = np.flatnonzero(~(real - fake >= self.closest))
        if not bad.size:
            return
        first = bad[0]
        r, f = (
            f"{values[first]:.4g} ({one.name} in {one.bin_label(int(index[first]))})"
            for one, values, index in zip(self.maps, (real, fake), bins, strict=True)
        )
        what = "not above" if real[first] <= fake[first] else f"less than {self.closest:g} above"
        raise FitError(
            f"matrix method, region '{region.name}': r = {r} is {what} f = {f}, for {bad.size} of {len(real)} leptons, "
            "so that tight leptons do not tell prompt from fake ones; merge bins, tighten the selection, cut these "
            "leptons away, lower 'closest', or use the likelihood form"
        )

    def state(self) -> dict[str, Any]:
        """Return the model as plain values."""
        return {
            "real": self.real.state(),
            "fake": self.fake.state(),
            "leptons": self.leptons.state(),
            "tight": plain(self.tight),
            "fakes": plain(self.fakes),
            "closest": self.closest,
            "sample": self.sample,
            "selection": [self.selection.name, self.selection.cut],
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> MatrixModel:
        """Restore the model from :meth:`state`."""
        return cls(
            BinnedMap.from_state(state["real"]),
            BinnedMap.from_state(state["fake"]),
            Objects.from_state(state["leptons"]),
            restored(state["tight"]),
            restored(state["fakes"]),
            float(state["closest"]),
            state["sample"],
            Region(*state["selection"]),
        )


def _check_physical(given: BinnedMap, kind: str) -> None:
    """Raise a DataError if a real efficiency is not above 0 and up to 1, or a fake one not from 0 and below 1."""
    values = given.values
    bad = (values <= 0.0) | (values > 1.0) if kind == "real" else (values < 0.0) | (values >= 1.0)
    if bad.any():
        place, allowed = (
            int(np.flatnonzero(bad)[0]),
            "above 0, and 1 at most" if kind == "real" else "0 or more, below 1",
        )
        raise DataError(
            f"map '{given.name}' is {values[place]:.4g} in bin {given.bin_label(place)}: a {kind} efficiency is "
            f"{allowed}; use fewer bins, merge poor ones, correct what is subtracted, or give a map bounds=(0, 1)"
        )
