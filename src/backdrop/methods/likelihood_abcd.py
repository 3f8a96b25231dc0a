"""Likelihood ABCD: the counts of all regions as one Poisson model, with the relation of their yields inside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..channel import Channel
from ..errors import ConfigError, DataError
from ..estimate.result import Estimate
from ..estimate.terms import Terms
from ..events import Events
from ..learn.exact import Ratio
from ..region import Region
from .sheet import CountFit, Sheet
from .transfer import Binned, Chebyshev, Constant, transfer_from_state

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["LikelihoodABCD", "LikelihoodABCDModel", "exact_interval"]


@dataclass(frozen=True)
class LikelihoodABCD:
    """Poisson likelihood of all regions, ``prod Pois(n_R | b_R + p_R)``, with ``b_A = kappa b_B b_C / b_D``.

    In a channel of region R the regions are A = R & target (wanted), B = R & source, C = control & target and
    D = control & source. The expected background is a product of free factors: ``b_B,i = beta_i`` in each bin of the
    channel, ``b_D = gamma``, ``b_C = gamma tau``, ``b_A,i = kappa beta_i tau``. Rows of `observed` are counted; those
    of every other sample are the expected other processes ``p_R``, taken from data as in ``data - prompt``, with the
    statistical uncertainty of the simulation in each bin.

    Two answers follow. `estimate` gives the background-only prediction from B, C and D, its uncertainty from the
    profile likelihood along the eigen-directions of its covariance. `terms` gives the relation itself to a workspace:
    the counts of B, C and D become channels of the fit, in which a signal may be anywhere.

    Attributes
    ----------
    target
        One side of the first variable: which rows are the wanted ones.
    source
        Its other side.
    control
        The other side of the second variable.
    transfer
        `Constant`; `Binned`: one factor for each bin of an axis; `Chebyshev`: the same, smooth along the axis. The axis
        must be one of each channel's, with edges at the channel's own.
    farther
        A second control region, one more step away from the channels. With it, two variables may be correlated: the
        transfer factor changes by one factor per step, ``tau_R / tau_control = tau_control / tau_farther``.
    observed
        The sample whose rows are counts.
    kappa, kappa_error
        Non-closure factor and its uncertainty, a systematic of its own.

    Assumes
    -------
    - The two variables are independent for the background (times kappa), or with `farther` their correlation is the
      same from step to step.
    - Rows of the observed sample are independent counts: unit weights, or weights of about one size.
    - Other processes are simulated with the right yields.

    Fails when
    ----------
    - The variables are correlated, or classes of different means are mixed: closure fails as for the counting form.
    - D is empty, in all or in one bin of a `Binned` transfer factor: nothing bounds the ratio.
    - Counts are below about 50: profile likelihood intervals cover less or more than they say; `exact_interval` gives
      better ones.
    - A signal is in B, C or D and the estimate alone is used: put the signal into the workspace instead.

    Raises
    ------
    ConfigError
        If target and source, or control and farther, may overlap, or kappa is not positive.

    References
    ----------
    W. Buttinger, "Background estimation with the ABCD method", 2018. S. Choi and H. Oh, arXiv:1906.10831 (six regions).
    ATLAS, arXiv:1605.09318 (likelihood with signal in all regions).

    Examples
    --------
    >>> import hist
    >>> from backdrop import Channel, Region, Setup, estimate
    >>> from backdrop.synthetic import GaussianPlane
    >>> toy = GaussianPlane(reals=0.0)
    >>> tight, loose = Region("tight", "x2 > 1"), Region("loose", "x2 <= 1")
    >>> method = LikelihoodABCD(tight, loose, Region("low x1", "x1 <= 1"))
    >>> channel = Channel("SR", Region("high x1", "x1 > 1"), (hist.axis.Regular(1, 100, 200, name="m"),))
    >>> found = estimate(Setup(method, toy.draw(seed=1)), [channel], seed=1).total("SR")
    >>> bool(abs(found.value - toy.expected(1.0, 1.0)["A"]) < 3 * found.total)
    True
    """

    target: Region
    source: Region
    control: Region
    transfer: Constant | Binned | Chebyshev = Constant()
    farther: Region | None = None
    observed: str = "data"
    kappa: float = 1.0
    kappa_error: float = 0.0

    def __post_init__(self) -> None:
        pairs = [("target", self.target, "source", self.source)]
        pairs += [] if self.farther is None else [("control", self.control, "farther", self.farther)]
        for one, first, other, second in pairs:
            if not first.disjoint(second):
                raise ConfigError(
                    f"likelihood_abcd: {one} '{first.name}' ({first.cut}) and {other} '{second.name}' ({second.cut}) "
                    "may share rows; they must be two sides of one variable"
                )
        if not (self.kappa > 0 and self.kappa_error >= 0):
            raise ConfigError(
                f"likelihood_abcd: kappa must be positive, its error not negative: {self.kappa}, {self.kappa_error}"
            )

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns read besides those of the regions."""
        return self.transfer.columns

    @property
    def training(self) -> Region:
        """The rows that fit reads: the control regions."""
        found = (self.control & self.target) | (self.control & self.source)
        return found if self.farther is None else found | (self.farther & self.target) | (self.farther & self.source)

    def fit(self, events: Events, *, rng: np.random.Generator) -> LikelihoodABCDModel:
        """Fit the transfer factor to the control regions.

        Raises
        ------
        DataError
            If there is no such observed sample, another one has positive weights, or a column is not finite.
        FitError
            If a region that the ratio divides by is empty.
        """
        return LikelihoodABCDModel(self, CountFit.of(self, events, ()).factors())

    def variations(self) -> Mapping[str, tuple[LikelihoodABCD, LikelihoodABCD]]:
        """Return the up and down settings of the non-closure factor."""
        if self.kappa_error == 0.0:
            return {}
        up, down = (replace(self, kappa=self.kappa + sign * self.kappa_error, kappa_error=0.0) for sign in (1, -1))
        return {"kappa": (up, down)}


