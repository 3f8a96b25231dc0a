"""Columns: arrays of one length, flat or of lists, and views of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DataError, nearest

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Rows", "as_column", "buffers", "check_finite", "column", "common_length", "concatenate", "is_flat"]


class Rows(Mapping[str, Any]):
    """Columns seen through a row index, taken on first use."""

    def __init__(self, base: Mapping[str, Any], index: NDArray[Any]) -> None:
        inner = base if isinstance(base, Rows) else None
        self._base: Mapping[str, Any] = base if inner is None else inner._base
        self._index: NDArray[Any] = index if inner is None else inner._index[index]
        self._taken: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._taken:
            self._taken[name] = self._base[name][self._index]
        return self._taken[name]

    def __contains__(self, name: object) -> bool:
        return name in self._base

    def __iter__(self) -> Iterator[str]:
        return iter(self._base)

    def __len__(self) -> int:
        return len(self._base)

    def __reduce__(self) -> tuple[Any, ...]:
        return (dict, (dict(self.items()),))


def check_finite(values: Any, name: str, region: str) -> None:
    """Raise a DataError that names column and region if a value is NaN or infinite."""
    flat = buffers(values)[-1]
    if flat.dtype.kind != "f":
        return
    bad = int((~np.isfinite(flat)).sum())
    if bad:
        raise DataError(
            f"column '{name}' has {bad} NaN or infinite values of {flat.size} in region '{region}'; "
            "cut them away in the region, or clean the input"
        )


def column(columns: Mapping[str, Any], name: str) -> Any:
    """Return a column, or raise a DataError that names the nearest ones."""
    if name not in columns:
        raise DataError(f"no column '{name}'{nearest(name, columns)}; columns: {', '.join(sorted(columns)[:30])}")
    return columns[name]


def is_flat(column: Any) -> bool:
    """Say whether a column holds one value a row (and not a list)."""
    return isinstance(column, np.ndarray)


def as_column(value: Any) -> Any:
    """Return a column as NumPy, or as awkward where its rows are lists."""
    if type(value).__module__.startswith("awkward"):
        import awkward as ak

        return ak.to_numpy(value) if value.ndim == 1 and "?" not in str(value.type) else value
    return np.asarray(value)


def common_length(table: Mapping[str, Any]) -> int:
    """Return the length that all columns share, or raise a DataError."""
    lengths = {name: len(column) for name, column in table.items()}
    if not lengths:
        raise DataError("events need at least one column")
    if len(set(lengths.values())) > 1:
        raise DataError(f"columns differ in length: {lengths}")
    return next(iter(lengths.values()))


def concatenate(first: Any, second: Any, name: str) -> Any:
    """Join a column of two samples, or raise a DataError if they do not hold the same kind of values."""
    if is_flat(first) and is_flat(second):
        if {first.dtype.kind, second.dtype.kind} == {"i", "u"} and first.dtype.itemsize == second.dtype.itemsize == 8:
            raise DataError(f"column '{name}' is {first.dtype} in one sample and {second.dtype} in the other")
        return np.concatenate([first, second])
    import awkward as ak

    if is_flat(first) != is_flat(second):
        raise DataError(f"column '{name}' holds lists in one sample and single values in the other")
    return ak.concatenate([first, second])


def buffers(column: Any) -> list[NDArray[Any]]:
    """Return the flat arrays that a column is made of, its values last."""
    if is_flat(column):
        return [column]
    import awkward as ak

    flat = ak.flatten(column, axis=None)
    return [ak.to_numpy(ak.num(column, axis=1)), ak.to_numpy(ak.fill_none(flat, np.nan))]
