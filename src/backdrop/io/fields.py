"""Fields: the types of columns, and columns brought into the two forms that events hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from ..errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

Column: TypeAlias = Any
Kind: TypeAlias = Literal["number", "list", "text", "nested", "unreadable"]

_ENTRIES_OF_A_LIST = 16


@dataclass(frozen=True)
class Field:
    """The type of a column: one number a row, a list of them, text, or something deeper.

    Two files hold the same column only if their fields are equal.
    """

    kind: Kind
    what: str

    def __str__(self) -> str:
        return f"list of {self.what}" if self.kind == "list" else self.what

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the numbers."""
        return np.dtype(self.what)

    @property
    def bytes(self) -> int:
        """The memory of one row; a guess from the type alone for lists, since the data must not decide it."""
        if self.kind == "number":
            return self.dtype.itemsize
        return 8 + _ENTRIES_OF_A_LIST * (self.dtype.itemsize if self.kind == "list" else 4)

    def empty(self) -> Column:
        """Return a column of this type without rows."""
        if self.kind == "number":
            return np.zeros(0, self.dtype)
        if self.kind == "text":
            return np.zeros(0, "U1")
        import awkward as ak

        entries = ak.from_numpy(np.zeros(0, self.dtype)) if self.kind == "list" else ak.Array([])
        return ak.unflatten(entries, np.zeros(0, np.int64))


def number(dtype: Any) -> Field:
    """Return the field of one number a row, its byte order aside."""
    dtype = np.dtype(dtype)
    return Field("number", dtype.name) if dtype.kind in "biuf" else Field("unreadable", str(dtype))


def list_of(dtype: Any) -> Field:
    """Return the field of one list of numbers a row."""
    inner = number(dtype)
    return Field("list", inner.what) if inner.kind == "number" else Field("unreadable", f"list of {inner.what}")


TEXT = Field("text", "text")


def field_of(kind: Any) -> Field:
    """Return the field of an awkward type."""
    import awkward as ak

    if isinstance(kind, ak.types.ArrayType | ak.types.OptionType):
        return field_of(kind.content)
    if isinstance(kind, ak.types.NumpyType):
        return number(kind.primitive)
    if isinstance(kind, ak.types.ListType | ak.types.RegularType):
        if kind.parameter("__array__") in ("string", "bytestring"):
            return TEXT
        inner = field_of(kind.content)
        return list_of(inner.what) if inner.kind == "number" else Field("nested", str(kind))
    return Field("nested", str(kind))


def field_in_memory(column: Column) -> Field:
    """Return the field of a column at hand."""
    if is_awkward(column):
        return field_of(column.type)
    if column.dtype.kind in "US":
        return TEXT
    return list_of(column.dtype) if column.ndim == 2 else number(column.dtype)


def is_awkward(column: Column) -> bool:
    """Say whether a column is an awkward array."""
    return type(column).__module__.split(".")[0] == "awkward"


def settle(column: Column) -> Column:
    """Bring a column into the form that events hold: NumPy for one value a row, packed awkward lists otherwise.

    A missing float is NaN; missing integers stay missing, since no integer can stand for them. Nothing of rows that
    were masked away stays in the buffers.
    """
    if isinstance(column, np.ma.MaskedArray):
        column = column.filled(False)
    if not is_awkward(column):
        return column if column.ndim == 1 else _lists(column)
    import awkward as ak

    field = field_of(column.type)
    if field.kind in ("number", "list") and "?" in str(column.type):
        column = _without_missing(column, field)
    if field.kind == "number" and "?" not in str(column.type):
        return ak.to_numpy(column)
    if field.kind == "text" and "?" not in str(column.type):
        return np.asarray(ak.to_numpy(column), np.str_) if len(column) else np.zeros(0, "U1")
    packed = ak.to_packed(column)
    return ak.from_regular(packed, axis=1) if field.kind == "list" else packed


def _lists(column: NDArray[Any]) -> Column:
    import awkward as ak

    return ak.from_regular(ak.from_numpy(np.ascontiguousarray(column), regulararray=True), axis=1)


def _without_missing(column: Column, field: Field) -> Column:
    import awkward as ak

    if field.dtype.kind == "f":
        column = ak.fill_none(column, np.array(np.nan, field.dtype)[()], axis=-1)
        column = ak.values_astype(column, field.dtype)
    if "?" in str(column.type) and not bool(ak.any(ak.is_none(column, axis=0))):
        column = ak.drop_none(column, axis=0)
    if field.kind == "list" and "?" in str(column.type) and not bool(ak.any(ak.is_none(column, axis=1), axis=None)):
        column = ak.drop_none(column, axis=1)
    return column


def join(parts: Sequence[Column]) -> Column:
    """Put columns of equal fields one after another."""
    if len(parts) == 1:
        return parts[0]
    if not any(is_awkward(part) for part in parts):
        return np.concatenate(parts)
    import awkward as ak

    return ak.to_packed(ak.concatenate(list(parts)))


def common(name: str, fields: Sequence[Field], owners: Sequence[str]) -> Field:
    """Return the field that the column `name` of several samples has once they are added.

    Raises
    ------
    DataError
        If no type holds the values of all exactly.
    """
    first = fields[0]
    for field, owner in zip(fields[1:], owners[1:], strict=True):
        clash = f"column '{name}' is {first} in {owners[0]} and {field} in {owner}"
        if field.kind != first.kind or (field.kind not in ("number", "list") and field != first):
            raise DataError(f"{clash}; they cannot be added: read one of them under another name with rename=")
        if {field.dtype.kind, first.dtype.kind} == {"i", "u"} and np.result_type(field.dtype, first.dtype).kind == "f":
            raise DataError(f"{clash}; no integer type holds both: write the files with one type")
    if first.kind not in ("number", "list"):
        return first
    return Field(first.kind, np.result_type(*[field.dtype for field in fields]).name)


def cast(column: Column, field: Field) -> Column:
    """Return the column with the numbers of `field`."""
    if field.kind == "number" and not is_awkward(column):
        return column.astype(field.dtype, copy=False)
    if field.kind not in ("number", "list"):
        return column
    import awkward as ak

    return ak.values_astype(column, field.dtype)
