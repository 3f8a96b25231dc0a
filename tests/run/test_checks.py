"""What a run says of the rows behind its estimates: in the report's warnings, or as an error."""

from dataclasses import replace

import hist
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from backdrop import Channel, Events, Objects, Region, Setup, estimate
from backdrop.config import load
from backdrop.errors import ConfigError, CutError, DataError
from backdrop.estimate import maps
from backdrop.methods.efficiency import Efficiency
from backdrop.methods.fake_factor import FakeFactor
from backdrop.run.checks import unmoved
from backdrop.run.execution import execute
from backdrop.run.samples import read

CONFIG = """\
name: toy
seed: 5
inputs:
  data: {files: data.parquet, keys: [run, event]}
  mc: {files: mc.parquet, weight: w, keys: [run, event]}
derived: {high: x2 > 1}
regions:
  tight: x1 > 1
  loose: x1 <= 1
  signal: x2 > 1
  low: x2 < 0
channels:
  SR: {region: signal, axes: [{column: m, bins: 4, range: [0, 4]}]}
methods:
  abcd:
    type: abcd
    events: data - mc
    settings: {target: tight, source: loose, control: low}
"""


def table(seed, rows):
    rng = np.random.default_rng(seed)
    x1, x2 = rng.normal(1, 1, (2, rows))
    ids = {"run": np.full(rows, 7), "event": np.arange(rows) + 100}
    return {**ids, "x1": x1, "x2": x2, "m": rng.uniform(0, 4, rows), "w": np.full(rows, 0.01)}


@pytest.fixture
def warned(tmp_path):
    """Run a configuration on tables that `change` may spoil, and give its warnings."""

    def run(change=lambda data, mc: None, *replaced):
        data, mc = table(1, 3000), table(2, 3000)
        change(data, mc)
        for name, columns in (("data", data), ("mc", mc)):
            pq.write_table(pa.table(columns), tmp_path / f"{name}.parquet")
        text = CONFIG
        for old, new in replaced:
            assert old in text
            text = text.replace(old, new)
        (tmp_path / "a.yaml").write_text(text)
        analysis = load(tmp_path / "a.yaml")
        samples = read(analysis)
        return [*samples.warnings, *execute(analysis, samples.events).warnings]

    return run


def test_healthy_rows_are_not_talked_of(warned):
    assert warned() == []


def test_rows_that_predict_themselves_are_an_error_or_a_test(warned):
    inside = ("low: x2 < 0", "low: x2 < 1.5")
    text = r"abcd: \d+ rows \(\d+ of 'data', \d+ of 'mc'\) are observed in channel 'SR' and also in the training region"
    with pytest.raises(DataError, match=text + r" .*make them disjoint, or ask for the closure of 'SR'"):
        warned(lambda *_: None, inside)
    (one,) = warned(lambda *_: None, inside, ("methods:", "closures: [{channel: SR}]\nmethods:"))
    assert "they predict themselves" in one


def test_a_heavy_event_of_the_source_is_named_by_its_ids(warned):
    def heavy(data, mc):
        row = np.flatnonzero((mc["x1"] < 1) & (mc["x2"] > 1))[3]
        mc["w"][row], mc["event"][row] = 100.0, 987654321

    (one,) = warned(heavy)
    assert one.startswith("abcd, source of SR: run 7, event 987654321 holds ")
    assert "of Σ|w| (weight -100)" in one


def test_axes_that_hold_no_row_are_named(warned):
    (one,) = warned(lambda *_: None, ("range: [0, 4]", "range: [10, 20]"))
    assert one.startswith("abcd: channel 'SR' predicts 0 ± 0: of the rows in region 'signal' none is inside its axes")


def test_few_source_rows_and_the_bins_they_leave_empty(warned):
    def few(data, mc):
        data["x2"] = np.where((data["x1"] <= 1) & (data["x2"] > 1) & (np.arange(3000) > 20), 0.5, data["x2"])
        data["m"] = np.minimum(data["m"], 2.9)

    found = warned(few, ("events: data - mc", "events: data"))
    assert any("source of SR: the effective sample size is" in one for one in found)
    (empty,) = [one for one in found if "hold no row" in one]
    assert "2 of 4 bins of channel 'SR' hold no row and predict 0 ± 0 (bin 1, 3)" in empty
    scale = float(empty.split("up to ")[1].split()[0]) / 1.841
    ratio = [int(((data := table(1, 3000))["x2"] < 0)[(data["x1"] > 1) == tight].sum()) for tight in (True, False)]
    assert scale == pytest.approx(ratio[0] / ratio[1], rel=0.01)


