"""Conditional normalizing flows: the settings of one, and an ensemble of trained ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ConfigError, DataError
from ..tasks import stream

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from .flow_layers import Layers, Norms

    Array = NDArray[np.float64]

__all__ = ["Flow", "Flows"]

GROUP = 4
"""Members that go through the layers together: what they need at a time stays in the cache."""

CHUNK = 2048
"""Events that go through the layers together; it is part of the random stream of the draws."""


@dataclass(frozen=True)
class Flow:
    """A rational-quadratic neural spline coupling flow.

    A layer is a linear map P L U with a fixed random permutation, and a coupling: splines with identity tails of every
    second feature, whose widths, heights and slopes come from a residual network that is given the other features and
    the conditions. Between two layers is a batch norm.

    Attributes
    ----------
    layers
        How many layers.
    bins, bound
        Bins of each spline on (-bound, bound); the features and conditions are to be standardised.
    hidden, blocks
        Width and residual blocks of the networks.
    dropout
        Probability to leave out a hidden unit in training.

    References
    ----------
    Durkan et al., "Neural spline flows", arXiv:1906.04032.
    """

    layers: int = 10
    bins: int = 4
    bound: float = 3.0
    hidden: int = 32
    blocks: int = 1
    dropout: float = 0.1

    def __post_init__(self) -> None:
        for name, least in (("layers", 1), ("bins", 2), ("hidden", 1), ("blocks", 0)):
            number = getattr(self, name)
            if not least <= number or number != int(number):
                raise ConfigError(f"Flow: {name} is {number!r}; give a whole number from {least} on")
        if self.bins > 100:
            raise ConfigError(
                f"Flow: bins is {self.bins}; no bin is narrower than 1/1000 of the domain: give at most 100"
            )
        if not 0.0 < self.bound < np.inf:
            raise ConfigError(f"Flow: bound is {self.bound!r}; give a positive number")
        if not 0.0 <= self.dropout < 1.0:
            raise ConfigError(f"Flow: dropout is {self.dropout!r}; give a probability from 0 to below 1")


@dataclass(frozen=True, eq=False)
class Flows:
    """Trained members of an ensemble of flows, each a density p(values | conditions).

    Attributes
    ----------
    flow
        The settings.
    features, conditions
        How many values are modelled, and how many they depend on.
    seeds
        The seed of each member.
    parameters
        Shape (members, parameters), float32.
    orders
        The permutation in each layer, shape (members, layers, features).
    mean, variance
        What the batch norms use, each of shape (members, layers - 1, features), float32.
    history
        ``train`` and ``held_out``: the mean logarithm of the density after each epoch, with dropout and without; shape
        (members, epochs), NaN after a member stopped.
    failed
        Seeds of members that could not be trained; nothing else of them is left.
    """

    flow: Flow
    features: int
    conditions: int
    seeds: tuple[int, ...]
    parameters: NDArray[np.float32]
    orders: NDArray[np.int64]
    mean: NDArray[np.float32]
    variance: NDArray[np.float32]
    history: Mapping[str, Array] = field(default_factory=dict)
    failed: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.seeds)

    def member(self, member: int) -> Flows:
        """Return an ensemble of one of the members: its density and its draws are those that it has here."""
        keep = [range(len(self))[member]]
        arrays = {name: getattr(self, name)[keep] for name in ("parameters", "orders", "mean", "variance")}
        history = {name: losses[keep] for name, losses in self.history.items()}
        return Flows(self.flow, self.features, self.conditions, (self.seeds[member],), **arrays, history=history)

    def log_prob(self, values: ArrayLike, conditions: ArrayLike, *, device: str = "cpu") -> Array:
        """Return the logarithm of each member's density of the values, shape (members, n).

        Parameters
        ----------
        values, conditions
            Shapes (n, features) and (n, conditions).
        device
            Where to compute.

        Raises
        ------
        DataError
            If the shapes do not fit or a number is not finite.
        """
        import torch

        from .flow_layers import one_thread

        x, given = checked("values", values, self.features), checked("conditions", conditions, self.conditions)
        if len(x) != len(given):
            raise DataError(f"there are {len(x)} rows of values but {len(given)} of conditions")
        found = np.empty((len(self), len(x)))
        with one_thread(), torch.no_grad():
            for members, theta, orders, norms in self._groups(device):
                for rows in _chunks(len(x)):
                    one = _rows(x[rows], device).expand(len(theta), -1, -1)
                    log_prob, _ = self._layers.log_prob(
                        theta, orders, one, self._given(given[rows], len(theta), device), norms=norms
                    )
                    found[members, rows] = log_prob.cpu().numpy()
        return found

    def sample(
        self, conditions: ArrayLike, *, seed: int, members: Sequence[int] | None = None, device: str = "cpu"
    ) -> NDArray[np.float32]:
        """Draw values for each of the conditions, shape (members, n, features).

        A row depends on the seed, on its place, and on the member's own seed, but not on which members draw.

        Parameters
        ----------
        conditions
            Shape (n, conditions).
        seed
            Seed of the draws.
        members
            Which members draw; all of them otherwise.
        device
            Where to compute.

        Raises
        ------
        DataError
            If the shape does not fit or a number is not finite.
        """
        given = checked("conditions", conditions, self.conditions)
        which = list(range(len(self)) if members is None else members)
        found = np.empty((len(which), len(given), self.features), np.float32)
        for places, rows, steps in self._pushed(given, which, partial(self._noise, seed=seed), device):
            found[places, rows] = steps[-1].transpose(1, 2).cpu().numpy()
        return found

    def transformed(
        self, noise: NDArray[np.float32], conditions: ArrayLike, *, device: str = "cpu"
    ) -> NDArray[np.float32]:
        """Return the values that each member makes of normal numbers, both of shape (members, n, features).

        Raises
        ------
        DataError
            If the shapes do not fit or a number is not finite.
        """
        given = checked("conditions", conditions, self.conditions)
        if noise.shape != (len(self), len(given), self.features):
            raise DataError(f"noise has the shape {noise.shape}; give {(len(self), len(given), self.features)}")

        def part(members: Sequence[int], rows: slice) -> NDArray[np.float32]:
            return np.ascontiguousarray(noise[list(members), rows].transpose(0, 2, 1))

        found = np.empty(noise.shape, np.float32)
        for members, rows, steps in self._pushed(given, range(len(self)), part, device):
            found[members, rows] = steps[-1].transpose(1, 2).cpu().numpy()
        return found

    def layers(self, conditions: ArrayLike, *, seed: int, member: int = 0) -> list[NDArray[np.float32]]:
        """Return what `sample` draws for a member after each layer: first the normal numbers, last the values."""
        given = checked("conditions", conditions, self.conditions)
        found = np.empty((self.flow.layers + 1, len(given), self.features), np.float32)
        for _, rows, steps in self._pushed(given, [member], partial(self._noise, seed=seed), "cpu"):
            for place, step in enumerate(steps):
                found[place, rows] = step[0].T.numpy()
        return list(found)

    def _pushed(
        self,
        given: NDArray[np.float32],
        which: Sequence[int],
        noise: Callable[[Sequence[int], slice], NDArray[np.float32]],
        device: str,
    ) -> Iterator[tuple[slice, slice, list[Any]]]:
        """Give normal numbers after each layer, some members and rows at a time."""
        import torch

        from .flow_layers import one_thread

        with one_thread(), torch.no_grad():
            for places, theta, orders, norms in self._groups(device, which):
                chosen = which[places]
                for rows in _chunks(len(given)):
                    z = torch.as_tensor(noise(chosen, rows), device=device)
                    one = self._given(given[rows], len(chosen), device)
                    yield places, rows, self._layers.inverse(theta, orders, norms, z, one)

    def _noise(self, members: Sequence[int], rows: slice, seed: int) -> NDArray[np.float32]:
        """Return normal numbers, shape (members, features, rows); the first rows of a chunk stay if more are drawn."""
        streams = [stream(seed, "flow", "draws", self.seeds[member], rows.start // CHUNK) for member in members]
        drawn = [one.standard_normal((rows.stop - rows.start, self.features), np.float32).T for one in streams]
        return np.stack(drawn)

    @cached_property
    def _layers(self) -> Layers:
        from .flow_layers import Layers

        return Layers(self.flow, self.features, self.conditions)

    def _groups(self, device: str, which: Sequence[int] | None = None) -> Iterator[tuple[slice, Any, Any, Norms]]:
        """Give a few members at a time: their places, parameters, permutations and norms."""
        import torch

        from .flow_layers import Norms

        which = range(len(self)) if which is None else which
        for start in range(0, len(which), GROUP):
            places = slice(start, min(start + GROUP, len(which)))
            some = list(which[places])
            theta, orders, mean, variance = (
                torch.as_tensor(one[some], device=device)
                for one in (self.parameters, self.orders, self.mean, self.variance)
            )
            yield places, theta, orders, Norms(mean, variance)

    def _given(self, conditions: NDArray[np.float32], members: int, device: str) -> Any:
        """Return the conditions and a last row of 1, shape (members, conditions + 1, n)."""
        ones = np.ones((len(conditions), 1), np.float32)
        return _rows(np.concatenate([conditions, ones], 1), device).expand(members, -1, -1)

    def state(self) -> dict[str, Any]:
        """Return arrays, numbers and texts that `from_state` restores it from."""
        arrays = {name: getattr(self, name) for name in ("parameters", "orders", "mean", "variance")}
        return {
            "flow": asdict(self.flow),
            "features": self.features,
            "conditions": self.conditions,
            "seeds": list(self.seeds),
            "failed": list(self.failed),
            "history": dict(self.history),
            **arrays,
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Flows:
        """Restore what `state` gave."""
        lists = {name: tuple(state[name]) for name in ("seeds", "failed")}
        return cls(**{**state, "flow": Flow(**state["flow"]), **lists})


def checked(name: str, values: ArrayLike, columns: int | None = None) -> NDArray[np.float32]:
    """Return finite numbers as float32 of shape (n, columns).

    Raises
    ------
    DataError
        If the shape is another one, or a number is not finite.
    """
    rows = np.asarray(values, np.float64)
    if rows.ndim != 2 or (columns is not None and rows.shape[1] != columns):
        raise DataError(f"{name} have the shape {rows.shape}; give (n, {'columns' if columns is None else columns})")
    with np.errstate(over="ignore"):
        found = rows.astype(np.float32)
    if not np.isfinite(found).all():
        row, column = np.argwhere(~np.isfinite(found))[0]
        raise DataError(f"{name}: row {row}, column {column} is {rows[row, column]:g}; a flow needs finite numbers")
    return found


def _chunks(n: int) -> Iterator[slice]:
    for start in range(0, n, CHUNK):
        yield slice(start, min(start + CHUNK, n))


def _rows(values: NDArray[np.float32], device: str) -> Any:
    """Return a tensor of shape (1, columns, n)."""
    import torch

    return torch.as_tensor(np.ascontiguousarray(values.T), device=device)[None]
