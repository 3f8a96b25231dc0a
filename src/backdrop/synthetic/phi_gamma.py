"""A photon and a meson φ → K⁺K⁻ that come from a system of known mass and momentum: the case study of H → φγ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np

from ..errors import ConfigError
from ..events import Events
from ..kinematics import delta_phi, pseudorapidity, to_cylindrical
from ..region import Region
from ..tasks import stream

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Four = tuple[Array, Array, Array, Array]
    Columns = dict[str, Array]

__all__ = ["Isolation", "Landau", "Peak", "PhiGamma", "PhiGammaSelection", "Spectrum", "phi_gamma"]

KAON_MASS, PHI_MASS, PHI_WIDTH = 0.493677, 1.019461, 0.004249
_PROBE = 400_000


class Spectrum(Protocol):
    """A distribution of the system's mass."""

    def draw(self, number: int, rng: np.random.Generator) -> Array:
        """Return masses in GeV, shape (number,)."""
        ...


@dataclass(frozen=True)
class Landau:
    """A Landau distribution: the mass of the background, in GeV.

    ``m = location + scale λ``, λ from the stable distribution whose characteristic function is
    ``exp(-|t| π/2 - i t log|t|)``; its mode is at λ = -0.2228 and its median at 1.3558.

    References
    ----------
    Chambers, Mallows and Stuck, J. Am. Stat. Assoc. 71 (1976) 340, equation 2.4.

    Examples
    --------
    >>> median = np.median(Landau(50.0, 12.0).draw(100_000, np.random.default_rng(1)))
    >>> bool(abs(median - (50.0 + 12.0 * 1.3558)) < 0.5)
    True
    """

    location: float = 50.0
    scale: float = 12.0

    def __post_init__(self) -> None:
        if not self.scale > 0.0:
            raise ConfigError(f"a Landau distribution of scale {self.scale:g}: the scale is positive")

    def draw(self, number: int, rng: np.random.Generator) -> Array:
        """Return masses in GeV, shape (number,)."""
        angle = np.pi * (rng.uniform(size=number) - 0.5)
        skewed = np.pi / 2 + angle
        value = skewed * np.tan(angle) - np.log(rng.exponential(size=number) * np.cos(angle) / skewed)
        return np.asarray(self.location + self.scale * value)


@dataclass(frozen=True)
class Peak:
    """Two Gaussians of one mean: the mass of a signal, in GeV.

    Attributes
    ----------
    mean
        The mass of the signal.
    core, tail
        The widths of the two.
    share
        The part of the events that is in the core.
    """

    mean: float
    core: float = 1.8
    tail: float = 3.6
    share: float = 0.8

    def __post_init__(self) -> None:
        if not (self.core > 0.0 and self.tail > 0.0 and 0.0 <= self.share <= 1.0):
            raise ConfigError(f"need positive widths and a share between 0 and 1: {self}")

    def draw(self, number: int, rng: np.random.Generator) -> Array:
        """Return masses in GeV, shape (number,)."""
        width = np.where(rng.uniform(size=number) < self.share, self.core, self.tail)
        return np.asarray(self.mean + width * rng.standard_normal(number))


@dataclass(frozen=True)
class Isolation:
    """An exponential distribution whose mean is linear in a transverse momentum: ``offset + slope pT``.

    Attributes
    ----------
    offset
        The mean at pT = 0.
    slope
        In 1/GeV.
    follows
        Whose pT: that of the meson, or that of the photon.
    """

    offset: float = 0.365
    slope: float = -0.0005
    follows: Literal["pt_phi", "pt_gamma"] = "pt_phi"

    def draw(self, columns: Mapping[str, Array], rng: np.random.Generator) -> Array:
        """Return one value for each row.

        Raises
        ------
        ConfigError
            If the mean is not positive at a pT that occurs.
        """
        mean = self.offset + self.slope * columns[self.follows]
        if (mean <= 0.0).any():
            raise ConfigError(
                f"the mean isolation {self.offset:g} {self.slope:+g} {self.follows} is not positive at "
                f"{self.follows} = {columns[self.follows][mean <= 0.0].min():.4g} GeV; choose a smaller slope"
            )
        return np.asarray(mean * rng.standard_exponential(len(mean)))


