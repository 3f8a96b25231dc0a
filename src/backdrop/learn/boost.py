"""Boosted trees of LightGBM, on one thread and kept as text: binary classifiers, and trees whose leaves are read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from lightgbm import Booster, Dataset
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Index = NDArray[np.int64]

__all__ = ["Boost", "Leaf", "Rows", "Trees", "leaves"]

_QUIET: dict[str, Any] = {
    "num_threads": 1, "deterministic": True, "force_row_wise": True, "verbosity": -1, "max_bin": 255,
    # the weights alone say what is enough: min_sum_hessian_in_leaf
    "min_data_in_leaf": 1, "min_data_in_bin": 1, "feature_pre_filter": False,
}  # fmt: skip

_PATIENCE = 20
_WORTH = 0.02
"""The part of all variance that a split must explain: a cell that is nearly pure is not cut to pieces."""


@dataclass(frozen=True)
class Boost:
    """How trees are grown.

    Attributes
    ----------
    leaves
        Leaves of a tree.
    rate
        What each tree adds of its best step.
    least
        Smallest sum of ``weight p (1 - p)`` in a leaf.
    """

    leaves: int
    rate: float
    least: float


@dataclass(frozen=True, eq=False)
class Trees:
    """A trained classifier.

    Attributes
    ----------
    text
        The trees as LightGBM writes them.
    """

    text: str

    @cached_property
    def _booster(self) -> Booster:
        from lightgbm import Booster

        return Booster(model_str=self.text)

    def logit(self, values: Array) -> Array:
        """Return the logit of the label 1 at each row, shape (n,)."""
        if not len(values):
            return np.zeros(0)
        return np.asarray(self._booster.predict(values, raw_score=True, num_threads=1), np.float64)


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows that several classifiers are trained on: they are sorted into bins once.

    Attributes
    ----------
    values
        Features, shape (n, d).
    boost
        How trees are grown.
    """

    values: Array
    boost: Boost
    _settings: dict[str, Any] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        how = {"num_leaves": self.boost.leaves, "learning_rate": self.boost.rate}
        least = {"min_sum_hessian_in_leaf": self.boost.least}
        object.__setattr__(self, "_settings", {**_QUIET, "objective": "binary", **how, **least})

    def train(self, labels: Array, weights: Array, rows: Index, trees: int) -> Trees:
        """Train on some of the rows; labels and weights have the shape of all of them."""
        from lightgbm import train

        return Trees(train(self._settings, self._some(labels, weights, rows), trees).model_to_string())

    def best(self, labels: Array, weights: Array, parts: Sequence[tuple[Index, Index]], most: int) -> int:
        """Return the number of trees that makes the loss of held-out rows smallest, summed over pairs (rows, held).

        The search ends when the loss has not fallen for some trees.
        """
        from lightgbm import Booster

        boosters = [Booster(self._settings, self._some(labels, weights, rows)) for rows, _ in parts]
        for booster, (_, held) in zip(boosters, parts, strict=True):
            booster.add_valid(self._some(labels, weights, held), "held")
        shares, lowest, found = [weights[held].sum() for _, held in parts], np.inf, 1
        for number in range(1, most + 1):
            loss = sum(share * _grown(booster) for share, booster in zip(shares, boosters, strict=True))
            if loss < lowest:
                lowest, found = loss, number
            elif number - found >= _PATIENCE:
                break
        return found

    @cached_property
    def _binned(self) -> Dataset:
        from lightgbm import Dataset

        return Dataset(self.values, np.zeros(len(self.values)), params=self._settings).construct()

    def _some(self, labels: Array, weights: Array, rows: Index) -> Dataset:
        part = self._binned.subset(rows.tolist(), params=self._settings).construct()
        return part.set_label(labels[rows]).set_weight(weights[rows])


def _grown(booster: Booster) -> float:
    """Add a tree; return the mean loss of the held-out rows."""
    booster.update()
    return float(booster.eval_valid()[0][2])


@dataclass(frozen=True)
class Leaf:
    """A leaf of a tree: the rows in it, and the sides of its box.

    Attributes
    ----------
    rows
        Their places.
    bounds
        Feature to (low, high): ``low < value <= high``, infinite where a side is open; features without are left out.
    """

    rows: Index
    bounds: dict[int, tuple[float, float]]

    def describe(self, names: Sequence[str]) -> str:
        """Say in words where the leaf is."""
        return " and ".join(_side(names[i], *self.bounds[i]) for i in sorted(self.bounds)) or "anywhere"


def _side(name: str, low: float, high: float) -> str:
    if np.isinf(low):
        return f"{name} <= {high:.4g}"
    return f"{name} > {low:.4g}" if np.isinf(high) else f"{low:.4g} < {name} <= {high:.4g}"


def leaves(values: Array, target: Array, weights: Array, number: int, least: float) -> tuple[Leaf, ...]:
    """Return the leaves of the one tree that tells best where the target differs; `least` is a leaf's least weight."""
    from lightgbm import Dataset, train

    spread = float(weights.sum() * np.cov(target, aweights=weights, ddof=0)) if len(target) > 1 else 0.0
    how = {"objective": "l2", "num_leaves": number, "min_sum_hessian_in_leaf": least}
    settings = {**_QUIET, **how, "min_gain_to_split": _WORTH * spread}
    tree = train(settings, Dataset(values, target, weight=weights, params=settings), 1)
    where = np.asarray(tree.predict(values, pred_leaf=True, num_threads=1)).reshape(-1)
    root = tree.dump_model()["tree_info"][0]["tree_structure"]
    return tuple(Leaf(np.flatnonzero(where == index), bounds) for index, bounds in _boxes(root, {}))


def _boxes(
    node: dict[str, Any], bounds: dict[int, tuple[float, float]]
) -> Iterator[tuple[int, dict[int, tuple[float, float]]]]:
    if "split_feature" not in node:
        yield node.get("leaf_index", 0), bounds
        return
    feature, edge = node["split_feature"], float(node["threshold"])
    low, high = bounds.get(feature, (-np.inf, np.inf))
    yield from _boxes(node["left_child"], {**bounds, feature: (low, min(high, edge))})
    yield from _boxes(node["right_child"], {**bounds, feature: (max(low, edge), high)})
