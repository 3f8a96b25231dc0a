"""Likelihood: a workspace's expectation, data and constraints as one function with a gradient."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import FitError, nearest
from . import _kernels
from .expectation import Expectation, expectation

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Index = NDArray[np.int64]

__all__ = ["Likelihood", "Normal", "Poisson", "read"]

_WALL = 1e-6


@dataclass(frozen=True, eq=False)
class Normal:
    """Gaussian constraints: parameters, the values measured elsewhere, and their errors; shapes (constraints,)."""

    where: Index
    centre: Array
    error: Array


@dataclass(frozen=True, eq=False)
class Poisson:
    """Poisson constraints: parameters, the counts of an auxiliary measurement, and their expectation at one."""

    where: Index
    counts: Array
    scale: Array


@dataclass(frozen=True, eq=False)
class Likelihood:
    """The negative logarithm of a binned likelihood, relative to its saturated value (half the deviance).

    ``sum_b D(n_b, lambda_b) + sum D(m, tau gamma) + sum (a - alpha)² / (2 s²)`` with
    ``D(n, x) = x - n - n ln(x / n)``. Below a small fraction of the start's expectation, D goes on as a parabola, so
    that a minimiser that steps to a negative expectation is led back; `walled` says where that holds.

    Attributes
    ----------
    names
        The parameters, as pyhf names them.
    start, lower, upper, fixed
        Start values, bounds and which parameters are constant, shapes (parameters,).
    poi
        Index of the signal strength, None without one.
    yields
        The expectation.
    data
        Observed counts, shape (bins,), or those of many toys, shape (toys, bins).
    normal, poisson
        The constraints.
    """

    names: tuple[str, ...]
    start: Array
    lower: Array
    upper: Array
    fixed: NDArray[np.bool_]
    poi: int | None
    yields: Expectation
    data: Array
    normal: Normal
    poisson: Poisson

    def __call__(self, parameters: Array) -> float:
        """Return the value."""
        return float(self.many(parameters[None])[0][0])

    def gradient(self, parameters: Array) -> Array:
        """Return the gradient, shape (parameters,)."""
        return np.asarray(self.many(parameters[None], value=False)[1][0])

    def information(self, parameters: Array) -> Array:
        """Return the expected (Fisher) information, which is never negative, shape (parameters, parameters)."""
        return np.asarray(self.many(parameters[None], value=False, information=True)[2][0])

    def hessian(self, parameters: Array) -> Array:
        """Return the observed information, shape (parameters, parameters)."""
        return np.asarray(self.hessians(parameters[None])[0])

    def many(
        self, parameters: Array, *, value: bool = True, information: bool = False, observed: bool = False
    ) -> tuple[Array, Array, Array]:
        """Return the values, the gradients and the information of many points, as far as they are asked for.

        Shapes are (points,), (points, parameters) and (points, parameters, parameters). The information is the expected
        (Fisher) or the observed one, the second derivatives. Data and measurements behind constraints may be those of
        many toys, shapes (toys, bins) and (toys, constraints); then there is one point for each toy.
        """
        parameters = np.ascontiguousarray(parameters)
        data, *constraints = self._tables
        found = self.yields.evaluate(
            parameters, data, self._wall, value=value, information=information, observed=observed
        )
        results = found.value, found.gradient, found.information
        rest: tuple[Any, ...] = (*constraints, _WALL, observed, *results)
        _kernels.constrain(parameters, *rest)
        return results

    def hessians(self, parameters: Array) -> Array:
        """Return the observed information of many points, shape (points, parameters, parameters)."""
        return self.many(parameters, value=False, information=True, observed=True)[2]

    def toys(self, indices: Index | int) -> Likelihood:
        """Return the likelihood of one toy or some out of many; that of a single data set is itself."""
        parts = [self.data, self.normal.centre, self.poisson.counts]
        if all(one.ndim == 1 for one in parts):
            return self
        data, centre, counts = (one if one.ndim == 1 else one[indices] for one in parts)
        normal, poisson = replace(self.normal, centre=centre), replace(self.poisson, counts=counts)
        return replace(self, data=data, normal=normal, poisson=poisson)

    def asimov(self, parameters: Array) -> Likelihood:
        """Return the likelihood of the data set, auxiliary ones included, that equals its expectation."""
        normal, poisson = self.normal, self.poisson
        return replace(
            self,
            data=np.maximum(self.yields(parameters), 0.0),
            normal=replace(normal, centre=parameters[normal.where]),
            poisson=replace(poisson, counts=np.maximum(poisson.scale * parameters[poisson.where], 0.0)),
        )

    def with_poi(self, name: str) -> Likelihood:
        """Return the likelihood with another parameter of interest.

        Raises
        ------
        FitError
            If there is no such parameter, or it is constrained.
        """
        if name not in self.names:
            raise FitError(f"no parameter '{name}'{nearest(name, self.names)}; give the workspace's signal strength")
        index = self.names.index(name)
        if index in self.normal.where or index in self.poisson.where:
            raise FitError(f"parameter '{name}' is constrained, so it is no signal strength; name a normfactor")
        return replace(self, poi=index)

    def limits(self, index: int) -> tuple[float | None, float | None]:
        """Return the bounds of a parameter in a fit: those of free factors other than the signal strength.

        A Poisson constraint is bound enough; a factor with a Gaussian one is not negative.
        """
        if index in self.normal.where:
            return 0.0 if self.lower[index] >= 0.0 else None, None
        free = index not in self.poisson.where and index != self.poi
        return (self.lower[index], self.upper[index]) if free else (None, None)

    @property
    def ndf(self) -> int:
        """The bins less the free parameters without a constraint."""
        constrained = np.concatenate([self.normal.where, self.poisson.where])
        free = int(np.count_nonzero(~self.fixed)) - int(np.count_nonzero(~self.fixed[constrained]))
        return self.yields.bins - free

    @cached_property
    def reach(self) -> tuple[Array, Array]:
        """The bounds of all parameters in a fit, infinite where there are none, shapes (parameters,)."""
        pairs = [self.limits(i) for i in range(len(self.names))]
        lower = [-np.inf if low is None else low for low, _ in pairs]
        upper = [np.inf if high is None else high for _, high in pairs]
        return np.array(lower), np.array(upper)

    def stopped(self, parameters: Array, slope: Array) -> NDArray[np.bool_]:
        """Say which parameters are at a bound beyond which the value falls, shape (..., parameters)."""
        lower, upper = self.reach
        return np.asarray(((parameters <= lower) & (slope > 0.0)) | ((parameters >= upper) & (slope < 0.0)))

    def walled(self, parameters: Array) -> Index:
        """Return the bins whose expectation has come down to zero."""
        return np.flatnonzero(self.yields(parameters) <= self._wall)

    @property
    def saturated(self) -> float:
        """The negative logarithm of the saturated likelihood; added to the value it gives pyhf's."""
        from scipy.special import gammaln, xlogy

        counts = np.concatenate([self.data, self.poisson.counts])
        poisson = counts - xlogy(counts, counts) + gammaln(counts + 1.0)
        return float(poisson.sum() + np.log(self.normal.error * np.sqrt(2.0 * np.pi)).sum())

    @cached_property
    def _tables(self) -> tuple[NDArray[Any], ...]:
        """Data and constraints as the compiled loops take them: one row, or one for each toy."""
        normal, poisson = self.normal, self.poisson
        data, centre, counts = (
            np.ascontiguousarray(np.atleast_2d(one)) for one in (self.data, normal.centre, poisson.counts)
        )
        return data, normal.where, centre, normal.error, poisson.where, counts, poisson.scale

    @cached_property
    def _wall(self) -> Array:
        expected = self.yields(self.start)
        return np.asarray(_WALL * np.where(expected > 0.0, expected, 1.0))


