"""Graphs of templates: which variables are drawn from which histogram, given which others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from ..channel import axis_from_state, axis_state, flat_index
from ..errors import ConfigError, nearest
from ..events import Events

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Template", "check_graph", "written_out"]

_KINDS = ("Regular", "Variable", "Integer")
_LARGEST = 50_000_000


@dataclass(frozen=True)
class Template:
    """A histogram from which variables are drawn together, in the slice that others have already chosen.

    Attributes
    ----------
    name
        The template's name.
    draws
        `hist` axes of the variables that are drawn; an axis' name is its column.
    given
        Axes of the variables that choose the slice, the most important first: where a slice is empty, the last ones
        are summed over. They cover what their variables are drawn from; a variable may also be derived from drawn
        ones, and is in the nearest bin where it is outside of its axis.

    Raises
    ------
    ConfigError
        If it draws nothing, an axis has no name or the name of another, is of another kind than Regular, Variable and
        Integer, or has edges that are not finite and increasing.

    Examples
    --------
    >>> import hist
    >>> pt, eta = hist.axis.Regular(20, 0, 100, name="pt"), hist.axis.Regular(10, -2, 2, name="eta")
    >>> Template("B", (eta,), given=(pt,)).shape
    (20, 10)
    """

    name: str
    draws: tuple[Any, ...]
    given: tuple[Any, ...] = ()

    def __post_init__(self) -> None:
        if not self.draws:
            raise ConfigError(f"template '{self.name}' draws no variable; give at least one axis in 'draws'")
        for axis in self.axes:
            _check_axis(axis, self.name)
        names = self.columns
        if twice := [one for one in names if names.count(one) > 1]:
            raise ConfigError(f"template '{self.name}' has two axes of '{twice[0]}'; draw it, or be given it, once")
        if self.size > _LARGEST:
            raise ConfigError(
                f"template '{self.name}' has {self.size} bins, more than {_LARGEST}: use fewer or wider ones, or split "
                "it into templates of fewer variables"
            )

    @property
    def axes(self) -> tuple[Any, ...]:
        """All axes, those of the slice first."""
        return (*self.given, *self.draws)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of all axes."""
        return tuple(axis.name for axis in self.axes)

    @property
    def variables(self) -> tuple[str, ...]:
        """The variables that are drawn."""
        return tuple(axis.name for axis in self.draws)

    @property
    def parents(self) -> tuple[str, ...]:
        """The variables that choose the slice."""
        return tuple(axis.name for axis in self.given)

    @property
    def shape(self) -> tuple[int, ...]:
        """The number of bins along each axis."""
        return tuple(len(axis) for axis in self.axes)

    @property
    def size(self) -> int:
        """The number of bins."""
        return int(np.prod(self.shape))

    def index(self, events: Events, region: str) -> NDArray[np.int64]:
        """Return each row's flat bin (C order, the last axis fastest), -1 outside an axis.

        Raises
        ------
        DataError
            If a value is not finite or no number; column and region are named.
        """
        return flat_index(self.axes, events, len(events), region)

    def state(self) -> dict[str, Any]:
        """Return the template as plain values."""
        sides = {"draws": self.draws, "given": self.given}
        return {"name": self.name, **{side: [axis_state(axis) for axis in axes] for side, axes in sides.items()}}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Template:
        """Restore a template from :meth:`state`."""
        draws, given = (tuple(axis_from_state(axis) for axis in state[side]) for side in ("draws", "given"))
        return cls(state["name"], draws, given)


def written_out(templates: Sequence[Template], reads: Mapping[str, AbstractSet[str]]) -> tuple[Template, ...]:
    """Return templates that are given, in place of a derived variable, what it is derived from, each in one bin.

    Parameters
    ----------
    templates
        The graph.
    reads
        Derived variable to the drawn variables that it depends on.

    Raises
    ------
    ConfigError
        If a template is given what is derived from its own variables.
    """
    drawn = {axis.name: axis for one in templates for axis in one.draws}
    found = []
    for one in templates:
        given: dict[str, Any] = {}
        for axis in one.given:
            names = sorted(reads.get(axis.name, ()), key=list(drawn).index)
            if own := set(names) & {*one.variables}:
                raise ConfigError(
                    f"template '{one.name}' is given '{axis.name}', which is derived from '{min(own)}' that it draws "
                    "itself; derive it from what is drawn before"
                )
            given |= {name: _span(drawn[name]) for name in names} if names else {axis.name: axis}
        found.append(Template(one.name, one.draws, tuple(given.values())))
    return tuple(found)


