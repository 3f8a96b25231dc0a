"""Positive weights for a signed sample: the same expectation everywhere, the same statistical error, none negative."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ConfigError, DataError, FitError
from .boost import Boost, leaves
from .marginals import Marginals, equal_bins
from .sign import Sign, SignedRows

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[np.float64]
    Index = NDArray[np.int64]
    Flags = NDArray[np.bool_]
    Keys = NDArray[np.uint64]

__all__ = ["Positive", "PositiveWeights"]

_LOOKS = (0.0, -0.1, -0.2, -0.4)
"""The rows whose mean weight others predict to be below these, in units of the mean absolute weight, are tested."""

_CELLS = 8
_NOTABLE = 0.5


@dataclass(frozen=True)
class Positive:
    """Turns weights of both signs into positive ones of the same expectation.

    A row gets the weight ``|w| g(x)``, ``g(x) = E[w | x] / E[|w| | x] = 2 P(w > 0 | x) - 1``. P comes from boosted
    trees that tell positive from negative rows, each row with the weight ``|w|``; that of a row is learned from other
    rows alone, in folds that are hashes of the keys. A factor for each bin of each feature then gives the bins the sums
    of the signed weights, and a last one the total, exactly.

    The variance of any sum of the weights is that of the original ones: the sum of w², kept for each row. The sum of
    squared new weights is far below it (a fourth at a quarter of negative weights), since g was learned from the same
    rows. In cells of several features, where g is smoother than they are, the original variance is too large, and cells
    are correlated: `fit_members` learns g from resamples, whose spread is right for both.

    **Assumes** the mean weight is negative nowhere: what is subtracted is part of what it is subtracted from. **Fails
    when** it is negative by more than the statistics explain, which is refused. Where it is positive but near zero, a
    learned g below the floor is raised to it, at the cost of rows in the same bins; the report says by how much, and a
    warning if that matters.

    Attributes
    ----------
    folds
        In how many parts the rows are split by their keys.
    trees
        Most trees; how many are used is what makes the loss of held-out rows smallest.
    leaves, rate
        Leaves of a tree, and what each tree adds of its best step.
    events
        Least effective number of events in a leaf.
    bins
        Bins of each feature whose sums are kept; fewer if they held fewer events than a leaf.
    floor
        The lowest g.
    limit
        From how many standard deviations on a negative mean weight is refused; infinite for never, so that the floor
        alone deals with it.

    References
    ----------
    B. Nachman and J. Thaler, "Neural resampler for Monte Carlo reweighting with preserved uncertainties",
    arXiv:2007.11586.

    Examples
    --------
    Twice as many events as are subtracted from them, all of one distribution:

    >>> rng = np.random.default_rng(1)
    >>> values, weights = rng.normal(size=(3000, 1)), np.repeat([1.0, -1.0], [2000, 1000])
    >>> found = Positive().fit(values, weights, np.arange(3000, dtype=np.uint64), seed=1)
    >>> float(found.weights.min()) > 0.2, round(float(found.weights.sum()), 6), float(found.variance.sum())
    (True, 1000.0, 3000.0)
    """

    folds: int = 4
    trees: int = 200
    leaves: int = 8
    rate: float = 0.1
    events: float = 40.0
    bins: int = 10
    floor: float = 0.01
    limit: float = 3.5

    def __post_init__(self) -> None:
        for name, least in (("folds", 2), ("trees", 1), ("leaves", 2), ("bins", 1)):
            number = getattr(self, name)
            if not least <= number < 10_000 or number != int(number):
                raise ConfigError(f"Positive: {name} is {number!r}; give a whole number from {least} on")
        for name in ("rate", "events", "limit"):
            if not getattr(self, name) > 0.0:
                raise ConfigError(f"Positive: {name} is {getattr(self, name)!r}; give a positive number")
        if not 0.0 < self.floor < 1.0:
            raise ConfigError(f"Positive: floor is {self.floor!r}; give a number between 0 and 1")

    def fit(
        self, values: ArrayLike, weights: ArrayLike, keys: Keys, *, seed: int, names: Sequence[str] = ()
    ) -> PositiveWeights:
        """Learn g from a signed sample; weights that are all positive come back as they are.

        Parameters
        ----------
        values
            Features that g depends on, shape (n, d).
        weights
            Shape (n,), not all zero.
        keys
            Keys of the events, shape (n,); rows of one event are in one fold.
        seed
            Seed of the folds.
        names
            Names of the features, for messages.

        Raises
        ------
        DataError
            If a number is not finite, or the shapes do not fit.
        FitError
            If the weights do not have a positive sum, or their mean is negative beyond noise somewhere.
        """
        sample = _Sample.checked(values, np.asarray(weights)[None], keys, names)
        signed = sample.signed(0)
        if not signed.negative:
            return self._unchanged(sample, signed)
        rows = self._rows(sample)
        trees = rows.trees(signed.events, seed, self.trees)
        sign = rows.learn(signed.events, seed, trees)
        predicted = sign.mean(sample.values, sample.keys)
        looks = [signed.significance(predicted < edge) for edge in _LOOKS]
        deviations = _after_looks(min(looks))
        if deviations > self.limit:
            lowest = predicted < _LOOKS[int(np.argmin(looks))]
            raise FitError(self._refusal(sample, signed, lowest, deviations))
        return self._made(sample, signed, sign, predicted, trees, {"negative_significance": deviations})

    def fit_members(
        self, values: ArrayLike, weights: ArrayLike, keys: Keys, *, seeds: Sequence[int], nominal: PositiveWeights
    ) -> tuple[PositiveWeights, ...]:
        """Learn g anew for each row of weights, shape (members, n): those of resamples.

        The number of trees is that of the nominal sample. Each member's folds are those of its own seed, so that the
        spread holds the choice of the folds, and a member is the same whichever others there are. Whether the mean
        weight is negative somewhere has been asked of the nominal sample, and is not asked again.

        Raises
        ------
        DataError, FitError
            As `fit`.
        """
        sample = _Sample.checked(values, np.asarray(weights), keys, nominal.names)
        if len(sample.weights) != len(seeds):
            raise DataError(f"{len(sample.weights)} rows of weights need as many seeds, not {len(seeds)}")
        rows = self._rows(sample)
        return tuple(self._member(sample, rows, member, seed, nominal) for member, seed in enumerate(seeds))

    def _rows(self, sample: _Sample) -> SignedRows:
        # p (1 - p) is at most 1/4
        boost = Boost(self.leaves, self.rate, self.events / 4.0)
        return SignedRows.sorted(sample.values, sample.keys, sample.weights.sum(axis=0), boost, self.folds)

    def _member(
        self, sample: _Sample, rows: SignedRows, member: int, seed: int, nominal: PositiveWeights
    ) -> PositiveWeights:
        signed = sample.signed(member)
        if not signed.negative:
            return self._unchanged(sample, signed)
        if not nominal.trees:
            raise DataError(f"member {member} has negative weights, but the nominal sample has none")
        signed = replace(signed, scale=nominal.scale)
        sign = rows.learn(signed.events, seed, nominal.trees)
        return self._made(sample, signed, sign, sign.mean(sample.values, sample.keys), nominal.trees, {})

    def _unchanged(self, sample: _Sample, signed: _Signed) -> PositiveWeights:
        w = signed.weights
        report = {"rows": float(len(w)), "negative": 0.0, "trees": 0.0, "factor": 1.0}
        return PositiveWeights(w.copy(), w**2, report, (), self, sample.names)

    def _made(
        self, sample: _Sample, signed: _Signed, sign: Sign, raw: Array, trees: int, looked: Mapping[str, float]
    ) -> PositiveWeights:
        w, total = signed.weights, np.abs(signed.weights)
        raised = np.maximum(raw, self.floor)
        # no bin of fewer events than a leaf
        bins = max(1, min(self.bins, int(np.abs(signed.events).sum() / self.events)))
        marginals = Marginals.fit(sample.values, total * raised * signed.scale, signed.events, bins)
        raked = raised * marginals(sample.values)
        factor = float(w.sum() / (total * raked).sum())
        made = total * (factor * raked)
        low = (raw < self.floor) & (total > 0.0)
        report = {
            "rows": float(len(w)),
            "negative": float(-w[w < 0.0].sum() / total.sum()),
            "trees": float(trees),
            "factor": factor,
            "floored_rows": float(low.sum()),
            "floored_sum": float((total * (raised - raw))[low].sum()),
            "lowest": float(raw.min()),
            "effective_before": float(w.sum() ** 2 / (w**2).sum()),
            "effective": float(made.sum() ** 2 / (made**2).sum()),
            **looked,
            **_closure(sample, w, made, bins),
        }
        error = math.sqrt(float((w**2).sum()))
        warnings = _warnings(report, error, sample.names)
        return PositiveWeights(
            made, w**2, report, warnings, self, sample.names, signed.scale, trees, factor, sign, marginals
        )

    def _refusal(self, sample: _Sample, signed: _Signed, lowest: Flags, deviations: float) -> str:
        total = np.abs(signed.weights)
        cells = leaves(sample.values, lowest.astype(np.float64), np.abs(signed.events), _CELLS, self.events)
        cell = min(cells, key=lambda one: signed.significance(one.rows))
        share = total[lowest].sum() / total.sum()
        return (
            f"the mean weight is negative beyond noise ({deviations:.1f} standard deviations after {len(_LOOKS)} "
            f"looks, limit {self.limit:g}): {lowest.sum()} rows ({share:.1%} of the absolute weight), "
            f"where the others predict the lowest mean, sum to {signed.sum(lowest)}; most of it is where "
            f"{cell.describe(sample.names)}: {signed.sum(cell.rows)} from {len(cell.rows)} rows. More is subtracted "
            "there than is seen: correct what is subtracted, cut this region away, or accept it with a higher limit"
        )


@dataclass(frozen=True, eq=False)
class PositiveWeights:
    """Positive weights, and the g that they were made with.

    Attributes
    ----------
    weights
        ``|w| g``, shape (n,), in the order of the rows.
    variance
        The original w², shape (n,): its sum over any rows is the variance of their summed weights.
    report
        Numbers: ``rows``; ``negative``, the share of negative weights in the absolute ones; ``trees``; ``factor``;
        ``floored_rows`` and ``floored_sum``, the rows whose g was raised to the floor and how much weight that added
        before the sums were kept; ``lowest``, the lowest g before; ``negative_significance``, by how many standard
        deviations the mean weight is negative somewhere; ``effective`` and ``effective_before``, (sum w)² over the sum
        of the squared weights;
        ``closure: NAME``, by how many standard deviations the sum in a bin of a feature has changed at most.
    warnings
        What to know before the weights are used.
    settings
        The settings.
    names
        The features.
    scale
        Effective events in a unit of absolute weight.
    trees
        Trees of each classifier; 0 where no weight was negative.
    factor
        What keeps the sum of all weights.
    sign, marginals
        The classifier of the sign, and what keeps the sums in bins; none where no weight was negative.
    """

    weights: Array
    variance: Array
    report: Mapping[str, float]
    warnings: tuple[str, ...]
    settings: Positive
    names: tuple[str, ...]
    scale: float = 0.0
    trees: int = 0
    factor: float = 1.0
    sign: Sign | None = field(default=None, repr=False)
    marginals: Marginals | None = field(default=None, repr=False)

    def g(self, values: ArrayLike, keys: Keys | None = None) -> Array:
        """Return g at each row, shape (n,).

        Parameters
        ----------
        values
            Features, shape (n, d).
        keys
            Keys of rows that g was learned from: each gets the g that was learned without it. All folds are averaged
            otherwise.

        Raises
        ------
        DataError
            If a number is not finite, or the shapes do not fit.
        """
        x = _features(values, self.names)
        if self.sign is None or self.marginals is None:
            return np.ones(len(x))
        raised = np.maximum(self.sign.mean(x, keys), self.settings.floor)
        return np.asarray(self.factor * (raised * self.marginals(x)))

    def state(self) -> dict[str, Any]:
        """Return arrays, plain values and the classifiers as text, from which :meth:`from_state` restores it."""
        return {
            **{name: getattr(self, name) for name in ("weights", "variance", "scale", "trees", "factor")},
            "report": dict(self.report),
            "warnings": list(self.warnings),
            "settings": asdict(self.settings),
            "names": list(self.names),
            "sign": None if self.sign is None else self.sign.state(),
            "marginals": None if self.marginals is None else self.marginals.state(),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> PositiveWeights:
        """Restore it from :meth:`state`."""
        made = {
            "settings": Positive(**state["settings"]),
            "warnings": tuple(state["warnings"]),
            "names": tuple(state["names"]),
            "sign": None if state["sign"] is None else Sign.from_state(state["sign"]),
            "marginals": None if state["marginals"] is None else Marginals.from_state(state["marginals"]),
        }
        return cls(**{**state, **made})


@dataclass(frozen=True, eq=False)
class _Signed:
    """Weights of both signs."""

    weights: Array
    scale: float

    @property
    def events(self) -> Array:
        """The weights in effective events."""
        return self.weights * self.scale

    @property
    def negative(self) -> bool:
        return bool((self.weights < 0.0).any())

    @cached_property
    def _size(self) -> float:
        """The typical positive weight."""
        up = self.weights[self.weights > 0.0]
        return float((up**2).sum() / up.sum())

    def sum(self, rows: Flags | Index) -> str:
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
class _Sample:
    """Rows of finite features, and weights of shape (members, n)."""

    values: Array
    weights: Array
    keys: Keys
    names: tuple[str, ...]

    @classmethod
    def checked(cls, values: ArrayLike, weights: Array, keys: Keys, names: Sequence[str]) -> _Sample:
        x = _features(values, names)
        if weights.ndim != 2 or weights.shape[1:] != np.shape(keys) or weights.shape[1:] != (len(x),) or not len(x):
            raise DataError(
                "a signed sample needs one weight and one key for each row: values "
                f"{x.shape}, weights {weights.shape[1:]}, keys {np.shape(keys)}"
            )
        return cls(x, weights.astype(np.float64), np.asarray(keys, np.uint64), _named(names, x))

    def signed(self, member: int) -> _Signed:
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
        return _Signed(w, total / float((w**2).sum()))


def _features(values: ArrayLike, names: Sequence[str]) -> Array:
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


def _after_looks(significance: float) -> float:
    """Return by how many standard deviations the lowest of several sums is negative, as if there were one; least 0."""
    from scipy.special import log_ndtr, ndtri_exp

    logarithm = min(float(log_ndtr(significance)) + math.log(len(_LOOKS)), math.log(0.5))
    return -float(ndtri_exp(logarithm))


def _closure(sample: _Sample, before: Array, after: Array, bins: int) -> dict[str, float]:
    """Return the largest change of the sum in a bin of each feature, in units of the error of the original one."""
    found = {}
    for name, x in zip(sample.names, sample.values.T, strict=True):
        place = np.searchsorted(equal_bins(x, np.abs(before), bins), x)
        change, squares = np.bincount(place, after - before), np.bincount(place, before**2)
        found[f"closure: {name}"] = float(np.max(np.abs(change) / np.sqrt(np.where(squares > 0.0, squares, np.inf))))
    return found


def _warnings(report: Mapping[str, float], error: float, names: Sequence[str]) -> tuple[str, ...]:
    found, rows = [], f"{report['floored_rows']:.0f} of {report['rows']:.0f} rows"
    if report["floored_sum"] > _NOTABLE * error:
        found.append(
            f"the mean weight was raised to its floor in {rows}: {report['floored_sum']:.3g} in sum, "
            f"{report['floored_sum'] / error:.1f} standard deviations of the total, taken from rows in the same bins"
        )
    for name in names:
        if (moved := report[f"closure: {name}"]) > _NOTABLE:
            found.append(
                f"in a bin of '{name}' the positive weights sum to {moved:.1f} standard deviations more or less than "
                "the signed ones: next to nothing is left there after the subtraction"
            )
    return tuple(found)
