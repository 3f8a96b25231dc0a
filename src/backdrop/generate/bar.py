"""The bar of a run: selected events and the time that is left, on a terminal only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

__all__ = ["Clock", "bar"]


class Clock:
    """Tells how long a run takes in all: by a first guess until the first new chunk, then by those that were made.

    Chunks that an earlier run had finished cost no time, and say nothing of it.
    """

    def __init__(self, events: int, guess: float, kept: int) -> None:
        self.events, self.total, self.kept = events, guess, kept
        self.selected = self.fresh = self.chunks = 0

    def advance(self, selected: int, elapsed: float) -> None:
        """Take the next chunk's selected events; `elapsed` seconds after the start."""
        self.chunks += 1
        self.selected += selected
        self.fresh += selected if self.chunks > self.kept else 0
        if self.fresh:
            self.total = elapsed * (1.0 + (self.events - self.selected) / self.fresh)


class _Left(ProgressColumn):
    """The time that is left."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    def render(self, task: Task) -> Text:
        seconds = max(0.0, self._clock.total - (task.elapsed or 0.0))
        return Text(f"{timedelta(seconds=round(seconds))} left", style="progress.remaining")


@contextmanager
def bar(title: str, clock: Clock) -> Iterator[Callable[[int], None]]:
    """Show the progress; gives a function that takes the selected events of each chunk."""
    console = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _Left(clock)
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as shown:
        row = shown.add_task(title, total=clock.events)

        def advance(selected: int) -> None:
            clock.advance(selected, shown.tasks[row].elapsed or 0.0)
            shown.advance(row, selected)

        yield advance
