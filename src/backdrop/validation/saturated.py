"""Saturated likelihood-ratio test of few-event bins, its p-value from toys."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..errors import DataError, FitError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["saturated", "saturated_p_value"]

_STEPS = 200
_LARGEST_STEP = 2.0
_BLOCK = 2**22


def saturated(counts: Array, expected: Array, covariance: Array) -> Array:
    """Return the saturated likelihood ratio of rows of counts, shape (rows,).

    ``q = min_θ 2 Σ_i [b_i(θ) - n_i + n_i ln(n_i / b_i(θ))] + θ^T θ``: Poisson counts around a prediction
    ``b(θ) = expected · exp(B θ - diag(B B^T) / 2)`` whose unit normal θ give it the mean `expected` and the covariance
    `covariance`, shape (bins, bins), through ``B B^T = ln(1 + V_ij / (b_i b_j))`` (negative eigenvalues, which strong
    anti-correlations can give it, are left out). It is minimised by damped Newton steps for all rows at once.

    Raises
    ------
    DataError
        If a prediction is not positive or a count is negative.
    FitError
        If a row does not converge.
    """
    directions, median = _prediction(expected, covariance)
    return _profile(np.atleast_2d(np.asarray(counts, np.float64)), directions, median)


def saturated_p_value(
    counts: Array, expected: Array, covariance: Array, *, toys: int, rng: np.random.Generator
) -> float:
    """Return the fraction of toys whose saturated likelihood ratio is at least the one observed.

    Each toy draws the prediction from its covariance, then Poisson counts. The p-value is
    ``(1 + number at least as large) / (1 + toys)``, so it is never 0.
    """
    directions, median = _prediction(expected, covariance)
    theta = rng.standard_normal((toys, directions.shape[1]))
    drawn = rng.poisson(median * np.exp(theta @ directions.T)).astype(np.float64)
    observed = _profile(np.asarray(counts, np.float64)[None], directions, median)[0]
    at_least = int((_profile(drawn, directions, median) >= observed * (1.0 - 1e-9)).sum())
    return (1 + at_least) / (1 + toys)


def _prediction(expected: Array, covariance: Array) -> tuple[Array, Array]:
    """Return B, shape (bins, k), and the median of the log-normal prediction."""
    if bad := np.flatnonzero(expected <= 0.0).tolist():
        raise DataError(f"bins {bad} have expectations that are not positive; merge them with their neighbours")
    relative = 1.0 + covariance / np.outer(expected, expected)
    if (relative <= 0.0).any():
        raise DataError("the prediction has uncertainties that no positive prediction can have; merge bins")
    logs = np.log(relative)
    eigenvalues, vectors = np.linalg.eigh(logs)
    kept = eigenvalues > 1e-12 * max(float(eigenvalues[-1]), 1e-12)
    directions = vectors[:, kept] * np.sqrt(eigenvalues[kept])
    return directions, expected * np.exp(-(directions**2).sum(axis=1) / 2)


def _profile(counts: Array, directions: Array, median: Array) -> Array:
    if (counts < 0.0).any():
        raise DataError(f"bins {np.flatnonzero((counts < 0).any(axis=0)).tolist()} have negative counts; merge them")
    rows = max(1, _BLOCK // max(1, directions.size))
    blocks = [_minimum(counts[i : i + rows], directions, median) for i in range(0, len(counts), rows)]
    return np.concatenate(blocks)


def _minimum(counts: Array, directions: Array, median: Array) -> Array:
    """Minimise over θ: the target is convex, its Hessian at least the unit matrix."""
    theta = np.zeros((len(counts), directions.shape[1]))
    unit = np.eye(directions.shape[1])
    for _ in range(_STEPS):
        means = median * np.exp(theta @ directions.T)
        gradient = (means - counts) @ directions + theta
        if float(np.abs(gradient).max(initial=0.0)) < 1e-7 * (1.0 + float(counts.max(initial=0.0))):
            return np.asarray(_deviance(counts, means) + (theta**2).sum(axis=1))
        hessian = (directions.T * means[:, None, :]) @ directions + unit
        step = np.linalg.solve(hessian, gradient[..., None])[..., 0]
        largest = np.abs(step @ directions.T).max(axis=1, initial=0.0)
        theta -= step * np.minimum(1.0, _LARGEST_STEP / np.maximum(largest, 1e-300))[:, None]
    raise FitError(f"the saturated likelihood ratio of {len(counts)} rows of counts did not converge in {_STEPS} steps")


def _deviance(counts: Array, means: Array) -> Array:
    ratio = np.divide(counts, means, out=np.ones_like(means), where=counts > 0.0)
    return np.asarray(2.0 * (means - counts + counts * np.log(ratio)).sum(axis=1))
