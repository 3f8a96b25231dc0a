"""What interpolation fits: a plane and flows that draw events, the same ones each time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..errors import ConfigError, CutError
from ..events import Events, event_keys
from ..io import Composite, Derived
from ..learn.conditional import Conditional, Given
from ..learn.flow import Flows
from ..learn.pictures import LayersPicture, PairsPicture, Pictures, PlanePicture
from ..learn.plane import Plane, around, box
from ..learn.scale import Scale
from ..region import Region
from ..tasks import stream

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["MEMBER", "InterpolateModel", "check_inside"]

SAMPLE = "interpolation"
MEMBER = "member"
"""The column that says which flow drew a row."""

_BLOCK = 1 << 16

_SHOWN = 20_000
"""How many drawn events are in a picture."""

_COMPARED = 20_000
"""How many drawn events members are compared on."""


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
        check_inside(region, self.plane.axes, self._unknown, self._derived)
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


def check_inside(region: Region, axes: Sequence[Any], unknown: Sequence[str], derived: tuple[Derived, ...]) -> None:
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
