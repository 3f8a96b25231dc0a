"""Provenance: which files, versions, seed and commit a result came from. The only place of times."""

from __future__ import annotations

import json
import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from .errors import ArtifactError
from .strict_json import loads
from .version import __version__

__all__ = ["Provenance", "commit_of", "now", "versions"]

SCHEMA = 1

_PACKAGES = (
    "numpy",
    "scipy",
    "awkward",
    "uproot",
    "pyarrow",
    "hist",
    "pyhf",
    "iminuit",
    "numba",
    "matplotlib",
    "torch",
)
_SECONDS = 10


@dataclass(frozen=True)
class Provenance:
    """Where results came from.

    Attributes
    ----------
    name, fingerprint, seed, settings
        The analysis: name, SHA-256 of its settings, seed, all settings.
    inputs
        Sample to its files: path, size, SHA-256, entries (sealed ones included), and whether a manifest vouches for it.
    started, finished
        Times in UTC.
    unblinding
        Entries of the unblinding log.
    outputs
        Path in the folder to SHA-256.
    commit
        Git commit of the configuration's folder, None outside of a repository.
    versions
        Package to version.
    command
        The command line.
    """

    name: str
    fingerprint: str
    seed: int
    settings: Mapping[str, Any]
    inputs: Mapping[str, Sequence[Mapping[str, Any]]]
    started: str
    finished: str
    unblinding: tuple[Mapping[str, Any], ...] = ()
    outputs: Mapping[str, str] = field(default_factory=dict)
    commit: Mapping[str, Any] | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    command: tuple[str, ...] = ()
    schema: int = SCHEMA

    def to_json(self) -> bytes:
        """Return the content of provenance.json."""
        return json.dumps(asdict(self), indent=1, allow_nan=False).encode() + b"\n"

    @classmethod
    def read(cls, path: Path | str) -> Provenance | None:
        """Read a provenance.json, None if there is none.

        Raises
        ------
        ArtifactError
            If it is damaged or of another schema.
        """
        try:
            found = loads(Path(path).read_bytes())
            if found["schema"] != SCHEMA:
                raise ArtifactError(
                    f"{path} has schema {found['schema']}, this version reads schema {SCHEMA}; run the analysis again "
                    "with --overwrite"
                )
            return cls(**{**found, "unblinding": tuple(found["unblinding"]), "command": tuple(found["command"])})
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ArtifactError(f"{path} is damaged ({error!r}); run the analysis again with --overwrite") from None

    def changed(self, inputs: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
        """Return the paths of the files that are not what they were."""
        before, after = _files(self.inputs), _files(inputs)
        names = dict.fromkeys([*before, *after])
        return [path for sample, path in names if before.get((sample, path)) != after.get((sample, path))]


def _files(inputs: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[tuple[str, str], tuple[Any, ...]]:
    return {
        (sample, str(one["path"])): (one.get("bytes"), one.get("sha256"), one.get("entries"))
        for sample, files in inputs.items()
        for one in files
    }


def now() -> str:
    """Return the time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def versions() -> dict[str, str]:
    """Return the versions that results may depend on."""
    found = {"backdrop": __version__, "python": platform.python_version(), "platform": platform.platform()}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def commit_of(folder: Path | str) -> dict[str, Any] | None:
    """Return the git commit of a folder and whether tracked files differ from it; None outside of a repository."""
    head = _git(folder, "rev-parse", "HEAD")
    if head is None:
        return None
    changes = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return {"commit": head, "changed": bool(changes)}


def _git(folder: Path | str, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
