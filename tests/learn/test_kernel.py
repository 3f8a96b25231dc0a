"""Kernels against NumPy references, and what they draw against the histograms they were made of."""

from __future__ import annotations

import hist
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from backdrop.errors import FitError
from backdrop.learn._alias import STEP, alias_tables, draw
from backdrop.learn.graph import Template
from backdrop.learn.kernel import Kernel, Table


def axis(name: str, bins: int = 4) -> hist.axis.Regular:
    return hist.axis.Regular(bins, 0, 1, name=name)


def made(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    accept, alias = np.empty(weights.shape), np.empty(weights.shape, np.int32)
    alias_tables(weights, accept, alias)
    return accept, alias


def implied(accept: np.ndarray, alias: np.ndarray) -> np.ndarray:
    """Return the probabilities that an alias table stands for."""
    found = accept.copy()
    for row, (kept, other) in enumerate(zip(accept, alias, strict=True)):
        np.add.at(found[row], other, 1 - kept)
    return found / accept.shape[1]


def uniform(seed: int, places: np.ndarray) -> np.ndarray:
    """Return numbers of the splitmix64 sequence of a seed as even ones in [0, 1)."""
    with np.errstate(over="ignore"):
        z = np.uint64(seed) + (places.astype(np.uint64) + np.uint64(1)) * np.uint64(STEP)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return ((z ^ (z >> np.uint64(31))) >> np.uint64(11)) / 2.0**53


_BINS = st.lists(st.floats(0, 1e6), min_size=1, max_size=12).filter(lambda w: sum(w) > 1e-3)


@given(_BINS)
def test_alias_tables_hold_the_weights(weights: list[float]) -> None:
    share = np.array([weights]) / sum(weights)
    np.testing.assert_allclose(implied(*made(share)), share, atol=1e-12)


def test_empty_bins_are_never_drawn() -> None:
    weights = np.random.default_rng(1).exponential(size=(50, 301))
    weights[:, ::3] = 0.0
    accept, alias = made(weights)
    assert (accept[:, ::3] == 0.0).all() and (alias % 3 != 0).all()


def test_draws_are_those_of_the_reference() -> None:
    """Flat bin from one random number, the first variable's place from what is left of it, others from new ones."""
    rng = np.random.default_rng(2)
    sizes, tables, n, seed = (3, 5, 2), 7, 1000, 12345
    edges = [np.sort(rng.uniform(size=size + 1)) for size in sizes]
    accept, alias = made(rng.uniform(size=(tables, 30)))
    rows = rng.integers(tables, size=n)
    bins, values = np.empty(n, np.int64), np.empty((3, n))
    steps = (np.uint64(one % 2**64) for one in (seed + 2 * STEP, 11 * STEP))
    draw(rows, accept.ravel(), alias.ravel(), np.concatenate(edges), np.array(sizes), *steps, bins, values)
    places = 2 + 11 * np.arange(n)
    u = uniform(seed, places) * 30
    b = u.astype(int)
    kept, left = accept[rows, b], u - b
    chosen = np.where(left < kept, b, alias[rows, b])
    assert np.array_equal(bins, chosen)
    place = np.where(left < kept, left, left - kept) / np.where(left < kept, kept, 1 - kept)
    inside = [place, uniform(seed, places + 2), uniform(seed, places + 1)]
    for k, (index, place) in enumerate(zip(np.unravel_index(chosen, sizes), inside, strict=True)):
        low, high = edges[k][index], edges[k][index + 1]
        np.testing.assert_allclose(values[k], low + (high - low) * place, rtol=1e-14)
        assert ((values[k] >= low) & (values[k] < high)).all()


def chain_kernel(**more) -> Kernel:
    rng = np.random.default_rng(3)
    first = Template("A", (axis("x"), axis("y", 3)))
    second = Template("B", (axis("z", 5),), (axis("x", 2), axis("y", 3)))
    return Kernel((Table(first, rng.uniform(size=(1, 12))), Table(second, rng.uniform(size=(6, 5)))), **more)


def test_blocks_are_parts_of_one_sequence() -> None:
    kernel = chain_kernel()
    whole = kernel.draw(1000, seed=5)
    parts = [kernel.draw(n, seed=5, first=first) for first, n in ((0, 1), (1, 600), (601, 399))]
    for name, values in whole.columns.items():
        assert np.array_equal(np.concatenate([part.columns[name] for part in parts]), values)
    assert whole.weight is None and not whole.fallen.any()
    assert not np.array_equal(kernel.draw(1000, seed=6).columns["x"], whole.columns["x"])


def test_drawn_bins_have_the_probabilities_of_the_templates() -> None:
    kernel, n = chain_kernel(), 400_000
    columns = kernel.draw(n, seed=7).columns
    cells = [np.floor(columns[name] * bins).astype(int) for name, bins in (("x", 4), ("y", 3), ("z", 5))]
    seen = np.bincount(np.ravel_multi_index(cells, (4, 3, 5)), minlength=60)
    first = kernel.tables[0].values.reshape(4, 3) / kernel.tables[0].values.sum()
    second = kernel.tables[1].values.reshape(2, 3, 5)
    second = np.repeat(second / second.sum(axis=-1, keepdims=True), 2, axis=0)
    expected = n * (first[..., None] * second).ravel()
    assert stats.chisquare(seen, expected).pvalue > 1e-3


def test_places_inside_a_bin_are_even_and_independent() -> None:
    columns = chain_kernel().draw(100_000, seed=8).columns
    places = [columns[name] * bins % 1 for name, bins in (("x", 4), ("y", 3), ("z", 5))]
    for one in places:
        assert stats.kstest(one, "uniform").pvalue > 1e-3
    assert np.abs(np.corrcoef(places)[~np.eye(3, dtype=bool)]).max() < 4 / np.sqrt(100_000)


def test_an_empty_slice_is_the_sum_over_its_last_parents() -> None:
    template = Template("B", (axis("z", 2),), (axis("x", 2), axis("y", 2)))
    values = np.array([[1.0, 3.0], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
    table = Table(template, values)
    assert table.level.tolist() == [0, 1, 2, 2]
    assert np.array_equal(table._backed_off[0], [[1, 3]] * 4)
    mixed = Table(template, np.array([[1.0, 3.0], [0.0, 0.0], [0.0, 0.0], [5.0, 1.0]]))
    assert mixed.level.tolist() == [0, 1, 1, 0]
    assert np.array_equal(mixed._backed_off[0], [[1, 3], [1, 3], [5, 1], [5, 1]])


def test_fallbacks_are_counted() -> None:
    first = Template("A", (axis("x"),))
    second = Template("B", (axis("z", 2),), (axis("x"),))
    values = np.ones((4, 2))
    values[1] = 0.0
    kernel = Kernel((Table(first, np.array([[1.0, 2.0, 3.0, 4.0]])), Table(second, values)))
    drawn = kernel.draw(50_000, seed=1)
    inside = (drawn.columns["x"] >= 0.25) & (drawn.columns["x"] < 0.5)
    assert drawn.fallen.tolist() == [0, inside.sum()]


def test_negative_bins_and_tilts_are_weights_that_are_right_on_average() -> None:
    values = np.array([[4.0, -1.0, 2.0, 3.0], [1.0, 1.0, -0.5, 2.0]])
    tilt = 1 + 0.5 * np.array([0.125, 0.375, 0.625, 0.875])
    kernel = Kernel(
        (
            Table(Template("A", (axis("x", 2),)), np.array([[1.0, 3.0]])),
            Table(Template("B", (axis("z"),), (axis("x", 2),)), values, tilt),
        )
    )
    n = 400_000
    drawn = kernel.draw(n, seed=2)
    assert drawn.weight is not None
    cells = [(drawn.columns[name] * bins).astype(int) for name, bins in (("x", 2), ("z", 4))]
    flat = np.ravel_multi_index(cells, (2, 4))
    seen, squares = (np.bincount(flat, drawn.weight**power, 8) / n for power in (1, 2))
    wanted = values * tilt
    expected = (np.array([0.25, 0.75])[:, None] * wanted / wanted.sum(axis=1, keepdims=True)).ravel()
    assert np.abs(seen - expected).max() < 4 * np.sqrt(squares.max() / n)
    plain = Kernel((kernel.tables[0], Table(kernel.tables[1].template, values))).draw(n, seed=2)
    assert all(np.array_equal(plain.columns[name], drawn.columns[name]) for name in plain.columns)


def test_what_is_subtracted_must_leave_something() -> None:
    with pytest.raises(FitError, match="template 'A' sum to 0, their absolute values to 2"):
        Table(Template("A", (axis("x", 2),)), np.array([[1.0, -1.0]]))


def test_a_slice_that_nearly_cancels_counts_as_empty() -> None:
    table = Table(Template("B", (axis("z", 2),), (axis("x", 2),)), np.array([[1.0, -0.95], [1.0, 1.0]]))
    assert table.level.tolist() == [1, 0]


def test_a_shift_moves_what_is_drawn_and_what_depends_on_it() -> None:
    plain, moved = chain_kernel(), chain_kernel(shifts={"x": 0.25})
    a, b = (one.draw(20_000, seed=4).columns for one in (plain, moved))
    assert np.array_equal(b["x"], a["x"] + 0.25) and np.array_equal(b["y"], a["y"])
    unmoved = (a["x"] < 0.25) | (a["x"] >= 0.5)
    assert np.array_equal(a["z"][unmoved], b["z"][unmoved]) and not np.array_equal(a["z"], b["z"])


def test_whole_numbers_stay_whole() -> None:
    n = hist.axis.Integer(2, 6, name="n")
    kernel = Kernel((Table(Template("N", (n,)), np.array([[1.0, 0.0, 2.0, 1.0]])),))
    drawn = kernel.draw(1000, seed=1).columns["n"]
    assert set(drawn.tolist()) == {2.0, 4.0, 5.0}
