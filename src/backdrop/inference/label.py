"""Names that ROOT and pyhf accept, and the label in which a workspace says what its numbers are."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from ..errors import ExportError

__all__ = ["LESS", "Approximation", "Label", "Names", "clean"]


LESS = "_less_"
"""Joins the name of a sample and that of what it subtracts."""


def clean(name: str) -> str:
    """Return a name of letters, digits and underscores that does not start with a digit.

    Examples
    --------
    >>> clean("SR & 4b"), clean("4b")
    ('SR_4b', '_4b')
    """
    plain = re.sub(r"[^0-9A-Za-z_]+", "_", name).rstrip("_") or "_"
    return f"_{plain}" if plain[0].isdigit() else plain


class Names:
    """The names given so far, each with what it stands for; one name never stands for two things."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._owners: dict[str, str] = {}

    def give(self, name: str, owner: str) -> str:
        """Return the clean form of `name`, reserved for `owner`.

        Raises
        ------
        ExportError
            If the clean form belongs to another owner already.
        """
        plain = clean(name)
        held = self._owners.setdefault(plain, owner)
        if held != owner:
            raise ExportError(
                f"{self._what} name '{plain}' would stand for both {held} and {owner}; rename one of them "
                "(names keep letters, digits and underscores only)"
            )
        return plain


class Approximation(NamedTuple):
    """Nuisances that a workspace holds as constrained vertical shapes though they are not, and what that does.

    The signal strength of the fit has moved by `moved` of its error, which has become `ratio` times as large.
    """

    nuisances: tuple[str, ...]
    moved: float
    ratio: float

    @property
    def words(self) -> tuple[str, ...]:
        """The entries of a label: both numbers in thousandths, then the names."""
        return str(round(1000.0 * self.moved)), str(round(1000.0 * self.ratio)), *self.nuisances

    @classmethod
    def of(cls, words: Sequence[str]) -> Approximation:
        """Restore what `words` gives."""
        return cls(tuple(words[2:]), int(words[0]) / 1000.0, int(words[1]) / 1000.0)

    @property
    def note(self) -> str:
        """The same as a sentence."""
        return (
            f"{', '.join(self.nuisances)}: constrained shapes between the yields at plus and minus one stand for "
            f"nuisances that were free or morphed in another way; that moved the signal strength by {self.moved:.3f} "
            f"of its error, and made the error {self.ratio:.3f} times as large"
        )


@dataclass(frozen=True)
class Label:
    """What a workspace's numbers are, kept in the name of its measurement: the schema has no place for notes.

    The text is made of parts joined by dots, the entries of a part by dashes; clean names hold neither.

    Attributes
    ----------
    observed
        Channels that hold data.
    asimov
        Channels whose "data" is the expected background, because they are sealed or no data was given.
    floored
        (sample, channel) to the bins where an empty or negative yield, nominal or varied, was set to the floor.
    uncorrelated
        (sample, channel) to the bins whose replica variance is a factor of the bin's own.
    approximate
        Nuisances that a workspace cannot hold as they are.

    Examples
    --------
    >>> label = Label(observed=("VR",), asimov=("SR",), floored={("multijet", "SR"): (3, 4)})
    >>> label.text
    'observed-VR.asimov-SR.floor-multijet-SR-3-4'
    >>> Label.parse(label.text) == label
    True
    """

    observed: tuple[str, ...] = ()
    asimov: tuple[str, ...] = ()
    floored: Mapping[tuple[str, str], tuple[int, ...]] = field(default_factory=dict)
    uncorrelated: Mapping[tuple[str, str], tuple[int, ...]] = field(default_factory=dict)
    approximate: Approximation | None = None

    @property
    def text(self) -> str:
        """The label as the name of a measurement."""
        parts: list[Sequence[str]] = [("observed", *self.observed)] if self.observed else []
        parts += [("asimov", *self.asimov)] if self.asimov else []
        for word, places in (("floor", self.floored), ("uncorrelated", self.uncorrelated)):
            parts += [(word, *place, *map(str, bins)) for place, bins in places.items()]
        parts += [("approximate", *self.approximate.words)] if self.approximate else []
        return ".".join("-".join(part) for part in parts)

    @classmethod
    def parse(cls, text: str) -> Label | None:
        """Return the label that a measurement's name holds, None if it is another program's name."""
        lists: dict[str, tuple[str, ...]] = {"observed": (), "asimov": ()}
        places: dict[str, dict[tuple[str, str], tuple[int, ...]]] = {"floor": {}, "uncorrelated": {}}
        approximate = None
        for part in text.split("."):
            word, *entries = part.split("-")
            if word == "approximate" and len(entries) > 2 and all(entry.isdigit() for entry in entries[:2]):
                approximate = Approximation.of(entries)
            elif word in lists and entries:
                lists[word] = tuple(entries)
            elif word in places and len(entries) > 2 and all(entry.isdigit() for entry in entries[2:]):
                places[word][entries[0], entries[1]] = tuple(map(int, entries[2:]))
            else:
                return None
        return cls(lists["observed"], lists["asimov"], places["floor"], places["uncorrelated"], approximate)

    @property
    def notes(self) -> tuple[str, ...]:
        """The label as sentences for a reader."""
        notes = [
            f"channel '{channel}' holds no data: its expected background stands in (Asimov)" for channel in self.asimov
        ]
        notes += [
            f"sample '{sample}', channel '{channel}': an empty or negative yield in {_bins(bins)} was set to the floor"
            for (sample, channel), bins in self.floored.items()
        ]
        notes += [
            f"sample '{sample}', channel '{channel}': the replicas spread by more than the yield in {_bins(bins)}, so "
            "their variance there is a factor of each bin's own, not correlated with other bins"
            for (sample, channel), bins in self.uncorrelated.items()
        ]
        notes += [self.approximate.note] if self.approximate else []
        return tuple(notes)


def _bins(bins: Sequence[int]) -> str:
    return f"bin{'s' if len(bins) > 1 else ''} {', '.join(map(str, bins))}"
