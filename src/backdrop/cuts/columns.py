"""Columns as a cut sees them: one value per event, or the entries of one list per event."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arithmetic import Array, Mask


@dataclass(frozen=True)
class Values:
    """Values per event (`counts` is None) or per entry of the events' lists, of lengths `counts`.

    `missing` marks values that the column does not have; None where it has them all.
    """

    data: Array
    counts: NDArray[np.int64] | None = None
    missing: Mask | None = None

    def numbers(self) -> Values:
        """Give the values as numbers, NaN where missing."""
        data = self.data.astype(np.int64) if self.data.dtype.kind == "b" else self.data
        if self.missing is not None and self.missing.any():
            data = np.where(self.missing, np.nan, data.astype(np.float64))
        return Values(data, self.counts)

    def item(self, index: int) -> Values:
        """Give entry `index` of every list, missing where a list is shorter."""
        if self.counts is None:
            raise TypeError("not a list")
        starts = np.cumsum(self.counts) - self.counts
        short = self.counts <= index
        if not self.data.size:
            return Values(np.zeros(len(self.counts), dtype=self.data.dtype), missing=short)
        where = np.where(short, 0, starts + index)
        missing = short if self.missing is None else short | self.missing[where]
        return Values(self.data[where], missing=missing if missing.any() else None)


def load(column: Any) -> Values:
    """Bring a NumPy, masked or awkward column into the form that cuts work on.

    Raises
    ------
    TypeError
        The column does not hold real numbers or booleans, or is nested more than one list deep.
    """
    if type(column).__module__.split(".")[0] == "awkward":
        return _checked(_from_awkward(column))
    array = np.asanyarray(column)
    missing = np.ma.getmaskarray(array) if isinstance(array, np.ma.MaskedArray) and np.ma.is_masked(array) else None
    data = np.ma.getdata(array) if isinstance(array, np.ma.MaskedArray) else np.asarray(array)
    if data.ndim == 2:
        counts = np.full(data.shape[0], data.shape[1], dtype=np.int64)
        return _checked(Values(data.reshape(-1), counts, None if missing is None else missing.reshape(-1)))
    return _checked(Values(data, None, missing))


def rows(columns: Mapping[str, Any]) -> int:
    """Give the number of events that all the columns share.

    Raises
    ------
    ValueError
        The columns differ in length; the message names two that do.
    """
    lengths = {name: len(column) for name, column in columns.items()}
    first = next(iter(lengths))
    for name, found in lengths.items():
        if found != lengths[first]:
            raise ValueError(f"column '{name}' has {found} events where '{first}' has {lengths[first]}")
    return lengths[first]


def _checked(values: Values) -> Values:
    if values.data.ndim != 1 or values.data.dtype.kind not in "biuf":
        raise TypeError(f"holds {values.data.dtype} in {values.data.ndim} dimensions")
    if values.data.dtype.itemsize > 8:
        return Values(values.data.astype(np.float64), values.counts, values.missing)
    return values


def _from_awkward(column: Any) -> Values:
    import awkward as ak

    if column.ndim > 2 or ak.fields(column):
        raise TypeError(f"holds {ak.type(column)}")
    if column.ndim == 1:
        return _unmasked(ak.to_numpy(column, allow_missing=True))
    absent = np.asarray(ak.is_none(column, axis=0), dtype=np.bool_)
    lists = ak.fill_none(column, [], axis=0) if absent.any() else column
    counts = np.asarray(ak.num(lists, axis=1), dtype=np.int64)
    entries = _unmasked(ak.to_numpy(ak.flatten(lists, axis=1), allow_missing=True))
    return _with_absent(entries, counts, absent) if absent.any() else Values(entries.data, counts, entries.missing)


def _unmasked(array: Array) -> Values:
    missing = np.ma.getmaskarray(array) if np.ma.is_masked(array) else None
    return Values(np.asarray(np.ma.getdata(array)), None, missing)


def _with_absent(entries: Values, counts: NDArray[np.int64], absent: Mask) -> Values:
    # A list that is absent as a whole stands as one missing entry: any() and count() of it are undefined.
    places = (np.cumsum(counts) - counts)[absent]
    missing = np.zeros(len(entries.data), dtype=np.bool_) if entries.missing is None else entries.missing
    data = np.insert(entries.data, places, 0)
    return Values(data, np.where(absent, 1, counts), np.insert(missing, places, True))
