"""What a run adds for reviewers: right where it is shown, and independent of what is sealed."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from backdrop import Events, Region
from backdrop.config import load
from backdrop.errors import ConfigError
from backdrop.events import Seal
from backdrop.run.execution import execute
from backdrop.run.review import hide_totals
from backdrop.run.samples import read
from backdrop.synthetic import GaussianPlane
from backdrop.tasks import fingerprint
from backdrop.validation import cut_flow
from tests.run.test_execution import CONFIG, FIT

VARIABLES = """\
variables:
  - {column: m, bins: 10, range: [100, 200], methods: [abcd]}
  - {column: x2, bins: 8, range: [-3, 5]}
  - {column: x1, edges: [1, 2, 4], channels: [SR, VR], methods: [raw]}
"""
LIKELIHOOD = """\
  counts:
    type: likelihood_abcd
    events: data - reals
    settings: {target: tight, source: loose, control: low}
closures:
  - {channel: VR, methods: [counts]}
"""


def _write(folder, sealed="as drawn"):
    data = {name: np.asarray(values) for name, values in GaussianPlane(6000, 2000).draw(seed=1).columns.items()}
    inside = (data["x1"] > 1) & (data["x2"] > 1) & (data["m"] > 120) & (data["m"] < 140)
    if sealed == "nan":
        data["m"] = np.where(inside, np.nan, data["m"])
    elif sealed == "moved":
        data["x2"] = np.where(inside, 1e6, data["x2"])
    elif sealed == "more":
        data = {name: np.concatenate([values, *[values[inside]] * 5]) for name, values in data.items()}
    elif sealed == "none":
        data = {name: values[~inside] for name, values in data.items()}
    pq.write_table(pa.table(data), folder / "data.parquet")
    reals = {name: np.asarray(values) for name, values in GaussianPlane(0, 4000).draw(seed=2).columns.items()}
    pq.write_table(pa.table({**reals, "w": np.full(len(reals["m"]), 0.5)}), folder / "reals.parquet")


def _run(folder, text=CONFIG + FIT + VARIABLES, **options):
    (folder / "a.yaml").write_text(text)
    analysis = load(folder / "a.yaml")
    return execute(analysis, read(analysis, **options).events)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    home = tmp_path_factory.mktemp("inputs")
    _write(home)
    return home


@pytest.fixture(scope="module")
def found(folder):
    return _run(folder)


def test_variables_change_no_estimate(folder, found):
    plain = _run(folder, CONFIG + FIT)
    for name, estimate in plain.estimates.items():
        np.testing.assert_array_equal(found.estimates[name].nominal, estimate.nominal)
        np.testing.assert_array_equal(found.estimates[name].replicas["data"], estimate.replicas["data"])
        assert found.estimates[name].channels == estimate.channels
    assert found.fits["abcd"].state() == plain.fits["abcd"].state()
    assert plain.checks.variables == {} and plain.checks.regions is not None


def test_a_variable_is_compared_without_its_own_cuts(folder, found):
    variables = found.checks.variables
    assert set(variables) == {"abcd", "raw"} and set(variables["abcd"]["VR"]) == {"m", "x2"}
    one = variables["raw"]["VR"]["x2"]
    assert one.variable.dropped == ("x2 > 1",) and one.variable.hidden == ()
    rows = read(load(folder / "a.yaml")).events["data"]
    seen = rows.select(Region("VR", "~((m > 120) & (m < 140)) & (x1 > 1)"))["x2"]
    np.testing.assert_array_equal(one.closure.observed, np.histogram(seen, np.linspace(-3, 5, 9))[0])
    assert set(variables["raw"]) == {"VR"}, "every bin of x1 in SR is sealed"


def test_sealed_bins_are_empty_on_both_sides(found):
    one = found.checks.variables["abcd"]["VR"]["m"]
    assert one.variable.hidden == (2, 3) and one.variable.thresholds == (120.0, 140.0)
    assert (one.closure.observed[[2, 3]] == 0).all() and (one.closure.predicted[[2, 3]] == 0).all()
    assert (one.closure.predicted[[0, 1, 4, 5]] > 0).all() and one.closure.ndf == 8


def test_correlations_are_those_of_observed_and_predicted_rows(folder, found):
    both = found.checks.correlations["raw"]["VR"]
    assert both.observed.columns == ("x2", "x1")
    rows = read(load(folder / "a.yaml")).events["data"]
    seen = rows.select(Region("VR", "(x2 > 1) & ~((m > 120) & (m < 140)) & (x1 > 1)"))
    assert both.observed.matrix[0, 1] == pytest.approx(np.corrcoef(seen["x2"], seen["x1"])[0, 1], rel=1e-9)
    assert both.predicted.matrix[0, 1] != pytest.approx(both.observed.matrix[0, 1], rel=1e-3)


def test_weights_are_told_of_training_and_prediction(found):
    weights = found.checks.weights["abcd"]
    assert set(weights) == {"training", "VR"}
    assert 0.0 < weights["training"].negative_fraction < 0.5
    assert all(float(f"{one.rows:.3g}") == one.rows for one in weights.values()), "a count in three digits"


def test_the_region_map_knows_what_is_sealed(found):
    uses = {use.name: use for use in found.checks.regions.uses}
    assert uses["SR observed"].sealed == "all" and uses["VR observed"].sealed == "no"
    assert uses["training of abcd, raw"].kind == "training" and "sealed in data" in uses
    names = list(uses)
    relations = found.checks.regions.relations
    assert relations[names.index("SR observed")][names.index("sealed in data")] == "same"
    assert relations[names.index("VR observed")][names.index("VR source")] == "disjoint"


def test_cut_flows_are_open_for_simulation_and_shut_for_data(found):
    flow = found.checks.flows["SR"]
    assert flow.samples == ("data", "reals") and flow.hidden[:, 0].all() and not flow.hidden[:, 1].any()
    last = found.checks.flows["VR"].yields[-1]
    assert last[0] >= found.observed["raw"]["VR"].sum() > 0, "the axis holds a part of the region"


def test_cut_flows_that_together_leave_out_the_seal_alone_keep_their_last_step():
    data = Events.of({"m": np.arange(100.0), "x": np.arange(100.0) % 3}, seal=Region("S", "(m > 40) & (m < 60)"))
    picked = {"lo": Region("lo", "(m <= 40) & (x > 1)"), "hi": Region("hi", "(m >= 60) & (x > 1)")}
    flows = {name: cut_flow({"data": data}, one) for name, one in picked.items()}
    assert [flow.hidden[:, 0].tolist() for flow in flows.values()] == [[True, False, False]] * 2
    left = hide_totals(flows, picked, {"data": data})
    assert [flow.hidden[:, 0].tolist() for flow in left.values()] == [[True, True, False]] * 2
    only = {"lo": flows["lo"]}
    assert not hide_totals(only, picked, {"data": data})["lo"].hidden[1, 0]


def test_a_method_whose_answer_is_a_fit_keeps_its_own_uncertainties(folder):
    text = CONFIG.replace("closures:\n", LIKELIHOOD, 1) + "variables: [{column: m, bins: 5, range: [100, 200]}]\n"
    with_variables = _run(folder, text)
    alone = _run(folder, text.partition("variables:")[0])
    one, other = with_variables.estimates["counts"], alone.estimates["counts"]
    assert one.counted == other.counted and len(one.counted) > 0
    np.testing.assert_array_equal(one.covariance("VR"), other.covariance("VR"))
    assert with_variables.checks.variables["counts"]["VR"]["m"].closure.p_value > 1e-3


@pytest.mark.parametrize("sealed", ["nan", "moved", "more", "none"])
def test_no_check_depends_on_the_sealed_rows(folder, found, tmp_path, sealed):
    _write(tmp_path, sealed)
    other = _run(tmp_path)
    assert fingerprint(other.checks.state()) == fingerprint(found.checks.state())
    assert other.warnings == found.warnings
    lazy = _run(tmp_path, "lazy: true\n" + CONFIG + FIT + VARIABLES)
    flow, again = found.checks.flows["VR"], lazy.checks.flows["VR"]
    np.testing.assert_array_equal(again.hidden, flow.hidden)
    np.testing.assert_allclose(again.yields, flow.yields, rtol=1e-12)


def test_open_rows_do_matter_to_the_checks(folder, tmp_path):
    _write(tmp_path)
    table = pq.read_table(tmp_path / "data.parquet")
    pq.write_table(table.slice(0, len(table) - 50), tmp_path / "data.parquet")
    other = _run(tmp_path, CONFIG + VARIABLES)
    assert fingerprint(other.checks.state()) != fingerprint(_run(folder, CONFIG + VARIABLES).checks.state())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("variables: [{column: m, bins: 2}]\n", "axis 'm' needs 'bins' and 'range'"),
        ("variables: [{column: m, bins: 2, range: [0, 1], channels: [vr]}]\n", "no channel 'vr'.*VR"),
        ("variables: [{column: m, bins: 2, range: [0, 1], methods: [row]}]\n", "no method 'row'.*raw"),
        ("variables:\n" + 2 * "  - {column: m, bins: 2, range: [0, 1]}\n", "'m' is compared in channel 'VR' already"),
    ],
)
def test_a_wrong_variable_is_named(folder, text, message):
    (folder / "b.yaml").write_text(CONFIG + text)
    with pytest.raises(ConfigError, match=message):
        load(folder / "b.yaml")
    (folder / "b.yaml").write_text(
        CONFIG.partition("closures:")[0] + "variables: [{column: m, bins: 2, range: [0, 1]}]\n"
    )
    with pytest.raises(ConfigError, match="name the 'channels'"):
        load(folder / "b.yaml")


def test_an_unsealed_sample_has_the_whole_flow(folder):
    (folder / "a.yaml").write_text(CONFIG)
    analysis = load(folder / "a.yaml")
    opened = execute(analysis, read(analysis, ["data"]).events)
    assert not any(flow.hidden.any() for flow in opened.checks.flows.values())
    assert all(use.sealed == "no" for use in opened.checks.regions.uses)
    assert isinstance(analysis.seals[0].seal, Seal)
