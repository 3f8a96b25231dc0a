"""Channel: a region of phase space and the axes it is binned in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import ConfigError, CutError
from .events import Events, check_finite
from .region import Region

if TYPE_CHECKING:
    import hist
    from numpy.typing import NDArray

__all__ = ["Channel", "overlapping"]


@dataclass(frozen=True)
class Channel:
    """A named histogram of an analysis: the rows of `region`, binned in `axes`.

    Rows outside the range of an axis are not counted: the bins are the channel. Flat vectors run over the bins in C
    order (the last axis fastest).

    Attributes
    ----------
    name
        The channel's name, as it will stand in the workspace.
    region
        The kinematic region. Which rows of it are observed, read or targeted is said by the method's own regions.
    axes
        `hist` axes; an axis' name is the column it bins, its label is printed with the unit.

    Raises
    ------
    ConfigError
        If an axis has no name, its edges do not increase, or there is no axis.
    """

    name: str
    region: Region
    axes: tuple[Any, ...]

    def __post_init__(self) -> None:
        if not self.axes:
            raise ConfigError(f"channel '{self.name}' has no axis; give at least one hist axis named after a column")
        for axis in self.axes:
            if not axis.name:
                raise ConfigError(f"an axis of channel '{self.name}' has no name; name it after the column it bins")
            edges = np.asarray(axis.edges)
            if not (np.isfinite(edges).all() and (np.diff(edges) > 0).all()):
                raise ConfigError(
                    f"axis '{axis.name}' of channel '{self.name}' has edges that do not increase: {edges}"
                )

    @property
    def shape(self) -> tuple[int, ...]:
        """The number of bins along each axis."""
        return tuple(len(axis) for axis in self.axes)

    @property
    def size(self) -> int:
        """The number of bins."""
        return int(np.prod(self.shape))

    @property
    def columns(self) -> frozenset[str]:
        """The columns that the region and the axes read."""
        return self.region.columns | frozenset(axis.name for axis in self.axes)

    def index(self, events: Events) -> NDArray[np.int64]:
        """Return each row's flat bin, -1 outside the range.

        Raises
        ------
        DataError
            If a binned column is NaN or infinite.
        """
        flat = np.zeros(len(events), np.int64)
        inside = np.ones(len(events), np.bool_)
        for axis in self.axes:
            values = events[axis.name]
            check_finite(values, axis.name, self.region.name)
            bins = np.asarray(axis.index(np.asarray(values)), np.int64)
            inside &= (bins >= 0) & (bins < len(axis))
            flat = flat * len(axis) + bins
        return np.where(inside, flat, -1)

    def fill(self, events: Events) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the sum of weights and of squared weights in each bin, shape (size,); the region is not applied."""
        flat = self.index(events)
        inside = flat >= 0
        bins, weight = flat[inside], events.weight[inside]
        values, squares = (np.bincount(bins, power, self.size).astype(np.float64) for power in (weight, weight**2))
        return values, squares

    def hist(self, values: NDArray[np.float64], variances: NDArray[np.float64]) -> hist.Hist[Any]:
        """Return a `hist.Hist` with Weight storage from flat values and variances."""
        import hist

        histogram = hist.Hist(*self.axes, storage=hist.storage.Weight(), name=self.name)
        view = histogram.view()
        view["value"], view["variance"] = values.reshape(self.shape), variances.reshape(self.shape)
        return histogram

    def state(self) -> dict[str, Any]:
        """Return the channel as plain values."""
        return {
            "name": self.name,
            "region": self.region.name,
            "cut": self.region.cut,
            "axes": [axis_state(axis) for axis in self.axes],
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Channel:
        """Restore a channel from :meth:`state`."""
        axes = tuple(axis_from_state(axis) for axis in state["axes"])
        return cls(state["name"], Region(state["region"], state["cut"]), axes)


def overlapping(channels: tuple[Channel, ...]) -> tuple[str, str] | None:
    """Return the names of the first two channels whose regions are not provably disjoint, or None."""
    for i, first in enumerate(channels):
        for second in channels[i + 1 :]:
            if not first.region.disjoint(second.region):
                return first.name, second.name
    return None


def check_compatible(region: Region, role: Region, what: str) -> None:
    """Raise a CutError if a channel region contradicts a role of the method, naming both."""
    if region.disjoint(role):
        raise CutError(
            f"region '{region.name}' ({region.cut}) contradicts the {what} region '{role.name}' ({role.cut}): no row can "
            "be in both. A channel's region says where; which rows are read is said by the method"
        )


def axis_state(axis: Any) -> dict[str, Any]:
    """Return a hist axis as plain values."""
    kind = type(axis).__name__
    edges = [float(edge) for edge in axis.edges]
    return {"kind": kind, "edges": edges, "name": axis.name, "label": axis.label}


def axis_from_state(state: Mapping[str, Any]) -> Any:
    """Restore a hist axis from :func:`axis_state`."""
    import hist

    edges, names = state["edges"], {"name": state["name"], "label": state["label"]}
    if state["kind"] == "Regular":
        return hist.axis.Regular(len(edges) - 1, edges[0], edges[-1], **names)
    if state["kind"] == "Integer":
        return hist.axis.Integer(int(edges[0]), int(edges[-1]), **names)
    return hist.axis.Variable(edges, **names)
