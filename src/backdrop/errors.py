"""The errors of the package, each with the exit code the command line ends with.

::

    BackdropError           1
    ├── ConfigError         2   a configuration that cannot be read
    ├── CutError            2   a cut that cannot be read, or reads what is not there
    ├── DataError           3   input that cannot be used as asked
    ├── BlindedError        4   sealed events would be looked at
    ├── FitError            5   a fit that did not succeed
    ├── ExportError         5   a result that a format cannot hold
    ├── ArtifactError       6   a stored model or result that is damaged or of another version
    └── ResourceError       7   memory, disk, time or a device ran out
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class BackdropError(Exception):
    """Any error this package raises on purpose."""

    exit_code: int = 1


class ConfigError(BackdropError):
    """A configuration that cannot be read."""

    exit_code = 2


class CutError(BackdropError):
    """A cut that cannot be read, or that reads what is not there."""

    exit_code = 2


class DataError(BackdropError):
    """Input that cannot be used as asked."""

    exit_code = 3


class BlindedError(BackdropError):
    """Sealed events would be looked at."""

    exit_code = 4


class FitError(BackdropError):
    """A fit that did not succeed."""

    exit_code = 5


class ExportError(BackdropError):
    """A result that the asked-for format cannot hold."""

    exit_code = 5


class ArtifactError(BackdropError):
    """A stored model or result that is damaged, incomplete or of another version."""

    exit_code = 6


class ResourceError(BackdropError):
    """Memory, disk, time or a device ran out."""

    exit_code = 7


def nearest(name: str, allowed: Iterable[str]) -> str:
    """Name the closest allowed spelling, ready to append to a message.

    Returns
    -------
    ``", did you mean 'm_hh'?"``, or an empty string where nothing comes close.

    Examples
    --------
    >>> nearest("m_hhh", ["pt", "m_hh"])
    ", did you mean 'm_hh'?"
    >>> nearest("weight", ["pt"])
    ''
    """
    match = difflib.get_close_matches(name, list(allowed), n=1)
    return f", did you mean '{match[0]}'?" if match else ""
