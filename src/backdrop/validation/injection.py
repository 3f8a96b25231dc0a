"""Signal injection: how much of a signal a fit finds again, and how much the background takes."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..channel import Channel
from ..errors import ConfigError, DataError, FitError
from ..estimate import Setup
from ..events import Events
from ..method import target
from ..region import Region
from ..tasks import Map, Result, named_seed
from .ensemble import Analysis, Fit, Measured, failures
from .ensemble import toys as run
from .pulls import Pulls

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Bins = slice | NDArray[np.int64]

__all__ = ["Injection", "injection"]


@dataclass(frozen=True, eq=False, repr=False)
class Injection:
    """A scan of the injected signal; in each toy all strengths share the background events, the seeds and the signal's.

    n toys, k strengths, h hypotheses and b bins over all channels; NaN where a toy failed.

    Attributes
    ----------
    channels
        Where the background was estimated and the signal fitted.
    strengths
        The injected strengths, in increasing order; the arrays below that have k + 1 rows start without signal.
    names
        The hypotheses.
    value, error
        The fitted strength and its error, shape (n, k + 1, h).
    crossed
        The strength fitted to the data without signal, under the background of the data with signal: shape (n, k, h).
    background
        The background, shape (n, k + 1, b).
    injected
        The signal events that were injected into the observed rows, shape (n, k, b).
    seed
        Root of the toys.
    failed
        The toys whose fit failed (`FitError`) at any strength.
    """

    channels: tuple[Channel, ...]
    strengths: tuple[float, ...]
    names: tuple[str, ...]
    value: Array
    error: Array
    crossed: Array
    background: Array
    injected: Array
    seed: int
    failed: tuple[int, ...] = ()

    def __repr__(self) -> str:
        rows = ", ".join(
            f"{name} slope {self.slope[name].value:.3f} ± {self.slope[name].error:.3f}, absorbed "
            f"{self.absorbed[name].value:.3f} ± {self.absorbed[name].error:.3f}"
            for name in self.names
        )
        failed = f"; {len(self.failed)} failed" if self.failed else ""
        strengths = ", ".join(f"{one:g}" for one in self.strengths)
        return f"Injection({len(self.value)} toys, strengths {strengths}: {rows}{failed})"

    @property
    def rise(self) -> dict[str, tuple[Measured, ...]]:
        """By how much the fitted strength is above that without signal, at each injected one."""
        rows = self.value[:, 1:] - self.value[:, :1]
        means = [self._means(rows[:, i]) for i in range(len(self.strengths))]
        return {name: tuple(one[name] for one in means) for name in self.names}

    @property
    def slope(self) -> dict[str, Measured]:
        """How the fitted strength rises with the injected one: ``1 - absorbed`` where `response` is one."""
        return self._means(self._slopes(self.value[:, 1:] - self.value[:, :1]))

    @property
    def absorbed(self) -> dict[str, Measured]:
        """The part a of the signal that the background takes, as the fit sees it.

        By how much the strength fitted to data without signal falls, per injected strength, where the background was
        estimated from the data with signal.
        """
        return self._means(-self._slopes(self.crossed - self.value[:, :1]))

    @property
    def response(self) -> dict[str, Measured]:
        """How the fitted strength rises under an unchanged background: ``slope + absorbed`` of each toy.

        One if the fit has the signal's shape and size right, so that the slope is 1 - a.
        """
        return self._means(self._slopes(self.value[:, 1:] - self.crossed))

    @property
    def curvature(self) -> dict[str, Measured]:
        """The coefficient of the squared strength in the fitted one; zero within its error for a linear response.

        Raises
        ------
        ConfigError
            If there is but one strength.
        """
        if len(self.strengths) < 2:
            raise ConfigError("one injected strength shows no curvature; inject two or more")
        injected = np.array(self.strengths)
        inverse = np.linalg.pinv(np.stack([injected, injected**2], axis=1))
        rise = self.value[:, 1:] - self.value[:, :1]
        return self._means(np.einsum("k,nkh->nh", inverse[1], rise))

    @property
    def pulls(self) -> tuple[Pulls, ...]:
        """The pulls of the fitted strengths at every injected one, the first without signal."""
        return tuple(
            Pulls(self.names, self.value[:, i], self.error[:, i], np.full_like(self.value[:, i], strength))
            for i, strength in enumerate((0.0, *self.strengths))
        )

    def window(self, channel: str, low: float, high: float) -> slice:
        """Return the bins of a channel of one axis that lie between two edges.

        Raises
        ------
        DataError
            If the channel has several axes, or no bins end there.
        """
        start = 0
        for one in self.channels:
            if one.name == channel:
                return _between(one, low, high, start)
            start += one.size
        raise DataError(f"no channel '{channel}'; there is: {', '.join(one.name for one in self.channels)}")

    def moved(self, bins: Bins = slice(None)) -> tuple[Measured, ...]:
        """Return by what part of itself the background of some bins moves, at each strength."""
        sums = self.background[self._good][:, :, bins].sum(axis=2)
        parts = (sums[:, 1:] - sums[:, :1]) / sums[:, :1].mean()
        return tuple(Measured.of(parts[:, i]) for i in range(len(self.strengths)))

    def captured(self, bins: Bins = slice(None)) -> Measured:
        """Return by how many events the background of some bins moves for one injected there, over all strengths."""
        rows = self.background[self._good][:, :, bins].sum(axis=2)
        moved = (rows[:, 1:] - rows[:, :1]).sum(axis=1)
        return Measured.of(moved / self.injected[self._good][:, :, bins].sum(axis=(1, 2)).mean())

    def state(self) -> dict[str, Any]:
        """Return arrays and plain values from which :meth:`from_state` restores the result."""
        arrays = {name: getattr(self, name) for name in ("value", "error", "crossed", "background", "injected")}
        lists = {"channels": [one.state() for one in self.channels], "strengths": np.array(self.strengths)}
        return {
            **lists, "names": list(self.names), **arrays, "seed": self.seed, "failed": np.array(self.failed, np.int64)
        }  # fmt: skip

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Injection:
        """Restore a result from :meth:`state`."""
        arrays = {name: np.asarray(state[name]) for name in ("value", "error", "crossed", "background", "injected")}
        return cls(
            tuple(Channel.from_state(one) for one in state["channels"]),
            tuple(np.asarray(state["strengths"]).tolist()),
            tuple(state["names"]),
            **arrays,
            seed=int(state["seed"]),
            failed=tuple(int(toy) for toy in np.asarray(state["failed"])),
        )

    @property
    def _good(self) -> NDArray[np.bool_]:
        return np.asarray(np.isfinite(self.value).all(axis=(1, 2)) & np.isfinite(self.crossed).all(axis=(1, 2)))

    def _slopes(self, rises: Array) -> Array:
        """Return the slope through zero of each toy, shape (n, h); the error of a rise goes with √strength."""
        return np.asarray(rises.sum(axis=1) / sum(self.strengths))

    def _means(self, rows: Array) -> dict[str, Measured]:
        return {name: Measured.of(rows[self._good, i]) for i, name in enumerate(self.names)}


def _between(channel: Channel, low: float, high: float, start: int) -> slice:
    if len(channel.axes) != 1:
        raise DataError(f"channel '{channel.name}' has {len(channel.axes)} axes, a window needs one; give the bins")
    edges = np.asarray(channel.axes[0].edges)
    ends = [np.flatnonzero(np.isclose(edges, value)) for value in (low, high)]
    if not (len(ends[0]) and len(ends[1]) and low < high):
        raise DataError(
            f"no bins of channel '{channel.name}' lie from {low:g} to {high:g}; its edges: {edges.tolist()}"
        )
    return slice(start + int(ends[0][0]), start + int(ends[1][0]))


def injection(
    make: Callable[[int], Setup],
    signal: Callable[[int, float], Events],
    channels: Sequence[Channel],
    fit: Fit,
    *,
    strengths: Sequence[float],
    toys: int,
    seed: int,
    replicas: int = 0,
    relation: bool = False,
    map: Map = builtins.map,
    directory: Path | str | None = None,
) -> Injection:
    """Inject a signal of several strengths, and compare with the same events and seeds without it.

    In toy i the background of ``make(s_i)``, with ``s_i = named_seed(seed, "toy", i)``, is estimated, and the signal
    fitted, without signal and with that of each strength: that of the largest is drawn, and each of its events kept
    with the probability ``strength / largest``. So the differences have little noise, and a toy is the same alone or in
    any number, order or process.

    Parameters
    ----------
    make
        Draws a sample without signal with a seed and returns it with the method. For several processes it must be
        picklable: a function of a module, a `functools.partial` of one, or a dataclass with ``__call__``.
    signal
        Draws the signal of a seed and a strength, picklable too: unit weights, under the name of the sample that it is
        injected into (`Events.relabel`), wherever the method and the channels look.
    channels
        Where the background is estimated and the signal fitted.
    fit
        The fit of one or more hypotheses, picklable too, such as :class:`~backdrop.inference.SignalFit`.
    strengths
        The injected strengths, positive.
    toys
        Number of toys.
    seed
        Root of the toys.
    replicas
        Resampled fits of the method in each toy, see `estimate`.
    relation
        Give the fit the background as a relation (`terms`) instead of an estimate.
    map
        Any map; see `tasks.pool`.
    directory
        Where each finished toy is kept; a run that was cut short, or asks for more toys, goes on from them.

    Raises
    ------
    ArtifactError
        If a directory is given and a function cannot be told from another one (it closes over variables).
    ConfigError
        If `toys` is below 2, or the strengths are not positive.
    DataError
        If the rows of a channel may be sealed, or a toy has no signal event, or one with the key of a background event.
    FitError
        If the fits of all toys fail.
    """
    strengths = tuple(sorted(float(one) for one in strengths))
    if not strengths or not strengths[0] > 0.0 or len(set(strengths)) != len(strengths):
        raise ConfigError(f"strengths={strengths}: give positive numbers, each once; none injected is always there")
    channels = tuple(channels)
    one = _Injected(make, signal, strengths, Analysis(channels, fit, replicas, relation))
    rows = run(one, toys, seed=seed, map=map, directory=directory)
    failed = failures(rows)
    known = next(row for row in rows if "failure" not in row)
    arrays = {
        name: np.stack([row.get(name, np.full_like(known[name], np.nan)) for row in rows])
        for name in ("value", "error", "crossed", "background", "injected")
    }
    return Injection(channels, strengths, tuple(known["names"].tolist()), **arrays, seed=seed, failed=failed)


@dataclass(frozen=True)
class _Injected:
    """A toy without and with signal."""

    make: Callable[[int], Setup]
    signal: Callable[[int, float], Events]
    strengths: tuple[float, ...]
    analysis: Analysis

    def __call__(self, seed: int) -> Result:
        plain = self.make(seed)
        whole = self.signal(named_seed(seed, "signal"), self.strengths[-1])
        if not len(whole):
            raise DataError(f"no signal event was drawn for strength {self.strengths[-1]:g}; inject more")
        parts = [self._part(whole, strength, seed) for strength in self.strengths]
        try:
            return self._compared(plain, parts, seed)
        except FitError as error:
            return {"failure": np.array(str(error))}

    def _part(self, whole: Events, strength: float, seed: int) -> Events:
        """Return the events of a strength, which are among those of every larger one."""
        kept = whole.with_columns({"_kept": whole.uniform(named_seed(seed, "kept")) * self.strengths[-1]})
        part = kept.select(Region("injected", f"_kept < {strength!r}"))
        return replace(part, columns={name: part[name] for name in whole.columns})

    def _compared(self, plain: Setup, parts: Sequence[Events], seed: int) -> Result:
        names: list[str] = []
        fits, crossed, backgrounds = [], [], []
        nothing = self.analysis.observed(plain)
        events = plain.events.load()
        if shared := np.isin(parts[-1].key, events.key).sum():
            raise DataError(
                f"{shared} signal events have keys of background events, and would be resampled with them; draw the "
                "signal under a sample name of its own, and give it that of the data with relabel()"
            )
        for part in (None, *parts):
            setup = plain if part is None else replace(plain, events=events + part)
            background = self.analysis.background(setup, seed)
            backgrounds.append(background.nominal)
            names, found = self.analysis.fitted(background, self.analysis.observed(setup), seed)
            fits.append(found)
            if part is not None:
                crossed.append(self.analysis.fitted(background, nothing, seed)[1][0])
        value, error = np.stack(fits, axis=1)
        return {
            "names": np.array(names),
            "value": value,
            "error": error,
            "crossed": np.stack(crossed),
            "background": np.stack(backgrounds),
            "injected": np.stack([self._filled(part, plain) for part in parts]),
        }

    def _filled(self, part: Events, plain: Setup) -> Array:
        region = target(plain.method)
        return np.concatenate([one.fill(part.select(one.region & region))[0] for one in self.analysis.channels])
