"""The documents: every relative link leads somewhere, and the parts that are made at build time are right."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import backdrop
from backdrop.methods import METHODS

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
GENERATED = ("_build", "generated", "_names.md", "_benchmarks.md", "_keys.md")

_LINK = re.compile(r"(?<!\\)\[[^\]\[]*\]\(<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\)")
_FENCE = re.compile(r"^(`{3,}|~{3,}).*?^\1`*\s*$", re.M | re.S)


def documents() -> list[Path]:
    found = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
    for folder in ("docs", "examples", "benchmarks"):
        found += sorted((ROOT / folder).rglob("*.md"))
    return [file for file in found if file.exists() and not set(GENERATED) & set(file.relative_to(ROOT).parts)]


def links(file: Path) -> Iterator[str]:
    """Yield the link targets of a document, those in code left out."""
    text = re.sub(r"`[^`\n]*`", "", _FENCE.sub("", file.read_text(encoding="utf-8")))
    for target in _LINK.findall(text):
        if not re.match(r"[a-z]+:", target):
            yield target


def anchors(file: Path) -> set[str]:
    """Return the anchors of a document's headings as GitHub and MyST make them, and those given by name."""
    text = file.read_text(encoding="utf-8")
    named = set(re.findall(r"^\(([\w-]+)\)=$", text, re.M))
    headings = re.findall(r"^#{1,6} (.+)$", _FENCE.sub("", text), re.M)
    return named | {re.sub(r"[^\w\- ]", "", one.lower()).strip().replace(" ", "-") for one in headings}


@pytest.mark.parametrize("file", documents(), ids=lambda file: str(file.relative_to(ROOT)))
def test_relative_links_lead_to_files_and_headings(file):
    for target in links(file):
        path, _, anchor = target.partition("#")
        there = (file.parent / path).resolve() if path else file
        assert there.exists(), f"{file.relative_to(ROOT)} links to '{target}', which is not there"
        if anchor and there.suffix == ".md" and there.name != "api.md":
            assert anchor in anchors(there), f"{file.relative_to(ROOT)} links to '{target}': no such heading"


def test_the_check_of_links_finds_what_is_wrong(tmp_path):
    (tmp_path / "a.md").write_text(
        "# One thing\n[x](b.md) `[y](c.md)` [z](#one-thing)\n```\n[u](d.md)\n```\n[w](https://e)\n"
    )
    assert list(links(tmp_path / "a.md")) == ["b.md", "#one-thing"]
    assert anchors(tmp_path / "a.md") == {"one-thing"}


def test_every_page_is_listed_and_every_method_has_one():
    index = (DOCS / "index.md").read_text()
    listed = set(re.findall(r"^[\w/*]+$", index, re.M))
    for page in DOCS.glob("*.md"):
        assert page.stem in listed | {"index"} or page.name.startswith("_"), f"{page.name} is in no table of contents"
    assert "methods/*" in listed
    for name in METHODS:
        assert (DOCS / "methods" / f"{name}.md").exists(), f"method '{name}' has no page in docs/methods"


