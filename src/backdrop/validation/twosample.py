"""Two samples compared: Kolmogorov–Smirnov in one column, a classifier in many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ConfigError, DataError
from ..events import Events, bootstrap_counts, check_finite
from ..tasks import named_seed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["AUC", "KolmogorovSmirnov", "auc", "ks"]

_BLOCK = 2**23


# ---- Kolmogorov–Smirnov ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class KolmogorovSmirnov:
    """Largest distance of two weighted distribution functions, its p-value, and the effective numbers of rows."""

    statistic: float
    p_value: float
    effective_first: float
    effective_second: float


def ks(first: Events, second: Events, column: str, *, toys: int = 0, seed: int = 0) -> KolmogorovSmirnov:
    """Compare the distribution of one column in two weighted samples.

    ``D = max_x |F_1(x) - F_2(x)|`` with ``F(x) = Σ_{x_i ≤ x} w_i / Σ w_i``.

    Parameters
    ----------
    first, second
        The samples; each must have a positive sum of weights.
    column
        The column.
    toys
        0: the p-value is that of unweighted samples of the effective sizes ``n = (Σw)² / Σw²``, rounded; it assumes
        weights ≥ 0 that do not depend on the column. Otherwise the p-value comes from that many toys, each row times
        Poisson(1) - 1 of its key: valid for weights that depend on the column, for signed weights, and for samples that
        share events.
    seed
        Root of the toys.

    Raises
    ------
    DataError
        If a sample is empty, its weights sum to zero or less, the column is not finite, or weights are signed and
        no toys were asked for.
    """
    for events, name in ((first, "first"), (second, "second")):
        _usable(events, (column,), name)
        if toys == 0 and (events.weight < 0.0).any():
            raise DataError(f"the {name} sample has negative weights: the p-value of signed weights needs toys=…")
    values = np.concatenate([np.asarray(first[column], float), np.asarray(second[column], float)])
    order = np.argsort(values, kind="stable")
    last = np.append(np.flatnonzero(np.diff(values[order])), len(values) - 1)
    parts = _signed_parts(first, second)[:, order]
    distance = float(np.abs(np.cumsum(parts.sum(axis=0))[last]).max())
    sizes = effective_size(first.weight), effective_size(second.weight)
    if toys == 0:
        return KolmogorovSmirnov(distance, _asymptotic(distance, *sizes), *sizes)
    key = np.concatenate([first.key, second.key])[order]
    seeds = [named_seed(seed, "ks", toy) for toy in range(toys)]
    block = max(1, _BLOCK // len(key))
    drawn = [_distances(parts, key, last, seeds[i : i + block]) for i in range(0, toys, block)]
    at_least = int((np.concatenate(drawn) >= distance).sum())
    return KolmogorovSmirnov(distance, (1 + at_least) / (1 + toys), *sizes)


def effective_size(weight: Array) -> float:
    """Return ``(Σw)² / Σw²``, the number of equal weights with the same relative error; 0 without rows."""
    squares = float((weight**2).sum())
    return float(weight.sum()) ** 2 / squares if squares > 0.0 else 0.0


def _signed_parts(first: Events, second: Events) -> Array:
    """Return normalised weights, shape (2, n): those of the first sample positive, of the second negative."""
    parts = np.zeros((2, len(first) + len(second)))
    parts[0, : len(first)] = first.weight / first.weight.sum()
    parts[1, len(first) :] = -second.weight / second.weight.sum()
    return parts


def _asymptotic(distance: float, n: float, m: float) -> float:
    from scipy.stats import kstwo

    return float(kstwo.sf(distance, max(1, round(n * m / (n + m)))))


def _distances(parts: Array, key: NDArray[np.uint64], last: NDArray[np.int64], seeds: Sequence[int]) -> Array:
    """Return the distances of toys around the null hypothesis, each sample around its own distribution."""
    noise = bootstrap_counts(key, seeds).astype(np.float64) - 1.0
    process = np.zeros((len(seeds), len(last)))
    for part in parts:
        moved = np.cumsum(noise * part, axis=1)
        process += moved[:, last] - moved[:, -1:] * (np.cumsum(part) / part.sum())[last]
    return np.asarray(np.abs(process).max(axis=1))


def _usable(events: Events, columns: Sequence[str], name: str) -> None:
    total = float(events.weight.sum())
    if len(events) == 0 or total <= 0.0:
        raise DataError(f"the {name} sample has {len(events)} rows of total weight {total:g}; it must be positive")
    for column in columns:
        check_finite(events[column], column, name)


# ---- classifier ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class AUC:
    """Area under the curve of a classifier between two samples: 0.5 where it cannot tell them apart.

    Attributes
    ----------
    value, error
        The area and its standard error.
    folds
        The area in each fold.
    effective_source, effective_target
        Effective numbers of rows.
    """

    value: float
    error: float
    folds: tuple[float, ...]
    effective_source: float
    effective_target: float

    @property
    def pull(self) -> float:
        """``(value - 0.5) / error``."""
        return (self.value - 0.5) / self.error


def auc(source: Events, target: Events, columns: Sequence[str], *, folds: int = 5, seed: int) -> AUC:
    """Train a classifier between two weighted samples and return its area under the curve on rows it has not seen.

    ``A = Σ_ij w_i w_j [1(s_i < s_j) + 1(s_i = s_j)/2] / (Σ_i w_i Σ_j w_j)`` over source rows i and target rows j of one
    fold, averaged over folds with weights ``Σ_i w_i Σ_j w_j``. The classifier is scikit-learn's histogram gradient
    boosting; the folds are a hash of (seed, key), so no event is scored by a model that saw it, in either sample. A row
    of negative weight trains as one of the other class with ``|w|``: the score then still orders by the difference of
    the two signed densities, and the area itself is computed with the signs.

    The variance is twice the sum of the squared influences of the events (DeLong's for unit weights; rows of one event,
    or an event in both samples, count once). Twice, because two folds serve each other: what they have in common by
    chance enters the area of both. For equal samples the factor is 2 with a linear score and between 1 and 2 with this
    one, and for very different samples 1: the error is never too small, and at most ``sqrt(2)`` too large.

    Parameters
    ----------
    source, target
        The samples, for example a reweighted one and the observed one; their norms do not matter.
    columns
        The features, flat columns of both samples.
    folds
        Number of folds, at least 2.
    seed
        Root of the folds.

    Raises
    ------
    ConfigError
        If there are fewer than two folds, or no column.
    DataError
        If a sample, or its part in a fold, is empty or sums to zero or less, or a column is not finite.

    References
    ----------
    E. R. DeLong, D. M. DeLong, D. L. Clarke-Pearson, Biometrics 44 (1988) 837.
    """
    if folds < 2 or not columns:
        raise ConfigError(f"folds={folds} and {len(columns)} columns: at least two folds and one column are needed")
    source, target = source.sorted(), target.sorted()
    for events, name in ((source, "source"), (target, "target")):
        _usable(events, columns, name)
    pair = (source, target)
    places = [np.minimum((events.uniform(named_seed(seed, "folds")) * folds).astype(int), folds - 1) for events in pair]
    parts = [_fold(pair, places, columns, fold, seed) for fold in range(folds)]
    norms = np.array([part.norm for part in parts])
    shares = norms / norms.sum()
    variance = sum(share**2 * part.variance for share, part in zip(shares, parts, strict=True))
    return AUC(
        value=float(sum(share * part.area for share, part in zip(shares, parts, strict=True))),
        error=float(np.sqrt(2.0 * variance)),
        folds=tuple(part.area for part in parts),
        effective_source=effective_size(source.weight),
        effective_target=effective_size(target.weight),
    )


@dataclass(frozen=True)
class _Fold:
    area: float
    variance: float
    norm: float


def _fold(
    pair: tuple[Events, Events], places: Sequence[NDArray[np.int64]], columns: Sequence[str], fold: int, seed: int
) -> _Fold:
    train = [_rows(events, place != fold) for events, place in zip(pair, places, strict=True)]
    held = [_rows(events, place == fold) for events, place in zip(pair, places, strict=True)]
    for events, name in zip((*train, *held), ("source", "target") * 2, strict=True):
        _usable(events, (), f"{name} (fold {fold})")
    classifier = _train(train[0], train[1], columns, named_seed(seed, "auc", fold) % 2**32)
    scores = [classifier.decision_function(_matrix(events, columns)) for events in held]
    area, influences = _area(scores, [events.weight for events in held])
    _, index = np.unique(np.concatenate([events.key for events in held]), return_inverse=True)
    variance = float((np.bincount(index, np.concatenate(influences)) ** 2).sum())
    return _Fold(area, variance, float(held[0].weight.sum() * held[1].weight.sum()))


def _rows(events: Events, mask: NDArray[np.bool_]) -> Events:
    return events._take(np.flatnonzero(mask))


def _matrix(events: Events, columns: Sequence[str]) -> Array:
    return np.stack([np.asarray(events[name], np.float64) for name in columns], axis=1)


def _train(source: Events, target: Events, columns: Sequence[str], seed: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    weights = [events.weight / events.weight.sum() for events in (source, target)]
    labels = np.concatenate([weights[0] < 0.0, weights[1] > 0.0])
    weight = np.abs(np.concatenate(weights)) * (len(labels) / 2)
    features = np.concatenate([_matrix(source, columns), _matrix(target, columns)])
    # few leaves of many rows: samples that nearly agree differ smoothly, and more trees would learn the noise
    classifier = HistGradientBoostingClassifier(
        max_iter=60, max_leaf_nodes=8, min_samples_leaf=50, early_stopping=False, random_state=seed
    )
    return classifier.fit(features, labels, sample_weight=weight)


def _area(scores: Sequence[Array], weights: Sequence[Array]) -> tuple[float, list[Array]]:
    """Return the area and each row's influence on it, for source and target rows."""
    source, target = (weight / weight.sum() for weight in weights)
    below = _below(scores[0], source, scores[1])
    above = 1.0 - _below(scores[1], target, scores[0])
    area = float((target * below).sum())
    return area, [source * (above - area), target * (below - area)]


def _below(values: Array, weight: Array, at: Array) -> Array:
    """Return the weight of `values` below each point of `at`, half of it where equal."""
    order = np.argsort(values, kind="stable")
    sums = np.concatenate([[0.0], np.cumsum(weight[order])])
    ordered = values[order]
    return np.asarray((sums[np.searchsorted(ordered, at, "left")] + sums[np.searchsorted(ordered, at, "right")]) / 2)