def _span(axis: Any) -> Any:
    """Return the range of an axis as one bin."""
    from hist.axis import Variable

    return Variable([axis.edges[0], axis.edges[-1]], name=axis.name, label=axis.label)


def check_graph(templates: Sequence[Template]) -> None:
    """Check that templates can be drawn from one after the other.

    Raises
    ------
    ConfigError
        If two have one name or draw one variable, or one is given a variable that nothing draws, that is drawn after
        it, that depends on it in turn, or that is drawn outside the range of its axis.
    """
    if not templates:
        raise ConfigError("no template is given; a graph needs at least one")
    names = [one.name for one in templates]
    if twice := [one for one in names if names.count(one) > 1]:
        raise ConfigError(f"two templates are called '{twice[0]}'; give each a name of its own")
    sources: dict[str, Template] = {}
    for one in templates:
        for variable in one.variables:
            if variable in sources:
                raise ConfigError(
                    f"'{variable}' is drawn by the templates '{sources[variable].name}' and '{one.name}'; draw it "
                    "once, and let others be given it"
                )
            sources[variable] = one
    for one in templates:
        _check_parents(one, templates, sources)


def _check_parents(one: Template, templates: Sequence[Template], sources: Mapping[str, Template]) -> None:
    for axis in one.given:
        if axis.name not in sources:
            have = ", ".join(sources)
            raise ConfigError(
                f"template '{one.name}' is given '{axis.name}', which no template draws{nearest(axis.name, sources)}; "
                f"drawn are {have}, and what is derived from them may be given as well"
            )
        source = sources[axis.name]
        if cycle := _way(source, one, sources):
            path = " -> ".join(f"'{step.name}'" for step in (*cycle, source))
            raise ConfigError(f"the templates depend on each other in a cycle: {path}; break it at one of them")
        if templates.index(source) > templates.index(one):
            raise ConfigError(
                f"template '{one.name}' is given '{axis.name}', which '{source.name}' draws after it; put "
                f"'{source.name}' before '{one.name}'"
            )
        _check_range(one, axis, next(drawn for drawn in source.draws if drawn.name == axis.name), source.name)


def _way(
    one: Template, to: Template, sources: Mapping[str, Template], seen: set[str] | None = None
) -> tuple[Template, ...]:
    """Return the way from a template along what it is given to another one; empty if there is none."""
    if one is to:
        return (one,)
    seen = set() if seen is None else seen
    seen.add(one.name)
    for parent in (sources[name] for name in one.parents if name in sources):
        if parent.name not in seen and (rest := _way(parent, to, sources, seen)):
            return (one, *rest)
    return ()


def _check_range(one: Template, axis: Any, drawn: Any, source: str) -> None:
    ends, wanted = (np.array([edges[0], edges[-1]]) for edges in (axis.edges, drawn.edges))
    tiny = 1e-9 * float(np.ptp(wanted))
    if ends[0] > wanted[0] + tiny or ends[1] < wanted[1] - tiny:
        raise ConfigError(
            f"template '{one.name}' is given '{axis.name}' from {ends[0]:g} to {ends[1]:g}, but '{source}' draws it "
            f"from {wanted[0]:g} to {wanted[1]:g}; cover what is drawn"
        )


def _check_axis(axis: Any, template: str) -> None:
    kind, traits, name = type(axis).__name__, getattr(axis, "traits", None), getattr(axis, "name", "")
    if not name:
        raise ConfigError(f"an axis of template '{template}' has no name; name it after the column it bins")
    plain = traits is not None and not traits.growth and getattr(axis, "transform", None) is None
    if kind not in _KINDS or not plain:
        raise ConfigError(
            f"axis '{name}' of template '{template}' is {axis!r}; use {', '.join(_KINDS)}, without a transform or "
            "growth (a Variable axis takes any edges)"
        )
    edges = np.asarray(axis.edges, np.float64)
    if not (np.isfinite(edges).all() and all(low < high for low, high in pairwise(edges))):
        raise ConfigError(
            f"axis '{name}' of template '{template}' has edges that are not finite and increasing: {edges}"
        )
