"""Events: columns, one signed weight, sample names and a key per row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np

from .._notebook import card, note, table
from ..errors import BlindedError, DataError, nearest
from ..region import Region
from .columns import Rows, as_column, buffers, check_finite, column, common_length, concatenate, kept
from .keys import bootstrap_counts, event_keys, hash_uniform
from .seal import Seal, Sealed, cleared

if TYPE_CHECKING:
    import awkward as ak
    from numpy.typing import ArrayLike, NDArray

    from .objects import Objects

__all__ = ["Events", "Source"]


class Source(Protocol):
    """What `estimate` needs of its events: all of them in memory, or a set of files read in chunks."""

    @property
    def sealed(self) -> tuple[Sealed, ...]:
        """The sealed (sample, region) pairs."""
        ...

    def load(self, columns: Sequence[str] | None = None, region: Region | None = None) -> Events:
        """Return the rows of `region` with the named columns, in memory."""
        ...

    def chunks(self, columns: Sequence[str] | None = None) -> Iterator[Events]:
        """Yield the rows chunk by chunk; chunk edges depend on the input alone."""
        ...


@dataclass(frozen=True, eq=False, repr=False)
class Events:
    """A table of events: columns, one signed weight, the name of each row's sample, and a 64-bit key.

    Attributes
    ----------
    columns
        Name to array of length n: NumPy, or awkward where an entry is a list.
    weight
        Signed weights, float64, shape (n,). `data - prompt` is the rows of both, the prompt ones with negative weight.
    sample
        Index into `samples`, shape (n,).
    samples
        The names of the samples.
    key
        uint64, shape (n,): identifies the event (rows of one event share it). Resampling, folds and splits are hashes
        of it, so they depend on neither the order nor the chunking of the rows.
    sealed
        The (sample, region) pairs whose rows were dropped at the door.

    Examples
    --------
    >>> data = Events.of({"m": np.array([80.0, 125.0, 200.0])}, sample="data")
    >>> prompt = Events.of({"m": np.array([125.0])}, sample="prompt", weight=[0.5])
    >>> (data - 1.1 * prompt).weight
    array([ 1.  ,  1.  ,  1.  , -0.55])
    >>> sr = Region("SR", "(m > 110) & (m < 140)")
    >>> len((data - prompt).select(sr))
    2
    """

    columns: Mapping[str, Any]
    weight: NDArray[np.float64]
    sample: NDArray[np.int16]
    samples: tuple[str, ...]
    key: NDArray[np.uint64]
    sealed: tuple[Sealed, ...] = ()

    # so that a NumPy number times events is `__rmul__`, not an attempt to make an array of them
    __array_ufunc__: ClassVar[None] = None

    @classmethod
    def of(
        cls,
        columns: Mapping[str, ArrayLike | ak.Array],
        *,
        sample: str = "data",
        weight: ArrayLike | str | None = None,
        keys: Sequence[str] = (),
        seal: Region | Seal | None = None,
        first: int = 0,
    ) -> Events:
        """Build events from arrays in memory, dropping the rows of `seal`.

        Parameters
        ----------
        columns
            Name to array, all of one length n.
        sample
            The sample's name.
        weight
            Array of length n, the name of a column, or None for unit weights.
        keys
            Integer columns that identify an event (run, luminosityBlock, event). Without them a row's position among
            the rows that are kept is its identity, counted from `first`.
        seal
            Region, or :func:`seal`, whose rows are dropped; a row with an undefined (NaN) cut value is dropped as well.

        Raises
        ------
        DataError
            If lengths differ, a weight is not finite or a key column is not an integer.
        """
        table = {name: as_column(value, name) for name, value in columns.items()}
        n = common_length(table)
        weights = _as_weight(table, weight, n, sample)
        sealed: tuple[Sealed, ...] = ()
        if seal is not None:
            door = seal if isinstance(seal, Seal) else Seal(seal)
            out = door.region.possible(table)
            revealed = {name: kept(column(table, name), out) for name in door.reveal}
            sealed = (Sealed(sample, door.region, revealed),)
            table = {name: kept(column, ~out) for name, column in table.items()}
            weights = weights[~out]
        _finite_weights(weights, sample)
        n = len(weights)
        ids = [column(table, name) for name in keys] or [np.arange(first, first + n, dtype=np.uint64)]
        key = event_keys(sample, *ids)
        return cls(table, weights, np.zeros(n, np.int16), (sample,), key, sealed)

    def __len__(self) -> int:
        return len(self.weight)

    def __getitem__(self, name: str) -> Any:
        return column(self.columns, name)

    def __repr__(self) -> str:
        counts = np.bincount(self.sample, minlength=len(self.samples))
        parts = ", ".join(f"{name} {count}" for name, count in zip(self.samples, counts, strict=True))
        seals = "; ".join(f"{s.sample} sealed in {s.region.name}" for s in self.sealed)
        return f"Events({len(self)} rows: {parts}; {len(self.columns)} columns{'; ' + seals if seals else ''})"

    def _repr_html_(self) -> str:
        # rows that are sealed are not in memory; what a seal reveals of them is told by name alone
        size = np.bincount(self.sample, minlength=len(self.samples))
        total = np.bincount(self.sample, self.weight, minlength=len(self.samples))
        samples = zip(self.samples, size, (f"{one:.6g}" for one in total), strict=True)
        seals = [(one.sample, one.region.name, one.region.cut, ", ".join(one.revealed or ())) for one in self.sealed]
        return card(
            "Events",
            "",
            table(("sample", "open rows", "sum of weights"), samples),
            table(("sealed sample", "region", "cut", "revealed columns"), seals) if seals else "",
            self._first_rows(5),
        )

    def _first_rows(self, number: int) -> str:
        first = self._take(np.arange(min(number, len(self))))
        names = [self.samples[code] for code in first.sample]
        shown = {"sample": names, "weight": first.weight.tolist()}
        shown |= {name: first.columns[name].tolist() for name in list(first.columns)[:_SHOWN]}
        rows = [[_shown(value) for value in row] for row in zip(*shown.values(), strict=True)]
        more = len(first.columns) - _SHOWN
        rest = note(f"{more} more columns: {', '.join(list(first.columns)[_SHOWN:])}") if more > 0 else ""
        what = f"the first {len(first)} of {len(self)} open rows" if len(self) > len(first) else "all open rows"
        return note(what) + table(list(shown), rows) + rest

    # ---- selection -------------------------------------------------------------------------------------------------

    def select(self, region: Region) -> Events:
        """Return the rows inside `region`.

        Raises
        ------
        BlindedError
            If the region is not provably outside every sealed region of these samples; decided from the cuts alone.
        CutError
            If the cut names an unknown column.
        """
        sealed = tuple(cleared(one, region) for one in self.sealed)
        return replace(self._take(np.flatnonzero(self._inside(region))), sealed=sealed)

    def _inside(self, region: Region) -> NDArray[np.bool_]:
        """Return which rows are inside a region; the last few answers are kept, since replicas ask again and again."""
        kept = self._masks
        found = kept.pop(region.cut, None)
        if found is None:
            found = region.mask(self.columns)
        kept[region.cut] = found
        if len(kept) > _MASKS:
            del kept[next(iter(kept))]
        return found

    @cached_property
    def _masks(self) -> dict[str, NDArray[np.bool_]]:
        return {}

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_masks"}

    def require(self, region: Region, columns: Sequence[str] = (), *, counts: bool = False) -> Events:
        """Return the rows inside `region`, checked to be usable in a fit.

        Raises
        ------
        DataError
            If no row is left, the weights sum to zero or less, a named column is not finite, or, with `counts`,
            a weight is negative.
        """
        rows = self.select(region)
        total = float(rows.weight.sum())
        if len(rows) == 0 or total <= 0.0:
            have = ", ".join(self.samples)
            raise DataError(
                f"region '{region.name}' holds {len(rows)} rows with a sum of weights {total:g} (samples: {have}); "
                f"a fit needs a positive sum: check the cut '{region.cut}'"
            )
        for name in columns:
            check_finite(rows[name], name, region.name, f" (samples: {', '.join(rows.samples)})")
        if counts and bool((rows.weight < 0).any()):
            raise DataError(
                f"region '{region.name}' holds {int((rows.weight < 0).sum())} negative weights, but counts are needed; "
                "name the observed sample, or use a method that takes signed weights"
            )
        return rows

    def only(self, sample: str) -> Events:
        """Return the rows of one sample.

        Raises
        ------
        DataError
            If there is no such sample.
        """
        if sample not in self.samples:
            raise DataError(f"no sample '{sample}' in these events{nearest(sample, self.samples)}")
        rows = self._take(np.flatnonzero(self.sample == self.samples.index(sample)))
        kept = tuple(s for s in self.sealed if s.sample == sample)
        return replace(rows, sample=np.zeros(len(rows), np.int16), samples=(sample,), sealed=kept)

    def is_sealed(self, region: Region) -> bool:
        """Say whether `region` may overlap a region sealed in one of these samples (from the cuts alone)."""
        return any(not region.disjoint(one.region) for one in self.sealed)

    def inclusive(self, name: str) -> Any:
        """Return the column `name` of all rows, the sealed ones included, if the seal reveals it.

        Raises
        ------
        BlindedError
            If a seal does not reveal the column.
        """
        found = self[name]
        for one in self.sealed:
            if one.revealed is None or name not in one.revealed:
                raise BlindedError(
                    f"column '{name}' of the sealed region '{one.region.name}' ({one.sample}) is not revealed here; "
                    f"read with seal(region, reveal=('{name}',)) and ask before selecting"
                )
            found = concatenate(found, one.revealed[name], name)
        return found

    def chunks(self, columns: Sequence[str] | None = None) -> Iterator[Events]:
        """Yield these events as one chunk (they are in memory)."""
        yield self

    def load(self, columns: Sequence[str] | None = None, region: Region | None = None) -> Events:
        """Return these events, or those of `region`."""
        return self if region is None else self.select(region)

    # ---- algebra ---------------------------------------------------------------------------------------------------

    def __add__(self, other: Events) -> Events:
        names = [name for name in self.columns if name in other.columns]
        samples = tuple(dict.fromkeys(self.samples + other.samples))
        codes = [np.array([samples.index(s) for s in e.samples], np.int16)[e.sample] for e in (self, other)]
        return Events(
            {name: concatenate(self.columns[name], other.columns[name], name) for name in names},
            np.concatenate([self.weight, other.weight]),
            np.concatenate(codes).astype(np.int16),
            samples,
            np.concatenate([self.key, other.key]),
            self.sealed + tuple(s for s in other.sealed if s not in self.sealed),
        )

    def __rmul__(self, factor: float) -> Events:
        if not np.isfinite(factor):
            raise DataError(f"events times {factor}: the factor must be finite")
        return replace(self, weight=float(factor) * self.weight)

    def __neg__(self) -> Events:
        return -1.0 * self

    def __sub__(self, other: Events) -> Events:
        return self + (-other)

    def with_weight(self, weight: NDArray[np.float64]) -> Events:
        """Return the same rows with other weights, shape (n,).

        Raises
        ------
        DataError
            If a weight is not finite, or their number is wrong.
        """
        weights = np.asarray(weight, np.float64)
        if weights.shape != self.weight.shape:
            raise DataError(f"weights of shape {weights.shape} for {len(self)} rows")
        _finite_weights(weights, ", ".join(self.samples))
        return replace(self, weight=weights)

    def with_columns(self, columns: Mapping[str, NDArray[Any] | ak.Array]) -> Events:
        """Return the same rows with columns added or replaced."""
        table = {name: as_column(value, name) for name, value in columns.items()}
        if table and common_length(table) != len(self):
            raise DataError(f"columns {sorted(table)} have {common_length(table)} rows, the events {len(self)}")
        return replace(self, columns={**self.columns, **table})

    def relabel(self, sample: str) -> Events:
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
        return replace(self, sample=np.zeros(len(self), np.int16), samples=(sample,), sealed=())

    # ---- identity --------------------------------------------------------------------------------------------------

    def bootstrap(self, seed: int) -> Events:
        """Return the rows with their weights times Poisson(1) counts, a hash of (seed, key).

        Rows of one event share their count. The counts depend on neither order nor chunking.
        """
        return self.with_weight(self.weight * bootstrap_counts(self.key, [seed])[0])

    def uniform(self, seed: int) -> NDArray[np.float64]:
        """Return one uniform number in [0, 1) for each row, a hash of (seed, key): for folds and held-out splits."""
        return hash_uniform(self.key, seed)

    def sorted(self) -> Events:
        """Return the rows in the order of their keys (ties by sample name; rows of one event keep their order)."""
        names = np.argsort(np.argsort(np.array(self.samples))) if self.samples else np.zeros(0, np.int64)
        ties = names[self.sample]
        same = self.key[1:] == self.key[:-1]
        if not ((self.key[1:] < self.key[:-1]) | (same & (ties[1:] < ties[:-1]))).any():
            return self
        return self._take(np.lexsort((ties, self.key)))

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the open rows (columns, weights, samples, keys, in their order) and of what the seals reveal."""
        import hashlib

        digest = hashlib.sha256(
            repr((self.samples, [(s.sample, s.region.cut, s.cleared) for s in self.sealed])).encode()
        )
        own = {"weight": self.weight, "sample": self.sample, "key": self.key}
        revealed = {f"revealed {i}": one.revealed or {} for i, one in enumerate(self.sealed)}
        for part, columns in {"own": own, "columns": self.columns, **revealed}.items():
            for name in sorted(columns):
                digest.update(repr((part, name)).encode())
                for block in buffers(columns[name]):
                    digest.update(f"{block.dtype}{block.shape}".encode())
                    digest.update(np.ascontiguousarray(block).tobytes())
        return digest.hexdigest()

    def _take(self, index: NDArray[Any]) -> Events:
        return replace(
            self,
            columns=Rows(self.columns, index),
            weight=self.weight[index],
            sample=self.sample[index],
            key=self.key[index],
        )

    def flatten(self, objects: Objects) -> Events:
        """Return one row per object; see `backdrop.events.objects.flatten`."""
        from .objects import flatten

        return flatten(self, objects)

    def group(self, objects: Objects) -> Events:
        """Return one row per event, the inverse of :meth:`flatten`; events without objects do not come back."""
        from .objects import group

        return group(self, objects)


_SHOWN = 8
_MASKS = 16


def _shown(value: Any) -> str:
    """Return a cell of a table: a number to six digits, a list cut short."""
    if isinstance(value, list):
        inner = ", ".join(_shown(one) for one in value[:4])
        return f"[{inner}{', …' if len(value) > 4 else ''}]"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _as_weight(table: Mapping[str, Any], weight: Any, n: int, sample: str) -> NDArray[np.float64]:
    if weight is None:
        return np.ones(n)
    values = np.asarray(column(table, weight) if isinstance(weight, str) else weight, np.float64)
    if values.shape != (n,):
        raise DataError(f"weights of sample '{sample}' have shape {values.shape}, expected ({n},)")
    return values.copy()


def _finite_weights(weight: NDArray[np.float64], sample: str) -> None:
    bad = ~np.isfinite(weight)
    if bad.any():
        first = ", ".join(str(i) for i in np.flatnonzero(bad)[:3])
        raise DataError(f"sample '{sample}' has {int(bad.sum())} weights that are NaN or infinite, first rows: {first}")
