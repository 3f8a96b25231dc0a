import jsonschema
import pytest

from backdrop.config.model import Configuration
from backdrop.config.strict_yaml import parse
from backdrop.config.validate import configuration
from backdrop.errors import ConfigError

from .texts import GAUSSIAN, changed, marked


def refused(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        configuration(parse(text, "a.yaml"))
    return str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "message", "also"),
    [
        ("replicas: 20", "@replica: 20", "unknown key 'replica', did you mean 'replicas'?", "allowed here: name"),
        ("seed: 1", "seed: @one", "'seed' must be an integer, not the text 'one'", "without quotes"),
        ("seed: 1", "seed: @1.5", "'seed' must be an integer, not 1.5", ""),
        ("seed: 1", "seed: @true", "'seed' must be an integer, not true", ""),
        ("seed: 1", "seed: @-1", "'seed' must be greater than or equal to 0, not -1", ""),
        (
            "as_variation: true",
            "as_variation: @yes",
            "'as_variation' must be true or false, not the text",
            "on and off",
        ),
        ("bins: 2", "bins: @2.5", "'bins' must be an integer, not 2.5", ""),
        ("range: [120, 140]", "range: @[120]", "'range' must have at least 2 items, not 1", ""),
        ("range: [120, 140]", "range: @120", "'range' must be a list, not 120", ""),
        ("range: [120, 140]", "range: [120, @.inf]", "'range[1]' must be a finite number", ""),
        (
            "column: m, bins",
            "@colunm: m, bins",
            "unknown key 'colunm', did you mean 'column'?",
            "needs the key 'column'",
        ),
        ("name: gaussian\n", "name: @7\n", "'name' must be a text, not 7; put it in quotes", ""),
        ("  SR: {", "  @S R: {", "the name 'S R' must be made of letters, digits", ""),
        ("  abcd:", "  @../abcd:", "the name '../abcd' must be made of letters", ""),
        ("up: {events", "up: {@evnts", "unknown key 'evnts', did you mean 'events'?", ""),
        ("tight: x1 > 1", "tight:@", "'tight' must be a text, not nothing", ""),
        ("seal:\n", "seal: @none\nx:\n", "'seal' must be a list, not the text 'none'", "unknown key 'x'"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(old, new, message, also):
    text, place = marked(changed(old, new))
    found = refused(text)
    assert f"a.yaml:{place}: {message}" in found
    assert also in found


def test_a_missing_key_is_described():
    found = refused(changed("events: data - reals", "event: data"))
    _, place = marked(changed("  abcd:", "  @abcd:"))
    assert f"a.yaml:{place}: 'abcd' needs the key 'events': Samples with signs" in found
    assert refused(changed("seed: 1\n", "")).startswith(
        "a.yaml:1:1: the configuration needs the key 'seed': Root of all"
    )


def test_all_faults_are_listed_in_the_order_of_their_lines():
    text = changed("seed: 1", "seed: x", changed("bins: 2", "bin: 2", changed("name: g", "nam: g")))
    lines = [int(line.split(":")[1]) for line in refused(text).splitlines() if line.startswith("a.yaml:")]
    assert lines == [1, 1, 3, 18]


def test_the_whole_must_be_keys_with_values():
    assert "must be keys with values, not a list of 1" in refused("- name: x")
    assert "must be keys with values, not the text 'abc'" in refused("abc")


def test_a_single_file_is_a_list_of_one():
    text = "name: a\nseed: 1\ninputs: {data: {files: a.root}}\nmethods: {m: {type: t, events: data}}\n"
    text += "channels: {c: {region: R, axes: [{column: m, edges: [0, 1]}]}}\n"
    assert configuration(parse(text)).inputs["data"].files == ["a.root"]
    assert "'files' must be a list" in refused(text.replace("a.root", "3"))
    assert "'files' must have at least 1 items" in refused(text.replace("a.root", "[]"))


def test_every_key_has_a_description():
    schema = Configuration.model_json_schema()
    models = [schema, *schema["$defs"].values()]
    assert len(models) > 10
    for model in models:
        assert model["additionalProperties"] is False
        for name, key in model["properties"].items():
            own = key if "$ref" not in key else schema["$defs"][key["$ref"].rpartition("/")[2]]
            assert len(own.get("description", "")) > 10, name


def test_the_schema_accepts_what_the_model_accepts():
    schema = Configuration.model_json_schema()
    jsonschema.validate(parse(GAUSSIAN).plain(), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(parse(changed("seed: 1", "seed: x")).plain(), schema)
