"""The numbers of a figure as a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from .file import numbers

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["table"]


def table(figure: Figure) -> list[list[Any]]:
    """Return the numbers that a figure shows as rows, the first of which are the names of the columns.

    Edges become a lower and an upper one; a matrix has a column for each of its own; columns may end early.
    """
    columns = dict(_columns("", numbers(figure)))
    rows = zip_longest(*columns.values(), fillvalue="")
    return [list(columns), *([("" if value is None else value) for value in row] for row in rows)] if columns else []


def _columns(name: str, value: Any) -> Iterator[tuple[str, list[Any]]]:
    if isinstance(value, Mapping):
        if name and value and all(_is_record(one) for one in value.values()):
            yield name, list(value)
            for key in next(iter(value.values())):
                yield key, [one.get(key) for one in value.values()]
            return
        for key, inside in value.items():
            yield from _columns(f"{name}.{key}" if name else str(key), inside)
    elif isinstance(value, list) and value:
        if name.rpartition(".")[2] == "edges":
            yield from (("low", value[:-1]), ("high", value[1:]))
        elif all(isinstance(row, list) for row in value):
            yield from ((f"{name} {i + 1}", list(column)) for i, column in enumerate(zip_longest(*value)))
        else:
            yield name, value


def _is_record(value: Any) -> bool:
    return isinstance(value, Mapping) and not any(isinstance(one, list | Mapping) for one in value.values())
