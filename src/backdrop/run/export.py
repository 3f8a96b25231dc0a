"""Export: the estimates of a finished run as files for other programs."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np

from ..channel import Channel
from ..errors import ArtifactError, ConfigError, ExportError
from ..estimate import Estimate
from ..results import Results
from ..tasks import write_atomic

__all__ = ["EXPORTS", "export"]

_DIMENSIONS = 3

Writer = Callable[[str, Estimate], tuple[str, bytes]]
"""From a method's name and estimate to a file's name and content."""


def export(folder: Path | str, out: Path | str, write: Writer, *, overwrite: bool = False) -> Iterator[Path]:
    """Write one file for each method of a finished run, and yield their paths.

    Raises
    ------
    ArtifactError
        If the folder holds no finished run, or its files are damaged.
    ConfigError
        If a file is there already and `overwrite` is not given.
    ExportError
        If the format cannot hold an estimate.
    """
    found = Results.load(folder)
    if not found.estimates:
        raise ArtifactError(f"'{folder}' holds no estimates")
    files = {Path(out) / name: body for name, body in (write(*pair) for pair in found.estimates.items())}
    for path, body in files.items():
        if os.path.lexists(path) and not overwrite:
            raise ConfigError(f"'{path}' exists; give --overwrite to replace it, or another --out")
        write_atomic(path, body)
        yield path


def root(name: str, estimate: Estimate) -> tuple[str, bytes]:
    """Return a ROOT file of histograms ``<channel>/<method>``, ``<channel>/<method>_<variation>Up`` and ``...Down``.

    The errors of the nominal are the statistical ones, the square roots of the diagonal of their covariance. The
    correlation of bins is not in the file: it is in the workspace of the run.
    """
    import uproot

    buffer = io.BytesIO()
    with uproot.recreate(buffer) as file:
        for channel in estimate.channels:
            if len(channel.axes) > _DIMENSIONS:
                raise ExportError(f"channel '{channel.name}' has {len(channel.axes)} axes; ROOT holds at most three")
            for title, (values, variances) in _histograms(estimate, channel).items():
                file[f"{channel.name}/{name}{title}"] = channel.hist(values, variances)
        body = buffer.getvalue()  # uproot closes the buffer with the file
    return f"{name}.root", body


def csv(name: str, estimate: Estimate) -> tuple[str, bytes]:
    """Return a table with a row for each bin: edges, yield, statistical error, and the shift of each variation."""
    text = io.StringIO()
    names = list(estimate.variations)
    shifts = ",".join(f"{one} up,{one} down" for one in names)
    text.write(f"channel,bin,axis,low,high,yield,statistical{',' + shifts if shifts else ''}\n")
    for channel in estimate.channels:
        rows = _histograms(estimate, channel)
        nominal, variance = rows[""]
        for i, edges in enumerate(_edges(channel)):
            cells = [nominal[i], np.sqrt(variance[i])]
            cells += [rows[f"_{one}{side}"][0][i] - nominal[i] for one in names for side in ("Up", "Down")]
            text.write(f"{channel.name},{i},{edges},{','.join(repr(float(cell)) for cell in cells)}\n")
    return f"{name}.csv", text.getvalue().encode()


EXPORTS: Mapping[str, Writer] = {"root": root, "csv": csv}
"""What `backdrop export --format` writes."""


def _histograms(estimate: Estimate, channel: Channel) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return flat values and variances of a channel: the nominal, then each variation up and down."""
    part = estimate.only(channel.name)
    found = {"": (part.nominal, np.diag(part.statistical_covariance()))}
    for name, (up, down) in part.variations.items():
        found |= {f"_{name}Up": (up, np.zeros_like(up)), f"_{name}Down": (down, np.zeros_like(down))}
    return found


def _edges(channel: Channel) -> Iterator[str]:
    """Yield column, lower and upper edge of each flat bin; those of several axes joined by semicolons."""
    for index in np.ndindex(*channel.shape):
        ends = [(axis.name, axis.edges[i], axis.edges[i + 1]) for axis, i in zip(channel.axes, index, strict=True)]
        yield ",".join(";".join(f"{one[part]:g}" if part else one[0] for one in ends) for part in range(3))
