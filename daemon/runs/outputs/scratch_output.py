"""Scratch outputs for benchmarks: like the job's own output, in a hidden folder beside it."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ....shared.jobs.job import Job
from ....shared.locking.filelock import FileLock
from ....shared.volumes.registry import split_address
from ...planning.plan import Plan
from .making import output_of
from .output import Output

DRY_RUN_PREFIX = ".blockmill-dry-run-"


@contextlib.contextmanager
def scratch_folder(job: Job) -> Iterator[Path]:
    """A hidden folder beside the output of `job`, removed at the end with everything in it.

    It lies in the temporary folder if nothing can be made beside the output.
    """
    parent = Path(split_address(job.output.address).file).parent
    usable = parent.is_dir() and os.access(parent, os.W_OK | os.X_OK)
    folder = Path(tempfile.mkdtemp(prefix=DRY_RUN_PREFIX, dir=parent if usable else None))
    owner = owner_lock(folder)
    try:
        owner.acquire(blocking=False)
        yield folder
    finally:
        if owner.locked():
            owner.release()
        shutil.rmtree(folder)


def owner_lock(folder: Path) -> FileLock:
    """The lock in the folder of a dry run, which its process holds as long as it lives."""
    return FileLock(folder, lock_path=folder / "lock", private=True)


def scratch_output(job: Job, plan: Plan, folder: Path) -> Output:
    """An output like the job's own, in another folder; it takes no more disk than the written blocks.

    Parameters
    ----------
    job : Job
    plan : Plan
    folder : Path
        Folder for the output's files.

    Returns
    -------
    Output
    """
    folder.mkdir()
    own = split_address(job.output.address)
    return output_of(own.at(folder / f"out{Path(own.file).suffix}"), job, plan, reserve=False)
