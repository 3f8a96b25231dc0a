"""save and load: exact, checked before parsing, and made of nothing that runs."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from typing import Any

import hist
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from backdrop import Channel, Region, template
from backdrop.errors import ArtifactError
from backdrop.estimate import Estimate
from backdrop.events import Events
from backdrop.io import load, save


@dataclass(frozen=True, eq=False)
class Kept:
    """Anything with a state."""

    value: Any

    def state(self):
        return {"value": self.value}

    @classmethod
    def from_state(cls, state):
        return cls(state["value"])


class Other(Kept):
    """A type of its own."""


def identical(first: Any, second: Any) -> bool:
    if type(first) is not type(second):
        return False
    if isinstance(first, np.ndarray | np.generic):
        first, second = np.asarray(first), np.asarray(second)
        return first.dtype == second.dtype and first.shape == second.shape and first.tobytes() == second.tobytes()
    if isinstance(first, dict):
        return list(first) == list(second) and all(identical(first[key], second[key]) for key in first)
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(map(identical, first, second))
    if isinstance(first, Kept):
        return identical(first.value, second.value)
    if isinstance(first, float):
        return np.float64(first).tobytes() == np.float64(second).tobytes()
    return bool(first == second)


DTYPES = ["?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", ">f8", ">u4", "c16", "U5"]
ARRAYS = st.sampled_from(DTYPES).flatmap(
    lambda dtype: hnp.arrays(np.dtype(dtype), hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
)
PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text(max_size=20) | ARRAYS
VALUES = st.recursive(
    PLAIN,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=4) | st.integers() | st.just("__type__"), inner, max_size=3)
        | inner.map(Other)
    ),
    max_leaves=12,
)


@settings(max_examples=120)
@given(VALUES)
def test_every_state_comes_back_bit_by_bit(tmp_path_factory, value):
    path = tmp_path_factory.mktemp("states") / "it"
    save(Kept(value), path)
    again = load(path, {"Kept": Kept, "Other": Other})
    assert type(again) is Kept
    assert identical(again.value, value)


def test_special_values(tmp_path):
    value = {
        "nan": float("nan"),
        "minus zero": -0.0,
        "big": 2**63 + 1,
        "scalar": np.float32(1.1),
        "ids": np.array([2**64 - 1], np.uint64),
        "empty": np.zeros((0, 3), np.int16),
        "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "strided": np.arange(10)[::3],
        "infinite": np.array([complex(np.inf, -0.0), complex(np.nan, 1)]),
        "tuple": (1, (2, [3, None])),
        "text": "tree\r\nnumber=0\n" * 1000,
        "names": {"a/b": np.ones(1), "a": {"b": np.zeros(1)}},
        "nested": [Other(np.arange(3)), {"deep": Other("x")}],
    }
    save(Kept(value), tmp_path / "it")
    again = load(tmp_path / "it", {"Kept": Kept, "Other": Other}).value
    assert identical(again, value)
    assert again["ids"].flags.writeable
    assert sorted(os.listdir(tmp_path / "it")) == ["arrays.safetensors", "manifest.json", "state.json", "text-0.txt"]
    assert (tmp_path / "it" / "text-0.txt").read_bytes() == value["text"].encode()


def test_an_estimate_survives(tmp_path):
    channel = Channel("low", Region("low", "m < 100"), (hist.axis.Regular(5, 0, 100, name="m", label="m [GeV]"),))
    found = template(Events.of({"m": np.random.default_rng(1).uniform(0, 120, 500)}), [channel])
    found = found.with_variation("scale", 1.1 * found.nominal)
    save(found, tmp_path / "estimate")
    again = load(tmp_path / "estimate", {"Estimate": Estimate})
    assert again.nominal.tobytes() == found.nominal.tobytes()
    assert again.channels[0].state() == channel.state()
    assert identical(again.variations["scale"], found.variations["scale"])


@pytest.mark.parametrize("value", [{1, 2}, object(), np.array([object()]), np.array(["2020"], "M8[D]"), b"bytes", Kept])
def test_what_cannot_be_kept_is_refused_and_leaves_nothing(tmp_path, value):
    with pytest.raises(ArtifactError, match=r"'/value' .*cannot be kept"):
        save(Kept(value), tmp_path / "it")
    assert os.listdir(tmp_path) == []
    with pytest.raises(ArtifactError, match=r"a dict has no state\(\)"):
        save({}, tmp_path / "it")


def test_every_flip_is_found_before_parsing(tmp_path):
    save(Kept({"x": np.arange(50.0), "text": "booster " * 1000}), tmp_path / "it")
    rng = np.random.default_rng(3)
    for name in sorted(os.listdir(tmp_path / "it")):
        path = tmp_path / "it" / name
        good = path.read_bytes()
        for place in rng.integers(0, len(good), 25):
            bad = bytearray(good)
            bad[place] ^= 1 << rng.integers(8)
            path.write_bytes(bad)
            with pytest.raises(ArtifactError):
                load(tmp_path / "it", {"Kept": Kept})
        for cut in (0, len(good) // 2):
            path.write_bytes(good[:cut])
            with pytest.raises(ArtifactError, match=r"damaged"):
                load(tmp_path / "it", {"Kept": Kept})
        path.unlink()
        with pytest.raises(ArtifactError, match=r"missing|has no manifest\.json"):
            load(tmp_path / "it", {"Kept": Kept})
        path.write_bytes(good)
    assert identical(load(tmp_path / "it", {"Kept": Kept}).value["x"], np.arange(50.0))


def rewritten(path, **changes):
    """Change a manifest as another version would have written it."""
    from backdrop.io.models import _digest

    manifest = json.loads((path / "manifest.json").read_text())
    del manifest["digest"]
    manifest |= changes
    (path / "manifest.json").write_text(json.dumps({**manifest, "digest": _digest(manifest)}))


def test_other_schemas_are_named(tmp_path):
    save(Kept(1), tmp_path / "it")
    rewritten(tmp_path / "it", schema=2, backdrop="9.0")
    with pytest.raises(ArtifactError, match=r"newer schema 2 \(backdrop 9.0\); this is .* schema 1: update"):
        load(tmp_path / "it", {"Kept": Kept})
    rewritten(tmp_path / "it", schema=0)
    with pytest.raises(ArtifactError, match=r"older schema 0 .* fit and save it again"):
        load(tmp_path / "it", {"Kept": Kept})
    rewritten(tmp_path / "it", schema=1, files={"../x": "0"})
    with pytest.raises(ArtifactError, match="does not list the files of a saved object"):
        load(tmp_path / "it", {"Kept": Kept})


def test_only_named_types_are_made(tmp_path):
    save(Kept([Other(1)]), tmp_path / "it")
    with pytest.raises(ArtifactError, match=r"holds a 'Kept', which is not among .* allowed: Other"):
        load(tmp_path / "it", {"Other": Other})
    with pytest.raises(ArtifactError, match="holds a 'Other'"):
        load(tmp_path / "it", {"Kept": Kept})


def test_a_state_of_another_version_is_named(tmp_path):
    class Changed(Kept):
        @classmethod
        def from_state(cls, state):
            return cls(state["renamed"])

    save(Kept(1), tmp_path / "it")
    with pytest.raises(ArtifactError, match=r"state of a Kept does not fit this version \(KeyError: 'renamed'\)"):
        load(tmp_path / "it", {"Kept": Changed})


def test_folders_are_replaced_as_a_whole(tmp_path):
    save(Kept(1), tmp_path / "it")
    with pytest.raises(ArtifactError, match="exists already; give overwrite=True"):
        save(Kept(2), tmp_path / "it")
    save(Kept(2), tmp_path / "it", overwrite=True)
    assert load(tmp_path / "it", {"Kept": Kept}).value == 2
    assert os.listdir(tmp_path) == ["it"]
    (tmp_path / "mine").mkdir()
    with pytest.raises(ArtifactError, match="exists already; choose another path"):
        save(Kept(1), tmp_path / "mine", overwrite=True)
    # A writer that was stopped between the two moves of a replacement.
    shutil.move(tmp_path / "it", tmp_path / ".it.replaced")
    assert load(tmp_path / "it", {"Kept": Kept}).value == 2
