"""Compiled loops of the flow: rational-quadratic splines with their gradient.

They work on float32 arrays of shape (members, rows, events) and take the raw output of a conditioner. Events come last,
and every loop over them is free of branches and calls, so that it compiles to vector instructions; that is why the
exponential and the logarithm are written out. They are compiled (or read from the cache) when this module is loaded.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numba
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

LEAST = 1e-3
"""The least width and height of a bin as a share of the domain, and the least derivative at a knot."""

_BLOCK = 256
# every literal is one of these: a plain one would make float64 of the whole expression
_f4: Any = np.float32
_i4: Any = np.int32
_LEAST, _ZERO, _ONE, _TWO, _FOUR = _f4(LEAST), _f4(0.0), _f4(1.0), _f4(2.0), _f4(4.0)
_LOG2E, _LN2, _LN2_HIGH, _LN2_LOW = _f4(math.log2(math.e)), _f4(math.log(2.0)), _f4(0.693359375), _f4(-2.12194440e-4)
_ROUND, _LOWEST, _TINY, _ROOT = _f4(1.5 * 2**23), _f4(-87.0), _f4(1e-37), _f4(math.sqrt(2.0))
_E = [_f4(1.0 / math.factorial(n)) for n in range(8)]
_E2, _E3, _E4, _E5, _E6, _E7 = _E[2:]
_A3, _A5, _A7, _A9, _A11, _A13, _A15 = (_f4(1.0 / n) for n in range(3, 17, 2))
_NONE = _f4(-3e38)
_EDGE = _f4(math.log(math.expm1(1.0 - LEAST)))
"""The raw derivative that gives 1, which is the slope of the tails."""


@numba.njit(cache=True, error_model="numpy")
def _exp(x: Any) -> Any:
    """Return the exponential of a number that is not positive."""
    x = max(x, _LOWEST)
    power = (x * _LOG2E + _ROUND) - _ROUND
    f = x - power * _LN2_HIGH - power * _LN2_LOW
    series = _ONE + f * (_ONE + f * (_E2 + f * (_E3 + f * (_E4 + f * (_E5 + f * (_E6 + f * _E7))))))
    return series * _i4((_i4(power) + 127) << 23).view(_f4)


@numba.njit(cache=True, error_model="numpy")
def _log(x: Any) -> Any:
    bits = _i4(_f4(x).view(_i4) - _ROOT_BITS)
    power = _i4(bits >> _i4(23))
    m = _i4(_f4(x).view(_i4) - _i4(power << _i4(23))).view(_f4)
    s = (m - _ONE) / (m + _ONE)
    q = s * s
    return _f4(power) * _LN2 + _TWO * s * (_ONE + q * (_A3 + q * (_A5 + q * (_A7 + q * _A9))))


_ROOT_BITS = _i4(np.float32(math.sqrt(0.5)).view(np.int32))


@numba.njit(cache=True, error_model="numpy")
def _log1p(x: Any) -> Any:
    """Return log(1 + x) of a number between 0 and 1, to a relative precision."""
    s = x / (_TWO + x)
    q = s * s
    series = _A3 + q * (_A5 + q * (_A7 + q * (_A9 + q * (_A11 + q * (_A13 + q * _A15)))))
    return _TWO * s * (_ONE + q * series)


@numba.njit(cache=True, error_model="numpy")
def _softplus(x: Any) -> Any:
    return max(x, _ZERO) + _log1p(_exp(-abs(x)))


@numba.njit(cache=True, error_model="numpy")
def _sigmoid(x: Any) -> Any:
    small = _exp(-abs(x))
    return (_ONE if x > _ZERO else small) / (_ONE + small)


@numba.njit(cache=True, inline="always", error_model="numpy")
def _softmax(
    raw: Array, first: int, bins: int, start: int, scale: float, out0: int, share: Array, s: Array, size: int
) -> None:
    """Write the softmax of the rows of `raw` into the rows of `share`."""
    top, total = s[0], s[1]
    for i in range(size):
        top[i] = _NONE
        total[i] = _ZERO
    for k in range(bins):
        row = raw[first + k, start : start + size]
        for i in range(size):
            top[i] = max(top[i], row[i])
    for k in range(bins):
        row, out = raw[first + k, start : start + size], share[out0 + k]
        for i in range(size):
            out[i] = _exp(scale * (row[i] - top[i]))
        for i in range(size):
            total[i] += out[i]
    for i in range(size):
        total[i] = _ONE / total[i]
    for k in range(bins):
        out = share[out0 + k]
        for i in range(size):
            out[i] *= total[i]


@numba.njit(cache=True, inline="always", error_model="numpy")
def _select(
    x: Array,
    raw: Array,
    first_row: int,
    start: int,
    bound: float,
    scale: float,
    inverse: bool,
    share: Array,
    s: Array,
    size: int,
) -> None:
    """Write what the spline is in the bin of each event: left, width, bottom, height, both slopes, and the bin.

    `raw` are the rows of one feature, (3 bins - 1, size); `share` receives the softmax of widths and heights.
    """
    bins = share.shape[0] // 2
    _softmax(raw, first_row, bins, start, scale, 0, share, s, size)
    _softmax(raw, first_row + bins, bins, start, scale, bins, share, s, size)
    left, width, bottom, height, before, after, where = s[2], s[3], s[4], s[5], s[6], s[7], s[8]
    x_edge, y_edge = s[9], s[10]
    free, unit = _TWO * bound * (_ONE - _f4(bins) * _LEAST), _TWO * bound * _LEAST
    for i in range(size):
        x_edge[i] = -bound
        y_edge[i] = -bound
        left[i] = -bound
        bottom[i] = -bound
        width[i] = _ONE
        height[i] = _ONE
        before[i] = _EDGE
        after[i] = _EDGE
        where[i] = _ZERO
    for k in range(bins):
        wide, high = share[k], share[bins + k]
        lower = raw[first_row + 2 * bins + max(k - 1, 0), start : start + size]
        upper = raw[first_row + 2 * bins + min(k, bins - 2), start : start + size]
        first, last = k == 0, k == bins - 1
        for i in range(size):
            edge = y_edge[i] if inverse else x_edge[i]
            inside = first or x[i] >= edge
            w, h = unit + free * wide[i], unit + free * high[i]
            a, b, c, d, e, f, g = left[i], width[i], bottom[i], height[i], before[i], after[i], where[i]
            left[i] = x_edge[i] if inside else a
            width[i] = w if inside else b
            bottom[i] = y_edge[i] if inside else c
            height[i] = h if inside else d
            low, up = lower[i], upper[i]
            before[i] = (_EDGE if first else low) if inside else e
            after[i] = (_EDGE if last else up) if inside else f
            where[i] = _f4(k) if inside else g
            x_edge[i] += w
            y_edge[i] += h


@numba.njit("void(f4[:, :, ::1], f4[:, :, ::1], f4, f4, f4[:, :, ::1], f4[:, ::1])", cache=True, error_model="numpy")
def spline_forward(x: Array, raw: Array, bound: float, scale: float, y: Array, log_det: Array) -> None:
    """Write y(x) and the sum over the features of log dy/dx.

    Parameters
    ----------
    x, y
        Shape (members, features, n).
    raw
        The output of a conditioner, shape (members, features * (3 bins - 1), n): widths, heights and inner slopes.
    bound, scale
        The spline acts on (-bound, bound); the factor of the raw widths and heights.
    log_det
        Shape (members, n).
    """
    members, features, n = x.shape
    rows = raw.shape[1] // features
    s, share = np.empty((11, _BLOCK), _f4), np.empty((2 * ((rows + 1) // 3), _BLOCK), _f4)
    for member in range(members):
        for feature in range(features):
            for start in range(0, n, _BLOCK):
                size = min(_BLOCK, n - start)
                xs, ys = x[member, feature, start : start + size], y[member, feature, start : start + size]
                ls = log_det[member, start : start + size]
                _select(xs, raw[member], feature * rows, start, bound, scale, False, share, s, size)
                left, width, bottom, height, before, after = s[2], s[3], s[4], s[5], s[6], s[7]
                for i in range(size):
                    u = xs[i]
                    before[i] = _LEAST + _softplus(before[i])
                    after[i] = _LEAST + _softplus(after[i])
                    theta = min(max((u - left[i]) / width[i], _ZERO), _ONE)
                    rest = _ONE - theta
                    both, slope = theta * rest, height[i] / width[i]
                    below = slope + (before[i] + after[i] - _TWO * slope) * both
                    above = slope * theta * theta + before[i] * both
                    rise = after[i] * theta * theta + _TWO * slope * both + before[i] * rest * rest
                    inside = abs(u) < bound
                    ratio = slope / below
                    log = _log(max(ratio * ratio * rise, _TINY))
                    value = bottom[i] + height[i] * (above / below)
                    left[i] = value if inside else u
                    width[i] = log if inside else _ZERO
                for i in range(size):
                    ys[i] = left[i]
                if feature == 0:
                    for i in range(size):
                        ls[i] = width[i]
                else:
                    for i in range(size):
                        ls[i] += width[i]


@numba.njit(
    "void(f4[:, :, ::1], f4[:, :, ::1], f4, f4, f4[:, :, ::1], f4[:, ::1], f4[:, :, ::1], f4[:, :, ::1])",
    cache=True,
    error_model="numpy",
)
def spline_backward(
    x: Array, raw: Array, bound: float, scale: float, g_y: Array, g_log_det: Array, g_x: Array, g_raw: Array
) -> None:
    """Write the gradient by x and by the raw parameters, given those by y and by log_det.

    Everything is as in `spline_forward`.
    """
    members, features, n = x.shape
    rows = raw.shape[1] // features
    bins = (rows + 1) // 3
    s, share = np.empty((13, _BLOCK), _f4), np.empty((2 * bins, _BLOCK), _f4)
    free = _TWO * bound * (_ONE - _f4(bins) * _LEAST) * scale
    for member in range(members):
        for feature in range(features):
            for start in range(0, n, _BLOCK):
                size, first = min(_BLOCK, n - start), feature * rows
                xs, gx = x[member, feature, start : start + size], g_x[member, feature, start : start + size]
                gy, gl = g_y[member, feature, start : start + size], g_log_det[member, start : start + size]
                _select(xs, raw[member], first, start, bound, scale, False, share, s, size)
                left, width, bottom, height, before, after, where = s[2], s[3], s[4], s[5], s[6], s[7], s[8]
                x_dot, y_dot, moved = s[9], s[10], s[11]
                for i in range(size):
                    u, w, h = xs[i], width[i], height[i]
                    d0, d1 = _LEAST + _softplus(before[i]), _LEAST + _softplus(after[i])
                    theta = min(max((u - left[i]) / w, _ZERO), _ONE)
                    rest = _ONE - theta
                    both, slope = theta * rest, h / w
                    bend = d0 + d1 - _TWO * slope
                    below = slope + bend * both
                    above = slope * theta * theta + d0 * both
                    rise = d1 * theta * theta + _TWO * slope * both + d0 * rest * rest
                    inside = abs(u) < bound
                    per_y = gy[i] if inside else _ZERO
                    per_log = gl[i] if inside else _ZERO
                    value = above / below
                    share_y, over_rise = per_y * h / below, per_log / rise
                    # by the denominator, of the value and of the logarithm
                    turn = -share_y * value - _TWO * per_log / below
                    g_theta = (
                        share_y * (_TWO * slope * theta + d0 * (rest - theta))
                        + turn * bend * (rest - theta)
                        + over_rise * _TWO * (d1 * theta + slope * (rest - theta) - d0 * rest)
                    )
                    g_slope = (
                        share_y * theta * theta
                        + turn * (_ONE - _TWO * both)
                        + _TWO * over_rise * both
                        + _TWO * per_log / slope
                    )
                    g_before = share_y * both + turn * both + over_rise * rest * rest
                    g_after = turn * both + over_rise * theta * theta
                    g_u = g_theta / w
                    moved[i] = g_u if inside else gy[i]
                    left[i] = -g_u
                    width[i] = -(g_theta * theta + g_slope * slope) / w
                    bottom[i] = per_y
                    height[i] = per_y * value + g_slope / w
                    before[i] = g_before * _sigmoid(before[i])
                    after[i] = g_after * _sigmoid(after[i])
                    x_dot[i] = _ZERO
                    y_dot[i] = _ZERO
                for i in range(size):
                    gx[i] = moved[i]
                for k in range(bins):
                    p, q, at = share[k], share[bins + k], _f4(k)
                    for i in range(size):
                        past, here = where[i] > at, where[i] == at
                        a, w, b, h = left[i], width[i], bottom[i], height[i]
                        x_dot[i] += p[i] * (a if past else (w if here else _ZERO))
                        y_dot[i] += q[i] * (b if past else (h if here else _ZERO))
                for k in range(bins):
                    p, q, at = share[k], share[bins + k], _f4(k)
                    gw = g_raw[member, first + k, start : start + size]
                    gh = g_raw[member, first + bins + k, start : start + size]
                    for i in range(size):
                        past, here = where[i] > at, where[i] == at
                        a, w = left[i], width[i]
                        gw[i] = free * p[i] * ((a if past else (w if here else _ZERO)) - x_dot[i])
                    for i in range(size):
                        past, here = where[i] > at, where[i] == at
                        b, h = bottom[i], height[i]
                        gh[i] = free * q[i] * ((b if past else (h if here else _ZERO)) - y_dot[i])
                for k in range(bins - 1):
                    gd, at, behind = g_raw[member, first + 2 * bins + k, start : start + size], _f4(k), _f4(k + 1)
                    for i in range(size):
                        b, a = before[i], after[i]
                        gd[i] = b if where[i] == behind else (a if where[i] == at else _ZERO)


@numba.njit("void(f4[:, :, ::1], f4[:, :, ::1], f4, f4, f4[:, :, ::1])", cache=True, error_model="numpy")
def spline_inverse(y: Array, raw: Array, bound: float, scale: float, x: Array) -> None:
    """Write x(y): the root of a quadratic whose discriminant is kept from rounding below zero, and one Newton step.

    Everything is as in `spline_forward`.
    """
    members, features, n = y.shape
    rows = raw.shape[1] // features
    s, share = np.empty((11, _BLOCK), _f4), np.empty((2 * ((rows + 1) // 3), _BLOCK), _f4)
    for member in range(members):
        for feature in range(features):
            for start in range(0, n, _BLOCK):
                size = min(_BLOCK, n - start)
                ys, xs = y[member, feature, start : start + size], x[member, feature, start : start + size]
                _select(ys, raw[member], feature * rows, start, bound, scale, True, share, s, size)
                left, width, bottom, height, before, after = s[2], s[3], s[4], s[5], s[6], s[7]
                for i in range(size):
                    u, slope = ys[i], height[i] / width[i]
                    d0, d1 = _LEAST + _softplus(before[i]), _LEAST + _softplus(after[i])
                    up = min(max((u - bottom[i]) / height[i], _ZERO), _ONE)
                    bend = d0 + d1 - _TWO * slope
                    a, b, c = up * bend + slope - d0, d0 - up * bend, -slope * up
                    root = math.sqrt(max(b * b - _FOUR * a * c, _ZERO))
                    theta = min(max(-_TWO * c / (b + root), _ZERO), _ONE)
                    rest = _ONE - theta
                    both = theta * rest
                    below = slope + bend * both
                    above = slope * theta * theta + d0 * both
                    rise = d1 * theta * theta + _TWO * slope * both + d0 * rest * rest
                    theta += (up - above / below) * below * below / (slope * rise)
                    value = left[i] + width[i] * min(max(theta, _ZERO), _ONE)
                    left[i] = value if abs(u) < bound else u
                for i in range(size):
                    xs[i] = left[i]
