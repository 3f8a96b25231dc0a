"""Compiled loops of the numerics: the profile likelihood of charge flips in a cell.

They are compiled (or read from the cache) when this module is loaded.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numba
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

_ITERATIONS = 100
_PRECISION = 1e-13
_NONE = 1e-9


@numba.njit(cache=True, inline="always")
def _over(above: float, below: float) -> float:
    return above / below if below > 0.0 else 0.0


@numba.njit(cache=True, inline="always")
def _means(z: float, counts: Array, kappa: float, leak: float) -> tuple[float, float, float]:
    """Return the best means of main window and side bands, and how the first moves with z.

    The background is at its best where ``(1 + 1 / kappa) u (u - t) = main (u - t) + sides u``; u is the mean of the
    main window, and t what it would be if the side bands held nothing but Z decays and other processes.
    """
    main, sides, least, below = counts[0], counts[1], z + counts[2], leak * z + counts[3]
    if kappa == 0.0:
        return least, below, 1.0
    rise, known = 1.0 + 1.0 / kappa, least - kappa * below
    root = math.hypot(rise * known + sides - main, 2.0 * math.sqrt(main * sides))
    best = (rise * known + main + sides + root) / (2.0 * rise)
    return best, (best - known) / kappa, (1.0 - kappa * leak) * _over(rise * best - main, root)


@numba.njit(cache=True, inline="always")
def _local(z: float, counts: Array, kappa: float, leak: float) -> tuple[float, float]:
    """Return the derivative of the logarithm of the likelihood by z, the background at its best, and minus its own."""
    main, sides, moved = _means(z, counts, kappa, leak)
    first, second = _over(counts[0], main), _over(counts[1], sides)
    if kappa > 0.0:
        kept = 1.0 - kappa * leak
        return kept * (first - 1.0), kept * _over(first, main) * moved
    return first - 1.0 + leak * (second - 1.0), _over(first, main) + leak * leak * _over(second, sides)


@numba.njit(cache=True, inline="always")
def _excess(count: float, mean: float) -> float:
    if count <= 0.0:
        return mean
    if mean <= 0.0:
        return math.inf
    surplus = (mean - count) / count
    # at large counts the difference of mean and count would lose its digits
    log = math.log1p(surplus) if surplus > -0.5 else math.log(mean / count)
    return count * (surplus - log)


@numba.njit(cache=True, inline="always")
def _number(q: float, opposite: Array, same: Array, kappa: Array, leak: Array) -> float:
    """Return the best number of Z decays in a cell: the likelihood is concave in it."""
    kept = 1.0 - max(kappa[0] * leak[0], kappa[1] * leak[1])
    low, high = 0.0, (opposite[0] + opposite[1] + same[0] + same[1]) / kept
    number = min(max(opposite[0] - kappa[0] * opposite[1] + same[0], 0.1 * high), 0.99 * high)
    for _ in range(_ITERATIONS):
        slope, bend = _local((1.0 - q) * number, opposite, kappa[0], leak[0])
        more, stiff = _local(q * number, same, kappa[1], leak[1])
        total = (1.0 - q) * slope + q * more
        if total > 0.0:
            low = number
        else:
            high = number
        trial = number + _over(total, (1.0 - q) ** 2 * bend + q * q * stiff)
        if not low < trial < high:
            trial = 0.5 * (low + high)
        if abs(trial - number) <= _PRECISION * (1.0 + number):
            return float(trial)
        number = trial
    return float(number)


@numba.njit(cache=True, inline="always")
def _profiled(
    q: float, number: float, opposite: float, same: float, mixed: float, own: float, apart: float, out: Array
) -> None:
    """Write the second derivatives by q and the background, N profiled, from those by the yields of both charges.

    `apart` is how much larger the slope of the logarithm of the likelihood is by the same-sign yield.
    """
    total = q * q * same + (1.0 - q) ** 2 * opposite
    cross = number * (q * same - (1.0 - q) * opposite) - apart
    # a number of decays that is zero does not move
    moved = 1.0 / total if number > _NONE and total > 0.0 else 0.0
    out[0] = number * number * (same + opposite) - cross * cross * moved
    out[1] = number * mixed - cross * q * mixed * moved
    out[2] = own - q * q * mixed * mixed * moved


@numba.njit("f8[:, ::1](f8[::1], f8[::1], f8, f8[:, ::1], f8[:, ::1], f8[::1], f8[::1])", cache=True)
def flip_cells(q: Array, pooled: Array, share: float, opposite: Array, same: Array, kappa: Array, leak: Array) -> Array:
    """Return minus the logarithm of the likelihood of each cell and its derivatives, shape (cells, 9).

    N and the backgrounds of the cell itself are at their best. These may be negative, so that leakage which fluctuates
    down makes up for what fluctuates up. The nine are the value; the slopes by q and by the pooled background; the
    observed second derivatives (by q twice, by both, by the background twice); and the expected ones.

    Parameters
    ----------
    q
        The probability of equal charges, shape (cells,).
    pooled, share
        A background of equal charges that is given: in the main window, shape (cells,), and how much of it is in the
        side bands.
    opposite, same
        Counts in the main window and the side bands, and expected other processes in both, shape (cells, 4).
    kappa, leak
        Of opposite and same sign, shape (2,); a background of the cell itself needs a kappa.
    """
    out = np.empty((q.size, 9))
    equal = np.empty(4)
    for i in range(q.size):
        equal[0], equal[1] = same[i, 0], same[i, 1]
        equal[2], equal[3] = same[i, 2] + pooled[i], same[i, 3] + share * pooled[i]
        number = _number(q[i], opposite[i], equal, kappa, leak)
        unlike, like = (1.0 - q[i]) * number, q[i] * number
        a, c, _ = _means(unlike, opposite[i], kappa[0], leak[0])
        u, v, _ = _means(like, equal, kappa[1], leak[1])
        first, second = _local(unlike, opposite[i], kappa[0], leak[0])
        third, fourth = _local(like, equal, kappa[1], leak[1])
        n, m = _over(equal[0], u), _over(equal[1], v)
        out[i, 0] = (
            _excess(opposite[i, 0], a) + _excess(opposite[i, 1], c) + _excess(equal[0], u) + _excess(equal[1], v)
        )
        out[i, 1] = number * (first - third)
        out[i, 2] = 1.0 - n + share * (1.0 - m)
        one, two = _over(n, u), _over(m, v)
        _profiled(
            q[i], number, second, fourth, one + leak[1] * share * two, one + share**2 * two, third - first, out[i, 3:6]
        )
        known = _over((1.0 - kappa[0] * leak[0]) ** 2, a + kappa[0] ** 2 * c)
        one, two = _over(1.0, u), _over(1.0, v)
        alike = one + leak[1] ** 2 * two
        if kappa[1] > 0.0:
            alike = _over((1.0 - kappa[1] * leak[1]) ** 2, u + kappa[1] ** 2 * v)
        mixed, own = one + leak[1] * share * two, one + share**2 * two
        _profiled(q[i], number, known, alike, mixed, own, 0.0, out[i, 6:9])
    return out
