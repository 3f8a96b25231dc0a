"""Cut flow: what each cut of a selection keeps of each sample, and nothing that a seal hides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..events import Source
from ..region import Region

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["CutFlow", "cut_flow", "may_count"]


@dataclass(frozen=True, eq=False)
class CutFlow:
    """The yields of samples after each cut of a selection.

    Attributes
    ----------
    cuts
        The cuts, in their order; the first row of the yields is that of no cut.
    samples
        The samples.
    yields, sumw2
        Sums of weights and of their squares, shape (1 + cuts, samples); NaN where a seal hides them.
    """

    cuts: tuple[str, ...]
    samples: tuple[str, ...]
    yields: Array
    sumw2: Array

    @property
    def hidden(self) -> NDArray[np.bool_]:
        """What a seal hides, shape (1 + cuts, samples)."""
        return np.isnan(self.yields)

    def only_last(self, sample: str) -> CutFlow:
        """Return the cut flow with the last step of a sample alone."""
        early = np.zeros_like(self.hidden)
        early[:-1] = [name == sample for name in self.samples]
        return replace(self, yields=np.where(early, np.nan, self.yields), sumw2=np.where(early, np.nan, self.sumw2))

    def state(self) -> dict[str, Any]:
        """Return the cut flow as plain values."""
        return {"cuts": list(self.cuts), "samples": list(self.samples), "yields": self.yields, "sumw2": self.sumw2}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> CutFlow:
        """Restore a cut flow from :meth:`state`."""
        return cls(tuple(state["cuts"]), tuple(state["samples"]), state["yields"], state["sumw2"])


def cut_flow(samples: Mapping[str, Source], selection: Region) -> CutFlow:
    """Return the yields of samples after each cut of a selection, one pass through each sample.

    A step is hidden where the rows that it has kept so far may be sealed in the sample; see :func:`may_count`. The
    rows of a sealed sample as a whole are always hidden.

    Raises
    ------
    CutError
        If a sample lacks a column of the selection.

    Examples
    --------
    >>> from backdrop import Events
    >>> data = Events.of({"m": np.array([90.0, 125.0, 200.0, 300.0])}, seal=Region("SR", "(m > 110) & (m < 140)"))
    >>> flow = cut_flow({"data": data}, Region("high", "(m > 100) & (m > 150)"))
    >>> flow.yields.ravel()
    array([nan, nan,  2.])
    """
    sums = np.stack([_sums(events, steps(selection)) for events in samples.values()], axis=2)
    return CutFlow(tuple(term.cut for term in selection.terms), tuple(samples), sums[0], sums[1])


def steps(selection: Region) -> list[Region]:
    """Return what is left after no cut, the first one, the first two, and so on."""
    found = [Region.everything()]
    for term in selection.terms:
        found.append(term if len(found) == 1 else found[-1] & term)
    return found


def may_count(events: Source, region: Region) -> bool:
    """Say whether a yield in `region` may be shown: from the cuts alone.

    The region must be provably outside every sealed one. It must not hold all that lies outside either: whoever knows
    the number of entries of the input would have the sealed count by a subtraction.
    """
    return all(
        region.disjoint(one.region) and not (~region).disjoint(~one.region) for one in events.sealed if not one.cleared
    )


def _sums(events: Source, regions: list[Region]) -> Array:
    """Return sums of weights and of their squares, shape (2, regions)."""
    shown = [i for i, step in enumerate(regions) if may_count(events, step)]
    sums = np.full((2, len(regions)), np.nan)
    if not shown:
        return sums
    sums[:, shown] = 0.0
    columns = sorted(frozenset().union(*(step.columns for step in regions)))
    for chunk in events.chunks(columns):
        rows = chunk
        for i in shown:
            # the first of them is checked against the seal, the others are inside it
            rows = rows.select(regions[i])
            sums[0, i] += rows.weight.sum()
            sums[1, i] += (rows.weight**2).sum()
    return sums