def test_pages_hold_no_output_of_their_own():
    tracked = subprocess.run(["git", "ls-files", "docs"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    assert not [line for line in tracked.splitlines() if set(GENERATED) & set(Path(line).parts)]


@pytest.fixture(scope="module")
def pages() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_pages", DOCS / "pages.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_list_of_names_holds_every_public_name_once(pages):
    text = pages.names(pages.MODULES)
    listed = re.findall(r"^   (backdrop[\w.]+)$", text, re.M)
    assert len(set(listed)) == len(listed)
    assert {f"backdrop.{name}" for name in backdrop.__all__ if name != "__version__"} <= set(listed)
    assert "backdrop.validation.Closure" in listed and "backdrop.validation.closure" not in listed
    assert set(re.findall(r"^## ([\w.]+)$", text, re.M)) == set(pages.MODULES)


WHERE = {"machine": "A, 2 cores", "date": "2026-01-02", "versions": {"numpy": "2"}}
SPEED = [
    {"name": name, "peer": "uproot", "ratio": ratio, "bar": 0.9, "ours": 1.0, "theirs": ratio, "unit": "s", **WHERE}
    | {"quality": quality}
    for name, ratio, quality in (
        ("read | select", 1.2, {"largest relative difference": 0.0}),
        ("slow", 0.5, "same"),
        ("wrong", 5.0, {"disagreement": "0.1"}),
    )
]
ENSEMBLE = {
    "name": "abcd", "title": "ABCD", "toys": 100, "of": 2000, "replicas": 50, "seed": 1, "met": True,
    "bands": {"mean": [0.0, 0.0], "width": [0.9, 1.1]}, **WHERE,
    "pulls": [{"quantity": "SR", "mean": 0.01, "mean_error": 0.02, "width": 1.01, "width_error": 0.015}],
}  # fmt: skip


def test_the_page_of_benchmarks_holds_what_was_measured(pages, tmp_path):
    (tmp_path / "read.json").write_text(json.dumps(SPEED))
    (tmp_path / "validate_abcd.json").write_text(json.dumps(ENSEMBLE))
    text = pages.benchmarks(tmp_path)
    rows = {line.split(" | ")[0].strip("| "): line for line in text.splitlines() if line.startswith("| ")}
    assert rows["read \\| select"].endswith("| 1.2 | 0.9 | yes | largest relative difference 0.0 |")
    assert "**no**" in rows["slow"] and "**no**" in rows["wrong"]
    assert "| SR | 0.01 ± 0.02 | 1.01 ± 0.015 |" in text
    assert "ABCD: toys 100, of 2000, replicas 50, seed 1, met yes, bands mean 0.0 to 0.0, width 0.9 to 1.1." in text
    assert text.count("Measured 2026-01-02, A, 2 cores; numpy 2.") == 2


def test_every_key_of_a_configuration_is_told(pages):
    text = pages.keys()
    parts = set(re.findall(r"^### (\w+)$", text, re.M))
    assert {"Configuration", "Input", "Seal", "Method", "Axis", "Fit"} <= parts
    assert {name.lower() for name in parts} >= set(re.findall(r"\]\(#(\w+)\)", text))
    assert "| `files` | string or list of string | Path, glob" in text
    assert re.search(r"^\| `seed` \| integer \| Root of all random streams. \*\*Needed.\*\* \|$", text, re.M)


def test_results_of_any_kind_are_told(pages, tmp_path):
    rows = [{"quantity": "yield_68", "coverage": 0.69, "error": 0.01, "met": True}, {"quantity": "mu", "off": None}]
    (tmp_path / "other.json").write_text(json.dumps([{"case": "x", "title": "Any", "numbers": rows, **WHERE}]))
    text = pages.benchmarks(tmp_path)
    assert "| quantity | coverage | met | off |" in text
    assert "| yield\\_68 | 0.69 ± 0.01 | yes |  |" in text and "| mu |  |  |  |" in text


def test_the_results_that_are_kept_can_be_told(pages):
    kept = list((ROOT / "benchmarks" / "results").glob("*.json"))
    assert pages.benchmarks(ROOT / "benchmarks" / "results").count("Measured") >= len(kept)


def test_there_need_be_no_benchmarks(pages, tmp_path):
    assert pages.benchmarks(tmp_path / "none").count("No result has been kept yet.") == 2


def test_the_parts_are_written_once_and_what_is_stale_is_removed(pages, tmp_path):
    (tmp_path / "generated").mkdir()
    for name in ("backdrop.Region", "backdrop.Gone"):
        (tmp_path / "generated" / f"{name}.rst").write_text("")
    pages.write(tmp_path, tmp_path)
    assert [file.stem for file in (tmp_path / "generated").iterdir()] == ["backdrop.Region"]
    before = [(tmp_path / name).stat().st_mtime_ns for name in pages.FILES]
    pages.write(tmp_path, tmp_path)
    assert [(tmp_path / name).stat().st_mtime_ns for name in pages.FILES] == before
