"""Compiled loops of the flow's networks: the rectifier with dropout, and its gradient.

They work on float32 arrays of shape (members, rows, events), and are compiled (or read from the cache) when this module
is loaded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numba
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

STEP, FIRST, SECOND = 0x9E3779B9, 0x7FEB352D, 0x846CA68B
"""The constants of the hash (C. Wellons's lowbias32)."""

_f4: Any = np.float32
_u4: Any = np.uint32
_ZERO, _ONE = _f4(0.0), _f4(1.0)
_STEP, _FIRST, _SECOND = _u4(STEP), _u4(FIRST), _u4(SECOND)


@numba.njit("void(f4[:, :, ::1], u4[::1], u4, f4, f4[:, :, ::1])", cache=True, error_model="numpy")
def rectify(x: Array, starts: NDArray[np.uint32], dropped: int, factor: float, out: Array) -> None:
    """Write ``factor * x`` where x is positive and not left out, else zero; and a last row of 1.

    Parameters
    ----------
    x, out
        Shapes (members, rows, n) and (members, rows + 1, n).
    starts, dropped
        A place is left out where a hash of (start of the member, place) is below `dropped`.
    factor
        What the rest is multiplied with.
    """
    members, rows, n = x.shape
    for member in range(members):
        for r in range(rows):
            values, to = x[member, r], out[member, r]
            # places run over the rows first, so that they do not depend on how many events there are
            start, step = _u4(starts[member] + _u4(_u4(r) * _STEP)), _u4(_u4(rows) * _STEP)
            if dropped > 0:
                for i in range(n):
                    z = _u4(_u4(i) * step + start)
                    z = _u4(_u4(z ^ _u4(z >> _u4(16))) * _FIRST)
                    z = _u4(_u4(z ^ _u4(z >> _u4(15))) * _SECOND)
                    z = _u4(z ^ _u4(z >> _u4(16)))
                    value = factor * values[i]
                    to[i] = value if (value > _ZERO) & (z >= dropped) else _ZERO
            else:
                for i in range(n):
                    value = factor * values[i]
                    to[i] = value if value > _ZERO else _ZERO
        last = out[member, rows]
        for i in range(n):
            last[i] = _ONE


@numba.njit("void(f4[:, :, ::1], f4[:, :, ::1], f4[:, :, ::1])", cache=True, error_model="numpy")
def gate(gradient: Array, kept: Array, total: Array) -> None:
    """Add the gradient to `total` where what `rectify` wrote is positive, row by row."""
    members, rows, n = gradient.shape
    for member in range(members):
        for r in range(rows):
            g, k, t = gradient[member, r], kept[member, r], total[member, r]
            for i in range(n):
                own = g[i]
                t[i] += own if k[i] > _ZERO else _ZERO
