"""Remote files: URLs of fsspec, with a deadline for every answer and a few patient retries."""

from __future__ import annotations

import itertools
import queue
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from ..errors import DataError, ResourceError

T = TypeVar("T")

TIMEOUT = 60.0
"""Seconds that one answer of a server may take."""

DELAYS = (1.0, 4.0, 16.0)
"""Seconds to wait before each retry."""


def is_remote(path: str) -> bool:
    """Say whether a path is a URL rather than a local file."""
    return "://" in path and not path.startswith("file://")


def filesystem(path: str) -> tuple[Any, str]:
    """Return the fsspec file system of a URL and the path on it.

    Raises
    ------
    DataError
        If the plug-in that speaks the protocol is not installed.
    """
    protocol = path.split("://", 1)[0]
    try:
        import fsspec

        found: tuple[Any, str] = fsspec.core.url_to_fs(path)
    except (ImportError, ValueError) as error:
        raise DataError(
            f"{path}: nothing installed reads '{protocol}://' ({error}); install the plug-in, for XRootD: "
            "pip install 'backdrop[remote]'"
        ) from error
    return found


class Unanswered(Exception):
    """A server failed or kept silent; it may be asked again."""


def once(path: str, action: Callable[[], T]) -> T:
    """Return what `action` returns; for a URL with a deadline.

    Raises
    ------
    Unanswered
        If the server failed.
    """
    if not is_remote(path):
        return action()
    try:
        return _in_time(action)
    except (DataError, FileNotFoundError, MemoryError, Unanswered):
        raise
    except Exception as error:
        raise Unanswered(f"{type(error).__name__}: {error}".rstrip(": ")) from error


def pause(path: str, failures: int, error: Unanswered) -> None:
    """Wait before a failed server is asked again.

    Raises
    ------
    DataError
        If it was asked often enough.
    """
    if failures > len(DELAYS):
        raise DataError(f"{path}: cannot be read in {failures} tries, the last one: {error}") from error
    time.sleep(DELAYS[failures - 1])


def patiently(path: str, action: Callable[[], T]) -> T:
    """Return what `action` returns; for a URL with a deadline, and again after a pause if the server fails.

    Raises
    ------
    DataError
        If the last try failed as well.
    """
    for failures in itertools.count(1):
        try:
            return once(path, action)
        except Unanswered as error:
            pause(path, failures, error)
    raise AssertionError  # pragma: no cover


def _in_time(action: Callable[[], T]) -> T:
    # A hanging XRootD call cannot be interrupted: its thread is left behind, and dies with the process.
    answers: queue.SimpleQueue[tuple[T | None, BaseException | None]] = queue.SimpleQueue()

    def call() -> None:
        try:
            answers.put((action(), None))
        except BaseException as error:
            answers.put((None, error))

    threading.Thread(target=call, daemon=True).start()
    try:
        value, error = answers.get(timeout=TIMEOUT)
    except queue.Empty:
        raise TimeoutError(f"nothing within {TIMEOUT:g} s") from None
    if error is not None:
        raise error
    return value  # type: ignore[return-value]


def guarded(path: str, action: Callable[[], T], what: str = "", *, again: bool = True) -> T:
    """Run an action of a reading library; whatever it makes of damaged bytes becomes one error that names the file.

    Raises
    ------
    DataError
        If the file is gone, may not be read, or is damaged.
    Unanswered
        If a server failed and is not to be asked `again`.
    """
    try:
        return (patiently if again else once)(path, action)
    except (DataError, ResourceError, MemoryError, Unanswered):
        raise
    except FileNotFoundError:
        raise DataError(f"'{path}' does not exist (any more)") from None
    except PermissionError:
        raise DataError(f"'{path}' may not be read: permission denied") from None
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"{path} is damaged or truncated{what}: {type(error).__name__}: {reason}") from error
