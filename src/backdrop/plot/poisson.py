"""Error bars of observed yields."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["error_bars", "garwood"]

_TAIL = 0.15865525393145707
"""Probability beyond one standard deviation of a normal."""


def garwood(counts: Array) -> tuple[Array, Array]:
    r"""Return the central 68.3 % interval of Poisson means, shapes as `counts`.

    .. math:: \mu_- = \tfrac12\,\chi^2_{\alpha/2;\,2n}, \qquad \mu_+ = \tfrac12\,\chi^2_{1-\alpha/2;\,2n+2}

    References
    ----------
    F. Garwood, Biometrika 28 (1936) 437.

    Examples
    --------
    >>> low, high = garwood(np.array([0.0, 4.0]))
    >>> low.round(2), high.round(2)
    (array([0.  , 2.09]), array([1.84, 7.16]))
    """
    from scipy.special import gammainccinv, gammaincinv

    counts = np.asarray(counts, float)
    low = np.where(counts > 0, gammaincinv(np.maximum(counts, 1e-12), _TAIL), 0.0)
    return low, np.asarray(gammainccinv(counts + 1, _TAIL))


def error_bars(values: Array, variances: Array) -> tuple[Array, Array]:
    """Return the lengths of the lower and upper error bars.

    Unweighted counts (variance equals value) get Garwood intervals, anything else the square root of its variance.
    """
    if np.allclose(values, variances, rtol=1e-12, atol=0) and bool((np.rint(values) == values).all()):
        low, high = garwood(values)
        return values - low, high - values
    error = np.sqrt(variances)
    return error, error
