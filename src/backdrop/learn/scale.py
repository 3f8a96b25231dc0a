"""Scale: invertible transforms that make features unbounded and of unit size, with their Jacobians."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ConfigError, DataError, nearest
from ..events import as_numbers

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from ..events import Events
    from ..region import Region

    Array = NDArray[np.float64]
    Flags = NDArray[np.bool_]

__all__ = ["Bounded", "Feature", "Identity", "Log", "LogGap", "Scale", "Transform", "transform_from_state"]


@dataclass(frozen=True)
class Identity:
    """The value itself."""

    def defined(self, x: Array) -> Flags:
        """Say which values have a transform."""
        return np.isfinite(x)

    def forward(self, x: Array) -> Array:
        """Return the transformed values."""
        return x

    def inverse(self, u: Array) -> Array:
        """Return the values of transformed ones."""
        return u

    def log_slope(self, x: Array) -> Array:
        """Return the logarithm of the transform's absolute derivative."""
        return np.zeros_like(x)

    def text(self, name: str) -> str:
        """Return the transformed column as a figure names it."""
        return name

    def domain(self, name: str) -> str:
        """Say in words which values have a transform, and what helps for others."""
        return "finite; clean the input, or cut these rows away"


@dataclass(frozen=True)
class Log:
    """The logarithm of the distance above a lower bound, ``log(x - offset)``: momenta above a threshold."""

    offset: float = 0.0

    def __post_init__(self) -> None:
        _finite(self, self.offset)

    def defined(self, x: Array) -> Flags:
        """Say which values have a transform."""
        return (x > self.offset) & np.isfinite(x)

    def forward(self, x: Array) -> Array:
        """Return the transformed values."""
        return np.log(x - self.offset)

    def inverse(self, u: Array) -> Array:
        """Return the values of transformed ones."""
        return np.asarray(self.offset + np.exp(u))

    def log_slope(self, x: Array) -> Array:
        """Return the logarithm of the transform's absolute derivative."""
        return -np.log(x - self.offset)

    def text(self, name: str) -> str:
        """Return the transformed column as a figure names it."""
        return f"log({name} − {self.offset:.4g})" if self.offset else f"log {name}"

    def domain(self, name: str) -> str:
        """Say in words which values have a transform, and what helps for others."""
        return f"above the offset {self.offset:g} of its logarithm; lower the offset, or cut {name} > {self.offset:g}"


@dataclass(frozen=True)
class LogGap:
    """The logarithm of the distance below an upper bound, ``log(bound - x)``: angles that pile up at pi."""

    bound: float = np.pi

    def __post_init__(self) -> None:
        _finite(self, self.bound)

    def defined(self, x: Array) -> Flags:
        """Say which values have a transform."""
        return (x < self.bound) & np.isfinite(x)

    def forward(self, x: Array) -> Array:
        """Return the transformed values."""
        return np.log(self.bound - x)

    def inverse(self, u: Array) -> Array:
        """Return the values of transformed ones."""
        return np.asarray(self.bound - np.exp(u))

    def log_slope(self, x: Array) -> Array:
        """Return the logarithm of the transform's absolute derivative."""
        return -np.log(self.bound - x)

    def text(self, name: str) -> str:
        """Return the transformed column as a figure names it."""
        return f"log({'π' if self.bound == np.pi else f'{self.bound:.4g}'} − {name})"

    def domain(self, name: str) -> str:
        """Say in words which values have a transform, and what helps for others."""
        return f"below the bound {self.bound:g} of its logarithm; raise the bound, or cut {name} < {self.bound:g}"


