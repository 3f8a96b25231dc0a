"""The layers of a conditional spline coupling flow, for many members at once.

All parameters of a member are one row of a matrix, so that one optimiser, one norm of the gradient and one copy do for
everything. Tensors have the shape (members, rows, events).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import softplus

from ..tasks import stream
from . import flow_network as network
from . import spline
from .flow_network import Dropout

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .flow import Flow

__all__ = ["Layers", "Norms", "one_thread"]

EPSILON = 1e-5
"""Added to the variances of the batch norm."""

_UNIT = math.log(math.expm1(1.0 - spline.LEAST))
"""What the softplus takes to 1 - LEAST."""


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch use one thread: the order of its sums would depend on how many there are."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@dataclass(frozen=True)
class Norms:
    """Mean and variance of what enters each layer but the first, each of shape (members, layers - 1, features)."""

    mean: Tensor
    variance: Tensor

    def __getitem__(self, members: Any) -> Norms:
        return Norms(self.mean[members], self.variance[members])


@dataclass(frozen=True)
class Layers:
    """The shapes of a flow's parameters, and its two directions.

    Attributes
    ----------
    flow
        The settings.
    features, conditions
        How many values are modelled, and how many they depend on.
    """

    flow: Flow
    features: int
    conditions: int

    def moved(self, layer: int) -> int:
        """Return how many features a layer transforms: every second one, from the first or the second on."""
        return max(1, (self.features + 1 - layer % 2) // 2)

    @cached_property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of each parameter of a member, in their order."""
        flow, d = self.flow, self.features
        shapes: dict[str, tuple[int, ...]] = {
            "linear": (flow.layers, d, d),
            "shift": (flow.layers, d),
            "gain": (flow.layers - 1, d),
            "offset": (flow.layers - 1, d),
        }
        for i in range(flow.layers):
            shapes[f"{i}.input"] = (flow.hidden, d - self.moved(i) + self.conditions + 1)
            for j in range(2 * flow.blocks):
                shapes[f"{i}.{j}"] = (flow.hidden, flow.hidden + 1)
            shapes[f"{i}.output"] = (self.moved(i) * (3 * flow.bins - 1), flow.hidden + 1)
        return shapes

    @cached_property
    def sizes(self) -> list[int]:
        """How many numbers each parameter of a member has."""
        return [math.prod(shape) for shape in self.shapes.values()]

    @property
    def size(self) -> int:
        """How many parameters a member has."""
        return sum(self.sizes)

    @cached_property
    def penalised(self) -> NDArray[np.float32]:
        """1 for the parameters of the networks, 0 for the others, shape (size,)."""
        return np.repeat(np.array(["." in name for name in self.shapes], np.float32), self.sizes)

    def initial(self, seeds: Sequence[int]) -> NDArray[np.float32]:
        """Return the parameters that training begins with, shape (members, size): every spline is near the identity."""
        return np.stack([self._member(seed) for seed in seeds])

    def _member(self, seed: int) -> NDArray[np.float32]:
        rng = stream(seed, "flow", "parameters")
        parts = {name: np.zeros(shape, np.float32) for name, shape in self.shapes.items()}
        parts["linear"][:, np.arange(self.features), np.arange(self.features)] = _UNIT
        parts["gain"][:] = _UNIT
        for i in range(self.flow.layers):
            for name in (f"{i}.input", *(f"{i}.{j}" for j in range(2 * self.flow.blocks)), f"{i}.output"):
                limit = 1.0 / math.sqrt(parts[name].shape[1] - 1 or 1)
                last = name == f"{i}.{2 * self.flow.blocks - 1}"
                parts[name][:] = rng.uniform(-1.0, 1.0, parts[name].shape) * (1e-3 if last else limit)
            slopes = parts[f"{i}.output"][:, -1].reshape(self.moved(i), -1)[:, 2 * self.flow.bins :]
            slopes += _UNIT
        return np.concatenate([part.ravel() for part in parts.values()])

    def orders(self, seeds: Sequence[int]) -> NDArray[np.int64]:
        """Return the fixed permutation of each layer, shape (members, layers, features); transformed features first."""
        every = np.arange(self.features)
        orders = []
        for seed in seeds:
            rng = stream(seed, "flow", "permutations")
            for layer in range(self.flow.layers):
                first = layer % 2 if self.features > 1 else 0
                masked = np.concatenate([every[first::2], every[1 - first :: 2]])
                orders.append(rng.permutation(self.features)[masked])
        return np.reshape(orders, (len(seeds), self.flow.layers, self.features))

    def parts(self, theta: Tensor) -> dict[str, Tensor]:
        """Return the parameters by name, each of shape (members, *shape)."""
        pieces = torch.split(theta, self.sizes, dim=1)
        return {
            name: piece.reshape(-1, *shape) for (name, shape), piece in zip(self.shapes.items(), pieces, strict=True)
        }

    def linear(self, parts: dict[str, Tensor], orders: Tensor) -> tuple[Tensor, Tensor]:
        """Return the matrices P L U, (members, layers, features, features), and log |det| of their product."""
        raw = parts["linear"]
        diagonal = softplus(raw.diagonal(dim1=2, dim2=3)) + spline.LEAST
        lower = raw.tril(-1) + torch.eye(self.features, dtype=raw.dtype, device=raw.device)
        product = lower @ (raw.triu(1) + torch.diag_embed(diagonal))
        rows = orders[..., None].expand_as(product)
        return product.gather(2, rows), diagonal.log().sum((1, 2))

    def log_prob(
        self,
        theta: Tensor,
        orders: Tensor,
        x: Tensor,
        conditions: Tensor,
        *,
        norms: Norms | None = None,
        share: Tensor | None = None,
        dropout: Dropout | None = None,
    ) -> tuple[Tensor, Norms]:
        """Return the logarithm of the density, shape (members, n), and the means and variances that were used.

        Everything is as in `forward`.
        """
        z, log_det, used = self.forward(theta, orders, x, conditions, norms=norms, share=share, dropout=dropout)
        base = -0.5 * (z * z).sum(1) - 0.5 * self.features * math.log(2.0 * math.pi)
        return base + log_det, used

    def forward(
        self,
        theta: Tensor,
        orders: Tensor,
        x: Tensor,
        conditions: Tensor,
        *,
        norms: Norms | None = None,
        share: Tensor | None = None,
        dropout: Dropout | None = None,
    ) -> tuple[Tensor, Tensor, Norms]:
        """Return the base values z(x), log |det dz/dx|, and the means and variances that were used.

        Parameters
        ----------
        theta, orders
            Parameters and permutations, shapes (members, size) and (members, layers, features).
        x, conditions
            Shapes (members, features, n) and (members, conditions + 1, n): the last row of the conditions is 1.
        norms
            Those to use; without them they come from the events, each with its `share`, shape (members, n).
        dropout
            The units to leave out, if any.
        """
        parts = self.parts(theta)
        matrices, constant = self.linear(parts, orders)
        gains = softplus(parts["gain"]) + spline.LEAST
        log_det = x.new_zeros(x.shape[0], x.shape[2])
        used = []
        for i in range(self.flow.layers):
            matrix, shift = matrices[:, i], parts["shift"][:, i, :, None]
            if i:
                x, mean, variance = _centred(x, share) if norms is None else _moved(x, norms, i - 1)
                used.append((mean.detach(), variance.detach()))
                factor = gains[:, i - 1] * (variance + EPSILON).rsqrt()
                constant = constant + factor.log().sum(1)
                shift = torch.baddbmm(shift, matrix, parts["offset"][:, i - 1, :, None])
                matrix = matrix * factor[:, None, :]
            x = torch.baddbmm(shift, matrix, x)
            moved, kept = torch.split(x, [self.moved(i), self.features - self.moved(i)], dim=1)
            raw = self.conditioner(parts, i, torch.cat([kept, conditions], 1), dropout)
            y, own = spline.forward(moved, raw, self.flow.bound, self.scale)
            x, log_det = torch.cat([y, kept], 1), log_det + own
        means, variances = zip(*used, strict=True) if used else ((), ())
        stacked = Norms(_stacked(means, x, self.features), _stacked(variances, x, self.features))
        return x, log_det + constant[:, None], stacked

    @property
    def scale(self) -> float:
        """The factor of the raw widths and heights, as in the authors' own code."""
        return 1.0 / math.sqrt(self.flow.hidden)

    def conditioner(self, parts: dict[str, Tensor], layer: int, inputs: Tensor, dropout: Dropout | None) -> Tensor:
        """Return the raw parameters of a layer's splines: a residual network whose every input has a last row of 1."""
        weights = [parts[f"{layer}.{name}"] for name in ("input", *range(2 * self.flow.blocks), "output")]
        return network.forward(inputs, weights, None if dropout is None else dropout.of_layer(layer))

    def inverse(self, theta: Tensor, orders: Tensor, norms: Norms, z: Tensor, conditions: Tensor) -> list[Tensor]:
        """Return the values that the base values come from, and those after each layer on the way, the last first.

        Everything is as in `log_prob`, without gradients.
        """
        parts = self.parts(theta)
        matrices, _ = self.linear(parts, orders)
        inverses = torch.linalg.inv(matrices.double()).to(z.dtype)
        gains = softplus(parts["gain"]) + spline.LEAST
        steps = [z]
        for i in reversed(range(self.flow.layers)):
            moved, kept = torch.split(z, [self.moved(i), self.features - self.moved(i)], dim=1)
            raw = self.conditioner(parts, i, torch.cat([kept, conditions], 1), None)
            y = torch.cat([spline.inverse(moved, raw, self.flow.bound, self.scale), kept], 1)
            z = torch.bmm(inverses[:, i], y - parts["shift"][:, i, :, None])
            if i:
                factor = (norms.variance[:, i - 1] + EPSILON).sqrt() / gains[:, i - 1]
                z = (z - parts["offset"][:, i - 1, :, None]) * factor[:, :, None] + norms.mean[:, i - 1, :, None]
            steps.append(z)
        return steps


