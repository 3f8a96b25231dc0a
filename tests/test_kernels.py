"""Hashes of event keys against a reference in Python integers, and as random numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from backdrop._kernels import hash_uniform, mix, poisson_counts

_MASK = 2**64 - 1
_STEP = 0x9E3779B97F4A7C15
_WORDS = st.integers(0, _MASK)
_N = 200_000


def _splitmix(x: int) -> int:
    z = (x + _STEP) & _MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    return z ^ (z >> 31)


def _uint64(*values: int) -> np.ndarray:
    return np.array(values, np.uint64)


def test_reference_is_the_published_generator() -> None:
    """The first outputs of splitmix64 for the seed 1234567 (S. Vigna's C code)."""
    known = (6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431)
    assert tuple(_splitmix((1234567 + i * _STEP) & _MASK) for i in range(4)) == known


@given(st.lists(st.tuples(_WORDS, _WORDS), max_size=20))
def test_mix_is_the_reference(pairs: list[tuple[int, int]]) -> None:
    key, value = _uint64(*(a for a, _ in pairs)), _uint64(*(b for _, b in pairs))
    assert mix(key, value).tolist() == [_splitmix(a ^ _splitmix(b)) for a, b in pairs]


@given(st.lists(_WORDS, max_size=20), _WORDS)
def test_uniform_is_the_reference(keys: list[int], seed: int) -> None:
    start = _splitmix(_splitmix(seed))
    expected = [(_splitmix(key ^ start) >> 11) / 2**53 for key in keys]
    found = hash_uniform(_uint64(*keys), np.uint64(seed))
    assert found.tolist() == expected
    assert all(0.0 <= u < 1.0 for u in found)


@given(st.lists(_WORDS, max_size=20), st.lists(_WORDS, min_size=1, max_size=3))
def test_counts_invert_the_poisson_distribution(keys: list[int], seeds: list[int]) -> None:
    below = np.cumsum([math.exp(-1.0) / math.factorial(k) for k in range(18)])
    uniform = [[(_splitmix(key ^ _splitmix(seed)) >> 11) / 2**53 for key in keys] for seed in seeds]
    expected = np.searchsorted(below, np.reshape(uniform, (len(seeds), len(keys))), side="right")
    found = poisson_counts(_uint64(*keys), _uint64(*seeds))
    assert found.dtype == np.uint8
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("start", [0, 2**40, _MASK - _N])
def test_counts_are_poisson_even_for_consecutive_keys(start: int) -> None:
    """Keys are hashes already; the counts must not rely on it."""
    counts = poisson_counts(np.uint64(start) + np.arange(_N, dtype=np.uint64), _uint64(1))[0].astype(float)
    assert abs(counts.mean() - 1) < 3 / math.sqrt(_N)
    # the variance of a sample variance is (mu4 - 1) / n, with mu4 = 4 for Poisson(1)
    assert abs(counts.var() - 1) < 3 * math.sqrt(3 / _N)
    seen = np.bincount(counts.astype(int), minlength=7)
    expected = _N * stats.poisson(1).pmf(np.arange(7))
    tail = [_N - seen[:6].sum()], [_N - expected[:6].sum()]
    chi2 = ((np.r_[seen[:6], tail[0]] - np.r_[expected[:6], tail[1]]) ** 2 / np.r_[expected[:6], tail[1]]).sum()
    assert stats.chi2(6).sf(chi2) > 1e-3


def test_uniform_numbers_are_uniform_for_any_seed() -> None:
    keys = np.arange(_N, dtype=np.uint64)
    for seed in (0, 1, 2**63, _MASK):
        assert stats.kstest(hash_uniform(keys, np.uint64(seed)), "uniform").pvalue > 1e-3


def test_seeds_neighbours_and_kinds_are_independent() -> None:
    """Of two seeds, of neighbouring keys, and of counts and uniform numbers of one seed."""
    keys = np.arange(_N, dtype=np.uint64)
    counts = poisson_counts(keys, _uint64(0, 1, 2, 1 << 63)).astype(float)
    uniform = [hash_uniform(keys, np.uint64(seed)) for seed in (0, 1)]
    correlation = np.corrcoef([*counts, *uniform])
    assert np.abs(correlation[~np.eye(6, dtype=bool)]).max() < 4 / math.sqrt(_N)
    for numbers in (*counts, *uniform):
        assert abs(np.corrcoef(numbers[1:], numbers[:-1])[0, 1]) < 4 / math.sqrt(_N)


def test_one_bit_of_the_key_changes_half_of_the_bits() -> None:
    keys = np.random.default_rng(1).integers(0, 2**63, 500, dtype=np.uint64)
    for bit in range(64):
        other = keys ^ np.uint64(1 << bit)
        flipped = int(np.bitwise_count(mix(keys, keys) ^ mix(other, keys)).sum())
        assert abs(flipped - 32 * len(keys)) < 5 * math.sqrt(64 * len(keys)) / 2
