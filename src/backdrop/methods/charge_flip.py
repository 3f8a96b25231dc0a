"""Charge flip: same-sign electron pairs from opposite-sign ones, with rates measured in Z decays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..errors import ConfigError, DataError, FitError
from ..events import Events, check_finite
from ..learn.flips import Flips, Side, same_sign_probability
from ..maps import BinnedMap
from ..region import Region
from ..tasks import named_seed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = [
    "ChargeFlip",
    "ChargeFlipModel",
    "EnergyLoss",
    "Factorisation",
    "FlipRates",
    "Window",
    "factorisation",
    "measure",
    "scale_factor",
    "simulation_weights",
]


@dataclass(frozen=True)
class Window:
    """Where the Z decays of one charge combination are, and where only background is.

    Attributes
    ----------
    main
        The main window.
    sides
        The side bands; None where the main window has no background.
    kappa
        Background in the main window over that in the side bands: 1 when they are as wide.
    leak
        Z decays in the side bands over those in the main window, from simulation or a fit of the mass.
    """

    main: Region
    sides: Region | None = None
    kappa: float = 1.0
    leak: float = 0.0

    def __post_init__(self) -> None:
        if self.sides is not None and not self.main.disjoint(self.sides):
            raise ConfigError(
                f"charge flip: window '{self.main.name}' ({self.main.cut}) and side bands '{self.sides.name}' "
                f"({self.sides.cut}) may share rows"
            )
        if not (self.kappa > 0.0 and self.leak >= 0.0 and self.kappa * self.leak < 1.0):
            raise ConfigError(
                f"charge flip: kappa = {self.kappa:g} must be positive, leak = {self.leak:g} not negative, and their "
                "product below one"
            )

    @classmethod
    def around(cls, column: str, centre: float, half: float, leak: float = 0.0) -> Window:
        """Return the window of half width `half` around a mass, and as wide a stretch on each side as side bands.

        Examples
        --------
        >>> Window.around("m", 91.0, 14.0).sides
        Region('beside the Z', '(abs(m - 91.0) >= 14.0) & (abs(m - 91.0) < 28.0)')
        """
        away = f"abs({column} - {centre!r})"
        sides = Region("beside the Z", f"({away} >= {half!r}) & ({away} < {2.0 * half!r})")
        return cls(Region("Z window", f"{away} < {half!r}"), sides, 1.0, leak)


@dataclass(frozen=True)
class EnergyLoss:
    """What a flipped electron has lost: a relative shift of its momentum and a smearing.

    Attributes
    ----------
    shift
        Mean relative loss.
    smear
        Its Gaussian width.
    momentum
        The quantity that becomes smaller, such as ``pt``.
    masses
        Columns that are masses of the pair: they move with the square root.
    """

    shift: float
    smear: float = 0.0
    momentum: str = "pt"
    masses: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not (-0.5 < self.shift < 0.5 and 0.0 <= self.smear < 0.2):
            raise ConfigError(
                f"an energy loss has a shift between -0.5 and 0.5 and a smear from 0 to 0.2, not {self.shift:g} and "
                f"{self.smear:g}"
            )


@dataclass(frozen=True)
class ChargeFlip:
    """Same-sign pairs that are opposite-sign pairs with one charge measured wrongly.

    A row of the source is weighted with the odds of equal charges, ``(e1 + e2 - 2 e1 e2) / (1 - e1 - e2 + 2 e1 e2)``.
    The flip rates e of the bins of `axes` maximise the Poisson likelihood of all pairs of bins in Z decays,
    ``n_SS ~ Pois(N q + b)`` and ``n_OS ~ Pois(N (1 - q) + a)`` with ``q = e_i (1 - e_j) + e_j (1 - e_i)``, together
    with the counts of the side bands, which determine the backgrounds a and b. Pairs of bins without a same-sign pair
    count as all others.

    Attributes
    ----------
    target
        Same-sign pairs.
    source
        Opposite-sign pairs: the rows that are weighted.
    opposite, same
        Where Z decays are, in source and target: their masses differ, because a flipped electron lost energy.
    axes
        Bins of one electron, each axis named after a quantity, such as ``pt`` and ``abs_eta``.
    electrons
        The columns of the first and the second electron: ``{}`` stands for the quantity.
    form
        ``free``: a rate for each bin. ``factorised``: the product of one factor for each axis.
    background
        That of same sign. ``pooled``: two independent electrons, the same spectrum for both. ``cells``: one for each
        pair of bins.
    observed
        The sample whose rows are counted; the others are subtracted, as in ``data - prompt``.
    flow
        What an electron outside the axes is: an ``error``, or of the nearest bin (``clamp``).
    loss
        Energy that flipped electrons lost: moves the rows that are predicted.

    Assumes
    -------
    - A charge is wrong with a probability that depends on `axes` alone, independently for both electrons.
    - The electrons of the source are as those of Z decays with the same `axes`: selection and isolation included.
    - The background under the Z has the same shape in the side bands (up to kappa); where it is pooled, its two
      electrons are independent.

    Fails when
    ----------
    - The source contains pairs whose charges are random (fakes): subtract them, or they are flipped as well.
    - Bins are wide where the rate rises steeply: pairs of equal bins are not what their mean rate says.
    - A bin expects less than about two flips: the rate is not negative, so its mean is too high when most data sets
      show none (see `FlipRates.interval`, which covers).
    - The background of the same-sign window is not small against flips, and its electrons are correlated.

    Raises
    ------
    ConfigError
        If target and source may overlap, a window has no axis, or names of columns do not hold ``{}`` once.

    References
    ----------
    ATLAS, JHEP 10 (2015) 150 and Eur. Phys. J. C 79 (2019) 639: likelihood of charge misidentification.

    Examples
    --------
    >>> import hist
    >>> from backdrop import Channel, Setup, estimate
    >>> from backdrop.synthetic import FlippedPairs
    >>> toy = FlippedPairs(pairs=50_000, far=20_000)
    >>> axes = (hist.axis.Variable(toy.pt, name="pt"), hist.axis.Variable(toy.abs_eta, name="abs_eta"))
    >>> windows = Window.around("m", 91.0, 14.0), Window.around("m", 90.0, 14.0)
    >>> method = ChargeFlip(Region("SS", "charge > 0"), Region("OS", "charge < 0"), *windows, axes)
    >>> far = Channel("far", Region("far from the Z", "m > 130"))
    >>> found = estimate(Setup(method, toy.draw(seed=1)), [far], replicas=30, seed=1).total("far")
    >>> bool(abs(found.value - 20_000 * toy.same_sign) < 3 * found.total)
    True
    """

    target: Region
    source: Region
    opposite: Window
    same: Window
    axes: tuple[Any, ...]
    electrons: tuple[str, str] = ("{}1", "{}2")
    form: Literal["free", "factorised"] = "free"
    background: Literal["pooled", "cells"] = "pooled"
    observed: str = "data"
    flow: Literal["error", "clamp"] = "error"
    loss: EnergyLoss | None = None

    def __post_init__(self) -> None:
        if not self.target.disjoint(self.source):
            raise ConfigError(
                f"charge flip: target '{self.target.name}' ({self.target.cut}) and source '{self.source.name}' "
                f"({self.source.cut}) may share rows; they are same-sign and opposite-sign pairs"
            )
        if any(pattern.count("{}") != 1 for pattern in self.electrons):
            raise ConfigError(f"charge flip: the columns of both electrons hold {{}} once each: {self.electrons}")
        for what, given, known in (
            ("form", self.form, ("free", "factorised")),
            ("background", self.background, ("pooled", "cells")),
        ):
            if given not in known:
                raise ConfigError(f"charge flip: {what} is '{known[0]}' or '{known[1]}', not '{given}'")
        self.empty_map  # noqa: B018  (the map checks axes and flow)

    @property
    def empty_map(self) -> BinnedMap:
        """The map of the rates, all zero."""
        bins = int(np.prod([len(axis) for axis in self.axes]))
        return BinnedMap("flip_rate", self.axes, np.zeros(bins), np.zeros((bins, bins)), flow=self.flow)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns read besides those of the regions."""
        names = [axis.name for axis in self.axes]
        masses: tuple[str, ...] = ()
        if self.loss is not None:
            names, masses = [*names, self.loss.momentum], self.loss.masses
        return (*dict.fromkeys(one.format(name) for one in self.electrons for name in names), *masses)

    @property
    def training(self) -> Region:
        """The rows that fit reads: windows and side bands of both charge combinations."""
        found = (self.source & self.opposite.main) | (self.target & self.same.main)
        for role, window in ((self.source, self.opposite), (self.target, self.same)):
            found = found if window.sides is None else found | (role & window.sides)
        return found

    def fit(self, events: Events, *, rng: np.random.Generator) -> ChargeFlipModel:
        """Measure the flip rates.

        Raises
        ------
        DataError
            If there is no opposite-sign pair in the window, a column is not finite or outside the axes, or another
            sample has positive weights.
        FitError
            If a bin holds no electron.
        """
        return ChargeFlipModel(self.source, measure(self, events).rates, self.electrons, self.loss)


