"""Splines and the networks that shape them: kernels against NumPy and torch, gradients, inverses, extremes."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from zuko.transforms import MonotonicRQSTransform

from backdrop.learn import _network_kernels as network_kernels
from backdrop.learn import _spline_kernels as kernels
from backdrop.learn import flow_network as network
from backdrop.learn import spline

BOUND, SCALE, MEMBERS, FEATURES = 3.0, 0.5, 2, 3


def made(seed: int, n: int = 300, bins: int = 4, size: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Return values, some of them in the tails or on their edge, and raw parameters of a given size."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(MEMBERS, FEATURES, n)) * 2.0
    x[0, 0, :4] = -BOUND, BOUND, -np.float32(BOUND), 1e6
    return x.astype(np.float32), (size * rng.normal(size=(MEMBERS, FEATURES * (3 * bins - 1), n))).astype(np.float32)


def knots(raw: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the knots and the slopes there of one spline, by the paper's formulas."""
    bins = (len(raw) + 1) // 3
    edges = []
    for one in (raw[:bins], raw[bins : 2 * bins]):
        share = np.exp(SCALE * (one - one.max()))
        wide = 1e-3 + (1.0 - 1e-3 * bins) * share / share.sum()
        edges.append(BOUND * (2.0 * np.concatenate([[0.0], np.cumsum(wide)]) - 1.0))
    slopes = 1e-3 + np.logaddexp(0.0, raw[2 * bins :])
    return edges[0], edges[1], np.concatenate([[1.0], slopes, [1.0]])


def reference(x: float, raw: np.ndarray) -> tuple[float, float]:
    """Return the value and the logarithm of the derivative of one spline."""
    if abs(x) >= BOUND:
        return x, 0.0
    left, bottom, slopes = knots(raw.astype(np.float64))
    k = min(max(int(np.searchsorted(left, x, side="right")) - 1, 0), len(left) - 2)
    width, height, a, b = left[k + 1] - left[k], bottom[k + 1] - bottom[k], slopes[k], slopes[k + 1]
    s, t = height / width, (x - left[k]) / width
    below = s + (a + b - 2.0 * s) * t * (1.0 - t)
    y = bottom[k] + height * (s * t * t + a * t * (1.0 - t)) / below
    return y, math.log(s * s * (b * t * t + 2.0 * s * t * (1.0 - t) + a * (1.0 - t) ** 2) / below**2)


