"""The state of an output after an earlier run, read without changing anything."""

from __future__ import annotations

from pathlib import Path

from ...shared.geometry.grid import BlockGrid
from ...shared.volumes.blockwise.fileset import BlockwiseFileset
from ...shared.volumes.ledger import Ledger
from .run import JobRun

_MOST_COUNTED = 100_000


def finished_blocks(run: JobRun) -> int | None:
    """Number of finished blocks of a job, without a check of their content.

    The run gets the task blocks of the run that began the output.

    Returns
    -------
    int or None
        None if there are too many blocks to count.

    Raises
    ------
    OutputRefused
        If the output is there and is not this job's, or another run holds it.
    """
    run.output.files.check_free()
    record = run.own_record()
    if record is None:
        return 0
    run.reuse_grid(record)
    grid = run.plan.grid
    if run.output.worker_address is not None:
        return _count_block_files(run.output.path, grid)
    return _count_ledger_entries(run.output.files.ledger, grid)


def _count_block_files(path: Path, grid: BlockGrid) -> int | None:
    with BlockwiseFileset(path) as fileset:
        if len(fileset.grid) > _MOST_COUNTED:
            return None
        return sum(
            all(fileset.block_status(storage_block.start) for storage_block in fileset.grid.touching(block))
            for block in grid
        )


def _count_ledger_entries(ledger_path: Path, grid: BlockGrid) -> int | None:
    if len(grid) > _MOST_COUNTED or not ledger_path.exists() or not ledger_path.stat().st_size:
        return None
    ledger = Ledger(ledger_path, len(grid))
    try:
        return sum(ledger.crc_of(number) is not None for number in range(len(grid)))
    finally:
        ledger.close()
