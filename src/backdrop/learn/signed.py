"""Signed samples: finite features, and weights of both signs of which sums are judged."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from ..errors import DataError, FitError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[np.float64]
    Index = NDArray[np.int64]
    Flags = NDArray[np.bool_]
    Keys = NDArray[np.uint64]

__all__ = ["Signed", "SignedSample", "features"]


@dataclass(frozen=True, eq=False)
class Signed:
    """Weights of both signs.

    Attributes
    ----------
    weights
        Shape (n,).
    scale
        Effective events in a unit of absolute weight.
    """

    weights: Array
    scale: float

    @property
    def events(self) -> Array:
        """The weights in effective events."""
        return self.weights * self.scale

    @property
    def negative(self) -> bool:
        """Whether a weight is negative."""
        return bool((self.weights < 0.0).any())

    @cached_property
    def _size(self) -> float:
        """The typical positive weight."""
        up = self.weights[self.weights > 0.0]
        return float((up**2).sum() / up.sum())

    def sum(self, rows: Flags | Index) -> str:
        """Return the summed weight of some rows and its error as text."""
        return f"{self.weights[rows].sum():.4g} ± {math.sqrt((self.weights[rows] ** 2).sum()):.2g}"

    def significance(self, rows: Flags | Index) -> float:
        """Return the summed weight of some rows in units of its error if its expectation were zero.

        As much would then be expected above zero as is seen below: a sum where nothing is seen has an error, too.
        """
        w = self.weights[rows]
        up, down = w[w > 0.0], w[w < 0.0]
        if not len(down):
            return 0.0
        above = max(float((up**2).sum()), -self._size * float(down.sum()))
        return float(w.sum() / math.sqrt(float((down**2).sum()) + above))


@dataclass(frozen=True, eq=False)
class SignedSample:
    """Rows of finite features, and one or more sets of weights.

    Attributes
    ----------
    values, weights, keys
        Shapes (n, d), (members, n) and (n,).
    names
        The features.
    """

    values: Array
    weights: Array
    keys: Keys
    names: tuple[str, ...]

    @classmethod
    def checked(cls, values: ArrayLike, weights: Array, keys: Keys, names: Sequence[str]) -> SignedSample:
        """Return a sample, or raise a DataError that says what is not finite or does not fit."""
        x = features(values, names)
        if weights.ndim != 2 or weights.shape[1:] != np.shape(keys) or weights.shape[1:] != (len(x),) or not len(x):
            raise DataError(
                "a signed sample needs one weight and one key for each row: values "
                f"{x.shape}, weights {weights.shape[1:]}, keys {np.shape(keys)}"
            )
        return cls(x, weights.astype(np.float64), np.asarray(keys, np.uint64), _named(names, x))

    def signed(self, member: int) -> Signed:
        """Return a set of weights, or raise an error if one is not finite or the sum is not positive."""
        w = self.weights[member]
        which = f" of member {member}" if len(self.weights) > 1 else ""
        if bad := np.flatnonzero(~np.isfinite(w)).tolist():
            raise DataError(f"{len(bad)} of {len(w)} weights{which} are NaN or infinite, the first in row {bad[0]}")
        total = float(np.abs(w).sum())
        if not w.sum() > 0.0:
            raise FitError(
                f"the {len(w)} weights{which} sum to {w.sum():.4g}, their absolute values to {total:.4g}: more is "
                "subtracted than is seen, and no positive weights have such a sum; check what is subtracted"
            )
        return Signed(w, total / float((w**2).sum()))


def features(values: ArrayLike, names: Sequence[str]) -> Array:
    """Return values of shape (n, d), or raise a DataError that names the features that are not finite."""
    x = np.ascontiguousarray(values, np.float64)
    if x.ndim != 2 or (names and x.shape[1] != len(names)) or not x.shape[1]:
        wanted = f"(n, {len(names)}) for {', '.join(names)}" if names else "(n, features)"
        raise DataError(f"values have the shape {x.shape}; give {wanted}")
    bad = (~np.isfinite(x)).sum(axis=0)
    if bad.any():
        found = ", ".join(f"{bad[i]} in '{_named(names, x)[i]}'" for i in np.flatnonzero(bad))
        raise DataError(f"of {len(x)} rows, NaN or infinite are {found}; cut these rows away, or clean the input")
    return x


def _named(names: Sequence[str], values: Array) -> tuple[str, ...]:
    return tuple(names) or tuple(f"x{i}" for i in range(values.shape[1]))
