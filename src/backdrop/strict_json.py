"""JSON with one meaning: no NaN, no infinity, no name given twice."""

from __future__ import annotations

import json
import math
from typing import Any

__all__ = ["loads"]


def loads(text: str | bytes) -> Any:
    """Read JSON.

    Raises
    ------
    ValueError
        If it is not JSON, is nested too deeply, gives a name twice, or holds NaN, an infinity or a number too large for
        a float.

    Examples
    --------
    >>> loads('{"yield": 1e400}')
    Traceback (most recent call last):
    ValueError: 1e400 is not a finite number
    """
    try:
        return json.loads(text, parse_constant=_finite, parse_float=_finite, object_pairs_hook=_once)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is not a finite number")
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the name '{twice}' is given twice")
    return found
