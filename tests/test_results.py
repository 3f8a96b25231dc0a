"""Results: what is written, and that it comes back the same."""

import json

import numpy as np
import pytest

from backdrop.errors import ArtifactError
from backdrop.inference import Impact
from backdrop.results import Results
from backdrop.tasks import fingerprint
from backdrop.validation import Pulls
from tests.plot.samples import checks, closed, estimate, fitted, rows


def results(**changes):
    found = estimate()
    counts = found.channel("VR").fill(rows(found, "VR"))
    given = {
        "name": "toy",
        "seed": 11,
        "estimates": {"abcd": found},
        "closures": {"abcd": {"VR": closed()}},
        "observed": {"abcd": {"SR": None, "VR": np.stack(counts)}},
        "fits": {"abcd": fitted()},
        "rankings": {"abcd": {"stat": Impact(0.25, -0.5)}},
        "pulls": {"abcd": Pulls(("mu",), np.array([[0.5], [np.nan], [-1.0]]), np.ones((3, 1)), np.zeros((3, 1)))},
        "checks": checks(),
        "cards": {"abcd": {"summary": "Four regions."}},
        "settings": {"abcd": {"kappa": "1.0"}},
        "regions": {"SR": "s > 1", "VR": "s < 1"},
        "roles": {"abcd": {"target": "tight"}},
        "blinding": {"sealed": [{"sample": "data", "region": "SR", "cut": "s > 1", "revealed": ["m"]}], "log": []},
        "provenance": {"started": "2031-01-01T00:00:00", "inputs": [{"sample": "data", "path": "/far/away/data.root"}]},
        "title": "A toy <of> results",
        "notes": "µ ≠ 0",
        "warnings": ("few events",),
        "label": {"experiment": "CMS", "status": "", "lumi": 2.9, "com": 7.0},
    }
    return Results(**{**given, **changes})


def strict(path):
    return json.loads(path.read_text(), parse_constant=lambda name: pytest.fail(f"{name} in {path.name}"))


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_results_json_has_the_quoted_numbers():
    found = results().to_json()
    assert list(found) == [
        "backdrop", "name", "seed", "estimates", "closures", "fit", "pulls", "blinding", "variables", "cut_flows",
        "weights",
    ]  # fmt: skip
    total = estimate().total("SR")
    assert found["estimates"]["abcd"]["SR"] == {
        "yield": total.value,
        "statistical": total.statistical,
        "systematic": total.systematic,
        "total": total.total,
    }
    tested = found["closures"]["abcd"]["VR"]
    assert tested == {**closed().summary()}
    assert list(tested) == [
        "observed", "predicted", "uncertainty", "chi2", "ndf", "p_value", "pull_mean", "pull_width",
    ]  # fmt: skip
    assert found["fit"]["abcd"]["asimov_channels"] == ["SR"]
    assert found["fit"]["abcd"]["parameters"]["mu"]["pull"] is None
    assert found["fit"]["abcd"]["ranking"] == {"stat": {"up": 0.25, "down": -0.5}}


def test_results_json_has_the_checks():
    found = results().to_json()
    tested = found["variables"]["abcd"]["VR"]["m"]
    assert tested["without"] == ["m > 110"] and tested["chi2"] == closed().chi2
    assert found["cut_flows"]["SR"]["cuts"] == ["", "s > 1", "m > 110"]
    assert found["cut_flows"]["SR"]["yields"]["data"] == [None, None, None]
    assert found["weights"]["abcd"]["training"]["negative_fraction"] == 0.25


def test_a_sealed_channel_has_null_for_what_was_observed():
    sealed = results().to_json()["closures"]["abcd"]["SR"]
    assert sealed["observed"] is None and sealed["p_value"] is None
    assert sealed["predicted"] == estimate().total("SR").value
    assert results().is_sealed("abcd", "SR") and not results().is_sealed("abcd", "VR")
    assert not results(observed={}).is_sealed("abcd", "SR")


