"""Process: what a model expects of one source of events, what scales it and what moves it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ConfigError, FitError
from .density import Density, Interpolated
from .morph import Moment, Morph, Vertical

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[np.float64]

__all__ = ["Process", "place"]


@dataclass(frozen=True, eq=False)
class Process:
    """A process of a model: its expected events, what scales them and what moves them.

    Attributes
    ----------
    nominal
        Expected events in the model's bins, or a density that is filled into them.
    factor
        Name of the free factor that multiplies it, None if there is none.
    shapes
        Nuisance to what is expected at plus and minus one, in the form of `nominal`.
    scales
        Nuisance to the relative uncertainty of the yield, which multiplies it by ``(1 + e)^alpha``.
    variance
        Variance of the expected events from the templates' own statistics, None to leave it out.
    morph
        How the shapes are interpolated.
    """

    nominal: ArrayLike | Density
    factor: str | None = None
    shapes: Mapping[str, tuple[ArrayLike | Density, ArrayLike | Density]] = field(default_factory=dict)
    scales: Mapping[str, float] = field(default_factory=dict)
    variance: ArrayLike | None = None
    morph: Morph = field(default_factory=Vertical)

    @property
    def templates(self) -> tuple[ArrayLike | Density, ...]:
        """The nominal template, then up and down of each nuisance."""
        return (self.nominal, *(side for pair in self.shapes.values() for side in pair))

    def check(self, name: str) -> None:
        """Raise a ConfigError if a setting does not fit the others."""
        if lone := [one for one, pair in self.shapes.items() if len(pair) != 2]:
            raise ConfigError(f"process '{name}': shape '{lone[0]}' is not a pair of templates, up and down")
        if isinstance(self.morph, Moment) and not all(isinstance(one, Interpolated) for one in self.templates):
            raise ConfigError(f"process '{name}': moment morphing needs Interpolated densities")
        for nuisance, error in self.scales.items():
            if not 0.0 < error < 10.0:
                raise ConfigError(f"nuisance '{nuisance}': the relative uncertainty {error} is not between 0 and 10")

    def filled(self, name: str, edges: Array) -> list[Array]:
        """Return the templates in the bins.

        Raises
        ------
        ConfigError
            If shapes of arrays do not fit.
        FitError
            If a yield is negative or not finite.
        """
        labels = ("the nominal yield", *(f"'{one}' {side}" for one in self.shapes for side in ("up", "down")))
        found = [_filled(name, one, edges) for one in self.templates]
        for what, yields in zip(labels, found, strict=True):
            if bad := [int(i) for i in np.flatnonzero(~(np.isfinite(yields) & (yields >= 0.0)))]:
                raise FitError(
                    f"process '{name}': {what} is {yields[bad[0]]:g} in {place(edges, bad[0])} ({len(bad)} such bins); "
                    "expected events are finite and not negative: merge bins"
                )
        if self.variance is not None:
            variance = np.asarray(self.variance, np.float64)
            if variance.shape != found[0].shape or not (variance >= 0.0).all():
                raise ConfigError(f"process '{name}': a variance for each bin is needed, none of them negative")
        return found

    def sample(self, name: str, yields: list[Array], stat: str) -> dict[str, Any]:
        """Return the process as a sample of a workspace.

        Parameters
        ----------
        name
            Its name.
        yields
            Its templates in the bins.
        stat
            Name of the factors of the bins.
        """
        nominal, *sides = yields
        modifiers: list[dict[str, Any]] = []
        if self.factor is not None:
            modifiers.append({"name": self.factor, "type": "normfactor", "data": None})
        for nuisance, up, down in zip(self.shapes, sides[::2], sides[1::2], strict=True):
            data = {"hi_data": up.tolist(), "lo_data": down.tolist()}
            modifiers.append({"name": nuisance, "type": "histosys", "data": data})
        for nuisance, error in self.scales.items():
            pair = {"hi": 1.0 + error, "lo": 1.0 / (1.0 + error)}
            modifiers.append({"name": nuisance, "type": "normsys", "data": pair})
        if self.variance is not None:
            errors = np.sqrt(np.asarray(self.variance, np.float64)).tolist()
            modifiers.append({"name": stat, "type": "staterror", "data": errors})
        return {"name": name, "data": nominal.tolist(), "modifiers": modifiers}


def place(edges: Array, index: int) -> str:
    """Name a bin."""
    return f"bin {index} ({edges[index]:g} to {edges[index + 1]:g})"


def _filled(name: str, template: ArrayLike | Density, edges: Array) -> Array:
    if hasattr(template, "yields"):
        return np.asarray(template.yields(edges), np.float64)
    yields = np.asarray(template, np.float64)
    if yields.shape != (len(edges) - 1,):
        raise ConfigError(f"process '{name}': yields of shape {yields.shape} for {len(edges) - 1} bins")
    return yields
