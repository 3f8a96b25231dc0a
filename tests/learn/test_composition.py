"""Product-form weights against the inverse of the tensor product."""

from __future__ import annotations

from functools import reduce
from itertools import pairwise, product

import numpy as np
import pytest

from backdrop import Objects
from backdrop.errors import ConfigError
from backdrop.learn.composition import Number, check_fakes, matrix_weights, target_region

TARGETS = ["all", "not all", Number(0), Number(1), Number(2), Number(1, 1), Number(0, 2), Number(2, 3), Number(7)]
NUMBERS = [
    Number(0),
    Number(1),
    Number(2),
    Number(0, 0),
    Number(1, 1),
    Number(1, 2),
    Number(3),
    Number(2, 9),
    Number(7),
]


def wanted(counts, rule, size):
    """Say which numbers a requirement selects."""
    if rule == "all":
        return counts == size
    if rule == "not all":
        return counts < size
    return (counts >= rule.low) & (counts <= (size if rule.high is None else rule.high))


def inverse_weights(real, fake, tight, target, fakes):
    """One event's weight: the row of efficiencies wanted times the column of the inverse that was observed."""
    size = len(real)
    matrix = reduce(np.kron, [np.array([[r, f], [1 - r, 1 - f]]) for r, f in zip(real, fake, strict=True)])
    states = list(product((0, 1), repeat=size))
    number = np.array([sum(state) for state in states])
    kept = wanted(size - number, target, size)
    if isinstance(fakes, str):
        truth = np.array(["".join("RF"[one] for one in state) == fakes for state in states])
    else:
        truth = wanted(number, fakes, size)
    observed = states.index(tuple(int(not one) for one in tight))
    return float((kept @ matrix * truth) @ np.linalg.inv(matrix)[:, observed])


def leptons(seed, counts):
    rng = np.random.default_rng(seed)
    size = int(np.sum(counts))
    offsets = np.r_[0, np.cumsum(counts)]
    return rng.uniform(0.7, 1.0, size), rng.uniform(0.0, 0.45, size), rng.uniform(size=size) < 0.5, offsets


@pytest.mark.parametrize("target", TARGETS, ids=str)
def test_weights_are_those_of_the_inverse_of_the_tensor_product(target):
    real, fake, tight, offsets = leptons(1, np.tile([1, 2, 3, 4], 12))
    events = [slice(*pair) for pair in pairwise(offsets)]
    for fakes in [*NUMBERS, "R", "F", "RF", "FR", "FF", "FRF", "FFRF"]:
        found = matrix_weights(real, fake, tight, offsets, target=target, fakes=fakes)
        expected = [inverse_weights(real[e], fake[e], tight[e], target, fakes) for e in events]
        assert np.abs(found - expected).max() <= 1e-12 * max(np.abs(expected).max(), 1.0)


def test_one_lepton_has_the_formula_of_the_paper():
    r, f = np.array([0.9, 0.8]), np.array([0.2, 0.4])
    tight, loose = (matrix_weights(r, f, np.full(2, flag), np.arange(3)) for flag in (True, False))
    # f / (f - r) ((1 - r) N_t - r N_l)
    np.testing.assert_allclose(tight, f / (f - r) * (1 - r), rtol=1e-12)
    np.testing.assert_allclose(loose, -f / (f - r) * r, rtol=1e-12)


def test_two_leptons_have_the_coefficients_of_the_paper():
    r, f = 0.85, 0.3
    alpha = 1.0 / (r - f) ** 2
    expected = {
        (True, True): alpha * (2 * r * f * (f - 1) * (1 - r) + f**2 * (1 - r) ** 2),
        (True, False): alpha * (1 - f) * f * r**2,
        (False, True): alpha * (1 - f) * f * r**2,
        (False, False): -alpha * r**2 * f**2,
    }
    tight = np.array(list(expected)).ravel()
    found = matrix_weights(np.full(8, r), np.full(8, f), tight, np.arange(0, 9, 2))
    np.testing.assert_allclose(found, list(expected.values()), rtol=1e-12)


def test_prompt_leptons_of_efficiency_one_give_the_fake_factor():
    f = np.array([0.2, 0.3])
    odds = f / (1 - f)
    found = {
        flags: matrix_weights(np.ones(2), f, np.array(flags), np.array([0, 2]))[0]
        for flags in product((True, False), repeat=2)
    }
    np.testing.assert_allclose(
        [found[True, True], found[True, False], found[False, True], found[False, False]],
        [0.0, odds[1], odds[0], -odds[0] * odds[1]],
        atol=1e-15,
    )


def test_compositions_add_up_to_what_is_observed():
    real, fake, tight, offsets = leptons(2, np.random.default_rng(1).integers(0, 6, 200))
    parts = [matrix_weights(real, fake, tight, offsets, fakes=Number(n, n)) for n in range(6)]
    all_tight = np.array([tight[a:b].all() for a, b in pairwise(offsets)])
    np.testing.assert_allclose(np.sum(parts, axis=0), all_tight, atol=1e-11)
    patterns = ["".join(one) for one in product("RF", repeat=3)]
    three = [matrix_weights(real, fake, tight, offsets, fakes=one) for one in patterns]
    where = np.diff(offsets) == 3
    np.testing.assert_allclose(np.sum(three, axis=0)[where], all_tight[where], atol=1e-12)
    assert not np.any(np.array(three)[:, ~where])
    rest = matrix_weights(real, fake, tight, offsets, target="not all")
    everything = matrix_weights(real, fake, tight, offsets, target=Number(0))
    np.testing.assert_allclose(rest + matrix_weights(real, fake, tight, offsets), everything, atol=1e-11)


def test_no_events_and_no_leptons_weigh_nothing():
    empty = np.zeros(0)
    assert matrix_weights(empty, empty, empty > 0, np.zeros(1, int)).shape == (0,)
    assert matrix_weights(empty, empty, empty > 0, np.zeros(3, int)).tolist() == [0.0, 0.0]
    assert matrix_weights(empty, empty, empty > 0, np.zeros(2, int), fakes=Number(10**12)).tolist() == [0.0]


@pytest.mark.parametrize(
    ("tight", "name"),
    [
        ("all", "all lep tight"),
        ("not all", "~all lep tight"),
        (Number(2, 2), "2 tight lep"),
        (Number(), "at least 0 tight lep"),
    ],
)
def test_target_regions_are_named_after_what_they_hold(tight, name):
    assert target_region(Objects("lep", "iso < 0.15"), tight).name == name


@pytest.mark.parametrize(("low", "high"), [(-1, None), (2, 1)])
def test_a_number_is_a_range(low, high):
    with pytest.raises(ConfigError, match="0 or more"):
        Number(low, high)


def test_what_is_no_target_and_no_composition_is_refused():
    with pytest.raises(ConfigError, match="'all', 'not all' or a Number of lep, not 'some'"):
        target_region(Objects("lep", "iso < 0.15"), "some")
    for bad in ("", "RX"):
        with pytest.raises(ConfigError, match=f"one R .* for each lepton .* not '{bad}'"):
            check_fakes(bad)