def test_what_is_saved_comes_back(tmp_path):
    first = results()
    first.save(tmp_path)
    again = Results.load(tmp_path)
    assert again.to_json() == first.to_json()
    for name in (
        "name",
        "seed",
        "cards",
        "settings",
        "regions",
        "roles",
        "blinding",
        "title",
        "notes",
        "warnings",
        "label",
    ):
        assert getattr(again, name) == getattr(first, name), name
    np.testing.assert_array_equal(again.estimates["abcd"].replicas["data"], first.estimates["abcd"].replicas["data"])
    np.testing.assert_array_equal(again.observed["abcd"]["VR"], first.observed["abcd"]["VR"])
    assert again.observed["abcd"]["SR"] is None
    assert again.closures["abcd"]["VR"].p_value == closed().p_value
    np.testing.assert_array_equal(again.closures["abcd"]["VR"].covariance, closed().covariance)
    assert again.fits["abcd"] == first.fits["abcd"]
    assert fingerprint(again.checks.state()) == fingerprint(first.checks.state())
    assert again.provenance == first.provenance


def test_the_same_results_are_the_same_bytes(tmp_path):
    for name in ("one", "two"):
        results().save(tmp_path / name)
    Results.load(tmp_path / "one").save(tmp_path / "three")
    assert files(tmp_path / "one") == files(tmp_path / "two") == files(tmp_path / "three")


def test_saving_again_replaces_what_was_there(tmp_path):
    results().save(tmp_path)
    results(title="Another").save(tmp_path)
    assert Results.load(tmp_path).title == "Another"


def test_times_are_in_the_provenance_alone(tmp_path):
    results().save(tmp_path)
    assert [name for name, data in files(tmp_path).items() if b"2031-01" in data] == ["provenance.json"]


def test_json_is_strict_where_numbers_are_not_finite(tmp_path):
    values = np.array([np.nan, np.inf, -np.inf, 1.5, 0.0, 0.0, 0.0, 0.0])
    results(observed={"abcd": {"VR": values}}, provenance={"load": float("nan")}).save(tmp_path)
    for name in ("results.json", "parts.json", "provenance.json"):
        strict(tmp_path / name)
    np.testing.assert_array_equal(Results.load(tmp_path).observed["abcd"]["VR"], values)


@pytest.mark.parametrize("name", ["a/b", "..", "μ", "a b", ".hidden", "x" * 100])
def test_a_method_of_any_name_is_kept_inside_the_folder(name, tmp_path):
    home = tmp_path / "run"
    results(estimates={name: estimate(), "a_b": estimate(seed=3)}, closures={}, observed={}, fits={}).save(home)
    assert {path.name for path in tmp_path.iterdir()} == {"run"}
    again = Results.load(home)
    assert list(again.estimates) == [name, "a_b"]
    np.testing.assert_array_equal(again.estimates[name].nominal, estimate().nominal)


def test_a_folder_without_results_says_so(tmp_path):
    with pytest.raises(ArtifactError, match=r"no parts\.json in .* not the folder of a finished run"):
        Results.load(tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"seed": 11', '"seed": 12', "SHA-256 does not fit"),
        ('"schema": 3', '"schema": 99', r"schema 99, version .* reads schema 3"),
        ('"name"', "name", "damaged"),
        ("0.", "NaN0.", "damaged"),
    ],
)
def test_damage_is_found(old, new, message, tmp_path):
    results().save(tmp_path)
    path = tmp_path / "parts.json"
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(ArtifactError, match=message):
        Results.load(tmp_path)


def test_a_damaged_estimate_is_found(tmp_path):
    results().save(tmp_path)
    path = tmp_path / "estimates" / "abcd" / "arrays.safetensors"
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)
    with pytest.raises(ArtifactError, match="damaged"):
        Results.load(tmp_path)


def test_methods_and_channels_are_listed_once():
    found = results(closures={"abcd": {}, "other": {"VR": closed()}})
    assert found.methods == ("abcd", "other")
    assert found.channels == ("SR", "VR")
    assert "toy" in repr(found)
