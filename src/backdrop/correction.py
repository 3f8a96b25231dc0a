"""Maps as correctionlib files (schema 2), out and in."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import DataError, nearest
from .maps import BinnedMap
from .tasks import write_atomic

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["binned_map", "correction", "read_maps", "write_maps"]

_SYSTEMATIC = "systematic"
_NOMINAL = ("nominal", "sf", "nom", "central")
_STATISTICAL = "stat_"


def correction(one: BinnedMap, description: str = "") -> dict[str, Any]:
    """Return a map as a correction: a category of systematics, then bins."""
    shifts = {"nominal": one.values}
    for name, sides in one.nuisances.items():
        shifts |= {f"{name}_{side}": values for side, values in zip(("up", "down"), sides, strict=True)}
    inputs = [{"name": _SYSTEMATIC, "type": "string", "description": "nominal, or a nuisance with _up or _down"}]
    inputs += [{"name": axis.name, "type": "real", "description": axis.label} for axis in one.axes]
    return {
        "name": one.name,
        "description": description or f"{one.name} in bins of {', '.join(one.columns)}",
        "version": 1,
        "inputs": inputs,
        "output": {"name": one.name, "type": "real", "description": one.name},
        "data": {
            "nodetype": "category",
            "input": _SYSTEMATIC,
            "content": [{"key": key, "value": _bins(one, values)} for key, values in shifts.items()],
        },
    }


def _bins(one: BinnedMap, values: Array) -> dict[str, Any]:
    return {
        "nodetype": "multibinning",
        "inputs": list(one.columns),
        "edges": [[_edge(float(edge)) for edge in axis.edges] for axis in one.axes],
        "content": [float(value) for value in values],
        "flow": one.flow,
    }


def _edge(edge: float) -> float | str:
    """Return an edge as the schema holds it: an infinite one is a text."""
    return edge if np.isfinite(edge) else "inf" if edge > 0.0 else "-inf"


def write_maps(path: Path | str, *maps: BinnedMap, description: str = "") -> None:
    """Write maps as one correctionlib file; compressed where the name ends in ``.gz``.

    Examples
    --------
    >>> import hist, tempfile, correctionlib
    >>> rate = BinnedMap("r", (hist.axis.Regular(2, 0, 100, name="pt"),), np.array([0.8, 0.9]), np.zeros((2, 2)))
    >>> with tempfile.TemporaryDirectory() as here:
    ...     write_maps(f"{here}/r.json", rate)
    ...     correctionlib.CorrectionSet.from_file(f"{here}/r.json")["r"].evaluate("nominal", 70.0)
    0.9
    """
    given = {"schema_version": 2, "description": description, "corrections": [correction(one) for one in maps]}
    data = json.dumps(given, indent=1, allow_nan=False).encode() + b"\n"
    # without the time, so that equal maps are equal files
    write_atomic(Path(path), gzip.compress(data, mtime=0) if str(path).endswith(".gz") else data)


def read_maps(path: Path | str) -> dict[str, BinnedMap]:
    """Read all corrections of a correctionlib file that are maps, by name.

    Raises
    ------
    DataError
        If the file cannot be read as one, or holds something that is no map.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
        given = json.loads(gzip.decompress(data) if path.suffix == ".gz" else data)
        version, corrections = given["schema_version"], given["corrections"]
    except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
        raise DataError(f"{path} is no correctionlib file ({type(error).__name__}: {error})") from error
    if version != 2:
        raise DataError(f"{path} has the correctionlib schema {version}; this reads schema 2")
    return {one["name"]: binned_map(one) for one in corrections}


def binned_map(given: Mapping[str, Any]) -> BinnedMap:
    """Return the map of a correction."""
    name = str(given.get("name", ""))
    try:
        return _read(name, given)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise DataError(f"correction '{name}' cannot be read as a map ({type(error).__name__}: {error})") from error


