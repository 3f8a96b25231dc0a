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


def ranking(source: Mapping[str, Any] | Model, *, poi: str | None = None, most: int | None = None) -> dict[str, Impact]:
    """Return the impacts of the other parameters on the signal strength, the largest first.

    Each parameter is held at its best value plus or minus its (fitted) error, and everything else is fitted again.

    Parameters
    ----------
    source
        A workspace or a model.
    poi
        The signal strength, if it is not the one that the source names.
    most
        How many parameters, those with the largest impacts to first order; without it all of them.

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
    spread = covariance(likelihood, best)
    errors = np.sqrt(np.diag(spread))
    others = [i for i, error in enumerate(errors) if i != likelihood.poi and error > 0.0]
    others.sort(key=lambda i: -abs(spread[likelihood.poi, i]) / errors[i])
    found = {}
    for i in others[:most]:
        held = [{i: best.parameters[i] + side * errors[i]} for side in (1.0, -1.0)]
        moves = [minimise(likelihood, best.parameters, one).parameters - best.parameters for one in held]
        found[likelihood.names[i]] = Impact(*(float(move[likelihood.poi] / errors[likelihood.poi]) for move in moves))
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
