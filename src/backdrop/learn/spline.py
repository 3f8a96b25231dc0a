"""Monotonic rational-quadratic splines with identity tails, one for each member, feature and event.

The raw output of a conditioner, shape (members, features * (3 bins - 1), n), gives widths, heights and inner slopes of
each spline. On a CPU and in float32 compiled kernels do the work; elsewhere the same formula in torch.

References
----------
Durkan et al., "Neural spline flows", arXiv:1906.04032, eqs. 4 to 8.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad, softmax, softplus

from . import _spline_kernels as kernels

__all__ = ["forward", "inverse"]

LEAST = kernels.LEAST


def forward(x: Tensor, raw: Tensor, bound: float, scale: float) -> tuple[Tensor, Tensor]:
    """Return y(x), shape (members, features, n), and the sum over the features of log dy/dx, shape (members, n).

    Parameters
    ----------
    x
        Shape (members, features, n).
    raw
        Shape (members, features * (3 bins - 1), n).
    bound, scale
        The spline acts on (-bound, bound); the factor of the raw widths and heights.
    """
    if _compiled(x):
        y, log_det = _Forward.apply(x.contiguous(), raw.contiguous(), bound, scale)  # type: ignore[no-untyped-call]
        return y, log_det
    return plain_forward(x, raw, bound, scale)


def inverse(y: Tensor, raw: Tensor, bound: float, scale: float) -> Tensor:
    """Return x(y), shape (members, features, n); everything is as in `forward`, and nothing has a gradient."""
    if not _compiled(y):
        return plain_inverse(y, raw, bound, scale)
    x = torch.empty_like(y, memory_format=torch.contiguous_format)
    with torch.no_grad():
        kernels.spline_inverse(_array(y), _array(raw), bound, scale, x.numpy())
    return x


def _compiled(x: Tensor) -> bool:
    return x.device.type == "cpu" and x.dtype == torch.float32


def _array(x: Tensor) -> Any:
    return x.detach().contiguous().numpy()


class _Forward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, raw: Tensor, bound: float, scale: float) -> tuple[Tensor, Tensor]:
        y, log_det = torch.empty_like(x), x.new_empty(x.shape[0], x.shape[2])
        kernels.spline_forward(x.numpy(), raw.numpy(), bound, scale, y.numpy(), log_det.numpy())
        ctx.save_for_backward(x, raw)
        ctx.constants = bound, scale
        return y, log_det

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None]:
        x, raw = ctx.saved_tensors
        by_y, by_log_det = map(_array, gradients)
        by_x, by_raw = torch.empty_like(x), torch.empty_like(raw)
        bound, scale = ctx.constants
        kernels.spline_backward(x.numpy(), raw.numpy(), bound, scale, by_y, by_log_det, by_x.numpy(), by_raw.numpy())
        return by_x, by_raw, None, None


def plain_forward(x: Tensor, raw: Tensor, bound: float, scale: float) -> tuple[Tensor, Tensor]:
    """Return what `forward` does, in torch alone."""
    inside = x.abs() < bound
    left, width, bottom, height, before, after = _bin(x, raw, bound, scale, inverse=False)
    theta = ((x - left) / width).clamp(0.0, 1.0)
    value, log_slope = _rational(theta, height / width, before, after)
    y = torch.where(inside, bottom + height * value, x)
    return y, torch.where(inside, log_slope, 0.0).sum(1)


def plain_inverse(y: Tensor, raw: Tensor, bound: float, scale: float) -> Tensor:
    """Return what `inverse` does, in torch alone."""
    left, width, bottom, height, before, after = _bin(y, raw, bound, scale, inverse=True)
    up, slope = ((y - bottom) / height).clamp(0.0, 1.0), height / width
    bend = before + after - 2.0 * slope
    a, b, c = up * bend + slope - before, before - up * bend, -slope * up
    # rounding may leave a discriminant just below zero
    theta = (-2.0 * c / (b + (b * b - 4.0 * a * c).clamp(min=0.0).sqrt())).clamp(0.0, 1.0)
    value, log_slope = _rational(theta, slope, before, after)
    theta = (theta + (up - value) * slope * (-log_slope).exp()).clamp(0.0, 1.0)
    return torch.where(y.abs() < bound, left + width * theta, y)


def _rational(theta: Tensor, slope: Tensor, before: Tensor, after: Tensor) -> tuple[Tensor, Tensor]:
    """Return the height that is reached in a bin, as a share of it, and the logarithm of the derivative."""
    rest = 1.0 - theta
    both = theta * rest
    below = slope + (before + after - 2.0 * slope) * both
    rise = after * theta * theta + 2.0 * slope * both + before * rest * rest
    return (slope * theta * theta + before * both) / below, 2.0 * (slope / below).log() + rise.log()


def _bin(x: Tensor, raw: Tensor, bound: float, scale: float, *, inverse: bool) -> list[Tensor]:
    """Return left, width, bottom, height and both slopes of the bin that each x (or y) is in."""
    members, features, n = x.shape
    rows = raw.shape[1] // features
    bins = (rows + 1) // 3
    raw = raw.reshape(members, features, rows, n)
    wide, high, inner = torch.split(raw, [bins, bins, bins - 1], dim=2)
    edge = math.log(math.expm1(1.0 - LEAST))
    slopes = LEAST + softplus(pad(inner, (0, 0, 1, 1), value=edge))
    widths, heights = (2.0 * bound * (LEAST + (1.0 - bins * LEAST) * softmax(scale * one, 2)) for one in (wide, high))
    lefts, bottoms = (pad(one.cumsum(2), (0, 0, 1, 0))[:, :, :-1] - bound for one in (widths, heights))
    edges = bottoms if inverse else lefts
    where = ((x[:, :, None] >= edges).sum(2, keepdim=True) - 1).clamp(0, bins - 1)
    parts = (lefts, widths, bottoms, heights, slopes[:, :, :-1], slopes[:, :, 1:])
    return [one.gather(2, where)[:, :, 0] for one in parts]
