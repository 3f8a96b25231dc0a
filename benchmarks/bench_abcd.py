"""An ABCD plane with signal in all regions: our fit of its relation against abcd-pyhf."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

import backdrop as bd
from backdrop.methods.abcd import Plane
from backdrop.methods.likelihood_abcd import LikelihoodABCD

from .harness import Disagreement, Row

PLANE = Plane("x1", "x2", 0.0, 0.0)
COUNTS = {"A": 60, "B": 100, "C": 200, "D": 400}
SIGNAL = {"A": 10.0, "B": 3.0, "C": 4.0, "D": 1.0}
SIDES = {"A": (1.0, 1.0), "B": (1.0, -1.0), "C": (-1.0, 1.0), "D": (-1.0, -1.0)}


def rows() -> list[Row]:
    """Give the row."""
    spec = _spec()
    return [
        Row(
            name="ABCD likelihood: signal strength, its error and interval, observed and expected limits",
            peer="abcd-pyhf: signal strength and its error alone",
            bar=1.0,
            unit="s/fit",
            ours=lambda: bd.fit(spec),
            theirs=_theirs,
            quality=_same,
            packages=("pyhf", "abcd-pyhf", "iminuit"),
        )
    ]


def _events(numbers: dict[str, float], sample: str, *, weighted: bool) -> bd.Events:
    repeats = [1 if weighted else int(number) for number in numbers.values()]
    x, y = (np.repeat([SIDES[name][i] for name in numbers], repeats) for i in range(2))
    weight = np.array(list(numbers.values())) if weighted else None
    return bd.Events.of({"x1": x, "x2": y}, sample=sample, weight=weight)


def _spec() -> dict[str, Any]:
    roles = PLANE.abcd()
    method = LikelihoodABCD(roles.target, roles.source, roles.control)
    data = _events({name: float(n) for name, n in COUNTS.items()}, "data", weighted=False)
    channel = bd.Channel("SR", PLANE.region)
    relation = bd.terms(bd.Setup(method, data), [channel], seed=1)
    signal = relation.template(_events(SIGNAL, "signal", weighted=True))
    exact = bd.Estimate(signal.channels, signal.nominal, np.zeros_like(signal.nominal))
    return bd.workspace({"background": relation}, {"signal": exact}, {"SR": data})


def _theirs() -> tuple[float, float]:
    from abcd_pyhf import ABCD

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plane = ABCD(COUNTS, SIGNAL, 0.0)
        value, error = np.asarray(plane.fit())[plane.model.config.par_names.index("mu")]
    # a signal of one event in A has strength one there
    return float(value / SIGNAL["A"]), float(error / SIGNAL["A"])


def _same(ours: bd.inference.FitResult, theirs: tuple[float, float]) -> dict[str, float]:
    distance = abs((ours.value or 0.0) - theirs[0]) / (ours.error or 1.0)
    if distance > 0.02:
        raise Disagreement(f"signal strength {ours.value} against {theirs[0]}, {distance:.2g} of its error")
    return {"difference in units of the error": float(distance), "ratio of the errors": (ours.error or 0.0) / theirs[1]}
