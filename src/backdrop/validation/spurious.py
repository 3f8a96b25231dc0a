"""Spurious signal: what a signal fit finds where there is none."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..channel import Channel
from ..errors import ConfigError, FitError
from ..estimate import Setup
from ..tasks import Map, Result
from .ensemble import Analysis, Fit, failures
from .ensemble import toys as run
from .pulls import Pulls

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["SpuriousSignal", "spurious_signal"]


@dataclass(frozen=True, eq=False, repr=False)
class SpuriousSignal:
    """The fitted signal of background-only samples, in units of its error.

    Attributes
    ----------
    fitted
        One quantity for each hypothesis: strength, error, and the truth, which is zero.
    largest
        The greatest spurious signal that is accepted.
    seed
        Root of the toys.
    failed
        The toys whose fit failed (`FitError`).
    """

    fitted: Pulls
    largest: float
    seed: int
    failed: tuple[int, ...] = ()

    def __repr__(self) -> str:
        rows = ", ".join(
            f"{name} {size:+.3f} ± {self.fitted.mean_error[i]:.3f} σ, width {self.fitted.width[i]:.3f} ± "
            f"{self.fitted.width_error[i]:.3f}"
            for i, (name, size) in enumerate(zip(self.fitted.names, self.size, strict=True))
        )
        failed = f"; {len(self.failed)} failed" if self.failed else ""
        verdict = "passed" if self.passed else "not passed"
        return f"SpuriousSignal({self.toys} toys: {rows}{failed}; at most {self.largest:g} σ: {verdict})"

    @property
    def toys(self) -> int:
        """The number of toys, failed ones included."""
        return len(self.fitted.value)

    @property
    def size(self) -> Array:
        """The spurious signal of each hypothesis: the mean of strength over error, shape (hypotheses,)."""
        return self.fitted.mean

    @property
    def cost(self) -> Array:
        """What it adds to the total uncertainty of each hypothesis where it is an uncertainty: ``√(1 + s²) - 1``."""
        return np.asarray(np.hypot(1.0, self.size) - 1.0)

    @property
    def passed(self) -> bool:
        """Whether every hypothesis, moved by at most 3 of its standard errors, is within the greatest size accepted.

        A toy that failed passes nothing. Few toys pass easily: the error of `size` is ``1 / √toys``.
        """
        band = (-self.largest, self.largest)
        return not self.failed and bool(self.fitted.meets(band, (0.0, np.inf)).all())

    def state(self) -> dict[str, Any]:
        """Return arrays and plain values from which :meth:`from_state` restores the result."""
        parts = {"fitted": self.fitted.state(), "largest": self.largest, "seed": self.seed}
        return {**parts, "failed": np.array(self.failed, np.int64)}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> SpuriousSignal:
        """Restore a result from :meth:`state`."""
        failed = tuple(int(toy) for toy in np.asarray(state["failed"]))
        return cls(Pulls.from_state(state["fitted"]), float(state["largest"]), int(state["seed"]), failed)


def spurious_signal(
    make: Callable[[int], Setup],
    channels: Sequence[Channel],
    fit: Fit,
    *,
    largest: float,
    toys: int,
    seed: int,
    replicas: int = 0,
    relation: bool = False,
    map: Map = builtins.map,
    directory: Path | str | None = None,
) -> SpuriousSignal:
    """Fit a signal to many samples that hold none: generate, model, fit, pull.

    In toy i the background of ``make(s_i)``, with ``s_i = named_seed(seed, "toy", i)``, is estimated in the channels,
    and the signal fitted to the rows observed there. The mean of its pulls is the spurious signal; their width says
    whether the error of the fit is right. A toy is the same alone or in any number, order or process.

    Parameters
    ----------
    make
        Draws a sample without signal with a seed and returns it with the method. For several processes it must be
        picklable: a function of a module, a `functools.partial` of one, or a dataclass with ``__call__``.
    channels
        Where the background is estimated and the signal fitted.
    fit
        The fit of one or more hypotheses, picklable too, such as :class:`~backdrop.inference.SignalFit`.
    largest
        The greatest spurious signal that is accepted, in units of its error: chosen before the study. As an
        uncertainty, 0.14 makes the total one larger by 1 %, 0.2 by 2 %.
    toys
        Number of toys.
    seed
        Root of the toys.
    replicas
        Resampled fits of the method in each toy, see `estimate`.
    relation
        Give the fit the background as a relation (`terms`) instead of an estimate.
    map
        Any map; see `tasks.pool`.
    directory
        Where each finished toy is kept; a run that was cut short, or asks for more toys, goes on from them.

    Raises
    ------
    ArtifactError
        If a directory is given and `make` or `fit` cannot be told from another one (it closes over variables).
    ConfigError
        If `toys` is below 2 or `largest` is not positive.
    DataError
        If the rows of a channel may be sealed.
    FitError
        If the fits of all toys fail.
    """
    if not largest > 0.0:
        raise ConfigError(f"largest={largest}: the greatest spurious signal accepted is a positive number of errors")
    one = _Spurious(make, Analysis(tuple(channels), fit, replicas, relation))
    rows = run(one, toys, seed=seed, map=map, directory=directory)
    failed = failures(rows)
    names = next(row["names"] for row in rows if "failure" not in row).tolist()
    missing = np.full((2, len(names)), np.nan)
    values, errors = np.stack([row.get("strengths", missing) for row in rows], axis=1)
    return SpuriousSignal(Pulls(tuple(names), values, errors, np.zeros_like(values)), largest, seed, failed)


@dataclass(frozen=True)
class _Spurious:
    """A toy without signal, and the signal fitted to it."""

    make: Callable[[int], Setup]
    analysis: Analysis

    def __call__(self, seed: int) -> Result:
        setup = self.make(seed)
        try:
            background = self.analysis.background(setup, seed)
            names, strengths = self.analysis.fitted(background, self.analysis.observed(setup), seed)
        except FitError as error:
            return {"failure": np.array(str(error))}
        return {"names": np.array(names), "strengths": strengths}
