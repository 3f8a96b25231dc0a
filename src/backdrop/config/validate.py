"""From a document to the configuration's model, with errors that point at lines."""

from __future__ import annotations

import types
from collections.abc import Iterator
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from ..errors import ConfigError, nearest
from .document import Document, Path
from .model import NAME, SAMPLE, Configuration

__all__ = ["configuration"]

_MOST = 10
_KINDS = {
    "string_type": "a text",
    "int_type": "an integer",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "keys with values",
    "model_type": "keys with values",
}
_LETTERS = {
    SAMPLE: "letters, digits and _, not starting with a digit",
    NAME: "letters, digits and any of _ . + -, starting with a letter, a digit or _",
}
_WORDS = frozenset({"yes", "no", "on", "off", "y", "n", "true", "false"})


def configuration(document: Document) -> Configuration:
    """Return the configuration that a document holds.

    Raises
    ------
    ConfigError
        If a key is unknown or missing, or a value is of the wrong kind: each with its line, all of them together.
    """
    try:
        return Configuration.model_validate(document.plain())
    except ValidationError as error:
        raise ConfigError(_report(document, error)) from None


def _report(document: Document, error: ValidationError) -> str:
    faults = [(document.line(_place(one)), i, one) for i, one in enumerate(error.errors(include_url=False))]
    texts = [_message(document, one) for _, _, one in sorted(faults, key=lambda fault: fault[:2])]
    more = [f"... and {len(texts) - _MOST} more"] if len(texts) > _MOST else []
    return "\n".join(texts[:_MOST] + more)


def _place(fault: Any) -> Path:
    path: Path = fault["loc"]
    return path[:-1] if fault["type"] == "missing" or path[-1:] == ("[key]",) else path


def _message(document: Document, fault: Any) -> str:
    path: Path = fault["loc"]
    if fault["type"] == "extra_forbidden":
        return document.message(path, _unknown(path), on_key=True)
    if fault["type"] == "missing":
        where = f"'{path[-2]}' needs" if len(path) > 1 else "the configuration needs"
        meaning = _model(path[:-1]).model_fields[str(path[-1])].description
        return document.message(path[:-1], f"{where} the key '{path[-1]}': {meaning}", on_key=True)
    if path[-1:] == ("[key]",):
        return document.message(path[:-1], f"the name '{path[-2]}' {_must(fault)}", on_key=True)
    return document.message(path, f"'{_named(path)}' {_must(fault)}")


def _named(path: Path) -> str:
    """Return the last key of a path, with the position where it ends in a list."""
    keys = [step for step in path if isinstance(step, str)]
    return f"{keys[-1]}[{path[-1]}]" if keys and isinstance(path[-1], int) else ".".join(map(str, path[-1:])) or "file"


def _must(fault: Any) -> str:
    """Say what a value must be, in place of pydantic's wording."""
    kind, given = fault["type"], fault["input"]
    if kind in _KINDS:
        return f"must be {_KINDS[kind]}, not {_described(given)}{_hint(kind, given)}"
    if kind == "string_pattern_mismatch":
        return f"must be made of {_LETTERS.get(fault['ctx']['pattern'], fault['ctx']['pattern'])}: {given!r}"
    if kind == "string_too_long":
        return f"must have at most {fault['ctx']['max_length']} characters, not {len(given)}"
    if kind in ("too_short", "too_long"):
        limit = (
            f"at least {fault['ctx']['min_length']}" if kind == "too_short" else f"at most {fault['ctx']['max_length']}"
        )
        return f"must have {limit} items, not {fault['ctx']['actual_length']}"
    text = fault["msg"].replace("Input should be", "must be").replace("should have", "must have")
    return f"{text[0].lower()}{text[1:]}, not {_described(given)}"


def _described(given: Any) -> str:
    if isinstance(given, str):
        return f"the text '{given:.60}'"
    if given is None:
        return "nothing"
    if isinstance(given, dict):
        return "keys with values"
    return f"a list of {len(given)}" if isinstance(given, list) else str(given).lower()[:60]


def _hint(kind: str, given: Any) -> str:
    if kind == "bool_type" and isinstance(given, str) and given.lower() in _WORDS:
        return "; yes, no, on and off are texts here"
    if kind == "string_type" and isinstance(given, bool | int | float):
        return "; put it in quotes"
    if kind in ("int_type", "float_type") and isinstance(given, str):
        return "; write the number without quotes, underscores or a unit"
    return ""


def _unknown(path: Path) -> str:
    allowed = list(_model(path[:-1]).model_fields)
    return f"unknown key '{path[-1]}'{nearest(str(path[-1]), allowed)}; allowed here: {', '.join(allowed)}"


def _model(path: Path) -> type[BaseModel]:
    """Return the model that holds the keys at `path`."""
    here: Any = Configuration
    for step in path:
        here = here.model_fields[step].annotation if _is_model(here) else get_args(here)[-1]
        here = next(_models(here), here)
    return here if _is_model(here) else Configuration


def _models(annotation: Any) -> Iterator[Any]:
    """Yield what an annotation allows besides None."""
    if get_origin(annotation) is Annotated:
        yield from _models(get_args(annotation)[0])
    elif get_origin(annotation) in (Union, types.UnionType):
        yield from (one for one in get_args(annotation) if one is not type(None))
    else:
        yield annotation


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)
