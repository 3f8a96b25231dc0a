"""ABCD: the background of a region from three others and a transfer factor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ConfigError
from ..events import Events
from ..region import Region
from .transfer import Constant, Transfer, transfer_from_state

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["ABCD", "ABCDModel", "Counts", "Plane", "Slice", "counts", "nonclosure", "slices"]


@dataclass(frozen=True)
class ABCD:
    """Transfer factor from a control region, applied to the source rows: ``N_A = kappa N_B N_C / N_D``.

    In a channel of region R the four yields are A = R & target (wanted), B = R & source, C = control & target and
    D = control & source. The B rows stand for the background of A, each weighted with ``kappa tau``. The transfer
    factor ``tau = phi(x) . theta`` is fitted to C and D by ``sum_D w phi phi^T theta = sum_C w phi``: ``N_C / N_D`` for
    a constant, the same per bin for `Binned`, and an unbiased moment fit of a `Polynomial`. Signed weights are the
    subtraction of other processes: pass ``data - prompt``.

    Attributes
    ----------
    target
        One side of the first variable: which rows are the wanted ones (tight, opposite-sign, four b-tags).
    source
        The other side: the rows that are weighted (anti-tight, same-sign, two b-tags).
    control
        Where the transfer factor is measured: the other side of the second variable, or side bands.
    transfer
        `Constant`, `Binned` or `Polynomial`.
    kappa, kappa_error
        Non-closure factor ``N_A N_D / (N_B N_C)`` from simulation or a validation split (see `nonclosure`) and its
        uncertainty, a systematic of its own.

    Assumes
    -------
    - The two variables are independent for the background that is estimated, so that A/B = C/D (times kappa).
    - Everything else that populates B, C and D (prompt processes, signal) is subtracted, or negligible.
    - The transfer factor depends on the channel's axes only as `transfer` says.

    Fails when
    ----------
    - The variables are correlated in the background: measure it (`validation.dependence`) and close in sub-divided
      control regions (`Plane.validation`).
    - The events are a mixture of classes, each independent but with different means (fakes and reals): the mixture is
      correlated, and only closes once one class is subtracted.
    - B, C or D holds few events: the ratio is biased and not Gaussian below about 100 events, and undefined at none.
    - The signal leaks into B, C or D: the prediction absorbs it.

    Raises
    ------
    ConfigError
        If target and source may overlap, or kappa is not positive.

    References
    ----------
    L. Calic, "Data-driven background estimation" (toy and slides); W. Buttinger, "Background estimation with the ABCD
    method", 2018.

    Examples
    --------
    >>> from backdrop import Channel, Setup, estimate
    >>> from backdrop.synthetic import GaussianPlane
    >>> import hist
    >>> toy, plane = GaussianPlane(reals=0.0), Plane("x1", "x2", 1.0, 1.0)
    >>> channel = Channel("SR", plane.region, (hist.axis.Regular(1, 100, 200, name="m"),))
    >>> found = estimate(Setup(plane.abcd(), toy.draw(seed=1)), [channel], replicas=50, seed=1).total("SR")
    >>> bool(abs(found.value - toy.expected(1.0, 1.0)["A"]) < 3 * found.total)
    True
    """

    target: Region
    source: Region
    control: Region
    transfer: Transfer = Constant()
    kappa: float = 1.0
    kappa_error: float = 0.0

    def __post_init__(self) -> None:
        if not self.target.disjoint(self.source):
            raise ConfigError(
                f"ABCD: target '{self.target.name}' ({self.target.cut}) and source '{self.source.name}' "
                f"({self.source.cut}) may share rows; they must be two sides of one variable"
            )
        if not (self.kappa > 0 and self.kappa_error >= 0):
            raise ConfigError(f"ABCD: kappa must be positive, its error not negative: {self.kappa}, {self.kappa_error}")

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns read besides those of the regions."""
        return self.transfer.columns

    @property
    def training(self) -> Region:
        """The rows that fit reads: C and D."""
        return (self.control & self.target) | (self.control & self.source)

    def fit(self, events: Events, *, rng: np.random.Generator) -> ABCDModel:
        """Fit the transfer factor.

        Raises
        ------
        FitError
            If the denominator is empty (in a bin), so that the ratio is not defined.
        DataError
            If a control region holds no positive sum of weights, or a needed column is not finite.
        """
        return self.fit_members(events, events.weight[None, :], rngs=[rng])[0]

    def fit_members(
        self, events: Events, weights: Array, *, rngs: Sequence[np.random.Generator]
    ) -> tuple[ABCDModel, ...]:
        """Fit one transfer factor for each row of weights, shape (members, n)."""
        numerator, denominator = (
            events.with_columns({_ROW: np.arange(len(events))}).require(region, self.transfer.columns)
            for region in (self.control & self.target, self.control & self.source)
        )
        scale = self.transfer.scale(denominator)
        above, below = (self.transfer.basis(rows, scale) for rows in (numerator, denominator))
        moments = weights[:, numerator[_ROW]] @ above
        products = (below[:, :, None] * below[:, None, :]).reshape(len(below), -1)
        matrices = (weights[:, denominator[_ROW]] @ products).reshape(len(weights), above.shape[1], -1)
        theta = self.transfer.solve(matrices, moments, self.control & self.source)
        return tuple(ABCDModel(self.source, self.transfer, one * self.kappa, scale) for one in theta)

    def variations(self) -> Mapping[str, tuple[ABCD, ABCD]]:
        """Return the up and down settings of the non-closure factor."""
        if self.kappa_error == 0.0:
            return {}
        up, down = (replace(self, kappa=self.kappa + sign * self.kappa_error, kappa_error=0.0) for sign in (1, -1))
        return {"kappa": (up, down)}


