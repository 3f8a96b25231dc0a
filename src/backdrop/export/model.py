"""Model: a workspace as the formats of other programs need it, checked bin by bin."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..channel import Channel
from ..errors import ExportError
from ..inference.label import Label, clean

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["Cell", "Factor", "Model", "Place", "read"]

_KINDS = ("histosys", "normsys", "normfactor", "shapefactor", "shapesys")


@dataclass(frozen=True, eq=False)
class Cell:
    """One sample in one channel.

    Attributes
    ----------
    sample
        The sample's name.
    nominal, errors
        Yields, and the errors of the bins' own factors, shapes (bins,).
    shapes
        Nuisance to the yields at plus and minus one standard deviation.
    norms
        Nuisance to the factors at plus and minus one standard deviation.
    factors
        Free factors of all bins.
    bins
        A set of free factors, one for each bin; empty for none.
    """

    sample: str
    nominal: Array
    errors: Array
    shapes: Mapping[str, tuple[Array, Array]] = field(default_factory=dict)
    norms: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    factors: tuple[str, ...] = ()
    bins: str = ""

    @property
    def empty(self) -> bool:
        """Whether there is nothing in it."""
        return not self.nominal.any()

    @property
    def subtracts(self) -> bool:
        """Whether it is what another sample has subtracted of one whose normalisation is free: only that moves it."""
        fixed = not (self.shapes or self.norms or self.errors.any())
        return bool(self.factors) and fixed and not self.empty and bool((self.nominal <= 0.0).all())

    def at(self, index: int, sample: str) -> Cell:
        """Return what is in one bin, as a cell of all bins under a sample's name; its factor is a free one."""
        here = np.arange(len(self.nominal)) == index
        shapes = {
            name: (np.where(here, up, 0.0), np.where(here, down, 0.0)) for name, (up, down) in self.shapes.items()
        }
        factors = (*self.factors, f"{self.bins}_{index}")
        return Cell(
            sample, np.where(here, self.nominal, 0.0), np.where(here, self.errors, 0.0), shapes, self.norms, factors
        )


@dataclass(frozen=True, eq=False)
class Place:
    """One channel.

    Attributes
    ----------
    name
        Its name.
    edges
        Edges of the bins: of its axis, or numbers of bins where it has several axes, or is not known.
    data
        Counts, or the expected background where there are none, shape (bins,).
    observed
        Whether the data are counts.
    cells
        Its samples.
    channel
        The channel, None where it is not known.
    """

    name: str
    edges: Array
    data: Array
    observed: bool
    cells: tuple[Cell, ...]
    channel: Channel | None = None

    def where(self, sample: str, index: int) -> str:
        """Name channel, region, sample and bin."""
        one = self.channel
        region = "" if one is None else f" (region '{one.region.name}')"
        span = "" if one is None or len(one.axes) != 1 else f" ({one.axes[0].name} {self._span(index)})"
        return f"channel '{self.name}'{region}, sample '{sample}', bin {index}{span}"

    def _span(self, index: int) -> str:
        return f"{self.edges[index]:g} to {self.edges[index + 1]:g}"

    @property
    def title(self) -> str:
        """What the numbers of its data are, for a histogram's title."""
        return "Data" if self.observed else "Asimov: the expected background, no data"


@dataclass(frozen=True)
class Factor:
    """A free factor: start and bounds."""

    start: float
    lower: float
    upper: float


