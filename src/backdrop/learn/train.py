"""Training of an ensemble of flows in one process."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import ConfigError, DataError, ResourceError
from ..events.keys import hash_uniform
from ..tasks import named_seed
from .flow import Flow, Flows, checked

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from .train_state import Data

    Array = NDArray[np.float64]
    Flags = NDArray[np.bool_]

__all__ = ["Training", "fit_flows"]

_FEWEST = 20


@dataclass(frozen=True)
class Training:
    """How flows are trained: Adam on batches, with a rate that falls to zero along half a cosine.

    Attributes
    ----------
    batch
        Events of a batch, about; an epoch is split evenly.
    epochs, steps
        How many epochs at the most; more of them where they are fewer than so many steps. Of a training that is longer
        than the events ask for, a state is kept where the rate is still high: members then differ by chance.
    rate
        The learning rate at the start.
    decay
        The factor of the sum of squares of the networks' weights in the loss.
    held_out
        The share of the events, by a hash of (seed, key), that a member is not trained on, where nothing else is said.
    patience
        Epochs without a better likelihood of the held-out events after which a member stops; more where `steps` asks
        for more epochs.
    clip
        The largest norm of a member's gradient; a larger one is scaled down.
    momentum
        How much each batch adds to the means and variances that the trained flow will use.
    """

    batch: int = 1024
    epochs: int = 12
    steps: int = 500
    rate: float = 4e-3
    decay: float = 1e-6
    held_out: float = 0.2
    patience: int = 8
    clip: float = 5.0
    momentum: float = 0.05

    def __post_init__(self) -> None:
        for name, least in (("batch", 8), ("epochs", 1), ("steps", 0), ("patience", 1)):
            number = getattr(self, name)
            if not least <= number or number != int(number):
                raise ConfigError(f"Training: {name} is {number!r}; give a whole number from {least} on")
        for name in ("rate", "clip"):
            if not 0.0 < getattr(self, name) < math.inf:
                raise ConfigError(f"Training: {name} is {getattr(self, name)!r}; give a positive number")
        if not 0.0 <= self.decay < math.inf:
            raise ConfigError(f"Training: decay is {self.decay!r}; give a number that is not negative")
        for name in ("held_out", "momentum"):
            if not 0.0 < getattr(self, name) < 1.0:
                raise ConfigError(f"Training: {name} is {getattr(self, name)!r}; give a number between 0 and 1")


def fit_flows(
    values: ArrayLike,
    conditions: ArrayLike,
    weights: ArrayLike,
    keys: NDArray[np.uint64],
    *,
    flow: Flow | None = None,
    training: Training | None = None,
    seeds: Sequence[int],
    held_out: ArrayLike | None = None,
    device: str = "cpu",
    checkpoint: Path | str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Flows:
    """Train the members of an ensemble by maximum likelihood, all of them in this process.

    Each member minimises ``- sum w log p(values | conditions) / sum w`` plus the decay, on its own weights and its own
    share of the events, and keeps the parameters with the best likelihood of the events that it holds out. A member
    does not depend on the others. Rows whose weight is zero for a member are left out, and the means and variances of
    the batch norms are weighted.

    Parameters
    ----------
    values, conditions
        Standardised, shapes (n, features) and (n, conditions).
    weights
        Not negative, shape (members, n): of events times the counts of a bootstrap.
    keys
        The keys of the events, shape (n,); their order decides, so sort by key for a result that does not depend on it.
    flow, training
        The settings.
    seeds
        One for each member, all different.
    held_out
        Weights of the events that each member is judged by, shape (members, n), zero where it is trained; a share of
        its events otherwise. Those that a bootstrap has left out cost the training nothing, and do not widen the
        members' spread beyond the statistics as a share of their own does.
    device
        Where to compute; a result repeats exactly on a CPU.
    checkpoint
        A folder that keeps the state after each epoch: the same call goes on from there, to the same result.
    progress
        Called after each epoch with how many are done, and how many there are at the most.

    Notes
    -----
    **Assumes** standardised features with smooth densities, and a batch whose weights are of a similar size: the means
    and variances of the batch norms come from it.

    **Fails when** a feature piles up at one value or ends sharply (transform it first), and where a few events carry
    most of the weight.

    Raises
    ------
    DataError
        If shapes do not fit, a number is not finite, a weight is negative, or a member has too few events.
    ResourceError
        If there is no such device.
    FitError
        If no member could be trained. A member that could not is left out, with a warning.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> masses = rng.normal(size=(400, 1))
    >>> values, keys = masses + rng.normal(size=(400, 2)), np.arange(400, dtype=np.uint64)
    >>> small, short = Flow(layers=2, hidden=8), Training(epochs=2, steps=0)
    >>> flows = fit_flows(values, masses, np.ones((3, 400)), keys, flow=small, training=short, seeds=[1, 2, 3])
    >>> flows.sample(masses[:5], seed=4).shape
    (3, 5, 2)
    """
    from .train_files import Checkpoint
    from .train_loop import Trainer

    flow, training = flow or Flow(), training or Training()
    _check_device(device)
    data = _data(values, conditions, weights, keys, training, [int(seed) for seed in seeds], held_out)
    kept = None
    if checkpoint is not None:
        kept = Checkpoint.of(checkpoint, flow, training, data, device)
    return Trainer(flow, training, data, device).run(kept, progress)


def _check_device(device: str) -> None:
    import torch

    kind, _, number = device.partition(":")
    if kind == "cuda" and int(number or 0) >= (count := torch.cuda.device_count()):
        raise ResourceError(
            f"device '{device}': {count} such devices are here; train on the cpu, or where there is one"
        )


def _data(
    values: ArrayLike,
    conditions: ArrayLike,
    weights: ArrayLike,
    keys: NDArray[np.uint64],
    training: Training,
    seeds: list[int],
    held_out: ArrayLike | None = None,
) -> Data:
    from .train_state import Data

    x, given = checked("values", values), checked("conditions", conditions)
    weight = _weights(weights, len(seeds), len(x))
    judged: Flags | None = None
    if held_out is not None:
        more = _weights(held_out, len(seeds), len(x))
        judged = more > 0.0
        if (both := judged & (weight > 0.0)).any():
            member, row = np.argwhere(both)[0]
            raise DataError(
                f"row {row} is both trained on and held out for member {member}; give it one of the weights"
            )
        weight = weight + more
    if not (len(x) == len(given) == len(keys)):
        raise DataError(f"there are {len(x)} rows of values, {len(given)} of conditions and {len(keys)} keys")
    if x.shape[1] == 0:
        raise DataError("values have no columns; a flow needs a feature")
    if len(set(seeds)) < len(seeds):
        raise DataError(f"of the seeds {seeds} two are equal; members with one seed are the same")
    trained, tested = [], []
    for member, seed in enumerate(seeds):
        out: Flags
        if judged is None:
            out = hash_uniform(keys, named_seed(seed, "flow", "held out")) < training.held_out
        else:
            out = judged[member]
        trained.append(np.flatnonzero(~out & (weight[member] > 0.0)))
        tested.append(np.flatnonzero(out & (weight[member] > 0.0)))
        if len(trained[-1]) < _FEWEST or not len(tested[-1]):
            raise DataError(
                f"member {member} has {len(trained[-1])} events of positive weight to be trained on and "
                f"{len(tested[-1])} to be held out; a flow needs {_FEWEST} and 1 at least"
            )
        weight[member] /= weight[member, trained[-1]].mean()
    table = np.concatenate([x, given, np.ones((len(x), 1), np.float32)], axis=1)
    return Data(table, x.shape[1], weight.astype(np.float32), trained, tested, seeds)


def _weights(weights: ArrayLike, members: int, n: int) -> Array:
    found = np.array(weights, np.float64)
    if members == 0 or found.shape != (members, n):
        raise DataError(
            f"weights have the shape {found.shape}; give one row a seed and one column an event: {members, n}"
        )
    if not (np.isfinite(found) & (found >= 0.0)).all():
        member, row = np.argwhere(~(np.isfinite(found) & (found >= 0.0)))[0]
        raise DataError(
            f"the weight of row {row} for member {member} is {found[member, row]:g}; a likelihood needs "
            "weights that are not negative: make a positive-weight sample first"
        )
    return found
