"""Efficiencies that are not quite known: Gaussian nuisances, and bounds that they never leave."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["Efficiencies"]


@dataclass(frozen=True, eq=False)
class Efficiencies:
    """Numbers between bounds that nuisances of unit width move: straight, but bent away from a bound half-way to it.

    Attributes
    ----------
    values
        The numbers, shape (n,).
    moves
        What one unit of each nuisance adds to them, shape (n, nuisances).
    names
        The nuisances' names.
    low, high
        The bounds.

    Examples
    --------
    >>> found = Efficiencies(np.array([0.2]), np.array([[0.1]]), ("fake_stat",))
    >>> [round(float(found(np.array([one]))[0]), 3) for one in (1.0, -1.0, -3.0, -9.0)]
    [0.3, 0.1, 0.014, 0.0]
    """

    values: Array
    moves: Array
    names: tuple[str, ...]
    low: float = 0.0
    high: float = 1.0

    @property
    def size(self) -> int:
        """How many nuisances there are."""
        return len(self.names)

    def __call__(self, theta: Array) -> Array:
        """Return the numbers, shape (n,)."""
        return self.values + self._bent(theta)[0]

    def slopes(self, theta: Array) -> Array:
        """Return their derivatives by the nuisances, shape (n, nuisances)."""
        return self._bent(theta)[1][:, None] * self.moves

    def _bent(self, theta: Array) -> tuple[Array, Array]:
        """Return the distances from the values, and what a straight move is multiplied with."""
        straight = self.moves @ theta
        room = np.where(straight > 0.0, self.high - self.values, self.values - self.low)
        half = np.where(room > 0.0, room, 1.0) / 2.0
        beyond = np.maximum(np.abs(straight) / half - 1.0, 0.0)
        slope = np.where(room > 0.0, np.exp(-beyond), 0.0)
        size = np.where(beyond > 0.0, half * (2.0 - slope), np.abs(straight))
        return np.where(room > 0.0, np.sign(straight) * size, 0.0), slope
