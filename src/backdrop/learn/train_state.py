"""What flows are trained on, and all that changes in their training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["ACTIVE", "FAILED", "MOVED", "STOPPED", "Data", "State"]

ACTIVE, STOPPED, FAILED = 0, 1, 2
"""The status of a member."""

MOVED = ("theta", "first", "second", "mean", "variance", "count")
"""What a step changes."""


@dataclass(frozen=True)
class Data:
    """What the members are trained on.

    Attributes
    ----------
    table
        Values, conditions and a column of 1, shape (n, features + conditions + 1).
    features
        How many of the columns are values.
    weights
        Shape (members, n), of mean 1 over the training rows of each member.
    trained, held_out
        The rows of each member whose weight is not zero.
    seeds
        One a member.
    """

    table: NDArray[np.float32]
    features: int
    weights: NDArray[np.float32]
    trained: Sequence[NDArray[np.int64]]
    held_out: Sequence[NDArray[np.int64]]
    seeds: Sequence[int]


@dataclass
class State:
    """All that changes in the training; the first axis of each tensor are the members.

    Attributes
    ----------
    theta, first, second
        Parameters, and the moments of their gradient, shape (members, size).
    mean, variance
        Of the batch norms, shape (members, layers - 1, features).
    count
        Steps that were made.
    halvings, status, stale
        How often the rate was halved; active, stopped or failed; epochs since the best.
    best, best_theta, best_mean, best_variance
        The best likelihood of the held-out events, and what gave it.
    train, held_out
        The history, shape (members, epochs).
    epoch
        Epochs that are done, shape ().
    """

    theta: Tensor
    first: Tensor
    second: Tensor
    mean: Tensor
    variance: Tensor
    count: Tensor
    halvings: Tensor
    status: Tensor
    stale: Tensor
    best: Tensor
    best_theta: Tensor
    best_mean: Tensor
    best_variance: Tensor
    train: Tensor
    held_out: Tensor
    epoch: Tensor

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return all of it as arrays."""
        return {one.name: getattr(self, one.name).cpu().numpy() for one in fields(self)}

    def restored(self, arrays: Mapping[str, NDArray[Any]]) -> State:
        """Return the state that the arrays hold, each on the device that this one's is on."""
        # copied into torch's own memory: its alignment decides how sums are ordered
        return State(**{name: torch.tensor(one, device=getattr(self, name).device) for name, one in arrays.items()})

    @property
    def active(self) -> list[int]:
        """The members that are still trained."""
        return [int(member) for member in torch.nonzero(self.status == ACTIVE)[:, 0]]

    def copied(self) -> dict[str, Tensor]:
        """Return a copy of what a step changes."""
        return {name: getattr(self, name).clone() for name in MOVED}
