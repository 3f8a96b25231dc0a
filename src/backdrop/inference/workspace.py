"""Workspaces: backgrounds, signal and data as a pyhf (HistFactory) likelihood."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..channel import Channel, overlapping
from ..errors import ConfigError, CutError, ExportError
from ..estimate import Estimate, Terms
from ..events import Events
from .label import Label, Names, clean
from .normalisation import factor, released
from .nuisances import nuisances
from .observed import counts
from .relation import parameters, samples
from .sample import Empty, Sample
from .strength import strength
from .template import Template, nominal, template

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[np.float64]

__all__ = ["workspace"]

_GAMMA = (1e-10, 10.0)


def workspace(
    backgrounds: Mapping[str, Estimate | Terms],
    signal: Mapping[str, Estimate] | None = None,
    observed: Mapping[str, Events | ArrayLike | None] | None = None,
    *,
    poi: str = "mu",
    empty: Empty = "error",
    keep: float = 0.999,
    free: Mapping[str, float] | None = None,
) -> dict[str, Any]:
    """Return a pyhf JSON workspace (schema 1.0.0) of backgrounds, signal and data.

    The expected yield of a bin is the sum over samples of ``gamma (nominal + sum_k alpha_k shift_k)``, for a signal
    times the signal strength:

    - the principal components of each replica block are `histosys` nuisances ``<sample>_<block>_pc1``, ``_pc2``, ...
      over all channels, so they stay correlated across channels. Equal block names in several samples are the same
      resamples: decomposed together and named ``<block>_pc1``;
    - a variation is the `histosys` ``<sample>_<variation>``, or ``<variation>`` where several samples have it: then it
      is one nuisance;
    - a background given as `Terms` is a product of free factors (`normfactor`, `shapefactor`, and `normsys` whose
      constraint is too wide to be felt), and its auxiliary channels with their counts join the fit; the processes that
      were taken from its counts join as samples, unless a background of that name is given for all its channels;
    - the yield of a background in `free` has a free factor, the `normfactor` ``<sample>_norm``. Another estimate from
      which it was subtracted (its variation of that name) becomes two samples: itself with nothing subtracted, and
      ``<sample>_less_<free>``, negative and with the same factor;
    - the sum of squared weights, and what the components leave out, are the `shapesys` ``<sample>_<channel>_stat`` with
      one factor for each bin.

    To first order in the nuisances every sample has the covariance of its estimate: exactly on the diagonal, and off
    it up to the fraction ``1 - keep`` of each block. Where a bin's own uncertainty is below 1e-5 of its yield it is
    left out: a Poisson constraint of 1e10 counts moves nothing and loses its digits.

    Axes of several dimensions are flattened in C order. Names keep letters, digits and underscores. The measurement's
    name says which channels hold data and what was changed: ``observed-VR.asimov-SR`` (see
    :class:`backdrop.inference.label.Label`).

    Parameters
    ----------
    backgrounds
        Sample name to estimate, or to terms.
    signal
        Sample name to estimate; fill it with ``terms.template`` where a background is given as terms. All signals share
        the signal strength. Without one, nuisances alone are fitted.
    observed
        Channel name to rows (unit weights; of a background given as terms, those of its target count), counts, or None.
        A channel that is None or missing gets its expected
        background (Asimov) and is labelled so.
    poi
        Name of the signal strength. Its bounds reach from where a bin's expectation would be negative to beyond any
        limit that the counts allow.
    empty
        A nominal or varied background yield that is zero or negative is an error, or is set to this many events; the
        bin's variance is kept, and is at least the floor squared. A signal may be zero, not negative.
    keep
        Fraction of each replica block's variance, in units of the Poisson variance, that the components hold.

    free
        Backgrounds whose normalisation is free, and the relative change of them that the variation of the same name
        stands for in other estimates: 0.1 where up is ``data - 1.1 * prompt``.

    Returns
    -------
    A dictionary that `json` writes and `pyhf.Workspace` reads.

    Raises
    ------
    CutError
        If two channels may share rows.
    ExportError
        If a yield is empty or negative, names collide, or channels do not match. Where the replicas of a bin spread by
        its yield or more, their variance becomes the bin's own factor, which cannot be negative; it is an error if
        such bins together move by more than the Poisson error of their total.
    BlindedError
        If observed rows may be sealed.

    Examples
    --------
    >>> import hist
    >>> from backdrop import Channel, Region
    >>> channels = (Channel("SR", Region("SR", "m > 100"), (hist.axis.Regular(2, 100, 300, name="m"),)),)
    >>> multijet = Estimate(channels, np.array([50.0, 20.0]), np.array([25.0, 16.0]))
    >>> hh = Estimate(channels, np.array([5.0, 3.0]), np.zeros(2))
    >>> spec = workspace({"multijet": multijet}, {"hh": hh})
    >>> spec["measurements"][0]["name"], spec["observations"]
    ('asimov-SR', [{'name': 'SR', 'data': [50.0, 20.0]}])
    """
    if not isinstance(empty, str) and not (np.isfinite(empty) and empty > 0.0):
        raise ConfigError(f"empty = {empty!r} is neither 'error' nor a positive number of events")
    relations = {name: one for name, one in backgrounds.items() if isinstance(one, Terms)}
    estimates = _estimates(backgrounds, relations)
    names = Names("sample")
    members = released(_samples(estimates, relations, signal or {}, names), free or {}, names)
    channels = _channels(members)
    rows = channels | {one.name: one for relation in relations.values() for one in relation.filled}
    _refuse_overlaps(rows)
    titles = Names("channel")
    plain = {name: titles.give(name, f"channel '{name}'") for name in channels}
    seen = counts(observed or {}, rows) | {name: n for one in relations.values() for name, n in one.counts.items()}
    templates = _templates(members, channels, poi, empty, keep)
    data = {
        name: seen[name] if name in seen else _expected(templates, relations, one) for name, one in channels.items()
    }
    settings = [strength(poi, templates, data)] if signal else []
    settings += [row for name, one in relations.items() for row in parameters(clean(name), one)]
    settings += [factor(norm) for norm in dict.fromkeys(one.norm for one in members if one.norm)]
    return {
        "version": "1.0.0",
        "channels": [{"name": plain[name], "samples": _rows(templates, name, plain[name], poi)} for name in channels],
        "observations": [{"name": plain[name], "data": data[name].tolist()} for name in channels],
        "measurements": [
            {
                "name": _label(templates, plain, seen).text,
                "config": {"poi": poi if signal else "", "parameters": settings + _wide(templates, plain)},
            }
        ],
    }


# ---- what goes in --------------------------------------------------------------------------------------------------


def _estimates(backgrounds: Mapping[str, Estimate | Terms], relations: Mapping[str, Terms]) -> dict[str, Estimate]:
    """Return the backgrounds that are estimates: those given, and the processes that belong to relations."""
    found = {name: one for name, one in backgrounds.items() if isinstance(one, Estimate)}
    for title, relation in relations.items():
        for name, process in relation.processes.items():
            lacking = {one.name for one in relation.all_channels} - {
                one.name for one in found.get(name, process).channels
            }
            if lacking:
                raise ExportError(
                    f"background '{name}' is also taken from the counts of '{title}', but is not given in channel "
                    f"'{min(lacking)}'; leave it out, or fill it with terms.template"
                )
            found.setdefault(name, process)
    return found


def _samples(
    estimates: Mapping[str, Estimate], relations: Mapping[str, Terms], signal: Mapping[str, Estimate], names: Names
) -> list[Sample]:
    if not (estimates or relations):
        raise ExportError("no background; give at least one estimate")
    if both := sorted((estimates.keys() | relations.keys()) & signal.keys()):
        raise ExportError(f"sample '{both[0]}' is both a background and a signal; rename one of them")
    beside = {name for one in relations.values() for name in one.processes}
    found: list[Sample] = []
    for title, terms in relations.items():
        found += samples(names.give(title, f"sample '{title}'"), title, terms, names)
    for title, one in estimates.items():
        found.append(Sample(names.give(title, f"sample '{title}'"), title, one, partial=title in beside))
    for title, one in signal.items():
        found.append(Sample(names.give(title, f"sample '{title}'"), title, one, signal=True))
    return found


def _channels(samples: Sequence[Sample]) -> dict[str, Channel]:
    """Return the channels of all samples by name: the same in all of them."""
    found: dict[str, tuple[Channel, Sample]] = {}
    for sample in samples:
        for channel in sample.estimate.channels:
            first, owner = found.setdefault(channel.name, (channel, sample))
            if first.state() != channel.state():
                raise ExportError(
                    f"channel '{channel.name}' of sample '{sample.title}' is not that of '{owner.title}': "
                    f"{channel.state()} against {first.state()}; use one Channel for all samples"
                )
            if owner.signal:
                raise ExportError(f"channel '{channel.name}' has a signal but no background; add a background to it")
    return {name: channel for name, (channel, _) in found.items()}


def _refuse_overlaps(rows: Mapping[str, Channel]) -> None:
    """Refuse channels that may share rows; in a channel of terms these are the rows of the target."""
    if pair := overlapping(tuple(rows.values())):
        raise CutError(
            f"channels '{pair[0]}' and '{pair[1]}' may share rows, which a likelihood would count twice; make their "
            f"regions disjoint, for instance by '& ~({rows[pair[0]].region.cut})' in that of '{pair[1]}'"
        )


def _templates(
    samples: Sequence[Sample], channels: Mapping[str, Channel], poi: str, empty: Empty, keep: float
) -> list[Template]:
    starts = [nominal(sample, empty) for sample in samples]
    sums = {name: np.zeros(channel.size) for name, channel in channels.items()}
    for sample, start in zip(samples, starts, strict=True):
        for channel in () if sample.signal else sample.estimate.channels:
            sums[channel.name] = sums[channel.name] + start.yields[sample.estimate.bins(channel.name)]
    totals = [np.concatenate([sums[channel.name] for channel in sample.estimate.channels]) for sample in samples]
    names = Names("nuisance")
    if names.give(poi, "the signal strength") != poi:
        raise ConfigError(f"poi = '{poi}': a name of letters, digits and underscores is needed")
    pieces = nuisances(samples, totals, keep, names)
    parts = zip(samples, starts, pieces, totals, strict=True)
    templates = [template(*part, empty) for part in parts]
    for sample in samples:
        for channel in sample.estimate.channels:
            names.give(_stat(sample, channel.name), f"the bins of sample '{sample.title}' in channel '{channel.name}'")
    if not any(one.sample.signal or one.sample.modifiers or one.shapes or one.variance.any() for one in templates):
        raise ExportError("there is no signal and no uncertainty, so nothing to fit; add one")
    return templates


# ---- what comes out ------------------------------------------------------------------------------------------------


def _in(templates: Sequence[Template], channel: str) -> list[tuple[Template, slice]]:
    """Return the templates that have a channel, and where its bins are."""
    having = [one for one in templates if any(c.name == channel for c in one.sample.estimate.channels)]
    return [(one, one.sample.estimate.bins(channel)) for one in having]


def _expected(templates: Sequence[Template], relations: Mapping[str, Terms], channel: Channel) -> Array:
    """Return the expected background of a channel, free factors at their start."""
    plain = [pair for pair in _in(templates, channel.name) if not (pair[0].sample.signal or pair[0].sample.modifiers)]
    yields = [one.nominal[bins] for one, bins in plain] + [one.expected(channel) for one in relations.values()]
    return np.asarray(np.sum(yields, axis=0))


def _stat(sample: Sample, channel: str) -> str:
    return f"{sample.name}_{clean(channel)}_stat"


def _rows(templates: Sequence[Template], channel: str, plain: str, poi: str) -> list[dict[str, Any]]:
    rows = []
    for one, bins in _in(templates, channel):
        modifiers: list[dict[str, Any]] = []
        if one.sample.signal:
            modifiers.append({"name": poi, "type": "normfactor", "data": None})
        if one.sample.norm:
            modifiers.append({"name": one.sample.norm, "type": "normfactor", "data": None})
        modifiers += [dict(factor) for factor in one.sample.modifiers.get(channel, ())]
        for name, (up, down) in one.shapes.items():
            if (up[bins] != one.nominal[bins]).any() or (down[bins] != one.nominal[bins]).any():
                shape = {"hi_data": up[bins].tolist(), "lo_data": down[bins].tolist()}
                modifiers.append({"name": name, "type": "histosys", "data": shape})
        if one.variance[bins].any():
            errors = np.sqrt(one.variance[bins]).tolist()
            modifiers.append({"name": _stat(one.sample, channel), "type": "shapesys", "data": errors})
        rows.append({"name": one.sample.name, "data": one.nominal[bins].tolist(), "modifiers": modifiers})
    return rows


def _wide(templates: Sequence[Template], plain: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return bounds for factors of bins that are hardly known: pyhf's own are ten times the yield."""
    rows = []
    for channel in plain:
        for one, bins in _in(templates, channel):
            yields = one.nominal[bins]
            errors = np.sqrt(one.variance[bins]) / np.where(yields > 0.0, yields, 1.0)
            if (errors > 1.0).any():
                bounds = [[_GAMMA[0], max(_GAMMA[1], 1.0 + 10.0 * error)] for error in errors.tolist()]
                rows.append({"name": _stat(one.sample, channel), "bounds": bounds})
    return rows


def _label(templates: Sequence[Template], plain: Mapping[str, str], given: Collection[str]) -> Label:
    places: list[dict[tuple[str, str], tuple[int, ...]]] = [{}, {}]
    for one in templates:
        for found, mask in zip(places, (one.floored, one.uncorrelated), strict=True):
            bins = one.sample.by_channel(mask)
            found.update({(one.sample.name, plain[channel]): where for channel, where in bins.items()})
    observed = tuple(name for channel, name in plain.items() if channel in given)
    asimov = tuple(name for channel, name in plain.items() if channel not in given)
    return Label(observed, asimov, places[0], places[1])
