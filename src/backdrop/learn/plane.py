"""Plane: the binned density of the conditioning variables, by a Gaussian process that bridges what is blinded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ..channel import axis_from_state, axis_state, flat_index
from ..errors import ConfigError, DataError
from ..events import Events, as_numbers
from ..region import Region
from .gp import GaussianProcess, Posterior
from .log_gp import LogGaussianProcess, LogPosterior

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[np.float64]
    Flags = NDArray[np.bool_]

__all__ = ["Plane", "around", "box", "fit_plane", "kinds_of"]

_POINTS = 21
"""How many points along each edge of a bin tell whether a region touches it."""


@dataclass(frozen=True, eq=False)
class Plane:
    """Yields in the bins of the conditioning variables, for each category, with their posterior.

    Attributes
    ----------
    axes
        The binned conditioning variables.
    category
        The column whose values part the events; None for one plane of all.
    values
        The values of that column, in increasing order; (0.0,) without one.
    posteriors
        One Gaussian process a category, of the yield per bin (of mean size).
    trained
        Which bins the fits saw, shape (bins,).
    inside
        Which bins may hold events at all, shape (bins,).
    """

    axes: tuple[Any, ...]
    category: str | None
    values: tuple[float, ...]
    posteriors: tuple[Posterior | LogPosterior, ...]
    trained: Flags
    inside: Flags

    @cached_property
    def centres(self) -> Array:
        """The centres of the bins, shape (bins, axes)."""
        return centres(self.axes)

    @cached_property
    def mean(self) -> Array:
        """The posterior mean of the yields, shape (categories, bins); zero outside."""
        return self._yields(np.stack([one.mean(self.centres) for one in self.posteriors]))

    @cached_property
    def errors(self) -> Array:
        """The posterior standard deviation of the yields, shape (categories, bins)."""
        covariances = [one.covariance(self.centres) for one in self.posteriors]
        return self._yields(np.sqrt([np.maximum(np.diag(one), 0.0) for one in covariances]))

    @cached_property
    def density(self) -> Array:
        """What is drawn from: the mean where it is positive, shape (categories, bins)."""
        return np.maximum(self.mean, 0.0)

    @property
    def lost(self) -> float:
        """The size of the sum of the bins whose mean is negative, relative to what is drawn from."""
        return float(1.0 - self.mean.sum() / self.density.sum())

    def touches(self, region: Region) -> Flags:
        """Say which bins may hold rows of a region, whatever else it reads; shape (bins,)."""
        return _touched(self.axes, region)

    def posterior(self, number: int, rng: np.random.Generator) -> Array:
        """Return draws from the posterior of the yields, shape (number, categories, bins)."""
        drawn = [one.draws(self.centres, number, rng) for one in self.posteriors]
        return self._yields(np.stack(drawn, axis=1))

    def index(self, columns: Mapping[str, Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return each row's category and flat bin, -1 where it is in none."""
        number = len(columns[self.axes[0].name])
        kinds = np.zeros(number, np.int64)
        if self.category is not None:
            kinds = kinds_of(columns[self.category], self.values)
        return kinds, flat_index(self.axes, columns, number, "box")

    def draw(self, number: int, rng: np.random.Generator) -> tuple[dict[str, Array], NDArray[np.int64]]:
        """Draw `number` points of each category, by inverse transform over the bins and uniformly inside them.

        The uniform numbers are stratified, so that the number of draws in a bin is its share up to one.

        Returns
        -------
        columns, bins
            The conditioning variables, and the flat bin of each row; the categories follow one another.
        """
        bins = np.concatenate([_stratified(one, number, rng) for one in self.density])
        shape = tuple(len(axis) for axis in self.axes)
        columns: dict[str, Array] = {}
        for axis, place in zip(self.axes, np.unravel_index(bins, shape), strict=True):
            edges = np.asarray(axis.edges)
            # below the upper edge, which belongs to the next bin
            part = np.minimum(rng.uniform(size=len(bins)), 1.0 - 1e-9)
            columns[axis.name] = edges[place] + part * np.diff(edges)[place]
        if self.category is not None:
            columns[self.category] = np.repeat(np.asarray(self.values), number)
        return columns, bins

    @property
    def warnings(self) -> tuple[str, ...]:
        """What must be heeded about the fits."""
        names = [f"{self.category} {value:g}: " if self.category else "" for value in self.values]
        texts = [name + text for name, one in zip(names, self.posteriors, strict=True) for text in one.warnings]
        if self.lost > 1e-3:
            texts.append(
                f"the Gaussian process is negative in bins that sum to {self.lost:.2%} of the yield; nothing is drawn "
                "there: use wider bins, or a smaller box"
            )
        return tuple(texts)

    def state(self) -> dict[str, Any]:
        """Return the plane as plain values."""
        return {
            "axes": [axis_state(axis) for axis in self.axes],
            "category": self.category,
            "values": list(self.values),
            "posteriors": [[type(one).__name__, one.state()] for one in self.posteriors],
            "trained": self.trained,
            "inside": self.inside,
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Plane:
        """Restore a plane from :meth:`state`."""
        kinds: dict[str, type[Posterior | LogPosterior]] = {one.__name__: one for one in (Posterior, LogPosterior)}
        return cls(
            tuple(axis_from_state(axis) for axis in state["axes"]),
            state["category"],
            tuple(float(value) for value in state["values"]),
            tuple(kinds[name].from_state(one) for name, one in state["posteriors"]),
            np.asarray(state["trained"], np.bool_),
            np.asarray(state["inside"], np.bool_),
        )

    def _yields(self, per_mean_bin: Array) -> Array:
        return per_mean_bin * _sizes(self.axes) * self.inside


def kinds_of(column: ArrayLike, values: Sequence[float]) -> NDArray[np.int64]:
    """Return the place of each row's category among increasing values, -1 where it is none of them."""
    rows, known = np.asarray(column, float), np.asarray(values)
    found = np.minimum(np.searchsorted(known, rows), len(known) - 1)
    return np.where(known[found] == rows, found, -1)


def fit_plane(
    events: Events,
    axes: Sequence[Any],
    category: str | None,
    blind: Region,
    within: Region,
    process: GaussianProcess | LogGaussianProcess,
    rng: np.random.Generator,
) -> Plane:
    """Fit one Gaussian process a category to the binned yields of open events, which have signed weights.

    Bins that `blind` touches, or that are not wholly in `within`, are left out.

    Raises
    ------
    ConfigError
        If the category has too many values to be one, or no bin is left.
    DataError
        If a value is not finite, or the yields of a category sum to nothing.
    """
    axes = tuple(axes)
    there = within.mask(_corners(axes))
    inside, whole = (_every(axes, there, how) for how in (np.any, np.all))
    trained = ~_touched(axes, blind) & whole
    if not trained.any():
        raise ConfigError(
            f"no bin of the box is outside '{blind.name}' and wholly inside '{within.name}'; use finer bins or a "
            "larger box"
        )
    values = (0.0,) if category is None else _values(events, category)
    bins = flat_index(axes, events, len(events), "training")
    posteriors = []
    for value in values:
        rows = bins >= 0 if category is None else (bins >= 0) & (events[category] == value)
        found, squares = (np.bincount(bins[rows], events.weight[rows] ** power, len(trained)) for power in (1, 2))
        if found[trained].sum() <= 0.0:
            name = "the training rows" if category is None else f"{category} = {value:g}"
            raise DataError(
                f"{name}: the weights in the open bins of region 'training' sum to {found[trained].sum():g}; "
                "a fit needs a positive sum"
            )
        seen = (one[trained] for one in (centres(axes), found, squares, _sizes(axes)))
        posteriors.append(process.fit_counts(*seen, rng=rng))
    return Plane(axes, category, values, tuple(posteriors), trained, inside)


def box(axes: Sequence[Any]) -> Region:
    """Return the region that the axes span."""
    spans = [f"({one.name} >= {float(one.edges[0])!r}) & ({one.name} < {float(one.edges[-1])!r})" for one in axes]
    return Region("box", " & ".join(spans))


def around(axes: Sequence[Any]) -> dict[str, Array]:
    """Return points around the box, near to it and far from it, as columns."""
    spans = [(float(axis.edges[0]), float(axis.edges[-1])) for axis in axes]
    grids = []
    for low, high in spans:
        width = high - low
        outer = low - width * np.array([1e-9, 0.01, 10.0])
        grids.append(np.concatenate([outer, np.linspace(low, high, 25, endpoint=False), low + high - outer]))
    points = [grid.ravel() for grid in np.meshgrid(*grids, indexing="ij")]
    ranges = [(one >= low) & (one < high) for one, (low, high) in zip(points, spans, strict=True)]
    outside = ~np.logical_and.reduce(ranges)
    return {axis.name: one[outside] for axis, one in zip(axes, points, strict=True)}


def centres(axes: Sequence[Any]) -> Array:
    """Return the centres of the bins, shape (bins, axes)."""
    grids = np.meshgrid(*(np.asarray(axis.centers) for axis in axes), indexing="ij")
    return np.stack([grid.ravel() for grid in grids], axis=1)


def _stratified(density: Array, number: int, rng: np.random.Generator) -> NDArray[np.int64]:
    steps = np.cumsum(density) / density.sum()
    places = (np.arange(number) + rng.uniform(size=number)) / number
    found = np.searchsorted(steps, places, side="right")
    return np.asarray(np.minimum(found, np.flatnonzero(density)[-1]), np.int64)


def _values(events: Events, category: str) -> tuple[float, ...]:
    found = np.unique(as_numbers(events[category], category).astype(float))
    if len(found) > _MOST:
        raise ConfigError(
            f"category '{category}' has {len(found)} values in the training rows, more than {_MOST}; it names a few "
            "kinds of events, such as years"
        )
    return tuple(float(value) for value in found)


_MOST = 20


def _sizes(axes: Sequence[Any]) -> Array:
    """Return the size of each bin relative to the mean one, shape (bins,)."""
    sizes = np.ones(1)
    for axis in axes:
        widths = np.diff(np.asarray(axis.edges))
        sizes = np.multiply.outer(sizes, widths / widths.mean()).ravel()
    return sizes


def _corners(axes: Sequence[Any]) -> dict[str, Array]:
    """Return points that cover each bin, its edges included: columns of bins times points."""
    parts = []
    for axis in axes:
        edges = np.asarray(axis.edges)
        # the upper edge of a bin is the lower one of the next, and no part of it
        steps = np.linspace(0.0, 1.0 - 1e-9, _steps(axes))
        parts.append(edges[:-1, None] + steps * np.diff(edges)[:, None])
    grids = np.meshgrid(*(part.ravel() for part in parts), indexing="ij")
    return {axis.name: grid.ravel() for axis, grid in zip(axes, grids, strict=True)}


def _steps(axes: Sequence[Any]) -> int:
    """Return how many points cover a bin along each axis."""
    return _POINTS if len(axes) < 3 else 5


def _touched(axes: Sequence[Any], region: Region) -> Flags:
    """Return which bins may hold rows of a region, whatever else it reads, shape (bins,)."""
    points = _corners(axes)
    unknown = np.full(len(points[axes[0].name]), np.nan)
    return _every(axes, region.possible({**dict.fromkeys(region.columns, unknown), **points}), np.any)


def _every(axes: Sequence[Any], points: Flags, how: Any) -> Flags:
    """Return `how` over the points of each bin, shape (bins,)."""
    shape = [size for axis in axes for size in (len(axis), _steps(axes))]
    inner = tuple(range(1, 2 * len(axes), 2))
    return np.asarray(how(points.reshape(shape), axis=inner)).ravel()
