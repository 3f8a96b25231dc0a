"""Objects from settings: any frozen dataclass of regions, axes, numbers, texts and other dataclasses.

What a class takes is read from its fields and their types, so a new method needs nothing here.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass, replace
from functools import cache
from inspect import signature
from itertools import pairwise
from pathlib import Path as FilePath
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import ValidationError

from ..channel import Channel
from ..correction import read_maps
from ..errors import BackdropError, ConfigError, nearest
from ..maps import BinnedMap
from ..method import Method
from ..region import Region
from . import model
from .document import Document, Path
from .regions import Regions

__all__ = ["Scope", "arguments", "axis", "build", "changed", "described", "type_name"]

_KNOWN = {"BinnedMap": BinnedMap, "Channel": Channel, "Method": Method, "Region": Region}


@dataclass(frozen=True)
class Scope:
    """What settings may name: regions of the analysis, methods by type name, and files from its folder."""

    document: Document
    regions: Regions
    methods: Mapping[str, type]
    folder: FilePath = FilePath()


def build(kind: type, given: Mapping[str, Any], scope: Scope, path: Path) -> Any:
    """Return an object of a dataclass from settings that stand at `path`.

    Raises
    ------
    ConfigError
        If a setting is unknown, missing, or of the wrong kind.
    """
    known = [field for field in fields(kind) if field.init]
    _refuse_unknown(type_name(kind), [field.name for field in known], given, scope, path)
    if missing := [f"'{field.name}'" for field in known if _required(field) and field.name not in given]:
        raise scope.document.error(path, f"{type_name(kind)} needs the setting {', '.join(missing)}", on_key=True)
    return _made(lambda values: kind(**values), kind, given, scope, path)


def changed(nominal: Any, given: Mapping[str, Any], scope: Scope, path: Path) -> Any:
    """Return a dataclass with some settings replaced by those that stand at `path`; nested ones as well.

    ``factor: {region: other}`` changes the region of the factor and leaves the rest of it; with a ``type`` it is a new
    one.

    Raises
    ------
    ConfigError
        If a setting is unknown or of the wrong kind.
    """
    old = {name: getattr(nominal, name, None) for name in given}
    inner = {name: one for name, one in given.items() if _is_part(old[name], one)}
    parts = {name: changed(old[name], one, scope, (*path, name)) for name, one in inner.items()}
    rest = {name: one for name, one in given.items() if name not in inner}
    return _made(lambda values: replace(nominal, **values, **parts), type(nominal), rest, scope, path)


def _is_part(old: Any, given: Any) -> bool:
    """Say whether settings are a part of those of a dataclass."""
    parts = is_dataclass(old) and not isinstance(old, type | Region | BinnedMap)
    return parts and isinstance(given, Mapping) and "type" not in given


def _made(make: Callable[[dict[str, Any]], Any], kind: type, given: Mapping[str, Any], scope: Scope, path: Path) -> Any:
    """Return what `make` makes of settings read as the fields of `kind`; its errors get the place."""
    hints = _hints(kind)
    known = {field.name: hints[field.name] for field in fields(kind) if field.init}
    values = _values(type_name(kind), known, given, scope, path)
    try:
        return make(values)
    except BackdropError as error:
        raise scope.document.located(path, error) from None


def arguments(function: Callable[..., Any], given: Mapping[str, Any], scope: Scope, path: Path) -> dict[str, Any]:
    """Return settings at `path` as the arguments of a function (`seed` is not one of them).

    Raises
    ------
    ConfigError
        If an argument is unknown or of the wrong kind.
    """
    hints = _hints(function)
    known = {name: hints.get(name, Any) for name in signature(function).parameters if name != "seed"}
    return _values(function.__name__, known, given, scope, path)


def axis(given: model.Axis, document: Document, path: Path) -> Any:
    """Return the `hist` axis of a configuration's axis.

    Raises
    ------
    ConfigError
        If it has neither edges nor bins with a range, or edges that do not increase.
    """
    import hist

    if (given.edges is None) == (given.bins is None) or (given.bins is None) != (given.range is None):
        raise document.error(path, f"axis '{given.column}' needs 'bins' and 'range', or 'edges'", on_key=True)
    label = given.label or given.column
    edges = given.edges or given.range or []
    if any(high <= low for low, high in pairwise(edges)):
        part = "edges" if given.edges else "range"
        raise document.error((*path, part), f"the {part} of axis '{given.column}' must increase: {edges}")
    try:
        if given.bins is not None:
            return hist.axis.Regular(given.bins, edges[0], edges[-1], name=given.column, label=label)
        return hist.axis.Variable(edges, name=given.column, label=label)
    except (ValueError, KeyError) as error:
        raise document.error(path, f"axis '{given.column}': {error}") from None


def type_name(kind: type) -> str:
    """Return the name that a configuration gives a class: lower case with underscores.

    Examples
    --------
    >>> class FakeFactor: ...
    >>> class ABCD: ...
    >>> type_name(FakeFactor), type_name(ABCD)
    ('fake_factor', 'abcd')
    """
    name = kind.__name__
    starts = [i for i in range(1, len(name)) if name[i].isupper() and not name[i - 1].isupper()]
    pieces = [name[i:j] for i, j in zip([0, *starts], [*starts, len(name)], strict=True)]
    return "_".join(pieces).lower()


def described(value: Any) -> str:
    """Return a setting as one line of text: regions by name, axes by column and range."""
    if isinstance(value, Region):
        return value.name
    if type(value).__module__.startswith("hist."):
        return f"{value.name}: {len(value)} bins from {value.edges[0]:g} to {value.edges[-1]:g}"
    if isinstance(value, BinnedMap):
        return repr(value)
    if is_dataclass(value) and not isinstance(value, type):
        inside = [f"{field.name}={_inside(getattr(value, field.name))}" for field in fields(value)]
        return f"{type_name(type(value))}({', '.join(inside)})"
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {described(one)}" for name, one in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(described(one) for one in value)
    return str(value)


def _inside(value: Any) -> str:
    """Return a setting of a setting: in brackets where it is a list, whose commas are not those of its owner."""
    return f"({described(value)})" if isinstance(value, list | tuple | Mapping) else described(value)


def _required(field: Field[Any]) -> bool:
    return field.default is MISSING and field.default_factory is MISSING


def _values(owner: str, known: Mapping[str, Any], given: Mapping[str, Any], scope: Scope, path: Path) -> dict[str, Any]:
    _refuse_unknown(owner, list(known), given, scope, path)
    return {name: _value(known[name], value, scope, (*path, name)) for name, value in given.items()}


def _refuse_unknown(owner: str, known: Sequence[str], given: Iterable[str], scope: Scope, path: Path) -> None:
    for name in given:
        if name not in known:
            have = ", ".join(known) or "none"
            text = f"{owner} has no setting '{name}'{nearest(name, known)}; settings: {have}"
            raise scope.document.error((*path, name), text, on_key=True)


@cache
def _hints(kind: Any) -> Mapping[str, Any]:
    """Return the types of the fields; a name that only type checkers import counts as Any."""
    unknown: dict[str, Any] = {}
    while True:
        try:
            return get_type_hints(kind, localns=unknown, include_extras=True)
        except NameError as error:
            if error.name is None or error.name in unknown:
                raise
            unknown[error.name] = _KNOWN.get(error.name, _Unknown())


class _Unknown:
    """Stands for a module or type that is not imported at run time: all that is in it is Any."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Any

    def __getitem__(self, _: Any) -> Any:
        return Any

    def __or__(self, _: Any) -> Any:
        return Any

    __ror__ = __or__


