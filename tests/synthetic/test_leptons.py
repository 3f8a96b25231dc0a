"""The lepton toy's closed-form expectations against its draws."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from backdrop import Region
from backdrop.errors import ConfigError
from backdrop.synthetic import SAMPLES, Leptons

TOY = Leptons(
    {"RR": 20_000.0, "RF": 30_000.0, "FR": 10_000.0, "FF": 20_000.0, "RFF": 5_000.0},
    z=40_000.0,
    flip=0.02,
    overlap=0.4,
    overlap_factor=0.5,
)


def _agree(found: float, expected: float) -> None:
    assert abs(found - expected) < 4 * np.sqrt(expected)


@pytest.mark.parametrize("veto", [False, True])
def test_expected_tight_patterns_are_those_drawn(veto: bool) -> None:
    events = TOY.draw(seed=3)
    for truth, tight in (("RF", "TL"), ("FR", "TT"), ("FF", "TT"), ("FF", "LL"), ("RFF", "TTL")):
        cuts = [f"n_leptons == {len(truth)}", "same_sign", *(["n_jets == 0"] if veto else [])]
        cuts += [f"lep_prompt[{i}] == {int(one == 'R')}" for i, one in enumerate(truth)]
        cuts += [f"lep_iso[{i}] {'<' if one == 'T' else '>='} 0.15" for i, one in enumerate(tight)]
        _agree(len(events.select(Region(truth + tight, " and ".join(cuts)))), TOY.expected(truth, tight, veto=veto))


def test_efficiencies_are_those_of_the_bins() -> None:
    flat = TOY.draw(seed=4).select(Region("no jet", "n_jets == 0")).flatten(Leptons.objects)
    for one, prompt in zip(TOY.maps(), (True, False), strict=True):
        rows = flat.select(Region("truth", "lep_prompt" if prompt else "~lep_prompt"))
        place = one.index(rows)
        total, tight = np.bincount(place, minlength=one.size), np.bincount(place, rows["lep_tight"], one.size)
        assert (np.abs(tight - total * one.values) < 4 * np.sqrt(total * one.values * (1 - one.values))).all()
        shares = np.array(TOY.real_shares if prompt else TOY.fake_shares)
        assert (np.abs(total - len(rows) * shares) < 4 * np.sqrt(len(rows) * shares)).all()


def test_leptons_that_overlap_a_jet_are_tight_less_often() -> None:
    flat = TOY.draw(seed=4).flatten(Leptons.objects).select(Region("fake", "(~lep_prompt) & (n_jets > 0)"))
    chance = 0.5 * TOY.mean_fake()
    near = flat.select(Region("near a jet", "lep_jet == 1"))
    _agree(len(near), 0.4 * len(flat))
    _agree(near["lep_tight"].sum(), chance * len(near))


def test_regions_hold_what_they_say() -> None:
    events = replace(TOY, equal=0.5).draw(seed=5)
    share = 1.0 - TOY.off_z
    pairs = sum(number for truth, number in TOY.events.items() if len(truth) == 2)
    right = 1.0 - 2 * 0.02 * 0.98
    _agree(len(events.select(Leptons.pairs_region)), 0.5 * pairs * (1.0 - share))
    _agree(len(events.select(Leptons.z_region)), right * TOY.z + 0.5 * pairs * share)
    _agree(len(events.select(Leptons.z_same_sign)), (1.0 - right) * TOY.z + 0.5 * pairs * share)
    _agree(len(events.select(Leptons.fake_region)), 20_000 * -np.expm1(-25 / 15) + 2_000 * -np.expm1(-25 / 45))


def test_missing_momentum_has_the_stated_shares() -> None:
    rows = TOY.draw(seed=6).select(Leptons.pairs_region)
    edges = np.array([0.0, 20.0, 50.0, 2000.0])
    counts, _ = np.histogram(rows["met"], edges)
    expected = 80_000 * TOY.off_z * TOY.met_shares(edges)
    assert TOY.met_shares(edges).sum() == pytest.approx(1.0)
    assert (np.abs(counts - expected) < 4 * np.sqrt(expected)).all()


def test_simulation_has_the_expectation_of_prompt_events() -> None:
    found = TOY.simulation(seed=1, size=2.0, negative=0.2)
    assert (found.weight < 0).mean() == pytest.approx(0.2, abs=0.01)
    assert found.select(Region("fakes", "any(~lep_prompt)")).weight.size == 0
    number = 40_000 + 2_000 + 20_000
    assert abs(found.weight.sum() - number) < 4 * np.sqrt((found.weight**2).sum())
    more = TOY.simulation(seed=1, size=2.0, fakes=True)
    _agree(2 * more.select(Region("fakes", "any(~lep_prompt)")).weight.sum(), 2 * (20_000 + 65_000))


def test_a_seed_repeats_and_samples_are_independent() -> None:
    toy = Leptons.spread(3, 200.0)
    assert toy.draw(seed=1).fingerprint == toy.draw(seed=1).fingerprint
    first, other = toy.draw(seed=1), toy.draw(seed=1, sample="other")
    assert not np.intersect1d(first.key, other.key).size
    assert not np.isin(first["met"], other["met"]).any()


def test_spread_efficiencies_have_the_stated_mean_and_width() -> None:
    toy = Leptons.spread(2, 200.0, bins=100)
    # Gaussians cut off at one, and at zero
    assert np.mean(toy.real) == pytest.approx(0.8712, abs=1e-3)
    assert np.mean(toy.fake) == pytest.approx(0.2055, abs=1e-3)
    assert set(toy.events) == {"RR", "RF", "FR", "FF"}
    assert sum(toy.expected(truth, tight) for truth in toy.events for tight in ("TT", "TL", "LT", "LL")) == (
        pytest.approx(200.0)
    )


def test_samples_table_gives_data_and_their_prompt_simulation() -> None:
    samples = SAMPLES["leptons"](seed=1, events={"RR": 500.0, "FF": 500.0}, simulated=2.0, negative=0.1)
    assert set(samples) == {"data", "prompt"}
    assert samples["prompt"].weight.max() == pytest.approx(0.5 / 0.8)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"real": (0.9, 0.8)}, "9 bins need as many numbers in 'real', not 2"),
        ({"fake": (1.2,) * 9}, "from 0 to 1"),
        ({"events": {"RX": 1.0}}, "not 'RX'"),
    ],
)
def test_impossible_settings_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Leptons(**settings)


def test_a_simulation_has_a_size() -> None:
    with pytest.raises(ConfigError, match=r"positive size \(0\)"):
        TOY.simulation(seed=1, size=0.0)
