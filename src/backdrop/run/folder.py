"""The folder of a run: one process at a time, one configuration, and finished files or the old ones."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from ..errors import ArtifactError, ConfigError, ResourceError
from ..tasks import write_atomic

__all__ = ["Folder", "State", "folder", "state_of"]

SCHEMA = 1
TASKS = ".tasks"

_STATE, _LOCK, _STAGING = "run.json", "lock", "staging"
_OUTPUTS = (
    "report.html",
    "results.json",
    "provenance.json",
    "parts.json",
    "analysis.yaml",
    "figures",
    "workspace",
    "estimates",
)
_LAST = ("results.json", "provenance.json")
_SHOWN = 12


@dataclass(frozen=True)
class State:
    """What the files in a folder follow from.

    Attributes
    ----------
    name
        The analysis.
    fingerprint
        SHA-256 of its settings.
    settings
        The settings.
    opened
        The samples that were read unblinded.
    looks
        SHA-256 of the entries of the unblinding log when it ran.
    version
        The version of the package.
    """

    name: str
    fingerprint: str
    settings: Mapping[str, Any]
    opened: tuple[str, ...]
    looks: tuple[str, ...]
    version: str
    schema: int = field(default=SCHEMA)

    def differences(self, other: State) -> list[str]:
        """Say what is different in `other`, one line for each setting."""
        before, after = (dict(_flat((), one._compared())) for one in (self, other))
        names = [*before, *(name for name in after if name not in before)]
        return [
            f"{name}: {before.get(name, 'not given')} -> {after.get(name, 'not given')}"
            for name in names
            if before.get(name) != after.get(name)
        ]

    def _compared(self) -> dict[str, Any]:
        return {**self.settings, "unblinded samples": list(self.opened), "version of backdrop": self.version}


@dataclass(frozen=True)
class Folder:
    """A run's folder, held by this process.

    Attributes
    ----------
    path
        The folder.
    tasks
        Where finished tasks are kept.
    staging
        Where the files of this run are written before all of them take their places.
    state
        What the run follows from.
    looks
        Hashes of the unblinding log's entries at the last run here.
    """

    path: Path
    tasks: Path
    staging: Path
    state: State
    looks: tuple[str, ...]

    def remember(self, looks: Iterable[str]) -> None:
        """Keep the hashes of the unblinding log's entries, which a later run must find again."""
        _write(self.path, replace(self.state, looks=tuple(looks)))

    def publish(self) -> None:
        """Move the written files to their places, the results last, and remove those of an earlier run."""
        files = sorted(file.relative_to(self.staging) for file in self.staging.rglob("*") if file.is_file())
        for file in sorted(
            files, key=lambda one: (str(one) in _LAST, _LAST.index(str(one)) if str(one) in _LAST else 0)
        ):
            (self.path / file).parent.mkdir(parents=True, exist_ok=True)
            os.replace(self.staging / file, self.path / file)
        for name in _OUTPUTS:
            self._remove_others(self.path / name, set(files))
        shutil.rmtree(self.staging)

    def _remove_others(self, place: Path, kept: set[Path]) -> None:
        inside = sorted(place.rglob("*"), reverse=True) if place.is_dir() else [place]
        for file in inside:
            if file.is_file() and file.relative_to(self.path) not in kept:
                file.unlink()
            elif file.is_dir() and not any(file.iterdir()):
                file.rmdir()


@contextmanager
def folder(path: Path | str, state: State, *, overwrite: bool = False, inputs: Iterable[str] = ()) -> Iterator[Folder]:
    """Hold a folder for a run.

    Parameters
    ----------
    path
        The folder; made if it does not exist.
    state
        What the run follows from. A folder of another state is refused, the differences shown.
    overwrite
        Take the folder over from a run of another state, whose finished tasks are not used.
    inputs
        Files that are read, which must not be where files are written.

    Raises
    ------
    ConfigError
        If the folder holds something else, or an input.
    ArtifactError
        If it holds a run of another state.
    ResourceError
        If another process holds it.
    """
    home = Path(path)
    _refuse(home, inputs)
    work = home / TASKS
    try:
        work.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot write to '{home}': {error.strerror}") from None
    with _locked(work / _LOCK, home):
        earlier = state_of(home)
        if earlier is not None and (differences := earlier.differences(state)):
            if not overwrite:
                raise ArtifactError(_changed(home, differences))
            shutil.rmtree(work / "done", ignore_errors=True)
        looks = earlier.looks if earlier else ()
        _write(home, replace(state, looks=looks))
        staging = work / _STAGING
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir()
        yield Folder(home, work / "done", staging, state, looks)


def state_of(path: Path | str) -> State | None:
    """Return the state of a run's folder, None if no run has begun there.

    Raises
    ------
    ArtifactError
        If the state cannot be read, or is of another schema.
    """
    place = Path(path) / TASKS / _STATE
    try:
        found = json.loads(place.read_bytes())
        if found["schema"] != SCHEMA:
            raise ArtifactError(f"{place} has schema {found['schema']}, this version reads schema {SCHEMA}; run anew")
        return State(**{**found, "opened": tuple(found["opened"]), "looks": tuple(found["looks"])})
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtifactError(f"{place} is damaged ({error}); remove the folder and run anew") from None


def _write(home: Path, state: State) -> None:
    text = json.dumps(asdict(state), indent=1, sort_keys=True, allow_nan=False)
    write_atomic(home / TASKS / _STATE, text.encode())


def _refuse(home: Path, inputs: Iterable[str]) -> None:
    """Refuse a folder that a run may not write to."""
    if home.exists() and not home.is_dir():
        raise ConfigError(f"--out '{home}' is a file; name a folder")
    if home.is_dir() and not (home / TASKS).is_dir() and any(home.iterdir()):
        raise ConfigError(f"--out '{home}' holds files that no run wrote; name a new or empty folder")
    places = [(home / name).resolve() for name in (*_OUTPUTS, TASKS)]
    for text in inputs:
        file = Path(text).resolve()
        if any(file == place or place in file.parents for place in places):
            raise ConfigError(f"the input '{text}' is where --out '{home}' is written; name another folder")


def _changed(home: Path, differences: list[str]) -> str:
    more = [f"... and {len(differences) - _SHOWN} more"] if len(differences) > _SHOWN else []
    lines = "\n".join(f"  {line:.200}" for line in [*differences[:_SHOWN], *more])
    return (
        f"'{home}' holds a run of another configuration, of which nothing is reused; changed:\n{lines}\n"
        "give --overwrite to replace it, or another --out to keep it"
    )


def _flat(path: tuple[str, ...], value: Any) -> Iterator[tuple[str, str]]:
    """Yield the settings below `path`, one for each value, with dotted names."""
    if isinstance(value, Mapping) and value:
        for name, inside in value.items():
            yield from _flat((*path, str(name)), inside)
    else:
        yield ".".join(path), json.dumps(value)


@contextmanager
def _locked(path: Path, home: Path) -> Iterator[None]:
    """Hold a lock that the system lets go of when the process ends, however it ends."""
    import fcntl

    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(handle, 200).decode(errors="replace").strip() or "another process"
            raise ResourceError(f"'{home}' is in use by {holder}; wait for it, or name another --out") from None
        except OSError as error:
            raise ResourceError(
                f"'{home}' cannot be locked ({error.strerror}); name a folder on another disk"
            ) from None
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"process {os.getpid()} on {os.uname().nodename}".encode(), 0)
        yield
        os.ftruncate(handle, 0)
    finally:
        os.close(handle)
