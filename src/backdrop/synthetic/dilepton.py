"""A same-sign dilepton search: prompt pairs, charge flips and fakes, each of known size, with control regions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np

from ..events import Events
from ..region import Region
from .leptons import Leptons

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["SameSign", "same_sign_dilepton"]

_FLIPS = (4e-3, 5e-4, 4e-3, 8e-3, 1e-3, 8e-3, 2e-2, 3e-3, 2e-2)


@dataclass(frozen=True)
class SameSign:
    """Leptons of a search in same-sign pairs: what it selects, and what its backgrounds are measured in.

    Data are opposite-sign prompt pairs (Z decays and others), of which some have one charge measured wrongly, events
    with fake leptons (pairs of random charges, single leptons, three leptons of which one is fake), single prompt
    leptons, and diboson events (same-sign pairs, three leptons). The columns are those of `Leptons`.

    Attributes
    ----------
    z, pairs
        Expected numbers of Z decays and of other opposite-sign prompt pairs.
    fakes
        Expected number of each composition with fake leptons, of any charges.
    single_fakes, single_prompt
        Expected numbers of single leptons.
    diboson, trileptons
        Expected numbers of same-sign and of three-lepton diboson events.
    signal
        Expected number of signal events: same-sign pairs of much missing momentum.
    flips
        Flip rate of a prompt lepton in each bin of (pt, eta).
    drell_yan_norm, diboson_norm
        How much of the opposite-sign pairs and of diboson events there is in data, over what is simulated.

    Examples
    --------
    >>> samples = SameSign(z=100.0, pairs=50.0, single_fakes=100.0).samples(seed=1)
    >>> sorted(samples)
    ['data', 'diboson', 'drell_yan', 'signal', 'w_jets']
    """

    z: float = 60_000.0
    pairs: float = 20_000.0
    fakes: tuple[tuple[str, float], ...] = (("RF", 2000.0), ("FR", 2000.0), ("FF", 4000.0), ("RRF", 600.0))
    single_fakes: float = 40_000.0
    single_prompt: float = 8_000.0
    diboson: float = 500.0
    trileptons: float = 400.0
    signal: float = 0.0
    flips: tuple[float, ...] = _FLIPS
    drell_yan_norm: float = 1.0
    diboson_norm: float = 1.0

    def samples(self, *, seed: int, size: float = 5.0, negative: float = 0.0) -> Mapping[str, Events]:
        """Draw ``data``, and simulations of ``drell_yan``, ``diboson``, ``w_jets`` and ``signal``.

        In the simulations all leptons are prompt and have the right charge; they have `size` times the events that
        are expected, weights that make up for it, and a share `negative` of negative ones.
        """
        parts = self._parts()
        data = [toy.draw(seed=seed, sample=f"data {name}").relabel("data") for name, toy in parts.items()]
        simulated = {
            name: replace(toy, flip=0.0).simulation(seed=seed, size=size, negative=negative, sample=name)
            for name, toy in replace(self, drell_yan_norm=1.0, diboson_norm=1.0, signal=30.0)._parts().items()
            if name != "fakes"
        }
        pairs, three = simulated.pop("diboson"), simulated.pop("diboson 3l")
        simulated["diboson"] = (pairs + three).relabel("diboson")
        simulated["signal"] = _boosted(simulated["signal"])
        data[list(parts).index("signal")] = _boosted(data[list(parts).index("signal")])
        return {"data": reduce(Events.__add__, data), **simulated}

    def _parts(self) -> dict[str, Leptons]:
        none = Leptons({}, z=0.0, single_fakes=0.0, single_prompt=0.0, flip=self.flips)
        more, norm = self.drell_yan_norm, self.diboson_norm
        return {
            "drell_yan": replace(none, events={"RR": more * self.pairs}, z=more * self.z, equal=0.0),
            "w_jets": replace(none, single_prompt=self.single_prompt),
            "diboson": replace(none, events={"RR": norm * self.diboson}),
            "diboson 3l": replace(none, events={"RRR": norm * self.trileptons}, equal=0.0),
            "fakes": replace(none, events=dict(self.fakes), single_fakes=self.single_fakes, equal=0.5),
            "signal": replace(none, events={"RR": self.signal}),
        }

    @staticmethod
    def true_fakes() -> Region:
        """Return the rows with a fake lepton."""
        return Region("fakes", "~all(lep_prompt)")

    @staticmethod
    def true_flips() -> Region:
        """Return the rows of prompt leptons one of which has the wrong charge."""
        return Region("flips", "all(lep_prompt) & any(lep_flip)")


def _boosted(events: Events) -> Events:
    """Return signal events: 80 GeV more missing momentum than other pairs have."""
    return events.with_columns({"met": events["met"] + 80.0})


def same_sign_dilepton(
    *,
    seed: int,
    simulated: float = 5.0,
    negative: float = 0.0,
    signal: float = 0.0,
    drell_yan_norm: float = 1.0,
    diboson_norm: float = 1.0,
) -> Mapping[str, Events]:
    """Return `SameSign` as samples: ``data``, ``drell_yan``, ``diboson``, ``w_jets`` and ``signal``."""
    search = SameSign(signal=signal, drell_yan_norm=drell_yan_norm, diboson_norm=diboson_norm)
    return search.samples(seed=seed, size=simulated, negative=negative)