@dataclass(frozen=True)
class PhiGammaSelection:
    """The requirements on φγ candidates, and the regions that they make.

    All candidates pass those on the photon, the kaons and the mass of the meson (`candidates`). The generation region
    (`gr`) needs a loose pT of the meson; the validation regions add either its pT threshold (`vr1`) or its isolation
    (`vr2`), the signal region (`sr`) both. The threshold rises linearly with the mass of the system.

    Attributes
    ----------
    photon_pt, photon_eta, crack
        Least pT (GeV), greatest ``|η|``, and the range of ``|η|`` that is left out.
    kaon_pt, lead_kaon_pt, kaon_eta
        Least pT of both kaons and of the harder one (GeV), greatest ``|η|``.
    phi_mass
        Range of the meson's mass in GeV.
    dphi
        Least ``|ΔΦ|`` of meson and photon.
    loose_pt
        Least pT of the meson in the generation region, in GeV.
    threshold, rise
        Lowest and highest pT threshold of the meson (GeV), and the masses of the system between which it rises.
    isolation
        Greatest isolation variable.

    References
    ----------
    A. Chisholm et al., "Non-parametric data-driven background modelling using conditional probabilities",
    arXiv:2112.00650, section 2.2 and table 1.

    Examples
    --------
    >>> PhiGammaSelection().vr2.cut
    '(dphi > 1.5707963267948966) & (pt_phi > 35.0) & (iso_phi < 0.5)'
    """

    photon_pt: float = 35.0
    photon_eta: float = 2.37
    crack: tuple[float, float] = (1.37, 1.52)
    kaon_pt: float = 15.0
    lead_kaon_pt: float = 20.0
    kaon_eta: float = 2.5
    phi_mass: tuple[float, float] = (1.012, 1.028)
    dphi: float = np.pi / 2
    loose_pt: float = 35.0
    threshold: tuple[float, float] = (40.0, 47.2)
    rise: tuple[float, float] = (91.0, 140.0)
    isolation: float = 0.5

    def __post_init__(self) -> None:
        if not (self.rise[0] < self.rise[1] and self.threshold[0] <= self.threshold[1]):
            raise ConfigError(f"the pT threshold of the meson rises with the mass: {self}")

    @property
    def candidates(self) -> Region:
        """What every candidate passes: photon, kaons and the mass of the meson."""
        inner, outer = self.crack
        photon = f"(pt_gamma > {self.photon_pt}) & (abs(eta_gamma) < {self.photon_eta})"
        crack = f"((abs(eta_gamma) < {inner}) | (abs(eta_gamma) > {outer}))"
        kaons = f"(pt_k1 > {self.lead_kaon_pt}) & (pt_k2 > {self.kaon_pt})"
        eta = f"(abs(eta_k1) < {self.kaon_eta}) & (abs(eta_k2) < {self.kaon_eta})"
        meson = f"(m_phi > {self.phi_mass[0]}) & (m_phi < {self.phi_mass[1]})"
        return Region("candidates", " & ".join([photon, crack, kaons, eta, meson]))

    @property
    def gr(self) -> Region:
        """The generation region."""
        return Region("GR", f"(dphi > {self.dphi}) & (pt_phi > {self.loose_pt})")

    @property
    def vr1(self) -> Region:
        """The validation region of the pT threshold."""
        return Region("VR1", f"{self.gr.cut} & {self._above}")

    @property
    def vr2(self) -> Region:
        """The validation region of the isolation."""
        return Region("VR2", f"{self.gr.cut} & {self._isolated}")

    @property
    def sr(self) -> Region:
        """The signal region."""
        return Region("SR", f"{self.gr.cut} & {self._above} & {self._isolated}")

    @property
    def _above(self) -> str:
        (low, high), (start, stop) = self.threshold, self.rise
        line = f"{low} + {high - low:.12g} * (m - {start}) / {stop - start:.12g}"
        return f"(pt_phi > min(max({line}, {low}), {high}))"

    @property
    def _isolated(self) -> str:
        return f"(iso_phi < {self.isolation})"


