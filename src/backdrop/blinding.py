"""The unblinding log: who looked is not asked, but that one looked, at what and why, cannot be taken back.

One line of JSON for each look; every line holds the SHA-256 of the line before it. A line that is changed, removed or
put elsewhere breaks the chain. (The last lines can be cut off unnoticed, unless a run has kept their hash:
`verify` takes such hashes.) The log guards against accident, not against one who writes a new one.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from .errors import BlindedError, ConfigError
from .strict_json import loads
from .tasks import write_atomic

__all__ = ["FILE", "Look", "Unblinding", "looks", "record", "verify"]

FILE = "unblinding.jsonl"
"""The log's usual name, beside the configuration."""

_START = "0" * 64
_REASON = 1000


@dataclass(frozen=True)
class Look:
    """What is to be unblinded.

    Attributes
    ----------
    analysis, fingerprint
        Name of the analysis, and the SHA-256 of its configuration.
    sample, region, cut
        The sealed sample, and the region with its cut.
    reason
        Why.
    """

    analysis: str
    fingerprint: str
    sample: str
    region: str
    cut: str
    reason: str


@dataclass(frozen=True)
class Unblinding(Look):
    """An entry of the log: a look, when it was taken (UTC), and the hashes of the entry before and of this one."""

    time: str
    previous: str
    sha256: str

    def line(self) -> bytes:
        """Return the entry as its line of the log."""
        return json.dumps(asdict(self), sort_keys=True, allow_nan=False).encode() + b"\n"

    @property
    def look(self) -> Look:
        """What was unblinded."""
        return Look(*(getattr(self, name) for name in Look.__dataclass_fields__))


def looks(path: Path | str) -> tuple[Unblinding, ...]:
    """Return the entries of a log, the chain checked; none if there is no file.

    Raises
    ------
    BlindedError
        If the chain is broken: an entry was changed, removed or moved, or the file is damaged.
    """
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise BlindedError(f"the unblinding log '{path}' cannot be read: {error.strerror}") from None
    found: list[Unblinding] = []
    for number, line in enumerate(data.splitlines(keepends=True), start=1):
        found.append(_entry(line, found[-1].sha256 if found else _START, f"{path}:{number}"))
    return tuple(found)


def verify(path: Path | str, known: Iterable[str]) -> tuple[Unblinding, ...]:
    """Return the entries of a log that must still hold the entries with the SHA-256 in `known`.

    Raises
    ------
    BlindedError
        If the chain is broken, or one of the entries is gone.
    """
    found = looks(path)
    if gone := set(known) - {entry.sha256 for entry in found}:
        raise BlindedError(
            f"the unblinding log '{path}' no longer holds {len(gone)} of the entries that were made for this run "
            f"(first {min(gone)[:12]}); restore the file: what was unblinded stays on record"
        )
    return found


def record(path: Path | str, look: Look) -> Unblinding:
    """Append a look to the log and return its entry; the same look is logged once.

    Raises
    ------
    ConfigError
        If no reason is given.
    BlindedError
        If the log's chain is broken.
    """
    if not look.reason.strip() or len(look.reason) > _REASON:
        raise ConfigError(f"unblinding needs a reason, a text of at most {_REASON} characters: {look.reason[:40]!r}")
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with _locked(path.parent):
        found = looks(path)
        for entry in found:
            if entry.look == look:
                return entry
        entry = _sealed(look, found[-1].sha256 if found else _START)
        write_atomic(path, b"".join(one.line() for one in (*found, entry)))
    return entry


def _sealed(look: Look, previous: str) -> Unblinding:
    """Return the entry of a look, with its time and hash."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return Unblinding(**asdict(look), time=now, previous=previous, sha256=_hash(look, now, previous))


def _hash(look: Look, time: str, previous: str) -> str:
    content = {**asdict(look), "time": time, "previous": previous}
    return hashlib.sha256(json.dumps(content, sort_keys=True, allow_nan=False).encode()).hexdigest()


def _entry(line: bytes, previous: str, place: str) -> Unblinding:
    """Return the entry of a line that follows the entry with the hash `previous`."""
    broken = BlindedError(
        f"{place}: the chain of the unblinding log is broken: this line was changed, or one before it was removed or "
        "moved; restore the file from a copy or version control"
    )
    try:
        entry = Unblinding(**loads(line))
    except (ValueError, TypeError, RecursionError):
        raise broken from None
    if not all(isinstance(value, str) for value in asdict(entry).values()) or entry.line() != line:
        raise broken
    if entry.previous != previous or entry.sha256 != _hash(entry.look, entry.time, previous):
        raise broken
    return entry


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the folder, so that two processes do not append at once."""
    import fcntl

    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
