"""The door: where rows of a file become rows of events, and sealed ones are dropped."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ConfigError, CutError, DataError, nearest
from ..events import Seal, event_keys
from ..region import evaluate, expression_columns
from .fields import Column, Field, field_in_memory, is_awkward, settle
from .rows import Rows
from .tables import KEY, SAMPLE, WEIGHT

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Composite", "Derived", "Door", "check_drawn", "derivations"]

_FILES = 40
# Temporaries of a hash that stay in the processor's cache: three times faster than one hash of all rows.
_ROWS_OF_A_HASH = 1 << 15


@dataclass(frozen=True)
class Derived:
    """A column computed from others, declared once: at the door before sealing, or after events were drawn or moved.

    Examples
    --------
    >>> pt = Derived("pt", "hypot(px, py)")
    >>> pt.compute({"px": np.array([3.0]), "py": np.array([4.0])})
    array([5.])
    """

    name: str
    expression: str

    def __post_init__(self) -> None:
        try:
            columns = self.columns
        except CutError as error:
            raise CutError(f"derived column '{self.name}': {error}") from None
        if self.name in columns:
            raise CutError(f"derived column '{self.name}' reads itself; give it another name")

    @property
    def columns(self) -> frozenset[str]:
        """The columns the expression reads."""
        return expression_columns(self.expression)

    def compute(self, columns: Mapping[str, Column], *, masked: bool = False) -> Column:
        """Return the values, shape (n,), or lists where the expression works entry by entry.

        A condition gives where it certainly holds, or with `masked` a masked array, where it is undefined.

        Raises
        ------
        CutError
            If it reads a column that is not there.
        """
        try:
            return evaluate(self.expression, columns, masked=masked)
        except CutError as error:
            raise CutError(f"derived column '{self.name}': {error}") from None


class Composite(Mapping[str, Any]):
    """Columns that are there, and derived ones, which are computed when they are asked for."""

    def __init__(self, columns: Mapping[str, Any], derived: tuple[Derived, ...]) -> None:
        self._columns: dict[str, Any] = dict(columns)
        self._derived = {one.name: one for one in derived}

    def __getitem__(self, name: str) -> Any:
        if name not in self._columns:
            self._columns[name] = self._derived[name].compute(self)
        return self._columns[name]

    def __contains__(self, name: object) -> bool:
        return name in self._columns or name in self._derived

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys([*self._columns, *self._derived]))

    def __len__(self) -> int:
        return len(self._columns.keys() | self._derived.keys())

    def __reduce__(self) -> tuple[Any, ...]:
        return (dict, (dict(self.items()),))


def check_drawn(derived: Mapping[str, str], drawn: Iterable[str]) -> None:
    """Check that what is derived from drawn variables reads those, or what is derived before it.

    Raises
    ------
    ConfigError
        If it reads another column, or has the name of one that is there.
    """
    known = list(drawn)
    for name, expression in derived.items():
        for column in Derived(name, expression).columns:
            if column not in known:
                raise ConfigError(
                    f"derived variable '{name}' reads '{column}', which is neither drawn nor derived before it"
                    f"{nearest(column, known)}; there is {', '.join(known)}"
                )
        if name in known:
            raise ConfigError(f"derived variable '{name}' is drawn or derived already; give it another name")
        known.append(name)


def derivations(given: Mapping[str, str] | Iterable[Derived] | None) -> tuple[Derived, ...]:
    """Return derived columns given as a mapping from name to expression, or as they are.

    Raises
    ------
    CutError
        If one reads another that is derived after it.
    """
    if isinstance(given, Mapping):
        given = [Derived(name, expression) for name, expression in given.items()]
    found = tuple(given or ())
    later = {one.name for one in found}
    for one in found:
        later.discard(one.name)
        if early := sorted(one.columns & later):
            raise CutError(f"derived column '{one.name}' reads '{early[0]}', which is derived after it; put it before")
    return found


@dataclass(frozen=True)
class Door:
    """What happens to every row on its way in; see `backdrop.io.read` for the meaning of each setting."""

    sample: str = "data"
    weight: str | None = None
    keys: tuple[str, ...] = ()
    seal: Seal | None = None
    rename: Mapping[str, str] = field(default_factory=dict)
    derived: tuple[Derived, ...] = ()
    fill: Mapping[str, float] = field(default_factory=dict)

    def raw(self, name: str) -> str:
        """Return what the file calls a column."""
        return self.rename.get(name, name)

    def inputs(self, wanted: Iterable[str], *, revealed: bool = False) -> list[str]:
        """Return the columns to be read, by their new names, so that `wanted` ones and the door's own are there."""
        needed = {*wanted, *self.keys, *((self.weight,) if self.weight else ())}
        if self.seal:
            needed |= self.seal.region.columns | (set(self.seal.reveal) if revealed else set())
        for one in reversed(self.derived):
            if one.name in needed:
                needed = (needed - {one.name}) | one.columns
        return sorted(needed)

    def computed(self, columns: Mapping[str, Column], wanted: Iterable[str]) -> dict[str, Column]:
        """Return the columns with holes filled and the needed derived ones added."""
        table = {name: self._filled(name, column) for name, column in columns.items()}
        needed = set(wanted)
        for one in reversed(self.derived):
            if one.name in needed:
                needed |= one.columns
        for one in self.derived:
            if one.name in needed:
                # a seal must know where a condition is undefined: such a row is sealed
                table[one.name] = one.compute(table, masked=True)
        return table

    def _filled(self, name: str, column: Column) -> Column:
        if name not in self.fill:
            return column
        import awkward as ak

        if not is_awkward(column):
            return column
        found = field_in_memory(column)
        if found.kind not in ("number", "list"):
            raise DataError(f"fill={{'{name}': ...}} needs a column of numbers, '{name}' holds {found}")
        return settle(ak.values_astype(ak.fill_none(column, self.fill[name], axis=-1), found.dtype))

    def sealed_rows(self, columns: Mapping[str, Column]) -> NDArray[np.bool_] | None:
        """Return which rows are sealed, None where there is no seal."""
        return self.seal.region.possible(columns) if self.seal else None

    def admit(self, columns: Mapping[str, Column], wanted: Sequence[str], place: Place) -> Rows:
        """Return the open rows of a block as rows of events.

        Raises
        ------
        DataError
            If the weight or a key is not what its role needs.
        """
        table = self.computed(columns, [*wanted, *self._own()])
        out = self.sealed_rows(table)
        inside = None if out is None or not out.any() else ~out
        n = len(next(iter(columns.values()))) if inside is None else int(inside.sum())
        names = dict.fromkeys([*wanted, *self.keys, *((self.weight,) if self.weight else ()), *place.kept])
        kept = {name: self._kept(name, table[name], inside) for name in names}
        sample = place.codes[kept[SAMPLE]] if SAMPLE in place.kept else np.zeros(n, np.int16)
        weight = self._weight(kept, n, place)
        return Rows({name: kept[name] for name in wanted}, weight, sample, self._key(kept, n, place))

    def _kept(self, name: str, column: Column, inside: NDArray[np.bool_] | None) -> Column:
        """Return the open rows of a column; a condition that is undefined in some of them is false there."""
        rows = column if inside is None else column[inside]
        if isinstance(rows, np.ma.MaskedArray) and rows.mask.any():
            warnings.warn(
                f"derived column '{name}' of sample '{self.sample}' is undefined (NaN) in some rows and counts as "
                "false there, also under ~; cut on the columns it is made of, or clean them",
                UserWarning,
                stacklevel=2,
            )
        return settle(rows)

    def _own(self) -> list[str]:
        return [*self.keys, *((self.weight,) if self.weight else ()), *(self.seal.region.columns if self.seal else ())]

    def _weight(self, columns: Mapping[str, Column], n: int, place: Place) -> NDArray[np.float64]:
        name = self.weight or (WEIGHT if WEIGHT in place.kept else None)
        if name is None:
            return np.ones(n)
        weight = numbers(columns[name], name, f"the weight of sample '{self.sample}'")
        return weight.astype(np.float64, copy=False)

    def _key(self, columns: Mapping[str, Column], n: int, place: Place) -> NDArray[np.uint64]:
        if not self.keys and KEY in place.kept:
            return np.asarray(columns[KEY], np.uint64)
        ids = [numbers(columns[name], name, f"an id of sample '{self.sample}'") for name in self.keys]
        first = (place.position << _FILES) + place.open_rows
        key = np.empty(n, np.uint64)
        for start in range(0, n, _ROWS_OF_A_HASH):
            stop = min(start + _ROWS_OF_A_HASH, n)
            part = [one[start:stop] for one in ids] or [np.arange(first + start, first + stop, dtype=np.uint64)]
            key[start:stop] = event_keys(self.sample, *part)
        return key


@dataclass(frozen=True, eq=False)
class Place:
    """Where a block stands: the position of its file, how many open rows of it came before, what it stores itself."""

    position: int = 0
    open_rows: int = 0
    kept: tuple[str, ...] = ()
    codes: NDArray[np.int16] = field(default_factory=lambda: np.zeros(1, np.int16))


def numbers(column: Column, name: str, role: str) -> NDArray[Any]:
    """Return a column as one number a row.

    Raises
    ------
    DataError
        If it holds lists, text or missing values.
    """
    if not is_awkward(column) and column.dtype.kind in "biuf":
        return np.asarray(column)
    found = field_in_memory(column)
    if found.kind == "number":
        raise DataError(f"column '{name}' is {role}, but some values are missing; give fill={{'{name}': value}}")
    raise DataError(f"column '{name}' is {role}, but holds {found}; {scalar_hint(name, found)}")


def scalar_hint(name: str, found: Field) -> str:
    """Say how a column that is no number can be made one."""
    if found.kind == "list":
        return f"take one entry or reduce it in a derived column, as in '{name}[0]' or 'sum({name})'"
    return "name a column of numbers"
