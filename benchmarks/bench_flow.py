"""Conditional spline flows of the thesis's size against nflows: training, draws, and the likelihood that is reached."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any

import numpy as np
import torch
from nflows.distributions.normal import StandardNormal
from nflows.flows.base import Flow as TheirFlow
from nflows.nn.nets import ResidualNet
from nflows.transforms import BatchNorm, CompositeTransform, LULinear, RandomPermutation
from nflows.transforms import PiecewiseRationalQuadraticCouplingTransform as Coupling
from nflows.utils import create_alternating_binary_mask
from torch import nn

from backdrop.learn.flow import Flow, Flows
from backdrop.learn.train import Training, fit_flows

from .harness import Disagreement, Row

MEMBERS, FEATURES, BATCH = 25, 6, 1024
STEPS = 20
DRAWS = 20_000
LONG = 300
PACKAGES = ("nflows", "torch", "numba")
FLOW = Flow()


def rows() -> list[Row]:
    """Give a row for the training, one for the draws, and one for a training until the likelihood is compared."""
    torch.set_num_threads(1)
    short, long = Sample(STEPS * BATCH), Sample(20 * BATCH)
    trained, theirs = ours(short, MEMBERS, STEPS), Theirs(short, 1, STEPS)
    theirs.train()
    given = short.conditions[:DRAWS]
    return [
        Row(
            f"{MEMBERS} members, batches of {BATCH}: a step of training, held-out events included",
            "nflows, one after the other",
            2.5,
            "s",
            lambda: ours(short, MEMBERS, STEPS),
            lambda: Theirs(short, 2, STEPS).train(),
            lambda flows, _: {"members trained": float(len(flows))},
            PACKAGES,
            ours_work=STEPS,
            theirs_work=STEPS / MEMBERS,
            repeats=3,
        ),
        Row(
            "draws, a million of them",
            "nflows",
            2.5,
            "s",
            lambda: trained.sample(given, seed=1, members=range(8)),
            lambda: theirs.sample(given),
            _drawn,
            PACKAGES,
            ours_work=8 * len(given) / 1e6,
            theirs_work=len(given) / 1e6,
            repeats=3,
        ),
        Row(
            f"a training of {LONG} steps, and the likelihood of events that it has not seen",
            "nflows, the same settings",
            2.5,
            "s",
            lambda: ours(long, 8, LONG),
            lambda: [Theirs(long, seed, LONG).train() for seed in range(2)],
            lambda flows, peers: _likelihoods(flows, peers, Sample(20_000, seed=2)),
            PACKAGES,
            ours_work=8,
            theirs_work=2,
            repeats=1,
            warmups=0,
        ),
    ]


class Sample:
    """Six features of a known density that varies with two masses and with the year (one of three)."""

    def __init__(self, trained: int, seed: int = 1) -> None:
        rng = np.random.default_rng(seed)
        n = round(trained / 0.8)
        masses, year = rng.normal(size=(n, 2)), rng.integers(0, 3, n)
        z = rng.normal(size=(n, FEATURES))
        x = np.stack(
            [
                z[:, 0] + 0.5 * masses[:, 0],
                0.5 * np.sinh(z[:, 1]) + 0.4 * z[:, 0],
                z[:, 2] * np.exp(0.3 * masses[:, 1]),
                z[:, 3] + 0.3 * z[:, 2] ** 2 - 0.3,
                np.tanh(z[:, 4]) + 0.5 * z[:, 4] + 0.2 * year,
                z[:, 5] * (1.0 + 0.2 * year) + 0.3 * np.sin(2.0 * z[:, 4]),
            ],
            axis=1,
        )
        self.values, self.conditions = x, np.concatenate([masses, np.eye(3)[year]], axis=1)
        self.keys = np.arange(n, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)


def ours(sample: Sample, members: int, steps: int) -> Flows:
    """Train an ensemble."""
    batches = math.ceil(0.8 * len(sample.keys) / BATCH)
    training = Training(batch=BATCH, epochs=round(steps / batches), steps=0, patience=1000)
    weights = np.ones((members, len(sample.keys)))
    return fit_flows(
        sample.values, sample.conditions, weights, sample.keys, flow=FLOW, training=training, seeds=range(members)
    )


class Network(nn.Module):
    """The peer's residual network with the conditions among its inputs, as ours."""

    def __init__(self, inputs: int, outputs: int, conditions: int) -> None:
        super().__init__()
        self.hidden_features = FLOW.hidden
        self.network = ResidualNet(
            inputs + conditions, outputs, FLOW.hidden, num_blocks=FLOW.blocks, dropout_probability=FLOW.dropout
        )

    def forward(self, inputs: torch.Tensor, context: torch.Tensor) -> Any:
        return self.network(torch.cat([inputs, context], 1))


