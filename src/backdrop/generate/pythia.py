"""Driver of Pythia: checked settings, a veto before the shower, and batches of the event record as flat columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ConfigError, ResourceError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Record", "Run", "Veto", "require"]

BATCH = 1000
SEEDS = 900_000_000
"""Pythia takes seeds from 1 to this number."""


@dataclass(frozen=True)
class Veto:
    """Drop events whose hard process has too few outgoing particles in acceptance, before any shower.

    Attributes
    ----------
    ids
        Absolute particle numbers that count.
    least
        How many must pass `eta_max` and `pt_min` (GeV).
    lead_pt
        The pT (GeV) that at least one of those must reach.
    """

    ids: tuple[int, ...]
    least: int
    eta_max: float
    pt_min: float = 0.0
    lead_pt: float = 0.0

    def drops(self, process: Any) -> bool:
        """Decide on a Pythia event record of the hard process."""
        inside = [pt for pt in (self._pt(process[i]) for i in range(5, process.size())) if pt >= 0.0]
        return len(inside) < self.least or max(inside, default=0.0) < self.lead_pt

    def _pt(self, particle: Any) -> float:
        if particle.idAbs() not in self.ids or abs(particle.eta()) > self.eta_max:
            return -1.0
        pt = float(particle.pT())
        return pt if pt >= self.pt_min else -1.0


@dataclass(frozen=True)
class Record:
    """The particles of a batch of events: columns of shape (particles,), all events one after the other.

    Attributes
    ----------
    event
        Index of the event in the batch.
    mother
        Row of the first mother; the event's row 0 for beams and the system.
    id, status
        PDG number and Pythia status (positive: final).
    px, py, pz, e, m
        GeV.
    tau
        Proper lifetime of a particle that decays, in mm/c.
    size
        Number of events.
    """

    event: NDArray[np.int64]
    mother: NDArray[np.int64]
    id: NDArray[np.int64]
    status: NDArray[np.int64]
    px: NDArray[np.float64]
    py: NDArray[np.float64]
    pz: NDArray[np.float64]
    e: NDArray[np.float64]
    m: NDArray[np.float64]
    tau: NDArray[np.float64]
    size: int

    @classmethod
    def of(cls, batch: Any) -> Record:
        """Flatten what ``nextBatch`` returned.

        The production vertices are not read: up to 8.317 the mask of that optional column is displaced by one particle
        for every event before; :func:`backdrop.generate.truth.flight` gives the vertices instead.
        """
        layout = batch.prt.layout
        starts = np.asarray(layout.starts.data)
        counts = np.asarray(layout.stops.data) - starts
        particles = layout.content[: int(counts.sum())]

        def column(name: str, of: Any = particles) -> NDArray[Any]:
            return np.asarray(of.content(name).data)[: len(particles)]

        first = np.repeat(starts, counts).astype(np.int64)
        momentum = particles.content("p")
        px, py, pz, e = (column(name, momentum) for name in ("px", "py", "pz", "e"))
        mother = np.maximum(column("mother1"), 0) + first
        ids, status = column("id").astype(np.int64), column("status").astype(np.int64)
        event = np.repeat(np.arange(len(counts)), counts)
        return cls(event, mother, ids, status, px, py, pz, e, column("m"), column("tau"), len(counts))


class Run:
    """One Pythia instance with one seed.

    Raises
    ------
    ConfigError
        If Pythia refuses a setting or cannot start with them.
    ResourceError
        If it is not installed, or does not find its data.
    """

    def __init__(self, settings: Sequence[str], seed: int, veto: Veto | None = None) -> None:
        pythia8mc = require("pythia8mc")
        if not 1 <= seed <= SEEDS:
            raise ConfigError(f"a Pythia seed lies between 1 and {SEEDS}, not {seed}")
        self._pythia = pythia8mc.Pythia("", False)
        for line in (*settings, "Random:setSeed = on", f"Random:seed = {seed}"):
            if not self._pythia.readString(line):
                self._refuse(line)
        # Pythia keeps a bare pointer to the hook
        self._hook = _hook(pythia8mc, veto) if veto else None
        if self._hook is not None:
            self._pythia.setUserHooksPtr(self._hook)
        if not self._pythia.init():
            raise ConfigError(
                "Pythia could not start with the settings of this case; run them with 'Print:quiet = off' to see why: "
                + "; ".join(settings)
            )

    def _refuse(self, line: str) -> None:
        # without its data files Pythia knows no setting at all
        if not self._pythia.readString("Main:numberOfEvents = 1"):
            raise ResourceError("Pythia does not find its data; set PYTHIA8DATA to its folder share/Pythia8/xmldoc")
        raise ConfigError(f"the generator ({version()}) does not accept the setting '{line}'")

    def batches(self, events: int) -> Iterator[Record]:
        """Yield `events` events that passed the veto, at most `BATCH` at a time."""
        for first in range(0, events, BATCH):
            yield Record.of(self._pythia.nextBatch(min(BATCH, events - first)))

    @property
    def cross_section(self) -> tuple[float, float]:
        """Cross section after the veto and its statistical error, in pb."""
        info = self._pythia.infoPython()
        return 1e9 * info.sigmaGen(), 1e9 * info.sigmaErr()


def _hook(pythia8mc: Any, veto: Veto) -> Any:
    class Hook(pythia8mc.UserHooks):  # type: ignore[misc]
        def canVetoProcessLevel(self) -> bool:
            return True

        def doVetoProcessLevel(self, process: Any) -> bool:
            return veto.drops(process)

    return Hook()


def require(name: str) -> Any:
    """Import a module of the `generate` extra.

    Raises
    ------
    ResourceError
        If it is not installed.
    """
    import importlib

    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise ResourceError(
            f"generating events needs '{name}', which is not installed: pip install 'backdrop[generate]'"
        ) from None


def version() -> str:
    """Return the versions of the generator and of the jet finder."""
    from importlib.metadata import PackageNotFoundError, version

    found = []
    for name in ("pythia8mc", "fastjet"):
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"{name} absent")
    return ", ".join(found)
