"""Counts of one bin with known chances: many fits at once, profile intervals, and exact intervals from toys."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..errors import FitError
from ..tasks import stream
from .exact import first, quantile

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["Mixture"]

_FIRST_STEPS = 20
_STEPS = 100
_DISTANCE = 1e-8
_FIRST = 0.1
_CENTRING = 0.1
_FASTER = 1.5
_LEAST = 1e-11
_SPREAD = 1e8
_SHORT_OF = 0.995
_TINY = 1e-12
_GRID = 9
_ROUNDS = 3
_FACTOR = 1.5
_PRECISION = 1e-3


@dataclass(frozen=True, eq=False)
class Mixture:
    """Counts of patterns, ``n_t / s ~ Poisson((sum_c nu_c P(t | c) + p_t) / s)`` with ``nu >= 0``, and a wanted sum.

    Attributes
    ----------
    chance
        P, shape (compositions, patterns).
    want
        What an event of each composition adds to the wanted yield, ``mu = want . nu``, shape (compositions,).
    others
        p, shape (patterns,).
    scale
        s, the weight of one count.

    Examples
    --------
    >>> one = Mixture(np.array([[0.9, 0.1], [0.2, 0.8]]), np.array([0.0, 0.2]), np.zeros(2))
    >>> counts = np.array([60.0, 20.0])
    >>> float(np.round(one.best(counts), 6))  # f (r N_l - (1 - r) N_t) / (r - f)
    3.428571
    >>> [round(float(side), 2) for side in one.interval(counts)]
    [2.34, 4.68]
    """

    chance: Array
    want: Array
    others: Array
    scale: float = 1.0

    def best(self, counts: Array) -> Array:
        """Return the wanted yield of the largest likelihood, shape (...), of counts of shape (..., patterns)."""
        return np.asarray(self.maximum(np.atleast_2d(counts))[0] @ self.want).reshape(np.shape(counts)[:-1])

    def maximum(self, counts: Array, held: Array | None = None) -> tuple[Array, Array]:
        """Return the best compositions, shape (n, compositions), and the value there, shape (n,).

        Parameters
        ----------
        counts
            Shape (n, patterns).
        held
            What the wanted yield is held to, shape (n,); free if not given.

        Raises
        ------
        FitError
            If a search does not end.
        """
        yields = self._spread(counts)
        if held is not None:
            held = np.maximum(held, _TINY * self.scale)
            yields = self._onto(yields, held)
        duals = _FIRST / yields
        active = np.arange(len(counts))
        for _ in range(_STEPS):
            done, yields[active], duals[active] = self._step(
                counts[active], yields[active], duals[active], None if held is None else held[active]
            )
            active = active[~done]
            if len(active) == 0:
                return yields, self.value(counts, yields)
        raise FitError(f"{len(active)} of {len(counts)} fits of tight and loose counts did not end")

    def value(self, counts: Array, yields: Array) -> Array:
        """Return the negative logarithm of the likelihood, relative to rates that equal the counts, shape (n,)."""
        from scipy.special import rel_entr

        rates = yields @ self.chance + self.others
        return np.asarray((rates - counts + rel_entr(counts, np.maximum(rates, 1e-300))).sum(axis=1) / self.scale)

    def rise(self, counts: Array, wanted: Array) -> Array:
        """Return twice the rise of the value from the maximum to a wanted yield, shape (n,)."""
        held, free = self.maximum(counts, wanted)[1], self.maximum(counts)[1]
        return np.maximum(2.0 * (held - free), 0.0)

    def interval(self, counts: Array, rise: float = 1.0) -> tuple[float, float]:
        """Return the wanted yields where twice the value has risen by `rise`; zero if it never does that low."""
        (yields,), (least,) = self.maximum(counts[None])
        best = float(yields @ self.want)

        def excess(wanted: Array) -> Array:
            rows = np.tile(counts, (len(wanted), 1))
            return np.asarray(2.0 * (self.maximum(rows, wanted)[1] - least) - rise)

        top = best + self.scale * float(self.want.max())
        while excess(np.array([top]))[0] < 0.0:
            top = best + 2.0 * (top - best)
        low = 0.0 if excess(np.zeros(1))[0] < 0.0 else _root(excess, best, 0.0)
        return low, _root(excess, best, top)

    # ---- exact -----------------------------------------------------------------------------------------------------

    def p_value(self, counts: Array, wanted: float, toys: int = 2000, seed: int = 1) -> float:
        """Return the probability of a likelihood ratio as bad as this one if the wanted yield is `wanted`.

        The other compositions are those that fit best.
        """
        held = np.array([wanted])
        best = self.maximum(counts[None], held)[0][0]
        uniform = np.asarray(stream(seed, "mixture").uniform(size=(len(counts), toys)))
        means = (best @ self.chance + self.others) / self.scale
        drawn = self.scale * np.stack([quantile(one, float(mean)) for one, mean in zip(uniform, means, strict=True)])
        kinds, number = np.unique(drawn.T, axis=0, return_counts=True)
        seen = float(self.rise(counts[None], held)[0])
        worse = self.rise(kinds, np.full(len(kinds), wanted)) >= seen - 1e-6 * max(1.0, seen)
        return float(number[worse].sum() / toys)

    def exact(self, counts: Array, level: float = 0.6827, toys: int = 2000, seed: int = 1) -> tuple[float, float]:
        """Return the wanted yields whose p-value is at least ``1 - level``.

        References
        ----------
        Feldman and Cousins, Phys. Rev. D 57 (1998) 3873, with the other parameters profiled: Chuang and Lai, Statistica
        Sinica 10 (2000) 1.
        """
        from scipy.optimize import brentq

        def excess(wanted: float) -> float:
            return self.p_value(counts, wanted, toys, seed) - (1.0 - level)

        inside, near = float(self.best(counts)), self.interval(counts)[1]
        high = first(lambda wanted: excess(wanted) < 0.0, near / _FACTOR, _FACTOR)
        upper = float(brentq(excess, inside, high, xtol=_PRECISION * high))
        if excess(0.0) >= 0.0:
            return 0.0, upper
        return float(brentq(excess, 0.0, inside, xtol=_PRECISION * high)), upper

    # ---- the search ------------------------------------------------------------------------------------------------

    def _spread(self, counts: Array) -> Array:
        """Return positive compositions near the maximum: expectation maximisation from equal ones."""
        total = np.maximum(counts.sum(axis=1), self.scale)[:, None]
        yields = np.repeat(total / len(self.want), len(self.want), axis=1)
        seen = np.maximum(counts, 1e-3 * self.scale)
        for _ in range(_FIRST_STEPS):
            rates = np.maximum(yields @ self.chance + self.others, _TINY)
            yields = yields * ((seen / rates) @ self.chance.T)
        return np.asarray(np.maximum(yields, 1e-6 * total))

    def _onto(self, yields: Array, held: Array) -> Array:
        """Return compositions of the wanted yield, which steps along it leave by rounding."""
        return np.asarray(yields * np.where(self.want > 0.0, (held / (yields @ self.want))[:, None], 1.0))

    def _step(
        self, counts: Array, yields: Array, duals: Array, held: Array | None
    ) -> tuple[NDArray[np.bool_], Array, Array]:
        """Take one step of a primal-dual interior point method; also say what was there already."""
        rates = yields @ self.chance + self.others
        inside = np.maximum(rates, _TINY * self.scale)
        products = yields * duals
        mean = products.mean(axis=1)
        barrier = np.maximum(np.minimum(_CENTRING * mean, mean**_FASTER), _LEAST)[:, None]
        slopes = ((1.0 - counts / inside) / self.scale) @ self.chance.T - barrier / yields
        power = counts / inside**2 / self.scale
        curvature = (self.chance * power[:, None, :]) @ self.chance.T
        curvature[:, range(len(self.want)), range(len(self.want))] += duals / yields
        if held is None:
            steps = np.linalg.solve(curvature, slopes[:, :, None])[:, :, 0]
            gain = (slopes * steps).sum(axis=1)
        else:
            right = np.stack([slopes, np.broadcast_to(self.want, slopes.shape)], axis=2)
            free, pull = np.moveaxis(np.linalg.solve(curvature, right), 2, 0)
            steps = free - pull * ((free @ self.want) / (pull @ self.want))[:, None]
            gain = np.einsum("nc,ncd,nd->n", steps, curvature, steps)
        changes = barrier / yields - duals + duals / yields * steps
        done = (np.abs(gain) < _DISTANCE) & (products.sum(axis=1) < _DISTANCE)
        moved = yields - _reach(yields, steps) * steps
        moved = moved if held is None else self._onto(moved, held)
        duals = duals + _reach(duals, -changes) * changes
        return done, moved, np.clip(duals, barrier / (_SPREAD * moved), _SPREAD * barrier / moved)


def _reach(values: Array, steps: Array) -> Array:
    """Return the length of the step down that leaves all values positive, if only just."""
    longest = (steps / values).max(axis=1, keepdims=True)
    return np.where(longest > _SHORT_OF, _SHORT_OF / np.maximum(longest, _SHORT_OF), 1.0)


def _root(excess: Callable[[Array], Array], inside: float, outside: float) -> float:
    """Return where something that is negative inside and positive outside is zero: grids within grids."""
    before = float(excess(np.array([inside]))[0])
    for _ in range(_ROUNDS):
        grid = np.linspace(inside, outside, _GRID)[1:]
        heights = excess(grid)
        place = int(np.argmax(heights >= 0.0))
        before, after = (heights[place - 1] if place else before), heights[place]
        inside, outside = (float(grid[place - 1]) if place else inside), float(grid[place])
    return inside + (outside - inside) * float(before / (before - after))
