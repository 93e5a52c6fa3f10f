"""Merged writes of new blocks: one array into all blocks of a fileset."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blockmill import BlockwiseFileset, Roi
from blockmill.shared.files.sync import sync_filesystem
from engine_jobs import parallel_volume
from harness import Bench
from scratch import empty_files
from volumes import FULL_SHAPE, QUICK_SHAPE, blocks_of, new_fileset, read_block, voxels, write_block

_GZIP = {"compression": "gzip", "compression_opts": 1}
_LOOP = "h5py tmp + rename loop"


def raw_64(bench: Bench) -> None:
    """Merged write of new raw 64^3 block files."""
    _race_writes(bench, 64)
    bench.faster(_LOOP, 1.8)


def raw_128(bench: Bench) -> None:
    """Merged write of new raw 128^3 block files."""
    _race_writes(bench, 128)
    bench.faster(_LOOP, 1)


def gzip_128(bench: Bench) -> None:
    """Merged write of new gzip-1 128^3 block files of one chunk."""
    _race_writes(bench, 128, chunks=(128,) * 3, **_GZIP)
    bench.faster(_LOOP, 6)


class _OutputFolder:
    """A folder for one contender's files, new each time, always under the same name, a link.

    The files of the round before are emptied, not removed, see `scratch`.
    """

    def __init__(self, bench: Bench, data: NDArray[Any], edge: int, options: dict[str, Any]) -> None:
        self.folder = bench.scratch / "written"
        self.data = data
        self.edge = edge
        self.options = options
        self._count = 0

    def renew(self) -> None:
        """Point the link to a new, empty folder."""
        self._count += 1
        folder = self.folder.with_name(f"round-{self._count}")
        folder.mkdir()
        empty_files(folder.with_name(f"round-{self._count - 1}"))
        self.folder.unlink(missing_ok=True)
        self.folder.symlink_to(folder)

    def timed(self, write: Callable[[BlockwiseFileset], None], check: bool = False, **creation: Any) -> float:
        """Measure the seconds of `write` into an empty fileset."""
        self.renew()
        fileset = new_fileset(self.folder, self.data.shape, self.edge, **self.options, **creation)
        start_s = time.perf_counter()
        write(fileset)
        duration_s = time.perf_counter() - start_s
        if check:
            self._check(fileset)
        return duration_s

    def _check(self, fileset: BlockwiseFileset) -> None:
        for block in blocks_of(fileset, self.edge):
            if not np.array_equal(read_block(block.path), self.data[block.slices]):
                raise AssertionError(f"wrong voxels in {block.path}")


def _race_writes(bench: Bench, edge: int, **options: Any) -> None:
    data = voxels(QUICK_SHAPE if bench.quick else FULL_SHAPE)
    output = _OutputFolder(bench, data, edge, options)
    full_roi = Roi.from_shape(data.shape)
    with ExitStack() as stack:
        writers: dict[str, tuple[Callable[[BlockwiseFileset], None], dict[str, Any]]] = {
            _LOOP: (lambda fileset: _h5py_loop(fileset, data, edge, options), {}),
            "ours, one process": (lambda fileset: fileset.write(full_roi, data), {}),
        }
        writers |= _blockmill(bench, stack, output)
        _race(bench, output, writers)
        synced_writers = {
            "ours, one process, durability block": (
                lambda fileset: fileset.write(full_roi, data),
                {"durability": "block"},
            ),
        }
        # In a race of their own: a sync slows the next contender down.
        _race(bench, output, synced_writers | _blockmill_synced(writers))
    bench.note(
        f"{data.nbytes >> 20} MiB; every round writes new files, those of the round before are emptied"
    )
    bench.note(
        "durability none: nothing is synced, on either side; group: one sync of the file system at the end"
    )


def _race(bench: Bench, output: _OutputFolder, writers: dict[str, Any]) -> None:
    for write, creation in writers.values():
        output.timed(write, check=True, **creation)
    bench.race({name: _run(output, write, creation) for name, (write, creation) in writers.items()})


def _run(
    output: _OutputFolder, write: Callable[[BlockwiseFileset], None], creation: dict[str, Any]
) -> Callable[[], float]:
    return lambda: output.timed(write, **creation)


def _blockmill(bench: Bench, stack: ExitStack, output: _OutputFolder) -> dict[str, Any]:
    """`ParallelVolume`, its data already in memory that the workers share."""
    if (kind := parallel_volume()) is None:
        bench.note("ours: this blockmill has no ParallelVolume")
        return {}
    data, full_roi = output.data, Roi.from_shape(output.data.shape)
    output.renew()
    # Its workers stay up while the files behind its address come and go.
    fileset = new_fileset(output.folder, data.shape, output.edge, **output.options)
    volume = stack.enter_context(kind(fileset.address, workers=bench.cores))
    source = volume.target(data.shape, data.dtype)
    source[...] = data

    def write(_fileset: BlockwiseFileset) -> None:
        volume.write(full_roi, source)

    return {"ours": (write, {})}


def _blockmill_synced(writers: dict[str, Any]) -> dict[str, Any]:
    name = "ours" if "ours" in writers else "ours, one process"
    write = writers[name][0]

    def write_and_sync(fileset: BlockwiseFileset) -> None:
        write(fileset)
        sync_filesystem(fileset.address)

    return {f"{name}, durability group": (write_and_sync, {})}


def _h5py_loop(fileset: BlockwiseFileset, data: NDArray[Any], edge: int, options: dict[str, Any]) -> None:
    for block in blocks_of(fileset, edge):
        Path(block.path).parent.mkdir(parents=True, exist_ok=True)
        write_block(block.path + ".tmp", data[block.slices], **options)
        os.rename(block.path + ".tmp", block.path)  # noqa: PTH104
