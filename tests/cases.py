"""One table of example cases with known truth: every method of the package, and the reference methods."""

from __future__ import annotations

from dataclasses import replace

import awkward as ak
import hist
import numpy as np

import chain
import falling
import reference
from backdrop import Channel, Region
from backdrop.methods import (
    ABCDModel,
    AncestralModel,
    AncestralSampling,
    ChargeFlip,
    ChargeFlipModel,
    FakeFactor,
    FakeFactorModel,
    LikelihoodABCD,
    LikelihoodABCDModel,
    LikelihoodMatrix,
    LikelihoodMatrixModel,
    MatrixMethod,
    MatrixModel,
)
from backdrop.methods.abcd import Plane
from backdrop.methods.charge_flip import EnergyLoss, Window
from backdrop.methods.efficiency import Efficiency
from backdrop.methods.interpolate import InterpolateModel
from backdrop.methods.transfer import Binned, Chebyshev, Constant, Polynomial
from backdrop.synthetic import FlippedPairs, GaussianPlane, Leptons
from backdrop.testing import Case, Table

_MASS = hist.axis.Regular(4, 100, 200, name="m", label=r"$m$ [GeV]")
_FAKES = GaussianPlane(fakes=20_000, reals=6_000)
_PROMPT = GaussianPlane(fakes=0, reals=12_000)


def _plane_tables(seed: int) -> list[Table]:
    data = _FAKES.draw(seed=seed)
    reals = _PROMPT.draw(seed=seed, sample="reals", weight=0.5)
    return [
        Table("data", dict(data.columns), data.weight),
        Table("reals", dict(reals.columns), reals.weight, factor=-1.0),
    ]


def abcd(name: str = "abcd", transfer: object = None) -> Case:
    plane = Plane("x1", "x2", 0.8, 0.6)
    method = plane.abcd(**({} if transfer is None else {"transfer": transfer}))
    truth = _FAKES.expected(0.8, 0.6)["A"] * _FAKES.mass_shares(np.asarray(_MASS.edges))
    features = () if transfer is None else ("m",)
    return Case(
        name,
        method,
        (Channel("SR", plane.region, (_MASS,)),),
        _plane_tables,
        truth,
        plane.region & method.target,
        {"ABCDModel": ABCDModel},
        features=features,
        toys=100,
        replicas=30,
    )


def likelihood_abcd(name: str = "likelihood_abcd", transfer: object = Constant()) -> Case:
    one = abcd()
    plane = Plane("x1", "x2", 0.8, 0.6).abcd()
    method = LikelihoodABCD(plane.target, plane.source, plane.control, transfer)
    features = () if isinstance(transfer, Constant) else ("m",)
    return replace(
        one, name=name, method=method, types={"LikelihoodABCDModel": LikelihoodABCDModel}, features=features, replicas=0
    )


_LEPTONS = Leptons(z=8_000, single_fakes=12_000, single_prompt=1_500)
_PT = hist.axis.Variable(_LEPTONS.pt, name="lep_pt")
_ETA = hist.axis.Variable(_LEPTONS.eta, name="lep_eta")
_READ = ("lep_pt", "lep_eta", "lep_iso", "n_leptons", "same_sign", "m_ll", "met")


def _lepton_tables(seed: int) -> list[Table]:
    data, prompt = _LEPTONS.draw(seed=seed), _LEPTONS.simulation(seed=seed, size=1.0, negative=0.1)
    return [
        Table("data", {name: data[name] for name in _READ}, data.weight),
        Table("prompt", {name: prompt[name] for name in _READ}, prompt.weight, factor=-1.0),
    ]


def matrix() -> Case:
    """Both efficiencies are measured, in Z decays and in single leptons; events of high met are sealed."""
    low = Region("low met", "met < 60")
    real = Efficiency(_LEPTONS.z_region & low, (_PT, _ETA), tag="iso < 0.15", sample="data")
    fake = Efficiency(_LEPTONS.fake_region, (_PT, _ETA))
    axis = hist.axis.Regular(2, 0, 60, name="met", label="missing momentum [GeV]")
    number = sum(_LEPTONS.expected(truth, "TT") for truth in ("RF", "FR", "FF"))
    return Case(
        "matrix",
        MatrixMethod(_LEPTONS.objects, real, fake),
        (Channel("SR", _LEPTONS.pairs_region & low, (axis,)),),
        _lepton_tables,
        number * _LEPTONS.off_z * _LEPTONS.met_shares(np.asarray(axis.edges)),
        Region("high met", "met >= 60"),
        {"MatrixModel": MatrixModel},
        features=("lep_pt",),
        # replicas measure both efficiencies anew: their pulls are those of a long validation
        toys=0,
        replicas=16,
    )


_PAIRS = FlippedPairs(pairs=30_000, background=1_500, random=120, far=10_000, tail=0.08)


