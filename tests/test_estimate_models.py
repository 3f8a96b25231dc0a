"""Models that draw, that bring their own replicas, or whose answer is a fit; and spreads against independent toys."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import hist
import numpy as np
import pytest
from numpy.typing import NDArray

from backdrop import Channel, Estimate, Events, Region, Setup, estimate
from backdrop.errors import DataError
from backdrop.estimate import template
from backdrop.methods import ABCD
from ratio import BOTH, CALLS, LOOSE, LOW, FactorModel, Files, Ratio, table


@dataclass(frozen=True, eq=False)
class DrawnModel:
    number: int
    reads = None

    def predict(self, events: Events, region: Region) -> Events:
        CALLS.append((len(events), region.cut))
        drawn = np.random.default_rng(self.number).uniform(0, 100, 500)
        return Events.of({"m": drawn}, sample="drawn").select(region)

    def state(self) -> dict[str, Any]:
        return {"number": self.number}


@dataclass(frozen=True)
class Draws:
    def fit(self, events: Events, *, rng: np.random.Generator) -> DrawnModel:
        return DrawnModel(int(rng.integers(2**31)))


def test_a_drawing_model_is_called_once_with_the_union() -> None:
    CALLS.clear()
    overlapping = Channel("all", Region("all", "m > 20"), (hist.axis.Regular(4, 20, 100, name="m"),))
    found = estimate(Setup(Draws(), Files(table(), 10)), (*BOTH, overlapping), replicas=3, seed=1)
    assert CALLS == [(0, "(m < 50) | (m >= 50) | (m > 20)")] * 4
    assert found.total("low").value + found.total("high").value == 500
    assert found.total("high").value < found.total("all").value < 500
    assert np.array_equal(found.sumw2, found.nominal)


@dataclass(frozen=True, eq=False)
class Weighted:
    """Draws of which each replica takes another multiple."""

    factor: float
    replicas: Mapping[str, tuple[Weighted, ...]] = field(default_factory=dict)
    reads = None

    def drawn(self, region: Region) -> Iterator[Events]:
        for number in range(3):
            yield Draws().fit(table(), rng=np.random.default_rng(number)).predict(table(), region)

    def factors(self, rows: Events, models: Sequence[Weighted]) -> NDArray[np.float64]:
        return np.stack([np.full(len(rows), model.factor) for model in models])

    def predict(self, events: Events, region: Region) -> Events:
        raise AssertionError("its rows are filled as they are drawn")

    def state(self) -> dict[str, Any]:
        return {"factor": self.factor}


@dataclass(frozen=True)
class WeightedDraws:
    def fit(self, events: Events, *, rng: np.random.Generator) -> Weighted:
        return Weighted(2.0, {"first": (Weighted(1.0), Weighted(3.0)), "second": (Weighted(0.0), Weighted(5.0))})


def test_draws_with_other_weights_are_made_once_for_all_replicas() -> None:
    CALLS.clear()
    found = estimate(Setup(WeightedDraws(), table()), BOTH, replicas=50, seed=6)
    assert CALLS == [(len(table()), "(m < 50) | (m >= 50)")] * 3
    plain = found.nominal / 2.0
    assert plain.sum() == 1500
    assert np.array_equal(found.sumw2, 4.0 * plain)
    assert {name: len(rows) for name, rows in found.replicas.items()} == {"first": 2, "second": 2}
    assert np.array_equal(found.replicas["first"], np.outer([1.0, 3.0], plain))
    assert np.array_equal(found.replicas["second"], np.outer([0.0, 5.0], plain))


def test_a_channel_without_rows_or_draws_is_an_error() -> None:
    empty = Channel("far", Region("far", "m > 1000"), (hist.axis.Regular(1, 1000, 2000, name="m"),))
    with pytest.raises(
        DataError, match="channel 'far': no row with weight in region 'far' & 'loose', so nothing stands for"
    ):
        estimate(Setup(Ratio(), table()), (LOW, empty), seed=1)
    with pytest.raises(DataError, match="channel 'far': no row drawn in region 'far', so nothing stands for"):
        estimate(Setup(Draws(), table()), (LOW, empty), seed=1)


@dataclass(frozen=True, eq=False)
class TrainedModel(FactorModel):
    replicas: Mapping[str, tuple[FactorModel, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Trained:
    def fit(self, events: Events, *, rng: np.random.Generator) -> TrainedModel:
        CALLS.append(events)
        members = tuple(FactorModel(LOOSE, factor) for factor in (1.0, 2.0, 4.0))
        return TrainedModel(LOOSE, 3.0, {"training": members, "gp": members[:2]})


def test_replicas_of_the_model_are_used() -> None:
    CALLS.clear()
    found = estimate(Setup(Trained(), table()), BOTH, replicas=50, seed=6)
    loose = template(table().select(LOOSE), BOTH)
    assert len(CALLS) == 1
    assert np.allclose(found.nominal, 3 * loose.nominal)
    assert np.allclose(found.sumw2, 9 * loose.sumw2)
    assert np.allclose(found.replicas["training"], np.outer([1, 2, 4], loose.nominal))
    assert np.allclose(found.replicas["gp"], np.outer([1, 2], loose.nominal))
    assert found.seeds == {"training": 6, "gp": 6}


@dataclass(frozen=True, eq=False)
class AnswerModel(FactorModel):
    def bins(self, events: Events, channels: Sequence[Channel]) -> Estimate:
        nominal = np.arange(sum(channel.size for channel in channels)) + float(len(events))
        blocks, variations = {"fit": np.stack([nominal, 2 * nominal])}, {"slope": (nominal + 1, nominal - 2)}
        return Estimate(tuple(channels), nominal, 0 * nominal, blocks, variations, {"fit": 11})


@dataclass(frozen=True)
class Answers:
    def fit(self, events: Events, *, rng: np.random.Generator) -> AnswerModel:
        return AnswerModel(LOOSE, 1.0)


def test_a_model_that_is_a_fit_answers_itself() -> None:
    found = estimate(Setup(Answers(), table()), BOTH, replicas=20, variations={"x": Setup(Ratio(), table())}, seed=1)
    assert np.array_equal(found.nominal, 400.0 + np.arange(5))
    assert np.array_equal(found.variations["slope"], [401.0 + np.arange(5), 398.0 + np.arange(5)])
    assert (list(found.replicas), found.seeds, list(found.variations)) == (["fit"], {"fit": 11}, ["slope", "x"])


# ---- spreads ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Normalised:
    """The rows of a half, scaled to all rows of the region: what it is trained on holds what it predicts from."""

    source: Region = LOOSE
    resample: str = "joint"
    columns = ("m",)

    def fit(self, events: Events, *, rng: np.random.Generator) -> FactorModel:
        return FactorModel(self.source, float(events.weight.sum() / events.require(self.source).weight.sum()))


def _tagged(rng: np.random.Generator) -> Events:
    n = rng.poisson(800)
    return Events.of({"m": rng.uniform(0, 50, n), "tag": rng.integers(0, 2, n)})


def _plane(rng: np.random.Generator) -> Events:
    """Return B, C and D of an ABCD plane: 300, 400 and 600 expected."""
    counts = rng.poisson([300, 400, 600])
    x, tag = np.repeat([1.0, -1.0, -1.0], counts), np.repeat([0, 1, 0], counts)
    return Events.of({"x": x, "tag": tag, "m": rng.uniform(0, 50, counts.sum())})


def _spreads(
    method: object, channel: Channel, draw: Callable[[np.random.Generator], Events]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the standard deviation of bins and total over 300 toys, and the mean of what 8 of them state."""
    toys = [draw(np.random.default_rng([5, toy])) for toy in range(300)]
    yields = np.array([estimate(Setup(method, toy), [channel], seed=1).nominal for toy in toys])
    stated = [
        estimate(Setup(method, toy), [channel], replicas=200, seed=toy_seed) for toy_seed, toy in enumerate(toys[:8])
    ]
    variances = [[*np.diag(one.covariance()), one.total(channel.name).total ** 2] for one in stated]
    return np.c_[yields, yields.sum(axis=1)].std(axis=0, ddof=1), np.sqrt(np.mean(variances, axis=0))


