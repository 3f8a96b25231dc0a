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
    """Return the inverse of :func:`chances`: by tight and loose, then real and fake; r is above f."""
    r, f = values[..., 0], values[..., 1]
    rows = np.stack([np.stack([1.0 - f, r - 1.0], axis=-1), np.stack([-f, r], axis=-1)], axis=-2)
    return np.asarray(rows / np.maximum(r - f, _CLOSE)[..., None, None])


def _inverse_slope(values: Array, side: int) -> Array:
    """Return the derivative of :func:`inverse` by r (side 0) or f (side 1)."""
    gap = np.maximum(values[..., 0] - values[..., 1], _CLOSE)[..., None, None]
    rows = np.array([[[0.0, 1.0], [0.0, 1.0]], [[-1.0, 0.0], [-1.0, 0.0]]])[side]
    return np.asarray((rows + (-1.0, 1.0)[side] * inverse(values)) / gap)


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

    The chance of a pattern t for a composition c is an average over cells of leptons, ``P(t | c) = sum_g a_cg
    prod_k e_k(t_k | c_k)``: over the composition's own ones as the inverted matrix says, in part over all of the bin.

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
    net
        Sum of the observed weights less the expected ones, shape (cells, patterns).
    plain
        Share of each cell among all events, shape (cells,).
    trust
        Part of a composition's average that is over its own leptons, shape (compositions,).
    selected
        Which patterns of which compositions are wanted, one or zero, shape (compositions, patterns).
    first
        The first composition that is fitted; 1 leaves out the one without fakes.
    """

    counts: Array
    others: Array
    scale: float
    cells: Index
    net: Array
    plain: Array
    trust: Array
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
        counts, expected, net = observed[0].sum(axis=0), others[0].sum(axis=0), observed[0] - others[0]
        squares = observed[1] + others[1]
        plain = observed[0].sum(axis=1)
        plain = plain / plain.sum() if plain.sum() > 0.0 else np.full(len(plain), 1.0 / len(plain))
        typical = float(observed[1].sum() / counts.sum()) if counts.sum() > 0.0 else 1.0
        trust = np.zeros(selected.shape[0] - first)
        one = cls(counts, expected, typical, cells, net, plain, trust, selected[first:], first)
        one = replace(one, trust=one._trusted(values, squares))
        return replace(one, scale=one._scale(values, squares))

    def lifted(self, least: float) -> Bin:
        """Return the bin with at least some part of a count in each pattern."""
        return replace(self, counts=np.maximum(self.counts, least * self.scale))

    def chances(self, values: Array) -> Array:
        """Return the chance of each pattern for each composition, shape (compositions, patterns)."""
        chance = self._each(values)
        plain = np.einsum("g,gct->ct", self.plain, chance)
        if not self.trust.any():
            return np.asarray(plain)
        own = self._own(self._cells(values), chance)
        mixed = self.trust[:, None] * own + (1.0 - self.trust)[:, None] * plain
        return np.asarray(np.clip(mixed, chance.min(axis=0), chance.max(axis=0)))

    def _each(self, values: Array) -> Array:
        return products(chances(values[self.cells]))[:, self.first :]

    def _weights(self, values: Array) -> Array:
        return products(inverse(values[self.cells]))[:, :, self.first :]

    def _cells(self, values: Array) -> Array:
        """Return the events of each composition in each cell, as the inverted matrix says."""
        return np.asarray(np.einsum("gt,gtc->cg", self.net, self._weights(values)))

    def _own(self, cells: Array, chance: Array) -> Array:
        return np.asarray(np.einsum("cg,gct->ct", cells, chance) / self._sums(cells)[:, None])

    def _sums(self, cells: Array) -> Array:
        total = cells.sum(axis=1)
        return np.asarray(np.where(self.trust > 0.0, np.maximum(total, _TINY), np.where(total > 0.0, total, 1.0)))

    def want(self, chance: Array) -> Array:
        """Return what an event of each composition adds to the wanted yield, shape (compositions,)."""
        return np.asarray((self.selected * chance).sum(axis=1))

    def spread(self, chance: Array, steps: int) -> Array:
        """Return positive yields near the maximum, shape (compositions,): expectation maximisation from equal ones."""
        size = len(self.trust)
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
        pairs, chance, trusted = values[self.cells], self._each(values), bool(self.trust.any())
        matrices, weights = chances(pairs), inverse(pairs)
        cells = self._cells(values) if trusted else np.zeros((len(self.trust), len(pairs)))
        total, own = self._sums(cells), self._own(cells, chance)
        share = self.trust[:, None] * cells / total[:, None] + (1.0 - self.trust)[:, None] * self.plain
        for k in range(self.cells.shape[1]):
            for side in (0, 1):
                turned = _replaced(matrices, k, _TURN[side])
                moved = share.T[:, :, None] * products(turned)[:, self.first :]
                if trusted:
                    slope = products(_replaced(weights, k, _inverse_slope(pairs[:, k], side)))[:, :, self.first :]
                    more = np.einsum("gt,gtc->gc", self.net, slope) * (self.trust / total)
                    moved = moved + more[:, :, None] * (chance - own)
                np.add.at(found, self.cells[:, k, side], moved.reshape(len(moved), -1))
        return np.asarray((turns.T @ found).reshape(-1, *self.selected.shape))

    # ---- what the counts say of the averages -----------------------------------------------------------------------

    def _trusted(self, values: Array, squares: Array) -> Array:
        """Return how much of each average is over the composition's own leptons, given squared weights of cells."""
        pairs = values[self.cells]
        if (pairs[..., 0] - pairs[..., 1]).min() <= _CLOSE:
            return np.zeros_like(self.trust)
        cells = self._cells(values)
        errors = np.sqrt(np.einsum("gt,gtc->c", squares, self._weights(values) ** 2))
        sure = cells.sum(axis=1) / np.where(errors > 0.0, errors, np.inf)
        trust = np.clip((sure - _SURE[0]) / (_SURE[1] - _SURE[0]), 0.0, 1.0)
        return np.asarray(np.minimum(trust, self._most(cells, self._each(values))))

    def _most(self, cells: Array, chance: Array) -> Array:
        """Return the largest trust with which no average leaves the range of the cells."""
        own, plain = self._own(cells, chance), np.einsum("g,gct->ct", self.plain, chance)
        room = np.where(own > plain, chance.max(axis=0) - plain, plain - chance.min(axis=0))
        beyond = np.abs(own - plain) > room + _TINY
        most = np.where(beyond, room / np.where(beyond, np.abs(own - plain), 1.0), 1.0)
        return np.asarray(most.min(axis=1))

    def _scale(self, values: Array, squares: Array) -> float:
        """Return the variance of the wanted yield over that of unweighted counts with these averages known."""
        mean = self.chances(values)
        back = np.linalg.pinv(mean)
        each = back @ self.want(mean)
        counts = np.maximum(self.net.sum(axis=0), 0.0)
        known = float(counts @ each**2)
        if known <= 0.0:
            return self.scale
        influence = np.tile(each, (len(self.net), 1))
        if self.trust.any():
            own = self.trust * np.maximum(counts @ back, 0.0) / self._sums(self._cells(values))
            moved = np.einsum("gct,ct->gc", self._each(values) - mean, self.selected - each)
            influence += np.einsum("gtc,c,gc->gt", self._weights(values), own, moved)
        return max(float((squares * influence**2).sum()) / known, self.scale)


_TURN = np.array([[[1.0, -1.0], [0.0, 0.0]], [[0.0, 0.0], [1.0, -1.0]]])
"""Derivative of the chances of one lepton by r, and by f."""


def _replaced(matrices: Array, place: int, other: Array) -> Array:
    changed = matrices.copy()
    changed[:, place] = other
    return changed
