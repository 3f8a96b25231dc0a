"""The tree a cut is read into; `str()` of a node is its canonical text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

NEGATED = {"<": ">=", ">=": "<", ">": "<=", "<=": ">", "==": "!=", "!=": "=="}
MIRRORED = {"<": ">", ">": "<", "<=": ">=", ">=": "<=", "==": "==", "!=": "!="}
REDUCTIONS = frozenset({"count", "any", "all", "sum", "min", "max"})


@dataclass(frozen=True)
class Number:
    """A finite constant."""

    value: int | float
    at: int = field(default=0, compare=False)

    def __str__(self) -> str:
        return repr(self.value)


@dataclass(frozen=True)
class Truth:
    """The constant ``true`` or ``false``."""

    value: bool
    at: int = field(default=0, compare=False)

    def __str__(self) -> str:
        return str(self.value).lower()


@dataclass(frozen=True)
class Column:
    """A column, one value or one list per event."""

    name: str
    at: int = field(default=0, compare=False)

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Item:
    """One entry of a column of lists, undefined where the list is shorter."""

    name: str
    index: int
    at: int = field(default=0, compare=False)

    def __str__(self) -> str:
        return f"{self.name}[{self.index}]"


@dataclass(frozen=True)
class Call:
    """An operator or function applied entry by entry, ``where`` included."""

    function: str
    arguments: tuple[Node, ...]
    at: int = field(default=0, compare=False)

    def __str__(self) -> str:
        texts = [str(argument) for argument in self.arguments]
        if self.function in ("+", "*"):
            texts.sort()  # exactly commutative in floating point, unlike associativity
        return f"{self.function}({', '.join(texts)})"


@dataclass(frozen=True)
class Reduction:
    """A function that turns each event's list into one value."""

    function: str
    argument: Node
    at: int = field(default=0, compare=False)

    def __str__(self) -> str:
        return f"reduce_{self.function}({self.argument})"


@dataclass(frozen=True)
class Compare:
    """``left relation right``; a constant always stands on the right."""

    relation: str
    left: Node
    right: Node
    at: int = field(default=0, compare=False)

    def __str__(self) -> str:
        return f"({self.left} {self.relation} {self.right})"


@dataclass(frozen=True)
class Junction:
    """All (``&``) or at least one (``|``) of several conditions."""

    symbol: str
    terms: tuple[Node, ...]
    at: int = field(default=0, compare=False)

    def __str__(self) -> str:
        return "(" + f" {self.symbol} ".join(sorted(str(term) for term in self.terms)) + ")"


@dataclass(frozen=True)
class Not:
    """The opposite of a condition."""

    term: Node
    at: int = field(default=0, compare=False)

    def __str__(self) -> str:
        return f"~{self.term}"


Node: TypeAlias = Number | Truth | Column | Item | Call | Reduction | Compare | Junction | Not


def children(node: Node) -> tuple[Node, ...]:
    """Give the nodes directly below this one."""
    match node:
        case Call(arguments=arguments):
            return arguments
        case Reduction(argument=argument):
            return (argument,)
        case Compare(left=left, right=right):
            return (left, right)
        case Junction(terms=terms):
            return terms
        case Not(term=term):
            return (term,)
    return ()


def walk(node: Node) -> Iterator[Node]:
    """Visit the node and everything below it, left to right."""
    yield node
    for child in children(node):
        yield from walk(child)


def constants_of(node: Node, column: str) -> Iterator[int | float]:
    """Visit the constants that a column is compared with, directly or by its absolute value."""
    for one in walk(node):
        match one:
            case Compare(left=Column(name=name), right=Number(value=value)) if name == column:
                yield value
            case Compare(left=Call(function="abs", arguments=(Column(name=name),)), right=Number(value=value)):
                yield from (-value, value) if name == column else ()
