"""Variables: distributions of further columns, observed and predicted, where no seal hides them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

from ..channel import Channel
from ..events import Sealed
from ..region import Region
from .closure import Closure
from .correlation import Correlation

__all__ = ["Compared", "Correlations", "Variable", "variable"]


@dataclass(frozen=True)
class Variable:
    """A column to be compared in a channel of its own, without the channel's cuts on that column (N−1).

    Attributes
    ----------
    of
        The name of the channel whose rows these are.
    channel
        The channel that is binned in the column.
    dropped
        The cuts that were left out.
    thresholds
        The values that they compare the column with.
    hidden
        The bins that a seal hides, on both sides of the comparison.
    """

    of: str
    channel: Channel
    dropped: tuple[str, ...] = ()
    thresholds: tuple[float, ...] = ()
    hidden: tuple[int, ...] = ()

    @property
    def column(self) -> str:
        """The column."""
        return str(self.channel.axes[0].name)

    def state(self) -> dict[str, Any]:
        """Return the variable as plain values."""
        lists = {name: list(getattr(self, name)) for name in ("dropped", "thresholds", "hidden")}
        return {"of": self.of, "channel": self.channel.state(), **lists}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Variable:
        """Restore a variable from :meth:`state`."""
        lists = {name: tuple(state[name]) for name in ("dropped", "thresholds", "hidden")}
        return cls(state["of"], Channel.from_state(state["channel"]), **lists)


def variable(channel: Channel, axis: Any, target: Region, sealed: Iterable[Sealed]) -> Variable | None:
    """Return the comparison of a column in a channel, or None if a seal hides all of its bins.

    The channel's cuts on the column are left out. A bin is shown if its observed rows (those in `target`) are provably
    outside every sealed region: decided from the cuts alone. The cut of the channel is then that of the shown bins, so
    that neither side has a row in a hidden one.

    Examples
    --------
    >>> import hist
    >>> from backdrop.events import Sealed
    >>> mass = hist.axis.Regular(4, 100, 180, name="m")
    >>> high = Channel("VR", Region("VR", "(x > 1) & ~((m > 120) & (m < 140))"), (mass,))
    >>> found = variable(high, mass, Region.everything(), [Sealed("data", Region("SR", "(m > 120) & (m < 140)"))])
    >>> found.hidden, found.dropped, found.channel.region.cut
    ((1,), ('~((m > 120) & (m < 140))',), '(x > 1) & (((m >= 100.0) & (m < 120.0)) | ((m >= 140.0) & (m < 180.0)))')
    """
    column, seals = str(axis.name), [one.region for one in sealed]
    region = channel.region.without(column)
    dropped = [term for term in channel.region.terms if column in term.columns]
    name = f"{channel.name}:{column}"
    marks = tuple(sorted({value for term in dropped for value in term.thresholds(column)}))
    cuts = tuple(term.cut for term in dropped)
    if _outside(region & target, seals):
        return Variable(channel.name, Channel(name, region, (axis,)), cuts, marks)
    edges = [float(edge) for edge in axis.edges]
    size = len(edges) - 1
    shown = [i for i in range(size) if _outside(region & target & _interval(column, edges, (i, i)), seals)]
    if not shown:
        return None
    inside = region & reduce(Region.__or__, (_interval(column, edges, run) for run in _runs(shown)))
    hidden = tuple(i for i in range(size) if i not in shown)
    opened = Channel(name, Region(f"{region.name}, open", inside.cut), (axis,))
    return Variable(channel.name, opened, cuts, marks, hidden)


@dataclass(frozen=True, eq=False)
class Compared:
    """A variable with the comparison of what was observed and predicted."""

    variable: Variable
    closure: Closure

    def state(self) -> dict[str, Any]:
        """Return the comparison as arrays and plain values."""
        return {"variable": self.variable.state(), "closure": self.closure.state()}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Compared:
        """Restore a comparison from :meth:`state`."""
        return cls(Variable.from_state(state["variable"]), Closure.from_state(state["closure"]))


@dataclass(frozen=True, eq=False)
class Correlations:
    """Correlations of columns in the observed and in the predicted rows of a channel."""

    observed: Correlation
    predicted: Correlation

    @property
    def difference(self) -> Correlation:
        """Observed minus predicted."""
        return self.observed - self.predicted

    def state(self) -> dict[str, Any]:
        """Return the correlations as arrays and plain values."""
        return {"observed": _plain(self.observed), "predicted": _plain(self.predicted)}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Correlations:
        """Restore correlations from :meth:`state`."""
        sides = (state["observed"], state["predicted"])
        return cls(*(Correlation(tuple(one["columns"]), one["matrix"], one["error"]) for one in sides))


def _plain(one: Correlation) -> dict[str, Any]:
    return {"columns": list(one.columns), "matrix": one.matrix, "error": one.error}


def _outside(region: Region, seals: Sequence[Region]) -> bool:
    return all(region.disjoint(one) for one in seals)


def _runs(bins: Sequence[int]) -> list[tuple[int, int]]:
    """Return first and last of each run of neighbouring bins."""
    runs: list[tuple[int, int]] = []
    for i in bins:
        runs = [*runs[:-1], (runs[-1][0], i)] if runs and runs[-1][1] == i - 1 else [*runs, (i, i)]
    return runs


def _interval(column: str, edges: Sequence[float], run: tuple[int, int]) -> Region:
    return Region(column, f"({column} >= {edges[run[0]]!r}) & ({column} < {edges[run[1] + 1]!r})")
