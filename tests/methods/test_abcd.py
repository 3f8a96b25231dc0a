"""ABCD against closed forms: prediction, error, pulls, and the failures that closure must catch."""

from __future__ import annotations

import hist
import numpy as np
import pytest

from backdrop import Channel, Events, Region, Setup, estimate, fitted
from backdrop.errors import BlindedError, ConfigError, DataError, FitError
from backdrop.methods.abcd import ABCD, Plane, counts, nonclosure, slices
from backdrop.methods.transfer import Binned, Constant, Polynomial
from backdrop.synthetic import GaussianPlane

_PLANE = Plane("x1", "x2", 0.0, 0.0)
_AXIS = hist.axis.Regular(5, 100, 200, name="m", label=r"$m$ [GeV]")
_CHANNEL = Channel("SR", _PLANE.region, (_AXIS,))


def _table(a: int, b: int, c: int, d: int) -> Events:
    """Return events with given counts in A, B, C, D of a plane at (0, 0), all at m = 110."""
    x = np.repeat([1.0, 1.0, -1.0, -1.0], [a, b, c, d])
    y = np.repeat([1.0, -1.0, 1.0, -1.0], [a, b, c, d])
    return Events.of({"x1": x, "x2": y, "m": np.full(len(x), 110.0)})


def test_prediction_is_the_ratio_and_the_error_the_closed_form() -> None:
    found = counts(_PLANE.abcd(kappa=1.1, kappa_error=0.11), _PLANE.region, _table(0, 400, 900, 300))
    assert found.predicted == pytest.approx(1.1 * 400 * 900 / 300)
    assert found.error / found.predicted == pytest.approx(np.sqrt(1 / 400 + 1 / 900 + 1 / 300 + 0.01))


def test_estimate_agrees_with_the_closed_form() -> None:
    events = _table(0, 4000, 2000, 8000)
    closed = counts(_PLANE.abcd(), _PLANE.region, events)
    found = estimate(Setup(_PLANE.abcd(), events), [_CHANNEL], replicas=2000, seed=1).total("SR")
    assert found.value == pytest.approx(closed.predicted, rel=1e-12)
    assert found.statistical == pytest.approx(closed.error, rel=3 / np.sqrt(2 * 2000))


def test_kappa_is_a_systematic_of_its_own() -> None:
    method = _PLANE.abcd(kappa=0.9, kappa_error=0.1)
    found = estimate(Setup(method, _table(0, 400, 900, 300)), [_CHANNEL], seed=1)
    up, down = found.variations["kappa"]
    assert found.nominal[0] == pytest.approx(0.9 * 1200)
    assert (up[0], down[0]) == pytest.approx((1200.0, 0.8 * 1200))


def test_shared_control_regions_correlate_the_bins() -> None:
    """All bins share C/D: cov_ij = N_i N_j (1/C + 1/D), plus B on the diagonal."""
    toy = GaussianPlane(fakes=20_000, reals=0)
    events = toy.draw(seed=4)
    found = estimate(Setup(_PLANE.abcd(), events), [_CHANNEL], replicas=1500, seed=2)
    closed = counts(_PLANE.abcd(), _PLANE.region, events)
    share = 1 / closed.yields["C"] + 1 / closed.yields["D"]
    expected = np.outer(found.nominal, found.nominal) * share
    off = ~np.eye(5, dtype=bool)
    assert found.covariance()[off] == pytest.approx(expected[off], rel=5 / np.sqrt(2 * 1500))


def test_binned_transfer_factor_is_the_ratio_of_each_bin() -> None:
    toy = GaussianPlane(fakes=40_000, reals=0)
    events = toy.draw(seed=5)
    model = fitted(Setup(_PLANE.abcd(Binned(_AXIS)), events), seed=1)
    above = _CHANNEL.fill(events.select(Region("C", "(x1 <= 0.0) & (x2 > 0.0)")))[0]
    below = _CHANNEL.fill(events.select(Region("D", "(x1 <= 0.0) & (x2 <= 0.0)")))[0]
    assert model.theta == pytest.approx(above / below, rel=1e-12)


def test_polynomial_transfer_factor_finds_a_known_slope() -> None:
    """C/D = 0.5 + 0.004 (m - 150): the moment fit is unbiased, its replicas cover."""
    pulls = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        m = rng.uniform(100, 200, 15_000)
        ratio = 0.5 + 0.004 * (m - 150)
        y = np.where(rng.uniform(size=len(m)) < ratio / (1 + ratio), 1.0, -1.0)
        x = np.where(rng.uniform(size=len(m)) < 0.2, 1.0, -1.0)
        events = Events.of({"x1": x, "x2": y, "m": m})
        end = Channel("end", Region("end", "(x1 > 0) & (m > 180)"), (hist.axis.Regular(1, 180, 200, name="m"),))
        found = estimate(Setup(_PLANE.abcd(Polynomial("m", 1)), events), [end], replicas=40, seed=seed).total("end")
        grid = np.linspace(180, 200, 2001)
        shape = 0.5 + 0.004 * (grid - 150)
        truth = 15_000 * 0.2 * 0.2 * float(np.mean(shape / (1 + shape)))
        pulls.append((found.value - truth) / found.total)
    assert abs(np.mean(pulls)) < 3 / np.sqrt(40)
    assert abs(np.std(pulls, ddof=1) - 1) < 3 / np.sqrt(2 * 40)


