"""The fit of an ensemble: a background and rows in, the strengths of signal hypotheses out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from ..estimate import Estimate, Terms
from ..events import Events
from .fit import fit
from .label import clean
from .sample import Empty
from .workspace import workspace

if TYPE_CHECKING:
    import numpy as np

__all__ = ["SignalFit"]


@dataclass(frozen=True, eq=False)
class SignalFit:
    """Fit each of several signals to a toy: a :class:`~backdrop.validation.Fit` of the ensembles of signals.

    The likelihood is that of :func:`backdrop.workspace`. In a toy the background's own fluctuations are drawn with its
    events, while a variation is a change that no toy has: so the measurement that constrains it is thrown, from a unit
    Gaussian around zero. Fits of one toy throw the same.

    Attributes
    ----------
    signals
        Hypothesis to its template in the channels (for a background given as terms: filled with ``terms.template``).
    others
        Further backgrounds, such as what was subtracted from the data.
    free
        Backgrounds whose normalisation is free, as for `workspace`: ``{"background": 0.1}`` for the estimated one.
    empty
        What is done with empty bins of a background, as for `workspace`.
    sample
        The sample whose rows are observed; None for all rows.
    thrown
        Whether the measurements of the backgrounds' variations are thrown.

    Examples
    --------
    >>> import hist, numpy as np
    >>> from backdrop import Channel, Region
    >>> channels = (Channel("SR", Region("SR", "m > 100"), (hist.axis.Regular(2, 100, 300, name="m"),)),)
    >>> background = Estimate(channels, np.array([50.0, 20.0]), np.array([25.0, 16.0]))
    >>> signal = Estimate(channels, np.array([5.0, 3.0]), np.zeros(2))
    >>> rows = Events.of({"m": np.repeat([150.0, 250.0], [55, 23])})
    >>> value, error = SignalFit({"hh": signal})(background, {"SR": rows}, rng=np.random.default_rng(1))["hh"]
    >>> round(value, 3), round(error, 2)
    (1.0, 1.36)
    """

    signals: Mapping[str, Estimate]
    others: Mapping[str, Estimate] = field(default_factory=dict)
    free: Mapping[str, float] = field(default_factory=dict)
    empty: Empty = "error"
    sample: str | None = None
    thrown: bool = True

    def __call__(
        self, background: Estimate | Terms, observed: Mapping[str, Events], *, rng: np.random.Generator
    ) -> dict[str, tuple[float, float]]:
        """Return each hypothesis with its fitted strength and error.

        Raises
        ------
        FitError
            If a fit does not converge.
        """
        rows = {name: one if self.sample is None else one.only(self.sample) for name, one in observed.items()}
        backgrounds = {"background": background, **self.others}
        varied = list(dict.fromkeys(name for one in backgrounds.values() for name in one.variations))
        thrown = dict(zip(varied, rng.standard_normal(len(varied)).tolist(), strict=True)) if self.thrown else {}
        found = {}
        for name, signal in self.signals.items():
            spec = workspace(backgrounds, {"signal": signal}, rows, empty=self.empty, free=self.free)
            result = fit(_measured(spec, thrown), level=None)
            found[name] = cast(float, result.value), cast(float, result.error)
        return found


def _measured(spec: dict[str, Any], thrown: Mapping[str, float]) -> dict[str, Any]:
    """Return a workspace in which the measurements of some variations gave other values than zero."""
    nuisances = {
        modifier["name"]: value
        for channel in spec["channels"]
        for sample in channel["samples"]
        for modifier in sample["modifiers"]
        for variation, value in thrown.items()
        if modifier["name"] in (clean(variation), clean(f"{sample['name']}_{variation}"))
    }
    spec["measurements"][0]["config"]["parameters"] += [
        {"name": name, "auxdata": [value]} for name, value in nuisances.items()
    ]
    return spec
