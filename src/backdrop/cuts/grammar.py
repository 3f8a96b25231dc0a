"""From the text of a cut to its tree: a closed language, of which nothing reaches Python's eval."""

from __future__ import annotations

import ast
import functools
import math
import re
from dataclasses import dataclass

import numpy as np

from ..errors import CutError, nearest
from . import arithmetic
from .nodes import (
    MIRRORED,
    REDUCTIONS,
    Call,
    Column,
    Compare,
    Item,
    Junction,
    Node,
    Not,
    Number,
    Reduction,
    Truth,
    walk,
)
from .tokens import Source, check_tokens

CONSTANTS: dict[str, Node] = {"pi": Number(math.pi), "true": Truth(True), "false": Truth(False)}
FUNCTIONS = frozenset(name for name in arithmetic.ARITY if name.isidentifier()) - {"neg"} | REDUCTIONS

_LONGEST = 10_000
_LONGEST_REWRITE = 200
_DEEPEST = 200
_ARITHMETIC = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.Mod: "%", ast.Pow: "**"}
_RELATIONS = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!="}
_JUNCTIONS = {ast.BitAnd: "&", ast.BitOr: "|", ast.And: "&", ast.Or: "|"}


@dataclass(frozen=True)
class Program:
    """A cut or expression that has been read.

    `symbol` is the operator that binds last in the text (``"&"``, ``"|"`` or none), which tells
    whether the text needs brackets when more is joined to it. `terms` are the texts of the parts of
    ``a & b & c``, or the whole text alone.
    """

    source: Source
    tree: Node
    columns: frozenset[str]
    constants: frozenset[str]
    symbol: str | None
    terms: tuple[str, ...]


def read_condition(text: str) -> Program:
    """Read a cut.

    Raises
    ------
    CutError
        The text is not a condition of the cut language; the message points at the place.
    """
    return _read(_checked(text), condition=True)


def read_expression(text: str) -> Program:
    """Read an expression, a number or a condition for each event.

    Raises
    ------
    CutError
        The text is not an expression of the cut language; the message points at the place.
    """
    return _read(_checked(text), condition=False)


def is_condition(node: Node) -> bool | None:
    """Tell whether a node is a condition (True), a number (False), or depends on the columns (None)."""
    match node:
        case Truth() | Compare() | Junction() | Not() | Reduction(function="any" | "all"):
            return True
        case Column() | Item():
            return None
        case Call(function="where", arguments=(_, left, right)):
            kinds = {is_condition(left), is_condition(right)}
            return False if False in kinds else (None if None in kinds else True)
    return False


def _checked(text: str) -> str:
    if not isinstance(text, str):
        raise CutError(f"a cut is a text, not {type(text).__name__}: {text!r:.80}")
    if len(text) > _LONGEST:
        raise CutError(f"the cut has {len(text)} characters, at most {_LONGEST} are read: {text[:60]!r}...")
    return text


@functools.lru_cache(maxsize=2048)
def _read(text: str, condition: bool) -> Program:
    source = Source.of(text)
    check_tokens(source)
    body = _parse(source)
    _check_depth(source, body)
    reader = _Reader(source)
    tree = reader.condition(body) if condition else reader.read(body)
    names = {node.id for node in ast.walk(body) if isinstance(node, ast.Name)}
    columns = frozenset(node.name for node in walk(tree) if isinstance(node, (Column, Item)))
    constants = frozenset(names & CONSTANTS.keys())
    return Program(source, tree, columns, constants, _symbol(body), tuple(map(reader.text, _terms(body))))


def _parse(source: Source) -> ast.expr:
    try:
        return ast.parse(source.line, mode="eval").body
    except SyntaxError as error:
        reason = re.split(r"[.:;] ", error.msg or "invalid syntax")[0] if error.offset else "it ends too early"
        at = min(error.offset or len(source.line), len(source.line)) - 1
        raise source.error(at + source.shift, f"cannot be read: {reason}") from None
    except (ValueError, MemoryError, RecursionError):
        raise source.error(source.shift, "is nested too deeply or cannot be read; split it into regions") from None


def _check_depth(source: Source, body: ast.expr) -> None:
    level = [body]
    for _ in range(_DEEPEST):
        level = [child for node in level for child in _below(node)]
        if not level:
            return
    raise source.error(source.shift, f"is nested more than {_DEEPEST} deep; split it into several regions")


def _below(node: ast.expr) -> list[ast.expr]:
    if isinstance(node, ast.BinOp) and type(node.op) in _JUNCTIONS:
        return _chain(node)
    return [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr)]


