"""Ancestral sampling: pseudo-candidates drawn from a graph of conditional histograms."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..errors import ConfigError, DataError, FitError, nearest
from ..events import Events, bootstrap_counts, event_keys
from ..io import Composite, Derived, check_drawn
from ..learn import distortions as distort
from ..learn.distortions import Distortion, FinalTilt, Shift, Tilt
from ..learn.graph import Template, check_graph, written_out
from ..learn.kernel import BLOCK, Drawn, Kernel, Table, fill
from ..learn.resonance import Resonance
from ..region import Region
from ..tasks import named_seed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["AncestralModel", "AncestralSampling", "FinalTilt", "Resonance", "Shift", "Template", "Tilt"]

SAMPLE = "pseudo-candidates"
_OUTSIDE = 0.01
_WEIGHT, _KEY = "__weight", "__key"

# not of the stream: replicas must resample the events that entered, not others
_AGAIN = named_seed(0, "ancestral sampling", "with replacement")


@dataclass(frozen=True)
class AncestralSampling:
    """Pseudo-candidates drawn from a graph of histograms, each variable given those drawn before.

    ``p(x) = prod_T p_T(x_T | parents of T)``, one histogram for each template T, filled with the events of the
    generation region. A template is projected at the values that are drawn already, a bin of the slice is drawn, and
    a place in it, even between its edges. Derived variables follow, then the cuts of any region. The weights of all
    pseudo-candidates sum to the yield of the generation region, so that yields are predicted too: ``N_GR / N_pseudo``
    each. Signed weights are the subtraction of other processes: pass ``data - prompt``; a negative bin is drawn with
    its absolute size and a negative weight. An empty slice is replaced by the sum over its last parent, then the last
    two, and so on; how often that happens is counted (`AncestralModel.fallbacks`) and told in a report.

    Attributes
    ----------
    generation
        The generation region: a selection loose enough to hold many events, those of the signal region among them.
    templates
        The graph, in the order of drawing.
    derived
        Name to expression of the cut language: four-vectors and composite variables of the pseudo-candidates. A
        template may be given one that is derived from what is drawn before it.
    draws
        How many pseudo-candidates are drawn, in all regions together.
    with_replacement
        Fill with as many events, drawn with replacement, instead of each once: an event enters as often as a Poisson(1)
        hash of its key says. The prediction then fluctuates less with the very events that it is compared with.
    resonance
        A resonant part of the data that is removed.
    systematics
        Name to `Shift`, `Tilt` or `FinalTilt`; each is an up and a down variation, with the same random numbers.
    distortions
        Distortions of this kernel itself.

    Assumes
    -------
    - Variables are independent, given those that their template is given.
    - Within a bin the density is flat.
    - The regions of the channels are inside the generation region, and their cuts read only what is drawn or derived.

    Fails when
    ----------
    - Two variables are correlated by what the graph does not have: compare the correlations of data and prediction.
    - Bins are wide where the density falls steeply, or so narrow that slices are empty.
    - The signal, or a peak, is a sizeable part of the generation region: the kernel learns a part of it.
    - The signal region is most of the generation region: model and data then share fluctuations, and pulls are too
      narrow unless events are drawn with replacement.

    Raises
    ------
    ConfigError
        If the graph has a cycle, a variable that is drawn twice, after what depends on it, or by nothing; or if a
        derived variable or a distortion reads what is not there.

    References
    ----------
    A. Chisholm et al., "Non-parametric data-driven background modelling using conditional probabilities",
    arXiv:2112.00650, section 2.

    Examples
    --------
    >>> import hist
    >>> rng = np.random.default_rng(1)
    >>> pt = 30 + rng.exponential(20.0, 10_000)
    >>> events = Events.of({"pt1": pt, "pt2": pt * rng.uniform(0.5, 1.0, 10_000)})
    >>> first, second = hist.axis.Regular(60, 30, 150, name="pt1"), hist.axis.Regular(60, 15, 150, name="pt2")
    >>> graph = Template("A", (first,)), Template("B", (second,), given=(first,))
    >>> method = AncestralSampling(Region("GR", "pt1 < 150"), graph, {"ht": "pt1 + pt2"}, draws=100_000)
    >>> model = method.fit(events, rng=rng)
    >>> high = Region("high", "ht > 100")
    >>> seen = (events["pt1"] + events["pt2"] > 100).sum()
    >>> bool(abs(model.predict(events, high).weight.sum() / seen - 1) < 0.05)
    True
    """

    generation: Region
    templates: tuple[Template, ...]
    derived: Mapping[str, str] = field(default_factory=dict)
    draws: int = 1_000_000
    with_replacement: bool = False
    resonance: Resonance | None = None
    systematics: Mapping[str, Distortion] = field(default_factory=dict)
    distortions: tuple[Distortion, ...] = ()

    resample: ClassVar[str] = "joint"

    def __post_init__(self) -> None:
        check_drawn(self.derived, [name for one in self.templates for name in one.variables])
        check_graph(self.graph)
        if self.draws < 1:
            raise ConfigError(f"AncestralSampling: draws = {self.draws}; draw at least one pseudo-candidate")
        for one in (*self.distortions, *self.systematics.values()):
            distort.check_distortion(one, self.templates, self.derived)

    @property
    def graph(self) -> tuple[Template, ...]:
        """The templates as a graph of drawn variables: what is derived is written out."""
        reads: dict[str, frozenset[str]] = {}
        for one in _derived(self.derived):
            reads[one.name] = frozenset().union(*(reads.get(name, {name}) for name in one.columns))
        return written_out(self.templates, reads)

    @property
    def target(self) -> Region:
        """The observed rows that the background stands for: those of the generation region."""
        return self.generation

    @property
    def training(self) -> Region:
        """The rows that fit reads: those of the generation region."""
        return self.generation

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that fit reads besides those of the generation region."""
        names = [name for one in self.templates for name in one.columns if name not in self.derived]
        return tuple(dict.fromkeys([*names, *([self.resonance.axis.name] if self.resonance else [])]))

    def fit(self, events: Events, *, rng: np.random.Generator) -> AncestralModel:
        """Fill the templates.

        Raises
        ------
        ConfigError
            If the events lack a column.
        DataError
            If the generation region is empty, or a column is not finite there.
        FitError
            If what is subtracted leaves nothing to draw from.
        """
        stream = int(rng.integers(2**63))
        self._check_columns(events)
        rows = events.require(self.generation, self.columns)
        weight = rows.weight
        if self.resonance is not None:
            weight = weight * self.resonance.kept(rows, self.generation)
        flat = [one.index(self._between(rows, one), self.generation.name) for one in self.templates]
        inside = np.logical_and.reduce([one >= 0 for one in flat])
        entered = weight * bootstrap_counts(rows.key, [_AGAIN])[0] if self.with_replacement else weight
        number = float(weight[inside].sum())
        beside = float(weight[~inside].sum())
        if number <= 0.0 or float(entered[inside].sum()) <= 0.0:
            raise DataError(
                f"region '{self.generation.name}' holds a sum of weights {number:g} inside the axes of the templates "
                f"and {beside:g} outside; a fit needs a positive sum: check the ranges of the axes"
            )
        values = tuple(fill(one, bins[inside], entered[inside]) for one, bins in zip(self.templates, flat, strict=True))
        lost = beside / (number + beside)
        return AncestralModel(
            self.templates, values, number, self.draws, stream, dict(self.derived), self.distortions, lost
        )

    def variations(self) -> Mapping[str, tuple[AncestralSampling, AncestralSampling]]:
        """Return the up and down settings of each systematic."""
        bare = replace(self, systematics={})
        return {
            name: (
                replace(bare, distortions=(*self.distortions, one)),
                replace(bare, distortions=(*self.distortions, distort.opposite(one))),
            )
            for name, one in self.systematics.items()
        }

    def _between(self, rows: Events, template: Template) -> Events:
        """Return rows with the derived variables that a template is given, none of them outside of its axis."""
        given = [axis for axis in template.given if axis.name in self.derived]
        # as in the prediction: from what is drawn, whatever columns of the same names the events have
        drawn = {name: rows[name] for one in self.templates for name in one.variables} if given else {}
        known = Composite(drawn, _derived(self.derived))
        ends = {axis.name: (axis.edges[0], np.nextafter(axis.edges[-1], -np.inf)) for axis in given}
        return rows.with_columns({name: np.clip(known[name], *both) for name, both in ends.items()}) if given else rows

    def _check_columns(self, events: Events) -> None:
        for template in self.templates:
            for name in template.columns:
                if name not in events.columns and name not in self.derived:
                    raise ConfigError(
                        f"template '{template.name}' has the variable '{name}', which is no column of the events"
                        f"{nearest(name, events.columns)}; columns: {', '.join(sorted(events.columns)[:30])}"
                    )


