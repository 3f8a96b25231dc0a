"""A sample whose absorption of a signal is known: ABCD of equal regions, with a counting fit in closed form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import hist
import numpy as np

from backdrop import Channel, Estimate, Events, Setup, Terms
from backdrop.errors import FitError
from backdrop.methods.abcd import Plane
from backdrop.methods.likelihood_abcd import LikelihoodABCD
from backdrop.synthetic import GaussianPlane

PLANE = Plane("x1", "x2", 0.0, 0.0)
EXPECTED = 2000.0
TOY = GaussianPlane(fakes=4 * EXPECTED, reals=0.0)
CHANNELS = (Channel("SR", PLANE.region, (hist.axis.Regular(4, 100, 200, name="m"),)),)
SIGNAL = {"A": 300.0, "B": 60.0}
"""Signal events of strength one above both thresholds, and above that of x1 only."""
ABSORBED = SIGNAL["B"] / SIGNAL["A"]
"""B predicts A one to one, so its signal is taken for as much background in A."""


@dataclass(frozen=True)
class Plain:
    """ABCD, with a closure factor that may be wrong."""

    kappa: float = 1.0

    def __call__(self, seed: int) -> Setup:
        return Setup(replace(PLANE.abcd(), kappa=self.kappa), TOY.draw(seed=seed))


def likelihood(seed: int) -> Setup:
    """Draw the same sample for the likelihood, in which the signal is expected in all regions."""
    roles = PLANE.abcd()
    return Setup(LikelihoodABCD(roles.target, roles.source, roles.control), TOY.draw(seed=seed))


@dataclass(frozen=True)
class Signal:
    """Signal around 150 GeV; `leaks` says whether some of it is in B."""

    leaks: bool = True

    def __call__(self, seed: int, strength: float) -> Events:
        rng = np.random.default_rng(seed)
        numbers = rng.poisson(strength * np.array([SIGNAL["A"], SIGNAL["B"] * self.leaks]))
        columns = {"x1": np.ones(numbers.sum()), "x2": np.repeat([1.0, -1.0], numbers)}
        columns["m"] = rng.normal(150.0, 5.0, numbers.sum())
        return Events.of(columns, sample="signal").relabel("data")


@dataclass(frozen=True)
class Counting:
    """``(n - b) / s`` with the error ``√(n + 3 b) / s``; `bend` adds to it in proportion to its square.

    The variance of ``b = B C / D`` is ``3 b`` where all are equal.
    """

    scale: float = 1.0
    bend: float = 0.0
    fails_above: float = np.inf

    def __call__(
        self, background: Estimate | Terms, observed: Mapping[str, Events], *, rng: np.random.Generator
    ) -> dict[str, tuple[float, float]]:
        count, expected = len(observed["SR"]), background.nominal.sum()
        if count > self.fails_above:
            raise FitError(f"{count} rows are too many")
        value, error = (count - expected) / SIGNAL["A"], np.sqrt(count + 3.0 * expected) / SIGNAL["A"]
        return {"all": (value + self.bend * value**2, self.scale * error), "half": (0.5 * value, 0.5 * error)}
