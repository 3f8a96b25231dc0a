"""_Evaluation of a cut in three-valued logic: a comparison with NaN is neither true nor false.

Every condition is asked where it *certainly* has a truth value. Negations are pushed down to the
comparisons on the way, so each is evaluated once, at the cost of plain NumPy.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import CutError, nearest
from . import arithmetic
from .arithmetic import Array, Mask
from .columns import Values, load, rows
from .grammar import Program, is_condition
from .nodes import NEGATED, Call, Column, Compare, Item, Junction, Node, Not, Number, Reduction, Truth

if TYPE_CHECKING:
    import awkward

Columns: TypeAlias = Mapping[str, Any]

_LISTED = 20


def certain(program: Program, columns: Columns, value: bool, owner: str) -> Mask:
    """Tell in which events a condition certainly has the truth value `value`.

    Raises
    ------
    CutError
        A column is not there, or does not fit where the cut uses it.
    """
    evaluation = _Evaluation.of(program, columns, owner)
    result = evaluation.certain(program.tree, value)
    if result.counts is not None:
        raise evaluation.error(
            program.tree,
            "gives one answer per list entry where one per event is needed; "
            "write `any(...)`, `all(...)`, `count(...) > 0` or pick an entry as in `x[0]`",
        )
    return result.data if result.data.ndim else np.full(evaluation.rows, result.data)


def value(program: Program, columns: Columns, owner: str, *, masked: bool = False) -> Array | awkward.Array:
    """Give the value of an expression in every event; of a condition, where it certainly holds.

    With `masked`, a condition is a masked array if it is undefined in some events.

    Raises
    ------
    CutError
        A column is not there, or does not fit where the expression uses it.
    """
    evaluation = _Evaluation.of(program, columns, owner)
    tree = program.tree
    condition = evaluation.is_condition(tree)
    result = evaluation.certain(tree, True) if condition else evaluation.number(tree)
    if condition and masked and result.counts is None:
        known = result.data | evaluation.certain(tree, False).data
        if not known.all():
            return np.ma.MaskedArray(result.data, mask=~known)
    if result.counts is not None:
        import awkward as ak

        return ak.unflatten(result.data, result.counts)
    if not result.data.ndim:
        return np.full(evaluation.rows, result.data)
    return result.data.copy() if isinstance(tree, Column) else result.data


@dataclass(frozen=True)
class _Evaluation:
    """One cut on one set of columns."""

    program: Program
    columns: Columns
    owner: str
    rows: int
    loaded: dict[str, Values] = field(default_factory=dict)

    @classmethod
    def of(cls, program: Program, columns: Columns, owner: str) -> _Evaluation:
        """Check that every name is there before anything is evaluated."""
        for name in sorted(program.columns):
            if name not in columns:
                hint = nearest(name, columns) or f"; there are {_listed(columns)}"
                raise CutError(f"{owner} reads column '{name}', which is not there{hint}")
        for name in sorted(program.constants):
            if name in columns:
                raise CutError(f"{owner} uses the constant '{name}', which is a column as well; rename the column")
        read = {name: columns[name] for name in sorted(program.columns)} or {
            name: columns[name] for name in list(columns)[:1]
        }
        if not read:
            raise CutError(f"{owner} reads no column and there is none to tell the number of events")
        try:
            return cls(program, columns, owner, rows(read))
        except (ValueError, TypeError) as error:
            raise CutError(f"{owner}: {error}") from None

    def error(self, node: Node, what: str) -> CutError:
        return self.program.source.error(node.at, f"{self.owner}: {what}")

    def is_condition(self, node: Node) -> bool:
        """Tell whether a node is a condition, given the types of the columns."""
        known = is_condition(node)
        if known is not None:
            return known
        if isinstance(node, Call):
            return all(self.is_condition(branch) for branch in node.arguments[1:])
        return self.entry(node).data.dtype.kind == "b"

    def entry(self, node: Node) -> Values:
        """Give the values of a column, or of one entry of its lists."""
        if not isinstance(node, (Column, Item)):
            raise self.error(node, "is not a column")
        if node.name not in self.loaded:
            try:
                self.loaded[node.name] = load(self.columns[node.name])
            except (TypeError, ValueError) as error:
                allowed = "numbers or booleans, one or one list of them per event"
                raise self.error(node, f"column '{node.name}' {error}; a cut reads {allowed}") from None
        values = self.loaded[node.name]
        if isinstance(node, Column):
            return values
        if values.counts is None:
            raise self.error(node, f"column '{node.name}' has one value per event; write it without [{node.index}]")
        return values.item(node.index)

    def certain(self, node: Node, value: bool) -> Values:
        """Tell where a condition certainly has a truth value."""
        match node:
            case Truth(value=constant):
                return Values(np.asarray(constant == value))
            case Not(term=term):
                return self.certain(term, not value)
            case Junction(symbol=symbol, terms=terms):
                return self.junction(node, terms, value, both=(symbol == "&") == value)
            case Compare():
                return self.comparison(node, value)
            case Reduction(function=("any" | "all") as function, argument=argument):
                return self.quantifier(node, argument, value, both=(function == "all") == value)
            case Call(function="where", arguments=(choice, left, right)) if self.is_condition(node):
                return self.choice(node, (choice, left, right), value)
        if not self.is_condition(node):
            raise self.error(node, f"a number stands where a condition is needed; write `{node} != 0`")
        flags = self.entry(node)
        data = flags.data.copy() if value else ~flags.data
        return Values(data if flags.missing is None else data & ~flags.missing, flags.counts)

    def junction(self, node: Node, terms: tuple[Node, ...], value: bool, both: bool) -> Values:
        result = self.certain(terms[0], value)
        for term in terms[1:]:
            left, right = self.aligned(node, [result, self.certain(term, value)])
            result = Values(_joined(left.data, right.data, both), left.counts)
        return result

    def comparison(self, node: Compare, value: bool) -> Values:
        relation = node.relation if value else NEGATED[node.relation]
        left = self.number(node.left)
        if isinstance(node.right, Number):
            return Values(arithmetic.compare(relation, left.data, node.right.value), left.counts)
        left, right = self.aligned(node, [left, self.number(node.right)])
        return Values(arithmetic.compare(relation, left.data, right.data), left.counts)

    def quantifier(self, node: Node, argument: Node, value: bool, both: bool) -> Values:
        entries = self.lists(node, argument, self.certain(argument, value))
        found = _reduced(np.add, entries.data if not both else ~entries.data, entries.counts, np.int64)
        return Values(found == 0 if both else found > 0)

    def choice(self, node: Node, arguments: tuple[Node, Node, Node], value: bool) -> Values:
        choice, left, right = arguments
        parts = [self.certain(choice, True), self.certain(choice, False)]
        parts += [self.certain(left, value), self.certain(right, value)]
        first, second, a, b = self.aligned(node, parts)
        return Values((first.data & a.data) | (second.data & b.data) | (a.data & b.data), first.counts)

    def number(self, node: Node) -> Values:
        """Give the value of a node as numbers, NaN where undefined."""
        match node:
            case Number(value=constant):
                return Values(np.asarray(constant))
            case Call(function="where", arguments=(choice, left, right)) if not self.is_condition(node):
                return self.chosen(node, choice, left, right)
            case Call(function=function, arguments=arguments) if not self.is_condition(node):
                return self.applied(node, function, arguments)
            case Reduction(function=("count" | "sum" | "min" | "max") as function, argument=argument):
                return self.reduced(node, function, argument)
            case Column() | Item():
                return self.entry(node).numbers()
        return self.truth_number(node)

    def truth_number(self, node: Node) -> Values:
        """Give 1 and 0 for a condition, NaN where it is undefined."""
        true, false = self.certain(node, True), self.certain(node, False)
        known = true.data | false.data
        data = true.data.astype(np.int64) if known.all() else np.where(known, true.data.astype(np.float64), np.nan)
        return Values(data, true.counts)

    def applied(self, node: Node, function: str, arguments: tuple[Node, ...]) -> Values:
        values = self.aligned(node, [self.number(argument) for argument in arguments])
        try:
            return Values(arithmetic.apply(function, [value.data for value in values]), values[0].counts)
        except OverflowError as error:
            raise self.error(node, f"{error}; multiply by 1.0 for floating-point arithmetic") from None

    def chosen(self, node: Node, choice: Node, left: Node, right: Node) -> Values:
        parts = [self.certain(choice, True), self.certain(choice, False), self.number(left), self.number(right)]
        first, second, a, b = self.aligned(node, parts)
        if (first.data | second.data).all():
            return Values(np.where(first.data, a.data, b.data), first.counts)
        return Values(np.where(first.data, a.data, np.where(second.data, b.data, np.nan)), first.counts)

    def reduced(self, node: Node, function: str, argument: Node) -> Values:
        if function == "count":
            return self.count(node, argument)
        entries = self.lists(node, argument, self.number(argument))
        if function == "sum":
            data = self.summable(node, entries)
            return Values(_reduced(np.add, data, entries.counts, data.dtype))
        ufunc = np.minimum if function == "min" else np.maximum
        return Values(_reduced(ufunc, entries.data, entries.counts, None))

    def summable(self, node: Node, entries: Values) -> Array:
        longest = 0 if entries.counts is None or not entries.counts.size else int(entries.counts.max())
        try:
            return arithmetic.summable(entries.data, longest)
        except OverflowError as error:
            raise self.error(node, f"{error}; multiply by 1.0 for floating-point arithmetic") from None

    def count(self, node: Node, argument: Node) -> Values:
        if self.is_condition(argument):
            true = self.lists(node, argument, self.certain(argument, True))
            false = self.lists(node, argument, self.certain(argument, False))
            passed, known = true.data, true.data | false.data
        else:
            true = self.lists(node, argument, self.number(argument))
            passed = known = ~np.isnan(true.data)
        found = _reduced(np.add, passed, true.counts, np.int64)
        if known.all():
            return Values(found)
        undefined = _reduced(np.add, ~known, true.counts, np.int64) > 0
        return Values(np.where(undefined, np.nan, found))

    def lists(self, node: Node, argument: Node, values: Values) -> Values:
        if values.counts is None:
            raise self.error(node, "works on one list per event, but its argument has one value per event")
        return values

    def aligned(self, node: Node, values: list[Values]) -> list[Values]:
        """Repeat values per event for every entry of the lists they meet."""
        counts = next((value.counts for value in values if value.counts is not None), None)
        if counts is None:
            return values
        for value in values:
            if value.counts is not None and not np.array_equal(value.counts, counts):
                raise self.error(node, "joins lists of different lengths; reduce one of them first, as in `max(x)`")
        return [value if value.counts is not None else _repeated(value.data, counts) for value in values]


def _listed(names: Iterable[str]) -> str:
    known = sorted(names)
    return ", ".join(known[:_LISTED]) + (", ..." if len(known) > _LISTED else "") if known else "none"


def _joined(left: Mask, right: Mask, both: bool) -> Mask:
    join = np.logical_and if both else np.logical_or
    return np.asarray(join(left, right, out=left if left.ndim else None))  # masks are never shared: reuse one


def _repeated(data: Array, counts: NDArray[np.int64]) -> Values:
    return Values(np.repeat(data, counts) if data.ndim else np.full(counts.sum(), data), counts)


def _reduced(ufunc: np.ufunc, data: Array, counts: Any, dtype: Any) -> Array:
    """Reduce every list; an empty one gives 0 under addition, NaN under minimum and maximum."""
    filled = counts > 0
    starts = (np.cumsum(counts) - counts)[filled]
    if ufunc is np.add:
        result = np.zeros(len(counts), dtype=dtype)
    elif filled.all():
        return np.asarray(ufunc.reduceat(data, starts)) if len(starts) else data.astype(np.float64)
    else:
        result = np.full(len(counts), np.nan)
    if starts.size:
        result[filled] = ufunc.reduceat(data, starts, dtype=dtype)
    return result
