"""The entry point: runs a command, and turns what goes wrong into one message and an exit code."""

from __future__ import annotations

import errno
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from ..errors import BackdropError, ResourceError

__all__ = ["main"]

_RESUME = "give the same command again to resume: finished work is kept"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Stopped(BaseException):
    """The process was asked to end; no Exception, so that nothing on the way out takes it for a failure."""


def main() -> None:
    """Run the command line and exit: 0, or the code of the error (see `backdrop.errors`)."""
    sys.exit(_run(sys.argv[1:]))


def _run(arguments: list[str]) -> int:
    debug = "--debug" in arguments
    try:
        with _stoppable():
            return _command([one for one in arguments if one != "--debug"])
    except BaseException as error:
        if isinstance(error, SystemExit):
            raise
        if debug:
            traceback.print_exc()
        return _explained(error, debug)


def _command(arguments: list[str]) -> int:
    from .commands import app

    try:
        app(args=arguments, prog_name="backdrop")
    except SystemExit as done:
        return done.code if isinstance(done.code, int) else int(done.code is not None)
    return 0


def _explained(error: BaseException, debug: bool) -> int:
    """Print one message for an error and return the exit code."""
    known = _known(error)
    if known is not None:
        print(f"error: {known}", file=sys.stderr)
        return known.exit_code
    reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
    hint = "" if debug else "; add --debug for the traceback"
    print(f"error: an unexpected {reason}{hint}", file=sys.stderr)
    return 1


def _known(error: BaseException) -> BackdropError | None:
    """Return what an error means for the user, None if nobody expected it."""
    from concurrent.futures.process import BrokenProcessPool

    if isinstance(error, BackdropError):
        return error
    if isinstance(error, Stopped | KeyboardInterrupt):
        return ResourceError(f"stopped before the end; {_RESUME}")
    if isinstance(error, MemoryError):
        return ResourceError(f"out of memory; give the job more, read fewer columns or use fewer --jobs. {_RESUME}")
    if isinstance(error, BrokenProcessPool):
        return ResourceError(f"a worker process was killed, perhaps for memory; use fewer --jobs. {_RESUME}")
    if isinstance(error, OSError) and error.errno in _FULL:
        place = f" '{error.filename}'" if error.filename else ""
        return ResourceError(f"no space to write{place} ({error.strerror}); earlier files are intact. {_RESUME}")
    if isinstance(error, PermissionError):
        return ResourceError(f"not allowed: '{error.filename}' ({error.strerror}); check its permissions. {_RESUME}")
    return None


@contextmanager
def _stoppable() -> Iterator[None]:
    """Turn SIGTERM and SIGINT into an error that unwinds, and end the workers, which would be waited for otherwise."""
    import multiprocessing

    def stop(number: int, frame: FrameType | None) -> None:
        for child in multiprocessing.active_children():
            child.terminate()
        raise Stopped

    before = {one: signal.signal(one, stop) for one in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
