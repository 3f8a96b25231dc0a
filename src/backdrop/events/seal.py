"""Seals: (sample, region) pairs of which no row is kept."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import BlindedError
from ..region import Region
from .columns import buffers

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Seal", "Sealed", "cleared", "seal"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Seal:
    """A region whose rows must not be kept, and the columns of them that may be.

    ``reveal`` names conditioning variables of which *all* values stay readable through :meth:`Events.inclusive`; the
    sealed yield can be inferred from them, and the report says so.
    """

    region: Region
    reveal: tuple[str, ...] = ()


def seal(region: Region, reveal: Sequence[str] = ()) -> Seal:
    """Seal `region`, revealing only the named columns of its rows.

    Examples
    --------
    >>> seal(Region("SR", "(m > 110) & (m < 140)"), reveal=("m",)).reveal
    ('m',)
    """
    return Seal(region, tuple(reveal))


@dataclass(frozen=True)
class Sealed:
    """A sealed (sample, region) pair, as carried by the events that were read under it.

    ``revealed`` holds the revealed columns of the sealed rows, or None once a selection made them ambiguous.
    ``cleared`` is True when the rows at hand were selected by a region that provably does not overlap.
    """

    sample: str
    region: Region
    revealed: Mapping[str, NDArray[Any]] | None = field(default_factory=dict, repr=False, hash=False)
    cleared: bool = False

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sealed):
            return NotImplemented
        mine, theirs = ((one.sample, one.region, one.cleared) for one in (self, other))
        return mine == theirs and _equal(self.revealed, other.revealed)


def _equal(first: Mapping[str, Any] | None, second: Mapping[str, Any] | None) -> bool:
    if not (isinstance(first, dict) and isinstance(second, dict)):
        return first is second or bool(first == second)
    pairs = [(first[name], second[name]) for name in first.keys() & second.keys()]
    return first.keys() == second.keys() and all(a is b or _equal_columns(a, b) for a, b in pairs)


def _equal_columns(first: Any, second: Any) -> bool:
    pairs = list(zip_longest(buffers(first), buffers(second)))
    return all(a is not None and b is not None and np.array_equal(a, b) for a, b in pairs)


def cleared(one: Sealed, region: Region) -> Sealed:
    """Return the pair as it stands after selecting `region`.

    Raises
    ------
    BlindedError
        If the region is not provably outside the sealed one.
    """
    if not one.cleared and not region.disjoint(one.region):
        _log.info("refused: region '%s' of the sealed sample '%s'", region.name, one.sample)
        how, way = "may overlap", f"select '{(region & ~one.region).name}', or "
        if region.disjoint(~one.region):
            how, way = "is inside", ""
        raise BlindedError(
            f"region '{region.name}' {how} the sealed region '{one.region.name}' of sample '{one.sample}'; "
            f"{way}read with unblind=REASON"
        )
    revealed = one.revealed
    if revealed and region.columns <= revealed.keys():
        inside = region.mask(revealed)
        revealed = {name: values[inside] for name, values in revealed.items()}
    elif revealed:
        revealed = None
    return replace(one, cleared=True, revealed=revealed)
