"""FitResult: what a fit of a workspace found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from .._notebook import card, facts, measured, note, table

__all__ = ["FitResult", "Fitted", "Parameter"]


class Parameter(NamedTuple):
    """A fitted parameter: its value, its error, and its distance from the constraint in units of the constraint.

    The pull is None for a parameter without a constraint; a constant one has the error zero.
    """

    value: float
    error: float
    pull: float | None


@dataclass(frozen=True)
class Fitted:
    """A channel after the fit.

    Attributes
    ----------
    observed
        Counts in the bins; None if the expected background stood in for them (Asimov).
    samples
        Sample to its fitted yields.
    total
        Sum of the fitted yields.
    error
        Its error from all parameters with their correlations.
    """

    observed: tuple[float, ...] | None
    samples: Mapping[str, tuple[float, ...]]
    total: tuple[float, ...]
    error: tuple[float, ...]


@dataclass(frozen=True, repr=False)
class FitResult:
    """What a fit of a workspace found; names are those of the workspace.

    While a channel holds no data (`asimov_channels`), nothing is observed: the signal strength is no measurement, its
    error and the expected limits are the sensitivity, and observed limit and p-value are None. Without data in any
    channel the strength is zero by construction; beside channels with data, which move the nuisances that the
    expectation was made without, it is not.

    Attributes
    ----------
    poi
        The signal strength's name, None for a fit of the background alone.
    value, error
        Its best value, and its error from the curvature (HESSE).
    interval
        Where the likelihood falls by one half on either side (MINOS), or a bound before that.
    level
        Confidence level of the limits; None if neither they nor interval and p-value were asked for.
    limit_observed
        CLs upper limit (asymptotic).
    limit_expected
        The same for background alone: median and bands at -2, -1, 0, 1 and 2 standard deviations.
    p0, significance
        Asymptotic p-value of no signal, and the same in standard deviations; one half and zero for a deficit.
    parameters
        Name to (value, error, pull).
    impacts
        Nuisance to the change of the signal strength for one (fitted) standard deviation of it, to first order.
    postfit
        Channel to fitted yields.
    deviance, ndf
        Twice the logarithm of the likelihood ratio to the saturated model, and its degrees of freedom.
    asimov_channels
        Channels without data.
    notes
        Sentences that a reader needs beside the numbers.
    """

    poi: str | None
    value: float | None
    error: float | None
    interval: tuple[float, float] | None
    level: float | None
    limit_observed: float | None
    limit_expected: tuple[float, ...] | None
    p0: float | None
    significance: float | None
    parameters: Mapping[str, Parameter]
    impacts: Mapping[str, float]
    postfit: Mapping[str, Fitted]
    deviance: float
    ndf: int
    asimov_channels: tuple[str, ...]
    notes: tuple[str, ...]

    def __repr__(self) -> str:
        parts = [f"{len(self.parameters)} parameters"]
        if self.poi is not None:
            parts = [f"{self.poi} = {measured(self.value or 0.0, self.error or 0.0)}"]
        if self.limit_expected is not None:
            parts.append(f"expected limit {self.limit_expected[2]:.3g}")
        if self.limit_observed is not None and self.level is not None:
            parts.append(f"observed limit {self.limit_observed:.3g} at {100 * self.level:g} % CLs, p0 = {self.p0:.2g}")
        if self.asimov_channels:
            parts.append(f"no data (Asimov) in {', '.join(self.asimov_channels)}")
        return f"FitResult({'; '.join(parts)})"

    def _repr_html_(self) -> str:
        found = {} if self.poi is None else {self.poi: measured(self.value or 0.0, self.error or 0.0)}
        expected = None if self.limit_expected is None else self.limit_expected[2]
        limits = {"expected limit": expected, "observed limit": self.limit_observed, "p0": self.p0}
        found |= {name: f"{value:.3g}" for name, value in limits.items() if value is not None}
        found["no data (Asimov) in"] = ", ".join(self.asimov_channels) or "no channel"
        found["parameters"] = str(len(self.parameters))
        head = ("channel", "bins", "fitted yield", "observed")
        rows = []
        for name, one in self.postfit.items():
            seen = "sealed, or not given" if one.observed is None else f"{sum(one.observed):g}"
            rows.append((name, len(one.total), f"{sum(one.total):.6g}", seen))
        return card("FitResult", "", facts(found.items()), table(head, rows), *map(note, self.notes))

    @property
    def p_value(self) -> float | None:
        """The p-value of the deviance; None without data in every channel, or without degrees of freedom."""
        from scipy.special import chdtrc

        return None if self.asimov_channels or self.ndf < 1 else float(chdtrc(self.ndf, self.deviance))

    def state(self) -> dict[str, Any]:
        """Return the result as numbers, strings, lists and dictionaries, ready for strict JSON."""
        return {
            "poi": self.poi,
            "value": self.value,
            "error": self.error,
            "interval": None if self.interval is None else list(self.interval),
            "level": self.level,
            "limit_observed": self.limit_observed,
            "limit_expected": None if self.limit_expected is None else list(self.limit_expected),
            "p0": self.p0,
            "significance": self.significance,
            "parameters": {name: list(one) for name, one in self.parameters.items()},
            "impacts": dict(self.impacts),
            "postfit": {
                name: {
                    "observed": None if one.observed is None else list(one.observed),
                    "samples": {sample: list(yields) for sample, yields in one.samples.items()},
                    "total": list(one.total),
                    "error": list(one.error),
                }
                for name, one in self.postfit.items()
            },
            "deviance": self.deviance,
            "ndf": self.ndf,
            "asimov_channels": list(self.asimov_channels),
            "notes": list(self.notes),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> FitResult:
        """Restore a result from :meth:`state`."""
        rest = dict(state)
        for name in ("interval", "limit_expected"):
            rest[name] = None if state[name] is None else tuple(state[name])
        for name in ("asimov_channels", "notes"):
            rest[name] = tuple(state[name])
        rest["parameters"] = {name: Parameter(*one) for name, one in state["parameters"].items()}
        rest["postfit"] = {
            name: Fitted(
                None if one["observed"] is None else tuple(one["observed"]),
                {sample: tuple(yields) for sample, yields in one["samples"].items()},
                tuple(one["total"]),
                tuple(one["error"]),
            )
            for name, one in state["postfit"].items()
        }
        return cls(**rest)
