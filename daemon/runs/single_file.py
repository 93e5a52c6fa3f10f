"""Merging results into one file: serially, and so that a killed run can go on.

The file grows as ``partial`` in the output's hidden folder. Beside it, the ledger holds the
checksum of each block that was merged, written after its voxels are out of this process. A
block counts as finished only if its voxels in the file agree with the ledger; so every block
after a crash is either right or done again. A file that can't be *read* is never taken for
damaged: the run ends with the reason, and leaves all as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

from numpy.typing import NDArray

from ...shared.errors import BlockmillError, OutputRefused, StorageError
from ...shared.files.atomic import remove_if_there, rename_without_replacing, sync_file
from ...shared.files.checksum import crc32_of
from ...shared.files.refusals import refused_by_system, storage_errors
from ...shared.geometry.grid import BlockGrid
from ...shared.geometry.roi import Roi
from ...shared.volumes.base.api import Volume
from ...shared.volumes.ledger import Ledger
from .output_files import OutputFiles

_UNREADABLE = (OSError, BlockmillError, RuntimeError, KeyError, ValueError)
"""What volumes raise over damaged content, and over a system that refuses."""


class _Damaged(Exception):
    """The file can be read, and its content is wrong."""


@runtime_checkable
class _Buffered(Protocol):
    """A volume that holds back writes; one in a memory map does not."""

    def flush(self) -> None: ...


def _nothing() -> None:
    """Do nothing: the volume has no buffer to flush."""


class SingleFile:
    """One output file, filled block by block by the merging thread.

    Parameters
    ----------
    files : OutputFiles
        Paths of the growing file, of its ledger, and of the whole file.
    grid : BlockGrid
        The blocks of the file.
    create : callable
        Makes the volume at a path.
    open_at : callable
        Opens the volume at a path, with mode "r" or "r+".
    """

    def __init__(
        self,
        files: OutputFiles,
        grid: BlockGrid,
        create: Callable[[Path], Volume],
        open_at: Callable[[Path, Literal["r", "r+"]], Volume],
    ) -> None:
        self.output = files.output
        self._files = files
        self._grid = grid
        self._create = create
        self._open = open_at
        self._volume: Volume | None = None
        self._flush: Callable[[], None] = _nothing
        self._ledger: Ledger | None = None
        self._resumed = False

    @property
    def partial(self) -> Path:
        """The path of the growing file."""
        return self._files.partial

    def start(self) -> None:
        """Begin an empty file; blocks that an earlier run has merged are removed."""
        self._files.make_folder()
        with storage_errors("remove", self.partial):
            remove_if_there(str(self.partial))
            remove_if_there(str(self._files.ledger))
        self._hold(self._create(self.partial))
        self._ledger = self._opened_ledger()

    def go_on(self, check: Callable[[], None], tell: Callable[[str], None]) -> bytes:
        """Take up the file of an earlier run.

        Parameters
        ----------
        check : callable
            Called before each block is read; it may raise to end this.
        tell : callable
            Called with a sentence about blocks that are done again although they were there.

        Returns
        -------
        bytes
            One byte a block: 1 if its voxels are in the file and agree with the ledger.

        Raises
        ------
        OutputRefused
            If the file can't be read just now, or was changed by something else.
        """
        if self.partial.exists() and _are_one(self.partial, self.output):
            remove_if_there(str(self.partial))  # killed between the two names of a whole file
        existing = self.partial if self.partial.exists() else self.output
        try:
            done = self._checked(existing, check)
        except _Damaged as error:
            if existing == self.output:
                raise OutputRefused(
                    f"{self.output} was finished, and is no longer what this job wrote: {error}; nothing was "
                    "changed. Remove it, then run this again, or name another output"
                ) from error
            tell(f"{existing} was cut off in the middle of a write ({error}): begun anew")
            self.start()
            return bytes(len(self._grid))
        if existing == self.partial:
            self._take_up()
        elif not all(done):
            raise OutputRefused(
                f"{self.output} was finished, and {done.count(0)} of its {len(done)} blocks are no longer "
                "what this job wrote; nothing was changed. To keep what is there, name another output; "
                "run with --overwrite to do it again"
            )
        return done

    def _take_up(self) -> None:
        """Open the partial file to write the blocks that it lacks."""
        volume = self._open(self.partial, "r+")
        try:
            _ = volume.shape  # opens it now
            self._ledger = self._opened_ledger()
        except BaseException:
            volume.close()
            raise
        self._hold(volume)
        self._resumed = True

    def _checked(self, path: Path, check: Callable[[], None]) -> bytes:
        """One byte a block: 1 if its voxels in the file at `path` agree with the ledger."""
        if not self._files.ledger.is_file():
            if path == self.output:
                raise _Damaged(f"its checksums, {self._files.ledger}, are gone")
            return bytes(len(self._grid))
        volume = self._opened(path)
        try:
            ledger = self._opened_ledger()
            try:
                return bytes(self._agrees(volume, ledger, block, check) for block in range(len(self._grid)))
            finally:
                ledger.close()
        finally:
            volume.close()

    def _opened(self, path: Path) -> Volume:
        try:
            volume = self._open(path, "r")
            shape = volume.shape
        except _UNREADABLE as error:
            raise self._judged(path, error) from error
        if shape != self._grid.roi.shape:
            volume.close()
            raise OutputRefused(
                f"{path} has shape {list(shape)}, this job writes {list(self._grid.roi.shape)}: "
                "somebody has replaced it; run with --overwrite, or name another output"
            )
        return volume

    def _judged(self, path: Path, error: BaseException) -> Exception:
        """`error` as damage, or as a refusal of the system, which is no evidence about the file."""
        if refused_by_system(error) is None:
            return _Damaged(str(error).partition("\n")[0])
        return OutputRefused(
            f"{path} is there and can't be read: {error}; nothing was changed. "
            "Mend that (is it open in another program?), then run this again"
        )

    def _opened_ledger(self) -> Ledger:
        with storage_errors("open", self._files.ledger):
            return Ledger(self._files.ledger, len(self._grid))

    def _agrees(self, volume: Volume, ledger: Ledger, block: int, check: Callable[[], None]) -> bool:
        check()
        crc32 = ledger.crc_of(block)
        if crc32 is None:
            return False
        try:
            return crc32_of(volume.read(self._grid.roi_of(block))) == crc32
        except _UNREADABLE as error:
            if refused_by_system(error) is not None:
                raise self._judged(self.output, error) from error
            return False  # a damaged chunk; the block is done again

    def merge(self, block: int, roi: Roi, array: NDArray[Any], crc32: int) -> None:
        """Write the voxels of a block, then its checksum into the ledger.

        Parameters
        ----------
        block : int
            Its number in the grid.
        roi : Roi
            Its voxels in the output.
        array : ndarray of shape ``roi.shape``
        crc32 : int
            Checksum of `array`, C order.
        """
        assert self._volume is not None and self._ledger is not None, "started or taken up before"
        self._volume.write(roi, array)
        self._flush()  # what the ledger notes survives a kill
        self._ledger.note(block, crc32)

    def _hold(self, volume: Volume) -> None:
        self._volume = volume
        self._flush = volume.flush if isinstance(volume, _Buffered) else _nothing

    def finish(self) -> None:
        """Close, make durable, and give the file its name.

        Raises
        ------
        OutputRefused
            If something has come to lie at the output's name meanwhile.
        StorageError
            If the file was taken up again and does not agree with the ledger: a kill in the
            middle of HDF5's bookkeeping may let it reuse space that it had given away.
        """
        begun = self._volume is not None
        self.close()  # HDF5 writes the last of its bookkeeping here
        if not self.partial.exists():
            if begun:
                raise StorageError(
                    f"{self.partial} was removed while the job ran; run this again to begin anew"
                )
            return
        if self._resumed and not self._is_whole():
            raise StorageError(
                f"{self.partial}: some blocks don't agree with their checksums, as after a crash in the "
                "middle of writing; run this again to redo them"
            )
        with storage_errors("give its name to", self.output):
            sync_file(str(self.partial))
            try:
                rename_without_replacing(str(self.partial), str(self.output))
            except FileExistsError:
                raise OutputRefused(
                    f"{self.output} has come to be while this job ran, and is not replaced; the whole result "
                    f"lies in {self.partial}. Move the other file away, then run this again"
                ) from None

    def _is_whole(self) -> bool:
        try:
            return all(self._checked(self.partial, lambda: None))
        except _Damaged:
            return False

    def close(self) -> None:
        """Close the files; merged blocks stay for a later run."""
        volume, ledger = self._volume, self._ledger
        self._volume = self._ledger = None
        try:
            if volume is not None:
                volume.close()
        finally:
            if ledger is not None:
                ledger.close()


def _are_one(a: Path, b: Path) -> bool:
    return b.exists() and a.samefile(b)
