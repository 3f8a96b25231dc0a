"""Tasks: named random streams, process pools, and the only place that resumes."""

from __future__ import annotations

import hashlib
import io
import operator
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from .errors import ArtifactError, DataError, ResourceError
from .events import Events
from .region import Region

__all__ = [
    "Map",
    "Result",
    "checkpoint",
    "checkpoints",
    "fingerprint",
    "named_seed",
    "once",
    "pool",
    "progress",
    "protect",
    "refuse_input",
    "report",
    "resumable",
    "stream",
    "write_atomic",
]

T = TypeVar("T")
R = TypeVar("R")
Result = dict[str, np.ndarray]
"""What a task returns: named arrays, so that nothing needs a pickle to be kept."""

Map = Callable[..., Iterable[Any]]
"""Any map: the built-in one, a pool's, `dask.distributed`'s, or a resumable one around them."""


def named_seed(seed: int, *names: str | int) -> int:
    """Return a 64-bit seed that depends on the root seed and the task's name, not on its order.

    Examples
    --------
    >>> named_seed(1, "replica", 7) == named_seed(1, "replica", 7) != named_seed(1, "replica", 8)
    True
    """
    # a NumPy integer has another repr
    plain = (name if isinstance(name, str) else operator.index(name) for name in names)
    digest = hashlib.sha256(repr((operator.index(seed), *plain)).encode()).digest()
    return int.from_bytes(digest[:8], "little")


def stream(seed: int, *names: str | int) -> np.random.Generator:
    """Return the random stream of a named task."""
    return np.random.default_rng(np.random.SeedSequence([int(seed), named_seed(seed, *names)]))


def fingerprint(value: Any) -> str:
    """Return the SHA-256 of a value made of settings, regions, events, arrays, numbers and strings.

    Raises
    ------
    ArtifactError
        If something in it has no stable fingerprint.
    """
    digest = hashlib.sha256()
    for piece in _pieces(value):
        digest.update(piece)
        digest.update(b"\0")
    return digest.hexdigest()


def _pieces(value: Any) -> Iterator[bytes]:
    if isinstance(value, Events):
        yield b"events" + value.fingerprint.encode()
    elif isinstance(value, Region):
        yield b"region" + repr(value.cut).encode()
    elif value is None or isinstance(value, bool | int | float | str | bytes | slice | np.generic):
        yield f"{type(value).__name__}:{value!r}".encode()
    elif isinstance(value, np.ndarray) and not value.dtype.hasobject:
        yield f"{value.dtype}{value.shape}".encode() + np.ascontiguousarray(value).tobytes()
    elif isinstance(found := getattr(value, "fingerprint", None), str):
        yield f"{_type_name(value)}:{found!r}".encode()
    elif is_dataclass(value) and not isinstance(value, type):
        yield _type_name(value).encode()
        for field in fields(value):
            yield field.name.encode()
            yield from _pieces(getattr(value, field.name))
    elif isinstance(value, Mapping):
        yield f"{{{len(value)}".encode()
        for key in sorted(value, key=repr):
            yield from _pieces(key)
            yield from _pieces(value[key])
    elif isinstance(value, frozenset):
        yield b"set"
        yield from _pieces(sorted(value, key=repr))
    elif isinstance(value, tuple | list):
        yield f"[{len(value)}".encode()
        for item in value:
            yield from _pieces(item)
    elif type(value).__module__.startswith(("hist.", "boost_histogram.")):
        yield repr(value).encode() + np.asarray(value.edges).tobytes()
    else:
        raise ArtifactError(f"a {type(value).__qualname__} has no stable fingerprint, so its task cannot be resumed")


def _type_name(value: Any) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"


_inputs: set[str] = set()


def protect(paths: Iterable[Path | str]) -> None:
    """Note files as inputs, which nothing overwrites while this process runs."""
    _inputs.update(map(os.path.realpath, paths))


def refuse_input(path: Path | str) -> None:
    """Raise a DataError if a file was read as an input in this process."""
    if os.path.realpath(path) in _inputs:
        raise DataError(f"{path} was read as an input, which is never overwritten; choose another path")


