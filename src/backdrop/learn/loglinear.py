"""Log-linear Poisson models: counts whose rates are products of free factors, their maximum and its profile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..errors import FitError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Index = NDArray[np.int64]

__all__ = ["LogLinear", "Products", "crossing", "deviance"]

_STEPS = 200
_DISTANCE = 1e-10
_STIFFNESS = 0.3
_DOUBLINGS = 7
_LIFT = 0.5
_UNDERFLOW = -300.0


@dataclass(frozen=True, eq=False)
class Products:
    """Products of factors, ``y = exp(offset + design . theta)``; theta are the logarithms of the factors.

    Attributes
    ----------
    offset
        Logarithm of the constant, shape (n,).
    design
        Exponent of each factor, shape (n, parameters).
    """

    offset: Array
    design: Array

    def __call__(self, theta: Array) -> Array:
        """Return the products, shape (n,)."""
        return np.asarray(np.exp(np.clip(self.offset + self.design @ theta, _UNDERFLOW, -_UNDERFLOW)))


@dataclass(frozen=True, eq=False)
class LogLinear:
    """Counts ``n_r ~ Poisson(sum of the products that belong to r)``.

    Attributes
    ----------
    counts
        Observed counts, shape (rates,).
    where
        The rate each product belongs to, shape (products,).
    products
        The products of the rates.
    """

    counts: Array
    where: Index
    products: Products

    def rates(self, theta: Array) -> Array:
        """Return the rates, shape (rates,)."""
        return np.bincount(self.where, self.products(theta), len(self.counts)).astype(np.float64)

    def value(self, theta: Array) -> float:
        """Return the negative logarithm of the likelihood, relative to rates that equal the counts."""
        return deviance(self.counts, self.rates(theta))

    def maximum(self, start: Array) -> Array:
        """Return the parameters of the largest likelihood; a product that the data want to be zero is tiny there.

        Raises
        ------
        FitError
            If the search does not end.
        """
        return self._search(start, None)

    def covariance(self, theta: Array) -> Array:
        """Return the inverse of the expected information, shape (parameters, parameters).

        Raises
        ------
        FitError
            If the counts do not determine a parameter.
        """
        information = self._local(theta)[1]
        scale = np.sqrt(np.maximum(np.diag(information), 1e-300))
        values, vectors = np.linalg.eigh(information / np.outer(scale, scale))
        if values[0] < 1e-12:
            raise FitError("the counts do not determine all factors of the model; use fewer factors or merge bins")
        return np.asarray((vectors / values) @ vectors.T / np.outer(scale, scale))

    def lifted(self) -> LogLinear:
        """Return the model with half an event where none was seen: its maximum and covariance are always inside."""
        return LogLinear(np.where(self.counts == 0.0, _LIFT, self.counts), self.where, self.products)

    def interval(self, start: Array, yields: Products, weights: Array, error: float) -> tuple[Array, Array]:
        """Return the yields where the profile likelihood of ``weights . yields`` has risen by one half, up and down.

        A profile point is the minimum of the likelihood with a Gaussian pull on the weighted sum. Where the likelihood
        does not rise by one half before the yields end at zero, they are those of the end.

        Parameters
        ----------
        start
            Parameters with positive rates, near the maximum.
        yields
            What the interval is about.
        weights
            Weights of the sum, shape (yields,).
        error
            About the sum's standard deviation.
        """
        best = self.maximum(start)
        least, centre = self.value(best), float(weights @ yields(best))

        def side(sign: float) -> Array:
            def rise(steps: float) -> tuple[float, Array]:
                pull = _Pull(yields, weights, centre + sign * steps * error, _STIFFNESS * error)
                # not from the step before, where a product may have become zero and has no way back
                theta = self._search(start, pull)
                return self.value(theta) - least - 0.5, yields(theta)

            return crossing(rise)

        return side(1.0), side(-1.0)

    def _local(self, theta: Array) -> tuple[Array, Array]:
        """Return the gradient and the expected information."""
        products = self.products(theta)
        slopes = np.zeros((len(self.counts), self.products.design.shape[1]))
        np.add.at(slopes, self.where, products[:, None] * self.products.design)
        rates = np.maximum(np.bincount(self.where, products, len(self.counts)), 1e-300)
        return (1.0 - self.counts / rates) @ slopes, slopes.T @ (slopes / rates[:, None])

    def _search(self, start: Array, pull: _Pull | None) -> Array:
        theta = start
        value = self.value(theta) + (pull.value(theta) if pull else 0.0)
        for _ in range(_STEPS):
            gradient, information = self._local(theta)
            if pull:
                more, stiffness = pull.local(theta)
                gradient, information = gradient + more, information + stiffness
            # a product that has become zero has no information left
            information[np.diag_indices_from(information)] *= 1.0 + 1e-12
            information[np.diag_indices_from(information)] += 1e-100
            step = np.linalg.solve(information, gradient)
            expected = float(gradient @ step)
            if expected < _DISTANCE:
                return theta
            length = min(1.0, 3.0 / float(np.abs(step).max()))
            while length > 1e-6:
                trial = theta - length * step
                found = self.value(trial) + (pull.value(trial) if pull else 0.0)
                if found <= value - 0.1 * length * expected:
                    break
                length /= 2.0
            else:
                # rounding hides what is left to gain
                return theta
            theta, value = trial, found
        raise FitError(f"the fit of {len(self.counts)} counts did not end after {_STEPS} steps; merge empty bins")


@dataclass(frozen=True, eq=False)
class _Pull:
    """A Gaussian measurement of a weighted sum of yields."""

    yields: Products
    weights: Array
    centre: float
    error: float

    def value(self, theta: Array) -> float:
        return ((float(self.weights @ self.yields(theta)) - self.centre) / self.error) ** 2 / 2.0

    def local(self, theta: Array) -> tuple[Array, Array]:
        yields = self.yields(theta)
        slope = (self.weights * yields) @ self.yields.design
        distance = (float(self.weights @ yields) - self.centre) / self.error**2
        return distance * slope, np.outer(slope, slope) / self.error**2


def crossing(rise: Callable[[float], tuple[float, Array]]) -> Array:
    """Return the yields where the rise, negative at zero, crosses zero, or the last ones if it never does."""
    from scipy.optimize import brentq

    low, high = 0.0, 1.2
    for _ in range(_DOUBLINGS):
        value, yields = rise(high)
        if value > 0.0:
            found = float(brentq(lambda steps: rise(steps)[0], low, high, xtol=1e-4))
            return rise(found)[1]
        low, high = high, 2.0 * high
    return yields


def deviance(counts: Array, rates: Array) -> float:
    """Return the negative logarithm of a Poisson likelihood, relative to rates that equal the counts."""
    known = np.where(counts > 0.0, counts, 1.0)
    inside = np.maximum(rates, 1e-300)
    excess = (inside - known) / known
    log = np.where(excess > -0.5, np.log1p(np.maximum(excess, -0.5)), np.log(inside / known))
    return float((inside - counts * (1.0 + log)).sum())
