"""Fit: the maximum of a workspace's likelihood, its errors, limits and significance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ConfigError, FitError
from .label import LESS, Label
from .likelihood import Likelihood
from .limits import Asymptotic, discovery, interval
from .minimise import Point, Profile, minimise
from .model import Model, opened
from .result import FitResult, Fitted, Parameter

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["covariance", "fit", "scan"]

_FLAT = 1e-7
_FURTHER = ("interval", "limit_observed", "limit_expected", "p0", "significance")


def fit(workspace: Mapping[str, Any] | Model, *, poi: str | None = None, level: float | None = 0.95) -> FitResult:
    """Fit a pyhf workspace or a model: signal strength, nuisances, yields, upper limits and significance.

    The likelihood is pyhf's, ``prod Pois(n_b | lambda_b) prod constraints``, minimised with its exact gradient by
    Newton steps, or MIGRAD where they fail; errors are from the second derivatives at the minimum (as HESSE), the
    interval from the profile (as MINOS), limits and p-values from the asymptotic distributions. A workspace without a
    signal has its nuisances fitted.

    Assumes: enough events for the asymptotic distributions. The limit of a counting experiment that sees what it
    expects is below the exact one by 17, 9, 7, 4 and 2 per cent at 1, 5, 10, 30 and 100 events.

    Fails when: two free normalisations have the same shape, or the signal is degenerate with one.

    Parameters
    ----------
    workspace
        As :func:`backdrop.workspace` makes it, or any with histosys, normsys, normfactor, shapefactor,
        shapesys, lumi, and staterror within one channel; or a :class:`Model`.
    poi
        The signal strength, if it is not the one that the workspace names.
    level
        Confidence level of the upper limits; with None, whatever takes further fits is left out: limits, interval and
        p-value.

    Returns
    -------
    The result. While a channel holds its expectation instead of data it says so, and has no observed limit.

    Raises
    ------
    FitError
        If the workspace cannot be read, the fit does not converge, or a parameter is not determined.

    References
    ----------
    Cranmer et al., HistFactory, CERN-OPEN-2012-016; Cowan et al., arXiv:1007.1727; James and Roos, Comput. Phys.
    Commun. 10 (1975) 343.

    Examples
    --------
    >>> strength = {"name": "mu", "type": "normfactor", "data": None}
    >>> samples = [
    ...     {"name": "hh", "data": [10.0], "modifiers": [strength]},
    ...     {"name": "multijet", "data": [100.0], "modifiers": []},
    ... ]
    >>> spec = {
    ...     "version": "1.0.0",
    ...     "channels": [{"name": "SR", "samples": samples}],
    ...     "observations": [{"name": "SR", "data": [121.0]}],
    ...     "measurements": [{"name": "observed-SR", "config": {"poi": "mu", "parameters": []}}],
    ... }
    >>> result = fit(spec)
    >>> round(result.value, 4), round(result.error, 4)
    (2.1, 1.1)
    """
    if level is not None and not 0.0 < level < 1.0:
        raise ConfigError(f"level = {level} is no confidence level; give a number between 0 and 1, such as 0.95")
    likelihood, label = opened(workspace)
    likelihood = likelihood if poi is None else likelihood.with_poi(poi)
    if likelihood.poi is None:
        best = minimise(likelihood, likelihood.start)
        found: dict[str, Any] = dict.fromkeys(("value", "error", *_FURTHER))
        spread = covariance(likelihood, best)
    else:
        profile = Profile(likelihood, likelihood.poi, likelihood.start)
        best = profile.best
        spread = covariance(likelihood, best)
        found = _strength(profile, float(np.sqrt(spread[likelihood.poi, likelihood.poi])), level, label)
    return FitResult(
        poi=None if likelihood.poi is None else likelihood.names[likelihood.poi],
        level=level,
        parameters=_parameters(likelihood, best, spread),
        impacts=_impacts(likelihood, spread),
        postfit=_postfit(likelihood, best, spread, label),
        deviance=max(2.0 * best.value, 0.0),
        ndf=likelihood.ndf,
        asimov_channels=label.asimov,
        notes=label.notes + _notes(likelihood, best),
        **found,
    )


def scan(
    workspace: Mapping[str, Any] | Model, values: Sequence[float], *, poi: str | None = None
) -> NDArray[np.float64]:
    """Return twice the rise of the profiled negative log-likelihood at values of a free factor, shape (values,).

    Where it is one and four are the ends of the intervals of one and two standard deviations.

    Parameters
    ----------
    workspace
        As for :func:`fit`.
    values
        Values of the factor.
    poi
        The factor, if it is not the signal strength that the workspace names.

    Raises
    ------
    FitError
        If there is no such free factor, the workspace cannot be read or a fit does not converge.
    """
    likelihood, _ = opened(workspace)
    likelihood = likelihood if poi is None else likelihood.with_poi(poi)
    if likelihood.poi is None:
        raise FitError("the workspace has no signal strength to scan; name a free factor with poi=")
    profile = Profile(likelihood, likelihood.poi, likelihood.start)
    return np.array([profile.rise(float(value)) for value in values])


def _strength(profile: Profile, error: float, level: float | None, label: Label) -> dict[str, Any]:
    """Return the results that concern the signal strength."""
    found: dict[str, Any] = dict.fromkeys(_FURTHER) | {"value": profile.strength, "error": error}
    if level is None:
        return found
    found["interval"] = interval(profile, error)
    if not label.asimov:
        found["p0"], found["significance"] = discovery(profile)
    none = profile.at(0.0)
    asimov = Profile(profile.likelihood.asimov(none.parameters), profile.poi, none.parameters)
    limits = Asymptotic(profile, asimov, level, error)
    found["limit_expected"] = limits.expected()
    found["limit_observed"] = None if label.asimov else limits.observed()
    return found


def covariance(likelihood: Likelihood, best: Point) -> Array:
    """Return the covariance of the parameters, zero for constant ones, shape (parameters, parameters).

    It is the inverse of the second derivatives. Where these are not positive at the minimum, because an interpolated
    density bends sharply just there, it is that of their expectation, which first derivatives tell. A parameter that
    is stopped by its bound has the distance at which the likelihood has fallen by one half, and no correlation with
    others.
    """
    for observed in (True, False):
        _, (slope,), (second,) = likelihood.many(
            best.parameters[None], value=False, information=True, observed=observed
        )
        stopped = likelihood.stopped(best.parameters, slope) & ~likelihood.fixed
        free = np.flatnonzero(~likelihood.fixed & ~stopped)
        information = second[np.ix_(free, free)]
        scale = np.sqrt(np.abs(np.diag(information)))
        flat = [likelihood.names[i] for i, size in zip(free, scale, strict=True) if size == 0.0]
        if flat:
            raise FitError(f"the data do not determine parameter '{flat[0]}': nothing depends on it at the best fit")
        values, vectors = np.linalg.eigh(information / np.outer(scale, scale))
        if values[0] > _FLAT:
            break
    else:
        names = [likelihood.names[free[i]] for i in np.argsort(-np.abs(vectors[:, 0]))[:2]]
        raise FitError(
            f"the data do not determine parameters '{names[0]}' and '{names[-1]}' separately; fix or drop one"
        )
    inverse = (vectors / values) @ vectors.T / np.outer(scale, scale)
    result = np.zeros((len(likelihood.names),) * 2)
    result[np.ix_(free, free)] = inverse
    result[stopped, stopped] = 0.25 / slope[stopped] ** 2
    return result


def _parameters(likelihood: Likelihood, best: Point, covariance: Array) -> dict[str, Parameter]:
    normal, poisson = likelihood.normal, likelihood.poisson
    pulls: dict[int, float] = {}
    for i, centre, size in zip(normal.where, normal.centre, normal.error, strict=True):
        pulls[int(i)] = float((best.parameters[i] - centre) / size)
    for i, counts, scale in zip(poisson.where, poisson.counts, poisson.scale, strict=True):
        pulls[int(i)] = float((scale * best.parameters[i] - counts) / np.sqrt(counts))
    errors = np.sqrt(np.diag(covariance))
    return {
        name: Parameter(float(best.parameters[i]), float(errors[i]), None if likelihood.fixed[i] else pulls.get(i))
        for i, name in enumerate(likelihood.names)
    }


def _impacts(likelihood: Likelihood, covariance: Array) -> dict[str, float]:
    if likelihood.poi is None:
        return {}
    errors = np.sqrt(np.diag(covariance))
    return {
        name: float(covariance[likelihood.poi, i] / errors[i])
        for i, name in enumerate(likelihood.names)
        if i != likelihood.poi and errors[i] > 0.0
    }


def _postfit(likelihood: Likelihood, best: Point, covariance: Array, label: Label) -> dict[str, Fitted]:
    slopes = likelihood.yields.jacobian(best.parameters)
    errors = np.sqrt(np.einsum("bi,ij,bj->b", slopes, covariance, slopes))
    cells = likelihood.yields.cells(best.parameters)
    result = {}
    for name, bins, members in likelihood.yields.channels:
        samples = _whole({one.sample: cells[one.where] for one in members})
        observed = None if name in label.asimov else tuple(likelihood.data[bins].tolist())
        total = np.sum(list(samples.values()), axis=0)
        result[name] = Fitted(observed, samples, tuple(total.tolist()), tuple(errors[bins].tolist()))
    return result


def _whole(yields: Mapping[str, Array]) -> dict[str, tuple[float, ...]]:
    """Return the yields of the samples; what one of them subtracts (``fakes_less_diboson``) is part of it."""
    found = dict(yields)
    for name in yields:
        owner, less, _ = name.partition(LESS)
        if less and owner in yields:
            found[owner] = found[owner] + found.pop(name)
    return {name: tuple(one.tolist()) for name, one in found.items()}


def _notes(likelihood: Likelihood, best: Point) -> tuple[str, ...]:
    notes = []
    for name, bins, _ in likelihood.yields.channels:
        walled = likelihood.walled(best.parameters)
        here = walled[(walled >= bins.start) & (walled < bins.stop)] - bins.start
        if len(here):
            notes.append(
                f"channel '{name}': the expectation is zero at the best fit in bin {', '.join(map(str, here))}, an "
                "edge of the model; errors and limits are approximate: merge bins"
            )
    stopped = np.flatnonzero(likelihood.stopped(best.parameters, likelihood.gradient(best.parameters)))
    notes += [f"parameter '{likelihood.names[i]}' is at its bound, {best.parameters[i]:.4g}" for i in stopped]
    poi = likelihood.poi
    if poi is not None and best.parameters[poi] in (likelihood.lower[poi], likelihood.upper[poi]):
        notes.append(f"the signal strength is at its bound, {best.parameters[poi]:.4g}")
    return tuple(notes)