def _value(hint: Any, given: Any, scope: Scope, path: Path) -> Any:
    """Return the value of a setting whose type is `hint`."""
    origin, inside = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _value(inside[0], given, scope, path)
    if origin in (Union, types.UnionType):
        return _one_of(inside, given, scope, path)
    if origin is Literal:
        return _choice(inside, given, scope, path)
    if hint is type(None):
        return _checked(given is None, given, given, "null", scope, path)
    if isinstance(origin, type):
        return _several(origin, inside, given, scope, path)
    return _single(hint, given, scope, path)


def _single(hint: Any, given: Any, scope: Scope, path: Path) -> Any:
    if hint is Region:
        return _region(given, scope, path)
    if hint is Method:
        return _typed(list(scope.methods.values()), given, scope, path)
    if hint is bool:
        return _checked(isinstance(given, bool), given, given, "true or false", scope, path)
    if hint is int:
        return _checked(_is(given, int), given, given, "an integer", scope, path)
    if hint is float:
        ok = _is(given, int | float)
        return _checked(ok, float(given) if ok else given, given, "a number", scope, path)
    if hint is str:
        return _checked(isinstance(given, str), given, given, "a text", scope, path)
    if hint is Channel:
        return _channel(given, scope, path)
    if hint is BinnedMap:
        return _map(given, scope, path)
    if is_dataclass(hint) and isinstance(hint, type):
        return _typed([hint], given, scope, path)
    return _axis(given, scope, path) if isinstance(given, Mapping) and "column" in given else given


def _is(given: Any, kind: Any) -> bool:
    return isinstance(given, kind) and not isinstance(given, bool)


def _checked(ok: bool, value: Any, given: Any, what: str, scope: Scope, path: Path) -> Any:
    if not ok:
        shown = f"the text '{given}'" if isinstance(given, str) else "nothing" if given is None else f"{given}"
        raise scope.document.error(path, f"'{path[-1]}' must be {what}, not {shown:.80}")
    return value


def _region(given: Any, scope: Scope, path: Path) -> Region:
    _checked(isinstance(given, str), given, given, "a region's name", scope, path)
    return scope.regions.at(path, given)


def _axis(given: Any, scope: Scope, path: Path) -> Any:
    return axis(_closed(model.Axis, given, scope, path), scope.document, path)


