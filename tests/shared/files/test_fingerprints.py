"""Names for the state of files."""

import os

import pytest

from blockmill.shared.files.fingerprints import content_of, file_state, sample


def test_a_file_that_is_written_anew_has_another_state(tmp_path):
    path = tmp_path / "f"
    assert file_state(path) == b"none"
    path.write_bytes(b"1")
    before = file_state(path)
    assert file_state(path) == before
    os.utime(path, ns=(1, 1))
    assert file_state(path) != before


@pytest.mark.parametrize("size", [1, 4096, 1 << 20, (1 << 20) + 1, 5 << 20])
def test_content_that_changed_is_seen_though_size_and_times_are_as_before(tmp_path, size):
    path = tmp_path / "f"
    path.write_bytes(bytes(size))
    facts = path.stat()
    before = content_of([str(path)])
    with path.open("r+b") as file:
        file.write(b"\1" * size)
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert file_state(path)
    assert content_of([str(path)]) != before


@pytest.mark.parametrize("place", [0, -1])
def test_the_ends_of_a_large_file_count(tmp_path, place):
    path = tmp_path / "f"
    content = bytearray(3 << 20)
    path.write_bytes(content)
    before = sample(path)
    content[place] = 1
    path.write_bytes(content)
    assert sample(path) != before


def test_what_can_not_be_read_has_a_name_as_well(tmp_path):
    assert content_of([str(tmp_path / "none")]) == content_of([str(tmp_path / "none")])
    (tmp_path / "none").write_bytes(b"")
    assert content_of([str(tmp_path / "none")]) != content_of([])
