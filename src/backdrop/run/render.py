"""Rendering: the files of a run from its results."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..report import report
from ..results import Results
from ..tasks import write_atomic

__all__ = ["render", "render_report"]


def render(found: Results, workspaces: Mapping[str, dict[str, Any]], directory: Path) -> None:
    """Write results, estimates, workspaces, figures and the report to a directory."""
    found.save(directory)
    for name, workspace in workspaces.items():
        text = json.dumps(workspace, indent=1, sort_keys=True, allow_nan=False)
        write_atomic(directory / "workspace" / f"{name}.json", text.encode() + b"\n")
    render_report(found, directory)


def render_report(found: Results, directory: Path) -> None:
    """Write the report and its figures to a directory."""
    report(directory / "report.html", found, figures=directory / "figures")
