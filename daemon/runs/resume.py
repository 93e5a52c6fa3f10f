"""The state of an output after an earlier run, read without changing anything."""

from __future__ import annotations

from pathlib import Path

from ...shared.geometry.grid import BlockGrid
from ...shared.volumes.blockwise.fileset import BlockwiseFileset
from .ledger import Ledger
from .run import JobRun

_MOST_COUNTED = 100_000


def finished_blocks(run: JobRun) -> int | None:
    """Number of finished blocks of a job, or None if there are too many to look at.

    They are not checked. The job keeps to the blocks of the run that began it.

    Raises
    ------
    OutputRefused
        If the output is there and is not this job's, or another run holds it.
    """
    run.output.files.check_free()
    record = run.own_record()
    if record is None:
        return 0
    run.keep_grid(record)
    grid = run.plan.grid
    if run.output.worker_address is not None:
        return _marked(run.output.path, grid)
    return _merged(run.output.files.ledger, grid)


def _marked(path: Path, grid: BlockGrid) -> int | None:
    with BlockwiseFileset(path) as fileset:
        if len(fileset.grid) > _MOST_COUNTED:
            return None
        return sum(
            all(fileset.block_status(stored.start) for stored in fileset.grid.touching(block))
            for block in grid
        )


def _merged(where: Path, grid: BlockGrid) -> int | None:
    if len(grid) > _MOST_COUNTED or not where.exists() or not where.stat().st_size:
        return None
    ledger = Ledger(where, len(grid))
    try:
        return sum(ledger.crc_of(number) is not None for number in range(len(grid)))
    finally:
        ledger.close()
