"""Flows: the density against numerical Jacobians and integrals, its inverse, tails, draws, and states."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from backdrop.errors import ConfigError, DataError
from backdrop.io.models import load, save
from backdrop.learn.flow import CHUNK, Flow, Flows
from backdrop.learn.flow_layers import Layers, Norms

SETTINGS = Flow(layers=4, hidden=16)


def made(
    features: int, conditions: int, seed: int = 1, members: int = 2, flow: Flow = SETTINGS, size: float = 0.2
) -> Flows:
    """Return flows that are far from the identity: parameters of another size than training begins with."""
    layers, seeds = Layers(flow, features, conditions), range(seed, seed + members)
    rng = np.random.default_rng(seed)
    parameters = layers.initial(seeds)
    parameters += (size * rng.normal(size=parameters.shape)).astype(np.float32)
    shape = (members, flow.layers - 1, features)
    mean, variance = 0.2 * rng.normal(size=shape), np.exp(0.3 * rng.normal(size=shape))
    arrays = (parameters, layers.orders(seeds), mean.astype(np.float32), variance.astype(np.float32))
    return Flows(flow, features, conditions, tuple(seeds), *arrays)


def double(flows: Flows, conditions: np.ndarray) -> tuple[Layers, torch.Tensor, torch.Tensor, Norms, torch.Tensor]:
    """Return layers, parameters, permutations, norms and conditions in float64."""
    layers = Layers(flows.flow, flows.features, flows.conditions)
    given = np.concatenate([conditions.T, np.ones((1, len(conditions)))])
    theta, mean, variance, rows = (
        torch.as_tensor(np.array(one, np.float64))
        for one in (flows.parameters, flows.mean, flows.variance, np.broadcast_to(given, (len(flows), *given.shape)))
    )
    return layers, theta, torch.as_tensor(flows.orders), Norms(mean, variance), rows


@pytest.mark.parametrize(("features", "conditions"), [(1, 2), (2, 0), (3, 1), (6, 5), (1, 0)])
def test_density_has_the_jacobian_of_the_map(features: int, conditions: int) -> None:
    flows, n, step = made(features, conditions), 40, 1e-5
    rng = np.random.default_rng(2)
    layers, theta, orders, norms, given = double(flows, rng.normal(size=(n, conditions)))
    x = torch.as_tensor(1.5 * rng.normal(size=(len(flows), features, n)))

    def base(x: torch.Tensor) -> torch.Tensor:
        return layers.forward(theta, orders, x, given, norms=norms)[0]

    jacobian = torch.empty(len(flows), n, features, features, dtype=torch.float64)
    for j in range(features):
        shift = torch.zeros(1, features, 1, dtype=torch.float64)
        shift[0, j] = step
        jacobian[:, :, :, j] = ((base(x + shift) - base(x - shift)) / (2.0 * step)).transpose(1, 2)
    z, log_det, _ = layers.forward(theta, orders, x, given, norms=norms)
    numerical = torch.linalg.slogdet(jacobian)[1]
    # a knot within the step spoils the numerical derivative, not ours
    error = (log_det - numerical).abs()
    assert error.median() < 1e-8 and (error < 1e-6).float().mean() > 0.97
    back = layers.inverse(theta, orders, norms, z, given)[-1]
    assert (back - x).abs().max() < 1e-9


def test_gradient_of_the_likelihood_is_right() -> None:
    flows = made(2, 1, flow=Flow(layers=2, hidden=4))
    rng = np.random.default_rng(3)
    layers, theta, orders, _, given = double(flows, rng.normal(size=(6, 1)))
    x = torch.as_tensor(rng.normal(size=(2, 2, 6)))
    share = torch.full((2, 6), 1.0 / 6.0, dtype=torch.float64)

    def loss(theta: torch.Tensor) -> torch.Tensor:
        return layers.log_prob(theta, orders, x, given, share=share)[0].sum(1)

    assert torch.autograd.gradcheck(loss, theta.requires_grad_(), fast_mode=True)


def test_density_is_one_in_total() -> None:
    grid = np.linspace(-12.0, 12.0, 4001)
    for flows in (made(1, 2, seed=3), made(1, 0, seed=4)):
        given = np.tile(np.full(flows.conditions, 0.3), (len(grid), 1))
        total = np.exp(flows.log_prob(grid[:, None], given)).sum(1) * (grid[1] - grid[0])
        np.testing.assert_allclose(total, 1.0, atol=1e-3)
    axis = np.linspace(-9.0, 9.0, 361)
    points = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    flows = made(2, 1, seed=5, flow=Flow(layers=3, hidden=8))
    total = np.exp(flows.log_prob(points, np.full((len(points), 1), -0.5))).sum(1) * (axis[1] - axis[0]) ** 2
    np.testing.assert_allclose(total, 1.0, atol=1e-3)


@pytest.mark.parametrize("size", [0.05, 0.2])
def test_values_come_back_in_float32(size: float) -> None:
    """To 1e-5, also in the tails, or to what 1e-5 in the base values makes of them where layers make the map flat."""
    flows, rng = made(4, 2, flow=Flow(), size=size), np.random.default_rng(1)
    layers, theta, orders, norms, given = double(flows, rng.normal(size=(3000, 2)))
    single = Norms(norms.mean.float(), norms.variance.float())
    x = torch.as_tensor(2.0 * rng.normal(size=(len(flows), 4, 3000))).float()
    z, log_det, _ = layers.forward(theta.float(), orders, x, given.float(), norms=single)
    error = (layers.inverse(theta.float(), orders, single, z, given.float())[-1] - x).abs()
    exact, log, _ = layers.forward(theta, orders, x.double(), given, norms=norms)
    shifts = 1e-5 * torch.cat([torch.eye(4), -torch.eye(4)]).double()[:, None, :, None]
    moved = [(layers.inverse(theta, orders, norms, exact + one, given)[-1] - x).abs().amax(1) for one in shifts]
    assert (error.amax(1) <= torch.stack([torch.full_like(moved[0], 1e-5), *moved]).amax(0)).all()
    assert size > 0.1 or (error <= 1e-5).float().mean() > 0.99
    assert (log_det - log).abs().median() < 1e-5


def test_far_tails_are_finite() -> None:
    flows = made(3, 2, flow=Flow())
    far = np.concatenate([np.full((5, 3), size) for size in (1e2, -1e4, 1e8, -1e12)])
    for given in (np.zeros((20, 2)), np.full((20, 2), 1e4)):
        found = flows.log_prob(far, given)
        assert np.isfinite(found).all() and (found < -100.0).all()
        assert np.isfinite(flows.sample(given, seed=1)).all()


def test_draws_have_the_density() -> None:
    """In bins of one feature at fixed conditions, the draws follow the integral of the density."""
    flows, n = made(1, 1, seed=8), 40_000
    edges = np.linspace(-8.0, 8.0, 33)
    fine = np.linspace(-8.0, 8.0, 3201)
    density = np.exp(flows.log_prob(fine[:, None], np.full((len(fine), 1), 0.7)))
    drawn = flows.sample(np.full((n, 1), 0.7), seed=3)[..., 0]
    for member in range(len(flows)):
        middle = 0.5 * (density[member, 1:] + density[member, :-1]) * (fine[1] - fine[0])
        expected = n * middle.reshape(32, 100).sum(1)
        seen, _ = np.histogram(drawn[member], edges)
        used = expected > 10.0
        chi2 = ((seen - expected)[used] ** 2 / expected[used]).sum()
        assert chi2 < used.sum() + 4.0 * math.sqrt(2.0 * used.sum())


def test_draws_do_not_depend_on_who_else_draws() -> None:
    flows = made(3, 2, members=6)
    given = np.random.default_rng(1).normal(size=(CHUNK + 300, 2))
    whole = flows.sample(given, seed=5)
    assert whole.shape == (6, CHUNK + 300, 3) and whole.dtype == np.float32
    np.testing.assert_array_equal(flows.sample(given, seed=5), whole)
    np.testing.assert_allclose(flows.sample(given, seed=5, members=[4, 1]), whole[[4, 1]], atol=1e-6)
    np.testing.assert_allclose(flows.member(4).sample(given, seed=5)[0], whole[4], atol=1e-6)
    np.testing.assert_allclose(flows.sample(given[: CHUNK + 7], seed=5), whole[:, : CHUNK + 7], atol=1e-6)
    np.testing.assert_allclose(flows.member(-1).log_prob(whole[5], given)[0], flows.log_prob(whole[5], given)[5])
    assert not np.isclose(flows.sample(given, seed=6), whole).any()
    # members draw with numbers of their own
    first = [flows.layers(given, seed=5, member=member)[0] for member in (0, 1)]
    assert abs(np.corrcoef(first[0].ravel(), first[1].ravel())[0, 1]) < 0.05


def test_layers_lead_from_normal_numbers_to_the_draws() -> None:
    flows = made(2, 1)
    given = np.zeros((500, 1))
    steps = flows.layers(given, seed=2, member=1)
    assert len(steps) == SETTINGS.layers + 1 and abs(steps[0].mean()) < 0.2 and abs(steps[0].std() - 1.0) < 0.1
    np.testing.assert_allclose(steps[-1], flows.sample(given, seed=2)[1], atol=1e-6)


def test_state_survives_a_file(tmp_path: Path) -> None:
    flows = replace(made(3, 2), history={"train": np.array([[1.0, np.nan]] * 2)}, failed=(7,))
    save(flows, tmp_path / "flows")
    back = load(tmp_path / "flows", {"Flows": Flows})
    x, given = np.random.default_rng(1).normal(size=(2, 50, 3))[:, :, :3]
    np.testing.assert_array_equal(back.log_prob(x, given[:, :2]), flows.log_prob(x, given[:, :2]))
    np.testing.assert_array_equal(back.history["train"], flows.history["train"])
    assert (back.flow, back.seeds, back.failed) == (flows.flow, flows.seeds, flows.failed)
    for name in ("parameters", "orders", "mean", "variance"):
        found, expected = getattr(back, name), getattr(flows, name)
        np.testing.assert_array_equal(found, expected)
        assert found.dtype == expected.dtype


def _bad(x: np.ndarray, value: float) -> np.ndarray:
    x[3, 1] = value
    return x


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, c: (x[:, :2], c), r"values have the shape \(9, 2\); give \(n, 3\)"),
        (lambda x, c: (x, c[:, :1]), r"conditions have the shape \(9, 1\); give \(n, 2\)"),
        (lambda x, c: (x, c[:5]), "9 rows of values but 5 of conditions"),
        (lambda x, c: (_bad(x, np.nan), c), "values: row 3, column 1 is nan"),
        (lambda x, c: (x, _bad(c, 1e300)), r"conditions: row 3, column 1 is 1e\+300"),
    ],
)
def test_what_is_refused(change: Callable[..., tuple[np.ndarray, np.ndarray]], message: str) -> None:
    with pytest.raises(DataError, match=message):
        made(3, 2).log_prob(*change(np.zeros((9, 3)), np.zeros((9, 2))))


@pytest.mark.parametrize(
    "setting",
    [{"layers": 0}, {"bins": 1}, {"bins": 101}, {"bound": -1.0}, {"hidden": 0}, {"blocks": 1.5}, {"dropout": 1.0}],
)
def test_settings_that_are_refused(setting: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=f"Flow: {next(iter(setting))} is "):
        Flow(**setting)  # type: ignore[arg-type]


def test_networks_without_blocks_or_with_two() -> None:
    for blocks in (0, 2):
        flows = made(2, 1, flow=Flow(layers=2, hidden=4, blocks=blocks))
        assert np.isfinite(flows.log_prob(np.zeros((4, 2)), np.zeros((4, 1)))).all()


def test_noise_that_is_given_makes_the_draws() -> None:
    """Whichever rows are asked for."""
    flows = made(3, 2, members=5)
    given = np.random.default_rng(1).normal(size=(1500, 2))
    noise = np.stack([flows.layers(given, seed=4, member=member)[0] for member in range(5)])
    drawn = flows.sample(given, seed=4)
    assert np.array_equal(flows.transformed(noise, given), drawn)
    some = np.array([3, 700, 1400])
    assert np.allclose(flows.transformed(noise[:, some], given[some]), drawn[:, some], atol=1e-5)
    with pytest.raises(DataError, match=r"noise has the shape \(2, 1500, 3\); give \(5, 1500, 3\)"):
        flows.transformed(noise[:2], given)
