"""YAML as configurations need it: one meaning per text, bounded, and with the place of every value.

Differences from what PyYAML loads: ``1e-3`` is a number; ``no``, ``off``, ``yes`` and ``on`` are texts; ``010`` is an
error rather than 8; a key given twice is an error; tags (``!!python/…`` and all others), merge keys and several
documents are errors; size, depth and aliases are bounded.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path as FilePath
from typing import Any

import yaml

from ..errors import ConfigError
from .document import Document, Entry, Mark, Node, shown

__all__ = ["parse", "read"]

_BYTES, _DEPTH, _ALIASES, _VALUES = 1_000_000, 50, 100, 20_000
_DIGITS = 20

_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLEAN = {text: text.lower() == "true" for text in ("true", "True", "TRUE", "false", "False", "FALSE")}
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_OCTAL_LOOKING = re.compile(r"[-+]?0[0-9_]+")
_SPECIAL = {".inf": math.inf, "+.inf": math.inf, "-.inf": -math.inf, ".nan": math.nan}


def read(path: FilePath | str) -> Document:
    """Read a YAML file.

    Raises
    ------
    ConfigError
        If the file cannot be read or is not such YAML; the message names line and column.
    """
    path = FilePath(path)
    try:
        with open(path, "rb") as file:
            data = file.read(_BYTES + 1)
    except IsADirectoryError:
        raise ConfigError(f"'{path}' is a directory; name the YAML file in it") from None
    except OSError as error:
        raise ConfigError(f"cannot read the configuration '{path}': {error.strerror}") from None
    if len(data) > _BYTES:
        raise ConfigError(f"'{path}' is larger than {_BYTES // 1000} kB; a configuration holds settings, not data")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"'{path}' is not UTF-8 text: byte {error.start} is {data[error.start]:#04x}") from None
    return parse(text, str(path))


def parse(text: str, name: str = "<text>") -> Document:
    r"""Read YAML from a text; `name` stands for it in messages.

    Raises
    ------
    ConfigError
        If it is not such YAML; the message names line and column.

    Examples
    --------
    >>> parse("cut: 1e-3\nflag: no").plain()
    {'cut': 0.001, 'flag': 'no'}
    """
    if len(text.encode()) > _BYTES:
        raise ConfigError(f"'{name}' is larger than {_BYTES // 1000} kB; a configuration holds settings, not data")
    try:
        return Document(name, text, _Composer(name, text).document())
    except yaml.reader.ReaderError as error:
        raise ConfigError(f"{name}: character {error.position} is {error.character!r}: {error.reason}") from None
    except yaml.MarkedYAMLError as error:
        place = error.problem_mark or error.context_mark
        mark = Mark(1, 1) if place is None else Mark(place.line + 1, place.column + 1)
        reason = ", ".join(part for part in (error.context, error.problem, error.note) if part)
        raise ConfigError(shown(name, text, mark, mark, f"this is not YAML: {reason}")) from None


class _Composer:
    """Builds nodes from the parser's events, one after the other."""

    def __init__(self, name: str, text: str) -> None:
        self._name, self._text = name, text
        self._events: Iterator[Any] = iter(yaml.parse(text, Loader=yaml.SafeLoader))
        self._anchors: dict[str, Node] = {}
        self._aliases = 0
        self._values = 0

    def document(self) -> Node:
        event = self._next(yaml.StreamStartEvent)
        if not isinstance(event, yaml.DocumentStartEvent):
            raise self._error(event, "the file is empty")
        if event.tags:
            raise self._error(event, "tags are not allowed here: a configuration holds plain values")
        root = self._node(next(self._events), 0)
        after = self._next(yaml.DocumentEndEvent)
        if not isinstance(after, yaml.StreamEndEvent):
            raise self._error(after, "a second document starts here; a configuration is one document")
        return root

    def _next(self, skip: type[Any]) -> Any:
        event = next(self._events)
        return next(self._events) if isinstance(event, skip) else event

    def _error(self, event: Any, message: str) -> ConfigError:
        return ConfigError(shown(self._name, self._text, _start(event), _end(event), message))

    def _node(self, event: Any, depth: int) -> Node:
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event)
        if event.tag is not None:
            raise self._error(event, f"the tag '{event.tag:.80}' is not allowed: a configuration holds plain values")
        self._values += 1
        if self._values > _VALUES:
            raise self._error(event, f"more than {_VALUES} values; a configuration holds settings, not data")
        if depth > _DEPTH:
            raise self._error(event, f"values are nested more than {_DEPTH} deep")
        if isinstance(event, yaml.ScalarEvent):
            node = Node(self._scalar(event), _start(event), _end(event))
        elif isinstance(event, yaml.SequenceStartEvent):
            node = self._sequence(event, depth)
        else:
            node = self._mapping(event, depth)
        if event.anchor:
            self._anchors[event.anchor] = node
        return node

    def _alias(self, event: Any) -> Node:
        self._aliases += 1
        if self._aliases > _ALIASES:
            raise self._error(event, f"more than {_ALIASES} aliases")
        if event.anchor not in self._anchors:
            raise self._error(event, f"the alias '*{event.anchor}' has no anchor '&{event.anchor}' that ends before it")
        node = self._anchors[event.anchor]
        return Node(node.value, _start(event), _end(event), node.size)

    def _sequence(self, start: Any, depth: int) -> Node:
        items: list[Node] = []
        for event in self._until(yaml.SequenceEndEvent):
            items.append(self._node(event, depth + 1))
        return self._bounded(start, tuple(items), sum(item.size for item in items))

    def _mapping(self, start: Any, depth: int) -> Node:
        entries: dict[str, Entry] = {}
        for event in self._until(yaml.MappingEndEvent):
            key = self._key(event, depth)
            name = str(key.value)
            if name in entries:
                first = entries[name].key.start.line
                raise self._error(event, f"the key '{name}' is given twice, first in line {first}; keep one of them")
            entries[name] = Entry(key, self._node(next(self._events), depth + 1))
        return self._bounded(start, entries, sum(entry.value.size for entry in entries.values()))

    def _bounded(self, start: Any, value: Any, size: int) -> Node:
        if size > _VALUES:
            raise self._error(start, f"the aliases in here stand for more than {_VALUES} values")
        return Node(value, _start(start), _end(start), size + 1)

    def _until(self, end: type[Any]) -> Iterator[Any]:
        while not isinstance(event := next(self._events), end):
            yield event

    def _key(self, event: Any, depth: int) -> Node:
        if not isinstance(event, yaml.ScalarEvent):
            raise self._error(event, "a key must be a text")
        key = self._node(event, depth + 1)
        if key.value == "<<" and event.style is None:
            raise self._error(event, "merge keys ('<<') are not read; write the keys out, or name an alias as a value")
        if not isinstance(key.value, str):
            raise self._error(event, f"a key must be a text, and {event.value or 'null'} is none; quote it")
        return key

    def _scalar(self, event: Any) -> bool | int | float | str | None:
        text = self._paired(event)
        if event.style is not None:
            return text
        if text in _NULL:
            return None
        if text in _BOOLEAN:
            return _BOOLEAN[text]
        return self._number(event, text)

    def _paired(self, event: Any) -> str:
        """Return the text of a scalar, surrogates (JSON writes characters so) joined."""
        try:
            return str(event.value).encode("utf-16", "surrogatepass").decode("utf-16")
        except UnicodeDecodeError:
            raise self._error(event, "half a character (a lone surrogate) is no text") from None

    def _number(self, event: Any, text: str) -> int | float | str:
        if _OCTAL_LOOKING.fullmatch(text):
            plain = re.sub(r"^([-+]?)0+(?=\d)", r"\1", text.replace("_", ""))
            raise self._error(
                event, f'{text} reads as {plain} or, in older YAML, as octal; write {plain}, or "{text}" for a text'
            )
        if _INTEGER.fullmatch(text):
            if len(text) > _DIGITS:
                raise self._error(event, f"an integer of {len(text)} digits; at most {_DIGITS}")
            return int(text)
        if _FLOAT.fullmatch(text):
            value = float(text)
            if math.isinf(value):
                raise self._error(event, f"the number {text} is too large for a float; write .inf for infinity")
            return value
        return _SPECIAL.get(text.lower(), text)


def _start(event: Any) -> Mark:
    return Mark(event.start_mark.line + 1, event.start_mark.column + 1)


def _end(event: Any) -> Mark:
    return Mark(event.end_mark.line + 1, event.end_mark.column + 1)
