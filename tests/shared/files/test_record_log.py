"""The log of records: whatever a kill leaves of it, whole records come back and nothing else."""

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockmill.shared.errors import StorageError
from blockmill.shared.files.record_log import RecordLog

RECORDS = st.lists(st.tuples(st.integers(0, 5), st.binary(max_size=40)), max_size=8)


def replayed(path):
    log = RecordLog(path)
    log.close()
    return log.replayed


@given(before=RECORDS, after=RECORDS, snapshot=st.booleans(), cut=st.integers(0, 500), data=st.data())
def test_what_is_left_after_a_cut_is_a_beginning(tmp_path_factory, before, after, snapshot, cut, data):
    path = tmp_path_factory.mktemp("log") / "records"
    log = RecordLog(path)
    for record in before:
        log.append(*record)
    if snapshot:
        log.replace(b"\1\0\1", b"state")
    smallest = path.stat().st_size
    sizes = []
    for record in after:
        log.append(*record)
        sizes.append(path.stat().st_size)
    log.close()
    content = path.read_bytes()
    cut = max(smallest, len(content) - cut)
    path.write_bytes(content[:cut])
    whole = [record for record, size in zip(after, sizes, strict=True) if size <= cut]
    found = replayed(path)
    assert (found.mask, found.state) == ((b"\1\0\1", b"state") if snapshot else (b"", b""))
    assert found.records == dict(whole if snapshot else [*before, *whole])
    log = RecordLog(path)  # what was torn is gone, and more may follow
    log.append(9, b"new")
    log.close()
    assert replayed(path).records == found.records | {9: b"new"}


@pytest.mark.parametrize("position", [0, 8, 22, 30, 44, -1])
def test_a_changed_byte_ends_what_is_read(tmp_path, position):
    path = tmp_path / "records"
    log = RecordLog(path)
    log.append(1, b"first")
    log.append(2, b"second")
    log.close()
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)
    assert replayed(path).records == ({1: b"first"} if position == -1 else {})


def test_an_empty_file_is_an_empty_log(tmp_path):
    path = tmp_path / "records"
    path.touch()
    log = RecordLog(path)
    log.append(1, b"first")
    log.close()
    assert replayed(path).records == {1: b"first"}


def test_a_full_disk_leaves_no_half_entry(tmp_path, monkeypatch):
    path = tmp_path / "records"
    log = RecordLog(path)
    log.append(1, b"first")

    class Full:
        def __init__(self, file):
            self.file, self.room = file, 7

        def __getattr__(self, name):
            return getattr(self.file, name)

        def write(self, data):
            if not self.room:
                raise OSError(errno.ENOSPC, "No space left on device")
            done = self.file.write(data[: self.room])
            self.room -= done
            return done

    file = log._file
    monkeypatch.setattr(log, "_file", Full(file))
    with pytest.raises(StorageError, match="No space left"):
        log.append(2, b"second")
    monkeypatch.setattr(log, "_file", file)
    log.append(3, b"third")
    log.close()
    assert replayed(path).records == {1: b"first", 3: b"third"}
