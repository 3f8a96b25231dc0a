from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import pytest

from backdrop import Channel, Region
from backdrop.config import settings
from backdrop.config.regions import Regions
from backdrop.config.settings import Scope
from backdrop.config.strict_yaml import parse
from backdrop.errors import ConfigError
from backdrop.method import Method

if TYPE_CHECKING:
    import somewhere
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Flat:
    pass


@dataclass(frozen=True)
class Edges:
    inside: tuple[float, ...]


@dataclass(frozen=True)
class PolyFit:
    column: str
    degree: int = 1


@dataclass(frozen=True)
class Inner:
    target: Region
    scale: float = 2.0

    def __post_init__(self) -> None:
        if self.scale < 0:
            raise ConfigError(f"the scale is negative: {self.scale}")

    def fit(self, events, *, rng):
        raise NotImplementedError


@dataclass(frozen=True)
class Outer:
    source: Region
    features: tuple[str, ...] = ()
    window: tuple[float, float] = (0.0, 1.0)
    shape: Flat | PolyFit = Flat()
    kind: Literal["count", "fit"] = "count"
    limit: float | None = None
    factor: float | Region = 1.0
    where: str | Region = "x"
    names: Mapping[str, int] = field(default_factory=dict)
    edges: Sequence[float] = ()
    method: Method | None = None
    axis: Any = None
    device: somewhere.Device = None
    table: NDArray[somewhere.float64] | None = None
    channel: Channel | None = None
    verbose: bool = False
    hidden: int = field(default=3, init=False)


METHODS: dict[str, type] = {"inner": Inner, "outer": Outer}


def built(text: str, kind: type = Outer) -> Any:
    document = parse(
        "regions: {A: m > 1, B: n > 2}\nsettings:\n" + "".join(f"  {line}\n" for line in text.splitlines())
    )
    given = document.plain()
    scope = Scope(document, Regions.read(document, given["regions"]), METHODS)
    return settings.build(kind, given["settings"] or {}, scope, ("settings",))


def test_every_kind_of_field_is_made_from_plain_values():
    found = built(
        """\
source: "{A} & {B}"
features: [pt, eta]
window: [1, 2.5]
shape: {type: poly_fit, column: m, degree: 2}
kind: fit
limit: 3
factor: A
where: anything
names: {a: 1}
edges: [0, 1]
method: {type: inner, target: B, scale: 1e-1}
axis: {column: m, bins: 2, range: [0, 4], label: m in GeV}
device: cuda
channel: {region: A, axes: [{column: m, edges: [0, 1, 3]}]}
verbose: true"""
    )
    assert found.source == Region("A & B", "(m > 1) & (n > 2)")
    assert found.features == ("pt", "eta")
    assert found.window == (1.0, 2.5)
    assert found.shape == PolyFit("m", 2)
    assert (found.kind, found.limit, type(found.limit)) == ("fit", 3.0, float)
    assert found.factor == Region("A", "m > 1")
    assert found.where == "anything"
    assert (found.names, found.edges) == ({"a": 1}, (0.0, 1.0))
    assert found.method == Inner(Region("B", "n > 2"), 0.1)
    assert (found.axis.name, found.axis.label, list(found.axis.edges)) == ("m", "m in GeV", [0.0, 2.0, 4.0])
    assert found.device == "cuda"
    assert (found.channel.name, found.channel.region.name) == ("channel", "A")
    assert found.verbose is True


