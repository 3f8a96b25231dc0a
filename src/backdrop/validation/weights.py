"""Health of event weights: what a weighted sample is worth, and whether it covers what it stands for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..errors import ConfigError, DataError
from ..events import Events, check_finite
from ..region import Region
from .twosample import effective_size

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["HeavyEvent", "Support", "WeightHealth", "support", "weight_health"]

_LARGEST = 5
_HEAVY = 0.05
_FEWEST = 10.0
_PER_CELL = 10.0
_MOST_BINS = 20
_MOST_COLUMNS = 60


class HeavyEvent(NamedTuple):
    """An event by its key: the sum of its rows' weights, its share of ``Σ|w|``, and how it is called."""

    key: int
    weight: float
    share: float
    name: str


@dataclass(frozen=True)
class WeightHealth:
    """What the weights of a sample are worth.

    Attributes
    ----------
    rows
        Number of rows.
    total
        Sum of weights.
    effective
        ``(Σw)² / Σw²``.
    negative_rows
        Rows of negative weight.
    negative_fraction
        Their part of ``Σ|w|``.
    largest
        The heaviest events, first the largest share of ``Σ|w|``.
    warnings
        What a reader must be told, empty if nothing.
    """

    rows: int
    total: float
    effective: float
    negative_rows: int
    negative_fraction: float
    largest: tuple[HeavyEvent, ...]
    warnings: tuple[str, ...]

    def rough(self) -> WeightHealth:
        """Return the numbers with three digits: enough for a verdict, too few to count what a seal leaves open."""
        return replace(
            self,
            rows=int(_three(self.rows)),
            total=_three(self.total),
            effective=_three(self.effective),
            negative_rows=int(_three(self.negative_rows)),
            negative_fraction=_three(self.negative_fraction),
            largest=tuple(one._replace(share=_three(one.share)) for one in self.largest),
        )

    def state(self) -> dict[str, Any]:
        """Return the numbers as plain values."""
        return {**asdict(self), "largest": [list(one) for one in self.largest], "warnings": list(self.warnings)}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> WeightHealth:
        """Restore the numbers from :meth:`state`."""
        largest = tuple(HeavyEvent(*one) for one in state["largest"])
        return cls(**{**state, "largest": largest, "warnings": tuple(state["warnings"])})


def weight_health(events: Events, region: Region | None = None, *, ids: Sequence[str] = ()) -> WeightHealth:
    """Return effective size, heaviest events, negative part and warnings of the rows, or of those in `region`.

    It warns of events above 5 % of ``Σ|w|``, an effective size below 10, and a sum of weights that is not positive.
    Events are called by the columns `ids` (run, event) where these are there, otherwise by their keys.

    Raises
    ------
    BlindedError
        If the region may be sealed.
    DataError
        If there is no row, or all weights are zero.

    Examples
    --------
    >>> events = Events.of({"m": np.arange(4.0)}, weight=[1.0, 1.0, 1.0, -1.0])
    >>> health = weight_health(events)
    >>> health.effective, health.negative_fraction
    (1.0, 0.25)
    """
    rows, where = (events, "all rows") if region is None else (events.select(region), f"region '{region.name}'")
    absolute = float(np.abs(rows.weight).sum())
    if absolute == 0.0:
        raise DataError(f"{where}: {len(rows)} rows without any weight; check the cut and the weight column")
    largest = _largest(rows, absolute, [name for name in ids if name in rows.columns])
    total, effective = float(rows.weight.sum()), effective_size(rows.weight)
    negative = rows.weight < 0.0
    return WeightHealth(
        rows=len(rows),
        total=total,
        effective=effective,
        negative_rows=int(negative.sum()),
        negative_fraction=float(np.abs(rows.weight[negative]).sum()) / absolute,
        largest=largest,
        warnings=_warnings(where, total, effective, largest),
    )


def _largest(rows: Events, absolute: float, ids: Sequence[str]) -> tuple[HeavyEvent, ...]:
    keys, first, index = np.unique(rows.key, return_index=True, return_inverse=True)
    shares = np.bincount(index, np.abs(rows.weight)) / absolute
    weights = np.bincount(index, rows.weight)
    heaviest = np.argsort(-shares, kind="stable")[:_LARGEST]

    def name(i: int) -> str:
        return ", ".join(f"{one} {rows[one][first[i]]}" for one in ids) or f"event {int(keys[i]):#018x}"

    return tuple(HeavyEvent(int(keys[i]), float(weights[i]), float(shares[i]), name(i)) for i in heaviest)