def write_atomic(path: Path | str, data: bytes) -> None:
    """Write a file so that it is either the old one or the new one, never a part: temporary, fsync, replace.

    Raises
    ------
    DataError
        If the file was read as an input.
    """
    path = Path(path)
    refuse_input(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:
            # of a write that fails the system says neither what nor how much
            raise OSError(error.errno, f"{error.strerror}; {len(data)} bytes are needed", str(path)) from None
        raise
    _sync_directory(path.parent)


def sweep(directory: Path | str) -> int:
    """Remove temporaries that a killed writer left in `directory`; return how many."""
    writers = {file: file.name.split(".")[-2] for file in Path(directory).glob(".*.*.part")}
    stale = [file for file, pid in writers.items() if pid.isdecimal() and not _alive(int(pid))]
    for file in stale:
        file.unlink(missing_ok=True)
    return len(stale)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _sync_directory(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _versions() -> str:
    from .version import __version__

    return f"backdrop {__version__}, numpy {np.__version__}"


@dataclass(frozen=True)
class _Job:
    """A task bound to the file of its result; runs where the map sends it."""

    function: Callable[[Any], Result]
    item: Any
    path: str

    def __call__(self) -> str:
        result = self.function(self.item)
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, **result)
        body = buffer.getvalue()
        write_atomic(self.path, hashlib.sha256(body).digest() + body)
        return self.path


def _call(job: _Job) -> str:
    return job()


def _stored(path: Path) -> Result | None:
    """Read a finished task; None if it is absent or damaged (it is then run again)."""
    if not path.exists():
        return None
    data = path.read_bytes()
    if hashlib.sha256(data[32:]).digest() != data[:32]:
        return None
    with np.load(io.BytesIO(data[32:]), allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def resumable(map: Map, directory: Path | str) -> Map:
    """Wrap a map so that each finished task is kept in `directory` and skipped when it is asked for again.

    A task's identity is the SHA-256 of its function, its item and the versions; its result, named arrays, is stored
    atomically with a checksum. The order of the items is preserved.

    Examples
    --------
    >>> import tempfile
    >>> def square(x): return {"y": np.array(x * x)}
    >>> with tempfile.TemporaryDirectory() as here:
    ...     kept = resumable(map, here)
    ...     [int(r["y"]) for r in kept(square, [1, 2, 3])]
    [1, 4, 9]
    """
    home = Path(directory)

    def run(function: Callable[[Any], Result], items: Iterable[Any]) -> Iterator[Result]:
        home.mkdir(parents=True, exist_ok=True)
        sweep(home)
        listed = list(items)
        name = _function_name(function)
        paths = [home / f"{fingerprint((name, item, _versions()))}.npz" for item in listed]
        done = {path: _stored(path) for path in dict.fromkeys(paths)}
        missing = {path: _Job(function, item, str(path)) for path, item in zip(paths, listed, strict=True)}
        fresh = [job for path, job in missing.items() if done[path] is None]
        arriving = iter(map(_call, fresh))
        for path in paths:
            while done[path] is None:
                finished = next(arriving, None)
                if finished is None:
                    raise ResourceError("the map ended before all tasks were done; run again to resume")
                done[Path(finished)] = _stored(Path(finished))
                if done[Path(finished)] is None:
                    raise ArtifactError(f"the result of a task could not be read back from {finished}")
            result = done[path]
            if result is not None:
                yield result

    return run


def _function_name(function: Callable[..., Any]) -> str:
    name = f"{getattr(function, '__module__', None)}.{getattr(function, '__qualname__', '<unnamed>')}"
    if "<" in name:
        raise ArtifactError(f"{name} has no name of its own, so its tasks cannot be resumed; define it in a module")
    return name


_checkpoints: Path | None = None


@contextmanager
def checkpoints(directory: Path | str) -> Iterator[None]:
    """Keep the checkpoints of long trainings and fits in `directory`, also those of the pools that start inside.

    A training that is asked for again finds its own there, and goes on from it or is done.
    """
    global _checkpoints
    before, _checkpoints = _checkpoints, Path(directory)
    try:
        yield
    finally:
        _checkpoints = before


def checkpoint(name: str) -> Path | None:
    """Return where a training keeps its checkpoint, None where none are kept; `name` is all that decides it."""
    return None if _checkpoints is None else _checkpoints / name


def once(function: Callable[[Any], Result], item: Any) -> Result:
    """Return what a function makes of an item; where checkpoints are kept, it is made once and found there again."""
    place = checkpoint("results")
    (found,) = (map if place is None else resumable(map, place))(function, [item])
    return found


@contextmanager
def pool(jobs: int = 1) -> Iterator[Map]:
    """Give a map that runs on `jobs` processes, each with one thread; the built-in map for one job.

    Results come in the order of the items, and do not depend on `jobs`.
    """
    if jobs <= 1:
        yield map
        return
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    context = multiprocessing.get_context("forkserver")
    _start_workers_with_one_thread()
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=_begin_work, initargs=(_checkpoints,)) as executor:
        try:
            yield executor.map
        except BaseException:
            executor.shutdown(wait=False, cancel_futures=True)
            raise


_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


_LOADED_ONCE = ("backdrop._kernels", "backdrop.estimate", "hist")
"""What most tasks need: loaded before the workers are forked, not by each of them."""


def _start_workers_with_one_thread() -> None:
    """Start the process that workers are forked from: libraries read the limit once, when they are loaded."""
    from multiprocessing import forkserver

    before = {name: os.environ.get(name) for name in _THREADS}
    _one_thread()
    forkserver.set_forkserver_preload(["__main__", *_LOADED_ONCE])
    try:
        forkserver.ensure_running()
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            os.environ |= {} if value is None else {name: value}


def _one_thread() -> None:
    for name in _THREADS:
        os.environ[name] = "1"


def _begin_work(kept: Path | None) -> None:
    global _checkpoints
    _checkpoints = kept
    _one_thread()
    # a parent that is killed cannot end its workers, and they would wait for it for ever
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    from multiprocessing import parent_process

    if parent := parent_process():
        parent.join()
        os._exit(1)


_bar: Any = None


def report(title: str, done: int, total: int) -> None:
    """Say how far a long task is, in the bar of the map that runs it in this process; without one say nothing."""
    if _bar is None:
        return
    rows = [one.id for one in _bar.tasks if one.description == title]
    row = rows[0] if rows else _bar.add_task(title, total=total)
    _bar.update(row, completed=done, total=total, visible=done < total)


def progress(map: Map, title: str) -> Map:
    """Wrap a map so that a bar counts its finished items, on a terminal only."""

    def run(function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        from rich.console import Console
        from rich.progress import Progress

        global _bar
        listed: Sequence[T] = list(items)
        console = Console(stderr=True)
        with Progress(console=console, disable=not console.is_terminal, transient=True) as bar:
            row, before = bar.add_task(title, total=len(listed)), _bar
            _bar = bar
            try:
                for result in map(function, listed):
                    bar.advance(row)
                    yield result
            finally:
                _bar = before

    return run
