import json
import zlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockmill.shared.files.checksum import crc32_of
from blockmill.shared.files.machine import boot_id
from blockmill.shared.locking.lockfile import compose
from blockmill.shared.volumes.blockwise.status import (
    StatusRecord,
    checksum_of_file,
    checksum_text,
    format_status,
    may_be_torn,
    parse_status,
)

RECORDS = st.builds(StatusRecord, st.integers(0, 2**62), st.text(), st.text(), st.text(), st.booleans())


@given(RECORDS)
def test_a_record_comes_back_from_its_one_line(record):
    content = format_status(record)
    assert content.count(b"\n") == 1
    assert parse_status(content) == record


@given(
    st.binary(max_size=200)
    | st.recursive(st.text() | st.integers(), st.lists).map(lambda v: repr(v).encode("utf-8", "replace"))
)
def test_any_bytes_are_a_record(content):
    parse_status(content)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"AVAILABLE",
        b"\xff\xfe",
        b"[]",
        b"{}",
        b"5",
        b"[" * 100_000,
        b'{"version": 1',
        b'{"version": 2, "bytes": 1, "checksum": "", "job": "", "boot": "", "synced": true}',
        b'{"version": 1, "bytes": -1, "checksum": "", "job": "", "boot": "", "synced": true}',
        b'{"version": 1, "bytes": true, "checksum": "", "job": "", "boot": "", "synced": true}',
        b'{"version": 1, "bytes": 1, "checksum": 5, "job": "", "boot": "", "synced": true}',
        b'{"version": 1, "bytes": 1, "checksum": "", "job": "", "boot": "", "synced": 1}',
    ],
)
def test_what_is_not_understood_is_available_without_facts(content):
    assert parse_status(content) == StatusRecord()
    assert not parse_status(content).has_facts


def test_a_record_without_facts_is_an_empty_file():
    assert format_status(StatusRecord()) == b""


@given(st.binary(max_size=3000), st.binary(max_size=3000))
def test_checksums_are_crc32_and_go_on_from_one_another(first, second):
    assert crc32_of(second, crc32_of(first)) == zlib.crc32(first + second)
    assert checksum_text(crc32_of(first)) == f"crc32:{zlib.crc32(first):08x}"


def test_a_file_is_summed_up_whole(tmp_path):
    content = bytes(range(256)) * 10_000
    (tmp_path / "f").write_bytes(content)
    assert checksum_of_file(str(tmp_path / "f")) == (len(content), f"crc32:{zlib.crc32(content):08x}")


def test_the_boot_stays_the_same():
    assert boot_id() == boot_id()


FACTS = StatusRecord(100, "crc32:00000000", "job", boot_id(), False)
OTHER_BOOT = replace(FACTS, boot="another boot")


@given(RECORDS)
def test_only_blocks_of_another_boot_that_were_not_synced_are_in_doubt(record):
    doubtful = record.boot != boot_id() and not record.synced
    assert may_be_torn(format_status(record)) == doubtful
    assert not may_be_torn(format_status(replace(record, boot=boot_id())))


@given(st.text())
def test_a_jobs_name_casts_no_doubt_and_removes_none(text):
    for job in (text, f'"boot": "{boot_id()}"', '"synced": true', f'x", "boot": "{boot_id()}"'):
        assert may_be_torn(format_status(replace(OTHER_BOOT, job=job)))
        assert not may_be_torn(format_status(replace(FACTS, job=job)))


@given(st.binary(max_size=200))
def test_what_has_no_facts_is_left_alone(content):
    assert may_be_torn(content) == (content != b"" and content == bytes(len(content)))


def test_a_record_that_is_spelled_in_another_way_is_understood_as_well():
    for record, doubtful in (
        (OTHER_BOOT, True),
        (FACTS, False),
        (replace(OTHER_BOOT, synced=True), False),
    ):
        dense = json.dumps(json.loads(format_status(record)), separators=(",", ":")).encode()
        assert may_be_torn(dense) == doubtful


@given(RECORDS)
def test_a_record_behind_the_text_of_a_lock_is_understood(record):
    content = compose("0" * 16, None) + format_status(record)
    assert parse_status(content) == record
    assert may_be_torn(content) == may_be_torn(format_status(record))
    assert parse_status(compose("0" * 16, None)) == StatusRecord()