@dataclass(frozen=True)
class PhiGamma:
    """Candidates of a meson and a photon, from a system that decays isotropically.

    The mass of the system is drawn from `spectrum`, its pT from a Gaussian whose mean and width are linear in the
    mass, its η from two Gaussians at ``±eta_mean``, its Φ uniformly. System → φγ and φ → K⁺K⁻ are isotropic in their
    rest frames; the mass of the meson is a Breit-Wigner. Systems outside the mass range or of negative pT are dropped.
    With the defaults, 23 000 candidates are expected in the generation region and 15 900 in the signal region.

    Attributes
    ----------
    events
        Expected number of systems; the drawn one is Poisson.
    spectrum
        The mass of the system.
    low, high
        Range of the mass of the system in GeV.
    pt_mean, pt_width
        Mean and width of the pT of the system: offset (GeV) and slope with the mass.
    eta_mean, eta_width
        The two Gaussians of η.
    isolation
        The isolation variable of the meson.
    selection
        The requirements on the candidates.

    References
    ----------
    A. Chisholm et al., arXiv:2112.00650, section 2.10.

    Examples
    --------
    >>> toy = PhiGamma(events=10_000.0)
    >>> candidates = toy.draw(seed=1)
    >>> len(candidates), len(candidates.select(toy.selection.sr))
    (1593, 1116)
    """

    events: float = 151_000.0
    spectrum: Spectrum = field(default_factory=Landau)
    low: float = 50.0
    high: float = 400.0
    pt_mean: tuple[float, float] = (0.0, 0.3)
    pt_width: tuple[float, float] = (0.0, 0.15)
    eta_mean: float = 1.5
    eta_width: float = 1.2
    isolation: Isolation = field(default_factory=Isolation)
    selection: PhiGammaSelection = field(default_factory=PhiGammaSelection)

    def __post_init__(self) -> None:
        if not (self.events >= 0.0 and 2.0 <= self.low < self.high and self.eta_width > 0.0):
            raise ConfigError(f"need events >= 0, 2 <= low < high (GeV) and eta_width > 0: {self}")
        if min(self.pt_width[0] + self.pt_width[1] * m for m in (self.low, self.high)) <= 0.0:
            raise ConfigError(f"pt_width = {self.pt_width} is not positive from {self.low:g} to {self.high:g} GeV")

    @classmethod
    def signal(cls, mass: float, events: float = 20_000.0) -> PhiGamma:
        """Return the generator of a signal: a narrow peak, well isolated."""
        return cls(events, Peak(mass), isolation=Isolation(0.12, 0.0))

    def draw(self, *, seed: int, sample: str = "data", weight: float = 1.0, region: Region | None = None) -> Events:
        """Draw one data set of candidates.

        Columns, in GeV and rad: ``m pt eta phi`` of the system; ``pt eta phi m`` of the meson (``_phi``), ``pt eta
        phi`` of the photon (``_gamma``) and of the harder and the softer kaon (``_k1 _k2``); ``iso_phi``,
        ``dphi = |ΔΦ|`` and ``deta = η_φ - η_γ``.

        Parameters
        ----------
        seed
            Root of the random stream.
        sample
            The sample's name; other names have other streams.
        weight
            Of each row: a simulation of ten times the events has weight 0.1.
        region
            Which rows are kept instead of the candidates of the selection.
        """
        rng = stream(seed, "phi gamma", sample)
        columns = self._generate(rng)
        kept = (self.selection.candidates if region is None else region).mask(columns)
        table = {name: values[kept] for name, values in columns.items()}
        return Events.of(table, sample=sample, weight=np.full(int(kept.sum()), weight))

    def scaled(self, number: float, region: Region) -> PhiGamma:
        """Return the generator of which `number` candidates are expected in `region`.

        The acceptance is that of 400 000 systems of a fixed seed, known to 0.3 % where it is one in five.

        Raises
        ------
        ConfigError
            If none of them is in the region.
        """
        return replace(self, events=number / _acceptance(replace(self, events=float(_PROBE)), region))

    def _generate(self, rng: np.random.Generator) -> Columns:
        """Return the columns of all systems, candidates or not."""
        mass, pt = self._systems(rng)
        number = len(mass)
        eta = np.where(rng.uniform(size=number) < 0.5, -1.0, 1.0) * rng.normal(self.eta_mean, self.eta_width, number)
        phi = rng.uniform(-np.pi, np.pi, number)
        momentum = pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)
        energy = np.sqrt(np.square(pt * np.cosh(eta)) + np.square(mass))
        meson_mass = _breit_wigner(number, rng)
        meson, photon = _decay((*momentum, energy), mass, (meson_mass, 0.0), rng)
        first, second = _decay(meson, meson_mass, (KAON_MASS, KAON_MASS), rng)
        columns = {"m": mass, "pt": pt, "eta": eta, "phi": phi}
        pt_phi, eta_phi, phi_phi, _ = to_cylindrical(*meson)
        columns |= {"pt_phi": pt_phi, "eta_phi": eta_phi, "phi_phi": phi_phi, "m_phi": meson_mass}
        columns |= dict(zip(("pt_gamma", "eta_gamma", "phi_gamma"), to_cylindrical(*photon)[:3], strict=True))
        columns["dphi"] = np.abs(delta_phi(columns["phi_phi"], columns["phi_gamma"]))
        columns["deta"] = columns["eta_phi"] - columns["eta_gamma"]
        columns["iso_phi"] = self.isolation.draw(columns, rng)
        return columns | _kaons(first, second)

    def _systems(self, rng: np.random.Generator) -> tuple[Array, Array]:
        """Return the masses and transverse momenta of the systems."""
        mass = self.spectrum.draw(rng.poisson(self.events), rng)
        mass = mass[(mass > self.low) & (mass < self.high)]
        mean, width = (offset + slope * mass for offset, slope in (self.pt_mean, self.pt_width))
        pt = rng.normal(mean, width)
        return mass[pt > 0.0], pt[pt > 0.0]