def _read(name: str, given: Mapping[str, Any]) -> BinnedMap:
    data = given["data"]
    leaves = {"nominal": data}
    if data["nodetype"] == "category":
        leaves = {str(one["key"]): one["value"] for one in data["content"]}
        leaves |= {"nominal": data["default"]} if data.get("default") is not None else {}
    read = {key: _leaf(name, node) for key, node in leaves.items()}
    nominal = _nominal(name, read)
    for key, (inputs, edges, _, flow) in read.items():
        if (inputs, edges, flow) != read[nominal][:2] + read[nominal][3:]:
            raise DataError(f"correction '{name}' has other bins for '{key}' than for '{nominal}'; a map has one set")
    inputs, edges, values, flow = read[nominal]
    labels = {one["name"]: one.get("description") or "" for one in given["inputs"]}
    axes = tuple(_axis(one, labels.get(one, ""), row) for one, row in zip(inputs, edges, strict=True))
    pairs = _pairs(name, {key: one[2] for key, one in read.items() if key != nominal}, values)
    shifts = [_step(up - values, values - down) for key, (up, down) in pairs.items() if key.startswith(_STATISTICAL)]
    covariance = sum((np.outer(d, d) for d in shifts), np.zeros((len(values),) * 2))
    variations = {key: pair for key, pair in pairs.items() if not key.startswith(_STATISTICAL)}
    return BinnedMap(name, axes, values, covariance, variations, flow)


def _step(rise: Array, fall: Array) -> Array:
    """Return the step of a statistical nuisance: the longer side, as a bound makes the other one shorter."""
    return np.where(np.abs(rise) >= np.abs(fall), rise, fall)


def _axis(column: str, label: str, edges: list[float]) -> Any:
    import hist

    return hist.axis.Variable(edges, name=column, label="" if label == column else label)


def _nominal(name: str, read: Mapping[str, Any]) -> str:
    for key in _NOMINAL:
        if key in read:
            return key
    raise DataError(f"correction '{name}' has no 'nominal' among its systematics: {', '.join(read)}")


def _pairs(name: str, shifts: dict[str, Array], values: Array) -> dict[str, tuple[Array, Array]]:
    """Return the up and down values of each nuisance; a key without a side is mirrored."""
    found = {}
    for key, up in shifts.items():
        stem = key.removesuffix("up").removesuffix("Up")
        if stem != key:
            partner = [stem + end for end in ("down", "Down") if stem + end in shifts]
            if not partner:
                raise DataError(f"correction '{name}' has '{key}' without '{stem}down'{nearest(stem, shifts)}")
            found[stem.rstrip("_") or "total"] = (up, shifts[partner[0]])
        elif key.removesuffix("down").removesuffix("Down") == key:
            found[key] = (up, 2.0 * values - up)
    return found


def _leaf(name: str, node: Any) -> tuple[list[str], list[list[float]], Array, Any]:
    """Return columns, edges, content and flow of bins, nested one in the other or not."""
    kind = node["nodetype"] if isinstance(node, Mapping) else type(node).__name__
    if kind == "multibinning":
        edges = [[float(edge) for edge in _list(row)] for row in node["edges"]]
        return list(node["inputs"]), edges, _numbers(name, node["content"]), _flow(name, node["flow"])
    if kind != "binning":
        raise DataError(f"correction '{name}' holds a {kind}; a map has bins only: binning or multibinning")
    inner = list(_inner(name, node["content"]))
    own = [float(edge) for edge in _list(node["edges"])]
    if inner[0] is None:
        return [node["input"]], [own], _numbers(name, node["content"]), _flow(name, node["flow"])
    inputs, edges, _, flow = inner[0]
    if any(one[0] != inputs or one[1] != edges or one[3] != flow for one in inner) or flow != _flow(name, node["flow"]):
        raise DataError(f"correction '{name}' has other bins of {', '.join(inputs)} in each bin of '{node['input']}'")
    return [node["input"], *inputs], [own, *edges], np.concatenate([one[2] for one in inner]), flow


def _inner(name: str, content: list[Any]) -> Iterator[Any]:
    for one in content:
        yield None if isinstance(one, int | float) else _leaf(name, one)


def _list(edges: Any) -> list[Any]:
    """Return edges that are listed, or the same number of bins between two."""
    if isinstance(edges, Mapping):
        return list(np.linspace(edges["low"], edges["high"], edges["n"] + 1))
    return list(edges)


def _numbers(name: str, content: list[Any]) -> Array:
    if not all(isinstance(one, int | float) for one in content):
        raise DataError(f"correction '{name}' holds formulas or further nodes in its bins; a map has numbers only")
    return np.array(content, np.float64)


def _flow(name: str, flow: Any) -> Any:
    if flow not in ("error", "clamp"):
        raise DataError(f"correction '{name}' has the flow {flow}; a map has 'error' or 'clamp'")
    return flow
