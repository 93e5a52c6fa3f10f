"""Scratch outputs for benchmarks: like the job's own output, in a hidden folder beside it."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import h5py
import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from ...shared.geometry.roi import Roi
from ...shared.jobs.job import Job
from ...shared.locking.filelock import FileLock
from ...shared.volumes.base.api import Volume
from ...shared.volumes.formats import Address, split_address
from ...shared.volumes.hdf5.layout import DatasetLayout, create_dataset
from ...shared.volumes.hdf5.volume import Hdf5Volume
from ..planning.plan import Plan
from .fileset_output import FilesetOutput
from .merged_output import MergedOutput
from .output_base import Output

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


def stored_bytes(path: Path) -> int:
    """Size of a scratch output's files that hold voxels, in bytes."""
    files = path.parent.rglob("*.h5") if path.suffix == ".json" else [path]
    return sum(file.stat().st_size for file in files)


def scratch_output(job: Job, plan: Plan, folder: Path) -> Output:
    """An output like the job's own, in another folder.

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
    target = Address(own.kind, str(folder / f"out{Path(own.file).suffix}"), own.internal)
    return FilesetOutput(target, job, plan) if own.kind == "fileset" else _SparseOutput(target, job, plan)


class _SparseOutput(MergedOutput):
    """A merged file as large as the job's own, which takes no more disk than the written blocks."""

    def _create(self, path: Path) -> Volume:
        plan, options = self._plan, self._job.output
        if self._target.kind == "npy":
            return cast(Volume, _SparseNpy(path, plan))
        if options.chunks or options.compression:
            return super()._create(path)  # which reserves nothing
        with h5py.File(path, "x") as file:
            create_dataset(file, DatasetLayout(plan.dtype, plan.axes), self._target.internal, plan.shape)
        return Hdf5Volume(path, self._target.internal, "r+")


class _SparseNpy:
    """The written part of an npy volume, through a map of a file with holes."""

    def __init__(self, path: Path, plan: Plan) -> None:
        self._array: np.memmap[Any, Any] = open_memmap(path, "w+", plan.dtype, plan.shape)

    def write(self, roi: Roi, data: NDArray[Any]) -> None:
        """Write a block."""
        self._array[roi.to_slice()] = data

    def close(self) -> None:
        """Bring all writes to the medium."""
        self._array.flush()
        del self._array
