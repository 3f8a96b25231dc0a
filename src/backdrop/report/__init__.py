"""Report: one self-contained HTML page about results."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..plot import Label

__all__ = ["report"]

_MARK = b'<meta name="generator" content="backdrop">'


def report(
    path: Path | str, *parts: Any, title: str = "", label: Label | str | None = None, figures: Path | str | None = None
) -> Path:
    """Write a report: one HTML page that needs no network, with verdicts, yields, figures and the record of the run.

    The same parts give the same bytes: the page holds no time.

    Parameters
    ----------
    path
        The HTML file.
    parts
        A `Results`, or estimates (alone, or by name in a mapping), closures, fits and `validation.Checks`; a closure or
        fit belongs to the estimate before it.
    title
        Title of the page; without it that of the results.
    label
        Experiment, or a `plot.Label` with luminosity and energy; without it that of the results.
    figures
        Folder in which every figure is written as PNG, PDF and JSON of its numbers.

    Returns
    -------
    The path.

    Raises
    ------
    ConfigError
        If a part has no place in a report, or the path holds something else than a report.
    """
    from ..tasks import write_atomic
    from .gather import gathered
    from .page import page

    results = gathered(parts, title)
    _refuse_foreign(Path(path))
    text = page(results, title or results.title or results.name, label, None if figures is None else Path(figures))
    write_atomic(Path(path), text.encode())
    return Path(path)


def _refuse_foreign(path: Path) -> None:
    """Refuse to replace a file that is no report."""
    if path.is_file() and _MARK not in path.read_bytes()[:2000]:
        from ..errors import ConfigError

        raise ConfigError(f"'{path}' holds something else than a report of backdrop; name another file")
