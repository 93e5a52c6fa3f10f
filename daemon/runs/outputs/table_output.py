"""An output that is a table: the records of all blocks, added up one at a time in this process.

Each record is in the ledger, which is a log here, before its block counts as finished; a later run takes
them up from there. The table is written at the end, whole, from all of them.
"""

from __future__ import annotations

import csv
import io
import json
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec

from ....shared.errors import OutputRefused, StorageError
from ....shared.files.atomic import rename_without_replacing, sync_file, write_atomically
from ....shared.files.record_log import RecordLog, Replayed
from ....shared.files.refusals import storage_errors
from ....shared.geometry.grid import BlockGrid
from ....shared.messages import engine as wire
from ....shared.operations.base import Operation
from ....shared.operations.reducer import Reducer, Table
from ....shared.volumes.registry import Address
from ...engine.handle import Result
from ...engine.job import JobSpec
from .completion import CompareBlocks
from .output import Output
from .output_files import OutputFiles

_SNAPSHOT_S = 5.0
"""Time after which the records so far are put together, so that a later run need not add them one by one."""


class TableOutput(Output):
    """The output of an operation that makes a table; see `Output`."""

    _completion: RecordsCompletion

    def _make_completion(self) -> RecordsCompletion:
        return RecordsCompletion(self._target, self.files, self._plan.grid, self._plan.operation)

    def _open_to_merge(self) -> None:
        """Do nothing: there is no volume."""

    def _check_room(self) -> None:
        """Do nothing: a table takes next to no room."""

    def spec(self, recipe: wire.Recipe, done: bytes, workers: int) -> JobSpec:
        """See `Output.spec`: records come back instead of voxels."""
        spec = super().spec(recipe, done, workers)
        return replace(
            spec,
            recipe=msgspec.structs.replace(spec.recipe, checksum=False),
            merge_dtype=None,
            merge_records=True,
        )

    def merge(self, result: Result) -> None:
        """Note the record of a block, and add it up."""
        self._completion.add(result.block, result.record)

    def table(self) -> Table:
        """The table of all blocks so far."""
        return self._completion.table()

    def stored_bytes(self) -> int:
        """Size of the log."""
        return self.files.ledger.stat().st_size


