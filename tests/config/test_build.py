import numpy as np
import pytest

from backdrop import Region
from backdrop.config import load
from backdrop.config.combination import Combination
from backdrop.errors import BackdropError, ConfigError, CutError
from backdrop.methods.transfer import Constant, Polynomial

from .texts import GAUSSIAN, changed, marked


@pytest.fixture
def analysis(tmp_path):
    def make(text: str = GAUSSIAN, **options):
        (tmp_path / "a.yaml").write_text(text)
        return load(tmp_path / "a.yaml", **options)

    return make


def test_names_become_objects(analysis):
    found = analysis()
    assert found.name == "gaussian"
    assert [channel.name for channel in found.channels] == ["SR", "VR"]
    assert found.channels[0].region == Region("high & window", "(x2 > 1) & ((m > 120) & (m < 140))")
    np.testing.assert_array_equal(found.channels[1].axes[0].edges, [100, 120, 140, 200])
    assert found.channels[1].axes[0].label == "m [GeV]"
    task = found.tasks["abcd"]
    assert task.method.target == found.regions["tight"]
    assert task.method.transfer == Constant()
    assert task.events == Combination((("data", 1.0), ("reals", -1.0)))
    assert [one.seal.region.name for one in found.seals] == ["tight & high & window"]
    assert found.draw is not None
    assert found.draw.arguments == {"fakes": 4000.0, "reals": 2000.0}
    assert found.draw.seed == 1


def test_a_variation_changes_only_what_it_says(analysis):
    found = analysis()
    up, down = found.variations["abcd"]["reals"]
    assert [dict(one.events.factors)["reals"] for one in (up, down)] == [-1.1, -0.9]
    assert up.method == found.tasks["abcd"].method
    (one,) = found.variations["abcd"]["transfer"]
    assert one.method.transfer == Polynomial("m", 1)
    assert one.method.target == found.tasks["abcd"].method.target
    assert one.events == found.tasks["abcd"].events


def test_the_seed_of_the_command_line_replaces_the_configuration_s(analysis):
    assert analysis(seed=9).configuration.seed == 9
    assert analysis(seed=9).draw.seed == 9
    assert analysis(seed=9).fingerprint != analysis().fingerprint


def test_the_fingerprint_is_that_of_what_matters(analysis):
    plain = analysis().fingerprint
    assert analysis(changed("title: ABCD", "title: abcd")).fingerprint == plain
    assert analysis("# a comment\n" + GAUSSIAN.replace("{fakes: 4000,", "{ fakes: 4000.0,")).fingerprint != ""
    for old, new in (("tight: x1 > 1", "tight: x1 > 1.5"), ("bins: 2", "bins: 3"), ("replicas: 20", "replicas: 21")):
        assert analysis(changed(old, new)).fingerprint != plain


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("type: abcd", "type: @abdc", "no method 'abdc', did you mean 'abcd'?; there is: abcd"),
        ("source: loose", "@sorce: loose", "abcd has no setting 'sorce', did you mean 'source'?"),
        ("settings: {target: tight, source: loose,", "@settings: {target: tight,", "abcd needs the setting 'source'"),
        ("source: loose", "source: @lose", "no region 'lose', did you mean 'loose'?"),
        ("{target: tight, source: loose", "@{target: tight, source: tight", "ABCD: target 'tight'"),
        ("events: data - reals", "events: @data -", "cannot read 'data -'"),
        (
            "{type: polynomial, column: m, degree: 1",
            "@{type: polynomial, column: m, degree: 9",
            "a transfer factor's polynomial has a degree from 0 to 5, not 9",
        ),
        ("type: polynomial,", "type: @polynom,", "no type 'polynom', did you mean 'polynomial'?"),
        ('SR: {region: "{high} & {window}"', "SR: {region: @windw", "no region 'windw', did you mean 'window'?"),
        ("[100, 120, 140, 200]", "@[100, 140, 120]", "the edges of axis 'm' must increase"),
        ("{column: m, bins: 2, ", "@{column: m, ", "axis 'm' needs 'bins' and 'range', or 'edges'"),
        ("channel: VR", "channel: @VVR", "no channel 'VVR', did you mean 'VR'?"),
        ('"{tight} & {high}', '@"{tigt} & {high}', "no region 'tigt', did you mean 'tight'?"),
        ("name: gaussian_abcd", "name: @gauss_abcd", "no generator 'gauss_abcd', did you mean 'gaussian_abcd'?"),
        ("fakes: 4000", "@fake: 4000", "gaussian_abcd has no setting 'fake', did you mean 'fakes'?"),
        ("reals: {up: {events: data - 1.1 * reals}", "@reals: {up: {}", "'reals' changes nothing"),
        ("reals: {up: {events: data - 1.1 * reals}, ", "@reals: {", "'reals' changes nothing"),
        ("reals: {up:", "@reals: {events: data, up:", "'reals' has 'up' or 'down' beside a change of its own"),
        ("as_variation: true", "smooth: @2", "'smooth' must be an odd number of bins (1, 3, 5, …), not 2"),
        ("replicas: 20", "replicas: @1", "1 replica has no spread: ask for 0, or for 2 or more"),
        ("data - 1.1 * reals", "@data - 1e999 * reals", "'data - 1e999 * reals': the factor of reals is -inf"),
        (
            "regions:",
            "derived:\n  @a: b + 1\n  b: x1\nregions:",
            "derived column 'a' reads 'b', which is derived after it; put it before",
        ),
        (
            "as_variation: true}",
            "as_variation: true}\n  - @{channel: VR}",
            "the closure of 'abcd' in 'VR' is asked for twice",
        ),
    ],
)
def test_a_wrong_name_or_value_is_shown_where_it_stands(analysis, old, new, message):
    text, place = marked(changed(old, new))
    with pytest.raises(BackdropError) as caught:
        analysis(text)
    assert f"a.yaml:{place}: {message}" in str(caught.value)
    assert "^" in str(caught.value)
    assert caught.value.exit_code == 2


