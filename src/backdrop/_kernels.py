"""Compiled loops of the core: hashes of event keys, and bins of maps.

They are compiled (or read from the cache) when this module is loaded, so that a process that forks workers does it once
for all of them. Arrays must be contiguous and writable.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numba
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_STEP = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)

POISSON_CDF = np.cumsum([math.exp(-1.0) / math.factorial(k) for k in range(19)])


@numba.njit(cache=True, inline="always")
def _splitmix(x: np.uint64) -> np.uint64:
    z = x + _STEP
    z = (z ^ (z >> np.uint64(30))) * _FIRST
    z = (z ^ (z >> np.uint64(27))) * _SECOND
    return z ^ (z >> np.uint64(31))


@numba.njit("uint64[::1](uint64[::1], uint64[::1])", cache=True)
def mix(key: NDArray[np.uint64], value: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Combine a key with one more integer column (splitmix64)."""
    out = np.empty_like(key)
    for i in range(key.size):
        out[i] = _splitmix(key[i] ^ _splitmix(value[i]))
    return out


@numba.njit("float64[::1](uint64[::1], uint64)", cache=True)
def hash_uniform(key: NDArray[np.uint64], seed: np.uint64) -> NDArray[np.float64]:
    """Return a uniform number in [0, 1) from (seed, key), another one than `poisson_counts` inverts."""
    out = np.empty(key.size)
    start = _splitmix(_splitmix(seed))
    for i in range(key.size):
        out[i] = (_splitmix(key[i] ^ start) >> np.uint64(11)) * (1.0 / 9007199254740992.0)
    return out


@numba.njit("uint8[:, ::1](uint64[::1], uint64[::1])", cache=True)
def poisson_counts(key: NDArray[np.uint64], seeds: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """Return Poisson(1) counts, shape (seeds, n), by inversion of the uniform hash."""
    out = np.empty((seeds.size, key.size), np.uint8)
    for j in range(seeds.size):
        start = _splitmix(seeds[j])
        for i in range(key.size):
            u = (_splitmix(key[i] ^ start) >> np.uint64(11)) * (1.0 / 9007199254740992.0)
            k = 0
            while k < 18 and u >= POISSON_CDF[k]:
                k += 1
            out[j, i] = k
    return out


@numba.njit("int64(float64[::1], float64[::1], uint16[::1], float64[::1], int64[::1])", cache=True)
def add_bins(
    values: NDArray[np.float64],
    edges: NDArray[np.float64],
    table: NDArray[np.uint16],
    limits: NDArray[np.float64],
    out: NDArray[np.int64],
) -> int:
    """Turn a flat bin into ``out * bins + bin`` with the bin of one more axis; return how many values are outside.

    `table` holds the bin just below evenly spaced places between two edges, so that the one looked for is that bin or a
    higher one. The limits are these two, how many places there are in a unit, and the lowest and highest value that is
    not outside; the nearest bin is that of a value outside.
    """
    bins, outside = edges.size - 1, 0
    first, last, density, low, high = limits[0], limits[1], limits[2], limits[3], limits[4]
    for i in range(values.size):
        outside += not low <= values[i] < high
    for i in range(values.size):
        x = values[i]
        b = np.int64(0)
        if first <= x < last:
            # unsigned, since a negative index would be counted from the end
            b = np.int64(table[np.uint64(np.int64((x - first) * density))])
            while x >= edges[np.uint64(b + 1)]:
                b += 1
        elif not x < first:
            b = np.int64(bins - 1)
        out[i] = out[i] * bins + b
    return outside


@numba.njit(
    "int64(float64[::1], float64[::1], uint16[::1], float64[::1], int64[::1], float64[::1], float64[::1])", cache=True
)
def look_up(
    values: NDArray[np.float64],
    edges: NDArray[np.float64],
    table: NDArray[np.uint16],
    limits: NDArray[np.float64],
    start: NDArray[np.int64],
    numbers: NDArray[np.float64],
    out: NDArray[np.float64],
) -> int:
    """Write the number of each flat bin whose last axis this is; `start` is the flat bin of the axes before it.

    Everything else is as in `add_bins`: in one loop with it, the flat bins need not be written and read once more. A
    compiled function that both call takes twenty times as long.
    """
    bins, outside = edges.size - 1, 0
    first, last, density, low, high = limits[0], limits[1], limits[2], limits[3], limits[4]
    for i in range(values.size):
        outside += not low <= values[i] < high
    for i in range(values.size):
        x = values[i]
        b = np.int64(0)
        if first <= x < last:
            b = np.int64(table[np.uint64(np.int64((x - first) * density))])
            while x >= edges[np.uint64(b + 1)]:
                b += 1
        elif not x < first:
            b = np.int64(bins - 1)
        out[i] = numbers[np.uint64(start[i] * bins + b)]
    return outside
