"""Regions: named cuts that know whether they can overlap without looking at data."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ._notebook import card, facts
from .cuts.grammar import Program, read_condition, read_expression
from .cuts.nodes import Column, Item, constants_of, walk
from .cuts.overlap import exclusive
from .cuts.values import certain, value
from .errors import CutError

if TYPE_CHECKING:
    import awkward


@dataclass(frozen=True)
class Region:
    """A named cut.

    A cut compares columns: ``+ - * / ** %``, ``< <= > >= == !=``, ``& | ~`` (or ``and or not``),
    ``abs sqrt log exp sin cos tan sinh cosh arctan2 hypot min max where``, the constants
    ``pi true false``, entries of lists ``lep_pt[0]``, and ``count any all sum min max`` over a list.
    Nothing else exists in it, the caller's variables least of all.

    A comparison with an undefined value (NaN, a missing entry, 0/0) is neither true nor false, so
    such an event is in neither ``region`` nor ``~region``; see `mask` and `possible`.

    Raises
    ------
    CutError
        The cut is not written in this language; the message points at the place and gives the rewrite.

    Examples
    --------
    >>> import numpy as np
    >>> window = Region("SR", "(m > 110) & (m < 140)")
    >>> mass = {"m": np.array([100.0, 125.0, np.nan])}
    >>> window.mask(mass), (~window).mask(mass), window.possible(mass)
    (array([False,  True, False]), array([ True, False, False]), array([False,  True,  True]))
    >>> window.disjoint(Region("CR", "(m < 110) | (m > 140)"))
    True
    """

    name: str
    cut: str

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.strip():
            raise CutError(f"a region needs a name, a text that is not empty: {self.name!r}")
        try:
            read_condition(self.cut)
        except CutError as error:
            raise CutError(f"region '{self.name}': {error}") from None

    @classmethod
    def everything(cls) -> Region:
        """Give the region ``all`` that holds every event."""
        return cls("all", "true")

    def __and__(self, other: Region) -> Region:
        """Give the events in both regions."""
        return self._joined(other, "&") if isinstance(other, Region) else NotImplemented

    def __or__(self, other: Region) -> Region:
        """Give the events in at least one of the regions."""
        return self._joined(other, "|") if isinstance(other, Region) else NotImplemented

    def __invert__(self) -> Region:
        """Give the events certainly not in the region."""
        return Region(f"~{_bracketed_name(self.name, '~')}", f"~{_bracketed_cut(self, '~')}")

    def __repr__(self) -> str:
        cut = self.cut if len(self.cut) <= 80 else f"{self.cut[:77]}..."
        return f"Region({self.name!r}, {cut!r})"

    def _repr_html_(self) -> str:
        return card("Region", self.name, facts([("cut", self.cut), ("columns", ", ".join(sorted(self.columns)))]))

    @property
    def columns(self) -> frozenset[str]:
        """The columns the cut reads."""
        return self._program.columns

    @property
    def terms(self) -> tuple[Region, ...]:
        """The cuts that all have to hold, in their order: the parts of ``a & b & c``, or the region itself.

        Examples
        --------
        >>> [term.cut for term in Region("SR", "(x > 1) & ((m > 110) & (m < 140))").terms]
        ['x > 1', 'm > 110', 'm < 140']
        """
        texts = self._program.terms
        return tuple(Region(text, text) for text in texts) if len(texts) > 1 else (self,)

    def without(self, column: str) -> Region:
        """Give the region without the cuts that read a column, for a distribution of that column.

        Examples
        --------
        >>> Region("SR", "(x > 1) & (m > 110) & (m < 140)").without("m")
        Region('SR without m', 'x > 1')
        """
        kept = [term for term in self.terms if column not in term.columns]
        if len(kept) == len(self.terms):
            return self
        found = functools.reduce(Region.__and__, kept) if kept else Region.everything()
        return Region(f"{self.name} without {column}", found.cut)

    def thresholds(self, column: str) -> tuple[float, ...]:
        """Give the constants that the cut compares a column with, in increasing order."""
        return tuple(sorted({float(value) for value in constants_of(self._program.tree, column)}))

    def mask(self, columns: Mapping[str, Any]) -> NDArray[np.bool_]:
        """Tell which events are certainly in the region.

        Raises
        ------
        CutError
            A column is not there, or does not fit where the cut uses it.
        """
        return certain(self._program, columns, True, f"region '{self.name}'")

    def possible(self, columns: Mapping[str, Any]) -> NDArray[np.bool_]:
        """Tell which events may be in the region: those in it and those where that is undefined.

        This is what a seal on the region removes.

        Raises
        ------
        CutError
            A column is not there, or does not fit where the cut uses it.
        """
        return ~certain(self._program, columns, False, f"region '{self.name}'")

    def disjoint(self, other: Region) -> bool:
        """Tell whether provably no event is in both regions, from the two cuts alone.

        Comparisons of one expression with constants are intervals; two expressions compared with
        one another are below, equal or above; anything else compares as text. Where the cuts are
        related in another way (``2 * m < 100`` and ``m > 50``) the answer is False: not proven.
        """
        return _disjoint(self.cut, other.cut)

    @property
    def _program(self) -> Program:
        return read_condition(self.cut)

    def _joined(self, other: Region, symbol: str) -> Region:
        names = [_bracketed_name(region.name, symbol) for region in (self, other)]
        cuts = [_bracketed_cut(region, symbol) for region in (self, other)]
        return Region(f" {symbol} ".join(names), f" {symbol} ".join(cuts))


def evaluate(expression: str, columns: Mapping[str, Any], *, masked: bool = False) -> NDArray[Any] | awkward.Array:
    """Give the value of an expression of the cut language in every event, for a derived column.

    Arithmetic runs in 64 bits; what is undefined is NaN. A condition gives where it certainly holds; with `masked`, it
    is a NumPy masked array if it is undefined in some events. Lists give an awkward array of the same shape.

    Raises
    ------
    CutError
        The text is not in the cut language, or reads a column that is not there.

    Examples
    --------
    >>> import numpy as np
    >>> evaluate("sqrt(x**2 + y**2)", {"x": np.array([3.0, 5.0]), "y": np.array([4.0, 12.0])})
    array([ 5., 13.])
    """
    return value(read_expression(expression), columns, f"expression '{expression:.80}'", masked=masked)


def expression_columns(expression: str) -> frozenset[str]:
    """Give the columns an expression of the cut language reads.

    Raises
    ------
    CutError
        The text is not in the cut language.
    """
    return read_expression(expression).columns


def renamed(condition: str, name: Callable[[str], str]) -> str:
    """Give a condition of the cut language with other names of columns.

    Raises
    ------
    CutError
        The text is not a condition of the cut language.

    Examples
    --------
    >>> renamed("(iso / pt < 0.1) | (pt > 50)", "lep_{}".format)
    '(lep_iso / lep_pt < 0.1) | (lep_pt > 50)'
    """
    found = {one.at: one.name for one in walk(read_condition(condition).tree) if isinstance(one, Column | Item)}
    for at, old in sorted(found.items(), reverse=True):
        condition = condition[:at] + name(old) + condition[at + len(old) :]
    return condition


@functools.lru_cache(maxsize=4096)
def _disjoint(first: str, second: str) -> bool:
    return exclusive(read_condition(first).tree, read_condition(second).tree)


def _bracketed_cut(region: Region, symbol: str) -> str:
    return region.cut if region._program.symbol in (symbol, "atom") else f"({region.cut})"


def _bracketed_name(name: str, symbol: str) -> str:
    joints = {joint for joint in ("&", "|") if f" {joint} " in name}
    return f"({name})" if joints - {symbol} else name
