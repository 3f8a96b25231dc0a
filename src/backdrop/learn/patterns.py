"""Tight and loose patterns of some leptons: their chances for each composition, averaged over the leptons of a bin."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Index = NDArray[np.int64]

__all__ = ["Bin", "Local", "bits", "chances", "inverse", "products"]

_SURE = (1.0, 3.0)
_CLOSE = 0.02
_TINY = 1e-12


def bits(count: int) -> Index:
    """Return 0 or 1 for each lepton, shape (2**count, count): real or fake, tight or loose; the last one fastest.

    Examples
    --------
    >>> bits(2).tolist()
    [[0, 0], [0, 1], [1, 0], [1, 1]]
    """
    return (np.arange(2**count)[:, None] >> np.arange(count)[::-1]) & 1


def chances(values: Array) -> Array:
    """Return the chance of tight and loose, for real and fake, shape (..., 2, 2), of pairs (r, f), shape (..., 2)."""
    return np.stack([values, 1.0 - values], axis=-1)


def inverse(values: Array) -> Array:
    """Return the inverse of :func:`chances`: by tight and loose, then real and fake."""
    r, f = values[..., 0], values[..., 1]
    rows = np.stack([np.stack([1.0 - f, r - 1.0], axis=-1), np.stack([-f, r], axis=-1)], axis=-2)
    return np.asarray(rows / (r - f)[..., None, None])


def products(matrices: Array) -> Array:
    """Return the tensor products of each row's matrices, shape (n, 2**m, 2**m), from (n, m, 2, 2)."""
    found = np.ones((len(matrices), 1, 1))
    for k in range(matrices.shape[1]):
        size = 2 * found.shape[1]
        found = np.einsum("nab,ncd->nacbd", found, matrices[:, k]).reshape(-1, size, size)
    return np.asarray(found)


@dataclass(frozen=True, eq=False)
class Local:
    """A bin's slopes and curvatures at a point, by its compositions and by the nuisances."""

    slope: Array
    theta: Array
    block: Array
    border: Array
    corner: Array
    wanted: float
    wanted_slope: Array
    wanted_theta: Array


@dataclass(frozen=True, eq=False)
class Bin:
    """The counts of one bin, and the chances of their patterns.

    The chance of a pattern t for a composition c is the average over the cells of its leptons,
    ``P(t | c) = sum_g a_cg prod_k e_k(t_k | c_k)``.

    Attributes
    ----------
    counts
        Sum of the observed weights of each pattern, shape (patterns,).
    others
        Expected other processes, shape (patterns,).
    scale
        The weight of one count: what the variance of the wanted yield is in units of that of unweighted counts.
    cells
        Which efficiencies the leptons of a cell have, real and fake, shape (cells, leptons, 2).
    shares
        Share of each cell in a composition, shape (compositions, cells).
    selected
        Which patterns of which compositions are wanted, one or zero, shape (compositions, patterns).
    first
        The first composition that is fitted; 1 leaves out the one without fakes.
    """

    counts: Array
    others: Array
    scale: float
    cells: Index
    shares: Array
    selected: Array
    first: int = 0

    @classmethod
    def of(
        cls,
        cells: Index,
        observed: tuple[Array, Array],
        others: tuple[Array, Array],
        values: Array,
        selected: Array,
        first: int = 0,
    ) -> Bin:
        """Return the bin of weighted counts in cells of equal efficiencies.

        A composition's average is that of its own leptons, from weights of the inverted matrix, where these determine
        its yield to three standard errors: then the maximum is the matrix method's yield and the scale its variance.
        Where they say nothing (one standard error) it is the average over all events; in between, some of both.

        Parameters
        ----------
        cells
            Efficiencies of each cell, shape (cells, leptons, 2).
        observed, others
            Sum of weights and of squared weights, each of shape (cells, patterns).
        values
            The efficiencies.
        selected
            What is wanted, of all compositions.
        first
            The first composition that is fitted.
        """
        averages = _Averages(values[cells], *observed, *others, first)
        counts, expected = observed[0].sum(axis=0), others[0].sum(axis=0)
        wanted = selected[first:]
        return cls(counts, expected, averages.scale(wanted), cells, averages.shares, wanted, first)

    def lifted(self, least: float) -> Bin:
        """Return the bin with at least some part of a count in each pattern."""
        return replace(self, counts=np.maximum(self.counts, least * self.scale))

    def chances(self, values: Array) -> Array:
        """Return the chance of each pattern for each composition, shape (compositions, patterns)."""
        return np.asarray(np.einsum("cg,gct->ct", self.shares, products(chances(values[self.cells]))[:, self.first :]))

    def want(self, chance: Array) -> Array:
        """Return what an event of each composition adds to the wanted yield, shape (compositions,)."""
        return np.asarray((self.selected * chance).sum(axis=1))

    def spread(self, chance: Array, steps: int) -> Array:
        """Return positive yields near the maximum, shape (compositions,): expectation maximisation from equal ones."""
        size = len(self.shares)
        total = max(float(self.counts.sum()), self.scale)
        yields = np.full(size, total / size)
        counts = np.maximum(self.counts, 1e-3 * self.scale)
        for _ in range(steps):
            yields = yields * (chance @ (counts / np.maximum(yields @ chance + self.others, _TINY)))
        return np.asarray(np.maximum(yields, 1e-6 * total))

    def local(self, yields: Array, chance: Array, turned: Array, expected: bool) -> Local:
        """Return slopes and curvatures of the bin's part of the likelihood.

        Parameters
        ----------
        yields
            The compositions, shape (compositions,).
        chance, turned
            The chances, and their derivatives by the nuisances.
        expected
            Whether the curvature is that of the expected counts.
        """
        rates = yields @ chance + self.others
        inside = np.maximum(rates, _TINY * max(float(rates.sum()), _TINY))
        slopes = (1.0 - self.counts / inside) / self.scale
        power = (1.0 / inside if expected else self.counts / inside**2) / self.scale
        moved = np.einsum("c,kct->tk", yields, turned)
        want = self.want(chance)
        return Local(
            chance @ slopes,
            moved.T @ slopes,
            (chance * power) @ chance.T,
            (chance * power) @ moved,
            (moved.T * power) @ moved,
            float(yields @ want),
            want,
            np.einsum("c,kct,ct->k", yields, turned, self.selected),
        )

    def turned(self, values: Array, turns: Array) -> Array:
        """Return the derivatives of the chances by the nuisances, shape (nuisances, compositions, patterns).

        Parameters
        ----------
        values, turns
            The efficiencies, and their derivatives.
        """
        if turns.shape[1] == 0:
            return np.zeros((0, *self.selected.shape))
        found = np.zeros((len(values), self.selected.size))
        matrices = chances(values[self.cells])
        for k in range(self.cells.shape[1]):
            for side in (0, 1):
                changed = matrices.copy()
                changed[:, k] = 0.0
                changed[:, k, side] = [1.0, -1.0]
                moved = self.shares.T[:, :, None] * products(changed)[:, self.first :]
                np.add.at(found, self.cells[:, k, side], moved.reshape(len(moved), -1))
        return np.asarray((turns.T @ found).reshape(-1, *self.selected.shape))


