"""Ensembles: toys that are the same alone, in any number, order or process, and are kept one by one."""

from __future__ import annotations

import functools
import hashlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ..channel import Channel
from ..errors import ArtifactError, ConfigError, DataError, FitError
from ..estimate import Estimate, Setup, Terms, estimate, observe, terms
from ..events import Events
from ..method import target
from ..tasks import Map, Result, fingerprint, named_seed, progress, resumable, stream

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["Analysis", "Fit", "Measured", "failures", "toys"]


class Fit(Protocol):
    """A fit of signal hypotheses; :class:`~backdrop.inference.SignalFit` is one."""

    def __call__(
        self, background: Estimate | Terms, observed: Mapping[str, Events], *, rng: np.random.Generator
    ) -> Mapping[str, tuple[float, float]]:
        """Return each hypothesis with its fitted signal strength and error.

        Parameters
        ----------
        background
            What was estimated from the toy's events: the relation where the study asks for it, else the estimate.
        observed
            Channel name to the toy's rows.
        rng
            For auxiliary measurements that are thrown. Fits of one toy that are compared get the same stream.

        Raises
        ------
        FitError
            If it does not converge: the toy is counted as failed.
        """
        ...


@dataclass(frozen=True)
class Measured:
    """A mean over toys, and its standard error from their spread."""

    value: float
    error: float

    def agrees(self, expected: float, sigmas: float = 2.0) -> bool:
        """Say whether an expectation lies within some standard errors."""
        return abs(self.value - expected) <= sigmas * self.error

    @classmethod
    def of(cls, values: Array) -> Measured:
        """Return the mean of one value a toy, shape (toys,); the error of a single one is NaN."""
        spread = float(values.std(ddof=1)) if len(values) > 1 else np.nan
        return cls(float(values.mean()), spread / float(np.sqrt(len(values))))


@dataclass(frozen=True)
class Analysis:
    """What is done with the events of a toy: the background is estimated, and a signal fitted.

    Attributes
    ----------
    channels
        Where the background is estimated and the signal fitted.
    fit
        The fit.
    replicas
        Resampled fits of the method, see `estimate`.
    relation
        Whether the fit gets the background as a relation (`terms`), not as an estimate.
    """

    channels: tuple[Channel, ...]
    fit: Fit
    replicas: int = 0
    relation: bool = False

    def background(self, setup: Setup, seed: int) -> Estimate | Terms:
        """Return the background of a toy."""
        if self.relation:
            return terms(setup, self.channels, seed=seed)
        return estimate(setup, self.channels, replicas=self.replicas, seed=seed)

    def observed(self, setup: Setup) -> dict[str, Events]:
        """Return the rows that each channel observes.

        Raises
        ------
        DataError
            If they may be sealed.
        """
        found: dict[str, Events] = {}
        for channel in self.channels:
            rows = observe(setup.events, channel, target(setup.method))
            if rows is None:
                raise DataError(
                    f"channel '{channel.name}' may be sealed in the toys; an ensemble needs rows to fit: draw them open"
                )
            found[channel.name] = rows
        return found

    def fitted(
        self, background: Estimate | Terms, observed: Mapping[str, Events], seed: int
    ) -> tuple[list[str], Array]:
        """Return the hypotheses, and their strengths and errors of shape (2, hypotheses)."""
        found = self.fit(background, observed, rng=stream(seed, "auxiliary"))
        return list(found), np.array([found[name] for name in found], np.float64).reshape(-1, 2).T


@dataclass(frozen=True)
class _Toy:
    """One toy of an ensemble."""

    one: Callable[[int], Result]
    seed: int
    index: int
    identity: str

    @property
    def fingerprint(self) -> str:
        """What the toy depends on, the text of the functions included."""
        return f"{self.identity} {self.seed} {self.index}"


def toys(
    one: Callable[[int], Result], number: int, *, seed: int, map: Map, directory: Path | str | None
) -> list[Result]:
    """Return what `one`, a dataclass with ``__call__``, gives for the seed of each toy, ``named_seed(seed, "toy", i)``.

    With a directory each toy is kept as soon as it is finished, and not run again.

    Raises
    ------
    ArtifactError
        If a directory is given and a function in `one` cannot be told from another one (it closes over variables).
    ConfigError
        If there are fewer than two toys.
    """
    if number < 2:
        raise ConfigError(f"toys={number}: at least two toys make an ensemble")
    identity = "" if directory is None else fingerprint(_identity(one))
    run = map if directory is None else resumable(map, directory)
    return list(progress(run, "toys")(_run, [_Toy(one, seed, index, identity) for index in range(number)]))


def _run(toy: _Toy) -> Result:
    return toy.one(named_seed(toy.seed, "toy", toy.index))


def failures(rows: Sequence[Result]) -> tuple[int, ...]:
    """Return the toys that have nothing but a `failure`, the message of their FitError.

    Raises
    ------
    FitError
        If no toy has anything else.
    """
    failed = tuple(i for i, row in enumerate(rows) if "failure" in row)
    if len(failed) == len(rows):
        raise FitError(f"the fits of all {len(rows)} toys failed; the first: {rows[0]['failure']}")
    return failed


# ---- what tells an ensemble from another one -----------------------------------------------------------------------


def _identity(value: Any) -> Any:
    """Return a value in which each function is its name, its text and the values bound to it."""
    if isinstance(value, functools.partial):
        return _identity(value.func), value.args, value.keywords
    if is_dataclass(value) and (callable(value) or isinstance(value, Analysis)):
        return _text(type(value)), [_identity(getattr(value, field.name)) for field in fields(value)]
    if not callable(value):
        return value
    if hasattr(value, "fingerprint"):
        return _text(type(value)), value
    if not inspect.isfunction(value) or value.__closure__:
        raise ArtifactError(
            f"{value!r} cannot be told from another one, so its toys cannot be kept: use a function without outer "
            "variables, a functools.partial of one, or a dataclass with __call__"
        )
    return _text(value)


def _text(source: Callable[..., Any]) -> tuple[str, str]:
    try:
        text = inspect.getsource(source)
    except (OSError, TypeError):
        code = getattr(source, "__code__", None)
        text = repr((code.co_code, code.co_names, code.co_consts)) if code else ""
    return f"{source.__module__}.{source.__qualname__}", hashlib.sha256(text.encode()).hexdigest()