def test_a_type_without_settings_is_a_name():
    assert built("source: A\nshape: flat").shape == Flat()
    assert built("source: A\nlimit:").limit is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("features: [a]", "<text>:2:1: outer needs the setting 'source'"),
        ("source: A\nfeature: [a]", "<text>:4:3: outer has no setting 'feature', did you mean 'features'?"),
        ("source: A\nhidden: 4", "<text>:4:3: outer has no setting 'hidden'"),
        ("source: AA", "<text>:3:11: no region 'AA', did you mean 'A'?"),
        ("source: 3", "'source' must be a region's name, not 3"),
        ("source: A\nfeatures: pt", "<text>:4:13: 'features' must be a list, not the text 'pt'"),
        ("source: A\nfeatures: [pt, 3]", "<text>:4:18: '1' must be a text, not 3"),
        ("source: A\nwindow: [1]", "'window' must be a list of 2, not [1]"),
        ("source: A\nshape: {column: m}", "<text>:4:3: 'shape' needs the key 'type': one of flat, poly_fit"),
        ("source: A\nshape: {type: polyfit}", "<text>:4:17: no type 'polyfit', did you mean 'poly_fit'?"),
        ("source: A\nshape: {type: poly_fit}", "poly_fit needs the setting 'column'"),
        (
            "source: A\nshape: {type: poly_fit, column: m, degree: two}",
            "'degree' must be an integer, not the text 'two'",
        ),
        ("source: A\nkind: fits", "<text>:4:9: 'kind' must be one of count, fit, not 'fits', did you mean 'fit'?"),
        ("source: A\nlimit: x", "'limit' must be a number, not the text 'x'"),
        ("source: A\nverbose: no", "'verbose' must be true or false, not the text 'no'"),
        ("source: A\nverbose: 1", "'verbose' must be true or false, not 1"),
        ("source: A\nwindow: [true, 1]", "must be a number, not True"),
        ("source: A\nnames: [1]", "'names' must be keys with values"),
        ("source: A\nmethod: {type: iner, target: A}", "no type 'iner', did you mean 'inner'?; types: inner, outer"),
        ("source: A\nmethod: {type: inner, target: A, scale: -1}", "<text>:4:11: the scale is negative: -1.0"),
        ("source: A\naxis: {column: m, bins: 2}", "<text>:4:3: axis 'm' needs 'bins' and 'range', or 'edges'"),
        ("source: A\naxis: {column: m, edges: [0, 2, 1]}", "the edges of axis 'm' must increase"),
        ("source: A\naxis: {column: m, edges: [0, 1, 1]}", "the edges of axis 'm' must increase"),
        ("source: A\naxis: {column: m, bin: 2, range: [0, 1]}", "'axis': extra inputs are not permitted"),
    ],
)
def test_a_wrong_setting_is_named_with_its_place(text, message):
    with pytest.raises(ConfigError) as caught:
        built(text)
    assert message in str(caught.value)


def test_a_change_keeps_the_other_settings():
    nominal = built("source: A\nlimit: 3")
    document = parse("regions: {A: m > 1, B: n > 2}\nchange: {source: B, scale: 1}")
    scope = Scope(document, Regions.read(document, document.plain()["regions"]), METHODS)
    assert settings.changed(nominal, {"source": "B"}, scope, ("change",)).source.name == "B"
    assert settings.changed(nominal, {"source": "B"}, scope, ("change",)).limit == 3.0
    with pytest.raises(ConfigError, match=r"<text>:2:21: outer has no setting 'scale'"):
        settings.changed(nominal, {"scale": 1}, scope, ("change",))


def test_arguments_of_a_function_are_checked_like_settings():
    def draw(*, seed: int, number: float = 1.0, columns: tuple[str, ...] = ()) -> None: ...

    document = parse("draw: {number: 3, columns: [a], seed: 1, nmber: 2}")
    scope = Scope(document, Regions(document, {}), {})
    given = {"number": 3, "columns": ["a"]}
    assert settings.arguments(draw, given, scope, ("draw",)) == {"number": 3.0, "columns": ("a",)}
    for wrong, message in (("seed", "has no setting 'seed'"), ("nmber", "did you mean 'number'")):
        with pytest.raises(ConfigError, match=message):
            settings.arguments(draw, {wrong: 1}, scope, ("draw",))


def test_settings_are_described_in_one_line():
    found = built("source: A\nfeatures: [pt, eta]\nshape: {type: poly_fit, column: m}\nnames: {a: 1}")
    axis = built("source: A\naxis: {column: m, bins: 2, range: [0, 4]}").axis
    assert settings.described(found.source) == "A"
    assert settings.described(found.features) == "pt, eta"
    assert settings.described(found.shape) == "poly_fit(column=m, degree=1)"
    assert settings.described(found.names) == "a: 1"
    assert settings.described(Edges((0.05, 20.0))) == "edges(inside=(0.05, 20.0))"
    assert settings.described(axis) == "m: 2 bins from 0 to 4"
    assert settings.described(1.5) == "1.5"


@pytest.mark.parametrize(
    ("name", "text"), [("ABCD", "abcd"), ("FakeFactor", "fake_factor"), ("CGANMethod", "cganmethod")]
)
def test_type_names(name, text):
    assert settings.type_name(type(name, (), {})) == text
