"""The YAML fragments: written in the cut language, and true on samples."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from backdrop.errors import ConfigError
from backdrop.generate import CASES, fragment
from backdrop.region import Region, evaluate, expression_columns

from .roles import names, roles

FAMILIES = {case.fragment: case.name for case in CASES.values()}


def read(name: str) -> tuple[dict[str, Any], dict[str, Region]]:
    parsed = yaml.safe_load(fragment(name))
    cuts: dict[str, str] = {}
    for region, text in parsed["regions"].items():
        cuts[region] = re.sub(r"\{(\w+)\}", lambda found: f"({cuts[found[1]]})", text)
    return parsed, {region: Region(region, cut) for region, cut in cuts.items()}


@pytest.mark.parametrize("name", FAMILIES.values())
def test_a_fragment_is_complete(name: str) -> None:
    parsed, regions = read(name)
    # the roles are comments: no key of a configuration
    assert set(parsed) == {"derived", "regions"}
    for expression in parsed["derived"].values():
        assert expression_columns(expression)
    for role, value in roles(name).items():
        if role in ("target", "source", "control", "validation", "training", "blind", "pairs", "signal_region"):
            assert set(names(value)) <= set(regions), role
    assert f"backdrop generate {name}" in fragment(name)


def test_cases_that_are_used_together_share_a_fragment() -> None:
    assert fragment("gamma-jet") == fragment("h-phigamma")
    assert fragment("ttbar") == fragment("heavy-flavour") != fragment("zee")
    with pytest.raises(ConfigError, match="did you mean 'ttbar'"):
        fragment("ttba")


@pytest.mark.parametrize(
    ("name", "first", "second"),
    [
        ("h-za", "SR", "side_bands"),
        ("h-za", "low_side_band", "high_side_band"),
        ("ttbar", "tight_lepton", "loose_lepton"),
        ("ttbar", "prompt", "fakes"),
        ("ttbar", "few_jets", "many_jets"),
        ("hh-4b", "two_b", "four_b"),
        ("hh-4b", "SR", "CR"),
        ("hh-4b", "SR", "VR"),
        ("hh-4b", "CR1", "CR2"),
        ("hh-4b", "CR", "VR"),
        ("zee", "OS_peak", "SS_peak"),
        ("zee", "OS_peak", "OS_side_bands"),
        ("zee", "SS_peak", "SS_side_bands"),
    ],
)
def test_regions_that_must_not_overlap(name: str, first: str, second: str) -> None:
    _, regions = read(name)
    assert regions[first].disjoint(regions[second])


def test_the_threshold_of_the_signal_region() -> None:
    parsed, _ = read("gamma-jet")
    mass = {"m_phig": np.array([50.0, 70.0, 105.0, 140.0, 300.0])}
    np.testing.assert_allclose(evaluate(parsed["derived"]["pt_threshold"], mass), [24, 24, 26.5, 29, 29])


@pytest.mark.parametrize(
    ("name", "file", "expected"),
    [
        ("gamma-jet", "case1_gammajet", {"GR": 14189, "VR1": 7357, "VR2": 7360, "SR": 4468, "GR_wide": 27832}),
        ("z-jets", "case2_zjets_2trk", {"SR": 2331, "side_bands": 6841}),
        ("four-jet", "case4_fourjet_pseudotag", {"two_b": 3424, "three_b": 1567, "four_b": 277, "SR": 160}),
    ],
)
def test_yields_of_shared_samples(shared_data: Path, name: str, file: str, expected: dict[str, int]) -> None:
    pq = pytest.importorskip("pyarrow.parquet")
    table = pq.read_table(shared_data / "generated" / f"{file}.parquet")
    columns = {column: table[column].to_numpy() for column in table.column_names}
    parsed, regions = read(name)
    columns |= {new: evaluate(text, columns) for new, text in parsed["derived"].items()}
    assert {region: int(regions[region].mask(columns).sum()) for region in expected} == expected
