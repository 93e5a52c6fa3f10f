"""The hidden folder beside an output: its owner, the lock of its run, the files to remove with it.

In ``.NAME.blockmill/`` lie ``record`` (the output's job), ``ledger`` (checksums of merged
blocks), and while a run lasts ``lock`` and ``partial`` (the file before it is whole). Nothing
else beside the output is ours. Version 0.1 kept the same as ``NAME.job``, ``NAME.blocks`` and
``NAME.partial``; those are taken up, and ``NAME.job.lock`` is held as well, so that a run of
that version and one of ours exclude each other.
"""

from __future__ import annotations

import contextlib
import errno
import glob
import math
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ....shared.errors import OutputRefused, StorageError
from ....shared.files.atomic import PARTIAL_MARK, remove_if_there, write_atomically
from ....shared.files.refusals import refusal_of, storage_errors
from ....shared.locking.candidates import remove_dead_candidates
from ....shared.locking.filelock import FileLock
from ....shared.volumes.claims import records_folder
from ....shared.volumes.ledger import ledger_bytes
from .output_record import OtherRecordVersion, OutputRecord, format_record, parse_record

_STICKY = stat.S_ISVTX
_MOST_TRIES = 20
_NO_PARTIAL = "no-partial"
"""A name that no file has: where a partial file would be that counts no more."""


class _Names(NamedTuple):
    """The names that one version gives to these files."""

    record: Path
    ledger: Path
    partial: Path


