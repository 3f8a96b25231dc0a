"""Regions by name, and cuts that name other regions in braces."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from ..errors import BackdropError, nearest
from ..region import Region
from .document import Document, Path

__all__ = ["Regions"]

_BRACES = re.compile(r"\{([^{}]*)\}")
_DEEPEST = 50


@dataclass(frozen=True)
class Regions:
    """The regions of a configuration.

    In a cut, ``{A}`` stands for the cut of region A in brackets: ``{A} & ~{B} & (m > 100)``.

    Attributes
    ----------
    document
        For messages.
    named
        Name to region, braces replaced.
    """

    document: Document
    named: Mapping[str, Region]

    @classmethod
    def read(cls, document: Document, cuts: Mapping[str, str]) -> Regions:
        """Read the regions of a configuration.

        Raises
        ------
        ConfigError
            If braces name no region, or regions name each other in a circle.
        CutError
            If a cut cannot be read.
        """
        regions = cls(document, {})
        done: dict[str, Region] = {}
        for name in cuts:
            regions._expand(name, cuts, done, ())
        return cls(document, {name: done[name] for name in cuts})

    def at(self, path: Path, text: str) -> Region:
        """Return the region that the value at `path` names: ``SR``, or a combination such as ``{SR} & ~{VR}``."""
        if text in self.named:
            return self.named[text]
        if "{" not in text:
            raise self.document.error(path, self._unknown(text, self.named))
        cut = self._replaced(path, text, {name: region.cut for name, region in self.named.items()})
        return self._region(path, _BRACES.sub(r"\1", text), cut)

    def _expand(self, name: str, cuts: Mapping[str, str], done: dict[str, Region], above: tuple[str, ...]) -> Region:
        path: Path = ("regions", name)
        if name in above:
            circle = " -> ".join((*above[above.index(name) :], name))
            raise self.document.error(path, f"regions name each other in a circle: {circle}")
        if len(above) > _DEEPEST:
            raise self.document.error(path, f"regions name each other more than {_DEEPEST} deep")
        if name not in done:
            needed = [one for one in _BRACES.findall(cuts[name]) if one in cuts]
            inner = {one: self._expand(one, cuts, done, (*above, name)).cut for one in needed}
            cut = self._replaced(path, cuts[name], {**dict.fromkeys(cuts, ""), **inner})
            done[name] = self._region(path, name, cut)
        return done[name]

    def _replaced(self, path: Path, text: str, cuts: Mapping[str, str]) -> str:
        """Return `text` with the cut in brackets for each name in braces."""
        for name in _BRACES.findall(text):
            if name not in cuts:
                raise self.document.error(path, self._unknown(name, cuts))
        cut = _BRACES.sub(lambda match: f"({cuts[match[1]]})", text)
        if brace := re.search(r"[{}]", cut):
            raise self.document.error(path, f"'{brace[0]}' has no partner; a region's name stands in braces: {{SR}}")
        return cut

    def _region(self, path: Path, name: str, cut: str) -> Region:
        try:
            return Region(name, cut)
        except BackdropError as error:
            raise self.document.located(path, error) from None

    @staticmethod
    def _unknown(name: str, known: Mapping[str, object]) -> str:
        have = ", ".join(known) or "none"
        return f"no region '{name}'{nearest(name, known)}; regions: {have}"
