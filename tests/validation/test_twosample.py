from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ks_2samp, kstest
from sklearn.metrics import roc_auc_score

from backdrop import Events
from backdrop.errors import ConfigError, DataError
from backdrop.validation import auc, ks
from backdrop.validation.twosample import _area


def normal(n: int, rng: np.random.Generator, sample: str, *, shift: float = 0.0, columns: int = 1, **parts) -> Events:
    table = {f"x{i}": rng.normal(shift * (i == 0), size=n) for i in range(columns)}
    return Events.of(table, sample=sample, **parts)


# ---- Kolmogorov–Smirnov ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shift", [0.0, 0.3])
def test_unit_weights_agree_with_scipy(shift):
    rng = np.random.default_rng(1)
    first, second = normal(150, rng, "a"), normal(240, rng, "b", shift=shift)
    reference = ks_2samp(first["x0"], second["x0"], method="asymp")
    found = ks(first, second, "x0")
    assert found.statistic == pytest.approx(reference.statistic, rel=1e-12)
    assert found.p_value == pytest.approx(reference.pvalue, rel=1e-12)
    assert (found.effective_first, found.effective_second) == (150, 240)


def test_a_weight_is_a_repetition_for_the_statistic():
    rng = np.random.default_rng(2)
    weight = rng.integers(0, 4, 100)
    first, second = normal(100, rng, "a", weight=weight), normal(80, rng, "b")
    repeated = Events.of({"x0": np.repeat(first["x0"], weight)}, sample="a")
    assert ks(first, second, "x0").statistic == pytest.approx(ks(repeated, second, "x0").statistic, rel=1e-12)


def test_equal_values_are_one_step():
    first = Events.of({"x": np.array([1.0, 1.0, 2.0, 2.0])}, sample="a")
    second = Events.of({"x": np.array([2.0, 1.0])}, sample="b")
    assert ks(first, second, "x").statistic == 0.0
    assert ks(first, second, "x").p_value == 1.0


def p_values(make, toys: int, n: int = 200) -> list[float]:
    return [ks(*make(np.random.default_rng(i)), "x0", toys=toys, seed=i).p_value for i in range(n)]


def test_p_values_are_uniform_for_weights_that_ignore_the_column():
    def make(rng):
        return normal(400, rng, "a", weight=rng.exponential(size=400)), normal(600, rng, "b")

    assert kstest(p_values(make, 0), "uniform").pvalue > 0.01


def test_toys_are_uniform_where_weights_follow_the_column():
    def make(rng):
        # proposals spread three times wider than the normal they are weighted to
        wide = rng.normal(0.0, 3.0, 500)
        weighted = Events.of({"x0": wide}, sample="a", weight=np.exp(-(wide**2) * (1 - 1 / 9) / 2))
        return weighted, normal(400, rng, "b")

    assert kstest(p_values(make, 60, 120), "uniform").pvalue > 0.01


def test_toys_are_uniform_for_signed_weights():
    def make(rng):
        more, less = (normal(rng.poisson(n), rng, name, shift=2.0) for n, name in ((200, "more"), (400, "less")))
        return normal(rng.poisson(400), rng, "a") + more - 0.5 * less, normal(rng.poisson(400), rng, "b")

    assert kstest(p_values(make, 60, 120), "uniform").pvalue > 0.01


def test_a_shift_is_found():
    rng = np.random.default_rng(3)
    first, second = normal(400, rng, "a"), normal(400, rng, "b", shift=0.5)
    assert ks(first, second, "x0").p_value < 1e-4
    assert ks(first, second, "x0", toys=199, seed=1).p_value == 1 / 200


def test_refused_samples():
    rng = np.random.default_rng(4)
    good = normal(10, rng, "a")
    with pytest.raises(DataError, match="second sample has negative weights"):
        ks(good, good.with_weight(np.where(np.arange(10) < 2, -1.0, 1.0)), "x0")
    with pytest.raises(DataError, match="first sample has 10 rows of total weight 0"):
        ks(good.with_weight(np.zeros(10)), good, "x0")
    with pytest.raises(DataError, match="'x0'"):
        ks(good, good.with_columns({"x0": np.full(10, np.inf)}), "x0")


# ---- classifier ------------------------------------------------------------------------------------------------------


