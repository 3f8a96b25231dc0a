"""The digest of a column that comes in blocks."""

from __future__ import annotations

import hashlib

import numpy as np

from .fields import Column, is_awkward


class ColumnDigest:
    """SHA-256 of a column, the same wherever its blocks end: of values, lengths, and places where one is missing."""

    def __init__(self) -> None:
        self._values, self._lengths, self._missing = hashlib.sha256(), hashlib.sha256(), hashlib.sha256()
        self._entries = 0

    def update(self, column: Column) -> None:
        """Add the rows of a block."""
        if is_awkward(column):
            column = self._flat(column)
        elif column.dtype.kind == "U":
            encoded = [text.encode() for text in column.tolist()]
            self._add_lengths(np.array([len(text) for text in encoded]))
            self._values.update(b"".join(encoded))
            return
        self._values.update(np.ascontiguousarray(column).tobytes())
        self._entries += len(column)

    def _flat(self, column: Column) -> Column:
        import awkward as ak

        if column.ndim > 1:
            self._add_lengths(ak.to_numpy(ak.fill_none(ak.num(column, axis=1), -1)))
            column = ak.flatten(column, axis=None) if column.ndim > 2 else ak.flatten(column, axis=1)
        masked = np.ma.asarray(ak.to_numpy(column, allow_missing=True))
        missing = np.flatnonzero(np.ma.getmaskarray(masked))
        self._missing.update((missing + self._entries).astype(np.int64).tobytes())
        return masked.filled(0)

    def _add_lengths(self, lengths: Column) -> None:
        self._lengths.update(np.ascontiguousarray(lengths, np.int64).tobytes())

    def text(self) -> str:
        """Return the digest of all rows so far."""
        parts = (self._values, self._lengths, self._missing)
        return "".join(part.hexdigest() for part in parts)
