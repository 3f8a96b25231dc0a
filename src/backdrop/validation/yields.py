"""Yields compared: a ratio with its error."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import DataError

__all__ = ["Ratio", "YieldClosure", "yield_ratio"]


@dataclass(frozen=True)
class Ratio:
    """A ratio with its error."""

    value: float
    error: float


@dataclass(frozen=True)
class YieldClosure:
    """The yield of a channel, observed and predicted.

    Attributes
    ----------
    observed, predicted
        The two yields.
    uncertainty
        Of their difference: `predicted_uncertainty` and `observed_uncertainty` in quadrature.
    predicted_uncertainty
        The total uncertainty of the estimate.
    observed_uncertainty
        The error of the observed yield: of its expectation for counts, the sum of squared weights for weighted rows.
    """

    observed: float
    predicted: float
    uncertainty: float
    predicted_uncertainty: float
    observed_uncertainty: float

    @property
    def ratio(self) -> Ratio | None:
        """Observed over predicted, None where nothing is predicted."""
        if self.predicted == 0.0:
            return None
        return yield_ratio(self.observed, self.observed_uncertainty, self.predicted, self.predicted_uncertainty)


def yield_ratio(first: float, first_error: float, second: float, second_error: float) -> Ratio:
    """Return ``r = first / second`` of independent yields, with ``σ_r = sqrt(σ_1² + r² σ_2²) / |second|``.

    Raises
    ------
    DataError
        If the second yield is zero.

    Examples
    --------
    >>> yield_ratio(50.0, 5.0, 100.0, 10.0)
    Ratio(value=0.5, error=0.0707...)
    """
    if second == 0.0:
        raise DataError("a ratio to a yield of zero does not exist; compare the difference with its error instead")
    value = first / second
    return Ratio(value, ((first_error**2 + (value * second_error) ** 2) ** 0.5) / abs(second))
