import json
import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backdrop import blinding
from backdrop.blinding import Look
from backdrop.errors import BlindedError, ConfigError

LOOK = Look("hh4b", "f" * 64, "data", "SR & 4b", "(m > 110) & (n == 4)", "approved")


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "unblinding.jsonl"
    for reason in ("first", "second", "third"):
        blinding.record(path, replace(LOOK, reason=reason))
    return path


def test_entries_are_chained_and_read_back(log):
    found = blinding.looks(log)
    assert [entry.reason for entry in found] == ["first", "second", "third"]
    assert found[0].previous == "0" * 64
    assert [entry.previous for entry in found[1:]] == [entry.sha256 for entry in found[:2]]
    assert found[0].look == replace(LOOK, reason="first")
    assert found[0].time.endswith("+00:00")
    assert [json.loads(line)["region"] for line in log.read_text().splitlines()] == ["SR & 4b"] * 3


def test_the_same_look_is_logged_once(log):
    before = log.read_bytes()
    assert blinding.record(log, replace(LOOK, reason="second")).reason == "second"
    assert log.read_bytes() == before


def test_without_a_log_nothing_was_unblinded(tmp_path):
    assert blinding.looks(tmp_path / "none.jsonl") == ()


@pytest.mark.parametrize("reason", ["", "  ", "\n", "x" * 1001])
def test_a_reason_is_needed(tmp_path, reason):
    with pytest.raises(ConfigError, match="needs a reason"):
        blinding.record(tmp_path / "log.jsonl", replace(LOOK, reason=reason))
    assert not (tmp_path / "log.jsonl").exists()


def broken(log, data: bytes) -> str:
    log.write_bytes(data)
    with pytest.raises(BlindedError) as caught:
        blinding.looks(log)
    assert caught.value.exit_code == 4
    return str(caught.value)


def test_an_edited_reason_breaks_the_chain(log):
    assert "unblinding.jsonl:2: the chain" in broken(log, log.read_bytes().replace(b"second", b"Second"))


def test_an_edit_with_a_new_hash_breaks_the_chain_at_the_next_line(log):
    lines = log.read_bytes().splitlines(keepends=True)
    entry = blinding.looks(log)[0]
    forged = blinding._sealed(replace(entry.look, reason="harmless"), entry.previous).line()
    assert ":2: the chain" in broken(log, b"".join([forged, *lines[1:]]))


def test_a_removed_or_moved_line_breaks_the_chain(log):
    one, two, three = log.read_bytes().splitlines(keepends=True)
    for lines in ([two, three], [one, three], [two, one, three], [one, one, two, three], [one, two, three[:-1]]):
        broken(log, b"".join(lines))


@pytest.mark.parametrize(
    "junk", [b"{}\n", b"[]\n", b"null\n", b"\xff\n", b"{" * 5000 + b"\n", b"\n", b'{"time": NaN}\n']
)
def test_what_is_no_entry_breaks_the_chain(log, junk):
    broken(log, log.read_bytes() + junk)


def test_nothing_is_appended_to_a_broken_log(log):
    data = log.read_bytes().replace(b"first", b"First")
    log.write_bytes(data)
    with pytest.raises(BlindedError):
        blinding.record(log, replace(LOOK, reason="fourth"))
    assert log.read_bytes() == data


def test_lines_cut_off_at_the_end_are_missed_by_who_remembers_them(log):
    known = [entry.sha256 for entry in blinding.looks(log)]
    assert len(blinding.verify(log, known)) == 3
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:2]))
    assert len(blinding.looks(log)) == 2
    with pytest.raises(BlindedError, match="no longer holds 1 of the entries"):
        blinding.verify(log, known)
    log.unlink()
    with pytest.raises(BlindedError, match="no longer holds 3 of the entries"):
        blinding.verify(log, known)


@given(st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
def test_no_changed_byte_goes_unnoticed(log, data):
    whole = blinding.looks(log)
    lines = b"".join(entry.line() for entry in whole)
    place = data.draw(st.integers(0, len(lines) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda one: one != lines[place]))
    log.write_bytes(lines[:place] + bytes([byte]) + lines[place + 1 :])
    with pytest.raises(BlindedError):
        blinding.looks(log)
    log.write_bytes(lines)


APPEND = """
import sys
from backdrop.blinding import Look, record
for i in range(20):
    record(sys.argv[1], Look("a", "f", "data", "SR", "m > 1", f"{sys.argv[2]}-{i}"))
"""


def test_processes_that_append_at_once_keep_one_chain(tmp_path):
    path = tmp_path / "log.jsonl"
    running = [subprocess.Popen([sys.executable, "-c", APPEND, str(path), str(k)]) for k in range(3)]
    assert [process.wait(120) for process in running] == [0, 0, 0]
    assert {entry.reason for entry in blinding.looks(path)} == {f"{k}-{i}" for k in range(3) for i in range(20)}
    assert [file.name for file in tmp_path.iterdir()] == ["log.jsonl"]
