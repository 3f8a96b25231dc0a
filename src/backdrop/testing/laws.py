"""The laws, and what checks them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import io
from ..errors import DataError
from ..estimate import Estimate, Setup, estimate, fitted
from ..events.columns import buffers
from ..method import FitsMembers, OffersBins, OffersReplicas
from ..region import Region
from ..tasks import fingerprint, named_seed, pool, stream
from .case import Case, Chunked, Table, join

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["LAWS", "LawBroken", "check"]


class LawBroken(AssertionError):
    """A method does not obey a law; the message says which one, and with what numbers."""


def check(law: str, case: Case) -> None:
    """Check one law on one case.

    Raises
    ------
    LawBroken
        With what was found.
    """
    LAWS[law](case)


def _same(a: Estimate, b: Estimate, *, tolerance: float = 0.0) -> float:
    """Return the largest relative difference between two estimates, 0 if it is within the tolerance."""
    left, right = list(_arrays(a)), list(_arrays(b))
    if [array.shape for array in left] != [array.shape for array in right]:
        return float("inf")
    worst = 0.0
    for x, y in zip(left, right, strict=True):
        size = max(float(np.abs(x).max(initial=0.0)), 1e-300)
        worst = max(worst, float(np.abs(x - y).max(initial=0.0)) / size)
    return worst if worst > tolerance else 0.0


def _arrays(found: Estimate) -> Iterator[NDArray[np.float64]]:
    yield found.nominal
    yield found.sumw2
    yield from (found.replicas[name] for name in sorted(found.replicas))
    for name in sorted(found.variations):
        yield from found.variations[name]


def _break(case: Case, what: str) -> None:
    raise LawBroken(f"{case.name}: {what}")


def same_seed_same_estimate(case: Case) -> None:
    """One seed gives one estimate, bit by bit, for any number of jobs."""
    events, first = case.events(), case.estimate(case.events())
    if _same(first, case.estimate(events)) != 0.0:
        _break(case, "two runs with one seed differ")
    with pool(2) as two:
        spread = estimate(Setup(case.method, events), case.channels, replicas=4, seed=5, map=two)
    if _same(first, spread) != 0.0:
        _break(case, "one job and two jobs differ")


def chunks_do_not_matter(case: Case) -> None:
    """Reading in chunks of any size gives the same estimate to 1e-12."""
    events = case.events()
    whole = case.estimate(events)
    for size in (len(events) // 7 + 1, len(events) // 2 + 1):
        if difference := _same(whole, case.estimate(Chunked(events, size)), tolerance=1e-12):
            _break(case, f"chunks of {size} rows move the estimate by {difference:.2g}")


def order_does_not_matter(case: Case) -> None:
    """Shuffled events give the same estimate to 1e-12, also where they are read in that order."""
    events = case.events()
    order = np.random.default_rng(3).permutation(len(events))
    shuffled = replace(
        events,
        columns={name: events[name][order] for name in events.columns},
        weight=events.weight[order],
        sample=events.sample[order],
        key=events.key[order],
    )
    wanted = case.estimate(events)
    for source in (shuffled, Chunked(shuffled, len(shuffled))):
        if difference := _same(wanted, case.estimate(source), tolerance=1e-12):
            _break(case, f"shuffling the events moves the estimate by {difference:.2g}")


def fit_leaves_settings(case: Case) -> None:
    """`fit` changes neither settings nor events, and the settings are frozen."""
    events = case.events().sorted()
    before = fingerprint((case.method, events.fingerprint))
    case.method.fit(events, rng=stream(1, "fit"))
    after = fingerprint((case.method, replace(events).fingerprint))
    if before != after:
        _break(case, "fit changed the settings or the events")
    name = fields(case.method)[0].name  # type: ignore[arg-type]
    try:
        setattr(case.method, name, None)
    except AttributeError:
        return
    _break(case, f"the settings are not frozen: {name} could be set")


def weights_scale(case: Case) -> None:
    """Weights times k give k times the estimate and its replicas, and k² times the sum of squared weights."""
    events, factor = case.events(), 3.0
    once, scaled = case.estimate(events), case.estimate(factor * events)
    wanted = factor * once
    pairs = {"nominal": (scaled.nominal, wanted.nominal), "sumw2": (scaled.sumw2, wanted.sumw2)}
    pairs |= {f"replicas '{name}'": (scaled.replicas[name], rows) for name, rows in wanted.replicas.items()}
    for name, (found, expected) in pairs.items():
        off = np.abs(found - expected).max() / max(np.abs(expected).max(), 1e-300)
        if off > case.scale_tolerance:
            _break(case, f"weights x 3 move {name} by {off:.2g} more than they should")


def predicts_inside_region(case: Case) -> None:
    """Predicted rows satisfy the region asked for."""
    model = fitted(case.setup(), seed=1)
    for channel in case.channels:
        rows = model.predict(case.events(), channel.region)
        inside = channel.region.mask(rows.columns)
        if len(rows) == 0 or not inside.all():
            _break(case, f"{int((~inside).sum())} of {len(rows)} predicted rows are outside '{channel.region.name}'")


def predict_repeats(case: Case) -> None:
    """Predicting twice gives the same rows."""
    model, region = fitted(case.setup(), seed=1), case.channels[0].region
    first, second = (model.predict(case.events(), region) for _ in range(2))
    if first.fingerprint != second.fingerprint:
        _break(case, "two predictions of one model differ")


def row_wise_is_additive(case: Case) -> None:
    """A row-wise model obeys predict(a + b) = predict(a) + predict(b); a drawing one ignores the events."""
    model, region, events = fitted(case.setup(), seed=1), case.channels[0].region, case.events()
    half = events.uniform(1) < 0.5
    parts = [events._take(np.flatnonzero(half)), events._take(np.flatnonzero(~half))]
    whole = case.channels[0].fill(model.predict(events, region))[0]
    halves = [case.channels[0].fill(model.predict(part, region))[0] for part in parts]
    expected = sum(halves) if model.reads is not None else halves[0]
    if not np.allclose(whole, expected, rtol=1e-12, atol=1e-9 * np.abs(whole).max()):
        _break(case, f"whole {whole} and halves {expected} differ")


def survives_saving(case: Case) -> None:
    """A saved and loaded model predicts bit by bit the same."""
    model = fitted(case.setup(), seed=1)
    with tempfile.TemporaryDirectory() as here:
        io.save(model, f"{here}/model")
        again = io.load(f"{here}/model", case.types)
    region = case.channels[0].region
    if model.predict(case.events(), region).fingerprint != again.predict(case.events(), region).fingerprint:
        _break(case, "the loaded model predicts something else")
    if isinstance(model, OffersBins) and _same(
        model.bins(case.events(), case.channels), again.bins(case.events(), case.channels)
    ):
        _break(case, "the loaded model gives other bins")


def keeps_the_blinding_promise(case: Case) -> None:
    """NaN, other values or other numbers of sealed rows change nothing."""
    first, *others = case.draw(1)
    found = [case.estimate(join([table, *others], case.sealed)) for table in _resealed(first, case.sealed)]
    for other in found[1:]:
        if _same(found[0], other) != 0.0:
            _break(case, "the sealed rows can be seen in the estimate")


def _resealed(table: Table, sealed: Region) -> Iterator[Table]:
    """Yield the table with its sealed rows as they are, as NaN, with other values, fewer, and more of them."""
    inside = sealed.mask(table.columns)
    yield table
    blank = {}
    for name, column in table.columns.items():
        blank[name] = _blanked(column, inside)
    yield replace(table, columns=blank, weight=np.where(inside, np.nan, table.weight))
    source = np.flatnonzero(inside)
    for rows in (np.repeat(source[:1], len(source)), source[: len(source) // 2], np.tile(source, 3)):
        index = np.concatenate([rows, np.flatnonzero(~inside)])
        yield replace(
            table,
            columns={name: column[index] for name, column in table.columns.items()},
            weight=np.where(np.arange(len(index)) < len(rows), 7.0, table.weight[index]),
        )


def _blanked(column: Any, inside: NDArray[np.bool_]) -> Any:
    """Return a column of floats, or of lists of them, with NaN in some rows."""
    return column + np.where(inside, np.nan, 0.0) if buffers(column)[-1].dtype.kind == "f" else column


def closes(case: Case) -> None:
    """On one toy, each channel agrees with the truth within 4 of its stated uncertainties."""
    found = estimate(case.setup(seed=2), case.channels, replicas=case.replicas, seed=2)
    for channel in case.channels:
        part, true = found.total(channel.name), float(case.truth[found.bins(channel.name)].sum())
        if abs(part.value - true) > 4 * part.total:
            _break(case, f"{channel.name}: {part.value:.6g} ± {part.total:.2g}, true {true:.6g}")


def pulls(case: Case) -> None:
    """Over toys, each channel's pull has mean 0 ± 0.1 and width 1 ± 0.1, up to 3 of their standard errors."""
    if case.toys == 0:
        return
    rows = np.array([_pull(case, toy) for toy in range(case.toys)])
    mean, width = rows.mean(axis=0), rows.std(axis=0, ddof=1)
    slack = 3 / np.sqrt(case.toys)
    if (np.abs(mean) > 0.1 + slack).any() or (np.abs(width - 1) > 0.1 + slack / np.sqrt(2)).any():
        _break(case, f"pull means {mean.round(2)}, widths {width.round(2)} over {case.toys} toys")


