"""The folder of a run: one process at a time, one configuration, and finished files or the earlier ones."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import ArtifactError, ConfigError, ResourceError
from ..tasks import sweep
from .state import HIDDEN, State, state_of

__all__ = ["Folder", "folder", "held"]

_LOCK, _DONE, _STAGING = "lock", "done", "staging"
_LAST = ("results.json", "provenance.json")
_OUTPUTS = ("report.html", "parts.json", "analysis.yaml", "figures", "workspace", "estimates", *_LAST)
_SHOWN = 12


@dataclass(frozen=True)
class Folder:
    """A run's folder, held by this process.

    Attributes
    ----------
    path
        The folder.
    state
        What the run in it follows from.
    """

    path: Path
    state: State

    @property
    def tasks(self) -> Path:
        """Where finished tasks are kept."""
        return self.path / HIDDEN / _DONE

    @property
    def staging(self) -> Path:
        """Where files are written before all of them take their places."""
        return self.path / HIDDEN / _STAGING

    @property
    def has_work(self) -> bool:
        """Whether there is a finished task or file: a run that found its input missing leaves none."""
        return any(self.tasks.glob("*")) or any((self.path / name).exists() for name in _OUTPUTS)

    def remember(self, looks: Iterable[str]) -> None:
        """Keep the hashes of the unblinding log's entries, which a later run must find again."""
        replace(self.state, looks=tuple(looks)).write(self.path)

    def publish(self, names: Collection[str] = _OUTPUTS) -> None:
        """Move the written files to their places, the results last, and remove others of these names."""
        files = {file.relative_to(self.staging) for file in self.staging.rglob("*") if file.is_file()}
        for file in sorted(files, key=_when):
            (self.path / file).parent.mkdir(parents=True, exist_ok=True)
            os.replace(self.staging / file, self.path / file)
        for name in names:
            self._remove_others(self.path / name, files)
        shutil.rmtree(self.staging)

    def _remove_others(self, place: Path, kept: Collection[Path]) -> None:
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
    with held(home, state) as place:
        earlier = state_of(home)
        if earlier is not None and (differences := earlier.differences(state)):
            if not overwrite and place.has_work:
                raise ArtifactError(_changed(home, differences))
            shutil.rmtree(place.tasks, ignore_errors=True)
        known = replace(state, looks=earlier.looks if earlier else ())
        known.write(home)
        yield replace(place, state=known)


@contextmanager
def held(path: Path | str, state: State) -> Iterator[Folder]:
    """Lock a folder, and give it with an empty place for new files.

    Raises
    ------
    ConfigError
        If it cannot be written to.
    ResourceError
        If another process holds it.
    """
    home = Path(path)
    hidden = home / HIDDEN
    try:
        hidden.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot write to '{home}': {error.strerror}") from None
    with _locked(hidden / _LOCK, home):
        place = Folder(home, state)
        sweep(hidden)
        shutil.rmtree(place.staging, ignore_errors=True)
        place.staging.mkdir()
        yield place


def _when(file: Path) -> tuple[int, str]:
    """Order files so that the ones that say the run is finished come last."""
    return _LAST.index(str(file)) + 1 if str(file) in _LAST else 0, str(file)


def _refuse(home: Path, inputs: Iterable[str]) -> None:
    """Refuse a folder that a run may not write to."""
    if home.exists() and not home.is_dir():
        raise ConfigError(f"--out '{home}' is a file; name a folder")
    if home.is_dir() and state_of(home) is None and any(one.name != HIDDEN for one in home.iterdir()):
        raise ConfigError(f"--out '{home}' holds files that no run wrote; name a new or empty folder")
    places = [(home / name).resolve() for name in (*_OUTPUTS, HIDDEN)]
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
            raise ResourceError(f"'{home}' cannot be locked ({error.strerror}); name a folder elsewhere") from None
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"process {os.getpid()} on {os.uname().nodename}".encode(), 0)
        yield
        os.ftruncate(handle, 0)
    finally:
        os.close(handle)
