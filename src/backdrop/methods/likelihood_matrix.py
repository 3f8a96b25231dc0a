"""Likelihood matrix method: tight and loose counts as one Poisson model of real and fake leptons, never below zero."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..channel import Channel
from ..errors import ConfigError, DataError, FitError
from ..estimate.result import Estimate
from ..events import Events, Objects
from ..learn.composition import Number, Tight, check_fakes, plain, restored, selected, target_region
from ..learn.composition_fit import Compositions
from ..learn.efficiencies import Efficiencies
from ..learn.patterns import Bin, chances, products
from ..maps import BinnedMap
from ..region import Region
from . import efficiency
from .efficiency import Efficiency
from .lepton_counts import CompositionFit, Rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Index = NDArray[np.int64]

__all__ = ["LikelihoodMatrix", "LikelihoodMatrixModel", "exact_interval", "interval"]

_MOST = 6


@dataclass(frozen=True)
class LikelihoodMatrix:
    """Events with fake leptons, from a Poisson likelihood of the numbers of events with tight and anti-tight leptons.

    For M leptons ``n_t ~ Poisson(sum_c nu_c P(t | c))``: each of the 2^M patterns t of tight and anti-tight leptons is
    a count, each composition c of real and fake ones (RR, RF, FR, FF) a yield ``nu_c >= 0``, and
    ``P(t | c) = < prod_k e_k(t_k | c_k) >`` the average over the leptons of c, with e = r or f if lepton k is tight and
    1 - r or 1 - f if not. The efficiencies are nuisances, those of a map's bin common to all leptons in it, with the
    Gaussian constraint of their errors. Wanted are ``sum_c nu_c P(target | c)`` of the compositions with fakes.

    Where no composition is at zero the yields and errors are those of the algebraic matrix method. Where it would give
    a negative number, or r and f are close, the likelihood has a finite answer of zero or more.

    Attributes
    ----------
    leptons
        The leptons, and which are tight.
    real, fake
        Where and in which bins the efficiency is measured, or a map of it.
    tight
        The target: ``all`` leptons tight, ``not all``, or a `Number` of them.
    fakes
        The composition that is estimated: a `Number` of fake leptons, or which ones are, in their order: ``RF``.
    observed
        The sample whose rows are counts.
    per
        What has compositions of its own: each ``bin``, or each ``channel``, whose yield is then shared out among its
        bins as the rows are weighted. The sum of fits of bins is not the fit of the channel.
    prompt
        The events without fakes: ``fitted``, a free composition as all others; or ``expected``: what the other samples
        say that are taken from the data, as in ``data - prompt``, is all of it.
    selection
        Which events it is about: same-sign pairs.

    Assumes
    -------
    - Real and fake leptons pass as often as those of the same bins where r and f are measured.
    - Leptons of an event pass independently.
    - Rows of the observed sample are independent counts: unit weights, or weights of about one size.
    - Where a composition is too rare to show its own leptons (below one standard error), they are like all leptons of
      the bin.

    Fails when
    ----------
    - Fakes in the target have another composition than those of the measurement: vary its selection.
    - Counts are below about 50: profile likelihood intervals cover less or more than they say; `exact_interval` gives
      better ones.
    - Many poor bins are added up: none is below zero, so the sum is too large; use ``per="channel"``.
    - The target is sealed: the tight rows are read.

    Raises
    ------
    ConfigError
        If target or composition are none, or a choice is not one.
    DataError
        If a given map is outside 0 to 1.

    References
    ----------
    ATLAS, arXiv:2211.16178, section 2.4 (with averages over the leptons of each pattern). Scaled counts of weighted
    events: arXiv:1309.1287.

    Examples
    --------
    >>> import hist
    >>> from backdrop import Setup, estimate
    >>> pt = hist.axis.Variable([10, 50], name="lep_pt")
    >>> r, f = (BinnedMap(n, (pt,), np.array([e]), np.array([[1e-4]])) for n, e in (("real", 0.9), ("fake", 0.2)))
    >>> leptons = Objects("lep", "iso < 0.15", ("{}1",))
    >>> events = Events.of({"pt1": np.full(80, 20.0), "iso1": np.repeat([0.1, 0.4], [60, 20])})
    >>> sr = Channel("SR", Region("one lepton", "pt1 > 10"))
    >>> found = estimate(Setup(LikelihoodMatrix(leptons, r, f), events), [sr], seed=1)
    >>> found.total("SR").value.__round__(4)  # f (r N_l - (1 - r) N_t) / (r - f)
    3.4286
    >>> sorted(found.variations)
    ['counts_1', 'fake_stat_lep_pt0', 'real_stat_lep_pt0']
    """

    leptons: Objects
    real: Efficiency | BinnedMap
    fake: Efficiency | BinnedMap
    tight: Tight = "all"
    fakes: Number | str = Number(1)
    observed: str = "data"
    per: Literal["bin", "channel"] = "bin"
    prompt: Literal["fitted", "expected"] = "fitted"
    selection: Region = Region.everything()

    def __post_init__(self) -> None:
        target_region(self.leptons, self.tight)
        check_fakes(self.fakes)
        for name, value, allowed in (
            ("per", self.per, ("bin", "channel")),
            ("prompt", self.prompt, ("fitted", "expected")),
        ):
            if value not in allowed:
                raise ConfigError(
                    f"likelihood matrix method: {name} is '{allowed[0]}' or '{allowed[1]}', not '{value}'"
                )
        for given in (self.real, self.fake):
            if isinstance(given, BinnedMap):
                _check_physical(given)

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

    def fit(self, events: Events, *, rng: np.random.Generator) -> LikelihoodMatrixModel:
        """Measure the efficiencies, and fit the compositions of the rows outside the regions where that is done.

        Raises
        ------
        DataError
            If there is no such observed sample, a bin of a measurement is empty, or an efficiency unphysical.
        """
        real, fake = (
            efficiency.maps(given, name, events, self.leptons, events.weight[None, :])[0]
            for given, name in ((self.real, "real_efficiency"), (self.fake, "fake_efficiency"))
        )
        model = LikelihoodMatrixModel(self, real, fake)
        measured = efficiency.training(self.real, self.fake)
        rows = events.only(self.observed)
        inside = self.selection.mask(rows.columns) & ~measured.mask(rows.columns)
        rows = rows._take(np.flatnonzero(inside))
        if not float(rows.weight.sum()) > 0.0:
            raise DataError(
                f"sample '{self.observed}' has {len(rows)} rows with a sum of weights {rows.weight.sum():g} outside "
                f"region '{measured.name}', where the efficiencies are measured; a fit needs a positive sum"
            )
        parts = list(model.patterns(rows, Region(f"not {measured.name}", "true")))
        return LikelihoodMatrixModel(self, real, fake, {str(one.count): model.fractions(one) for one in parts})


@dataclass(frozen=True, eq=False)
class LikelihoodMatrixModel:
    """Efficiencies of real and fake leptons, and the compositions of all rows.

    Attributes
    ----------
    method
        The settings.
    real, fake
        The efficiency of a lepton.
    compositions
        Share of each composition by the number of leptons, with which rows are weighted.
    """

    method: LikelihoodMatrix
    real: BinnedMap
    fake: BinnedMap
    compositions: Mapping[str, Array] = field(default_factory=dict)

    @property
    def reads(self) -> Region:
        """The rows that are weighted: those of the selection, tight and anti-tight."""
        return self.method.selection

    @property
    def maps(self) -> tuple[BinnedMap, BinnedMap]:
        """The two efficiencies."""
        return self.real, self.fake

    def predict(self, events: Events, region: Region) -> Events:
        """Return the observed events inside `region`, each weighted with what its composition gives in the target.

        ``w = sum_c q_c P(target | c)``, where q_c is the probability of composition c of the event, given its pattern
        and the compositions of all rows. It is not negative. The yield in a channel is that of its own fit.
        """
        rows = self._observed(events.select(efficiency.within(self.method.selection, region)))
        weight = np.zeros(len(rows))
        for part in self.patterns(rows, region):
            weight[part.place] = self.share_of(part)
        return rows.with_weight(rows.weight * weight)

    def share_of(self, part: Rows) -> Array:
        """Return what each row gives in the target, shape (n,)."""
        share = self.compositions.get(str(part.count))
        if share is None:
            return np.zeros(len(part.place))
        chance = products(chances(self.values[part.cells]))
        seen = share * np.take_along_axis(chance, part.pattern[:, None, None], axis=2)[:, :, 0]
        wanted = np.einsum("nct,ct->nc", chance, selected(part.count, self.method.tight, self.method.fakes))
        total = seen.sum(axis=1)
        return np.asarray((seen * wanted).sum(axis=1) / np.where(total > 0.0, total, 1.0))

    def _observed(self, rows: Events) -> Events:
        found = np.array([name == self.method.observed for name in rows.samples], np.bool_)
        return rows._take(np.flatnonzero(found[rows.sample]))

    # ---- counts ----------------------------------------------------------------------------------------------------

    @property
    def values(self) -> Array:
        """The efficiencies of all bins, the real ones first."""
        return np.concatenate([self.real.values, self.fake.values])

    def patterns(self, rows: Events, region: Region) -> Iterator[Rows]:
        """Yield the rows of each number of leptons.

        Raises
        ------
        DataError
            If a lepton is outside a map, a column not finite, or there are too many leptons.
        FitError
            If r is below f for a lepton: the bins are named.
        """
        names = (*self.real.columns, *self.fake.columns)
        flat = efficiency.flattened(rows, self.method.leptons, names)
        efficiency.check_objects(flat, self.method.leptons, names, region)
        cells = np.stack([self.real.index(flat), self.real.size + self.fake.index(flat)], axis=1)
        self._check_above(cells, region)
        number = np.bincount(flat[efficiency.ROW], minlength=len(rows))
        loose = ~flat[f"{self.method.leptons.name}_tight"]
        for count in np.unique(number[number > 0]):
            if count > _MOST:
                raise DataError(
                    f"region '{region.name}' has rows with {count} {self.method.leptons.name}; a likelihood of "
                    f"2^{count} patterns is not fitted, the most is {_MOST}: cut the others away"
                )
            place = np.flatnonzero(number == count)
            own = (number == count)[flat[efficiency.ROW]]
            pattern = loose[own].reshape(-1, count) @ (1 << np.arange(count)[::-1])
            yield Rows(int(count), rows, place, cells[own].reshape(-1, count, 2), pattern)

    def _check_above(self, cells: Index, region: Region) -> None:
        r, f = self.values[cells].T
        if not (bad := np.flatnonzero(r < f)).size:
            return
        first = cells[bad[0]] - [0, self.real.size]
        places = [f"{one.name} in {one.bin_label(int(i))}" for one, i in zip(self.maps, first, strict=True)]
        raise FitError(
            f"likelihood matrix method, region '{region.name}': r = {r[bad[0]]:.4g} ({places[0]}) is below f = "
            f"{f[bad[0]]:.4g} ({places[1]}), for {bad.size} of {len(r)} leptons; merge poor bins, or exchange the maps"
        )

    def fractions(self, part: Rows) -> Array:
        """Return the share of each composition among some rows."""
        everything = np.ones(len(part.place), np.bool_)
        cells = np.unique(part.cells.reshape(-1, 2 * part.count), axis=0).reshape(-1, part.count, 2)
        sums = part.sums(everything, cells)
        none = np.zeros_like(sums[0])
        one = Bin.of(cells, sums, (none, none), self.values, np.ones((2**part.count,) * 2))
        (yields,) = Compositions((one,), Efficiencies(self.values, np.zeros((len(self.values), 0)), ())).best.yields
        return np.asarray(yields / max(float(yields.sum()), 1e-300))

    def bins(self, events: Events, channels: Sequence[Channel]) -> Estimate:
        """Return the yields in the bins of the channels with their profile likelihood uncertainty.

        Variations ``counts_1`` … are the counts' own, with the efficiencies of the best fit; those of the efficiencies
        have the names of the maps' nuisances (``real_stat_lep_pt0``): the fit with that measurement moved up and down.

        Raises
        ------
        DataError
            If a channel has no rows, or a pattern a negative sum of weights; and as `patterns`.
        """
        return CompositionFit.of(self, events, channels).estimate()

    def likelihood(self, events: Events, channels: Sequence[Channel]) -> Compositions:
        """Return the likelihood of the counts: a bin of it for each part of a channel and number of leptons there."""
        return CompositionFit.of(self, events, channels).likelihood

    def state(self) -> dict[str, Any]:
        """Return the model as plain values."""
        given = self.method
        return {
            "real": self.real.state(),
            "fake": self.fake.state(),
            "leptons": given.leptons.state(),
            "tight": plain(given.tight),
            "fakes": plain(given.fakes),
            "choices": [given.observed, given.per, given.prompt],
            "selection": [given.selection.name, given.selection.cut],
            "compositions": dict(self.compositions),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> LikelihoodMatrixModel:
        """Restore the model from :meth:`state`."""
        leptons = Objects.from_state(state["leptons"])
        real, fake = BinnedMap.from_state(state["real"]), BinnedMap.from_state(state["fake"])
        tight, fakes = restored(state["tight"]), restored(state["fakes"])
        rest = (*state["choices"], Region(*state["selection"]))
        method = LikelihoodMatrix(leptons, real, fake, tight, fakes, *rest)
        return cls(method, real, fake, {key: np.asarray(one) for key, one in state["compositions"].items()})


def _check_physical(given: BinnedMap) -> None:
    if (bad := np.flatnonzero((given.values < 0.0) | (given.values > 1.0))).size:
        raise DataError(
            f"map '{given.name}' is {given.values[bad[0]]:.4g} in bin {given.bin_label(int(bad[0]))}: an efficiency is "
            "from 0 to 1; use fewer bins, merge poor ones, or correct what is subtracted"
        )


def interval(method: LikelihoodMatrix, region: Region, events: Events, *, level: float = 0.6827) -> tuple[float, float]:
    """Return the profile likelihood interval of the yield in a channel region, efficiencies included.

    Raises
    ------
    DataError
        As the fit.
    """
    from scipy.stats import chi2

    fit = _one(method, region, events)
    high, low = fit.likelihood.interval(np.ones(len(fit.likelihood.bins)), float(chi2.ppf(level, 1)) / 2.0)
    return float(low.sum()), float(high.sum())


def exact_interval(
    method: LikelihoodMatrix, region: Region, events: Events, *, level: float = 0.6827, toys: int = 2000, seed: int = 1
) -> tuple[float, float]:
    """Return the interval of the yield in a channel region from toys, for counts below about 50.

    It is that of the counts alone: the efficiencies are taken as known.

    Raises
    ------
    DataError
        If events have different numbers of leptons; and as the fit.
    """
    fit = _one(method, region, events)
    if len(fit.likelihood.bins) != 1:
        raise DataError(
            f"region '{region.name}' has events of {len(fit.likelihood.bins)} numbers of leptons; an exact interval is "
            "that of one: cut in the region"
        )
    return fit.likelihood.mixture(0).exact(fit.likelihood.bins[0].counts, level, toys, seed)


def _one(method: LikelihoodMatrix, region: Region, events: Events) -> CompositionFit:
    model = method.fit(events.sorted(), rng=np.random.default_rng(0))
    return CompositionFit.of(model, events, [Channel("wanted", region)])