FIT = """\
signal: 0.1 * reals
fit:
  data: data
  channels: [SR]
  backgrounds:
    reals: {events: reals, variations: {reals: {up: {events: 1.1 * reals}, down: {events: 0.9 * reals}}}}
"""


def test_a_fit_names_channels_samples_and_methods(analysis):
    found = analysis(GAUSSIAN + FIT).fit
    assert (found.data, found.channels, found.methods) == ("data", ("SR",), ("abcd",))
    assert found.signal == Combination((("reals", 0.1),))
    assert [dict(one.factors) for one in found.backgrounds["reals"].variations["reals"]] == [
        {"reals": 1.1},
        {"reals": 0.9},
    ]
    with pytest.raises(ConfigError, match=r"a.yaml:\d+:14: no channel 'SRR', did you mean 'SR'\?"):
        analysis(GAUSSIAN + changed("[SR]", "[SRR]", FIT))
    with pytest.raises(ConfigError, match="a process has no settings"):
        analysis(GAUSSIAN + changed("{events: 1.1 * reals}", "{settings: {a: 1}}", FIT))
    with pytest.raises(ConfigError, match="taken by a method or the signal"):
        analysis(GAUSSIAN + changed("    reals: {events", "    abcd: {events", FIT))


def test_a_fit_counts_nothing_twice(analysis):
    with pytest.raises(ConfigError, match=r"a.yaml:\d+:18: channel 'SR' is named twice"):
        analysis(GAUSSIAN + changed("[SR]", "[SR, SR]", FIT))
    with pytest.raises(ConfigError, match=r"a.yaml:\d+:22: 'abcd' is fitted itself, so its estimate would count twice"):
        analysis(GAUSSIAN + FIT + "    others: {method: abcd}\n")
    # under its own name it is the same background
    assert analysis(GAUSSIAN + FIT + "    abcd: {method: abcd, free: 0.1}\n").fit.backgrounds["abcd"].events == "abcd"


@pytest.mark.parametrize("seed", [-1, 2**63])
def test_a_seed_of_the_command_line_keeps_the_bounds_of_the_configuration_s(analysis, seed):
    with pytest.raises(ConfigError, match=f"the seed {seed} must be 0 or more, and less than 2"):
        analysis(seed=seed)


def test_an_input_of_the_command_line_names_a_file(analysis):
    generator = GAUSSIAN[GAUSSIAN.index("synthetic:") : GAUSSIAN.index("regions:")]
    with pytest.raises(ConfigError, match="--input data=: no file is named"):
        analysis(changed(generator, INPUTS), inputs={"data": ""})


INPUTS = """\
inputs:
  data: {files: data.parquet, keys: [run, event]}
  reals: {files: [mc/*.root], tree: Events, weight: w, rename: {m: mass}}
"""


def test_inputs_replace_the_generator(analysis):
    generator = GAUSSIAN[GAUSSIAN.index("synthetic:") : GAUSSIAN.index("regions:")]
    found = analysis(changed(generator, INPUTS))
    assert found.draw is None
    assert found.configuration.inputs["reals"].files == ["mc/*.root"]
    with pytest.raises(ConfigError, match=r"a.yaml:\d+:\d+: no sample 'prompt'; there is: data, reals"):
        analysis(changed("data - reals", "data - prompt", changed(generator, INPUTS)))
    with pytest.raises(ConfigError, match="not both"):
        analysis(INPUTS + GAUSSIAN)
    with pytest.raises(ConfigError, match="needs 'inputs' or 'synthetic'"):
        analysis(changed(generator, ""))


def test_a_sample_is_sealed_once(analysis):
    twice = changed("channels:", "  - {sample: data, region: low}\nchannels:")
    with pytest.raises(ConfigError, match=r"a.yaml:\d+:14: sample 'data' is sealed twice"):
        analysis(twice)


def test_a_cut_keeps_its_kind_of_error(analysis):
    with pytest.raises(CutError, match=r"a.yaml:\d+:11: region 'window'"):
        analysis(changed("(m > 120) & (m < 140)", "120 < m < 140"))
