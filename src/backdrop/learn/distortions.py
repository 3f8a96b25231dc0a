"""Distortions of a kernel: what its shape systematics do to it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from ..errors import ConfigError, nearest
from .graph import Template

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["Distortion", "FinalTilt", "Shift", "Tilt", "check_distortion", "opposite"]


@dataclass(frozen=True)
class Shift:
    """Adds a number to the drawn values of a variable, before anything that depends on them is drawn.

    A value that it moves out of the axis of a later template chooses the nearest slice.

    Attributes
    ----------
    variable
        A variable that a template draws.
    by
        What is added, in the unit of the variable.
    """

    variable: str
    by: float


@dataclass(frozen=True)
class Tilt:
    """Multiplies the template that draws a variable with ``1 + slope x``, x the centres of its bins.

    Attributes
    ----------
    variable
        A variable that a template draws.
    slope
        In one over the unit of the variable; the factor must be positive in all bins, for both signs.
    """

    variable: str
    slope: float


@dataclass(frozen=True)
class FinalTilt:
    """Multiplies the drawn events with a linear function of a final variable: ``1 + slope (x - (low + high) / 2)``.

    Below `low` and above `high` it is constant. The sum of the weights of all drawn events stays what it is.

    Attributes
    ----------
    variable
        A variable that is drawn or derived.
    slope
        In one over the unit of the variable; below ``2 / (high - low)``, so that the factor is positive.
    low, high
        Where the function is linear.
    """

    variable: str
    slope: float
    low: float
    high: float

    def __post_init__(self) -> None:
        if not (self.low < self.high and abs(self.slope) * (self.high - self.low) < 2.0):
            raise ConfigError(
                f"the tilt of '{self.variable}' needs low < high and |slope| (high - low) < 2, or its factor is not "
                f"positive at an end: slope {self.slope:g} from {self.low:g} to {self.high:g}"
            )

    def factor(self, values: Array) -> Array:
        """Return the factor of each value."""
        middle = (self.low + self.high) / 2.0
        return np.asarray(1.0 + self.slope * (np.clip(values, self.low, self.high) - middle))


Distortion: TypeAlias = Shift | Tilt | FinalTilt
"""What a shape systematic does to a kernel."""


def opposite(one: Distortion) -> Distortion:
    """Return the distortion with the other sign."""
    return replace(one, by=-one.by) if isinstance(one, Shift) else replace(one, slope=-one.slope)


def check_distortion(one: Distortion, templates: Sequence[Template], derived: Iterable[str]) -> None:
    """Check that a distortion moves what is there.

    Raises
    ------
    ConfigError
        If its variable is not drawn (nor derived, where that is allowed), or a tilt gives a negative bin.
    """
    axes: Mapping[str, Any] = {axis.name: axis for template in templates for axis in template.draws}
    allowed = [*axes, *derived] if isinstance(one, FinalTilt) else list(axes)
    if one.variable not in allowed:
        what = "neither drawn nor derived" if isinstance(one, FinalTilt) else "not drawn"
        raise ConfigError(
            f"a {type(one).__name__} moves '{one.variable}', which is {what}{nearest(one.variable, allowed)}; there is "
            f"{', '.join(allowed)}"
        )
    if isinstance(one, Tilt):
        edges = np.asarray(axes[one.variable].edges)
        largest = float(np.abs(edges[1:] + edges[:-1]).max() / 2.0)
        if abs(one.slope) * largest >= 1.0:
            raise ConfigError(
                f"1 + {one.slope:g} x is not positive, with either sign, in all bins of '{one.variable}', which reach "
                f"|x| = {largest:g}; choose a slope below {1 / largest:.3g}"
            )


def shifts(distortions: Iterable[Distortion]) -> dict[str, float]:
    """Return what is added to each variable."""
    found: dict[str, float] = {}
    for one in distortions:
        if isinstance(one, Shift):
            found[one.variable] = found.get(one.variable, 0.0) + one.by
    return found


def tilt(template: Template, distortions: Iterable[Distortion]) -> Array | None:
    """Return the factor of each flat bin that a template draws, None where all are 1."""
    own = [one for one in distortions if isinstance(one, Tilt) and one.variable in template.variables]
    factor = np.ones(())
    for axis in template.draws:
        centres = (np.asarray(axis.edges)[1:] + np.asarray(axis.edges)[:-1]) / 2.0
        slopes = [one.slope for one in own if one.variable == axis.name]
        factor = factor[..., None] * np.prod(
            [1.0 + slope * centres for slope in slopes] or [np.ones(len(axis))], axis=0
        )
    return factor.ravel() if own else None
