"""Reading: inputs and the door they are read through, as often as it takes, without holding a row."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DataError
from ..events import Sealed
from ..region import Region
from ..tasks import fingerprint
from .columns import ColumnDigest
from .door import Door, Place
from .fields import Column, Field, join, settle
from .files import File, digest
from .manifest import manifest_of
from .memory import MemoryTable
from .remote import filesystem
from .rows import Rows, rechunked
from .tables import KEY, SAMPLE, WEIGHT, Stored, blocks_of, looked_into

if TYPE_CHECKING:
    from numpy.typing import NDArray

BLOCK_BYTES = 1 << 25
"""Memory for the columns of one block, and of one chunk."""

_FEWEST_ROWS = 1024
_OWN_BYTES = 18
_OWN = ("weight", "sample", "key")


@dataclass(frozen=True, eq=False, repr=False)
class Reading:
    """Inputs that were found readable, the door, and the types of the columns that come out.

    Attributes
    ----------
    inputs
        Files, or tables in memory.
    door
        What happens to each row.
    names
        The columns that can be asked for.
    fields
        The types of these, and of what else the door reads.
    narrow
        A column of every input that is cheap to read, for when nothing else is.
    samples
        The names of the samples.
    stored
        What each input says of itself if it was written here.
    chunk_rows
        Open rows of a chunk; None leaves it to the memory budget.
    """

    inputs: tuple[File | MemoryTable, ...]
    door: Door
    names: tuple[str, ...]
    fields: Mapping[str, Field]
    narrow: str
    samples: tuple[str, ...]
    stored: tuple[Stored | None, ...]
    chunk_rows: int | None = None

    @property
    def kept(self) -> tuple[str, ...]:
        """The columns of key, weight and sample that the inputs bring themselves and the door does not replace."""
        if self.stored[0] is None:
            return ()
        return (SAMPLE, *(() if self.door.keys else (KEY,)), *(() if self.door.weight else (WEIGHT,)))

    @cached_property
    def sealed(self) -> tuple[Sealed, ...]:
        """The sealed (sample, region) pairs, without what they reveal."""
        found: list[Sealed] = []
        for stored in self.stored:
            for sample, name, cut, cleared in stored.sealed if stored else ():
                found.append(Sealed(sample, Region(name, cut), None, cleared))
        if self.door.seal:
            found += [Sealed(sample, self.door.seal.region, None) for sample in self.samples]
        return tuple(one for i, one in enumerate(found) if one not in found[:i])

    def chunk_size(self, wanted: Sequence[str]) -> int:
        """Return the rows of a chunk: a power of two, from the types of the columns alone."""
        if self.chunk_rows is not None:
            return self.chunk_rows
        return self._rows_in(BLOCK_BYTES, wanted)

    def _rows_in(self, memory: int, names: Sequence[str]) -> int:
        row = _OWN_BYTES + sum(self.fields[name].bytes for name in names if name in self.fields)
        return max(_FEWEST_ROWS, 1 << ((memory // row).bit_length() - 1))

    def chunks(self, wanted: Sequence[str]) -> Iterator[Rows]:
        """Yield the open rows, chunk by chunk; chunk edges do not depend on sealed rows or on the file's blocks."""
        return rechunked(self.rows(wanted), self.chunk_size(wanted), self.empty(wanted))

    def rows(self, wanted: Sequence[str], size: int = 1) -> Iterator[Rows]:
        """Yield the open rows as they come, in blocks of `size` times the usual memory.

        Raises
        ------
        DataError
            If an input is damaged, or a weight of an open row is NaN or infinite.
        """
        for position, where in enumerate(self.inputs):
            count = 0
            for rows in self._admitted(position, wanted, size):
                if not np.isfinite(rows.weight).all():
                    raise self._unusable_weights()
                count += len(rows)
                yield rows
            if not count:
                warnings.warn(f"{where} holds no {'open ' if self.sealed else ''}rows", UserWarning, stacklevel=2)

    def empty(self, wanted: Sequence[str]) -> Rows:
        """Return no rows of the right types."""
        columns = {name: self.fields[name].empty() for name in wanted}
        return Rows(columns, np.zeros(0), np.zeros(0, np.int16), np.zeros(0, np.uint64))

    def revealed(self, names: Sequence[str], regions: Sequence[Region], sample: str) -> dict[str, NDArray[Any]]:
        """Return columns of the sealed rows of one sample inside `regions`."""
        parts: list[dict[str, Column]] = [{name: self.fields[name].empty() for name in names}]
        for position in range(len(self.inputs)):
            for block in self._blocks(position, names, revealed=True):
                table = self.door.computed(block, [*names, *self._seal_columns()])
                out = self.door.sealed_rows(table)
                if out is None:
                    continue
                if SAMPLE in self.kept:
                    out &= self._codes(position)[block[SAMPLE]] == self.samples.index(sample)
                for region in regions:
                    out &= region.mask(table)
                parts.append({name: settle(table[name][out]) for name in names})
        return {name: join([part[name] for part in parts]) for name in names}

    def _seal_columns(self) -> frozenset[str]:
        return self.door.seal.region.columns if self.door.seal else frozenset()

    def _admitted(self, position: int, wanted: Sequence[str], size: int = 1) -> Iterator[Rows]:
        codes, count = self._codes(position), 0
        for block in self._blocks(position, wanted, size):
            rows = self.door.admit(block, wanted, Place(position, count, self.kept, codes))
            count += len(rows)
            yield rows

    def _blocks(
        self, position: int, wanted: Sequence[str], size: int = 1, *, revealed: bool = False
    ) -> Iterator[dict[str, Column]]:
        names = [*self.door.inputs(wanted, revealed=revealed), *self.kept] or [self.narrow]
        raw = {name: self.door.raw(name) for name in names}
        unique = list(dict.fromkeys(raw.values()))
        rows = self._rows_in(size * BLOCK_BYTES, names)
        source = self.inputs[position]
        blocks = blocks_of(source, unique, rows) if isinstance(source, File) else source.blocks(unique, rows)
        for block in blocks:
            yield {name: block[old] for name, old in raw.items()}

    def _codes(self, position: int) -> NDArray[np.int16]:
        stored = self.stored[position]
        return np.array([self.samples.index(name) for name in stored.samples] if stored else [0], np.int16)

    def _unusable_weights(self) -> DataError:
        total = 0
        first: list[str] = []
        for position, where in enumerate(self.inputs):
            entry = 0
            for rows in self._admitted(position, ()):
                bad = np.flatnonzero(~np.isfinite(rows.weight))
                first += [f"{where} entry {entry + row}" for row in bad[: 3 - len(first)]]
                total, entry = total + len(bad), entry + len(rows)
        among = " (open rows are counted)" if self.sealed else ""
        return DataError(
            f"sample '{self.door.sample}' has {total} weights that are NaN or infinite, the first: "
            f"{'; '.join(first)}{among}; clean column '{self.door.weight or WEIGHT}' of the input"
        )

    # ---- identity --------------------------------------------------------------------------------------------------

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of what comes out: of the open rows where there is a seal, of the files' content otherwise."""
        settings = (self.door, sorted(self.names), self.samples, [(s.sample, s.region.cut) for s in self.sealed])
        trees = [source.tree if isinstance(source, File) else None for source in self.inputs]
        return fingerprint((settings, trees, self._open_digest() if self.sealed else self._content_digests()))

    def _content_digests(self) -> list[str]:
        return [_content(one) if isinstance(one, File) else self._open_digest() for one in self.inputs]

    def _open_digest(self) -> str:
        names = sorted(self.names)
        digests = {name: ColumnDigest() for name in (*names, *_OWN)}
        for rows in self.rows(names):
            for name in names:
                digests[name].update(rows.columns[name])
            for name in _OWN:
                digests[name].update(getattr(rows, name))
        return fingerprint([(name, digest.text()) for name, digest in digests.items()])

    def provenance(self) -> dict[str, Any]:
        """Return paths, sizes, hashes and entry counts of the inputs, sealed rows included, and no open count."""
        files = [_provenance(one) if isinstance(one, File) else {"path": "memory"} for one in self.inputs]
        return {"samples": list(self.samples), "files": files}


def _content(file: File) -> str:
    if not file.remote:
        return digest(file.path)
    system, inside = filesystem(file.path)
    return f"{file.path} {system.ukey(inside)}"


def _provenance(file: File) -> dict[str, Any]:
    found: dict[str, Any] = {"path": str(file), "format": file.format}
    found["entries"] = looked_into(file, lambda table: table.entries)
    if file.remote:
        return found | {"verified": "unverified"}
    manifest = manifest_of(file.path)
    found |= {"bytes": os.path.getsize(file.path), "sha256": digest(file.path)}
    return found | {"verified": "manifest" if manifest else "unverified"}
