"""Priors of smooth functions: a correlation with a length scale for each axis, and its root in few columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DataError
from .evidence import Matern, SquaredExponential, kernel_from_state, kernel_state, pivoted

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[np.float64]

__all__ = ["Prior", "check_points"]


@dataclass(frozen=True, eq=False)
class Prior:
    """The correlation of a smooth function, kept as ``K = B B'`` with as many columns as it needs.

    The columns belong to points that a pivoted Cholesky decomposition chose: some tens for smooth functions. What is
    shown to be true of n points then costs n r**2 in place of n**3.

    Attributes
    ----------
    kernel
        The form of the correlation.
    metric
        What makes distances of differences, ``r = |A (x - x')|``, shape (d, d), upper triangular: the inverse length
        scales, and how far their directions lean.
    amplitude
        Standard deviation of the function.
    chosen
        The points that the columns belong to, shape (r, d).
    """

    kernel: SquaredExponential | Matern
    metric: Array
    amplitude: float
    chosen: Array

    @classmethod
    def of(cls, kernel: SquaredExponential | Matern, metric: Array, amplitude: float, points: Array, k: Array) -> Prior:
        """Return the prior whose columns are chosen among points of correlation `k`, shape (n, n)."""
        return cls(kernel, metric, amplitude, points[pivoted(k)[1]])

    @property
    def length_scales(self) -> Array:
        """The length scales along the axes, shape (d,), or where their directions lean, from the shortest on."""
        if np.count_nonzero(self.metric) == len(self.metric):
            return np.asarray(1.0 / np.diag(self.metric))
        return np.asarray(1.0 / np.linalg.svd(self.metric, compute_uv=False))

    def check(self, points: ArrayLike) -> Array:
        """Return points as an array of the right shape.

        Raises
        ------
        DataError
            If the shape does not fit, or a coordinate is not finite.
        """
        x = np.asarray(points, np.float64)
        if x.ndim != 2 or x.shape[1] != len(self.metric):
            raise DataError(f"points have the shape {x.shape}, but the fit had {len(self.metric)} axes: (m, d)")
        if not np.isfinite(x).all():
            raise DataError("points hold NaN or infinite coordinates; leave them out")
        return x

    def basis(self, points: Array) -> Array:
        """Return the rows of the root B at points, shape (m, r)."""
        from scipy.linalg import solve_triangular

        rows = solve_triangular(self._lower, self.correlation(self.chosen, points), lower=True, check_finite=False)
        return np.asarray(self.amplitude * rows.T)

    def beyond(self, points: Array, basis: Array) -> Array:
        """Return a root of what the columns do not hold of the covariance at points, shape (m, r'): often nothing."""
        rest = self.amplitude**2 * self.correlation(points, points) - basis @ basis.T
        least = len(points) * np.finfo(np.float64).eps * self.amplitude**2
        return pivoted(rest, least)[0] if rest.diagonal().max() > least else np.empty((len(points), 0))

    def state(self) -> dict[str, Any]:
        """Return the prior as plain values."""
        names = ("metric", "amplitude", "chosen")
        return {"smoothness": kernel_state(self.kernel), **{name: getattr(self, name) for name in names}}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Prior:
        """Restore a prior from :meth:`state`."""
        rest = dict(state)
        return cls(kernel=kernel_from_state(rest.pop("smoothness")), **rest)

    @cached_property
    def _lower(self) -> Array:
        return np.asarray(np.linalg.cholesky(self.correlation(self.chosen, self.chosen)))

    def correlation(self, a: Array, b: Array) -> Array:
        """Return the correlation of points a and b, shape (n, m), without the amplitude."""
        from scipy.spatial.distance import cdist

        return self.kernel(cdist(a @ self.metric.T, b @ self.metric.T, "sqeuclidean"))[0]


def check_points(points: ArrayLike) -> Array:
    """Return points of shape (n, d) that a prior can be fitted on.

    Raises
    ------
    DataError
        If there are too few, a coordinate is not finite, or all are at one place along an axis.
    """
    x = np.asarray(points, np.float64)
    if x.ndim != 2 or len(x) <= 2 * x.shape[1]:
        raise DataError(f"points have the shape {x.shape}; give (n, d), more than two for each axis")
    if not np.isfinite(x).all():
        raise DataError(f"{int((~np.isfinite(x)).sum())} coordinates of points are NaN or infinite; leave them out")
    if flat := np.flatnonzero(np.ptp(x, axis=0) == 0.0).tolist():
        raise DataError(f"all points have one coordinate along axis {flat[0]}; leave that axis out")
    return x
