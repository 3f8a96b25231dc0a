"""Model: a binned extended likelihood of one observable, made of signal and background processes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ConfigError, ExportError, FitError, nearest
from .density import Interpolated
from .expectation import Expectation, expectation
from .label import Approximation, Label, clean
from .likelihood import Likelihood, Normal, Poisson, read
from .minimise import minimise
from .morph import RULES, Vertical, morphed
from .process import Process, place

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[np.float64]

__all__ = ["Model", "opened"]

_MOST = 0.1
_FACTOR = (0.0, 10.0)


@dataclass(frozen=True, eq=False)
class Model:
    """A binned extended likelihood of one observable.

    ``prod_b Pois(n_b | g_b sum_p k_p y_pb(alpha)) prod_k N(0 | alpha_k, 1) prod_b N(1 | g_b, r_b)``: the yields y of a
    process depend on nuisances through its shapes and scales, k is its free factor (the signal strength for the
    signal), and g the factor of a bin for the statistics of the templates of all processes that give a variance, with
    r the relative error of their sum (Barlow and Beeston's method in the form with one factor for each bin). Nuisances
    in `free` have no constraint.

    :func:`fit`, :func:`scan`, :func:`ranking` and :class:`Toys` take a model as they take a workspace.

    Assumes
    -------
    A shape that is free, or constrained with templates that are wide compared with what may be wrong, and independent
    of the other nuisances.

    Fails when
    ----------
    Two free factors or nuisances change the yields alike, or the templates' statistics are poor and no variance is
    given.

    Parameters
    ----------
    edges
        Edges of the bins.
    processes
        Name to process.
    observed
        Counts in the bins; without them the expected background stands in (Asimov).
    poi
        The factor that is the signal strength; None to fit the background alone.
    free
        Nuisances of shapes that no constraint holds.
    channel
        Name of the channel.

    Raises
    ------
    ConfigError
        If names are not clean, unknown or stand for two things, or shapes of arrays do not fit.
    FitError
        If expected or varied yields are negative, or a bin's are all zero.

    References
    ----------
    Barlow and Beeston, Comput. Phys. Commun. 77 (1993) 219; Conway, arXiv:1103.0354; Cranmer et al.,
    CERN-OPEN-2012-016.

    Examples
    --------
    >>> from backdrop.inference import DoubleGaussian, Process, fit
    >>> edges = np.linspace(100.0, 150.0, 6)
    >>> falling = np.array([900.0, 700.0, 540.0, 420.0, 330.0])
    >>> tilt = np.array([0.97, 0.985, 1.0, 1.015, 1.03])
    >>> background = Process(falling, "background", {"tilt": (falling * tilt, falling / tilt)})
    >>> signal = Process(DoubleGaussian(125.0, 1.5, 3.0, 0.7, total=50.0), "mu")
    >>> model = Model(edges, {"signal": signal, "background": background}, [910, 702, 598, 425, 331], free=("tilt",))
    >>> found = fit(model)
    >>> round(found.value, 2), round(found.error, 2)
    (1.12, 0.57)
    """

    edges: ArrayLike
    processes: Mapping[str, Process]
    observed: ArrayLike | None = None
    poi: str | None = "mu"
    free: tuple[str, ...] = ()
    channel: str = "SR"

    def __post_init__(self) -> None:
        edges = np.array(self.edges, np.float64)
        if edges.ndim != 1 or len(edges) < 2 or not np.isfinite(edges).all() or (np.diff(edges) <= 0.0).any():
            raise ConfigError(f"the edges of a model ascend and are finite, unlike {edges}")
        object.__setattr__(self, "edges", edges)
        object.__setattr__(self, "free", tuple(self.free))
        if self.observed is not None:
            object.__setattr__(self, "observed", self._counts(self.observed))
        self._check_names()
        self._check_yields()

    def with_data(self, observed: ArrayLike | None) -> Model:
        """Return the model with other counts, or without any."""
        return replace(self, observed=observed)

    @property
    def names(self) -> tuple[str, ...]:
        """The factors and the nuisances, the signal strength first."""
        return (*self._factors, *self._nuisances)

    @property
    def label(self) -> Label:
        """Whether the counts are data."""
        return Label(asimov=(self.channel,)) if self.observed is None else Label(observed=(self.channel,))

    def yields(self, **parameters: float) -> dict[str, Array]:
        """Return the expected events of each process; factors that are not given are one, nuisances zero.

        Raises
        ------
        ConfigError
            If there is no such parameter.
        """
        point = self._likelihood.start.copy()
        point[: len(self._factors)] = 1.0
        for name, value in parameters.items():
            if name not in self.names:
                raise ConfigError(f"no parameter '{name}'{nearest(name, self.names)}; there are {self.names}")
            point[self.names.index(name)] = value
        cells = self._likelihood.yields.cells(point)
        return {one.sample: cells[one.where] for one in self._likelihood.yields.layout}

    # ---- as a likelihood -------------------------------------------------------------------------------------------

    def likelihood(self) -> Likelihood:
        """Return the likelihood of the counts."""
        return self._likelihood

    @cached_property
    def _likelihood(self) -> Likelihood:
        plain = self._constrained
        kept = ~np.isin(plain.normal.where, [self.names.index(name) for name in self.free])
        normal = Normal(plain.normal.where[kept], plain.normal.centre[kept], plain.normal.error[kept])
        return replace(plain, yields=self._expectation(plain.yields), normal=normal)

    @cached_property
    def _constrained(self) -> Likelihood:
        """The likelihood that a workspace holds: smooth vertical morphing, and a constraint for each nuisance."""
        factors, nuisances = len(self._factors), len(self._nuisances)
        errors = np.zeros(0) if self._relative is None else self._relative
        size = factors + nuisances + len(errors)
        names = self.names + tuple(f"{self._stat}[{i}]" for i in range(len(errors)))
        where = {name: slice(i, i + 1) for i, name in enumerate(self.names)}
        where[self._stat] = slice(factors + nuisances, size)
        start = np.concatenate([np.ones(factors), np.zeros(nuisances), np.ones(len(errors))])
        lower, upper = np.full(size, -np.inf), np.full(size, np.inf)
        lower[:factors], upper[:factors] = _FACTOR
        lower[factors + nuisances :] = 0.0
        if self.poi is not None:
            start[0], lower[0], upper[0] = 0.0, *self._reach
        moving = np.flatnonzero(errors) + factors + nuisances
        centre = np.concatenate([np.zeros(nuisances), np.ones(len(moving))])
        normal = Normal(
            np.concatenate([np.arange(factors, factors + nuisances), moving]),
            centre,
            np.concatenate([np.ones(nuisances), errors[errors > 0.0]]),
        )
        return Likelihood(
            names,
            start,
            lower,
            upper,
            np.concatenate([np.zeros(factors + nuisances, np.bool_), errors == 0.0]),
            None if self.poi is None else 0,
            expectation([self._channel], where, size),
            self._data,
            normal,
            Poisson(np.zeros(0, np.int64), np.zeros(0), np.zeros(0)),
        )

    def _expectation(self, plain: Expectation) -> Expectation:
        """Return the expectation with the rules and the moments that a workspace does not hold."""
        rules, nominal, mean, skew = plain.rules.copy(), plain.nominal.copy(), plain.mean.copy(), plain.skew.copy()
        places = {int(alpha): row for row, alpha in enumerate(plain.alphas)}
        morphs = []
        for cell in plain.layout:
            process = self.processes[cell.sample]
            alphas = np.array([self.names.index(name) for name in process.shapes], np.int64)
            rows = np.array([places[int(alpha)] for alpha in alphas], np.int64)
            if isinstance(process.morph, Vertical):
                rules[rows] = RULES[process.morph.rule]
            elif len(rows):
                cells = np.arange(cell.where.start, cell.where.stop)
                nominal[cells], mean[:, cells], skew[:, cells] = 0.0, 0.0, 0.0
                fine = [one for one in process.templates if isinstance(one, Interpolated)]
                morphs.append(morphed(fine, process.morph.rule, self._edges, cells, alphas, rows))
        return replace(plain, nominal=nominal, mean=mean, skew=skew, rules=rules, morphs=tuple(morphs))

    # ---- as a workspace --------------------------------------------------------------------------------------------

    def workspace(self, *, most: float = _MOST) -> dict[str, Any]:
        """Return the model as a pyhf JSON workspace.

        Smooth vertical morphing with constraints is exact. Nuisances that are morphed in another way, or free, become
        `histosys` between their yields at plus and minus one, with a constraint of one; the measurement's name, and so
        a fit's notes, say which, and how far the fitted signal strength has moved by that.

        Parameters
        ----------
        most
            By how much of its error the signal strength may move; to accept more is an explicit choice.

        Raises
        ------
        ExportError
            If it moves further, or there is no signal strength to judge by.
        """
        label = replace(self.label, approximate=self._approximation(most))
        settings: list[dict[str, Any]] = []
        if self.poi is not None:
            bounds = [float(edge) for edge in self._reach]
            settings.append({"name": self.poi, "inits": [0.0], "bounds": [bounds]})
        return {
            "version": "1.0.0",
            "channels": [self._channel],
            "observations": [{"name": self.channel, "data": self._data.tolist()}],
            "measurements": [{"name": label.text, "config": {"poi": self.poi or "", "parameters": settings}}],
        }

    def _approximation(self, most: float) -> Approximation | None:
        names = tuple(name for name in self._nuisances if not self._exact(name))
        if not names:
            return None
        if self.poi is None:
            raise ExportError(f"nuisance '{names[0]}' has no exact form in a workspace, and no signal to judge by")
        (value, error), (other, spread) = (_found(one) for one in (self._likelihood, self._constrained))
        moved = abs(other - value) / error
        if moved > most:
            raise ExportError(
                f"nuisances {', '.join(names)} have no exact form in a workspace: as constrained vertical shapes they "
                f"move the signal strength from {value:.4g} to {other:.4g}, by {moved:.2g} of its error (allowed: "
                f"{most:g}); accept that with most={np.ceil(10.0 * moved) / 10.0:g}, or fit this model instead"
            )
        return Approximation(names, moved, spread / error)

    def _exact(self, nuisance: str) -> bool:
        having = [one for one in self.processes.values() if nuisance in one.shapes]
        return nuisance not in self.free and all(one.morph == Vertical() for one in having)

    @cached_property
    def _channel(self) -> dict[str, Any]:
        samples = [one.sample(name, self._yields[name], self._stat) for name, one in self.processes.items()]
        return {"name": self.channel, "samples": samples}

    # ---- what it is made of ----------------------------------------------------------------------------------------

    @property
    def _edges(self) -> Array:
        return np.asarray(self.edges, np.float64)

    @property
    def _stat(self) -> str:
        return f"stat_{self.channel}"

    @cached_property
    def _factors(self) -> tuple[str, ...]:
        names = dict.fromkeys(one.factor for one in self.processes.values() if one.factor is not None)
        first = () if self.poi is None else (self.poi,)
        return first + tuple(name for name in names if name != self.poi)

    @cached_property
    def _nuisances(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for one in self.processes.values() for name in (*one.shapes, *one.scales)))

    @cached_property
    def _yields(self) -> dict[str, list[Array]]:
        """The templates of each process in the bins."""
        return {name: process.filled(name, self._edges) for name, process in self.processes.items()}

    @cached_property
    def _background(self) -> Array:
        """The expected events without signal."""
        return self._sum([name for name, one in self.processes.items() if self.poi is None or one.factor != self.poi])

    @cached_property
    def _signal(self) -> Array:
        return self._sum([name for name, one in self.processes.items() if one.factor == self.poi])

    def _sum(self, names: Sequence[str]) -> Array:
        return np.asarray(sum((self._yields[name][0] for name in names), np.zeros(len(self._edges) - 1)))

    @cached_property
    def _data(self) -> Array:
        return self._background if self.observed is None else np.asarray(self.observed, np.float64)

    @cached_property
    def _relative(self) -> Array | None:
        """The relative error of the templates in each bin, None where no process gives its variance."""
        having = {name: one for name, one in self.processes.items() if one.variance is not None}
        if not having:
            return None
        total = np.sum([self._yields[name][0] for name in having], axis=0)
        variance = np.sum([np.asarray(one.variance, np.float64) for one in having.values()], axis=0)
        return np.asarray(np.sqrt(variance) / np.where(total > 0.0, total, 1.0))

    @cached_property
    def _reach(self) -> tuple[float, float]:
        """How far the signal strength may go: to no expected events in a bin, and to far beyond what was seen."""
        hoped, seen = float(self._background.sum()), float(self._data.sum())
        moves: dict[str, float] = {}
        for name, process in self.processes.items():
            if process.factor != self.poi:
                nominal, *sides = (float(one.sum()) for one in self._yields[name])
                for nuisance, up, down in zip(process.shapes, sides[::2], sides[1::2], strict=True):
                    moves[nuisance] = moves.get(nuisance, 0.0) + (up - down) / 2.0
                for nuisance, error in process.scales.items():
                    moves[nuisance] = moves.get(nuisance, 0.0) + error * nominal
        spread = sum(move**2 for move in moves.values())
        most = max(seen - hoped, 0.0) + 10.0 * np.sqrt(max(seen, hoped) + spread) + 20.0
        having = self._signal > 0.0
        least = float((self._background[having] / self._signal[having]).min())
        return -least * (1.0 - 1e-9), float(most / self._signal.sum())

    # ---- checks ----------------------------------------------------------------------------------------------------

    def _counts(self, observed: ArrayLike) -> Array:
        counts = np.array(observed, np.float64)
        if counts.shape != (len(self._edges) - 1,) or not (np.isfinite(counts) & (counts >= 0.0)).all():
            raise ConfigError(
                f"observed: counts of shape {counts.shape} for {len(self._edges) - 1} bins; they are finite and not "
                "negative, one for each bin"
            )
        return counts

    def _check_names(self) -> None:
        for name in (self.channel, *self.processes, *self.names):
            if clean(name) != name:
                raise ConfigError(f"'{name}' is no name of letters, digits and underscores, such as '{clean(name)}'")
        if self._stat in self.names:
            raise ConfigError(f"'{self._stat}' is the name of the bins' factors; rename the parameter")
        for name, process in self.processes.items():
            process.check(name)
        if both := set(self._factors) & set(self._nuisances):
            raise ConfigError(f"'{min(both)}' is both a free factor and a nuisance; rename one of them")
        if self.poi is not None and all(one.factor != self.poi for one in self.processes.values()):
            raise ConfigError(
                f"no process has the factor '{self.poi}', the signal strength; there are {self._factors[1:]}"
            )
        shapes = [name for one in self.processes.values() for name in one.shapes]
        scales = {name for one in self.processes.values() for name in one.scales}
        for name in self.free:
            if name in scales or name not in shapes:
                raise ConfigError(f"free: '{name}' is no nuisance of shapes alone{nearest(name, shapes)}: {shapes}")
        rules: dict[str, str] = {}
        for process in self.processes.values():
            for nuisance in process.shapes if isinstance(process.morph, Vertical) else ():
                if rules.setdefault(nuisance, process.morph.rule) != process.morph.rule:
                    raise ConfigError(f"nuisance '{nuisance}' has two rules, but is one nuisance; choose one")

    def _check_yields(self) -> None:
        total = np.sum([one[0] for one in self._yields.values()], axis=0)
        if empty := [int(i) for i in np.flatnonzero(total <= 0.0)]:
            raise FitError(
                f"nothing is expected in {place(self._edges, empty[0])} ({len(empty)} such bins); merge bins"
            )
        if self.poi is not None and self._signal.sum() <= 0.0:
            raise FitError("the signal is zero in every bin; check its density and the edges")


def opened(source: Mapping[str, Any] | Model) -> tuple[Likelihood, Label]:
    """Return the likelihood of a workspace or a model, and what its counts are.

    Raises
    ------
    FitError
        If the workspace cannot be read.
    """
    if isinstance(source, Model):
        return source.likelihood(), source.label
    return read(source), Label.parse(source["measurements"][0]["name"]) or Label()


def _found(likelihood: Likelihood) -> tuple[float, float]:
    """Return the signal strength that fits best, and its error."""
    best = minimise(likelihood, likelihood.start).parameters
    free = np.flatnonzero(~likelihood.fixed)
    covariance = np.linalg.inv(likelihood.hessian(best)[np.ix_(free, free)])
    return float(best[0]), float(np.sqrt(covariance[0, 0]))