@dataclass(frozen=True, eq=False)
class AncestralModel:
    """A filled graph: draws pseudo-candidates, the same ones each time.

    Attributes
    ----------
    templates
        The graph.
    values
        The contents of each template, shape (slices, bins).
    number
        The yield of the generation region inside the axes of the templates.
    draws
        How many pseudo-candidates are drawn.
    seed
        Of their stream.
    derived
        Name to expression.
    distortions
        Distortions of the kernel.
    outside
        The part of the generation region's yield that is outside the axes of the templates, and not drawn.
    """

    templates: tuple[Template, ...]
    values: tuple[Array, ...]
    number: float
    draws: int
    seed: int
    derived: Mapping[str, str] = field(default_factory=dict)
    distortions: tuple[Distortion, ...] = ()
    outside: float = 0.0

    reads: ClassVar[None] = None

    @cached_property
    def kernel(self) -> Kernel:
        """The templates, ready to be drawn from."""
        pairs = zip(self.templates, self.values, strict=True)
        tables = tuple(Table(one, values, distort.tilt(one, self.distortions)) for one, values in pairs)
        between = any(name in self.derived for one in self.templates for name in one.parents)
        derive = partial(Composite, derived=self._derived) if between else None
        return Kernel(tables, distort.shifts(self.distortions), derive)

    def predict(self, events: Events, region: Region) -> Events:
        """Return the pseudo-candidates inside `region`; the events are not looked at.

        Raises
        ------
        CutError
            If the region reads what is neither drawn nor derived.
        """
        parts: dict[str, list[Any]] = {}
        for rows in self.chunks(region):
            kept = {name: rows[name] for name in self._stored(region)}
            for name, values in {**kept, _WEIGHT: rows.weight, _KEY: rows.key}.items():
                parts.setdefault(name, []).append(values)
        # column by column, since many draws fill the memory
        found = {name: np.concatenate(parts.pop(name)) for name in list(parts)}
        weight, key = found.pop(_WEIGHT), found.pop(_KEY)
        return self._events(found, weight, key)

    def chunks(self, region: Region) -> Iterator[Events]:
        """Yield the same pseudo-candidates in parts, each small enough for the processor's cache."""
        scale = self.number / self._total
        for first, drawn in self._blocks():
            columns = Composite(drawn.columns, self._derived)
            weight = scale * self._weights(drawn, columns)
            inside = np.flatnonzero(region.mask(columns))
            kept = {name: columns[name][inside] for name in self._stored(region)}
            yield self._events(kept, weight[inside], event_keys(SAMPLE, first + inside))

    @cached_property
    def fallbacks(self) -> Mapping[str, tuple[int, float]]:
        """Template to the number of its slices that are replaced, and the share of the draws that need one of them."""
        slices = [int(np.count_nonzero(table.level)) for table in self.kernel.tables]
        blocks = self._blocks() if any(slices) else ()
        fallen = sum((drawn.fallen for _, drawn in blocks), np.zeros(len(slices))) / self.draws
        return {one.name: (n, float(share)) for one, n, share in zip(self.templates, slices, fallen, strict=True)}

    @property
    def warnings(self) -> tuple[str, ...]:
        """What must be heeded: draws from replaced slices, and events outside of the axes."""
        texts = []
        if self.outside > _OUTSIDE:
            texts.append(
                f"{self.outside:.2%} of the yield of the generation region is outside the axes of the templates and "
                "not drawn; widen them"
            )
        for one in self.templates:
            slices, share = self.fallbacks[one.name]
            if share > 0.0:
                texts.append(
                    f"template '{one.name}': {share:.2%} of the draws meet one of {slices} empty slices and take the "
                    f"sum over '{one.parents[-1]}' or more; wider bins avoid it"
                )
        return tuple(texts)

    def state(self) -> dict[str, Any]:
        """Return the model as plain values."""
        return {
            "templates": [one.state() for one in self.templates],
            "values": list(self.values),
            "number": self.number,
            "draws": self.draws,
            "seed": self.seed,
            "derived": [[name, text] for name, text in self.derived.items()],
            "distortions": [[type(one).__name__, asdict(one)] for one in self.distortions],
            "outside": self.outside,
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> AncestralModel:
        """Restore the model from :meth:`state`."""
        kinds = {one.__name__: one for one in (Shift, Tilt, FinalTilt)}
        return cls(
            tuple(Template.from_state(one) for one in state["templates"]),
            tuple(state["values"]),
            float(state["number"]),
            int(state["draws"]),
            int(state["seed"]),
            dict(state["derived"]),
            tuple(kinds[name](**settings) for name, settings in state["distortions"]),
            float(state["outside"]),
        )

    @cached_property
    def _derived(self) -> tuple[Derived, ...]:
        return _derived(self.derived)

    @cached_property
    def _total(self) -> float:
        """The sum of the weights of all pseudo-candidates, before they stand for the yield.

        Raises
        ------
        FitError
            If it is not positive.
        """
        lines = [one for one in self.distortions if isinstance(one, FinalTilt)]
        if not lines and all(table.factor is None for table in self.kernel.tables):
            return float(self.draws)
        pairs = ((drawn, Composite(drawn.columns, self._derived)) for _, drawn in self._blocks())
        total = float(sum(self._weights(*pair).sum() for pair in pairs))
        if total <= 0.0:
            raise FitError(f"the weights of {self.draws} pseudo-candidates sum to {total:g}; draw more of them")
        return total

    def _stored(self, region: Region) -> list[str]:
        """Return what is kept of the rows in a region; what else is derived comes back where it is asked for."""
        drawn = [name for one in self.templates for name in one.variables]
        return [*drawn, *(name for name in self.derived if name in region.columns)]

    def _events(self, columns: Mapping[str, Any], weight: Array, key: NDArray[np.uint64]) -> Events:
        composite = Composite(columns, self._derived)
        return Events(composite, weight, np.zeros(len(key), np.int16), (SAMPLE,), key)

    def _blocks(self) -> Iterator[tuple[int, Drawn]]:
        for first in range(0, self.draws, BLOCK):
            yield first, self.kernel.draw(min(BLOCK, self.draws - first), seed=self.seed, first=first)

    def _weights(self, drawn: Drawn, columns: Mapping[str, Any]) -> Array:
        number = len(next(iter(drawn.columns.values())))
        weight = np.ones(number) if drawn.weight is None else drawn.weight
        for one in self.distortions:
            if isinstance(one, FinalTilt):
                weight = weight * one.factor(columns[one.variable])
        return weight


def _derived(texts: Mapping[str, str]) -> tuple[Derived, ...]:
    return tuple(Derived(name, text) for name, text in texts.items())