@dataclass(frozen=True, eq=False)
class LikelihoodABCDModel:
    """A fitted likelihood ABCD: the settings, and the transfer factor of each bin of its axis (kappa included).

    Attributes
    ----------
    method
        The settings.
    factor
        Transfer factors, shape (transfer bins,).
    """

    method: LikelihoodABCD
    factor: Array

    @property
    def reads(self) -> Region:
        """The source rows."""
        return self.method.source

    def predict(self, events: Events, region: Region) -> Events:
        """Return the source rows inside `region`, weighted with the transfer factor."""
        rows = events.select(region & self.reads)
        return rows.with_weight(rows.weight * self._factors(rows))

    def _factors(self, rows: Events) -> Array:
        transfer = self.method.transfer
        if isinstance(transfer, Constant):
            return np.full(len(rows), self.factor[0])
        bins = np.asarray(transfer.axis.index(np.asarray(rows[transfer.axis.name])))
        inside = (bins >= 0) & (bins < len(self.factor))
        return np.where(inside, self.factor[np.where(inside, bins, 0)], 0.0)

    def bins(self, events: Events, channels: Sequence[Channel]) -> Estimate:
        """Return the background-only prediction from B, C and D, with its profile likelihood uncertainty.

        Raises
        ------
        DataError
            If another process is expected to be negative in a bin, or the observed weights are not positive.
        FitError
            If a region that the ratio divides by is empty.
        """
        found = CountFit.of(self.method, events, channels)
        nominal = found.wanted(found.best)
        sides = {f"counts_{i}": pair for i, pair in enumerate(found.uncertainties(), start=1)}
        return Estimate(tuple(channels), nominal, np.zeros_like(nominal), {}, sides, counted=frozenset(sides))

    def terms(self, events: Events, channels: Sequence[Channel]) -> Terms:
        """Return the relation, the counts of B, C and D, and the other processes, for a workspace.

        Raises
        ------
        DataError
            If the observed sample has weights: a likelihood needs counts.
        """
        return CountFit.of(self.method, events, channels).terms()

    def state(self) -> dict[str, Any]:
        """Return the model as plain values."""
        given = self.method
        regions = {"target": given.target, "source": given.source, "control": given.control, "farther": given.farther}
        return {
            "regions": {role: [one.name, one.cut] for role, one in regions.items() if one is not None},
            "transfer": given.transfer.state(),
            "observed": given.observed,
            "kappa": [given.kappa, given.kappa_error],
            "factor": self.factor,
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> LikelihoodABCDModel:
        """Restore the model from :meth:`state`."""
        regions = {role: Region(*pair) for role, pair in state["regions"].items()}
        transfer: Any = transfer_from_state(state["transfer"])
        kappa, error = (float(one) for one in state["kappa"])
        method = LikelihoodABCD(
            **regions, transfer=transfer, observed=state["observed"], kappa=kappa, kappa_error=error
        )
        return cls(method, np.asarray(state["factor"]))


def exact_interval(
    method: LikelihoodABCD, region: Region, events: Events, *, level: float = 0.6827, toys: int = 4000, seed: int = 1
) -> tuple[float, float]:
    """Return the interval of the yield in a channel region from toys, for counts below about 50.

    It is that of the counts alone: a constant transfer factor, no other processes. Where those matter, fit the terms
    and ask for the interval of the signal strength (`backdrop.inference.Toys`).

    Raises
    ------
    ConfigError
        If the method has another transfer factor, or a second control region.
    DataError
        If other processes are expected, the rows have weights, or D is empty.

    Examples
    --------
    >>> from backdrop.synthetic import GaussianPlane
    >>> tight, loose = Region("tight", "x2 > 1"), Region("loose", "x2 <= 1")
    >>> method = LikelihoodABCD(tight, loose, Region("low x1", "x1 <= 1"))
    >>> few = GaussianPlane(fakes=100, reals=0).draw(seed=1)
    >>> low, high = exact_interval(method, Region("high x1", "x1 > 1"), few, toys=1000)
    >>> 0 < low < high
    True
    """
    if not isinstance(method.transfer, Constant) or method.farther is not None:
        raise ConfigError("exact intervals are those of four regions with one constant transfer factor")
    sheet = Sheet.of(method, events, [Channel("wanted", region)])
    (source,), ((target, below),) = sheet.sources, sheet.rows
    counted = (source, target, below)
    if any(one.others.any() for one in counted):
        raise DataError("exact intervals take no other processes; fit the terms and use backdrop.inference.Toys")
    b, c, d = (float(one.observed[0]) for one in counted)
    low, high = Ratio(b, c, d, toys, seed).interval(level)
    return method.kappa * low, method.kappa * high
