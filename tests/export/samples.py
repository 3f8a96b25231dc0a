"""Workspaces that the tests of this folder share, and their parameters by the names that exports use."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import hist
import numpy as np

import backdrop as bd
from backdrop.inference.likelihood import Likelihood, read
from backdrop.methods.likelihood_abcd import LikelihoodABCD
from backdrop.methods.transfer import Binned, Chebyshev, Constant
from backdrop.synthetic import GaussianPlane

MASS = hist.axis.Variable([100.0, 110.0, 130.0, 160.0], name="m", label=r"$m$ [GeV]")
CHANNELS = tuple(bd.Channel(name, bd.Region(name, f"tag == {i}"), (MASS,)) for i, name in enumerate(("SR", "VR")))
TRANSFERS = {
    "constant": Constant(),
    "binned": Binned(hist.axis.Variable([100.0, 125.0, 200.0], name="m")),
    "smooth": Chebyshev(hist.axis.Regular(4, 100, 200, name="m"), 1),
}
_ABCD = bd.Channel("SR", bd.Region("high", "x1 > 0"), (hist.axis.Regular(4, 100, 200, name="m", label="m [GeV]"),))


def estimate(
    level: float,
    seed: int,
    *,
    counted: float = 16.0,
    replicas: int = 12,
    variations: Sequence[str] = ("scale",),
    size: float = 1.0,
) -> bd.Estimate:
    """A falling spectrum; each bin has `counted` effective events, so no format needs to round them.

    `size` scales the correlated uncertainties, which are some per cent.
    """
    rng = np.random.default_rng(seed)
    nominal = level * np.array([1.0, 0.6, 0.3, 0.9, 0.5, 0.25])
    rows = nominal * (1.0 + 0.05 * size * (rng.normal(size=(replicas, 6)) + rng.normal(size=(replicas, 1))))
    shifts = {
        name: (nominal * (1.0 + 0.1 * size * rng.uniform(size=6)), nominal * (1.0 - 0.05 * size * rng.uniform(size=6)))
        for name in variations
    }
    blocks = {"data": rows} if replicas else {}
    return bd.Estimate(CHANNELS, nominal, nominal**2 / counted, blocks, shifts, dict.fromkeys(blocks, 7))


def plain() -> dict[str, Any]:
    """Two backgrounds that share a variation, a signal with an own one, data in one channel."""
    backgrounds = {
        "fakes": estimate(100.0, 1, variations=("scale", "model")),
        "top": estimate(20.0, 2, counted=400.0, replicas=0),
    }
    signal = {"hh": estimate(5.0, 3, counted=1000.0, replicas=0, variations=("theory",))}
    return bd.workspace(backgrounds, signal, {"VR": np.array([115.0, 60.0, 25.0])}, keep=1.0)


def abcd(transfer: str) -> dict[str, Any]:
    """A likelihood ABCD with a signal and a simulated process in all regions."""
    method = LikelihoodABCD(
        bd.Region("tight", "x2 > 0"),
        bd.Region("loose", "x2 <= 0"),
        bd.Region("low", "x1 <= 0"),
        TRANSFERS[transfer],
        kappa_error=0.1,
    )
    data = GaussianPlane(fakes=20_000, reals=3000).draw(seed=1)
    reals = GaussianPlane(fakes=0, reals=6000).draw(seed=2, sample="reals", weight=0.5)
    signal = GaussianPlane(fakes=0, reals=2000, real_mean=(1.5, 1.5)).draw(seed=3, sample="hh", weight=0.2)
    sides = tuple(bd.Setup(method, data - factor * reals) for factor in (1.1, 0.9))
    relation = bd.terms(bd.Setup(method, data - reals), [_ABCD], variations={"reals": sides}, seed=1)
    return bd.workspace({"fakes": relation}, {"hh": relation.template(signal)}, {"SR": data})


def channels(name: str) -> tuple[bd.Channel, ...]:
    """The channels of the workspace of that name."""
    return CHANNELS if name == "plain" else (_ABCD,)


def made(name: str) -> dict[str, Any]:
    """The workspace of that name."""
    return plain() if name == "plain" else abcd(name)


NAMES = ("plain", *TRANSFERS)


# ---- parameters ------------------------------------------------------------------------------------------------------

_ENTRY = re.compile(r"(.+)\[(\d+)\]")


def kinds(spec: Mapping[str, Any]) -> dict[str, str]:
    """Modifier to type."""
    rows = [m for channel in spec["channels"] for sample in channel["samples"] for m in sample["modifiers"]]
    return {one["name"]: one["type"] for one in rows}


def point(
    spec: Mapping[str, Any], likelihood: Likelihood, parameters: np.ndarray
) -> tuple[dict[str, float], dict[tuple[str, str, int], float]]:
    """Return parameters by the names of exports, and the bins' own factors by channel, sample and bin."""
    owners = {
        m["name"]: (channel["name"], sample["name"])
        for channel in spec["channels"]
        for sample in channel["samples"]
        for m in sample["modifiers"]
        if m["type"] == "shapesys"
    }
    values, gammas = {}, {}
    for name, value in zip(likelihood.names, parameters.tolist(), strict=True):
        if (found := _ENTRY.fullmatch(name)) is None:
            values[name] = value
        elif found[1] in owners:
            gammas[(*owners[found[1]], int(found[2]))] = value
        else:
            values[f"{found[1]}_{found[2]}"] = value
            values.setdefault(found[1], value)
    values["r"] = values[spec["measurements"][0]["config"]["poi"]]
    return values, gammas


def somewhere(spec: Mapping[str, Any], seed: int, nuisances: int | None = None) -> tuple[Likelihood, np.ndarray]:
    """Return the likelihood and a random point: free factors and bins' factors near one, nuisances anywhere.

    Nuisances of a normalisation are beyond one standard deviation, where all programs agree on their effect; with
    `nuisances`, so many are at plus or minus one, the others at zero.
    """
    rng, likelihood, types = np.random.default_rng(seed), read(spec), kinds(spec)
    parameters = np.zeros(len(likelihood.names))
    moved = [i for i, name in enumerate(likelihood.names) if types.get(name) in ("histosys", "normsys")]
    for i, name in enumerate(likelihood.names):
        if likelihood.fixed[i]:
            parameters[i] = likelihood.start[i]
        elif i not in moved:
            parameters[i] = rng.uniform(0.8, 1.2)
        elif nuisances is None:
            low = 1.0 if types[name] == "normsys" else 0.0
            parameters[i] = rng.choice([-1.0, 1.0]) * rng.uniform(low, 1.4)
    if nuisances is not None:
        for i in rng.permutation(moved)[:nuisances]:
            parameters[i] = rng.choice([-1.0, 1.0])
    return likelihood, parameters
