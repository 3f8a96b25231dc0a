"""Tables for the terminal: yields, closures, fits, regions and methods."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, fields
from typing import TYPE_CHECKING

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from .._notebook import rounded
from ..config.settings import described
from ..method import card

if TYPE_CHECKING:
    from ..generate import Case, Generated
    from ..methods import Row
    from ..run.execution import Outcome
    from ..run.overlaps import Overlap

__all__ = [
    "cases",
    "closures",
    "fits",
    "generated",
    "methods",
    "overlaps",
    "pulls",
    "rankings",
    "show_method",
    "yields",
]

_RANKED = 10


def yields(outcome: Outcome) -> Table:
    """Return the yields of all channels by method."""
    table = _table("Background", "method", "channel", "estimate", "statistical", "systematic", "observed")
    for method, estimate in outcome.estimates.items():
        for channel in estimate.channels:
            found = estimate.total(channel.name)
            seen = outcome.observed[method][channel.name]
            values = rounded(found.value, found.total), rounded(found.statistical, found.total)
            observed = "sealed" if seen is None else rounded(float(np.atleast_2d(seen)[0].sum()), found.total)
            _add(table, method, channel.name, *values, rounded(found.systematic, found.total), observed)
    return table


def closures(outcome: Outcome) -> Table:
    """Return the closures."""
    table = _table("Closure", "method", "channel", "observed", "predicted", "error", "chi2/ndf", "p-value", "pulls")
    for method, found in outcome.closures.items():
        for channel, one in found.items():
            total = one.total
            width = "" if one.pull_width is None else f" +- {one.pull_width:.2f}"
            _add(
                table,
                method,
                channel,
                rounded(total.observed, total.uncertainty),
                rounded(total.predicted, total.uncertainty),
                rounded(total.uncertainty, total.uncertainty),
                f"{one.chi2:.1f}/{one.ndf}",
                f"{one.p_value:.3g}",
                f"{one.pull_mean:.2f}{width}",
            )
    return table


def fits(outcome: Outcome) -> Table:
    """Return the fits."""
    table = _table("Fit", "method", "signal strength", "limit (expected)", "limit (observed)", "Asimov channels")
    for method, one in outcome.fits.items():
        strength = (
            "background only"
            if one.value is None or one.error is None
            else f"{rounded(one.value, one.error)} +- {rounded(one.error, one.error)}"
        )
        expected = "" if one.limit_expected is None else f"{one.limit_expected[2]:.3g}"
        observed = "" if one.limit_observed is None else f"{one.limit_observed:.3g}"
        _add(table, method, strength, expected, observed, ", ".join(one.asimov_channels))
    return table


def rankings(outcome: Outcome) -> Table:
    """Return the signal strength of each fit and what moves it most, held one error up and down."""
    table = _table("Parameters", "method", "parameter", "value", "error", "impact / sigma (+1)", "(-1)")
    for method, found in outcome.rankings.items():
        fit = outcome.fits[method]
        impacts = {name: (f"{one.up:+.2f}", f"{one.down:+.2f}") for name, one in list(found.items())[:_RANKED]}
        for name, sides in {fit.poi or "": ("", ""), **impacts}.items():
            one = fit.parameters[name]
            _add(table, method, name, rounded(one.value, one.error), rounded(one.error, one.error), *sides)
    return table


def pulls(outcome: Outcome) -> Table:
    """Return mean and width of the pulls of each signal strength over toys."""
    table = _table("Pulls of the signal strength", "method", "toys", "mean", "width")
    for method, one in outcome.pulls.items():
        mean, width = (
            f"{rounded(getattr(one, name)[0], error)} +- {rounded(error, error)}"
            for name, error in (("mean", one.mean_error[0]), ("width", one.width_error[0]))
        )
        _add(table, method, str(len(one.value)), mean, width)
    return table


def overlaps(found: Iterable[Overlap]) -> Table:
    """Return which regions may share rows, and which of those are sealed."""
    table = _table("Regions that are read", "use", "region", "sample", "sealed rows")
    for one in found:
        _add(table, one.use, one.region, one.sample, one.verdict)
    return table


def methods(rows: Mapping[str, Row]) -> Table:
    """Return the methods of the package."""
    table = _table("Methods", "name", "what it is")
    for row in rows.values():
        _add(table, row.name, row.title)
    return table


def cases(rows: Mapping[str, Case]) -> Table:
    """Return the cases of the event generator."""
    table = _table("Cases", "name", "what it is", "events per CPU minute", "YAML")
    for row in rows.values():
        _add(table, row.name, row.title, f"{float(f'{row.selected_per_cpu_minute:.2g}'):,.0f}", row.fragment)
    return table


def generated(done: Generated) -> Iterator[str]:
    """Yield what there is to say of a file of generated events."""
    rows = "" if done.rows == done.events else f" in {done.rows} rows"
    yield f"{done.path}: {done.events} events{rows}, selected from {done.n_generated}"
    sigma = rounded(done.sigma_pb, done.sigma_error_pb), rounded(done.sigma_error_pb, done.sigma_error_pb)
    yield f"cross section {sigma[0]} +- {sigma[1]} pb: the file is {done.n_generated / done.sigma_pb:.3g}/pb"
    yield f"{done.cpu_s:.0f} s of CPU time, {done.generated_per_cpu_s:.0f} generated events per second"
    yield f"regions and roles for a configuration: backdrop generate {done.case} --yaml"


def show_method(console: Console, row: Row) -> None:
    """Print all that is known of a method: what it computes, assumes, when it fails, and its settings."""
    known = card(row.method)
    console.print(Text(f"{row.name}: {row.title}", style="bold"))
    for title in ("summary", "Assumes", "Fails when", "References"):
        if title in known:
            console.print(Text(f"\n{title}" if title != "summary" else "", style="bold"))
            console.print(Text(known[title]))
    table = _table("Settings", "name", "type", "default")
    for field in fields(row.method):
        needed = field.default is MISSING and field.default_factory is MISSING
        default = "" if field.default is MISSING else described(field.default)
        _add(table, field.name, str(field.type), "needed" if needed else default)
    console.print(table)


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, box=box.SIMPLE, title_justify="left", title_style="bold")
    for column in columns:
        table.add_column(column)
    return table


def _add(table: Table, *cells: str) -> None:
    table.add_row(*(Text(cell) for cell in cells))
