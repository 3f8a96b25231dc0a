"""Performing: one run in its folder, from the lock to the last file."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from .. import blinding
from ..blinding import Look, Unblinding
from ..config.analysis import Analysis, SealedSample
from ..errors import ArtifactError, ConfigError, nearest
from ..provenance import Provenance, commit_of, now, versions
from ..results import Results
from ..tasks import Map, checkpoints, pool, progress, resumable, write_atomic
from ..version import __version__
from .collect import results
from .execution import Outcome, execute
from .folder import Folder, folder
from .overlaps import overlaps, refuse_sealed
from .render import render
from .samples import Samples, files_of, read
from .state import State
from .toys import pulls

__all__ = ["Finished", "Request", "perform"]


@dataclass(frozen=True)
class Request:
    """How an analysis is to be run.

    Attributes
    ----------
    out
        The folder.
    jobs
        How many processes; nothing but the time depends on it.
    unblind
        The reason for reading sealed rows, None to leave them sealed.
    regions
        Names of the sealed regions that are unblinded; all of them if none is named.
    overwrite
        Replace the run of another configuration.
    command
        The command line, for provenance.
    """

    out: Path
    jobs: int = 1
    unblind: str | None = None
    regions: tuple[str, ...] = ()
    overwrite: bool = False
    command: tuple[str, ...] = ()


@dataclass(frozen=True)
class Finished:
    """A finished run: its results, what they were made of, and the report."""

    results: Results
    outcome: Outcome
    report: Path


def perform(analysis: Analysis, request: Request) -> Finished:
    """Run an analysis in its folder.

    Finished tasks are kept there and used again by a later run; the files of a run appear once all of them are made.

    Raises
    ------
    BackdropError
        Whatever stops the run; earlier files are left as they were.
    """
    started = now()
    opened = _opened(analysis, request)
    names = tuple(one.sample for one in opened)
    log = (analysis.folder / blinding.FILE).resolve()
    state = State(analysis.name, analysis.fingerprint, analysis.decisive, names, __version__, str(log))
    inputs = [path for name in analysis.configuration.inputs for path in files_of(analysis, name)]
    refuse_sealed(overlaps(analysis, names))
    with folder(request.out, state, overwrite=request.overwrite, inputs=inputs) as place:
        looks = _look(analysis, opened, request.unblind, place)
        samples = read(analysis, names)
        _refuse_changed(request, analysis, samples)
        with checkpoints(place.tasks / "trainings"), pool(request.jobs) as map:
            kept = _kept(map, place)
            outcome = execute(analysis, samples.events, map=kept, titled=progress)
            outcome = replace(outcome, pulls=pulls(analysis, map=progress(kept, "toys")))
        record = _provenance(analysis, request, samples, looks, started)
        found = results(analysis, outcome, samples, looks, record)
        render(found, outcome.workspaces, place.staging)
        write_atomic(place.staging / "analysis.yaml", analysis.document.text.encode())
        record = replace(record, outputs=dict(_hashes(place.staging)))
        write_atomic(place.staging / "provenance.json", record.to_json())
        place.publish()
    return Finished(found, outcome, request.out / "report.html")


def _kept(map: Map, place: Folder) -> Map:
    return resumable(map, place.tasks)


def _opened(analysis: Analysis, request: Request) -> tuple[SealedSample, ...]:
    """Return the seals that are not applied."""
    if request.unblind is None:
        if request.regions:
            raise ConfigError("--unblind-region needs --unblind with a reason")
        return ()
    known = {one.seal.region.name: one for one in analysis.seals}
    for name in request.regions:
        if name not in known:
            have = ", ".join(f"'{one}'" for one in known) or "none"
            raise ConfigError(f"no sealed region '{name}'{nearest(name, known)}; sealed: {have}")
    if not known:
        raise ConfigError("--unblind is given, but the configuration seals nothing")
    return tuple(one for one in analysis.seals if not request.regions or one.seal.region.name in request.regions)


def _look(
    analysis: Analysis, opened: Sequence[SealedSample], reason: str | None, place: Folder
) -> tuple[Unblinding, ...]:
    """Log what is unblinded and return the log, which must hold what it held at this folder's last run."""
    log = place.state.log
    blinding.verify(log, place.state.looks)
    for one in opened:
        region = one.seal.region
        look = Look(analysis.name, analysis.fingerprint, one.sample, region.name, region.cut, reason or "")
        blinding.record(log, look)
    found = blinding.looks(log)
    place.remember([entry.sha256 for entry in found])
    return found


def _refuse_changed(request: Request, analysis: Analysis, samples: Samples) -> None:
    """Refuse to replace finished results by those of other files, which no setting would tell apart."""
    if request.overwrite:
        return
    before = Provenance.read(request.out / "provenance.json")
    if before is None or before.fingerprint != analysis.fingerprint:
        return
    if changed := before.changed(samples.files):
        raise ArtifactError(
            f"'{request.out}' holds finished results of the same configuration, but these inputs changed since: "
            f"{', '.join(changed[:5])}; give --overwrite to replace them, or another --out to keep them"
        )


def _provenance(
    analysis: Analysis, request: Request, samples: Samples, looks: Collection[Unblinding], started: str
) -> Provenance:
    return Provenance(
        name=analysis.name,
        fingerprint=analysis.fingerprint,
        seed=analysis.configuration.seed,
        settings=analysis.settings,
        inputs=samples.files,
        started=started,
        finished=now(),
        unblinding=tuple(asdict(entry) for entry in looks if entry.analysis == analysis.name),
        commit=commit_of(analysis.folder),
        versions=versions(),
        command=request.command,
    )


def _hashes(staging: Path) -> Iterator[tuple[str, str]]:
    for file in sorted(staging.rglob("*")):
        if file.is_file() and file.name != "provenance.json":
            yield file.relative_to(staging).as_posix(), hashlib.sha256(file.read_bytes()).hexdigest()
