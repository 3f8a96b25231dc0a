"""Principal components: a block of replicas as a few orthogonal shifts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..errors import ConfigError, ExportError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["Components", "principal"]

_NEGLIGIBLE = 1e-12


@dataclass(frozen=True, eq=False)
class Components:
    """Shifts whose outer products add up to a covariance, and the variances that they leave out.

    Attributes
    ----------
    shifts
        The yields' change for one standard deviation of each component, shape (components, bins), the largest first.
    remainder
        Variance of each bin that the shifts do not hold, shape (bins,).
    """

    shifts: Array
    remainder: Array


def principal(replicas: Array, scale: Array, keep: float = 1.0) -> Components:
    """Return the principal components of replicas.

    The singular value decomposition ``(replicas - mean) / sqrt(n - 1) / scale = U S V`` gives the shifts
    ``S V scale``; the sum of their outer products is the covariance of the replicas exactly, whatever the scale. The
    scale decides which components are the largest: with the square root of the expected yield, variances count in
    units of each bin's Poisson variance, so that a channel of many events does not drown one of few.

    Parameters
    ----------
    replicas
        Yields of n resampled fits, shape (n, bins).
    scale
        Positive unit of each bin, shape (bins,).
    keep
        The leading components that hold this fraction of the scaled variance are kept.

    Raises
    ------
    ConfigError
        If `keep` is not in (0, 1].
    ExportError
        If there are fewer than two replicas.

    Examples
    --------
    >>> rows = np.array([[9.0, 18.0], [11.0, 22.0], [10.0, 20.0]])
    >>> principal(rows, np.sqrt([10.0, 20.0])).shifts
    array([[1., 2.]])
    """
    if not 0.0 < keep <= 1.0:
        raise ConfigError(f"keep = {keep} is not a fraction of the variance; give a number above 0 and up to 1")
    if len(replicas) < 2:
        raise ExportError(f"{len(replicas)} replicas have no covariance; make at least two")
    centred = (replicas - replicas.mean(axis=0)) / np.sqrt(len(replicas) - 1)
    _, sizes, axes = np.linalg.svd(centred / scale, full_matrices=False)
    present = sizes > _NEGLIGIBLE * max(float(sizes[0]), float(np.abs(replicas / scale).max()))
    shifts = sizes[present, None] * axes[present] * scale
    kept = _leading(sizes[present] ** 2, keep)
    return Components(_oriented(shifts[:kept]), np.asarray((shifts[kept:] ** 2).sum(axis=0)))


def _leading(variances: Array, keep: float) -> int:
    """Return how many of the descending variances hold the fraction `keep` of their sum."""
    if keep == 1.0 or len(variances) == 0:
        return len(variances)
    reached = np.cumsum(variances) >= keep * variances.sum()
    return int(np.argmax(reached)) + 1


def _oriented(shifts: Array) -> Array:
    """Return the shifts with the sign that raises the sum; the decomposition leaves it open."""
    signs = np.where(shifts.sum(axis=1) < 0.0, -1.0, 1.0)
    return np.asarray(signs[:, None] * shifts)
