"""Combination: samples added with signs and factors, as a configuration writes them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any

from ..errors import ConfigError, nearest

__all__ = ["Combination"]

_NUMBER = r"(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)(?![\w.])"
_TOKEN = re.compile(rf"\s*(?:{_NUMBER}|(?P<name>[A-Za-z_]\w*)|(?P<sign>[-+*()]))", re.ASCII)
_LONGEST, _DEEPEST = 1000, 20


@dataclass(frozen=True)
class Combination:
    """Samples with their factors, in the order they are named.

    ``data - 1.1 * (ttbar + prompt)`` is read as ``data``, -1.1 ``ttbar`` and -1.1 ``prompt``. Nothing but ``+ -``,
    factors in front of ``*``, brackets and names exists in it.

    Examples
    --------
    >>> Combination.read("data - 1.1 * (ttbar + prompt)").factors
    (('data', 1.0), ('ttbar', -1.1), ('prompt', -1.1))
    """

    factors: tuple[tuple[str, float], ...]

    @classmethod
    def read(cls, text: str) -> Combination:
        """Read a combination.

        Raises
        ------
        ConfigError
            If the text is not one, names a sample twice, or has a factor that is not finite.
        """
        factors = _Reader(text).combination()
        names = [name for name, _ in factors]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ConfigError(f"'{text}' names {', '.join(twice)} more than once; add its factors up")
        for name, factor in factors:
            if not math.isfinite(factor):
                raise ConfigError(f"'{text}': the factor of {name} is {factor}, too large for a float")
        return cls(tuple(factors))

    @property
    def samples(self) -> tuple[str, ...]:
        """The names of the samples."""
        return tuple(name for name, _ in self.factors)

    def check(self, known: Mapping[str, Any] | frozenset[str]) -> None:
        """Raise a ConfigError if a sample is not among the known ones."""
        for name in self.samples:
            if name not in known:
                have = ", ".join(sorted(known)) or "none"
                raise ConfigError(f"no sample '{name}'{nearest(name, known)}; samples: {have}")

    def of(self, samples: Mapping[str, Any]) -> Any:
        """Return the combination of events that `samples` holds by name."""
        parts = [samples[name] if factor == 1.0 else factor * samples[name] for name, factor in self.factors]
        return reduce(lambda left, right: left + right, parts)

    def __str__(self) -> str:
        parts = [f"{'- ' if factor < 0 else '+ '}{_factor(abs(factor))}{name}" for name, factor in self.factors]
        return " ".join(parts).removeprefix("+ ")


def _factor(value: float) -> str:
    return "" if value == 1.0 else f"{value:g} * "


class _Reader:
    """Reads ``[sign] term {sign term}`` with ``term = [number *] (name | bracket)``."""

    def __init__(self, text: str) -> None:
        self._text = text
        if len(text) > _LONGEST:
            raise ConfigError(f"a combination of samples has at most {_LONGEST} characters, not {len(text)}")
        self._tokens = [*self._split(), ("end", "", len(text))]
        self._next = 0

    def combination(self) -> list[tuple[str, float]]:
        factors = self._sum(1.0, 0)
        if self._kind != "end":
            raise self._error("expected + or -")
        return factors

    def _split(self) -> Iterator[tuple[str, str, int]]:
        place, end = 0, len(self._text.rstrip())
        while place < end:
            match = _TOKEN.match(self._text, place)
            if match is None or match.lastgroup is None:
                rest = self._text[place:].lstrip()
                raise self._bad(len(self._text) - len(rest), f"'{rest[:10]}' is not part of such an expression")
            yield match.lastgroup, match[match.lastgroup], match.start(match.lastgroup)
            place = match.end()

    @property
    def _kind(self) -> str:
        kind, text, _ = self._tokens[self._next]
        return text if kind == "sign" else kind

    def _take(self) -> str:
        self._next += 1
        return self._tokens[self._next - 1][1]

    def _sum(self, factor: float, depth: int) -> list[tuple[str, float]]:
        if depth > _DEEPEST:
            raise self._error(f"brackets are nested more than {_DEEPEST} deep")
        found: list[tuple[str, float]] = []
        sign = self._sign() if self._kind in ("+", "-") else 1.0
        while True:
            found += self._term(sign * factor, depth)
            if self._kind not in ("+", "-"):
                return found
            sign = self._sign()

    def _sign(self) -> float:
        return -1.0 if self._take() == "-" else 1.0

    def _term(self, factor: float, depth: int) -> list[tuple[str, float]]:
        if self._kind == "number":
            factor *= float(self._take())
            if self._kind != "*":
                raise self._error("expected * and a sample after the number")
            self._take()
        if self._kind == "name":
            return [(self._take(), factor)]
        if self._kind != "(":
            raise self._error("expected a sample's name or a number")
        self._take()
        inside = self._sum(factor, depth + 1)
        if self._kind != ")":
            raise self._error("expected )")
        self._take()
        return inside

    def _error(self, message: str) -> ConfigError:
        return self._bad(self._tokens[self._next][2], message)

    def _bad(self, place: int, message: str) -> ConfigError:
        return ConfigError(
            f"cannot read '{self._text}' as samples with signs and factors: {message} at character {place + 1}; "
            "write it like 'data - 1.0 * prompt'"
        )