@dataclass(frozen=True, eq=False)
class Model:
    """A workspace.

    Attributes
    ----------
    title
        Name of the measurement; it says which channels hold data.
    poi
        The signal strength, empty without one.
    places
        The channels.
    factors
        Free factors by name, one for each bin of a set.
    notes
        What a reader must know: Asimov channels, and bins whose yields were changed.
    """

    title: str
    poi: str
    places: tuple[Place, ...]
    factors: Mapping[str, tuple[Factor, ...]]
    notes: tuple[str, ...]

    @property
    def samples(self) -> tuple[str, ...]:
        """The samples, in the order of their first appearance."""
        return tuple(dict.fromkeys(cell.sample for _, cell in self.cells()))

    def cells(self) -> Iterator[tuple[Place, Cell]]:
        """Yield every sample of every channel."""
        for place in self.places:
            for cell in place.cells:
                yield place, cell

    def is_signal(self, sample: str) -> bool:
        """Say whether the signal strength scales a sample."""
        return any(self.poi in cell.factors for _, cell in self.cells() if cell.sample == sample)

    def nuisances(self, kind: Callable[[Cell], Iterable[str]]) -> tuple[str, ...]:
        """Return the names that `kind` gives, in the order of their first appearance."""
        return tuple(dict.fromkeys(name for _, cell in self.cells() for name in kind(cell)))

    def uses(self, kind: Callable[[Cell], Iterable[str]], name: str) -> dict[str, tuple[str, ...]]:
        """Return sample to the channels where `kind` gives a name."""
        found: dict[str, tuple[str, ...]] = {}
        for place, cell in self.cells():
            if name in kind(cell):
                found[cell.sample] = (*found.get(cell.sample, ()), place.name)
        return found

    def without_empty(self) -> Model:
        """Return the model without samples that are zero in a whole channel.

        Raises
        ------
        ExportError
            If such a sample has a variation that is not.
        """
        for place, cell in self.cells():
            for name, sides in cell.shapes.items() if cell.empty else ():
                if np.any(sides):
                    raise ExportError(
                        f"variation '{name}' moves sample '{cell.sample}' in channel '{place.name}', whose nominal "
                        "yield is zero there; drop the variation, or give the sample a yield"
                    )
        places = [replace(place, cells=tuple(cell for cell in place.cells if not cell.empty)) for place in self.places]
        return replace(self, places=tuple(places))

    def relative(self, program: str) -> Model:
        """Return the model if a program can split its variations into normalisation and shape.

        Raises
        ------
        ExportError
            If the varied yields of a sample add up to zero in a channel.
        """
        for place, cell in self.cells():
            for name, sides in cell.shapes.items():
                if min(side.sum() for side in sides) <= 0.0:
                    raise ExportError(
                        f"variation '{name}' takes sample '{cell.sample}' in channel '{place.name}' to zero in all "
                        f"bins; {program} divides by such a sum: drop the variation, or make it smaller"
                    )
        return self


# ---- reading -------------------------------------------------------------------------------------------------------


def read(workspace: Mapping[str, Any], channels: Iterable[Channel] = (), *, negative: bool = False) -> Model:
    """Return a workspace's first measurement as a model.

    Parameters
    ----------
    workspace
        As :func:`backdrop.workspace` makes it: with histosys, normsys, normfactor, shapefactor, shapesys.
    channels
        The channels, for the edges of their bins. Those that are not given have bins by number.
    negative
        Whether the program takes the negative samples that are what another one has subtracted
        (``fakes_less_diboson``).

    Raises
    ------
    ExportError
        If a yield is negative or not finite, nothing is expected in a bin, a name has signs that other programs do not
        read, or there is something else in it.
    """
    measurement = workspace["measurements"][0]
    config = measurement["config"]
    label = Label.parse(measurement["name"]) or Label()
    known = {clean(one.name): one for one in channels}
    data = {one["name"]: np.asarray(one["data"], np.float64) for one in workspace["observations"]}
    places = tuple(_place(one, data, known.get(one["name"]), label) for one in workspace["channels"])
    model = Model(measurement["name"], config["poi"], places, {}, label.notes)
    model = replace(model, factors=dict(_factors(model, config["parameters"])))
    _check(model, negative)
    return model


def _place(row: Mapping[str, Any], data: Mapping[str, Array], channel: Channel | None, label: Label) -> Place:
    name = row["name"]
    cells = tuple(_cell(one, name) for one in row["samples"])
    size = len(cells[0].nominal)
    if name not in data or len(data[name]) != size:
        raise ExportError(f"channel '{name}' has {size} bins, but its observation is missing or has others; add it")
    if channel is not None and channel.size != size:
        raise ExportError(f"channel '{name}' has {channel.size} bins, but {size} in the workspace; give the right one")
    plain = channel is None or len(channel.axes) != 1
    edges = np.arange(size + 1.0) if channel is None or plain else np.asarray(channel.axes[0].edges, np.float64)
    return Place(name, edges, data[name], name not in label.asimov, cells, channel)


def _cell(row: Mapping[str, Any], channel: str) -> Cell:
    where = f"sample '{row['name']}' in channel '{channel}'"
    kinds: dict[str, dict[str, Any]] = {kind: {} for kind in _KINDS}
    for modifier in row["modifiers"]:
        if modifier["type"] not in kinds:
            raise ExportError(
                f"modifier '{modifier['name']}' of {where} is of type '{modifier['type']}'; exported are "
                f"{', '.join(_KINDS)}"
            )
        kinds[modifier["type"]][modifier["name"]] = modifier["data"]
    nominal = np.asarray(row["data"], np.float64)
    for kind in ("shapesys", "shapefactor"):
        if len(kinds[kind]) > 1:
            raise ExportError(f"{where} has {len(kinds[kind])} modifiers of type '{kind}'; at most one is exported")
    shapes = {
        name: (np.asarray(one["hi_data"], np.float64), np.asarray(one["lo_data"], np.float64))
        for name, one in kinds["histosys"].items()
    }
    return Cell(
        row["name"],
        nominal,
        np.asarray(next(iter(kinds["shapesys"].values()), np.zeros_like(nominal)), np.float64),
        shapes,
        {name: (float(one["hi"]), float(one["lo"])) for name, one in kinds["normsys"].items()},
        tuple(kinds["normfactor"]),
        next(iter(kinds["shapefactor"]), ""),
    )


