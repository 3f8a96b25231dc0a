"""pyhf: a patch set that pyhf itself verifies and applies."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyhf
import pytest

import backdrop as bd
from backdrop import export
from backdrop.inference import fit
from backdrop.inference.label import Label
from tests.export.samples import CHANNELS, estimate, plain


def _files(spec: dict[str, Any], **options: Any) -> dict[str, Any]:
    return {name: json.loads(body) for name, body in export.pyhf(spec, CHANNELS, **options).items()}


def _two() -> tuple[dict[str, Any], dict[str, bd.Estimate], dict[str, bd.Estimate]]:
    backgrounds = {"fakes": estimate(100.0, 1)}
    signals = {
        name: estimate(level, seed, replicas=0, variations=("theory",))
        for name, level, seed in (("hh_300", 5.0, 3), ("hh_500", 0.5, 4))
    }
    return bd.workspace(backgrounds, signals), backgrounds, signals


def test_a_patch_gives_back_the_workspace() -> None:
    files = _files(plain())
    patches = pyhf.PatchSet(files["patchset.json"])
    patches.verify(files["background.json"])
    assert dict(patches.apply(files["background.json"], "hh")) == plain() == files["workspace.json"]
    assert [patch.values for patch in patches] == [("hh",)]


def test_a_changed_background_is_not_what_the_patch_set_is_for() -> None:
    files = _files(plain())
    files["background.json"]["observations"][0]["data"][0] += 1.0
    with pytest.raises(pyhf.exceptions.PatchSetVerificationError):
        pyhf.PatchSet(files["patchset.json"]).verify(files["background.json"])


def test_the_background_alone_is_a_model() -> None:
    background = _files(plain())["background.json"]
    model = pyhf.Workspace(background).model()
    assert model.config.poi_name is None
    assert not any("hh" in name for name in model.config.par_names)
    assert fit(background).poi is None


def test_each_signal_has_a_patch_that_is_its_own_workspace() -> None:
    """What is fitted with one patch is what a workspace of this signal alone gives, whose bounds do not bite."""
    spec, backgrounds, signals = _two()
    files = _files(spec, labels=["mass"], values={"hh_300": [300.0], "hh_500": [500.0]})
    patches = pyhf.PatchSet(files["patchset.json"])
    for name, mass in (("hh_300", 300.0), ("hh_500", 500.0)):
        alone = bd.workspace(backgrounds, {name: signals[name]})
        patched = dict(patches.apply(files["background.json"], (mass,)))
        found, wanted = fit(patched), fit(alone)
        assert found.value == pytest.approx(wanted.value, abs=1e-6)
        assert found.error == pytest.approx(wanted.error, rel=1e-6)
        assert found.limit_expected == pytest.approx(wanted.limit_expected, rel=1e-5)
        (own,) = [one for one in patched["measurements"][0]["config"]["parameters"] if one["name"] == "mu"]
        (given,) = [one for one in alone["measurements"][0]["config"]["parameters"] if one["name"] == "mu"]
        assert own["bounds"][0][0] == pytest.approx(given["bounds"][0][0], rel=1e-6)
        assert own["bounds"][0][1] >= given["bounds"][0][1] * (1 - 1e-9)


def test_all_patches_together_are_the_workspace_but_for_the_bounds() -> None:
    spec, _, _ = _two()
    files = _files(spec)
    found: Any = files["background.json"]
    for patch in pyhf.PatchSet(files["patchset.json"]):
        found = patch.apply(found)
    assert found["channels"] == spec["channels"]


def test_without_a_signal_there_is_nothing_to_patch() -> None:
    assert list(_files(bd.workspace({"fakes": estimate(100.0, 1)}))) == ["workspace.json"]


def test_what_is_sealed_is_said() -> None:
    files = _files(plain())
    assert "channel 'SR' holds no data" in files["patchset.json"]["metadata"]["description"]
    label = Label.parse(files["background.json"]["measurements"][0]["name"])
    assert label is not None and label.asimov == ("SR",)
    assert files["background.json"]["observations"][0]["data"] == pytest.approx(np.array([120.0, 72.0, 36.0]))
