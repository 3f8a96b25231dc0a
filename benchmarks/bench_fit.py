"""A model of 60 bins with three constrained shapes: one fit, and the fits of thousands of toys, against pyhf."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyhf

from backdrop.inference import DoubleGaussian, FitResult, Fits, Model, Process, fit
from backdrop.inference.fits import fits
from backdrop.inference.likelihood import Likelihood
from backdrop.inference.minimise import minimise
from backdrop.inference.toys import thrown
from backdrop.tasks import stream

from .harness import Disagreement, Row

TOYS = 2000
FEW = 10
PACKAGES = ("pyhf", "iminuit", "numba")


def rows() -> list[Row]:
    """Give the rows."""
    pyhf.set_backend("numpy", pyhf.optimize.minuit_optimizer())
    model = _model()
    likelihood = model.likelihood()
    theirs = pyhf.Workspace(model.workspace()).model()
    truth = minimise(likelihood, likelihood.start).parameters
    drawn = thrown(likelihood, truth, [stream(1, "toy", i) for i in range(TOYS)])
    order = [likelihood.names.index(name) for name in theirs.config.par_names]
    return [
        Row(
            name="one fit, 60 bins, 3 nuisances: all parameters with their errors",
            peer="pyhf with Minuit",
            bar=20.0,
            unit="s/fit",
            ours=lambda: [fit(model, level=None) for _ in range(20)],
            theirs=lambda: [_theirs(theirs, likelihood, order)],
            quality=_same,
            packages=PACKAGES,
            ours_work=20,
        ),
        Row(
            name=f"{TOYS} toys of it, auxiliary measurements thrown as well: the same fits",
            peer=f"pyhf with Minuit, {FEW} of them",
            bar=300.0,
            unit="s/fit",
            ours=lambda: fits(drawn, truth),
            theirs=lambda: [_theirs(theirs, drawn.toys(i), order) for i in range(FEW)],
            quality=_same,
            packages=PACKAGES,
            ours_work=TOYS,
            theirs_work=FEW,
        ),
    ]


def _model() -> Model:
    edges = np.linspace(100.0, 160.0, 61)
    x = (edges[1:] + edges[:-1] - 260.0) / 60.0
    falling = np.exp(-x)
    falling *= 16_000.0 / falling.sum()
    moves = {"shift": 0.05 * np.sin(3.0 * x), "tilt": 0.05 * x, "bow": 0.05 * x**2}
    shapes = {name: (falling * (1.0 + move), falling * (1.0 - move)) for name, move in moves.items()}
    signal = Process(DoubleGaussian(125.0, 1.5, 3.0, 0.7, total=100.0), "mu")
    model = Model(edges, {"signal": signal, "background": Process(falling, "mu_bkgd", shapes)})
    return model.with_data(np.random.default_rng(1).poisson(sum(model.yields(tilt=0.3).values())))


def _theirs(model: Any, likelihood: Likelihood, order: list[int]) -> tuple[float, float]:
    """Fit with pyhf; the centres of its constraints, in its own order, follow the counts."""
    centres = dict(zip(likelihood.normal.where.tolist(), likelihood.normal.centre.tolist(), strict=True))
    data = [*likelihood.data.tolist(), *(centres[i] for i in order if i in centres)]
    found = np.asarray(pyhf.infer.mle.fit(data, model, return_uncertainties=True))
    return tuple(map(float, found[model.config.poi_index]))


def _same(ours: list[FitResult] | Fits, theirs: list[tuple[float, float]]) -> dict[str, float]:
    if isinstance(ours, Fits):
        pairs = list(zip(ours.value().tolist(), ours.error().tolist(), strict=True))
    else:
        pairs = [(one.value or 0.0, one.error or 0.0) for one in ours]
    near = list(zip(pairs, theirs, strict=False))
    distance = max(abs(a[0] - b[0]) / a[1] for a, b in near)
    ratio = max(abs(a[1] / b[1] - 1.0) for a, b in near)
    if distance > 0.01 or ratio > 0.01:
        raise Disagreement(f"the strength by {distance:.2g} of its error, the error by {ratio:.2g}")
    return {"difference in units of the error": distance, "largest difference of the errors": ratio}
