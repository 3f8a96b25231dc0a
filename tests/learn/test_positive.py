"""Positive weights of signed samples, against samples whose expectation is known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backdrop.errors import ConfigError, DataError, FitError
from backdrop.events.keys import bootstrap_counts
from backdrop.io import load, save
from backdrop.learn.boost import Leaf, leaves
from backdrop.learn.marginals import Marginals, equal_bins
from backdrop.learn.positive import Positive, PositiveWeights
from benchmarks.signed import EDGES, NAMES, QUANTITIES, SignedEnsemble, SignedToy, sums

pytest.importorskip("lightgbm")

TOY = SignedToy(fakes=1500.0, prompt=750.0)
QUICK = Positive(trees=60)


@pytest.fixture(scope="module")
def sample() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return TOY.draw(seed=11)


@pytest.fixture(scope="module")
def found(sample: tuple[np.ndarray, np.ndarray, np.ndarray]) -> PositiveWeights:
    return QUICK.fit(*sample, seed=5, names=NAMES)


def test_weights_are_positive_and_keep_total_and_marginals(sample: Any, found: PositiveWeights) -> None:
    values, weights, _ = sample
    assert found.weights.min() > 0.0 and (weights < 0.0).mean() > 0.3
    assert found.weights.sum() == pytest.approx(weights.sum(), rel=1e-12)
    for x in values.T:
        place = np.searchsorted(equal_bins(x, np.abs(weights), QUICK.bins), x)
        errors = np.sqrt(np.bincount(place, weights**2))
        assert len(errors) == QUICK.bins
        assert np.abs(np.bincount(place, found.weights - weights) / errors).max() < 0.1
    assert max(found.report[f"closure: {name}"] for name in NAMES) < 0.1


def test_what_is_reported_is_what_happened(sample: Any, found: PositiveWeights) -> None:
    _, weights, _ = sample
    report = found.report
    assert report["negative"] == pytest.approx(0.25, abs=0.03)
    assert report["rows"] == len(weights) and 5 < report["trees"] <= QUICK.trees
    assert report["factor"] == pytest.approx(1.0, abs=0.01)
    assert 0 < report["floored_rows"] < 0.1 * len(weights) and report["lowest"] < QUICK.floor
    assert report["effective"] > 2.0 * report["effective_before"]
    assert report["negative_significance"] < QUICK.limit


def test_pulls_over_twenty_samples() -> None:
    """`make validate NAME=positive` does 200, with the spread of resamples, too."""
    toy, parts = SignedToy(fakes=1000.0, prompt=500.0), []
    for seed in range(20):
        values, weights, keys = toy.draw(seed=100 + seed)
        made = Positive(trees=40).fit(values, weights, keys, seed=seed)
        parts.append(
            {
                "value": sums(values, made.weights),
                "signed": sums(values, weights),
                "variance": np.sqrt(sums(values, made.variance)),
                "naive": np.sqrt(sums(values, made.weights**2)),
            }
        )
    stacked = {name: np.stack([part[name] for part in parts]) for name in parts[0]}
    ensemble = SignedEnsemble("", toy, seed=0, members=0, toys=20)
    rows = ensemble.rows(stacked, "variance")
    assert [row["quantity"] for row in rows if not row["met"]] == []
    # against the signed sums of the same samples: a bias would be seen long before a pull shows it
    assert max(abs(row["shift"]) for row in rows if "cell" not in row["quantity"]) < 0.25
    assert max(abs(row["shift"]) for row in rows) < 0.5
    assert np.mean([row["width"] for row in ensemble.rows(stacked, "naive")]) > 1.3


def test_the_spread_of_resamples_is_the_error(sample: Any, found: PositiveWeights) -> None:
    values, weights, keys = sample
    seeds = list(range(20))
    resampled = weights * bootstrap_counts(keys, seeds)
    members = QUICK.fit_members(values, resampled, keys, seeds=seeds, nominal=found)
    assert all(member.weights.min() >= 0.0 for member in members)
    spread, signed = (
        np.std([sums(values, one) for one in many], axis=0, ddof=1)
        for many in ([member.weights for member in members], resampled)
    )
    stated, naive = (np.sqrt(sums(values, one)) for one in (found.variance, found.weights**2))
    assert spread[0] == pytest.approx(signed[0], rel=1e-9) and spread[0] == pytest.approx(stated[0], rel=3 / 40**0.5)
    # the same resamples: bins of one feature hold what the signed weights hold, cells of two are smoothed by g
    assert (spread / signed)[1:19].mean() == pytest.approx(0.95, abs=0.08) and (spread / signed)[19:].mean() < 1.05
    assert (naive / stated)[:19].mean() < 0.75


def test_a_member_with_the_nominal_weights_is_the_nominal(sample: Any, found: PositiveWeights) -> None:
    values, weights, keys = sample
    pair = np.stack([weights, weights * bootstrap_counts(keys, [3])[0]])
    one, other = QUICK.fit_members(values, pair, keys, seeds=[5, 3], nominal=found)
    assert np.array_equal(one.weights, found.weights)
    (alone,) = QUICK.fit_members(values, pair[1:], keys, seeds=[3], nominal=found)
    assert np.array_equal(alone.weights, other.weights)
    assert other.weights.sum() == pytest.approx(pair[1].sum(), rel=1e-12) and not other.weights[pair[1] == 0.0].any()


def test_g_of_a_row_is_learned_without_it(sample: Any, found: PositiveWeights) -> None:
    values, weights, keys = sample
    assert np.array_equal(found.g(values, keys) * np.abs(weights), found.weights)
    new = found.g(values)
    assert not np.array_equal(new, found.g(values, keys))
    moved = weights.copy()
    moved[0] *= -1.0
    again = QUICK.fit_members(values, moved[None], keys, seeds=[5], nominal=found)[0]
    assert found.sign is not None and again.sign is not None
    first = (values[:1], keys[:1])
    assert again.sign.mean(*first) == found.sign.mean(*first) and again.sign.mean(values[:1]) != found.sign.mean(
        values[:1]
    )


def test_weights_of_one_sign_come_back_as_they_are(sample: Any, tmp_path: Path) -> None:
    values, weights, keys = sample
    plain = Positive().fit(values, np.abs(weights), keys, seed=1, names=NAMES)
    assert np.array_equal(plain.weights, np.abs(weights)) and np.array_equal(plain.variance, weights**2)
    assert plain.warnings == () and np.array_equal(plain.g(values[:7]), np.ones(7))
    save(plain, tmp_path / "plain")
    assert np.array_equal(load(tmp_path / "plain", {"PositiveWeights": PositiveWeights}).weights, plain.weights)
    with pytest.raises(DataError, match="member 0 has negative weights, but the nominal sample has none"):
        Positive().fit_members(values, weights[None], keys, seeds=[1], nominal=plain)


def test_order_and_scale_do_not_matter(sample: Any, found: PositiveWeights) -> None:
    values, weights, keys = sample
    order = np.random.default_rng(1).permutation(len(weights))
    shuffled = QUICK.fit(values[order], weights[order], keys[order], seed=5, names=NAMES)
    np.testing.assert_allclose(shuffled.weights, found.weights[order], rtol=1e-12)
    assert np.array_equal(shuffled.g(values), found.g(values)) or np.allclose(
        shuffled.g(values), found.g(values), 1e-12
    )
    scaled = QUICK.fit(values, 8.0 * weights, keys, seed=5, names=NAMES)
    np.testing.assert_allclose(scaled.weights, 8.0 * found.weights, rtol=1e-9)
    assert not np.array_equal(QUICK.fit(values, weights, keys, seed=6).weights, found.weights)


def test_it_survives_saving_exactly(sample: Any, found: PositiveWeights, tmp_path: Path) -> None:
    values, _, keys = sample
    save(found, tmp_path / "weights")
    again = load(tmp_path / "weights", {"PositiveWeights": PositiveWeights})
    assert np.array_equal(again.weights, found.weights) and np.array_equal(again.variance, found.variance)
    assert np.array_equal(again.g(values), found.g(values)) and np.array_equal(
        again.g(values, keys), found.g(values, keys)
    )
    assert (again.report, again.warnings, again.settings) == (dict(found.report), found.warnings, found.settings)


def test_a_negative_mean_is_refused_and_located() -> None:
    rng = np.random.default_rng(3)
    values = np.concatenate([rng.uniform(size=(4000, 2)), rng.uniform((0.6, 0.1), (0.8, 0.4), size=(600, 2))])
    weights, keys = np.repeat([1.0, -1.0], [4000, 600]), np.arange(4600, dtype=np.uint64)
    with pytest.raises(FitError) as refused:
        QUICK.fit(values, weights, keys, seed=1, names=("pt", "eta"))
    text = str(refused.value)
    cell = text.split("most of it is where ")[1].split(":")[0]
    for side, true in zip(("< pt <= ", "< eta <= "), (0.8, 0.4), strict=True):
        assert float(cell.split(side)[1].split(" ")[0]) == pytest.approx(true, abs=0.03)
    assert float(cell.split(" < pt")[0].split(" ")[-1]) == pytest.approx(0.6, abs=0.03)
    assert "cut this region away" in text and "standard deviations after 4 looks, limit 3.5" in text
    accepted = replace(QUICK, limit=np.inf).fit(values, weights, keys, seed=1, names=("pt", "eta"))
    assert accepted.report["negative_significance"] > 10 and accepted.weights.min() > 0.0
    assert "raised to its floor" in accepted.warnings[0]


def test_noise_is_not_refused() -> None:
    """Half of the range has a mean of exactly zero: the worst case, in which 2.3e-4 of all samples may be refused."""
    toy = SignedToy(fakes=600.0, prompt=300.0, end=1.0)
    significances = []
    for seed in range(20):
        made = Positive(trees=30).fit(*toy.draw(seed=seed), seed=seed)
        significances.append(made.report["negative_significance"])
    assert max(significances) < 3.0


def test_what_cannot_be_used_is_refused(sample: Any, found: PositiveWeights) -> None:
    values, weights, keys = sample
    broken = values.copy()
    broken[[3, 4], 1] = np.nan
    with pytest.raises(DataError, match=r"of \d+ rows, NaN or infinite are 2 in 'b'"):
        Positive().fit(broken, weights, keys, seed=1, names=NAMES)
    with pytest.raises(DataError, match="NaN or infinite"):
        found.g(broken)
    lost = weights.copy()
    lost[7] = np.inf
    with pytest.raises(DataError, match=r"1 of \d+ weights are NaN or infinite, the first in row 7"):
        Positive().fit(values, lost, keys, seed=1)
    with pytest.raises(DataError, match="one weight and one key for each row"):
        Positive().fit(values, weights[:-1], keys, seed=1)
    with pytest.raises(DataError, match=r"the shape \(\d+, 3\); give \(n, 2\) for a, b"):
        Positive().fit(values, weights, keys, seed=1, names=("a", "b"))
    with pytest.raises(FitError, match="more is subtracted than is seen"):
        Positive().fit(values, -weights, keys, seed=1)
    with pytest.raises(FitError, match="sum to 0"):
        Positive().fit(values, 0.0 * weights, keys, seed=1)
    with pytest.raises(DataError, match="rows with one key are in one fold"):
        Positive().fit(values, weights, np.zeros_like(keys), seed=1)
    with pytest.raises(DataError, match="2 rows of weights need as many seeds, not 1"):
        Positive().fit_members(values, np.stack([weights, weights]), keys, seeds=[1], nominal=found)
    for name, bad in (("folds", 1), ("trees", 0), ("floor", 0.0), ("limit", -1.0), ("bins", 1.5)):
        with pytest.raises(ConfigError, match=f"Positive: {name} is"):
            Positive(**{name: bad})


def test_factors_give_the_bins_their_sums() -> None:
    rng = np.random.default_rng(8)
    values = np.stack([rng.normal(size=4000), rng.integers(3, size=4000).astype(float)], axis=1)
    signed = rng.choice([1.0, -1.0], p=[0.8, 0.2], size=4000)
    positive = rng.uniform(0.2, 1.0, size=4000)
    made = Marginals.fit(values, positive, signed, 6)
    assert [len(one) for one in made.shifts] == [6, 3]
    for x, edges, shift in zip(values.T, made.edges, made.shifts, strict=True):
        place = np.searchsorted(edges, x)
        np.testing.assert_allclose(
            np.bincount(place, positive * made(values)) + shift, np.bincount(place, signed), 1e-5
        )
    again = Marginals.from_state(made.state())
    assert np.array_equal(again(values), made(values))


def test_a_bin_without_a_positive_sum_stays_above_zero() -> None:
    x = np.repeat([0.0, 1.0], [100, 50])[:, None]
    signed = np.concatenate([np.ones(100), np.repeat([1.0, -1.0], [20, 30])])
    made = Marginals.fit(x, np.full(150, 0.5), signed, 2)
    factor = made(np.array([[0.0], [1.0]]))
    assert factor[0] == pytest.approx(2.0, rel=0.02) and 0.0 < factor[1] < 1e-3


def test_leaves_are_boxes_that_hold_their_rows() -> None:
    rng = np.random.default_rng(4)
    values = rng.uniform(size=(2000, 2))
    target = np.where((values[:, 0] > 0.5) & (values[:, 1] <= 0.3), 1.0, 0.0)
    found = leaves(values, target, np.ones(2000), 4, 20.0)
    assert np.array_equal(np.sort(np.concatenate([leaf.rows for leaf in found])), np.arange(2000))
    for leaf in found:
        inside = np.ones(2000, bool)
        for feature, (low, high) in leaf.bounds.items():
            inside &= (values[:, feature] > low) & (values[:, feature] <= high)
        assert np.array_equal(np.flatnonzero(inside), leaf.rows)
    best = max(found, key=lambda leaf: target[leaf.rows].mean())
    assert best.describe(("pt", "eta")) == "pt > 0.5015 and eta <= 0.2998"
    assert Leaf(np.arange(3), {}).describe(("pt",)) == "anywhere"
    assert leaves(values[:5], target[:5], np.ones(5), 4, 20.0)[0].describe(("pt", "eta")) == "anywhere"


def test_the_toy_is_what_it_says() -> None:
    found = np.mean([sums(*TOY.draw(seed=seed)[:2]) for seed in range(40)], axis=0)
    error = np.sqrt(np.mean([sums(v, w**2) for v, w, _ in (TOY.draw(seed=seed) for seed in range(40))], axis=0) / 40)
    assert len(found) == len(QUANTITIES) and len(EDGES) == 3
    assert (((found - TOY.expected) / error) ** 2).sum() < 2.0 * len(found)
