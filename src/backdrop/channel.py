"""Channel: a region of phase space and the axes it is binned in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ._notebook import card, facts, table
from .errors import ConfigError, CutError, DataError
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
        `hist` axes; an axis' name is the column it bins, its label is printed with the unit. Without any, the channel
        is one bin that counts every row of its region.

    Raises
    ------
    ConfigError
        If an axis has no name, the name of another, edges that do not increase, or is of a kind that
        a stored channel does not hold (categories, a transform, growth): a Variable axis takes any edges.
    """

    name: str
    region: Region
    axes: tuple[Any, ...] = ()

    def __post_init__(self) -> None:
        for axis in self.axes:
            _check_axis(axis, self.name)
        names = [axis.name for axis in self.axes]
        if len(set(names)) < len(names):
            raise ConfigError(f"channel '{self.name}' has two axes of one name: {', '.join(names)}")

    def _repr_html_(self) -> str:
        bins = [(axis.name, axis.label, len(axis), f"{axis.edges[0]:g} to {axis.edges[-1]:g}") for axis in self.axes]
        region = [("region", self.region.name), ("cut", self.region.cut)]
        return card("Channel", self.name, facts(region), table(("column", "label", "bins", "range"), bins))

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

    @property
    def excluded(self) -> NDArray[np.bool_]:
        """Which bins the cut of the region leaves out, but for their edges, shape (size,)."""
        return np.array([self.region.disjoint(Region("bin", cut)) for cut in self._insides()], np.bool_)

    def _insides(self) -> Iterator[str]:
        """Yield the cut of the inside of each flat bin."""
        for index in np.ndindex(*self.shape):
            inside = ["1 > 0"]
            for axis, i in zip(self.axes, index, strict=True):
                low, high = float(axis.edges[i]), float(axis.edges[i + 1])
                whole = type(axis).__name__ == "Integer"
                inside.append(
                    f"({axis.name} == {low!r})" if whole else f"({axis.name} > {low!r}) & ({axis.name} < {high!r})"
                )
            yield " & ".join(inside[1:] or inside)

    def index(self, events: Events) -> NDArray[np.int64]:
        """Return each row's flat bin, -1 outside the range.

        Raises
        ------
        DataError
            If a binned column is NaN or infinite, or does not hold one number a row.
        """
        return flat_index(self.axes, events, len(events), self.region.name)

    def fill(self, events: Events) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the sum of weights and of squared weights in each bin, shape (size,); the region is not applied."""
        values, squares = self.fill_members(events, events.weight[None, :])
        return values[0], squares[0]

    def fill_members(
        self, events: Events, weights: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Fill the rows once for each row of weights, shape (members, n); return sums of shape (members, size)."""
        flat = self.index(events)
        inside = flat >= 0
        bins, found = flat[inside], np.empty((2, len(weights), self.size))
        for i, one in enumerate(weights):
            weight = one[inside]
            found[0, i], found[1, i] = (np.bincount(bins, power, self.size) for power in (weight, weight**2))
        return found[0], found[1]

    def hist(self, values: NDArray[np.float64], variances: NDArray[np.float64]) -> hist.Hist[Any]:
        """Return a `hist.Hist` with Weight storage from flat values and variances."""
        import hist

        axes = self.axes or (hist.axis.Integer(0, 1, name="count", label="All events"),)
        histogram = hist.Hist(*axes, storage=hist.storage.Weight(), name=self.name)
        view = histogram.view()
        view["value"], view["variance"] = values.reshape(view.shape), variances.reshape(view.shape)
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


def check_names(channels: tuple[Channel, ...]) -> None:
    """Raise a ConfigError if there is no channel, or two of one name."""
    names = [channel.name for channel in channels]
    if not names:
        raise ConfigError("no channel is given; an estimate needs at least one")
    if twice := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
        raise ConfigError(f"two channels are called '{twice[0]}'; give each a name of its own")


def check_compatible(region: Region, role: Region, what: str) -> None:
    """Raise a CutError if a channel region contradicts a role of the method, naming both."""
    if region.disjoint(role):
        raise CutError(
            f"region '{region.name}' ({region.cut}) contradicts the {what} region '{role.name}' ({role.cut}): no row "
            "can be in both. A channel's region says where; which rows are read is said by the method"
        )


