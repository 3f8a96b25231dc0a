"""Refusals: what a format cannot hold is said with its place, and no file is written over another."""

from __future__ import annotations

import copy
import re
from dataclasses import replace
from typing import Any

import hist
import numpy as np
import pytest
import uproot

import backdrop as bd
from backdrop import export
from backdrop.errors import ConfigError, ExportError
from tests.export.readers import Card
from tests.export.test_golden import _CHANNELS, SPEC

_FORMATS = ("pyhf", "cabinetry", "trexfitter", "combine")


def _changed(channel: int, sample: int, path: tuple[Any, ...], value: float) -> dict[str, Any]:
    spec = copy.deepcopy(SPEC)
    place: Any = spec["channels"][channel]["samples"][sample]
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return spec


# ---- bins (fault 36) -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", _FORMATS)
@pytest.mark.parametrize("value", [-2.0, float("nan"), float("inf")])
@pytest.mark.parametrize(
    ("path", "what"),
    [
        (("data", 1), "the nominal yield"),
        (("modifiers", 0, "data", "hi_data", 1), "variation 'model' (up)"),
        (("modifiers", 0, "data", "lo_data", 1), "variation 'model' (down)"),
        (("modifiers", 1, "data", 1), "the error"),
    ],
)
def test_a_wrong_bin_is_named(kind, value, path, what) -> None:
    with pytest.raises(ExportError) as error:
        getattr(export, kind)(_changed(0, 1, path, value), _CHANNELS)
    place = "channel 'SR' (region 'high'), sample 'top', bin 1 (m 110 to 130)"
    assert f"{what} is {value:g} in {place}" in str(error.value)
    assert "empty=EVENTS" in str(error.value)


@pytest.mark.parametrize("kind", _FORMATS)
def test_a_bin_without_background_is_named(kind) -> None:
    spec = _changed(1, 0, ("data", 1), 0.0)
    with pytest.raises(ExportError, match=r"no background is expected .*channel 'source', .*bin 1"):
        getattr(export, kind)(spec)


@pytest.mark.parametrize("kind", _FORMATS)
def test_a_floor_is_said_wherever_it_was_set(kind) -> None:
    axis = hist.axis.Regular(2, 0, 2, name="m")
    channels = (bd.Channel("SR", bd.Region("SR", "m > 0"), (axis,)),)
    fakes = bd.Estimate(channels, np.array([4.0, -1.0]), np.array([1.0, 1.0]))
    signal = bd.Estimate(channels, np.array([1.0, 1.0]), np.array([0.1, 0.1]))
    files = getattr(export, kind)(bd.workspace({"fakes": fakes}, {"hh": signal}, empty=0.1), channels)
    texts = b"".join(body for name, body in files.items() if not name.endswith((".root", ".npz"))).decode()
    assert "floor-fakes-SR-1" in texts
    assert "sample 'fakes', channel 'SR': an empty or negative yield in bin 1 was set to the floor" in texts


def _plain(values: list[float], cut: str = "m > 0") -> bd.Estimate:
    channel = bd.Channel("SR", bd.Region("SR", cut), (hist.axis.Regular(3, 0, 3, name="m"),))
    shift = {"scale": (1.1 * np.array(values), 0.9 * np.array(values))}
    return bd.Estimate((channel,), np.array(values), np.abs(values), {}, shift)


@pytest.mark.parametrize("kind", ["root", "csv"])
@pytest.mark.parametrize("value", [0.0, -1.5])
def test_an_estimate_with_such_bins_is_written_only_as_it_is(kind, value, tmp_path) -> None:
    write = getattr(export, kind)
    with pytest.raises(
        ExportError, match=rf"the nominal yield is {value:g} in channel 'SR' .*bin 1 \(m 1 to 2\).*--as-is"
    ):
        write(_plain([3.0, value, 2.0]))
    (path,) = export.write(write(_plain([3.0, value, 2.0]), as_is=True), tmp_path)
    note = f"the nominal yield is {value:g} in channel 'SR' (region 'SR'), sample 'estimate', bin 1"
    if kind == "csv":
        rows = path.read_text().splitlines()
        assert rows[0].endswith(",note")
        assert note in rows[2] and rows[1].endswith(',""') and rows[3].endswith(',""')
    else:
        with uproot.open(path) as file:
            assert note in str(file["bins_as_is"])
            assert file["SR/estimate"].values().tolist() == [3.0, value, 2.0]


