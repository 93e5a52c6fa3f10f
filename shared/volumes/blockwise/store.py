"""The block files of a fileset: their paths, their status, their voxels.

Blocks are named here by their absolute roi, clipped to the shape on disk. `writer` changes them.
"""

from __future__ import annotations

import functools
import os
import time
from dataclasses import dataclass, field
from pathlib import Path

from numpy.typing import NDArray

from ...errors import CorruptBlock, LockTimeout, MissingBlock, StorageError
from ...files.refusals import storage_errors
from ...geometry.roi import Roi, Shape
from ...locking.filelock import FileLock
from ..hdf5.layout import DatasetLayout
from .block_file import read_bytes, read_part
from .description_copy import DescriptionCopy
from .fast.catalogue import FileTemplates
from .layout import BlockPaths, Naming
from .pickled import PickleCodec
from .status import StatusRecord, checksum_of_file, may_be_torn, parse_status, says
from .surroundings import other_writer

_LONGEST_NAP_S = 0.02
_LONGEST_STATUS_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class BlockStore:
    """The block files of one fileset, without a view.

    Attributes
    ----------
    naming : Naming
        The paths of each block.
    layout : DatasetLayout
        The layout of new block files.
    job_hash : str
        Identity of the job, kept in the status records of new blocks.
    sync : bool
        Bring each block to the medium before it is marked available.
    lock_timeout_s : float
        Longest wait for another holder of a block's lock, in seconds.
    description_copy : DescriptionCopy
        The copy of the description in each block directory.
    copy_description : bool
        Put the note into each new block directory.
    templates : FileTemplates
        Templates of the block files that were read or written.
    codec : PickleCodec or None
        Set if the elements are Python objects.
    """

    naming: Naming
    layout: DatasetLayout
    job_hash: str = ""
    sync: bool = False
    lock_timeout_s: float = 10.0
    description_copy: DescriptionCopy = field(default_factory=DescriptionCopy, repr=False, compare=False)
    copy_description: bool = True
    templates: FileTemplates = field(default_factory=FileTemplates, repr=False, compare=False)
    codec: PickleCodec | None = None

    def paths(self, block: Roi) -> BlockPaths:
        """The paths of a block as it lies on disk, or would be written."""
        paths = self.naming.paths(block)
        if not os.access(paths.file, os.F_OK):
            other = self.naming.paths_of_numpy2(block)
            if os.access(other.file, os.F_OK):
                return other
        return paths

    def available(self, block: Roi) -> bool:
        """Test if a block is marked available."""
        return Path(self.naming.paths(block).status).exists()

    def sound(self, block: Roi) -> bool:
        """Test if a block is marked available, has its file, and was not damaged by a power cut."""
        status = self.status(block)
        if status is None or not Path(self.paths(block).file).exists():
            return False
        try:
            self.check_whole(block, status)
        except (CorruptBlock, MissingBlock):
            return False
        return True

    def why_not_available(self, block: Roi) -> str:
        """The reason why a block is not available, and what to do; continues a sentence behind its name."""
        file = self.paths(block).file
        if not Path(file).exists():
            return f"has not been written: there is no file {file}. Finish the job that writes it"
        return (
            f"is not marked available, though its file {file} is there: it is still being written, or "
            "its writer was interrupted. Finish the job that writes it, or, if the file is known to be "
            "whole, mark it with set_block_status"
        )

    def status(self, block: Roi) -> bytes | None:
        """Content of the status file of a block, or None if it is not available."""
        return self.status_at(self.naming.paths(block))

    def status_at(self, paths: BlockPaths) -> bytes | None:
        """As `status`, for the paths of a block."""
        path = paths.status
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise StorageError(f"could not read {path}: {error}") from error
        try:
            return os.read(descriptor, _LONGEST_STATUS_BYTES)
        finally:
            os.close(descriptor)

    def record(self, block: Roi) -> StatusRecord | None:
        """The status record of a block, or None if it is not available."""
        content = self.status(block)
        return None if content is None else parse_status(content)

    def verify(self, block: Roi, job_hash: str | None = None) -> str | None:
        """Check a block file against its status record.

        Parameters
        ----------
        block : Roi
            In absolute voxels.
        job_hash : str, optional
            Identity of the job that must have written it.

        Returns
        -------
        str or None
            The first disagreement, or None if there is none.
        """
        record = self.record(block)
        if record is None:
            return "no status record"
        if not record.has_facts:
            return "the status record holds no facts to check by"
        if job_hash is not None and record.job != job_hash:
            return f"written by another job ({record.job or 'unnamed'})"
        return _disagreement(self.paths(block).file, record)

    def agrees(self, block: Roi, voxels: NDArray) -> bool:
        """Test if the voxels that were read of a block, with the rest of its file, are what its record says.

        Parameters
        ----------
        block : Roi
            In absolute voxels.
        voxels : ndarray of shape ``block.shape``
            As they were just read.

        Returns
        -------
        bool
            False also if this can't be told without reading the file again; see `checked_record`.
        """
        paths = self.naming.paths(block)
        content = self.status_at(paths)
        if not content or voxels.shape != block.shape:
            return False
        found = self.templates.checksum(paths.file, paths.internal, voxels)
        return found is not None and says(content, *found)

    def checked_record(self, block: Roi) -> StatusRecord | None:
        """Check a block against its record, again if it was written anew meanwhile.

        Returns
        -------
        StatusRecord or None
            The record, with which the file agrees or which holds no facts; None if the block is not
            available.

        Raises
        ------
        CorruptBlock
            If file and record disagree; the message is only the reason.
        """
        record = self.record(block)
        while record is not None and record.has_facts:
            if (reason := _disagreement(self.paths(block).file, record)) is None:
                break
            record, checked = self.record(block), record
            if record == checked:
                raise CorruptBlock(reason)
        return record

    def check_whole(self, block: Roi, content: bytes | None) -> None:
        """Refuse a block that a power cut has damaged; each state of a file is read only once for this.

        Parameters
        ----------
        block : Roi
            In absolute voxels.
        content : bytes or None
            Last seen content of the block's status file. Nothing is checked if it is None or leaves
            no doubt.

        Raises
        ------
        CorruptBlock
            If the block may have been torn, and does not agree with its record.
        MissingBlock
            If it was marked not available meanwhile.
        """
        while content is not None and may_be_torn(content):
            reason = self._damage(block, parse_status(content))
            if reason is None:
                return
            before, content = content, self.status(block)
            if content == before:
                raise CorruptBlock(
                    f"{self.paths(block).file}: {reason}. It was written before this machine was last "
                    "started, and had not reached the medium. Run the job that writes it again; "
                    "'blockmill volume verify' finds all such blocks"
                )
            if content is None:
                raise MissingBlock(self.why_not_available(block))

    def _damage(self, block: Roi, record: StatusRecord) -> str | None:
        file = self.paths(block).file
        if not record.has_facts:
            return "its status is nothing but zero bytes"
        with storage_errors("check", file):
            try:
                facts = Path(file).stat()
                if facts.st_size != record.size_bytes:
                    return f"file has {facts.st_size} bytes, the record says {record.size_bytes}"
                checksum = _checksum_in_state(file, facts.st_mtime_ns, facts.st_size, facts.st_ino)
            except FileNotFoundError:
                return None  # the next read of it raises the error
        return None if checksum == record.checksum else "checksum differs"

    def locked(self, block: Roi) -> bool:
        """Test if a lock file lies beside the block file."""
        return not FileLock(self.paths(block).file).available()

    def read(
        self, block: Roi, paths: BlockPaths, roi_in_block: Roi, target: NDArray | None = None
    ) -> NDArray:
        """Read a part of a block file, in the file's dtype.

        Our own writers rename whole files into place, so nothing is locked. The lock file of any
        other writer, who may be changing the file itself, is waited for.

        Parameters
        ----------
        block : Roi
            In absolute voxels.
        paths : BlockPaths
            Of the block, from `naming`.
        roi_in_block : Roi
            Relative to the block.
        target : ndarray of shape ``roi_in_block.shape``, optional
            Writable; filled if it has the dtype of the file, else it may hold anything.

        Returns
        -------
        ndarray of shape ``roi_in_block.shape``
            `target` if it was filled, else a new array.

        Raises
        ------
        MissingBlock
            If there is no file, or it holds fewer voxels.
        CorruptBlock
            If the file is damaged.
        LockTimeout
            If another writer kept its lock for `lock_timeout_s`.
        StorageError
            If the system refuses.
        """
        try:
            try:
                return self._read(paths, block.shape, roi_in_block, target)
            except FileNotFoundError:
                pass
            try:
                return self._read(self.naming.paths_of_numpy2(block), block.shape, roi_in_block, target)
            except FileNotFoundError:
                raise MissingBlock(f"{paths.file} does not exist; write the block again") from None
        except StorageError:
            raise
        except OSError as error:
            raise StorageError(f"could not read {paths.file}: {error}") from error

    def _read(self, paths: BlockPaths, shape: Shape, roi_in_block: Roi, target: NDArray | None) -> NDArray:
        deadline = time.monotonic() + self.lock_timeout_s
        nap_s = 0.001
        while True:
            reason = other_writer(paths)
            if reason is None:
                try:
                    return self._read_now(paths, shape, roi_in_block, target)
                except BlockingIOError:
                    reason = "another process has it open for writing"
                except CorruptBlock as error:
                    raise CorruptBlock(self.corrupt(paths, str(error))) from error
                except MissingBlock:
                    raise
                except StorageError as error:
                    raise StorageError(f"{paths.file}: {error}") from error
            if time.monotonic() >= deadline:
                raise LockTimeout(
                    f"{paths.file}: {reason}; waited {self.lock_timeout_s:g} s. If no writer is left, "
                    f"remove {paths.lock!r}"
                )
            time.sleep(nap_s)
            nap_s = min(2 * nap_s, _LONGEST_NAP_S)

    def _read_now(
        self, paths: BlockPaths, shape: Shape, roi_in_block: Roi, target: NDArray | None
    ) -> NDArray:
        """Read without HDF5 if a template matches the file, else with it, and learn its template."""
        if self.codec is not None:
            return self.codec.decode(read_part(paths.file, paths.internal, roi_in_block))
        voxels = self.templates.read(paths.file, paths.internal, shape, roi_in_block, target)
        if voxels is not None:
            return voxels
        learn = functools.partial(self.templates.learn, paths.internal)
        return read_part(paths.file, paths.internal, roi_in_block, target, learn)

    def corrupt(self, paths: BlockPaths, reason: str) -> str:
        """Message for a damaged block file: the reason, facts that help to judge it, and what to do.

        Parameters
        ----------
        paths : BlockPaths
            Of the block.
        reason : str

        Returns
        -------
        str
        """
        size_bytes = Path(paths.file).stat().st_size if Path(paths.file).exists() else 0
        record = parse_status(read_bytes(paths.status) or b"")
        if record.size_bytes is not None and size_bytes != record.size_bytes:
            reason += f"; the file has {size_bytes} bytes, its status record says {record.size_bytes}"
        return f"{paths.file}: {reason}. Delete this file and run again, or run with --overwrite"


@functools.lru_cache(maxsize=1 << 14)
def _checksum_in_state(path: str, mtime_ns: int, size_bytes: int, inode: int) -> str:
    """Checksum of a file, computed once for each state that the file is in."""
    return checksum_of_file(path)[1]


def _disagreement(path: str, record: StatusRecord) -> str | None:
    """How a block file differs from its record, or None if it agrees."""
    try:
        size_bytes = os.stat(path).st_size  # noqa: PTH116 - this is done for each block that is read
        if size_bytes != record.size_bytes:
            return f"file has {size_bytes} bytes, the record says {record.size_bytes}"
        _, checksum = checksum_of_file(path)
    except FileNotFoundError:
        return "the block file is missing"
    return None if checksum == record.checksum else "checksum differs"
