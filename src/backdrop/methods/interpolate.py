"""Interpolation into a blinded region: a Gaussian process for the plane, a conditional flow for the rest."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from ..channel import Channel
from ..errors import ConfigError, CutError, nearest
from ..events import Events, bootstrap_counts, event_keys
from ..io import Composite, Derived, check_drawn
from ..learn.conditional import Conditional, Given
from ..learn.flow import Flow, Flows
from ..learn.gp import GaussianProcess
from ..learn.log_gp import LogGaussianProcess
from ..learn.members import spread_factor
from ..learn.pictures import LayersPicture, PairsPicture, Pictures, PlanePicture
from ..learn.plane import Plane, around, box, fit_plane
from ..learn.positive import Positive
from ..learn.scale import Feature, Scale
from ..learn.train import Training, fit_flows
from ..region import Region
from ..tasks import checkpoint, named_seed, report, stream

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["Interpolate", "InterpolateModel"]

SAMPLE = "interpolation"
MEMBER = "member"
"""The column that says which flow drew a row."""

_TOGETHER = 2
"""How many members are trained on one resample."""

_BLOCK = 1 << 16

_SHOWN = 20_000
"""How many drawn events are in a picture."""

_COMPARED = 20_000
"""How many drawn events members are compared on."""


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
        _check_inside(channel.region, self.axes, features, tuple(Derived(*one) for one in self.derived.items()))

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


@dataclass(frozen=True, eq=False)
class InterpolateModel:
    """A fitted plane and trained flows: draws events, the same ones each time.

    Attributes
    ----------
    plane
        The Gaussian processes.
    features
        The features given the conditioning variables, as trained flows know them.
    number, error
        The observed yield of the open rows and its statistical error, for each category.
    derived
        Name to expression.
    spread
        The error of the members' mean in units of their spread; 0 for no block ``flow``.
    planes
        How many posterior draws.
    draws
        How many points for each category.
    seed
        Of all streams.
    notes
        What the fit has to say.
    blind, within
        Regions of the conditioning variables: what was not trained in, and where the sample is complete.
    shares
        The part that each member has in the density of the features, of sum one; None for equal ones.
    yields
        The yield that a drawn point of each bin stands for, shape (categories, bins); None for the observed one.
    """

    plane: Plane
    features: Conditional
    number: Array
    error: Array
    derived: Mapping[str, str] = field(default_factory=dict)
    spread: float = 1.0
    planes: int = 100
    draws: int = 100_000
    seed: int = 0
    notes: tuple[str, ...] = ()
    blind: Region = field(default_factory=Region.everything)
    within: Region = field(default_factory=Region.everything)
    shares: Array | None = None
    yields: Array | None = None

    reads: ClassVar[None] = None

    def predict(self, events: Events, region: Region) -> Events:
        """Return the drawn events inside `region`; the events given are not looked at.

        Raises
        ------
        CutError
            If the region reads what is neither drawn nor derived, or reaches beyond the box.
        """
        parts = [rows.with_weight(self.factors(rows, [self])[0]) for rows in self.drawn(region)]
        columns = {name: np.concatenate([part[name] for part in parts]) for name in self._stored(region)}
        weight, key = (np.concatenate([getattr(part, name) for part in parts]) for name in ("weight", "key"))
        return self._events(columns, weight, key)

    def drawn(self, region: Region) -> Iterator[Events]:
        """Yield the events drawn inside `region`, each of weight one, part by part.

        Of the points of the plane only those get features that may be in the region, as the cut on what is known of
        them says; an event is the same whatever the region.
        """
        _check_inside(region, self.plane.axes, self._unknown, self._derived)
        columns, bins = self._points
        names = self._stored(region)
        for number, first in enumerate(range(0, len(bins), self._block)):
            known = {name: values[first : first + self._block] for name, values in columns.items()}
            index = np.flatnonzero(
                self.within.mask(known) & region.possible(_with_unknown(known, self._unknown, self._derived))
            )
            drawn = self._features({name: values[index] for name, values in known.items()}, index, number)
            composite = Composite(drawn, self._derived)
            inside = np.flatnonzero(region.mask(composite))
            member = np.asarray(drawn[MEMBER])[inside]
            rows = np.tile(first + index, len(self.features))[inside]
            kept = {name: composite[name][inside] for name in names}
            yield self._events(kept, np.ones(len(inside)), event_keys(SAMPLE, member, rows))

    def factors(self, rows: Events, models: Sequence[InterpolateModel]) -> Array:
        """Return the weight that each model gives to rows of :meth:`drawn`, shape (models, n).

        A model with shares of its own weighs a row by how probable the members make it, whichever of them drew it: the
        noise of each member's draws is no difference between members.
        """
        kinds, bins = self.plane.index(rows.columns)
        found = np.stack([one._yields[kinds, bins] for one in models])
        found /= len(self.features)
        mixed = [one.shares is not None for one in models]
        if any(mixed):
            shares = np.stack([one.shares for one in models if one.shares is not None])
            found[mixed] *= (len(self.features) * shares) @ self.features.odds(rows.columns, rows[MEMBER])
        return found

    @property
    def replicas(self) -> Mapping[str, tuple[InterpolateModel, ...]]:
        """The independent blocks of the statistical uncertainty, as the same draws with other weights."""
        found: dict[str, tuple[InterpolateModel, ...]] = {}
        if self.planes:
            rng = stream(self.seed, "posterior")
            drawn = self.plane.posterior(self.planes, rng)
            density = self.plane.density
            ratio = np.divide(drawn, density, out=np.zeros_like(drawn), where=density > 0.0)
            open_yield = (ratio * self._open).sum(axis=2)
            found["gp"] = tuple(
                replace(self, yields=one * (self.number / total)[:, None])
                for one, total in zip(ratio, open_yield, strict=True)
            )
            numbers = self.number + self.error * rng.standard_normal((self.planes, len(self.number)))
            found["number"] = tuple(replace(self, yields=self._flat(one)) for one in numbers)
        count = len(self.features)
        if self.spread > 0.0 and count > 1:
            shares = 1.0 / count + self.spread * (np.eye(count) - 1.0 / count)
            # with the yields of this model, which each would find by drawing the plane again
            found["flow"] = tuple(replace(self, shares=one, yields=self._yields) for one in shares)
        return found

    @property
    def warnings(self) -> tuple[str, ...]:
        """What must be heeded: of the Gaussian processes, of the trainings, and of signed weights."""
        texts = [*self.notes, *self.plane.warnings]
        if failed := len(self.features.flows.failed):
            texts.append(
                f"{failed} of {failed + len(self.features)} flows could not be trained and are left out; lower the "
                "learning rate"
            )
        return tuple(texts)

    @property
    def shown(self) -> Region:
        """The box, as far as the sample is complete there."""
        whole = box(self.plane.axes)
        return whole if self.within.cut == "true" else whole & self.within

    def pictures(self, rows: Events, sealed: Sequence[Region]) -> Pictures:
        """Return the plane, the layers of the first flow, and its features in pairs.

        The features are those of the blind region where its rows are open, of the training elsewhere.
        """
        known = all(self.blind.disjoint(one) for one in sealed)
        where = self.blind if known else ~self.blind
        steps = self._steps(where)
        values, weight = self.features.scale.standardised(rows, where)
        features = tuple(one.transform.text(one.name) for one in self.features.scale.features)
        return Pictures(
            PlanePicture.of(self.plane, rows, (~self.within, *sealed)),
            LayersPicture.of(features, steps),
            PairsPicture.of(features, self.blind.name if known else "training", values, weight, steps[-1]),
        )

    def compared(self) -> Array:
        """Return what each member draws in bins of each feature, in the blind region, shape (members, bins)."""
        columns, _ = self._points
        blind = np.flatnonzero(self.blind.mask(columns) & self.within.mask(columns))
        rows = blind if len(blind) >= _COMPARED // 10 else np.arange(len(columns[self.plane.axes[0].name]))
        rows = stream(self.seed, "compared").choice(rows, min(_COMPARED, len(rows)), replace=False)
        return self.features.compared({name: values[rows] for name, values in columns.items()}, seed=self.seed)

    def _steps(self, region: Region) -> list[NDArray[np.float32]]:
        """Return what the first flow draws in a region after each layer, standardised."""
        columns, bins = self._points
        inside = np.flatnonzero(region.mask(columns) & self.within.mask(columns))
        weight = self._yields[self.plane.index(columns)[0], bins][inside]
        rng = stream(self.seed, "pictures")
        chosen = rng.choice(inside, _SHOWN, p=weight / weight.sum()) if len(inside) else inside
        known = self.features.given({name: values[chosen] for name, values in columns.items()})
        return self.features.flows.layers(known, seed=self.seed)

    def state(self) -> dict[str, Any]:
        """Return the model as plain values."""
        return {
            "plane": self.plane.state(),
            "conditions": self.features.given.scale.state(),
            "scale": self.features.scale.state(),
            "flows": self.features.flows.state(),
            "number": self.number,
            "error": self.error,
            "derived": [[name, text] for name, text in self.derived.items()],
            "spread": self.spread,
            "planes": self.planes,
            "draws": self.draws,
            "seed": self.seed,
            "notes": list(self.notes),
            "regions": [[one.name, one.cut] for one in (self.blind, self.within)],
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> InterpolateModel:
        """Restore the model from :meth:`state`."""
        blind, within = (Region(*one) for one in state["regions"])
        plane = Plane.from_state(state["plane"])
        given = Given(Scale.from_state(state["conditions"]), plane.category, plane.values)
        return cls(
            plane,
            Conditional(Scale.from_state(state["scale"]), given, Flows.from_state(state["flows"])),
            np.asarray(state["number"], float),
            np.asarray(state["error"], float),
            dict(state["derived"]),
            float(state["spread"]),
            int(state["planes"]),
            int(state["draws"]),
            int(state["seed"]),
            tuple(state["notes"]),
            blind,
            within,
        )

    @cached_property
    def _derived(self) -> tuple[Derived, ...]:
        return tuple(Derived(name, text) for name, text in self.derived.items())

    @cached_property
    def _points(self) -> tuple[dict[str, Array], NDArray[np.int64]]:
        return self.plane.draw(self.draws, stream(self.seed, "points"))

    @cached_property
    def _open(self) -> Array:
        """How many points are in the open part of each bin, shape (categories, bins)."""
        columns, bins = self._points
        inside = self.within.mask(columns) & (~self.blind).mask(columns)
        kinds, size = np.repeat(np.arange(len(self.number)), self.draws), self.plane.density.shape[1]
        counts = np.bincount((kinds * size + bins)[inside], minlength=len(self.number) * size)
        found = counts.reshape(len(self.number), size).astype(float)
        if not found.any(axis=1).all():
            raise ConfigError(
                f"draws = {self.draws}: of a category no point is drawn outside of '{self.blind.name}', so nothing "
                "normalises it to what is observed there; draw more"
            )
        return found

    def _flat(self, number: Array) -> Array:
        """Return the yield of a point where the open ones stand for `number` of each category."""
        each = number / self._open.sum(axis=1)
        return np.broadcast_to(each[:, None], self.plane.density.shape)

    @cached_property
    def _yields(self) -> Array:
        return self._flat(self.number) if self.yields is None else self.yields

    @property
    def _block(self) -> int:
        return max(_BLOCK // len(self.features), 1)

    @property
    def _unknown(self) -> tuple[str, ...]:
        """The columns that a point of the plane does not have, or not always."""
        return (*self.features.names, MEMBER, *self.features.given.names)

    def _features(self, known: Mapping[str, Any], index: NDArray[np.int64], block: int) -> dict[str, Any]:
        """Return the columns of some points of a block, as every member draws them one after another."""
        members, size = len(self.features), len(self.features.names)
        noise = stream(self.seed, "noise", block).standard_normal((members, self._block, size), dtype=np.float32)
        columns = {name: np.tile(one, members) for name, one in known.items()}
        member = np.repeat(np.arange(members), len(index))
        return {**columns, MEMBER: member, **self.features.drawn(noise[:, index], known)}

    def _stored(self, region: Region) -> list[str]:
        """Return what is kept of the rows in a region; what else is derived comes back where it is asked for."""
        return [
            *self.features.given.names,
            *self.features.names,
            MEMBER,
            *(name for name in self.derived if name in region.columns),
        ]

    def _events(self, columns: Mapping[str, Any], weight: Array, key: NDArray[np.uint64]) -> Events:
        composite = Composite(columns, self._derived)
        return Events(composite, weight, np.zeros(len(key), np.int16), (SAMPLE,), key)


def _check_inside(region: Region, axes: Sequence[Any], unknown: Sequence[str], derived: tuple[Derived, ...]) -> None:
    """Raise a CutError if a region may hold events outside of the box, as its cut says."""
    if region.possible(_with_unknown(around(axes), unknown, derived)).any():
        raise CutError(
            f"region '{region.name}' ({region.cut}) reaches beyond the box of the conditioning variables, where "
            f"nothing is drawn and its yield would be too low; add {box(axes).cut} to it, or widen the box"
        )


def _with_unknown(known: Mapping[str, Any], unknown: Sequence[str], derived: tuple[Derived, ...]) -> Composite:
    """Return points of the plane whose other columns are not known."""
    blank = np.full(len(next(iter(known.values()))), np.nan)
    return Composite({**dict.fromkeys(unknown, blank), **known}, derived)
