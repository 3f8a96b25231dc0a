import json
import subprocess
from dataclasses import replace

import numpy as np
import pytest

from backdrop.errors import ArtifactError
from backdrop.provenance import Provenance, commit_of, now, versions

FILE = {"path": "data.root", "bytes": 10, "sha256": "a", "entries": 3, "verified": "unverified"}
RECORD = Provenance(
    "toy", "f" * 64, 1, {"seed": 1}, {"data": [FILE]}, now(), now(), ({"reason": "x"},), command=("run",)
)


def test_what_is_written_is_read_back(tmp_path):
    path = tmp_path / "provenance.json"
    assert Provenance.read(path) is None
    path.write_bytes(RECORD.to_json())
    assert Provenance.read(path) == RECORD


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"schema": 1}', '{"schema": 99}'])
def test_what_cannot_be_read_is_named(tmp_path, text):
    path = tmp_path / "provenance.json"
    path.write_text(text)
    with pytest.raises(ArtifactError, match=r"provenance.json (is damaged|has schema 99)"):
        Provenance.read(path)


def test_changed_files_are_found():
    other = {**FILE, "path": "more.root"}
    assert RECORD.changed({"data": [dict(FILE)]}) == []
    assert RECORD.changed({"data": [{**FILE, "verified": "manifest"}]}) == []
    assert RECORD.changed({"data": [{**FILE, "sha256": "b"}]}) == ["data.root"]
    assert RECORD.changed({"data": [FILE, other]}) == ["more.root"]
    assert replace(RECORD, inputs={"data": [FILE, other]}).changed({"data": [FILE]}) == ["more.root"]
    assert RECORD.changed({}) == ["data.root"]


def test_versions_name_what_results_depend_on():
    found = versions()
    assert found["numpy"] == np.__version__
    assert {"backdrop", "python", "platform", "pyhf"} <= found.keys()
    json.dumps(found)


def test_the_commit_of_a_folder(tmp_path):
    def git(*arguments: str) -> str:
        who = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
        command = ["git", "-C", str(tmp_path), *who, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    assert commit_of(tmp_path) is None
    assert commit_of(tmp_path / "none") is None
    git("init", "-q")
    assert commit_of(tmp_path) is None
    (tmp_path / "a.yaml").write_text("1")
    git("add", "a.yaml")
    git("commit", "-q", "-m", "first")
    assert commit_of(tmp_path) == {"commit": git("rev-parse", "HEAD"), "changed": False}
    (tmp_path / "a.yaml").write_text("2")
    assert commit_of(tmp_path)["changed"] is True
