"""Templates: one sample's yields, shifts and bin variances in the form that a HistFactory likelihood can hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..errors import ExportError
from .nuisances import Pieces
from .sample import Empty, Sample, more

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Mask = NDArray[np.bool_]

__all__ = ["Nominal", "Template", "nominal", "template"]

_SMALLEST = 1e-5


@dataclass(frozen=True, eq=False)
class Nominal:
    """A sample's nominal yields, and where they are the floor; shapes (bins,)."""

    yields: Array
    floored: Mask


@dataclass(frozen=True, eq=False)
class Template:
    """One sample in the form of the likelihood, as flat vectors over the channels of its estimate.

    The yield is ``gamma (nominal + sum of shifts)``; gamma is one for each bin, with variance ``variance / nominal²``.

    Attributes
    ----------
    sample
        The sample.
    nominal
        Yields, positive (a signal's may be zero), shape (bins,).
    shapes
        Nuisance to the yields at plus and minus one standard deviation.
    variance
        The variance of each bin that no shape holds, shape (bins,).
    floored
        Where a nominal or varied yield was set to the floor.
    uncorrelated
        Where the replicas' variance went to `variance`.
    """

    sample: Sample
    nominal: Array
    shapes: Mapping[str, tuple[Array, Array]]
    variance: Array
    floored: Mask
    uncorrelated: Mask


def nominal(sample: Sample, empty: Empty) -> Nominal:
    """Return the nominal yields, the empty and negative ones set to the floor.

    Raises
    ------
    ExportError
        If there are such yields and no floor.
    """
    result = sample.estimate
    moves = (result.sumw2 > 0.0) | np.any([np.ptp(rows, axis=0) > 0.0 for rows in result.replicas.values()], axis=0)
    bad = sample.bad(result.nominal) | ((result.nominal == 0.0) & moves)
    return Nominal(sample.raised("the nominal yield", result.nominal, bad, empty), bad)


def template(sample: Sample, start: Nominal, pieces: Pieces, total: Array, empty: Empty) -> Template:
    """Put a sample together: a bin keeps its variance, whatever is moved from shapes to the bin's own factor.

    Parameters
    ----------
    sample
        The sample.
    start
        Its nominal yields.
    pieces
        Its nuisances.
    total
        Expected yield of all backgrounds in its bins, shape (bins,).
    empty
        What becomes of varied yields that are empty or negative.

    Raises
    ------
    ExportError
        If a shape would make a yield negative, and no policy covers that.
    """
    yields, floored = start.yields, start.floored
    loose = _loose(sample, start, pieces.shifts, total)
    moved = loose | floored
    variance = sample.estimate.sumw2 + pieces.remainder
    shapes = {}
    for name, shift in pieces.shifts.items():
        kept = np.where(moved, 0.0, shift)
        variance = variance + np.where(moved, shift**2, 0.0)
        shapes[name] = (yields + kept, yields - kept)
    touched = floored.copy()
    for variation, name in pieces.variations.items():
        sides, lost, raised = _varied(sample, start, variation, empty)
        variance, touched = variance + lost, touched | raised
        shapes[name] = sides
    variance = np.where(floored, np.maximum(variance, yields**2), variance)
    variance = np.where(variance < (_SMALLEST * yields) ** 2, 0.0, variance)
    return Template(sample, yields, shapes, variance, touched, loose)


def _varied(sample: Sample, start: Nominal, variation: str, empty: Empty) -> tuple[tuple[Array, Array], Array, Mask]:
    """Return a variation's yields, the variance they lose to the floor, and where a yield was set to it."""
    given = sample.estimate.variations[variation]
    bad = [sample.bad(side) & ~start.floored for side in given]
    raised = bad[0] | bad[1]
    sides = [
        sample.raised(f"variation '{variation}' ({word})", side, wrong, empty)
        for word, side, wrong in zip(("up", "down"), given, bad, strict=True)
    ]
    up, down = (np.where(start.floored, start.yields, side) for side in sides)
    lost = ((given[0] - given[1]) ** 2 - (up - down) ** 2) / 4.0
    return (up, down), np.where(raised | start.floored, lost, 0.0), raised


def _loose(sample: Sample, start: Nominal, shifts: Mapping[str, Array], total: Array) -> Mask:
    """Return the bins whose replicas spread by the yield or more, if they may be left uncorrelated.

    A Gaussian shift would make such a yield negative; a factor of the bin's own cannot. Their correlation is lost,
    which the data cannot see as long as all of them together move by less than the Poisson error of the total.
    """
    spread = np.sqrt(sum((shift**2 for shift in shifts.values()), np.zeros(len(total))))
    loose = (spread >= start.yields) & (spread > 0.0) & ~start.floored
    if spread[loose].sum() > np.sqrt(total[loose].sum()):
        worst = int(np.argmax(np.where(loose, spread - start.yields, -np.inf)))
        name = max(shifts, key=lambda one: abs(shifts[one][worst]))
        raise ExportError(
            f"the replicas spread by {spread[worst]:.3g} around a yield of {start.yields[worst]:.3g} (mostly '{name}') "
            f"in {sample.place(worst)}{more(loose)}: one standard deviation takes it to "
            f"{start.yields[worst] - spread[worst]:.3g}; merge bins until the spread is below the yield"
        )
    return loose
