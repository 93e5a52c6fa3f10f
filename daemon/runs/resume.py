"""What an earlier run has left of an output, looked at without changing anything."""

from __future__ import annotations

from pathlib import Path

from ...shared.errors import OutputRefused
from ...shared.geometry.grid import BlockGrid
from ...shared.locking.filelock import FileLock
from ...shared.volumes.blockwise.fileset import BlockwiseFileset
from .record import differences, read_record, record_path
from .run import JobRun
from .single_file import Ledger

_MOST_COUNTED = 100_000


def finished_blocks(run: JobRun) -> int | None:
    """How many blocks of a job count as finished; None where there are too many to look at.

    They are not checked. The job keeps to the blocks of the run that began it.

    Raises
    ------
    OutputRefused
        If the output is there and is not this job's, or another run holds it.
    """
    path = run.output.path
    if not FileLock(str(record_path(path))).available():
        raise OutputRefused(f"another run is writing {path}; wait for it or end it, then run this again")
    record = read_record(path)
    if record is None:
        if (other := run.output.leftovers()) is not None:
            raise OutputRefused(
                f"{other} exists, and no record beside it says that this job wrote it; "
                "run with --overwrite to replace it, or name another output"
            )
        return 0
    if differing := differences(record.identity, run._identity):
        raise OutputRefused(
            f"{path} exists and belongs to another job; what differs:\n  "
            + "\n  ".join(differing)
            + "\nrun with --overwrite to replace it, or name another output"
        )
    if not run.output.begun():
        return 0
    run._keep_grid(record)
    grid = run.plan.grid
    return _marked(path, grid) if run.output.worker_address is not None else _merged(path, grid)


def _marked(path: Path, grid: BlockGrid) -> int | None:
    with BlockwiseFileset(path) as fileset:
        if len(fileset.grid) > _MOST_COUNTED:
            return None
        return sum(
            all(fileset.block_status(stored.start) for stored in fileset.grid.touching(block))
            for block in grid
        )


def _merged(path: Path, grid: BlockGrid) -> int | None:
    where = path.with_name(f"{path.name}.blocks")
    if len(grid) > _MOST_COUNTED or not where.exists() or not where.stat().st_size:
        return None
    ledger = Ledger(where, len(grid))
    try:
        return sum(ledger.crc_of(number) is not None for number in range(len(grid)))
    finally:
        ledger.close()
