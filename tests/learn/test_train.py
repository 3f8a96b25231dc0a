"""Training of flows: members, weights, early stops, members that diverge, checkpoints, and a density that is known."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import backdrop
from backdrop.errors import ArtifactError, ConfigError, DataError, FitError
from backdrop.learn.flow import Flow, Flows
from backdrop.learn.flow_layers import Layers
from backdrop.learn.flow_network import Dropout
from backdrop.learn.train import Training, _data, fit_flows
from backdrop.learn.train_files import Checkpoint
from backdrop.learn.train_loop import Trainer

SMALL = Flow(layers=2, hidden=8)
SHORT = Training(batch=128, epochs=4, steps=0)


def sample(n: int = 500, seed: int = 1, features: int = 2) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return values that move and widen with a condition, and keys."""
    rng = np.random.default_rng(seed)
    given = rng.normal(size=(n, 1))
    x = rng.normal(size=(n, features)) * np.exp(0.3 * given) + 0.5 * given
    return x, given, rng.integers(0, 2**63, n, dtype=np.uint64)


def trained(members: int, n: int = 500, first: int = 0, weights: np.ndarray | None = None, **more: Any) -> Flows:
    x, given, keys = sample(n)
    weights = np.ones((members, n)) if weights is None else weights
    settings = {"flow": SMALL, "training": SHORT, **more}
    return fit_flows(x, given, weights, keys, seeds=range(first, first + members), **settings)


def trainer(members: int, training: Training = SHORT, n: int = 500) -> Trainer:
    x, given, keys = sample(n)
    data = _data(x, given, np.ones((members, n)), keys, training, list(range(members)))
    return Trainer(SMALL, training, data, "cpu")


