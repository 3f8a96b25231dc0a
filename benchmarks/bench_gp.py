"""A Gaussian process on 25 x 25 bins of a mass plane, the signal region blinded, against scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF

from backdrop.learn.gp import GaussianProcess, Posterior, poisson_variance

from .harness import Disagreement, Row

BINS, WIDTH = 25, 3.6
CENTRE, RADIUS = np.array([47.0, 42.0]), 11.0


def rows() -> list[Row]:
    """Give the rows."""
    points, counts, seen = _plane()
    x, n, v = points[seen], counts[seen], poisson_variance(counts[seen])
    process = GaussianProcess(noise="observed", restarts=0, scale_errors=False)

    def ours() -> tuple[Posterior, Any, Any]:
        found = process.fit(x, n, v, rng=np.random.default_rng(1))
        return found, found.mean(points), found.covariance(points)

    def theirs() -> tuple[GaussianProcessRegressor, Any, Any]:
        span, spread = BINS * WIDTH - WIDTH, n.std()
        kernel = RBF([span / 2.0] * 2, [(span / 20.0, 20.0 * span)] * 2)
        found = GaussianProcessRegressor(kernel, alpha=v / spread**2).fit(x, (n - n.mean()) / spread)
        mean, covariance = found.predict(points, return_cov=True)
        return found, n.mean() + spread * mean, spread**2 * covariance

    return [
        Row(
            name=f"fit of two length scales to {len(x)} bins; mean and covariance of {len(points)}",
            peer="scikit-learn GaussianProcessRegressor",
            bar=2.5,
            unit="s",
            ours=ours,
            theirs=theirs,
            quality=_same,
            packages=("scikit-learn", "scipy"),
        )
    ]


def _plane() -> tuple[Any, Any, Any]:
    """Return the centres of the bins, their counts, and which bins the signal region does not touch."""
    centres = (np.arange(BINS) + 0.5) * WIDTH
    points = np.stack(np.meshgrid(centres, centres, indexing="ij"), axis=-1).reshape(-1, 2)
    shape = np.exp(-0.5 * (((points - [40.0, 35.0]) / [75.0, 40.0]) ** 2).sum(axis=1))
    counts = np.random.default_rng(1).poisson(100.0 * shape / shape.mean()).astype(np.float64)
    nearest = np.maximum(np.abs(points - CENTRE) - WIDTH / 2.0, 0.0)
    return points, counts, np.hypot(*nearest.T) >= RADIUS


def _same(ours: tuple[Posterior, Any, Any], theirs: tuple[Any, Any, Any]) -> dict[str, float]:
    error = np.sqrt(ours[2].diagonal())
    found = {
        "largest ratio of length scales": float(np.abs(ours[0].theta[:-1] - theirs[0].kernel_.theta).max()),
        "log marginal, ours above theirs": ours[0].log_marginal - float(theirs[0].log_marginal_likelihood_value_),
        "largest difference of means in errors": float((np.abs(ours[1] - theirs[1]) / error).max()),
        "of covariances in errors": float((np.abs(ours[2] - theirs[2]) / np.outer(error, error)).max()),
    }
    if max(abs(one) for one in found.values()) > 1e-3:
        raise Disagreement(f"{found}")
    return found
