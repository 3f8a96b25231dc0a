"""Densities of one observable that a model fills into its bins: a fine histogram, and a double Gaussian."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ..errors import ConfigError, DataError, FitError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[np.float64]

__all__ = ["Density", "DoubleGaussian", "Interpolated"]


class Density(Protocol):
    """A density times a yield."""

    def yields(self, edges: Array) -> Array:
        """Return the expected events between the edges, shape (edges - 1,)."""
        ...


@dataclass(frozen=True, eq=False)
class Interpolated:
    """A fine histogram as a density: linear between the centres of its bins, level from the outer centres to the ends.

    Its integral is the sum of the contents.

    Assumes
    -------
    Bins that are narrow where the density curves. Interpolation lowers a peak and fills a dip by about ``h² f'' / 8``,
    for a Gaussian peak of width s by the fraction ``h² / (8 s²)``.

    Fails when
    ----------
    The contents fluctuate; every fluctuation becomes a structure.

    Parameters
    ----------
    edges
        Ascending edges, shape (n + 1,).
    values
        Contents, shape (n,), their sum positive.

    Raises
    ------
    DataError
        If edges do not ascend, shapes do not fit, a content is not finite or the sum is not positive.

    Examples
    --------
    >>> fine = Interpolated([0, 1, 2, 3], [1, 2, 3])
    >>> fine.yields(np.array([0.0, 1.5, 3.0]))
    array([2., 4.])
    """

    edges: ArrayLike
    values: ArrayLike

    def __post_init__(self) -> None:
        edges, values = (np.array(one, np.float64) for one in (self.edges, self.values))
        if edges.ndim != 1 or len(edges) < 2 or not np.isfinite(edges).all() or (np.diff(edges) <= 0.0).any():
            raise DataError(f"the edges of a density ascend and are finite, unlike {edges}")
        if values.shape != (len(edges) - 1,):
            raise DataError(f"a density of {len(edges) - 1} bins has contents of shape {values.shape}")
        if not np.isfinite(values).all() or values.sum() <= 0.0:
            raise DataError(f"the contents of a density are finite with a positive sum; theirs is {values.sum():g}")
        object.__setattr__(self, "edges", edges)
        object.__setattr__(self, "values", values)

    def yields(self, edges: Array) -> Array:
        """Return the expected events between the edges, shape (edges - 1,).

        Raises
        ------
        ConfigError
            If the edges reach beyond the histogram.
        """
        slack = 1e-9 * (self.nodes[-1] - self.nodes[0])
        if edges[0] < self.nodes[0] - slack or edges[-1] > self.nodes[-1] + slack:
            raise ConfigError(
                f"bins from {edges[0]:g} to {edges[-1]:g} reach beyond the density, which is known from "
                f"{self.nodes[0]:g} to {self.nodes[-1]:g}; fill it over a wider range"
            )
        # piece by piece: differences of the integral would lose the digits of a far tail
        inside = self.nodes[(self.nodes > edges[0]) & (self.nodes < edges[-1])]
        points = np.union1d(inside, edges)
        heights = np.interp(points, self.nodes, self.heights)
        pieces = np.diff(points) * (heights[1:] + heights[:-1]) / 2.0
        return np.asarray(np.add.reduceat(pieces, np.searchsorted(points, edges[:-1])))

    def integral(self, x: Array) -> Array:
        """Return the integral up to x; beyond the ends the density is level."""
        node = np.clip(np.searchsorted(self.nodes, x) - 1, 0, len(self.nodes) - 2)
        step = x - self.nodes[node]
        slope = np.diff(self.heights)[node] / np.diff(self.nodes)[node]
        beyond = np.clip(x, self.nodes[0], self.nodes[-1]) - x
        inside = step + beyond
        ends = np.where(x > self.nodes[-1], self.heights[-1], self.heights[0])
        return np.asarray(self.areas[node] + inside * (self.heights[node] + slope * inside / 2.0) - beyond * ends)

    @cached_property
    def nodes(self) -> Array:
        """Where the density is given: the ends and the centres of the bins, shape (n + 2,)."""
        edges = np.asarray(self.edges)
        return np.concatenate([edges[:1], (edges[1:] + edges[:-1]) / 2.0, edges[-1:]])

    @cached_property
    def heights(self) -> Array:
        """The density there, shape (n + 2,)."""
        values = np.asarray(self.values)
        raw = np.pad(values / np.diff(np.asarray(self.edges)), 1, mode="edge")
        return np.asarray(raw * (values.sum() / np.trapezoid(raw, self.nodes)))

    @cached_property
    def areas(self) -> Array:
        """The integral up to there, shape (n + 2,)."""
        steps = np.diff(self.nodes) * (self.heights[1:] + self.heights[:-1]) / 2.0
        return np.concatenate([[0.0], np.cumsum(steps)])

    @property
    def total(self) -> float:
        """The integral."""
        return float(self.areas[-1])

    @cached_property
    def moments(self) -> tuple[float, float]:
        """Mean and standard deviation."""
        x, h = self.nodes - self.nodes[0], self.heights
        step, low, high = np.diff(x), h[:-1], h[1:]
        # integrals of x and x² times a linear function, from one node to the next
        first = step * (x[:-1] * (low + high) / 2.0 + step * (low + 2.0 * high) / 6.0)
        second = step * (
            x[:-1] ** 2 * (low + high) / 2.0
            + x[:-1] * step * (low + 2.0 * high) / 3.0
            + step**2 * (low + 3.0 * high) / 12.0
        )
        mean = float(first.sum()) / self.total
        return float(self.nodes[0]) + mean, float(np.sqrt(max(float(second.sum()) / self.total - mean**2, 0.0)))


@dataclass(frozen=True)
class DoubleGaussian:
    """Two Gaussians with one mean: ``total (share N(mean, narrow) + (1 - share) N(mean, wide))``.

    Attributes
    ----------
    mean
        The common mean.
    narrow, wide
        The two standard deviations.
    share
        Fraction of the first.
    total
        Expected events, beyond the bins included.

    Examples
    --------
    >>> DoubleGaussian(125.0, 1.0, 2.0, 0.5, total=100.0).yields(np.array([124.0, 126.0])).round(2)
    array([53.28])
    """

    mean: float
    narrow: float
    wide: float
    share: float
    total: float = 1.0

    def __post_init__(self) -> None:
        if not (self.narrow > 0.0 and self.wide > 0.0 and 0.0 <= self.share <= 1.0):
            raise ConfigError(f"widths are positive and a share is between 0 and 1, unlike in {self}")

    def yields(self, edges: Array) -> Array:
        """Return the expected events between the edges, shape (edges - 1,)."""
        from scipy.special import ndtr

        one, other = (np.diff(ndtr((edges - self.mean) / width)) for width in (self.narrow, self.wide))
        return np.asarray(self.total * (self.share * one + (1.0 - self.share) * other))

    def scaled(self, total: float) -> DoubleGaussian:
        """Return the same shape with another number of events."""
        return replace(self, total=total)

    @classmethod
    def of(cls, values: ArrayLike, weight: ArrayLike | None = None) -> DoubleGaussian:
        """Return the shape that describes events best (unbinned maximum likelihood); its total is the sum of weights.

        Raises
        ------
        DataError
            If there are fewer than ten events, or one is not finite.
        FitError
            If the fit does not converge.
        """
        from scipy.optimize import minimize

        x = np.asarray(values, np.float64)
        w = np.ones(len(x)) if weight is None else np.asarray(weight, np.float64)
        if len(x) < 10 or not (np.isfinite(x).all() and np.isfinite(w).all()):
            raise DataError(f"a shape is fitted to ten finite values or more; there are {int(np.isfinite(x).sum())}")
        centre, unit = np.median(x), float(np.subtract(*np.quantile(x, [0.84, 0.16]))) / 2.0
        z, w = (x - centre) / unit, w / w.sum()

        def loss(p: Array) -> float:
            widths = np.exp(p[1]), np.exp(p[1]) + np.exp(p[2])
            share = 1.0 / (1.0 + np.exp(-p[3]))
            pairs = zip((share, 1.0 - share), widths, strict=True)
            parts = [s / v * np.exp(-(((z - p[0]) / v) ** 2) / 2.0) for s, v in pairs]
            return -float(w @ np.log(parts[0] + parts[1] + 1e-300))

        found = minimize(loss, np.array([0.0, -0.2, 0.0, 1.0]), method="L-BFGS-B", options={"gtol": 1e-7})
        if not found.success:
            raise FitError(f"the double Gaussian did not fit: {found.message}; look at the distribution")
        mean, narrow, more, share = found.x
        return cls(
            float(centre + unit * mean),
            float(unit * np.exp(narrow)),
            float(unit * (np.exp(narrow) + np.exp(more))),
            float(1.0 / (1.0 + np.exp(-share))),
            float(len(x)) if weight is None else float(np.sum(weight)),
        )
