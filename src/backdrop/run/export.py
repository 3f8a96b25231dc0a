"""Export: what a finished run found, as files for other programs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path

from .. import blinding
from .. import export as formats
from ..errors import ArtifactError, ConfigError, ExportError, nearest
from ..export import Files
from ..io.files import digest
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
    folder: Path | str,
    out: Path | str,
    kind: str,
    methods: Collection[str] = (),
    *,
    overwrite: bool = False,
    as_is: bool = False,
) -> tuple[Path, ...]:
    """Write methods of a finished run in a format, and return the paths.

    Parameters
    ----------
    folder
        The run's folder.
    out
        Where to write: ``<kind>/<method>/...`` for workspaces, one file for the estimate of a method.
    kind
        The format: a row of `WORKSPACES` or `ESTIMATES`.
    methods
        The methods; without any, all of them.
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
        If a file is there already and `overwrite` is not given, or it is an input of the run.
    ExportError
        If the format cannot hold what was found; the method is named.
    """
    state = state_of(folder)
    if state is not None:
        blinding.verify(state.log, state.looks)
    found = Results.load(folder)
    if as_is and kind not in ESTIMATES:
        raise ConfigError("--as-is is for root and csv; a likelihood's floor is 'empty' in the configuration's fit")
    files: Files = {}
    for name in _chosen(folder, found, kind, methods):
        try:
            files |= _estimate(found, name, kind, as_is) if kind in ESTIMATES else _workspace(folder, found, name, kind)
        except ExportError as error:
            raise ExportError(f"method '{name}': {error}") from error
    for file in files:
        _refuse_input(Path(out) / file, found)
    return formats.write(files, out, overwrite=overwrite)


def _refuse_input(path: Path, found: Results) -> None:
    """Refuse to replace a file with the content of an input of the run, wherever that has been moved."""
    inputs = [one for files in found.provenance.get("inputs", {}).values() for one in files]
    size = path.stat().st_size if path.is_file() else None
    hashes = [one["sha256"] for one in inputs if "sha256" in one and one.get("bytes") == size]
    if hashes and digest(str(path)) in hashes:
        raise ConfigError(f"'{path}' is an input of this run, which is never overwritten; name another --out")


def _chosen(folder: Path | str, found: Results, kind: str, methods: Collection[str]) -> Iterable[str]:
    """Return the methods to export, which have what the format holds."""
    having = found.estimates if kind in ESTIMATES else found.fits
    if not having:
        what = "estimate" if kind in ESTIMATES else "workspace (its configuration asks for no fit)"
        raise ArtifactError(f"'{folder}' holds no {what}; run an analysis that has one")
    for name in methods:
        if name not in having:
            raise ConfigError(f"no method '{name}'{nearest(name, having)}; {kind} can hold: {', '.join(having)}")
    return methods or having


def _estimate(found: Results, name: str, kind: str, as_is: bool) -> Files:
    return ESTIMATES[kind](found.estimates[name], name, as_is=as_is)


def _workspace(folder: Path | str, found: Results, name: str, kind: str) -> Files:
    """Return the files of a workspace, which must be what the run wrote."""
    path = Path(folder) / "workspace" / f"{name}.json"
    try:
        body = path.read_bytes()
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read: {error.strerror}; run the analysis again") from None
    if found.provenance.get("outputs", {}).get(f"workspace/{name}.json") != hashlib.sha256(body).hexdigest():
        raise ArtifactError(f"{path} is damaged: it is not what the run wrote; run the analysis again")
    made = WORKSPACES[kind](json.loads(body), found.estimates[name].channels)
    return {f"{kind}/{name}/{file}": content for file, content in made.items()}
