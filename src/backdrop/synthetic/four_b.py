"""Two Higgs-boson candidates of two jets each, whose distributions are known in closed form: a model of HH → 4b."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..errors import ConfigError
from ..events import Events
from ..kinematics import add
from ..region import Region
from ..tasks import stream
from .four_b_features import Features, Gaussian
from .mass_plane import Area, Bump, Falling, FourBSelection, MassPlane, Range

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[np.float64]
    Deta = Literal["near", "far", "all"]

__all__ = ["FourB", "Year", "four_b"]


@dataclass(frozen=True)
class Year:
    """A period of data taking.

    Attributes
    ----------
    year
        Its number, the column ``year``.
    plane
        The density of events in the masses.
    features
        The distribution of all else, given the masses.
    """

    year: int
    plane: MassPlane
    features: Features = field(default_factory=Features)


def _multijet(year: int, plane: Falling, pt: float, features: Features) -> Year:
    """Return a year of multijet events, whose trigger moves the logarithms of both transverse momenta by `pt`."""
    first, second = (replace(one, mean=(one.mean[0] + pt, *one.mean[1:])) for one in (features.pt_h1, features.pt_h2))
    return Year(year, plane, replace(features, pt_h1=first, pt_h2=second))


def _run_two(factor: float, lengths: tuple[float, float], features: Features) -> tuple[Year, ...]:
    """Return three years; `lengths` are added to those of the 4b events."""
    first, second = lengths
    return (
        _multijet(2016, Falling(12.9 * factor, (53.0 + first, 80.0 + second), 130.0, 16.0), -0.03, features),
        _multijet(2017, Falling(20.3 * factor, (60.0 + first, 70.0 + second), 141.0, 20.0), 0.03, features),
        _multijet(2018, Falling(26.5 * factor, (56.0 + first, 75.0 + second), 135.0, 18.0), 0.0, features),
    )


@dataclass(frozen=True)
class FourB:
    """Events with two Higgs-boson candidates, in years of different shapes and yields.

    Events of each year fall as a Poisson process on the plane of the masses; given the masses, the features are
    those of `Features`. With the defaults, 199 000 events that pass the cut on Δη are expected in the open part of the
    box, and 16 100 in the signal region that pass the cut on X_Wt as well.

    Attributes
    ----------
    size
        Factor on all yields.
    years
        The periods of data taking.
    limits
        The least and the greatest of both masses, in GeV; the default holds the boxes of all shifted regions.
    n_b
        The number of b-tagged jets, a column.
    selection
        The regions.

    References
    ----------
    ATLAS, arXiv:2301.03212, for the variables and the selection.

    Examples
    --------
    >>> toy = FourB(size=0.01)
    >>> regions = toy.selection
    >>> data = toy.draw(seed=1, region=regions.box & regions.near)
    >>> len(data.select(regions.sr & regions.top_veto)), round(sum(toy.expected("sr").values()), 2)
    (165, 161.11)
    """

    size: float = 1.0
    years: tuple[Year, ...] = field(default_factory=lambda: _run_two(1.0, (0.0, 0.0), Features()))
    limits: Range = ((55.0, 205.0), (48.0, 198.0))
    n_b: int = 4
    selection: FourBSelection = field(default_factory=FourBSelection)

    def __post_init__(self) -> None:
        if not self.size >= 0.0:
            raise ConfigError(f"size = {self.size:g}: the factor on the yields is not negative")
        if any(not 0.0 < low < high for low, high in self.limits):
            raise ConfigError(f"limits = {self.limits}: masses are positive, and the lower limit comes first")
        numbers = [one.year for one in self.years]
        if not numbers or len(set(numbers)) < len(numbers):
            raise ConfigError(f"years {numbers}: at least one, and each once")
        for one in self.years:
            one.features.check(self.limits)

    @classmethod
    def two_b(cls, size: float = 1.0) -> FourB:
        """Return events with two b-tagged jets: five times as many as 4b events, with broader distributions.

        ``FourB.two_b().ratio(FourB(), events)`` is the density of 4b events over theirs, at most twice its mean.
        """
        base = Features()
        broader = replace(
            base,
            pt_h1=Gaussian((5.10, 0.35, 0.15), (0.40, -0.05, 0.03)),
            pt_h2=Gaussian((4.80, 0.10, 0.38), (0.42, 0.03, -0.06)),
            dphi=Gaussian((-2.15, 0.30, 0.45), (1.12, 0.10, -0.10)),
            x_wt=Gaussian((0.30, 0.15, -0.10), (0.57, 0.06, 0.04)),
            eta_difference=(2.35, -0.25, 0.20),
            pts=(0.38, 0.20, -0.30),
        )
        return cls(size, _run_two(5.0, (5.0, 4.0), broader), n_b=2)

    @classmethod
    def three_b(cls, size: float = 1.0) -> FourB:
        """Return another category of tags: eleven times as many events, of somewhat other distributions."""
        base = Features()
        other = replace(
            base,
            pt_h1=Gaussian((5.12, 0.42, 0.12), (0.37, -0.04, 0.02)),
            x_wt=Gaussian((0.34, 0.18, -0.15), (0.54, 0.05, 0.05)),
            pts=(0.42, 0.15, -0.25),
        )
        return cls(size, _run_two(11.0, (3.0, -4.0), other), n_b=3)

    @classmethod
    def signal(cls, number: float = 100.0) -> FourB:
        """Return pairs of Higgs bosons, of which `number` are expected before all cuts."""
        features = Features(
            pt_h1=Gaussian((5.35, 0.20, 0.10), (0.36, 0.0, 0.0)),
            pt_h2=Gaussian((5.10, 0.10, 0.20), (0.38, 0.0, 0.0)),
            dphi=Gaussian((-2.6, 0.0, 0.0), (1.0, 0.0, 0.0)),
            x_wt=Gaussian((1.1, 0.0, 0.0), (0.45, 0.0, 0.0)),
            eta_difference=(1.1, 0.0, 0.0),
        )
        years = (
            Year(year, Bump(number * share, (122.0, 116.0), (11.0, 12.0), 0.15), features)
            for year, share in ((2016, 0.20), (2017, 0.34), (2018, 0.46))
        )
        return cls(years=tuple(years))

    def around(self, selection: FourBSelection, area: Area = "box") -> FourB:
        """Return the same sample, of masses in the rectangle about an area of a selection alone."""
        return replace(self, limits=selection.extent(area), selection=selection)

    def draw(self, *, seed: int, sample: str = "data", weight: float = 1.0, region: Region | None = None) -> Events:
        """Draw one data set.

        Columns, in GeV and rad: ``m pt eta`` of both candidates (``_h1``, ``_h2``), ``dphi = |ΔΦ|``,
        ``deta = |Δη|`` and ``x_wt``; ``m_hh`` and ``pt_hh`` of their sum; ``year`` and ``n_b``.

        Parameters
        ----------
        seed
            Root of the random streams, one a year.
        sample
            The sample's name; other names have other streams.
        weight
            Of each row: a simulation of ten times the size has weight 0.1.
        region
            Which rows are kept; without it all within the limits.
        """
        parts = [self._year(one, stream(seed, "four b", self.n_b, sample, one.year), region) for one in self.years]
        table = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        return Events.of(table, sample=sample, weight=np.full(len(table["year"]), weight))

    def _year(self, period: Year, rng: np.random.Generator, region: Region | None) -> dict[str, NDArray[Any]]:
        m1, m2 = period.plane.draw(self.size, self.limits, rng)
        columns: dict[str, NDArray[Any]] = {"m_h1": m1, "m_h2": m2} | period.features.draw(m1, m2, rng)
        columns |= {"year": np.full(len(m1), period.year, np.int16), "n_b": np.full(len(m1), self.n_b, np.int16)}
        if region is not None and not region.columns & {"m_hh", "pt_hh"}:
            kept = region.mask(columns)
            return _with_sum({name: values[kept] for name, values in columns.items()})
        columns = _with_sum(columns)
        if region is None:
            return columns
        kept = region.mask(columns)
        return {name: values[kept] for name, values in columns.items()}

    # ---- what is expected --------------------------------------------------------------------------------------------

    def expected(
        self, area: Area, *, selection: FourBSelection | None = None, deta: Deta = "near", top_veto: bool = True
    ) -> dict[int, float]:
        """Return the expected yield of each year in an area of the plane, exact to 1e-8.

        Parameters
        ----------
        area
            ``sr``, ``box``, or ``open``: the box without the signal region.
        selection
            The regions and cuts, if others than those of the sample.
        deta
            Events that pass the cut on Δη (``near``), those that fail it (``far``), or all of them.
        top_veto
            Whether the cut on X_Wt is applied.
        """
        chosen = self.selection if selection is None else selection
        m1, m2, weight = self._nodes(chosen, area)
        low, high = _band(chosen, deta)
        yields = {}
        for one in self.years:
            share = one.features.deta_share(m1, m2, low, high)
            if top_veto:
                share = share * one.features.x_wt_share(m1, m2, chosen.x_wt)
            yields[one.year] = float(self.size * (weight * one.plane.density(m1, m2) * share).sum())
        return yields

    def histogram(
        self,
        name: str,
        edges: ArrayLike,
        area: Area,
        *,
        selection: FourBSelection | None = None,
        deta: Deta = "near",
        top_veto: bool = True,
    ) -> Array:
        """Return the expected histogram of a feature in an area of the plane, all years together, shape (bins,).

        Parameters
        ----------
        name
            ``pt_h1 pt_h2 eta_h1 eta_h2 dphi deta`` or ``x_wt``. Masses and what is made of several features
            (``m_hh``, ``pt_hh``) have no closed form: fill a large draw, such as that of
            ``FourB(size=20).around(selection, "sr")`` with weight 0.05.
        edges
            Of the bins, increasing.
        area, selection, deta, top_veto
            As in `expected`.
        """
        chosen = self.selection if selection is None else selection
        m1, m2, weight = self._nodes(chosen, area)
        band, cut = _band(chosen, deta), chosen.x_wt if top_veto else 0.0
        total = np.zeros(np.size(edges))
        for one in self.years:
            below = one.features.below(name, np.asarray(edges, np.float64), m1, m2, band, cut)
            total += self.size * below @ (weight * one.plane.density(m1, m2))
        return np.diff(total)

    def _nodes(self, selection: FourBSelection, area: Area) -> tuple[Array, Array, Array]:
        extent = selection.extent(area)
        for (low, high), (start, stop) in zip(extent, self.limits, strict=True):
            if low < start or high > stop:
                raise ConfigError(f"'{area}' has masses in {extent} GeV, the sample in {self.limits}: widen its limits")
        return selection.nodes(area)

    # ---- densities ---------------------------------------------------------------------------------------------------

    def log_density(self, columns: Mapping[str, Any]) -> Array:
        """Return log dN/(dm₁ dm₂ dx) of the expected events of each row's year, x the six features, in GeV and rad.

        Integrated over all variables this is the expected number of the year.
        """
        return self._by_year(columns, self._log_density)

    def log_prob(self, columns: Mapping[str, Any]) -> Array:
        """Return log p(x | m₁, m₂, year) of each row, x = (pt_h1, pt_h2, eta_h1, eta_h2, dphi, x_wt)."""
        return self._by_year(columns, lambda one, rows: one.features.log_prob(rows))

    def ratio(self, other: FourB, columns: Mapping[str, Any]) -> Array:
        """Return the density of `other` over this one's at each row: weights that turn this sample into the other."""
        return np.asarray(np.exp(other.log_density(columns) - self.log_density(columns)))

    def _log_density(self, period: Year, rows: Mapping[str, Array]) -> Array:
        masses = self.size * period.plane.density(rows["m_h1"], rows["m_h2"])
        return np.asarray(np.log(masses) + period.features.log_prob(rows))

    def _by_year(self, columns: Mapping[str, Any], function: Any) -> Array:
        year = np.asarray(columns["year"])
        unknown = np.setdiff1d(year, [one.year for one in self.years])
        if unknown.size:
            raise ConfigError(f"year {unknown[0]} is none of {[one.year for one in self.years]}")
        found = np.empty(len(year))
        for one in self.years:
            rows = year == one.year
            found[rows] = function(one, {name: np.asarray(columns[name])[rows] for name in _VARIABLES})
        return found