def same(a: Flows, b: Flows) -> None:
    assert a.seeds == b.seeds
    for name in ("parameters", "orders", "mean", "variance"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    for name, losses in a.history.items():
        np.testing.assert_array_equal(losses, b.history[name])


def test_members_are_what_they_are_alone() -> None:
    """Six members are two groups; each has its own seed, weights, order, dropout and share that is held out."""
    weights = np.random.default_rng(5).poisson(1.0, (6, 500)).astype(float)
    together = trained(6, weights=weights)
    same(together, trained(6, weights=weights))
    for member in (0, 5):
        alone = trained(1, first=member, weights=weights[member : member + 1])
        np.testing.assert_allclose(alone.parameters[0], together.parameters[member], atol=1e-5)
        np.testing.assert_allclose(alone.history["held_out"][0], together.history["held_out"][member], atol=1e-5)
    assert len({row.tobytes() for row in together.parameters}) == 6


def test_only_the_seed_differs_and_so_do_the_members() -> None:
    flows = trained(2)
    assert not np.isclose(*flows.history["held_out"]).any()


@pytest.mark.parametrize("dropout", [None, 0.0])
def test_a_weight_is_a_repetition_and_zero_is_absence(dropout: float | None) -> None:
    """Of likelihood, gradient and batch norms."""
    layers, rng = Layers(Flow(layers=3, hidden=8), 2, 1), np.random.default_rng(1)
    counts = rng.integers(0, 4, 60)
    again = np.repeat(np.arange(60), counts)
    x, given = (torch.as_tensor(rng.normal(size=(1, d, 60)), dtype=torch.float32) for d in (2, 2))
    given[:, 1] = 1.0
    orders = torch.as_tensor(layers.orders([1]))
    drop = None if dropout is None else Dropout(np.zeros((1, 3, 1), np.uint32), dropout)
    found = []
    for rows, weight in ((np.arange(60), counts), (again, np.ones(len(again)))):
        w = torch.as_tensor(weight, dtype=torch.float32)[None]
        theta = torch.as_tensor(layers.initial([1])).requires_grad_()
        log_prob, norms = layers.log_prob(
            theta, orders, x[:, :, rows], given[:, :, rows], share=w / w.sum(), dropout=drop
        )
        (log_prob * w).sum().backward()
        found.append(((log_prob * w).sum().detach(), theta.grad, norms.mean, norms.variance))
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


def test_rows_of_zero_weight_do_nothing() -> None:
    x, given, keys = sample()
    weights = np.random.default_rng(2).poisson(1.0, (1, 500)).astype(float)
    some = weights[0] > 0.0
    wild = np.where(some[:, None], x, 1e6)
    args = {"flow": SMALL, "training": SHORT, "seeds": [3]}
    whole = fit_flows(wild, given, weights, keys, **args)  # type: ignore[arg-type]
    part = fit_flows(x[some], given[some], weights[:, some], keys[some], **args)  # type: ignore[arg-type]
    same(whole, part)


def test_the_scale_of_the_weights_does_nothing() -> None:
    weights = np.random.default_rng(2).exponential(size=(1, 500))
    a, b = trained(1, weights=weights), trained(1, weights=1024.0 * weights)
    np.testing.assert_allclose(a.parameters, b.parameters, atol=1e-6)


def test_a_member_stops_and_keeps_its_best() -> None:
    """Few events and a high rate: the likelihood of those held out falls soon."""
    training = Training(batch=32, epochs=60, steps=0, rate=0.03, patience=3)
    flows = trained(4, n=120, training=training)
    x, given, keys = sample(120)
    data = _data(x, given, np.ones((4, 120)), keys, training, [0, 1, 2, 3])
    for member, losses in enumerate(flows.history["held_out"]):
        done = int(np.isfinite(losses).sum())
        best = int(np.nanargmax(losses))
        assert done == best + 1 + training.patience < 60
        out = data.held_out[member]
        np.testing.assert_allclose(flows.log_prob(x[out], given[out])[member].mean(), losses[best], atol=1e-5)
    assert np.isfinite(flows.history["held_out"]).sum(1).std() > 0.0


def test_each_member_holds_out_its_own_share() -> None:
    data = trainer(3, n=3000).data
    for trained_on, out in zip(data.trained, data.held_out, strict=True):
        assert not set(trained_on) & set(out) and len(trained_on) + len(out) == 3000
        assert abs(len(out) - 600) < 4.0 * math.sqrt(480.0)
    assert len(set(data.held_out[0]) & set(data.held_out[1])) < 200


def test_small_samples_have_more_epochs_and_more_patience() -> None:
    one = trainer(1, Training(batch=100, epochs=10, steps=100, patience=3))
    assert (one.steps, one.epochs, one.patience) == (4, 25, 8)
    assert (trainer(1).epochs, trainer(1).patience) == (SHORT.epochs, SHORT.patience)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_device_gives_the_same(tmp_path: Path) -> None:
    here, there = trained(5), trained(5, device="cuda", checkpoint=tmp_path)
    np.testing.assert_allclose(there.history["held_out"], here.history["held_out"], atol=1e-3)
    x, given, _ = sample()
    np.testing.assert_allclose(here.log_prob(x, given, device="cuda"), here.log_prob(x, given), atol=1e-4)
    np.testing.assert_allclose(here.sample(given, seed=1, device="cuda"), here.sample(given, seed=1), atol=1e-4)


# ---- members that diverge --------------------------------------------------------------------------------------------


def test_a_member_that_diverges_goes_back_one_step_at_half_the_rate() -> None:
    one = trainer(2)
    orders = [rows for rows in one.data.trained]
    for step in (0, 1):
        one._step([0, 1], orders, step)
    healthy = one.state.copied()
    one._step([0, 1], orders, 2)
    one.state.theta[1, 5] = math.nan
    one._step([0, 1], orders, 3)
    # what it was before the step that spoiled it
    np.testing.assert_array_equal(one.state.theta[1], healthy["theta"][1])
    np.testing.assert_array_equal(one.state.second[1], healthy["second"][1])
    assert one.state.halvings.tolist() == [0, 1] and one.state.count.tolist() == [4, 2]
    one._step([0, 1], orders, 3)
    assert one.state.count.tolist() == [5, 3] and torch.isfinite(one.state.theta).all()


def test_a_member_that_cannot_be_trained_is_left_out() -> None:
    good, bad = trainer(3), trainer(3)
    bad.state.theta[1] = math.nan
    bad.before["theta"][1] = math.nan
    with pytest.warns(UserWarning, match=r"1 of 3 flows could not be trained and are left out \(seeds 1\)"):
        found = bad.run()
    whole = good.run()
    assert found.seeds == (0, 2) and found.failed == (1,)
    assert bad.state.halvings.tolist() == [0, 4, 0] and int(bad.state.count[1]) == 0
    for here, there in enumerate((0, 2)):
        np.testing.assert_allclose(found.parameters[here], whole.parameters[there], atol=1e-5)
    assert np.isfinite(found.parameters).all()


def test_all_members_fail() -> None:
    bad = trainer(2)
    bad.state.theta[:] = math.nan
    with pytest.raises(FitError, match="none of the 2 flows could be trained"):
        bad.run()


# ---- checkpoints -----------------------------------------------------------------------------------------------------

_KILLED = """
    import os, signal, sys
    from test_train import trained

    def progress(done, epochs):
        if done == 2:
            os.kill(os.getpid(), signal.SIGKILL)

    trained(2, checkpoint=sys.argv[1], progress=progress)
"""


def test_killed_and_resumed_is_the_same(tmp_path: Path) -> None:
    here = os.pathsep.join(str(path) for path in (Path(backdrop.__file__).parent.parent, Path(__file__).parent))
    command = [sys.executable, "-c", textwrap.dedent(_KILLED), str(tmp_path)]
    killed = subprocess.run(command, env={**os.environ, "PYTHONPATH": here}, capture_output=True, timeout=120)
    assert killed.returncode == -9, killed.stderr.decode()
    assert sorted(file.suffix for file in tmp_path.iterdir()) == [".json", ".safetensors"]
    epochs: list[int] = []
    resumed = trained(2, checkpoint=tmp_path, progress=lambda done, _: epochs.append(done))
    assert epochs == [3, 4]
    same(resumed, trained(2))
    # a finished one is read back
    epochs.clear()
    same(trained(2, checkpoint=tmp_path, progress=lambda done, _: epochs.append(done)), resumed)
    assert not epochs


def test_another_training_has_another_checkpoint(tmp_path: Path) -> None:
    first = trained(1, checkpoint=tmp_path)
    other = trained(1, checkpoint=tmp_path, training=replace(SHORT, rate=1e-4))
    assert len(list(tmp_path.iterdir())) == 4
    same(other, trained(1, training=replace(SHORT, rate=1e-4)))
    same(trained(1, checkpoint=tmp_path), first)


@pytest.mark.parametrize("part", [".safetensors", ".json"])
def test_a_damaged_checkpoint_is_refused(tmp_path: Path, part: str) -> None:
    trained(1, checkpoint=tmp_path)
    (file,) = tmp_path.glob(f"*{part}")
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(bytes(data))
    with pytest.raises(ArtifactError, match=r"is damaged .* delete it to train from the start"):
        trained(1, checkpoint=tmp_path)


def test_a_checkpoint_is_bound_to_the_data() -> None:
    x, given, keys = sample()
    names = set()
    for shift in (0.0, 1e-3):
        data = _data(x + shift, given, np.ones((1, 500)), keys, SHORT, [0])
        names |= {Checkpoint.of("here", SMALL, SHORT, data, device).name for device in ("cpu", "cuda")}
    assert len(names) == 4


def test_events_that_are_held_out_are_not_trained_on() -> None:
    x, given, keys = sample()
    out = np.arange(500) % 3 == 0
    wild = np.where(out[:, None], 10.0 * x, x)
    weights, held_out = np.where(out, 0.0, 1.0)[None], np.where(out, 2.0, 0.0)[None]
    args = {"flow": SMALL, "training": replace(SHORT, patience=4), "seeds": [3]}
    one, other = (fit_flows(v, given, weights, keys, held_out=held_out, **args) for v in (x, wild))  # type: ignore[arg-type]
    np.testing.assert_array_equal(one.history["train"], other.history["train"])
    assert (one.history["held_out"] > other.history["held_out"] + 1.0).all()


# ---- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights": -np.ones((1, 500))}, "row 0 for member 0 is -1; a likelihood needs weights that are not negative"),
        ({"weights": np.full((1, 500), np.nan)}, "row 0 for member 0 is nan"),
        ({"weights": np.ones((2, 500))}, r"weights have the shape \(2, 500\).*\(1, 500\)"),
        ({"weights": np.r_[np.ones(10), np.zeros(490)][None]}, "member 0 has .* a flow needs 20 and 1"),
        ({"keys": np.zeros(3, np.uint64)}, "500 rows of values, 500 of conditions and 3 keys"),
        ({"values": np.zeros((500, 0))}, "values have no columns"),
        ({"values": np.full((500, 1), np.inf)}, "values: row 0, column 0 is inf"),
        ({"held_out": np.ones((1, 500))}, "row 0 is both trained on and held out for member 0"),
        ({"held_out": np.zeros((1, 500))}, "500 events of positive weight to be trained on and 0 to be held out"),
        ({"held_out": np.zeros((2, 500))}, r"weights have the shape \(2, 500\).*\(1, 500\)"),
        ({"seeds": [4, 4], "weights": np.ones((2, 500))}, r"of the seeds \[4, 4\] two are equal"),
    ],
)
def test_data_that_are_refused(change: dict[str, Any], message: str) -> None:
    x, given, keys = sample()
    settings = {"values": x, "conditions": given, "keys": keys, "weights": np.ones((1, 500)), "seeds": [0], **change}
    with pytest.raises(DataError, match=message):
        fit_flows(**settings, flow=SMALL, training=SHORT)


