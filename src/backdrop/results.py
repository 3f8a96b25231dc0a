"""Results: everything a run found, as one value that is saved, loaded and reported."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .correction import write_maps
from .errors import ArtifactError
from .estimate import Estimate
from .learn.graph import Template
from .learn.pictures import Pictures
from .maps import BinnedMap
from .strict_json import loads
from .tasks import write_atomic
from .validation import Checks
from .version import __version__

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .inference import FitResult, Impact
    from .validation import Closure, Pulls

    Array = NDArray[np.float64]

__all__ = ["Results"]

SCHEMA = 3
_PARTS = "parts.json"
_TEXTS = ("cards", "settings", "regions", "roles", "blinding", "label")


@dataclass(frozen=True, eq=False)
class Results:
    """The results of a run, by method name.

    Attributes
    ----------
    name, seed
        Name of the analysis, and the root of its random streams (None where there is no single one).
    estimates
        Method to estimate.
    closures
        Method to channel to closure test.
    observed
        Method to channel to flat observed yields, shape (bins,) for counts or (2, bins) with their variances; None for
        a sealed channel. A channel that is not there was not looked at.
    fits
        Method to fit.
    rankings
        Method to the parameters of its fit that move the signal strength most, with their impacts.
    pulls
        Method to the pulls of its signal strength from zero, over samples that were drawn anew.
    maps
        Method to the efficiencies, factors or rates it rests on.
    graphs
        Method to the templates it draws from.
    pictures
        Method to what its densities learnt.
    checks
        Region map, cut flows, further variables, correlations and weights.
    cards, settings
        Method to its description (`backdrop.method.card`), and to its settings as text.
    regions
        Region name to cut.
    roles
        Method to role (source, target, ...) to region.
    blinding
        ``sealed``: list of sample, region, cut and revealed columns; ``log``: the entries of the unblinding log.
    provenance
        What is written to provenance.json; the only place of times, sizes and hashes.
    title, notes, warnings, label
        For the reader: title, text, what must be heeded; experiment, status, lumi and com of `plot.Label`.
    """

    name: str
    seed: int | None
    estimates: Mapping[str, Estimate] = field(default_factory=dict)
    closures: Mapping[str, Mapping[str, Closure]] = field(default_factory=dict)
    observed: Mapping[str, Mapping[str, Array | None]] = field(default_factory=dict)
    fits: Mapping[str, FitResult] = field(default_factory=dict)
    rankings: Mapping[str, Mapping[str, Impact]] = field(default_factory=dict)
    pulls: Mapping[str, Pulls] = field(default_factory=dict)
    maps: Mapping[str, tuple[BinnedMap, ...]] = field(default_factory=dict)
    graphs: Mapping[str, tuple[Template, ...]] = field(default_factory=dict)
    pictures: Mapping[str, Pictures] = field(default_factory=dict)
    checks: Checks = field(default_factory=Checks)
    cards: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    regions: Mapping[str, str] = field(default_factory=dict)
    roles: Mapping[str, Any] = field(default_factory=dict)
    blinding: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    title: str = ""
    notes: str = ""
    warnings: tuple[str, ...] = ()
    label: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"Results({self.name}: methods {', '.join(self.methods) or 'none'}; channels {', '.join(self.channels)})"

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods, in the order of the estimates, then of the fits."""
        return tuple(dict.fromkeys([*self.estimates, *self.closures, *self.fits]))

    @property
    def channels(self) -> tuple[str, ...]:
        """The channels of all methods."""
        return tuple(dict.fromkeys(one.name for estimate in self.estimates.values() for one in estimate.channels))

    def is_sealed(self, method: str, channel: str) -> bool:
        """Say whether the observed yields of a channel are sealed."""
        return channel in self.observed.get(method, {}) and self.observed[method][channel] is None

    def to_json(self) -> dict[str, Any]:
        """Return the content of results.json: plain values, None for what is sealed or undefined.

        The ``uncertainty`` of a closure is that of observed minus predicted, that of a sealed channel the prediction's.
        """
        return {
            "backdrop": __version__,
            "name": self.name,
            "seed": self.seed,
            "estimates": {name: _yields(one) for name, one in self.estimates.items()},
            "closures": {name: found for name in self.methods if (found := self._closures(name))},
            "fit": {name: _fit(one, self.rankings.get(name, {})) for name, one in self.fits.items()},
            **({"pulls": {name: _pulls(one) for name, one in self.pulls.items()}} if self.pulls else {}),
            "blinding": _strict(self.blinding),
            **_strict(self.checks.to_json()),
        }

    def _closures(self, method: str) -> dict[str, dict[str, Any]]:
        found = {name: _strict(one.summary()) for name, one in self.closures.get(method, {}).items()}
        sealed = [name for name in self.observed.get(method, {}) if self.is_sealed(method, name)]
        return found | {name: _unseen(self.estimates[method], name) for name in sealed if method in self.estimates}

    # ---- on disk ---------------------------------------------------------------------------------------------------

    def save(self, directory: Path | str) -> None:
        """Write results.json, provenance.json, the estimates, and the other parts that :meth:`load` reads.

        Maps are written once more as correctionlib files, ``maps/METHOD.json``.

        The same results give the same bytes.
        """
        from .io import save

        home = Path(directory)
        home.mkdir(parents=True, exist_ok=True)
        for name, estimate in self.estimates.items():
            save(estimate, home / "estimates" / _folder(name), overwrite=True)
        for name, found in self.maps.items():
            write_maps(home / "maps" / f"{_folder(name)}.json", *found, description=f"{self.name}: {name}")
        parts = self._parts()
        write_atomic(home / _PARTS, _dump({"schema": SCHEMA, "sha256": _digest(parts), "parts": parts}))
        if self.provenance:
            write_atomic(home / "provenance.json", _dump(_strict(self.provenance)))
        write_atomic(home / "results.json", _dump(self.to_json()))

    @classmethod
    def load(cls, directory: Path | str) -> Results:
        """Read what :meth:`save` wrote.

        Raises
        ------
        ArtifactError
            If a file is missing, damaged or of another schema.
        """
        from .io import load

        home = Path(directory)
        parts = _checked(home / _PARTS)
        folders = {name: home / "estimates" / _folder(name) for name in parts["estimates"]}
        estimates = {name: load(place, {"Estimate": Estimate}) for name, place in folders.items()}
        provenance = _read(home / "provenance.json") if (home / "provenance.json").exists() else {}
        try:
            return cls._from_parts(parts, estimates, provenance)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ArtifactError(f"{home / _PARTS} is damaged ({error!r}); run the analysis again") from error

    def _parts(self) -> dict[str, Any]:
        closures = {m: {c: one.state() for c, one in found.items()} for m, found in self.closures.items()}
        texts = {name: _strict(getattr(self, name)) for name in _TEXTS}
        return {
            "name": self.name,
            "seed": self.seed,
            "title": self.title,
            "notes": self.notes,
            "warnings": list(self.warnings),
            "estimates": list(self.estimates),
            "closures": _encode(closures),
            "observed": _encode({m: dict(found) for m, found in self.observed.items()}),
            "fits": _encode({name: one.state() for name, one in self.fits.items()}),
            "rankings": _encode(self.rankings),
            "pulls": _encode({name: one.state() for name, one in self.pulls.items()}),
            "maps": _encode({name: [one.state() for one in found] for name, found in self.maps.items()}),
            "graphs": _encode({name: [one.state() for one in found] for name, found in self.graphs.items()}),
            "pictures": _encode({name: one.state() for name, one in self.pictures.items()}),
            "checks": _encode(self.checks.state()),
            **texts,
        }

    @classmethod
    def _from_parts(
        cls, parts: Mapping[str, Any], estimates: Mapping[str, Estimate], provenance: Mapping[str, Any]
    ) -> Results:
        from .inference import FitResult, Impact
        from .validation import Closure, Pulls

        closures = _decode(parts["closures"])
        return cls(
            name=parts["name"],
            seed=parts["seed"],
            title=parts["title"],
            notes=parts["notes"],
            warnings=tuple(parts["warnings"]),
            estimates=estimates,
            closures={m: {c: Closure.from_state(one) for c, one in found.items()} for m, found in closures.items()},
            observed=_decode(parts["observed"]),
            fits={name: FitResult.from_state(one) for name, one in _decode(parts["fits"]).items()},
            rankings={
                name: {parameter: Impact(*one) for parameter, one in found.items()}
                for name, found in _decode(parts.get("rankings", {})).items()
            },
            pulls={name: Pulls.from_state(one) for name, one in _decode(parts.get("pulls", {})).items()},
            maps={name: tuple(map(BinnedMap.from_state, found)) for name, found in _decode(parts["maps"]).items()},
            graphs={
                name: tuple(map(Template.from_state, found)) for name, found in _decode(parts.get("graphs", {})).items()
            },
            pictures={name: Pictures.from_state(one) for name, one in _decode(parts.get("pictures", {})).items()},
            checks=Checks.from_state(_decode(parts["checks"])),
            provenance=provenance,
            **{name: parts[name] for name in _TEXTS},
        )


