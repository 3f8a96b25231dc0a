"""Pictures of a setup: what its model learnt, beside the observed rows that are open."""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING

from ..method import OffersPictures, fit_columns, target
from ..region import Region
from .setup import Setup, fitted

if TYPE_CHECKING:
    from ..learn.pictures import Pictures

__all__ = ["pictures"]


def pictures(setup: Setup, *, seed: int) -> Pictures | None:
    """Return what the fitted model of a setup shows of itself, None where it shows nothing.

    It sees the rows that satisfy the method's target and are outside of every seal.
    """
    model = fitted(setup, seed=seed)
    if not isinstance(model, OffersPictures):
        return None
    region = target(setup.method) & model.shown
    shut = [one.region for one in setup.events.sealed if not region.disjoint(one.region)]
    outside = reduce(Region.__and__, (~one for one in shut), region)
    columns = fit_columns(setup.method)
    rows = setup.events.load(None if columns is None else sorted(columns | outside.columns), outside)
    return model.pictures(rows, shut)
