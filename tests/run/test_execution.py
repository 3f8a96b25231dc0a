import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from backdrop.config import load
from backdrop.errors import BlindedError, ConfigError, CutError, DataError
from backdrop.run.execution import execute
from backdrop.run.samples import needed_columns, read
from backdrop.synthetic import GaussianPlane
from backdrop.tasks import pool, resumable

CONFIG = """\
name: toy
seed: 5
replicas: 10
inputs:
  data: {files: data.parquet}
  reals: {files: reals.parquet, weight: w}
regions:
  tight: x1 > 1
  loose: x1 <= 1
  high: x2 > 1
  low: x2 <= 1
  window: (m > 120) & (m < 140)
seal:
  - {sample: data, region: "{tight} & {window} & {high}"}
channels:
  SR: {region: "{window} & {high}", axes: [{column: m, bins: 2, range: [120, 140]}]}
  VR: {region: "~{window} & {high}", axes: [{column: m, edges: [100, 110, 120]}]}
methods:
  abcd:
    type: abcd
    events: data - reals
    settings: {target: tight, source: loose, control: low}
    variations:
      reals: {up: {events: data - 1.1 * reals}, down: {events: data - 0.9 * reals}}
      once: {events: data - 1.2 * reals}
  raw:
    type: abcd
    events: data
    settings: {target: tight, source: loose, control: low, transfer: {type: polynomial, column: x3}}
closures:
  - {channel: VR, as_variation: true, methods: [abcd]}
  - {channel: VR, smooth: 3, methods: [raw]}
derived: {x3: m / 100}
"""

