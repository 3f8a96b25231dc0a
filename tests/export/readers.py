"""Independent readers: the likelihood of an export, rebuilt from its files alone by the rules of the other program."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import uproot
import yaml

Array = np.ndarray


def deviance(counts: Array, rates: Array) -> float:
    """Half the deviance of Poisson counts."""
    counts, rates = np.asarray(counts, float), np.asarray(rates, float)
    log = np.where(counts > 0, counts * np.log(np.where(counts > 0, counts, 1.0) / rates), 0.0)
    return float(np.sum(rates - counts + log))


# ---- combine ---------------------------------------------------------------------------------------------------------


def _asymmetric_power(low: float, high: float, x: float) -> float:
    """combine's factor of an `lnN` with two numbers."""
    up, down = np.log(high), -np.log(low)
    if abs(x) >= 0.5:
        return float(np.exp(x * (up if x >= 0 else down)))
    twice = 2.0 * x
    smooth = 0.125 * twice * (twice**2 * (3.0 * twice**2 - 10.0) + 15.0)
    return float(np.exp(x * ((up + down) / 2.0 + smooth * (up - down) / 2.0)))


def _vertical(nominal: Array, up: Array, down: Array, x: float) -> Array:
    """combine's vertical morphing: the change of the yields."""
    smooth = np.sign(x) if abs(x) >= 1.0 else 0.125 * x * (x**2 * (3.0 * x**2 - 10.0) + 15.0)
    return 0.5 * x * ((up - down) + (up + down - 2.0 * nominal) * smooth)


@dataclass
class Card:
    """A datacard and its histograms."""

    columns: list[tuple[str, str, int]]
    nuisances: dict[str, tuple[str, list[str]]] = field(default_factory=dict)
    rates: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    ranges: dict[str, tuple[float, float, float]] = field(default_factory=dict)
    stats: dict[str, tuple[float, int, int]] = field(default_factory=dict)
    hists: dict[str, tuple[Array, Array]] = field(default_factory=dict)
    channels: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, folder: Path) -> Card:
        lines = [line.split() for line in (folder / "datacard.txt").read_text().splitlines()]
        lines = [words for words in lines if words and words[0][0] not in "#-"]
        sizes = {words[0]: int(words[1]) for words in lines[:3]}
        (shapes,) = (words for words in lines if words[0] == "shapes")
        assert shapes[1:3] == ["*", "*"]
        bins, names, numbers = [words[1:] for words in lines if words[0] in ("bin", "process")][1:]
        assert [words[1:] for words in lines if words[0] == "rate"] == [["-1"] * len(names)]
        card = cls(list(zip(bins, names, map(int, numbers), strict=True)))
        card.channels = next(words[1:] for words in lines if words[0] == "bin")
        (observation,) = (words[1:] for words in lines if words[0] == "observation")
        assert observation == ["-1"] * len(card.channels)
        for words in lines:
            if len(words) > 1 and words[1] in ("shape", "lnN"):
                assert len(words) == 2 + len(names) and words[0] not in card.nuisances
                card.nuisances[words[0]] = words[1], words[2:]
            elif len(words) > 1 and words[1] == "rateParam":
                assert (words[2], words[3]) in [(b, p) for b, p, _ in card.columns]
                card.rates.setdefault((words[2], words[3]), []).append(words[0])
                low, high = map(float, words[5].strip("[]").split(","))
                assert card.ranges.setdefault(words[0], (float(words[4]), low, high)) == (float(words[4]), low, high)
            elif len(words) > 1 and words[1] == "autoMCStats":
                card.stats[words[0]] = float(words[2]), int(words[3]), int(words[4])
        assert sizes == {"imax": len(card.channels), "jmax": len(set(names)) - 1, "kmax": len(card.nuisances)}
        with uproot.open(folder / shapes[3]) as file:
            for key, kind in file.classnames(cycle=False).items():
                if kind == "TH1D":
                    card.hists[key] = file[key].values(), file[key].errors()
        return card

    def process(self, column: int, values: Mapping[str, float]) -> Array:
        """The yields of a process, without its bins' own factors."""
        channel, name, number = self.columns[column]
        assert self.stats[channel][2] == 2  # yields move, not shapes and normalisations apart
        nominal = self.hists[f"{channel}/{name}"][0]
        total, factor = nominal.copy(), values["r"] if number <= 0 else 1.0
        for nuisance, (kind, entries) in self.nuisances.items():
            x = values.get(nuisance, 0.0)
            if entries[column] == "-":
                continue
            if kind == "lnN":
                low, high = map(float, entries[column].split("/"))
                factor *= _asymmetric_power(low, high, x)
            else:
                up, down = (self.hists[f"{channel}/{name}_{nuisance}{side}"][0] for side in ("Up", "Down"))
                total = total + _vertical(nominal, up, down, x)
        for rate in self.rates.get((channel, name), ()):
            factor *= values[rate]
        return factor * total

    def nll(self, values: Mapping[str, float], gammas: Mapping[tuple[str, str, int], float]) -> float:
        """The negative logarithm of the likelihood, relative to its saturated value."""
        total = sum(values.get(nuisance, 0.0) ** 2 / 2.0 for nuisance in self.nuisances)
        for channel in self.channels:
            threshold, everything, _ = self.stats[channel]
            assert everything == 1
            rates = np.zeros(len(self.hists[f"{channel}/data_obs"][0]))
            for column, (where, name, _) in enumerate(self.columns):
                if where != channel:
                    continue
                yields, errors = self.process(column, values), self.hists[f"{channel}/{name}"][1]
                nominal = self.hists[f"{channel}/{name}"][0]
                for i in np.flatnonzero(errors > 0.0).tolist():
                    counted = int(0.5 + nominal[i] ** 2 / errors[i] ** 2)
                    assert nominal[i] >= 0.999 * errors[i] and counted <= threshold  # a Poisson factor of its own
                    gamma = gammas.get((channel, name, i), 1.0)
                    yields[i] *= gamma
                    total += deviance(counted, counted * gamma)
                rates += yields
            total += deviance(self.hists[f"{channel}/data_obs"][0], rates)
        return total


