"""Overlaps: which rows each part of an analysis reads, and whether a seal forbids it. From the cuts alone."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, fields, is_dataclass

from ..config.analysis import Analysis, Task
from ..config.combination import Combination
from ..errors import BlindedError
from ..method import target
from ..region import Region

__all__ = ["Overlap", "overlaps", "refuse_sealed"]


@dataclass(frozen=True)
class Overlap:
    """One use of a region: who reads it, of which sample, and whether a seal is in the way.

    Attributes
    ----------
    use
        Who reads.
    region
        The region's name.
    sample
        The sample.
    verdict
        What becomes of sealed rows.
    forbidden
        Whether running would raise a BlindedError.
    """

    use: str
    region: str
    sample: str
    verdict: str
    forbidden: bool = False


def refuse_sealed(found: Iterable[Overlap]) -> None:
    """Raise a BlindedError if a use needs rows that may be sealed."""
    forbidden = [one for one in found if one.forbidden]
    if forbidden:
        first = forbidden[0]
        raise BlindedError(
            f"{first.use}: region '{first.region}' of sample '{first.sample}' {first.verdict} ({len(forbidden)} such "
            "uses in all); leave the sealed rows out with '... & ~{SEALED}', or change the seal"
        )


def overlaps(analysis: Analysis, opened: Collection[str] = ()) -> Iterator[Overlap]:
    """Yield each use of a region by the analysis, with what the seals of the samples not in `opened` make of it."""
    seals = {one.sample: one.seal.region for one in analysis.seals if one.sample not in opened}
    closing = {(one.method, one.channel) for one in analysis.closures}
    for name, task in _tasks(analysis):
        training = getattr(task.method, "training", None)
        if isinstance(training, Region):
            yield from _uses(f"{name}: training", training, task.events, seals, needed=True)
        for role, region in _roles(task.method):
            yield from _uses(f"{name}: {role}", region, task.events, seals, needed=False)
    for name, task in analysis.tasks.items():
        reads = getattr(task.method, "reads", None)
        for channel in task.channels:
            if isinstance(reads, Region):
                yield from _uses(
                    f"{name}: read in {channel.name}", channel.region & reads, task.events, seals, needed=True
                )
            needed = (name, channel.name) in closing
            use = f"{name}: {'closure' if needed else 'observed'} in {channel.name}"
            yield from _uses(use, channel.region & target(task.method), task.events, seals, needed=needed)


def _tasks(analysis: Analysis) -> Iterator[tuple[str, Task]]:
    """Yield each method, then those of its variations that have regions of their own."""
    for name, task in analysis.tasks.items():
        yield name, task
        for label, sides in analysis.variations[name].items():
            yield from ((f"{name} ({label})", one) for one in sides if [*_roles(one.method)] != [*_roles(task.method)])


def _roles(method: object) -> Iterator[tuple[str, Region]]:
    """Yield the regions among a method's settings; its target is what channels observe."""
    if not is_dataclass(method) or isinstance(method, type):
        return
    for field in fields(method):
        value = getattr(method, field.name)
        if isinstance(value, Region) and field.name != "target":
            yield field.name, value


def _uses(
    use: str, region: Region, events: Combination, seals: dict[str, Region], *, needed: bool
) -> Iterator[Overlap]:
    for sample in events.samples:
        if sample not in seals or region.disjoint(seals[sample]):
            outside = "not sealed" if sample not in seals else f"is outside the sealed '{seals[sample].name}'"
            yield Overlap(use, region.name, sample, outside)
        elif needed:
            yield Overlap(
                use,
                region.name,
                sample,
                f"may hold rows of the sealed '{seals[sample].name}': forbidden",
                forbidden=True,
            )
        else:
            yield Overlap(
                use, region.name, sample, f"may hold rows of the sealed '{seals[sample].name}': they are left out"
            )
