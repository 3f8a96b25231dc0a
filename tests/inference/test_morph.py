"""Morphing: weights of the rules, and moments against an evaluation written here and cases known in closed form."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from scipy import integrate, stats

from backdrop.errors import ConfigError
from backdrop.inference import Interpolated, Model, Moment, Process, Vertical
from backdrop.inference.morph import Rule

FINE = np.linspace(0.0, 100.0, 401)
EDGES = np.linspace(10.0, 90.0, 41)
Pdf = Callable[[np.ndarray], np.ndarray]


def _filled(cdf: Pdf, total: float = 1000.0) -> Interpolated:
    return Interpolated(FINE, total * np.diff(cdf(FINE)))


def _gauss(mean: float, width: float, total: float = 1000.0) -> Interpolated:
    return _filled(stats.norm(mean, width).cdf, total)


def _skewed(shift: float = 0.0, stretch: float = 1.0) -> Interpolated:
    return _filled(stats.gumbel_r(40.0 + shift, 6.0 * stretch).cdf)


def _model(nominal: Interpolated, rule: Rule = "quadratic", **shapes: tuple[Interpolated, Interpolated]) -> Model:
    return Model(EDGES, {"b": Process(nominal, shapes=shapes, morph=Moment(rule))}, poi=None)


def _reference(templates: Sequence[Interpolated], weights: Sequence[float]) -> np.ndarray:
    """Evaluate the published formula on a dense grid: interpolation by NumPy, moments and bins by the trapezoid."""
    x = np.linspace(FINE[0], FINE[-1], 160_001)
    centres = (FINE[1:] + FINE[:-1]) / 2.0

    def normed(values: np.ndarray) -> np.ndarray:
        return values / integrate.trapezoid(values, x)

    raw = [np.asarray(one.values) / np.diff(FINE) for one in templates]
    densities = [normed(np.interp(x, centres, one)) for one in raw]
    means = [integrate.trapezoid(one * x, x) for one in densities]
    widths = [np.sqrt(integrate.trapezoid(f * (x - m) ** 2, x)) for f, m in zip(densities, means, strict=True)]
    mean, width = np.dot(weights, means), np.dot(weights, widths)
    total = np.zeros_like(x)
    for weight, one, m, s in zip(weights, raw, means, widths, strict=True):
        a = s / width
        total += weight * normed(np.interp(a * x + m - a * mean, centres, one))
    total *= np.dot(weights, [np.sum(one.values) for one in templates])
    share = integrate.cumulative_trapezoid(total, x, initial=0.0)
    return np.diff(np.interp(EDGES, x, share))


def _vandermonde(alpha: float) -> tuple[float, float, float]:
    """Weights of the templates at 0, 1 and -1, from the matrix of the reference: ``c = M^-T (1, a, a²)``."""
    points = np.array([0.0, 1.0, -1.0])
    matrix = points[:, None] ** np.arange(3)
    found = np.linalg.solve(matrix.T, alpha ** np.arange(3))
    return float(found[0]), float(found[1]), float(found[2])


@pytest.mark.parametrize("alpha", [-1.7, -1.0, -0.4, 0.0, 0.3, 1.0, 1.4])
def test_moments_against_an_evaluation_of_the_reference(alpha: float) -> None:
    nominal, up, down = _skewed(), _filled(stats.gumbel_r(42.0, 7.0).cdf, 1100.0), _gauss(42.0, 7.0, 950.0)
    found = _model(nominal, shift=(up, down)).yields(shift=alpha)["b"]
    assert found == pytest.approx(_reference([nominal, up, down], _vandermonde(alpha)), rel=2e-5, abs=1e-4)


def test_several_nuisances_add_up_in_weights_mean_and_width() -> None:
    nominal, shift, stretch = _skewed(), (_skewed(3.0), _skewed(-2.0)), (_skewed(0.0, 1.2), _skewed(0.0, 0.9))
    found = _model(nominal, shift=shift, stretch=stretch).yields(shift=0.6, stretch=-0.8)["b"]
    first, second = _vandermonde(0.6), _vandermonde(-0.8)
    weights = [first[0] + second[0] - 1.0, *first[1:], *second[1:]]
    assert found == pytest.approx(_reference([nominal, *shift, *stretch], weights), rel=2e-5, abs=1e-4)


@pytest.mark.parametrize("rule", ["smooth", "piecewise", "quadratic"])
@pytest.mark.parametrize("alpha", [-2.0, -0.35, 0.7, 1.5])
def test_a_pure_shift_stays_one(rule: Rule, alpha: float) -> None:
    """Templates moved by whole bins are the same density elsewhere, and so is every morph between them."""
    nominal = _gauss(50.0, 5.0)
    found = _model(nominal, rule, shift=(_gauss(54.0, 5.0), _gauss(46.0, 5.0))).yields(shift=alpha)["b"]
    moved = np.diff(nominal.integral(EDGES - 4.0 * alpha))
    assert found == pytest.approx(moved, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("rule", ["smooth", "piecewise", "quadratic"])
@pytest.mark.parametrize("alpha", [-2.0, -0.35, 0.7, 1.5])
def test_a_pure_scaling_stays_one(rule: Rule, alpha: float) -> None:
    nominal, up, down = (_gauss(50.0, width) for width in (5.0, 5.5, 4.5))
    found = _model(nominal, rule, stretch=(up, down)).yields(stretch=alpha)["b"]
    expected = 1000.0 * np.diff(stats.norm.cdf(EDGES, 50.0, 5.0 + 0.5 * alpha))
    # the linear interpolation changes a peak by h² / (8 s²)
    assert found == pytest.approx(expected, rel=1e-2, abs=1e-3 * expected.max())


def test_at_whole_numbers_a_morph_is_its_templates() -> None:
    nominal, up, down = _skewed(), _gauss(44.0, 6.0, 1200.0), _gauss(40.0, 8.0, 900.0)
    for morph in (Moment(), Moment("quadratic"), Vertical(), Vertical("piecewise"), Vertical("quadratic")):
        model = Model(EDGES, {"b": Process(nominal, shapes={"a": (up, down)}, morph=morph)}, poi=None)
        for alpha, template in ((0.0, nominal), (1.0, up), (-1.0, down)):
            assert model.yields(a=alpha)["b"] == pytest.approx(template.yields(EDGES), rel=1e-9)


@pytest.mark.parametrize(
    ("rule", "alpha", "expected"),
    [
        ("piecewise", 0.5, 110.0),
        ("piecewise", -2.0, 80.0),
        ("quadratic", 0.5, 100.0 + 0.5 * 15.0 + 0.25 * 5.0),
        ("quadratic", -2.0, 100.0 - 2.0 * 15.0 + 4.0 * 5.0),
        ("smooth", 2.0, 140.0),
        ("smooth", -2.0, 80.0),
        ("smooth", 0.5, 100.0 + 0.5 * 15.0 + 10.0 / 16.0 * (15 / 4 - 10 / 16 + 3 / 64)),
    ],
)
def test_rules_in_closed_form(rule: Rule, alpha: float, expected: float) -> None:
    """One bin of 100 events that goes to 120 and 90."""
    process = Process([100.0], shapes={"a": ([120.0], [90.0])}, morph=Vertical(rule))
    assert Model([0.0, 1.0], {"b": process}, poi=None).yields(a=alpha)["b"][0] == pytest.approx(expected)


@pytest.mark.parametrize("rule", ["smooth", "piecewise", "quadratic"])
def test_the_derivatives_of_a_morph_are_those_of_its_yields(rule: Rule) -> None:
    shapes = {"shift": (_skewed(3.0), _skewed(-2.0)), "stretch": (_skewed(0.0, 1.2), _skewed(0.0, 0.9))}
    model = _model(_skewed(), rule, **shapes)
    likelihood = model.with_data(np.random.default_rng(1).poisson(model.yields(shift=0.5)["b"])).likelihood()
    yields = likelihood.yields
    for point in np.array([[0.3, -0.6], [-1.4, 1.3]]):
        rows = yields.jacobian(point)
        for i, step in enumerate(1e-4 * np.eye(2)):
            moved = (yields(point + step) - yields(point - step)) / 2e-4
            assert rows[:, i] == pytest.approx(moved, abs=1e-6 * np.abs(moved).max())
            turned = (likelihood.gradient(point + step) - likelihood.gradient(point - step)) / 2e-4
            # a density that is linear between its nodes has a second derivative in steps
            hessian = likelihood.hessian(point)
            assert hessian[i] == pytest.approx(turned, abs=1e-5 * hessian.max())


def test_a_cut_off_density_moves_in_at_its_level() -> None:
    """A falling spectrum that starts at the edge: what comes in from beyond is level, not a hole."""
    falling = Interpolated(FINE, np.exp(-FINE[:-1] / 40.0))
    up = Interpolated(FINE, np.exp(-(FINE[:-1] - 2.0) / 38.0))
    model = Model(FINE[::10], {"b": Process(falling, shapes={"a": (up, falling)}, morph=Moment())}, poi=None)
    found = model.yields(a=2.0)["b"]
    assert found.min() > 0.0
    assert abs(np.diff(np.log(found))[0] - np.diff(np.log(found))[2]) < 0.1


def test_refusals() -> None:
    with pytest.raises(ConfigError, match="no interpolation rule 'cubic'"):
        Vertical("cubic")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="needs Interpolated densities"):
        Model(EDGES, {"b": Process(np.ones(40), morph=Moment())}, poi=None)
    other = Interpolated(np.linspace(0.0, 100.0, 201), np.ones(200))
    with pytest.raises(ConfigError, match="same fine edges"):
        _model(_skewed(), shift=(other, other)).likelihood()
    process = Process(np.ones(40), shapes={"a": (np.ones(40), np.ones(40))})
    twice = {"b": process, "c": Process(np.ones(40), shapes=process.shapes, morph=Vertical("piecewise"))}
    with pytest.raises(ConfigError, match="'a' has two rules"):
        Model(EDGES, twice, poi=None)
