"""Merged writes of new blocks: one array into all blocks of a fileset."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blockmill import BlockwiseFileset, Roi
from blockmill.shared.volumes.syncing import sync_filesystem
from harness import Bench
from ours import parallel_volume
from peers import installed
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
    """A folder for one contender's files, new each time; taken down outside of its time."""

    def __init__(self, bench: Bench, data: NDArray[Any], edge: int, options: dict[str, Any]) -> None:
        self.folder = bench.scratch / "written"
        self.data = data
        self.edge = edge
        self.options = options

    def timed(self, write: Callable[[BlockwiseFileset], None], check: bool = False, **opened: Any) -> float:
        """The seconds of `write` into an empty fileset."""
        self.folder.mkdir()
        fileset = new_fileset(self.folder, self.data.shape, self.edge, **self.options, **opened)
        start_s = time.perf_counter()
        write(fileset)
        took_s = time.perf_counter() - start_s
        if check:
            self._check(fileset)
        shutil.rmtree(self.folder)
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
        writers |= _ours(bench, stack, data)
        writers |= _dask(bench, data, edge, options)
        _race(bench, place, writers)
        synced = {
            "ours, one process, durability block": (
                lambda fileset: fileset.write(whole, data),
                {"durability": "block"},
            ),
        }
        _race(bench, place, synced | _ours_synced(writers))  # apart: a sync slows the next contender down
    bench.note(f"{data.nbytes >> 20} MiB of uint8; every round writes new files, which are removed untimed")
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


def _ours(bench: Bench, stack: ExitStack, data: NDArray[Any]) -> dict[str, Any]:
    """`ParallelVolume`, its data already in memory that the workers share."""
    if (kind := parallel_volume()) is None:
        bench.note("ours: this blockmill has no ParallelVolume")
        return {}
    whole = Roi.from_shape(data.shape)
    keeper = stack.enter_context(_Keeper(kind, bench, data))

    def write(fileset: BlockwiseFileset) -> None:
        volume = keeper.moved_to(fileset)
        volume.write(whole, keeper.source)

    return {"ours": (write, {})}


def _ours_synced(writers: dict[str, Any]) -> dict[str, Any]:
    name = "ours" if "ours" in writers else "ours, one process"
    write = writers[name][0]

    def write_and_sync(fileset: BlockwiseFileset) -> None:
        write(fileset)
        sync_filesystem(fileset.address)

    return {f"{name}, durability group": (write_and_sync, {})}


class _Keeper:
    """A `ParallelVolume` whose workers stay up while its files come and go at one address."""

    def __init__(self, kind: Any, bench: Bench, data: NDArray[Any]) -> None:
        self._folder = bench.scratch / "written"
        self._folder.mkdir()
        with new_fileset(self._folder, data.shape, data.shape[0]) as fileset:
            self._volume = kind(fileset.address, workers=bench.cores)
        shutil.rmtree(self._folder)
        self._kind = kind
        self.source = self._volume.target(data.shape, data.dtype)
        self.source[...] = data

    def moved_to(self, fileset: BlockwiseFileset) -> Any:
        """The volume, now for these files."""
        return self._volume

    def __enter__(self) -> _Keeper:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._volume.close()


def _plain(fileset: BlockwiseFileset, data: NDArray[Any], edge: int, options: dict[str, Any]) -> None:
    for block in blocks_of(fileset, edge):
        Path(block.path).parent.mkdir(parents=True, exist_ok=True)
        write_block(block.path + ".tmp", data[block.slices], **options)
        os.rename(block.path + ".tmp", block.path)  # noqa: PTH104


def _dask(bench: Bench, data: NDArray[Any], edge: int, options: dict[str, Any]) -> dict[str, Any]:
    if bench.quick or not installed(bench, "dask"):
        return {}
    import dask

    def write(fileset: BlockwiseFileset) -> None:
        def one(block: Any) -> None:
            Path(block.path).parent.mkdir(parents=True, exist_ok=True)
            write_block(block.path + ".tmp", data[block.slices], **options)
            os.rename(block.path + ".tmp", block.path)  # noqa: PTH104

        dask.compute(
            *(dask.delayed(one)(block) for block in blocks_of(fileset, edge)),
            scheduler="threads",
            num_workers=bench.cores,
        )

    return {"dask, threads": (write, {})}
