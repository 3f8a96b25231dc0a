"""Checks: what must be heeded about the rows behind an estimate, and what forbids it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..channel import Channel
from ..config.analysis import Analysis, Task
from ..errors import DataError
from ..estimate import Estimate, Setup, fitted
from ..events import Events, Source
from ..events.columns import undefined
from ..maps import BinnedMap
from ..method import OffersWarnings, fit_columns, resampling, target
from ..methods import METHODS
from ..region import Region
from ..validation import weight_health

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Rows", "after", "before", "unmoved"]

_NONE_SEEN = 1.841
"""Upper end of the central 68.3 % interval of a Poisson mean when nothing is seen."""


@dataclass(frozen=True)
class Rows:
    """A method of an analysis and the events it sees."""

    analysis: Analysis
    name: str
    task: Task
    events: Source

    @property
    def ids(self) -> list[str]:
        """The columns that tell events apart, as far as all samples have them."""
        inputs = self.analysis.configuration.inputs
        kept = [inputs[name].keys if name in inputs else [] for name in self.task.events.samples]
        return [name for name in kept[0] if all(name in others for others in kept)]

    def of(self, region: Region | None, columns: Collection[str] = ()) -> Events:
        """Return the rows of a region with its columns and those named; all columns where it is not known."""
        wanted = None if region is None else sorted({*region.columns, *columns})
        return self.events.load(wanted, region)


def before(rows: Rows) -> Iterator[str]:
    """Yield how many observed rows of each channel the method is trained on: they predict themselves.

    Raises
    ------
    DataError
        If there are such rows in a channel that is no closure test.
    """
    training = _region(rows.task, "training")
    if training is None or resampling(rows.task.method) == "joint":
        return
    for channel in rows.task.channels:
        seen = channel.region & target(rows.task.method)
        shared = None if seen.disjoint(training) else rows.of(seen & training)
        if shared:
            text = _themselves(rows, channel, shared, training)
            if not any((one.channel, one.method) == (channel.name, rows.name) for one in rows.analysis.closures):
                raise DataError(f"{text}; make them disjoint, or ask for the closure of '{channel.name}' as a test")
            yield text


def after(rows: Rows, estimate: Estimate) -> Iterator[str]:
    """Yield what a reader must know of the training, the sources and the bins of a method.

    Raises
    ------
    DataError
        If a sample of the training has no weight at all.
    """
    yield from _undefined(rows)
    yield from _training(rows)
    yield from _model(rows)
    for channel in rows.task.channels:
        yield from _source(rows, channel)
        yield from _empty(rows, channel, estimate)


def unmoved(name: str, method: Any, found: Sequence[BinnedMap], estimate: Estimate) -> Iterator[str]:
    """Yield which bins of measured maps are at an end of their range: resamples leave them there, without a spread."""
    given = [one.values for one in vars(method).values() if isinstance(one, BinnedMap)]
    for one in found if estimate.replicas else ():
        still = np.flatnonzero(np.isin(one.values, one.bounds) & (one.errors > 0.0))
        if len(still) == 0 or any(np.array_equal(one.values, values) for values in given):
            continue
        first = int(still[0])
        more = f" (and {len(still) - 1} more)" if len(still) > 1 else ""
        yield (
            f"{name}: map '{one.name}' is {one.values[first]:g} in bin {one.bin_label(first)}{more}, and in every "
            f"replica: its error, {one.errors[first]:.2g}, is not in the estimate; merge bins"
        )


def _undefined(rows: Rows) -> Iterator[str]:
    """Yield which columns are NaN or missing in open rows, and the yield that is in no region for it."""
    columns = fit_columns(rows.task.method)
    if columns is None:
        return
    factors = dict(rows.task.events.factors)
    wanted = sorted(columns.union(*(channel.columns for channel in rows.task.channels)))
    lost: dict[tuple[str, str], NDArray[np.float64]] = {}
    for chunk in rows.events.chunks(wanted):
        for name in wanted:
            for code in np.unique(chunk.sample[bad := undefined(chunk[name])]):
                weight = chunk.weight[bad & (chunk.sample == code)]
                pair = name, chunk.samples[code]
                lost[pair] = lost.get(pair, np.zeros(2)) + np.array([len(weight), weight.sum()])
    for (name, sample), (count, total) in lost.items():
        yield (
            f"column '{name}' is NaN or missing in {count:.0f} rows of sample '{sample}' (yield "
            f"{total / (factors[sample] or 1.0):.4g}): they are in no region that cuts on it"
        )


def _training(rows: Rows) -> Iterator[str]:
    training = _region(rows.task, "training")
    found = rows.of(training, rows.ids)
    place = f"{rows.name}, training"
    for sample, factor in rows.task.events.factors:
        if factor == 0.0:
            continue
        own = found.only(sample)
        weight = own.weight / factor
        if (again := len(own) - len(np.unique(own.key))) and _has_ids(rows, sample):
            yield (
                f"{place}: {again} rows of sample '{sample}' have the ids of another row; unless they are objects of "
                "one event, its files overlap and events count twice"
            )
        if len(weight) and not weight.any():
            raise DataError(
                f"{place}: all {len(weight)} weights of sample '{sample}' are zero; check its weight column"
            )
        if (total := float(weight.sum())) < 0.0:
            yield f"{place}: the {len(weight)} weights of sample '{sample}' sum to {total:.4g}, which is not positive"
    for text in weight_health(found, ids=rows.ids).warnings if found.weight.any() else ():
        yield f"{place}: {text.removeprefix('all rows: ')}"


def _model(rows: Rows) -> Iterator[str]:
    """Yield what the fitted model itself says, where it has something to say."""
    if not hasattr(METHODS[rows.analysis.configuration.methods[rows.name].type].model, "warnings"):
        return
    model = fitted(Setup(rows.task.method, rows.events), seed=rows.analysis.configuration.seed)
    if isinstance(model, OffersWarnings):
        yield from (f"{rows.name}: {text}" for text in model.warnings)


def _source(rows: Rows, channel: Channel) -> Iterator[str]:
    """Yield what is unhealthy about the rows that stand for the background of a channel."""
    source = _region(rows.task, "source")
    if source is None:
        return
    found = rows.of(channel.region & source, rows.ids)
    texts = weight_health(found, ids=rows.ids).warnings if found.weight.any() else ["it holds no row with weight"]
    for text in texts:
        yield f"{rows.name}, source of {channel.name}: {text.removeprefix('all rows: ')}"


def _themselves(rows: Rows, channel: Channel, shared: Events, training: Region) -> str:
    counts = np.bincount(shared.sample, minlength=len(shared.samples))
    what = ", ".join(f"{count} of '{name}'" for name, count in zip(shared.samples, counts, strict=True) if count)
    return (
        f"{rows.name}: {len(shared)} rows ({what}) are observed in channel '{channel.name}' and also in the training "
        f"region '{training.name}', so they predict themselves"
    )


def _empty(rows: Rows, channel: Channel, estimate: Estimate) -> Iterator[str]:
    """Yield which bins hold no source row, and how much may stand in one of them."""
    part = estimate.only(channel.name)
    nothing = (part.nominal == 0.0) & (np.diag(part.statistical_covariance()) == 0.0)
    empty = np.flatnonzero(nothing & ~channel.excluded) if nothing.any() else np.zeros(0, np.int64)
    total = float(part.nominal.sum())
    if nothing.all():
        yield (
            f"{rows.name}: channel '{channel.name}' predicts 0 ± 0: of the rows in region '{channel.region.name}' none "
            "is inside its axes with a weight; check their ranges, and the factors that weigh them"
        )
    elif len(empty) and total > 0.0 and part.sumw2.any():
        bound = _NONE_SEEN * float(part.sumw2.sum()) / total
        yield (
            f"{rows.name}: {len(empty)} of {channel.size} bins of channel '{channel.name}' hold no row and predict "
            f"0 ± 0 (bin {_listed(empty.tolist())}); up to {bound:.3g} events in one of them are within one standard "
            "deviation: merge bins"
        )


def _has_ids(rows: Rows, sample: str) -> bool:
    inputs = rows.analysis.configuration.inputs
    return sample in inputs and bool(inputs[sample].keys)


def _listed(bins: Sequence[int]) -> str:
    return ", ".join(map(str, bins[:3])) + (", ..." if len(bins) > 3 else "")


def _region(task: Task, role: str) -> Region | None:
    found = getattr(task.method, role, None)
    return found if isinstance(found, Region) else None
