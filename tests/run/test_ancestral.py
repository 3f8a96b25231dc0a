"""Ancestral sampling from a configuration: its settings, what a run says of it, and where a wrong graph stands."""

import hist
import pytest

import chain
from backdrop import Region
from backdrop.config import load
from backdrop.errors import ConfigError
from backdrop.io import write
from backdrop.learn.graph import Template
from backdrop.methods import AncestralSampling
from backdrop.methods.ancestral import FinalTilt, Resonance, Shift, Tilt
from backdrop.results import Results
from backdrop.run import Request, perform
from backdrop.run.execution import execute
from backdrop.run.samples import read

CONFIG = """\
name: chain
seed: 5
replicas: 4
inputs:
  data: {files: data.parquet}
regions:
  GR: u > 0.25
  SR: s > 1
channels:
  SR: {region: SR, axes: [{column: s, bins: 4, range: [1, 2]}]}
methods:
  kernel:
    type: ancestral_sampling
    events: data
    settings:
      generation: GR
      draws: 20000
      templates:
        - {name: A, draws: [{column: u, bins: 2, range: [0, 1]}]}
        - {name: B, draws: [{column: v, bins: 4, range: [0, 1]}], given: [{column: u, bins: 4, range: [0, 1]}]}
      derived: {s: u + v}
      systematics:
        shift: {type: shift, variable: u, by: 0.02}
        tilt: {type: tilt, variable: v, slope: 0.2}
        final: {type: final_tilt, variable: s, slope: 0.3, low: 0, high: 2}
closures:
  - {channel: SR}
"""


@pytest.fixture
def analysis(tmp_path):
    write(tmp_path / "data.parquet", chain.Chain(2000.0).draw(1))

    def make(*replaced):
        text = CONFIG
        for old, new in replaced:
            assert old in text
            text = text.replace(old, new)
        (tmp_path / "a.yaml").write_text(text)
        return load(tmp_path / "a.yaml")

    return make


def test_the_settings_are_those_of_the_library(analysis):
    more = "draws: 20000\n      resonance: {sample: peak, axis: {column: s, bins: 8, range: [0, 2]}}"
    peak = ("  data: {files: data.parquet}", "  data: {files: data.parquet}\n  peak: {files: peak.parquet}")
    found = analysis(("draws: 20000", more), peak, ("events: data", "events: data - peak"))
    method = found.tasks["kernel"].method
    assert isinstance(method, AncestralSampling)
    graph = (Template("A", (chain.axis("u", 2),)), Template("B", (chain.axis("v"),), (chain.axis("u"),)))
    # an axis of a configuration is labelled with its name
    assert [one.state() for one in method.templates] == [one.state() for one in graph]
    assert (method.generation, method.draws, method.derived) == (Region("GR", "u > 0.25"), 20_000, {"s": "u + v"})
    assert method.resonance == Resonance("peak", hist.axis.Regular(8, 0, 2, name="s", label="s"))
    assert method.systematics == {
        "shift": Shift("u", 0.02),
        "tilt": Tilt("v", 0.2),
        "final": FinalTilt("s", 0.3, 0.0, 2.0),
    }


def test_a_resonance_is_a_sample_that_the_method_sees(analysis):
    more = "draws: 20000\n      resonance: {sample: peak, axis: {column: s, bins: 8, range: [0, 2]}}"
    with pytest.raises(ConfigError, match=r"no sample 'peak' \('sample'\) in its events; these are: data"):
        analysis(("draws: 20000", more))


def test_a_run_gives_variations_and_says_what_fell_back(analysis):
    one = analysis()
    outcome = execute(one, read(one).events)
    assert set(outcome.estimates["kernel"].variations) == {"shift", "tilt", "final"}
    told = [text for text in outcome.warnings if text.startswith("kernel: template 'B'")]
    assert len(told) == 1 and "meet one of 1 empty slices and take the sum over 'u'" in told[0]


def test_the_graph_is_in_the_results_and_in_the_report(analysis, tmp_path):
    done = perform(analysis(), Request(tmp_path / "out"))
    kept = Results.load(tmp_path / "out").graphs["kernel"]
    assert [(one.name, one.variables, one.parents) for one in kept] == [("A", ("u",), ()), ("B", ("v",), ("u",))]
    page = done.report.read_text()
    assert "Graphs of templates" in page and "Graph of kernel" in page and "meet one of 1 empty slices" in page
    assert (tmp_path / "out" / "figures" / "graph-kernel.png").exists()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("{name: A, draws: [{column: u", "{name: A, draws: [{column: w", "'s' reads 'u', which is neither drawn nor"),
        ("given: [{column: u", "given: [{column: uu", "is given 'uu', which no template draws, did you mean 'u'"),
        ("given: [{column: u", "given: [{column: v", "two axes of 'v'"),
        ("s: u + v}", "s: u + vv}", "reads 'vv', which is neither drawn nor derived before it, did you mean 'v'?"),
        ("type: shift, variable: u", "type: shfit, variable: u", "did you mean 'shift'"),
    ],
)  # fmt: skip
def test_a_wrong_graph_stands_in_the_file(analysis, old, new, message):
    with pytest.raises(ConfigError, match=message) as caught:
        analysis((old, new))
    assert "a.yaml:" in str(caught.value)
