"""Relations: terms as samples of a workspace, their free factors as pyhf modifiers and parameters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..channel import Channel
from ..estimate import Estimate, Term, Terms
from .label import Names, clean
from .sample import Sample

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["parameters", "samples"]


def samples(name: str, title: str, terms: Terms, names: Names) -> Iterator[Sample]:
    """Yield the samples of a relation: one for each part of it, in all channels that it has."""
    for part in dict.fromkeys(term.part for term in terms.terms):
        own = {term.channel: term for term in terms.terms if term.part == part}
        channels = tuple(channel for channel in terms.all_channels if channel.name in own)
        nominal = np.concatenate([own[channel.name].nominal for channel in channels])
        estimate = Estimate(channels, nominal, np.zeros_like(nominal), {}, _moved(terms, channels, nominal))
        written = names.give(f"{name}_{part}", f"part '{part}' of sample '{title}'") if part else name
        modifiers = {channel: tuple(_modifiers(name, term)) for channel, term in own.items()}
        yield Sample(written, title, estimate, partial=True, modifiers=modifiers)


def _moved(terms: Terms, channels: Sequence[Channel], nominal: Array) -> dict[str, tuple[Array, Array]]:
    """Return the varied yields of a part: those of the analysis' channels move, the auxiliary ones are counted."""
    sizes = np.cumsum([0] + [channel.size for channel in terms.channels])
    where = {channel.name: slice(*sizes[i : i + 2]) for i, channel in enumerate(terms.channels)}

    def side(relative: Array) -> Array:
        parts = [relative[where[one.name]] if one.name in where else np.ones(one.size) for one in channels]
        return np.asarray(nominal * np.concatenate(parts))

    if not any(channel.name in where for channel in channels):
        return {}
    return {variation: (side(up), side(down)) for variation, (up, down) in terms.variations.items()}


def _modifiers(name: str, term: Term) -> Iterator[dict[str, Any]]:
    if term.bins:
        yield {"name": _factor(name, term.bins), "type": "shapefactor", "data": None}
    for factor in term.factors:
        yield {"name": _factor(name, factor), "type": "normfactor", "data": None}
    for factor, exponent in term.exponents.items():
        sides = {"hi": float(np.exp(exponent)), "lo": float(np.exp(-exponent))}
        yield {"name": _factor(name, factor), "type": "normsys", "data": sides}


def parameters(name: str, terms: Terms) -> Iterator[dict[str, Any]]:
    """Yield the free factors of a relation with their starts and bounds."""
    for factor, one in terms.parameters.items():
        bounds = [[0.0, float(upper)] for upper in one.upper]
        yield {"name": _factor(name, factor), "inits": [float(start) for start in one.start], "bounds": bounds}


def _factor(name: str, factor: str) -> str:
    return f"{name}_{clean(factor)}"
