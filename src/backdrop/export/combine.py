"""Combine: a workspace as a datacard and ROOT histograms in the naming of the CMS tool."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..channel import Channel
from ..errors import ExportError
from .files import Files, root_file
from .forms import by_bin
from .model import Cell, Model, read
from .templates import data, templates

__all__ = ["combine"]

_ALWAYS = 10_000_000_000
"""More effective events than a bin has: every process keeps a factor of its own."""
_COUNTABLE = 2_000_000_000
"""combine counts effective events in integers of 32 bits; errors below this many are no uncertainty."""


def combine(workspace: Mapping[str, Any], channels: Iterable[Channel] = ()) -> Files:
    """Return ``datacard.txt`` and ``shapes.root`` of a workspace for combine.

    - a shape nuisance is a `shape` row with the histograms ``<channel>/<process>_<nuisance>Up`` and ``Down``; with
      ``autoMCStats … 1 2`` combine moves yields by the same polynomial as a pyhf `histosys`;
    - a `normsys` is an `lnN` row, free factors are `rateParam`, several for a process where it is a product; a set of
      factors, one for each bin, is a process ``<process>_at<i>`` for each bin;
    - the bins' own errors are those of the histograms, with a threshold that lets every process have its own factor,
      constrained by its effective number of events, which combine rounds to an integer;
    - the signal strength is combine's own ``r``; its bounds are in the head of the card.

    Parameters
    ----------
    workspace
        As :func:`backdrop.workspace` makes it.
    channels
        The channels, for the edges of their bins.

    Raises
    ------
    ExportError
        If a yield is negative or not finite, nothing is expected in a bin, or a name stands for two things.

    Examples
    --------
    >>> import hist
    >>> from backdrop import Channel, Estimate, Region, workspace
    >>> channels = (Channel("SR", Region("SR", "m > 100"), (hist.axis.Regular(2, 100, 300, name="m"),)),)
    >>> multijet = Estimate(channels, np.array([50.0, 20.0]), np.array([25.0, 16.0]))
    >>> hh = Estimate(channels, np.array([5.0, 3.0]), np.zeros(2))
    >>> files = combine(workspace({"multijet": multijet}, {"hh": hh}), channels)
    >>> sorted(files)
    ['datacard.txt', 'shapes.root']
    """
    model = by_bin(read(workspace, channels)).without_empty()
    if "r" in {*model.factors, *model.nuisances(lambda cell: (*cell.shapes, *cell.norms))} - {model.poi}:
        raise ExportError("a parameter is called 'r', which is combine's signal strength; rename it")
    objects: dict[str, Any] = {}
    for place in model.places:
        _add(objects, f"{place.name}/data_obs", data(place))
        for cell in place.cells:
            for suffix, histogram in templates(place, replace(cell, errors=_errors(cell))):
                _add(objects, f"{place.name}/{cell.sample}{suffix}", histogram)
    return {"datacard.txt": _card(model).encode(), "shapes.root": root_file(objects)}


def _add(objects: dict[str, Any], name: str, histogram: Any) -> None:
    if name in objects:
        raise ExportError(f"histogram '{name}' would stand for two things; rename a sample or a variation")
    objects[name] = histogram


def _errors(cell: Cell) -> Any:
    counted = np.divide(cell.nominal, cell.errors, out=np.zeros_like(cell.nominal), where=cell.errors > 0.0) ** 2
    return np.where(counted < _COUNTABLE, cell.errors, 0.0)


# ---- the card ------------------------------------------------------------------------------------------------------


def _card(model: Model) -> str:
    names = [place.name for place in model.places]
    columns = [(place.name, cell) for place, cell in model.cells()]
    numbers = _numbers(model)
    rows = _nuisances(model, columns)
    parts = [
        _head(model),
        [
            f"imax {len(names)} number of channels",
            f"jmax {len(model.samples) - 1} number of processes less one",
            f"kmax {len(rows)} number of nuisances",
        ],
        ["shapes * * shapes.root $CHANNEL/$PROCESS $CHANNEL/$PROCESS_$SYSTEMATIC"],
        _aligned([["bin", *names], ["observation", *["-1"] * len(names)]]),
        _aligned(
            [
                ["bin", "", *[name for name, _ in columns]],
                ["process", "", *[cell.sample for _, cell in columns]],
                ["process", "", *[str(numbers[cell.sample]) for _, cell in columns]],
                ["rate", "", *["-1"] * len(columns)],
                *rows,
            ]
        ),
        _aligned(list(_free(model))),
        _aligned([[name, "autoMCStats", str(_ALWAYS), "1", "2"] for name in names]),
    ]
    return "\n".join("\n".join(part) + "\n" + "-" * 80 for part in parts if part).rsplit("\n", 1)[0] + "\n"


def _head(model: Model) -> list[str]:
    lines = [f"# {model.title}"]
    lines += [f"# {note}" for note in model.notes]
    lines += [f"# data_obs of {one.name}: {one.title}" for one in model.places if not one.observed]
    lines += ["# text2workspace.py datacard.txt --X-allow-no-signal -o workspace.root"]
    if model.poi:
        (strength,) = model.factors[model.poi]
        lines += [f"# combine's r is {model.poi}: --rMin {strength.lower!r} --rMax {strength.upper!r}"]
    return lines


def _numbers(model: Model) -> dict[str, int]:
    """Return the numbers of the processes: signals from zero downwards, backgrounds from one upwards."""
    signals = [name for name in model.samples if model.is_signal(name)]
    others = [name for name in model.samples if not model.is_signal(name)]
    return {name: -i for i, name in enumerate(signals)} | {name: i for i, name in enumerate(others, start=1)}


def _nuisances(model: Model, columns: Sequence[tuple[str, Cell]]) -> list[list[str]]:
    rows = []
    for name in model.nuisances(lambda cell: cell.shapes):
        rows.append([name, "shape", *["1" if name in cell.shapes else "-" for _, cell in columns]])
    for name in model.nuisances(lambda cell: cell.norms):
        rows.append([name, "lnN", *[_kappa(cell.norms.get(name)) for _, cell in columns]])
    return rows


def _kappa(sides: tuple[float, float] | None) -> str:
    return "-" if sides is None else f"{sides[1]!r}/{sides[0]!r}"


def _free(model: Model) -> Iterator[list[str]]:
    for name, (one,) in model.factors.items():
        for place, cell in model.cells() if name != model.poi else ():
            if name in cell.factors:
                yield [name, "rateParam", place.name, cell.sample, repr(one.start), f"[{one.lower!r},{one.upper!r}]"]


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
