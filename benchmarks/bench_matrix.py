"""Weights of the matrix method for a million events, against the inverse of each event's Kronecker product."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from backdrop.learn.composition import Number, matrix_weights

from .harness import Disagreement, Row

EVENTS, INVERTED = 1_000_000, 50_000


def rows() -> list[Row]:
    """Give a row for each number of leptons, and one for a target and a composition of another kind."""
    found = [_row(leptons, "all tight, 1 or more fake", 100.0) for leptons in (2, 3, 4)]
    return [*found, _row(4, "2 or more tight, 2 fake", 50.0, target=Number(2), fakes=Number(2, 2))]


def _row(leptons: int, what: str, bar: float, **wanted: Any) -> Row:
    rng = np.random.default_rng(leptons)
    size = leptons * EVENTS
    real, fake = rng.uniform(0.7, 1.0, size), rng.uniform(0.05, 0.4, size)
    tight, offsets = rng.uniform(size=size) < 0.5, np.arange(0, size + 1, leptons)
    shape = (INVERTED, leptons)
    few = [one[: leptons * INVERTED].reshape(shape) for one in (real, fake, tight)]
    return Row(
        name=f"matrix-method weights of {leptons} leptons, {what}, {EVENTS // 1_000_000}e6 events",
        peer="Kronecker product and inverse of each event, in NumPy batches",
        bar=bar,
        unit="s/event",
        ours=lambda: matrix_weights(real, fake, tight, offsets, **wanted),
        theirs=partial(_inverted, *few, "target" in wanted),
        quality=_same,
        packages=("numba",),
        ours_work=EVENTS,
        theirs_work=INVERTED,
        repeats=3,
    )


def _inverted(real: Any, fake: Any, tight: Any, other: bool) -> Any:
    events, leptons = real.shape
    matrix = np.ones((events, 1, 1))
    for r, f in zip(real.T, fake.T, strict=True):
        one = np.stack([np.stack([r, f], axis=1), np.stack([1.0 - r, 1.0 - f], axis=1)], axis=1)
        matrix = np.einsum("nab,ncd->nacbd", matrix, one).reshape(events, 2 * matrix.shape[1], -1)
    ones = np.array([bin(state).count("1") for state in range(2**leptons)])
    # bits are anti-tight leptons of a target, and fakes of a composition
    target, fakes = (leptons - ones >= 2, ones == 2) if other else (ones == 0, ones >= 1)
    observed = ~tight @ (1 << np.arange(leptons)[::-1])
    column = np.linalg.inv(matrix)[np.arange(events), :, observed]
    efficiency = np.einsum("t,ntp->np", target.astype(float), matrix)
    return (efficiency * fakes * column).sum(axis=1)


def _same(ours: Any, theirs: Any) -> dict[str, float]:
    worst = float(np.abs(ours[: len(theirs)] - theirs).max() / np.abs(theirs).max())
    if worst > 1e-12:
        raise Disagreement(f"weights differ by {worst:.2g} of the largest")
    return {"largest difference over largest weight": worst}
