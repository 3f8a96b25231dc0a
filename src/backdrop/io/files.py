"""Files: what the paths of a call mean, which of them are the same file, and what a file is by its content."""

from __future__ import annotations

import functools
import glob
import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..errors import DataError
from .remote import filesystem, guarded, is_remote

_MAGIC = {b"root": "root", b"PAR1": "parquet"}
_SUFFIXES = {".root": "root", ".parquet": "parquet", ".pq": "parquet", ".csv": "csv", ".csv.gz": "csv"}
_TITLES = {"root": "ROOT", "parquet": "Parquet", "csv": "CSV"}
_LISTED = 20


@dataclass(frozen=True)
class File:
    """A file to be read: its path or URL, the tree inside, its format, and for a CSV the types that are known."""

    path: str
    tree: str | None = None
    format: str = ""
    types: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        return f"{self.path}:{self.tree}" if self.tree else self.path

    @property
    def remote(self) -> bool:
        """Whether it is a URL."""
        return is_remote(self.path)


def expand(paths: Iterable[Any], tree: str | None) -> list[File]:
    """Return the files that paths and globs stand for, globs in the order of their names.

    Raises
    ------
    DataError
        If a file is missing, a glob matches nothing, or two paths lead to one file.
    """
    files: list[File] = []
    failed: list[str] = []
    for path in paths:
        try:
            files.extend(_matches(os.fspath(path), tree))
        except DataError as error:
            failed.append(str(error))
    if failed:
        raise DataError("; ".join(failed[:_LISTED]))
    if not files:
        raise DataError("no file to read: the list of paths is empty")
    _refuse_duplicates(files)
    return files


def _matches(text: str, tree: str | None) -> Iterator[File]:
    path, inside = _split(text)
    if inside and tree and inside != tree:
        raise DataError(f"'{text}' names the tree '{inside}', but tree='{tree}' is given as well; name it once")
    found = guarded(path, lambda: _found(path))
    if not found:
        raise DataError(_missing(path))
    for one in found:
        yield File(one, inside or tree)


def _found(path: str) -> list[str]:
    if is_remote(path):
        system, inside = filesystem(path)
        if not glob.has_magic(path):
            return [path]
        return sorted(system.unstrip_protocol(one) for one in system.glob(inside))
    path = os.path.expanduser(path.removeprefix("file://"))
    if os.path.isdir(path):
        raise DataError(f"'{path}' is a folder; name its files, as in '{os.path.join(path, '*.root')}'")
    if os.path.exists(path):
        return [path]
    return sorted(glob.glob(path, recursive=True)) if glob.has_magic(path) else []


def _missing(path: str) -> str:
    if is_remote(path):
        return f"'{path}' matches no file on the server"
    what = "matches no file" if glob.has_magic(path) else "does not exist"
    return f"'{path}' {what} (looked from {os.getcwd()})"


def _split(text: str) -> tuple[str, str | None]:
    """Split ``file.root:tree``; a colon of a URL or of an existing file's name is no separator."""
    head, colon, tail = text.rpartition(":")
    if not colon or tail.startswith("//") or os.path.exists(text) or not head:
        return text, None
    if head.endswith((".root", ".root*", "*")) or os.path.isfile(os.path.expanduser(head)):
        return head, tail or None
    return text, None


def _refuse_duplicates(files: list[File]) -> None:
    seen: dict[tuple[Any, ...], File] = {}
    for file in files:
        other = seen.setdefault((real(file.path), file.tree), file)
        if other is not file:
            raise DataError(f"the same file is given twice: '{other}' and '{file}'; its events would count twice")


def refuse_copies(files: Iterable[File]) -> None:
    """Refuse local files of equal content; only files of equal size are looked into.

    Raises
    ------
    DataError
        Naming the two files.
    """
    sizes: dict[tuple[Any, ...], list[File]] = {}
    for file in files:
        if not file.remote:
            sizes.setdefault((os.path.getsize(file.path), file.tree), []).append(file)
    for same in sizes.values():
        if len(same) > 1:
            _refuse_equal(same)


def _refuse_equal(files: list[File]) -> None:
    seen: dict[str, File] = {}
    for file in files:
        other = seen.setdefault(digest(file.path), file)
        if other is not file:
            raise DataError(
                f"'{other}' and '{file}' have the same content, byte by byte; their events would count twice: "
                "leave one out"
            )


def real(path: str) -> str:
    """Return what identifies a path: the real path of a local file, the URL of a remote one."""
    return path if is_remote(path) else os.path.realpath(path.removeprefix("file://"))


def digest(path: str) -> str:
    """Return the SHA-256 of a local file's content."""
    found = os.stat(path)
    return _digest(os.path.realpath(path), found.st_size, found.st_mtime_ns)


@functools.lru_cache(maxsize=65536)
def _digest(path: str, size: int, changed: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def identify(file: File) -> File:
    """Return the file with the format that its content and its name agree on.

    Raises
    ------
    DataError
        If the content is not what the name says, or neither says anything.
    """
    head, size = guarded(file.path, lambda: _head(file))
    content = _MAGIC.get(head)
    name = next((kind for suffix, kind in _SUFFIXES.items() if file.path.lower().endswith(suffix)), None)
    if name and name != "csv" and content != name:
        raise DataError(f"not a {_TITLES[name]} file: {file.path} ({size} bytes){_instead(content)}")
    if name == "csv" and content:
        raise DataError(f"not a CSV file: {file.path} ({size} bytes){_instead(content)}")
    if not (name or content):
        raise DataError(f"{file.path} is neither a ROOT nor a Parquet file ({size} bytes), nor is it named .csv")
    if file.tree and (name or content) != "root":
        raise DataError(f"{file.path} is a {_TITLES[name or content or '']} file: it has no tree '{file.tree}'")
    return replace(file, format=name or content or "")


def _instead(content: str | None) -> str:
    return f"; its content is {_TITLES[content]}" if content else ""


def _head(file: File) -> tuple[bytes, int]:
    if not file.remote:
        with open(file.path, "rb") as opened:
            return opened.read(4), os.path.getsize(file.path)
    system, inside = filesystem(file.path)
    with system.open(inside, "rb") as opened:
        return opened.read(4), int(system.size(inside) or 0)


def is_path(value: Any) -> bool:
    """Say whether a value names a file."""
    return isinstance(value, str | os.PathLike)


def is_tree_table(value: Any) -> bool:
    """Say whether a mapping goes from paths to trees."""
    return isinstance(value, Mapping) and bool(value) and all(isinstance(tree, str) for tree in value.values())
