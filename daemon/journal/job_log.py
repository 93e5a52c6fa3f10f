"""The log of one job: lines of JSON in a few files; the oldest files are removed.

Offsets are counted from the job's beginning, and do not change when files are removed: a file is named by
the offset of its first line.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Iterable
from pathlib import Path

import msgspec

from ...shared.errors import StorageError
from ...shared.messages.records import LogLine
from ...shared.outside_text import clean

_SUFFIX = ".jsonl"
_TAIL_BYTES = 16 << 10
_MOST_LINE_BYTES = 64 << 10
_MOST_TEXT = 32 << 10
_to_json = msgspec.json.Encoder().encode
_line = msgspec.json.Decoder(LogLine)


class JobLog:
    """The log in a folder of its own, made at the first line; for one thread.

    Parameters
    ----------
    folder : Path
    segment_bytes : int
        A file that has grown beyond is followed by a new one.
    keep : int
        Number of files that are kept.
    """

    def __init__(self, folder: Path, *, segment_bytes: int = 4 << 20, keep: int = 4) -> None:
        self._folder = folder
        self._segment_bytes = segment_bytes
        self._keep = keep
        self._lost = 0
        self._starts = sorted(int(path.stem) for path in folder.glob(f"*{_SUFFIX}")) or [0]
        self._mend()
        self.end = self._starts[-1] + self._size(self._starts[-1])

    def _path(self, start: int) -> Path:
        return self._folder / f"{start:012d}{_SUFFIX}"

    def _size(self, start: int) -> int:
        with contextlib.suppress(FileNotFoundError):
            return self._path(start).stat().st_size
        return 0

    def _mend(self) -> None:
        """Cut off a last line that a crash has torn."""
        path = self._path(self._starts[-1])
        with contextlib.suppress(FileNotFoundError), path.open("r+b") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(size - 2 * _MOST_LINE_BYTES, 0))
            tail = file.read()
            if tail and not tail.endswith(b"\n"):
                file.truncate(size - len(tail) + tail.rfind(b"\n") + 1)

    def append(self, lines: Iterable[LogLine]) -> None:
        """Add lines.

        Raises
        ------
        StorageError
            If they can't be written; they are lost, and the next line that can be says how many.
        """
        lines = list(lines)
        if self._lost:
            text = f"{self._lost} lines before this one could not be written"
            lines.insert(0, LogLine(time_s=time.time(), text=text))
        data = b"".join(_to_json(_cleaned(line)) + b"\n" for line in lines)
        try:
            self._write(data)
        except OSError as error:
            self._lost += len(lines) - bool(self._lost)
            raise StorageError(f"{self._folder}: the log can't be written: {error}") from error
        self._lost = 0

    def _write(self, data: bytes) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        start = self._starts[-1]
        if self.end - start > self._segment_bytes:
            start = self.end
            self._starts.append(start)
        fd = os.open(self._path(start), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            written = os.pwrite(fd, data, self.end - start)
            if written < len(data):
                os.ftruncate(fd, self.end - start)
                raise OSError(f"only {written} of {len(data)} bytes were taken; is the disk full?")
        finally:
            os.close(fd)
        self.end += len(data)
        while len(self._starts) > self._keep:
            self._path(self._starts.pop(0)).unlink(missing_ok=True)

    def read(self, offset: int, most_bytes: int = 256 << 10) -> tuple[list[LogLine], int]:
        """Read complete lines from `offset` on.

        Parameters
        ----------
        offset : int
            As an earlier call returned it; 0 is the beginning (of the files that are still there), -1 a
            little before the end.
        most_bytes : int
            About how much to read.

        Returns
        -------
        list of LogLine, int
            The lines, and the offset to read on from.
        """
        if offset < 0:
            offset = self._near_end()
        offset = max(offset, self._starts[0])
        if offset >= self.end:
            return [], self.end
        start = max(begin for begin in self._starts if begin <= offset)
        with self._path(start).open("rb") as file:
            file.seek(offset - start)
            data = file.read(max(most_bytes, _MOST_LINE_BYTES))
        complete_lines = data[: data.rfind(b"\n") + 1]
        if not complete_lines:
            return [], self.end
        return [_parse(text) for text in complete_lines.splitlines()], offset + len(complete_lines)

    def _near_end(self) -> int:
        """Offset of one of the last lines."""
        start = self._starts[-1]
        if self.end - start <= _TAIL_BYTES:
            return start
        with self._path(start).open("rb") as file:
            file.seek(self.end - start - _TAIL_BYTES)
            file.readline()
            return start + file.tell()

    def remove(self) -> None:
        """Delete the log."""
        shutil.rmtree(self._folder, ignore_errors=True)


def _cleaned(line: LogLine) -> LogLine:
    return msgspec.structs.replace(line, text=clean(line.text, _MOST_TEXT))


def _parse(text: bytes) -> LogLine:
    try:
        return _line.decode(text)
    except (msgspec.DecodeError, UnicodeError):
        return LogLine(time_s=0.0, text=f"a damaged line: {text[:200].decode(errors='replace')}")
