"""The counts of all regions of an ABCD plane, and the log-linear Poisson model of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from ..channel import Channel
from ..errors import DataError, FitError
from ..estimate.terms import Parameter, Term, Terms
from ..events import Events
from ..learn.loglinear import LogLinear, Products
from .transfer import Binned, Constant, Factors

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .likelihood_abcd import LikelihoodABCD

    Array = NDArray[np.float64]
    Index = NDArray[np.int64]

__all__ = ["CountFit", "Counted", "Sheet"]

_SMALL = 1e-9
_WIDE = 10.0
_KNOWN = 0.25


@dataclass(frozen=True, eq=False)
class Counted:
    """One region of the plane, and what was counted in its bins.

    Attributes
    ----------
    channel
        The region and its bins.
    observed
        Sum of the observed weights.
    scale
        The weight of one count; one for data.
    others, variance
        Expected other processes, and the sum of their squared weights.
    """

    channel: Channel
    observed: Array
    scale: Array
    others: Array
    variance: Array

    @property
    def left(self) -> Array:
        """What the other processes leave, at least half a count."""
        return np.maximum(self.observed - self.others, 0.5 * self.scale)


@dataclass(frozen=True, eq=False)
class Sheet:
    """The counts of all regions: those of the sources, and of target and source of each control region."""

    method: LikelihoodABCD
    events: Events
    channels: tuple[Channel, ...]
    sources: tuple[Counted, ...]
    rows: tuple[tuple[Counted, Counted], ...]

    @classmethod
    def of(cls, method: LikelihoodABCD, events: Events, channels: Sequence[Channel]) -> Sheet:
        """Count.

        Raises
        ------
        DataError
            If there is no observed sample, a region that the ratio divides by is empty, or a yield has the wrong sign.
        FitError
            If a bin that the ratio divides by is empty.
        """
        axes = () if isinstance(method.transfer, Constant) else (method.transfer.axis,)
        controls = {"control": method.control} | ({} if method.farther is None else {"farther": method.farther})
        sheet = cls(
            method,
            events,
            tuple(channels),
            tuple(count(method, events, source_channel(method, channel)) for channel in channels),
            tuple(
                (
                    count(method, events, Channel(f"{name}_target", region & method.target, axes)),
                    count(method, events, Channel(f"{name}_source", region & method.source, axes)),
                )
                for name, region in controls.items()
            ),
        )
        sheet._refuse_empty()
        return sheet

    @property
    def own(self) -> tuple[Counted, ...]:
        """The regions with a free factor in each bin: all sources."""
        return (*self.sources, *(source for _, source in self.rows))

    @property
    def names(self) -> tuple[str, ...]:
        """The names of these factors."""
        controls = ("control", "farther")[: len(self.rows)]
        return tuple(f"{name}_yield" for name in (*(channel.name for channel in self.channels), *controls))

    @property
    def stepped(self) -> bool:
        """Whether the transfer factor changes from the control region to the channels."""
        return len(self.rows) > 1

    @property
    def fewest(self) -> float:
        """The smallest count of a control region."""
        return min(float(one.observed.sum()) for pair in self.rows for one in pair)

    def _refuse_empty(self) -> None:
        for one in (one for pair in self.rows for one in (pair if self.stepped else pair[1:])):
            where = f"region '{one.channel.region.name}' ({one.channel.region.cut})"
            why = "so the transfer factor is not defined"
            if not one.observed.any():
                raise DataError(f"{where} holds 0 rows of '{self.method.observed}', {why}; widen the region")
            if isinstance(self.method.transfer, Binned) and (empty := np.flatnonzero(one.observed == 0.0)).size:
                place = ", ".join(map(str, empty))
                raise FitError(
                    f"{where} holds 0 rows of '{self.method.observed}' in bin {place} of '{one.channel.axes[0].name}', "
                    f"{why} there; merge bins, widen the region, or use a Chebyshev transfer factor"
                )


def source_channel(method: LikelihoodABCD, channel: Channel) -> Channel:
    return replace(channel, name=f"{channel.name}_source", region=channel.region & method.source)


def count(method: LikelihoodABCD, events: Events, channel: Channel) -> Counted:
    data = events.only(method.observed)
    observed, squares = channel.fill(data.select(channel.region))
    bad = (observed < 0.0) | ((observed == 0.0) & (squares > 0.0))
    if bad.any():
        raise DataError(
            f"sample '{method.observed}' has a negative or vanishing sum of weights in region '{channel.region.name}', "
            f"bin {int(np.flatnonzero(bad)[0])}; a likelihood needs counts"
        )
    total = float(data.weight.sum())
    typical = float((data.weight**2).sum()) / total if total > 0.0 else 1.0
    scale = np.where(observed > 0.0, squares / np.where(observed > 0.0, observed, 1.0), typical)
    others, variance = np.zeros(channel.size), np.zeros(channel.size)
    for name in events.samples:
        if name != method.observed:
            values, more = channel.fill(events.only(name).select(channel.region))
            _refuse_added(method, name, channel, values)
            others, variance = others - values, variance + more
    return Counted(channel, observed, scale, others, variance)


def _refuse_added(method: LikelihoodABCD, sample: str, channel: Channel, values: Array) -> None:
    if (bad := values > 0.0).any():
        raise DataError(
            f"sample '{sample}' adds {values[bad][0]:g} to the data in region '{channel.region.name}', bin "
            f"{int(np.flatnonzero(bad)[0])}: take it from the data, as in '{method.observed} - {sample}'; where its "
            "own weights add up to less than zero, merge bins"
        )


# ---- the model of the counts ---------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class CountFit:
    """The log-linear model of a sheet, and its maximum.

    The parameters are the logarithms of the free factors: those of the bins of every source, then of the transfer
    factor, then the step, then one for each bin of another process (its statistical uncertainty).

    Attributes
    ----------
    sheet
        The counts.
    form
        The transfer factor as factors.
    places
        The transfer bin of each bin of each channel.
    """

    sheet: Sheet
    form: Factors
    places: tuple[Index, ...]

    @classmethod
    def of(cls, method: LikelihoodABCD, events: Events, channels: Sequence[Channel]) -> CountFit:
        """Count, and set up the model."""
        form = Factors.of(method.transfer)
        return cls(Sheet.of(method, events, channels), form, tuple(form.places(channel) for channel in channels))

    @cached_property
    def edges(self) -> Index:
        """Where the factors of each source start, and where the last one's end."""
        return np.cumsum([0] + [one.channel.size for one in self.sheet.own])

    @cached_property
    def size(self) -> int:
        """How many free factors there are."""
        return int(self.edges[-1]) + self.form.size + self.sheet.stepped

    def design(self, source: int, places: Index | None, step: bool) -> Array:
        """Return the exponents of the factors: the own ones of a source, those of transfer bins, and the step."""
        first, last = self.edges[source : source + 2]
        design = np.zeros((last - first, self.size))
        design[:, first:last] = np.eye(last - first)
        if places is not None:
            design[:, self.edges[-1] : self.edges[-1] + self.form.size] = self.form.design[places]
        if step:
            design[:, -1] = 1.0
        return design

    @cached_property
    def regions(self) -> tuple[tuple[Counted, Array], ...]:
        """What was counted, with the exponents of its factors."""
        found = [(one, self.design(i, None, False)) for i, one in enumerate(self.sheet.sources)]
        for row, (target, source) in enumerate(self.sheet.rows):
            own = len(self.sheet.sources) + row
            found.append((target, self.design(own, self.form.everywhere, False)))
            # the farther region's ratio is the control region's without the step
            found.append((source, self.design(own, None, row == 1)))
        return tuple(found)

    @cached_property
    def model(self) -> LogLinear:
        """The counts as Poisson numbers; simulated processes are counts of their own with the same relative error."""
        scale = np.concatenate([one.scale for one, _ in self.regions])
        observed = np.concatenate([one.observed for one, _ in self.regions]) / scale
        others = np.concatenate([one.others for one, _ in self.regions])
        variance = np.concatenate([one.variance for one, _ in self.regions])
        having = np.flatnonzero(others > 0.0)
        simulated = others[having] ** 2 / variance[having]
        extra = np.eye(len(having))
        factors = np.concatenate([design for _, design in self.regions])
        design = np.block(
            [
                [factors, np.zeros((len(factors), len(having)))],
                [np.zeros((len(having), self.size)), extra],
                [np.zeros((len(having), self.size)), extra],
            ]
        )
        offset = np.concatenate([-np.log(scale), np.log(others[having] / scale[having]), np.log(simulated)])
        where = np.concatenate([np.arange(len(scale)), having, len(scale) + np.arange(len(having))])
        return LogLinear(np.concatenate([observed, simulated]), where, Products(offset, design))

    @cached_property
    def wanted(self) -> Products:
        """The background in the bins of the channels."""
        rows = [self.design(i, places, self.sheet.stepped) for i, places in enumerate(self.places)]
        design = np.concatenate([*rows, np.zeros((0, self.size))])
        extra = self.model.products.design.shape[1] - self.size
        offset = np.full(len(design), np.log(self.sheet.method.kappa))
        return Products(offset, np.pad(design, ((0, 0), (0, extra))))

    @cached_property
    def near(self) -> Array:
        """The maximum with half a count where there is none, so that all yields are positive."""
        theta = np.zeros(self.model.products.design.shape[1])
        theta[: self.edges[-1]] = np.log(np.concatenate([one.left for one in self.sheet.own]))
        logs = [np.log(target.left.sum() / source.left.sum()) for target, source in self.sheet.rows]
        theta[self.edges[-1] : self.edges[-1] + self.form.levels] = logs[0]
        if self.sheet.stepped:
            theta[self.size - 1] = logs[0] - logs[1]
        return self.model.lifted().maximum(theta)

    @cached_property
    def best(self) -> Array:
        """The maximum."""
        return self.model.maximum(self.near)

    def factors(self) -> Array:
        """Return the transfer factor of each transfer bin, kappa and step included."""
        first = int(self.edges[-1])
        logs = self.form.design @ self.best[first : first + self.form.size]
        step = self.best[self.size - 1] if self.sheet.stepped else 0.0
        return np.asarray(self.sheet.method.kappa * np.exp(logs + step))

    def uncertainties(self) -> list[tuple[Array, Array]]:
        """Return the profile likelihood's (up, down) along the eigen-directions of the covariance."""
        slopes = self.wanted(self.near)[:, None] * self.wanted.design
        covariance = slopes @ self.model.lifted().covariance(self.near) @ slopes.T
        values, vectors = np.linalg.eigh(covariance)
        pairs = []
        for value, vector in zip(values[::-1], vectors.T[::-1], strict=True):
            if value > _SMALL * values[-1]:
                up = vector if vector.sum() >= 0.0 else -vector
                pairs.append(self.model.interval(self.near, self.wanted, up, float(np.sqrt(value))))
        return pairs

    # ---- in a workspace --------------------------------------------------------------------------------------------

    @cached_property
    def origin(self) -> Array:
        """The parameters at which free factors are one, and exponents zero: positive yields near the maximum."""
        origin = self.near.copy()
        slopes = slice(int(self.edges[-1]) + self.form.levels, int(self.edges[-1]) + self.form.size)
        origin[slopes] = self.best[slopes]
        return origin

    @cached_property
    def widths(self) -> dict[str, float]:
        """Ten times the error of each coefficient of a smooth form.

        A workspace has no parameter of an exponent without a constraint, and interpolates exponentials: with a
        constraint of ten errors both change the answer by less than one per cent of its error.
        """
        first = int(self.edges[-1])
        errors = np.sqrt(np.diag(self.model.lifted().covariance(self.near)))[first : first + self.form.size]
        found = dict(zip(self.form.slope_names, errors[self.form.levels :].tolist(), strict=True))
        if vague := [f"{name} ± {error:.2g}" for name, error in found.items() if error > _KNOWN]:
            raise FitError(
                f"the control regions hardly determine the exponent of the transfer factor ({', '.join(vague)}; it "
                f"needs ± {_KNOWN:g} or better); lower its degree or widen the regions"
            )
        return {name: _WIDE * error for name, error in found.items()}

    def terms(self) -> Terms:
        """Return the relation for a workspace."""
        sheet = self.sheet
        if bool((sheet.events.only(sheet.method.observed).weight != 1.0).any()):
            raise DataError(
                f"sample '{sheet.method.observed}' has weights, but the likelihood of a workspace needs counts; name "
                "the sample of counts in 'observed', or use the estimate instead of the terms"
            )
        counted = [one for one, _ in self.regions]
        found = Terms(
            sheet.channels,
            sheet.method.target,
            tuple(one.channel for one in counted),
            {one.channel.name: one.observed for one in counted},
            tuple(self._terms()),
            self._parameters(),
        )
        others = [name for name in sheet.events.samples if name != sheet.method.observed]
        return replace(found, processes={name: found.template(-sheet.events.only(name)) for name in others})

    def _terms(self) -> Iterator[Term]:
        names, wanted = self.sheet.names, self.wanted(self.origin)
        for i, channel in enumerate(self.sheet.channels):
            inside = slice(*self.edges[i : i + 2])
            yield from self._split(channel.name, wanted[inside], names[i], self.places[i], self.sheet.stepped)
            yield Term(f"{channel.name}_source", np.exp(self.origin[inside]), bins=names[i])
        for row, (target, source) in enumerate(self.sheet.rows):
            own = len(self.sheet.sources) + row
            for one, places, step in ((target, self.form.everywhere, False), (source, None, row == 1)):
                yields = np.exp(self.design(own, places, step) @ self.origin[: self.size])
                yield from self._split(one.channel.name, yields, names[own], places, step)

    def _split(self, channel: str, yields: Array, bins: str, places: Index | None, step: bool) -> Iterator[Term]:
        """Yield one term for each transfer factor that the bins of a channel have."""
        steps = ("step",) if step else ()
        if places is None:
            yield Term(channel, yields, steps, bins)
            return
        for place in np.unique(places):
            factors, slopes = self.form.names(int(place))
            exponents = {name: self.widths[name] * slope for name, slope in slopes.items()}
            inside = np.where(places == place, yields, 0.0)
            part = "" if len(self.form.design) == 1 else f"bin{place}"
            yield Term(channel, inside, (*factors, *steps), bins, exponents, part)

    def _parameters(self) -> dict[str, Parameter]:
        start, few = np.exp(self.best - self.origin), np.array([self.sheet.fewest])
        found = {
            name: Parameter(start[first:last], _reach(one.observed))
            for name, one, first, last in zip(
                self.sheet.names, self.sheet.own, self.edges[:-1], self.edges[1:], strict=True
            )
        }
        ratios = {name: int(self.edges[-1]) + i for i, name in enumerate(self.form.level_names)}
        ratios |= {"step": self.size - 1} if self.sheet.stepped else {}
        return found | {name: Parameter(start[i : i + 1], _reach(few) ** 2) for name, i in ratios.items()}


def _reach(counts: Array) -> Array:
    """Return an upper bound of a factor that is one at a yield of so many counts."""
    return 10.0 * (1.0 + 5.0 / np.sqrt(np.maximum(counts, 1.0))) ** 2
