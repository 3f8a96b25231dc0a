"""Coverage: an estimate's uncertainty tested over an ensemble of samples of known truth."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..channel import Channel
from ..errors import DataError, FitError
from ..estimate import Estimate, Setup, estimate
from ..tasks import Map, Result
from .ensemble import toys as run
from .pulls import Pulls

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[np.float64]
    Truth = ArrayLike | Mapping[str, ArrayLike]

__all__ = ["Coverage", "coverage"]


@dataclass(frozen=True, eq=False, repr=False)
class Coverage:
    """The pulls of an estimate over toys, for the yield of each channel and for each bin.

    Attributes
    ----------
    yields
        One quantity for each channel.
    bins
        One quantity for each bin of each channel, named ``channel[bin]``.
    seed
        Root of the toys.
    failed
        The toys whose fit failed (`FitError`): they have no pull, and count as not covering.
    """

    yields: Pulls
    bins: Pulls
    seed: int
    failed: tuple[int, ...] = ()

    def __repr__(self) -> str:
        rows = ", ".join(
            f"{name} pull {mean:+.3f} ± {self.yields.mean_error[i]:.3f}, width {self.yields.width[i]:.3f} ± "
            f"{self.yields.width_error[i]:.3f}"
            for i, (name, mean) in enumerate(zip(self.yields.names, self.yields.mean, strict=True))
        )
        failed = f"; {len(self.failed)} failed" if self.failed else ""
        return f"Coverage({self.toys} toys: {rows}{failed})"

    @property
    def toys(self) -> int:
        """The number of toys, failed ones included."""
        return len(self.yields.value)

    def meets(self, mean: tuple[float, float], width: tuple[float, float], *, bins: bool = False) -> bool:
        """Say whether the pulls of all yields (and bins, if asked) lie in the bands of mean and width.

        A band is met when the measured value, moved by at most 3 of its own standard errors towards the band, lies
        inside. A toy that failed, or a quantity that ever had no uncertainty, meets nothing.
        """
        tables = (self.yields, self.bins) if bins else (self.yields,)
        return not self.failed and all(bool(table.meets(mean, width).all()) for table in tables)

    def state(self) -> dict[str, Any]:
        """Return arrays and plain values from which :meth:`from_state` restores the result."""
        parts = {"yields": self.yields.state(), "bins": self.bins.state()}
        return {**parts, "seed": self.seed, "failed": np.array(self.failed, np.int64)}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Coverage:
        """Restore a result from :meth:`state`."""
        failed = tuple(int(toy) for toy in np.asarray(state["failed"]))
        return cls(Pulls.from_state(state["yields"]), Pulls.from_state(state["bins"]), int(state["seed"]), failed)


def coverage(
    make: Callable[[int], Setup],
    channels: Sequence[Channel],
    truth: Truth | Callable[[int], Truth],
    *,
    toys: int,
    seed: int,
    replicas: int = 0,
    map: Map = builtins.map,
    directory: Path | str | None = None,
) -> Coverage:
    """Estimate the background of many toys and compare with the truth.

    Toy i is ``estimate(make(s_i), channels, seed=s_i)`` with ``s_i = named_seed(seed, "toy", i)``; its pulls are
    ``(estimate - truth) / σ``, σ the total uncertainty of the yield or of the bin. So a toy is the same alone or in any
    number, order or process.

    Parameters
    ----------
    make
        Draws a sample with a seed and returns it with the method. For several processes it must be picklable: a
        function of a module, a `functools.partial` of one, or a dataclass with ``__call__``.
    channels
        Where the background is estimated.
    truth
        The exact expectation of each bin: a vector over all channels, a mapping of channel name to vector, or a
        function of the toy's seed that returns one of them.
    toys
        Number of toys.
    seed
        Root of the toys.
    replicas
        Resampled fits in each toy, see `estimate`.
    map
        Any map; see `tasks.pool`.
    directory
        Where each finished toy is kept; a run that was cut short, or asks for more toys, goes on from them.

    Raises
    ------
    ArtifactError
        If a directory is given and `make` or `truth` cannot be told from another one (it closes over variables).
    ConfigError
        If `toys` is below 2.
    DataError
        If the truth does not have the bins of the channels.
    """
    channels = tuple(channels)
    known = truth if callable(truth) else _flat(truth, channels)
    rows = run(_Covered(make, channels, known, replicas), toys, seed=seed, map=map, directory=directory)
    table = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    names = [f"{channel.name}[{i}]" for channel in channels for i in range(channel.size)]
    return Coverage(
        yields=_pulls([channel.name for channel in channels], table, "yield"),
        bins=_pulls(names, table, "bin"),
        seed=seed,
        failed=tuple(int(toy) for toy in np.flatnonzero(table["failed"])),
    )


def _pulls(names: Sequence[str], table: Result, what: str) -> Pulls:
    return Pulls(tuple(names), table[f"{what}s"], table[f"{what}_errors"], table[f"{what}_truths"])


@dataclass(frozen=True)
class _Covered:
    """A toy whose estimate is compared with the truth."""

    make: Callable[[int], Setup]
    channels: tuple[Channel, ...]
    truth: Array | Callable[[int], Truth]
    replicas: int

    def __call__(self, seed: int) -> Result:
        truth = _flat(self.truth(seed) if callable(self.truth) else self.truth, self.channels)
        truths = {"yield_truths": _sums(truth, self.channels), "bin_truths": truth}
        try:
            found = estimate(self.make(seed), self.channels, replicas=self.replicas, seed=seed)
        except FitError:
            return truths | _no_values(len(self.channels), len(truth)) | {"failed": np.array(True)}
        return truths | _values(found) | {"failed": np.array(False)}


def _values(found: Estimate) -> Result:
    totals = [found.total(channel.name) for channel in found.channels]
    variances = [np.diag(found.covariance(channel.name)) for channel in found.channels]
    return {
        "yields": np.array([total.value for total in totals]),
        "yield_errors": np.array([total.total for total in totals]),
        "bins": found.nominal,
        "bin_errors": np.sqrt(np.concatenate(variances)),
    }


def _no_values(channels: int, bins: int) -> Result:
    sizes = {"yields": channels, "yield_errors": channels, "bins": bins, "bin_errors": bins}
    return {name: np.full(size, np.nan) for name, size in sizes.items()}


def _flat(truth: Truth, channels: Sequence[Channel]) -> Array:
    if isinstance(truth, Mapping):
        if missing := [channel.name for channel in channels if channel.name not in truth]:
            raise DataError(f"no truth for channels {missing}; there is one for {sorted(truth)}")
        truth = np.concatenate([np.ravel(np.asarray(truth[channel.name], np.float64)) for channel in channels])
    flat = np.asarray(truth, np.float64)
    bins = sum(channel.size for channel in channels)
    if flat.shape != (bins,) or not np.isfinite(flat).all():
        raise DataError(f"the truth has shape {flat.shape} or is not finite; the channels have {bins} bins")
    return flat


def _sums(bins: Array, channels: Sequence[Channel]) -> Array:
    starts = np.cumsum([0] + [channel.size for channel in channels])
    return np.add.reduceat(bins, starts[:-1])