_VARIABLES = ("m_h1", "m_h2", "pt_h1", "pt_h2", "eta_h1", "eta_h2", "dphi", "x_wt")


def _band(selection: FourBSelection, deta: Deta) -> tuple[float, float]:
    bands = {"near": (0.0, selection.deta), "far": (selection.deta, np.inf), "all": (0.0, np.inf)}
    if deta not in bands:
        raise ConfigError(f"deta = '{deta}' is none of {', '.join(bands)}")
    return bands[deta]


def _with_sum(columns: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    first = [columns[f"{name}_h1"] for name in ("pt", "eta")]
    second = [columns[f"{name}_h2"] for name in ("pt", "eta")]
    pt, _, _, mass = add((*first, 0.0, columns["m_h1"]), (*second, columns["dphi"], columns["m_h2"]))
    return columns | {"m_hh": mass, "pt_hh": pt}


def four_b(
    *,
    seed: int,
    size: float = 1.0,
    wide: bool = False,
    two_b: float = 0.0,
    three_b: float = 0.0,
    injected: float = 0.0,
    expected: float = 100.0,
) -> Mapping[str, Events]:
    """Return the samples of the search: ``data`` with four b-tagged jets, and simulated ``signal``.

    Parameters
    ----------
    seed
        Root of the random streams.
    size
        Factor on the yield of the data, see `FourB`.
    wide
        Whether the data reach over the boxes of all shifted regions, or over the nominal box only.
    two_b, three_b
        Factors on the yields of further samples ``two_b`` and ``three_b``; none of them at 0.
    injected
        Expected number of signal events among the data.
    expected
        Signal events that the simulation of 20 000 rows stands for.
    """

    def drawn(toy: FourB, sample: str) -> Events:
        return (toy if wide else toy.around(toy.selection)).draw(seed=seed, sample=sample)

    samples = {"data": drawn(FourB(size), "data")}
    for name, toy in (("two_b", FourB.two_b(two_b)), ("three_b", FourB.three_b(three_b))):
        if toy.size > 0.0:
            samples[name] = drawn(toy, name)
    if injected:
        samples["data"] += drawn(FourB.signal(injected), "injected").relabel("data")
    simulated = 20_000.0
    signal = FourB.signal(simulated).draw(seed=seed, sample="signal", weight=expected / simulated)
    return samples | {"signal": signal}