def _warnings(where: str, total: float, effective: float, largest: Sequence[HeavyEvent]) -> tuple[str, ...]:
    heavy = [
        f"{event.name} holds {event.share:.1%} of Σ|w| (weight {event.weight:.4g})"
        for event in largest
        if event.share > _HEAVY
    ]
    found = [f"{where}: {'; '.join(heavy)}"] if heavy else []
    if effective < _FEWEST:
        found.append(f"{where}: the effective sample size is {effective:.3g}, below {_FEWEST:g}")
    if total <= 0.0:
        found.append(f"{where}: the weights sum to {total:.4g}, which is not positive")
    return tuple(found)


def _three(value: float) -> float:
    return float(f"{value:.3g}")


@dataclass(frozen=True)
class Support:
    """How well a source sample covers a target sample.

    Attributes
    ----------
    outside
        Column to the part of the target's ``Σ|w|`` outside the source's range.
    outside_any
        The part outside in at least one column.
    empty
        The part in cells that hold no source row; cells are built to hold about 10 of them.
    occupancy
        Median number of source rows in the cell of a target row.
    cells
        Bins along each column.
    """

    outside: Mapping[str, float]
    outside_any: float
    empty: float
    occupancy: float
    cells: int


def support(source: Events, target: Events, columns: Sequence[str]) -> Support:
    """Return which part of the target lies where there is no source to be weighted or moved.

    The joint measure bins each column at quantiles of the source, ``k`` bins each with
    ``k = (rows / 10)^(1/columns)`` between 2 and 20, and counts source rows in the cell of each target row. Cells are
    coarse in many columns: a small `empty` does not prove overlap there, a large one disproves it.

    Raises
    ------
    ConfigError
        If there is no column, or more than 60.
    DataError
        If a sample has no row or no weight, or a column is not finite.
    """
    if not 1 <= len(columns) <= _MOST_COLUMNS:
        raise ConfigError(f"a support of {len(columns)} columns: name 1 to {_MOST_COLUMNS}")
    weight = np.abs(target.weight)
    if len(source) == 0 or weight.sum() == 0.0:
        raise DataError(f"a support needs rows in both samples: {len(source)} source and {len(target)} target rows")
    tables = [_table(events, columns) for events in (source, target)]
    outside = (tables[1] < tables[0].min(axis=1, keepdims=True)) | (tables[1] > tables[0].max(axis=1, keepdims=True))
    parts = outside @ weight / weight.sum()
    bins = int(np.clip((len(source) / _PER_CELL) ** (1.0 / len(columns)), 2, _MOST_BINS))
    occupancy = _occupancy(tables[0], tables[1], bins)
    return Support(
        outside={name: float(part) for name, part in zip(columns, parts, strict=True)},
        outside_any=float(weight[outside.any(axis=0)].sum() / weight.sum()),
        empty=float(weight[occupancy == 0].sum() / weight.sum()),
        occupancy=float(np.median(occupancy)),
        cells=bins,
    )


def _table(events: Events, columns: Sequence[str]) -> Array:
    for name in columns:
        check_finite(events[name], name, "support")
    return np.stack([np.asarray(events[name], np.float64) for name in columns])


def _occupancy(source: Array, target: Array, bins: int) -> NDArray[np.int64]:
    """Return the number of source columns in the cell of each target column; tables of shape (variables, n)."""
    edges = [np.quantile(values, np.linspace(0.0, 1.0, bins + 1)[1:-1]) for values in source]
    places = [
        np.stack([np.searchsorted(edge, values, "right") for edge, values in zip(edges, table, strict=True)])
        for table in (source, target)
    ]
    flat = [np.zeros(table.shape[1], np.int64) for table in (source, target)]
    for row in range(len(source)):
        flat = [cell * bins + place[row] for cell, place in zip(flat, places, strict=True)]
    cells, counts = np.unique(flat[0], return_counts=True)
    found = np.minimum(np.searchsorted(cells, flat[1]), len(cells) - 1)
    return np.where(cells[found] == flat[1], counts[found], 0)
