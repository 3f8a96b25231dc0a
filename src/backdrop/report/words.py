"""Numbers and verdicts as words."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from .markup import Cell, Html, element

if TYPE_CHECKING:
    from ..validation import Closure

__all__ = [
    "QUESTIONABLE",
    "REJECTED",
    "Verdict",
    "compared",
    "fixed",
    "measured",
    "number",
    "percent",
    "probability",
    "rounded",
    "several",
]

REJECTED, QUESTIONABLE = 0.01, 0.05
"""Closures with a smaller p-value are rejected, or questionable."""

Level = Literal["passed", "questionable", "rejected", "untested"]


@dataclass(frozen=True)
class Verdict:
    """What a p-value says, in a word, and at which threshold."""

    level: Level
    word: str
    p_value: float

    @classmethod
    def of(cls, closure: Closure) -> Verdict:
        """Return the verdict on a closure test."""
        p = closure.p_value
        if not math.isfinite(p):
            return cls("untested", "UNDEFINED", p)
        if p < REJECTED:
            return cls("rejected", "REJECTED", p)
        return cls("questionable", "QUESTIONABLE", p) if p < QUESTIONABLE else cls("passed", "PASSES", p)

    @property
    def reason(self) -> str:
        """The comparison that was made."""
        if self.level == "untested":
            return "the p-value is not defined"
        if self.level == "rejected":
            return f"{compared(self.p_value)} < {REJECTED}" if self.p_value > 0 else compared(self.p_value)
        if self.level == "questionable":
            return f"{REJECTED} ≤ p = {probability(self.p_value)} < {QUESTIONABLE}"
        return f"p = {probability(self.p_value)} ≥ {QUESTIONABLE}"

    @property
    def badge(self) -> Html:
        """The word, as a mark that is told by its sign and text and not by its colour alone."""
        sign = {"passed": "✓", "questionable": "!", "rejected": "✕", "untested": "?"}[self.level]
        mark = element("span", sign, at={"aria-hidden": "true"})
        return element("span", mark, f" {self.word}", at={"class": f"badge {self.level}"})

    @property
    def cell(self) -> Cell:
        """The word as a cell of a table."""
        return Cell(self.badge, self.word)


def number(value: float | None, digits: int = 4) -> Cell:
    """Return a number as a cell with so many significant digits; undefined ones as a dash."""
    if value is None or not math.isfinite(value):
        return Cell("–", "", "number")
    return Cell(f"{value:.{digits}g}".replace("-", "−"), float(value), "number")


def fixed(value: float | None, places: int) -> Cell:
    """Return a number as a cell with so many decimal places; undefined ones as a dash."""
    if value is None or not math.isfinite(value):
        return number(None)
    return Cell(_signed(f"{value:.{places}f}"), float(value), "number")


def rounded(value: float, error: float) -> Cell:
    """Return a value as a cell, with the digits that its error leaves."""
    if not math.isfinite(value):
        return number(value)
    text = _signed(f"{value:,.{_places(error)}f}").replace(",", "\u202f")
    return Cell(text, float(value), "number")


def measured(value: float, error: float) -> str:
    """Return "value ± error", the error with two significant digits.

    Examples
    --------
    >>> measured(1234.567, 8.91), measured(0.01234, 0.0021)
    ('1234.6 ± 8.9', '0.0123 ± 0.0021')
    """
    places = _places(error)
    return f"{_signed(f'{value:.{places}f}')} ± {error:.{places}f}"


def percent(share: float) -> Cell:
    """Return a ratio as a signed percentage."""
    if not math.isfinite(share):
        return Cell("–", "", "number")
    text = f"{100 * share:+.1f} %" if abs(share) < 10 else f"{100 * share:+.2g} %"
    return Cell(text.replace("-", "−"), float(share), "number")


def probability(p: float) -> str:
    """Return a p-value as text."""
    if not math.isfinite(p):
        return "–"
    if p == 0.0:
        return "< 1e−300"
    return f"{p:.3f}" if p >= 0.001 else f"{p:.1e}".replace("-", "−")


def compared(p: float) -> str:
    """Return "p = …", or "p < …" where it is too small for a number.

    Examples
    --------
    >>> compared(0.25), compared(2e-9), compared(0.0)
    ('p = 0.250', 'p = 2.0e−09', 'p < 1e−300')
    """
    return f"p {probability(p)}" if p == 0.0 else f"p = {probability(p)}"


def several(count: int, noun: str) -> str:
    """Return a count with its noun.

    Examples
    --------
    >>> several(1, "bin"), several(3, "bin")
    ('1 bin', '3 bins')
    """
    return f"{count} {noun}{'s' * (count != 1)}"


def _signed(text: str) -> str:
    """Return a printed number with a true minus sign, which a zero does not have."""
    return text.replace("-", "−" if text.strip("-0.,") else "")


def _places(error: float) -> int:
    """Return the decimal places that show two significant digits of an error."""
    if not (math.isfinite(error) and error > 0):
        return 2
    return max(0, 1 - math.floor(math.log10(float(f"{error:.1e}"))))
