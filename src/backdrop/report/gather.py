"""Parts of a report: results, or loose estimates, closures and fits, brought into one form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import ConfigError
from ..estimate import Estimate
from ..inference import FitResult
from ..results import Results
from ..validation import Checks, Closure

__all__ = ["gathered"]


def gathered(parts: Sequence[Any], title: str) -> Results:
    """Return one value of results from what a report was given.

    A loose closure or fit belongs to the estimate before it (to the first, if none is before it). Estimates in a
    mapping carry their names; a single loose one is "background", several are numbered.

    Raises
    ------
    ConfigError
        If a part is of another type, or results are mixed with loose parts.
    """
    whole = [part for part in parts if isinstance(part, Results)]
    if whole and len(parts) > 1:
        raise ConfigError(
            f"a report takes one Results or loose parts, not {len(whole)} Results among {len(parts)} parts"
        )
    return whole[0] if whole else _loose(parts, title)


def _loose(parts: Sequence[Any], title: str) -> Results:
    estimates: dict[str, Estimate] = {}
    closures: dict[str, dict[str, Closure]] = {}
    fits: dict[str, FitResult] = {}
    checks = Checks()
    several = sum(isinstance(part, Estimate) for part in parts) > 1
    current = next((name for part in parts for name in _names(part)), "background 1" if several else "background")
    for part in parts:
        if isinstance(part, Mapping) and part and all(isinstance(one, Estimate) for one in part.values()):
            estimates |= {str(name): one for name, one in part.items()}
            current = str(next(reversed(part)))
        elif isinstance(part, Estimate):
            current = f"background {len(estimates) + 1}" if several else "background"
            estimates[current] = part
        elif isinstance(part, Closure):
            closures.setdefault(current, {})[part.channel.name] = part
        elif isinstance(part, FitResult):
            fits[current] = part
        elif isinstance(part, Checks):
            checks = part
        else:
            raise ConfigError(
                f"a report has no place for a {type(part).__qualname__}; give a Results, or Estimate (also by name in "
                "a mapping), Closure, FitResult and Checks parts"
            )
    name, seed = title or "report", _seed(estimates)
    return Results(name=name, seed=seed, estimates=estimates, closures=closures, fits=fits, checks=checks)


def _names(part: Any) -> list[str]:
    return [str(next(iter(part)))] if isinstance(part, Mapping) and part else []


def _seed(estimates: Mapping[str, Estimate]) -> int | None:
    """Return the seed that all replicas share, None where there is no such seed."""
    seeds = {seed for one in estimates.values() for seed in one.seeds.values()}
    return seeds.pop() if len(seeds) == 1 else None
