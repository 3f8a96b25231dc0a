"""Compiled loops of the learned distributions: alias tables, and draws from them.

Random numbers are those of a splitmix64 generator, each at a place of its own in the sequence: number `j` of row `i`
is the same for any number of rows and any blocks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numba
import numpy as np

from .._kernels import _splitmix

if TYPE_CHECKING:
    from numpy.typing import NDArray

STEP = 0x9E3779B97F4A7C15
"""Between two places of a splitmix64 sequence."""

_NEXT = np.uint64(STEP)
_UNIT = 1.0 / 9007199254740992.0


@numba.njit(cache=True)
def alias_tables(weights: NDArray[np.float64], accept: NDArray[np.float64], alias: NDArray[np.int32]) -> None:
    """Fill the alias table of each row of `weights` (none negative, a positive sum): Vose's algorithm.

    A bin is drawn evenly, kept with the probability ``accept``, and otherwise exchanged for ``alias``.
    """
    rows, bins = weights.shape
    share = np.empty(bins)
    low, high = np.empty(bins, np.int64), np.empty(bins, np.int64)
    for row in range(rows):
        scale = bins / weights[row].sum()
        lows = highs = 0
        for b in range(bins):
            share[b] = weights[row, b] * scale
            accept[row, b], alias[row, b] = 1.0, b
            if share[b] < 1.0:
                low[lows] = b
                lows += 1
            else:
                high[highs] = b
                highs += 1
        while lows > 0 and highs > 0:
            lows -= 1
            poor, rich = low[lows], high[highs - 1]
            accept[row, poor], alias[row, poor] = share[poor], rich
            share[rich] -= 1.0 - share[poor]
            if share[rich] < 1.0:
                highs -= 1
                low[lows] = rich
                lows += 1


@numba.njit(cache=True, inline="always")
def _inside(edges: NDArray[np.float64], b: np.int64, place: np.float64) -> np.float64:
    lower, upper = edges[np.uint64(b)], edges[np.uint64(b + 1)]
    x: np.float64 = lower + (upper - lower) * place
    # rounding may give the upper edge, which is the next bin's
    return x if x < upper else lower


@numba.njit(cache=True)
def draw(
    rows: NDArray[np.int64],
    accept: NDArray[np.float64],
    alias: NDArray[np.int32],
    edges: NDArray[np.float64],
    sizes: NDArray[np.int64],
    start: np.uint64,
    stride: np.uint64,
    bins: NDArray[np.int64],
    values: NDArray[np.float64],
) -> None:
    """Draw a flat bin from the table of each row, and a place in it for every variable.

    Indices are unsigned, since negative ones would be counted from the end, and a bin is chosen without a branch: three
    times as fast.

    Parameters
    ----------
    rows
        The table of each draw, shape (n,).
    accept, alias
        Tables, one after the other, flat.
    edges, sizes
        Edges of all variables, one after the other, and the number of bins of each.
    start, stride
        Place of the first random number in the sequence, and from draw to draw.
    bins, values
        What is drawn: flat bins, shape (n,), and values, shape (variables, n).
    """
    size = np.int64(1)
    for k in range(sizes.size):
        size *= sizes[k]
    state = start
    for i in range(rows.size):
        u = np.int64(_splitmix(state) >> np.uint64(11)) * _UNIT * size
        b = np.int64(u)
        place = u - b
        row = np.uint64(rows[i] * size + b)
        kept, other = accept[row], np.int64(alias[row])
        keep = place < kept
        b = b if keep else other
        # what is left of the random number is even in [0, 1) again
        place = (place if keep else place - kept) / (kept if keep else 1.0 - kept)
        bins[i] = b
        at, offset = state, edges.size
        for k in range(sizes.size - 1, 0, -1):
            offset -= sizes[k] + 1
            at += _NEXT
            new = np.int64(_splitmix(at) >> np.uint64(11)) * _UNIT
            values[k, i] = _inside(edges, offset + b % sizes[k], new)
            b //= sizes[k]
        values[0, i] = _inside(edges, b, place)
        state += stride
