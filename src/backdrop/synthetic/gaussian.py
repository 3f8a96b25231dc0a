"""Two Gaussian variables for two classes of objects, fakes and reals, and a falling mass spectrum."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..errors import ConfigError
from ..events import Events
from ..tasks import stream

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["GaussianPlane", "gaussian_abcd"]


@dataclass(frozen=True)
class GaussianPlane:
    """Fakes and reals in the plane of two discriminating variables (x1, x2) of unit width.

    Within each class x1 and x2 are independent (fakes: up to `correlation`), while the class means differ: the mixture
    is correlated, and only the fakes alone obey ABCD. The mass falls as ``exp(-slope (m - low))`` between `low` and
    `high` GeV, the same for both classes and independent of the plane.

    Attributes
    ----------
    fakes, reals
        Expected numbers of events; the drawn ones are Poisson.
    fake_mean, real_mean
        Means of (x1, x2).
    correlation
        Linear correlation of x1 and x2 of the fakes.
    slope
        Slope of the mass spectrum in 1/GeV.
    low, high
        Range of the mass in GeV.

    References
    ----------
    L. Calic, "Data-driven background estimation": the DataToySample slides.

    Examples
    --------
    >>> toy = GaussianPlane(fakes=1000.0, reals=0.0)
    >>> round(toy.expected(0.0, 0.0)["A"], 6)
    250.0
    """

    fakes: float = 50_000.0
    reals: float = 50_000.0
    fake_mean: tuple[float, float] = (0.0, 0.0)
    real_mean: tuple[float, float] = (2.0, 2.0)
    correlation: float = 0.0
    slope: float = 0.02
    low: float = 100.0
    high: float = 200.0

    def __post_init__(self) -> None:
        if not (-1 < self.correlation < 1 and self.fakes >= 0 and self.reals >= 0 and self.low < self.high):
            raise ConfigError(f"need |correlation| < 1, expected numbers not negative and low < high: {self}")

    def draw(self, *, seed: int, sample: str = "data", weight: float = 1.0) -> Events:
        """Draw one data set: columns ``x1``, ``x2``, ``m`` (GeV) and the truth ``is_fake``.

        A simulated sample of ten times the data's size is ``GaussianPlane(fakes=0, reals=10 * n).draw(weight=0.1)``.
        """
        rng = stream(seed, "gaussian plane", sample)
        numbers = rng.poisson([self.fakes, self.reals])
        covariance = np.array([[1.0, self.correlation], [self.correlation, 1.0]])
        fake = rng.standard_normal((numbers[0], 2)) @ np.linalg.cholesky(covariance).T + self.fake_mean
        real = rng.standard_normal((numbers[1], 2)) + self.real_mean
        plane = np.concatenate([fake, real])
        columns = {
            "x1": plane[:, 0],
            "x2": plane[:, 1],
            "m": self._mass(rng.uniform(size=len(plane))),
            "is_fake": np.arange(len(plane)) < numbers[0],
        }
        return Events.of(columns, sample=sample, weight=np.full(len(plane), weight))

    def expected(self, x_cut: float, y_cut: float, *, fakes: bool = True) -> dict[str, float]:
        """Return the expected yields of one class in A (above both thresholds), B (x1 above), C (x2 above) and D."""
        from scipy.stats import multivariate_normal, norm

        mean = np.array(self.fake_mean if fakes else self.real_mean)
        rho, number = (self.correlation, self.fakes) if fakes else (0.0, self.reals)
        below_x, below_y = norm.cdf(np.array([x_cut, y_cut]) - mean)
        if rho == 0.0:
            below_both = below_x * below_y
        else:
            below_both = multivariate_normal.cdf([x_cut, y_cut], mean=mean, cov=[[1.0, rho], [rho, 1.0]])
        above_both = 1.0 - below_x - below_y + below_both
        shares = {"A": above_both, "B": below_y - below_both, "C": below_x - below_both, "D": below_both}
        return {name: float(number * share) for name, share in shares.items()}

    def mass_shares(self, edges: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the probability of each mass bin, shape (len(edges) - 1,)."""
        span = 1.0 - np.exp(-self.slope * (self.high - self.low))
        below = (1.0 - np.exp(-self.slope * (np.clip(edges, self.low, self.high) - self.low))) / span
        return np.diff(below)

    def _mass(self, uniform: NDArray[np.float64]) -> NDArray[np.float64]:
        span = 1.0 - np.exp(-self.slope * (self.high - self.low))
        mass: NDArray[np.float64] = self.low - np.log1p(-span * uniform) / self.slope
        return mass


def gaussian_abcd(
    *,
    seed: int,
    fakes: float = 50_000.0,
    reals: float = 50_000.0,
    correlation: float = 0.0,
    simulated: float = 5.0,
) -> Mapping[str, Events]:
    """Return the toy of `GaussianPlane` as samples: ``data`` (both classes) and ``reals`` (their simulation).

    `simulated` is the size of the simulation in units of the data's; its weights make up for it.
    """
    if simulated <= 0.0:
        raise ConfigError(f"simulated = {simulated:g}: the size of the simulation in units of the data's is positive")
    toy = GaussianPlane(fakes=fakes, reals=reals, correlation=correlation)
    simulation = GaussianPlane(fakes=0.0, reals=simulated * reals)
    return {
        "data": toy.draw(seed=seed),
        "reals": simulation.draw(seed=seed, sample="reals", weight=1.0 / simulated),
    }
