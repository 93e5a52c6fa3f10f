"""An output that grows as ``partial`` in its hidden folder, with a ledger that notes its finished blocks.

The ledger holds the checksum of each block, written after its voxels are out of the process that wrote
them. A block counts as finished only if its voxels agree with the ledger; so every block after a crash
is either right or done again. What can't be *read* is never taken for damaged: the run ends with
the reason, and leaves all as it is.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from ....shared.errors import OutputRefused, StorageError
from ....shared.files.atomic import remove_if_there
from ....shared.files.refusals import UNREADABLE, refused_by_system, storage_errors
from ....shared.geometry.grid import BlockGrid
from ....shared.volumes.base.format import Format, NewVolume
from ....shared.volumes.ledger import Ledger
from ....shared.volumes.registry import Address
from .completion import CompareBlocks
from .output_files import OutputFiles


class _Damaged(Exception):
    """The volume can be read, and its content is wrong."""


class LedgerCompletion:
    """Notes finished blocks in a ledger, and gives the output its name when it is whole.

    Parameters
    ----------
    kind : Format
    at : Address
        Of the whole output.
    new : NewVolume
    files : OutputFiles
        Paths of the growing volume and of its ledger.
    grid : BlockGrid
        Task blocks.
    """

    in_blocks = False

    def __init__(
        self, kind: Format, at: Address, new: NewVolume, files: OutputFiles, grid: BlockGrid
    ) -> None:
        self._kind = kind
        self._at = at
        self._new = new
        self._files = files
        self._grid = grid
        self._ledger: Ledger | None = None
        self._begun = False  # by this run, so that there is something to give a name to
        self._resumed = False

    @property
    def place(self) -> Address:
        """Where the volume grows."""
        return self._at.at(self._files.partial)

    def begun(self) -> bool:
        """True if an earlier run left its volume, finished or partial."""
        return self._files.partial.exists() or self._files.output.exists()

    def has_finished_blocks(self) -> bool:
        """True if the output is whole, or some block is noted."""
        if os.path.lexists(self._files.output):
            return True
        try:
            return any(self._files.ledger.read_bytes())
        except FileNotFoundError:
            return False
        except OSError as error:
            raise StorageError(f"could not read {self._files.ledger}: {error.strerror}") from error

    def count_finished(self, grid: BlockGrid, most: int) -> int | None:
        """Number of noted blocks."""
        path = self._files.ledger
        if len(grid) > most or not path.exists() or not path.stat().st_size:
            return None
        ledger = Ledger(path, len(grid), writable=False)
        try:
            return sum(ledger.noted())
        finally:
            ledger.close()

    def written_by(self, job: str) -> bool:
        """False: the volume does not hold the name of its job."""
        return False

    def start(self, *, reserve: bool) -> None:
        """Begin an empty volume; blocks of an earlier run are removed."""
        files = self._files
        files.make_folder()
        files.remove_blocks()
        self._kind.create(self.place, self._new, reserve=reserve)
        self._ledger = self._opened_ledger()
        self._begun = True

    def go_on(self, compare: CompareBlocks, tell: Callable[[str], None]) -> bytes:
        """Take up the volume of an earlier run; see `Completion.go_on`."""
        partial, output = self._files.partial, self._files.output
        if partial.exists() and _are_one(partial, output):
            remove_if_there(str(partial))  # killed between the two names of a whole file
        existing = partial if partial.exists() else output
        try:
            done = self._compared(existing, compare)
        except _Damaged as error:
            if existing == output:
                raise OutputRefused(
                    f"{output} was finished, and is no longer what this job wrote: {error}; nothing was "
                    "changed. Remove it, then run this again, or name another output"
                ) from error
            tell(f"{existing} was cut off in the middle of a write ({error}): begun anew")
            self.start(reserve=True)
            return bytes(len(self._grid))
        if existing == partial:
            self._ledger = self._opened_ledger()
            self._begun = self._resumed = True
        elif not all(done):
            raise OutputRefused(
                f"{output} was finished, and {done.count(0)} of its {len(done)} blocks are no longer "
                "what this job wrote; nothing was changed. To keep what is there, name another output; "
                "run with --overwrite to do it again"
            )
        return done

    def _compared(self, path: Path, compare: CompareBlocks) -> bytes:
        """One byte a block: 1 if its voxels in the volume at `path` agree with the ledger."""
        if not self._files.ledger.is_file():
            if path == self._files.output:
                raise _Damaged(f"its checksums, {self._files.ledger}, are gone")
            return bytes(len(self._grid))
        self._check_can_be_opened(path)
        ledger = self._opened_ledger()
        try:
            noted = ledger.noted()
        finally:
            ledger.close()
        return compare(self._at.at(path), self._files.ledger, noted) if any(noted) else noted

    def _check_can_be_opened(self, path: Path) -> None:
        try:
            volume = self._kind.open(self._at.at(path))
            shape = volume.shape
            volume.close()
        except UNREADABLE as error:
            raise self._judged(path, error) from error
        if shape != self._grid.roi.shape:
            raise OutputRefused(
                f"{path} has shape {list(shape)}, this job writes {list(self._grid.roi.shape)}: "
                "somebody has replaced it; run with --overwrite, or name another output"
            )

    def _judged(self, path: Path, error: BaseException) -> Exception:
        """`error` as damage, or as a refusal of the system, which is no evidence about the volume."""
        if refused_by_system(error) is None:
            return _Damaged(str(error).partition("\n")[0])
        return refused_to_read(path, str(error))

    def _opened_ledger(self) -> Ledger:
        with storage_errors("open", self._files.ledger):
            return Ledger(self._files.ledger, len(self._grid))

    def note(self, block: int, crc32: int) -> None:
        """Write the checksum of a block whose voxels are out of the process that wrote them."""
        assert self._ledger is not None, "started or taken up before"
        self._ledger.note(block, crc32)

    def finish(self, compare: CompareBlocks) -> None:
        """Make the volume durable, and give it its name; see `Completion.finish`."""
        self.close()
        partial, output = self._files.partial, self._files.output
        if not partial.exists():
            if self._begun:
                raise StorageError(f"{partial} was removed while the job ran; run this again to begin anew")
            return
        if not self._is_whole(compare):
            raise StorageError(
                f"{partial}: some blocks don't agree with their checksums, as after a crash in the "
                "middle of writing; run this again to redo them"
            )
        with storage_errors("give its name to", output):
            try:
                self._kind.give_name(self.place, self._at)
            except FileExistsError:
                raise OutputRefused(
                    f"{output} has come to be while this job ran, and is not replaced; the whole result "
                    f"lies in {partial}. Move the other file away, then run this again"
                ) from None

    def _is_whole(self, compare: CompareBlocks) -> bool:
        """Compare all blocks once more, where what was written since may lie over what was there before."""
        if not (self._resumed and self._kind.reuses_space(self._new)):
            return True
        try:
            return all(self._compared(self._files.partial, compare))
        except _Damaged:
            return False

    def close(self) -> None:
        """Close the ledger; noted blocks stay for a later run."""
        ledger, self._ledger = self._ledger, None
        if ledger is not None:
            ledger.close()


def refused_to_read(path: Path, reason: str) -> OutputRefused:
    """The error for an output that is there and that the system refuses to read.

    Parameters
    ----------
    path : Path
    reason : str

    Returns
    -------
    OutputRefused
    """
    return OutputRefused(
        f"{path} is there and can't be read: {reason}; nothing was changed. "
        "Mend that (is it open in another program?), then run this again"
    )


def _are_one(a: Path, b: Path) -> bool:
    return b.exists() and a.samefile(b)
