"""Fits: what the fits of many toys found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..errors import FitError, nearest
from . import _kernels
from .likelihood import Likelihood
from .minimise import Points, blocks, minima

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["Fits", "bounded", "fits"]

_FLAT = 1e-7


@dataclass(frozen=True, eq=False)
class Fits:
    """The fits of many toys, in their order.

    Attributes
    ----------
    names
        The parameters.
    poi
        The signal strength's name, None without one.
    parameters, errors
        Best values and their errors from the curvature (HESSE), shapes (toys, parameters). Constant parameters have the
        error zero; where the curvature does not determine a toy's parameters its errors are NaN.
    deviance
        Twice the logarithm of the likelihood ratio to the saturated model, shape (toys,).
    """

    names: tuple[str, ...]
    poi: str | None
    parameters: Array
    errors: Array
    deviance: Array

    def __len__(self) -> int:
        """Return the number of toys."""
        return len(self.deviance)

    def __repr__(self) -> str:
        return f"Fits({len(self)} toys, {len(self.names)} parameters)"

    def value(self, name: str | None = None) -> Array:
        """Return the best values of a parameter, the signal strength unless named, shape (toys,)."""
        return self.parameters[:, self._index(name)]

    def error(self, name: str | None = None) -> Array:
        """Return the errors of a parameter, the signal strength unless named, shape (toys,)."""
        return self.errors[:, self._index(name)]

    def pulls(self, truth: float, name: str | None = None) -> Array:
        """Return ``(value - truth) / error`` of a parameter, the signal strength unless named, shape (toys,)."""
        return (self.value(name) - truth) / self.error(name)

    def _index(self, name: str | None) -> int:
        name = self.poi if name is None else name
        if name not in self.names:
            near = nearest(name, self.names) if name else ""
            raise FitError(f"no parameter '{name}'{near}; there are {', '.join(self.names[:8])}, ...")
        return self.names.index(name)


def fits(likelihood: Likelihood, start: Array) -> Fits:
    """Fit each toy of a likelihood of many, within the bounds of the signal strength.

    Raises
    ------
    FitError
        If a fit does not converge.
    """
    best = minima(likelihood, start) if likelihood.poi is None else bounded(likelihood, start, likelihood.poi)
    name = None if likelihood.poi is None else likelihood.names[likelihood.poi]
    errors = [_errors(likelihood.toys(part), best.parameters[part]) for part in blocks(likelihood)]
    return Fits(likelihood.names, name, best.parameters, np.concatenate(errors), 2.0 * best.values)


def bounded(likelihood: Likelihood, start: Array, poi: int) -> Points:
    """Return the minima of the toys with the signal strength within its bounds."""
    best = minima(likelihood, start)
    inside = np.clip(best.parameters[:, poi], likelihood.lower[poi], likelihood.upper[poi])
    out = np.flatnonzero(inside != best.parameters[:, poi])
    if len(out):
        again = minima(likelihood.toys(out), best.parameters[out], {poi: inside[out]})
        best.parameters[out], best.values[out] = again.parameters, again.values
    return best


def _errors(likelihood: Likelihood, best: Array) -> Array:
    found = _variances(likelihood, best, observed=True)
    # where the second derivatives are not positive, their expectation, as in a single fit
    bent = np.flatnonzero(np.isnan(found).any(axis=1))
    if len(bent):
        found[bent] = _variances(likelihood.toys(bent), best[bent], observed=False)
    return np.sqrt(found)


def _variances(likelihood: Likelihood, best: Array, *, observed: bool) -> Array:
    _, slopes, information = likelihood.many(best, value=False, information=True, observed=observed)
    stopped = likelihood.stopped(best, slopes) & ~likelihood.fixed
    # as in a single fit, a bound is as far as the likelihood has fallen by one half
    found = np.divide(0.25, slopes**2, out=np.zeros_like(slopes), where=stopped)
    _kernels.variances(information, ~likelihood.fixed & ~stopped, _FLAT, found)
    return found
