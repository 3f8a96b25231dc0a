"""Transfer factors: constant, per bin, a polynomial of a variable, or the exponential of one along an axis."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..channel import Channel, axis_from_state, axis_state
from ..errors import ConfigError, FitError
from ..events import Events, as_numbers, check_finite
from ..region import Region

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["Binned", "Chebyshev", "Constant", "Factors", "Polynomial", "Transfer", "transfer_from_state"]

_SINGULAR = 1e-9


@dataclass(frozen=True)
class Constant:
    """One transfer factor for all rows."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns the transfer factor reads: none."""
        return ()

    def scale(self, events: Events) -> tuple[float, float]:
        """Return origin and unit of the variable."""
        return 0.0, 1.0

    def basis(self, events: Events, scale: tuple[float, float]) -> Array:
        """Return the basis functions of each row, shape (n, 1)."""
        return np.ones((len(events), 1))

    def solve(self, matrices: Array, moments: Array, where: Region) -> Array:
        """Return the coefficients, shape (members, 1), from D-sums (members, 1, 1) and C-sums (members, 1).

        Raises
        ------
        FitError
            If a member's denominator has no positive sum of weights.
        """
        below = matrices[:, 0, 0]
        _positive(below, where, "")
        return moments / below[:, None]

    def state(self) -> dict[str, Any]:
        """Return the transfer factor's form as plain values."""
        return {"kind": "Constant"}


@dataclass(frozen=True)
class Binned:
    """One transfer factor for each bin of an axis; rows outside its range get none."""

    axis: Any

    @property
    def columns(self) -> tuple[str, ...]:
        """The binned column."""
        return (str(self.axis.name),)

    def scale(self, events: Events) -> tuple[float, float]:
        """Return origin and unit of the variable."""
        return 0.0, 1.0

    def basis(self, events: Events, scale: tuple[float, float]) -> Array:
        """Return the indicator of each bin, shape (n, bins)."""
        values = as_numbers(events[self.axis.name], self.axis.name)
        check_finite(values, self.axis.name, "transfer factor")
        bins = np.asarray(self.axis.index(values))
        indicator: Array = (bins[:, None] == np.arange(len(self.axis))).astype(np.float64)
        return indicator

    def solve(self, matrices: Array, moments: Array, where: Region) -> Array:
        """Return the coefficients, shape (members, bins).

        Raises
        ------
        FitError
            If a bin of the denominator has no positive sum of weights.
        """
        below = np.diagonal(matrices, axis1=1, axis2=2)
        for i, (low, high) in enumerate(zip(self.axis.edges[:-1], self.axis.edges[1:], strict=True)):
            _positive(below[:, i], where, f" in {self.axis.name} from {low:g} to {high:g}")
        return moments / below

    def state(self) -> dict[str, Any]:
        """Return the transfer factor's form as plain values."""
        return {"kind": "Binned", "axis": axis_state(self.axis)}


@dataclass(frozen=True)
class Polynomial:
    """A polynomial of one column, fitted by its moments (degree + 1 of them)."""

    column: str
    degree: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.degree <= 5:
            raise ConfigError(f"a transfer factor's polynomial has a degree from 0 to 5, not {self.degree}")

    @property
    def columns(self) -> tuple[str, ...]:
        """The variable."""
        return (self.column,)

    def scale(self, events: Events) -> tuple[float, float]:
        """Return the mean and spread of the variable in the denominator, for the conditioning of the fit."""
        values = as_numbers(events[self.column], self.column).astype(np.float64, copy=False)
        return float(values.mean()), float(values.std()) or 1.0

    def basis(self, events: Events, scale: tuple[float, float]) -> Array:
        """Return the powers of the standardised variable, shape (n, degree + 1)."""
        values = as_numbers(events[self.column], self.column).astype(np.float64, copy=False)
        check_finite(values, self.column, "transfer factor")
        powers: Array = np.vander((values - scale[0]) / scale[1], self.degree + 1, increasing=True)
        return powers

    def solve(self, matrices: Array, moments: Array, where: Region) -> Array:
        """Return the coefficients, shape (members, degree + 1).

        Raises
        ------
        FitError
            If the denominator does not determine the polynomial.
        """
        _positive(matrices[:, 0, 0], where, "")
        smallest = np.linalg.eigvalsh(matrices / matrices[:, :1, :1]).min(axis=1)
        if (smallest < _SINGULAR).any():
            raise FitError(
                f"region '{where.name}' does not determine a polynomial of degree {self.degree} in '{self.column}' "
                f"({int((smallest < _SINGULAR).sum())} of {len(matrices)} fits); lower the degree or widen the region"
            )
        return np.asarray(np.linalg.solve(matrices, moments[:, :, None])[:, :, 0], np.float64)

    def state(self) -> dict[str, Any]:
        """Return the transfer factor's form as plain values."""
        return {"kind": "Polynomial", "column": self.column, "degree": self.degree}


