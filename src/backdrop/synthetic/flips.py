"""Pairs of electrons with known charge-flip rates: Z decays, background beside and below them, and far pairs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..errors import ConfigError
from ..events import Events
from ..learn.flips import Flips, Side, pairs, same_sign_probability
from ..tasks import stream

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["FlippedPairs"]

_MASS, _WIDTH, _LOSS = 91.0, 2.5, 1.0
_HALF, _FAR = 14.0, (130.0, 200.0)


@dataclass(frozen=True)
class FlippedPairs:
    """Electron pairs in bins of (pt, absolute eta), of which each electron flips its charge with the rate of its bin.

    The electrons of a pair are independent, and even within a bin. Z decays have a Gaussian mass of 91 ± 2.5 GeV,
    except for a tail that is even from 63 to 119 GeV; one flipped electron lowers the mass by 1 GeV. Background pairs
    have even masses from 62 to 119 GeV, far pairs from 130 to 200 GeV.

    Attributes
    ----------
    pairs, background, random, far
        Expected numbers of Z decays, of opposite-sign and of same-sign background between 62 and 119 GeV, and of far
        pairs; the drawn ones are Poisson.
    rates
        Flip rate of each bin, flat in C order: pt, then absolute eta.
    shares, background_shares
        Share of the electrons in each bin, of Z decays and far pairs and of the background; none: the same.
    pt, abs_eta
        Edges of the bins.
    tail
        Share of Z decays in the tail.

    Examples
    --------
    >>> toy = FlippedPairs(pairs=1000.0)
    >>> round(toy.same_sign, 5)
    0.00827
    """

    pairs: float = 200_000.0
    background: float = 0.0
    random: float = 0.0
    far: float = 0.0
    rates: tuple[float, ...] = (5e-4, 2e-3, 1e-2, 1e-3, 4e-3, 2e-2)
    shares: tuple[float, ...] = (0.3, 0.2, 0.1, 0.2, 0.1, 0.1)
    pt: tuple[float, ...] = (25.0, 45.0, 100.0)
    abs_eta: tuple[float, ...] = (0.0, 0.8, 1.6, 2.4)
    tail: float = 0.0
    background_shares: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        bins = (len(self.pt) - 1) * (len(self.abs_eta) - 1)
        for shares in (self.shares, self.background_shares or self.shares):
            if len(self.rates) != bins or len(shares) != bins or not np.isclose(sum(shares), 1.0):
                raise ConfigError(
                    f"{bins} bins need as many rates and shares ({len(self.rates)} and {len(shares)}), and shares "
                    f"that add up to one ({sum(shares):g})"
                )

    @property
    def leak(self) -> float:
        """Z decays in the side bands over those in the main window, each 28 GeV wide."""
        return self.tail / (2.0 - self.tail)

    @property
    def same_sign(self) -> float:
        """The probability of equal charges."""
        return float(_cells(self.shares) @ self._equal)

    @property
    def _equal(self) -> Array:
        """Probability of equal charges in each cell."""
        rates, (first, second) = np.array(self.rates), pairs(len(self.rates))
        return same_sign_probability(rates[first], rates[second])

    def draw(self, *, seed: int, sample: str = "data", weight: float = 1.0) -> Events:
        """Draw one data set: ``pt1``, ``abs_eta1`` and so on, ``m`` (GeV), ``charge`` (the product), and the truth.

        The truth is ``flipped1`` and ``flipped2``, and ``z`` for a Z decay.
        """
        rng = stream(seed, "flipped pairs", sample)
        numbers = rng.poisson([self.pairs, self.background, self.random, self.far])
        kind = np.repeat(np.arange(4), numbers)
        other = (kind == 1) | (kind == 2)
        columns, flips = self._electrons(rng, other)
        unequal = np.where(kind == 2, True, flips[0] ^ flips[1])
        mass = rng.normal(_MASS, _WIDTH, len(kind))
        wide = rng.uniform(_MASS - 2 * _HALF, _MASS + 2 * _HALF, len(kind))
        mass = np.where((kind == 0) & (rng.uniform(size=len(kind)) < self.tail), wide, mass) - _LOSS * unequal
        mass = np.where(other, rng.uniform(62.0, 119.0, len(kind)), mass)
        mass = np.where(kind == 3, rng.uniform(*_FAR, len(kind)), mass)
        columns |= {"m": mass, "charge": np.where(unequal, 1.0, -1.0), "z": kind == 0}
        columns |= {"flipped1": flips[0], "flipped2": flips[1]}
        return Events.of(columns, sample=sample, weight=np.full(len(kind), weight))

    def _electrons(
        self, rng: np.random.Generator, other: NDArray[np.bool_]
    ) -> tuple[dict[str, Array], NDArray[np.bool_]]:
        """Return the columns of both electrons of pairs that are background or not, and whether each flips."""
        columns, flips, size = {}, [], len(other)
        ends, others = (np.cumsum(one)[:-1] for one in (self.shares, self.background_shares or self.shares))
        for electron in "12":
            at = rng.uniform(size=size)
            bins = np.where(other, np.searchsorted(others, at, "right"), np.searchsorted(ends, at, "right"))
            place = np.unravel_index(bins, (len(self.pt) - 1, len(self.abs_eta) - 1))
            for name, edges, index in zip(("pt", "abs_eta"), (self.pt, self.abs_eta), place, strict=True):
                low, high = np.array(edges)[index], np.array(edges)[index + 1]
                columns[f"{name}{electron}"] = low + (high - low) * rng.uniform(size=size)
            flips.append(~other & (rng.uniform(size=size) < np.array(self.rates)[bins]))
        return columns, np.array(flips)

    def counts(self, *, seed: int) -> Flips:
        """Draw the counts of the cells alone, of windows and side bands of 28 GeV each: fast at any number of pairs."""
        rng = stream(seed, "flip counts")
        within, equal = self.pairs * _cells(self.shares) / (1.0 + self.leak), self._equal
        beside = _cells(self.background_shares or self.shares) * 28.0 / 57.0

        def side(z: Array, background: float) -> Side:
            below = background * beside
            main, sides = rng.poisson(z + below), rng.poisson(self.leak * z + below)
            bands = background > 0.0 or self.tail > 0.0
            return Side(main.astype(float), sides.astype(float), kappa=float(bands), leak=self.leak)

        return Flips(
            side(within * (1.0 - equal), self.background), side(within * equal, self.random), (len(self.shares),)
        )


def _cells(shares: tuple[float, ...]) -> Array:
    """Return the share of the pairs in each cell."""
    first, second = pairs(len(shares))
    each = np.array(shares)
    return np.asarray(each[first] * each[second] * np.where(first == second, 1.0, 2.0))