def test_pulls_of_2000_toys_have_mean_0_and_width_1() -> None:
    """At >= 2000 expected counts in every region, with the reals subtracted by an independent simulation."""
    toy = GaussianPlane(fakes=12_000, reals=2_000)
    simulation = GaussianPlane(fakes=0, reals=10_000)
    truth = toy.expected(0.0, 0.0)["A"]
    assert min(toy.expected(0.0, 0.0).values()) >= 2000
    pulls = np.empty(2000)
    for seed in range(2000):
        events = toy.draw(seed=seed) - simulation.draw(seed=seed, sample="reals", weight=0.2)
        found = counts(_PLANE.abcd(), _PLANE.region, events)
        pulls[seed] = (found.predicted - truth) / found.error
    mean, width = pulls.mean(), pulls.std(ddof=1)
    assert abs(mean) < 3 / np.sqrt(2000), f"pull mean {mean:.3f} ± {1 / np.sqrt(2000):.3f}"
    assert abs(width - 1) < 3 / np.sqrt(2 * 2000), f"pull width {width:.3f} ± {1 / np.sqrt(4000):.3f}"


@pytest.mark.parametrize(
    ("toy", "subtract", "closes"),
    [
        (GaussianPlane(fakes=50_000, reals=0), False, True),
        (GaussianPlane(fakes=50_000, reals=50_000), False, False),
        (GaussianPlane(fakes=50_000, reals=50_000), True, True),
        (GaussianPlane(fakes=50_000, reals=0, correlation=0.15), False, False),
    ],
    ids=["fakes", "mixture", "mixture minus reals", "correlated"],
)
def test_closure_catches_mixture_and_correlation(toy: GaussianPlane, subtract: bool, closes: bool) -> None:
    plane = Plane("x1", "x2", 1.0, 1.0)
    events = toy.draw(seed=11)
    if subtract:
        more = GaussianPlane(fakes=0, reals=10 * toy.reals)
        events = events - more.draw(seed=11, sample="reals", weight=0.1)
    pulls = [one.pull for one in slices([plane, plane.validation(y_cut=0.3), plane.validation(x_cut=0.3)], events)]
    assert (max(abs(pull) for pull in pulls) < 4) is closes, pulls


def test_nonclosure_factor_repairs_a_known_correlation() -> None:
    toy = GaussianPlane(fakes=40_000, reals=0, correlation=0.2)
    plane, expected = Plane("x1", "x2", 1.0, 1.0), toy.expected(1.0, 1.0)
    truth = expected["A"] * expected["D"] / (expected["B"] * expected["C"])
    pulls = []
    for seed in range(100):
        kappa, error = nonclosure(plane.abcd(), plane.region, toy.draw(seed=seed, sample="simulation"))
        repaired = plane.abcd(kappa=kappa, kappa_error=error)
        found = counts(repaired, plane.region, toy.draw(seed=seed))
        pulls.append(((kappa - truth) / error, (found.predicted - expected["A"]) / found.error))
    assert (np.abs(np.mean(pulls, axis=0)) < 3 / np.sqrt(100)).all()
    assert (np.abs(np.std(pulls, axis=0, ddof=1) - 1) < 3 / np.sqrt(2 * 100)).all()


def test_counts_of_hundred_million_are_finite() -> None:
    rows = _table(0, 1, 1, 1)
    found = counts(_PLANE.abcd(), _PLANE.region, 1e8 * rows)
    assert found.predicted == pytest.approx(1e8)
    huge = estimate(Setup(_PLANE.abcd(), 1e8 * _table(0, 50, 50, 50)), [_CHANNEL], replicas=20, seed=1)
    assert np.isfinite(huge.covariance()).all()


@pytest.mark.parametrize(("empty", "name"), [((0, 0, 5, 5), "SR"), ((0, 5, 0, 5), "low x1"), ((0, 5, 5, 0), "low x1")])
def test_an_empty_region_is_named(empty: tuple[int, int, int, int], name: str) -> None:
    with pytest.raises(DataError, match=name):
        estimate(Setup(_PLANE.abcd(), _table(*empty)), [_CHANNEL], seed=1)


@pytest.mark.parametrize("transfer", [Polynomial("t", 1), Binned(hist.axis.Regular(2, 0, 2, name="t"))])
def test_a_transfer_factor_of_no_number_is_named(transfer: Polynomial | Binned) -> None:
    events = _table(9, 9, 9, 9)
    texts = events.with_columns({"t": np.full(len(events), "a")})
    with pytest.raises(DataError, match="column 't' does not hold one number a row"):
        estimate(Setup(_PLANE.abcd(transfer), texts), [_CHANNEL], seed=1)


def test_an_empty_bin_of_the_denominator_is_named() -> None:
    with pytest.raises(FitError, match="m from 120 to 140"):
        estimate(Setup(_PLANE.abcd(Binned(_AXIS)), _table(0, 5, 5, 5)), [_CHANNEL], seed=1)


def test_overlapping_sides_and_bad_kappa_are_refused() -> None:
    high, low = Region("high", "x2 > 0"), Region("low", "x2 < 1")
    with pytest.raises(ConfigError, match=r"'high'.*'low'.*may share rows"):
        ABCD(high, low, Region("control", "x1 < 0"), Constant())
    with pytest.raises(ConfigError, match="kappa"):
        _PLANE.abcd(kappa=0.0)
    with pytest.raises(ConfigError, match="degree"):
        Polynomial("m", 9)


def test_slices_do_not_look_at_a_sealed_target() -> None:
    sealed = Region("SR", "(x1 > 1.0) & (x2 > 1.0)")
    toy = GaussianPlane(fakes=20_000, reals=0).draw(seed=1)
    events = Events.of(dict(toy.columns), seal=sealed)
    plane = Plane("x1", "x2", 1.0, 1.0)
    assert len(slices([plane.validation(y_cut=cut) for cut in (0.2, 0.5)], events)) == 2
    with pytest.raises(BlindedError):
        slices([plane], events)