@lru_cache(maxsize=64)
def _acceptance(generator: PhiGamma, region: Region) -> float:
    found = len(generator.draw(seed=0, sample="acceptance").select(region)) / generator.events
    if found == 0.0:
        raise ConfigError(f"none of {_PROBE} systems is a candidate in region '{region.name}': {region.cut}")
    return found


def _breit_wigner(number: int, rng: np.random.Generator) -> Array:
    """Return masses of the meson, from a Breit-Wigner between 0.99 and 1.06 GeV."""
    half = PHI_WIDTH / 2
    ends = np.arctan((np.array([0.99, 1.06]) - PHI_MASS) / half)
    return np.asarray(PHI_MASS + half * np.tan(rng.uniform(ends[0], ends[1], number)))


def _decay(
    parent: Four, mass: Array, daughters: tuple[Array | float, float], rng: np.random.Generator
) -> tuple[Four, Four]:
    """Return the four-vectors (px, py, pz, E) of an isotropic two-body decay, boosted from the parent's rest frame."""
    *momentum, energy = parent
    first, second = (np.square(one) for one in daughters)
    own = (np.square(mass) + first - second) / (2.0 * mass)
    size = np.sqrt(np.square(own) - first)
    cosine = rng.uniform(-1.0, 1.0, len(mass))
    angle = rng.uniform(-np.pi, np.pi, len(mass))
    across = size * np.sqrt(1.0 - np.square(cosine))
    rest = across * np.cos(angle), across * np.sin(angle), size * cosine
    along = sum(p * q for p, q in zip(momentum, rest, strict=True))
    step = (along / (energy + mass) + own) / mass
    px, py, pz = (q + step * p for p, q in zip(momentum, rest, strict=True))
    one = (px, py, pz, (energy * own + along) / mass)
    x, y, z, e = (whole - part for whole, part in zip(parent, one, strict=True))
    return one, (x, y, z, e)


def _kaons(first: Four, second: Four) -> Columns:
    """Return the columns of the harder (``_k1``) and the softer kaon."""
    pts = [np.hypot(one[0], one[1]) for one in (first, second)]
    swap = pts[0] < pts[1]
    columns: Columns = {}
    for name, chosen in (("k1", swap), ("k2", ~swap)):
        px, py, pz = (np.where(chosen, b, a) for a, b in zip(first[:3], second[:3], strict=True))
        columns |= {f"pt_{name}": np.hypot(px, py), f"eta_{name}": pseudorapidity(px, py, pz)}
        columns[f"phi_{name}"] = np.arctan2(py, px)
    return columns


def phi_gamma(
    *,
    seed: int,
    events: float = 151_000.0,
    signal_mass: float = 125.0,
    injected: float = 0.0,
    follows: Literal["pt_phi", "pt_gamma"] = "pt_phi",
    expected: float = 50.0,
) -> Mapping[str, Events]:
    """Return the samples of the case study: ``data``, and the simulated ``signal``.

    Parameters
    ----------
    seed
        Root of the random streams.
    events
        Expected number of background systems, see `PhiGamma`.
    signal_mass
        In GeV: 100 is on the kinematic peak, 125 where the background falls.
    injected
        Expected number of signal candidates among the data of the generation region.
    follows
        Whose pT the isolation of the background depends on.
    expected
        Signal candidates that the simulation expects in the signal region, where 20 000 rows are simulated.
    """
    background = PhiGamma(events, isolation=Isolation(follows=follows))
    signal, regions = PhiGamma.signal(signal_mass), background.selection
    data = background.draw(seed=seed)
    if injected:
        data = data + signal.scaled(injected, regions.gr).draw(seed=seed, sample="injected").relabel("data")
    simulated = 20_000.0
    simulation = signal.scaled(simulated, regions.sr)
    return {"data": data, "signal": simulation.draw(seed=seed, sample="signal", weight=expected / simulated)}
