"""ROOT files: TTree and RNTuple, one named branch or field at a time."""

from __future__ import annotations

import os
import struct
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import pairwise
from typing import Any

from ..errors import DataError, nearest
from .fields import TEXT, Column, Field, field_of, list_of, number
from .files import File
from .tables import Stored

METADATA = "backdrop"
_TREES = ("TTree", "TNtuple", "TNtupleD", "ROOT::RNTuple", "ROOT::Experimental::RNTuple")
_SPLIT = 4


class RootTable:
    """The rows of a TTree or an RNTuple."""

    def __init__(self, file: File) -> None:
        import uproot

        self._file = file
        if not file.remote:
            _refuse_truncated(file)
        options: dict[str, Any] = {} if file.remote else {"handler": uproot.source.file.MultithreadedFileSource}
        path = file.path.removeprefix("file://")
        self._directory = uproot.open({path: None}, array_cache=None, object_cache=None, num_workers=1, **options)
        self._tree = self._directory[_only_tree(self._directory, file)]
        self._is_ntuple = "RNTuple" in self._tree.classname
        text = self._directory.get(METADATA)
        self.stored = Stored.of(str(text), file.path) if text is not None else None

    @cached_property
    def _parts(self) -> dict[str, Any]:
        """Branches by name; by full path where a name is there twice."""
        if self._is_ntuple:
            return {name: self._tree[name] for name in self._tree.keys(recursive=False)}
        found: dict[str, Any] = {}
        for path, branch in self._tree.iteritems(recursive=True, full_paths=True):
            found[path if branch.name in found else branch.name] = branch
        return found

    @property
    def names(self) -> Sequence[str]:
        """The names of all columns; not the counters of list branches where the file was written here."""
        if self.stored is not None:
            return list(self.stored.columns)
        return [name for name, part in self._parts.items() if not self._is_group(part)]

    def _is_group(self, part: Any) -> bool:
        return not self._is_ntuple and bool(part.branches)

    @property
    def entries(self) -> int:
        """The number of rows."""
        return int(self._tree.num_entries)

    def has(self, name: str) -> bool:
        """Say whether there is a branch of this name, or at this path."""
        return self._find(name) is not None

    def _find(self, name: str) -> Any:
        if name in self._parts:
            return self._parts[name]
        try:
            return self._tree[name] if "/" in name or "." in name else None
        except KeyError:
            return None

    def field(self, name: str) -> Field:
        """Return the type of a branch."""
        part = self._find(name)
        return _ntuple_field(self._tree, part) if self._is_ntuple else _branch_field(part)

    def blocks(self, names: Sequence[str], rows: int, start: int = 0) -> Iterator[dict[str, Column]]:
        """Yield the named branches from entry `start` on, in whole baskets or clusters where they are small."""
        parts = {name: self._find(name) for name in names}
        lists = {name: self.field(name).kind != "number" for name in names}
        boundaries = self._boundaries(parts)
        edges = _edges(boundaries, rows, start)
        cache = _FirstClusters(self._clusters(), edges[1:-1]) if self._is_ntuple and len(edges) > 2 else None
        for first, last in pairwise(edges):
            yield {
                name: part.array(
                    entry_start=first, entry_stop=last, library="ak" if lists[name] else "np", array_cache=cache
                )
                for name, part in parts.items()
            }

    def _clusters(self) -> list[tuple[int, int]]:
        """Return the first entry of each cluster and the one behind its last."""
        clusters = self._tree.ntuple.cluster_summaries
        return [(int(one.num_first_entry), int(one.num_first_entry + one.num_entries)) for one in clusters]

    def _boundaries(self, parts: dict[str, Any]) -> list[int]:
        """Return where baskets or clusters begin, and the end; all must agree on that.

        Raises
        ------
        DataError
            If the file contradicts itself.
        """
        if self._is_ntuple:
            found = {0, *(end for _, end in self._clusters())}
            ends = {max(found)}
        else:
            found = {0, *(int(edge) for part in parts.values() for edge in part.entry_offsets)}
            ends = {int(part.entry_offsets[-1]) for part in parts.values()}
        if ends != {self.entries} or min(found) < 0 or max(found) > self.entries:
            raise DataError(f"{self._file}: branches and tree do not hold equally many entries; it is damaged")
        return sorted(found)

    def close(self) -> None:
        """Let go of the file."""
        self._directory.close()


