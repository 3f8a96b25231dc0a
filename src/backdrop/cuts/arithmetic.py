"""Entry-by-entry arithmetic of cuts: integers exactly in 64 bits, everything else in float64."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
Mask: TypeAlias = NDArray[np.bool_]

_COMPARE: dict[str, Callable[..., Any]] = {
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
    "==": np.equal,
    "!=": np.not_equal,
}
_ONE: dict[str, Callable[..., Any]] = {
    "abs": np.abs,
    "sqrt": np.sqrt,
    "log": np.log,
    "exp": np.exp,
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "sinh": np.sinh,
    "cosh": np.cosh,
    "neg": np.negative,
}
_TWO: dict[str, Callable[..., Any]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "%": np.remainder,
    "**": np.power,
    "hypot": np.hypot,
    "arctan2": np.arctan2,
    "min": np.minimum,
    "max": np.maximum,
}
_EXACT = frozenset({"+", "-", "*", "%", "min", "max", "abs", "neg"})
_FORGETS_NAN = frozenset({"**", "hypot"})  # IEEE: nan**0 = 1**nan = 1, hypot(nan, inf) = inf

ARITY: dict[str, tuple[int, int | None]] = {
    **{name: (1, 1) for name in _ONE},
    **{name: (2, 2) for name in _TWO},
    "min": (2, None),
    "max": (2, None),
    "where": (3, 3),
}
"""Fewest and most arguments of each function that works entry by entry."""


def apply(function: str, arguments: list[Array]) -> Array:
    """Apply an operator or function entry by entry.

    A NaN argument gives NaN, and so does a result that is not defined (0/0, sqrt(-1), n % 0).

    Raises
    ------
    OverflowError
        An integer result does not fit into 64 bits.
    """
    with np.errstate(all="ignore"):
        if function in _EXACT and all(argument.dtype.kind in "iub" for argument in arguments):
            return _exactly(function, arguments)
        floats = [argument.astype(np.float64, copy=False) for argument in arguments]
        if len(floats) == 1:
            return np.asarray(_ONE[function](floats[0]))
        if function == "**" and floats[1].ndim == 0 and floats[1] != 0:
            return np.asarray(floats[0] ** floats[1].item())  # NumPy squares, and takes roots, faster
        result = floats[0]
        for argument in floats[1:]:
            result = np.asarray(_TWO[function](result, argument))
        if function in _FORGETS_NAN:
            result = np.where(np.isnan(floats[0]) | np.isnan(floats[1]), np.nan, result)
        return result


def summable(array: Array, count: int) -> Array:
    """Give the array in a type that holds the sum of any `count` of its values.

    Raises
    ------
    OverflowError
        Such a sum of integers might not fit into 64 bits.
    """
    if array.dtype.kind == "f":
        return array.astype(np.float64, copy=False)
    low, high = _bounds(array)
    return array.astype(_holding(min(low * count, low), max(high * count, high)), copy=False)


def _exactly(function: str, arguments: list[Array]) -> Array:
    bounds = [_bounds(argument) for argument in arguments]
    reach = [bound for pair in bounds for bound in pair]
    reach += _reach(function, bounds)
    dtype = _holding(min(reach), max(reach))
    integers = [argument.astype(dtype, copy=False) for argument in arguments]
    if function == "%":
        return _modulo(*integers)
    if len(integers) == 1:
        return np.asarray(_ONE[function](integers[0]))
    result = integers[0]
    for argument in integers[1:]:
        result = np.asarray(_TWO[function](result, argument))
    return result


def _bounds(array: Array) -> tuple[int, int]:
    return (int(array.min()), int(array.max())) if array.size else (0, 0)


def _reach(function: str, bounds: list[tuple[int, int]]) -> list[int]:
    (low, high), (other_low, other_high) = bounds[0], bounds[-1]
    match function:
        case "+":
            return [low + other_low, high + other_high]
        case "-":
            return [low - other_high, high - other_low]
        case "*":
            return [a * b for a in (low, high) for b in (other_low, other_high)]
        case "neg":
            return [-low, -high]
        case "abs":
            return [abs(low), abs(high)]
    return []


def _holding(low: int, high: int) -> type[np.int64] | type[np.uint64]:
    if low >= -(2**63) and high < 2**63:
        return np.int64
    if low >= 0 and high < 2**64:
        return np.uint64
    raise OverflowError("the result leaves the range of 64-bit integers")


def _modulo(left: Array, right: Array) -> Array:
    zero = right == 0
    if not zero.any():
        return np.asarray(np.remainder(left, right))
    return np.where(zero, np.nan, np.remainder(left, np.where(zero, 1, right).astype(right.dtype)))


def compare(relation: str, left: Array, right: Array | int | float) -> Mask:
    """Tell where ``left relation right`` holds; false wherever a side is NaN.

    Comparisons with a constant are exact for every type of column: a float32 is never compared with
    the constant rounded to float32, nor an integer through float64.
    """
    if isinstance(right, (int, float)):
        return _with_constant(relation, left, right)
    if relation == "!=":
        if left.dtype.kind == "f" or right.dtype.kind == "f":
            return np.asarray((left < right) | (left > right))
        return np.asarray(left != right)
    return np.asarray(_COMPARE[relation](left, right))


def _with_constant(relation: str, array: Array, constant: int | float) -> Mask:
    if array.dtype.kind == "f":
        return _float_with_constant(relation, array, constant)
    if isinstance(constant, float):
        if not constant.is_integer():
            relation, constant = _between_integers(relation, constant)
        constant = int(constant)
    return np.asarray(_COMPARE[relation](array, constant))


def _between_integers(relation: str, constant: float) -> tuple[str, int]:
    if relation in ("<", "<="):
        return "<=", math.floor(constant)
    if relation in (">", ">="):
        return ">=", math.ceil(constant)
    return ("<", -(2**63)) if relation == "==" else (">=", -(2**63))


def _float_with_constant(relation: str, array: Array, constant: int | float) -> Mask:
    with np.errstate(over="ignore"):
        rounded = array.dtype.type(constant)
    exact = int(rounded) if isinstance(constant, int) and np.isfinite(rounded) else float(rounded)
    if exact != constant:
        return _beside(relation, array, rounded, above=bool(exact > constant))
    if relation == "!=":
        return np.asarray((array < rounded) | (array > rounded))
    return np.asarray(_COMPARE[relation](array, rounded))


def _beside(relation: str, array: Array, rounded: Any, above: bool) -> Mask:
    # No value of the column's type lies between the constant and its rounding.
    if relation == "==":
        return np.zeros(array.shape, dtype=np.bool_)
    if relation == "!=":
        return np.asarray(array == array)
    if relation in ("<", "<="):
        return np.asarray(array < rounded if above else array <= rounded)
    return np.asarray(array >= rounded if above else array > rounded)
