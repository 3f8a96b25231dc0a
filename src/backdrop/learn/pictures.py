"""Pictures: what a drawn density learnt, as plain arrays to be kept with the results and drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..channel import axis_from_state, axis_state
from ..events import Events
from ..region import Region
from .plane import Plane

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Flags = NDArray[np.bool_]

__all__ = ["LayersPicture", "PairsPicture", "Pictures", "PlanePicture"]

_EDGES = np.linspace(-4.0, 4.0, 25)
"""The bins of standardised features."""


@dataclass(frozen=True, eq=False)
class PlanePicture:
    """Observed yields in the bins of the conditioning variables, and the smooth ones that were fitted to them.

    Attributes
    ----------
    axes
        The conditioning variables, binned.
    names
        A name for each category.
    observed, variances
        Observed yields and their variances, shape (categories, bins); NaN where they are sealed, or not all there.
    mean, errors
        What was fitted, shape (categories, bins); NaN where there can be no event.
    trained
        Which bins the fit saw, shape (bins,).
    """

    axes: tuple[Any, ...]
    names: tuple[str, ...]
    observed: Array
    variances: Array
    mean: Array
    errors: Array
    trained: Flags

    @classmethod
    def of(cls, plane: Plane, rows: Events, missing: Sequence[Region]) -> PlanePicture:
        """Return the picture of a plane and rows, of which those in some regions are not there."""
        size = len(plane.trained)
        kinds, bins = plane.index(rows.columns)
        inside = (kinds >= 0) & (bins >= 0)
        flat, weight = (kinds * size + bins)[inside], rows.weight[inside]
        sums = [np.bincount(flat, weight**power, len(plane.values) * size).reshape(-1, size) for power in (1, 2)]
        hidden = np.logical_or.reduce([np.zeros(size, np.bool_), *map(plane.touches, missing)])
        observed, variances = (np.where(hidden, np.nan, one) for one in sums)
        names = tuple(f"{plane.category} {value:g}" if plane.category else "" for value in plane.values)
        mean, errors = (np.where(plane.inside, one, np.nan) for one in (plane.mean, plane.errors))
        return cls(plane.axes, names, observed, variances, mean, errors, plane.trained)

    @property
    def pulls(self) -> Array:
        """What was fitted less what was observed, in observed errors; NaN where there is none; (categories, bins)."""
        with np.errstate(invalid="ignore", divide="ignore"):
            found = (self.mean - self.observed) / np.sqrt(self.variances)
        return np.where(np.isfinite(found), found, np.nan)

    def state(self) -> dict[str, Any]:
        """Return the picture as plain values."""
        arrays = {name: getattr(self, name) for name in ("observed", "variances", "mean", "errors", "trained")}
        return {"axes": [axis_state(axis) for axis in self.axes], "names": list(self.names), **arrays}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> PlanePicture:
        """Restore what `state` gave."""
        axes = tuple(axis_from_state(axis) for axis in state["axes"])
        return cls(**{**state, "axes": axes, "names": tuple(state["names"])})


@dataclass(frozen=True, eq=False)
class LayersPicture:
    """How the layers of one flow turn normal numbers into the features.

    Attributes
    ----------
    features
        Their names.
    edges
        Of the bins that all features have, in standard deviations.
    counts
        Drawn events, before the first layer and after each; shape (layers + 1, features, bins).
    """

    features: tuple[str, ...]
    edges: Array
    counts: Array

    @classmethod
    def of(cls, features: tuple[str, ...], steps: Sequence[NDArray[np.float32]]) -> LayersPicture:
        """Return the picture of standardised values, each of shape (n, features): the normal numbers first."""
        return cls(features, _EDGES, np.stack([_alone(step, None) for step in steps]))

    def state(self) -> dict[str, Any]:
        """Return the picture as plain values."""
        return {"features": list(self.features), "edges": self.edges, "counts": self.counts}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> LayersPicture:
        """Restore what `state` gave."""
        return cls(tuple(state["features"]), state["edges"], state["counts"])


@dataclass(frozen=True, eq=False)
class PairsPicture:
    """The features of observed and of drawn events, in pairs and alone.

    Attributes
    ----------
    features
        Their names.
    edges
        Of the bins that all features have, in standard deviations.
    region
        Where the events are.
    observed, drawn
        Yields by pair (i, j), i < j, shape (pairs, bins, bins), the first feature first.
    observed_alone, drawn_alone
        Yields of each feature, shape (features, bins).
    """

    features: tuple[str, ...]
    edges: Array
    region: str
    observed: Array
    drawn: Array
    observed_alone: Array
    drawn_alone: Array

    @classmethod
    def of(
        cls, features: tuple[str, ...], region: str, values: Array, weight: Array, drawn: NDArray[np.float32]
    ) -> PairsPicture:
        """Return the picture of standardised values, of shape (n, features), observed with weights, and drawn."""
        seen = _pairs(values, weight), _pairs(drawn, None)
        return cls(features, _EDGES, region, *seen, _alone(values, weight), _alone(drawn, None))

    def state(self) -> dict[str, Any]:
        """Return the picture as plain values."""
        arrays = {name: getattr(self, name) for name in ("observed", "drawn", "observed_alone", "drawn_alone")}
        return {"features": list(self.features), "edges": self.edges, "region": self.region, **arrays}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> PairsPicture:
        """Restore what `state` gave."""
        return cls(**{**state, "features": tuple(state["features"])})


@dataclass(frozen=True, eq=False)
class Pictures:
    """What a model that draws can show of itself."""

    plane: PlanePicture
    layers: LayersPicture
    pairs: PairsPicture

    def state(self) -> dict[str, Any]:
        """Return the pictures as plain values."""
        return {name: getattr(self, name).state() for name in ("plane", "layers", "pairs")}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Pictures:
        """Restore what `state` gave."""
        return cls(
            PlanePicture.from_state(state["plane"]),
            LayersPicture.from_state(state["layers"]),
            PairsPicture.from_state(state["pairs"]),
        )


def _alone(values: NDArray[Any], weight: Array | None) -> Array:
    """Return a histogram of each column of values, shape (features, bins)."""
    return np.array([np.histogram(one, _EDGES, weights=weight)[0] for one in values.T], np.float64)


def _pairs(values: NDArray[Any], weight: Array | None) -> Array:
    """Return a histogram of each pair of columns (i, j), i < j, shape (pairs, bins, bins)."""
    size = len(_EDGES) - 1
    places = zip(*np.triu_indices(values.shape[1], 1), strict=True)
    found = [np.histogram2d(values[:, i], values[:, j], _EDGES, weights=weight)[0] for i, j in places]
    return np.array(found, np.float64).reshape(-1, size, size)
