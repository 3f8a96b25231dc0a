"""Estimates and workspaces that the tests of this folder share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import hist
import numpy as np

from backdrop import Channel, Estimate, Region


def channels(bins: int = 4, names: Sequence[str] = ("SR", "VR")) -> tuple[Channel, ...]:
    """Disjoint channels, each of `bins` bins of the mass."""
    axis = hist.axis.Regular(bins, 0.0, 1.0, name="m", label="m [GeV]")
    return tuple(Channel(name, Region(name, f"tag == {i}"), (axis,)) for i, name in enumerate(names))


def estimate(
    seed: int = 0,
    *,
    bins: int = 4,
    names: Sequence[str] = ("SR", "VR"),
    level: float = 100.0,
    replicas: int = 30,
    spread: float = 0.1,
    variations: Sequence[str] = ("shape",),
    block: str = "data",
) -> Estimate:
    """A falling spectrum with all kinds of uncertainty, correlated over the channels."""
    rng = np.random.default_rng(seed)
    size = bins * len(names)
    nominal = level * np.exp(-np.linspace(0.0, 2.0, size)) * rng.uniform(0.8, 1.2, size)
    modes = rng.normal(size=(replicas, 3)) @ rng.normal(size=(3, size)) / np.sqrt(3.0)
    rows = nominal * (1.0 + spread * modes)
    shifts = {
        name: (nominal * (1.0 + 0.1 * rng.uniform(size=size)), nominal * (1.0 - 0.05 * rng.uniform(size=size)))
        for name in variations
    }
    return Estimate(channels(bins, names), nominal, 0.2 * nominal, {block: rows}, shifts, {block: 7})


def plain(values: Sequence[float], variances: Sequence[float], names: Sequence[str] = ("SR",)) -> Estimate:
    """An estimate with bin variances only."""
    bins = len(values) // len(names)
    return Estimate(channels(bins, names), np.array(values, float), np.array(variances, float))


def counting(count: float, background: float, signal: float = 1.0, error: float = 0.0) -> dict[str, Any]:
    """A counting experiment, written by hand."""
    stat = [{"name": "bins", "type": "shapesys", "data": [error]}] if error else []
    strength = {"name": "mu", "type": "normfactor", "data": None}
    bounds = [[-background / signal, (count + 50.0 + 20.0 * np.sqrt(background)) / signal]]
    return {
        "version": "1.0.0",
        "channels": [
            {
                "name": "SR",
                "samples": [
                    {"name": "hh", "data": [signal], "modifiers": [strength]},
                    {"name": "multijet", "data": [background], "modifiers": stat},
                ],
            }
        ],
        "observations": [{"name": "SR", "data": [count]}],
        "measurements": [
            {"name": "observed-SR", "config": {"poi": "mu", "parameters": [{"name": "mu", "bounds": bounds}]}}
        ],
    }


EVERY_MODIFIER: dict[str, Any] = {
    "version": "1.0.0",
    "channels": [
        {
            "name": "Z",
            "samples": [
                {
                    "name": "s",
                    "data": [5.0, 3.0, 0.0],
                    "modifiers": [
                        {"name": "mu", "type": "normfactor", "data": None},
                        {"name": "lumi", "type": "lumi", "data": None},
                    ],
                },
                {
                    "name": "b",
                    "data": [50.0, 20.0, 7.0],
                    "modifiers": [
                        {"name": "st", "type": "shapesys", "data": [5.0, 4.0, 0.0]},
                        {"name": "xs", "type": "normsys", "data": {"hi": 1.2, "lo": 0.85}},
                        {
                            "name": "h",
                            "type": "histosys",
                            "data": {"hi_data": [55.0, 18.0, 9.0], "lo_data": [46.0, 21.0, 4.0]},
                        },
                        {"name": "stat_Z", "type": "staterror", "data": [2.0, 1.0, 1.0]},
                    ],
                },
                {
                    "name": "c",
                    "data": [5.0, 2.0, 3.0],
                    "modifiers": [
                        {"name": "k", "type": "normfactor", "data": None},
                        {"name": "xs", "type": "normsys", "data": {"hi": 1.1, "lo": 0.9}},
                        {"name": "stat_Z", "type": "staterror", "data": [1.0, 1.0, 1.0]},
                    ],
                },
            ],
        },
        {
            "name": "A",
            "samples": [
                {
                    "name": "b",
                    "data": [100.0, 30.0],
                    "modifiers": [
                        {"name": "h", "type": "histosys", "data": {"hi_data": [105.0, 28.0], "lo_data": [90.0, 31.0]}},
                        {"name": "free", "type": "shapefactor", "data": None},
                        {"name": "xs", "type": "normsys", "data": {"hi": 1.2, "lo": 0.85}},
                    ],
                }
            ],
        },
    ],
    "observations": [{"name": "Z", "data": [53.0, 21.0, 9.0]}, {"name": "A", "data": [99.0, 0.0]}],
    "measurements": [
        {
            "name": "everything",
            "config": {
                "poi": "mu",
                "parameters": [
                    {"name": "lumi", "auxdata": [1.0], "sigmas": [0.02], "bounds": [[0.5, 1.5]], "inits": [1.0]}
                ],
            },
        }
    ],
}
"""A model with each modifier that can be read; the second channel sorts before the first."""
