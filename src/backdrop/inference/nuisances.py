"""Nuisances: which replica blocks and variations move which samples, and under which name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..errors import ExportError
from .components import principal
from .label import Names
from .sample import Sample

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["Pieces", "nuisances"]


@dataclass(frozen=True, eq=False)
class Pieces:
    """The nuisances of one sample.

    Attributes
    ----------
    shifts
        Nuisance to the yields' change for one standard deviation, shape (bins,): the principal components.
    remainder
        Variance of each bin that the components leave out, shape (bins,).
    variations
        Variation to nuisance.
    """

    shifts: Mapping[str, Array]
    remainder: Array
    variations: Mapping[str, str]


def nuisances(samples: Sequence[Sample], totals: Sequence[Array], keep: float, names: Names) -> list[Pieces]:
    """Return the nuisances of each sample; what several samples share has one name.

    Parameters
    ----------
    samples
        The samples.
    totals
        Expected yield of all backgrounds in the bins of each sample, shapes (bins,).
    keep
        Fraction of each block's scaled variance that the components hold.
    names
        The names given so far.

    Raises
    ------
    ExportError
        If samples have a block of the same name with other resamples, or names collide.
    """
    shifts: list[dict[str, Array]] = [{} for _ in samples]
    remainders = [np.zeros(len(total)) for total in totals]
    for block, members in _owners([sample.estimate.replicas for sample in samples]).items():
        _check_block(block, [samples[i] for i in members])
        rows = np.hstack([samples[i].estimate.replicas[block] for i in members])
        parts = principal(rows, np.sqrt(np.concatenate([totals[i] for i in members])), keep)
        edges = np.cumsum([len(totals[i]) for i in members])[:-1]
        for i, left_out in zip(members, np.split(parts.remainder, edges), strict=True):
            remainders[i] = remainders[i] + left_out
        stem = _joined(samples, members, block)
        for number, shift in enumerate(parts.shifts, start=1):
            name = names.give(f"{stem}_pc{number}", f"component {number} of the replicas '{block}' ({stem})")
            for i, piece in zip(members, np.split(shift, edges), strict=True):
                shifts[i][name] = piece
    variations: list[dict[str, str]] = [{} for _ in samples]
    for variation, members in _moved(samples):
        stem = _joined(samples, members, variation)
        name = names.give(stem, f"variation '{variation}' of {', '.join(samples[i].title for i in members)}")
        for i in members:
            variations[i][variation] = name
    return [Pieces(*one) for one in zip(shifts, remainders, variations, strict=True)]


def _owners(parts: Sequence[Mapping[str, object]]) -> dict[str, list[int]]:
    """Return which samples have a part of each name."""
    names = dict.fromkeys(name for part in parts for name in part)
    return {name: [i for i, part in enumerate(parts) if name in part] for name in names}


def _moved(samples: Sequence[Sample]) -> Iterator[tuple[str, list[int]]]:
    """Yield each variation and the samples that it moves together; what is counted in one moves it alone."""
    for variation, members in _owners([sample.estimate.variations for sample in samples]).items():
        alone = [i for i in members if variation in samples[i].estimate.counted]
        together = [i for i in members if i not in alone]
        for group in ([together] if together else []) + [[i] for i in alone]:
            yield variation, group


def _joined(samples: Sequence[Sample], members: Sequence[int], name: str) -> str:
    return name if len(members) > 1 else f"{samples[members[0]].name}_{name}"


def _check_block(block: str, members: Sequence[Sample]) -> None:
    first = members[0].estimate
    for sample in members[1:]:
        other = sample.estimate
        kinds = [(len(one.replicas[block]), one.seeds.get(block)) for one in (first, other)]
        if kinds[0] != kinds[1]:
            raise ExportError(
                f"replica block '{block}' has {kinds[0][0]} replicas of seed {kinds[0][1]} in sample "
                f"'{members[0].title}' and {kinds[1][0]} of seed {kinds[1][1]} in '{sample.title}'; use the same "
                "number and seed (same resamples), or give the blocks different names (estimate(block=...))"
            )
