"""EventFiles: events that stay in their files until they are needed, with the verbs of `Events`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import BlindedError, DataError, ResourceError, nearest
from ..events import Events, Sealed
from ..region import Region
from ..tasks import fingerprint
from .fields import Field, common
from .reading import Reading
from .rows import Rows, joined
from .terms import Term, in_memory, refuse_equal_keys

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["EventFiles"]

_KEPT_BLOCKS = 8


@dataclass(frozen=True, repr=False, eq=False)
class EventFiles:
    """Events in files: read in chunks or in part, never held as a whole.

    Has the verbs of `Events` that say which rows with which weight (``select``, ``only``, ``+``, ``-``, ``k *``,
    ``relabel``), applied when rows are read, and the same seals. Pickling it keeps the names of the files.

    Examples
    --------
    >>> from backdrop.io import read
    >>> data = read("data*.root:Events", ["m", "tag"], lazy=True)             # doctest: +SKIP
    >>> prompt = read("prompt.root:Events", ["m", "tag"], sample="prompt", weight="w", lazy=True)  # doctest: +SKIP
    >>> for chunk in (data - 1.1 * prompt).chunks(["m"]):                      # doctest: +SKIP
    ...     print(len(chunk))
    """

    terms: tuple[Term, ...]

    @classmethod
    def of(cls, reading: Reading) -> EventFiles:
        """Return the events of one reading."""
        return cls((Term(reading),))

    def __repr__(self) -> str:
        files = len({str(file) for term in self.terms for file in term.reading.inputs})
        seals = "".join(dict.fromkeys(f"; {one.sample} sealed in {one.region.name}" for one in self.sealed))
        return f"EventFiles({', '.join(self.samples)}: {files} files; {len(self.names)} columns{seals})"

    @property
    def samples(self) -> tuple[str, ...]:
        """The names of the samples."""
        return tuple(dict.fromkeys(name for term in self.terms for name in term.samples))

    @property
    def sealed(self) -> tuple[Sealed, ...]:
        """The sealed (sample, region) pairs; what they reveal is read when it is asked for."""
        found: list[Sealed] = []
        for term in self.terms:
            found += [one for one in term.sealed if one not in found]
        return tuple(found)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The columns that every sample has."""
        first, *others = (term.reading.names for term in self.terms)
        return tuple(name for name in first if all(name in names for names in others))

    # ---- verbs -----------------------------------------------------------------------------------------------------

    def select(self, region: Region) -> EventFiles:
        """Return the rows inside `region`.

        Raises
        ------
        BlindedError
            If the region is not provably outside every sealed region of these samples; decided from the cuts alone.
        CutError
            If the cut names an unknown column.
        """
        for term in self.terms:
            term.empty().select(region)
        return EventFiles(tuple(replace(term, regions=(*term.regions, region)) for term in self.terms))

    def only(self, sample: str) -> EventFiles:
        """Return the rows of one sample.

        Raises
        ------
        DataError
            If there is no such sample.
        """
        if sample not in self.samples:
            raise DataError(f"no sample '{sample}' in these events{nearest(sample, self.samples)}")
        found = [term for term in self.terms if sample in term.samples]
        return EventFiles(tuple(t if t.label is not None else replace(t, sample=sample) for t in found))

    def relabel(self, sample: str) -> EventFiles:
        """Return the rows under one other sample name, the keys unchanged.

        Rows selected outside all sealed regions are an open sample under their new name.

        Raises
        ------
        BlindedError
            If a region is sealed in these events and none was selected that is provably outside it.
        """
        names = ", ".join(sorted({one.region.name for one in self.sealed if not one.cleared}))
        if names:
            raise BlindedError(
                f"these events are sealed in {names}: relabelling would lose the seal; select a region outside it first"
            )
        return EventFiles(tuple(replace(term, label=sample) for term in self.terms))

    def is_sealed(self, region: Region) -> bool:
        """Say whether `region` may overlap a region sealed in one of these samples (from the cuts alone)."""
        return any(not region.disjoint(one.region) for one in self.sealed)

    def __add__(self, other: EventFiles) -> EventFiles:
        if not isinstance(other, EventFiles):
            return NotImplemented
        for term in other.terms:
            for mine in self.terms:
                refuse_equal_keys(mine.reading, term.reading)
        whole = EventFiles(self.terms + other.terms)
        whole._types(whole.names)
        return whole

    def __rmul__(self, factor: float) -> EventFiles:
        return EventFiles(tuple(replace(term, factor=float(factor) * term.factor) for term in self.terms))

    def __neg__(self) -> EventFiles:
        return -1.0 * self

    def __sub__(self, other: EventFiles) -> EventFiles:
        return self + (-other) if isinstance(other, EventFiles) else NotImplemented

    # ---- rows ------------------------------------------------------------------------------------------------------

    def chunks(self, columns: Sequence[str] | None = None) -> Iterator[Events]:
        """Yield the rows with the named columns (all by default), chunk by chunk.

        A chunk is cut from a fixed number of open rows, so that sums do not depend on how the file is divided, nor on
        sealed rows. Each carries all sample names and seals. Files without open rows give one chunk without rows.

        Raises
        ------
        DataError
            If a sample lacks a column, a file is damaged, or a weight is not finite.
        """
        wanted = self._types(self.names if columns is None else columns)
        sealed = tuple(replace(one, revealed=None) for one in self.sealed)
        rows: Rows | None = None
        for rows in self._rows(wanted, chunked=True):
            yield Events(rows.columns, rows.weight, rows.sample, self.samples, rows.key, sealed)
        if rows is None:
            rows = _no_rows(wanted)
            yield Events(rows.columns, rows.weight, rows.sample, self.samples, rows.key, sealed)

    def load(self, columns: Sequence[str] | None = None, region: Region | None = None) -> Events:
        """Return the rows of `region` (all by default) with the named columns (all by default), in memory.

        Raises
        ------
        BlindedError
            If the region is not provably outside every sealed region.
        DataError
            If a sample lacks a column, a file is damaged, or a weight is not finite.
        ResourceError
            If the rows do not fit in memory.
        """
        if region is not None:
            return self.select(region).load(self.names if columns is None else columns)
        wanted = self._types(self.names if columns is None else columns)
        parts: list[Rows] = []
        held = 0
        try:
            for rows in self._rows(wanted, chunked=False):
                parts.append(rows)
                held += len(rows)
            whole = joined(parts, _no_rows(wanted))
        except MemoryError as error:
            raise ResourceError(_too_much(held, wanted)) from error
        sealed = tuple(in_memory(one) for one in self.sealed)
        return Events(whole.columns, whole.weight, whole.sample, self.samples, whole.key, sealed)

    def _rows(self, wanted: Mapping[str, Field], *, chunked: bool) -> Iterator[Rows]:
        samples = self.samples
        for term in self.terms:
            names = term.columns(list(wanted))
            # What is kept as a whole need not be read in small pieces.
            size = 1 if term.regions else _KEPT_BLOCKS
            for rows in term.reading.chunks(names) if chunked else term.reading.rows(names, size):
                yield term.finish(rows, wanted, samples)

    def inclusive(self, name: str) -> NDArray[Any]:
        """Return the column `name` of all rows, the sealed ones included, if the seal reveals it.

        Raises
        ------
        BlindedError
            If a seal does not reveal the column.
        """
        found: NDArray[Any] = self.load([name]).inclusive(name)
        return found

    def _types(self, names: Sequence[str]) -> dict[str, Field]:
        """Return the types that the named columns have once all samples are added."""
        for term in self.terms:
            lacking = [name for name in names if name not in term.reading.names]
            if lacking:
                hint = nearest(lacking[0], term.reading.names)
                raise DataError(
                    f"sample '{term.samples[0]}' has no column '{lacking[0]}'{hint}; name it among the columns to read"
                )
        owners = [f"sample '{term.samples[0]}'" for term in self.terms]
        return {n: common(n, [term.reading.fields[n] for term in self.terms], owners) for n in dict.fromkeys(names)}

    # ---- identity --------------------------------------------------------------------------------------------------

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the open rows where there is a seal, of the files' content otherwise, and of what is selected."""
        return fingerprint([term.fingerprint for term in self.terms])

    def provenance(self) -> list[dict[str, Any]]:
        """Return paths, sizes, SHA-256 and entry counts of the files.

        The counts include sealed rows: they belong into a file of their own, beside no count of open rows.
        """
        return [reading.provenance() for reading in dict.fromkeys(term.reading for term in self.terms)]


def _no_rows(wanted: Mapping[str, Field]) -> Rows:
    columns = {name: field.empty() for name, field in wanted.items()}
    return Rows(columns, np.zeros(0), np.zeros(0, np.int16), np.zeros(0, np.uint64))


def _too_much(held: int, wanted: Mapping[str, Field]) -> str:
    size = held * (18 + sum(field.bytes for field in wanted.values())) / 1e6
    return (
        f"the rows do not fit in memory: {held} open rows of {len(wanted)} columns (about {size:.0f} MB) were there "
        "when it ran out; name fewer columns, select a region first, or go through chunks()"
    )
