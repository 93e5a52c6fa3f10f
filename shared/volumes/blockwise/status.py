"""The status record of a block: the content of STATUS.txt.

For the original the bare presence of the file means that the block is available, and it is
empty. Ours holds one line of JSON with facts by which the block file can be checked, mostly behind
the text of the lock under which it was written, which names host and process.
"""

from __future__ import annotations

import functools
import json
import os
import threading
from dataclasses import dataclass
from typing import Any

from ...files.checksum import crc32_of
from ...files.machine import boot_id

STATUS_VERSION = 1
_PIECE_BYTES = 1 << 18
_kept = threading.local()
_LOCK_LINE = b"blockmill lock 1\n"


@dataclass(frozen=True, slots=True)
class StatusRecord:
    """Facts about an available block; a block without facts has the defaults.

    Attributes
    ----------
    size_bytes : int or None
        Size of the whole block file. None: not known.
    checksum : str
        ``"crc32:"`` and eight hexadecimal digits, over the whole block file; empty if not known.
    job : str
        The job that wrote the block, or empty.
    boot : str
        The boot of the host during which it was written.
    synced : bool
        True if the block file was brought to the medium before this record was written.
    """

    size_bytes: int | None = None
    checksum: str = ""
    job: str = ""
    boot: str = ""
    synced: bool = False

    @property
    def has_facts(self) -> bool:
        """True if the block file can be checked against this record."""
        return self.size_bytes is not None


def format_status(record: StatusRecord) -> bytes:
    """The content of STATUS.txt; empty for a record without facts."""
    if not record.has_facts:
        return b""
    facts = {
        "version": STATUS_VERSION,
        "bytes": record.size_bytes,
        "checksum": record.checksum,
        "job": record.job,
        "boot": record.boot,
        "synced": record.synced,
    }
    return json.dumps(facts).encode() + b"\n"


def parse_status(content: bytes) -> StatusRecord:
    """The record in the content of a STATUS.txt; any bytes give one.

    Content that is empty, of another version or not understood means that the block is available,
    and no more. The text of a lock may stand before the line (see `FileLock.release_as`).
    """
    if content.startswith(_LOCK_LINE):
        content = content.rpartition(b"\n\n")[2]
    try:
        facts = json.loads(content.decode())
    except (ValueError, RecursionError):
        return StatusRecord()
    if not isinstance(facts, dict) or not _understood(facts):
        return StatusRecord()
    return StatusRecord(facts["bytes"], facts["checksum"], facts["job"], facts["boot"], facts["synced"])


_TYPES = {"version": int, "bytes": int, "checksum": str, "job": str, "boot": str, "synced": bool}


def _understood(facts: dict[str, Any]) -> bool:
    return (
        all(type(facts.get(key)) is kind for key, kind in _TYPES.items())
        and facts["version"] == STATUS_VERSION
        and facts["bytes"] >= 0
    )


def may_be_torn(content: bytes) -> bool:
    """Test if a power cut may have damaged a block after its status came to hold `content`.

    This is so if the block was written in another boot and not brought to the medium: its status may
    have survived, and its voxels not. A block without facts can't be distinguished from a whole one,
    except by zero bytes: the status kept its size, and its content was lost.
    """
    if content and not content.strip(b"\0"):
        return True
    if not content or _written_in_this_boot() in content or _SYNCED in content:
        return False
    record = parse_status(content)
    return record.has_facts and not record.synced and record.boot != boot_id()


# As `format_status` puts them down. They can't be part of a job's name: there a quote is escaped.
_SYNCED = b'"synced": true'


@functools.cache
def _written_in_this_boot() -> bytes:
    return f'"boot": {json.dumps(boot_id())}'.encode()


def says(content: bytes, size_bytes: int, crc32: int) -> bool:
    """Test, without a parser, if the content of a status as `format_status` writes it has these facts.

    Parameters
    ----------
    content : bytes
    size_bytes, crc32 : int
        Of the whole block file.

    Returns
    -------
    bool
        False also for content that must be parsed.
    """
    return b'"bytes": %d, "checksum": "crc32:%08x"' % (size_bytes, crc32) in content


def checksum_text(value: int) -> str:
    """A checksum as it stands in a record."""
    return f"crc32:{value:08x}"


def _piece_buffer() -> memoryview:
    """One buffer a thread for all pieces of all files: fresh memory costs more than the checksum."""
    if (buffer := getattr(_kept, "buffer", None)) is None:
        buffer = _kept.buffer = memoryview(bytearray(_PIECE_BYTES))
    return buffer


def checksum_of_file(path: str) -> tuple[int, str]:
    """Size in bytes and checksum text of a file.

    Raises
    ------
    OSError
        If it can't be read.
    """
    size_bytes, value = 0, 0
    buffer = _piece_buffer()
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        while count := os.readv(descriptor, [buffer]):
            size_bytes += count
            value = crc32_of(buffer[:count], value)
    finally:
        os.close(descriptor)
    return size_bytes, checksum_text(value)
