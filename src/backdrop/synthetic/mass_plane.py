"""The plane of the masses of two Higgs-boson candidates: its regions, and densities of events in it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np

from ..errors import ConfigError
from ..region import Region

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["Area", "Bump", "Falling", "FourBSelection", "MassPlane", "Range"]

Range = tuple[tuple[float, float], tuple[float, float]]
Area = Literal["sr", "box", "open"]
_SIDES = {"lower left": (-1, -1), "lower right": (1, -1), "upper right": (1, 1), "upper left": (-1, 1)}
_BOX_NODES, _RADII, _ANGLES = 24, 12, 24


@dataclass(frozen=True)
class FourBSelection:
    """A signal region in the plane of ``m_h1`` and ``m_h2``, the box around it, and the cuts of an HH → 4b search.

    The signal region is ``√(((m₁ − c₁)/(r m₁))² + ((m₂ − c₂)/(r m₂))²) < radius``, or the circle of `radius` GeV about
    the centre where r, the `resolution`, is None. The box lies about `offset` times the centre.

    Attributes
    ----------
    centre
        Of the signal region, in GeV.
    radius, resolution
        Size of the signal region.
    edge, offset
        Length of the box's sides in GeV, and its centre in units of `centre`.
    deta
        The requirement on ``|Δη|`` of the candidates; beyond it lies the validation region of reversed Δη.
    x_wt
        The least distance from a top quark.

    References
    ----------
    ATLAS, arXiv:2301.03212, equations 2 and 4.

    Examples
    --------
    >>> FourBSelection(centre=(125.0, 125.0), radius=10.0, resolution=None).sr.cut
    'hypot(m_h1 - 125, m_h2 - 125) < 10'
    >>> FourBSelection().shifted("upper left").centre
    (96.0, 145.0)
    """

    centre: tuple[float, float] = (124.0, 117.0)
    radius: float = 1.6
    resolution: float | None = 0.1
    edge: float = 90.0
    offset: float = 1.05
    deta: float = 1.5
    x_wt: float = 1.5

    def __post_init__(self) -> None:
        if not (self.radius > 0.0 and self.edge > 0.0 and self.deta > 0.0 and self.x_wt > 0.0):
            raise ConfigError(f"radius, edge, deta and x_wt are positive: {self}")
        if self.resolution is not None and not 0.0 < self.radius * self.resolution < 1.0:
            raise ConfigError(f"radius times resolution lies between 0 and 1, or the region has no upper end: {self}")
        for (low, high), (start, stop) in zip(self.extent("sr"), self.limits, strict=True):
            if not start <= low < high <= stop:
                raise ConfigError(f"the signal region from {low:g} to {high:g} GeV is not in its box: {self}")

    @property
    def limits(self) -> Range:
        """The box: the least and the greatest of both masses, in GeV."""
        first, second = (
            (self.offset * centre - self.edge / 2, self.offset * centre + self.edge / 2) for centre in self.centre
        )
        return first, second

    @property
    def sr(self) -> Region:
        """The signal region of the masses."""
        terms = [f"{name} - {centre:.12g}" for name, centre in zip(("m_h1", "m_h2"), self.centre, strict=True)]
        if self.resolution is not None:
            names = ("m_h1", "m_h2")
            terms = [f"({term}) / ({self.resolution:.12g} * {m})" for term, m in zip(terms, names, strict=True)]
        return Region("SR", f"hypot({', '.join(terms)}) < {self.radius:.12g}")

    @property
    def box(self) -> Region:
        """The box of the masses, the signal region included."""
        (a, b), (c, d) = self.limits
        cut = f"(m_h1 > {a:.12g}) & (m_h1 < {b:.12g}) & (m_h2 > {c:.12g}) & (m_h2 < {d:.12g})"
        return Region("box", cut)

    @property
    def open(self) -> Region:
        """The box without the signal region."""
        return Region("open", f"{self.box.cut} & ~({self.sr.cut})")

    @property
    def near(self) -> Region:
        """The requirement on Δη."""
        return Region("near", f"deta < {self.deta:.12g}")

    @property
    def far(self) -> Region:
        """Reversed Δη."""
        return Region("far", f"deta >= {self.deta:.12g}")

    @property
    def top_veto(self) -> Region:
        """The cut on the distance from a top quark."""
        return Region("top veto", f"x_wt > {self.x_wt:.12g}")

    def shifted(
        self, side: Literal["lower left", "lower right", "upper right", "upper left"], shift: float = 28.0
    ) -> FourBSelection:
        """Return the same about a centre that is moved by `shift` GeV in both masses.

        At 28 GeV the lower ones do not overlap with the nominal signal region.
        """
        first, second = _SIDES[side]
        return replace(self, centre=(self.centre[0] + first * shift, self.centre[1] + second * shift))

    def nodes(self, area: Area) -> tuple[Array, Array, Array]:
        """Return points (m_h1, m_h2) and weights that integrate a smooth density over an area, each of shape (n,).

        Gauss–Legendre points of the box; of the signal region Gauss–Legendre in the radius and equal steps in the
        angle, in coordinates in which it is a disc.
        """
        if area == "sr":
            return _disc(self.centre, self.radius, self.resolution)
        box = _rectangle(self.limits)
        if area == "box":
            return box
        m1, m2, weight = self.nodes("sr")
        return np.append(box[0], m1), np.append(box[1], m2), np.append(box[2], -weight)

    def extent(self, area: Area) -> Range:
        """Return the least and the greatest of both masses in an area, in GeV."""
        if area != "sr":
            return self.limits
        if self.resolution is None:
            first, second = ((c - self.radius, c + self.radius) for c in self.centre)
        else:
            share = self.radius * self.resolution
            first, second = ((c / (1 + share), c / (1 - share)) for c in self.centre)
        return first, second


@lru_cache(maxsize=64)
def _disc(centre: tuple[float, float], radius: float, resolution: float | None) -> tuple[Array, Array, Array]:
    nodes, weights = np.polynomial.legendre.leggauss(_RADII)
    r, w = radius * (nodes + 1) / 2, radius * weights / 2
    angle = 2 * np.pi * np.arange(_ANGLES) / _ANGLES
    weight = np.outer(w * r, np.full(_ANGLES, 2 * np.pi / _ANGLES)).ravel()
    masses = []
    for c, turn in zip(centre, (np.cos(angle), np.sin(angle)), strict=True):
        t = np.outer(r, turn).ravel()
        if resolution is None:
            masses.append(c + t)
        else:
            # t = (m - c) / (resolution m)
            masses.append(c / (1 - resolution * t))
            weight = weight * resolution * c / np.square(1 - resolution * t)
    return masses[0], masses[1], weight


@lru_cache(maxsize=64)
def _rectangle(limits: Range) -> tuple[Array, Array, Array]:
    nodes, weights = np.polynomial.legendre.leggauss(_BOX_NODES)
    (a, b), (c, d) = limits
    m1, m2 = np.meshgrid((a + b) / 2 + (b - a) / 2 * nodes, (c + d) / 2 + (d - c) / 2 * nodes, indexing="ij")
    return m1.ravel(), m2.ravel(), np.outer((b - a) / 2 * weights, (d - c) / 2 * weights).ravel()


class MassPlane(Protocol):
    """A density of events in the plane of the two masses."""

    def density(self, m1: Array, m2: Array) -> Array:
        """Return events per GeV²."""
        ...

    def draw(self, size: float, limits: Range, rng: np.random.Generator) -> tuple[Array, Array]:
        """Return the masses of a Poisson number of events of `size` times the density within the limits."""
        ...


@dataclass(frozen=True)
class Falling:
    """Multijet events: an exponential in each mass, times a turn-on along the sum of the masses.

    ``height exp(−(m₁ − 124)/l₁ − (m₂ − 117)/l₂) / (1 + exp(−(m₁ + m₂ − start)/width))``

    Attributes
    ----------
    height
        Events per GeV² at (124, 117) GeV, without the turn-on.
    lengths
        In which the density falls by a factor e, in GeV.
    start, width
        Where the turn-on is one half, and how fast it is, in GeV.
    """

    height: float
    lengths: tuple[float, float]
    start: float
    width: float

    def __post_init__(self) -> None:
        if not (self.height >= 0.0 and min(self.lengths) > 0.0 and self.width > 0.0):
            raise ConfigError(f"height is not negative, lengths and width are positive: {self}")

    def density(self, m1: Array, m2: Array) -> Array:
        """Return events per GeV²."""
        first, second = self.lengths
        falling = self.height * np.exp((124.0 - m1) / first + (117.0 - m2) / second)
        return np.asarray(falling * self._turn_on(m1, m2))

    def draw(self, size: float, limits: Range, rng: np.random.Generator) -> tuple[Array, Array]:
        """Return the masses of a Poisson number of events: those of the exponentials, thinned by the turn-on."""
        falls = [np.exp(-(high - low) / fall) for (low, high), fall in zip(limits, self.lengths, strict=True)]
        expected = size * self.height
        for peak, (low, _), fall, length in zip((124.0, 117.0), limits, falls, self.lengths, strict=True):
            expected *= length * np.exp((peak - low) / length) * (1.0 - fall)
        number = rng.poisson(expected)
        m1, m2 = (
            low - length * np.log1p((fall - 1.0) * rng.random(number))
            for (low, _), length, fall in zip(limits, self.lengths, falls, strict=True)
        )
        kept = rng.random(number) < self._turn_on(m1, m2)
        return m1[kept], m2[kept]

    def _turn_on(self, m1: Array, m2: Array) -> Array:
        return np.asarray(1.0 / (1.0 + np.exp((self.start - m1 - m2) / self.width)))


@dataclass(frozen=True)
class Bump:
    """Signal events: a two-dimensional Gaussian.

    Attributes
    ----------
    number
        Expected events.
    mean, widths
        Of both masses, in GeV.
    correlation
        Of the masses.
    """

    number: float
    mean: tuple[float, float]
    widths: tuple[float, float]
    correlation: float = 0.0

    def __post_init__(self) -> None:
        if not (self.number >= 0.0 and min(self.widths) > 0.0 and abs(self.correlation) < 1.0):
            raise ConfigError(f"need number >= 0, positive widths and |correlation| < 1: {self}")

    def density(self, m1: Array, m2: Array) -> Array:
        """Return events per GeV²."""
        u, v = ((m - mean) / width for m, mean, width in zip((m1, m2), self.mean, self.widths, strict=True))
        rest = 1.0 - self.correlation**2
        area = 2 * np.pi * self.widths[0] * self.widths[1] * np.sqrt(rest)
        square = (np.square(u) + np.square(v) - 2 * self.correlation * u * v) / rest
        return np.asarray(self.number / area * np.exp(-square / 2))

    def draw(self, size: float, limits: Range, rng: np.random.Generator) -> tuple[Array, Array]:
        """Return the masses of a Poisson number of events, of those within the limits."""
        u, v = rng.standard_normal((2, rng.poisson(size * self.number)))
        v = self.correlation * u + np.sqrt(1.0 - self.correlation**2) * v
        m1, m2 = self.mean[0] + self.widths[0] * u, self.mean[1] + self.widths[1] * v
        (a, b), (c, d) = limits
        kept = (m1 > a) & (m1 < b) & (m2 > c) & (m2 < d)
        return m1[kept], m2[kept]
