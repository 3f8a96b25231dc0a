"""Ranking: what each parameter does to the signal strength, and the minimiser of iminuit on the same likelihood."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..errors import FitError
from .fit import covariance
from .minimise import minimise
from .model import Model, opened

if TYPE_CHECKING:
    from iminuit import Minuit
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["Impact", "minuit", "ranking"]


class Impact(NamedTuple):
    """The change of the signal strength in units of its error, with a parameter held one error up, and down."""

    up: float
    down: float


def ranking(source: Mapping[str, Any] | Model, *, poi: str | None = None) -> dict[str, Impact]:
    """Return the impacts of all other parameters on the signal strength, the largest first.

    Each parameter is held at its best value plus or minus its (fitted) error, and everything else is fitted again.

    Parameters
    ----------
    source
        A workspace or a model.
    poi
        The signal strength, if it is not the one that the source names.

    Raises
    ------
    FitError
        If there is no signal strength, or a fit does not converge.

    References
    ----------
    Chisholm et al., Non-parametric data-driven background modelling using conditional probabilities, table 4.
    """
    likelihood, _ = opened(source)
    likelihood = likelihood if poi is None else likelihood.with_poi(poi)
    if likelihood.poi is None:
        raise FitError("there is no signal strength to rank by; name a free factor with poi=")
    best = minimise(likelihood, likelihood.start)
    errors = np.sqrt(np.diag(covariance(likelihood, best)))
    found = {}
    for i, (name, error) in enumerate(zip(likelihood.names, errors, strict=True)):
        if i == likelihood.poi or error == 0.0:
            continue
        sides = (minimise(likelihood, best.parameters, {i: best.parameters[i] + side * error}) for side in (1.0, -1.0))
        moves = [one.parameters[likelihood.poi] - best.parameters[likelihood.poi] for one in sides]
        found[name] = Impact(*(float(move / errors[likelihood.poi]) for move in moves))
    return dict(sorted(found.items(), key=lambda item: -max(map(abs, item[1]))))


def minuit(source: Mapping[str, Any] | Model) -> Minuit:
    """Return iminuit's minimiser on the likelihood, ready for ``migrad()``, ``hesse()`` and ``minos()``.

    It has the parameters' names, the exact gradient, and no bounds but those of free factors.

    Parameters
    ----------
    source
        A workspace or a model.
    """
    from iminuit import Minuit

    likelihood, _ = opened(source)
    found = Minuit(likelihood, likelihood.start, grad=likelihood.gradient, name=likelihood.names)
    found.errordef = Minuit.LIKELIHOOD
    found.limits = [likelihood.limits(i) for i in range(len(likelihood.names))]
    found.errors = 1.0 / np.sqrt(np.maximum(np.diag(likelihood.information(likelihood.start)), 1e-30))
    found.fixed = likelihood.fixed
    return found