class _FirstClusters(dict[str, Any]):
    """Keeps what uproot reads twice of an RNTuple: for a range that ends with a cluster, it reads the next one as well.

    Its keys end in the numbers of cluster and column.
    """

    def __init__(self, clusters: Sequence[tuple[int, int]], edges: Sequence[int]) -> None:
        super().__init__()
        wanted = set(edges)
        self._twice = {str(number) for number, (first, _) in enumerate(clusters) if first in wanted}

    def __setitem__(self, key: str, value: Any) -> None:
        if key.split(":")[-2] in self._twice:
            super().__setitem__(key, value)

    def get(self, key: str, default: Any = None) -> Any:
        """Hand a cluster out for the second and last time."""
        return self.pop(key, default)


def _edges(boundaries: Sequence[int], rows: int, start: int) -> list[int]:
    """Return where blocks begin and end: at boundaries, about `rows` apart, at most four times that."""
    edges, end = [start], boundaries[-1]
    while edges[-1] < end:
        last = boundaries[bisect_right(boundaries, edges[-1] + rows) - 1]
        following = last if last > edges[-1] else boundaries[bisect_right(boundaries, edges[-1])]
        edges.append(min(following, edges[-1] + _SPLIT * rows))
    return edges


def _only_tree(directory: Any, file: File) -> str:
    """Return the name of the tree to read: the one named, or the only one there is."""
    classes = directory.classnames(recursive=True, cycle=False)
    trees = sorted(name for name, kind in classes.items() if kind in _TREES)
    if file.tree is None and len(trees) == 1:
        return str(trees[0])
    if file.tree is not None and file.tree in trees:
        return file.tree
    there = ", ".join(trees) or "none"
    if file.tree is None:
        what = "no tree" if not trees else f"{len(trees)} trees ({there}); name one, as in '{file.path}:{trees[0]}'"
        raise DataError(f"{file.path} holds {what}")
    raise DataError(f"{file.path} holds no tree '{file.tree}'{nearest(file.tree, trees)}; trees: {there}")


def _branch_field(branch: Any) -> Field:
    import uproot

    kinds = uproot.interpretation
    found = branch.interpretation
    if isinstance(found, kinds.numerical.AsDtype):
        dtype = found.to_dtype
        if dtype.fields is not None:
            return Field("unreadable", branch.typename)
        return number(dtype) if not dtype.shape else list_of(dtype.base)
    if isinstance(found, kinds.jagged.AsJagged) and isinstance(found.content, kinds.numerical.AsDtype):
        dtype = found.content.to_dtype
        if dtype.fields is None and not dtype.shape:
            return list_of(dtype)
    if isinstance(found, kinds.strings.AsStrings):
        return TEXT
    if isinstance(found, kinds.identify.UnknownInterpretation | kinds.grouped.AsGrouped):
        return Field("unreadable", str(branch.typename))
    return Field("nested", str(branch.typename))


def _ntuple_field(tree: Any, part: Any) -> Field:
    form, _ = tree.to_akform(filter_field=lambda field: field is part)
    return field_of(form.content(part.name).type)


def _refuse_truncated(file: File) -> None:
    """Compare the length that the header states with the file's own."""
    path = file.path.removeprefix("file://")
    size = os.path.getsize(path)
    with open(path, "rb") as opened:
        head = opened.read(64)
    if len(head) < 64:
        raise DataError(f"not a ROOT file: {path} ({size} bytes)")
    big = struct.unpack(">i", head[4:8])[0] >= 1_000_000
    end = struct.unpack(">q", head[12:20])[0] if big else struct.unpack(">i", head[12:16])[0]
    if end > size:
        raise DataError(f"{path} is truncated: {size} bytes found, {end} expected{_first_beyond(file, size)}")


def _first_beyond(file: File, size: int) -> str:
    """Name a branch that is cut off, where the directory can still be read."""
    import uproot

    try:
        with uproot.open({file.path: None}, array_cache=None, object_cache=None) as directory:
            tree = directory[_only_tree(directory, file)]
            for branch in tree.itervalues(recursive=True):
                used = slice(0, branch.num_baskets)
                ends = branch.member("fBasketSeek")[used] + branch.member("fBasketBytes")[used]
                if len(ends) and int(ends.max()) > size:
                    return f"; branch '{branch.name}' reaches to byte {int(ends.max())}"
    except Exception:
        return "; its list of trees is lost"
    return ""
