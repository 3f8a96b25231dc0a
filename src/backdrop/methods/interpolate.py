"""Interpolation into a blinded region: a Gaussian process for the plane, a conditional flow for the rest."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..channel import Channel
from ..errors import ConfigError, CutError, nearest
from ..events import Events, bootstrap_counts
from ..io import Derived, check_drawn
from ..learn.conditional import Conditional, Given
from ..learn.flow import Flow
from ..learn.gp import GaussianProcess
from ..learn.log_gp import LogGaussianProcess
from ..learn.members import spread_factor
from ..learn.plane import box, fit_plane
from ..learn.positive import Positive
from ..learn.scale import Feature, Scale
from ..learn.train import Training, fit_flows
from ..region import Region
from ..tasks import checkpoint, named_seed, report, stream
from .interpolate_model import MEMBER, InterpolateModel, check_inside

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["Interpolate", "InterpolateModel"]

_TOGETHER = 2
"""How many members are trained on one resample."""

_MOST_BINS = 4096


@dataclass(frozen=True)
class Interpolate:
    """Events drawn from a Gaussian process of the plane times a conditional flow, both trained outside a blind region.

    ``p(x, m) = p(x | m) p(m)``: the conditioning variables m (the two masses of a pair, or one mass) are binned in a
    box, and a Gaussian process of the yields bridges the bins that the blind region touches; the features x are drawn
    from normalising flows that know m, and interpolate as well. The yield in a region is
    ``N_samples(region) N_observed(open) / N_samples(open)`` for each category, open being the box outside of the blind
    region. Derived variables follow, then the cuts of any region, those that were not applied in training among them.
    Signed weights are the subtraction of other processes (pass ``data - prompt``): the Gaussian process fits the signed
    yields, the flows see positive weights of the same expectation (`Positive`).

    The statistical uncertainty has three independent blocks, all of them the same draws with other weights. ``gp``:
    draws of the plane from its posterior, each normalised to the observed yield. ``number``: that yield, fluctuated.
    ``flow``: the densities of the members, see `error`.

    Attributes
    ----------
    target
        The rows that the background stands for (a tag, and what else the training needs).
    axes
        The conditioning variables, binned; their ranges are the box.
    blind
        The region of the conditioning variables that nothing is trained in.
    features
        The other variables, each with a transform that makes it easy to learn.
    derived
        Name to expression of the cut language: four-vectors and composite variables of the drawn events.
    category
        A column of few values, such as the year: one Gaussian process each, and a condition of the flow.
    within
        Where the sample is complete, in the conditioning variables: bins that reach beyond are not fitted, and nothing
        is drawn there.
    process
        The Gaussian process: of the logarithm of the rate with Poisson counts, or (the reference) of the counts.
    flow
        The shape of the flows.
    train
        How they are trained.
    positive
        How signed weights become positive.
    members
        How many flows are trained, in one process; their average is the estimate.
    error
        The block ``flow``. ``bootstrap``: every two members are trained on a resample of the events of their own, and
        judged by those that it left out. Two of one resample differ by the randomness of a training alone, so that the
        block is the statistics of the events, and of the randomness what the mean of all members keeps. ``seed``: all
        members see the same events, and the block is spread / sqrt(members), the randomness alone. ``spread``: the same
        with the whole spread, the error bar of the reference. ``none``: no block.
    planes
        How many draws from the posterior of the plane make the block ``gp``, and numbers the block ``number``; 0 for
        neither.
    draws
        How many points of the plane are drawn for each category; each member draws its features for all of them.
    device
        Where the flows are trained: ``cpu``, ``cuda``, or ``cuda:1``.

    Assumes
    -------
    - The yields vary smoothly across the plane, over lengths greater than the blind region.
    - The features vary smoothly with the conditioning variables, given the category.
    - What is observed outside of the blind region is background.

    Fails when
    ----------
    - A peak, an edge or a turn-on lies in the blind region.
    - A feature knows the blind region sharply: one that is a cut on the conditioning variables in disguise.
    - The box is hardly larger than the blind region, so that the plane is extrapolated.
    - A cut before the training carves the plane; apply it to the drawn events instead.
    - A cut before the training ends features along a line across several of them; make it the bound of one.

    Raises
    ------
    ConfigError
        If a setting contradicts another, or the blind region reads what is no conditioning variable.

    References
    ----------
    "Generative models for data-driven background modeling", thesis chapter 13: equations 13.1, 13.6 to 13.9 and 13.12.
    C. Durkan et al., "Neural spline flows", arXiv:1906.04032.
    """

    target: Region
    axes: tuple[Any, ...]
    blind: Region
    features: tuple[Feature, ...]
    derived: Mapping[str, str] = field(default_factory=dict)
    category: str | None = None
    within: Region = field(default_factory=Region.everything)
    process: GaussianProcess | LogGaussianProcess = field(default_factory=LogGaussianProcess)
    flow: Flow = field(default_factory=Flow)
    train: Training = field(default_factory=Training)
    positive: Positive = field(default_factory=Positive)
    members: int = 25
    error: Literal["bootstrap", "seed", "spread", "none"] = "bootstrap"
    planes: int = 100
    draws: int = 100_000
    device: str = "cpu"

    def __post_init__(self) -> None:
        names = [axis.name for axis in self.axes]
        if not names or len(set(names)) < len(names):
            raise ConfigError(f"Interpolate needs conditioning variables of different names: {', '.join(names)}")
        for what, region in (("blind", self.blind), ("within", self.within)):
            if unknown := region.columns - set(names):
                raise ConfigError(
                    f"the region '{region.name}' ({what}) reads '{min(unknown)}', which is no conditioning variable; "
                    f"it may read {', '.join(names)}"
                )
        self._check_numbers()
        known = [*names, MEMBER, *([self.category] if self.category else [])]
        for one in self.features:
            if one.name in known:
                raise ConfigError(f"feature '{one.name}' is a condition, the category or another column already")
            known.append(one.name)
        if not self.features:
            raise ConfigError("Interpolate needs at least one feature besides the conditioning variables")
        check_drawn(self.derived, known)

    def _check_numbers(self) -> None:
        least = {"none": 1, "bootstrap": 3}.get(self.error, 2)
        if self.members < least:
            raise ConfigError(
                f"members = {self.members}: train at least {least} where the uncertainty of the flows is "
                f"'{self.error}' (bootstrap 3, seed and spread 2, none 1)"
            )
        if self.planes == 1 or self.planes < 0:
            raise ConfigError(f"planes = {self.planes}: one draw has no spread; ask for 0, or for 2 or more")
        if (bins := math.prod(len(axis) for axis in self.axes)) > _MOST_BINS:
            raise ConfigError(
                f"axes have {bins} bins in all, of which a Gaussian process takes the square in memory and the cube in "
                f"time; give at most {_MOST_BINS}: some hundreds are quick"
            )
        if self.draws < 1:
            raise ConfigError(f"draws = {self.draws}; draw at least one point of the plane")
        if not re.fullmatch(r"cpu|cuda(:\d+)?", self.device):
            raise ConfigError(f"device = '{self.device}': write cpu, cuda, or cuda:1 for the second of several")

    @property
    def training(self) -> Region:
        """The open rows: target rows in the box, outside of the blind region."""
        found = self.target & box(self.axes) & ~self.blind
        found = found if self.within.cut == "true" else found & self.within
        return Region("training", found.cut)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that fit reads besides those of its regions."""
        names = [axis.name for axis in self.axes] + [one.name for one in self.features]
        return (*names, *([self.category] if self.category else []))

    def check_channel(self, channel: Channel) -> None:
        """Check, before the training, that a channel is one of drawn events.

        Raises
        ------
        CutError
            If it reads what is neither drawn nor derived, or reaches beyond the box.
        """
        category = (self.category,) if self.category else ()
        features = (*(one.name for one in self.features), MEMBER, *category)
        known = (*(axis.name for axis in self.axes), *features, *self.derived)
        for column in sorted(channel.columns - set(known)):
            raise CutError(
                f"channel '{channel.name}' reads '{column}', which is neither drawn nor derived"
                f"{nearest(column, known)}; there is {', '.join(known)}"
            )
        check_inside(channel.region, self.axes, features, tuple(Derived(*one) for one in self.derived.items()))

    def fit(self, events: Events, *, rng: np.random.Generator) -> InterpolateModel:
        """Fit the Gaussian processes and train the flows.

        Raises
        ------
        DataError
            If no open row is left, or a column is not finite there.
        FitError
            If signed weights are negative beyond noise, or every training failed.
        """
        seed = int(rng.integers(2**63))
        rows = events.require(self.training, self.columns)
        plane = fit_plane(rows, self.axes, self.category, self.blind, self.within, self.process, stream(seed, "plane"))
        kinds, _ = plane.index(rows.columns)
        number = np.bincount(kinds, rows.weight, len(plane.values)).astype(float)
        error = np.sqrt(np.bincount(kinds, rows.weight**2, len(plane.values)))
        seeds = [named_seed(seed, "flow", member) for member in range(self.members)]
        weight, weights, held_out, notes = self._weights(rows, seeds, named_seed(seed, "positive"))
        scale = Scale.fit(self.features, rows.columns, weight)
        conditions = Scale.fit(tuple(Feature(axis.name) for axis in self.axes), rows.columns, weight)
        given = Given(conditions, plane.category, plane.values)
        values, _ = scale.forward(rows.columns)
        flows = fit_flows(
            values, given(rows.columns), weights, rows.key, flow=self.flow,
            training=self.train, seeds=seeds, held_out=held_out, device=self.device, checkpoint=checkpoint("flows"),
            progress=partial(report, "training flows"),
        )  # fmt: skip
        model = InterpolateModel(
            plane, Conditional(scale, given, flows), number, error, dict(self.derived), 0.0, self.planes, self.draws,
            seed, notes, self.blind, self.within,
        )  # fmt: skip
        return replace(model, spread=self._spread(model, seeds))

    def _spread(self, model: InterpolateModel, seeds: Sequence[int]) -> float:
        """Return the error of the members' mean in units of their spread."""
        members = len(model.features)
        if self.error == "bootstrap" and members > 1:
            resamples = [seeds.index(one) // _TOGETHER for one in model.features.flows.seeds]
            return spread_factor(model.compared(), resamples) if len(set(resamples)) > 1 else 1.0
        return {"none": 0.0, "seed": 1.0 / math.sqrt(members)}.get(self.error, 1.0)

    def _weights(
        self, rows: Events, seeds: Sequence[int], seed: int
    ) -> tuple[Array, Array, Array | None, tuple[str, ...]]:
        """Return weights that are not negative, those of each member and of what it is judged by, and what to say."""
        again, resamples = self.error == "bootstrap", seeds[::_TOGETHER]
        counts = bootstrap_counts(rows.key, resamples) if again else np.ones((len(resamples), 1), np.uint8)
        whole, made = rows.weight, rows.weight * counts
        notes: tuple[str, ...] = ()
        if (rows.weight < 0.0).any():
            whole, made, notes = self._positive(rows, counts, resamples, seed)
        every = np.arange(len(seeds)) // _TOGETHER
        return whole, made[every], (whole * (counts == 0))[every] if again else None, notes

    def _positive(
        self, rows: Events, counts: NDArray[np.uint8], resamples: Sequence[int], seed: int
    ) -> tuple[Array, Array, tuple[str, ...]]:
        """Return positive weights of the events and of their resamples, and what to say of them."""
        columns = np.stack([np.asarray(rows[name], float) for name in self.columns], axis=1)
        found = self.positive.fit(columns, rows.weight, rows.key, seed=seed, names=self.columns)
        if self.error != "bootstrap":
            return found.weights, found.weights * counts, found.warnings
        made = self.positive.fit_members(columns, rows.weight * counts, rows.key, seeds=resamples, nominal=found)
        return found.weights, np.stack([one.weights for one in made]), found.warnings
