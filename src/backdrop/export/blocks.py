"""Blocks: what acts on some samples in some channels, in the form that configuration files have for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .model import Model

__all__ = ["Block", "blocks"]


@dataclass(frozen=True)
class Block:
    """A nuisance on all pairs of some samples and channels.

    Attributes
    ----------
    name
        The block's own name.
    nuisance
        The nuisance, which several blocks may share.
    samples, channels
        Where it acts.
    norm
        The factors at plus and minus one standard deviation; None where the histograms say it.
    """

    name: str
    nuisance: str
    samples: tuple[str, ...]
    channels: tuple[str, ...]
    norm: tuple[float, float] | None = None


def blocks(model: Model) -> Iterator[Block]:
    """Yield the nuisances of a model, each as few blocks."""
    for name in model.nuisances(lambda cell: (*cell.shapes, *cell.norms)):
        where: dict[tuple[str, tuple[float, float] | None], tuple[str, ...]] = {}
        for place, cell in model.cells():
            if name in cell.shapes or name in cell.norms:
                key = cell.sample, cell.norms.get(name)
                where[key] = (*where.get(key, ()), place.name)
        groups: dict[tuple[tuple[str, ...], tuple[float, float] | None], tuple[str, ...]] = {}
        for (sample, norm), channels in where.items():
            groups[channels, norm] = (*groups.get((channels, norm), ()), sample)
        for number, ((channels, norm), samples) in enumerate(groups.items(), start=1):
            title = name if len(groups) == 1 else f"{name}__{number}"
            yield Block(title, name, samples, channels, norm)