def test_the_area_agrees_with_scikit_learn():
    rng = np.random.default_rng(5)
    scores = [rng.integers(0, 6, 200).astype(float), rng.integers(1, 7, 300).astype(float)]
    weights = [rng.exponential(size=200), rng.exponential(size=300)]
    labels = np.repeat([0, 1], [200, 300])
    reference = roc_auc_score(labels, np.concatenate(scores), sample_weight=np.concatenate(weights))
    assert _area(scores, weights)[0] == pytest.approx(reference, rel=1e-12)


def test_the_influences_give_the_spread_of_the_area():
    areas, variances = [], []
    for seed in range(400):
        rng = np.random.default_rng(seed)
        scores = [rng.normal(size=200), rng.normal(0.8, 1.0, size=150)]
        area, parts = _area(scores, [rng.exponential(size=200), np.ones(150)])
        areas.append(area)
        variances.append(sum((part**2).sum() for part in parts))
    assert np.std(areas) == pytest.approx(np.sqrt(np.mean(variances)), rel=0.12)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["unit", "signed"])
def test_equal_samples_cannot_be_told_apart(kind):
    pulls = []
    for seed in range(8):
        rng = np.random.default_rng(100 + seed)
        source, target = (normal(600, rng, name, columns=3) for name in "st")
        if kind == "signed":
            more, less = (normal(300, rng, name, shift=1.5, columns=3) for name in "ml")
            target = target + 0.5 * more - 0.5 * less
        pulls.append(auc(source, target, ["x0", "x1", "x2"], folds=3, seed=seed).pull)
    assert abs(np.mean(pulls)) < 3 / np.sqrt(8)
    assert np.std(pulls) < 1 + 3 / np.sqrt(16)


def test_a_difference_is_found_whatever_the_order_of_the_rows():
    rng = np.random.default_rng(6)
    source, target = normal(2000, rng, "s", columns=2), normal(2000, rng, "t", shift=0.5, columns=2)
    found = auc(source, target, ["x0", "x1"], folds=2, seed=1)
    # the best score is x0 itself: Φ(0.5 / √2)
    assert 0.6 < found.value < 0.638 + 3 * found.error
    assert found.pull > 5
    order = rng.permutation(2000)
    shuffled = Events.of({name: target[name][order] for name in ("x0", "x1")}, sample="t")
    shuffled = type(target)(shuffled.columns, shuffled.weight, shuffled.sample, ("t",), target.key[order])
    assert auc(source, shuffled, ["x0", "x1"], folds=2, seed=1).value == pytest.approx(found.value, rel=1e-12)


def test_no_event_is_scored_by_a_model_that_saw_it():
    rng = np.random.default_rng(7)
    event = np.repeat(np.arange(60), 60)
    value = rng.normal(size=120)

    def sample(name: str, values: np.ndarray) -> Events:
        return Events.of({"x0": values[event], "event": event}, sample=name, keys=("event",))

    source, target = sample("s", value[:60]), sample("t", value[60:])
    # 60 rows of one event share its value: remembered, they would be told apart perfectly
    found = auc(source, target, ["x0"], folds=3, seed=2)
    assert abs(found.value - 0.5) < 3 * found.error
    # counted as rows, the error would be √60 times smaller
    assert found.error > 0.03


def test_the_same_events_are_the_same():
    source = normal(500, np.random.default_rng(8), "s")
    found = auc(source, source, ["x0"], folds=2, seed=3)
    assert found.value == pytest.approx(0.5, abs=1e-12)


def test_a_wrong_weight_is_seen_and_the_right_one_is_not():
    rng = np.random.default_rng(9)
    source, target = normal(4000, rng, "s"), normal(4000, rng, "t", shift=0.5)
    right = source.with_weight(np.exp(0.5 * source["x0"]))
    assert abs(auc(right, target, ["x0"], folds=2, seed=1).pull) < 3
    assert auc(source, target, ["x0"], folds=2, seed=1).pull > 5


def test_refused_settings():
    rng = np.random.default_rng(10)
    good = normal(40, rng, "a")
    with pytest.raises(ConfigError, match="two folds"):
        auc(good, good, ["x0"], folds=1, seed=1)
    with pytest.raises(ConfigError, match="0 columns"):
        auc(good, good, [], seed=1)
    with pytest.raises(DataError, match="target sample has 40 rows of total weight -40"):
        auc(good, -good, ["x0"], seed=1)
    with pytest.raises(DataError, match=r"fold \d"):
        auc(good, normal(3, rng, "b"), ["x0"], folds=5, seed=1)
