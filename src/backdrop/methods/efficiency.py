"""Efficiencies of the tight selection: measured in a region of the events, or given as a map."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..errors import ConfigError, DataError
from ..events import Events, Objects, check_finite
from ..maps import BinnedMap
from ..region import Region

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Index = NDArray[np.int64]

__all__ = ["Efficiency", "Smooth", "check_objects", "columns", "flattened", "maps", "nuisances", "training", "within"]

ROW, _EVENT = "__row", "__event"
_PHYSICAL = (0.0, 1.0)


@dataclass(frozen=True)
class Smooth:
    """A polynomial in one axis of a map, fitted to its bins by least squares.

    Attributes
    ----------
    column
        The axis along which the map is smooth; every other axis keeps its bins.
    degree
        Degree of the polynomial in the centres of the bins.
    """

    column: str
    degree: int = 1

    def __post_init__(self) -> None:
        if self.degree < 0:
            raise ConfigError(f"smoothing in '{self.column}' needs a degree of 0 or more, not {self.degree}")


@dataclass(frozen=True)
class Efficiency:
    """The share of tight objects among all of a kind, ``e = N_tight / N``, in bins of their columns.

    Signed weights are the subtraction of other processes: pass ``data - prompt`` for a fake efficiency. The error of a
    bin is ``sigma^2 = ((1 - e)^2 V_tight + e^2 V_loose) / N^2 + (V / 2 N^2)^2`` with the sums of squared weights V,
    which is Wilson's binomial error in effective counts: it does not vanish at 0 and 1.

    Attributes
    ----------
    region
        The events in which it is measured.
    axes
        Bins, each axis named after a quantity of the objects (``lep_pt``) or a column of the event (``n_jets``).
    probe
        Cut on the quantities of an object, without prefix, that it counts: ``pt > 20``.
    tag
        Cut that another object of the event passes (tag and probe). Both objects of a pair count where both are tags.
    subtract
        Events that count negatively: same-sign pairs stand for the pairs of opposite sign that are no Z decay.
    sample
        Measured in the rows of this sample alone, whatever the sign of its weights: ``data`` for prompt leptons in
        ``data - prompt``, which must not be subtracted from themselves.
    flow
        What an object outside the axes is: an ``error``, or of the nearest bin (``clamp``).
    merge
        Bins with fewer effective counts ``N^2 / V``, or an efficiency outside 0 to 1, are joined with the next one
        along the first axis. With 0, nothing is joined and such a bin is an error.
    smooth
        A polynomial through the bins instead of the bins.

    Assumes
    -------
    - An object of the region passes as often as one of the same `axes` where the map is used.
    - What else is in the region is subtracted.

    Raises
    ------
    ConfigError
        If there is no axis, or `smooth` names none of them.

    Examples
    --------
    >>> import hist
    >>> pt = hist.axis.Variable([10, 20, 40], name="lep_pt")
    >>> events = Events.of({"pt1": [15.0, 12.0, 30.0], "iso1": [0.1, 0.3, 0.1], "pt2": [35.0, 33.0, 18.0],
    ...     "iso2": [0.4, 0.1, 0.1]})
    >>> leptons = Objects("lep", "iso < 0.15", ("{}1", "{}2"))
    >>> found, = maps(Efficiency(Region.everything(), (pt,)), "fake_efficiency", events, leptons, [events.weight])
    >>> found.values.round(3)
    array([0.667, 0.667])
    """

    region: Region
    axes: tuple[Any, ...]
    probe: str = ""
    tag: str = ""
    subtract: Region | None = None
    sample: str | None = None
    flow: Literal["error", "clamp"] = "error"
    merge: float = 0.0
    smooth: Smooth | None = None

    def __post_init__(self) -> None:
        empty = self._empty("efficiency")
        for cut in (self.probe, self.tag):
            if cut:
                Region("objects", cut)
        if self.subtract is not None and not self.subtract.disjoint(self.region):
            raise ConfigError(
                f"an efficiency is measured in '{self.region.name}' ({self.region.cut}) less '{self.subtract.name}' "
                f"({self.subtract.cut}), which may share rows"
            )
        if self.smooth is not None:
            self._check_smooth(self.smooth, empty)

    def _check_smooth(self, smooth: Smooth, empty: BinnedMap) -> None:
        if smooth.column not in empty.columns:
            raise ConfigError(f"no axis '{smooth.column}' to smooth in; the axes are {', '.join(empty.columns)}")
        axis = self.axes[empty.columns.index(smooth.column)]
        if len(axis) <= smooth.degree or not np.isfinite(axis.edges).all():
            raise ConfigError(
                f"a polynomial of degree {smooth.degree} in '{smooth.column}' needs more than {smooth.degree} bins and "
                f"finite edges, not {', '.join(f'{edge:g}' for edge in axis.edges)}"
            )

    @property
    def _size(self) -> int:
        return int(np.prod([len(axis) for axis in self.axes]))

    def _empty(self, name: str) -> BinnedMap:
        """Return the map without numbers, for its bins."""
        return self._map(name, np.zeros(self._size), np.zeros((self._size,) * 2))

    def _map(self, name: str, values: Array, covariance: Array) -> BinnedMap:
        inside = bool(((values >= _PHYSICAL[0]) & (values <= _PHYSICAL[1])).all())
        # a resample, or a polynomial, may leave the range: its spread says how well the number is known
        bounds = _PHYSICAL if inside else (-np.inf, np.inf)
        return BinnedMap(name, self.axes, values, covariance, {}, self.flow, bounds)

    def measured(self, name: str, events: Events, objects: Objects, weights: Iterable[Array]) -> tuple[BinnedMap, ...]:
        """Return the map of each row of weights, shape (members, n); bins are merged as the events' own weights ask.

        Raises
        ------
        DataError
            If a column is not finite, an object outside the axes, or a bin (after merging) without objects or with an
            efficiency outside 0 to 1: bin and sums are named.
        """
        probes = self._probes(events, objects)
        bins = self._empty(name).index(probes.columns)
        groups = self._groups(name, probes.sums(events.weight, bins, self._size))
        joined, number = groups[bins], int(groups.max()) + 1
        return tuple(self._result(name, groups, probes.sums(weight, joined, number)) for weight in weights)

    def _probes(self, events: Events, objects: Objects) -> _Probes:
        events = events.with_columns({_EVENT: np.arange(len(events))})
        if self.sample is not None:
            events = events.only(self.sample)
        parts = [_Probes.of(events.select(self.region), 1.0, objects, self)]
        if self.subtract is not None:
            parts.append(_Probes.of(events.select(self.subtract), -1.0, objects, self))
        found = _Probes.joined(parts)
        # a subtracted sample is measured as it stands
        turned = self.sample is not None and float(events.weight.sum()) < 0.0
        return replace(found, sign=-found.sign) if turned else found

    def _groups(self, name: str, sums: _Sums) -> Index:
        """Return the number of the group of each bin: neighbours along the first axis whose sums suffice together."""
        lines = self._size // len(self.axes[0])
        groups, last = np.zeros((len(self.axes[0]), lines), np.int64), -1
        for line in range(lines):
            own: list[list[int]] = [[]]
            for place in range(line, self._size, lines):
                own[-1].append(place)
                own += [[]] if self.merge == 0.0 or sums.enough(own[-1], self.merge) else []
            rest = own.pop()
            if rest and own:
                own[-1] += rest
            elif rest:
                own = [rest]
            for one in own:
                self._check_group(name, sums, one)
                last += 1
                groups.ravel()[one] = last
        return groups.ravel()

    def _check_group(self, name: str, sums: _Sums, places: list[int]) -> None:
        if sums.enough(places, 0.0):
            return
        where = "; ".join(map(self._empty(name).bin_label, places))
        tight, all_ = (float(one[places].sum()) for one in (sums.tight, sums.all))
        raise DataError(
            f"{name} in region '{self.region.name}', {where}: {tight:.5g} tight of {all_:.5g} is no efficiency between "
            "0 and 1; use fewer bins, merge poor ones (merge), or correct what is subtracted"
        )

    def _result(self, name: str, groups: Index, sums: _Sums) -> BinnedMap:
        if (sums.all <= 0.0).any():
            place = int(np.flatnonzero(groups == np.flatnonzero(sums.all <= 0.0)[0])[0])
            label = self._empty(name).bin_label(place)
            raise DataError(
                f"{name} in region '{self.region.name}', {label}: no object is left in a resample; merge poor bins "
                "(merge), or use fewer"
            )
        values, errors = sums.efficiency()
        shared = groups[:, None] == groups[None, :]
        found, covariance = values[groups], np.where(shared, errors[groups, None] ** 2, 0.0)
        if self.smooth is not None:
            project = self._projection(self.smooth, 1.0 / errors[groups] ** 2)
            found, covariance = project @ found, project @ covariance @ project.T
        return self._map(name, found, covariance)

    def _projection(self, smooth: Smooth, weights: Array) -> Array:
        """Return the matrix, shape (bins, bins), that maps bins to the polynomial fitted to each line of them."""
        shape = tuple(len(axis) for axis in self.axes)
        along = [axis.name for axis in self.axes].index(smooth.column)
        centres = np.asarray(self.axes[along].centers)
        centres = (centres - centres.mean()) / np.ptp(centres) if len(centres) > 1 else np.zeros(1)
        basis = np.vander(centres, smooth.degree + 1)
        matrix = np.zeros((self._size, self._size))
        for line in np.moveaxis(np.arange(self._size).reshape(shape), along, -1).reshape(-1, len(centres)):
            scaled = basis.T * weights[line]
            matrix[np.ix_(line, line)] = basis @ np.linalg.solve(scaled @ basis, scaled)
        return matrix


@dataclass(frozen=True, eq=False)
class _Probes:
    """The objects that count: their columns, whether each is tight, its row among the events, and its sign."""

    columns: dict[str, Array]
    tight: NDArray[np.bool_]
    row: Index
    sign: Array

    @classmethod
    def of(cls, events: Events, sign: float, objects: Objects, given: Efficiency) -> _Probes:
        names = [axis.name for axis in given.axes]
        flat = flattened(events, objects, [*names, *_cut_names(objects, given)])
        # an undefined value would be no probe or no tag without a word
        check_objects(flat, objects, _cut_names(objects, given), given.region)
        flat = flat._take(np.flatnonzero(_probed(flat, objects, given)))
        check_objects(flat, objects, names, given.region)
        found = {axis.name: np.asarray(flat[axis.name], np.float64) for axis in given.axes}
        return cls(found, flat[f"{objects.name}_tight"], events[_EVENT][flat[ROW]], np.full(len(flat), sign))

    @classmethod
    def joined(cls, parts: list[_Probes]) -> _Probes:
        names = parts[0].columns
        return cls(
            {name: np.concatenate([part.columns[name] for part in parts]) for name in names},
            *(np.concatenate([getattr(part, name) for part in parts]) for name in ("tight", "row", "sign")),
        )

    def sums(self, weights: Array, bins: Index, number: int) -> _Sums:
        """Return the sums of weights and of their squares in each bin."""
        weight = weights[self.row] * self.sign
        tight = np.where(self.tight, weight, 0.0)
        return _Sums(
            *(np.asarray(np.bincount(bins, one, number), np.float64) for one in (tight, weight, tight**2, weight**2))
        )


@dataclass(frozen=True, eq=False)
class _Sums:
    """Sums of weights, and of squared weights, of tight and of all objects, in each bin."""

    tight: Array
    all: Array
    tight2: Array
    all2: Array

    def enough(self, places: list[int], least: float) -> bool:
        """Say whether some bins together have an efficiency from 0 to 1, and so many effective counts."""
        tight, all_, squares = (float(one[places].sum()) for one in (self.tight, self.all, self.all2))
        return all_ > 0.0 and 0.0 <= tight <= all_ and all_**2 >= least * squares

    def efficiency(self) -> tuple[Array, Array]:
        """Return the efficiency of each bin and its error."""
        value, loose2 = self.tight / self.all, self.all2 - self.tight2
        linear = ((1.0 - value) ** 2 * self.tight2 + value**2 * loose2) / self.all**2
        return value, np.asarray(np.sqrt(linear + (self.all2 / (2.0 * self.all**2)) ** 2))


def _probed(flat: Events, objects: Objects, given: Efficiency) -> NDArray[np.bool_]:
    """Return which objects count: those that pass the cut on probes, beside another one that is a tag."""
    prefix = objects.name + "_"
    own = {name.removeprefix(prefix): flat[name] for name in flat.columns if name.startswith(prefix)}
    found = Region(f"probe {objects.name}", given.probe).mask(own) if given.probe else np.ones(len(flat), bool)
    if not given.tag:
        return found
    tags = Region(f"tag {objects.name}", given.tag).mask(own)
    in_event = np.bincount(flat[ROW], tags)[flat[ROW]] if len(flat) else np.zeros(0)
    return np.asarray(found & (in_event - tags > 0.5))


def _cut_names(objects: Objects, given: Efficiency) -> list[str]:
    cuts = (cut for cut in (given.probe, given.tag) if cut)
    return [f"{objects.name}_{name}" for cut in cuts for name in sorted(Region("objects", cut).columns)]


def flattened(events: Events, objects: Objects, names: Iterable[str]) -> Events:
    """Return one row per object with the named columns alone, whether it is tight, and the event's row (`ROW`)."""
    wanted = dict.fromkeys([*(one for name in names for one in objects.sources(name)), *objects.tight_columns])
    kept = {name: events[name] for name in wanted}
    return replace(events, columns={**kept, ROW: np.arange(len(events))}).flatten(objects)


