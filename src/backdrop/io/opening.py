"""read(): the call that turns paths into events."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, overload

from ..errors import BlindedError, DataError
from ..events import Events, Seal
from ..region import Region
from .door import Derived, Door, derivations
from .files import File
from .preflight import prepare
from .source import EventFiles

__all__ = ["read"]

_log = logging.getLogger(__name__)


@overload
def read(
    paths: Any,
    columns: Sequence[str] | None = None,
    *,
    sample: str = "data",
    tree: str | None = None,
    weight: str | None = None,
    keys: Sequence[str] = (),
    seal: Region | Seal | None = None,
    rename: Mapping[str, str] | None = None,
    derived: Mapping[str, str] | Iterable[Derived] | None = None,
    fill: Mapping[str, float] | None = None,
    lazy: Literal[False] = False,
    chunk_rows: int | None = None,
    unblind: str | None = None,
) -> Events: ...


@overload
def read(
    paths: Any,
    columns: Sequence[str] | None = None,
    *,
    sample: str = "data",
    tree: str | None = None,
    weight: str | None = None,
    keys: Sequence[str] = (),
    seal: Region | Seal | None = None,
    rename: Mapping[str, str] | None = None,
    derived: Mapping[str, str] | Iterable[Derived] | None = None,
    fill: Mapping[str, float] | None = None,
    lazy: Literal[True],
    chunk_rows: int | None = None,
    unblind: str | None = None,
) -> EventFiles: ...


def read(
    paths: Any,
    columns: Sequence[str] | None = None,
    *,
    sample: str = "data",
    tree: str | None = None,
    weight: str | None = None,
    keys: Sequence[str] = (),
    seal: Region | Seal | None = None,
    rename: Mapping[str, str] | None = None,
    derived: Mapping[str, str] | Iterable[Derived] | None = None,
    fill: Mapping[str, float] | None = None,
    lazy: bool = False,
    chunk_rows: int | None = None,
    unblind: str | None = None,
) -> Events | EventFiles:
    """Read one sample's events from ROOT, Parquet or CSV files, or from a table in memory.

    Only the named columns are read, and what weight, keys, seal and derived columns need. Rows inside `seal`, and rows
    where that is undefined, are dropped before anything else sees them.

    Parameters
    ----------
    paths
        A path, glob or URL, ``"file.root:tree"``, a list of them, ``{path: tree}``; or a data frame, an awkward array,
        an Arrow table, a dict of arrays.
    columns
        The columns of the events; all by default.
    sample
        The sample's name.
    tree
        The TTree or RNTuple, where a path does not name it and a file holds several.
    weight
        The column of signed weights; unit weights by default.
    keys
        Integer columns that identify an event (run, luminosityBlock, event). Without them, an event is identified by
        the position of its file in `paths` and its number among the file's open rows.
    seal
        Region, or `backdrop.seal`, whose rows are dropped.
    rename
        New name to the file's own, as in ``{"jet_pt": "Jet.PT"}``.
    derived
        Columns computed from others in the cut language, before sealing: name to expression, or `Derived`.
    fill
        Value that stands for missing entries of a column. Without it a missing float is NaN.
    lazy
        Return `EventFiles`, which reads when asked and in chunks, instead of `Events`.
    chunk_rows
        Open rows of a chunk; by default as many as fit into 32 MB.
    unblind
        The reason for keeping the rows of `seal` after all. It is logged.

    Raises
    ------
    DataError
        If files are missing, damaged, given twice or differ in their columns (all of them are named), or a weight of
        an open row is not finite.
    BlindedError
        If `unblind` is given without a reason.
    CutError
        If a derived column or the seal cannot be evaluated.

    Examples
    --------
    >>> import numpy as np
    >>> from backdrop import Region
    >>> table = {"m": np.array([90.0, 125.0, 200.0]), "w": np.array([1.0, 0.5, -1.0])}
    >>> read(table, ["m"], weight="w", seal=Region("SR", "(m > 110) & (m < 140)")).weight
    array([ 1., -1.])
    """
    if chunk_rows is not None and chunk_rows < 1:
        raise DataError(f"chunk_rows={chunk_rows}: a chunk needs at least one row")
    if not isinstance(seal, Region | Seal | None):
        raise DataError(f"seal={seal!r} is no Region; give Region(name, cut), or backdrop.seal(region, reveal=...)")
    if unblind is not None:
        _log_unblinding(seal, unblind, sample)
        seal = None
    door = Door(
        sample,
        weight,
        (keys,) if isinstance(keys, str) else tuple(keys),
        Seal(seal) if isinstance(seal, Region) else seal,
        dict(rename or {}),
        derivations(derived),
        dict(fill or {}),
    )
    named = [columns] if isinstance(columns, str) else columns
    events = EventFiles.of(prepare(paths, named, tree, door, chunk_rows))
    if not lazy:
        return events.load()
    if not isinstance(events.terms[0].reading.inputs[0], File):
        raise DataError("lazy=True needs files; a table in memory is read at once")
    return events


def _log_unblinding(seal: Region | Seal | None, reason: str, sample: str) -> None:
    if seal is None:
        raise BlindedError("unblind= is given, but nothing is sealed: leave it out, or name the seal")
    if not reason.strip():
        raise BlindedError("unblind= needs a reason, which is logged")
    region = seal.region if isinstance(seal, Seal) else seal
    _log.warning("unblinded: region '%s' of sample '%s'; reason: %s", region.name, sample, reason)