@dataclass(frozen=True)
class Chebyshev:
    """One transfer factor for each bin of an axis, smooth along it: ``exp(c_0 + sum_k c_k T_k(x))``.

    ``T_k`` are Chebyshev polynomials and x is the centre of the bin, from -1 to 1 over the axis.

    Attributes
    ----------
    axis
        The axis.
    degree
        The degree of the exponent, below the number of bins.
    """

    axis: Any
    degree: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.degree < len(self.axis):
            raise ConfigError(
                f"the exponent of a transfer factor over {len(self.axis)} bins of '{self.axis.name}' has a degree from "
                f"0 to {len(self.axis) - 1}, not {self.degree}"
            )

    @property
    def columns(self) -> tuple[str, ...]:
        """The binned column."""
        return (str(self.axis.name),)

    def basis(self) -> Array:
        """Return ``T_1`` to ``T_degree`` in the bins, shape (bins, degree)."""
        edges = np.asarray(self.axis.edges, np.float64)
        centres = (edges[:-1] + edges[1:]) / 2.0
        place = 2.0 * (centres - edges[0]) / (edges[-1] - edges[0]) - 1.0
        return np.asarray(np.polynomial.chebyshev.chebvander(place, self.degree)[:, 1:])

    def state(self) -> dict[str, Any]:
        """Return the transfer factor's form as plain values."""
        return {"kind": "Chebyshev", "axis": axis_state(self.axis), "degree": self.degree}


Transfer = Constant | Binned | Polynomial


def transfer_from_state(state: Mapping[str, Any]) -> Any:
    """Restore a transfer factor's form, whichever it is, from its state."""
    if state["kind"] == "Chebyshev":
        return Chebyshev(axis_from_state(state["axis"]), int(state["degree"]))
    if state["kind"] == "Binned":
        return Binned(axis_from_state(state["axis"]))
    if state["kind"] == "Polynomial":
        return Polynomial(state["column"], int(state["degree"]))
    return Constant()


@dataclass(frozen=True, eq=False)
class Factors:
    """A transfer factor as free factors of a likelihood.

    Attributes
    ----------
    axis
        Its axis, None for a constant.
    design
        Exponent of each factor in each transfer bin, shape (transfer bins, factors).
    levels
        How many of the factors, the first ones, are normalisations; the others are exponents of a smooth form.
    """

    axis: Any
    design: Array
    levels: int

    @classmethod
    def of(cls, transfer: Constant | Binned | Chebyshev) -> Factors:
        """Return the factors of a form."""
        if isinstance(transfer, Constant):
            return cls(None, np.ones((1, 1)), 1)
        bins = len(transfer.axis)
        if isinstance(transfer, Binned):
            return cls(transfer.axis, np.eye(bins), bins)
        return cls(transfer.axis, np.hstack([np.ones((bins, 1)), transfer.basis()]), 1)

    @property
    def size(self) -> int:
        """How many factors there are."""
        return int(self.design.shape[1])

    @property
    def everywhere(self) -> NDArray[np.int64]:
        """All transfer bins."""
        return np.arange(len(self.design))

    @property
    def level_names(self) -> tuple[str, ...]:
        """The names of the normalisations."""
        return ("transfer",) if self.levels == 1 else tuple(f"transfer_{i}" for i in range(self.levels))

    @property
    def slope_names(self) -> tuple[str, ...]:
        """The names of the exponents."""
        return tuple(f"transfer_c{k}" for k in range(1, self.size - self.levels + 1))

    def names(self, place: int) -> tuple[tuple[str, ...], dict[str, float]]:
        """Return the normalisations of a transfer bin, and the exponents of its smooth part."""
        levels = [name for i, name in enumerate(self.level_names) if self.design[place, i]]
        slopes = self.design[place, self.levels :].tolist()
        return tuple(levels), dict(zip(self.slope_names, slopes, strict=True))

    def places(self, channel: Channel) -> NDArray[np.int64]:
        """Return the transfer bin of each flat bin of a channel.

        Raises
        ------
        ConfigError
            If the channel is not binned in the axis, or one of its bins is not within one transfer bin.
        """
        if self.axis is None:
            return np.zeros(channel.size, np.int64)
        found = [i for i, axis in enumerate(channel.axes) if axis.name == self.axis.name]
        if not found:
            raise ConfigError(
                f"the transfer factor runs along '{self.axis.name}', which is no axis of channel '{channel.name}'; bin "
                "the channel in it too"
            )
        edges, own = (np.asarray(one.edges, np.float64) for one in (self.axis, channel.axes[found[0]]))
        tiny = 1e-9 * float(np.abs(edges).max() + np.abs(own).max())
        place = np.searchsorted(edges, own[:-1] + tiny, side="right") - 1
        outside = (place < 0) | (place >= len(edges) - 1)
        if outside.any() or (own[1:] > edges[place + 1] + tiny).any():
            raise ConfigError(
                f"channel '{channel.name}' has the edges {own.tolist()} in '{self.axis.name}', the transfer factor "
                f"{edges.tolist()}: every bin of the channel must lie within one of the transfer factor's"
            )
        index = np.unravel_index(np.arange(channel.size), channel.shape)[found[0]]
        return np.asarray(place[index], np.int64)


def _positive(below: Array, where: Region, place: str) -> None:
    bad = int((below <= 0).sum())
    if bad:
        raise FitError(
            f"region '{where.name}'{place}: the sum of weights is zero or negative in {bad} of {len(below)} fits "
            f"(lowest {below.min():g}), so the transfer factor is not defined; merge bins or widen the region"
        )
