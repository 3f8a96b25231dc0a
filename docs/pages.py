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
    "backdrop.methods.abcd",
    "backdrop.methods.transfer",
    "backdrop.synthetic",
    "backdrop.validation",
    "backdrop.inference",
    "backdrop.inference.result",
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
    found = {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in sorted(results.glob("*.json"))}
    speed = {name: rows for name, rows in found.items() if isinstance(rows, list)}
    ensembles = {name: one for name, one in found.items() if isinstance(one, dict)}
    return "\n".join(
        [
            "## Speed\n",
            *([_speed(name, rows) for name, rows in speed.items()] or ["No result has been kept yet.\n"]),
            "## Pulls and coverage\n",
            *([_ensemble(one) for one in ensembles.values()] or ["No result has been kept yet.\n"]),
        ]
    )


def _speed(name: str, rows: Sequence[Mapping[str, Any]]) -> str:
    head = ("work", "peer", "ours", "peer's", "unit", "ratio", "bar", "held", "agreement")
    cells = [
        (
            *(row[key] for key in ("name", "peer", "ours", "theirs", "unit", "ratio", "bar")),
            "yes" if row["ratio"] >= row["bar"] and "disagreement" not in row["quality"] else "**no**",
            _quality(row["quality"]),
        )
        for row in rows
    ]
    return f"### {_text(name)}\n\n{_table(head, cells)}\n\n{_measured(rows)}\n"


def _ensemble(one: Mapping[str, Any]) -> str:
    head = ("quantity", "pull mean", "pull width")
    cells = [
        (pull["quantity"], *(f"{pull[key]} ± {pull[f'{key}_error']}" for key in ("mean", "width")))
        for pull in one["pulls"]
    ]
    bands = "; ".join(f"{name} {low:g} to {high:g}" for name, (low, high) in one["bands"].items())
    text = (
        f"{_text(one['title'])}. {one['toys']} of {one['of']} toys of {one['replicas']} replicas, seed {one['seed']}. "
        f"Wanted within three standard errors: {bands}. {'Met.' if one['met'] else '**Not met.**'}"
    )
    return f"### {_text(one['name'])}\n\n{text}\n\n{_table(head, cells)}\n\n{_measured([one])}\n"


def _measured(records: Iterable[Mapping[str, Any]]) -> str:
    """Return where, when and with which versions."""
    lines = dict.fromkeys(
        f"{one['date']}, {one['machine']}; " + ", ".join(f"{name} {number}" for name, number in one["versions"].items())
        for one in records
    )
    return "\n".join(f"Measured {_text(line)}.\n" for line in lines)


def _quality(quality: str | Mapping[str, Any]) -> str:
    return quality if isinstance(quality, str) else ", ".join(f"{name} {value}" for name, value in quality.items())


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
