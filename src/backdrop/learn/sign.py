"""The mean sign of weights, learned from the features: at each row from the other rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DataError
from ..events.keys import hash_uniform
from ..tasks import named_seed
from .boost import Boost, Rows, Trees

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Index = NDArray[np.int64]
    Keys = NDArray[np.uint64]

__all__ = ["Sign", "SignedRows"]


@dataclass(frozen=True, eq=False)
class Sign:
    """A classifier of the sign for each fold.

    Attributes
    ----------
    models
        For the rows of each fold, trained on the others.
    seed
        Seed of the folds.
    """

    models: tuple[Trees, ...] = field(repr=False)
    seed: int

    def mean(self, values: Array, keys: Keys | None = None) -> Array:
        """Return the mean sign ``2 P(+) - 1`` at each row; without keys, the logit is the average of all folds."""
        if keys is None:
            logit = np.mean([model.logit(values) for model in self.models], axis=0)
        else:
            logit, fold = np.empty(len(values)), _folds(keys, self.seed, len(self.models))
            for k, model in enumerate(self.models):
                logit[fold == k] = model.logit(values[fold == k])
        return np.asarray(np.tanh(logit / 2.0))

    def state(self) -> dict[str, Any]:
        """Return the classifiers as text, and the seed."""
        return {"models": [model.text for model in self.models], "seed": self.seed}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Sign:
        """Restore it from :meth:`state`."""
        return cls(tuple(Trees(text) for text in state["models"]), int(state["seed"]))


@dataclass(frozen=True, eq=False)
class SignedRows:
    """Rows to learn from, sorted so that it does not matter in which order they came.

    Attributes
    ----------
    values, keys
        Features and keys, shapes (n, d) and (n,), in the order of `place`.
    place
        Where the rows were, shape (n,).
    boost
        How trees are grown.
    folds
        In how many parts the rows are split by their keys.
    """

    values: Array
    keys: Keys
    place: Index
    boost: Boost
    folds: int

    @classmethod
    def sorted(cls, values: Array, keys: Keys, weights: Array, boost: Boost, folds: int) -> SignedRows:
        """Sort rows; weights of shape (n,) tell apart those that agree in all else."""
        place = np.lexsort((weights, *values.T, keys))
        return cls(values[place], keys[place], place, boost, folds)

    def trees(self, weights: Array, seed: int, most: int) -> int:
        """Return how many trees make the loss of held-out rows smallest; weights are those of the unsorted rows."""
        labels, weight = self._labelled(weights)
        return self._rows.best(labels, weight, self._parts(weight, seed), most)

    def learn(self, weights: Array, seed: int, trees: int) -> Sign:
        """Learn the sign; weights are those of the unsorted rows."""
        labels, weight = self._labelled(weights)
        parts = self._parts(weight, seed)
        return Sign(tuple(self._rows.train(labels, weight, rows, trees) for rows, _ in parts), seed)

    @cached_property
    def _rows(self) -> Rows:
        return Rows(self.values, self.boost)

    def _labelled(self, weights: Array) -> tuple[Array, Array]:
        weight = weights[self.place]
        return (weight > 0.0).astype(np.float64), np.abs(weight)

    def _parts(self, weight: Array, seed: int) -> list[tuple[Index, Index]]:
        """Return for each fold the rows to learn from, and its own; rows without weight teach nothing."""
        fold, used = _folds(self.keys, seed, self.folds), weight > 0.0
        parts = [(np.flatnonzero(used & (fold != k)), np.flatnonzero(used & (fold == k))) for k in range(self.folds)]
        if empty := sum(not len(rows) or not len(held) for rows, held in parts):
            raise DataError(
                f"{empty} of {self.folds} folds of {used.sum()} rows have nothing to learn from or to learn for: rows "
                "with one key are in one fold; give more rows, other keys, or fewer folds"
            )
        return parts


def _folds(keys: Keys, seed: int, folds: int) -> Index:
    return (hash_uniform(keys, named_seed(seed, "positive")) * folds).astype(np.int64)
