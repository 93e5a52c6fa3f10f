import os
import tempfile
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from blockmill.daemon.journal.job_log import JobLog
from blockmill.shared.errors import StorageError
from blockmill.shared.messages.records import LogLine


def line(text, **more):
    return LogLine(time_s=1.5, text=text, **more)


def read_all(log, step=1 << 20):
    lines_read, offset = [], 0
    while True:
        lines, offset = log.read(offset, step)
        if not lines:
            return lines_read
        lines_read += lines


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.text(max_size=60), max_size=5), max_size=30), st.integers(0, 3))
def test_what_was_appended_is_read_back_through_rotation_and_reopening(groups, reopen_every):
    with tempfile.TemporaryDirectory() as folder:
        log = JobLog(Path(folder) / "1", segment_bytes=300, keep=1000)
        for number, texts in enumerate(groups):
            log.append([line(text, worker=number) for text in texts])
            if reopen_every and number % reopen_every == 0:
                log = JobLog(Path(folder) / "1", segment_bytes=300, keep=1000)
        expected = [line(text, worker=number) for number, texts in enumerate(groups) for text in texts]
        assert read_all(log) == expected


def test_only_the_newest_files_are_kept_and_offsets_stay(tmp_path):
    log = JobLog(tmp_path / "1", segment_bytes=1000, keep=2)
    for number in range(200):
        log.append([line(f"number {number}")])
    texts = [line.text for line in read_all(log)]
    assert texts[-1] == "number 199"
    assert 20 < len(texts) < 100
    assert len(list((tmp_path / "1").iterdir())) == 2
    end = log.end
    log.append([line("later")])
    assert [line.text for line in log.read(end)[0]] == ["later"]
    assert JobLog(tmp_path / "1", segment_bytes=1000, keep=2).end == log.end


def test_a_line_that_a_crash_has_torn_is_dropped_and_a_damaged_one_told(tmp_path):
    log = JobLog(tmp_path / "1")
    log.append([line("whole")])
    path = next((tmp_path / "1").iterdir())
    with path.open("ab") as file:
        file.write(b'{"time_s": 1, "te\n{"torn')
    log = JobLog(tmp_path / "1")
    log.append([line("after")])
    texts = [line.text for line in read_all(log)]
    assert texts[0] == "whole"
    assert texts[1].startswith("a damaged line")
    assert texts[2:] == ["after"]


def test_minus_one_starts_near_the_end(tmp_path):
    log = JobLog(tmp_path / "1")
    log.append([line(f"number {number}") for number in range(5000)])
    lines, offset = log.read(-1)
    assert 10 < len(lines) < 1000
    assert lines[-1].text == "number 4999"
    assert log.read(offset) == ([], offset)


def test_an_endless_line_is_cut(tmp_path):
    log = JobLog(tmp_path / "1")
    log.append([line("x" * 1_000_000), line("next")])
    first, second = read_all(log)
    assert len(first.text) < 40_000
    assert first.text.endswith("more characters")
    assert second.text == "next"


def test_files_are_the_users_own(tmp_path):
    log = JobLog(tmp_path / "1")
    log.append([line("secret")])
    assert (tmp_path / "1").stat().st_mode & 0o777 == 0o700
    assert next((tmp_path / "1").iterdir()).stat().st_mode & 0o777 == 0o600
    log.remove()
    assert not (tmp_path / "1").exists()


def test_lines_that_could_not_be_written_are_counted(tmp_path, monkeypatch):
    log = JobLog(tmp_path / "1")
    log.append([line("before")])

    def full(*args):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", full)
        for _ in range(2):
            with pytest.raises(StorageError, match="No space left"):
                log.append([line("lost"), line("lost too")])
    log.append([line("after")])
    texts = [line.text for line in read_all(log)]
    assert texts == ["before", "4 lines before this one could not be written", "after"]
