"""Resonances: a part of the data that peaks, and is removed before anything is learned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..channel import axis_index
from ..errors import ConfigError, DataError, FitError, nearest
from ..events import Events
from ..region import Region
from ..tasks import named_seed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["Resonance"]

# not of a fit's stream: replicas must resample the events that are left, not others
_REMOVAL = named_seed(0, "resonance")


@dataclass(frozen=True)
class Resonance:
    """A resonant part of the data that the kernel must not learn: dropped with ``p(m) = resonant / data`` in bins of m.

    Attributes
    ----------
    sample
        Its simulation, which is subtracted from the data in the events: ``data - resonant``.
    axis
        `hist` axis of the mass; nothing is dropped outside its range.
    how
        ``drop`` events at random (by a hash of their key), or ``weight`` each with ``1 - p``: less noise.
    """

    sample: str
    axis: Any
    how: Literal["drop", "weight"] = "drop"

    def kept(self, rows: Events, region: Region) -> Array:
        """Return what each row's weight is multiplied with: 0 for those that are dropped and for the simulation.

        Raises
        ------
        ConfigError
            If the sample is not subtracted.
        DataError
            If there is no such sample.
        FitError
            If the simulation exceeds the data in a bin, or is negative there.
        """
        if self.sample not in rows.samples:
            raise DataError(
                f"region '{region.name}' holds no sample '{self.sample}'{nearest(self.sample, rows.samples)}; subtract "
                "the simulation of the resonance from the data"
            )
        resonant = rows.sample == rows.samples.index(self.sample)
        if rows.weight[resonant].sum() > 0.0:
            raise ConfigError(
                f"the resonant sample '{self.sample}' is added to the events; subtract it: data - {self.sample}"
            )
        bins = axis_index(self.axis, rows[self.axis.name], region.name)
        share = self._share(bins, rows.weight, resonant)
        p = np.where(bins >= 0, share[bins], 0.0)
        left = 1.0 - p if self.how == "weight" else (rows.uniform(_REMOVAL) >= p).astype(np.float64)
        return np.where(resonant, 0.0, left)

    def _share(self, bins: NDArray[np.int64], weight: Array, resonant: NDArray[np.bool_]) -> Array:
        expected, seen = (
            np.bincount(bins[rows & (bins >= 0)], sign * weight[rows & (bins >= 0)], len(self.axis))
            for rows, sign in ((resonant, -1.0), (~resonant, 1.0))
        )
        # a bin without data has nothing to drop
        for i in np.flatnonzero((seen != 0.0) & ((expected < 0.0) | (expected > seen))):
            low, high = self.axis.edges[i], self.axis.edges[i + 1]
            raise FitError(
                f"the resonant sample '{self.sample}' has a yield of {expected[i]:.4g} of {seen[i]:.4g} in "
                f"{self.axis.name} from {low:g} to {high:g}, so p is no probability; use wider bins"
            )
        return np.divide(expected, seen, out=np.zeros(len(expected)), where=seen > 0.0)
