"""Again: the report of a finished run, rendered anew from what the run kept."""

from __future__ import annotations

from pathlib import Path

from .. import blinding
from ..errors import ArtifactError
from ..results import Results
from .folder import held
from .render import render_report
from .state import state_of

__all__ = ["report_again"]


def report_again(path: Path | str) -> Path:
    """Render report and figures of a finished run and return the report's path.

    Raises
    ------
    ArtifactError
        If the folder holds no finished run, or its files are damaged.
    BlindedError
        If the unblinding log was edited since.
    """
    state = state_of(path)
    if state is None:
        raise ArtifactError(f"'{path}' is not the folder of a run; make one with: backdrop run FILE --out '{path}'")
    blinding.verify(state.log, state.looks)
    with held(path, state) as place:
        render_report(Results.load(path), place.staging)
        place.publish(("report.html", "figures"))
    return Path(path) / "report.html"
