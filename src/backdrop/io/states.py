"""States as plain JSON, with arrays and long texts set aside, and back without a loss of a bit."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import ArtifactError, nearest

_LONGEST_TEXT = 4096
_INTEGERS = [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)]
_DTYPES = frozenset(["bool", *_INTEGERS, "float16", "float32", "float64", "complex64", "complex128"])


@dataclass
class Encoder:
    """Turns a state into JSON; collects its arrays and its long texts (boosters) by name."""

    arrays: dict[str, Any] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)

    def encode(self, value: Any, where: str) -> Any:
        """Return `value` as JSON.

        Raises
        ------
        ArtifactError
            If it holds something that is neither plain nor gives a ``state()``.
        """
        if value is None or type(value) in (bool, int):
            return value
        if type(value) is str:
            return value if len(value) <= _LONGEST_TEXT else self._text(value, where)
        if type(value) is float:
            return value if math.isfinite(value) else {"__float__": repr(value)}
        if isinstance(value, np.ndarray | np.generic):
            return self._array(value, where)
        if isinstance(value, Mapping):
            return self._mapping(value, where)
        if type(value) in (list, tuple):
            items = [self.encode(item, f"{where}/{i}") for i, item in enumerate(value)]
            return items if type(value) is list else {"__tuple__": items}
        if callable(getattr(value, "state", None)) and not isinstance(value, type):
            return {"__type__": type(value).__name__, "state": self.encode(value.state(), where)}
        raise ArtifactError(
            f"'{where}' holds a {type(value).__qualname__}, which cannot be kept; a state is made of arrays, numbers, "
            "texts, lists, mappings and objects with state()"
        )

    def _mapping(self, value: Mapping[Any, Any], where: str) -> Any:
        if all(type(key) is str and not key.startswith("__") for key in value):
            return {key: self.encode(item, f"{where}/{key}") for key, item in value.items()}
        pairs = [[self.encode(key, f"{where}/key"), self.encode(item, f"{where}/{key}")] for key, item in value.items()]
        return {"__mapping__": pairs}

    def _text(self, value: str, where: str) -> Any:
        name = f"text-{len(self.texts)}.txt"
        self.texts[name] = value
        return {"__text__": name}

    def _array(self, value: Any, where: str) -> Any:
        array = np.asarray(value)
        kind = {"scalar": True} if isinstance(value, np.generic) else {}
        if array.dtype.kind == "U":
            return {"__texts__": array.ravel().tolist(), "shape": list(array.shape), "dtype": array.dtype.str, **kind}
        if array.dtype.name not in _DTYPES or isinstance(value, np.ma.MaskedArray):
            what = f"{type(value).__name__} of {array.dtype}"
            raise ArtifactError(f"'{where}' is a {what}, which cannot be kept; use plain numbers or text")
        native = np.ascontiguousarray(array, array.dtype.newbyteorder("=")).reshape(array.shape)
        if array.dtype.kind == "c":
            native = np.stack([native.real, native.imag], axis=-1)
        name = where if where not in self.arrays else f"{where}#{len(self.arrays)}"
        self.arrays[name] = native
        return {"__array__": name, "dtype": array.dtype.str, **kind}


@dataclass(frozen=True)
class Decoder:
    """Turns JSON back into a state; type names mean the classes in `types`, nothing else."""

    arrays: Mapping[str, Any]
    texts: Mapping[str, str]
    types: Mapping[str, type]

    def decode(self, value: Any) -> Any:
        """Return the value that was encoded.

        Raises
        ------
        ArtifactError
            If a type is not among those allowed.
        """
        if isinstance(value, list):
            return [self.decode(item) for item in value]
        if not isinstance(value, dict):
            return value
        if "__array__" in value or "__texts__" in value:
            return self._array(value)
        if "__type__" in value:
            return self.restore(value["__type__"], value["state"])
        if "__float__" in value:
            return float(value["__float__"])
        if "__text__" in value:
            return self.texts[value["__text__"]]
        if "__tuple__" in value:
            return tuple(self.decode(item) for item in value["__tuple__"])
        if "__mapping__" in value:
            return {self.decode(key): self.decode(item) for key, item in value["__mapping__"]}
        return {key: self.decode(item) for key, item in value.items()}

    def restore(self, name: str, state: Any) -> Any:
        """Return an object of the type called `name`."""
        if name not in self.types:
            raise ArtifactError(
                f"it holds a '{name}', which is not among the types that may be loaded{nearest(name, self.types)}; "
                f"allowed: {', '.join(sorted(self.types)) or 'none'}"
            )
        return self.types[name].from_state(self.decode(state))  # type: ignore[attr-defined]

    def _array(self, value: Mapping[str, Any]) -> Any:
        dtype = np.dtype(value["dtype"])
        if "__texts__" in value:
            array = np.array(value["__texts__"], dtype).reshape(value["shape"])
        else:
            found = self.arrays[value["__array__"]]
            if dtype.kind == "c":
                found = found.view(dtype.newbyteorder("="))[..., 0]
            array = np.array(found, dtype)
        return array[()] if value.get("scalar") else array
