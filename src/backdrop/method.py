"""Method and Model: what a background method is, and what it may offer besides."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

import numpy as np

from .events import Events
from .region import Region

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .estimate import Channel, Estimate, Terms
    from .learn.pictures import Pictures
    from .maps import BinnedMap

__all__ = [
    "DrawsMembers",
    "FitsMembers",
    "Method",
    "Model",
    "OffersBins",
    "OffersChunks",
    "OffersMaps",
    "OffersPictures",
    "OffersReplicas",
    "OffersTerms",
    "OffersVariations",
    "OffersWarnings",
    "WeighsMembers",
    "card",
    "fit_columns",
    "resampling",
    "target",
]


@runtime_checkable
class Model(Protocol):
    """A fitted method: turns events into weighted events that stand for the background in a region.

    Attributes
    ----------
    reads
        The rows it weights or moves; None for a model that draws its events. A row-wise model obeys
        ``predict(a + b) == predict(a) + predict(b)``; a drawing model ignores the events it is given, and repeats
        exactly.

    A row-wise model that changes columns, so that rows may enter a region from outside, has ``moves = True``. One that
    estimates nothing without some of its rows has ``needs``, their region. One that would lose rows whose cut in
    `reads` is undefined has ``check_rows(events, region)``, which raises a DataError for them.
    """

    @property
    def reads(self) -> Region | None:
        """The rows the model weights or moves; None if it draws."""
        ...

    def predict(self, events: Events, region: Region) -> Events:
        """Return weighted events that stand for the background inside `region`."""
        ...

    def state(self) -> dict[str, Any]:
        """Return arrays, numbers, strings and nested states from which ``from_state`` restores the model."""
        ...


@runtime_checkable
class Method(Protocol):
    """A frozen dataclass of settings; `fit` returns a new model and leaves the settings unchanged.

    A method may also have ``target`` (the Region that observed rows of the background estimate satisfy),
    ``resample = "joint"`` (its training region contains its prediction region), ``check_channel(channel)``, which
    raises a CutError before the fit for a channel that its model could not predict, and the optional protocols below.
    """

    def fit(self, events: Events, *, rng: np.random.Generator) -> Model:
        """Fit to events (sorted by key) and return the model; `rng` is the only source of randomness."""
        ...


@runtime_checkable
class OffersBins(Protocol):
    """A model whose answer is a fit: it gives the binned estimate itself, uncertainties included."""

    def bins(self, events: Events, channels: Sequence[Channel]) -> Estimate:
        """Return the estimate in the bins of the channels."""
        ...


@runtime_checkable
class OffersChunks(Protocol):
    """A model that draws more than should be held in memory, and hands it out in parts."""

    def chunks(self, region: Region) -> Iterator[Events]:
        """Yield what ``predict`` returns, part by part."""
        ...


@runtime_checkable
class OffersTerms(Protocol):
    """A model whose yields are products of free parameters: it gives the relation itself to the workspace."""

    def terms(self, events: Events, channels: Sequence[Channel]) -> Terms:
        """Return the relation, the counts that determine it, and the other processes."""
        ...


@runtime_checkable
class OffersMaps(Protocol):
    """A model that rests on maps of efficiencies, factors or rates, to be shown and written as correctionlib."""

    @property
    def maps(self) -> tuple[BinnedMap, ...]:
        """The maps, each with a name of its own."""
        ...


@runtime_checkable
class OffersPictures(Protocol):
    """A drawing model that shows what it learnt beside the observed rows."""

    @property
    def shown(self) -> Region:
        """Where it shows something."""
        ...

    def pictures(self, rows: Events, sealed: Sequence[Region]) -> Pictures:
        """Return the pictures with the open rows inside `shown`, of which those in the sealed regions are missing."""
        ...


@runtime_checkable
class OffersReplicas(Protocol):
    """A model that brings replicas of itself, already fitted on their own resamples (expensive trainings)."""

    @property
    def replicas(self) -> Mapping[str, tuple[Model, ...]]:
        """Block name to fitted models."""
        ...


@runtime_checkable
class OffersVariations(Protocol):
    """A method that knows its own systematic variations, as changed settings."""

    def variations(self) -> Mapping[str, tuple[Method, Method]]:
        """Name to the (up, down) pair of methods."""
        ...


@runtime_checkable
class OffersWarnings(Protocol):
    """A model that knows what must be heeded about itself, for the report."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences, each with its numbers."""
        ...


@runtime_checkable
class FitsMembers(Protocol):
    """A method that fits many resamples at once."""

    def fit_members(
        self, events: Events, weights: NDArray[np.float64], *, rngs: Sequence[np.random.Generator]
    ) -> tuple[Model, ...]:
        """Fit one model for each row of `weights`, shape (members, n), and each generator."""
        ...


@runtime_checkable
class WeighsMembers(Protocol):
    """A row-wise model that weighs the rows for many of its kind at once, as replicas ask for it.

    ``predict`` gives the same for one: the rows of ``region & reads``, each weight times its factor.
    """

    def factors(self, rows: Events, models: Sequence[Any]) -> NDArray[np.float64]:
        """Return what each model multiplies the weight of each row with, shape (members, n)."""
        ...


@runtime_checkable
class DrawsMembers(Protocol):
    """A drawing model whose replicas are its own draws with other weights, so that all are filled in one pass.

    ``predict`` gives the rows of ``drawn``, each with the weight of ``factors``.
    """

    def drawn(self, region: Region) -> Iterator[Events]:
        """Yield the rows drawn inside `region`, of weight one, part by part."""
        ...

    def factors(self, rows: Events, models: Sequence[Any]) -> NDArray[np.float64]:
        """Return the weight that each model gives to each row, shape (models, n)."""
        ...


def target(method: Method) -> Region:
    """Return the region of the observed rows the method's background stands for (all rows if it names none)."""
    found = getattr(method, "target", None)
    return found if isinstance(found, Region) else Region.everything()


def resampling(method: Method) -> Literal["fit", "joint"]:
    """Say whether replicas vary the fit alone, or the fit and the prediction together."""
    return "joint" if getattr(method, "resample", "fit") == "joint" else "fit"


def fit_columns(method: Method) -> frozenset[str] | None:
    """Return the columns that fit and predict read, or None if the method does not declare them.

    The columns of every Region among the settings, and the names in ``columns``.
    """
    declared = getattr(method, "columns", None)
    if declared is None:
        return None
    return frozenset(declared) | frozenset().union(*(region.columns for region in _regions(method)))


def card(method: type) -> dict[str, str]:
    """Return a method's description from its docstring: ``summary``, ``Assumes``, ``Fails when``, ``References``."""
    text = inspect.getdoc(method) or ""
    summary, *parts = re.split(r"^([A-Z][^\n]*)\n-{3,}$", text, flags=re.M)
    sections = {title: body.strip() for title, body in zip(parts[::2], parts[1::2], strict=True)}
    return {
        "summary": summary.strip(),
        **{k: v for k, v in sections.items() if k in ("Assumes", "Fails when", "References")},
    }


def _regions(value: Any) -> Iterator[Region]:
    if isinstance(value, Region):
        yield value
    elif is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            yield from _regions(getattr(value, field.name))
    elif isinstance(value, tuple | list):
        for item in value:
            yield from _regions(item)