@dataclass(frozen=True)
class Bounded:
    """The logit of the place between two bounds, ``log((x - low) / (high - x))``: ratios and scores."""

    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        _finite(self, self.low, self.high)
        if not self.low < self.high:
            raise ConfigError(f"the low end of a bounded feature is below its high end, not {self.low} and {self.high}")

    def defined(self, x: Array) -> Flags:
        """Say which values have a transform."""
        return (x > self.low) & (x < self.high)

    def forward(self, x: Array) -> Array:
        """Return the transformed values."""
        return np.log(x - self.low) - np.log(self.high - x)

    def inverse(self, u: Array) -> Array:
        """Return the values of transformed ones: from the nearer bound, whose distance keeps its digits."""
        small = (self.high - self.low) * np.exp(-np.abs(u)) / (1.0 + np.exp(-np.abs(u)))
        return np.asarray(np.where(u < 0.0, self.low + small, self.high - small))

    def log_slope(self, x: Array) -> Array:
        """Return the logarithm of the transform's absolute derivative."""
        return np.asarray(np.log(self.high - self.low) - np.log(x - self.low) - np.log(self.high - x))

    def text(self, name: str) -> str:
        """Return the transformed column as a figure names it."""
        return f"logit {name}"

    def domain(self, name: str) -> str:
        """Say in words which values have a transform, and what helps for others."""
        ends = f"{self.low:g} and {self.high:g}"
        return f"between its bounds {ends}, both excluded; widen the bounds, or cut these rows away"


Transform = Identity | Log | LogGap | Bounded


def transform_from_state(state: Mapping[str, Any]) -> Transform:
    """Restore a transform from its kind and its numbers."""
    kinds: dict[str, type[Transform]] = {kind.__name__: kind for kind in (Identity, Log, LogGap, Bounded)}
    return kinds[state["kind"]](**{name: value for name, value in state.items() if name != "kind"})


@dataclass(frozen=True)
class Feature:
    """A column and its transform.

    Attributes
    ----------
    name
        The column.
    transform
        What makes it unbounded: `Identity`, `Log`, `LogGap` or `Bounded`.
    """

    name: str
    transform: Identity | Log | LogGap | Bounded = Identity()


@dataclass(frozen=True, eq=False)
class Scale:
    """Features, transformed and standardised: ``z_j = (t_j(x_j) - mean_j) / std_j``.

    A density of z is one of x: ``log p(x) = log p(z) + log_jacobian`` with ``sum_j log |t_j'(x_j)| / std_j``.

    **Assumes** columns without a pile of equal values, and bounds that no later event crosses.

    **Fails when** a value lies on or outside a bound: an error says so, nothing is clipped.

    Attributes
    ----------
    features
        The features, d of them.
    mean, std
        Weighted, of the transformed columns, shape (d,).

    Examples
    --------
    >>> pt = np.array([41.0, 45.0, 60.0, 140.0])
    >>> scale = Scale.fit([Feature("pt", Log(40.0))], {"pt": pt})
    >>> z, log_jacobian = scale.forward({"pt": pt})
    >>> z.round(3).ravel().tolist(), scale.inverse(z)["pt"].round(9).tolist()
    ([-1.354, -0.408, 0.408, 1.354], [41.0, 45.0, 60.0, 140.0])
    """

    features: tuple[Feature, ...]
    mean: Array
    std: Array

    @classmethod
    def fit(
        cls, features: Sequence[Feature], columns: Mapping[str, ArrayLike], weight: ArrayLike | None = None
    ) -> Scale:
        """Measure the weighted mean and standard deviation of each transformed column.

        Raises
        ------
        DataError
            If a column is missing, has values that its transform is not defined for, or does not vary; or if the
            weights are not finite or have no positive sum.
        """
        moved = [_moved(one, columns)[1] for one in features]
        w = _weights(weight, len(moved[0]) if moved else 0)
        mean = np.array([w @ u for u in moved])
        variance = np.array([w @ (u - centre) ** 2 for u, centre in zip(moved, mean, strict=True)])
        for one, value, centre in zip(features, variance, mean, strict=True):
            if not value > (1e-12 * max(abs(centre), 1e-300)) ** 2:
                raise DataError(
                    f"the transformed column '{one.name}' has the weighted variance {value:g}; it must vary, and "
                    "negative weights must not outweigh the others"
                )
        return cls(tuple(features), mean, np.sqrt(variance))

    def forward(self, columns: Mapping[str, ArrayLike]) -> tuple[Array, Array]:
        """Return the standardised values, shape (n, d), and the logarithm of their Jacobian, shape (n,).

        Raises
        ------
        DataError
            If a column is missing, or has values that its transform is not defined for.
        """
        pairs = [(one.transform, *_moved(one, columns)) for one in self.features]
        values = (np.column_stack([u for _, _, u in pairs]) - self.mean) / self.std
        slopes = np.sum([transform.log_slope(x) for transform, x, _ in pairs], axis=0)
        return values, slopes - np.log(self.std).sum()

    def standardised(self, rows: Events, region: Region) -> tuple[Array, Array]:
        """Return the standardised values of the rows in a region that have transforms, and their weights."""
        columns = {one.name: np.asarray(rows[one.name], np.float64) for one in self.features}
        defined = [one.transform.defined(columns[one.name]) for one in self.features]
        inside = np.logical_and.reduce([region.mask(rows.columns), *defined])
        return self.forward({name: x[inside] for name, x in columns.items()})[0], rows.weight[inside]

    def inverse(self, values: ArrayLike) -> dict[str, Array]:
        """Return the columns of standardised values, shape (n, d).

        Raises
        ------
        DataError
            If the values have another number of columns, or lead to a column that is not finite.
        """
        z = np.asarray(values, np.float64)
        if z.ndim != 2 or z.shape[1] != len(self.features):
            raise DataError(f"values have the shape {z.shape}, but there are {len(self.features)} features: (n, d)")
        moved = z * self.std + self.mean
        return {one.name: _back(one, u) for one, u in zip(self.features, moved.T, strict=True)}

    def state(self) -> dict[str, Any]:
        """Return the scale as plain values."""
        features = [
            {"name": one.name, "kind": type(one.transform).__name__, **asdict(one.transform)} for one in self.features
        ]
        return {"features": features, "mean": self.mean, "std": self.std}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Scale:
        """Restore a scale from :meth:`state`."""
        pairs = [(one["name"], {key: one[key] for key in one if key != "name"}) for one in state["features"]]
        features = tuple(Feature(name, transform_from_state(rest)) for name, rest in pairs)
        return cls(features, state["mean"], state["std"])


