"""Checks: what a reviewer asks of an analysis beside its closure tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .cutflow import CutFlow
from .regionmap import RegionMap
from .variables import Compared, Correlations
from .weights import WeightHealth

__all__ = ["Checks"]


@dataclass(frozen=True, eq=False)
class Checks:
    """What a reviewer asks of an analysis beside its closure tests.

    Attributes
    ----------
    regions
        The sets of rows that are used, and how they lie to one another; None if that is not known.
    flows
        Selection to its cut flow.
    variables
        Method to channel to column to the comparison of that column.
    correlations
        Method to channel to the correlations of these columns.
    weights
        Method to what is weighted ("training", or a channel's prediction) to the health of the weights.
    """

    regions: RegionMap | None = None
    flows: Mapping[str, CutFlow] = field(default_factory=dict)
    variables: Mapping[str, Mapping[str, Mapping[str, Compared]]] = field(default_factory=dict)
    correlations: Mapping[str, Mapping[str, Correlations]] = field(default_factory=dict)
    weights: Mapping[str, Mapping[str, WeightHealth]] = field(default_factory=dict)

    def state(self) -> dict[str, Any]:
        """Return the checks as arrays and plain values."""
        nested = {name: _map(getattr(self, name), lambda one: one.state()) for name in _KINDS}
        return {"regions": None if self.regions is None else self.regions.state(), **nested}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Checks:
        """Restore checks from :meth:`state`."""
        regions = None if state["regions"] is None else RegionMap.from_state(state["regions"])
        return cls(regions, **{name: _restored(state[name], *kind) for name, kind in _KINDS.items()})

    def to_json(self) -> dict[str, Any]:
        """Return the numbers that results.json holds, without those of regions."""
        return {
            "variables": _map(self.variables, lambda one: {"without": one.variable.dropped, **one.closure.summary()}),
            "cut_flows": _map(self.flows, _flow),
            "weights": _map(self.weights, _weights),
        }


_KINDS: Mapping[str, tuple[type[Any], int]] = {
    "flows": (CutFlow, 1),
    "variables": (Compared, 3),
    "correlations": (Correlations, 2),
    "weights": (WeightHealth, 2),
}
"""What each attribute holds, and below how many names."""


def _map(value: Any, change: Callable[[Any], Any]) -> Any:
    """Return nested mappings with another value in each place."""
    return {name: _map(one, change) for name, one in value.items()} if isinstance(value, Mapping) else change(value)


def _restored(state: Any, kind: Any, depth: int) -> Any:
    if depth == 0:
        return kind.from_state(state)
    return {name: _restored(one, kind, depth - 1) for name, one in state.items()}


def _flow(flow: CutFlow) -> dict[str, Any]:
    return {"cuts": ["", *flow.cuts], "yields": dict(zip(flow.samples, flow.yields.T, strict=True))}


def _weights(health: WeightHealth) -> dict[str, Any]:
    names = ("rows", "total", "effective", "negative_rows", "negative_fraction")
    return {name: getattr(health, name) for name in names} | {"largest_share": health.largest[0].share}
