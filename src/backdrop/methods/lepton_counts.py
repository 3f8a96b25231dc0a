"""The counts of tight and loose leptons in channels, and the likelihood of their compositions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..channel import Channel
from ..errors import DataError
from ..estimate.result import Estimate
from ..events import Events
from ..learn.composition import selected
from ..learn.composition_fit import Compositions
from ..learn.efficiencies import Efficiencies
from ..learn.patterns import Bin
from .efficiency import within

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .likelihood_matrix import LikelihoodMatrix, LikelihoodMatrixModel

    Array = NDArray[np.float64]
    Index = NDArray[np.int64]
    Flags = NDArray[np.bool_]

__all__ = ["CompositionFit", "Rows"]

_NEGLIGIBLE = 1e-9


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows of one number of leptons: which they are, the efficiencies of their leptons, and their patterns."""

    count: int
    rows: Events
    place: Index
    cells: Index
    pattern: Index

    def sums(self, inside: Flags, cells: Index) -> tuple[Array, Array]:
        """Return sums of weights, and of their squares, in given cells and patterns, of some rows."""
        key = np.concatenate([cells, self.cells[inside]]).reshape(-1, 2 * self.count)
        _, where = np.unique(key, axis=0, return_inverse=True)
        order = np.argsort(where[: len(cells)])
        cell = order[where[len(cells) :]]
        flat, size = cell * 2**self.count + self.pattern[inside], len(cells) * 2**self.count
        weight = self.rows.weight[self.place[inside]]
        values, squares = (np.bincount(flat, one, size).astype(np.float64) for one in (weight, weight**2))
        return values.reshape(len(cells), -1), squares.reshape(len(cells), -1)


@dataclass(frozen=True, eq=False)
class CompositionFit:
    """The compositions of all channels: one bin of the likelihood for each number of leptons of each part."""

    model: LikelihoodMatrixModel
    channels: tuple[Channel, ...]
    likelihood: Compositions
    share: Array
    """What a bin of the likelihood gives to each bin of the channels, shape (bins of the channels, bins)."""
    spread: tuple[Array, ...] = ()
    """Directions in which the shares are not known, each of the shape of `share`."""

    @classmethod
    def of(cls, model: LikelihoodMatrixModel, events: Events, channels: Sequence[Channel]) -> CompositionFit:
        """Count.

        Raises
        ------
        DataError
            If a channel has no rows, none with the wanted leptons, or a pattern of them a negative sum of weights.
        """
        found: list[Bin] = []
        columns: list[Array] = []
        spread: list[tuple[int, Array]] = []
        sizes, events = np.cumsum([0] + [channel.size for channel in channels]), events.sorted()
        for channel, start in zip(channels, sizes, strict=False):
            before = len(found)
            for one, shares, directions in _parts(model, events, channel):
                spread += [(len(found), _padded(one_, start, sizes[-1])) for one_ in directions]
                found.append(one)
                columns.append(_padded(shares, start, sizes[-1]))
            if len(found) == before:
                raise DataError(
                    f"channel '{channel.name}': no row of sample '{model.method.observed}' has leptons "
                    f"'{model.method.leptons.name}' in the composition that is wanted ({model.method.fakes}); widen "
                    "the region, drop the channel, or ask for another composition"
                )
        share = np.column_stack([*columns, np.zeros((sizes[-1], 0))])
        moved = tuple(column[:, None] * (np.arange(len(found)) == i) for i, column in spread)
        return cls(model, tuple(channels), Compositions(tuple(found), _efficiencies(model, found)), share, moved)

    def estimate(self) -> Estimate:
        """Return the estimate."""
        wanted = self.likelihood.wanted(self.likelihood.best)
        nominal = self.share @ wanted
        pairs = [pair for i in range(len(wanted)) for pair in self._counted(i, wanted)]
        pairs += [(nominal + one @ wanted, nominal - one @ wanted) for one in self.spread]
        counted = {f"counts_{i}": pair for i, pair in enumerate(pairs, start=1)}
        sides = {name: self._sides(k) for k, name in enumerate(self.likelihood.efficiencies.names)}
        return Estimate(
            self.channels, nominal, np.zeros_like(nominal), {}, {**counted, **sides}, counted=frozenset(counted)
        )

    def _counted(self, place: int, wanted: Array) -> Iterator[tuple[Array, Array]]:
        low, high = self.likelihood.mixture(place).interval(self.likelihood.bins[place].counts)
        yield tuple(  # type: ignore[misc]
            self.share @ np.where(np.arange(len(wanted)) == place, side, wanted) for side in (high, low)
        )

    def _sides(self, nuisance: int) -> tuple[Array, Array]:
        up, down = (self.share @ self.likelihood.moved(nuisance, sign) for sign in (1.0, -1.0))
        return up, down


def _padded(values: Array, start: int, size: int) -> Array:
    found = np.zeros(size)
    found[start : start + len(values)] = values
    return found