_ROW = "__row"


@dataclass(frozen=True, eq=False)
class ABCDModel:
    """A fitted transfer factor: weights the rows of the source region.

    Attributes
    ----------
    reads
        The source rows.
    transfer
        The form of the transfer factor.
    theta
        Its coefficients, shape (k,), kappa included.
    scale
        Origin and unit of the transfer variable.
    """

    reads: Region
    transfer: Transfer
    theta: Array
    scale: tuple[float, float] = (0.0, 1.0)

    def factor(self, events: Events) -> Array:
        """Return the transfer factor of each row, shape (n,)."""
        return self.transfer.basis(events, self.scale) @ self.theta

    def factors(self, rows: Events, models: Sequence[ABCDModel]) -> Array:
        """Return the transfer factor of each row for models of one fit, shape (members, n)."""
        return np.stack([one.theta for one in models]) @ self.transfer.basis(rows, self.scale).T

    def predict(self, events: Events, region: Region) -> Events:
        """Return the source rows inside `region`, weighted with the transfer factor."""
        rows = events.select(region & self.reads)
        return rows.with_weight(rows.weight * self.factor(rows))

    def state(self) -> dict[str, Any]:
        """Return the model as plain values."""
        return {
            "reads": self.reads.name,
            "cut": self.reads.cut,
            "transfer": self.transfer.state(),
            "theta": self.theta,
            "scale": np.array(self.scale),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> ABCDModel:
        """Restore the model from :meth:`state`."""
        origin, unit = (float(value) for value in state["scale"])
        transfer = transfer_from_state(state["transfer"])
        return cls(Region(state["reads"], state["cut"]), transfer, state["theta"], (origin, unit))


@dataclass(frozen=True)
class Counts:
    """Yields of the four regions and the closed-form prediction with its error.

    ``error^2 / predicted^2 = sum over R = B, C, D of V_R / N_R^2 + (kappa_error / kappa)^2``, ``V_R`` the sum of
    squared weights.
    """

    yields: Mapping[str, float]
    variances: Mapping[str, float]
    predicted: float
    error: float


def counts(method: ABCD, region: Region, events: Events) -> Counts:
    """Count B, C and D for a channel region and predict A, in closed form (constant transfer factor).

    Raises
    ------
    DataError
        If one of them holds no positive sum of weights.
    """
    regions = {
        "B": region & method.source,
        "C": method.control & method.target,
        "D": method.control & method.source,
    }
    weights = {name: events.require(one).weight for name, one in regions.items()}
    yields = {name: float(weight.sum()) for name, weight in weights.items()}
    variances = {name: float((weight**2).sum()) for name, weight in weights.items()}
    predicted = method.kappa * yields["B"] * yields["C"] / yields["D"]
    relative = sum(variances[name] / yields[name] ** 2 for name in regions) + (method.kappa_error / method.kappa) ** 2
    return Counts(yields, variances, predicted, predicted * float(np.sqrt(relative)))


def nonclosure(method: ABCD, region: Region, events: Events) -> tuple[float, float]:
    """Measure ``kappa = N_A N_D / (N_B N_C)`` and its error on events whose target may be looked at.

    Examples
    --------
    >>> from backdrop.synthetic import GaussianPlane
    >>> plane = Plane("x1", "x2", 1.0, 1.0)
    >>> kappa, error = nonclosure(plane.abcd(), plane.region, GaussianPlane(reals=0.0).draw(seed=3))
    >>> bool(abs(kappa - 1.0) < 3 * error)
    True
    """
    found = counts(replace(method, kappa=1.0, kappa_error=0.0), region, events)
    seen = events.require(region & method.target).weight
    kappa = float(seen.sum()) / found.predicted
    relative = float((seen**2).sum() / seen.sum() ** 2) + (found.error / found.predicted) ** 2
    return kappa, kappa * float(np.sqrt(relative))


@dataclass(frozen=True)
class Plane:
    """Two variables and a threshold on each: A is above both, and below the maxima if there are any.

    Attributes
    ----------
    x, y
        Expressions of the cut language; write ``-iso`` for a variable that passes when it is low.
    x_cut, y_cut
        The thresholds.
    x_max, y_max
        Upper ends of A, for a plane that is a part of another one (see `validation`).
    """

    x: str
    y: str
    x_cut: float
    y_cut: float
    x_max: float | None = None
    y_max: float | None = None

    @property
    def region(self) -> Region:
        """The channel region: x above its threshold."""
        return Region(f"high {self.x}", _between(self.x, self.x_cut, self.x_max))

    def abcd(self, transfer: Transfer = Constant(), kappa: float = 1.0, kappa_error: float = 0.0) -> ABCD:
        """Return the method: y above its threshold is the target, y below the source, x below the control region."""
        target = Region(f"high {self.y}", _between(self.y, self.y_cut, self.y_max))
        source = Region(f"low {self.y}", _between(self.y, None, self.y_cut))
        control = Region(f"low {self.x}", _between(self.x, None, self.x_cut))
        return ABCD(target, source, control, transfer, kappa, kappa_error)

    def validation(self, *, x_cut: float | None = None, y_cut: float | None = None) -> Plane:
        """Return the plane one step away from the target: its A', B', C', D' divide the control regions.

        With `y_cut` below the plane's own threshold, B and D are divided there; with `x_cut`, C and D are.

        Raises
        ------
        ConfigError
            If not exactly one threshold is given, or it is not below the plane's.
        """
        if x_cut is not None and y_cut is None and x_cut < self.x_cut:
            return replace(self, x_cut=x_cut, x_max=self.x_cut)
        if y_cut is not None and x_cut is None and y_cut < self.y_cut:
            return replace(self, y_cut=y_cut, y_max=self.y_cut)
        raise ConfigError(
            f"give one threshold that divides control regions: x_cut below {self.x_cut} or y_cut below {self.y_cut}, "
            f"not x_cut={x_cut}, y_cut={y_cut}"
        )


def _between(expression: str, low: float | None, high: float | None) -> str:
    parts = [] if low is None else [f"({expression} > {low!r})"]
    parts += [] if high is None else [f"({expression} <= {high!r})"]
    return " & ".join(parts)


@dataclass(frozen=True)
class Slice:
    """One plane of a scan: observed and predicted yield, and the error of their difference."""

    plane: Plane
    observed: float
    predicted: float
    error: float

    @property
    def pull(self) -> float:
        """(observed - predicted) / error."""
        return (self.observed - self.predicted) / self.error


def slices(planes: Sequence[Plane], events: Events) -> list[Slice]:
    """Predict and compare at every plane of a threshold scan ("slicing").

    Planes from `Plane.validation` leave the target of the analysis alone; planes whose own thresholds move are for
    simulation, or data whose target is open.

    Raises
    ------
    BlindedError
        If a plane's target may be sealed.
    """
    return [_slice(plane, events) for plane in planes]


def _slice(plane: Plane, events: Events) -> Slice:
    method = plane.abcd()
    found, seen = counts(method, plane.region, events), events.select(plane.region & method.target).weight
    return Slice(plane, float(seen.sum()), found.predicted, float(np.hypot(found.error, np.sqrt((seen**2).sum()))))
