"""Estimate: the background in the bins of all channels, with everything that makes its uncertainty."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from itertools import count
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from .._notebook import MOST_BINS, card, drawing, facts, measured, rounded, table
from ..channel import Channel, check_names, overlapping
from ..errors import ConfigError, CutError, DataError, nearest

if TYPE_CHECKING:
    import hist
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["Estimate", "Yield"]


@dataclass(frozen=True)
class Yield:
    """A channel's yield with its uncertainty: statistical (sum of squared weights and replicas), systematic, total."""

    value: float
    statistical: float
    systematic: float
    total: float


@dataclass(frozen=True, eq=False)
class Estimate:
    """The expected background in one flat vector of bins over all channels.

    The covariance is ``diag(sumw2) + sum over blocks of cov(replicas) + sum over variations of d d^T`` with
    ``d = (up - down) / 2``. Estimates add: equal block names are the same resamples and add row by row, different ones
    are independent; equal variation names are the same nuisance. What is counted in one is independent of what is
    counted in the other, as the squared weights are: such variations are renamed where their names meet.

    Attributes
    ----------
    channels
        The channels, in the order of the flat vector.
    nominal
        Expected yields, shape (bins,).
    sumw2
        Sum of squared weights of the application sample, shape (bins,).
    replicas
        Block name to yields of shape (n, bins), one row for each resampled fit.
    variations
        Name to (up, down), absolute yields of shape (bins,).
    seeds
        Block name to the seed of its resamples.
    counted
        The variations that are a statistical uncertainty: those of a model whose answer is a fit.
    """

    channels: tuple[Channel, ...]
    nominal: Array
    sumw2: Array
    replicas: Mapping[str, Array] = field(default_factory=dict)
    variations: Mapping[str, tuple[Array, Array]] = field(default_factory=dict)
    seeds: Mapping[str, int] = field(default_factory=dict)
    counted: frozenset[str] = frozenset()

    # so that a NumPy number times an estimate is `__rmul__`
    __array_ufunc__: ClassVar[None] = None

    def __post_init__(self) -> None:
        check_names(self.channels)
        bins = (sum(channel.size for channel in self.channels),)
        _check("nominal", self.nominal, bins)
        _check("sumw2", self.sumw2, bins)
        for name, rows in self.replicas.items():
            if len(rows) < 2:
                raise DataError(f"replica block '{name}' has {len(rows)} rows; a spread needs at least 2")
            _check(f"replica block '{name}'", rows, (len(rows), *bins))
        for name, (up, down) in self.variations.items():
            _check(f"variation '{name}' up", up, bins)
            _check(f"variation '{name}' down", down, bins)
        if unknown := self.counted - self.variations.keys():
            raise ConfigError(f"no variation '{min(unknown)}' that could be counted as statistical")

    def __repr__(self) -> str:
        rows = ", ".join(f"{c.name} {measured(y.value, y.total)}" for c in self.channels for y in [self.total(c.name)])
        return f"Estimate({rows}; blocks {sorted(self.replicas)}; variations {sorted(self.variations)})"

    def _repr_html_(self) -> str:
        blocks = ", ".join(f"{name} ({len(rows)})" for name, rows in self.replicas.items())
        parts = [("replicas", blocks or "none"), ("variations", ", ".join(self.variations) or "none")]
        head = ("channel", "bins", "background", "statistical", "systematic")
        rows = []
        for channel in self.channels:
            found = self.total(channel.name)
            shares = [rounded(one, found.total) for one in (found.statistical, found.systematic)]
            rows.append((channel.name, channel.size, measured(found.value, found.total), *shares))
        return card("Estimate", "", table(head, rows), *map(self._drawn, self.channels), facts(parts))

    def _drawn(self, channel: Channel) -> str:
        """Return a small drawing of a channel that has one axis and not too many bins, with its caption."""
        if len(channel.axes) > 1 or channel.size > MOST_BINS:
            return ""
        (axis,), part = channel.axes, self.only(channel.name)
        errors = np.sqrt(np.maximum(np.diag(part._covariance()), 0.0))
        edges = np.asarray(axis.edges, float)
        title = f"{channel.name}: {axis.name}, {edges[0]:g} to {edges[-1]:g}"
        return drawing(title, edges, part.nominal, errors)

    # ---- parts -----------------------------------------------------------------------------------------------------

    def channel(self, name: str) -> Channel:
        """Return a channel by name.

        Raises
        ------
        ConfigError
            If there is no such channel.
        """
        for channel in self.channels:
            if channel.name == name:
                return channel
        names = [channel.name for channel in self.channels]
        raise ConfigError(f"no channel '{name}'{nearest(name, names)}; channels: {', '.join(names)}")

    def bins(self, name: str) -> slice:
        """Return where a channel's bins are in the flat vector."""
        self.channel(name)
        start = 0
        for channel in self.channels:
            if channel.name == name:
                break
            start += channel.size
        return slice(start, start + channel.size)

    def only(self, *names: str) -> Estimate:
        """Return the estimate of some channels, in the order given."""
        where = np.concatenate([np.arange(len(self.nominal))[self.bins(name)] for name in names])
        return self._map(lambda array: array[..., where], tuple(self.channel(name) for name in names))

    def covariance(self, channel: str | None = None) -> Array:
        """Return the covariance of the bins of one channel, or of all, shape (bins, bins).

        Raises
        ------
        CutError
            If all are asked for and two channels may share rows, whose covariance is not known.
        """
        if channel is not None:
            return self.only(channel)._covariance()
        if pair := overlapping(self.channels):
            raise CutError(
                f"channels '{pair[0]}' and '{pair[1]}' may share rows, so the squared weights do not give their "
                "covariance; ask for one channel, or make the regions disjoint"
            )
        return self._covariance()

    def _covariance(self) -> Array:
        return self.statistical_covariance() + self._shifts(self.variations.keys() - self.counted)

    def _shifts(self, names: Collection[str]) -> Array:
        """Return the covariance of some variations."""
        pairs = [pair for name, pair in self.variations.items() if name in names]
        shifts = [(up - down) / 2 for up, down in pairs]
        return sum((np.outer(d, d) for d in shifts), np.zeros((len(self.nominal),) * 2))

    def statistical_covariance(self) -> Array:
        """Return the statistical part: sum of squared weights, replica blocks, and the variations of a counting fit."""
        total = np.diag(self.sumw2) + self._shifts(self.counted)
        for rows in self.replicas.values():
            centred = rows - rows.mean(axis=0)
            total = total + centred.T @ centred / (len(rows) - 1)
        return total

    def total(self, channel: str) -> Yield:
        """Return a channel's yield with its uncertainties, all its bins fully correlated as the parts say."""
        part = self.only(channel)
        statistical = float(np.sqrt(max(part.statistical_covariance().sum(), 0.0)))
        systematic = float(np.sqrt(part._shifts(part.variations.keys() - part.counted).sum()))
        return Yield(float(part.nominal.sum()), statistical, systematic, float(np.hypot(statistical, systematic)))

    def hist(self, channel: str) -> hist.Hist[Any]:
        """Return a channel as a `hist.Hist` with Weight storage; the variance is the total one."""
        part = self.only(channel)
        return part.channels[0].hist(part.nominal, np.diag(part._covariance()))

    # ---- algebra ---------------------------------------------------------------------------------------------------

    def _map(self, change: Callable[[Array], Array], channels: tuple[Channel, ...] | None = None) -> Estimate:
        return replace(
            self,
            channels=self.channels if channels is None else channels,
            nominal=change(self.nominal),
            sumw2=change(self.sumw2),
            replicas={name: change(rows) for name, rows in self.replicas.items()},
            variations={name: (change(up), change(down)) for name, (up, down) in self.variations.items()},
        )

    def with_variation(self, name: str, up: Array, down: Array | None = None) -> Estimate:
        """Return the estimate with one more systematic: absolute yields, mirrored if only `up` is given."""
        if name in self.variations:
            raise ConfigError(f"there is a variation '{name}' already; choose another name")
        up = np.asarray(up, float)
        _check(f"variation '{name}' up", up, self.nominal.shape)
        pair = (up, 2 * self.nominal - up if down is None else np.asarray(down, float))
        return replace(self, variations={**self.variations, name: pair})

    def __rmul__(self, factor: float) -> Estimate:
        return replace(self._map(lambda array: factor * array), sumw2=factor**2 * self.sumw2)

    def __add__(self, other: Estimate) -> Estimate:
        if [c.state() for c in self.channels] != [c.state() for c in other.channels]:
            raise ConfigError("estimates of different channels do not add; estimate both in the same channels")
        for name in self.replicas.keys() & other.replicas.keys():
            if self.seeds.get(name) != other.seeds.get(name) or len(self.replicas[name]) != len(other.replicas[name]):
                raise ConfigError(
                    f"replica block '{name}' has {len(self.replicas[name])} replicas of seed {self.seeds.get(name)} in "
                    f"one estimate and {len(other.replicas[name])} of seed {other.seeds.get(name)} in the other; use "
                    "the same number and seed (same resamples), or give the blocks different names"
                )
        one = self._apart(other.variations.keys() - other.counted)
        two = other._apart(one.variations.keys())
        blocks = dict.fromkeys([*one.replicas, *two.replicas])
        names = dict.fromkeys([*one.variations, *two.variations])
        return Estimate(
            one.channels,
            one.nominal + two.nominal,
            one.sumw2 + two.sumw2,
            {name: one.replicas.get(name, one.nominal) + two.replicas.get(name, two.nominal) for name in blocks},
            {name: (one._up(name) + two._up(name), one._down(name) + two._down(name)) for name in names},
            {**one.seeds, **two.seeds},
            one.counted | two.counted,
        )

    def _apart(self, taken: Collection[str]) -> Estimate:
        """Return the estimate with other names for what is counted, where these are taken."""
        names = {name: name for name in self.variations}
        for name in sorted(self.counted.intersection(taken)):
            free = (f"{name}_{i}" for i in count(2))
            names[name] = next(one for one in free if one not in taken and one not in names.values())
        variations = {names[name]: pair for name, pair in self.variations.items()}
        return replace(self, variations=variations, counted=frozenset(names[name] for name in self.counted))

    def _up(self, name: str) -> Array:
        return self.variations[name][0] if name in self.variations else self.nominal

    def _down(self, name: str) -> Array:
        return self.variations[name][1] if name in self.variations else self.nominal

    # ---- on disk ---------------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Return arrays, numbers and strings from which :meth:`from_state` restores the estimate."""
        return {
            "channels": [channel.state() for channel in self.channels],
            "nominal": self.nominal,
            "sumw2": self.sumw2,
            "replicas": dict(self.replicas),
            "up": {name: up for name, (up, _) in self.variations.items()},
            "down": {name: down for name, (_, down) in self.variations.items()},
            "seeds": dict(self.seeds),
            "counted": sorted(self.counted),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Estimate:
        """Restore an estimate from :meth:`state`."""
        return cls(
            tuple(Channel.from_state(channel) for channel in state["channels"]),
            state["nominal"],
            state["sumw2"],
            dict(state["replicas"]),
            {name: (up, state["down"][name]) for name, up in state["up"].items()},
            {name: int(seed) for name, seed in state["seeds"].items()},
            frozenset(state.get("counted", ())),
        )


def _check(what: str, array: Array, shape: tuple[int, ...]) -> None:
    """Raise a DataError if an array is not finite or of another shape than (..., bins)."""
    if np.shape(array) != shape:
        raise DataError(f"{what} has shape {np.shape(array)}, the bins of the channels need {shape}")
    if bad := int((~np.isfinite(array)).sum()):
        raise DataError(f"{what} holds {bad} values that are NaN or infinite")
