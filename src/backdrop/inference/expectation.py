"""Expectation: the yields of a HistFactory model as a function of its parameters, with derivatives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import FitError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Index = NDArray[np.int64]

__all__ = ["Cell", "Expectation", "expectation"]

_FACTORS = ("normfactor", "shapefactor", "shapesys", "staterror", "lumi")


@dataclass(frozen=True)
class Cell:
    """One sample in one channel, and where its bins are among all cells."""

    channel: str
    sample: str
    where: slice


@dataclass(frozen=True, eq=False)
class Expectation:
    """Expected yields ``lambda_b = sum over samples of product of factors * (nominal + sum_k shift_k(alpha_k))``.

    A shift is ``alpha S + c(alpha) A``: linear outside [-1, 1] with the slope of either side, and a polynomial between
    that has the same first and second derivative at the ends (pyhf's ``code4p``). All arrays run over the cells, the
    bins of every sample of every channel one after the other.

    Attributes
    ----------
    layout
        The cells' channels and samples.
    bin
        Bin of each cell, shape (cells,).
    nominal
        Nominal yields, shape (cells,).
    alphas
        Parameter of each shift, shape (shifts,).
    mean, skew
        S and A of the shifts, shape (shifts, cells).
    slots
        Indices of each cell's factors in the vector (parameters, 1, values of the normalisations), shape (cells, m).
    norms
        Parameter of each normalisation uncertainty (`normsys`), shape (norms,).
    polynomials
        Its coefficients of alpha^1 to alpha^6 between -1 and 1, shape (norms, 6).
    sides
        The logarithms of its factors at +1 and -1, shape (norms, 2).
    """

    layout: tuple[Cell, ...]
    bin: Index
    nominal: Array
    alphas: Index
    mean: Array
    skew: Array
    slots: Index
    norms: Index
    polynomials: Array
    sides: Array

    @cached_property
    def bins(self) -> int:
        """The number of bins."""
        return int(self.bin.max()) + 1

    @cached_property
    def channels(self) -> tuple[tuple[str, slice, tuple[Cell, ...]], ...]:
        """The channels: name, bins, and the cells of their samples."""
        names = dict.fromkeys(cell.channel for cell in self.layout)
        members = {name: tuple(cell for cell in self.layout if cell.channel == name) for name in names}
        spans = {name: self.bin[cells[0].where] for name, cells in members.items()}
        return tuple((name, slice(int(span[0]), int(span[-1]) + 1), members[name]) for name, span in spans.items())

    def __call__(self, parameters: Array) -> Array:
        """Return the expected yield of each bin, shape (bins,)."""
        return np.asarray(np.bincount(self.bin, self.cells(parameters), self.bins), np.float64)

    def cells(self, parameters: Array) -> Array:
        """Return the expected yield of each sample in each bin, shape (cells,)."""
        factors, shifted = self._parts(parameters)
        return np.asarray(shifted * factors.prod(axis=1))

    def pulled(self, parameters: Array, slope: Array) -> Array:
        """Return ``sum_b slope_b d lambda_b / d parameter``, shape (parameters,)."""
        factors, shifted = self._parts(parameters)
        weight = slope[self.bin]
        slots = np.zeros(len(parameters) + 1 + len(self.norms))
        for j, others in enumerate(_others(factors)):
            slots += np.bincount(self.slots[:, j], weight * shifted * others, len(slots))
        result = self._chained(parameters, slots)
        moved = weight * factors.prod(axis=1)
        result[self.alphas] += self.mean @ moved + _bend_slope(parameters[self.alphas]) * (self.skew @ moved)
        return result

    def jacobian(self, parameters: Array) -> Array:
        """Return ``d lambda_b / d parameter``, shape (bins, parameters)."""
        return self.linear(parameters)[1]

    def linear(self, parameters: Array) -> tuple[Array, Array]:
        """Return the yields, shape (bins,), and their derivatives, shape (bins, parameters)."""
        factors, shifted = self._parts(parameters)
        product = factors.prod(axis=1)
        slots = np.zeros((len(parameters) + 1 + len(self.norms), self.bins))
        for j, others in enumerate(_others(factors)):
            np.add.at(slots, (self.slots[:, j], self.bin), shifted * others)
        result = self._chained(parameters, slots)
        slopes = self.mean + _bend_slope(parameters[self.alphas])[:, None] * self.skew if self._bent else self.mean
        slopes = slopes * product
        for cell in self.layout:
            first = self.bin[cell.where.start]
            result[self.alphas, first : first + cell.where.stop - cell.where.start] += slopes[:, cell.where]
        rates = np.asarray(np.bincount(self.bin, shifted * product, self.bins), np.float64)
        return rates, result.T

    @cached_property
    def _bent(self) -> bool:
        return bool(self.skew.any())

    def _parts(self, parameters: Array) -> tuple[Array, Array]:
        """Return the factors of each cell, shape (cells, m), and its yield before them."""
        alpha = parameters[self.alphas]
        shifted = self.nominal + alpha @ self.mean
        if self._bent:
            shifted += _bend(alpha) @ self.skew
        return np.concatenate([parameters, [1.0], self._norm(parameters)[0]])[self.slots], np.asarray(shifted)

    def _chained(self, parameters: Array, slots: Array) -> Array:
        """Return the derivatives in the parameters from those in the factors, shape (parameters, ...)."""
        size = len(parameters)
        result = slots[:size].copy()
        slopes = self._norm(parameters)[1]
        np.add.at(result, self.norms, (slots[size + 1 :].T * slopes).T)
        return result

    def _norm(self, parameters: Array) -> tuple[Array, Array]:
        """Return the factors of the normalisation uncertainties and their derivatives (pyhf's ``code4``)."""
        if len(self.norms) == 0:
            return np.zeros(0), np.zeros(0)
        alpha = parameters[self.norms]
        powers = alpha[:, None] ** np.arange(7)
        inside = 1.0 + (self.polynomials * powers[:, 1:]).sum(axis=1)
        slope = (self.polynomials * powers[:, :-1] * np.arange(1, 7)).sum(axis=1)
        log = np.where(alpha > 0.0, self.sides[:, 0], -self.sides[:, 1])
        outside = np.exp(alpha * log)
        far = np.abs(alpha) >= 1.0
        return np.where(far, outside, inside), np.where(far, log * outside, slope)


def _others(factors: Array) -> Iterator[Array]:
    """Yield, for each column of factors, the product of the other columns."""
    for j in range(factors.shape[1]):
        yield factors[:, [i for i in range(factors.shape[1]) if i != j]].prod(axis=1)


def _bend(alpha: Array) -> Array:
    square = alpha**2
    return np.where(square < 1.0, square * (15.0 + square * (3.0 * square - 10.0)), 8.0 * np.abs(alpha))


def _bend_slope(alpha: Array) -> Array:
    square = alpha**2
    inside = alpha * (30.0 + square * (18.0 * square - 40.0))
    return np.where(square < 1.0, inside, 8.0 * np.sign(alpha))


# ---- reading -------------------------------------------------------------------------------------------------------


def expectation(channels: Sequence[Mapping[str, Any]], where: Mapping[str, slice], size: int) -> Expectation:
    """Return the expectation of a workspace's channels.

    Parameters
    ----------
    channels
        The ``channels`` of a workspace.
    where
        Parameter set to its place in the vector of parameters.
    size
        The number of parameters.

    Raises
    ------
    FitError
        If there is a modifier of a kind that is not known.
    """
    reader = _Reader(where, size)
    start = 0
    for channel in channels:
        bins = np.arange(start, start + len(channel["samples"][0]["data"]))
        for sample in channel["samples"]:
            reader.add(channel["name"], sample, bins)
        start += len(bins)
    return reader.done()


class _Reader:
    """Collects samples one by one."""

    def __init__(self, where: Mapping[str, slice], size: int) -> None:
        self._where, self._size = where, size
        self._layout: list[Cell] = []
        self._bins: list[Index] = []
        self._nominal: list[Array] = []
        self._shifts: dict[int, list[tuple[slice, Array, Array]]] = {}
        self._slots: list[list[Index]] = []
        self._norms: list[tuple[int, float, float]] = []

    def add(self, channel: str, sample: Mapping[str, Any], bins: Index) -> None:
        start = sum(len(one) for one in self._bins)
        cells = slice(start, start + len(bins))
        yields = np.asarray(sample["data"], np.float64)
        factors: list[Index] = []
        for modifier in sample["modifiers"]:
            kind, place = modifier["type"], self._where[modifier["name"]]
            if kind == "histosys":
                up, down = (np.asarray(modifier["data"][side], np.float64) for side in ("hi_data", "lo_data"))
                pair = ((up - down) / 2.0, (up + down - 2.0 * yields) / 16.0)
                self._shifts.setdefault(place.start, []).append((cells, *pair))
            elif kind == "normsys":
                self._norms.append((place.start, float(modifier["data"]["hi"]), float(modifier["data"]["lo"])))
                factors.append(np.full(len(bins), self._size + len(self._norms)))
            elif kind in _FACTORS and place.stop - place.start in (1, len(bins)):
                factors.append(np.broadcast_to(np.arange(place.start, place.stop), len(bins)))
            else:
                raise FitError(
                    f"modifier '{modifier['name']}' of type '{kind}' in channel '{channel}', sample '{sample['name']}' "
                    f"cannot be read; known are histosys, normsys, {', '.join(_FACTORS)} (one channel each)"
                )
        self._layout.append(Cell(channel, sample["name"], cells))
        self._bins.append(bins)
        self._nominal.append(yields)
        self._slots.append(factors)

    def done(self) -> Expectation:
        cells = sum(len(one) for one in self._bins)
        shifts = np.zeros((2, len(self._shifts), cells))
        for row, pieces in enumerate(self._shifts.values()):
            for where, mean, skew in pieces:
                shifts[0, row, where], shifts[1, row, where] = mean, skew
        width = max(1, *(len(factors) for factors in self._slots))
        slots = np.full((cells, width), self._size)
        for cell, factors in zip(self._layout, self._slots, strict=True):
            for column, factor in enumerate(factors):
                slots[cell.where, column] = factor
        sides = np.array([[hi, lo] for _, hi, lo in self._norms]).reshape(-1, 2)
        return Expectation(
            tuple(self._layout),
            np.concatenate(self._bins),
            np.concatenate(self._nominal),
            np.array(list(self._shifts), np.int64),
            shifts[0],
            shifts[1],
            slots,
            np.array([index for index, _, _ in self._norms], np.int64),
            _polynomials(sides),
            np.log(sides),
        )


def _polynomials(sides: Array) -> Array:
    """Return the coefficients that join the exponentials at -1 and 1 with two continuous derivatives."""
    powers = np.arange(1, 7)
    rows = []
    for sign in (1.0, -1.0):
        rows += [sign**powers, powers * sign ** (powers - 1), powers * (powers - 1) * sign**powers]
    log = np.log(sides)
    hi, lo = sides.T
    right = np.stack(
        [hi - 1.0, hi * log[:, 0], hi * log[:, 0] ** 2, lo - 1.0, -lo * log[:, 1], lo * log[:, 1] ** 2], axis=1
    )
    return np.asarray(np.linalg.solve(np.array(rows), right.T).T)
