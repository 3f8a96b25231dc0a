"""Kernels: filled templates, made ready for millions of draws."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from ..errors import FitError
from ..maps import lookup
from .graph import Template

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Index = NDArray[np.int64]

__all__ = ["Drawn", "Kernel", "Table"]

BLOCK = 1 << 14
"""Rows that are drawn at once: what they need stays in the processor's cache."""

_LEAST = 0.1


@dataclass(frozen=True, eq=False)
class Drawn:
    """Rows drawn from a kernel.

    Attributes
    ----------
    columns
        Variable to values, shape (n,).
    weight
        Weights of mean 1, shape (n,); None where all are 1.
    fallen
        How many draws of each template fell back to a sum of slices, shape (templates,).
    """

    columns: Mapping[str, Array]
    weight: Array | None
    fallen: Index


@dataclass(frozen=True, eq=False)
class Table:
    """A filled template.

    A bin is drawn in proportion to ``|v|`` and has the weight ``(t / sum t) / (|v| / sum |v|)``, sums over the slice,
    with the content ``v`` and what is wanted, ``t = v`` times the tilt. So negative bins are subtracted
    and tilts keep every draw, both exactly on average. A slice that is empty, or whose sum is below a tenth of its
    absolute sum, is that of the given variables without the last one, and so on down to all slices together.

    Attributes
    ----------
    template
        The template.
    values
        Sums of weights, shape (slices, bins).
    tilt
        Factor of each drawn bin, shape (bins,), or None.

    Raises
    ------
    FitError
        If all slices together are nearly empty.
    """

    template: Template
    values: Array
    tilt: Array | None = None

    def __post_init__(self) -> None:
        if not _usable(self.values.sum(axis=0)):
            raise FitError(
                f"the bins of template '{self.template.name}' sum to {self.values.sum():g}, their absolute values to "
                f"{np.abs(self.values.sum(axis=0)).sum():g}: what is subtracted leaves too little to draw from"
            )

    @cached_property
    def _backed_off(self) -> tuple[Array, NDArray[np.int8]]:
        values, level = self.values.copy(), np.zeros(len(self.values), np.int8)
        shape = self.template.shape[: len(self.template.given)]
        for dropped in range(1, len(shape) + 1):
            empty = ~_usable(values)
            if not empty.any():
                break
            kept = int(np.prod(shape[: len(shape) - dropped]))
            sums = self.values.reshape(kept, -1, values.shape[1]).sum(axis=1)
            values[empty] = np.repeat(sums, len(values) // kept, axis=0)[empty]
            level[empty] = dropped
        return values, level

    @property
    def level(self) -> NDArray[np.int8]:
        """How many given variables each slice does without, shape (slices,)."""
        return self._backed_off[1]

    @cached_property
    def tables(self) -> tuple[Array, NDArray[np.int32]]:
        """Probabilities and exchanges of the alias method, shape (slices, bins)."""
        from ._alias import alias_tables

        values = np.abs(self._backed_off[0])
        accept, alias = np.empty_like(values), np.empty(values.shape, np.int32)
        alias_tables(values, accept, alias)
        return accept, alias

    @cached_property
    def factor(self) -> Array | None:
        """The weight of each bin, shape (slices, bins); None where all are 1."""
        values = self._backed_off[0]
        if self.tilt is None and not (values < 0.0).any():
            return None
        wanted = values if self.tilt is None else values * self.tilt
        if (wanted.sum(axis=1) <= 0.0).any():
            raise FitError(f"the tilt of template '{self.template.name}' leaves a slice without a positive sum")
        share, proposed = (one / one.sum(axis=1, keepdims=True) for one in (wanted, np.abs(values)))
        return np.asarray(np.divide(share, proposed, out=np.zeros_like(share), where=proposed > 0.0))

    @cached_property
    def edges(self) -> tuple[Array, Index]:
        """The edges of all drawn variables, one after the other, and their numbers of bins."""
        edges = [np.array(axis.edges, np.float64) for axis in self.template.draws]
        return np.concatenate(edges), np.array([len(one) - 1 for one in edges], np.int64)

    @cached_property
    def lookups(self) -> tuple[tuple[Array, NDArray[np.uint16], Array], ...]:
        """What finds the bins of the given variables; a value outside is in the nearest one."""
        return tuple(lookup(np.array(axis.edges, np.float64), True) for axis in self.template.given)

    @property
    def whole(self) -> tuple[str, ...]:
        """The drawn variables that are whole numbers."""
        return tuple(axis.name for axis in self.template.draws if type(axis).__name__ == "Integer")


@dataclass(frozen=True, eq=False)
class Kernel:
    """Tables that are drawn from one after the other, each in the slice of what is drawn already.

    Attributes
    ----------
    tables
        The tables, in their order.
    shifts
        Variable to what is added to its drawn values, before anything depends on them.
    derive
        Returns drawn columns with those that are derived from them, as far as a table is given those.
    """

    tables: tuple[Table, ...]
    shifts: Mapping[str, float] = field(default_factory=dict)
    derive: Callable[[Mapping[str, Array]], Mapping[str, Array]] | None = None

    def draw(self, number: int, *, seed: int, first: int = 0) -> Drawn:
        """Draw rows `first` to ``first + number`` of the endless sequence of a seed."""
        starts = range(first, first + number, BLOCK)
        return _joined([self._block(min(BLOCK, first + number - start), seed, start) for start in starts])

    def _block(self, number: int, seed: int, first: int) -> Drawn:
        columns: dict[str, Array] = {}
        weight: Array | None = None
        fallen = np.zeros(len(self.tables), np.int64)
        for i, (table, place) in enumerate(zip(self.tables, self._places, strict=True)):
            rows = self._slices(table, columns, number)
            if table.level.any():
                fallen[i] = np.count_nonzero(table.level[rows])
            bins, values = self._draw(table, rows, seed, first, place)
            for axis, drawn in zip(table.template.draws, values, strict=True):
                whole = np.floor(drawn) if axis.name in table.whole else drawn
                columns[axis.name] = whole + self.shifts[axis.name] if axis.name in self.shifts else whole
            if table.factor is not None:
                own = table.factor[rows, bins]
                weight = own if weight is None else weight * own
        return Drawn(columns, weight, fallen)

    @cached_property
    def _places(self) -> tuple[int, ...]:
        """The first random number of each table in a row."""
        numbers = [len(table.template.draws) for table in self.tables]
        return tuple(sum(numbers[:i]) for i in range(len(numbers)))

    def _slices(self, table: Table, columns: Mapping[str, Array], number: int) -> Index:
        from .._kernels import add_bins

        rows = np.zeros(number, np.int64)
        known = columns if self.derive is None else self.derive(columns)
        for name, found in zip(table.template.parents, table.lookups, strict=True):
            add_bins(known[name], *found, rows)
        return rows

    def _draw(self, table: Table, rows: Index, seed: int, first: int, place: int) -> tuple[Index, Array]:
        from ._alias import STEP, draw

        stride = self._places[-1] + len(self.tables[-1].template.draws)
        start, step = (np.uint64(n % 2**64) for n in (seed + STEP * (first * stride + place), STEP * stride))
        accept, alias = table.tables
        edges, sizes = table.edges
        bins, values = np.empty(len(rows), np.int64), np.empty((len(sizes), len(rows)))
        draw(rows, accept.ravel(), alias.ravel(), edges, sizes, start, step, bins, values)
        return bins, values


def fill(template: Template, flat: Index, weight: Array) -> Array:
    """Return the sums of weights of a template's bins, shape (slices, bins), from each row's flat bin."""
    bins = int(np.prod([len(axis) for axis in template.draws]))
    return np.bincount(flat, weight, template.size).astype(np.float64).reshape(-1, bins)


def _usable(values: Array) -> NDArray[np.bool_]:
    """Say which slices can be drawn from, shape of all but the last axis."""
    total = values.sum(axis=-1)
    return np.asarray((total > 0.0) & (total >= _LEAST * np.abs(values).sum(axis=-1)))


def _joined(drawn: Sequence[Drawn]) -> Drawn:
    """Return the rows of several blocks together."""
    if len(drawn) == 1:
        return drawn[0]
    columns = {name: np.concatenate([one.columns[name] for one in drawn]) for name in drawn[0].columns}
    weights = [one.weight for one in drawn if one.weight is not None]
    return Drawn(columns, np.concatenate(weights) if weights else None, np.sum([one.fallen for one in drawn], axis=0))