def _efficiencies(model: LikelihoodMatrixModel, bins: Sequence[Bin]) -> Efficiencies:
    """Return the efficiencies with the nuisances that move those of some lepton."""
    used = np.zeros(model.real.size + model.fake.size, np.bool_)
    for one in bins:
        used[one.cells] = True
    sides: dict[str, tuple[Array, Array]] = {}
    for name, given, start in (("real", model.real, 0), ("fake", model.fake, model.real.size)):
        for nuisance, (up, down) in given.nuisances.items():
            moves = (up - given.values, given.values - down)
            sides[f"{name}_{nuisance}"] = (_padded(moves[0], start, len(used)), _padded(moves[1], start, len(used)))
    moving = {name: pair for name, pair in sides.items() if (pair[0][used].any() or pair[1][used].any())}
    rises, falls = (np.array([*(pair[i] for pair in moving.values()), 0.0 * used])[:-1].T for i in (0, 1))
    return Efficiencies(model.values, rises, tuple(moving), falls)


def _parts(
    model: LikelihoodMatrixModel, events: Events, channel: Channel
) -> Iterator[tuple[Bin, Array, tuple[Array, ...]]]:
    """Yield the bins of the likelihood of a channel, and how each is shared out among the bins of the channel."""
    method, rows = model.method, events.select(within(model.method.selection, channel.region))
    data = rows.only(method.observed).require(channel.region)
    others = {part.count: part for part in model.patterns(_others(rows, method), channel.region)}
    for part in model.patterns(data, channel.region):
        wanted = selected(part.count, method.tight, method.fakes)
        if not wanted[method.prompt == "expected" :].any():
            continue
        place, other = channel.index(part.rows)[part.place], others.get(part.count)
        elsewhere = None if other is None else channel.index(other.rows)[other.place]
        whole = [(place >= 0, None if elsewhere is None else elsewhere >= 0)]
        single = [(place == i, None if elsewhere is None else elsewhere == i) for i in range(channel.size)]
        for i, (inside, beyond) in enumerate(whole if method.per == "channel" else single):
            one = _bin(model, channel, part, inside, other, beyond, wanted)
            if method.per == "bin":
                yield one, (np.arange(channel.size) == i).astype(np.float64), ()
            else:
                yield one, *_shares(channel, part, model.share_of(part) * part.rows.weight[part.place], place)


def _others(rows: Events, method: LikelihoodMatrix) -> Events:
    """Return the rows of the expected processes, as they would be added."""
    if method.prompt == "fitted":
        return rows._take(np.zeros(0, np.int64))
    other = np.array([name != method.observed for name in rows.samples], np.bool_)
    return -rows._take(np.flatnonzero(other[rows.sample]))


def _bin(
    model: LikelihoodMatrixModel,
    channel: Channel,
    part: Rows,
    inside: Flags,
    other: Rows | None,
    beyond: Flags | None,
    wanted: Array,
) -> Bin:
    # without rows of its own, a bin has the leptons of the channel
    pool = [part.cells[inside] if inside.any() else part.cells]
    pool += [] if other is None or beyond is None else [other.cells[beyond]]
    cells = np.unique(np.concatenate(pool).reshape(-1, 2 * part.count), axis=0).reshape(-1, part.count, 2)
    counts = part.sums(inside, cells)
    none = (np.zeros_like(counts[0]), np.zeros_like(counts[0]))
    expected = none if other is None or beyond is None else other.sums(beyond, cells)
    _check_signs(model.method, channel, counts[0].sum(axis=0), expected[0].sum(axis=0))
    return Bin.of(cells, counts, expected, model.values, wanted, int(model.method.prompt == "expected"))


def _check_signs(method: LikelihoodMatrix, channel: Channel, counts: Array, expected: Array) -> None:
    if (counts < 0.0).any():
        raise DataError(
            f"sample '{method.observed}' has a negative sum of weights ({counts.min():g}) of a pattern of tight "
            f"leptons in region '{channel.region.name}'; a likelihood needs counts"
        )
    if (expected < 0.0).any():
        raise DataError(
            f"the samples besides '{method.observed}' add {-expected.min():g} to a pattern of tight leptons in region "
            f"'{channel.region.name}': take them from the data, as in '{method.observed} - prompt'; where their own "
            "weights add up to less than zero, merge bins"
        )


def _shares(channel: Channel, part: Rows, weight: Array, place: Index) -> tuple[Array, tuple[Array, ...]]:
    """Return the share of each bin in the weights, and the directions of its statistical uncertainty."""
    inside = place >= 0
    sums, squares = (np.bincount(place[inside], one[inside], channel.size) for one in (weight, weight**2))
    total = float(sums.sum())
    if total <= 0.0:
        return np.full(channel.size, 1.0 / channel.size), ()
    share = sums / total
    cross = np.outer(share, squares)
    covariance = (np.diag(squares) - cross - cross.T + squares.sum() * np.outer(share, share)) / total**2
    powers, vectors = np.linalg.eigh(covariance)
    kept = [i for i in np.flatnonzero(powers > _NEGLIGIBLE * max(powers[-1], 1e-300))[::-1]]
    return share, tuple(np.sqrt(powers[i]) * vectors[:, i] for i in kept)