def _pull(case: Case, toy: int) -> list[float]:
    found = estimate(case.setup(seed=named_seed(17, toy)), case.channels, replicas=case.replicas, seed=toy)
    parts = [(found.total(c.name), float(case.truth[found.bins(c.name)].sum())) for c in case.channels]
    return [(part.value - true) / part.total for part, true in parts]


def members_differ(case: Case) -> None:
    """Vectorised members equal single fits on the same weights, and differ on other resamples."""
    method, events = case.method, case.events().sorted()
    if not isinstance(method, FitsMembers):
        return
    seeds = [named_seed(1, "member", i) for i in range(3)]
    weights = np.stack([events.bootstrap(one).weight for one in seeds])
    models = method.fit_members(events, weights, rngs=[stream(1, "member", i) for i in range(3)])
    region, channel = case.channels[0].region, case.channels[0]
    together = [channel.fill(model.predict(case.events(), region))[0] for model in models]
    for i, one in enumerate(seeds):
        single = method.fit(events.bootstrap(one), rng=stream(1, "member", i))
        alone = channel.fill(single.predict(case.events(), region))[0]
        if not np.allclose(alone, together[i], rtol=max(case.scale_tolerance, 1e-9)):
            _break(case, f"member {i} of three is {together[i]}, alone {alone}")
    if np.array_equal(together[0], together[1]):
        _break(case, "members of different resamples are identical")