_ERROR = 3 * np.sqrt(1 / (2 * 300) + 1 / (2 * 200 * 8) + 0.087**2 / 8)
"""Three standard errors of a ratio of the two: of the toys, the replicas, and the yields of the 8 toys (9 % each)."""


def test_joint_resampling_is_the_spread_of_toys_where_training_holds_the_prediction() -> None:
    toys, joint = _spreads(Normalised(), LOW, _tagged)
    assert joint / toys == pytest.approx(np.ones(3), abs=_ERROR)
    # the fit alone and Σw² would count the fluctuation of the source twice: sqrt(3) for the total
    _, fit = _spreads(Normalised(resample="fit"), LOW, _tagged)
    assert fit[2] / toys[2] == pytest.approx(np.sqrt(3), abs=np.sqrt(3) * _ERROR)
    found = estimate(Setup(Normalised(), _tagged(np.random.default_rng(1))), [LOW], replicas=4, seed=1)
    assert not found.sumw2.any()
    assert np.allclose(found.nominal.sum(), len(_tagged(np.random.default_rng(1))))


def test_fit_replicas_and_squared_weights_are_the_spread_of_toys_for_abcd() -> None:
    method = ABCD(Region("tight", "tag == 1"), LOOSE, Region("control", "x < 0"))
    channel = Channel("SR", Region("high x", "x > 0"), (hist.axis.Regular(2, 0, 50, name="m"),))
    toys, stated = _spreads(method, channel, _plane)
    assert stated / toys == pytest.approx(np.ones(3), abs=_ERROR)
    closed = 200 * np.sqrt(1 / 300 + 1 / 400 + 1 / 600)
    assert stated[2] == pytest.approx(closed, rel=_ERROR)