class _Averages:
    """The shares of cells in each composition, and the variance of what follows."""

    def __init__(
        self, pairs: Array, counts: Array, squares: Array, others: Array, other_squares: Array, first: int
    ) -> None:
        self.chance = products(chances(pairs))[:, first:]
        self.net, self.squares = counts - others, squares + other_squares
        self.typical = float(squares.sum() / counts.sum()) if counts.sum() > 0.0 else 1.0
        plain = counts.sum(axis=1)
        self.plain = plain / plain.sum() if plain.sum() > 0.0 else np.full(len(plain), 1.0 / len(plain))
        gaps = np.abs(pairs[..., 0] - pairs[..., 1])
        self.weights = np.zeros(self.chance.shape).transpose(0, 2, 1)
        if gaps.min() > _CLOSE:
            self.weights = products(inverse(pairs))[:, :, first:]
        cells = np.einsum("gt,gtc->cg", self.net, self.weights)
        self.own = cells.sum(axis=1)
        errors = np.sqrt(np.einsum("gt,gtc->c", self.squares, self.weights**2))
        sure = self.own / np.where(errors > 0.0, errors, np.inf)
        self.trust = np.clip((sure - _SURE[0]) / (_SURE[1] - _SURE[0]), 0.0, 1.0)
        self.trust = np.minimum(self.trust, self._most(cells))
        self.shares = self.trust[:, None] * self._normal(cells) + (1.0 - self.trust)[:, None] * self.plain

    def _normal(self, cells: Array) -> Array:
        return np.asarray(cells / np.where(self.own > 0.0, self.own, 1.0)[:, None])

    def _most(self, cells: Array) -> Array:
        """Return the largest trust with which no average leaves the range of the cells."""
        own = np.einsum("cg,gct->ct", self._normal(cells), self.chance)
        plain = np.einsum("g,gct->ct", self.plain, self.chance)
        low, high = self.chance.min(axis=0), self.chance.max(axis=0)
        room = np.where(own > plain, high - plain, plain - low)
        beyond = np.abs(own - plain) > room + _TINY
        most = np.where(beyond, room / np.where(beyond, np.abs(own - plain), 1.0), 1.0)
        return np.asarray(most.min(axis=1))

    def scale(self, selected: Array) -> float:
        """Return the variance of the wanted yield over that of unweighted counts with these averages known."""
        mean = np.einsum("cg,gct->ct", self.shares, self.chance)
        back = np.linalg.pinv(mean)
        want = (selected * mean).sum(axis=1)
        each = back @ want
        counts = np.maximum(self.net.sum(axis=0), 0.0)
        known = float(counts @ each**2)
        if known <= 0.0:
            return self.typical
        influence = self._influence(mean, each, selected, np.maximum(counts @ back, 0.0))
        return max(float((self.squares * influence**2).sum()) / known, self.typical)

    def _influence(self, mean: Array, each: Array, selected: Array, yields: Array) -> Array:
        """Return what one event more of each cell and pattern adds to the wanted yield, shape (cells, patterns)."""
        moved = np.einsum("gct,ct->gc", self.chance - mean, selected - each)
        own = self.trust * yields / np.where(self.own > 0.0, self.own, 1.0)
        return np.asarray(each + np.einsum("gtc,c,gc->gt", self.weights, own, moved))
