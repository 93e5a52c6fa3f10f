"""One process without an engine: a fileset, block by block, against plain h5py."""

from __future__ import annotations

import itertools
import os
import time
from pathlib import Path

import h5py
import numpy as np

from blockmill import BlockwiseFileset, Roi
from harness import Bench
from scratch import empty_files
from volumes import DATASET, blocks_of, new_fileset, voxels, write_block

_EDGE = 64


def raw_64(bench: Bench) -> None:
    """One process, no engine: raw 64^3 blocks one at a time, per block."""
    data = voxels((128, 256, 256) if bench.quick else (256, 512, 512))
    fileset = _written_fileset(bench.scratch / "read", data)
    blocks = blocks_of(fileset, _EDGE)
    out = np.zeros((_EDGE,) * 3, np.uint8)
    rounds = itertools.count()  # nothing is removed before the end, see scratch.py
    _check(fileset, data)

    def blockmill_read() -> float:
        start_s = time.perf_counter()
        for block in blocks:
            fileset.read(block.roi, out=out)
        return (time.perf_counter() - start_s) / len(blocks)

    def h5py_read() -> float:
        start_s = time.perf_counter()
        for block in blocks:
            with h5py.File(block.path, "r") as file:
                file[DATASET].read_direct(out)
        return (time.perf_counter() - start_s) / len(blocks)

    bench.race(
        {
            "h5py, read": h5py_read,
            "ours, read": blockmill_read,
            "h5py, write": lambda: _h5py_write(bench.scratch / f"plain-{next(rounds)}", data),
            "ours, write": lambda: _blockmill_write(bench.scratch / f"ours-{next(rounds)}", data),
        }
    )
    bench.note(
        f"{len(blocks)} blocks; new files are written, a folder each; h5py: tmp + rename, no lock or status"
    )
    bench.note("ours, write: with lock, status and checksum; nothing is synced on either side")
    bench.faster("h5py, read", 3, ours="ours, read")
    bench.faster("h5py, write", 1.3, ours="ours, write")


def _written_fileset(folder: Path, data: np.ndarray) -> BlockwiseFileset:
    folder.mkdir()
    fileset = new_fileset(folder, data.shape, _EDGE)
    fileset.write(Roi.from_shape(data.shape), data)
    return fileset


def _check(fileset: BlockwiseFileset, data: np.ndarray) -> None:
    for block in blocks_of(fileset, _EDGE):
        if not np.array_equal(fileset.read(block.roi), data[block.slices]):
            raise AssertionError(f"wrong voxels in {block.path}")


def _blockmill_write(folder: Path, data: np.ndarray) -> float:
    folder.mkdir()
    fileset = new_fileset(folder, data.shape, _EDGE)
    blocks = blocks_of(fileset, _EDGE)
    start_s = time.perf_counter()
    for block in blocks:
        fileset.write(block.roi, data[block.slices])
    duration_s = time.perf_counter() - start_s
    empty_files(folder)
    return duration_s / len(blocks)


def _h5py_write(folder: Path, data: np.ndarray) -> float:
    folder.mkdir()
    blocks = blocks_of(new_fileset(folder, data.shape, _EDGE), _EDGE)
    start_s = time.perf_counter()
    for block in blocks:
        Path(block.path).parent.mkdir(parents=True)
        write_block(block.path + ".tmp", data[block.slices])
        os.rename(block.path + ".tmp", block.path)  # noqa: PTH104
    duration_s = time.perf_counter() - start_s
    empty_files(folder)
    return duration_s / len(blocks)