class OutputFiles:
    """The files that a job keeps beside its output.

    Parameters
    ----------
    output : Path
        The output's file; of a fileset its description. It need not exist.

    Attributes
    ----------
    output, folder : Path
    """

    def __init__(self, output: Path) -> None:
        self.output = output
        self.folder = records_folder(output)
        self._names = _Names(self.folder / "record", self.folder / "ledger", self.folder / "partial")
        self._old = _Names(*(output.with_name(output.name + end) for end in (".job", ".blocks", ".partial")))
        self._locks = (
            FileLock(output, lock_path=self.folder / "lock", private=True),
            FileLock(self._old.record, private=True),
        )

    @property
    def record(self) -> Path:
        """The file of the record."""
        return self._names.record

    @property
    def ledger(self) -> Path:
        """The file with the checksums of merged blocks; that of version 0.1 if it is there."""
        return self._old.ledger if self._has_old_ledger() or self._is_outdated() else self._names.ledger

    @property
    def partial(self) -> Path:
        """The output before it is whole; where version 0.1 kept it, if it did."""
        if self._has_old_partial():
            return self._old.partial
        return self.folder / _NO_PARTIAL if self._is_outdated() else self._names.partial

    def _is_outdated(self) -> bool:
        """True if version 0.1 has begun the output anew since we left our files, which then count no more.

        A take-up that was cut off leaves the same record twice, or none of ours.
        """
        old, content = self._old_record(), _content_of(self._names.record)
        if old is None or content is None:
            return False
        try:
            return parse_record(content) != old
        except ValueError:
            return False

    def _has_old_partial(self) -> bool:
        """True if version 0.1 left a partial file; beside a finished output such a file is another's."""
        record = self._old_record()
        return record is not None and not record.finished and self._old.partial.is_file()

    def present(self) -> Iterator[Path]:
        """The paths beside the output that are or seem ours: the folder, its files, old records, locks."""
        if self.folder.is_dir() and not self.folder.is_symlink():
            yield self.folder
            yield from self.folder.iterdir()
        if self._old_record() is not None:
            yield from (path for path in self._old if path.exists())
        locks = f"{self._old.record.name}.lock"
        if self.output.parent.is_dir():
            yield from (path for path in self.output.parent.iterdir() if path.name.startswith(locks))

    # -- one run at a time ----------------------------------------------------------

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock of this output, so that no other run has it; an empty folder is removed at the end.

        Raises
        ------
        OutputRefused
            If another run holds the output, or something else has the folder's name.
        StorageError
            If the system refuses.
        """
        with contextlib.ExitStack() as stack:
            stack.callback(self._remove_empty_folder)
            self._acquire(self._locks[0])
            stack.callback(self._locks[0].release)
            self._acquire(self._locks[1])
            stack.callback(self._locks[1].release)
            self._sweep_partials()
            yield

    def _sweep_partials(self) -> None:
        """Remove what a run that died in the middle of it left of a record, a description, or a lock.

        Only who holds the output writes the first two.
        """
        for lock in self._locks:
            remove_dead_candidates(lock.lock_path)
        found = [*self.folder.glob(f"*{PARTIAL_MARK}*")]
        if self.output.suffix == ".json":
            found += self.output.parent.glob(
                f"{glob.escape(self.output.name)}{PARTIAL_MARK}{'[0-9a-f]' * 12}"
            )
        for path in found:
            with storage_errors("remove", path):
                remove_if_there(str(path))

    def check_free(self) -> None:
        """Refuse an output that another run holds, without changing anything.

        Raises
        ------
        OutputRefused
        """
        for lock in self._locks:
            if not lock.available():
                raise OutputRefused(
                    f"another run is writing {self.output}; wait for it or end it, then run this again"
                )

    def check_writable(self) -> None:
        """Refuse an output whose folder could not be made or written to, without changing anything.

        Raises
        ------
        StorageError
        """
        places = (self.folder, *self.folder.parents)
        nearest = next(place for place in places if os.path.lexists(place) or place == place.parent)
        if nearest.is_dir() and not os.access(nearest, os.W_OK | os.X_OK):
            read_only = os.statvfs(nearest).f_flag & os.ST_RDONLY
            number = errno.EROFS if read_only else errno.EACCES
            raise StorageError(refusal_of("make", self.folder, OSError(number, os.strerror(number))))

    def _acquire(self, lock: FileLock) -> None:
        for tries_left in reversed(range(_MOST_TRIES)):
            try:
                self.make_folder()
                if lock.acquire(blocking=False):
                    return
            except StorageError as error:
                # A run that ends removes an empty folder, perhaps right under our lock.
                if not tries_left or not isinstance(error.__cause__, FileNotFoundError):
                    raise
                continue
            holder = lock.holder()
            who = holder.describe() if holder is not None else "it has just ended"
            raise OutputRefused(
                f"another run is writing {self.output} ({who}); wait for it or end it, then run this again"
            )

    def make_folder(self) -> None:
        """Make the folder, and those above it, if they are not there.

        Raises
        ------
        OutputRefused
            If something else has the folder's name.
        StorageError
            If the system refuses.
        """
        with storage_errors("make", self.folder):
            self._make_folder_above()
            try:
                self.folder.mkdir()
            except FileExistsError:
                if self.folder.is_symlink() or not self.folder.is_dir():
                    raise self._in_the_way(self.folder) from None
            else:
                self._as_folder_asks(self.folder)

    def _make_folder_above(self) -> None:
        try:
            self.output.parent.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise StorageError(
                f"could not make {self.folder}: {self.output.parent} is no folder; name another output"
            ) from None

    def _as_folder_asks(self, path: Path) -> None:
        """Give a new file or folder of ours the mode of the output's folder: shared there, shared here."""
        mode = self.output.parent.stat().st_mode
        if not mode & _STICKY:  # in a folder such as /tmp each one's files are his own
            path.chmod(mode & 0o2777 | 0o700 if path.is_dir() else mode & 0o666 | 0o600)

    def _remove_empty_folder(self) -> None:
        with contextlib.suppress(OSError):  # in use, or gone: then there is nothing to remove
            self.folder.rmdir()

    # -- the record -----------------------------------------------------------------

    def read_record(self) -> OutputRecord | None:
        """The record of this output, or None if there is none.

        Raises
        ------
        OutputRefused
            If something else has its name, or that of another file that we need.
        StorageError
            If it can't be read.
        """
        if (old := self._old_record()) is not None:
            return old  # ours is always moved away, so an older version has written this one since
        content = _content_of(self._names.record)
        if content is None:
            self._refuse_others()
            return None
        try:
            return parse_record(content)
        except ValueError as error:
            raise OutputRefused(
                f"{self.record}: not a job record of this version ({error}); "
                f"run with --overwrite to replace the output {self.output}"
            ) from error

    def _refuse_others(self) -> None:
        """Refuse a ledger or partial file without a record: no run of ours has made it."""
        for path in (self._names.ledger, self._names.partial):
            if os.path.lexists(path):
                raise self._in_the_way(path)

    def _in_the_way(self, path: Path) -> OutputRefused:
        return OutputRefused(
            f"{path} is in the way: it is not blockmill's, which needs this name for {self.output}; "
            "move it, or name another output"
        )

    def _old_record(self) -> OutputRecord | None:
        """The record of version 0.1; None if there is none, or the file is somebody else's."""
        content = _content_of(self._old.record)
        try:
            return None if content is None else parse_record(content)
        except ValueError:
            return None

    def _has_old_ledger(self) -> bool:
        record = self._old_record()
        if record is None:
            return False
        try:
            status = self._old.ledger.lstat()
        except OSError:
            return False
        return stat.S_ISREG(status.st_mode) and status.st_size in (0, _bytes_of_ledger(record))

    def write_record(self, record: OutputRecord) -> None:
        """Write the record, whole or not at all; it is on the medium when this returns."""
        with storage_errors("write", self.record):
            write_atomically(str(self.record), format_record(record), sync=True)
            self._as_folder_asks(self.record)

    def take_up_old(self) -> None:
        """Move the files of version 0.1 to their new names; a kill in between harms nothing."""
        record = self._old_record()
        if record is None:
            return
        with storage_errors("take up", self._old.record):
            if self._is_outdated():
                for path in (self._names.partial, self._names.ledger, self._names.record):
                    remove_if_there(str(path))
            for old, new in (
                (self.ledger, self._names.ledger),
                (self.partial, self._names.partial),
            ):
                if old != new and old.exists():
                    old.replace(new)
            self.write_record(record)
            self._old.record.unlink()

    def check_ours(self) -> None:
        """Check that the files in the folder are ours, so that they may be removed.

        Raises
        ------
        OutputRefused
            If they are not.
        """
        if self._old_record() is None:
            self._refuse_what_is_not_ours()

    def forget(self) -> None:
        """Remove ledger, partial file and record, the last of all; `check_ours` comes before."""
        self.take_up_old()
        with storage_errors("remove", self.folder):
            for path in (self._names.ledger, self._names.partial, self._names.record):
                _remove(path)

    def remove_blocks(self) -> None:
        """Remove the growing output, then its ledger."""
        for path in (self.partial, self.ledger):
            with storage_errors("remove", path):
                _remove(path)

    def _refuse_what_is_not_ours(self) -> None:
        content = _content_of(self._names.record)
        if content is None:
            return self._refuse_others()
        try:
            parse_record(content)
        except OtherRecordVersion:  # ours all the same
            return None
        except ValueError:
            raise self._in_the_way(self._names.record) from None


def stages_lock(folder: Path) -> FileLock:
    """The lock of the run that has the temporary volumes in a folder; it lies beside it."""
    return FileLock(folder, lock_path=folder.with_name(f"{folder.name}.lock"), private=True)


def _remove(path: Path) -> None:
    """Remove a file, or a folder with all that is in it, if it is there; of a link, the link alone."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        remove_if_there(str(path))


def _content_of(path: Path) -> bytes | None:
    """The content of a file; None if there is none, or it is no regular file."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # to open a pipe would wait for ever
            return None
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
    except OSError as error:
        raise StorageError(f"could not read {path}: {error.strerror}") from error


def _bytes_of_ledger(record: OutputRecord) -> int:
    shape = record.identity.get("output_is", {}).get("shape", [])
    counts = (-(-n // b) for n, b in zip(shape, record.task_block, strict=False))
    return ledger_bytes(math.prod(counts))
