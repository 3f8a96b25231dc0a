"""Cabinetry: a workspace as a configuration and a folder of histograms."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..channel import Channel
from ..errors import ExportError
from .blocks import Block, blocks
from .files import Files
from .forms import by_bin, uniform
from .model import Model, read

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["cabinetry"]

_FOLDER = "histograms"
_DATA = "data"


def cabinetry(workspace: Mapping[str, Any], channels: Iterable[Channel] = ()) -> Files:
    """Return ``config.yml`` and the histograms of a workspace for cabinetry 0.6, ready for ``workspace.build``.

    - a shape nuisance is `NormPlusShape`, which cabinetry makes a `normsys` times a `histosys`: the same yields at
      plus and minus one standard deviation, other ones between;
    - a `normsys` is a `Normalization`, a free factor a `NormFactor`; a set of factors, one for each bin, is a sample
      ``<sample>_at<i>`` for each bin;
    - the bins' own errors become `staterror`, one factor for each bin of a channel, which its samples share.

    Raises
    ------
    ExportError
        If a yield is negative or not finite, nothing is expected in a bin, a variation adds up to zero, names collide,
        or there is no free factor.

    Examples
    --------
    >>> import hist
    >>> from backdrop import Channel, Estimate, Region, workspace
    >>> channels = (Channel("SR", Region("SR", "m > 100"), (hist.axis.Regular(2, 100, 300, name="m"),)),)
    >>> multijet = Estimate(channels, np.array([50.0, 20.0]), np.array([25.0, 16.0]))
    >>> hh = Estimate(channels, np.array([5.0, 3.0]), np.zeros(2))
    >>> list(cabinetry(workspace({"multijet": multijet}, {"hh": hh}), channels))
    ['config.yml', 'histograms/SR_data.npz', 'histograms/SR_multijet.npz', 'histograms/SR_hh.npz']
    """
    import yaml

    model = uniform(by_bin(read(workspace, channels, negative=True)).without_empty().relative("cabinetry"))
    if not model.factors:
        raise ExportError("cabinetry needs a free factor, and the workspace has none; give it a signal")
    named = list(blocks(model))
    settings = yaml.safe_dump(_settings(model, named), sort_keys=False, width=120)
    files = {"config.yml": "".join(f"# {line}\n" for line in _head(model)).encode() + settings.encode()}
    for name, body in _histograms(model, named):
        path = f"{_FOLDER}/{name}.npz"
        if path in files:
            raise ExportError(f"histogram '{name}' would stand for two things; rename a sample or a variation")
        files[path] = body
    return files


def _head(model: Model) -> Iterator[str]:
    yield "run cabinetry in this folder: the histograms are there already, so go on with workspace.build"
    yield from model.notes


def _settings(model: Model, named: Iterable[Block]) -> dict[str, Any]:
    return {
        "General": {
            "Measurement": model.title,
            "POI": model.poi,
            "InputPath": f"{_FOLDER}/",
            "HistogramFolder": f"{_FOLDER}/",
        },
        "Regions": [{"Name": place.name} for place in model.places],
        "Samples": [{"Name": _DATA, "Data": True}, *_samples(model)],
        "NormFactors": list(_factors(model)),
        "Systematics": [_systematic(one) for one in named],
    }


def _samples(model: Model) -> Iterator[dict[str, Any]]:
    for name in model.samples:
        if name == _DATA:
            raise ExportError(f"sample '{name}' has the name that the data have; rename it")
        cells = [(place.name, cell) for place, cell in model.cells() if cell.sample == name]
        row: dict[str, Any] = {"Name": name, "Regions": [channel for channel, _ in cells]}
        yield row if any(cell.errors.any() for _, cell in cells) else row | {"DisableStaterror": True}


def _factors(model: Model) -> Iterator[dict[str, Any]]:
    for name, (one,) in model.factors.items():
        uses = model.uses(lambda cell: cell.factors, name)
        channels = [place.name for place in model.places if any(place.name in found for found in uses.values())]
        yield {
            "Name": name,
            "Samples": list(uses),
            "Regions": channels,
            "Nominal": one.start,
            "Bounds": [one.lower, one.upper],
        }


def _systematic(one: Block) -> dict[str, Any]:
    row: dict[str, Any] = {"Name": one.name, "Type": "NormPlusShape" if one.norm is None else "Normalization"}
    row |= {"Samples": list(one.samples), "Regions": list(one.channels)}
    for word, factor in zip(("Up", "Down"), one.norm or (None, None), strict=True):
        row[word] = {} if factor is None else {"Normalization": factor - 1.0}
    return row if one.name == one.nuisance else row | {"ModifierName": one.nuisance}


def _histograms(model: Model, named: Iterable[Block]) -> Iterator[tuple[str, bytes]]:
    titles = {
        (sample, channel, one.nuisance): one.name for one in named for sample in one.samples for channel in one.channels
    }
    for place in model.places:
        yield f"{place.name}_{_DATA}", _body(place.edges, place.data, np.sqrt(place.data))
        for cell in place.cells:
            stem = f"{place.name}_{cell.sample}"
            yield stem, _body(place.edges, cell.nominal, cell.errors)
            for name, sides in cell.shapes.items():
                title = titles[cell.sample, place.name, name]
                for word, side in zip(("Up", "Down"), sides, strict=True):
                    yield f"{stem}_{title}_{word}", _body(place.edges, side, np.zeros_like(side))


def _body(edges: Array, yields: Array, errors: Array) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, yields=yields, stdev=errors, bins=edges)
    return buffer.getvalue()
