"""Terms: a background whose yields are products of free parameters, so that its relation lives in the likelihood."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from ..channel import Channel
from ..errors import ConfigError, DataError
from ..events import Source
from ..region import Region
from .result import Estimate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["Parameter", "Term", "Terms"]


@dataclass(frozen=True, eq=False)
class Term:
    """Yields in one channel: ``nominal * product of factors * product of exp(exponent * parameter)``.

    Attributes
    ----------
    channel
        The channel's name.
    nominal
        The yields where every parameter has its nominal value, shape (bins,); zero where the term does not count.
    factors
        Free factors of all bins.
    bins
        The name of a set of free factors, one for each bin; empty for none.
    exponents
        Parameter to its exponent. It has a Gaussian constraint of width one, so choose exponents of ten standard
        deviations or more for one that the counts determine.
    part
        What tells the terms of one channel apart; empty for a single one.
    """

    channel: str
    nominal: Array
    factors: tuple[str, ...] = ()
    bins: str = ""
    exponents: Mapping[str, float] = field(default_factory=dict)
    part: str = ""


@dataclass(frozen=True, eq=False)
class Parameter:
    """Where a free factor starts, and its upper bound; one for each bin of a set."""

    start: Array
    upper: Array


@dataclass(frozen=True, eq=False)
class Terms:
    """A background as a part of a likelihood: what it is in every channel, and the counts that determine it.

    Attributes
    ----------
    channels
        The channels of the analysis.
    target
        The rows of a channel that the background stands for: the channel is filled with ``region & target``.
    auxiliary
        Further channels, in which the parameters are measured; their regions say all.
    counts
        Auxiliary channel to observed counts, shape (bins,).
    terms
        The yields.
    parameters
        The free factors by name.
    processes
        What else is expected in the channels and the auxiliary ones, by sample.
    variations
        Systematic to relative changes (up, down) of the yields in the channels of the analysis, shape (bins,).
    """

    channels: tuple[Channel, ...]
    target: Region
    auxiliary: tuple[Channel, ...]
    counts: Mapping[str, Array]
    terms: tuple[Term, ...]
    parameters: Mapping[str, Parameter]
    processes: Mapping[str, Estimate] = field(default_factory=dict)
    variations: Mapping[str, tuple[Array, Array]] = field(default_factory=dict)

    def __repr__(self) -> str:
        names = ", ".join(f"{one.name} {self.counts[one.name].sum():g}" for one in self.auxiliary)
        return f"Terms({', '.join(one.name for one in self.channels)}; counted: {names})"

    @property
    def all_channels(self) -> tuple[Channel, ...]:
        """The channels of the analysis and the auxiliary ones."""
        return self.channels + self.auxiliary

    @property
    def filled(self) -> tuple[Channel, ...]:
        """The same channels with the regions that their rows satisfy, the target included."""
        inside = tuple(replace(one, region=one.region & self.target) for one in self.channels)
        return inside + self.auxiliary

    @property
    def nominal(self) -> Array:
        """The background in the channels of the analysis at the start of the parameters, shape (bins,)."""
        return np.concatenate([self.expected(channel) for channel in self.channels])

    def expected(self, channel: Channel) -> Array:
        """Return the background in one channel at the start of the parameters, shape (bins,)."""
        total = np.zeros(channel.size)
        for term in self.terms:
            if term.channel == channel.name:
                total = total + term.nominal * self._start(term)
        return total

    def _start(self, term: Term) -> Array:
        value = np.ones(len(term.nominal)) * float(np.prod([self.parameters[name].start[0] for name in term.factors]))
        return value * self.parameters[term.bins].start if term.bins else value

    def template(self, events: Source) -> Estimate:
        """Return simulated events in all channels: a signal, or another process.

        In the channels of the analysis they are the rows of the target.
        """
        from .setup import template

        return replace(template(events, self.filled), channels=self.all_channels)

    def with_variation(self, name: str, up: Array, down: Array | None = None) -> Terms:
        """Return the terms with one more systematic of the relation: absolute yields, mirrored if only `up` is given.

        Raises
        ------
        ConfigError
            If there is one of that name.
        DataError
            If the yields have another shape, or are not finite.
        """
        if name in self.variations:
            raise ConfigError(f"there is a variation '{name}' already; choose another name")
        nominal = self.nominal
        sides = [np.asarray(one, np.float64) for one in (up, 2 * nominal - up if down is None else down)]
        for side in sides:
            if side.shape != nominal.shape or not np.isfinite(side).all():
                raise DataError(f"variation '{name}' has shape {side.shape} or is not finite; it needs {nominal.shape}")
        known = np.where(nominal > 0.0, nominal, 1.0)
        pair = (sides[0] / known, sides[1] / known)
        return replace(self, variations={**self.variations, name: pair})
