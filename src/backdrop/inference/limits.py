"""Limits: intervals, asymptotic CLs upper limits and discovery p-values from likelihood profiles."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..errors import FitError
from .minimise import Profile

__all__ = ["Asymptotic", "capped", "discovery", "interval"]

_BANDS = (-2.0, -1.0, 0.0, 1.0, 2.0)
_PRECISION = 1e-5
_DOUBLINGS = 40


def interval(profile: Profile, guess: float) -> tuple[float, float]:
    """Return where the profile has risen by one half, below and above the best fit (MINOS), or the bound before it.

    Parameters
    ----------
    profile
        The likelihood along the signal strength.
    guess
        About how far that is.

    Raises
    ------
    FitError
        If the profile does not rise so far.
    """
    best, (lower, upper) = profile.strength, profile.bounds
    below = _crossing(lambda step: profile.rise(best - step) - 1.0, guess, best - lower)
    above = _crossing(lambda step: profile.rise(best + step) - 1.0, guess, upper - best)
    return best - below, best + above


def discovery(profile: Profile) -> tuple[float, float]:
    """Return the p-value of no signal and its significance, ``sqrt(q0)``; a deficit has one half and zero.

    References
    ----------
    Cowan, Cranmer, Gross, Vitells, arXiv:1007.1727, eqs. (12), (52) and (53).
    """
    from scipy.special import ndtr

    significance = float(np.sqrt(profile.rise(0.0))) if profile.strength > 0.0 else 0.0
    return float(ndtr(-significance)), significance


@dataclass(frozen=True)
class Asymptotic:
    """CLs upper limits from the asymptotic distributions of ``q~``.

    ``CLs = Phi(-t - s) / Phi(-t)``, where s² is the statistic of the Asimov set and t is ``sqrt q - s``, or
    ``(q - s²) / 2s`` where q exceeds s².

    Attributes
    ----------
    data
        The likelihood of the data along the signal strength.
    asimov
        That of the Asimov set: the expectation of the background-only fit to the same data.
    level
        Confidence level.
    scale
        About the error of the signal strength.

    References
    ----------
    Cowan, Cranmer, Gross, Vitells, arXiv:1007.1727, eqs. (16), (64) to (67) and (89); Read, J. Phys. G 28 (2002) 2693.
    """

    data: Profile
    asimov: Profile
    level: float
    scale: float

    def cls(self, strength: float) -> float:
        """Return CLs of the data at a positive signal strength."""
        from scipy.special import ndtr

        statistic, spread = capped(self.data, strength), np.sqrt(self.asimov.rise(strength))
        if spread == 0.0:
            return 1.0
        shift = np.sqrt(statistic) - spread
        if shift > 0.0:
            shift = (statistic - spread**2) / (2.0 * spread)
        return float(ndtr(-shift - spread) / ndtr(-shift))

    def observed(self) -> float:
        """Return the upper limit that the data give.

        Raises
        ------
        FitError
            If no signal strength is excluded.
        """
        first = max(self.data.strength, 0.0) + 1.64 * self.scale
        return _crossing(lambda strength: 1.0 - self.level - self.cls(strength), first)

    def expected(self) -> tuple[float, ...]:
        """Return the upper limits that background alone gives, at -2, -1, 0, 1 and 2 standard deviations.

        Raises
        ------
        FitError
            If no signal strength is excluded.
        """
        from scipy.special import ndtr, ndtri

        targets = [band + float(ndtri(1.0 - (1.0 - self.level) * ndtr(band))) for band in _BANDS]
        return tuple(self._reaching(target) for target in targets)

    def _reaching(self, target: float) -> float:
        return _crossing(lambda strength: float(np.sqrt(self.asimov.rise(strength))) - target, target * self.scale)


def capped(profile: Profile, strength: float) -> float:
    """Return the statistic ``q~`` of a positive signal strength: zero where the best one is above it.

    References
    ----------
    Cowan, Cranmer, Gross, Vitells, arXiv:1007.1727, eq. (16).
    """
    if profile.strength > strength:
        return 0.0
    if profile.strength < 0.0:
        return max(2.0 * (profile.at(strength).value - profile.at(0.0).value), 0.0)
    return profile.rise(strength)


def _crossing(function: Callable[[float], float], guess: float, most: float = np.inf) -> float:
    """Return where a function that starts negative at zero and rises crosses zero, or `most` if it does not before."""
    from scipy.optimize import brentq

    low, high = 0.0, min(guess, most)
    for _ in range(_DOUBLINGS):
        if function(high) > 0.0:
            return float(brentq(function, low, high, rtol=_PRECISION, xtol=_PRECISION * high))
        if high == most:
            return most
        low, high = high, min(2.0 * high, most)
    raise FitError(
        f"the likelihood hardly changes up to a signal strength of {high:.3g}, {high / guess:.1g} times its error: "
        "no limit can be set; check that the signal is not degenerate with a free normalisation"
    )
