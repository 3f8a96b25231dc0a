"""Histograms: an estimate itself, not its likelihood, as a ROOT file or a table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from ..channel import Channel
from ..errors import ExportError
from ..estimate import Estimate
from ..inference.sample import Sample
from .files import Files, root_file

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["csv", "root"]

_DIMENSIONS = 3


def root(estimate: Estimate, name: str = "estimate", *, as_is: bool = False) -> Files:
    """Return ``<name>.root`` with the histograms ``<channel>/<name>``, ``<channel>/<name>_<variation>Up`` and ``Down``.

    The errors of the nominal are the statistical ones, the square roots of the diagonal of their covariance. The
    correlation of bins is not in the file: it is in the workspace of the run. Variations that are the counts of a fit
    are part of these errors, and not written again.

    Parameters
    ----------
    estimate
        The estimate.
    name
        Its name.
    as_is
        Write bins that are zero or negative as they are, and the text ``bins_as_is`` that names them.

    Raises
    ------
    ExportError
        If a bin is zero or negative that the cut of its region does not exclude, or a channel has more than three axes.
    """
    objects = {}
    for channel in estimate.channels:
        if len(channel.axes) > _DIMENSIONS:
            raise ExportError(f"channel '{channel.name}' has {len(channel.axes)} axes; ROOT holds at most three")
        for title, (values, variances) in _histograms(estimate, channel).items():
            objects[f"{channel.name}/{name}{title}"] = channel.hist(values, variances)
    notes = "\n".join(note for rows in _notes(estimate, name, as_is).values() for note in rows if note)
    return {f"{name}.root": root_file(objects | ({"bins_as_is": notes} if notes else {}))}


def csv(estimate: Estimate, name: str = "estimate", *, as_is: bool = False) -> Files:
    """Return ``<name>.csv`` with a row for each bin: edges, yield, statistical error, and the shift of each systematic.

    Variations that are the counts of a fit are part of the statistical error, and have no column.
    Bins that are zero or negative are an error, or written `as_is` and named in a last column.

    Raises
    ------
    ExportError
        If a bin is zero or negative.
    """
    names = list(_systematics(estimate))
    notes = _notes(estimate, name, as_is)
    noted = any(map(any, notes.values()))
    head = ["channel", "bin", "axis", "low", "high", "yield", "statistical"]
    head += [f"{one} {side}" for one in names for side in ("up", "down")] + ["note"] * noted
    lines = [",".join(head)]
    for channel in estimate.channels:
        rows = _histograms(estimate, channel)
        nominal, variance = rows[""]
        for i, edges in enumerate(_edges(channel)):
            cells = [nominal[i], np.sqrt(variance[i])]
            cells += [rows[f"_{one}{side}"][0][i] - nominal[i] for one in names for side in ("Up", "Down")]
            texts = [channel.name, str(i), edges, *(repr(float(cell)) for cell in cells)]
            lines.append(",".join(texts + [f'"{notes[channel.name][i]}"'] * noted))
    return {f"{name}.csv": ("\n".join(lines) + "\n").encode()}


def _notes(estimate: Estimate, name: str, as_is: bool) -> dict[str, list[str]]:
    """Return channel to a note for each of its bins: what is zero or negative in it, empty for a sound one."""
    sample = Sample(name, name, estimate)
    rows = {"the nominal yield": estimate.nominal}
    for variation, sides in _systematics(estimate).items():
        rows |= {f"variation '{variation}' ({word})": side for word, side in zip(("up", "down"), sides, strict=True)}
    notes = [""] * len(estimate.nominal)
    excluded = np.concatenate([channel.excluded for channel in estimate.channels])
    for what, yields in rows.items():
        for index in np.flatnonzero(~(yields > 0.0) & ~(excluded & (yields == 0.0))).tolist():
            text = f"{what} is {yields[index]:g} in {sample.place(index)}"
            if not as_is:
                raise ExportError(f"{text}; merge bins, or write such bins as they are with as_is=True (--as-is)")
            notes[index] = f"{notes[index]}; {text}" if notes[index] else text
    return {one.name: notes[estimate.bins(one.name)] for one in estimate.channels}


def _histograms(estimate: Estimate, channel: Channel) -> dict[str, tuple[Array, Array]]:
    """Return flat values and variances of a channel: the nominal, then each variation up and down."""
    part = estimate.only(channel.name)
    found = {"": (part.nominal, np.diag(part.statistical_covariance()))}
    for name, (up, down) in _systematics(part).items():
        found |= {f"_{name}Up": (up, np.zeros_like(up)), f"_{name}Down": (down, np.zeros_like(down))}
    return found


def _systematics(estimate: Estimate) -> dict[str, tuple[Array, Array]]:
    return {name: pair for name, pair in estimate.variations.items() if name not in estimate.counted}


def _edges(channel: Channel) -> Iterator[str]:
    """Yield column, lower and upper edge of each flat bin; those of several axes joined by semicolons."""
    for index in np.ndindex(*channel.shape):
        ends = [(axis.name, axis.edges[i], axis.edges[i + 1]) for axis, i in zip(channel.axes, index, strict=True)]
        yield ",".join(";".join(f"{one[part]:g}" if part else one[0] for one in ends) for part in range(3))