class Theirs:
    """One flow of the peer with the same layers, trained in the same way."""

    def __init__(self, sample: Sample, seed: int, steps: int) -> None:
        torch.manual_seed(seed)
        self.sample_, self.steps, self.rng = sample, steps, np.random.default_rng(seed)
        conditions = sample.conditions.shape[1]
        transforms: list[Any] = []
        for i in range(FLOW.layers):
            transforms += [BatchNorm(FEATURES)] if i else []
            mask = create_alternating_binary_mask(FEATURES, even=i % 2 == 0)
            coupling = Coupling(
                mask,
                lambda inputs, outputs: Network(inputs, outputs, conditions),
                num_bins=FLOW.bins,
                tails="linear",
                tail_bound=FLOW.bound,
            )
            transforms += [RandomPermutation(FEATURES), LULinear(FEATURES), coupling]
        self.flow = TheirFlow(CompositeTransform(transforms), StandardNormal([FEATURES]))

    @cached_property
    def tensors(self) -> tuple[torch.Tensor, torch.Tensor]:
        return tuple(torch.as_tensor(x, dtype=torch.float32) for x in (self.sample_.values, self.sample_.conditions))

    def train(self) -> Theirs:
        settings, (x, given) = Training(), self.tensors
        networks = [p for name, p in self.flow.named_parameters() if "transform_net" in name]
        optimiser = torch.optim.Adam(self.flow.parameters(), settings.rate)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, self.steps)
        trained = round(0.8 * len(x))
        self.flow.train()
        order = np.empty(0, np.int64)
        for _ in range(self.steps):
            if len(order) < BATCH:
                order = self.rng.permutation(trained)
            batch, order = order[:BATCH], order[BATCH:]
            loss = -self.flow.log_prob(x[batch], given[batch]).mean()
            loss = loss + settings.decay * sum((p * p).sum() for p in networks)
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(self.flow.parameters(), settings.clip)
            optimiser.step()
            schedule.step()
        self.flow.eval()
        with torch.no_grad():
            self.flow.log_prob(x[trained:], given[trained:])
        return self

    def sample(self, given: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return self.flow.sample(1, torch.as_tensor(given, dtype=torch.float32))[:, 0].numpy()

    def log_prob(self, sample: Sample) -> float:
        x, given = (torch.as_tensor(x, dtype=torch.float32) for x in (sample.values, sample.conditions))
        with torch.no_grad():
            return float(self.flow.log_prob(x, given).mean())


def _drawn(ours_drawn: np.ndarray, theirs_drawn: np.ndarray) -> dict[str, float]:
    if not (np.isfinite(ours_drawn).all() and np.isfinite(theirs_drawn).all()):
        raise Disagreement("draws are not finite")
    return {"draws of ours": float(ours_drawn[..., 0].size), "of theirs": float(len(theirs_drawn))}


def _likelihoods(flows: Flows, peers: list[Theirs], sample: Sample) -> dict[str, float]:
    mine = flows.log_prob(sample.values, sample.conditions).mean(1)
    theirs = [peer.log_prob(sample) for peer in peers]
    mean, spread = float(mine.mean()), float(mine.std(ddof=1))
    if mean < np.mean(theirs) - 3.0 * spread * math.sqrt(1 / len(mine) + 1 / len(theirs)):
        raise Disagreement(f"the members reach {mean:.4f} with a spread of {spread:.4f}, nflows {np.mean(theirs):.4f}")
    return {"ours": mean, "spread": spread, "nflows": float(np.mean(theirs)), "nflows spread": float(np.ptp(theirs))}
