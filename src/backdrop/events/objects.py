"""Objects: the leptons or jets of an event, as rows of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ConfigError, DataError
from ..region import Region, renamed
from .columns import as_column, is_flat
from .table import Events

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Objects", "flatten", "group"]


@dataclass(frozen=True)
class Objects:
    """The objects of an event: list columns ``<name>_*``, or numbered flat ones, and which objects are tight.

    Attributes
    ----------
    name
        Prefix of the quantities: ``lep`` has ``lep_pt``, ``lep_eta``.
    tight
        Cut on the quantities of one object, without prefix.
    slots
        Where the objects are flat columns instead of lists, the columns of each object: with ``("{}1", "{}2")``,
        ``lep_pt`` is ``pt1`` of the first and ``pt2`` of the second object of every event. With ``("{}",)`` every row
        is one object.

    Examples
    --------
    >>> leptons = Objects("lep", tight="iso < 0.15")
    >>> leptons.tight_region(2)
    Region('at least 2 tight lep', 'count(lep_iso < 0.15) >= 2')
    >>> Objects("lep", "iso < 0.15", ("{}1", "{}2")).all_tight()
    Region('all lep tight', '(iso1 < 0.15) & (iso2 < 0.15)')
    """

    name: str
    tight: str = ""
    slots: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if any(slot.count("{}") != 1 for slot in self.slots) or len(set(self.slots)) < len(self.slots):
            raise ConfigError(
                f"objects '{self.name}': each slot is a text of its own that holds {{}} once, such as '{{}}1', not "
                f"{', '.join(map(repr, self.slots))}"
            )
        if self.tight:
            Region(f"tight {self.name}", self.tight)

    def columns(self, events: Events) -> list[str]:
        """Return the names of the list columns of these objects.

        Raises
        ------
        DataError
            If there is none.
        """
        found = [c for c in events.columns if c.startswith(self.name + "_") and not is_flat(events[c])]
        if not found:
            lists = sorted({c.split("_")[0] for c in events.columns if not is_flat(events[c])})
            raise DataError(f"no list columns '{self.name}_*'; list columns start with: {', '.join(lists) or 'none'}")
        return found

    def sources(self, name: str) -> tuple[str, ...]:
        """Return the columns of an event that hold a quantity of its objects, or of the event.

        Examples
        --------
        >>> Objects("lep", slots=("{}1", "{}2")).sources("lep_pt")
        ('pt1', 'pt2')
        """
        short = name.removeprefix(self.name + "_")
        return tuple(slot.format(short) for slot in self.slots) if self.slots and short != name else (name,)

    @property
    def tight_columns(self) -> tuple[str, ...]:
        """The columns of an event that say which of its objects are tight."""
        names = sorted(Region("tight", self.tight).columns) if self.tight else []
        return tuple(source for name in names for source in self.sources(f"{self.name}_{name}"))

    def all_tight(self) -> Region:
        """Return the events of which all objects are tight."""
        cut = " & ".join(f"({one})" for one in self._each()) if self.slots else f"all({self._each()[0]})"
        return Region(f"all {self.name} tight", cut)

    def tight_region(self, low: int, high: int | None = None) -> Region:
        """Return the events with at least `low`, and at most `high`, tight objects."""
        cuts, each = [], self._each()
        if self.slots:
            cuts += [_at_least(each, low)] if low > 0 else []
            cuts += [f"~({_at_least(each, high + 1)})"] if high is not None and high < len(each) else []
        else:
            cuts += [f"count({each[0]}) >= {low}"] if low > 0 else []
            cuts += [f"count({each[0]}) <= {high}"] if high is not None else []
        number = f"at least {low}" if high is None else str(low) if high == low else f"{low} to {high}"
        cut = cuts[0] if len(cuts) == 1 else " & ".join(f"({one})" for one in cuts) or "true"
        return Region(f"{number} tight {self.name}", cut)

    def state(self) -> list[Any]:
        """Return the objects as plain values."""
        return [self.name, self.tight, list(self.slots)]

    @classmethod
    def from_state(cls, state: Sequence[Any]) -> Objects:
        """Restore objects from :meth:`state`."""
        name, tight, slots = state
        return cls(name, tight, tuple(slots))

    def _each(self) -> list[str]:
        """Return the tight cut in the columns of an event, for each slot."""
        if not self.tight:
            raise ConfigError(f"objects '{self.name}' do not say which are tight; give tight, such as 'iso < 0.15'")
        patterns = self.slots or (self.name + "_{}",)
        return [renamed(self.tight, pattern.format) for pattern in patterns]


def _at_least(cuts: list[str], number: int) -> str:
    """Return that at least some of the cuts hold; false where there are fewer."""
    groups = [" & ".join(f"({one})" for one in group) for group in combinations(cuts, number)]
    return " | ".join(groups if number == 1 else (f"({one})" for one in groups)) or "false"


def flatten(events: Events, objects: Objects) -> Events:
    """Return one row per object: the object's values in the columns ``<name>_*``, the event's values in the others.

    A column ``<name>_index`` (position in the event) is added, and ``<name>_tight`` where the objects define it.

    Raises
    ------
    DataError
        If there are no columns of these objects, or lists differ in length in an event.
    """
    rows, flat, index = _from_slots(events, objects) if objects.slots else _from_lists(events, objects)
    if objects.tight:
        stripped = {name.removeprefix(objects.name + "_"): column for name, column in flat.items()}
        flat[f"{objects.name}_tight"] = Region(f"tight {objects.name}", objects.tight).mask(stripped)
    return rows.with_columns({**flat, f"{objects.name}_index": index})


def _from_lists(events: Events, objects: Objects) -> tuple[Events, dict[str, Any], NDArray[np.int64]]:
    import awkward as ak

    lists = objects.columns(events)
    counts = _counts(events, lists)
    others = {name: events[name] for name in events.columns if name not in lists}
    rows = replace(events, columns=others)._take(np.repeat(np.arange(len(events)), counts))
    flat = {name: as_column(ak.flatten(events[name], axis=1), name) for name in lists}
    return rows, flat, np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)


def _from_slots(events: Events, objects: Objects) -> tuple[Events, dict[str, Any], NDArray[np.int64]]:
    first = objects.slots[0].split("{}")
    # a column of ours, such as the row of an event, is not the objects', even where the pattern is all names
    own = [c for c in events.columns if _fits(c, first) and not c.startswith("__")]
    short = [c[len(first[0]) : len(c) - len(first[1])] for c in own]
    found = {f"{objects.name}_{one}": [slot.format(one) for slot in objects.slots] for one in short}
    found = {name: sources for name, sources in found.items() if all(one in events.columns for one in sources)}
    if not found:
        patterns, have = ", ".join(objects.slots), ", ".join(events.columns)
        raise DataError(f"no columns {patterns} of objects '{objects.name}'; the columns are: {have}")
    used = {one for sources in found.values() for one in sources}
    others = {name: column for name, column in events.columns.items() if name not in used}
    number = len(objects.slots)
    rows = replace(events, columns=others)._take(np.repeat(np.arange(len(events)), number))
    flat = {name: np.stack([events[one] for one in sources], axis=1).ravel() for name, sources in found.items()}
    return rows, flat, np.tile(np.arange(number), len(events))


def _fits(name: str, ends: list[str]) -> bool:
    return len(name) > len(ends[0]) + len(ends[1]) and name.startswith(ends[0]) and name.endswith(ends[1])


def _counts(events: Events, lists: list[str]) -> NDArray[np.int64]:
    counts = {name: _lengths(events[name]) for name in lists}
    first = counts[lists[0]]
    for name in lists[1:]:
        bad = np.flatnonzero(counts[name] != first)
        if len(bad):
            raise DataError(
                f"the lists '{name}' and '{lists[0]}' differ in length in {len(bad)} of {len(events)} events, so they "
                "do not describe the same objects; rename one of them"
            )
    return first


def _lengths(values: Any) -> NDArray[np.int64]:
    """Return the length of each list; a missing one has none."""
    import awkward as ak

    found = ak.num(values, axis=1)
    try:
        return np.asarray(ak.to_numpy(found, allow_missing=False), np.int64)
    except ValueError:
        return np.asarray(ak.fill_none(found, 0), np.int64)


def group(events: Events, objects: Objects) -> Events:
    """Return one row per event from one row per object: the inverse of :func:`flatten`.

    Events without objects are not rows of the flat table, so they do not come back. All columns ``<name>_*`` become
    lists, or fill the slots. Rows of one key and sample are one event.

    Raises
    ------
    DataError
        If an event has another number of objects than there are slots.
    """
    import awkward as ak

    order = np.lexsort((events[f"{objects.name}_index"], events.sample, events.key))
    rows = events._take(order)
    new = np.r_[True, (rows.key[1:] != rows.key[:-1]) | (rows.sample[1:] != rows.sample[:-1])][: len(rows)]
    starts = np.flatnonzero(new)
    counts = np.diff(np.r_[starts, len(rows)])
    names = [name for name in events.columns if name.startswith(objects.name + "_")]
    if objects.slots:
        return _into_slots(rows, starts, counts, names, objects)
    grouped = {name: ak.unflatten(rows[name], counts) for name in names}
    return rows._take(starts).with_columns(grouped)


def _into_slots(
    rows: Events, starts: NDArray[np.int64], counts: NDArray[np.int64], names: list[str], objects: Objects
) -> Events:
    number = len(objects.slots)
    if bad := int((counts != number).sum()):
        raise DataError(f"{bad} of {len(counts)} events have not the {number} objects '{objects.name}' of their slots")
    own = (f"{objects.name}_index", f"{objects.name}_tight")
    events = replace(rows, columns={name: rows[name] for name in rows.columns if name not in names})._take(starts)
    kept = [name for name in names if name not in own]
    found = {one: rows[name][i::number] for name in kept for i, one in enumerate(objects.sources(name))}
    return events.with_columns(found)
