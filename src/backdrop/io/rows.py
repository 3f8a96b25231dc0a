"""Rows: open rows on their way from a file into events, cut into chunks of a fixed number of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .fields import Column, join, settle

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False, repr=False)
class Rows:
    """Columns, weight, sample number and key of n rows."""

    columns: Mapping[str, Column]
    weight: NDArray[np.float64]
    sample: NDArray[np.int16]
    key: NDArray[np.uint64]

    def __len__(self) -> int:
        return len(self.weight)

    def __getitem__(self, index: Any) -> Rows:
        columns = {name: column[index] for name, column in self.columns.items()}
        return Rows(columns, self.weight[index], self.sample[index], self.key[index])

    def where(self, mask: NDArray[np.bool_]) -> Rows:
        """Return the rows where `mask` holds, themselves if it holds everywhere."""
        return self if mask.all() else self[mask].packed()

    def only(self, names: Sequence[str]) -> Rows:
        """Return the rows with the named columns."""
        return Rows({name: self.columns[name] for name in names}, self.weight, self.sample, self.key)

    def packed(self) -> Rows:
        """Return the rows with lists that hold nothing but them."""
        return Rows({n: settle(c) for n, c in self.columns.items()}, self.weight, self.sample, self.key)


def joined(parts: list[Rows], empty: Rows) -> Rows:
    """Put rows one after another, `empty` ones if there are none.

    The list is emptied, so that only one column at a time is held twice.
    """
    if not parts:
        return empty
    if len(parts) == 1:
        return parts.pop().only(list(empty.columns))
    weight = np.concatenate([part.weight for part in parts])
    sample = np.concatenate([part.sample for part in parts])
    key = np.concatenate([part.key for part in parts])
    columns = [dict(part.columns) for part in parts]
    parts.clear()
    return Rows({name: join([part.pop(name) for part in columns]) for name in empty.columns}, weight, sample, key)


def rechunked(rows: Iterable[Rows], size: int, empty: Rows) -> Iterator[Rows]:
    """Yield the same rows, `size` at a time, the last ones fewer: wherever the blocks of the file ended."""
    held: list[Rows] = []
    count = 0
    for part in rows:
        while count + len(part) >= size:
            need = size - count
            held.append(part[:need])
            yield joined(held, empty).packed()
            part, held, count = part[need:], [], 0
        if len(part):
            held.append(part)
            count += len(part)
    if held:
        yield joined(held, empty).packed()