def test_bins_that_the_cut_leaves_out_are_no_fault() -> None:
    files = export.csv(_plain([3.0, 0.0, 2.0], "(m < 1) | (m > 2)"))
    assert files["estimate.csv"].decode().splitlines()[0].endswith("scale up,scale down")
    tiny = _plain([3.0, 1e-9, 2.0], "(m < 1) | (m > 2)").with_variation("model", np.array([2.0, 0.0, 1.0]))
    assert export.csv(tiny)
    below = _plain([3.0, -1e-9, 2.0], "(m < 1) | (m > 2)")
    with pytest.raises(ExportError, match="-1e-09"):
        export.csv(below)
    whole = bd.Channel("SR", bd.Region("SR", "n != 1"), (hist.axis.Integer(0, 3, name="n"),))
    rows = np.array([3.0, 0.0, 2.0])
    assert export.csv(bd.Estimate((whole,), rows, rows))
    with pytest.raises(ExportError, match="bin 2"):
        export.csv(bd.Estimate((whole,), rows[[0, 1, 1]], rows))


@pytest.mark.parametrize("kind", ["root", "csv"])
def test_the_counts_of_a_fit_are_in_the_statistical_error_alone(kind, tmp_path) -> None:
    """Beside the errors as shifts, whoever adds them all up would have them twice."""
    plain = _plain([3.0, 4.0, 2.0])
    counts = plain.with_variation("counts_1", np.array([4.0, 4.5, 2.5]), np.array([2.0, 3.5, 0.0]))
    (path,) = export.write(getattr(export, kind)(replace(counts, counted=frozenset({"counts_1"}))), tmp_path)
    if kind == "csv":
        head, first, *_ = path.read_text().splitlines()
        assert head.endswith("statistical,scale up,scale down")
        assert float(first.split(",")[6]) == pytest.approx(2.0)
    else:
        with uproot.open(path) as file:
            assert set(file["SR"].keys(cycle=False)) == {"estimate", "estimate_scaleUp", "estimate_scaleDown"}
            assert file["SR/estimate"].errors()[0] == pytest.approx(2.0)


# ---- what a format does not have -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", _FORMATS)
@pytest.mark.parametrize(
    ("modifier", "message"),
    [
        ({"name": "s", "type": "staterror", "data": [1.0, 1.0]}, "of type 'staterror'; exported are histosys"),
        (
            {"name": "slope", "type": "histosys", "data": {"hi_data": [9, 4], "lo_data": [7, 4]}},
            "'slope' moves shapes and",
        ),
        ({"name": "t", "type": "normsys", "data": {"hi": 1.1, "lo": 0.0}}, "'t' scales sample 'top' in channel 'SR'"),
        ({"name": "t", "type": "shapesys", "data": [1.0, 1.0]}, "2 modifiers of type 'shapesys'"),
    ],
)
def test_other_modifiers_are_refused(kind, modifier, message) -> None:
    spec = copy.deepcopy(SPEC)
    spec["channels"][0]["samples"][1]["modifiers"].append(modifier)
    with pytest.raises(ExportError, match=re.escape(message)):
        getattr(export, kind)(spec)


@pytest.mark.parametrize("kind", ["cabinetry", "trexfitter"])
def test_a_variation_that_leaves_nothing_is_refused(kind) -> None:
    spec = _changed(0, 1, ("modifiers", 0, "data", "lo_data"), [0.0, 0.0])  # type: ignore[arg-type]
    with pytest.raises(ExportError, match="variation 'model' takes sample 'top' in channel 'SR' to zero"):
        getattr(export, kind)(spec)
    assert export.combine(spec)


@pytest.mark.parametrize("kind", ["cabinetry", "trexfitter", "combine"])
def test_names_that_meet_are_refused(kind) -> None:
    spec = copy.deepcopy(SPEC)
    clash = {"cabinetry": "top_model_Up"}.get(kind, "top_modelUp")
    spec["channels"][0]["samples"].append({"name": clash, "data": [1.0, 1.0], "modifiers": []})
    with pytest.raises(ExportError, match=f"{clash}' would stand for two things"):
        getattr(export, kind)(spec)


def test_a_constant_parameter_and_a_half_scaled_signal_are_refused() -> None:
    spec = copy.deepcopy(SPEC)
    spec["measurements"][0]["config"]["parameters"][1]["fixed"] = True
    with pytest.raises(ExportError, match="'ratio' is held constant"):
        export.combine(spec)
    spec = copy.deepcopy(SPEC)
    spec["channels"][1]["samples"].append({"name": "hh", "data": [1.0, 1.0], "modifiers": []})
    with pytest.raises(ExportError, match="scaled by 'mu', but not in channel 'source'"):
        export.combine(spec)
    with pytest.raises(ExportError, match="3 bins, but 2 in the workspace"):
        export.combine(SPEC, [bd.Channel("SR", bd.Region("SR", "m > 0"), (hist.axis.Regular(3, 0, 1, name="m"),))])