FIT = """\
signal: 0.3 * reals
fit:
  data: data
  channels: [SR, VR]
  methods: [abcd]
  backgrounds:
    reals: {events: reals, variations: {reals: {events: 1.1 * reals}}}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    home = tmp_path_factory.mktemp("inputs")
    data = {name: np.asarray(values) for name, values in GaussianPlane(6000, 2000).draw(seed=1).columns.items()}
    reals = {name: np.asarray(values) for name, values in GaussianPlane(0, 4000).draw(seed=2).columns.items()}
    pq.write_table(pa.table(data), home / "data.parquet", row_group_size=1000)
    pq.write_table(pa.table({**reals, "w": np.full(len(reals["m"]), 0.5)}), home / "reals.parquet")
    return home


@pytest.fixture
def analysis(folder):
    def make(text: str = CONFIG):
        (folder / "a.yaml").write_text(text)
        return load(folder / "a.yaml")

    return make


def outcome(analysis, **options):
    return execute(analysis, read(analysis).events, **options)


def test_methods_variations_and_closures_are_done_as_asked(analysis):
    found = outcome(analysis())
    assert set(found.estimates) == {"abcd", "raw"}
    estimate = found.estimates["abcd"]
    assert set(estimate.variations) == {"reals", "once", "nonclosure_VR"}
    assert estimate.replicas["data"].shape == (10, 4)
    up, down = estimate.variations["once"]
    np.testing.assert_allclose(up + down, 2 * estimate.nominal, rtol=1e-12)
    assert estimate.variations["reals"][0].sum() < estimate.nominal.sum() < estimate.variations["reals"][1].sum()
    shifts = found.closures["abcd"]["VR"].shifts
    np.testing.assert_array_equal(estimate.variations["nonclosure_VR"], shifts)
    assert set(found.estimates["raw"].variations) == set()
    assert found.estimates["raw"].nominal.sum() > 1.5 * estimate.nominal.sum()


def test_what_is_observed_is_the_target_of_the_method_s_own_events(analysis):
    found = outcome(analysis())
    rows = read(analysis()).events["data"]
    region = analysis().regions
    inside = rows.select(region["tight"] & region["high"] & ~region["window"])
    counts = np.histogram(inside["m"], [100, 110, 120])[0]
    np.testing.assert_array_equal(found.observed["raw"]["VR"], counts)
    assert found.observed["raw"]["SR"] is None
    assert found.observed["abcd"]["VR"].shape == (2, 2)
    assert (found.observed["abcd"]["VR"][0] < counts).all()
    assert (found.observed["abcd"]["VR"][1] > counts).all()


def test_unblinded_samples_are_observed(analysis):
    one = analysis()
    found = execute(one, read(one, ["data"]).events)
    assert found.observed["raw"]["SR"].sum() > 0
    np.testing.assert_array_equal(found.observed["raw"]["VR"], outcome(one).observed["raw"]["VR"])


def test_files_read_in_chunks_give_the_same(analysis):
    whole, parts = outcome(analysis(CONFIG + FIT)), outcome(analysis("lazy: true\n" + CONFIG + FIT))
    for name, estimate in whole.estimates.items():
        np.testing.assert_allclose(parts.estimates[name].nominal, estimate.nominal, rtol=1e-12)
        np.testing.assert_allclose(parts.estimates[name].replicas["data"], estimate.replicas["data"], rtol=1e-12)
    assert parts.fits["abcd"].value == pytest.approx(whole.fits["abcd"].value, abs=1e-6)


def test_jobs_and_resuming_change_nothing(analysis, tmp_path):
    first = outcome(analysis())
    with pool(2) as map:
        second = outcome(analysis(), map=resumable(map, tmp_path))
    third = outcome(analysis(), map=resumable(map, tmp_path))
    for other in (second, third):
        for name, estimate in first.estimates.items():
            np.testing.assert_array_equal(other.estimates[name].nominal, estimate.nominal)
            np.testing.assert_array_equal(other.estimates[name].replicas["data"], estimate.replicas["data"])


def test_a_fit_has_data_where_it_is_open_and_shares_nuisances(analysis):
    found = outcome(analysis(CONFIG + FIT))
    assert set(found.fits) == {"abcd"}
    (sr, vr) = found.workspaces["abcd"]["channels"]
    assert [sample["name"] for sample in sr["samples"]] == ["abcd", "reals", "signal"]
    names = [{modifier["name"] for modifier in sample["modifiers"]} for sample in sr["samples"]]
    assert "reals" in names[0] & names[1]
    data = {one["name"]: one["data"] for one in found.workspaces["abcd"]["observations"]}
    np.testing.assert_array_equal(data["VR"], found.observed["raw"]["VR"])
    expected = [sum(values) for values in zip(sr["samples"][0]["data"], sr["samples"][1]["data"], strict=True)]
    np.testing.assert_allclose(data["SR"], expected)
    assert found.fits["abcd"].asimov_channels == ("SR",)
    assert vr["name"] == "VR"


def test_channels_that_share_rows_are_not_fitted_together(analysis):
    text = CONFIG.replace(
        "methods:\n", "  all: {region: high, axes: [{column: m, bins: 2, range: [100, 200]}]}\nmethods:\n", 1
    )
    with pytest.raises(Exception, match=r"'SR' and 'all' may share rows") as caught:
        analysis(text + FIT.replace("[SR, VR]", "[SR, all]"))
    assert caught.value.exit_code == 2


def test_sealed_rows_stop_a_closure(analysis):
    one = analysis(CONFIG.replace("{channel: VR, as_variation: true, methods: [abcd]}", "{channel: SR}"))
    with pytest.raises(BlindedError, match=r"SR|window"):
        outcome(one)


def test_only_what_is_needed_is_read(analysis):
    assert needed_columns(analysis(), "data") == ["m", "x1", "x2", "x3"]
    assert needed_columns(analysis(), "reals") == ["m", "x1", "x2"]
    assert set(read(analysis()).events["data"].columns) == {"m", "x1", "x2", "x3"}
    unused = analysis(CONFIG.replace("inputs:\n", "inputs:\n  unused: {files: nowhere.root}\n"))
    assert set(read(unused).events) == {"data", "reals"}


def test_a_missing_column_is_named_where_the_sample_stands(analysis):
    with pytest.raises((DataError, CutError), match=r"a.yaml:5:17: .*x22") as caught:
        read(analysis(CONFIG.replace("x2", "x22")))
    assert "x22" in str(caught.value)


def test_heavy_events_are_warned_of(analysis, folder):
    assert outcome(analysis()).warnings == ()
    table = pq.read_table(folder / "reals.parquet")
    weight = table["w"].to_numpy().copy()
    low = np.flatnonzero((np.array(table["x2"]) < 0) & (np.array(table["x1"]) < 0))
    weight[low[0]] = 5000.0
    pq.write_table(table.set_column(table.column_names.index("w"), "w", pa.array(weight)), folder / "heavy.parquet")
    text = CONFIG.replace("reals.parquet", "heavy.parquet").replace("events: data - ", "events: data + ")
    (warning, *_) = outcome(analysis(text)).warnings
    assert warning.startswith("abcd, training: event 0x")
    assert "of Σ|w| (weight 5000)" in warning


@pytest.mark.parametrize("lazy", [False, True])
def test_a_sample_may_be_a_part_of_its_file(analysis, folder, lazy):
    cut = CONFIG.replace("weight: w}", 'weight: w, cut: "{high} & {tight}"}')
    rows = pq.read_table(folder / "reals.parquet").to_pydict()
    inside = (np.array(rows["x2"]) > 1) & (np.array(rows["x1"]) > 1)
    found = read(analysis(cut), lazy=lazy).events["reals"].load(["x1", "m"])
    np.testing.assert_array_equal(np.sort(found["x1"]), np.sort(np.array(rows["x1"])[inside]))
    # rows of the file that do not belong to the sample change nothing
    more = {name: np.r_[np.array(values), np.full(500, -5.0)] for name, values in rows.items()}
    nominal = outcome(analysis(cut)).estimates["abcd"].nominal
    pq.write_table(pa.table(more), folder / "more.parquet")
    changed = outcome(analysis(cut.replace("reals.parquet", "more.parquet"))).estimates["abcd"].nominal
    np.testing.assert_array_equal(changed, nominal)
    # the sealed rows of a sample have to be outside such a cut, from the cuts alone
    with pytest.raises(BlindedError, match="region 'tight' may overlap the sealed region"):
        read(analysis(CONFIG.replace("data.parquet}", "data.parquet, cut: tight}")))
    with pytest.raises(ConfigError, match="no region 'prompt'"):
        analysis(CONFIG.replace("weight: w}", "weight: w, cut: prompt}"))
