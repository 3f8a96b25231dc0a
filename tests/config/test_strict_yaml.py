import json
import math
import time

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from backdrop.config import strict_yaml
from backdrop.config.strict_yaml import parse
from backdrop.errors import ConfigError


def refused(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse(text, "a.yaml")
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 1e-3),
        ("-1.5E+3", -1500.0),
        (".5", 0.5),
        ("3.", 3.0),
        ("-7", -7),
        ("0", 0),
        ("no", "no"),
        ("off", "off"),
        ("yes", "yes"),
        ("on", "on"),
        ("n", "n"),
        ("true", True),
        ("False", False),
        ("~", None),
        ("null", None),
        ("", None),
        (".inf", math.inf),
        ("1_000", "1_000"),
        ("1:30", "1:30"),
        ("2024-01-01", "2024-01-01"),
        ("0x1F", "0x1F"),
        ("'010'", "010"),
        ('"1e-3"', "1e-3"),
        ("4b", "4b"),
        ("=", "="),
    ],
)
def test_a_scalar_means_one_thing(text, value):
    found = parse(f"a: {text}").plain()["a"]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("text", ["010", "007", "-012", "0_7"])
def test_octal_looking_numbers_are_refused(text):
    message = refused(f"a: {text}")
    assert message.startswith(f"a.yaml:1:4: {text} reads as")
    assert message.endswith(f"  1 | a: {text}\n    |    {'^' * len(text)}")


def test_a_key_given_twice_names_both_lines():
    message = refused("x:\n  cut: 1\n  b: 2\n  cut: 3\n")
    assert message.startswith("a.yaml:4:3: the key 'cut' is given twice, first in line 2")
    assert "  4 |   cut: 3\n    |   ^^^" in message


@pytest.mark.parametrize(
    ("text", "place", "reason"),
    [
        ("a: !!python/object/apply:os.system [ls]", "1:4", "tag"),
        ("a: !!str 3", "1:4", "tag"),
        ("a: !mine 3", "1:4", "tag"),
        ("a: ! 3", "1:4", "tag"),
        ("!!map {a: 1}", "1:1", "tag"),
        ("%TAG ! tag:x,2000:\n---\na: 1", "1:1", "tags"),
        ("a: 1\n---\nb: 2", "2:1", "second document"),
        ("a: &x {b: 1}\nc:\n  <<: *x", "3:3", "merge"),
        ("a: *x", "1:4", "anchor"),
        ("a: &x [*x]", "1:8", "anchor"),
        ("1: 2", "1:1", "key must be a text"),
        ("true: 2", "1:1", "quote it"),
        ("? [a, b]\n: 1", "1:3", "key must be a text"),
        ("a: 1e400", "1:4", "too large"),
        ("a: " + "9" * 5000, "1:4", "digits"),
        ("a:\n\t- 1", "2:1", "not YAML"),
        ("a: [1, 2", "1:9", "not YAML"),
        ("a: 'x\n", "2:1", "not YAML"),
        ("", "1:1", "empty"),
        ("# nothing", "1:10", "empty"),
        ('a: "\\ud800"', "1:4", "surrogate"),
        ("[" * 60, "1:52", "nested"),
        ("a: " + "{b: " * 60 + "1" + "}" * 60, "1:201", "nested"),
    ],
)
def test_what_is_not_plain_yaml_is_refused_with_its_place(text, place, reason):
    message = refused(text)
    assert message.startswith(f"a.yaml:{place}: ")
    assert reason in message.splitlines()[0]


def test_nothing_runs_while_a_tag_is_refused(tmp_path):
    victim = tmp_path / "victim"
    refused(f"a: !!python/object/apply:builtins.open ['{victim}', 'w']")
    assert not victim.exists()


def test_an_alias_stands_for_its_value():
    assert parse("a: &x [1, 2]\nb: *x").plain() == {"a": [1, 2], "b": [1, 2]}


def test_an_alias_bomb_is_refused_quickly():
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    lines += [f"{new}: &{new} [{', '.join(['*' + old] * 9)}]" for old, new in zip("abcdefgh", "bcdefghi", strict=True)]
    assert len("\n".join(lines)) < 500
    start = time.process_time()
    assert "stand for more than" in refused("\n".join(lines))
    assert time.process_time() - start < 5


def test_more_than_a_hundred_aliases_are_refused():
    assert parse("a: &x 1\nb: [" + ", ".join(["*x"] * 100) + "]").plain()["b"] == [1] * 100
    assert "more than 100 aliases" in refused("a: &x 1\nb: [" + ", ".join(["*x"] * 101) + "]")


def test_size_is_bounded(tmp_path):
    assert "larger than 1000 kB" in refused("a: " + "x" * 1_000_000)
    large = tmp_path / "large.yaml"
    large.write_bytes(b"#" * 1_000_001)
    with pytest.raises(ConfigError, match="larger than 1000 kB"):
        strict_yaml.read(large)
    assert "more than 20000 values" in refused("[" + "1," * 25_000 + "]")


def test_a_file_that_is_no_text_is_refused(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_bytes(b"a: \xff\xfe")
    with pytest.raises(ConfigError, match=r"not UTF-8 text: byte 3 is 0xff"):
        strict_yaml.read(path)
    path.write_bytes(b"a: \x00")
    with pytest.raises(ConfigError, match="character 3"):
        strict_yaml.read(path)
    path.write_bytes(b"\xef\xbb\xbfa: 1")
    assert strict_yaml.read(path).plain() == {"a": 1}


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    with pytest.raises(ConfigError, match=r"cannot read the configuration '.*none.yaml': No such file"):
        strict_yaml.read(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match="is a directory"):
        strict_yaml.read(tmp_path)


def test_a_long_line_is_shown_around_its_place():
    message = refused("a: [" + "b, " * 100 + "010]")
    assert "010" in message.splitlines()[1]
    assert all(len(line) <= 110 for line in message.splitlines()[1:])
    assert message.splitlines()[1].index("010") == message.splitlines()[2].index("^")


def test_positions_are_found_by_path():
    document = parse("a:\n  b:\n    - x\n    - {c: 7}\n", "a.yaml")
    assert document.message(("a", "b", 1, "c"), "here").startswith("a.yaml:4:11: here")
    assert document.message(("a", "b", 1, "c"), "here", on_key=True).startswith("a.yaml:4:8: here")
    assert document.message(("a", "b", 1, "gone", 3), "here").startswith("a.yaml:4:7: here")


_PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**15), 10**15)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=15,
)


@given(_PLAIN)
def test_what_json_says_is_read_as_json_says(value):
    assert parse(json.dumps({"value": value})).plain()["value"] == value


@given(st.text(max_size=80))
def test_no_text_breaks_the_reader(text):
    try:
        parse(text)
    except ConfigError as error:
        assert "<text>" in str(error)


@given(st.text(alphabet="ab:-[]{}&*!|>'\"?%#, \n\t01.e<", max_size=60))
def test_no_yaml_like_text_breaks_the_reader(text):
    try:
        found = parse(text).plain()
    except ConfigError:
        return
    strings = yaml.load(text, Loader=yaml.BaseLoader)
    assert _shape(found) == _shape(strings)


def _shape(value):
    if isinstance(value, dict):
        return {str(name): _shape(inside) for name, inside in value.items()}
    return [_shape(item) for item in value] if isinstance(value, list) else "scalar"
