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
from harness import Bench
from ours import parallel_volume
from scratch import emptied
from volumes import FULL_SHAPE, QUICK_SHAPE, blocks_of, new_fileset, read_block, voxels, write_block

_GZIP = {"compression": "gzip", "compression_opts": 1}
_LOOP = "h5py tmp + rename loop"


def raw_64(bench: Bench) -> None:
    """Merged write of new raw 64^3 block files."""
    _written(bench, 64)
    bench.faster(_LOOP, 1.8)


def raw_128(bench: Bench) -> None:
    """Merged write of new raw 128^3 block files."""
    _written(bench, 128)
    bench.faster(_LOOP, 1)


def gzip_128(bench: Bench) -> None:
    """Merged write of new gzip-1 128^3 block files of one chunk."""
    _written(bench, 128, chunks=(128,) * 3, **_GZIP)
    bench.faster(_LOOP, 6)


class _Place:
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
        """Let the name mean an empty folder."""
        self._count += 1
        fresh = self.folder.with_name(f"round-{self._count}")
        fresh.mkdir()
        emptied(fresh.with_name(f"round-{self._count - 1}"))
        self.folder.unlink(missing_ok=True)
        self.folder.symlink_to(fresh)

    def timed(self, write: Callable[[BlockwiseFileset], None], check: bool = False, **opened: Any) -> float:
        """The seconds of `write` into an empty fileset."""
        self.renew()
        fileset = new_fileset(self.folder, self.data.shape, self.edge, **self.options, **opened)
        start_s = time.perf_counter()
        write(fileset)
        took_s = time.perf_counter() - start_s
        if check:
            self._check(fileset)
        return took_s

    def _check(self, fileset: BlockwiseFileset) -> None:
        for block in blocks_of(fileset, self.edge):
            if not np.array_equal(read_block(block.path), self.data[block.slices]):
                raise AssertionError(f"wrong voxels in {block.path}")


def _written(bench: Bench, edge: int, **options: Any) -> None:
    data = voxels(QUICK_SHAPE if bench.quick else FULL_SHAPE)
    place = _Place(bench, data, edge, options)
    whole = Roi.from_shape(data.shape)
    with ExitStack() as stack:
        writers: dict[str, tuple[Callable[[BlockwiseFileset], None], dict[str, Any]]] = {
            _LOOP: (lambda fileset: _plain(fileset, data, edge, options), {}),
            "ours, one process": (lambda fileset: fileset.write(whole, data), {}),
        }
        writers |= _ours(bench, stack, place)
        _race(bench, place, writers)
        synced = {
            "ours, one process, durability block": (
                lambda fileset: fileset.write(whole, data),
                {"durability": "block"},
            ),
        }
        _race(bench, place, synced | _ours_synced(writers))  # apart: a sync slows the next contender down
    bench.note(
        f"{data.nbytes >> 20} MiB; every round writes new files, those of the round before are emptied"
    )
    bench.note(
        "durability none: nothing is synced, on either side; group: one sync of the file system at the end"
    )


def _race(bench: Bench, place: _Place, writers: dict[str, Any]) -> None:
    for write, opened in writers.values():
        place.timed(write, check=True, **opened)
    bench.race({name: _run(place, write, opened) for name, (write, opened) in writers.items()})


def _run(
    place: _Place, write: Callable[[BlockwiseFileset], None], opened: dict[str, Any]
) -> Callable[[], float]:
    return lambda: place.timed(write, **opened)


def _ours(bench: Bench, stack: ExitStack, place: _Place) -> dict[str, Any]:
    """`ParallelVolume`, its data already in memory that the workers share."""
    if (kind := parallel_volume()) is None:
        bench.note("ours: this blockmill has no ParallelVolume")
        return {}
    data, whole = place.data, Roi.from_shape(place.data.shape)
    place.renew()
    # Its workers stay up while the files behind its address come and go.
    fileset = new_fileset(place.folder, data.shape, place.edge, **place.options)
    volume = stack.enter_context(kind(fileset.address, workers=bench.cores))
    source = volume.target(data.shape, data.dtype)
    source[...] = data

    def write(_fileset: BlockwiseFileset) -> None:
        volume.write(whole, source)

    return {"ours": (write, {})}


def _ours_synced(writers: dict[str, Any]) -> dict[str, Any]:
    name = "ours" if "ours" in writers else "ours, one process"
    write = writers[name][0]

    def write_and_sync(fileset: BlockwiseFileset) -> None:
        write(fileset)
        sync_filesystem(fileset.address)

    return {f"{name}, durability group": (write_and_sync, {})}


def _plain(fileset: BlockwiseFileset, data: NDArray[Any], edge: int, options: dict[str, Any]) -> None:
    for block in blocks_of(fileset, edge):
        Path(block.path).parent.mkdir(parents=True, exist_ok=True)
        write_block(block.path + ".tmp", data[block.slices], **options)
        os.rename(block.path + ".tmp", block.path)  # noqa: PTH104
