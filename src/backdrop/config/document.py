"""Document: what a configuration file says, and where it says it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import BackdropError, ConfigError

__all__ = ["Document", "Entry", "Mark", "Node", "Path", "shown"]

Path = tuple[str | int, ...]
"""Keys and positions from the top of a document down to a value."""

_WIDTH = 100


@dataclass(frozen=True)
class Mark:
    """A place in a text: line and column, both counted from 1."""

    line: int
    column: int


@dataclass(frozen=True)
class Node:
    """A value and where it stands; `size` counts the values in it, those behind an alias each time they are named."""

    value: bool | int | float | str | tuple[Node, ...] | Mapping[str, Entry] | None
    start: Mark
    end: Mark
    size: int = 1

    def plain(self) -> Any:
        """Return the value as dicts, lists and scalars."""
        if isinstance(self.value, Mapping):
            return {name: entry.value.plain() for name, entry in self.value.items()}
        if isinstance(self.value, tuple):
            return [item.plain() for item in self.value]
        return self.value

    def child(self, step: str | int) -> Entry | None:
        """Return the entry under a key or at a position, None if there is none."""
        if isinstance(self.value, Mapping):
            return self.value.get(str(step))
        if isinstance(self.value, tuple) and isinstance(step, int) and 0 <= step < len(self.value):
            return Entry(self.value[step], self.value[step])
        return None


@dataclass(frozen=True)
class Entry:
    """A key and its value; an item of a list is its own key."""

    key: Node
    value: Node


@dataclass(frozen=True)
class Document:
    """A configuration that was read, with the place of each key and value.

    Attributes
    ----------
    name
        The file's name as messages show it.
    text
        The file's text.
    root
        The outermost value.
    """

    name: str
    text: str = field(repr=False)
    root: Node = field(repr=False)

    def plain(self) -> Any:
        """Return the content as dicts, lists and scalars."""
        return self.root.plain()

    def error(self, path: Path, message: str, *, on_key: bool = False) -> ConfigError:
        """Return an error that shows the line of the value at `path` (or of its key) with a caret under it."""
        return ConfigError(self.message(path, message, on_key=on_key))

    def located(self, path: Path, error: BackdropError) -> BackdropError:
        """Return the error of an object that was built from the value at `path`, with the place in front."""
        return type(error)(self.message(path, str(error)))

    def message(self, path: Path, message: str, *, on_key: bool = False) -> str:
        """Return the text of an error at `path`: file, line, column, message and the line with a caret."""
        node = self._node(path, on_key)
        return shown(self.name, self.text, node.start, node.end, message)

    def line(self, path: Path) -> int:
        """Return the line of the value at `path`, to sort messages by."""
        return self._node(path, True).start.line

    def _node(self, path: Path, on_key: bool) -> Node:
        """Return the node at `path`, or the deepest one on the way to it."""
        here = Entry(self.root, self.root)
        for step in path:
            below = here.value.child(step)
            if below is None:
                return here.key
            here = below
        return here.key if on_key else here.value


def shown(name: str, text: str, start: Mark, end: Mark, message: str) -> str:
    """Return a message with its place and the line it is about.

    Examples
    --------
    >>> print(shown("a.yaml", "seed: one", Mark(1, 7), Mark(1, 10), "seed must be an integer"))
    a.yaml:1:7: seed must be an integer
      1 | seed: one
        |       ^^^
    """
    lines = text.splitlines() or [""]
    line = lines[min(start.line, len(lines)) - 1]
    first = max(0, start.column - 1 - _WIDTH // 2) if len(line) > _WIDTH else 0
    piece = line[first : first + _WIDTH]
    stop = end.column - 1 if end.line == start.line else len(line)
    carets = max(1, min(stop, first + _WIDTH) - (start.column - 1))
    number, blank = f"{start.line:>3} | ", " " * 3 + " | "
    pad = " " * (start.column - 1 - first)
    return f"{name}:{start.line}:{start.column}: {message}\n{number}{piece}\n{blank}{pad}{'^' * carets}"
