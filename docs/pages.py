"""Parts of pages that are written at build time: public names, what the benchmarks found, keys of a configuration."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

NAMES, BENCHMARKS, KEYS = "_names.md", "_benchmarks.md", "_keys.md"
FILES = (NAMES, BENCHMARKS, KEYS)

MODULES = (
    "backdrop",
    "backdrop.region",
    "backdrop.events",
    "backdrop.events.objects",
    "backdrop.channel",
    "backdrop.method",
    "backdrop.estimate",
    "backdrop.tasks",
    "backdrop.io",
    "backdrop.kinematics",
    "backdrop.blinding",
    "backdrop.maps",
    "backdrop.correction",
    "backdrop.methods.abcd",
    "backdrop.methods.transfer",
    "backdrop.methods.efficiency",
    "backdrop.methods.fake_factor",
    "backdrop.methods.matrix",
    "backdrop.methods.likelihood_matrix",
    "backdrop.methods.charge_flip",
    "backdrop.methods.flip_rates",
    "backdrop.learn.graph",
    "backdrop.learn.distortions",
    "backdrop.learn.resonance",
    "backdrop.learn.kernel",
    "backdrop.learn.positive",
    "backdrop.methods.ancestral",
    "backdrop.learn.scale",
    "backdrop.learn.gp",
    "backdrop.learn.log_gp",
    "backdrop.learn.plane",
    "backdrop.learn.flow",
    "backdrop.learn.conditional",
    "backdrop.learn.pictures",
    "backdrop.learn.train",
    "backdrop.methods.interpolate",
    "backdrop.synthetic",
    "backdrop.validation",
    "backdrop.inference",
    "backdrop.inference.result",
    "backdrop.export",
    "backdrop.results",
    "backdrop.plot",
    "backdrop.report",
    "backdrop.generate",
    "backdrop.testing",
    "backdrop.errors",
)


def write(folder: Path, results: Path) -> None:
    """Write the parts; a file that would not change keeps its time, so that Sphinx does not build its page again.

    Pages of names that are no longer public are removed: Sphinx leaves them behind.
    """
    for name, text in {NAMES: names(MODULES), BENCHMARKS: benchmarks(results), KEYS: keys()}.items():
        file = folder / name
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            file.write_text(text, encoding="utf-8")
    listed = (folder / NAMES).read_text(encoding="utf-8").split()
    for file in (folder / "generated").glob("*.rst"):
        if file.stem not in listed:
            file.unlink()


# ---- public names ----------------------------------------------------------------------------------------------------


def names(modules: Sequence[str]) -> str:
    """Return a table of contents of the public names of some modules, each name under the first that has it."""
    known: set[int] = set()
    return "\n".join(_module(name, known) for name in modules)


def _module(name: str, known: set[int]) -> str:
    module = import_module(name)
    own = [one for one in _public(module) if id(getattr(module, one)) not in known]
    known |= {id(getattr(module, one)) for one in own}
    summary = (inspect.getdoc(module) or "").split("\n\n")[0].replace("\n", " ")
    listed = "\n".join(f"   {name}.{one}" for one in own)
    options = "   :toctree: generated\n   :nosignatures:\n"
    return f"## {name}\n\n{summary}\n\n```{{eval-rst}}\n.. autosummary::\n{options}\n{listed}\n```\n"


def _public(module: Any) -> list[str]:
    names = getattr(module, "__all__", None) or [
        name for name, value in vars(module).items()
        if getattr(value, "__module__", None) == module.__name__ and not name.startswith("_")
    ]  # fmt: skip
    return [
        name for name in names if inspect.isclass(getattr(module, name)) or inspect.isroutine(getattr(module, name))
    ]


# ---- keys of a configuration -----------------------------------------------------------------------------------------


def keys() -> str:
    """Return a table of its keys for each part of a configuration."""
    from backdrop.config import Configuration

    schema = Configuration.model_json_schema()
    parts = {"Configuration": schema, **schema["$defs"]}
    return "\n".join(_part(name, one) for name, one in parts.items() if "properties" in one)


def _part(name: str, one: Mapping[str, Any]) -> str:
    rows = [
        (f"`{key}`", _kind(value), f"{_text(value.get('description', ''))}{_needed(key, one)}")
        for key, value in one["properties"].items()
    ]
    lines = [f"| {' | '.join(row)} |" for row in (("key", "value", "meaning"), ("---",) * 3, *rows)]
    return "\n".join([f"### {name}", "", one.get("description", ""), "", *lines, ""])


def _needed(key: str, one: Mapping[str, Any]) -> str:
    return " **Needed.**" if key in one.get("required", ()) else ""


def _kind(value: Mapping[str, Any]) -> str:
    """Return what a value is, in words, with a link to the part that it is."""
    if "$ref" in value:
        name = value["$ref"].rsplit("/", 1)[1]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in value:
        return " or ".join(_kind(one) for one in value["anyOf"] if one.get("type") != "null")
    if value.get("type") == "array":
        return f"list of {_kind(value['items'])}"
    if value.get("type") == "object":
        of = value.get("additionalProperties") or next(iter(value.get("patternProperties", {}).values()), {})
        return f"name: {_kind(of)}" if isinstance(of, Mapping) else "name: anything"
    return str(value.get("type", "anything"))


# ---- benchmarks ------------------------------------------------------------------------------------------------------


def benchmarks(results: Path) -> str:
    """Return what stands in the result files of ``make bench`` and ``make validate``; there may be none."""
    speed, others = [], []
    for file in sorted(results.glob("*.json")):
        found = json.loads(file.read_text(encoding="utf-8"))
        records = found if isinstance(found, list) else [found]
        if records and all("ratio" in one for one in records):
            speed.append(_speed(file.stem, records))
        else:
            others += [_ensemble(one) for one in records]
    none = ["No result has been kept yet.\n"]
    return "\n".join(["## Speed\n", *(speed or none), "## Pulls, coverage, samples\n", *(others or none)])


def _speed(name: str, rows: Sequence[Mapping[str, Any]]) -> str:
    head = ("work", "peer", "ours", "peer's", "unit", "ratio", "bar", "held", "agreement")
    cells = [
        (
            *(row[key] for key in ("name", "peer", "ours", "theirs", "unit", "ratio", "bar")),
            "yes" if row["ratio"] >= row["bar"] and "disagreement" not in row["quality"] else "**no**",
            _flat(row["quality"]),
        )
        for row in rows
    ]
    return f"### {_text(name)}\n\n{_table(head, cells)}\n\n{_measured(rows)}\n"


_TOLD = ("name", "case", "title", "machine", "date", "versions")


def _ensemble(one: Mapping[str, Any]) -> str:
    """Return a record of any ensemble: its title, its settings, and a table for each list of results in it."""
    rest = {key: value for key, value in one.items() if key not in _TOLD}
    tables = {key: rest.pop(key) for key in list(rest) if _is_table(rest[key])}
    return "\n\n".join(
        [
            f"### {_text(one.get('name') or one.get('case'))}",
            f"{_text(one.get('title', ''))}: {_text(_flat(rest))}.",
            *(_results(rows) for rows in tables.values()),
            _measured([one]),
        ]
    )


def _is_table(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, Mapping) for row in value)


def _results(rows: Sequence[Mapping[str, Any]]) -> str:
    cells = [_with_errors(row) for row in rows]
    head = list(dict.fromkeys(key for row in cells for key in row))
    return _table([key.replace("_", " ") for key in head], [[row.get(key, "") for key in head] for row in cells])


def _with_errors(row: Mapping[str, Any]) -> dict[str, str]:
    """Return a row as text, an error joined to the value that it stands behind."""
    cells: dict[str, str] = {}
    for key, value in row.items():
        if cells and (key == "error" or key.endswith("_error")):
            cells[next(reversed(cells))] += f" ± {value}"
        else:
            cells[key] = _flat(value)
    return cells


def _flat(value: Any) -> str:
    """Return a value in words: yes and no, an empty text for None, a mapping as its pairs."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key.replace('_', ' ')} {_flat(one)}" for key, one in value.items())
    if isinstance(value, list):
        return " to ".join(_flat(one) for one in value)
    if value is None or isinstance(value, bool):
        return {True: "yes", False: "no", None: ""}[value]
    return str(value)


def _measured(records: Iterable[Mapping[str, Any]]) -> str:
    """Return where, when and with which versions."""
    lines = dict.fromkeys(
        f"{one['date']}, {one['machine']}; " + ", ".join(f"{name} {number}" for name, number in one["versions"].items())
        for one in records
    )
    return "\n".join(f"Measured {_text(line)}.\n" for line in lines)


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    return "\n".join(_lines([head, ["---"] * len(head), *rows]))


def _lines(rows: Iterable[Sequence[object]]) -> Iterator[str]:
    for row in rows:
        yield f"| {' | '.join(_text(cell) for cell in row)} |"


def _text(value: object) -> str:
    """Return a value as it may stand in a cell: on one line, its bars and brackets escaped."""
    text = " ".join(str(value).split())
    for sign in ("\\", "|", "<", "[", "`", "$", "_"):
        text = text.replace(sign, f"\\{sign}")
    return text