def flat_index(axes: Sequence[Any], columns: Any, number: int, region: str) -> NDArray[np.int64]:
    """Return the flat bin of each of `number` rows, -1 where one is outside the range of an axis; as `axis_index`."""
    flat = np.zeros(number, np.int64)
    inside = np.ones(number, np.bool_)
    for axis in axes:
        bins = axis_index(axis, columns[axis.name], region)
        inside &= bins >= 0
        flat = flat * len(axis) + bins
    return np.where(inside, flat, -1)


def axis_index(axis: Any, values: Any, region: str) -> NDArray[np.int64]:
    """Return each row's bin on a hist axis, -1 outside its range.

    Raises
    ------
    DataError
        If a value is not finite, not a number, or not a whole one on an Integer axis; `region` is named.
    """
    check_finite(values, axis.name, region)
    if not (isinstance(values, np.ndarray) and values.ndim == 1 and values.dtype.kind in "biuf"):
        what = values.dtype if isinstance(values, np.ndarray) and values.ndim == 1 else "lists or missing values"
        raise DataError(f"column '{axis.name}' is binned in region '{region}', but does not hold numbers: {what}")
    if type(axis).__name__ == "Integer":
        return _whole_index(axis, values, region)
    bins = np.asarray(axis.index(values), np.int64)
    return np.where((bins >= 0) & (bins < len(axis)), bins, -1)


def _whole_index(axis: Any, values: NDArray[Any], region: str) -> NDArray[np.int64]:
    fractions = int((values != np.floor(values)).sum()) if values.dtype.kind == "f" else 0
    if fractions:
        raise DataError(
            f"column '{axis.name}' has {fractions} values in region '{region}' that are not whole numbers, but is "
            "binned in an Integer axis; use Regular or Variable"
        )
    low, high = int(axis.edges[0]), int(axis.edges[-1])
    inside = (values >= low) & (values < high)
    return np.where(inside, np.where(inside, values, low).astype(np.int64) - low, -1)


def _check_axis(axis: Any, channel: str) -> None:
    kind, traits = type(axis).__name__, getattr(axis, "traits", None)
    if not getattr(axis, "name", ""):
        raise ConfigError(f"an axis of channel '{channel}' has no name; name it after the column it bins")
    plain = traits is not None and not traits.growth and not (traits.circular and kind == "Integer")
    if kind not in _KINDS or not plain or getattr(axis, "transform", None) is not None:
        raise ConfigError(
            f"axis '{axis.name}' of channel '{channel}' is {axis!r}; bin in {', '.join(_KINDS)}, without a transform "
            "or growth (a Variable axis takes any edges)"
        )
    edges = np.asarray(axis.edges)
    if not (np.isfinite(edges).all() and (np.diff(edges) > 0).all()):
        raise ConfigError(
            f"axis '{axis.name}' of channel '{channel}' has edges that are not finite and increasing: {edges}"
        )


_KINDS = ("Regular", "Variable", "Integer")


def axis_state(axis: Any) -> dict[str, Any]:
    """Return a hist axis as plain values."""
    state = {
        "kind": type(axis).__name__,
        "edges": [float(edge) for edge in axis.edges],
        "name": axis.name,
        "label": axis.label,
    }
    # hist counts the upper edge to the last bin where there is no overflow
    flow = {name: getattr(axis.traits, name) for name in ("underflow", "overflow", "circular")}
    return state if flow == _FLOW else {**state, "flow": flow}


_FLOW = {"underflow": True, "overflow": True, "circular": False}


def axis_from_state(state: Mapping[str, Any]) -> Any:
    """Restore a hist axis from :func:`axis_state`."""
    import hist

    # an axis without a label gives its name for one
    label = "" if state["label"] == state["name"] else state["label"]
    edges, options = state["edges"], {"name": state["name"], "label": label}
    flow = state.get("flow", _FLOW)
    options |= {"circular": True} if flow["circular"] else {name: flow[name] for name in ("underflow", "overflow")}
    if state["kind"] == "Regular":
        return hist.axis.Regular(len(edges) - 1, edges[0], edges[-1], **options)
    if state["kind"] == "Integer":
        return hist.axis.Integer(int(edges[0]), int(edges[-1]), **options)
    return hist.axis.Variable(edges, **options)