# ---- reading -------------------------------------------------------------------------------------------------------


def read(workspace: Mapping[str, Any]) -> Likelihood:
    """Return the likelihood of a pyhf workspace's first measurement.

    Raises
    ------
    FitError
        If pyhf refuses the workspace, or it holds a modifier of an unknown kind.
    """
    model, data = _model(workspace)
    config = model.config
    where = {name: config.par_slice(name) for name in config.par_order}
    bounds = np.array(config.suggested_bounds(), np.float64).reshape(-1, 2)
    normal, poisson = _constraints(config)
    return Likelihood(
        tuple(config.par_names),
        np.array(config.suggested_init(), np.float64),
        bounds[:, 0],
        bounds[:, 1],
        np.array(config.suggested_fixed(), np.bool_),
        config.poi_index,
        expectation(workspace["channels"], where, len(bounds)),
        data,
        normal,
        poisson,
    )


def _model(workspace: Mapping[str, Any]) -> tuple[Any, Array]:
    import pyhf

    with warnings.catch_warnings():
        # pyhf 0.7.6 validates with a class that jsonschema has announced to remove
        warnings.filterwarnings("ignore", "jsonschema.RefResolver", DeprecationWarning)
        try:
            spec = pyhf.Workspace(dict(workspace))
            model = spec.model(validate=False)
        except _refusals(pyhf.exceptions) as error:
            raise FitError(f"pyhf cannot read the workspace: {error}") from error
    missing = [channel["name"] for channel in workspace["channels"] if channel["name"] not in spec.observations]
    if missing:
        raise FitError(f"the workspace has no observation for channel '{missing[0]}'")
    counts = [spec.observations[channel["name"]] for channel in workspace["channels"]]
    return model, np.concatenate([np.asarray(one, np.float64) for one in counts])


def _refusals(exceptions: Any) -> tuple[type[Exception], ...]:
    names = ("InvalidSpecification", "InvalidModel", "InvalidModifier", "InvalidNameReuse", "InvalidMeasurement")
    return tuple(getattr(exceptions, name) for name in names)


def _constraints(config: Any) -> tuple[Normal, Poisson]:
    rows: dict[str, list[tuple[int, float, float]]] = {"normal": [], "poisson": []}
    start = 0
    for name in config.auxdata_order:
        one = config.param_set(name)
        measured = config.auxdata[start : start + one.n_parameters]
        start += one.n_parameters
        scales = one.width() if one.pdf_type == "normal" else one.factors
        first = config.par_slice(name).start
        rows[one.pdf_type] += [(first + i, a, s) for i, (a, s) in enumerate(zip(measured, scales, strict=True))]
    tables = {kind: np.array(entries, np.float64).reshape(-1, 3) for kind, entries in rows.items()}
    parts = {kind: (table[:, 0].astype(np.int64), table[:, 1], table[:, 2]) for kind, table in tables.items()}
    return Normal(*parts["normal"]), Poisson(*parts["poisson"])