def _stacked(rows: Sequence[Tensor], like: Tensor, features: int) -> Tensor:
    return torch.stack(list(rows), 1) if rows else like.new_zeros(like.shape[0], 0, features)


def _centred(x: Tensor, share: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Return the values minus their mean, the mean and the variance, each event with its share of the weight."""
    if share is None:
        raise ValueError("a batch norm without means needs the share of each event")
    centred, mean, variance = _Centred.apply(x, share)  # type: ignore[no-untyped-call]
    return centred, mean, variance


class _Centred(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, share: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        column = share[:, :, None]
        mean = torch.bmm(x, column)
        centred = x - mean
        variance = torch.bmm(centred * centred, column)[:, :, 0]
        ctx.save_for_backward(centred, share)
        mean = mean[:, :, 0]
        ctx.mark_non_differentiable(mean)
        return centred, mean, variance

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        centred, share = ctx.saved_tensors
        row = share[:, None, :]
        # the mean of the centred values is zero, so that the variance adds nothing to the second sum
        by_x = torch.addcmul(gradients[0], centred * row, gradients[2][:, :, None], value=2.0)
        return by_x.addcmul_(gradients[0].sum(2, keepdim=True), row, value=-1.0), None


def _moved(x: Tensor, norms: Norms, layer: int) -> tuple[Tensor, Tensor, Tensor]:
    mean, variance = norms.mean[:, layer], norms.variance[:, layer]
    return x - mean[:, :, None], mean, variance
