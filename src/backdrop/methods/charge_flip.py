"""Charge flip: same-sign electron pairs from opposite-sign ones, with rates measured in Z decays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..errors import ConfigError
from ..events import Events
from ..learn.flips import same_sign_probability
from ..maps import BinnedMap
from ..region import Region
from ..tasks import named_seed
from .flip_rates import Cells, electron, measured

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["ChargeFlip", "ChargeFlipModel", "EnergyLoss", "Window"]


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
        Region('beside the Z', '((m > 63.0) & (m <= 77.0)) | ((m > 105.0) & (m <= 119.0))')
        """
        far, low, high, end = (f"{centre + times * half!r}" for times in (-2.0, -1.0, 1.0, 2.0))
        main = Region("Z window", _within(column, low, high))
        sides = Region("beside the Z", f"({_within(column, far, low)}) | ({_within(column, high, end)})")
        return cls(main, sides, 1.0, leak)


def _within(column: str, low: str, high: str) -> str:
    return f"({column} > {low}) & ({column} <= {high})"


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
      show none (see `backdrop.methods.flip_rates.FlipRates.interval`, which covers).
    - The background of the same-sign window is not small against flips, and its electrons are correlated.
    - Same-sign side bands hold little but leakage: their background is not negative, so that rates are too low by up to
      half their error; leave the side bands out where there is no background.
    - About one event a bin is in the same-sign side bands: the likelihood has several maxima. The best of two is taken.

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
        zero, none = np.zeros(bins), np.zeros((bins, bins))
        return BinnedMap("flip_rate", self.axes, zero, none, flow=self.flow, bounds=(0.0, 1.0))

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
        return self.fit_members(events, events.weight[None, :], rngs=[rng])[0]

    def fit_members(
        self, events: Events, weights: Array, *, rngs: Sequence[np.random.Generator]
    ) -> tuple[ChargeFlipModel, ...]:
        """Measure the flip rates for each row of weights, shape (members, n)."""
        cells = Cells.of(self, events)
        maps = [measured(cells, weight).rates for weight in weights]
        return tuple(ChargeFlipModel(self.source, rates, self.electrons, self.loss) for rates in maps)


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

    @property
    def maps(self) -> tuple[BinnedMap, ...]:
        """The flip rate of an electron."""
        return (self.rates,)

    def predict(self, events: Events, region: Region) -> Events:
        """Return the opposite-sign rows inside `region`, after their move, weighted with the odds of equal charges."""
        rows = events.select(self.reads if self.moves else region & self.reads)
        first, second = (self._rates(rows, pattern) for pattern in self.electrons)
        equal = same_sign_probability(first, second)
        found = rows.with_weight(rows.weight * equal / (1.0 - equal))
        if self.loss is None:
            return found
        return self._moved(found, self.loss, first * (1.0 - second), equal).select(region & self.reads)

    def _rates(self, rows: Events, pattern: str) -> Array:
        return self.rates.evaluate(electron(rows, self.rates.columns, pattern, self.reads))

    def _moved(self, rows: Events, loss: EnergyLoss, first: Array, either: Array) -> Events:
        """Return the rows with masses and one momentum moved; `first` and `either` are the flips' probabilities.

        The draws are hashes of the rows' keys.
        """
        from scipy.special import ndtri

        which, width = (rows.uniform(named_seed(0, "charge flip", name)) for name in ("electron", "width"))
        of_first = which * either < first
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
