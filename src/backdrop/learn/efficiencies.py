"""Efficiencies that are not quite known: Gaussian nuisances, and bounds that they never leave."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["Efficiencies"]


_STRAIGHT = 0.9


@dataclass(frozen=True, eq=False)
class Efficiencies:
    """Numbers between bounds that nuisances of unit width move: straight, and bent after nine tenths of the way.

    Attributes
    ----------
    values
        The numbers, shape (n,).
    moves
        What one unit of each nuisance adds to them, shape (n, nuisances).
    names
        The nuisances' names.
    falls
        What one unit down takes from them, where that is not the same.
    low, high
        The bounds.

    Examples
    --------
    >>> found = Efficiencies(np.array([0.2]), np.array([[0.1]]), ("fake_stat",))
    >>> [round(float(found(np.array([one]))[0]), 4) for one in (1.0, -1.0, -2.0, -9.0)]
    [0.3, 0.1, 0.0074, 0.0]
    """

    values: Array
    moves: Array
    names: tuple[str, ...]
    falls: Array | None = None
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
        return self._bent(theta)[1][:, None] * self._sides(theta)

    def _sides(self, theta: Array) -> Array:
        return self.moves if self.falls is None else np.where(theta < 0.0, self.falls, self.moves)

    def _bent(self, theta: Array) -> tuple[Array, Array]:
        """Return the distances from the values, and what a straight move is multiplied with."""
        straight = self._sides(theta) @ theta
        room = np.where(straight > 0.0, self.high - self.values, self.values - self.low)
        most = np.where(room > 0.0, room, 1.0)
        beyond = np.maximum(np.abs(straight) / most - _STRAIGHT, 0.0) / (1.0 - _STRAIGHT)
        size = np.where(beyond > 0.0, most * (1.0 - (1.0 - _STRAIGHT) * np.exp(-beyond)), np.abs(straight))
        inside = room > 0.0
        return np.where(inside, np.sign(straight) * size, 0.0), np.where(inside, np.exp(-beyond), 0.0)
