"""The residual networks of the couplings, one for each member.

Every input has a last row of 1, so that the last column of a matrix of weights is the bias. On a CPU and in float32 the
gradient is written out, on compiled kernels: an optimiser's step spends most of its time here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from . import _network_kernels as kernels

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Dropout", "forward"]


@dataclass(frozen=True)
class Dropout:
    """Which hidden units are left out: those with a hash of (start, place) below a threshold.

    Attributes
    ----------
    starts
        Shape (members, layers, blocks), or (members, blocks) for one layer.
    probability
        To leave one out.
    """

    starts: NDArray[np.uint32]
    probability: float

    def of_layer(self, layer: int) -> Dropout:
        """Return that of a layer."""
        return Dropout(self.starts[:, layer], self.probability)

    @property
    def threshold(self) -> int:
        """What a hash must reach for its unit to be kept."""
        return round(self.probability * 2**32)


def forward(inputs: Tensor, weights: Sequence[Tensor], dropout: Dropout | None) -> Tensor:
    """Return the output of the networks, shape (members, outputs, n).

    Parameters
    ----------
    inputs
        Shape (members, inputs, n).
    weights
        Of the first layer, of two for each residual block and of the last layer, each of shape (members, to, from).
    dropout
        Of this layer of the flow, if any.
    """
    if inputs.device.type == "cpu" and inputs.dtype == torch.float32:
        output: Tensor = _Network.apply(inputs, dropout, *weights)  # type: ignore[no-untyped-call]
        return output
    return plain_forward(inputs, weights, dropout)


def plain_forward(inputs: Tensor, weights: Sequence[Tensor], dropout: Dropout | None) -> Tensor:
    """Return what `forward` does, in torch alone."""
    first, *blocks, last = weights
    hidden = torch.bmm(first, inputs)
    for block in range(len(blocks) // 2):
        inner = torch.bmm(blocks[2 * block], _with_ones(hidden.relu())).relu()
        if dropout is not None:
            kept = hash_mask(inner, dropout.starts[:, block], dropout.threshold)
            inner = inner * kept / (1.0 - dropout.probability)
        hidden = hidden + torch.bmm(blocks[2 * block + 1], _with_ones(inner))
    return torch.bmm(last, _with_ones(hidden))


def _with_ones(x: Tensor) -> Tensor:
    return pad(x, (0, 0, 0, 1), value=1.0)


def hash_mask(x: Tensor, starts: NDArray[np.uint32], threshold: int) -> Tensor:
    """Return which values `kernels.rectify` does not leave out, for any device."""
    low = 2**32 - 1
    rows, n = x.shape[1:]
    place = torch.arange(n, device=x.device) * rows + torch.arange(rows, device=x.device)[:, None]
    start = torch.as_tensor(starts.astype(np.int64), device=x.device)[:, None, None]
    z = (place * kernels.STEP + start) & low
    z = ((z ^ (z >> 16)) * kernels.FIRST) & low
    z = ((z ^ (z >> 15)) * kernels.SECOND) & low
    return (z ^ (z >> 16)) >= threshold


class _Network(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, inputs: Tensor, dropout: Dropout | None, *weights: Tensor) -> Tensor:
        first, *blocks, last = weights
        hidden = torch.bmm(first, inputs)
        kept = []
        for block in range(len(blocks) // 2):
            kept.append(_rectified(hidden))
            kept.append(_rectified(torch.bmm(blocks[2 * block], kept[-1]), dropout, block))
            hidden = hidden.baddbmm_(blocks[2 * block + 1], kept[-1])
        ctx.save_for_backward(inputs, hidden, *kept, *weights)
        ctx.factor = 1.0 if dropout is None else 1.0 / (1.0 - dropout.probability)
        return torch.baddbmm(last[:, :, -1:], last[:, :, :-1], hidden)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        inputs, hidden, *saved = ctx.saved_tensors
        blocks = (len(saved) - 2) // 4
        kept, (first, *matrices, last) = saved[: 2 * blocks], saved[2 * blocks :]
        g = gradients[0].contiguous()
        found = [torch.cat([torch.bmm(g, hidden.mT), g.sum(2, keepdim=True)], 2)]
        g = torch.bmm(last[:, :, :-1].mT, g)
        for block in reversed(range(blocks)):
            outer, inner = kept[2 * block], kept[2 * block + 1]
            found.append(torch.bmm(g, inner.mT))
            middle = _gated(torch.bmm((matrices[2 * block + 1][:, :, :-1] * ctx.factor).mT, g), inner)
            found.append(torch.bmm(middle, outer.mT))
            _gated(torch.bmm(matrices[2 * block][:, :, :-1].mT, middle), outer, g)
        found.append(torch.bmm(g, inputs.mT))
        by_inputs = torch.bmm(first.mT, g) if ctx.needs_input_grad[0] else None
        return by_inputs, None, *reversed(found)


def _rectified(x: Tensor, dropout: Dropout | None = None, block: int = 0) -> Tensor:
    """Return the positive values that are not left out, scaled to make up for those that are, and a last row of 1."""
    out = x.new_empty(x.shape[0], x.shape[1] + 1, x.shape[2])
    if dropout is None:
        starts, dropped, factor = np.zeros(len(x), np.uint32), 0, 1.0
    else:
        starts, dropped = np.ascontiguousarray(dropout.starts[:, block]), dropout.threshold
        factor = 1.0 / (1.0 - dropout.probability)
    kernels.rectify(x.numpy(), starts, dropped, factor, out.numpy())
    return out


def _gated(gradient: Tensor, kept: Tensor, total: Tensor | None = None) -> Tensor:
    """Add the gradient of what was kept to the total."""
    total = torch.zeros_like(gradient) if total is None else total
    kernels.gate(gradient.numpy(), kept.numpy(), total.numpy())
    return total
