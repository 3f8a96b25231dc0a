"""Columns: arrays of one length, flat or of lists, and views of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DataError, nearest

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "Rows",
    "as_column",
    "as_numbers",
    "buffers",
    "check_finite",
    "column",
    "common_length",
    "concatenate",
    "is_flat",
    "kept",
    "undefined",
]


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


def check_finite(values: Any, name: str, region: str, of: str = "") -> None:
    """Raise a DataError that names column and region if a value is NaN or infinite."""
    parts = buffers(values)
    flat, missing = parts[-1], 0 if is_numpy(values) else int(parts[-2].sum())
    bad = missing + (int((~np.isfinite(flat)).sum()) if flat.dtype.kind == "f" else 0)
    if bad:
        raise DataError(
            f"column '{name}' has {bad} NaN or infinite values of {flat.size} in region '{region}'{of}; "
            "cut them away in the region, or clean the input"
        )


def as_numbers(values: Any, name: str) -> NDArray[Any]:
    """Return a column as one number a row, or raise a DataError that names it."""
    found = None if type(values).__module__.startswith("awkward") else np.asarray(values)
    if found is None or found.ndim != 1 or found.dtype.kind not in "biuf":
        raise DataError(
            f"column '{name}' does not hold one number a row; of lists take an entry or reduce them in a derived "
            f"column, as in '{name}[0]' or 'sum({name})'"
        )
    return found


def undefined(values: Any) -> NDArray[np.bool_]:
    """Say which rows of a column are NaN or missing; a list is neither, whatever it holds."""
    if is_numpy(values):
        return np.isnan(values) if values.dtype.kind == "f" else np.zeros(len(values), np.bool_)
    import awkward as ak

    return np.asarray(ak.to_numpy(ak.is_none(values, axis=0)))


def column(columns: Mapping[str, Any], name: str) -> Any:
    """Return a column, or raise a DataError that names the nearest ones."""
    if name not in columns:
        raise DataError(f"no column '{name}'{nearest(name, columns)}; columns: {', '.join(sorted(columns)[:30])}")
    return columns[name]


def is_flat(column: Any) -> bool:
    """Say whether a column holds one value a row (and not a list)."""
    return bool(column.ndim == 1)


def is_numpy(column: Any) -> bool:
    """Say whether a column is a NumPy array (and not an awkward one)."""
    return isinstance(column, np.ndarray)


def as_column(value: Any, name: str) -> Any:
    """Return a column as NumPy, or as awkward where its rows are lists.

    A missing float is NaN; missing integers stay missing, since no integer can stand for them.

    Raises
    ------
    DataError
        If it does not hold numbers or text, or lists of them.
    """
    if type(value).__module__.startswith("awkward"):
        return _settled(value, name)
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        import awkward as ak

        return _settled(ak.from_numpy(value), name)
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise DataError(f"column '{name}' holds lists of different lengths; give it as an awkward array") from error
    return _checked(array, name)


def _settled(value: Any, name: str) -> Any:
    import awkward as ak

    if value.ndim > 1:
        return value
    try:
        array = _checked(ak.to_numpy(value, allow_missing=True), name)
    except TypeError as error:
        raise DataError(f"column '{name}' mixes types: {value.type}") from error
    if not np.ma.is_masked(array):
        return np.ma.getdata(array)
    return array.filled(np.nan) if array.dtype.kind == "f" else value


def _checked(array: Any, name: str) -> Any:
    if array.ndim == 0 or array.dtype.kind in "OV":
        what = "one single value" if array.ndim == 0 else f"{array.dtype} values"
        raise DataError(f"column '{name}' holds {what}; give one number, text or list (as an awkward array) a row")
    return array


def kept(column: Any, rows: NDArray[np.bool_]) -> Any:
    """Return the rows of a column where `rows` holds; nothing of the others stays in its buffers."""
    if is_numpy(column):
        return column[rows]
    import awkward as ak

    return ak.to_packed(column[rows])


def common_length(table: Mapping[str, Any]) -> int:
    """Return the length that all columns share, or raise a DataError."""
    lengths = {name: len(column) for name, column in table.items()}
    if not lengths:
        raise DataError("events need at least one column")
    if len(set(lengths.values())) > 1:
        raise DataError(f"columns differ in length: {lengths}")
    return next(iter(lengths.values()))


def concatenate(first: Any, second: Any, name: str) -> Any:
    """Join a column of two samples, or raise a DataError if no type holds the values of both exactly."""
    if first.ndim != second.ndim:
        raise DataError(f"column '{name}' holds lists in one sample and single values in the other")
    if is_numpy(first) and is_numpy(second):
        if not _joinable(first, second):
            raise DataError(
                f"column '{name}' is {first.dtype} in one sample and {second.dtype} in the other, and no type holds "
                "the values of both exactly; give both one type, or leave the column out of one"
            )
        return np.concatenate([first, second])
    import awkward as ak

    return ak.concatenate([first, second])


def _joinable(first: NDArray[Any], second: NDArray[Any]) -> bool:
    kinds = {first.dtype.kind, second.dtype.kind}
    if len(kinds) > 1 and not kinds <= set("biuf"):
        return False
    if np.result_type(first, second).kind != "f" or kinds == {"f"}:
        return True
    return "f" in kinds and all(_exact_as_float(array) for array in (first, second))


def _exact_as_float(array: NDArray[Any]) -> bool:
    if array.dtype.kind not in "iu" or array.dtype.itemsize < 8 or not array.size:
        return True
    return bool(array.max() <= 2**53 and array.min() >= -(2**53))


def buffers(column: Any) -> list[NDArray[Any]]:
    """Return the flat arrays that a column is made of: of lists the lengths, what is missing, and the values last."""
    if is_numpy(column):
        return [column]
    import awkward as ak

    found = []
    while column.ndim > 1:
        found.append(ak.to_numpy(ak.is_none(column, axis=0)))
        column = ak.fill_none(column, [], axis=0) if found[-1].any() else column
        found.append(ak.to_numpy(ak.fill_none(ak.num(column, axis=1), 0)))
        column = ak.flatten(column, axis=1)
    values = ak.to_numpy(column, allow_missing=True)
    return [*found, np.ma.getmaskarray(values), np.ma.filled(values, np.zeros(1, values.dtype)[0])]
