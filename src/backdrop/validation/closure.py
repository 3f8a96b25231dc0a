"""Closure: an estimate compared with what was observed in one of its channels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from .._notebook import MOST_BINS, card, drawing, measured, note, table
from ..channel import Channel
from ..errors import ConfigError, DataError
from ..estimate import Estimate
from ..events import Events
from .chisquare import ChiSquare, chi2, pull_summary
from .saturated import saturated_p_value
from .yields import Ratio, YieldClosure

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["Closure", "closure"]

_FEW = 5.0


@dataclass(frozen=True, eq=False, repr=False)
class Closure:
    """One channel of an estimate compared with the rows observed in it.

    Vectors run over the bins of the channel, `nominal` and `shift` over those of all channels of the estimate.

    Attributes
    ----------
    channel
        The channel that was tested.
    observed
        Sum of the observed weights.
    observed_variance
        Its variance: see :func:`closure`.
    predicted
        The estimate.
    covariance
        The estimate's full covariance, shape (bins, bins).
    nominal
        The estimate in all its channels.
    shift
        The non-closure in all channels of the estimate, an absolute yield.
    counts
        The observed rows of the samples that are counts; None if every sample is weighted.
    """

    channel: Channel
    observed: Array
    observed_variance: Array
    predicted: Array
    covariance: Array
    nominal: Array
    shift: Array
    counts: Array | None = None

    def __repr__(self) -> str:
        total, few = self.total, f"; {self.few_bins} bins below {_FEW:g} expected" if self.few_bins else ""
        return (
            f"Closure({self.channel.name}: observed {total.observed:.6g}, predicted "
            f"{measured(total.predicted, total.uncertainty)}; χ² {self.chi2:.4g}/{self.ndf}, p {self.p_value:.3g}{few})"
        )

    def _repr_html_(self) -> str:
        total, ratio = self.total, self.ratio
        head = ("observed", "predicted", "observed / predicted", "χ²/ndf", "p-value", "pulls")
        width = "" if self.pull_width is None else f", width {self.pull_width:.2f}"
        row = (
            measured(total.observed, total.observed_uncertainty),
            measured(total.predicted, total.predicted_uncertainty),
            "" if ratio is None else measured(ratio.value, ratio.error),
            f"{self.chi2:.4g}/{self.ndf}",
            f"{self.p_value:.3g}",
            f"mean {self.pull_mean:.2f}{width}",
        )
        few = f"{self.few_bins} bins expect fewer than {_FEW:g} events: ask p_value_toys" if self.few_bins else ""
        return card("Closure", self.channel.name, table(head, [row]), note(few) if few else "", self._drawn())

    def _drawn(self) -> str:
        if len(self.channel.axes) > 1 or self.channel.size > MOST_BINS:
            return ""
        (axis,), errors = self.channel.axes, np.sqrt(np.maximum(np.diag(self.covariance), 0.0))
        edges = np.asarray(axis.edges, float)
        title = f"{axis.name}, {edges[0]:g} to {edges[-1]:g}; points are observed"
        return drawing(title, edges, self.predicted, errors, self.observed)

    # ---- bins ------------------------------------------------------------------------------------------------------

    @cached_property
    def test(self) -> ChiSquare:
        """The χ² of observed minus predicted, with V = V_predicted + V_observed."""
        return chi2(self.observed, self.predicted, self.covariance + np.diag(self.observed_variance))

    @property
    def chi2(self) -> float:
        """``d^T V^-1 d`` of the used bins."""
        return self.test.value

    @property
    def ndf(self) -> int:
        """The number of used bins."""
        return self.test.ndf

    @property
    def p_value(self) -> float:
        """Probability of a larger χ²; not reliable while `few_bins` is not 0."""
        return self.test.p_value

    @property
    def contradicted(self) -> tuple[int, ...]:
        """Bins that disagree although neither side leaves any uncertainty: the p-value is then 0."""
        return self.test.contradicted

    @property
    def few_bins(self) -> int:
        """How many used bins expect fewer than 5 events; ask then for :meth:`p_value_toys`."""
        expected = self._expectation()[1]
        return int((self.test.used & (expected < _FEW)).sum())

    @property
    def pulls(self) -> Array:
        """``(observed - predicted) / σ`` of each bin, σ of both sides; NaN where a bin is not used."""
        return self.test.pulls

    @property
    def pull_mean(self) -> float:
        """Mean pull of the used bins."""
        return float(np.nanmean(self.pulls))

    @property
    def pull_width(self) -> float | None:
        """Sample standard deviation of the pulls; None for a single bin."""
        return pull_summary(self.pulls).width if self.test.used.sum() > 1 else None

    @property
    def ratios(self) -> tuple[Array, Array, Array]:
        """Observed over predicted, its error from the observed rows, and the relative error of the prediction.

        The content of a ratio panel: points, their bars, the band around 1; NaN where nothing is predicted.
        """
        safe = np.where(self.predicted == 0.0, np.nan, self.predicted)
        bars, band = np.sqrt(self.observed_variance), np.sqrt(np.diag(self.covariance))
        return self.observed / safe, bars / np.abs(safe), band / np.abs(safe)

    def p_value_toys(self, toys: int, rng: np.random.Generator) -> float:
        """Return the p-value of the saturated likelihood ratio from toys; holds for few events as well.

        Counts around a log-normal prediction of the estimate's mean and covariance, profiled in data and toys
        (`saturated.saturated`). Weighted samples beside counts (a subtraction) enter with the prediction. If all rows
        are weighted, they count as ``observed / s`` events with ``s = Σw² / Σw`` of the channel.

        Raises
        ------
        DataError
            If a used bin has an expectation that is not positive, or a negative count.

        References
        ----------
        S. Baker, R. Cousins, Nucl. Instrum. Meth. 221 (1984) 437; G. Bohm, G. Zech, arXiv:1309.1287.
        """
        used = self.test.used
        if self.contradicted:
            return 1.0 / (1 + toys)
        counts, expected, covariance = self._expectation()
        return saturated_p_value(counts[used], expected[used], covariance[np.ix_(used, used)], toys=toys, rng=rng)

    def _expectation(self) -> tuple[Array, Array, Array]:
        """Return counts, their expectation and the covariance of the expectation, in units of single events."""
        if self.counts is None:
            yields = float(self.observed.sum())
            scale = float(self.observed_variance.sum()) / yields if yields > 0.0 else 1.0
            return self.observed / scale, self.predicted / scale, self.covariance / scale**2
        expected = self.predicted - (self.observed - self.counts)
        # of the samples that are not counts; a difference of equal numbers may be off by a rounding
        variance = np.maximum(self.observed_variance - np.maximum(expected, 0.0), 0.0)
        return self.counts, expected, self.covariance + np.diag(variance)

    # ---- yield -----------------------------------------------------------------------------------------------------

    @property
    def total(self) -> YieldClosure:
        """The yields of the whole channel."""
        predicted, observed = float(self.covariance.sum()), float(self.observed_variance.sum())
        return YieldClosure(
            observed=float(self.observed.sum()),
            predicted=float(self.predicted.sum()),
            uncertainty=float(np.sqrt(max(predicted, 0.0) + observed)),
            predicted_uncertainty=float(np.sqrt(max(predicted, 0.0))),
            observed_uncertainty=float(np.sqrt(observed)),
        )

    @property
    def ratio(self) -> Ratio | None:
        """Observed over predicted yield; None where nothing is predicted."""
        return self.total.ratio

    def summary(self) -> dict[str, float | int | None]:
        """Return the numbers that are quoted: yields, χ², p-value and pulls, all finite or None."""
        total = self.total
        return {
            "observed": total.observed,
            "predicted": total.predicted,
            "uncertainty": total.uncertainty,
            "chi2": self.chi2,
            "ndf": self.ndf,
            "p_value": self.p_value,
            "pull_mean": self.pull_mean,
            "pull_width": self.pull_width,
        }

    # ---- systematic ------------------------------------------------------------------------------------------------

    @property
    def shifts(self) -> tuple[Array, Array]:
        """The non-closure as (up, down) yields over all channels, for ``estimate.with_variation(name, *shifts)``."""
        return self.nominal + self.shift, self.nominal - self.shift

    def state(self) -> dict[str, Any]:
        """Return arrays and plain values from which :meth:`from_state` restores the closure."""
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        return {"channel": self.channel.state(), **arrays} | ({} if self.counts is None else {"counts": self.counts})

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Closure:
        """Restore a closure from :meth:`state`."""
        arrays = {name: np.asarray(state[name], np.float64) for name in (*_ARRAYS, "counts") if name in state}
        return cls(channel=Channel.from_state(state["channel"]), **arrays)


_ARRAYS = ("observed", "observed_variance", "predicted", "covariance", "nominal", "shift")


def closure(estimate: Estimate, observed: Events, *, channel: str, smooth: int | None = None) -> Closure:
    """Compare one channel of an estimate with the rows observed in its region.

    ``χ² = d^T (V_predicted + V_observed)^-1 d`` with ``d = observed - predicted``, shape (bins,), and V_predicted the
    estimate's full covariance. A sample whose weights are all exactly 1 is counted: its variance is that of its
    expectation, ``max(predicted - other samples, 0)``, which is the prediction itself if there is no other sample.
    The other samples (simulation, a subtraction) have ``V_observed = Σw²``.

    The non-closure is a shift of every channel of the estimate: ``d`` in the tested channel; the relative shift
    ``r_i = d_i / predicted_i`` of each bin in channels binned in the same columns and as many bins; the relative shift
    of the yield in all others, and in bins without prediction. `smooth` averages r before it is applied, in the tested
    channel as well.

    Parameters
    ----------
    estimate
        The background, in one or more channels.
    observed
        Rows of the target; those of the channel's region are filled.
    channel
        The name of the channel.
    smooth
        Odd number k of bins: r_i becomes the mean of r over the k bins (each axis) around it, weighted by
        ``1 / σ(r)² = predicted² / V``; windows end at the channel's edges.

    Raises
    ------
    BlindedError
        If the observed rows may be sealed in the channel.
    ConfigError
        If there is no such channel, or `smooth` is not an odd positive number.
    DataError
        If no rows are given, no bin has a prediction or a row, or a relative shift is needed and the predicted yield is
        zero.

    Notes
    -----
    Assumes that estimate and observed rows are independent: for a model trained on the rows it is tested with, the χ²
    is too small, and must be compared with toys.
    """
    if not isinstance(observed, Events):
        raise DataError(f"a closure compares with observed rows (Events), not with a {type(observed).__name__}")
    part = estimate.only(channel)
    where, predicted, covariance = part.channels[0], part.nominal, part.covariance()
    total, variance, counts = _fill(observed, where, predicted)
    if not (total.any() or variance.any() or predicted.any() or covariance.any()):
        raise DataError(f"nothing to compare in channel '{channel}': no bin has a prediction or an observed row")
    return Closure(
        channel=where,
        observed=total,
        observed_variance=variance,
        predicted=predicted,
        covariance=covariance,
        nominal=estimate.nominal,
        shift=_shift(estimate, where, total - predicted, np.diag(covariance) + variance, smooth),
        counts=counts,
    )


def _fill(observed: Events, channel: Channel, predicted: Array) -> tuple[Array, Array, Array | None]:
    """Return yields, their variance, and the part of them that is counts (None if no sample is)."""
    rows, counted = observed.select(channel.region), _counted(observed)
    total, _ = channel.fill(rows)
    if len(observed) and not counted.any():
        return total, channel.fill(rows)[1], None
    is_count = counted[rows.sample]
    counts, _ = channel.fill(rows.with_weight(rows.weight * is_count))
    _, variance = channel.fill(rows.with_weight(rows.weight * ~is_count))
    return total, variance + np.maximum(predicted - (total - counts), 0.0), counts


def _counted(events: Events) -> NDArray[np.bool_]:
    """Say of each sample whether it has rows, all of weight exactly 1."""
    rows = np.bincount(events.sample, minlength=len(events.samples))
    ones = np.bincount(events.sample[events.weight == 1.0], minlength=len(events.samples))
    return np.asarray((rows > 0) & (rows == ones))


def _shift(estimate: Estimate, tested: Channel, difference: Array, variance: Array, smooth: int | None) -> Array:
    shift = np.zeros_like(estimate.nominal)
    shift[estimate.bins(tested.name)] = difference
    others = [channel for channel in estimate.channels if channel.name != tested.name]
    if not others and smooth is None:
        return shift
    predicted = estimate.nominal[estimate.bins(tested.name)]
    overall = _relative_yield(predicted, difference, tested.name)
    relative = np.divide(difference, predicted, out=np.full_like(predicted, overall), where=predicted != 0.0)
    if smooth is not None:
        relative = _smoothed(relative, predicted, variance, tested.shape, smooth)
        shift[estimate.bins(tested.name)] = relative * predicted
    for channel in others:
        where = estimate.bins(channel.name)
        shift[where] = estimate.nominal[where] * (relative if _same_bins(channel, tested) else overall)
    return shift


def _relative_yield(predicted: Array, difference: Array, name: str) -> float:
    total = float(predicted.sum())
    if total == 0.0:
        raise DataError(
            f"channel '{name}' predicts a yield of zero, so its non-closure has no relative size to apply elsewhere; "
            "test a channel with a prediction, or an estimate of this channel alone without smoothing"
        )
    return float(difference.sum()) / total


def _same_bins(first: Channel, second: Channel) -> bool:
    names = [[axis.name for axis in channel.axes] for channel in (first, second)]
    return names[0] == names[1] and first.shape == second.shape


def _smoothed(relative: Array, predicted: Array, variance: Array, shape: tuple[int, ...], bins: int) -> Array:
    """Return the mean of `relative` in windows of `bins` bins along each axis, weighted by predicted² / variance."""
    if isinstance(bins, bool) or not isinstance(bins, int) or bins < 1 or bins % 2 == 0:
        raise ConfigError(f"smooth={bins!r} must be an odd number of bins (1, 3, 5, …), or None")
    floor = np.where(variance > 0.0, variance, np.abs(relative * predicted))
    weight = np.divide(predicted**2, floor, out=np.zeros_like(predicted), where=floor > 0.0)
    sums = [_window(part.reshape(shape), bins).ravel() for part in (weight * relative, weight)]
    return np.divide(sums[0], sums[1], out=relative.copy(), where=sums[1] > 0.0)


def _window(values: Array, bins: int) -> Array:
    """Return sums over windows of `bins` bins along each axis, cut off at the edges."""
    for axis in range(values.ndim):
        padded = np.pad(values, [(bins // 2, bins // 2) if i == axis else (0, 0) for i in range(values.ndim)])
        values = np.lib.stride_tricks.sliding_window_view(padded, bins, axis=axis).sum(axis=-1)
    return values
