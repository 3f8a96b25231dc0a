"""State: what the files in a run's folder follow from, kept beside them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..errors import ArtifactError
from ..strict_json import loads
from ..tasks import write_atomic

__all__ = ["HIDDEN", "State", "state_of"]

HIDDEN = ".tasks"
"""The part of a run's folder that is not for readers: finished tasks, state and lock."""

SCHEMA = 1
_FILE = "run.json"


@dataclass(frozen=True)
class State:
    """What the files in a folder follow from.

    Attributes
    ----------
    name
        The analysis.
    fingerprint
        SHA-256 of the settings that its numbers follow from.
    settings
        Those settings.
    opened
        The samples that were read unblinded.
    version
        The version of the package.
    log
        Where the unblinding log is.
    looks
        SHA-256 of its entries when it ran.
    """

    name: str
    fingerprint: str
    settings: Mapping[str, Any]
    opened: tuple[str, ...]
    version: str
    log: str
    looks: tuple[str, ...] = ()
    schema: int = field(default=SCHEMA)

    def differences(self, other: State) -> list[str]:
        """Say what is different in `other`, one line for each setting."""
        before, after = (dict(_flat((), one._compared())) for one in (self, other))
        names = dict.fromkeys([*before, *after])
        return [
            f"{name}: {before.get(name, 'not given')} -> {after.get(name, 'not given')}"
            for name in names
            if before.get(name) != after.get(name)
        ]

    def write(self, folder: Path | str) -> None:
        """Keep the state in a run's folder."""
        text = json.dumps(asdict(self), indent=1, sort_keys=True, allow_nan=False)
        write_atomic(Path(folder) / HIDDEN / _FILE, text.encode())

    def _compared(self) -> dict[str, Any]:
        return {**self.settings, "unblinded samples": list(self.opened), "version of backdrop": self.version}


def state_of(path: Path | str) -> State | None:
    """Return the state of a run's folder, None if no run has begun there.

    Raises
    ------
    ArtifactError
        If the state cannot be read, or is of another schema.
    """
    place = Path(path) / HIDDEN / _FILE
    try:
        found = loads(place.read_bytes())
        if found["schema"] != SCHEMA:
            raise ArtifactError(f"{place} has schema {found['schema']}, this version reads schema {SCHEMA}; run anew")
        return State(**{**found, "opened": tuple(found["opened"]), "looks": tuple(found["looks"])})
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtifactError(f"{place} is damaged ({error}); remove the folder and run anew") from None


def _flat(path: tuple[str, ...], value: Any) -> Iterator[tuple[str, str]]:
    """Yield the settings below `path`, one for each value, with dotted names."""
    if isinstance(value, Mapping) and value:
        for name, inside in value.items():
            yield from _flat((*path, str(name)), inside)
    else:
        yield ".".join(path), json.dumps(value, sort_keys=True)
