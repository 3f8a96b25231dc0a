"""Terms: what a sum of event files is made of, and what their seals reveal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DataError
from ..events import Events, Sealed
from ..region import Region
from ..tasks import fingerprint
from .fields import Field, cast
from .reading import Reading
from .rows import Rows

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Revealed(Mapping[str, "NDArray[Any]"]):
    """Columns that a seal reveals, read from the files when they are asked for."""

    def __init__(self, reading: Reading, regions: tuple[Region, ...], sample: str) -> None:
        self._of = (reading, regions, sample)

    def __getitem__(self, name: str) -> NDArray[Any]:
        reading, regions, sample = self._of
        if name not in set(self):
            raise KeyError(name)
        return reading.revealed([name], regions, sample)[name]

    def __contains__(self, name: object) -> bool:
        return name in set(self)

    def __iter__(self) -> Iterator[str]:
        seal = self._of[0].door.seal
        return iter(seal.reveal if seal else ())

    def __len__(self) -> int:
        return len(list(iter(self)))

    def whole(self) -> dict[str, NDArray[Any]]:
        """Return all revealed columns, read at once."""
        reading, regions, sample = self._of
        return reading.revealed(list(self), regions, sample) if len(self) else {}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Revealed) and self._of == other._of

    __hash__ = None  # type: ignore[assignment]


@dataclass(frozen=True)
class Term:
    """A multiple of what one reading gives: of one of its samples or of all, under their names or another."""

    reading: Reading
    factor: float = 1.0
    regions: tuple[Region, ...] = ()
    sample: str | None = None
    label: str | None = None

    @property
    def samples(self) -> tuple[str, ...]:
        """The names of the samples."""
        if self.label is not None:
            return (self.label,)
        return self.reading.samples if self.sample is None else (self.sample,)

    @property
    def sealed(self) -> tuple[Sealed, ...]:
        """The sealed (sample, region) pairs; none under a label, which only open rows are given."""
        if self.label is not None:
            return ()
        found = [one for one in self.reading.sealed if self.sample in (None, one.sample)]
        return tuple(
            replace(one, revealed=self._revealed(one), cleared=one.cleared or bool(self.regions)) for one in found
        )

    def _revealed(self, one: Sealed) -> Revealed | None:
        seal = self.reading.door.seal
        if seal is None or one.region != seal.region:
            return None
        known = set(seal.reveal)
        if any(not region.columns <= known for region in self.regions):
            return None
        return Revealed(self.reading, self.regions, one.sample)

    def empty(self) -> Events:
        """Return no events, of the right columns and seals: what is decided from cuts alone is decided on them."""
        rows = self.reading.empty(self.reading.names)
        sealed = tuple(replace(one, revealed=None) for one in self.sealed)
        return Events(rows.columns, rows.weight, rows.sample, self.samples, rows.key, sealed)

    def columns(self, wanted: Sequence[str]) -> list[str]:
        """Return the columns to be read for `wanted` ones and the regions."""
        return sorted(set(wanted).union(*(region.columns for region in self.regions)))

    def finish(self, rows: Rows, wanted: Mapping[str, Field], samples: Sequence[str]) -> Rows:
        """Return the term's own rows of a block, with the sample numbers and the column types of the whole."""
        if self.sample is not None:
            rows = rows.where(rows.sample == self.reading.samples.index(self.sample))
        for region in self.regions:
            rows = rows.where(region.mask(rows.columns))
        own = [self.label] * len(self.reading.samples) if self.label is not None else self.reading.samples
        codes = np.array([samples.index(name) if name in samples else -1 for name in own], np.int16)
        columns = {name: cast(rows.columns[name], field) for name, field in wanted.items()}
        weight = rows.weight if self.factor == 1.0 else self.factor * rows.weight
        return Rows(columns, weight, codes[rows.sample], rows.key)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the reading and of what is done with it."""
        cuts = [region.cut for region in self.regions]
        return fingerprint((self.reading.fingerprint, self.factor, cuts, self.sample, self.label))


def in_memory(one: Sealed) -> Sealed:
    """Return a seal with what it reveals read from the files."""
    return replace(one, revealed=one.revealed.whole()) if isinstance(one.revealed, Revealed) else one


def refuse_equal_keys(mine: Reading, other: Reading) -> None:
    """Refuse two sets of files of one sample whose rows are counted from zero in both: their keys would coincide."""
    shared = set(mine.samples) & set(other.samples)
    counted = not (mine.door.keys or other.door.keys or mine.kept or other.kept)
    if shared and counted and (mine.inputs, mine.door.seal) != (other.inputs, other.door.seal):
        raise DataError(
            f"two sets of files are both sample '{shared.pop()}' and have no id columns, so their events would share "
            "keys; read them in one call, name keys=, or give them different sample names"
        )
