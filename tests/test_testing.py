"""The laws can fail: one broken method for each of them, and the right one that passes them all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import hist
import numpy as np
import pytest

from backdrop import Channel, Estimate, Events, Region
from backdrop.errors import DataError
from backdrop.testing import LAWS, Case, LawBroken, Table, check
from ratio import LOOSE, TIGHT

_WINDOW = Region("window", "(m > 20) & (m < 80)")
_CHANNEL = Channel("SR", _WINDOW, (hist.axis.Regular(2, 20, 80, name="m"),))


@dataclass(frozen=True, eq=False)
class Model:
    """Weights the loose rows of the window with a factor; subclasses break one thing each."""

    factor: np.ndarray
    reads = LOOSE

    def predict(self, events: Events, region: Region) -> Events:
        return float(self.factor) * events.select(region & self.reads)

    def state(self) -> dict[str, Any]:
        return {"factor": self.factor}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Model:
        return cls(state["factor"])


@dataclass(frozen=True)
class Method:
    """Measures the ratio of tight to loose rows outside the window, and checks the column that it needs."""

    model: str = "Model"
    columns = ("m", "q")
    target = TIGHT

    def fit(self, events: Events, *, rng: np.random.Generator) -> Model:
        return _MODELS[self.model](self.ratio(events))

    def ratio(self, events: Events) -> np.ndarray:
        above, below = (events.require(~_WINDOW & region, ("q",)) for region in (TIGHT, LOOSE))
        return np.array(above.weight.sum() / below.weight.sum())


class Unscaled(Model):
    def predict(self, events: Events, region: Region) -> Events:
        rows = events.select(region & self.reads)
        return rows.with_weight(np.full(len(rows), float(self.factor)))


class Elsewhere(Model):
    def predict(self, events: Events, region: Region) -> Events:
        return float(self.factor) * events.select(self.reads)


class Nothing(Model):
    def predict(self, events: Events, region: Region) -> Events:
        return super().predict(events, region & Region("none", "m > 1000"))


class Restless(Model):
    def predict(self, events: Events, region: Region) -> Events:
        return float(np.random.default_rng().normal(1, 0.1)) * super().predict(events, region)


class Relative(Model):
    """The weights of a row depend on the other rows."""

    def predict(self, events: Events, region: Region) -> Events:
        rows = super().predict(events, region)
        return rows.with_weight(rows.weight / (1 + 1e-4 * len(rows)))


class Ordered(Model):
    """The weight of a row depends on where it stands."""

    def predict(self, events: Events, region: Region) -> Events:
        rows = super().predict(events, region)
        return rows.with_weight(rows.weight * (1 + 1e-3 * np.arange(len(rows))))


class Rounded(Model):
    def state(self) -> dict[str, Any]:
        return {"factor": self.factor.astype(np.float32).astype(float)}


class Biased(Model):
    def predict(self, events: Events, region: Region) -> Events:
        return 3.0 * super().predict(events, region)


class Certain(Model):
    """A fit that states no uncertainty: its variation moves nothing."""

    def bins(self, events: Events, channels: Sequence[Channel]) -> Estimate:
        nominal = np.concatenate([channel.fill(self.predict(events, channel.region))[0] for channel in channels])
        return Estimate(tuple(channels), nominal, 0 * nominal, {}, {"fit": (nominal, nominal)})


class Drawing(Model):
    """Claims to draw, and weights the events it is given."""

    reads = None

    def predict(self, events: Events, region: Region) -> Events:
        rows = events.select(region) if len(events) else Events.of({"m": np.linspace(20.5, 79.5, 50)})
        return rows.with_weight(np.full(len(rows), float(self.factor)))


class Dropping(Model):
    """Brings replicas that say they are there, and has none."""

    replicas: Mapping[str, tuple[Model, ...]] = {}


_MODELS = {model.__name__: model for model in (Model, *Model.__subclasses__())}


class Mutating(Method):
    def fit(self, events: Events, *, rng: np.random.Generator) -> Model:
        events.weight[0] *= 2
        return super().fit(events, rng=rng)


@dataclass
class Thawed:
    """Settings that are not frozen."""

    model: str = "Model"
    columns = ("m", "q")
    fit, ratio = Method.fit, Method.ratio


@dataclass(frozen=True)
class Counting(Method):
    """Settings that change with every fit."""

    fits: list[int] = field(default_factory=list)

    def fit(self, events: Events, *, rng: np.random.Generator) -> Model:
        self.fits.append(1)
        return super().fit(events, rng=rng)


class Seedless(Method):
    def fit(self, events: Events, *, rng: np.random.Generator) -> Model:
        return Model(np.random.default_rng().normal(1, 0.1) * self.ratio(events))


class Silent(Method):
    """Leaves rows without a number out, and says nothing."""

    def ratio(self, events: Events) -> np.ndarray:
        above, below = (events.select(~_WINDOW & region) for region in (TIGHT, LOOSE))
        if min(above.weight.sum(), below.weight.sum()) <= 0:
            raise DataError("region: no rows")
        return np.array(above.weight.sum() / below.weight.sum()) * (1 + 1e-9 * np.nansum(below["q"] * 0))


class Curt(Method):
    """Raises what NumPy raises."""

    def ratio(self, events: Events) -> np.ndarray:
        if not np.isfinite(events["q"]).all():
            raise ValueError("array must not contain infs or NaNs")
        return super().ratio(events)


class Mute(Method):
    """Raises the right error without saying where."""

    def ratio(self, events: Events) -> np.ndarray:
        if not np.isfinite(events["q"]).all():
            raise DataError("bad input")
        return super().ratio(events)


class Members(Method):
    """Fits many resamples at once; `which` breaks how."""

    which = "right"

    def fit_members(
        self, events: Events, weights: np.ndarray, *, rngs: Sequence[np.random.Generator]
    ) -> tuple[Model, ...]:
        used = np.broadcast_to(weights[:1], weights.shape) if self.which == "first" else weights
        used = np.broadcast_to(events.weight, weights.shape) if self.which == "none" else used
        return tuple(self.fit(events.with_weight(weight), rng=rng) for weight, rng in zip(used, rngs, strict=True))


class MembersOfFirst(Members):
    which = "first"


class MembersOfNone(Members):
    which = "none"


class SameMembers(Members):
    """Members and single fits agree, and all ignore the resample."""

    def ratio(self, events: Events) -> np.ndarray:
        super().ratio(events)
        return np.array(1.25)

    which = "none"


def _draw(seed: int) -> list[Table]:
    rng = np.random.default_rng(seed)
    n = rng.poisson(1500)
    columns = {"m": rng.uniform(0, 100, n), "tag": (rng.uniform(size=n) < 0.4).astype(int), "q": rng.normal(size=n)}
    extra = rng.poisson(300)
    noise = {"m": rng.uniform(0, 100, extra), "tag": rng.integers(0, 2, extra), "q": rng.normal(size=extra)}
    return [Table("data", columns, np.ones(n)), Table("mc", noise, np.full(extra, 0.1), factor=-1.0)]


def _case(method: Method, **changed: Any) -> Case:
    truth = 0.4 * 0.3 * 1500 - 0.5 * 0.1 * 0.3 * 300
    types = {name: model for name, model in _MODELS.items()}
    case = Case(
        type(method).__name__, method, (_CHANNEL,), _draw, np.full(2, truth), _WINDOW & TIGHT, types, ("q",), 20, 40
    )
    return replace(case, **changed)


@pytest.mark.parametrize("law", LAWS)
def test_a_right_method_passes(law: str) -> None:
    check(law, _case(Members() if law == "members_differ" else Method()))


_BROKEN: list[tuple[str, Method, str]] = [
    ("same_seed_same_estimate", Seedless(), "two runs with one seed differ"),
    ("chunks_do_not_matter", Method("Ordered"), "rows move the estimate by"),
    ("chunks_do_not_matter", Method("Relative"), "rows move the estimate by"),
    ("order_does_not_matter", Method("Ordered"), "shuffling the events moves the estimate by"),
    ("fit_leaves_settings", Mutating(), "changed the settings or the events"),
    ("fit_leaves_settings", Counting(), "changed the settings or the events"),
    ("fit_leaves_settings", Thawed(), "model could be set"),
    ("weights_scale", Method("Unscaled"), "weights x 3 move nominal by"),
    ("predicts_inside_region", Method("Elsewhere"), "predicted rows are outside 'window'"),
    ("predicts_inside_region", Method("Nothing"), "0 of 0 predicted rows"),
    ("predict_repeats", Method("Restless"), "two predictions of one model differ"),
    ("row_wise_is_additive", Method("Relative"), "halves .* differ"),
    ("row_wise_is_additive", Method("Drawing"), "halves .* differ"),
    ("survives_saving", Method("Rounded"), "the loaded model predicts something else"),
    ("closes", Method("Biased"), r"SR: \d+.* ± .*, true 351"),
    ("pulls", Method("Biased"), "pull means"),
    ("members_differ", MembersOfFirst(), "member 1 of three is"),
    ("members_differ", MembersOfNone(), "member 0 of three is"),
    ("members_differ", SameMembers(), "identical"),
    ("replicas_vary", Method("Certain"), "neither replicas nor variations move"),
    ("replicas_vary", Method("Dropping"), "neither replicas nor variations move"),
    ("refuses_bad_input", Silent(), "q = nan: accepted in silence"),
    ("refuses_bad_input", Curt(), "q = nan: ValueError instead of DataError"),
    ("refuses_bad_input", Mute(), r"q = nan: the error does not say \['q', 'region'\]"),
]


@pytest.mark.parametrize(("law", "method", "message"), _BROKEN, ids=lambda one: getattr(one, "model", None))
def test_a_broken_method_is_caught(law: str, method: Method, message: str) -> None:
    with pytest.raises(LawBroken, match=f"{type(method).__name__}: .*{message}"):
        check(law, _case(method))
