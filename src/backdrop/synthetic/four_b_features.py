"""The features of two Higgs-boson candidates given their masses: Gaussians of their transforms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from ..errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .mass_plane import Range

    Array = NDArray[np.float64]

__all__ = ["Features", "Gaussian"]

Line = tuple[float, float, float]
_DETA_NODES = 24


def _line(line: Line, m1: Array, m2: Array) -> Array:
    """Return the value at (124, 117) GeV plus the slopes per 100 GeV times the distances."""
    value, first, second = line
    return np.asarray(value + first * (m1 - 124.0) / 100.0 + second * (m2 - 117.0) / 100.0)


@dataclass(frozen=True)
class Gaussian:
    """A Gaussian whose mean and width are linear in the masses.

    Attributes
    ----------
    mean, width
        Value at (m_h1, m_h2) = (124, 117) GeV, and slopes with both masses per 100 GeV.
    """

    mean: Line
    width: Line

    def at(self, m1: Array, m2: Array) -> tuple[Array, Array]:
        """Return mean and width."""
        return _line(self.mean, m1, m2), _line(self.width, m1, m2)


@dataclass(frozen=True)
class Features:
    """The distribution of six features given the masses.

    With standard normal z, means μ, widths σ and correlations that are linear in the masses:
    ``log pT₁ = μ + σ z₁ − lean Δη²``, the same for pT₂ with z₂; ``log(w/(1 − w)) = μ + σ z₃`` with
    ``w = 1 − |ΔΦ|/π``; ``log X_Wt = μ + σ z₄``; ``η₁ ± η₂`` Gaussians of mean 0, independent of the z. Correlated are
    z₁ and z₂ (`pts`), z₂ and z₃ (`angle`), z₁ and z₄ (`top`), other pairs only through these.

    Attributes
    ----------
    pt_h1, pt_h2, dphi, x_wt
        Means and widths, of the transforms above.
    eta_sum, eta_difference
        Widths of η₁ + η₂ and of η₁ − η₂.
    pts, angle, top
        Correlations.
    lean
        How much both log pT fall with Δη².
    """

    pt_h1: Gaussian = Gaussian((5.14, 0.40, 0.15), (0.36, -0.05, 0.03))
    pt_h2: Gaussian = Gaussian((4.85, 0.10, 0.45), (0.38, 0.03, -0.06))
    dphi: Gaussian = Gaussian((-2.3, 0.35, 0.50), (1.05, 0.10, -0.10))
    x_wt: Gaussian = Gaussian((0.36, 0.20, -0.12), (0.52, 0.06, 0.04))
    eta_sum: Line = (1.7, -0.15, -0.10)
    eta_difference: Line = (2.2, -0.25, 0.20)
    pts: Line = (0.45, 0.20, -0.30)
    angle: Line = (-0.35, 0.15, 0.10)
    top: Line = (0.30, -0.20, 0.20)
    lean: float = 0.04

    def check(self, limits: Range) -> None:
        """Refuse widths that are not positive and correlations beyond ±1 somewhere between the limits."""
        corners = [np.array(one) for one in product(*limits)]
        widths = {name: getattr(self, name).width for name in ("pt_h1", "pt_h2", "dphi", "x_wt")}
        widths |= {"eta_sum": self.eta_sum, "eta_difference": self.eta_difference}
        for name, line in widths.items():
            if min(_line(line, *corner) for corner in corners) <= 0.0:
                raise ConfigError(f"the width {line} of {name} is not positive at all masses in {limits} GeV")
        for name in ("pts", "angle", "top"):
            if max(abs(_line(getattr(self, name), *corner)) for corner in corners) >= 1.0:
                raise ConfigError(f"the correlation {name} = {getattr(self, name)} reaches 1 in {limits} GeV")

    def draw(self, m1: Array, m2: Array, rng: np.random.Generator) -> dict[str, Array]:
        """Return the features of events with these masses, and ``deta``."""
        number = len(m1)
        half_sum, half = (
            _line(width, m1, m2) / 2 * rng.standard_normal(number) for width in (self.eta_sum, self.eta_difference)
        )
        first = rng.standard_normal(number)
        second = _mixed(_line(self.pts, m1, m2), first, rng)
        third = _mixed(_line(self.angle, m1, m2), second, rng)
        fourth = _mixed(_line(self.top, m1, m2), first, rng)
        deta = 2 * np.abs(half)
        columns = {"eta_h1": half_sum + half, "eta_h2": half_sum - half, "deta": deta}
        lean = self.lean * np.square(deta)
        columns |= {"pt_h1": np.exp(_moved(self.pt_h1, first, m1, m2) - lean)}
        columns |= {"pt_h2": np.exp(_moved(self.pt_h2, second, m1, m2) - lean)}
        columns["dphi"] = np.pi / (1 + np.exp(_moved(self.dphi, third, m1, m2)))
        columns["x_wt"] = np.exp(_moved(self.x_wt, fourth, m1, m2))
        return columns

    def log_prob(self, columns: Mapping[str, Array]) -> Array:
        """Return log p(pt_h1, pt_h2, eta_h1, eta_h2, dphi, x_wt | m_h1, m_h2), shape (n,)."""
        m1, m2 = columns["m_h1"], columns["m_h2"]
        total, difference = columns["eta_h1"] + columns["eta_h2"], columns["eta_h1"] - columns["eta_h2"]
        lean = self.lean * np.square(difference)
        dphi, pt1, pt2, x_wt = (columns[name] for name in ("dphi", "pt_h1", "pt_h2", "x_wt"))
        z1, log1 = _unit(self.pt_h1, np.log(pt1) + lean, m1, m2)
        z2, log2 = _unit(self.pt_h2, np.log(pt2) + lean, m1, m2)
        z3, log3 = _unit(self.dphi, np.log(np.pi - dphi) - np.log(dphi), m1, m2)
        z4, log4 = _unit(self.x_wt, np.log(x_wt), m1, m2)
        jacobian = np.log(2.0) - np.log(pt1 * pt2 * x_wt) + np.log(np.pi / (dphi * (np.pi - dphi)))
        found = jacobian + log1 + log2 + log3 + log4 + _log_normal(z1)
        for line, parent, child in ((self.pts, z1, z2), (self.angle, z2, z3), (self.top, z1, z4)):
            rho = _line(line, m1, m2)
            rest = np.sqrt(1 - np.square(rho))
            found = found + _log_normal((child - rho * parent) / rest) - np.log(rest)
        for line, value in ((self.eta_sum, total), (self.eta_difference, difference)):
            width = _line(line, m1, m2)
            found = found + _log_normal(value / width) - np.log(width)
        return np.asarray(found)

    # ---- probabilities given the masses ------------------------------------------------------------------------------

    def deta_share(self, m1: Array, m2: Array, low: float, high: float) -> Array:
        """Return ``P(low < |Δη| < high)``."""
        from scipy.special import ndtr

        width = _line(self.eta_difference, m1, m2)
        return np.asarray(2 * (ndtr(-low / width) - ndtr(-high / width)))

    def x_wt_share(self, m1: Array, m2: Array, cut: float) -> Array:
        """Return P(X_Wt > cut)."""
        from scipy.special import ndtr

        return np.asarray(ndtr(-self._threshold(m1, m2, cut)))

    def _threshold(self, m1: Array, m2: Array, cut: float) -> Array:
        mean, width = self.x_wt.at(m1, m2)
        return (_log(cut) - mean) / width

    def below(self, name: str, edges: Array, m1: Array, m2: Array, deta: tuple[float, float], x_wt: float) -> Array:
        """Return ``P(feature < edge, low < |Δη| < high, X_Wt > cut)`` at each edge and mass, shape (edges, n)."""
        from scipy.special import ndtr

        cut = self._threshold(m1, m2, x_wt)
        inside, passed = self.deta_share(m1, m2, *deta), ndtr(-cut)
        if name == "x_wt":
            mean, width = self.x_wt.at(m1, m2)
            upper = (_log(edges)[:, None] - mean) / width
            return np.asarray(inside * (ndtr(-cut) - ndtr(-np.maximum(upper, cut))))
        if name == "deta":
            reach = np.clip(edges, *deta)
            return np.stack([self.deta_share(m1, m2, deta[0], edge) for edge in reach]) * passed
        if name in ("eta_h1", "eta_h2"):
            return passed * self._eta_below(edges, m1, m2, deta)
        pts, angle, top = (_line(line, m1, m2) for line in (self.pts, self.angle, self.top))
        if name == "dphi":
            mean, width = self.dphi.at(m1, m2)
            lower = (_log(np.pi - np.clip(edges, 0, np.pi)) - _log(np.clip(edges, 0, np.pi)))[:, None] - mean
            return np.asarray(inside * (passed - _both(lower / width, -cut, -top * pts * angle)))
        if name in ("pt_h1", "pt_h2"):
            gaussian, rho = (self.pt_h1, top) if name == "pt_h1" else (self.pt_h2, top * pts)
            return self._pt_below(gaussian, rho, edges, m1, m2, deta, cut)
        raise ConfigError(f"no closed form of '{name}'; choose pt_h1, pt_h2, eta_h1, eta_h2, dphi, deta or x_wt")

    def _eta_below(self, edges: Array, m1: Array, m2: Array, deta: tuple[float, float]) -> Array:
        """Return ``P(η < edge, low < |Δη| < high)``, the same for both candidates."""
        total, difference = _line(self.eta_sum, m1, m2), _line(self.eta_difference, m1, m2)
        size = np.hypot(total, difference)
        at, rho = 2 * edges[:, None] / size, difference / size
        inner, outer = (one / difference for one in deta)
        upper = _both(at, outer, rho) - _both(at, inner, rho)
        return upper + _both(at, -inner, rho) - _both(at, -outer, rho)

    def _pt_below(
        self, gaussian: Gaussian, rho: Array, edges: Array, m1: Array, m2: Array, deta: tuple[float, float], cut: Array
    ) -> Array:
        """Return ``P(pT < edge, low < |Δη| < high, X_Wt > cut)``: the integral over Δη of what is known given it."""
        mean, width = gaussian.at(m1, m2)
        spread = _line(self.eta_difference, m1, m2)
        nodes, weights = np.polynomial.legendre.leggauss(_DETA_NODES)
        low = np.full(len(m1), deta[0])
        high = np.minimum(deta[1], low + 6.5 * spread)
        found = np.zeros((len(edges), len(m1)))
        for node, weight in zip(nodes, weights, strict=True):
            at = (low + high) / 2 + (high - low) / 2 * node
            share = weight * (high - low) * np.exp(_log_normal(at / spread)) / spread
            upper = (_log(edges)[:, None] + self.lean * np.square(at) - mean) / width
            found += share * _both(upper, -cut, -rho)
        return found


def _moved(gaussian: Gaussian, z: Array, m1: Array, m2: Array) -> Array:
    mean, width = gaussian.at(m1, m2)
    return np.asarray(mean + width * z)


def _unit(gaussian: Gaussian, value: Array, m1: Array, m2: Array) -> tuple[Array, Array]:
    """Return z and log dz/dvalue."""
    mean, width = gaussian.at(m1, m2)
    return (value - mean) / width, -np.log(width)


def _mixed(rho: Array, parent: Array, rng: np.random.Generator) -> Array:
    return np.asarray(rho * parent + np.sqrt(1 - np.square(rho)) * rng.standard_normal(len(parent)))


def _log_normal(z: Array) -> Array:
    return np.asarray(-np.square(z) / 2 - np.log(2 * np.pi) / 2)


def _log(value: Array | float) -> Array:
    """Return the logarithm, minus infinity at and below zero."""
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(np.maximum(value, 0.0)))


def _both(h: Array, k: Array, rho: Array) -> Array:
    """Return P(x < h, y < k) of two standard normal variables of correlation rho, by Owen's T function."""
    from scipy.special import ndtr, owens_t

    h, k = (np.where(one == 0.0, 1e-300, np.clip(one, -40.0, 40.0)) for one in (h, k))
    rest = np.sqrt(1 - np.square(rho))
    first, second = owens_t(h, (k / h - rho) / rest), owens_t(k, (h / k - rho) / rest)
    return np.asarray((ndtr(h) + ndtr(k) - (h * k < 0)) / 2 - first - second)