class RecordsCompletion:
    """A block is finished if its record is in the log; see `Completion`.

    Parameters
    ----------
    at : Address
        Of the table.
    files : OutputFiles
        Paths of the log and of the growing output.
    grid : BlockGrid
        Task blocks.
    operation : Operation
        Its reducer adds the records up.
    """

    in_blocks = False

    def __init__(self, at: Address, files: OutputFiles, grid: BlockGrid, operation: Operation) -> None:
        self.place = at
        self._files = files
        self._grid = grid
        self._operation = operation
        self._reducer: Reducer = operation.reducer()
        self._done = bytearray(len(grid))
        self._log: RecordLog | None = None
        self._is_whole = False
        self._snapshot_s = 0.0

    def begun(self) -> bool:
        """True if an earlier run left its log or its table."""
        return self._files.ledger.exists() or self._files.output.exists()

    def has_finished_blocks(self) -> bool:
        """True if the table is there, or a record is in the log."""
        if os.path.lexists(self._files.output):
            return True
        return any(self._noted()[1])

    def count_finished(self, grid: BlockGrid, most: int) -> int | None:
        """Number of records in the log."""
        return sum(self._noted()[1])

    def written_by(self, job: str) -> bool:
        """False: a table does not hold the name of its job."""
        return False

    def start(self, *, reserve: bool) -> None:
        """Begin an empty log; records of an earlier run are removed."""
        self._files.make_folder()
        self._files.remove_blocks()
        self._hold(RecordLog(self._files.ledger))

    def go_on(self, compare: CompareBlocks, tell: Callable[[str], None]) -> bytes:
        """Add up the records of an earlier run; of a finished one, check that the table is what they make."""
        output = self._files.output
        if not os.path.lexists(output):
            log = RecordLog(self._files.ledger)
            try:
                self._reducer, self._done = self._added_up(log.replayed)
            except OutputRefused:
                log.close()
                raise
            self._hold(log)
            return bytes(self._done)
        self._reducer, self._done = self._noted()
        if not all(self._done) or self._content() != _content_of(output):
            raise OutputRefused(
                f"{output} was finished, and is no longer what this job wrote; nothing was changed. "
                "To keep what is there, name another output; run with --overwrite to do it again"
            )
        self._is_whole = True
        return bytes(self._done)

    def _noted(self) -> tuple[Reducer, bytearray]:
        """What `_added_up` gives of the log that is there, if one is."""
        if not self._files.ledger.exists():
            return self._added_up(Replayed())
        log = RecordLog(self._files.ledger)
        log.close()
        return self._added_up(log.replayed)

    def _added_up(self, held: Replayed) -> tuple[Reducer, bytearray]:
        """A reducer with all records of a log, and the map of their blocks."""
        reducer, done = self._operation.reducer(), bytearray(len(self._grid))
        try:
            if held.mask:
                reducer.load(held.state)
                done[:] = held.mask.ljust(len(done), b"\0")[: len(done)]
            for block, record in held.records.items():
                if block < len(done) and not done[block]:
                    if record:
                        reducer.add(block, record)
                    done[block] = 1
        except ValueError as error:
            raise OutputRefused(
                f"{self._files.ledger}: {error}; run with --overwrite to begin {self._files.output} anew"
            ) from error
        return reducer, done

    def _hold(self, log: RecordLog) -> None:
        self._log = log
        self._snapshot_s = time.monotonic() + _SNAPSHOT_S

    def add(self, block: int, record: bytes) -> None:
        """Note the record of a block, then add it up; once a block.

        Parameters
        ----------
        block : int
        record : bytes

        Raises
        ------
        StorageError
            If the log can't be written, or the record is none.
        """
        assert self._log is not None, "started or taken up before"
        self._log.append(block, record)
        try:
            if record:  # the mask leaves others out
                self._reducer.add(block, record)
        except ValueError as error:
            raise StorageError(f"the record of the block can't be added up: {error}") from error
        self._done[block] = 1
        if time.monotonic() > self._snapshot_s:
            self._log.replace(bytes(self._done), self._reducer.state())
            self._snapshot_s = time.monotonic() + _SNAPSHOT_S

    def note(self, block: int, crc32: int) -> None:
        """Do nothing: `add` has noted it."""

    def finish(self, compare: CompareBlocks) -> None:
        """Write the table, and give it its name; see `Completion.finish`."""
        if self._is_whole:
            return
        partial, output = self._files.partial, self._files.output
        with storage_errors("write", output):
            write_atomically(str(partial), self._content())
            sync_file(str(partial))
            try:
                rename_without_replacing(str(partial), str(output))
            except FileExistsError:
                raise OutputRefused(
                    f"{output} has come to be while this job ran, and is not replaced; the whole table "
                    f"lies in {partial}. Move the other file away, then run this again"
                ) from None

    def table(self) -> Table:
        """The table of all blocks so far."""
        return self._reducer.table()

    def _content(self) -> bytes:
        return format_table(self.table(), self._files.output.name)

    def close(self) -> None:
        """Close the log; its records stay for a later run."""
        if self._log is not None:
            self._log.replace(bytes(self._done), self._reducer.state())
            self._log.close()
            self._log = None


def _content_of(path: Path) -> bytes:
    with storage_errors("read", path):
        return path.read_bytes()


def format_table(table: Table, name: str) -> bytes:
    """The content of a table's file.

    Parameters
    ----------
    table : dict
    name : str
        Of the file; the ending decides: JSON, or rows with commas or tabs.

    Returns
    -------
    bytes
        Rows have the columns that are lists, or of a table without lists one row; what is nested, such as
        a histogram, is in JSON alone.
    """
    if name.endswith(".json"):
        return (json.dumps(table, indent=1, allow_nan=False) + "\n").encode()
    flat = {key: value for key, value in table.items() if not isinstance(value, dict)}
    columns = {key: value for key, value in flat.items() if isinstance(value, list)}
    rows = zip(*columns.values(), strict=True) if columns else [flat.values()]
    text = io.StringIO()
    writer = csv.writer(text, delimiter="\t" if name.endswith(".tsv") else ",", lineterminator="\n")
    writer.writerow(columns or flat)
    writer.writerows(rows)
    return text.getvalue().encode()
