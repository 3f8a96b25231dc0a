"""Efficiencies: known sums, tag and probe, subtraction, merging, smoothing, and what is refused."""

from __future__ import annotations

import hist
import numpy as np
import pytest

from backdrop.errors import ConfigError, DataError
from backdrop.events import Events, Objects
from backdrop.maps import BinnedMap
from backdrop.methods.efficiency import Efficiency, Smooth, columns, maps, nuisances, training
from backdrop.region import Region

_LEPTONS = Objects("lep", "iso < 0.15", ("{}1",))
_PAIRS = Objects("lep", "iso < 0.15", ("{}1", "{}2"))
_PT = hist.axis.Variable([10, 20, 30, 50], name="lep_pt")
_ALL = Region.everything()


def _singles(n: int, seed: int = 1, sample: str = "data", weight: float = 1.0, rate: float = 0.3) -> Events:
    rng = np.random.default_rng(seed)
    columns = {"pt1": rng.uniform(10, 50, n), "iso1": np.where(rng.uniform(size=n) < rate, 0.1, 0.5)}
    return Events.of({**columns, "met": rng.uniform(0, 100, n)}, sample=sample, weight=np.full(n, weight))


def _one(given: Efficiency, events: Events, objects: Objects = _LEPTONS) -> BinnedMap:
    return maps(given, "fake_efficiency", events, objects, events.weight[None, :])[0]


def test_an_efficiency_is_a_ratio_of_sums_with_wilsons_error() -> None:
    events = _singles(5000)
    found = _one(Efficiency(_ALL, (_PT,)), events)
    bins = np.digitize(events["pt1"], _PT.edges) - 1
    all_ = np.bincount(bins)
    tight = np.bincount(bins, events["iso1"] < 0.15)
    assert np.allclose(found.values, tight / all_, rtol=1e-15)
    binomial = found.values * (1 - found.values) / all_
    assert np.allclose(found.errors**2, binomial + 1 / (4 * all_**2), rtol=1e-12)
    weighted = _one(Efficiency(_ALL, (_PT,)), 0.1 * events)
    assert np.allclose(weighted.values, found.values) and np.allclose(weighted.errors, found.errors)


def test_the_error_does_not_vanish_at_the_ends_and_nuisances_stay_inside() -> None:
    for rate, away in ((0.0, "up"), (1.0, "down")):
        found = _one(Efficiency(_ALL, (_PT,)), _singles(40, rate=rate))
        assert (found.errors > 0.0).all() and (found.values == rate).all()
        for up, down in found.nuisances.values():
            assert (up >= 0.0).all() and (up <= 1.0).all() and (down >= 0.0).all() and (down <= 1.0).all()
            assert (np.abs(up - down).max() > 0.01) and ((up if away == "down" else down) == found.values).all()


def test_prompt_leptons_are_subtracted() -> None:
    fakes, prompt = _singles(40_000, 1), _singles(10_000, 2, rate=0.9)
    simulated = _singles(100_000, 3, "prompt", 0.1, 0.9)
    data = Events.of({name: np.r_[fakes[name], prompt[name]] for name in fakes.columns})
    found = _one(Efficiency(_ALL, (_PT,)), data - simulated)
    assert (np.abs(found.values - 0.3) < 4 * found.errors).all()
    assert (_one(Efficiency(_ALL, (_PT,)), data).values > 0.4).all()
    # the sample alone, whatever the sign with which it stands among the events
    for events in (data - simulated, data + simulated):
        assert np.allclose(_one(Efficiency(_ALL, (_PT,), sample="prompt"), events).values, 0.9, atol=0.01)


def _z_pairs(n: int, rate: float, background: int) -> Events:
    rng = np.random.default_rng(5)
    real = np.arange(n + 2 * background) < n
    iso = [np.where(rng.uniform(size=len(real)) < np.where(real, rate, 0.2), 0.1, 0.5) for _ in range(2)]
    charge = np.where(real, -1, rng.choice([-1, 1], len(real)))
    pt = rng.uniform(10, 50, (2, len(real)))
    return Events.of({"pt1": pt[0], "pt2": pt[1], "iso1": iso[0], "iso2": iso[1], "charge": charge})


def test_tag_and_probe_with_the_same_sign_subtracted() -> None:
    events = _z_pairs(20_000, 0.85, 4000)
    opposite, same = Region("OS", "charge < 0"), Region("SS", "charge > 0")
    plain = Efficiency(opposite, (_PT,), tag="iso < 0.15")
    found = _one(plain, events, _PAIRS)
    corrected = _one(Efficiency(opposite, (_PT,), tag="iso < 0.15", subtract=same), events, _PAIRS)
    assert (found.values < 0.85 - 3 * found.errors).all()
    assert (np.abs(corrected.values - 0.85) < 4 * corrected.errors).all()
    # by hand: a lepton counts if the other one is tight
    tight = np.array([events["iso1"] < 0.15, events["iso2"] < 0.15])
    tags, probes = tight[::-1], np.array([events["pt1"], events["pt2"]]) >= 30.0
    chosen = tags & probes & (events["charge"] < 0)
    cut = _one(Efficiency(opposite, (_PT,), tag="iso < 0.15", probe="pt >= 30", merge=10), events, _PAIRS)
    assert np.allclose(cut.values, (tight & chosen).sum() / chosen.sum(), rtol=1e-14)


