"""TRExFitter: a workspace as a configuration and ROOT histograms in the naming of ``ReadFrom: HIST``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ..channel import Channel
from ..errors import ExportError
from .blocks import Block, blocks
from .files import Files, root_file
from .forms import uniform
from .model import Model, read
from .templates import data, templates

__all__ = ["trexfitter"]

_FOLDER = "histograms"
_DATA = "data"


def trexfitter(workspace: Mapping[str, Any], channels: Iterable[Channel] = ()) -> Files:
    """Return ``trexfitter.config`` and ``histograms/<channel>.root`` of a workspace for TRExFitter.

    A region's `HistoFile` is its channel, a sample's `HistoName` its name, and a systematic's suffixes are
    ``_<nuisance>Up`` and ``_<nuisance>Down``.

    - a shape nuisance is `HISTO`, which TRExFitter splits into normalisation and shape: the same yields at plus and
      minus one standard deviation, other ones between;
    - a `normsys` is `OVERALL`, a free factor a `NormFactor`, a set of factors, one for each bin, a `ShapeFactor`,
      which has no bounds of its own;
    - the bins' own errors are gammas of each sample's own (`SeparateGammas`), with Poisson constraints.

    Raises
    ------
    ExportError
        If a yield is negative or not finite, nothing is expected in a bin, a variation adds up to zero, or names
        collide.

    Examples
    --------
    >>> import hist, numpy as np
    >>> from backdrop import Channel, Estimate, Region, workspace
    >>> channels = (Channel("SR", Region("SR", "m > 100"), (hist.axis.Regular(2, 100, 300, name="m"),)),)
    >>> multijet = Estimate(channels, np.array([50.0, 20.0]), np.array([25.0, 16.0]))
    >>> hh = Estimate(channels, np.array([5.0, 3.0]), np.zeros(2))
    >>> list(trexfitter(workspace({"multijet": multijet}, {"hh": hh}), channels))
    ['trexfitter.config', 'histograms/SR.root']
    """
    model = uniform(read(workspace, channels).without_empty().relative("TRExFitter"))
    named = list(blocks(model))
    parts = [_job(model), _fit(model), _limit(model)]
    parts += [*_regions(model), *_samples(model), *_factors(model), *map(_systematic, named)]
    head = [f"% {note}" for note in (model.title, "run trex-fitter in this folder", *model.notes)]
    text = "\n\n".join("\n".join(part) for part in [head, *parts]) + "\n"
    files = {"trexfitter.config": text.encode()}
    for place in model.places:
        files[f"{_FOLDER}/{place.name}.root"] = root_file(dict(_histograms(model, place.name)))
    return files


def _histograms(model: Model, channel: str) -> Iterator[tuple[str, Any]]:
    (place,) = (one for one in model.places if one.name == channel)
    seen = {_DATA}
    yield _DATA, data(place)
    for cell in place.cells:
        for suffix, histogram in templates(place, cell):
            if cell.sample + suffix in seen:
                raise ExportError(
                    f"histogram '{cell.sample}{suffix}' would stand for two things; rename a sample or a variation"
                )
            seen.add(cell.sample + suffix)
            yield cell.sample + suffix, histogram


# ---- the configuration ---------------------------------------------------------------------------------------------


def _block(kind: str, name: str, **settings: object) -> list[str]:
    return [f'{kind}: "{name}"', *[f"  {key}: {value}" for key, value in settings.items()]]


def _listed(names: Iterable[str]) -> str:
    return ",".join(names)


def _plain(text: str) -> str:
    """Return a text without the signs that end a text or begin a comment in a configuration."""
    return " ".join(text.replace('"', "'").replace("%", "per cent").split())


def _job(model: Model) -> list[str]:
    settings = {"Label": f'"{model.title}"'} | ({"POI": f'"{model.poi}"'} if model.poi else {})
    settings |= {"ReadFrom": "HIST", "HistoPath": f'"{_FOLDER}"', "MCstatConstraint": "POISSON"}
    return _block("Job", "backdrop", **settings)


def _fit(model: Model) -> list[str]:
    """Return the fit: blind where no channel has data; where some have, the others say so themselves."""
    blind = not any(place.observed for place in model.places)
    kind = {"FitType": "SPLUSB" if model.poi else "BONLY", "FitRegion": "CRSR"}
    return _block("Fit", "fit", **kind, FitBlind="TRUE" if blind else "FALSE", POIAsimov=0)


def _limit(model: Model) -> list[str]:
    blind = not any(place.observed for place in model.places)
    return _block("Limit", "limit", LimitType="ASYMPTOTIC", LimitBlind="TRUE" if blind else "FALSE", POIAsimov=0)


def _regions(model: Model) -> Iterator[list[str]]:
    for place in model.places:
        signal = any(model.poi in cell.factors for cell in place.cells)
        axes = place.channel.axes if place.channel is not None else ()
        title = axes[0].label if len(axes) == 1 else "bin"
        yield _block(
            "Region",
            place.name,
            Type="SIGNAL" if signal else "CONTROL",
            HistoFile=f'"{place.name}"',
            VariableTitle=f'"{_plain(title)}"',
            Label=f'"{place.name}"',
            DataType="DATA" if place.observed else "ASIMOV",
        )


def _samples(model: Model) -> Iterator[list[str]]:
    yield _block("Sample", _DATA, Type="DATA", Title='"Data"', HistoName=f'"{_DATA}"')
    for name in model.samples:
        cells = [(place.name, cell) for place, cell in model.cells() if cell.sample == name]
        own = any(cell.errors.any() for _, cell in cells)
        gammas = {"SeparateGammas": "TRUE"} if own else {"UseMCstat": "FALSE"}
        yield _block(
            "Sample",
            name,
            Type="SIGNAL" if model.is_signal(name) else "BACKGROUND",
            Title=f'"{name}"',
            HistoName=f'"{name}"',
            Regions=_listed(channel for channel, _ in cells),
            NormalizedByTheory="FALSE",
            **gammas,
        )


def _factors(model: Model) -> Iterator[list[str]]:
    sets = {cell.bins for _, cell in model.cells()}
    for name, row in model.factors.items():
        uses = model.uses(lambda cell: (*cell.factors, cell.bins), name)
        where = [place.name for place in model.places if any(place.name in found for found in uses.values())]
        acts = {"Samples": _listed(uses), "Regions": _listed(where)}
        if name in sets and len(row) > 1:
            yield _block("ShapeFactor", name, Title=f'"{name}"', **acts)
        else:
            (one,) = row
            yield _block("NormFactor", name, Title=f'"{name}"', Nominal=one.start, Min=one.lower, Max=one.upper, **acts)


def _systematic(one: Block) -> list[str]:
    acts = {"Title": f'"{one.nuisance}"', "NuisanceParameter": f'"{one.nuisance}"'}
    acts |= {"Samples": _listed(one.samples), "Regions": _listed(one.channels)}
    if one.norm is None:
        suffixes = {f"HistoNameSuf{word}": f'"_{one.nuisance}{word}"' for word in ("Up", "Down")}
        return _block("Systematic", one.name, Type="HISTO", **acts, **suffixes)
    up, down = (factor - 1.0 for factor in one.norm)
    return _block("Systematic", one.name, Type="OVERALL", **acts, OverallUp=up, OverallDown=down)