# ---- TRExFitter ------------------------------------------------------------------------------------------------------


def _blocks(text: str) -> Iterator[tuple[str, str, dict[str, str]]]:
    for block in re.split(r"\n\s*\n", text):
        lines = [line for line in block.splitlines() if line.strip() and not line.startswith("%")]
        if lines:
            kind, name = lines[0].split(":", 1)
            settings = dict(line.strip().split(": ", 1) for line in lines[1:])
            yield kind, name.strip().strip('"'), {key: value.strip('"') for key, value in settings.items()}


@dataclass
class Fitter:
    """A TRExFitter configuration and its histograms."""

    blocks: dict[str, dict[str, dict[str, str]]]
    folder: Path

    @classmethod
    def read(cls, folder: Path) -> Fitter:
        found: dict[str, dict[str, dict[str, str]]] = {}
        for kind, name, settings in _blocks((folder / "trexfitter.config").read_text()):
            assert name not in found.setdefault(kind, {}), f"{kind} {name} is there twice"
            found[kind][name] = settings
        assert {len(found[kind]) for kind in ("Job", "Fit", "Limit")} == {1}
        (job,) = found["Job"].values()
        assert job["ReadFrom"] == "HIST"
        return cls(found, folder / job["HistoPath"])

    def histogram(self, region: str, sample: str, suffix: str = "") -> tuple[Array, Array]:
        name = self.blocks["Sample"][sample]["HistoName"] + suffix
        with uproot.open(self.folder / f"{self.blocks['Region'][region]['HistoFile']}.root") as file:
            return file[name].values(), file[name].errors()

    def samples(self, region: str) -> list[str]:
        rows = self.blocks["Sample"].items()
        return [name for name, row in rows if row["Type"] != "DATA" and region in row["Regions"].split(",")]

    def _acting(self, kind: str, region: str, sample: str) -> Iterator[tuple[str, dict[str, str]]]:
        for name, row in self.blocks.get(kind, {}).items():
            if sample in row["Samples"].split(",") and region in row["Regions"].split(","):
                yield name, row

    def yields(self, region: str, sample: str, values: Mapping[str, float]) -> Array:
        """Yields where nuisances are -1, 0 or 1; normalisation times shape, as HistFactory has them there."""
        nominal = self.histogram(region, sample)[0]
        shape, factor = np.zeros(len(nominal)), np.ones(len(nominal))
        for _, row in self._acting("Systematic", region, sample):
            x = values.get(row["NuisanceParameter"], 0.0)
            assert x in (-1.0, 0.0, 1.0)
            side = "Up" if x > 0 else "Down"
            if x and row["Type"] == "OVERALL":
                factor = factor * (1.0 + float(row[f"Overall{side}"]))
            elif x:
                moved = self.histogram(region, sample, row[f"HistoNameSuf{side}"])[0]
                norm = moved.sum() / nominal.sum()
                factor, shape = factor * norm, shape + moved / norm - nominal
        for name, _ in self._acting("NormFactor", region, sample):
            factor = factor * values[name]
        for name, _ in self._acting("ShapeFactor", region, sample):
            factor = factor * np.array([values[f"{name}_{i}"] for i in range(len(nominal))])
        return factor * (nominal + shape)

    def nll(self, values: Mapping[str, float], gammas: Mapping[tuple[str, str, int], float]) -> float:
        nuisances = {row["NuisanceParameter"] for row in self.blocks.get("Systematic", {}).values()}
        total = sum(values.get(name, 0.0) ** 2 / 2.0 for name in nuisances)
        (data,) = (name for name, row in self.blocks["Sample"].items() if row["Type"] == "DATA")
        for region in self.blocks["Region"]:
            counts = self.histogram(region, data)[0]
            rates = np.zeros(len(counts))
            for sample in self.samples(region):
                yields, row = self.yields(region, sample, values), self.blocks["Sample"][sample]
                nominal, errors = self.histogram(region, sample)
                assert ("UseMCstat" in row) != ("SeparateGammas" in row)
                for i in np.flatnonzero(errors > 0.0).tolist() if "SeparateGammas" in row else ():
                    gamma, counted = gammas.get((region, sample, i), 1.0), (nominal[i] / errors[i]) ** 2
                    yields[i] *= gamma
                    total += deviance(counted, counted * gamma)
                rates += yields
            total += deviance(counts, rates)
        return total


