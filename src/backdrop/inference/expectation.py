"""Expectation: the yields of a HistFactory model as a function of its parameters, with derivatives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..errors import FitError
from . import _kernels

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Index = NDArray[np.int64]

    from .morph import Morphed

__all__ = ["Cell", "Evaluated", "Expectation", "expectation"]

_LAST = 2**40
_STEP = 1e-4
_FACTORS = ("normfactor", "shapefactor", "shapesys", "staterror", "lumi")


@dataclass(frozen=True)
class Cell:
    """One sample in one channel, and where its bins are among all cells."""

    channel: str
    sample: str
    where: slice


class Evaluated(NamedTuple):
    """The deviance of data at many points, and what was asked for beside it.

    Attributes
    ----------
    value
        Half the deviance of the data, shape (points,), or empty.
    gradient
        Its gradient, shape (points, parameters).
    information
        Its information, shape (points, parameters, parameters), or empty.
    cells
        Expected yield of each cell, shape (points, cells), or empty.
    rows
        The jacobian of the bins, shape (points, bins, parameters), or empty.
    """

    value: Array
    gradient: Array
    information: Array
    cells: Array
    rows: Array


@dataclass(frozen=True, eq=False)
class Expectation:
    """Expected yields ``lambda_b = sum over samples of product of factors * (nominal + sum_k shift_k(alpha_k))``.

    A shift is ``alpha S + c(alpha) A``. Its rule is smooth (0): linear outside [-1, 1] with the slope of either side,
    and a polynomial between that has the same first and second derivative at the ends (pyhf's ``code4p``), piecewise
    linear (1), or quadratic (2). All arrays run over the cells, the bins of every sample of every channel one after the
    other.

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
    size
        The number of parameters.
    rules
        Rule of each shift, shape (shifts,).
    morphs
        Samples whose yields are morphed by their moments, instead of nominal and shifts.
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
    size: int
    rules: Index
    morphs: tuple[Morphed, ...] = ()

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
        return np.asarray(self._at(parameters).cells[0])

    def jacobian(self, parameters: Array) -> Array:
        """Return ``d lambda_b / d parameter``, shape (bins, parameters)."""
        return np.asarray(self._at(parameters, rows=True).rows[0])

    def _at(self, parameters: Array, *, rows: bool = False) -> Evaluated:
        nothing = np.zeros(self.bins)
        return self.evaluate(parameters[None], nothing[None], nothing + 1.0, value=False, cells=True, rows=rows)

    def evaluate(
        self,
        parameters: Array,
        data: Array,
        wall: Array,
        *,
        value: bool = True,
        information: bool = False,
        observed: bool = False,
        cells: bool = False,
        rows: bool = False,
    ) -> Evaluated:
        """Return the deviance of data and its derivatives at many points.

        Parameters
        ----------
        parameters
            The points, shape (points, parameters).
        data
            Counts, shape (sets, bins); the points belong to the sets in equal blocks.
        wall
            Expectations below which the deviance goes on as a parabola, shape (bins,).
        value, information, cells, rows
            Whether the value, the information, the yields of the cells and the jacobian are wanted.
        observed
            Whether the information is the observed one, the second derivatives, or the expected (Fisher) one.
        """
        points, size = parameters.shape
        result = Evaluated(
            np.zeros(points if value else 0),
            np.zeros((points, size)),
            np.zeros((points, size, size) if information else (0, 0, 0)),
            np.empty((points, len(self.bin)) if cells else (0, 0)),
            np.zeros((points, self.bins, size) if rows else (0, 0, 0)),
        )
        parameters = np.ascontiguousarray(parameters)
        structure: tuple[Any, ...] = (*self._structure, *self._morphed(parameters, observed), observed, *result)
        _kernels.evaluate(parameters, data, wall, *structure)
        return result

    def _morphed(self, parameters: Array, observed: bool) -> tuple[Array, Array, Array]:
        """Return what the moment morphing adds to cells, slopes and second derivatives; nothing without any."""
        if not self.morphs:
            return np.zeros((0, 0)), np.zeros((0, 0, 0)), np.zeros((0, 0, 0, 0))
        cells, tilts = self._added(parameters)
        bows = np.zeros((*tilts.shape, len(self.alphas)) if observed else (0, 0, 0, 0))
        for shift, alpha in enumerate(self.alphas if observed else ()):
            step = _STEP * (np.arange(parameters.shape[1]) == alpha)
            up, down = (self._added(parameters + side * step)[1] for side in (1.0, -1.0))
            bows[..., shift] = (up - down) / (2.0 * _STEP)
        return cells, tilts, bows

    def _added(self, parameters: Array) -> tuple[Array, Array]:
        cells = np.zeros((len(parameters), len(self.bin)))
        tilts = np.zeros((*cells.shape, len(self.alphas)))
        for one in self.morphs:
            one.add(parameters, cells, tilts)
        return cells, tilts

    @cached_property
    def _structure(self) -> tuple[NDArray[Any], ...]:
        """The model as lists in arrays, which the compiled loops take."""
        size = self.size
        order = np.argsort(self.bin, kind="stable").astype(np.int64)
        starts = np.searchsorted(self.bin[order], np.arange(self.bins + 1)).astype(np.int64)
        moved = (self.mean != 0.0) | (self.skew != 0.0)
        for one in self.morphs:
            moved[np.ix_(one.shifts, one.cells)] = True
        cell, shift = np.nonzero(moved.T)
        first = np.searchsorted(cell, np.arange(len(self.bin) + 1)).astype(np.int64)
        slots = np.sort(self.slots + np.where(self.slots == size, _LAST, 0), axis=1)
        slots[slots >= _LAST] = size
        owner = np.concatenate([np.arange(size), [-1], self.norms])[slots]
        pairs = [(np.repeat(self.bin, slots.shape[1]), owner.ravel()), (self.bin[cell], self.alphas[shift])]
        bins, parameters = (np.concatenate(column) for column in zip(*pairs, strict=True))
        keys = np.unique((bins * (size + 1) + parameters)[parameters >= 0])
        heads = np.searchsorted(keys, np.arange(self.bins + 1) * (size + 1)).astype(np.int64)
        places = [np.searchsorted(keys, b * (size + 1) + p) - heads[b] for b, p in pairs]
        touched = keys % (size + 1)
        cells = (starts, order, heads, touched, self.nominal, slots, places[0].reshape(slots.shape), first, shift)
        shifts = (places[1], self.mean.T[cell, shift], self.skew.T[cell, shift], self.alphas, self.rules)
        return (*cells, *shifts, self.norms, self.polynomials, self.sides)


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
            self._size,
            np.full(len(self._shifts), _kernels.SMOOTH, np.int64),
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
