"""Flip rates: pairs counted in bins of both electrons, rates measured from them, and what corrects a simulation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..errors import ConfigError, DataError, FitError
from ..events import Events, check_finite
from ..learn.flips import Flips, Side
from ..maps import BinnedMap
from ..region import Region

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .charge_flip import ChargeFlip, Window

    Array = NDArray[np.float64]
    Index = NDArray[np.int64]

__all__ = ["Factorisation", "FlipRates", "factorisation", "measure", "scale_factor", "simulation_weights"]


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
    return measured(Cells.of(method, events), events.weight)


def measured(cells: Cells, weight: Array) -> FlipRates:
    """Measure the flip rates with weights of the rows.

    Raises
    ------
    FitError
        If a bin holds no electron.
    """
    found, empty = cells.likelihood(weight), cells.method.empty_map
    if (bad := np.flatnonzero(found.electrons <= 0.0)).size:
        raise FitError(
            f"region '{cells.opposite[0].region.name}' holds no electron of a Z decay with "
            f"{empty.bin_label(int(bad[0]))}, so nothing says what its flip rate is; merge bins or widen the region"
        )
    return FlipRates(replace(empty, values=found.fitted, covariance=found.covariance()), found)


@dataclass(frozen=True)
class Factorisation:
    """A test of whether rates are products of one factor for each axis: the likelihood ratio to free rates."""

    statistic: float
    degrees: int
    p_value: float

    def __repr__(self) -> str:
        return f"Factorisation(statistic {self.statistic:.4g}, degrees of freedom {self.degrees}, p {self.p_value:.4g})"


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
    cells = Cells.of(method, events)
    free, product = (replace(cells, method=replace(method, form=form)).likelihood(events.weight) for form in _FORMS)
    statistic = max(2.0 * (product.value(product.best) - free.value(free.best)), 0.0)
    degrees = int(np.prod(shape) - sum(shape) + len(shape) - 1)
    return Factorisation(statistic, degrees, float(chi2.sf(statistic, degrees)) if degrees else 1.0)


_FORMS: tuple[Literal["free", "factorised"], ...] = ("free", "factorised")


@dataclass(frozen=True, eq=False)
class _Part:
    """The rows of one region, and the cell of each."""

    region: Region
    rows: Index
    cells: Index

    @classmethod
    def of(cls, method: ChargeFlip, numbered: Events, region: Region) -> _Part:
        rows, empty = numbered.select(region), method.empty_map
        first, second = (empty.index(electron(rows, empty.columns, one, region)) for one in method.electrons)
        low, high = np.minimum(first, second), np.maximum(first, second)
        return cls(region, rows[_ROW], low * empty.size - low * (low + 1) // 2 + high)


@dataclass(frozen=True, eq=False)
class Cells:
    """The rows of windows and side bands, each with its pair of bins; there may be no side bands."""

    method: ChargeFlip
    events: Events
    opposite: tuple[_Part, _Part | None]
    same: tuple[_Part, _Part | None]

    @classmethod
    def of(cls, method: ChargeFlip, events: Events) -> Cells:
        """Find the cell of each row.

        Raises
        ------
        DataError
            If there is no opposite-sign pair in the window, or a column is not finite or outside the axes.
        """
        events.only(method.observed).require(method.source & method.opposite.main, method.columns)
        numbered = events.with_columns({_ROW: np.arange(len(events))})

        def parts(role: Region, window: Window) -> tuple[_Part, _Part | None]:
            main = _Part.of(method, numbered, role & window.main)
            return main, None if window.sides is None else _Part.of(method, numbered, role & window.sides)

        return cls(method, events, parts(method.source, method.opposite), parts(method.target, method.same))

    @cached_property
    def samples(self) -> dict[str, NDArray[np.bool_]]:
        """Which rows are of each sample."""
        return {name: self.events.sample == code for code, name in enumerate(self.events.samples)}

    def likelihood(self, weight: Array) -> Flips:
        """Return the likelihood of the counts that rows of these weights have."""
        read = np.concatenate([part.rows for part in (*self.opposite, *self.same) if part is not None])
        counted = weight[read][self.samples[self.method.observed][read]]
        # the weight of one count; one for data
        scale = float((counted**2).sum() / counted.sum())
        empty = self.method.empty_map
        return Flips(
            self._side(self.opposite, self.method.opposite, weight / scale),
            self._side(self.same, self.method.same, weight / scale),
            empty.shape if self.method.form == "factorised" else (empty.size,),
            self.method.background == "pooled",
        )

    def _side(self, parts: tuple[_Part, _Part | None], window: Window, weight: Array) -> Side:
        main, sides = parts
        counts, others = self._filled(main, self.method.observed, weight), self._others(main, weight)
        if sides is None:
            return Side(counts, 0.0 * counts, others)
        beside = self._filled(sides, self.method.observed, weight)
        return Side(counts, beside, others, self._others(sides, weight), window.kappa, window.leak)

    def _filled(self, part: _Part, sample: str, weight: Array) -> Array:
        size = self.method.empty_map.size
        chosen = np.where(self.samples[sample], weight, 0.0)[part.rows]
        return np.bincount(part.cells, chosen, size * (size + 1) // 2).astype(np.float64)

    def _others(self, part: _Part, weight: Array) -> Array:
        total = np.zeros(1)
        for name in (one for one in self.samples if one != self.method.observed):
            values = self._filled(part, name, weight)
            if (values > 0.0).any():
                raise DataError(
                    f"sample '{name}' adds to the data in region '{part.region.name}': take it from the data, as in "
                    f"'{self.method.observed} - {name}'; where its own weights add up to less than zero, merge bins"
                )
            total = total - values
        return total


_ROW = "__row"


def electron(rows: Events, names: tuple[str, ...], pattern: str, region: Region) -> dict[str, Any]:
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
    return BinnedMap("flip_scale_factor", data.axes, ratio, covariance, flow=data.flow, bounds=(0.0, np.inf))


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
        columns = electron(events, data.columns, pattern, Region.everything())
        kept = (1.0 - data.evaluate(columns)) / (1.0 - simulation.evaluate(columns))
        weight *= np.where(np.asarray(events[truth], np.bool_), factor.evaluate(columns), kept)
    return weight