def _moved(feature: Feature, columns: Mapping[str, ArrayLike]) -> tuple[Array, Array]:
    """Return a column and its transform."""
    name, transform = feature.name, feature.transform
    if name not in columns:
        raise DataError(f"no column '{name}'{nearest(name, columns)}; columns: {', '.join(sorted(columns)[:30])}")
    x = as_numbers(columns[name], name).astype(np.float64, copy=False)
    bad = ~transform.defined(x)
    if bad.any():
        raise DataError(
            f"column '{name}' has {int(bad.sum())} of {x.size} values that are not {transform.domain(name)}; "
            f"the first is {x[bad][0]:.17g}"
        )
    return x, transform.forward(x)


def _back(feature: Feature, moved: Array) -> Array:
    with np.errstate(over="ignore"):
        x = feature.transform.inverse(moved)
    bad = ~np.isfinite(x)
    if bad.any():
        raise DataError(
            f"{int(bad.sum())} of {x.size} values of '{feature.name}' are not finite after the inverse transform, "
            f"the first comes from {moved[bad][0]:g}; give values that a fitted model draws"
        )
    return x


def _weights(weight: ArrayLike | None, number: int) -> Array:
    """Return weights of sum one."""
    w = np.ones(number) if weight is None else np.asarray(weight, np.float64)
    if w.shape != (number,):
        raise DataError(f"weights have the shape {w.shape}, the columns {number} rows")
    if not np.isfinite(w).all() or not w.sum() > 0.0:
        raise DataError(f"the weights of {number} rows must be finite and have a positive sum, not {w.sum():g}")
    return np.asarray(w / w.sum())


def _finite(transform: Any, *numbers: float) -> None:
    if not np.isfinite(numbers).all():
        raise ConfigError(f"the bounds of a transform must be finite numbers: {transform}")
