"""A falling mass with features that follow it: what an interpolation into a window of the mass is tried on."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import hist
import numpy as np

from backdrop import Channel, Events, Region
from backdrop.learn.flow import Flow
from backdrop.learn.scale import Feature, Log
from backdrop.learn.train import Training
from backdrop.methods.interpolate import Interpolate

MASS = hist.axis.Regular(12, 60, 180, name="m")
WINDOW = Region("window", "(m > 110) & (m < 130)")
SR = Region("SR", "(m > 110) & (m < 130) & (v > 0.5)")
CHANNEL = Channel("SR", SR, (hist.axis.Regular(4, 0, 4, name="u"),))
SMALL: dict[str, Any] = {
    "flow": Flow(layers=2, hidden=8, dropout=0.0),
    "train": Training(batch=512, epochs=8, steps=60, rate=1e-2, patience=8),
    "members": 3,
    "planes": 20,
    "draws": 4000,
}
METHOD = Interpolate(
    Region("tagged", "tag > 0"), (MASS,), WINDOW, (Feature("u", Log()), Feature("v")), {"product": "u * v"}, **SMALL
)


def draw(seed: int, number: int = 6000) -> Events:
    """Draw masses that fall, log u about a line in the mass, v about u, and two kinds of events; half are tagged."""
    rng = np.random.default_rng(seed)
    size = rng.poisson(number)
    m = 60 - 80 * np.log1p(-rng.uniform(size=size) * (1 - np.exp(-1.5)))
    u = np.exp(rng.normal((m - 120) / 100, 0.4))
    year = rng.choice([1, 2], size, p=[0.4, 0.6])
    columns = {"m": m, "u": u, "v": u + rng.normal(0, 0.5, size), "tag": rng.integers(0, 2, size), "year": year}
    return Events.of(columns)


@lru_cache
def expected() -> np.ndarray:
    """Return the expected yields of the channel, from two hundred times the events."""
    rows = draw(99, 1_200_000).select(SR & METHOD.target)
    return np.histogram(rows["u"], np.linspace(0, 4, 5))[0] / 200
