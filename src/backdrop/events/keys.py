"""Event keys, and what is hashed from them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["bootstrap_counts", "event_keys", "hash_uniform"]


def event_keys(sample: str, *ids: NDArray[Any]) -> NDArray[np.uint64]:
    """Hash a sample's name and integer id columns, each of shape (n,), to one 64-bit key a row.

    Raises
    ------
    DataError
        If an id column does not hold integers (a 64-bit event number does not survive a float).
    """
    import hashlib

    from .._kernels import mix

    start = int.from_bytes(hashlib.sha256(sample.encode()).digest()[:8], "little")
    key = np.full(len(ids[0]), start, np.uint64)
    for column in ids:
        if not (isinstance(column, np.ndarray) and column.dtype.kind in "iu" and column.shape == key.shape):
            what = getattr(column, "dtype", "lists or missing values")
            raise DataError(f"id columns of sample '{sample}' must hold integers, one a row, not {what}")
        key = mix(key, column.astype(np.uint64))
    return key


def bootstrap_counts(key: NDArray[np.uint64], seeds: Sequence[int]) -> NDArray[np.uint8]:
    """Return Poisson(1) counts of shape (len(seeds), n), each a hash of (seed, key)."""
    from .._kernels import poisson_counts

    return poisson_counts(_plain(key), np.array([int(seed) % 2**64 for seed in seeds], np.uint64))


def hash_uniform(key: NDArray[np.uint64], seed: int) -> NDArray[np.float64]:
    """Return numbers in [0, 1) of shape (n,), each a hash of (seed, key)."""
    from .._kernels import hash_uniform

    return hash_uniform(_plain(key), np.uint64(int(seed) % 2**64))


def _plain(key: NDArray[np.uint64]) -> NDArray[np.uint64]:
    return np.require(key, np.uint64, ["C", "W"])
