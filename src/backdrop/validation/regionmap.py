"""Region map: which sets of rows an analysis uses, and which of them can share rows. From the cuts alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from ..region import Region

__all__ = ["RegionMap", "Relation", "Use"]

Relation = Literal["same", "inside", "around", "disjoint", "overlap"]
"""How the first set lies to the second: ``overlap`` says that nothing else is proven."""


@dataclass(frozen=True)
class Use:
    """A set of rows that has a part in an analysis.

    Attributes
    ----------
    name
        What it is called in the map.
    kind
        "observed", "read", "training" or "sealed".
    cut
        Its cut.
    samples
        The samples it is taken from.
    methods
        The methods that use it.
    sealed
        Of what may be sealed in it: nothing, some (left out when read) or all of it.
    """

    name: str
    kind: str
    cut: str
    samples: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    sealed: Literal["no", "part", "all"] = "no"


@dataclass(frozen=True)
class RegionMap:
    """Sets of rows with the relation of every pair of them.

    Attributes
    ----------
    uses
        The sets.
    relations
        Row by row: the relation of the first set to the second.
    """

    uses: tuple[Use, ...]
    relations: tuple[tuple[Relation, ...], ...]

    @classmethod
    def of(cls, uses: Sequence[Use]) -> RegionMap:
        """Return the map of some sets.

        Examples
        --------
        >>> sets = [Use("SR", "observed", "(m > 110) & (m < 140)"), Use("all", "observed", "m > 100")]
        >>> RegionMap.of([*sets, Use("low", "training", "m < 105")]).relations[0]
        ('same', 'inside', 'disjoint')
        """
        regions = [Region(use.name, use.cut) for use in uses]
        return cls(tuple(uses), tuple(tuple(_relation(a, b) for b in regions) for a in regions))

    def state(self) -> dict[str, Any]:
        """Return the map as plain values."""
        return {"uses": [asdict(use) for use in self.uses], "relations": [list(row) for row in self.relations]}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> RegionMap:
        """Restore a map from :meth:`state`."""
        lists: list[dict[str, Any]] = [
            {key: tuple(one[key]) for key in ("samples", "methods")} for one in state["uses"]
        ]
        uses = (Use(**{**one, **found}) for one, found in zip(state["uses"], lists, strict=True))
        return cls(tuple(uses), tuple(tuple(row) for row in state["relations"]))


def _relation(first: Region, second: Region) -> Relation:
    if first.cut == second.cut:
        return "same"
    if first.disjoint(second):
        return "disjoint"
    inside, around = first.disjoint(~second), second.disjoint(~first)
    if inside and around:
        return "same"
    return "inside" if inside else "around" if around else "overlap"
