"""Linear correlation matrices of weighted events, with errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..errors import ConfigError, DataError
from ..events import Events, check_finite

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["Correlation", "correlation"]


@dataclass(frozen=True, eq=False)
class Correlation:
    """A correlation matrix, or the difference of two, with standard errors.

    Attributes
    ----------
    columns
        The variables.
    matrix, error
        Shape (columns, columns); the errors on the diagonal are 0.
    """

    columns: tuple[str, ...]
    matrix: Array
    error: Array

    def __sub__(self, other: Correlation) -> Correlation:
        """Return the difference of two independent samples, errors in quadrature."""
        if self.columns != other.columns:
            raise ConfigError(f"correlations of different columns: {self.columns} and {other.columns}")
        return Correlation(self.columns, self.matrix - other.matrix, np.hypot(self.error, other.error))

    @property
    def pulls(self) -> Array:
        """``matrix / error`` off the diagonal, 0 on it (and where the error is 0)."""
        return np.divide(self.matrix, self.error, out=np.zeros_like(self.matrix), where=self.error > 0.0)


def correlation(events: Events, columns: Sequence[str]) -> Correlation:
    """Return the weighted correlation matrix of flat columns.

    ``r_xy = Σ w x̃ ỹ / Σ w`` with x̃, ỹ standardised by the weighted means and variances. Its error is the sandwich
    ``σ² = Σ w² [x̃ ỹ - r (x̃² + ỹ²) / 2]² / (Σ w)²``, which assumes no shape of the distributions and holds for signed
    weights; for a normal distribution it is ``(1 - r²)² / n``. The error assumes that rows are independent.

    Raises
    ------
    DataError
        If weights sum to zero or less, a column is not finite or a variance is not positive.
    """
    total = float(events.weight.sum())
    if total <= 0.0:
        raise DataError(f"{len(events)} rows have a sum of weights {total:g}; a correlation needs a positive one")
    share = events.weight / total
    scores = np.stack([_standardised(events, name, share) for name in columns])
    matrix = (scores * share) @ scores.T
    np.fill_diagonal(matrix, 1.0)
    error = np.zeros_like(matrix)
    for i in range(len(columns)):
        for j in range(i):
            influence = scores[i] * scores[j] - matrix[i, j] * (scores[i] ** 2 + scores[j] ** 2) / 2
            error[i, j] = error[j, i] = np.sqrt(((share * influence) ** 2).sum())
    return Correlation(tuple(columns), matrix, error)


def _standardised(events: Events, name: str, share: Array) -> Array:
    check_finite(events[name], name, "correlation")
    values = np.asarray(events[name], np.float64)
    centred = values - (share * values).sum()
    variance = float((share * centred**2).sum())
    if variance <= 0.0:
        raise DataError(f"column '{name}' has a weighted variance {variance:g}; a correlation needs a positive one")
    return np.asarray(centred / np.sqrt(variance))
