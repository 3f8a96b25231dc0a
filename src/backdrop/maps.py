"""Binned maps: efficiencies, factors and rates of objects in bins of their columns, with what is not known of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from .channel import axis_from_state, axis_state
from .errors import ConfigError, DataError, nearest
from .events import Events
from .events.columns import column

if TYPE_CHECKING:
    import hist
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Index = NDArray[np.int64]

__all__ = ["BinnedMap"]

_BLOCK = 1 << 15
_CELLS = 1 << 10
_LARGEST = float(np.finfo(np.float64).max)
_NEGLIGIBLE = 1e-15
_SIDES = ("up", "down")


@dataclass(frozen=True, eq=False)
class BinnedMap:
    """A number in each bin of some columns: an efficiency, a fake factor, a flip rate, a scale factor.

    Attributes
    ----------
    name
        What it is.
    axes
        `hist` axes; an axis' name is the column it bins. The first and the last edge may be infinite.
    values
        The number of each bin, shape (bins,), flat in C order (the last axis fastest).
    covariance
        Statistical covariance, shape (bins, bins).
    variations
        Systematic to its (up, down) numbers, absolute, shape (bins,).
    flow
        What an object outside the axes is: an ``error``, or of the nearest bin (``clamp``).
    bounds
        The physical range, (0, 1) for an efficiency: statistical nuisances come close to its ends and stay inside.

    Raises
    ------
    ConfigError
        If there is no axis, an axis has no name, or edges that do not increase.
    DataError
        If an array has another shape, is not finite or outside the bounds, or a variance is negative.

    Examples
    --------
    >>> import hist
    >>> pt = hist.axis.Variable([10, 20, 50], name="pt")
    >>> rate = BinnedMap("fake_factor", (pt,), np.array([0.3, 0.2]), np.diag([0.01, 0.04]) ** 2)
    >>> rate.evaluate({"pt": np.array([15.0, 20.0, 49.0])})
    array([0.3, 0.2, 0.2])
    >>> rate.varied("stat_pt1", "up").values
    array([0.3 , 0.24])
    """

    name: str
    axes: tuple[Any, ...]
    values: Array
    covariance: Array
    variations: Mapping[str, tuple[Array, Array]] = field(default_factory=dict)
    flow: Literal["error", "clamp"] = "error"
    bounds: tuple[float, float] = (-np.inf, np.inf)

    def __post_init__(self) -> None:
        _check_axes(self.name, self.axes)
        if self.flow not in ("error", "clamp"):
            raise ConfigError(f"map '{self.name}': flow is 'error' or 'clamp', not '{self.flow}'")
        bins = (self.size,)
        _check(self.name, "values", self.values, bins)
        _check(self.name, "covariance", self.covariance, bins * 2)
        if (bad := np.flatnonzero(np.diag(self.covariance) < 0.0)).size:
            raise DataError(f"map '{self.name}' has a negative variance in bin {self.bin_label(int(bad[0]))}")
        if (bad := np.flatnonzero((self.values < self.bounds[0]) | (self.values > self.bounds[1]))).size:
            raise DataError(
                f"map '{self.name}' is {self.values[bad[0]]:.4g} in bin {self.bin_label(int(bad[0]))}, outside "
                f"{self.bounds[0]:g} to {self.bounds[1]:g}; merge the bin with a neighbour, or correct the input"
            )
        for name, sides in self.variations.items():
            for side, values in zip(_SIDES, sides, strict=True):
                _check(self.name, f"variation '{name}' {side}", values, bins)

    def __repr__(self) -> str:
        axes = ", ".join(f"{axis.name} {len(axis)}" for axis in self.axes)
        span = f"{self.values.min():.4g} to {self.values.max():.4g}"
        return f"BinnedMap({self.name}; {axes}; {span}; variations {sorted(self.variations)}; flow {self.flow})"

    # ---- bins ------------------------------------------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, ...]:
        """The number of bins along each axis."""
        return tuple(len(axis) for axis in self.axes)

    @property
    def size(self) -> int:
        """The number of bins."""
        return int(np.prod(self.shape))

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are read."""
        return tuple(axis.name for axis in self.axes)

    @property
    def errors(self) -> Array:
        """The statistical error of each bin, shape (bins,)."""
        return np.asarray(np.sqrt(np.diag(self.covariance)))

    def bin_label(self, place: int) -> str:
        """Return the ranges of a flat bin in words.

        Examples
        --------
        >>> import hist
        >>> axes = (hist.axis.Variable([10, 20, 50], name="pt"), hist.axis.Regular(1, 0, 2.5, name="eta"))
        >>> BinnedMap("f", axes, np.ones(2), np.zeros((2, 2))).bin_label(1)
        'pt from 20 to 50, eta from 0 to 2.5'
        """
        parts = zip(self.axes, np.unravel_index(place, self.shape), strict=True)
        return ", ".join(f"{axis.name} from {axis.edges[i]:g} to {axis.edges[i + 1]:g}" for axis, i in parts)

    def index(self, columns: Mapping[str, Any] | Events) -> Index:
        """Return each row's flat bin, shape (n,).

        Raises
        ------
        DataError
            If a value is NaN or infinite, or, with ``flow="error"``, outside its axis: column, count and value are
            named.
        """
        found = [_numbers(columns, name) for name in self.columns]
        out = np.zeros(len(found[0]), np.int64)
        for start in range(0, len(out), _BLOCK):
            self._add_block([one[start : start + _BLOCK] for one in found], out[start : start + _BLOCK], found)
        return out

    def evaluate(self, columns: Mapping[str, Any] | Events) -> Array:
        """Return the number of each row, shape (n,).

        Raises
        ------
        DataError
            As :meth:`index`.
        """
        from ._kernels import look_up

        found = [_numbers(columns, name) for name in self.columns]
        out, values = np.empty(len(found[0])), np.ascontiguousarray(self.values, np.float64)
        bins = np.empty(min(_BLOCK, len(out)), np.int64)
        for start in range(0, len(out), _BLOCK):
            *blocks, last = [one[start : start + _BLOCK] for one in found]
            part = out[start : start + _BLOCK]
            places = bins[: len(part)]
            places[:] = 0
            self._add_block(blocks, places, found)
            if look_up(_floats(last), *self._lookups[-1], places, values, part):
                self._refuse(self.axes[-1], found[-1])
        return out

    def _add_block(self, blocks: list[Any], out: Index, whole: list[Any]) -> None:
        """Add the bins of one block of values along the first axes, as many as there are blocks."""
        from ._kernels import add_bins

        for block, lookup, values, axis in zip(blocks, self._lookups, whole, self.axes, strict=False):
            if add_bins(_floats(block), *lookup, out):
                self._refuse(axis, values)

    @cached_property
    def _lookups(self) -> list[tuple[Array, NDArray[np.uint16], Array]]:
        return [lookup(np.array(axis.edges, np.float64), self.flow == "clamp") for axis in self.axes]

    def _refuse(self, axis: Any, values: NDArray[Any]) -> None:
        undefined = ~np.isfinite(values)
        if undefined.any():
            raise DataError(
                f"column '{axis.name}' has {int(undefined.sum())} NaN or infinite values of {len(values)}, which are "
                f"in no bin of map '{self.name}'; cut them away in the region, or clean the input"
            )
        outside = (values < axis.edges[0]) | (values >= axis.edges[-1])
        raise DataError(
            f"column '{axis.name}' has {int(outside.sum())} of {len(values)} values outside map '{self.name}', the "
            f"first {values[outside][0]:g}; it covers {axis.edges[0]:g} to {axis.edges[-1]:g}: widen the map, cut in "
            "the region, or give it flow='clamp' (constant beyond its range)"
        )

    # ---- what is not known -----------------------------------------------------------------------------------------

    @cached_property
    def nuisances(self) -> Mapping[str, tuple[Array, Array]]:
        """Independent nuisance to its (up, down) numbers: principal components of the covariance, and the variations.

        Bins that are not correlated are a component each, ``stat_pt2_eta0`` for the third bin in pt and the first in
        eta; otherwise components are counted from the largest, ``stat_1``. They add up to the covariance, except where
        a step would come close to the bounds: a step d with h to go is ``d / (1 + (d/h)^4)^(1/4)``, 2 % shorter than d
        at h/2 and never longer than h.
        """
        moved = {name: (self._stepped(d), self._stepped(-d)) for name, d in self._components()}
        return {**moved, **self.variations}

    def _stepped(self, step: Array) -> Array:
        ends = np.where(step > 0.0, self.bounds[1], self.bounds[0])
        room = np.abs(ends - self.values)
        with np.errstate(divide="ignore", invalid="ignore"):
            share = np.where(np.isinf(room) | (step == 0.0), 0.0, np.abs(step) / room)
            shorter = np.where(room > 0.0, step / (1.0 + share**4) ** 0.25, 0.0)
        return np.asarray(self.values + shorter)

    def _components(self) -> Iterator[tuple[str, Array]]:
        diagonal = np.diag(self.covariance)
        if not (self.covariance - np.diag(diagonal)).any():
            for i in np.flatnonzero(diagonal):
                yield self._stat_name(int(i)), np.sqrt(diagonal[i]) * (np.arange(self.size) == i)
            return
        powers, vectors = np.linalg.eigh((self.covariance + self.covariance.T) / 2.0)
        kept = np.flatnonzero(powers > _NEGLIGIBLE * powers[-1])[::-1]
        for number, i in enumerate(kept, start=1):
            vector = vectors[:, i] if vectors[:, i].sum() >= 0.0 else -vectors[:, i]
            yield f"stat_{number}", np.sqrt(powers[i]) * vector

    def _stat_name(self, place: int) -> str:
        parts = zip(self.axes, np.unravel_index(place, self.shape), strict=True)
        return "_".join(["stat", *(f"{axis.name}{i}" for axis, i in parts)])

    def varied(self, name: str, side: Literal["up", "down"]) -> BinnedMap:
        """Return the map with one nuisance moved up or down; the others go with it as they are.

        Raises
        ------
        ConfigError
            If there is no such nuisance.
        """
        if name not in self.nuisances:
            have = ", ".join(self.nuisances) or "none"
            raise ConfigError(
                f"map '{self.name}' has no nuisance '{name}'{nearest(name, self.nuisances)}; it has: {have}"
            )
        if side not in _SIDES:
            raise ConfigError(f"map '{self.name}': a nuisance moves 'up' or 'down', not '{side}'")
        return replace(self, values=self.nuisances[name][_SIDES.index(side)])

    # ---- elsewhere -------------------------------------------------------------------------------------------------

    def hist(self) -> hist.Hist[Any]:
        """Return the numbers as a `hist.Hist` with Weight storage, their statistical variances with them."""
        import hist

        found = hist.Hist(*self.axes, storage=hist.storage.Weight(), name=self.name)
        view = found.view()
        view["value"], view["variance"] = (one.reshape(self.shape) for one in (self.values, np.diag(self.covariance)))
        return found

    def to_correctionlib(self, description: str = "") -> dict[str, Any]:
        """Return the map as a correction of correctionlib (schema 2): systematic, then the columns.

        The systematic is ``nominal``, or the name of a nuisance with ``_up`` or ``_down``. ``backdrop.correction`` has
        files of them.
        """
        from .correction import correction

        return correction(self, description)

    @classmethod
    def from_correctionlib(cls, given: Mapping[str, Any]) -> BinnedMap:
        """Return the map of a correction (schema 2); its statistical nuisances give the covariance.

        Raises
        ------
        DataError
            If it holds anything but bins of columns, below a systematic.
        """
        from .correction import binned_map

        return binned_map(given)

    def state(self) -> dict[str, Any]:
        """Return the map as plain values."""
        return {
            "name": self.name,
            "axes": [axis_state(axis) for axis in self.axes],
            "values": self.values,
            "covariance": self.covariance,
            "up": {name: up for name, (up, _) in self.variations.items()},
            "down": {name: down for name, (_, down) in self.variations.items()},
            "flow": self.flow,
            "bounds": list(self.bounds),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> BinnedMap:
        """Restore a map from :meth:`state`."""
        return cls(
            state["name"],
            tuple(axis_from_state(axis) for axis in state["axes"]),
            state["values"],
            state["covariance"],
            {name: (up, state["down"][name]) for name, up in state["up"].items()},
            state["flow"],
            (float(state["bounds"][0]), float(state["bounds"][1])),
        )


def _numbers(columns: Mapping[str, Any] | Events, name: str) -> NDArray[Any]:
    values = column(columns.columns if isinstance(columns, Events) else columns, name)
    if not (isinstance(values, np.ndarray) and values.ndim == 1 and values.dtype.kind in "biuf"):
        raise DataError(f"column '{name}' of a map must hold one number a row; flatten the objects first")
    return values


def _floats(values: NDArray[Any]) -> Array:
    return np.require(values, np.float64, ["C", "W"])


def lookup(edges: Array, clamp: bool) -> tuple[Array, NDArray[np.uint16], Array]:
    """Return the edges, a table of bins at evenly spaced places, and limits, as the compiled loop needs them."""
    inside = edges[np.isfinite(edges)]
    first, last = (float(inside[0]), float(inside[-1])) if len(inside) else (0.0, 0.0)
    # so far below that no rounding of a value's place makes its bin too high
    places = np.linspace(first, last, _CELLS + 1) - 1e-6 * (last - first) / _CELLS
    table = np.clip(np.searchsorted(edges, places, side="right") - 1, 0, len(edges) - 2)
    density = _CELLS / (last - first) if last > first else 0.0
    low, high = (-np.inf, np.inf) if clamp else (edges[0], edges[-1])
    # an infinite value is in no bin
    limits = np.array([first, last, density, max(low, -_LARGEST), high])
    return edges, table.astype(np.uint16), limits


def _check_axes(name: str, axes: tuple[Any, ...]) -> None:
    if not axes:
        raise ConfigError(f"map '{name}' has no axis; give at least one")
    names = [getattr(axis, "name", "") for axis in axes]
    if not all(names) or len(set(names)) < len(names):
        raise ConfigError(f"every axis of map '{name}' needs a name of its own, that of its column: {names}")
    for axis in axes:
        kind, edges = type(axis).__name__, np.asarray(getattr(axis, "edges", ()), np.float64)
        if kind not in ("Regular", "Variable", "Integer") or getattr(axis, "transform", None) is not None:
            raise ConfigError(f"axis '{axis.name}' of map '{name}' is {axis!r}; use Regular, Variable or Integer")
        if not np.isfinite(edges[1:-1]).all() or not all(low < high for low, high in pairwise(edges)):
            raise ConfigError(f"axis '{axis.name}' of map '{name}' has edges that do not increase: {edges}")


def _check(name: str, what: str, array: Array, shape: tuple[int, ...]) -> None:
    if np.shape(array) != shape:
        raise DataError(f"map '{name}': {what} has shape {np.shape(array)}, its bins need {shape}")
    if bad := int((~np.isfinite(array)).sum()):
        raise DataError(f"map '{name}': {what} holds {bad} values that are NaN or infinite")
