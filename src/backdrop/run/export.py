"""Export: what a finished run found, as files for other programs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from .. import blinding
from .. import export as formats
from ..errors import ArtifactError, ConfigError
from ..export import Files
from ..results import Results
from .state import state_of

__all__ = ["ESTIMATES", "WORKSPACES", "export"]

WORKSPACES: Mapping[str, Callable[..., Files]] = {
    "pyhf": formats.pyhf,
    "cabinetry": formats.cabinetry,
    "trexfitter": formats.trexfitter,
    "combine": formats.combine,
}
"""Formats that hold the workspace of a method."""

ESTIMATES: Mapping[str, Callable[..., Files]] = {"root": formats.root, "csv": formats.csv}
"""Formats that hold the estimate of a method."""


def export(
    folder: Path | str, out: Path | str, kind: str, *, overwrite: bool = False, as_is: bool = False
) -> Iterator[Path]:
    """Write each method of a finished run in a format, and yield the paths.

    Parameters
    ----------
    folder
        The run's folder.
    out
        Where to write: ``<kind>/<method>/...`` for workspaces, one file for the estimate of a method.
    kind
        The format: a row of `WORKSPACES` or `ESTIMATES`.
    overwrite
        Replace files that are there.
    as_is
        Write estimates with zero or negative bins as they are.

    Raises
    ------
    ArtifactError
        If the folder holds no finished run, no workspace, or its files are damaged.
    BlindedError
        If the unblinding log was edited since.
    ConfigError
        If a file is there already and `overwrite` is not given.
    ExportError
        If the format cannot hold what was found; the method is named.
    """
    state = state_of(folder)
    if state is not None:
        blinding.verify(state.log, state.looks)
    found = Results.load(folder)
    files: Files = {}
    if kind in ESTIMATES:
        if not found.estimates:
            raise ArtifactError(f"'{folder}' holds no estimates")
        for name, estimate in found.estimates.items():
            files |= ESTIMATES[kind](estimate, name, as_is=as_is)
    else:
        if as_is:
            raise ConfigError("--as-is is for root and csv; a likelihood's floor is 'empty' in the configuration's fit")
        for name, workspace in _workspaces(Path(folder), found):
            made = WORKSPACES[kind](workspace, found.estimates[name].channels)
            files |= {f"{kind}/{name}/{path}": body for path, body in made.items()}
    yield from formats.write(files, out, overwrite=overwrite)


def _workspaces(folder: Path, found: Results) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the workspaces of a run, the same bytes as when it ended."""
    if not found.fits:
        raise ArtifactError(
            f"'{folder}' holds no workspace: the run's configuration asks for no fit; add 'fit:' and run it again"
        )
    outputs = found.provenance.get("outputs", {})
    for name in found.fits:
        path = folder / "workspace" / f"{name}.json"
        try:
            body = path.read_bytes()
        except OSError as error:
            raise ArtifactError(f"{path} cannot be read: {error.strerror}; run the analysis again") from None
        if outputs.get(f"workspace/{name}.json") != hashlib.sha256(body).hexdigest():
            raise ArtifactError(f"{path} is damaged: it is not what the run wrote; run the analysis again")
        yield name, json.loads(body)
