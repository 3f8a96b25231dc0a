"""Named streams, identities, and the map that resumes; what a kill does to it is in `test_resume.py`."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import hist
import numpy as np
import pytest

from backdrop import Events, Region
from backdrop.errors import ArtifactError
from backdrop.tasks import (
    checkpoint,
    checkpoints,
    fingerprint,
    named_seed,
    once,
    pool,
    progress,
    report,
    resumable,
    stream,
)

# ---- streams ---------------------------------------------------------------------------------------------------------


def test_streams_are_known_by_name_and_not_by_order() -> None:
    forward = {i: stream(1, "replica", i).normal(size=3) for i in range(5)}
    backward = {i: stream(1, "replica", i).normal(size=3) for i in reversed(range(5))}
    assert all(np.array_equal(forward[i], backward[i]) for i in range(5))
    firsts = [stream(seed, name, i).normal() for seed in (0, 1) for name in ("replica", "member") for i in range(20)]
    assert len(set(firsts)) == len(firsts)


def test_a_name_is_the_same_in_numpy_integers_but_not_in_text() -> None:
    assert named_seed(np.int64(3), "toy", np.uint8(7)) == named_seed(3, "toy", 7)
    assert (
        len({named_seed(3, "toy", 7), named_seed(3, "toy", "7"), named_seed(3, "toy7"), named_seed(3, 7, "toy")}) == 4
    )
    with pytest.raises(TypeError, match="float"):
        named_seed(1.5, "toy")
    assert stream(2**63, "x").normal() != stream(2**63 + 1, "x").normal()


# ---- identity --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Settings:
    control: Region
    cuts: tuple[float, ...] = (1.0, 2.0)
    extra: object = None


def test_equal_values_have_equal_fingerprints() -> None:
    axis = hist.axis.Regular(2, 0, 1, name="m")
    settings = _Settings(Region("CR", "m > 1"), extra={"axis": axis, "a": [1, None, "x"], "b": np.arange(3)})
    assert fingerprint(frozenset("abcdef")) == fingerprint(frozenset("fedcba"))
    again = _Settings(Region("CR", "m > 1"), extra={"b": np.arange(3), "a": [1, None, "x"], "axis": axis})
    assert fingerprint(settings) == fingerprint(again)
    assert fingerprint(replace(settings, control=Region("renamed", "m > 1"))) == fingerprint(settings)


def test_different_values_have_different_fingerprints() -> None:
    events = Events.of({"m": np.arange(3.0)})
    values = [
        None, 0, 1, True, 1.0, "1", b"1", np.float64(1.0), (1,), ((1,), 2), ((1, 2),), (1, 2), [], {},
        {"a": {}, "b": 1}, {"a": {"b": 1}}, {"a": {"b": 1}, "c": 2}, {"a": {"b": 1, "c": 2}}, {1: 2}, {"1": 2},
        MappingProxyType({"a": 1}), np.zeros(2), np.zeros(2, np.float32), np.zeros((1, 2)), np.zeros((2, 1)),
        _Settings(Region("CR", "m > 1")), _Settings(Region("CR", "m > 2")), Region("CR", "m > 1"), events,
        _Settings(Region("CR", "m > 1"), (1.0, 3.0)), 2.0 * events, hist.axis.Regular(2, 0, 1, name="m"),
        hist.axis.Regular(2, 0, 1 + 1e-12, name="m"), hist.axis.Regular(2, 0, 1, name="n"), {"a": "b"}, ("a", "b"),
        frozenset({1}), frozenset({1, 2}), frozenset({"b", "a"}),
    ]  # fmt: skip
    prints = [fingerprint(value) for value in values]
    assert len(set(prints)) == len(prints)


@pytest.mark.parametrize("value", [object(), {1, 2}, len, _Settings, np.array([object()]), (1, [object()])])
def test_what_has_no_stable_fingerprint_is_refused(value: object) -> None:
    with pytest.raises(ArtifactError, match="no stable fingerprint"):
        fingerprint(value)


# ---- resumable -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Noted:
    """An item whose run leaves a line in a file."""

    number: int
    log: str
    factor: float = 1.0


def square(item: _Noted) -> dict[str, np.ndarray]:
    """Square a number; a line of the log says that it was done."""
    with open(item.log, "a") as log:
        log.write(f"{item.number}\n")
    return {"y": np.array(item.factor * item.number**2), "noise": stream(1, "square", item.number).normal(size=4)}


def cube(item: _Noted) -> dict[str, np.ndarray]:
    return square(item) | {"y": np.array(item.number**3)}


def fails_at_three(item: _Noted) -> dict[str, np.ndarray]:
    if item.number == 3 and not Path(item.log + ".fixed").exists():
        raise ValueError("three")
    return square(item)


def _items(tmp_path: Path, *numbers: int) -> list[_Noted]:
    return [_Noted(number, str(tmp_path / "log")) for number in numbers]


def _done(tmp_path: Path) -> list[int]:
    log = tmp_path / "log"
    return [int(line) for line in log.read_text().split()] if log.exists() else []


def _values(results: Iterable[dict[str, np.ndarray]]) -> list[float]:
    return [float(result["y"]) for result in results]


def test_finished_tasks_are_skipped_and_the_order_kept(tmp_path: Path) -> None:
    kept = resumable(map, tmp_path / "kept")
    assert _values(kept(square, _items(tmp_path, 5, 1))) == [25, 1]
    assert _values(kept(square, _items(tmp_path, 2, 1, 5, 3, 2))) == [4, 1, 25, 9, 4]
    assert _done(tmp_path) == [5, 1, 2, 3]
    plain, stored = list(map(square, _items(tmp_path, 5))), list(kept(square, _items(tmp_path, 5)))
    assert plain[0].keys() == stored[0].keys()
    assert all(plain[0][name].tobytes() == stored[0][name].tobytes() for name in plain[0])
    assert stored[0]["y"].shape == ()


def test_a_map_in_another_order_gives_the_order_of_the_items(tmp_path: Path) -> None:
    def backwards(function: Callable[[object], object], items: list[object]) -> list[object]:
        return [function(item) for item in reversed(items)]

    assert _values(resumable(backwards, tmp_path)(square, _items(tmp_path, 1, 2, 3))) == [1, 4, 9]


def test_a_failure_keeps_what_was_finished(tmp_path: Path) -> None:
    kept = resumable(map, tmp_path / "kept")
    with pytest.raises(ValueError, match="three"):
        list(kept(fails_at_three, _items(tmp_path, 1, 2, 3, 4)))
    (tmp_path / "log.fixed").touch()
    assert _values(kept(fails_at_three, _items(tmp_path, 1, 2, 3, 4))) == [1, 4, 9, 16]
    assert _done(tmp_path) == [1, 2, 3, 4]


def test_identity_is_function_item_and_versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept, items = resumable(map, tmp_path / "kept"), _items(tmp_path, 2)
    assert _values(kept(square, items)) == [4]
    assert _values(kept(cube, items)) == [8]
    assert _values(kept(square, [replace(items[0], factor=2.0)])) == [8]
    monkeypatch.setattr("backdrop.version.__version__", "0.0.0+other")
    assert _values(kept(square, items)) == [4]
    assert len(_done(tmp_path)) == 4


def test_functions_that_share_a_name_are_refused(tmp_path: Path) -> None:
    for function in (lambda item: {"y": np.array(1)}, lambda item: {"y": np.array(2)}):
        with pytest.raises(ArtifactError, match="no name of its own"):
            list(resumable(map, tmp_path)(function, [1]))


@pytest.mark.parametrize(
    "damage", [lambda b: b[:-1], lambda b: b[:50] + b"\x00" + b[51:], lambda b: b"", lambda b: b[:9]]
)
def test_a_damaged_result_is_run_again(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    kept = resumable(map, tmp_path / "kept")
    list(kept(square, _items(tmp_path, 1, 2)))
    victim = next((tmp_path / "kept").glob("*.npz"))
    victim.write_bytes(damage(victim.read_bytes()))
    assert _values(kept(square, _items(tmp_path, 1, 2))) == [1, 4]
    assert sorted(_done(tmp_path)) in ([1, 1, 2], [1, 2, 2])


def test_resumed_equals_uninterrupted(tmp_path: Path) -> None:
    cut, whole = (resumable(map, tmp_path / name) for name in ("cut", "whole"))
    items = _items(tmp_path, *range(6))
    stopped = iter(cut(square, items))
    for _ in range(3):
        next(stopped)
    del stopped
    resumed, uninterrupted = list(cut(square, items)), list(whole(square, items))
    for a, b in zip(resumed, uninterrupted, strict=True):
        assert {name: array.tobytes() for name, array in a.items()} == {name: b[name].tobytes() for name in b}
    assert _done(tmp_path) == [*range(6), *range(6)]


def test_a_stored_result_carries_its_checksum(tmp_path: Path) -> None:
    list(resumable(map, tmp_path / "kept")(square, _items(tmp_path, 1)))
    (file,) = (tmp_path / "kept").iterdir()
    body = file.read_bytes()
    assert hashlib.sha256(body[32:]).digest() == body[:32]


# ---- checkpoints -----------------------------------------------------------------------------------------------------


def where(name: str) -> str:
    return str(checkpoint(name))


def test_trainings_keep_their_checkpoints_where_they_are_told_to_in_every_process(tmp_path: Path) -> None:
    assert checkpoint("flow") is None
    with checkpoints(tmp_path), pool(2) as map:
        assert checkpoint("flow") == tmp_path / "flow"
        assert list(map(where, ["a", "b"])) == [str(tmp_path / "a"), str(tmp_path / "b")]
        with checkpoints(tmp_path / "inner"):
            assert checkpoint("flow") == tmp_path / "inner" / "flow"
        assert checkpoint("flow") == tmp_path / "flow"
    assert checkpoint("flow") is None


def noted(item: tuple[str, float]) -> dict[str, np.ndarray]:
    place, value = item
    with open(place, "a") as file:
        file.write("done\n")
    return {"y": np.array(value * value)}


def test_what_is_made_once_is_found_beside_the_checkpoints(tmp_path: Path) -> None:
    log = tmp_path / "log"
    for _ in range(2):
        assert once(noted, (str(log), 3.0))["y"] == 9.0
    assert log.read_text() == "done\n" * 2
    with checkpoints(tmp_path / "kept"):
        for _ in range(3):
            assert once(noted, (str(log), 3.0))["y"] == 9.0
        assert log.read_text() == "done\n" * 3
        assert once(noted, (str(log), 2.0))["y"] == 4.0
    assert log.read_text() == "done\n" * 4


def test_a_long_task_says_how_far_it_is_where_there_is_a_bar() -> None:
    from backdrop import tasks

    seen = []

    def work(item: int) -> int:
        for epoch in range(1, 4):
            report("training flows", epoch, 3)
            seen.append([(one.description, one.completed, one.total, one.visible) for one in tasks._bar.tasks])
        return item

    report("training flows", 1, 3)
    assert list(progress(map, "fits")(work, [7, 8])) == [7, 8]
    assert seen[0] == [("fits", 0, 2, True), ("training flows", 1, 3, True)]
    assert seen[2] == [("fits", 0, 2, True), ("training flows", 3, 3, False)]
    assert seen[3] == [("fits", 1, 2, True), ("training flows", 1, 3, True)]
    assert tasks._bar is None
