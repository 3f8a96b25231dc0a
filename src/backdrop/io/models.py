"""save() and load(): fitted models and estimates as a folder that is checked before it is parsed."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import ArtifactError
from ..strict_json import loads
from ..tasks import write_atomic
from .states import Decoder, Encoder

__all__ = ["load", "save"]

SCHEMA = 1
_ARRAYS, _STATE, _MANIFEST = "arrays.safetensors", "state.json", "manifest.json"


def save(value: Any, path: Path | str, *, overwrite: bool = False) -> None:
    """Keep a model, an estimate or any object with ``state()`` in a folder.

    The folder holds ``manifest.json`` (schema, type, SHA-256 of every file), ``state.json``, ``arrays.safetensors`` and
    long texts as ``.txt``. It appears as a whole or not at all.

    Parameters
    ----------
    value
        The object; ``state()`` gives arrays, numbers, texts, lists, mappings and objects with a ``state()``.
    path
        The folder to be made.
    overwrite
        Replace a folder that was saved before.

    Raises
    ------
    ArtifactError
        If the folder exists, or the state holds something that cannot be kept.
    """
    path = Path(path)
    _recover(path)
    if path.exists() and not (overwrite and (path / _MANIFEST).exists()):
        remedy = "give overwrite=True to replace it" if (path / _MANIFEST).exists() else "choose another path"
        raise ArtifactError(f"{path} exists already; {remedy}")
    if not callable(getattr(value, "state", None)):
        raise ArtifactError(f"a {type(value).__qualname__} has no state(), so it cannot be saved")
    files = _files(value)
    staged = path.with_name(f".{path.name}.{os.getpid()}.saving")
    shutil.rmtree(staged, ignore_errors=True)
    try:
        for name, data in files.items():
            write_atomic(staged / name, data)
        _put(staged, path)
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def load(path: Path | str, types: Mapping[str, type]) -> Any:
    """Restore an object that `save` kept.

    Parameters
    ----------
    path
        The folder.
    types
        Name to class, each with ``from_state``: all that may be restored, nested objects included.

    Raises
    ------
    ArtifactError
        If a file is missing or damaged (found before it is parsed), the schema is another one, or a type is not
        allowed.
    """
    path = Path(path)
    _recover(path)
    manifest = _manifest(path)
    contents = {name: _checked(path / name, str(digest)) for name, digest in manifest["files"].items()}
    try:
        from safetensors.numpy import load as parse

        arrays = parse(contents[_ARRAYS])
        texts = {name: data.decode(errors="surrogatepass") for name, data in contents.items() if name.endswith(".txt")}
        state = loads(contents[_STATE])
        return Decoder(arrays, texts, types).restore(str(manifest["type"]), state)
    except ArtifactError as error:
        raise ArtifactError(f"{path}: {error}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise ArtifactError(
            f"{path}: the state of a {manifest['type']} does not fit this version ({type(error).__name__}: {error}); "
            "fit and save it again"
        ) from error


def _files(value: Any) -> dict[str, bytes]:
    """Return the content of the folder; the manifest last."""
    from safetensors.numpy import save as pack

    from ..version import __version__

    encoder = Encoder()
    state = encoder.encode(value.state(), "")
    files = {_ARRAYS: pack(encoder.arrays), _STATE: _json(state)}
    files |= {name: text.encode(errors="surrogatepass") for name, text in encoder.texts.items()}
    manifest = {
        "schema": SCHEMA,
        "backdrop": __version__,
        "type": type(value).__name__,
        "files": {name: hashlib.sha256(data).hexdigest() for name, data in files.items()},
    }
    return {**files, _MANIFEST: _json({**manifest, "digest": _digest(manifest)})}


def _json(value: Any) -> bytes:
    return json.dumps(value, indent=1, allow_nan=False).encode() + b"\n"


def _digest(manifest: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


def _put(staged: Path, path: Path) -> None:
    """Move a finished folder to its place; the old one is kept aside until then."""
    aside = path.with_name(f".{path.name}.replaced")
    if path.exists():
        os.rename(path, aside)
    os.rename(staged, path)
    shutil.rmtree(aside, ignore_errors=True)


def _recover(path: Path) -> None:
    """Bring back the old folder if a writer was stopped while it replaced it."""
    aside = path.with_name(f".{path.name}.replaced")
    if aside.exists() and not path.exists():
        os.rename(aside, path)


def _manifest(path: Path) -> dict[str, Any]:
    from ..version import __version__

    place = path / _MANIFEST
    if not place.is_file():
        raise ArtifactError(f"{path} is no saved object: it has no {_MANIFEST}")
    try:
        found = loads(place.read_bytes())
        schema, digest, files = int(found["schema"]), str(found.pop("digest")), dict(found["files"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ArtifactError(f"{place} is damaged ({type(error).__name__})") from error
    if schema != SCHEMA:
        age = "newer" if schema > SCHEMA else "older"
        raise ArtifactError(
            f"{path} has the {age} schema {schema} (backdrop {found.get('backdrop')}); this is backdrop {__version__} "
            f"with schema {SCHEMA}: {'update the package' if schema > SCHEMA else 'fit and save it again'}"
        )
    if digest != _digest(found):
        raise ArtifactError(f"{place} is damaged: its own SHA-256 does not fit")
    strange = [name for name in files if Path(name).name != name]
    if strange or not {_ARRAYS, _STATE} <= files.keys():
        raise ArtifactError(f"{place} does not list the files of a saved object")
    return dict(found)


def _checked(path: Path, digest: str) -> bytes:
    """Return a file's bytes if they are the ones that were written."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ArtifactError(f"{path} is missing or cannot be read ({error.strerror})") from error
    if hashlib.sha256(data).hexdigest() != digest:
        raise ArtifactError(f"{path} is damaged: its SHA-256 is not the one in {_MANIFEST} ({len(data)} bytes)")
    return data
