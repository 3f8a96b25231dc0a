"""The loop of the training: batches, steps, epochs, and what happens to a member that diverges."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from .._kernels import mix
from ..errors import FitError
from ..tasks import named_seed, stream
from .flow import CHUNK, GROUP, Flow, Flows
from .flow_layers import Layers, Norms, one_thread
from .flow_network import Dropout
from .train_state import ACTIVE, FAILED, MOVED, STOPPED, Data, State

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .train import Training
    from .train_files import Checkpoint

__all__ = ["Trainer"]

HALVINGS = 3
"""How often a member that diverges goes on with half the rate before it is given up."""

_BETAS, _EPSILON = (0.9, 0.999), 1e-8
_MASK = 2**64 - 1


class Trainer:
    """One training: its data, its settings and its state."""

    def __init__(self, flow: Flow, training: Training, data: Data, device: str) -> None:
        self.training, self.data, self.device = training, data, device
        self.layers = Layers(flow, data.features, data.table.shape[1] - data.features - 1)
        self.table = torch.as_tensor(data.table, device=device)
        self.weights = torch.as_tensor(data.weights, device=device)
        self.orders = torch.as_tensor(self.layers.orders(data.seeds), device=device)
        self.penalised = torch.as_tensor(self.layers.penalised, device=device)
        self.state = self._start()
        self.before = self.state.copied()

    @cached_property
    def steps(self) -> int:
        """How many steps an epoch has."""
        return math.ceil(max(map(len, self.data.trained)) / self.training.batch)

    @cached_property
    def epochs(self) -> int:
        """How many epochs there are at the most."""
        return max(self.training.epochs, math.ceil(self.training.steps / self.steps))

    @cached_property
    def patience(self) -> int:
        """How many epochs a member may not become better; more where there are more epochs than the settings name."""
        return math.ceil(self.training.patience * self.epochs / self.training.epochs)

    def _start(self) -> State:
        members, layers = len(self.data.seeds), self.layers
        theta = torch.as_tensor(layers.initial(self.data.seeds), device=self.device)
        mean = theta.new_zeros(members, layers.flow.layers - 1, layers.features)
        numbers = torch.zeros(members, dtype=torch.int64, device=self.device)
        history = torch.full((members, self.epochs), math.nan, dtype=torch.float64)
        return State(
            theta=theta,
            first=torch.zeros_like(theta),
            second=torch.zeros_like(theta),
            mean=mean,
            variance=torch.ones_like(mean),
            count=numbers,
            halvings=numbers.clone(),
            status=numbers.clone(),
            stale=numbers.clone(),
            best=torch.full((members,), -math.inf, dtype=torch.float64),
            best_theta=theta.clone(),
            best_mean=mean.clone(),
            best_variance=torch.ones_like(mean),
            train=history,
            held_out=history.clone(),
            epoch=torch.zeros((), dtype=torch.int64),
        )

    def run(self, checkpoint: Checkpoint | None = None, progress: Callable[[int, int], None] | None = None) -> Flows:
        """Train until every member has stopped, failed or seen all epochs, and return those that did not fail.

        Raises
        ------
        FitError
            If every member failed.
        """
        with one_thread():
            if checkpoint and (arrays := checkpoint.read()):
                self.state = self.state.restored(arrays)
            while int(self.state.epoch) < self.epochs and self.state.active:
                self.run_epoch()
                if checkpoint:
                    checkpoint.write(self.state.arrays())
                if progress:
                    progress(int(self.state.epoch), self.epochs)
        return self.flows()

    def run_epoch(self) -> None:
        """Run one epoch: all batches, then the likelihood of the held-out events."""
        epoch = int(self.state.epoch)
        self.before = self.state.copied()
        orders = [
            stream(seed, "flow", "order", epoch).permutation(rows)
            for seed, rows in zip(self.data.seeds, self.data.trained, strict=True)
        ]
        losses = torch.zeros(len(orders), dtype=torch.float64)
        for step in range(self.steps):
            for group in _groups(self.state.active):
                losses[group] += self._step(group, orders, step)
        for group in _groups(self.state.active):
            self.state.train[group, epoch] = -losses[group] / self.steps
            self._judge(group, epoch)
        self.state.epoch += 1

    def _step(self, group: list[int], orders: Sequence[NDArray[np.int64]], step: int) -> Tensor:
        """Move a few members by one batch; return their losses."""
        rows, real = self._batch([orders[member] for member in group], step)
        picked = self.table[rows].transpose(1, 2)
        x, conditions = self._parted(picked)
        weight = self.weights[torch.tensor(group)[:, None], rows] * real
        total = weight.sum(1, keepdim=True)
        share = torch.where(total > 0.0, weight / total, 1.0 / weight.shape[1])
        theta = self.state.theta[_span(group)].detach().requires_grad_()
        log_prob, norms = self.layers.log_prob(
            theta, self.orders[_span(group)], x, conditions, share=share, dropout=self._dropout(group, step)
        )
        size = torch.tensor([len(orders[member]) / self.steps for member in group], device=self.device)
        losses = -(log_prob * weight).sum(1) / size
        (gradient,) = torch.autograd.grad(losses.sum(), theta)
        self._move(group, gradient, norms, losses.detach(), total[:, 0] > 0.0, step)
        return losses.detach().cpu().double()

    def _batch(self, orders: Sequence[NDArray[np.int64]], step: int) -> tuple[Tensor, Tensor]:
        """Return the rows of each member's batch, and 1 where they are real: a shorter batch is filled up."""
        steps = self.steps
        return self._filled([order[len(order) * step // steps : len(order) * (step + 1) // steps] for order in orders])

    def _filled(self, parts: Sequence[NDArray[np.int64]]) -> tuple[Tensor, Tensor]:
        rows = np.zeros((len(parts), max(map(len, parts))), np.int64)
        real = np.zeros(rows.shape, np.float32)
        for i, part in enumerate(parts):
            rows[i, : len(part)], real[i, : len(part)] = part, 1.0
        return torch.as_tensor(rows, device=self.device), torch.as_tensor(real, device=self.device)

    def _parted(self, table: Tensor) -> tuple[Tensor, Tensor]:
        """Return the values, and the conditions with their row of 1."""
        return table[:, : self.layers.features].contiguous(), table[:, self.layers.features :]

    def _dropout(self, group: list[int], step: int) -> Dropout | None:
        flow = self.layers.flow
        if flow.dropout == 0.0 or flow.blocks == 0:
            return None
        shape = (len(group), flow.layers, flow.blocks)
        seeds = np.array([named_seed(self.data.seeds[member], "flow", "dropout") for member in group], np.uint64)
        steps = int(self.state.epoch) * self.steps + step
        places = np.uint64(steps * flow.layers * flow.blocks) + np.arange(flow.layers * flow.blocks, dtype=np.uint64)
        hashes = mix(np.repeat(seeds, len(places)), np.tile(places, len(group)))
        return Dropout((hashes & np.uint64(2**32 - 1)).astype(np.uint32).reshape(shape), flow.dropout)

    def _move(
        self,
        group: list[int],
        gradient: Tensor,
        norms: Norms,
        losses: Tensor,
        seen: Tensor,
        step: int,
    ) -> None:
        """Make a step of Adam; a member whose loss or gradient is not finite goes back by one, at half the rate."""
        members = _span(group)
        fine = torch.isfinite(losses) & torch.isfinite(gradient).all(1)
        bad = [member for member, good in zip(group, fine.tolist(), strict=True) if not good]
        back = {name: self.before[name][bad] for name in MOVED} if bad else {}
        for name in MOVED:
            self.before[name][members] = getattr(self.state, name)[members]
        self._adam(members, gradient, self._rate(step))
        part = torch.where(seen, (1.0 / self.state.count[members]).clamp(min=self.training.momentum), 0.0)[
            :, None, None
        ]
        self.state.mean[members] = torch.lerp(self.state.mean[members], norms.mean, part)
        self.state.variance[members] = torch.lerp(self.state.variance[members], norms.variance, part)
        for name, values in back.items():
            getattr(self.state, name)[bad] = values
            self.before[name][bad] = values
        for member in bad:
            self._halve(member)

    def _adam(self, members: Any, gradient: Tensor, rate: float) -> None:
        state, settings = self.state, self.training
        theta, first, second = (one[members] for one in (state.theta, state.first, state.second))
        gradient = gradient.addcmul_(self.penalised, theta, value=2.0 * settings.decay)
        gradient *= (settings.clip / gradient.norm(dim=1, keepdim=True)).clamp(max=1.0)
        state.count[members] += 1
        rates, roots = self._corrections(members, rate)
        state.first[members] = first.lerp_(gradient, 1.0 - _BETAS[0])
        state.second[members] = second.mul_(_BETAS[1]).addcmul_(gradient, gradient, value=1.0 - _BETAS[1])
        state.theta[members] = theta.sub_(first / second.sqrt().mul_(roots).add_(_EPSILON) * rates)

    def _corrections(self, members: Any, rate: float) -> tuple[Tensor, Tensor]:
        """Return the rate of each member, and the factor of the root of its second moment, both of shape (group, 1)."""
        count = self.state.count[members].double()
        halved = 0.5 ** self.state.halvings[members].double()
        rates, roots = rate * halved / (1.0 - _BETAS[0] ** count), (1.0 - _BETAS[1] ** count).rsqrt()
        return rates.float()[:, None], roots.float()[:, None]

    def _rate(self, step: int) -> float:
        done = (int(self.state.epoch) * self.steps + step) / (self.epochs * self.steps)
        return self.training.rate * 0.5 * (1.0 + math.cos(math.pi * done))

    def _halve(self, member: int) -> None:
        self.state.halvings[member] += 1
        if self.state.halvings[member] > HALVINGS:
            self.state.status[member] = FAILED

    def _judge(self, group: list[int], epoch: int) -> None:
        """Keep what is better for the held-out events; stop members that have not become better for long."""
        state = self.state
        found = self.likelihood(group)
        state.held_out[group, epoch] = found
        for member, value in zip(group, found.tolist(), strict=True):
            if not math.isfinite(value):
                for name in ("theta", "mean", "variance"):
                    getattr(state, name)[member] = getattr(state, f"best_{name}")[member]
                self._halve(member)
            if value > state.best[member]:
                state.best[member], state.stale[member] = value, 0
                for name in ("theta", "mean", "variance"):
                    getattr(state, f"best_{name}")[member] = getattr(state, name)[member]
            else:
                state.stale[member] += 1
            if state.status[member] == ACTIVE and state.stale[member] >= self.patience:
                state.status[member] = STOPPED

    def likelihood(self, group: list[int]) -> Tensor:
        """Return the mean logarithm of the density of each member's held-out events, shape (group,)."""
        rows = [self.data.held_out[member] for member in group]
        found, total = np.zeros(len(group)), np.zeros(len(group))
        with torch.no_grad():
            for start in range(0, max(map(len, rows)), CHUNK):
                picked, real = self._filled([one[start : start + CHUNK] for one in rows])
                table = self.table[picked].transpose(1, 2)
                weight = self.weights[torch.tensor(group)[:, None], picked] * real
                x, conditions = self._parted(table)
                norms = Norms(self.state.mean[group], self.state.variance[group])
                log_prob, _ = self.layers.log_prob(
                    self.state.theta[group], self.orders[group], x, conditions, norms=norms
                )
                found += (log_prob.double() * weight).sum(1).cpu().numpy()
                total += weight.double().sum(1).cpu().numpy()
        return torch.as_tensor(found / total)

    def flows(self) -> Flows:
        """Return the best of each member that did not fail.

        Raises
        ------
        FitError
            If every member failed.
        """
        state, seeds = self.state, self.data.seeds
        good = [i for i in range(len(seeds)) if state.status[i] != FAILED and math.isfinite(state.best[i])]
        failed = tuple(seed for i, seed in enumerate(seeds) if i not in good)
        if not good:
            raise FitError(
                f"none of the {len(seeds)} flows could be trained: the loss was not finite, also after the rate was "
                f"halved {HALVINGS} times; standardise the features, or lower rate ({self.training.rate:g})"
            )
        if failed:
            warnings.warn(
                f"{len(failed)} of {len(seeds)} flows could not be trained and are left out (seeds "
                f"{', '.join(map(str, failed))}): the loss was not finite, also after the rate was halved {HALVINGS} "
                "times",
                UserWarning,
                stacklevel=4,
            )
        parameters, mean, variance, train, held_out = (
            one[good].cpu().numpy()
            for one in (state.best_theta, state.best_mean, state.best_variance, state.train, state.held_out)
        )
        return Flows(
            self.layers.flow,
            self.layers.features,
            self.layers.conditions,
            tuple(seeds[i] for i in good),
            parameters,
            self.orders[good].cpu().numpy(),
            mean,
            variance,
            {"train": train, "held_out": held_out},
            failed,
        )


def _groups(members: Sequence[int]) -> list[list[int]]:
    return [list(members[start : start + GROUP]) for start in range(0, len(members), GROUP)]


def _span(members: list[int]) -> slice | list[int]:
    """Return a slice where the members follow one another: what it selects is not copied."""
    whole = members == list(range(members[0], members[0] + len(members)))
    return slice(members[0], members[0] + len(members)) if whole else members