def _yields(estimate: Estimate) -> dict[str, dict[str, float]]:
    found = {channel.name: estimate.total(channel.name) for channel in estimate.channels}
    return {
        name: {"yield": one.value, "statistical": one.statistical, "systematic": one.systematic, "total": one.total}
        for name, one in found.items()
    }


def _unseen(estimate: Estimate, channel: str) -> dict[str, Any]:
    one = estimate.total(channel)
    empty = dict.fromkeys(("chi2", "ndf", "p_value", "pull_mean", "pull_width"))
    return {"observed": None, "predicted": one.value, "uncertainty": one.total, **empty}


def _pulls(found: Pulls) -> dict[str, Any]:
    """Return mean and width of the pulls of one quantity."""
    numbers = ("mean", "mean_error", "width", "width_error")
    return {"toys": len(found.value), **{name: _strict(getattr(found, name)[0]) for name in numbers}}


_FIT = ("poi", "value", "error", "interval", "level", "limit_observed", "limit_expected", "p0", "significance")


def _fit(result: FitResult, ranking: Mapping[str, Impact]) -> dict[str, Any]:
    parameters = {name: one._asdict() for name, one in result.parameters.items()}
    numbers = {name: getattr(result, name) for name in (*_FIT, "deviance", "ndf", "asimov_channels", "notes")}
    ranked = {name: one._asdict() for name, one in ranking.items()}
    found: dict[str, Any] = _strict(numbers | {"parameters": parameters, "ranking": ranked})
    return found


