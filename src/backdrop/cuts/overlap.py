"""Can an event pass two cuts at once? Decided from the cuts alone, never from data."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from .nodes import MIRRORED, NEGATED, Call, Compare, Junction, Node, Not, Number, Truth

_BUDGET = 100_000


def exclusive(first: Node, second: Node) -> bool:
    """Tell whether two conditions provably never hold together.

    Sound, not complete: comparisons of one expression with constants are intervals, everything
    else compares as text. False means "not proven", also where the search gets too long.
    """
    formulas = _Formulas()
    search = _Search(formulas.opposites)
    try:
        return not search.satisfiable([formulas.of(first), formulas.of(second)])
    except _Exhausted:
        return False


@dataclass(frozen=True, eq=False)
class Bound:
    """``variable relation constant``, where the variable is the text of an expression."""

    variable: str
    relation: str
    constant: int | float


@dataclass(frozen=True, eq=False)
class Every:
    """All of the parts hold."""

    parts: tuple[Formula, ...]


@dataclass(frozen=True, eq=False)
class Some:
    """At least one of the parts holds; with none, nothing does."""

    parts: tuple[Formula, ...]


Formula: TypeAlias = Bound | Every | Some


class _Formulas:
    """Conditions with negations pushed down to the comparisons: equal texts become one object."""

    def __init__(self) -> None:
        self._pairs: dict[str, tuple[Formula, Formula]] = {}
        self.opposites: dict[Formula, Formula] = {}

    def of(self, node: Node) -> Formula:
        return self.pair(node)[0]

    def pair(self, node: Node) -> tuple[Formula, Formula]:
        """Give the formulas that hold where the condition is true, and where it is false."""
        if isinstance(node, Not):
            true, false = self.pair(node.term)
            return false, true
        text = str(node)
        if text not in self._pairs:
            true, false = self._built(node)
            self._pairs[text] = true, false
            self.opposites[true], self.opposites[false] = false, true
        return self._pairs[text]

    def _built(self, node: Node) -> tuple[Formula, Formula]:
        match node:
            case Truth(value=value):
                return (Every(()), Some(())) if value else (Some(()), Every(()))
            case Junction(symbol=symbol, terms=terms):
                pairs = [self.pair(term) for term in terms]
                true, false = tuple(pair[0] for pair in pairs), tuple(pair[1] for pair in pairs)
                return (Every(true), Some(false)) if symbol == "&" else (Some(true), Every(false))
            case Compare(relation=relation, left=left, right=right):
                return _comparison(left, relation, right), _comparison(left, NEGATED[relation], right)
        return Bound(str(node), "==", 1), Bound(str(node), "==", 0)


def _comparison(left: Node, relation: str, right: Node) -> Formula:
    if isinstance(right, Number):
        return _bound(left, relation, right.value)
    first, second = str(left), str(right)
    if second < first:
        first, second, relation = second, first, MIRRORED[relation]
    return Bound(f"{first} <=> {second}", relation, 0)  # the sign of their difference


def _bound(node: Node, relation: str, constant: int | float) -> Formula:
    match node:
        case Call(function="neg", arguments=(inner,)):
            return _bound(inner, MIRRORED[relation], -constant)
        case Call(function="abs", arguments=(inner,)):
            return _absolute(inner, relation, constant)
    return Bound(str(node), relation, constant)


def _absolute(inner: Node, relation: str, constant: int | float) -> Formula:
    both = _bound(inner, relation, constant), _bound(inner, MIRRORED[relation], -constant)
    match relation:
        case "<" | "<=":
            return Every(both)
        case ">" | ">=":
            return Some(both)
        case "==":
            return Some(both if constant >= 0 else ())
    return Every(both if constant >= 0 else ())


class Interval(NamedTuple):
    """The values still open to one variable."""

    low: int | float = -math.inf
    high: int | float = math.inf
    low_open: bool = False
    high_open: bool = False
    excluded: frozenset[int | float] = frozenset()

    @property
    def empty(self) -> bool:
        """Whether no value is left."""
        if self.low == self.high:
            return self.low_open or self.high_open or self.low in self.excluded
        return self.low > self.high

    def narrowed(self, relation: str, constant: int | float) -> Interval:
        """Keep the values that are in `relation` to the constant."""
        low, high, low_open, high_open, excluded = self
        match relation:
            case "!=":
                return Interval(low, high, low_open, high_open, excluded | {constant})
            case "==":
                return self.narrowed(">=", constant).narrowed("<=", constant)
            case "<" | "<=":
                if constant < high or (constant == high and relation == "<"):
                    return Interval(low, constant, low_open, relation == "<", excluded)
            case _:
                if constant > low or (constant == low and relation == ">"):
                    return Interval(constant, high, relation == ">", high_open, excluded)
        return self


_ANYTHING = Interval()


@dataclass(frozen=True)
class _State:
    """What has been assumed: a range for every variable, and the composite formulas that hold."""

    ranges: dict[str, Interval] = field(default_factory=dict)
    held: set[Formula] = field(default_factory=set)

    def copy(self) -> _State:
        return _State(dict(self.ranges), set(self.held))

    def narrowed(self, bound: Bound, relation: str) -> Interval:
        return self.ranges.get(bound.variable, _ANYTHING).narrowed(relation, bound.constant)


class _Exhausted(Exception):
    """The search took more steps than it is allowed."""


class _Search:
    """Depth-first search for values that satisfy every formula, narrowest choice first."""

    def __init__(self, opposites: dict[Formula, Formula]) -> None:
        self.opposites = opposites
        self.steps = _BUDGET

    def satisfiable(self, formulas: Iterable[Formula]) -> bool:
        stack: list[tuple[_State, list[Some], list[Formula]]] = [(_State(), [], list(formulas))]
        while stack:
            known, choices, added = stack.pop()
            state = known.copy()
            found = self.assume(state, added)
            if found is None:
                continue
            choices = [choice for choice in choices + found if not self.settled(state, choice)]
            if not choices:
                return True
            options = [[part for part in choice.parts if self.open(state, part)] for choice in choices]
            narrowest = min(range(len(choices)), key=lambda place: len(options[place]))
            rest = choices[:narrowest] + choices[narrowest + 1 :]
            stack += [(state, rest, [option]) for option in options[narrowest]]
        return False

    def assume(self, state: _State, formulas: list[Formula]) -> list[Some] | None:
        """Add formulas to the state and give the choices they leave, or None for a contradiction."""
        pending, choices = list(formulas), []
        while pending:
            formula = pending.pop()
            self.step()
            if isinstance(formula, Bound):
                state.ranges[formula.variable] = state.narrowed(formula, formula.relation)
                if state.ranges[formula.variable].empty:
                    return None
                continue
            if self.opposites.get(formula) in state.held:
                return None
            state.held.add(formula)
            if isinstance(formula, Every):
                pending += formula.parts
            else:
                choices.append(formula)
        return choices

    def open(self, state: _State, formula: Formula) -> bool:
        """Tell whether a formula, looked at alone, may still hold."""
        self.step()
        if isinstance(formula, Bound):
            return not state.narrowed(formula, formula.relation).empty
        if self.opposites.get(formula) in state.held:
            return False
        if isinstance(formula, Every):
            return all(self.open(state, part) for part in formula.parts)
        return any(self.open(state, part) for part in formula.parts)

    def settled(self, state: _State, choice: Some) -> bool:
        """Tell whether one of the parts holds already, so that nothing is left to choose."""
        return any(self.holds(state, part) for part in choice.parts)

    def holds(self, state: _State, formula: Formula) -> bool:
        self.step()
        if isinstance(formula, Bound):
            return formula.variable in state.ranges and state.narrowed(formula, NEGATED[formula.relation]).empty
        if isinstance(formula, Every):
            return all(self.holds(state, part) for part in formula.parts)
        return formula in state.held

    def step(self) -> None:
        self.steps -= 1
        if self.steps < 0:
            raise _Exhausted