def both(x: np.ndarray, raw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return values and sums of logarithms by the reference, for all members, features and events."""
    rows = raw.shape[1] // FEATURES
    found = np.array(
        [
            [
                [reference(float(x[m, j, i]), raw[m, j * rows : (j + 1) * rows, i]) for i in range(x.shape[2])]
                for j in range(FEATURES)
            ]
            for m in range(MEMBERS)
        ]
    )
    return found[..., 0], found[..., 1].sum(1)


@pytest.mark.parametrize("bins", [2, 4, 7])
def test_forward_and_inverse_are_the_reference(bins: int) -> None:
    x, raw = made(1, 100, bins)
    y, log_det = np.empty_like(x), np.empty((MEMBERS, x.shape[2]), np.float32)
    kernels.spline_forward(x, raw, BOUND, SCALE, y, log_det)
    expected, logs = both(x, raw)
    np.testing.assert_allclose(y, expected, rtol=1e-6, atol=2e-6)
    np.testing.assert_allclose(log_det, logs, atol=3e-5)
    back = np.empty_like(x)
    kernels.spline_inverse(y, raw, BOUND, SCALE, back)
    np.testing.assert_allclose(back, x, rtol=1e-6, atol=1e-5)


def test_backward_is_the_slope_of_the_reference() -> None:
    x, raw = made(2, 7)
    rng = np.random.default_rng(3)
    by_y, by_log = rng.normal(size=x.shape).astype(np.float32), rng.normal(size=(MEMBERS, 7)).astype(np.float32)
    by_x, by_raw = np.empty_like(x), np.empty_like(raw)
    kernels.spline_backward(x, raw, BOUND, SCALE, by_y, by_log, by_x, by_raw)

    def loss(x: np.ndarray, raw: np.ndarray) -> np.ndarray:
        y, log_det = both(x, raw)
        return (by_y * y).sum(1) + by_log * log_det

    # each event has parameters of its own: one shift moves all of them
    step = 1e-5
    for found, place in ((by_x, 0), (by_raw, 1)):
        for row in range(found.shape[1]):
            arguments = [[x.astype(float), raw.astype(float)] for _ in range(2)]
            for one, sign in zip(arguments, (1.0, -1.0), strict=True):
                one[place] = one[place].copy()
                one[place][:, row] += sign * step
            slope = (loss(*arguments[0]) - loss(*arguments[1])) / (2.0 * step)
            inside = np.abs(np.abs(x[:, row % FEATURES if place == 0 else 0]) - BOUND) > 2.0 * step
            inside &= np.abs(np.abs(x) - BOUND).min(1) > 2.0 * step
            np.testing.assert_allclose(found[:, row][inside], slope[inside], rtol=2e-4, atol=2e-4)


@given(seed=st.integers(0, 1000), bins=st.integers(2, 9), n=st.integers(4, 600), size=st.floats(0.01, 2.0))
@example(seed=0, bins=4, n=1024, size=1.0)
@settings(max_examples=30)
def test_kernels_give_what_torch_gives(seed: int, bins: int, n: int, size: float) -> None:
    """To 1e-5, and what rounds in x and in the knots: as much as a few steps of 1e-6 in x."""
    x, raw = (torch.as_tensor(one) for one in made(seed, n, bins, size))
    exact = [spline.plain_forward(x.double() + step, raw.double(), BOUND, SCALE) for step in (0.0, 1e-6, -1e-6)]
    for forward in (spline.forward, spline.plain_forward):
        for place, found in enumerate(forward(x, raw, BOUND, SCALE)):
            expected, *moved = (one[place] for one in exact)
            allowed = 1e-5 * (1.0 + expected.abs()) + 4.0 * sum((one - expected).abs() for one in moved)
            assert ((found - expected).abs() <= allowed).all()


def test_kernels_give_the_gradient_that_torch_gives() -> None:
    x, raw = (torch.as_tensor(one) for one in made(5, 500))
    gradients = []
    for forward, type_ in ((spline.forward, torch.float32), (spline.plain_forward, torch.float64)):
        one, two = (leaf.detach().clone().to(type_).requires_grad_() for leaf in (x, raw))
        y, log_det = forward(one, two, BOUND, SCALE)
        (y.sin().sum() + (log_det * log_det).sum()).backward()
        gradients.append((one.grad, two.grad))
    for found, expected in zip(*gradients, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))


def test_plain_gradients_are_right() -> None:
    x, raw = (torch.as_tensor(one[:1, :, 5:9], dtype=torch.float64).requires_grad_() for one in made(6, 20))
    assert torch.autograd.gradcheck(lambda a, b: spline.plain_forward(a, b, BOUND, SCALE), (x, raw))


def test_it_is_the_spline_of_zuko() -> None:
    x, raw = (torch.as_tensor(one, dtype=torch.float64) for one in made(7, 50))
    y, log_det = spline.plain_forward(x, raw, BOUND, SCALE)
    rows = raw.shape[1] // FEATURES
    total = np.zeros(log_det.shape)
    for m, j, i in np.ndindex(x.shape):
        left, bottom, slopes = map(torch.as_tensor, knots(raw[m, j * rows : (j + 1) * rows, i].numpy()))
        theirs = MonotonicRQSTransform(torch.zeros(4), torch.zeros(4), torch.zeros(3), bound=BOUND)
        theirs.horizontal, theirs.vertical, theirs.derivatives = left, bottom, slopes
        value, log = theirs.call_and_ladj(x[m, j, i])
        total[m, i] += float(log)
        assert abs(float(value - y[m, j, i])) < 1e-12 * (1.0 + abs(float(value)))
    np.testing.assert_allclose(log_det, total, atol=1e-11)


_LARGE = st.sampled_from([0.0, 1.0, -1.0, 30.0, -30.0, 500.0, -500.0, 1e4, -1e4])
_ENDLESS = st.sampled_from([0.0, 1e6, -1e6, 1e30, -1e30])


def spread(x: list[float], raw: list[float]) -> tuple[torch.Tensor, torch.Tensor]:
    values = torch.tensor([[x + np.linspace(-3.2, 3.2, 65).tolist()]], dtype=torch.float32)
    return values, torch.tensor(raw, dtype=torch.float32)[None, :, None].repeat(1, 1, values.shape[2])


@settings(max_examples=60)
@given(raw=st.lists(_LARGE, min_size=11, max_size=11), x=st.lists(st.floats(-3, 3, width=32)))
@example(raw=[0.0] * 8 + [1e4, -1e4, 1e4], x=[-2.9999, -1.5, 1e-30, 1.5, 2.9999])
@example(raw=[500.0, -500.0, 0.0, 1.0] * 2 + [-500.0, 500.0, -500.0], x=[-3.0, -2.99, 0.0, 2.99, 3.0])
def test_large_parameters_are_inverted(raw: list[float], x: list[float]) -> None:
    """To 1e-5 in x, or to what 1e-5 in y makes of x where the spline is flat."""
    values, own = spread(x, raw)
    y, _ = spline.forward(values, own, BOUND, 1.0)
    order = y[0, 0][values[0, 0].argsort()]
    assert (order.diff() >= -1e-5).all()
    back = spline.inverse(y, own, BOUND, 1.0)
    exact = spline.plain_forward(values.double(), own.double(), BOUND, 1.0)[0]
    low, high = (spline.plain_inverse(exact + step, own.double(), BOUND, 1.0) - values for step in (-1e-5, 1e-5))
    assert ((back - values >= low - 1e-5) & (back - values <= high + 1e-5)).all()


@settings(max_examples=60)
@given(
    raw=st.lists(_ENDLESS | _LARGE, min_size=11, max_size=11), x=st.lists(st.floats(-(2.0**100), 2.0**100, width=32))
)
def test_nothing_is_infinite(raw: list[float], x: list[float]) -> None:
    values, own = spread(x, raw)
    y, log_det = spline.forward(values, own, BOUND, 1.0)
    back = spline.inverse(y, own, BOUND, 1.0)
    for one in (y, log_det, back, spline.plain_inverse(y, own, BOUND, 1.0)):
        assert torch.isfinite(one).all()
    tails = values.abs() >= BOUND
    assert torch.equal(y[tails], values[tails]) and torch.equal(
        spline.inverse(values, own, BOUND, 1.0)[tails], y[tails]
    )
    assert (y[~tails].abs() <= BOUND * (1.0 + 1e-6)).all()


def test_ordinary_parameters_come_back_to_a_hundred_thousandth() -> None:
    x, raw = (torch.as_tensor(one) for one in made(8, 2000))
    for forward, inverse in ((spline.forward, spline.inverse), (spline.plain_forward, spline.plain_inverse)):
        back = inverse(forward(x, raw, BOUND, SCALE)[0], raw, BOUND, SCALE)
        assert ((back - x).abs() <= 1e-5).all()


# ---- networks --------------------------------------------------------------------------------------------------------


def hashed(start: int, place: int) -> int:
    z = (place * 0x9E3779B9 + start) % 2**32
    z = ((z ^ (z >> 16)) * 0x7FEB352D) % 2**32
    z = ((z ^ (z >> 15)) * 0x846CA68B) % 2**32
    return z ^ (z >> 16)


def test_rectify_and_gate_are_the_reference() -> None:
    x = np.random.default_rng(1).normal(size=(2, 3, 50)).astype(np.float32)
    starts, dropped = np.array([5, 2**32 - 3], np.uint32), round(0.3 * 2**32)
    out = np.empty((2, 4, 50), np.float32)
    network_kernels.rectify(x, starts, dropped, 1.25, out)
    kept = np.array([[[hashed(int(s), 3 * i + r) >= dropped for i in range(50)] for r in range(3)] for s in starts])
    np.testing.assert_array_equal(out[:, :3], np.where(kept, np.float32(1.25) * np.maximum(x, 0.0), 0.0))
    np.testing.assert_array_equal(out[:, 3], 1.0)
    mask = network.hash_mask(torch.as_tensor(x), starts, dropped)
    np.testing.assert_array_equal(mask, kept)
    network_kernels.rectify(x, starts, 0, 1.0, out)
    np.testing.assert_array_equal(out[:, :3], np.maximum(x, 0.0))
    gradient, total = np.ones_like(x) * 2.0, np.ones_like(x)
    network_kernels.gate(gradient, out, total)
    np.testing.assert_array_equal(total, np.where(x > 0.0, 3.0, 1.0))


def test_dropout_leaves_out_its_share_without_correlation() -> None:
    x = torch.ones(50, 32, 1024)
    starts = np.random.default_rng(1).integers(0, 2**32, 50).astype(np.uint32)
    kept = network.hash_mask(x, starts, round(0.1 * 2**32)).numpy()
    n = kept.size
    assert abs(kept.mean() - 0.9) < 4.0 * math.sqrt(0.09 / n)
    for a, b in ((kept[:, 1:], kept[:, :-1]), (kept[..., 1:], kept[..., :-1]), (kept[1:], kept[:-1])):
        assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 4.0 / math.sqrt(n)


@pytest.mark.parametrize("blocks", [0, 1, 2])
@pytest.mark.parametrize("probability", [0.0, 0.3])
def test_network_and_its_gradient_are_those_of_torch(blocks: int, probability: float) -> None:
    rng = np.random.default_rng(1)
    shapes = [(8, 5), *[(8, 9)] * (2 * blocks), (7, 9)]
    weights = [torch.as_tensor(0.4 * rng.normal(size=(2, *shape)), dtype=torch.float32) for shape in shapes]
    inputs = torch.as_tensor(rng.normal(size=(2, 5, 100)), dtype=torch.float32)
    dropout = network.Dropout(rng.integers(0, 2**32, (2, max(blocks, 1))).astype(np.uint32), probability)
    ours = _with_gradient(network.forward, inputs, weights, dropout)
    theirs = _with_gradient(network.plain_forward, inputs.double(), [one.double() for one in weights], dropout)
    for found, expected in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=2e-5 * float(expected.abs().max()))


def _with_gradient(
    forward: Callable[..., torch.Tensor], inputs: torch.Tensor, weights: list[torch.Tensor], dropout: network.Dropout
) -> list[torch.Tensor]:
    leaves = [one.clone().requires_grad_() for one in (inputs, *weights)]
    output = forward(leaves[0], leaves[1:], dropout)
    output.sin().sum().backward()
    return [output.detach(), *(leaf.grad for leaf in leaves)]
