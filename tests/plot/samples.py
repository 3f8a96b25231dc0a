"""Small estimates with every part, real closure tests of them and real fits."""

from __future__ import annotations

import functools

import hist
import numpy as np

from backdrop import Channel, Estimate, Events, Region
from backdrop.inference import FitResult, fit, workspace
from backdrop.validation import (
    Checks,
    Closure,
    Compared,
    Correlations,
    RegionMap,
    Use,
    Variable,
    closure,
    correlation,
    cut_flow,
    weight_health,
)

MASS = r"$m_{HH}$ [GeV]"


def channel(name: str, *, bins: int = 8, two_axes: bool = False) -> Channel:
    mass = hist.axis.Regular(bins, 100, 260, name="m", label=MASS)
    momentum = hist.axis.Variable([0, 60, 120, 300], name="pt", label=r"$p_{T}$ [GeV]")
    cut = {"SR": "s > 1", "VR": "s < 1"}.get(name, "s < 1")
    return Channel(name, Region(name, cut), (momentum, mass) if two_axes else (mass,))


def estimate(
    names: tuple[str, ...] = ("SR", "VR"),
    *,
    seed: int = 1,
    scale: float = 1.0,
    variations: int = 3,
    replicas: int = 30,
    two_axes: bool = False,
) -> Estimate:
    rng = np.random.default_rng(seed)
    channels = tuple(channel(name, two_axes=two_axes) for name in names)
    parts = [np.linspace(200, 60, one.size) * scale * (0.5 if one.name == "SR" else 1) for one in channels]
    nominal = np.concatenate(parts)
    slope = np.linspace(-1, 1, len(nominal))
    shapes = [1 + 0 * slope, slope, np.cos(4 * slope), slope**2]
    shifts = {f"shape_{i}": 0.05 / (1 + i) * shapes[i % 4] for i in range(variations)}
    rows = nominal * (1 + 0.03 * rng.normal(size=(replicas, 1)) + 0.01 * rng.normal(size=(replicas, len(nominal))))
    return Estimate(
        channels,
        nominal,
        0.2 * nominal,
        {"data": rows} if replicas else {},
        {name: (nominal * (1 + shift), nominal * (1 - 0.8 * shift)) for name, shift in shifts.items()},
        {"data": seed} if replicas else {},
    )


def rows(found: Estimate, name: str, *, seed: int = 2, slope: float = 0.0, weight: float = 1.0) -> Events:
    """Observed rows of a channel: Poisson about the prediction, times a slope."""
    part = found.only(name)
    one = part.channels[0]
    tilt = 1 + slope * np.linspace(-1, 1, one.size)
    counts = np.random.default_rng(seed).poisson(part.nominal * tilt)
    places = np.unravel_index(np.repeat(np.arange(one.size), counts), one.shape)
    columns = {axis.name: axis.centers[place] for axis, place in zip(one.axes, places, strict=True)}
    inside = np.full(counts.sum(), 2.0 if name == "SR" else 0.0)
    return Events.of({**columns, "s": inside}, weight=np.full(len(inside), weight))


@functools.cache
def closed(slope: float = 0.0, *, factor: float = 1.0, two_axes: bool = False) -> Closure:
    """A closure test in VR, which closes for slope 0 and factor 1."""
    found = estimate(two_axes=two_axes)
    return closure(found, rows(factor * found, "VR", slope=slope), channel="VR")


@functools.cache
def fitted(*, sealed: bool = True) -> FitResult:
    """A fit of a bump in SR beside the background; SR is Asimov where it is sealed."""
    found = estimate(variations=2)
    bump = np.concatenate([10 * np.exp(-0.5 * (np.arange(8) - 3.0) ** 2), np.zeros(8)])
    signal = Estimate(found.channels, bump + 1e-3, 0.05 * bump + 1e-6)
    observed = {"VR": rows(found, "VR"), "SR": None if sealed else rows(found, "SR")}
    return fit(workspace({"multijet": found}, {"signal": signal}, observed))


@functools.cache
def checks() -> Checks:
    """Region map, cut flows, one variable with two sealed bins, correlations and weights."""
    uses = [
        Use("SR observed", "observed", "(s > 1) & (t > 1)", ("data",), ("abcd",), "all"),
        Use("VR observed", "observed", "(s < 1) & (t > 1)", ("data",), ("abcd",)),
        Use(
            "training of abcd, a_method_with_quite_a_long_name", "training", "s < 2", ("data", "mc"), ("abcd",), "part"
        ),
        Use("wide", "read", "t > 1", ("data",), ("abcd",), "part"),
        Use("same", "read", "(t > 1) & (s > 1)", ("data",), ("abcd",), "all"),
        Use("apart", "read", "u > 3", ("data",), ("abcd",)),
        Use("sealed in data", "sealed", "(s > 1) & (t > 1)", ("data",), sealed="all"),
    ]
    rng = np.random.default_rng(5)
    table = {"m": rng.uniform(100, 260, 300), "s": rng.uniform(0, 2, 300), "pt": rng.exponential(60, 300)}
    data = Events.of(table, seal=Region("SR", "s > 1"))
    mc = Events.of(table, sample="mc", weight=np.full(300, 0.1))
    tested = Compared(Variable("VR", channel("VR"), ("m > 110",), (110.0,), (2, 3)), closed())
    sides = Correlations(*(correlation(one, ["m", "pt", "s"]) for one in (mc, mc.bootstrap(3))))
    selections = {"SR": Region("SR", "(s > 1) & (m > 110)"), "VR": Region("VR", "(m < 200) & (s < 1) & (m > 110)")}
    return Checks(
        RegionMap.of(uses),
        {name: cut_flow({"data": data, "mc": mc}, one) for name, one in selections.items()},
        {"abcd": {"VR": {"m": tested}}},
        {"abcd": {"VR": sides}},
        {"abcd": {"training": weight_health(Events.of({"m": np.arange(4.0)}, weight=[1.0, 1.0, 1.0, -1.0]))}},
    )
