"""Conditional: features given conditioning variables and a category, by an ensemble of flows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .flow import Flows
from .plane import kinds_of
from .scale import Scale

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[np.float64]

__all__ = ["Conditional", "Given"]

_BINS = 10
"""In how many bins of each feature members are compared."""


@dataclass(frozen=True, eq=False)
class Given:
    """What flows are given: standardised conditioning variables, and one column for each value of a category.

    Attributes
    ----------
    scale
        The conditioning variables.
    category
        The column whose values part the events, if any.
    values
        The values of that column, in increasing order.
    """

    scale: Scale
    category: str | None
    values: tuple[float, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The columns that are read."""
        category = () if self.category is None else (self.category,)
        return (*(one.name for one in self.scale.features), *category)

    def __call__(self, columns: Mapping[str, Any]) -> Array:
        """Return the conditions of some rows, shape (n, conditions)."""
        values, _ = self.scale.forward(columns)
        if self.category is None:
            return values
        return np.concatenate([values, np.eye(len(self.values))[kinds_of(columns[self.category], self.values)]], axis=1)


@dataclass(frozen=True, eq=False)
class Conditional:
    """The density of features given other columns, which the members of an ensemble know each in its own way.

    Attributes
    ----------
    scale
        The transforms of the features.
    given
        What they depend on.
    flows
        The trained flows of the standardised features.
    """

    scale: Scale
    given: Given
    flows: Flows

    def __len__(self) -> int:
        """Return how many members there are."""
        return len(self.flows)

    @property
    def names(self) -> tuple[str, ...]:
        """The features."""
        return tuple(one.name for one in self.scale.features)

    def drawn(self, noise: NDArray[np.float32], columns: Mapping[str, Any]) -> dict[str, Array]:
        """Return the features that each member makes of normal numbers, one member after another.

        Parameters
        ----------
        noise
            Shape (members, n, features).
        columns
            What is given, n rows.
        """
        values = self.flows.transformed(noise, self.given(columns))
        return self.scale.inverse(values.reshape(-1, values.shape[2]))

    def odds(self, columns: Mapping[str, Any], member: ArrayLike) -> Array:
        """Return the share of each member in the density of some rows, shape (members, n).

        A row that was rounded onto a bound of its transform is left to the member that drew it.
        """
        known = {name: np.asarray(columns[name], float) for name in (*self.names, *self.given.names)}
        defined = [one.transform.defined(known[one.name]) for one in self.scale.features]
        inside = np.flatnonzero(np.logical_and.reduce(defined))
        found: Array = np.equal.outer(np.arange(len(self)), np.asarray(member)).astype(float)
        known = {name: values[inside] for name, values in known.items()}
        found[:, inside] = self._odds(self.scale.forward(known)[0], self.given(known))
        return found

    def compared(self, columns: Mapping[str, Any], *, seed: int) -> Array:
        """Return what each member draws in bins of each feature, each bin relative to all, shape (members, bins).

        Each draws its part of the rows, and all of them weigh all rows: what they differ by is not hidden by the noise
        of draws.
        """
        given, count = self.given(columns), len(self)
        values = np.empty((len(given), len(self.names)), np.float32)
        for member in range(count):
            values[member::count] = self.flows.sample(given[member::count], seed=seed, members=[member])[0]
        places = values.argsort(axis=0).argsort(axis=0) * _BINS // len(values)
        found = [np.bincount(one, row, _BINS) for row in self._odds(values, given) for one in places.T]
        return np.array(found, float).reshape(count, -1) * (count / len(values))

    def _odds(self, values: ArrayLike, given: Array) -> Array:
        log_prob = self.flows.log_prob(values, given)
        return np.asarray(np.exp(log_prob - np.logaddexp.reduce(log_prob, axis=0)))
