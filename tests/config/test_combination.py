import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backdrop import Events
from backdrop.config.combination import Combination
from backdrop.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "factors"),
    [
        ("data", {"data": 1.0}),
        (" data-prompt ", {"data": 1.0, "prompt": -1.0}),
        ("data - 1.1 * prompt", {"data": 1.0, "prompt": -1.1}),
        ("-data", {"data": -1.0}),
        ("+ 2*data", {"data": 2.0}),
        ("data - 2 * (a - 1e-1 * b)", {"data": 1.0, "a": -2.0, "b": 0.2}),
        ("a-(b-(c-d))", {"a": 1.0, "b": -1.0, "c": 1.0, "d": -1.0}),
        ("-(a + b)", {"a": -1.0, "b": -1.0}),
        (".5*e1 + 1.*e2", {"e1": 0.5, "e2": 1.0}),
    ],
)
def test_samples_are_read_with_their_factors(text, factors):
    assert dict(Combination.read(text).factors) == pytest.approx(factors)
    assert Combination.read(text).samples == tuple(factors)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "expected a sample's name or a number at character 1"),
        ("data -", "expected a sample's name or a number at character 7"),
        ("data prompt", "expected + or - at character 6"),
        ("2 data", "expected * and a sample after the number at character 3"),
        ("data * 2", "expected + or - at character 6"),
        ("2 * 3 * data", "expected a sample's name or a number at character 5"),
        ("(data", "expected ) at character 6"),
        ("data)", "expected + or - at character 5"),
        ("data - --prompt", "expected a sample's name"),
        ("data / 2", "'/ 2' is not part of such an expression at character 6"),
        ("__import__(os)", "expected + or - at character 11"),
        ("__import__('os')", "is not part of such an expression at character 12"),
        ("data.weight", "'.weight' is not part"),
        ("4b - 2b", "'4b - 2b' is not part"),
        ("1e * data", "is not part"),
        ("(" * 30 + "data" + ")" * 30, "nested more than 20 deep"),
        ("data + data", "names data more than once"),
        ("data - (b - data)", "names data more than once"),
        ("a" * 2000, "at most 1000 characters"),
    ],
)
def test_anything_else_is_refused_with_its_place(text, reason):
    with pytest.raises(ConfigError) as caught:
        Combination.read(text)
    assert reason in str(caught.value)


def test_an_unknown_sample_is_named_with_the_nearest():
    with pytest.raises(ConfigError, match=r"no sample 'promt', did you mean 'prompt'\?; samples: data, prompt"):
        Combination.read("data - promt").check({"data": 1, "prompt": 2})


def test_events_are_combined():
    data = Events.of({"m": [1.0, 2.0]}, sample="data")
    prompt = Events.of({"m": [3.0]}, sample="prompt", weight=[0.5])
    both = Combination.read("data - 1.1 * prompt").of({"data": data, "prompt": prompt})
    assert both.samples == ("data", "prompt")
    np.testing.assert_array_equal(both.weight, [1.0, 1.0, -0.55])
    assert Combination.read("data").of({"data": data}) is data


_NAMES = st.lists(st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True), min_size=1, max_size=6, unique=True)


@given(_NAMES, st.data())
def test_what_is_written_is_read_back(names, data):
    factors = [data.draw(st.sampled_from([-2.5, -1.0, -0.1, 0.5, 1.0, 3.0])) for _ in names]
    whole = Combination(tuple(zip(names, factors, strict=True)))
    assert Combination.read(str(whole)) == whole


@given(st.text(alphabet="ab1.*+-() e", max_size=30))
def test_no_text_breaks_it(text):
    try:
        found = Combination.read(text)
    except ConfigError:
        return
    value = eval(text, {"__builtins__": {}}, {name: 1.0 for name in found.samples})
    assert sum(factor for _, factor in found.factors) == pytest.approx(value, nan_ok=True)