def test_sums_of_weights_that_mean_nothing(warned):
    def negative(data, mc):
        mc["w"] *= -1

    def nothing(data, mc):
        mc["w"] *= 0

    (one,) = [text for text in warned(negative) if "sum to" in text]
    assert "abcd, training: the " in one
    assert "weights of sample 'mc' sum to -" in one
    with pytest.raises(DataError, match=r"training: all \d+ weights of sample 'mc' are zero; check its weight column"):
        warned(nothing)


def test_undefined_columns_and_repeated_ids_are_counted(warned):
    def spoil(data, mc):
        data["x2"][:30] = np.nan
        data["event"][100:200] = data["event"][200:300]

    _, undefined, twice = warned(spoil)
    assert undefined == (
        "column 'x2' is NaN or missing in 30 rows of sample 'data' (yield 30): they are in no region that cuts on it"
    )
    assert twice.startswith("abcd, training: ")
    assert "rows of sample 'data' have the ids of another row" in twice


def test_a_derived_condition_that_is_undefined_is_sealed_and_said(warned, tmp_path):
    def undefined(data, mc):
        data["x2"][:30] = np.nan

    use = ("signal: x2 > 1", "signal: high"), ("low: x2 < 0", "low: ~high & (x2 < 0)")
    seal = ("channels:", 'seal: [{sample: data, region: "{tight} & {signal}"}]\nchannels:')
    found = warned(undefined, *use, seal)
    (one,) = [text for text in found if "derived column" in text]
    assert one.startswith("derived column 'high' of sample 'data' is undefined (NaN) in some rows and counts as false")
    rows = read(load(tmp_path / "a.yaml")).events["data"]
    assert not (np.isnan(rows["x2"]) & (rows["x1"] > 1)).any()
    assert (np.isnan(rows["x2"]) & (rows["x1"] <= 1)).any()


def test_a_wrong_derived_column_is_shown_where_it_stands(warned):
    with pytest.raises(CutError, match=r"a\.yaml:6:17: derived column 'high': .*write `\(1 < x2\) & \(x2 < 2\)`"):
        warned(lambda *_: None, ("high: x2 > 1", "high: 1 < x2 < 2"))
    with pytest.raises(ConfigError, match="'tight' must have at most 10000 characters, not 12007"):
        warned(lambda *_: None, ("tight: x1 > 1", f"tight: {'(' * 6000}x1 > 1{')' * 6001}"))


@pytest.mark.parametrize(("tight", "warned"), [(0, True), (3, False)])
def test_an_efficiency_at_an_end_has_no_spread_and_is_named(tight, warned):
    pt = hist.axis.Variable([0, 10, 20, 30], name="lep_pt")
    leptons, region = Objects("lep", "iso < 0.15", ("{}1",)), Region("fakes", "met < 10")
    rows = [(5.0, 0.1, 0.0, 20), (5.0, 0.5, 0.0, 80), (15.0, 0.1, 0.0, tight), (15.0, 0.5, 0.0, 60)]
    rows += [(25.0, 0.1, 0.0, tight), (25.0, 0.5, 0.0, 40), (15.0, 0.5, 50.0, 30), (5.0, 0.5, 50.0, 30)]
    pt1, iso1, met = np.repeat(np.array(rows)[:, :3], [row[3] for row in rows], axis=0).T
    setup = Setup(FakeFactor(leptons, Efficiency(region, (pt,))), Events.of({"pt1": pt1, "iso1": iso1, "met": met}))
    found = estimate(setup, [Channel("SR", Region("SR", "met > 10"))], replicas=20, seed=1)
    texts = list(unmoved("fakes", setup.method, maps(setup, seed=1), found))
    assert len(texts) == warned
    if warned:
        assert texts[0] == (
            "fakes: map 'fake_factor' is 0 in bin lep_pt from 10 to 20 (and 1 more), and in every replica: its error, "
            "0.0083, is not in the estimate; merge bins"
        )
        given = replace(setup.method, factor=maps(setup, seed=1)[0])
        assert not list(unmoved("fakes", given, (given.factor,), found))
        assert "fake_stat_lep_pt1" in estimate(replace(setup, method=given), found.channels, seed=1).variations


def test_bins_that_the_cut_leaves_out_are_no_empty_ones(warned):
    assert warned(lambda *_: None, ("signal: x2 > 1", "signal: (x2 > 1) & ~((m > 1) & (m < 2))")) == []
