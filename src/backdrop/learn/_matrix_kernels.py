"""Compiled loops of the matrix method: the weight of an event from the efficiencies of its leptons.

They are compiled (or read from the cache) when this module is loaded. An event's leptons are ``offsets[event]`` to
``offsets[event + 1]``. With t = 1 for a tight and 0 for an anti-tight lepton, ``(t - f) / (r - f)`` and
``(r - t) / (r - f)`` are the column of its inverse matrix: what it says of a prompt and of a fake lepton.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numba
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Flags = NDArray[np.bool_]
    Index = NDArray[np.int64]


@numba.njit("void(float64[::1], float64[::1], bool_[::1], int64[::1], float64[::1])", cache=True)
def fake_weights(real: Array, fake: Array, tight: Flags, offsets: Index, out: Array) -> None:
    """Fill ``1[all tight] - prod r (t - f) / (r - f)``: all leptons tight, one or more of them fake."""
    for event in range(offsets.size - 1):
        prompt, all_tight = 1.0, 1.0
        for k in range(offsets[event], offsets[event + 1]):
            t = np.float64(tight[k])
            prompt *= real[k] * (t - fake[k]) / (real[k] - fake[k])
            all_tight *= t
        out[event] = all_tight - prompt


@numba.njit(
    "void(float64[::1], float64[::1], bool_[::1], int64[::1], int64[::1], int64[::1], bool_, bool_[::1], float64[::1])",
    cache=True,
)
def composition_weights(
    real: Array,
    fake: Array,
    tight: Flags,
    offsets: Index,
    fakes: Index,
    passing: Index,
    of_tight: bool,
    pattern: Flags,
    out: Array,
) -> None:
    """Fill the weights for any number of fakes, and of leptons that pass: tight ones, or anti-tight ones.

    ``table[i, j]`` is the coefficient of ``x^i y^j`` in the product over the leptons of ``(t - f) / (r - f) (1 - p + p
    y) + (r - t) / (r - f) x (1 - q + q y)``, where p and q are the probabilities to pass of a prompt and of a fake
    lepton. A range is its first and last number, and 1 if the last one stands for all from there on. A pattern says of
    each lepton whether it is fake; events of another number of leptons have no weight then.
    """
    last, rest, high, more = fakes[1], fakes[2] == 1, passing[1], passing[2] == 1
    table = np.zeros((last + 1, high + 1))
    for event in range(offsets.size - 1):
        start, stop = offsets[event], offsets[event + 1]
        out[event] = 0.0
        if pattern.size > 0 and pattern.size != stop - start:
            continue
        table[:] = 0.0
        table[0, 0] = 1.0
        for k in range(start, stop):
            t, inverse = np.float64(tight[k]), 1.0 / (real[k] - fake[k])
            prompt, other = (t - fake[k]) * inverse, (real[k] - t) * inverse
            if pattern.size > 0:
                prompt *= not pattern[k - start]
                other *= pattern[k - start]
            p, q = (real[k], fake[k]) if of_tight else (1.0 - real[k], 1.0 - fake[k])
            for i in range(min(last, k - start + 1), -1, -1):
                fails, passes = prompt * (1.0 - p), prompt * p
                if rest and i == last:
                    fails, passes = fails + other * (1.0 - q), passes + other * q
                for j in range(min(high, k - start + 1), -1, -1):
                    value = (fails + passes if more and j == high else fails) * table[i, j]
                    if j > 0:
                        value += passes * table[i, j - 1]
                    if i > 0:
                        value += other * ((1.0 if more and j == high else 1.0 - q) * table[i - 1, j])
                        if j > 0:
                            value += other * q * table[i - 1, j - 1]
                    table[i, j] = value
        for i in range(fakes[0], last + 1):
            for j in range(passing[0], high + 1):
                out[event] += table[i, j]