def _factors(model: Model, settings: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, tuple[Factor, ...]]]:
    """Yield the free factors; pyhf starts them at one, between zero and ten, where nothing is said."""
    given = {one["name"]: one for one in settings}
    sizes = {name: 1 for _, cell in model.cells() for name in cell.factors}
    sizes |= {cell.bins: len(cell.nominal) for _, cell in model.cells() if cell.bins}
    for name, size in sizes.items():
        one = given.get(name, {})
        if one.get("fixed"):
            raise ExportError(
                f"parameter '{name}' is held constant, which is not exported; multiply it into the yields"
            )
        starts, bounds = one.get("inits", [1.0] * size), one.get("bounds", [[0.0, 10.0]] * size)
        rows = zip(starts, bounds, strict=True)
        yield name, tuple(Factor(float(start), float(low), float(high)) for start, (low, high) in rows)


# ---- checking ------------------------------------------------------------------------------------------------------


def _check(model: Model, negative: bool) -> None:
    names = [place.name for place in model.places] + [*model.samples, *model.factors]
    names += model.nuisances(lambda cell: (*cell.shapes, *cell.norms))
    if odd := [name for name in names if clean(name) != name]:
        raise ExportError(f"name '{odd[0]}': other programs read letters, digits and underscores only; rename it")
    for place, cell in model.cells():
        if cell.subtracts and model.poi not in cell.factors:
            _check_subtracted(place, cell, negative)
        else:
            _check_yields(place, cell.sample, "the nominal yield", cell.nominal)
        _check_yields(place, cell.sample, "the error", cell.errors)
        for name, sides in cell.shapes.items():
            for word, side in zip(("up", "down"), sides, strict=True):
                _check_yields(place, cell.sample, f"variation '{name}' ({word})", side)
        if wrong := [name for name, sides in cell.norms.items() if not (np.isfinite(sides).all() and min(sides) > 0.0)]:
            raise ExportError(
                f"variation '{wrong[0]}' scales sample '{cell.sample}' in channel '{place.name}' by "
                f"{cell.norms[wrong[0]]}; factors are positive numbers"
            )
    for place in model.places:
        _check_yields(place, "data", "the count", place.data)
        _check_expected(model, place)
    both = set(model.nuisances(lambda cell: cell.shapes)) & set(model.nuisances(lambda cell: cell.norms))
    if both:
        raise ExportError(f"nuisance '{min(both)}' moves shapes and normalisations; use histosys for all of it")
    for name in filter(model.is_signal, model.samples):
        without = [place.name for place, cell in model.cells() if cell.sample == name and model.poi not in cell.factors]
        if without:
            raise ExportError(
                f"sample '{name}' is scaled by '{model.poi}', but not in channel '{without[0]}'; split it in two"
            )


def _check_yields(place: Place, sample: str, what: str, yields: Array) -> None:
    bad = ~(np.isfinite(yields) & (yields >= 0.0))
    if bad.any():
        worst = int(np.flatnonzero(bad)[0])
        more = f" and {bad.sum() - 1} more bins" if bad.sum() > 1 else ""
        raise ExportError(
            f"{what} is {yields[worst]:g} in {place.where(sample, worst)}{more}; a template needs finite yields that "
            "are not negative: merge bins, or make the workspace with a floor, empty=EVENTS ('empty' in the "
            "configuration's fit), which it records"
        )


def _check_subtracted(place: Place, cell: Cell, negative: bool) -> None:
    if negative and np.isfinite(cell.nominal).all():
        return
    worst = int(np.argmin(cell.nominal))
    raise ExportError(
        f"{place.where(cell.sample, worst)} is {cell.nominal[worst]:g}: what is subtracted where fakes or other "
        f"backgrounds are predicted follows the free '{cell.factors[0]}', as a sample of negative yields, which this "
        "format has not; export to pyhf or cabinetry, or make the workspace without that free normalisation ('free' "
        "in the configuration's fit), so that it is a variation"
    )


def _check_expected(model: Model, place: Place) -> None:
    """Refuse bins in which no background is expected: their likelihood is zero for any count, or has none."""
    total = sum((cell.nominal for cell in place.cells if model.poi not in cell.factors), np.zeros(len(place.data)))
    if (total <= 0.0).any():
        worst = int(np.flatnonzero(total <= 0.0)[0])
        raise ExportError(
            f"no background is expected ({total[worst]:g} events) in {place.where('all backgrounds', worst)}; merge "
            "bins, or make the workspace with a floor, empty=EVENTS"
        )
