"""pyhf: a workspace, and the same as a background-only workspace with a patch for each signal."""

from __future__ import annotations

import copy
import json
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..channel import Channel
from ..errors import ExportError
from ..inference.likelihood import read as likelihood
from .files import Files
from .model import Model, read

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["pyhf"]

_UNPUBLISHED = "ins0000000"


def pyhf(
    workspace: Mapping[str, Any],
    channels: Iterable[Channel] = (),
    *,
    labels: Sequence[str] = ("signal",),
    values: Mapping[str, Sequence[float | str]] | None = None,
    hepdata: str = _UNPUBLISHED,
) -> Files:
    """Return ``workspace.json``, and of a workspace with signals ``background.json`` and ``patchset.json``.

    The patch of a signal adds its sample to the channels, makes its strength the parameter of interest and gives it the
    bounds that it needs alone. The patch set holds the SHA-256 of the background-only workspace, as pyhf counts it.

    Parameters
    ----------
    workspace
        As :func:`backdrop.workspace` makes it.
    channels
        The channels, for messages.
    labels, values
        What the signals differ in, and signal to its values: ``("mass",)`` and ``{"hh_300": (300.0,)}``. Without them
        a patch has the signal's name for a value.
    hepdata
        The HEPData record; the schema of patch sets needs one.

    Raises
    ------
    ExportError
        If a yield is negative or not finite, nothing is expected in a bin, or pyhf refuses the patch set: values that
        are as many as the labels and differ from signal to signal are needed.

    Examples
    --------
    >>> import hist, pyhf as reference
    >>> from backdrop import Channel, Estimate, Region, workspace
    >>> channels = (Channel("SR", Region("SR", "m > 100"), (hist.axis.Regular(2, 100, 300, name="m"),)),)
    >>> multijet = Estimate(channels, np.array([50.0, 20.0]), np.array([25.0, 16.0]))
    >>> hh = Estimate(channels, np.array([5.0, 3.0]), np.zeros(2))
    >>> files = {name: json.loads(body) for name, body in pyhf(workspace({"multijet": multijet}, {"hh": hh})).items()}
    >>> patches = reference.PatchSet(files["patchset.json"])
    >>> dict(patches.apply(files["background.json"], "hh")) == files["workspace.json"]
    True
    """
    model = read(workspace, channels, negative=True)
    files = {"workspace.json": _text(workspace)}
    signals = [name for name in model.samples if model.is_signal(name)]
    if not signals:
        return files
    background = _background(workspace, signals)
    given = {name: list((values or {}).get(name, (name,))) for name in signals}
    strengths = _strengths(workspace, model, signals)
    patches = [
        {"metadata": {"name": name, "values": given[name]}, "patch": _patch(workspace, name, strengths[name])}
        for name in signals
    ]
    return files | {
        "background.json": _text(background),
        "patchset.json": _text(_patchset(background, patches, labels, model, hepdata)),
    }


def _text(content: Any) -> bytes:
    return json.dumps(content, indent=1, sort_keys=True, allow_nan=False).encode() + b"\n"


def _background(workspace: Mapping[str, Any], signals: Sequence[str]) -> dict[str, Any]:
    """Return the workspace without its signals; settings of parameters that are not there do no harm."""
    found = copy.deepcopy(dict(workspace))
    for channel in found["channels"]:
        channel["samples"] = [one for one in channel["samples"] if one["name"] not in signals]
    found["measurements"][0]["config"]["poi"] = ""
    return found


def _patchset(
    background: Mapping[str, Any], patches: Sequence[Any], labels: Sequence[str], model: Model, hepdata: str
) -> dict[str, Any]:
    """Return the patch set, which pyhf has read."""
    from pyhf import PatchSet, exceptions
    from pyhf.utils import digest

    found = {
        "version": "1.0.0",
        "metadata": {
            "references": {"hepdata": hepdata},
            "digests": {"sha256": digest(background)},
            "labels": list(labels),
            "description": ". ".join([f"signals of {model.title}", *model.notes]),
        },
        "patches": patches,
    }
    with warnings.catch_warnings():
        # pyhf 0.7.6 validates with a class that jsonschema has announced to remove
        warnings.filterwarnings("ignore", "jsonschema.RefResolver", DeprecationWarning)
        try:
            PatchSet(found)
        except (exceptions.InvalidPatchSet, exceptions.InvalidSpecification) as error:
            reason = str(error).partition("\n")[0]
            raise ExportError(f"pyhf refuses the patch set: {reason}; change labels, values or hepdata") from error
    return found


def _patch(workspace: Mapping[str, Any], signal: str, strength: Mapping[str, Any]) -> list[dict[str, Any]]:
    config = workspace["measurements"][0]["config"]
    rows = [
        {"op": "add", "path": f"/channels/{i}/samples/-", "value": copy.deepcopy(sample)}
        for i, channel in enumerate(workspace["channels"])
        for sample in channel["samples"]
        if sample["name"] == signal
    ]
    rows.append({"op": "replace", "path": "/measurements/0/config/poi", "value": config["poi"]})
    names = [one["name"] for one in config["parameters"]]
    if config["poi"] in names:
        place = f"/measurements/0/config/parameters/{names.index(config['poi'])}"
        rows.append({"op": "replace", "path": place, "value": dict(strength)})
    return rows


def _strengths(workspace: Mapping[str, Any], model: Model, signals: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return the settings of the signal strength for each signal alone: one that all share is too short for each.

    Its lower bound is where a bin's expectation is zero; the upper one keeps the total yield that it allows.
    """
    (factor,) = model.factors[model.poi]
    together = {"name": model.poi, "inits": [factor.start], "bounds": [[factor.lower, factor.upper]]}
    if len(signals) == 1:
        given = {one["name"]: one for one in workspace["measurements"][0]["config"]["parameters"]}
        return {signals[0]: given.get(model.poi, together)}
    yields = _expected(workspace)
    total = sum(float(rows[name].sum()) for rows in yields.values() for name in signals if name in rows)
    found = {}
    for name in signals:
        pairs = [(_others(rows, signals), rows[name]) for rows in yields.values() if name in rows]
        upper = factor.upper * total / sum(float(signal.sum()) for _, signal in pairs)
        lower = -min(float((other[one > 0.0] / one[one > 0.0]).min(initial=np.inf)) for other, one in pairs)
        bounds = [lower * (1.0 - 1e-9), upper]
        found[name] = {"name": model.poi, "inits": [1.0 if upper > 2.0 else 0.0], "bounds": [bounds]}
    return found


def _others(rows: Mapping[str, Array], signals: Sequence[str]) -> Array:
    return np.asarray(np.sum([one for name, one in rows.items() if name not in signals], axis=0))


def _expected(workspace: Mapping[str, Any]) -> dict[str, dict[str, Array]]:
    """Return channel to sample to its yields where every parameter starts, of a signal at strength one."""
    found = likelihood(workspace)
    start = found.start.copy()
    start[found.poi] = 1.0
    cells = found.yields.cells(start)
    rows: dict[str, dict[str, Array]] = {}
    for one in found.yields.layout:
        rows.setdefault(one.channel, {})[one.sample] = cells[one.where]
    return rows