# ---- cabinetry -------------------------------------------------------------------------------------------------------


def _names(row: Mapping[str, Any], key: str, name: str) -> bool:
    given = row.get(key, [])
    given = given if isinstance(given, list) else [given]
    return not given or name in given


def cabinetry_workspace(folder: Path) -> dict[str, Any]:
    """The pyhf workspace that cabinetry 0.6 builds from a configuration and its histograms."""
    config = yaml.safe_load((folder / "config.yml").read_text())
    home = folder / config["General"]["HistogramFolder"]

    def histogram(*parts: str) -> tuple[Array, Array]:
        with np.load(home / f"{'_'.join(parts)}.npz") as file:
            assert len(file["bins"]) == len(file["yields"]) + 1
            return file["yields"], file["stdev"]

    def modifiers(region: str, sample: dict[str, Any]) -> Iterator[dict[str, Any]]:
        nominal, errors = histogram(region, sample["Name"])
        if not sample.get("DisableStaterror", False):
            yield {"name": f"staterror_{region}", "type": "staterror", "data": errors.tolist()}
        for row in config["NormFactors"]:
            if _names(row, "Samples", sample["Name"]) and _names(row, "Regions", region):
                yield {"name": row["Name"], "type": "normfactor", "data": None}
        for row in config["Systematics"]:
            if not (_names(row, "Samples", sample["Name"]) and _names(row, "Regions", region)):
                continue
            title = row.get("ModifierName", row["Name"])
            if row["Type"] == "Normalization":
                sides = [1.0 + row[word]["Normalization"] for word in ("Up", "Down")]
                yield {"name": title, "type": "normsys", "data": dict(zip(("hi", "lo"), sides, strict=True))}
                continue
            moved = [histogram(region, sample["Name"], row["Name"], word)[0] for word in ("Up", "Down")]
            norms = [side.sum() / nominal.sum() for side in moved]
            yield {"name": title, "type": "normsys", "data": {"hi": norms[0], "lo": norms[1]}}
            if len(nominal) > 1:
                shapes = [(side / norm).tolist() for side, norm in zip(moved, norms, strict=True)]
                yield {"name": title, "type": "histosys", "data": {"hi_data": shapes[0], "lo_data": shapes[1]}}

    (data,) = (row["Name"] for row in config["Samples"] if row.get("Data", False))
    channels = []
    regions = [row["Name"] for row in config["Regions"]]
    for region, samples in itertools.product(regions, [config["Samples"]]):
        rows = [row for row in samples if row["Name"] != data and _names(row, "Regions", region)]
        channels.append(
            {
                "name": region,
                "samples": [
                    {
                        "name": row["Name"],
                        "data": histogram(region, row["Name"])[0].tolist(),
                        "modifiers": list(modifiers(region, row)),
                    }
                    for row in rows
                ],
            }
        )
    parameters = [
        {"name": row["Name"], "inits": [row["Nominal"]], "bounds": [row["Bounds"]]} for row in config["NormFactors"]
    ]
    measurement = {"poi": config["General"]["POI"], "parameters": parameters}
    return {
        "version": "1.0.0",
        "channels": channels,
        "observations": [{"name": one, "data": histogram(one, data)[0].tolist()} for one in regions],
        "measurements": [{"name": config["General"]["Measurement"], "config": measurement}],
    }
