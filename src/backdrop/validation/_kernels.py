"""Compiled loops of the validation: sums over pairs in n log n steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numba
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@numba.njit(cache=True)
def absolute_means(values: NDArray[np.float64], weight: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ``sum_j w_j |v_i - v_j|`` for ascending values."""
    total, moment = weight.sum(), (weight * values).sum()
    out = np.empty_like(values)
    below = below_moment = 0.0
    for i in range(values.size):
        below += weight[i]
        below_moment += weight[i] * values[i]
        out[i] = values[i] * (2.0 * below - total) + moment - 2.0 * below_moment
    return out


@numba.njit(cache=True)
def distance_products(
    x: NDArray[np.float64], y: NDArray[np.float64], rank: NDArray[np.int64], weight: NDArray[np.float64]
) -> float:
    """Return ``sum_ij w_i w_j |x_i - x_j| |y_i - y_j|`` for ascending x, with a Fenwick tree over the ranks of y.

    The earlier rows of lower rank come out of the tree as the four sums of w, wx, wy and wxy; ties add nothing.
    """
    n = x.size
    tree = np.zeros((n + 1, 4))
    w_all = x_all = y_all = xy_all = 0.0
    total = 0.0
    for i in range(n):
        w_low = x_low = y_low = xy_low = 0.0
        k = rank[i]
        while k > 0:
            w_low += tree[k, 0]
            x_low += tree[k, 1]
            y_low += tree[k, 2]
            xy_low += tree[k, 3]
            k &= k - 1
        low = x[i] * y[i] * w_low - x[i] * y_low - y[i] * x_low + xy_low
        every = x[i] * y[i] * w_all - x[i] * y_all - y[i] * x_all + xy_all
        total += weight[i] * (2.0 * low - every)
        wx, wy, wxy = weight[i] * x[i], weight[i] * y[i], weight[i] * x[i] * y[i]
        w_all += weight[i]
        x_all += wx
        y_all += wy
        xy_all += wxy
        k = rank[i] + 1
        while k <= n:
            tree[k, 0] += weight[i]
            tree[k, 1] += wx
            tree[k, 2] += wy
            tree[k, 3] += wxy
            k += k & -k
    return 2.0 * total