def _chain(node: ast.BinOp) -> list[ast.expr]:
    """Give the terms of ``a & b & c``, which Python nests one deeper with every term."""
    terms = [node.right]
    left = node.left
    while isinstance(left, ast.BinOp) and type(left.op) is type(node.op):
        terms.append(left.right)
        left = left.left
    return [left, *reversed(terms)]


def _terms(body: ast.expr) -> list[ast.expr]:
    """Give the conditions that all have to hold, however they are bracketed."""
    match body:
        case ast.BinOp(op=ast.BitAnd()):
            parts = _chain(body)
        case ast.BoolOp(op=ast.And(), values=values):
            parts = values
        case _:
            return [body]
    return [term for part in parts for term in _terms(part)]


def _symbol(body: ast.expr) -> str | None:
    match body:
        case ast.BinOp(op=ast.BitAnd()):
            return "&"
        case ast.BinOp(op=ast.BitOr()):
            return "|"
        case ast.Name() | ast.Call() | ast.Subscript() | ast.Constant():
            return "atom"
    return None


@dataclass(frozen=True)
class _Reader:
    """Turns Python's syntax tree of one text into ours, refusing what the language does not have."""

    source: Source

    def error(self, node: ast.expr, what: str) -> CutError:
        return self.source.error(self.at(node), what)

    def at(self, node: ast.expr) -> int:
        line, offset = self.source.line, node.col_offset  # which counts bytes
        return self.source.shift + (offset if line.isascii() else len(line.encode()[:offset].decode()))

    def text(self, node: ast.expr) -> str:
        return self.source.line.encode()[node.col_offset : node.end_col_offset].decode()

    def read(self, node: ast.expr) -> Node:
        match node:
            case ast.Constant(value=bool() as value):
                return Truth(value, self.at(node))
            case ast.Constant(value=(int() | float()) as value):
                return self.number(node, value)
            case ast.Name(id=name):
                return self.name(node, name)
            case ast.UnaryOp():
                return self.unary(node)
            case ast.BinOp():
                return self.binary(node)
            case ast.BoolOp(op=op, values=values):
                return self.junction(node, _JUNCTIONS[type(op)], [self.condition(value) for value in values])
            case ast.Compare():
                return self.comparison(node)
            case ast.Call():
                return self.call(node)
            case ast.Subscript():
                return self.item(node)
        raise self.error(node, f"`{self.text(node):.40}` is not part of the cut language")

    def condition(self, node: ast.expr) -> Node:
        result = self.read(node)
        if is_condition(result) is False:
            raise self.source.error(result.at, "a number stands where a condition is needed; write `... != 0`")
        return result

    def number(self, node: ast.expr, value: int | float) -> Number:
        if isinstance(value, int) and not -(2**63) <= value < 2**64:
            raise self.error(node, "an integer beyond 64 bits; write it as a float, such as 1e20")
        if not math.isfinite(value):
            raise self.error(node, "this constant is not a finite number; write a smaller one")
        return Number(value, self.at(node))

    def name(self, node: ast.expr, name: str) -> Node:
        match CONSTANTS.get(name):
            case Number(value=value):
                return Number(value, self.at(node))
            case Truth(value=value):
                return Truth(value, self.at(node))
        return Column(name, self.at(node))

    def unary(self, node: ast.UnaryOp) -> Node:
        if isinstance(node.op, (ast.Not, ast.Invert)):
            return Not(self.condition(node.operand), self.at(node))
        operand = self.read(node.operand)
        return operand if isinstance(node.op, ast.UAdd) else self.applied(node, "neg", [operand])

    def binary(self, node: ast.BinOp) -> Node:
        if type(node.op) in _JUNCTIONS:
            terms = [self.condition(term) for term in _chain(node)]
            return self.junction(node, _JUNCTIONS[type(node.op)], terms)
        return self.applied(node, _ARITHMETIC[type(node.op)], [self.read(node.left), self.read(node.right)])

    def junction(self, node: ast.expr, symbol: str, terms: list[Node]) -> Junction:
        flat: list[Node] = []
        for term in terms:
            flat += term.terms if isinstance(term, Junction) and term.symbol == symbol else (term,)
        return Junction(symbol, tuple(flat), self.at(node))

    def applied(self, node: ast.expr, function: str, arguments: list[Node]) -> Node:
        constants = [argument.value for argument in arguments if isinstance(argument, Number)]
        if len(constants) < len(arguments):
            return Call(function, tuple(arguments), self.at(node))
        try:
            value = arithmetic.apply(function, [np.asarray(constant) for constant in constants])
        except OverflowError:
            raise self.error(node, "an integer beyond 64 bits; write a factor as a float, such as 2.0") from None
        return self.number(node, value.item())

    def comparison(self, node: ast.Compare) -> Node:
        operands = [node.left, *node.comparators]
        trapped = next((operand for operand in operands if _binds_tighter(operand)), None)
        if trapped is not None:
            rewrite = self.rewritten(node)
            raise self.error(trapped, f"`&`, `|` and `~` bind tighter than comparisons; write `{rewrite}`")
        if len(node.ops) > 1:
            raise self.error(node, f"comparisons are not chained; write `{self.rewritten(node)}`")
        relation, left, right = _RELATIONS[type(node.ops[0])], self.read(operands[0]), self.read(operands[1])
        if isinstance(left, Number) and isinstance(right, Number):
            return Truth(bool(arithmetic.compare(relation, np.asarray(left.value), right.value)), self.at(node))
        if isinstance(left, Number):
            relation, left, right = MIRRORED[relation], right, left
        return Compare(relation, left, right, self.at(node))

    def rewritten(self, node: ast.Compare) -> str:
        """Spell out what a chained or badly bracketed comparison was meant to be."""
        pieces = self.pieces(node.left)
        for op, operand in zip(node.ops, node.comparators, strict=True):
            pieces += [_RELATIONS[type(op)], *self.pieces(operand)]
        groups, joints = [[pieces[0]]], []
        for symbol, piece in zip(pieces[1::2], pieces[2::2], strict=True):
            if symbol in _RELATIONS.values():
                groups[-1] += [symbol, piece]
            else:
                joints.append(symbol)
                groups.append([piece])
        texts = [_grouped(group, alone=len(groups) == 1) for group in groups]
        rewrite = texts[0] + "".join(f" {joint} {text}" for joint, text in zip(joints, texts[1:], strict=True))
        return rewrite if len(rewrite) <= _LONGEST_REWRITE else "(a > 1) & (b > 2)"

    def pieces(self, node: ast.expr) -> list[str]:
        if isinstance(node, ast.BinOp) and type(node.op) in _JUNCTIONS:
            first, *others = _chain(node)
            links = [piece for term in others for piece in (_JUNCTIONS[type(node.op)], *self.pieces(term))]
            return [*self.pieces(first), *links]
        text = self.text(node)
        return [f"({text})" if isinstance(node, (ast.Compare, ast.BoolOp)) else text]

    def call(self, node: ast.Call) -> Node:
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if name not in FUNCTIONS:
            hint = nearest(name, FUNCTIONS) or f"; there are {', '.join(sorted(FUNCTIONS))}"
            raise self.error(node, f"'{self.text(node.func)}' is not a function of the cut language{hint}")
        if node.keywords or any(isinstance(argument, ast.Starred) for argument in node.args):
            raise self.error(node, f"{name}() takes plain arguments only")
        if name in REDUCTIONS and len(node.args) == 1:
            return self.reduction(node, name)
        fewest, most = arithmetic.ARITY.get(name, (1, 1))
        if not fewest <= len(node.args) <= (most or len(node.args)):
            wanted = "one list, or two or more values" if name in ("min", "max") else f"{fewest} argument(s)"
            raise self.error(node, f"{name}() takes {wanted}, not {len(node.args)}")
        if name == "where":
            self.condition(node.args[0])
        return self.applied(node, name, [self.read(argument) for argument in node.args])

    def reduction(self, node: ast.Call, name: str) -> Node:
        if name in ("any", "all"):
            return Reduction(name, self.condition(node.args[0]), self.at(node))
        return Reduction(name, self.read(node.args[0]), self.at(node))

    def item(self, node: ast.Subscript) -> Node:
        match node.value, node.slice:
            case ast.Name(id=name), ast.Constant(value=int() as index) if not isinstance(index, bool):
                if name not in CONSTANTS:
                    return Item(name, index, self.at(node))
        raise self.error(node, "only `column[0]`, `column[1]`, ... pick one entry of a list")


def _binds_tighter(node: ast.expr) -> bool:
    match node:
        case ast.BinOp(op=ast.BitAnd() | ast.BitOr()) | ast.UnaryOp(op=ast.Invert()):
            return True
    return False


def _grouped(group: list[str], alone: bool) -> str:
    if len(group) == 1:
        return group[0]
    operands, relations = group[::2], group[1::2]
    links = [
        f"{left} {relation} {right}" for left, relation, right in zip(operands, relations, operands[1:], strict=False)
    ]
    if alone and len(links) == 1 and links[0].startswith("~"):
        return f"~({links[0][1:]})"
    return " & ".join(f"({link})" for link in links)