def check_objects(flat: Events, objects: Objects, names: Iterable[str], region: Region) -> None:
    """Raise a DataError where a named column, or one that says which objects are tight, is not finite."""
    tight = Region("tight", objects.tight).columns if objects.tight else ()
    for name in dict.fromkeys([*names, *(f"{objects.name}_{one}" for one in sorted(tight))]):
        check_finite(flat[name], name, region.name, f" (samples: {', '.join(flat.samples)})")


def maps(
    which: Efficiency | BinnedMap, name: str, events: Events, objects: Objects, weights: Sequence[Array] | Array
) -> tuple[BinnedMap, ...]:
    """Return the map of each row of weights: measured, or the one that is given."""
    if isinstance(which, BinnedMap):
        return (which,) * len(weights)
    return which.measured(name, events, objects, weights)


def columns(objects: Objects, *given: Efficiency | BinnedMap) -> tuple[str, ...]:
    """Return the columns of an event from which efficiencies are measured and evaluated."""
    names = [axis.name for one in given for axis in one.axes]
    names += [name for one in given if isinstance(one, Efficiency) for name in _cut_names(objects, one)]
    return tuple(dict.fromkeys([*(one for name in names for one in objects.sources(name)), *objects.tight_columns]))


def training(*given: Efficiency | BinnedMap) -> Region:
    """Return the rows in which efficiencies are measured."""
    regions = [one.region for one in given if isinstance(one, Efficiency)]
    regions += [one.subtract for one in given if isinstance(one, Efficiency) and one.subtract is not None]
    found = regions[0] if regions else Region("none", "false")
    for region in regions[1:]:
        found = found if region == found else found | region
    return found


def within(selection: Region, role: Region) -> Region:
    """Return a role's region inside a selection, its name alone where the selection is everything."""
    return role if selection == Region.everything() else selection & role


def nuisances(
    name: str, which: Efficiency | BinnedMap, bounds: tuple[float, float] = _PHYSICAL
) -> dict[str, tuple[BinnedMap, BinnedMap]]:
    """Return the nuisances of a given map, each with the map moved up and down; a measured one varies by replicas."""
    if isinstance(which, Efficiency):
        return {}
    one = bounded(which, bounds)
    return {
        f"{name}_{nuisance}": (one.varied(nuisance, "up"), one.varied(nuisance, "down")) for nuisance in one.nuisances
    }


def bounded(given: BinnedMap, bounds: tuple[float, float]) -> BinnedMap:
    """Return a map inside bounds, which a file does not tell.

    Raises
    ------
    DataError
        If it is outside: its bin is named.
    """
    return replace(given, bounds=(max(given.bounds[0], bounds[0]), min(given.bounds[1], bounds[1])))