def charge_flip(name: str = "charge_flip", loss: EnergyLoss | None = None) -> Case:
    axes = (hist.axis.Variable(_PAIRS.pt, name="pt"), hist.axis.Variable(_PAIRS.abs_eta, name="abs_eta"))
    windows = [Window.around("m", centre, 14.0, _PAIRS.leak) for centre in (91.0, 90.0)]
    same, opposite = Region("same_sign", "charge > 0"), Region("opposite_sign", "charge < 0")
    method = ChargeFlip(same, opposite, *windows, axes, loss=loss)
    far = Region("far", "m > 150" if loss else "m > 130")
    axis = hist.axis.Regular(2, 150 if loss else 130, 190, name="m", label=r"$m_{ee}$ [GeV]")
    # far masses are even from 130 to 200 GeV, a lower one by a factor moves as many out as in
    density = 10_000 * _PAIRS.same_sign / 70.0 / (1.0 if loss is None else np.sqrt(1.0 - loss.shift))
    truth = density * np.diff(np.asarray(axis.edges))

    def draw(seed: int) -> list[Table]:
        data = _PAIRS.draw(seed=seed)
        return [Table("data", dict(data.columns), data.weight)]

    return Case(
        name,
        method,
        (Channel("far", far, (axis,)),),
        draw,
        truth,
        far & same,
        {"ChargeFlipModel": ChargeFlipModel},
        features=("pt1", "abs_eta2"),
        toys=30,
        replicas=20,
    )


def likelihood_matrix() -> Case:
    """The matrix method's sample; events without fakes are a composition of their own."""
    one = matrix()
    method = LikelihoodMatrix(one.method.leptons, one.method.real, one.method.fake)
    return replace(
        one,
        name="likelihood_matrix",
        method=method,
        types={"LikelihoodMatrixModel": LikelihoodMatrixModel},
        replicas=0,
        toys=10,
        scale_tolerance=1e-9,
    )


def ancestral(name: str = "ancestral", *, signed: bool = False) -> Case:
    """A chain that the histograms hold exactly; signed: a flat process is added to the data and subtracted again."""
    toy = chain.Chain()
    other = chain.Chain(1500.0, chain.FLAT, (chain.FLAT, chain.FLAT))
    method = AncestralSampling(
        Region("GR", "g < 0.9"), chain.GRAPH, {"s": "u + v"}, draws=10_000, with_replacement=signed
    )
    axis = hist.axis.Regular(4, 1, 2, name="s", label="$s$")

    def draw(seed: int) -> list[Table]:
        data = toy.draw(seed) + other.draw(seed).relabel("data") if signed else toy.draw(seed)
        tables = [Table("data", dict(data.columns), data.weight)]
        if signed:
            more = replace(other, events=3000.0).draw(seed, sample="other", weight=0.5)
            tables.append(Table("other", dict(more.columns), more.weight, factor=-1.0))
        return tables

    return Case(
        name,
        method,
        (Channel("SR", Region("SR", "s > 1"), (axis,)),),
        draw,
        0.9 * toy.sums[chain.CELLS :],
        Region("rest", "g > 0.95"),
        {"AncestralModel": AncestralModel},
        features=("u", "v"),
        toys=40 if signed else 80,
        replicas=16,
    )


def sampler() -> Case:
    toy = GaussianPlane(fakes=20_000, reals=0)
    edges = tuple(np.linspace(100, 200, 41))
    window = Region("window", "(m > 125) & (m < 175)")
    axis = hist.axis.Regular(4, 125, 175, name="m", label=r"$m$ [GeV]")
    method = reference.Sampler(Region("control", "x1 < 0.5"), edges, scale=0.25)
    expected = toy.expected(0.5, -40.0)
    number = 0.25 * (expected["C"] + expected["D"])
    truth = number * toy.mass_shares(np.asarray(axis.edges))

    def draw(seed: int) -> list[Table]:
        data = toy.draw(seed=seed)
        return [Table("data", dict(data.columns), data.weight)]

    sealed = Region("high x1", "x1 > 1.5")
    return Case(
        "sampler",
        method,
        (Channel("SR", window, (axis,)),),
        draw,
        truth,
        sealed,
        {"SamplerModel": reference.SamplerModel},
        features=("m",),
        toys=80,
        replicas=16,
    )


def side_bands() -> Case:
    toy = GaussianPlane(fakes=20_000, reals=0)
    window = Region("window", "(m > 130) & (m < 150)")
    axis = hist.axis.Regular(4, 130, 150, name="m", label=r"$m$ [GeV]")
    tight, loose = Region("tight", "x1 > 0"), Region("loose", "x1 <= 0")
    bands = Region("bands", "((m <= 130) | (m >= 150)) & (x1 > 0)")
    method = reference.SideBands(bands, loose, (130.0, 150.0))
    truth = 10_000 * toy.mass_shares(np.asarray(axis.edges))

    def draw(seed: int) -> list[Table]:
        data = toy.draw(seed=seed)
        return [Table("data", dict(data.columns), data.weight)]

    return Case(
        "side_bands",
        method,
        (Channel("SR", window, (axis,)),),
        draw,
        truth,
        window & tight,
        {"SideBandsModel": reference.SideBandsModel},
        features=("m",),
        toys=200,
    )


