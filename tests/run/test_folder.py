import os
import subprocess
import sys

import pytest

from backdrop.errors import ArtifactError, ConfigError, ResourceError
from backdrop.run.folder import folder, held
from backdrop.run.state import State, state_of

STATE = State("a", "f" * 64, {"regions": {"SR": "m > 110"}, "seed": 1}, (), "1.0", "unblinding.jsonl")


def changed(**settings) -> State:
    return State("a", "e" * 64, {**STATE.settings, **settings}, (), "1.0", "unblinding.jsonl")


def publish(path, files, state=STATE, **options):
    with folder(path, state, **options) as place:
        for name, text in files.items():
            (place.staging / name).parent.mkdir(parents=True, exist_ok=True)
            (place.staging / name).write_text(text)
        place.publish()


def test_files_appear_together_and_replace_those_of_an_earlier_run(tmp_path):
    home = tmp_path / "out"
    publish(home, {"results.json": "1", "figures/a.png": "a", "figures/deep/b.png": "b"})
    (home / "mine.txt").write_text("kept")
    publish(home, {"results.json": "2", "figures/c.png": "c"})
    found = {str(file.relative_to(home)) for file in home.rglob("*") if file.is_file() and ".tasks" not in file.parts}
    assert found == {"results.json", "figures/c.png", "mine.txt"}
    assert (home / "results.json").read_text() == "2"
    assert not (home / ".tasks" / "staging").exists()


def test_a_failed_run_leaves_the_earlier_files(tmp_path):
    home = tmp_path / "out"
    publish(home, {"results.json": "1"})
    with pytest.raises(RuntimeError), folder(home, STATE) as place:
        (place.staging / "results.json").write_text("2")
        raise RuntimeError
    assert (home / "results.json").read_text() == "1"


def test_another_configuration_is_refused_with_what_changed(tmp_path):
    publish(tmp_path / "out", {"results.json": "1"})
    other = changed(regions={"SR": "m > 100", "VR": "m < 90"})
    with pytest.raises(ArtifactError) as caught, folder(tmp_path / "out", other):
        pass
    assert caught.value.exit_code == 6
    assert 'regions.SR: "m > 110" -> "m > 100"' in str(caught.value)
    assert 'regions.VR: not given -> "m < 90"' in str(caught.value)
    assert "seed" not in str(caught.value)
    assert state_of(tmp_path / "out") == STATE


def test_overwriting_uses_no_finished_task_of_the_other(tmp_path):
    home = tmp_path / "out"
    with folder(home, STATE) as place:
        place.tasks.mkdir()
        (place.tasks / "task.npz").write_bytes(b"x")
    with folder(home, STATE) as place:
        assert (place.tasks / "task.npz").exists()
    with folder(home, changed(seed=2), overwrite=True) as place:
        assert not place.tasks.exists()
    assert state_of(home) == changed(seed=2)


@pytest.mark.parametrize(
    "other", [State(**{**STATE.__dict__, "opened": ("data",)}), State(**{**STATE.__dict__, "version": "2.0"})]
)
def test_unblinding_and_another_version_are_other_runs(tmp_path, other):
    publish(tmp_path / "out", {"results.json": "1"})
    with pytest.raises(ArtifactError, match=r"unblinded samples|version of backdrop"), folder(tmp_path / "out", other):
        pass


def test_a_folder_with_something_else_is_never_taken(tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    for overwrite in (False, True):
        with (
            pytest.raises(ConfigError, match="holds files that no run wrote"),
            folder(tmp_path, STATE, overwrite=overwrite),
        ):
            pass
    with pytest.raises(ConfigError, match="is a file"), folder(tmp_path / "thesis.tex", STATE):
        pass
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("place", ["results.json", "figures/data.parquet", ".tasks/data.parquet"])
def test_an_input_is_never_where_files_are_written(tmp_path, place):
    publish(tmp_path / "out", {"report.html": "1"})
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "out")
    for home in (tmp_path / "out", link):
        with pytest.raises(ConfigError, match="is where --out"), folder(home, STATE, inputs=[str(home / place)]):
            pass


def test_a_damaged_state_is_refused(tmp_path):
    publish(tmp_path / "out", {"results.json": "1"})
    file = tmp_path / "out" / ".tasks" / "run.json"
    for text in ("{", "[]", "{}", '{"schema": 99}', '{"schema": 1, "name": "a"}'):
        file.write_text(text)
        with pytest.raises(ArtifactError, match=r"is damaged|has schema 99"), folder(tmp_path / "out", STATE):
            pass


def test_a_folder_is_held_by_one_process(tmp_path):
    with held(tmp_path / "out", STATE), pytest.raises(ResourceError) as caught, held(tmp_path / "out", STATE):
        pass
    assert caught.value.exit_code == 7
    assert f"in use by process {os.getpid()} on " in str(caught.value)
    with held(tmp_path / "out", STATE):
        pass


HOLD = """
import os, signal, sys
from backdrop.run.folder import held
from backdrop.run.state import State
with held(sys.argv[1], State("a", "f", {}, (), "1", "log")):
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_lock_of_a_killed_process_is_taken_over(tmp_path):
    done = subprocess.run([sys.executable, "-c", HOLD, str(tmp_path / "out")], check=False, timeout=120)
    assert done.returncode == -9
    assert (tmp_path / "out" / ".tasks" / "lock").read_text().startswith("process ")
    with held(tmp_path / "out", STATE) as place:
        assert place.staging.is_dir()
    assert (tmp_path / "out" / ".tasks" / "lock").read_text() == ""


def test_a_run_that_found_nothing_to_read_keeps_no_folder_from_the_next(tmp_path):
    with pytest.raises(RuntimeError), folder(tmp_path / "out", STATE):
        raise RuntimeError
    with folder(tmp_path / "out", changed(seed=2)) as place:
        place.tasks.mkdir()
        (place.tasks / "one.npz").write_bytes(b"")
    with pytest.raises(ArtifactError, match="seed"), folder(tmp_path / "out", STATE):
        pass
