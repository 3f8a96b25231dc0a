"""Transfer factors: constant, per bin, or a polynomial of a variable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..channel import axis_from_state, axis_state
from ..errors import ConfigError, FitError
from ..events import Events, check_finite
from ..region import Region

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["Binned", "Constant", "Polynomial", "Transfer", "transfer_from_state"]

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
        values = np.asarray(events[self.axis.name])
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
        values = np.asarray(events[self.column], np.float64)
        return float(values.mean()), float(values.std()) or 1.0

    def basis(self, events: Events, scale: tuple[float, float]) -> Array:
        """Return the powers of the standardised variable, shape (n, degree + 1)."""
        values = np.asarray(events[self.column], np.float64)
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


Transfer = Constant | Binned | Polynomial


def transfer_from_state(state: Mapping[str, Any]) -> Transfer:
    """Restore a transfer factor's form from its state."""
    if state["kind"] == "Binned":
        return Binned(axis_from_state(state["axis"]))
    if state["kind"] == "Polynomial":
        return Polynomial(state["column"], int(state["degree"]))
    return Constant()


def _positive(below: Array, where: Region, place: str) -> None:
    bad = int((below <= 0).sum())
    if bad:
        raise FitError(
            f"region '{where.name}'{place}: the sum of weights is zero or negative in {bad} of {len(below)} fits "
            f"(lowest {below.min():g}), so the transfer factor is not defined; merge bins or widen the region"
        )
