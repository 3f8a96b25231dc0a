"""Preflight: everything that can be known of the inputs before a row is read, told at once."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeAlias

from ..errors import DataError, nearest
from ..tasks import protect
from .door import Door, scalar_hint
from .fields import Field, field_in_memory
from .files import File, expand, identify, is_path, is_tree_table, refuse_copies
from .manifest import manifest_of
from .memory import MemoryTable, is_table
from .reading import Reading
from .tables import KEY, SAMPLE, WEIGHT, Stored, Table, looked_into

Source: TypeAlias = "File | MemoryTable"

_LISTED = 20
_OWN = (KEY, SAMPLE, WEIGHT)


@dataclass(frozen=True)
class Survey:
    """What one input holds: its columns, the types of those that are needed, and what it says of itself."""

    source: Source
    names: tuple[str, ...]
    fields: Mapping[str, Field]
    stored: Stored | None


def prepare(paths: Any, columns: Sequence[str] | None, tree: str | None, door: Door, chunk_rows: int | None) -> Reading:
    """Find the inputs, look into each, and return how they are read.

    Raises
    ------
    DataError
        Listing every input that is missing, damaged, given twice, lacks a column or holds it in another type.
    """
    sources = _sources(paths, tree)
    surveys = _surveyed(sources, columns, door)
    refuse_copies(source for source in sources if isinstance(source, File))
    _check_fill(surveys, door)
    wanted = _wanted(surveys, columns, door)
    surveys = _same_columns(surveys, wanted, door, named=columns is not None)
    _same_types(surveys)
    fields = _fields(surveys[0], wanted, door, named=columns is not None)
    _check_roles(surveys[0], fields, door)
    raw = {name: field for name, field in surveys[0].fields.items() if field.kind != "unreadable"}
    if not raw:
        raise DataError(f"{sources[0]} has no column of numbers, lists of them, or text")
    samples = _samples([survey.stored for survey in surveys], door.sample)
    protect(source.path for source in sources if isinstance(source, File) and not source.remote)
    return Reading(
        tuple(survey.source for survey in surveys),
        door,
        tuple(name for name in wanted if name in fields),
        fields,
        min(raw, key=lambda name: raw[name].bytes),
        samples,
        tuple(survey.stored for survey in surveys),
        chunk_rows,
    )


def _sources(paths: Any, tree: str | None) -> list[Source]:
    if is_tree_table(paths):
        return [*_by_tree(paths)]
    items = [paths] if is_table(paths) or is_path(paths) or not isinstance(paths, Iterable) else list(paths)
    tables: list[Source] = [MemoryTable(item) for item in items if is_table(item)]
    strange = [item for item in items if not (is_table(item) or is_path(item))]
    if strange:
        raise DataError(
            f"cannot read a {type(strange[0]).__name__}; give paths, a data frame, an awkward array or a dict of arrays"
        )
    if tables and len(tables) < len(items):
        raise DataError("tables in memory and files are mixed; read them separately and add the events")
    return tables or [*expand(items, tree)]


def _by_tree(paths: Mapping[Any, str]) -> list[File]:
    trees = sorted(set(paths.values()))
    if len(trees) == 1:
        return expand(list(paths), trees[0])
    return [file for path, tree in paths.items() for file in expand([path], tree)]


def _surveyed(sources: Sequence[Source], columns: Sequence[str] | None, door: Door) -> list[Survey]:
    found, failed = [], []
    for source in sources:
        try:
            found.append(_survey(source, columns, door))
        except DataError as error:
            failed.append(str(error))
    if failed:
        head = f"{len(failed)} of {len(sources)} inputs cannot be read: " if len(sources) > 1 else ""
        raise DataError(head + "\n  ".join(["", *failed[:_LISTED]] if head else failed))
    return found


def _survey(source: Source, columns: Sequence[str] | None, door: Door) -> Survey:
    if isinstance(source, MemoryTable):
        return _looked_at(source, source, columns, door)
    source = identify(source)
    manifest = None if source.remote else manifest_of(source.path)
    if manifest:
        manifest.check(source.path, None if door.seal else partial(_entries, source))
    if source.format == "csv":
        known = {**{door.raw(key): "int64" for key in door.keys}, **(manifest.columns if manifest else {})}
        source = replace(source, types=tuple(known.items()))
    return looked_into(source, lambda table: _looked_at(source, table, columns, door))


def _entries(file: File) -> int:
    return looked_into(file, lambda table: table.entries)


def _looked_at(source: Source, table: Table, columns: Sequence[str] | None, door: Door) -> Survey:
    names = tuple(name for name in table.names if name not in _OWN)
    needed = _visible(names, door) if columns is None else list(columns)
    raw = {door.raw(name) for name in door.inputs([*needed, *(one.name for one in door.derived)], revealed=True)}
    fields = {name: table.field(name) for name in sorted(raw) if table.has(name)}
    if not names:
        raise DataError(f"{source} has no columns")
    return Survey(source, names, fields or {names[0]: table.field(names[0])}, table.stored)


def _visible(names: Sequence[str], door: Door) -> list[str]:
    old = set(door.rename.values())
    return [*door.rename, *(name for name in names if name not in old)]


def _wanted(surveys: Sequence[Survey], columns: Sequence[str] | None, door: Door) -> list[str]:
    """Return the names of the columns of the events, derived ones last."""
    named = columns
    if named is None:
        named = [name for survey in surveys for name in _visible(survey.names, door)]
    derived = [one.name for one in door.derived]
    for survey in surveys:
        clash = sorted(set(derived) & set(_visible(survey.names, door)))
        if clash:
            raise DataError(f"derived column '{clash[0]}' is a column of {survey.source} as well; rename one of them")
    return list(dict.fromkeys([name for name in named if name not in derived] + derived))


def _same_columns(surveys: list[Survey], wanted: Sequence[str], door: Door, *, named: bool) -> list[Survey]:
    """Check that each input has every column that is needed."""
    raw = [door.raw(name) for name in door.inputs(wanted, revealed=True)]
    missing: dict[str, list[Survey]] = {}
    for survey in surveys:
        for name in raw:
            if name not in survey.fields:
                missing.setdefault(name, []).append(survey)
    if missing:
        lines = [_missing(name, lacking, len(surveys)) for name, lacking in list(missing.items())[:_LISTED]]
        remedy = "" if named else "\n  name the columns to be read: all inputs must have each of them"
        raise DataError("\n  ".join(lines) + remedy)
    return surveys


def _check_fill(surveys: Sequence[Survey], door: Door) -> None:
    """Refuse a value for missing entries of a column that no input has: it would fill nothing."""
    names = dict.fromkeys(name for survey in surveys for name in _visible(survey.names, door))
    for name in door.fill:
        if name not in names:
            raise DataError(f"fill names '{name}', which is no column of the input{_nearest(name, tuple(names))}")


def _missing(name: str, lacking: Sequence[Survey], total: int) -> str:
    where = [f"{survey.source}{_nearest(name, survey.names)}" for survey in lacking[:_LISTED]]
    more = f" and {len(lacking) - _LISTED} more" if len(lacking) > _LISTED else ""
    count = f" in {len(lacking)} of {total} inputs" if total > 1 else ""
    return f"no column '{name}'{count}: {'; '.join(where)}{more}"


def _nearest(name: str, names: Sequence[str]) -> str:
    alike = next((one for one in names if one.lower() == name.lower()), None)
    return f", did you mean '{alike}'?" if alike else nearest(name, names)


def _same_types(surveys: Sequence[Survey]) -> None:
    first = surveys[0]
    for survey in surveys[1:]:
        for name, field in survey.fields.items():
            if name in first.fields and field != first.fields[name]:
                raise DataError(
                    f"column '{name}' is {first.fields[name]} in {first.source} but {field} in {survey.source}; "
                    "write the files with one type, or read them separately"
                )


def _fields(survey: Survey, wanted: Sequence[str], door: Door, *, named: bool) -> dict[str, Field]:
    """Return the types of what is read and of what is derived, the latter from evaluating it on no rows."""
    inputs = door.inputs(wanted, revealed=True)
    types = {name: survey.fields[door.raw(name)] for name in inputs}
    derived = {one.name for one in door.derived}
    unreadable = [name for name in inputs if types[name].kind == "unreadable"]
    if unreadable and named:
        what = ", ".join(f"'{name}' ({types[name]})" for name in unreadable)
        raise DataError(f"{survey.source}: cannot read {what}; columns hold numbers, lists of them, or text")
    if unreadable:
        what = ", ".join(f"'{name}' ({types[name]})" for name in unreadable[:_LISTED])
        warnings.warn(f"{survey.source}: left out {len(unreadable)} columns of other types: {what}", stacklevel=4)
    readable = {name: field for name, field in types.items() if field.kind != "unreadable"}
    table = door.computed({name: field.empty() for name, field in readable.items()}, derived)
    return readable | {name: field_in_memory(table[name]) for name in derived}


def _check_roles(survey: Survey, fields: Mapping[str, Field], door: Door) -> None:
    if door.weight and (found := fields[door.weight]).kind != "number":
        raise DataError(f"weight '{door.weight}' holds {found}; {scalar_hint(door.weight, found)}")
    for name in door.keys:
        found = fields[name]
        if found.kind != "number" or found.dtype.kind not in "iu":
            raise DataError(
                f"{survey.source}: id column '{name}' holds {found}; ids are integers (a 64-bit event number does not "
                "survive a float): write it as an integer"
            )


def _samples(stored: Sequence[Stored | None], sample: str) -> tuple[str, ...]:
    kept = [one for one in stored if one is not None]
    if not kept:
        return (sample,)
    if len(kept) < len(stored):
        raise DataError("files written here and other files are mixed; read them separately and add the events")
    names = tuple(dict.fromkeys(name for one in kept for name in one.samples))
    if sample not in ("data", *names) or (sample != "data" and names != (sample,)):
        raise DataError(
            f"the files keep their own sample names ({', '.join(names)}), sample='{sample}' contradicts them; leave "
            "it out, and use relabel() on the events"
        )
    return names
