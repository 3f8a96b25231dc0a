"""Forms: the same model with other samples, for programs that cannot say it as it is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from ..inference.label import Names
from .model import Cell, Factor, Model, Place

__all__ = ["by_bin", "uniform"]


def by_bin(model: Model) -> Model:
    """Return the model with a sample for each bin in place of a set of free factors, one for each bin.

    The samples ``<sample>_at<i>`` have the free factors ``<set>_<i>``, so that programs without such sets can fit
    them. A set of one bin is one free factor.
    """
    names, factors = Names("sample"), Names("factor")
    for name in model.samples:
        names.give(name, f"sample '{name}'")
    written: dict[str, tuple[Factor, ...]] = {}
    sets = {cell.bins for _, cell in model.cells()}
    for name, row in model.factors.items():
        alone = name not in sets or len(row) == 1
        for i, one in enumerate(row):
            written[factors.give(name if alone else f"{name}_{i}", f"factor {i} of '{name}'")] = (one,)
    places = [
        replace(place, cells=tuple(part for cell in place.cells for part in _parts(cell, names)))
        for place in model.places
    ]
    return replace(model, places=tuple(places), factors=written)


def _parts(cell: Cell, names: Names) -> Iterator[Cell]:
    if not cell.bins:
        yield cell
    elif len(cell.nominal) == 1:
        yield replace(cell, factors=(*cell.factors, cell.bins), bins="")
    else:
        for i in np.flatnonzero(cell.nominal).tolist():
            yield cell.at(i, names.give(f"{cell.sample}_at{i}", f"bin {i} of sample '{cell.sample}'"))


def uniform(model: Model) -> Model:
    """Return the model in a form where every free factor acts on some samples in some channels, in all pairs of them.

    Where it does not, the samples with different factors in different channels get a name for each:
    ``<sample>_<channel>``.
    """
    if all(_is_product(model, name) for name in model.nuisances(_free)):
        return model
    sets: dict[str, set[tuple[str, ...]]] = {}
    for _, cell in model.cells():
        sets.setdefault(cell.sample, set()).add(_free(cell))
    names = Names("sample")
    kept = {name: names.give(name, f"sample '{name}'") for name, found in sets.items() if len(found) == 1}

    def named(place: Place, cell: Cell) -> Cell:
        owner = f"sample '{cell.sample}' in channel '{place.name}'"
        return replace(cell, sample=kept.get(cell.sample) or names.give(f"{cell.sample}_{place.name}", owner))

    places = [replace(place, cells=tuple(named(place, cell) for cell in place.cells)) for place in model.places]
    return replace(model, places=tuple(places))


def _free(cell: Cell) -> tuple[str, ...]:
    return (*cell.factors, cell.bins) if cell.bins else cell.factors


def _is_product(model: Model, name: str) -> bool:
    uses = model.uses(_free, name)
    where = {channel for channels in uses.values() for channel in channels}
    return all(
        place.name in uses[cell.sample] for place, cell in model.cells() if cell.sample in uses and place.name in where
    )