def _channel(given: Any, scope: Scope, path: Path) -> Channel:
    one = _closed(model.Channel, given, scope, path)
    axes = tuple(axis(item, scope.document, (*path, "axes", i)) for i, item in enumerate(one.axes))
    return Channel(str(path[-1]), scope.regions.at((*path, "region"), one.region), axes)


def _map(given: Any, scope: Scope, path: Path) -> BinnedMap:
    what = "a correctionlib file and the name of a map in it, 'fakes.json:fake_factor'"
    file, _, name = given.rpartition(":") if isinstance(given, str) else ("", "", "")
    _checked(bool(file and name), given, given, what, scope, path)
    try:
        found = read_maps(scope.folder / file)
    except BackdropError as error:
        raise scope.document.located(path, error) from None
    if name not in found:
        have = ", ".join(found) or "none"
        raise scope.document.error(path, f"{file} has no map '{name}'{nearest(name, found)}; maps: {have}")
    return found[name]


def _closed(kind: Callable[..., Any], given: Any, scope: Scope, path: Path) -> Any:
    try:
        return kind(**given)
    except (ValidationError, TypeError) as error:
        first = error.errors()[0] if isinstance(error, ValidationError) else {"loc": (), "msg": str(error)}
        text = f"'{path[-1]}': {str(first['msg']).lower()}"
        raise scope.document.error((*path, *first["loc"]), text) from None


def _choice(allowed: Sequence[Any], given: Any, scope: Scope, path: Path) -> Any:
    if given in allowed:
        return given
    have = ", ".join(map(str, allowed))
    text = f"'{path[-1]}' must be one of {have}, not '{given}'{nearest(str(given), [str(one) for one in allowed])}"
    raise scope.document.error(path, text)


def _several(origin: type, inside: Sequence[Any], given: Any, scope: Scope, path: Path) -> Any:
    """Return a tuple, list or mapping of settings."""
    if issubclass(origin, Mapping):
        _checked(isinstance(given, Mapping), given, given, "keys with values", scope, path)
        return {name: _value(inside[1], value, scope, (*path, name)) for name, value in given.items()}
    if not issubclass(origin, Iterable):
        return given
    _checked(isinstance(given, list), given, given, "a list", scope, path)
    hints = list(inside)
    if origin is not tuple or inside[1:] == (...,):
        hints = [inside[0]] * len(given)
    _checked(len(hints) == len(given), given, given, f"a list of {len(hints)}", scope, path)
    values = [_value(hint, item, scope, (*path, i)) for i, (hint, item) in enumerate(zip(hints, given, strict=True))]
    return frozenset(values) if issubclass(origin, frozenset | set) else tuple(values)


def _one_of(options: Sequence[Any], given: Any, scope: Scope, path: Path) -> Any:
    """Return the value of a setting that may be one of several types."""
    if given is None and type(None) in options:
        return None
    kinds = [one for one in options if one is not type(None)]
    if isinstance(given, str) and BinnedMap in kinds:
        return _map(given, scope, path)
    if isinstance(given, Mapping):
        kinds = [one for one in kinds if one is not BinnedMap] or kinds
    if isinstance(given, Mapping) or len(kinds) == 1:
        classes = [one for one in kinds if _is_class(one)]
        if len(kinds) > 1 and classes:
            return _typed(classes, given, scope, path)
        return _value(kinds[0], given, scope, path)
    if isinstance(given, str) and len(kinds) > 1 and all(map(_is_class, kinds)):
        return _typed(kinds, given, scope, path)
    failed: ConfigError | None = None
    for kind in sorted(kinds, key=_order):
        try:
            return _value(kind, given, scope, path)
        except ConfigError as error:
            failed = failed or error
    raise failed or scope.document.error(path, f"'{path[-1]}' cannot be {given}")


def _is_class(kind: Any) -> bool:
    """Say whether a type is a dataclass of settings."""
    return is_dataclass(kind) and isinstance(kind, type) and kind is not Region


def _order(kind: Any) -> int:
    """Put the strict types first: a text is a region's name before it is any text."""
    ranks = [bool, int, float, Region]
    return ranks.index(kind) if kind in ranks else len(ranks) + (kind is str)


def _typed(classes: Sequence[type], given: Any, scope: Scope, path: Path) -> Any:
    """Return one of several dataclasses, chosen by the key ``type`` (a name alone means no settings)."""
    names = {type_name(one): one for one in classes}
    names |= {name: one for name, one in scope.methods.items() if one in classes}
    if isinstance(given, str):
        given = {"type": given}
    _checked(isinstance(given, Mapping), given, given, "keys with values", scope, path)
    rest = {name: value for name, value in given.items() if name != "type"}
    if "type" not in given and len(classes) == 1:
        return build(classes[0], rest, scope, path)
    have = ", ".join(sorted(names))
    if "type" not in given:
        raise scope.document.error(path, f"'{path[-1]}' needs the key 'type': one of {have}", on_key=True)
    if given["type"] not in names:
        text = f"no type '{given['type']}'{nearest(str(given['type']), names)}; types: {have}"
        raise scope.document.error((*path, "type"), text)
    return build(names[given["type"]], rest, scope, path)