@pytest.mark.parametrize(
    "setting",
    [
        {"batch": 4},
        {"epochs": 0},
        {"steps": -1},
        {"rate": 0.0},
        {"decay": -1e-6},
        {"held_out": 1.0},
        {"patience": 0},
        {"clip": math.nan},
        {"momentum": 0.0},
    ],
)
def test_settings_that_are_refused(setting: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=f"Training: {next(iter(setting))} is "):
        Training(**setting)  # type: ignore[arg-type]


# ---- what is learned -------------------------------------------------------------------------------------------------


def test_a_known_density_is_learned() -> None:
    """Kullback-Leibler divergence from the truth of two features that move, widen and bend with a condition."""
    rng = np.random.default_rng(11)
    given, z = rng.uniform(-1.5, 1.5, (15_000, 1)), rng.normal(size=(15_000, 2))
    wide = np.exp(0.4 * given[:, 0])
    x = np.stack([0.7 * given[:, 0] + wide * z[:, 0], 0.6 * np.sinh(z[:, 1]) + 0.3 * z[:, 0]], axis=1)
    truth = -0.5 * (z**2).sum(1) - math.log(2.0 * math.pi) - np.log(wide * 0.6 * np.cosh(z[:, 1]))
    new = np.arange(15_000) >= 5000
    keys = rng.integers(0, 2**63, 15_000, dtype=np.uint64)
    flows = fit_flows(
        x[~new],
        given[~new],
        np.ones((2, 5000)),
        keys[~new],
        flow=Flow(layers=4, hidden=16),
        training=Training(batch=250, epochs=20, steps=0, rate=5e-3),
        seeds=[1, 2],
    )
    difference = truth[new] - flows.log_prob(x[new], given[new])
    error = difference.std(1) / math.sqrt(new.sum())
    assert (difference.mean(1) + 3.0 * error < 0.08).all() and (difference.mean(1) > -3.0 * error).all()
    # and it knows the condition: the width of the draws follows it
    for place in (-0.8, 0.8):
        drawn = flows.sample(np.full((4000, 1), place), seed=1)[..., 0]
        np.testing.assert_allclose(drawn.std(1), math.exp(0.4 * place), rtol=0.1)
        np.testing.assert_allclose(drawn.mean(1), 0.7 * place, atol=0.1 * math.exp(0.4 * place))
