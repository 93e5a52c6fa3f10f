"""A log of records that survives a kill: each has a checksum, and a torn end is cut off."""

from __future__ import annotations

import os
import struct
import zlib
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path

from .atomic import write_atomically
from .checksum import crc32_of
from .refusals import storage_errors

_HEAD = struct.Struct("<QIII")  # number, bytes of mask, bytes of record, CRC-32 of all other
_SNAPSHOT = 2**64 - 1
_MAGIC = b"blockmill records 1\n"


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a log holds.

    Attributes
    ----------
    mask : bytes
        One byte a block, 1 if its record is in `state`; empty if there is no state.
    state : bytes
        Of all those records together.
    records : dict of int to bytes
        The records that came later, by block.
    """

    mask: bytes = b""
    state: bytes = b""
    records: dict[int, bytes] = field(default_factory=dict)


class RecordLog:
    """Records of blocks in a file: a state of many, then those that came later, one after the other.

    Parameters
    ----------
    path : Path
        Made if it does not exist.

    Attributes
    ----------
    replayed : Replayed
        What it held when it was opened; of several records of a block the last.

    Raises
    ------
    StorageError
        If the system refuses.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with storage_errors("open", path):
            if not path.exists():
                write_atomically(str(path), _MAGIC)
            self.replayed, end = _replay(path.read_bytes())
            self._file = path.open("r+b", buffering=0)
            if end == 0:  # not even the beginning was whole
                self._file.write(_MAGIC)
                end = len(_MAGIC)
            self._file.truncate(end)
            self._file.seek(end)

    def append(self, block: int, record: bytes) -> None:
        """Note the record of a block; it outlives this process when this returns.

        Parameters
        ----------
        block : int
        record : bytes
        """
        with storage_errors("write", self._path):
            end = self._file.tell()
            try:
                _write_all(self._file, _entry(block, b"", record))
            except OSError:  # such as a full disk: nothing may follow half an entry
                self._file.seek(end)
                self._file.truncate()
                raise

    def replace(self, mask: bytes, state: bytes) -> None:
        """Put a state of all records in the place of these records.

        Parameters
        ----------
        mask : bytes
            One byte a block, 1 if its record is in `state`.
        state : bytes
        """
        with storage_errors("write", self._path):
            content = _MAGIC + _entry(_SNAPSHOT, zlib.compress(mask, 1), state)
            write_atomically(str(self._path), content, sync=True)
            self._file.close()
            self._file = self._path.open("r+b", buffering=0)
            self._file.seek(0, os.SEEK_END)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _write_all(file: FileIO, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]


def _entry(number: int, mask: bytes, record: bytes) -> bytes:
    sizes = struct.pack("<QII", number, len(mask), len(record))
    return sizes + struct.pack("<I", crc32_of(sizes + mask + record)) + mask + record


def _replay(content: bytes) -> tuple[Replayed, int]:
    """What a log's bytes hold, and where the whole entries end."""
    if not content.startswith(_MAGIC):
        return Replayed(), 0
    held, position = Replayed(), len(_MAGIC)
    while position + _HEAD.size <= len(content):
        number, mask_bytes, record_bytes, crc32 = _HEAD.unpack_from(content, position)
        body = content[position + _HEAD.size : position + _HEAD.size + mask_bytes + record_bytes]
        sizes = content[position : position + _HEAD.size - 4]
        if len(body) < mask_bytes + record_bytes or crc32_of(sizes + body) != crc32:
            break
        position += _HEAD.size + len(body)
        if number == _SNAPSHOT:
            held = Replayed(zlib.decompress(body[:mask_bytes]), body[mask_bytes:])
        else:
            held.records[number] = body
    return held, position