def two_leptons() -> Case:
    """Single-lepton events measure f in two pT bins (0.2, 0.3); pairs of fakes are to be predicted."""
    axis = hist.axis.Regular(2, 0, 1, name="u", label="u")
    target = Region("both tight", "all(lep_iso < 0.15)")
    pairs = Region("pairs", "count(lep_pt > 0) == 2")
    method = reference.TwoLeptons(Region("single", "count(lep_pt > 0) == 1"), target)
    singles, doubles = 20_000, 30_000
    mean_f = 0.5 * 0.2 + 0.5 * 0.3
    truth = doubles * mean_f**2 * np.array([0.5, 0.5])

    def draw(seed: int) -> list[Table]:
        rng = np.random.default_rng(seed)
        counts = np.concatenate([np.full(rng.poisson(singles), 1), np.full(rng.poisson(doubles), 2)])
        pt = rng.uniform(10, 50, counts.sum())
        tight = rng.uniform(size=len(pt)) < np.where(pt < 30, 0.2, 0.3)
        iso = np.where(tight, 0.05, 0.5)
        columns = {
            "lep_pt": ak.unflatten(pt, counts),
            "lep_iso": ak.unflatten(iso, counts),
            "u": rng.uniform(size=len(counts)),
        }
        return [Table("data", columns, np.ones(len(counts)))]

    return Case(
        "two_leptons",
        method,
        (Channel("SR", pairs, (axis,)),),
        draw,
        truth,
        pairs & target,
        {"TwoLeptonsModel": reference.TwoLeptonsModel},
        toys=40,
        replicas=12,
    )


def fake_factor() -> Case:
    """Fake leptons from `data - prompt`; a fifth of the simulated weights are negative."""
    toy = Leptons({"RR": 2000.0, "RF": 3000.0, "FR": 3000.0, "FF": 8000.0}, z=0.0, single_fakes=10_000.0)
    pt, eta = (hist.axis.Variable(edges, name=name) for edges, name in ((toy.pt, "lep_pt"), (toy.eta, "lep_eta")))
    method = FakeFactor(toy.objects, Efficiency(toy.fake_region, (pt, eta)))
    axis = hist.axis.Variable([0, 30, 70, 500], name="met", label="$E_T^{miss}$ [GeV]")
    number = toy.off_z * sum(toy.expected(truth, "TT") for truth in ("RF", "FR", "FF"))

    def draw(seed: int) -> list[Table]:
        data, prompt = toy.draw(seed=seed), toy.simulation(seed=seed, size=4.0, negative=0.2)
        return [
            Table("data", dict(data.columns), data.weight),
            Table("prompt", dict(prompt.columns), prompt.weight, -1.0),
        ]

    return Case(
        "fake_factor",
        method,
        (Channel("SR", toy.pairs_region, (axis,)),),
        draw,
        number * toy.met_shares(np.asarray(axis.edges)),
        toy.pairs_region & toy.objects.all_tight(),
        {"FakeFactorModel": FakeFactorModel},
        features=("lep_pt",),
        toys=40,
        replicas=16,
    )


def interpolate() -> Case:
    """A window of a falling mass is blinded; small flows, whose pulls belong in a long validation."""

    def draw(seed: int) -> list[Table]:
        data = falling.draw(seed)
        return [Table("data", dict(data.columns), data.weight)]

    return Case(
        "interpolate",
        falling.METHOD,
        (falling.CHANNEL,),
        draw,
        falling.expected(),
        falling.WINDOW & falling.METHOD.target,
        {"InterpolateModel": InterpolateModel},
        features=("u", "v"),
        toys=0,
        scale_tolerance=1e-3,
    )


CASES = {
    "fake_factor": fake_factor,
    "abcd": abcd,
    "abcd_binned": lambda: abcd("abcd_binned", Binned(_MASS)),
    "abcd_linear": lambda: abcd("abcd_linear", Polynomial("m", 1)),
    "ancestral": ancestral,
    "ancestral_signed": lambda: ancestral("ancestral_signed", signed=True),
    "likelihood_abcd": likelihood_abcd,
    "likelihood_matrix": likelihood_matrix,
    "likelihood_abcd_smooth": lambda: likelihood_abcd("likelihood_abcd_smooth", Chebyshev(_MASS, 1)),
    "interpolate": interpolate,
    "matrix": matrix,
    "charge_flip": charge_flip,
    "charge_flip_loss": lambda: replace(charge_flip("charge_flip_loss", EnergyLoss(0.04, 0.01, "pt", ("m",))), toys=0),
    "sampler": sampler,
    "side_bands": side_bands,
    "two_leptons": two_leptons,
}