@dataclass(frozen=True, eq=False)
class ChargeFlipModel:
    """Measured flip rates: weights the opposite-sign rows, and moves them where electrons lose energy.

    Attributes
    ----------
    reads
        The opposite-sign rows.
    rates
        The flip rate of an electron.
    electrons
        The columns of the first and the second electron.
    loss
        What a flipped electron has lost.
    """

    reads: Region
    rates: BinnedMap
    electrons: tuple[str, str]
    loss: EnergyLoss | None = None

    @property
    def moves(self) -> bool:
        """Whether rows may move into or out of a region."""
        return self.loss is not None

    def predict(self, events: Events, region: Region) -> Events:
        """Return the opposite-sign rows inside `region`, after their move, weighted with the odds of equal charges."""
        if self.loss is None:
            rows = events.select(region & self.reads)
            first, second = (self._rates(rows, i) for i in (0, 1))
        else:
            rows = events.select(self.reads)
            first, second = (self._rates(rows, i) for i in (0, 1))
            inside = self._moved(rows, self.loss, first, second)
            kept = np.flatnonzero((region & self.reads).mask(inside.columns))
            rows, first, second = inside.select(region & self.reads), first[kept], second[kept]
        equal = same_sign_probability(first, second)
        return rows.with_weight(rows.weight * equal / (1.0 - equal))

    def _rates(self, rows: Events, electron: int) -> Array:
        return self.rates.evaluate(_electron(rows, self.rates.columns, self.electrons[electron], self.reads))

    def _moved(self, rows: Events, loss: EnergyLoss, first: Array, second: Array) -> Events:
        """Return the rows with one electron's momentum and the masses moved; the draws are hashes of the rows' keys."""
        from scipy.special import ndtri

        which, width = (rows.uniform(named_seed(0, "charge flip", name)) for name in ("electron", "width"))
        equal = same_sign_probability(first, second)
        of_first = which * equal < first * (1.0 - second)
        left = 1.0 - loss.shift - loss.smear * ndtri(np.maximum(width, 2.0**-54))
        moved = {name: rows[name] * np.sqrt(left) for name in loss.masses}
        for pattern, chosen in zip(self.electrons, (of_first, ~of_first), strict=True):
            name = pattern.format(loss.momentum)
            moved[name] = np.where(chosen, rows[name] * left, rows[name])
        return rows.with_columns(moved)

    def state(self) -> dict[str, Any]:
        """Return the model as plain values."""
        loss = self.loss
        return {
            "reads": [self.reads.name, self.reads.cut],
            "rates": self.rates.state(),
            "electrons": list(self.electrons),
            "loss": None if loss is None else [loss.shift, loss.smear, loss.momentum, list(loss.masses)],
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> ChargeFlipModel:
        """Restore the model from :meth:`state`."""
        loss = None
        if state["loss"] is not None:
            shift, smear, momentum, masses = state["loss"]
            loss = EnergyLoss(float(shift), float(smear), momentum, tuple(masses))
        first, second = state["electrons"]
        return cls(Region(*state["reads"]), BinnedMap.from_state(state["rates"]), (first, second), loss)


# ---- the measurement -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class FlipRates:
    """Measured flip rates.

    Attributes
    ----------
    rates
        The map, with its covariance.
    likelihood
        The likelihood of the counts.
    """

    rates: BinnedMap
    likelihood: Flips

    def __repr__(self) -> str:
        rows = []
        for place, (rate, flips) in enumerate(zip(self.rates.values, self.flips, strict=True)):
            low, high = self.interval(place)
            rows.append(f"  {self.rates.bin_label(place)}: {rate:.3g} ({low:.3g} to {high:.3g}), {flips:.3g} flips")
        return "\n".join(["FlipRates(", *rows, ")"])

    @property
    def flips(self) -> Array:
        """Expected flips of each bin's electrons in the window, shape (bins,)."""
        return self.rates.values * self.likelihood.electrons

    def interval(self, place: int, level: float = 0.6827) -> tuple[float, float]:
        """Return the interval of a bin's rate; it starts at 0 and ends at an upper limit where no flip was seen."""
        return self.likelihood.interval(place, level)


def measure(method: ChargeFlip, events: Events) -> FlipRates:
    """Measure the flip rates of each bin.

    Raises
    ------
    DataError
        If there is no opposite-sign pair in the window, a column is not finite or outside the axes, or another sample
        has positive weights.
    FitError
        If a bin holds no electron.
    """
    found, empty = _counted(method, events), method.empty_map
    if (bad := np.flatnonzero(found.electrons <= 0.0)).size:
        raise FitError(
            f"region '{method.opposite.main.name}' holds no electron of a Z decay with {empty.bin_label(int(bad[0]))}, "
            "so nothing says what its flip rate is; merge bins or widen the region"
        )
    return FlipRates(replace(empty, values=found.fitted, covariance=found.covariance()), found)


@dataclass(frozen=True)
class Factorisation:
    """A test of whether rates are products of one factor for each axis: the likelihood ratio to free rates."""

    statistic: float
    degrees: int
    p_value: float


def factorisation(method: ChargeFlip, events: Events) -> Factorisation:
    """Test whether the flip rates factorise; the p-value holds where bins have some ten flips.

    Raises
    ------
    ConfigError
        If there is one axis.
    """
    from scipy.stats import chi2

    shape = method.empty_map.shape
    if len(shape) < 2:
        raise ConfigError("flip rates of one axis have nothing to factorise")
    free, product = (_counted(replace(method, form=form), events) for form in _FORMS)
    statistic = max(2.0 * (product.value(product.best) - free.value(free.best)), 0.0)
    degrees = int(np.prod(shape) - sum(shape) + len(shape) - 1)
    return Factorisation(statistic, degrees, float(chi2.sf(statistic, degrees)) if degrees else 1.0)


_FORMS: tuple[Literal["free", "factorised"], ...] = ("free", "factorised")


@dataclass(frozen=True, eq=False)
class _Counter:
    """Counts pairs of bins."""

    method: ChargeFlip
    events: Events

    @cached_property
    def data(self) -> Events:
        return self.events.only(self.method.observed)

    @cached_property
    def scale(self) -> float:
        """The weight of one count; one for data."""
        weight = self.data.select(self.method.training).weight
        return float((weight**2).sum() / weight.sum())

    @cached_property
    def cell(self) -> NDArray[np.int64]:
        bins = self.method.empty_map.size
        first, second = np.triu_indices(bins)
        found = np.zeros((bins, bins), np.int64)
        found[first, second] = found[second, first] = np.arange(len(first))
        return found

    def fill(self, events: Events, region: Region) -> Array:
        rows, empty = events.select(region), self.method.empty_map
        first, second = (
            empty.index(_electron(rows, empty.columns, pattern, region)) for pattern in self.method.electrons
        )
        return np.bincount(self.cell[first, second], rows.weight, self.cell.max() + 1) / self.scale

    def others(self, region: Region) -> Array:
        total = np.zeros(int(self.cell.max()) + 1)
        for name in self.events.samples:
            if name != self.method.observed:
                values = self.fill(self.events.only(name), region)
                if (values > 0.0).any():
                    raise DataError(
                        f"sample '{name}' adds to the data in region '{region.name}': take it from the data, as in "
                        f"'{self.method.observed} - {name}'; where its own weights add up to less than zero, merge bins"
                    )
                total -= values
        return total

    def side(self, role: Region, window: Window) -> Side:
        main = role & window.main
        counts, others = self.fill(self.data, main), self.others(main)
        if window.sides is None:
            return Side(counts, 0.0 * counts, others)
        sides = role & window.sides
        return Side(counts, self.fill(self.data, sides), others, self.others(sides), window.kappa, window.leak)


def _counted(method: ChargeFlip, events: Events) -> Flips:
    counter = _Counter(method, events)
    counter.data.require(method.source & method.opposite.main, method.columns)
    shape = method.empty_map.shape
    return Flips(
        counter.side(method.source, method.opposite),
        counter.side(method.target, method.same),
        shape if method.form == "factorised" else (int(np.prod(shape)),),
        method.background == "pooled",
    )


def _electron(rows: Events, names: tuple[str, ...], pattern: str, region: Region) -> dict[str, Any]:
    """Return the quantities of one electron."""
    for name in names:
        check_finite(rows[pattern.format(name)], pattern.format(name), region.name)
    return {name: rows[pattern.format(name)] for name in names}


# ---- simulation ----------------------------------------------------------------------------------------------------


def scale_factor(data: BinnedMap, simulation: BinnedMap) -> BinnedMap:
    """Return the ratio of the rates in data and in simulation, with its covariance.

    Raises
    ------
    ConfigError
        If the maps have other bins.
    DataError
        If a rate of the simulation is zero.
    """
    if [[*axis.edges] for axis in data.axes] != [[*axis.edges] for axis in simulation.axes]:
        raise ConfigError("scale factors need rates of data and simulation in the same bins")
    if (bad := np.flatnonzero(simulation.values <= 0.0)).size:
        raise DataError(f"no electron flips in the simulation with {data.bin_label(int(bad[0]))}; merge bins")
    ratio = data.values / simulation.values
    by_data, by_simulation = np.diag(1.0 / simulation.values), np.diag(ratio / simulation.values)
    covariance = by_data @ data.covariance @ by_data + by_simulation @ simulation.covariance @ by_simulation
    return BinnedMap("flip_scale_factor", data.axes, ratio, covariance, flow=data.flow)


def simulation_weights(
    events: Events,
    data: BinnedMap,
    simulation: BinnedMap,
    *,
    flipped: tuple[str, str],
    electrons: tuple[str, str] = ("{}1", "{}2"),
) -> Array:
    """Return what corrects simulated pairs to the flip rates of data, shape (n,).

    A flipped electron has the weight ``e_data / e_simulation``, another one ``(1 - e_data) / (1 - e_simulation)``.

    Parameters
    ----------
    events
        The simulated pairs.
    data, simulation
        The rates.
    flipped
        Columns that say whether the first and the second electron flipped.
    electrons
        The columns of both electrons.
    """
    factor, weight = scale_factor(data, simulation), np.ones(len(events))
    for truth, pattern in zip(flipped, electrons, strict=True):
        columns = _electron(events, data.columns, pattern, Region.everything())
        kept = (1.0 - data.evaluate(columns)) / (1.0 - simulation.evaluate(columns))
        weight *= np.where(np.asarray(events[truth], np.bool_), factor.evaluate(columns), kept)
    return weight