def replicas_vary(case: Case) -> None:
    """The estimate has an uncertainty: its replicas, or those that the model brings, differ from one another."""
    found = case.estimate(case.events())
    spread = sum(float(rows.std(axis=0).sum()) for rows in found.replicas.values())
    spread += sum(float(np.abs(up - down).sum()) for up, down in found.variations.values())
    if spread == 0.0:
        _break(case, "neither replicas nor variations move the estimate")
    if isinstance(fitted(case.setup(), seed=1), OffersReplicas) and not found.replicas:
        _break(case, "the model's own replicas were not used")


def refuses_bad_input(case: Case) -> None:
    """Empty, zero-weight and not-finite input raises a DataError; the message names column and region."""
    events = case.events()
    _refused(case, "no rows", lambda: case.estimate(events._take(np.zeros(0, np.int64))), ())
    _refused(case, "zero weights", lambda: case.estimate(0.0 * events), ("region",))
    first, *others = case.draw(1)
    for value in (np.nan, np.inf):
        weight = first.weight.copy()
        weight[len(weight) // 2] = value
        broken = replace(first, weight=weight)
        _refused(case, f"weight {value}", lambda broken=broken: join([broken, *others]), ())
        for name in case.features:
            old = first.columns[name]
            # arithmetic keeps the lists of a column of lists
            column = np.full(len(weight), value) if isinstance(old, np.ndarray) else 0.0 * old + value
            broken = replace(first, columns={**first.columns, name: column})
            _refused(
                case, f"{name} = {value}", lambda broken=broken: _predicted(case, broken, others), (name, "region")
            )


def _predicted(case: Case, first: Table, others: Sequence[Table]) -> None:
    """Fit and predict without filling, since a channel refuses what it cannot bin by itself."""
    events = join([first, *others])
    model = fitted(Setup(case.method, events), seed=1)
    for channel in case.channels:
        model.predict(events, channel.region)


def _refused(case: Case, what: str, run: Callable[..., object], words: Sequence[str]) -> None:
    try:
        run()
    except DataError as error:
        missing = [word for word in words if word not in str(error)]
        if missing:
            _break(case, f"{what}: the error does not say {missing}: {error}")
        return
    except Exception as error:
        raise LawBroken(f"{case.name}: {what}: {type(error).__name__} instead of DataError: {error}") from error
    _break(case, f"{what}: accepted in silence")


LAWS: Mapping[str, Callable[[Case], None]] = {
    law.__name__: law
    for law in (
        same_seed_same_estimate,
        chunks_do_not_matter,
        order_does_not_matter,
        fit_leaves_settings,
        weights_scale,
        predicts_inside_region,
        predict_repeats,
        row_wise_is_additive,
        survives_saving,
        keeps_the_blinding_promise,
        closes,
        pulls,
        members_differ,
        replicas_vary,
        refuses_bad_input,
    )
}
"""Law name to its check; all take a `Case`."""