def test_poor_bins_join_the_next_and_move_together() -> None:
    events = _singles(3000).select(Region("few", "(pt1 < 30) | (pt1 > 49.5)"))
    separate = _one(Efficiency(_ALL, (_PT,)), events)
    found = _one(Efficiency(_ALL, (_PT,), merge=100.0), events)
    assert found.values[1] == found.values[2] and found.values[0] == separate.values[0]
    assert len(found.nuisances) == 2
    moved = [up - found.values for up, _ in found.nuisances.values()]
    assert any(step[1] == pytest.approx(step[2]) and step[0] == pytest.approx(0.0, abs=1e-12) for step in moved)
    with pytest.raises(DataError, match=r"lep_pt from 20 to 30.*0 tight of 0 is no efficiency between 0 and 1"):
        _one(Efficiency(_ALL, (_PT,)), events.select(Region("none", "(pt1 < 20) | (pt1 > 30)")))


def test_a_polynomial_through_the_bins() -> None:
    axis = hist.axis.Regular(8, 10, 50, name="lep_pt")
    rng = np.random.default_rng(3)
    pt = rng.uniform(10, 50, 50_000)
    tight = rng.uniform(size=len(pt)) < 0.1 + 0.005 * pt
    events = Events.of({"pt1": pt, "iso1": np.where(tight, 0.1, 0.5)})
    bins = _one(Efficiency(_ALL, (axis,)), events)
    line = _one(Efficiency(_ALL, (axis,), smooth=Smooth("lep_pt", 1)), events)
    wanted = np.polynomial.Polynomial.fit(axis.centers, bins.values, 1, w=1 / bins.errors)
    assert np.allclose(line.values, wanted(axis.centers), rtol=1e-10)
    truth = 0.1 + 0.005 * axis.centers
    assert (np.abs(line.values - truth) < 4 * line.errors).all()
    assert line.errors.mean() < 0.7 * bins.errors.mean()
    assert len(line.nuisances) == 2
    exact = _one(Efficiency(_ALL, (axis,), smooth=Smooth("lep_pt", 7)), events)
    assert np.allclose(exact.values, bins.values, rtol=1e-8)


def test_resamples_share_the_groups_of_the_nominal() -> None:
    events = _singles(2000)
    rng = np.random.default_rng(1)
    weights = rng.poisson(1.0, (200, len(events))).astype(float)
    found = maps(Efficiency(_ALL, (_PT,), merge=600.0), "f", events, _LEPTONS, weights)
    values = np.array([one.values for one in found])
    nominal = _one(Efficiency(_ALL, (_PT,), merge=600.0), events)
    assert np.array_equal(values[:, 0], values[:, 1])
    assert np.allclose(values.std(axis=0), nominal.errors, rtol=0.2)


def test_what_is_refused() -> None:
    events = _singles(100)
    with pytest.raises(ConfigError, match="which may share rows"):
        Efficiency(_ALL, (_PT,), subtract=Region("SS", "charge > 0"))
    with pytest.raises(ConfigError, match=r"no axis 'pt' to smooth in; the axes are lep_pt"):
        Efficiency(_ALL, (_PT,), smooth=Smooth("pt"))
    with pytest.raises(ConfigError, match="degree 3 in 'lep_pt' needs more than 3 bins"):
        Efficiency(_ALL, (_PT,), smooth=Smooth("lep_pt", 3))
    with pytest.raises(DataError, match=r"column 'lep_pt' has \d+ of \d+ values outside map"):
        _one(Efficiency(_ALL, (hist.axis.Regular(2, 10, 30, name="lep_pt"),)), events)
    broken = events.with_columns({"iso1": np.where(np.arange(100) == 3, np.nan, 0.1)})
    with pytest.raises(DataError, match="column 'lep_iso' has 1 NaN"):
        _one(Efficiency(_ALL, (_PT,)), broken)
    with pytest.raises(DataError, match=r"-?\d+ tight of -?\d+.* is no efficiency between 0 and 1"):
        _one(Efficiency(_ALL, (_PT,)), events - 3.0 * _singles(50, 2, "prompt"))


def test_what_a_method_asks_of_its_efficiencies() -> None:
    given = BinnedMap("r", (_PT,), np.full(3, 0.9), np.diag([0.01, 0.0, 0.02]) ** 2, {"id": (np.full(3, 1.0),) * 2})
    measured = Efficiency(Region("CR", "met < 30"), (_PT,), probe="pt > 15", tag="id > 3")
    assert columns(_PAIRS, measured, given) == ("pt1", "pt2", "id1", "id2", "iso1", "iso2")
    assert training(given).cut == "false"
    assert training(measured, given, measured) == measured.region
    assert set(nuisances("real", given)) == {"real_stat_lep_pt0", "real_stat_lep_pt2", "real_id"}
    assert nuisances("fake", measured) == {}
    assert nuisances("real", given)["real_stat_lep_pt0"][0].values[0] == pytest.approx(0.91)
