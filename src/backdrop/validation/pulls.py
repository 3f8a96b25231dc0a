"""Pulls of several quantities over toys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["Pulls"]

_MOVES = 3.0


@dataclass(frozen=True, eq=False, repr=False)
class Pulls:
    """Values, errors and truths of k quantities over n toys, each of shape (n, k); NaN values where a toy failed.

    Attributes
    ----------
    names
        The quantities.
    value, error, truth
        The estimate, its uncertainty and the exact expectation.
    """

    names: tuple[str, ...]
    value: Array
    error: Array
    truth: Array

    def __post_init__(self) -> None:
        shapes = {name: getattr(self, name).shape for name in ("value", "error", "truth")}
        if set(shapes.values()) != {(len(self.value), len(self.names))}:
            raise DataError(f"pulls of {len(self.names)} quantities need arrays of shape (toys, quantities): {shapes}")

    def __repr__(self) -> str:
        return f"Pulls({len(self.value)} toys of {len(self.names)} quantities)"

    @property
    def pulls(self) -> Array:
        """``(value - truth) / error``, shape (n, k); NaN without an uncertainty or a value."""
        safe = np.where(self.error > 0.0, self.error, np.nan)
        return np.asarray((self.value - self.truth) / safe)

    @property
    def defined(self) -> NDArray[np.int64]:
        """The number of toys with a pull, shape (k,)."""
        return np.asarray(np.isfinite(self.pulls).sum(axis=0))

    @property
    def undefined(self) -> NDArray[np.int64]:
        """The number of toys without a pull, shape (k,): failed, or an uncertainty of zero."""
        return len(self.value) - self.defined

    @property
    def mean(self) -> Array:
        """Mean pull, shape (k,); NaN without any pull."""
        total = np.nansum(self.pulls, axis=0)
        return np.asarray(np.divide(total, self.defined, out=np.full(len(self.names), np.nan), where=self.defined > 0))

    @property
    def mean_error(self) -> Array:
        """``1 / sqrt(n)``."""
        return np.asarray(1.0 / np.sqrt(np.maximum(self.defined, 1)))

    @property
    def width(self) -> Array:
        """Sample standard deviation of the pulls, shape (k,); NaN below two pulls."""
        squares = np.nansum((self.pulls - self.mean) ** 2, axis=0)
        free = self.defined - 1
        return np.asarray(np.sqrt(np.divide(squares, free, out=np.full(len(self.names), np.nan), where=free > 0)))

    @property
    def width_error(self) -> Array:
        """``1 / sqrt(2 n)``."""
        return np.asarray(1.0 / np.sqrt(2.0 * np.maximum(self.defined, 1)))

    def covered(self, level: float) -> tuple[Array, float]:
        """Return the fraction of toys whose two-sided normal interval holds the truth, and its binomial error.

        The error ``sqrt(p (1 - p) / n)`` is the one expected at `level`. A toy without a pull covers nothing, unless
        it has the exact truth.

        Parameters
        ----------
        level
            The probability, for example 0.683 or 0.954.
        """
        from scipy.stats import norm

        if not 0.0 < level < 1.0:
            raise DataError(f"a coverage at level {level} does not exist; it must lie between 0 and 1")
        reach = float(norm.isf((1.0 - level) / 2.0))
        inside = np.abs(self.value - self.truth) <= reach * self.error
        return inside.mean(axis=0), float(np.sqrt(level * (1.0 - level) / len(self.value)))

    def meets(self, mean: tuple[float, float], width: tuple[float, float]) -> NDArray[np.bool_]:
        """Say of each quantity whether mean and width, moved by at most 3 of their errors, lie in the bands."""
        for band in (mean, width):
            if not band[0] <= band[1]:
                raise DataError(f"the band {band} is empty: give (lowest, highest)")
        near = _reaches(self.mean, self.mean_error, mean) & _reaches(self.width, self.width_error, width)
        return np.asarray(near & (self.undefined == 0))

    def state(self) -> dict[str, Any]:
        """Return arrays and plain values from which :meth:`from_state` restores the pulls."""
        return {"names": list(self.names), "value": self.value, "error": self.error, "truth": self.truth}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Pulls:
        """Restore pulls from :meth:`state`."""
        return cls(tuple(state["names"]), *(np.asarray(state[name], float) for name in ("value", "error", "truth")))


def _reaches(value: Array, error: Array, band: tuple[float, float]) -> NDArray[np.bool_]:
    return np.asarray((value + _MOVES * error >= band[0]) & (value - _MOVES * error <= band[1]))
