"""Remote files: URLs of fsspec, with a deadline for every answer and a few patient retries."""

from __future__ import annotations

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


def patiently(path: str, action: Callable[[], T]) -> T:
    """Return what `action` returns; for a URL with a deadline, and again after a pause if the server fails.

    Raises
    ------
    DataError
        If the last try failed as well.
    """
    if not is_remote(path):
        return action()
    for delay in (*DELAYS, None):
        try:
            return _in_time(action)
        except (DataError, FileNotFoundError, MemoryError):
            raise
        except Exception as error:
            if delay is None:
                reason = f"{type(error).__name__}: {error}".rstrip(": ")
                raise DataError(f"{path}: no answer in {len(DELAYS) + 1} tries, the last one: {reason}") from error
            time.sleep(delay)
    raise DataError(f"{path}: not tried")  # pragma: no cover


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


def guarded(path: str, action: Callable[[], T], what: str = "") -> T:
    """Run an action of a reading library; whatever it makes of damaged bytes becomes one error that names the file.

    Raises
    ------
    DataError
        If the file is gone, may not be read, or is damaged.
    """
    try:
        return patiently(path, action)
    except (DataError, ResourceError, MemoryError):
        raise
    except FileNotFoundError:
        raise DataError(f"'{path}' does not exist (any more)") from None
    except PermissionError:
        raise DataError(f"'{path}' may not be read: permission denied") from None
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"{path} is damaged or truncated{what}: {type(error).__name__}: {reason}") from error