@pytest.mark.parametrize("kind", _FORMATS)
def test_what_is_incomplete_or_oddly_named_is_refused(kind) -> None:
    spec = copy.deepcopy(SPEC)
    del spec["observations"][1]
    with pytest.raises(ExportError, match="channel 'source' has 2 bins, but its observation is missing"):
        getattr(export, kind)(spec)
    spec = copy.deepcopy(SPEC)
    spec["channels"][1]["samples"][1]["name"] = "top quark"
    with pytest.raises(ExportError, match="name 'top quark': other programs read letters"):
        getattr(export, kind)(spec)


def test_combines_own_parameter_is_nobody_elses() -> None:
    spec = copy.deepcopy(SPEC)
    for channel in spec["channels"]:
        for sample in channel["samples"]:
            for modifier in sample["modifiers"]:
                modifier["name"] = modifier["name"].replace("ratio", "r")
    with pytest.raises(ExportError, match="'r', which is combine's signal strength"):
        export.combine(spec)


def test_an_axis_title_cannot_break_a_configuration() -> None:
    axis = hist.axis.Variable([0, 1, 2], name="f", label='"odd" [%]')
    text = export.trexfitter(SPEC, [bd.Channel("SR", bd.Region("SR", "f > 0"), (axis,))])["trexfitter.config"].decode()
    assert "VariableTitle: \"'odd' [per cent]\"" in text


@pytest.mark.parametrize("options", [{"labels": ["a b"]}, {"labels": ["x", "y"]}, {"hepdata": "none"}])
def test_a_patch_set_that_pyhf_refuses_is_not_written(options) -> None:
    with pytest.raises(ExportError, match="pyhf refuses the patch set"):
        export.pyhf(SPEC, **options)


def test_cabinetry_needs_a_free_factor() -> None:
    with pytest.raises(ExportError, match="give it a signal"):
        export.cabinetry(bd.workspace({"fakes": _plain([3.0, 1.0, 2.0])}))


# ---- forms -----------------------------------------------------------------------------------------------------------


def test_several_axes_are_unrolled(tmp_path) -> None:
    axes = (hist.axis.Regular(2, 0, 2, name="m"), hist.axis.Regular(3, 0, 3, name="pt"))
    channel = bd.Channel("SR", bd.Region("SR", "m > 0"), axes)
    fakes = bd.Estimate((channel,), np.arange(1.0, 7.0), np.arange(1.0, 7.0))
    hh = bd.Estimate((channel,), np.ones(6), np.zeros(6))
    export.write(export.combine(bd.workspace({"fakes": fakes}, {"hh": hh}), [channel]), tmp_path)
    assert Card.read(tmp_path).hists["SR/fakes"][0].tolist() == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    with uproot.open(tmp_path / "shapes.root") as file:
        assert file["SR/fakes"].axis().edges().tolist() == list(range(7))


def test_negligible_errors_do_not_overflow_combines_counters(tmp_path) -> None:
    spec = _changed(0, 1, ("modifiers", 1, "data"), [8.0 * 2.0e-5, 1.0])  # type: ignore[arg-type]
    export.write(export.combine(spec), tmp_path)
    assert Card.read(tmp_path).hists["SR/top"][1].tolist() == [0.0, 1.0]


# ---- writing (fault 24) ----------------------------------------------------------------------------------------------


def test_nothing_is_written_if_one_file_is_there(tmp_path) -> None:
    files = {"a.txt": b"new", "b/c.txt": b"new"}
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "c.txt").write_bytes(b"old")
    with pytest.raises(ConfigError, match=r"c\.txt' exists; give --overwrite"):
        export.write(files, tmp_path)
    assert not (tmp_path / "a.txt").exists()
    assert (tmp_path / "b" / "c.txt").read_bytes() == b"old"
    assert export.write(files, tmp_path, overwrite=True) == (tmp_path / "a.txt", tmp_path / "b" / "c.txt")
    assert (tmp_path / "b" / "c.txt").read_bytes() == b"new"


@pytest.mark.parametrize("name", ["../out.txt", "/tmp/out.txt", "a/../../out.txt"])
def test_a_path_that_leaves_the_folder_is_refused(name, tmp_path) -> None:
    with pytest.raises(ConfigError, match="not below"):
        export.write({name: b""}, tmp_path / "home")


def test_a_file_in_the_way_is_named(tmp_path) -> None:
    (tmp_path / "a").write_bytes(b"")
    with pytest.raises(ConfigError, match=r"'.*a' is a file"):
        export.write({"a/b.txt": b""}, tmp_path)
    (tmp_path / "c.txt").mkdir()
    with pytest.raises(ConfigError, match="exists"):
        export.write({"c.txt": b""}, tmp_path, overwrite=True)
