"""What is left after kill -9, a full disk or a parent that is gone; pools of processes."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

import backdrop
from backdrop import tasks
from backdrop.errors import ResourceError
from backdrop.tasks import pool, progress, resumable, stream, sweep, write_atomic

_SOURCE = Path(backdrop.__file__).parent.parent


def _run(script: str, *arguments: object) -> str:
    environment = {**os.environ, "PYTHONPATH": str(_SOURCE)}
    command = [sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=120).stdout


def draw(item: int) -> dict[str, np.ndarray]:
    return {"x": stream(1, "draw", item).normal(size=4)}


# ---- kill -9 ---------------------------------------------------------------------------------------------------------

_KILLED = """
    import hashlib, os, random, signal, sys, time
    import numpy as np
    from backdrop.errors import ResourceError
    from backdrop.tasks import resumable, stream

    home, log = sys.argv[1:]
    open(log, "w").close()
    random.seed(1)

    def work(item):
        with open(log, "a") as lines:
            lines.write(f"{item}\\n")
        time.sleep(0.002)
        return {"x": stream(7, "work", item).normal(size=2000)}

    def started():
        return [int(line) for line in open(log)]

    def finished():
        # what is there is given at once, without the map being asked for more
        found = []
        def none(function, jobs):
            found.extend(jobs)
            return [function(job) for job in []]
        try:
            list(resumable(none, home)(work, range(400)))
        except ResourceError:
            pass
        return set(range(400)) - {job.item for job in found}

    for _ in range(20):
        done, before = finished(), len(started())
        child = os.fork()
        if child == 0:
            list(resumable(map, home)(work, range(400)))
            os._exit(0)
        wanted = before + random.randint(1, 4)
        while len(started()) < wanted:
            assert os.waitpid(child, os.WNOHANG) == (0, 0), "all tasks were done before it was killed"
            time.sleep(0.0002)
        time.sleep(random.uniform(0, 0.01))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        print(len(done), len(set(started()[before:]) & done))

    digests = [hashlib.sha256() for _ in range(2)]
    for digest, run in zip(digests, (resumable(map, home), map)):
        for result in run(work, range(400)):
            digest.update(result["x"].tobytes())
    print(*(digest.hexdigest() for digest in digests))
"""


def test_twenty_kills_lose_nothing_that_was_finished(tmp_path: Path) -> None:
    """No file is damaged, no finished task runs again, and the result is that of an uninterrupted run."""
    *rounds, digests = _run(_KILLED, tmp_path / "kept", tmp_path / "log").splitlines()
    finished, again = np.array([line.split() for line in rounds], int).T
    assert len(finished) == 20
    assert (np.diff(finished) >= 0).all()
    assert finished[-1] > 10
    assert (again == 0).all()
    assert len(set(digests.split())) == 1
    assert all(tasks._stored(file) is not None for file in (tmp_path / "kept").iterdir())


# ---- pools -----------------------------------------------------------------------------------------------------------


def test_pools_of_any_size_agree(tmp_path: Path) -> None:
    items = (3, 1, 2)
    with pool(1) as one, pool(2) as two:
        alone, together = list(one(draw, items)), list(resumable(two, tmp_path / "kept")(draw, items))
    for a, b in zip(alone, together, strict=True):
        assert {name: array.tobytes() for name, array in a.items()} == {name: b[name].tobytes() for name in b}


_LIMITS = """
    import os
    import numpy as np
    import threadpoolctl
    from backdrop.tasks import pool

    def threads(_):
        return [found["num_threads"] for found in threadpoolctl.threadpool_info()]

    if __name__ == "__main__":
        with pool(2) as run:
            print({number for numbers in run(threads, range(2)) for number in numbers})
        print(os.environ["MKL_NUM_THREADS"], os.environ.get("OPENBLAS_NUM_THREADS"))
"""


def test_workers_have_one_thread_and_the_parent_keeps_its_own(tmp_path: Path) -> None:
    """Where nothing limits the threads from outside, as the tests' own settings do."""
    pytest.importorskip("threadpoolctl")
    script = tmp_path / "limits.py"
    script.write_text(textwrap.dedent(_LIMITS))
    free = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    environment = {**free, "PYTHONPATH": str(_SOURCE), "MKL_NUM_THREADS": "7"}
    found = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, timeout=120)
    assert found.stdout.split() == ["{1}", "7", "None"], found.stderr


_ORPHANED = """
    import os, sys, time
    from pathlib import Path
    from backdrop.tasks import pool

    if __name__ == "__main__":
        with pool(2) as run:
            run(time.sleep, [0.01, 60, 60])
            children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
            server = children.read_text().split()[-1]
            workers = Path(f"/proc/{server}/task/{server}/children")
            while len(workers.read_text().split()) < 2:
                time.sleep(0.01)
            time.sleep(1.0)
            print(workers.read_text(), flush=True)
            os.kill(os.getpid(), 9)
"""


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs Linux")
def test_workers_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "orphaned.py"
    script.write_text(textwrap.dedent(_ORPHANED))
    environment = {**os.environ, "PYTHONPATH": str(_SOURCE)}
    found = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, timeout=120)
    assert found.returncode == -9, found.stderr
    workers = [int(pid) for pid in found.stdout.split()]
    assert len(workers) == 2
    deadline = time.monotonic() + 30
    while any(tasks._alive(pid) for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(tasks._alive(pid) for pid in workers)


def test_a_map_of_dask_serves_as_well(tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed")
    with distributed.Client(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None) as client:
        found = list(
            resumable(lambda function, items: client.gather(client.map(function, items)), tmp_path)(draw, [2, 1])
        )
    assert [one["x"].tobytes() for one in found] == [draw(item)["x"].tobytes() for item in (2, 1)]


def test_a_map_that_ends_early_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match="ended before all tasks were done"):
        list(resumable(lambda function, items: [function(items[0])], tmp_path)(draw, [1, 2]))


def test_progress_passes_results_on_and_is_silent_off_a_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    assert list(progress(map, "toys")(abs, [-1, 2, -3])) == [1, 2, 3]
    assert capfd.readouterr() == ("", "")


# ---- files -----------------------------------------------------------------------------------------------------------


def test_a_write_replaces_the_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"
    for data in (b"long content", b"x", b""):
        write_atomic(path, data)
        assert path.read_bytes() == data
    assert [file.name for file in path.parent.iterdir()] == ["file"]


def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    """A limit on the file size stands for the disk: the write fails in the middle, as on a full one."""
    path = tmp_path / "file"
    path.write_bytes(b"old")
    script = """
        import resource, signal, sys
        from backdrop.tasks import write_atomic
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        try:
            write_atomic(sys.argv[1], b"n" * 100_000)
        except OSError as error:
            print(error.errno, error.filename, error.strerror, sep="\\n")
    """
    number, name, text = _run(script, path).splitlines()
    assert int(number) > 0 and name == str(path) and text.endswith("; 100000 bytes are needed")
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


def test_temporaries_of_killed_writers_are_swept_and_others_are_not(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    stale, live, foreign = f".a.npz.{dead.pid}.part", f".b.npz.{os.getpid()}.part", ".download.part"
    for name in (stale, live, foreign, ".x.y.part", "kept.npz", f".c.{2**70}.part"):
        (tmp_path / name).touch()
    assert sweep(tmp_path) == 2
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted([live, foreign, ".x.y.part", "kept.npz"])
    (tmp_path / stale).touch()
    list(resumable(map, tmp_path)(draw, [1]))
    assert not (tmp_path / stale).exists()