def _strict(value: Any) -> Any:
    """Return plain values; numbers that are not finite become None, anything else its text."""
    if isinstance(value, np.ndarray | np.generic):
        return _strict(value.tolist())
    if isinstance(value, Mapping):
        return {str(key): _strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, bool | int | str) else str(value)


def _encode(value: Any) -> Any:
    """Return a state as JSON that gives it back exactly: arrays with their type, infinities and NaN by name."""
    if isinstance(value, np.ndarray):
        return {"$array": str(value.dtype), "shape": list(value.shape), "values": _encode(value.ravel().tolist())}
    if isinstance(value, np.generic):
        return _encode(value.item())
    if isinstance(value, Mapping):
        return {str(key): _encode(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_encode(item) for item in value]
    return {"$number": repr(value)} if isinstance(value, float) and not math.isfinite(value) else value


def _decode(value: Any) -> Any:
    if isinstance(value, list):
        return [_decode(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "$number" in value:
        return float(value["$number"])
    if "$array" in value:
        return np.array(_decode(value["values"]), dtype=value["$array"]).reshape(value["shape"])
    return {key: _decode(item) for key, item in value.items()}


def _dump(value: Any) -> bytes:
    return json.dumps(value, indent=1, allow_nan=False).encode() + b"\n"


def _digest(parts: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True, allow_nan=False).encode()).hexdigest()


def _folder(name: str) -> str:
    """Return the name of a method's folder: its own, or one that a file system takes."""
    plain = re.sub(r"[^A-Za-z0-9_.+-]", "_", name)
    if plain == name and not name.startswith("."):
        return name
    return f"{plain.strip('.')}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _checked(path: Path) -> dict[str, Any]:
    """Return the parts in a file that is whole and of this schema."""
    found = _read(path)
    if found.get("schema") != SCHEMA:
        raise ArtifactError(
            f"{path} has schema {found.get('schema')!r}, version {__version__} reads schema {SCHEMA}; run the analysis "
            "again"
        )
    parts = found.get("parts")
    if not isinstance(parts, dict) or found.get("sha256") != _digest(parts):
        raise ArtifactError(f"{path} is damaged: its SHA-256 does not fit; run the analysis again")
    return parts


def _read(path: Path) -> dict[str, Any]:
    try:
        found = loads(path.read_bytes())
    except FileNotFoundError:
        raise ArtifactError(f"no {path.name} in '{path.parent}': it is not the folder of a finished run") from None
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path} is damaged ({error}); run the analysis again") from None
    if not isinstance(found, dict):
        raise ArtifactError(f"{path} is damaged: it holds no object; run the analysis again")
    return found
