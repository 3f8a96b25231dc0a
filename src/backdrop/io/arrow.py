"""Arrow: its types as fields, its arrays as columns."""

from __future__ import annotations

from typing import Any

import numpy as np

from .fields import TEXT, Column, Field, list_of, number


def field_of_arrow(kind: Any) -> Field:
    """Return the field of an Arrow type."""
    import pyarrow.types as types

    if types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind):
        return number(kind.to_pandas_dtype())
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return TEXT
    if types.is_dictionary(kind):
        return field_of_arrow(kind.value_type)
    if types.is_null(kind):
        return number(np.float64)
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        inner = field_of_arrow(kind.value_type)
        if inner.kind == "number":
            return list_of(inner.dtype)
        return inner if inner.kind == "unreadable" else Field("nested", str(kind))
    if types.is_struct(kind):
        return Field("nested", str(kind))
    return Field("unreadable", str(kind))


def column_of_arrow(array: Any) -> Column:
    """Return an Arrow array as NumPy where it holds one number a row and none is missing, as awkward otherwise."""
    import awkward as ak
    import pyarrow as pa

    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks() if array.num_chunks != 1 else array.chunk(0)
    if pa.types.is_null(array.type):
        return np.full(len(array), np.nan)
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    kind = field_of_arrow(array.type).kind
    if array.null_count == 0 and kind == "number":
        return _numbers(array)
    if array.null_count == 0 and kind == "list":
        lists = _lists(array)
        if lists is not None:
            return lists
    if pa.types.is_string_view(array.type):
        array = array.cast(pa.string())
    column = ak.from_arrow(array, generate_bitmasks=False)
    return column if array.null_count else ak.drop_none(column, axis=0)


def _numbers(array: Any) -> Column:
    # Booleans are bits in Arrow: the one type that has to be copied.
    return array.to_numpy(zero_copy_only=str(array.type) != "bool")


def _lists(array: Any) -> Column | None:
    """Return lists of numbers straight from the buffers, or None where an entry is missing."""
    import awkward as ak
    import pyarrow as pa

    if array.flatten().null_count:
        return None
    if pa.types.is_fixed_size_list(array.type):
        counts = np.full(len(array), array.type.list_size, np.int64)
        return ak.unflatten(_numbers(array.flatten()), counts)
    offsets = np.asarray(array.offsets, np.int64)
    content = ak.contents.NumpyArray(_numbers(array.flatten()))
    return ak.Array(ak.contents.ListOffsetArray(ak.index.Index64(offsets - offsets[0]), content))
