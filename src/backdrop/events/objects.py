"""Objects: the leptons or jets of an event, as rows of their own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ..errors import DataError
from ..region import Region
from .columns import as_column, is_flat
from .table import Events

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Objects", "flatten", "group"]


@dataclass(frozen=True)
class Objects:
    """The objects of an event: all list columns ``<name>_*``, and which objects are tight.

    Examples
    --------
    >>> Objects("lep", tight="iso < 0.15")
    Objects(name='lep', tight='iso < 0.15')
    """

    name: str
    tight: str = ""

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


def flatten(events: Events, objects: Objects) -> Events:
    """Return one row per object: the object's values in the list columns, the event's values in the others.

    A column ``<name>_index`` (position in the event) is added, and ``<name>_tight`` where the objects define it.

    Raises
    ------
    DataError
        If there are no list columns of these objects, or they differ in length in an event.
    """
    import awkward as ak

    lists = objects.columns(events)
    counts = _counts(events, lists)
    others = {name: events[name] for name in events.columns if name not in lists}
    rows = replace(events, columns=others)._take(np.repeat(np.arange(len(events)), counts))
    flat = {name: as_column(ak.flatten(events[name], axis=1), name) for name in lists}
    flat[f"{objects.name}_index"] = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    if objects.tight:
        stripped = {name.removeprefix(objects.name + "_"): column for name, column in flat.items()}
        flat[f"{objects.name}_tight"] = Region("tight", objects.tight).mask({**rows.columns, **stripped})
    return rows.with_columns(flat)


def _counts(events: Events, lists: list[str]) -> NDArray[np.int64]:
    import awkward as ak

    counts = {name: np.asarray(ak.fill_none(ak.num(events[name], axis=1), 0), np.int64) for name in lists}
    first = counts[lists[0]]
    for name in lists[1:]:
        bad = np.flatnonzero(counts[name] != first)
        if len(bad):
            raise DataError(
                f"the lists '{name}' and '{lists[0]}' differ in length in {len(bad)} of {len(events)} events, so they "
                "do not describe the same objects; rename one of them"
            )
    return first


def group(events: Events, objects: Objects) -> Events:
    """Return one row per event from one row per object: the inverse of :func:`flatten`.

    Events without objects are not rows of the flat table, so they do not come back. All columns ``<name>_*`` become
    lists. Rows of one key and sample are one event.
    """
    import awkward as ak

    order = np.lexsort((events[f"{objects.name}_index"], events.sample, events.key))
    rows = events._take(order)
    new = np.r_[True, (rows.key[1:] != rows.key[:-1]) | (rows.sample[1:] != rows.sample[:-1])][: len(rows)]
    starts = np.flatnonzero(new)
    counts = np.diff(np.r_[starts, len(rows)])
    lists = [name for name in events.columns if name.startswith(objects.name + "_")]
    grouped = {name: ak.unflatten(rows[name], counts) for name in lists}
    return rows._take(starts).with_columns(grouped)
