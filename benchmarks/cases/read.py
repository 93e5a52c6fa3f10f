"""Merged reads: all blocks of a fileset into one array."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from blockmill import BlockwiseFileset, Roi
from engine_jobs import parallel_volume
from harness import Bench
from peers import distributed, installed, pool, with_service
from volumes import (
    DATASET,
    FULL_SHAPE,
    QUICK_SHAPE,
    Block,
    blocks_of,
    new_fileset,
    read_block,
    read_loop,
    read_loop_direct,
    voxels,
    write_block,
)

DASK = ("dask map_blocks, threads", "dask store, threads", "dask.distributed")
LOOP = ("h5py loop", "h5py loop, read_direct")
Contenders = dict[str, Callable[[], Any]]


def raw_64(bench: Bench) -> None:
    """Merged read, raw 64^3 block files, into a reused target."""
    _race_reads(bench, 64)
    bench.within("memcpy", 4)
    bench.faster(LOOP, 4)
    bench.faster(DASK, 6, "dask's best")


def raw_128(bench: Bench) -> None:
    """Merged read, raw 128^3 block files, into a reused target."""
    _race_reads(bench, 128)
    bench.within("memcpy", 2.3)
    bench.faster(LOOP, 2.3)
    bench.faster(DASK, 3, "dask's best")


def fresh_64(bench: Bench) -> None:
    """Merged read, raw 64^3 block files, into a fresh array."""
    _race_reads(bench, 64, fresh=True)
    bench.faster(DASK, 2.5, "dask's best")


def fresh_128(bench: Bench) -> None:
    """Merged read, raw 128^3 block files, into a fresh array."""
    _race_reads(bench, 128, fresh=True)
    bench.faster(DASK, 1, "dask's best")


def gzip_64(bench: Bench) -> None:
    """Merged read, gzip-1 64^3 block files of one chunk."""
    _gzip(bench, 64)


def gzip_128(bench: Bench) -> None:
    """Merged read, gzip-1 128^3 block files of one chunk."""
    _gzip(bench, 128)


def zstd_64(bench: Bench) -> None:
    """Merged read, zstd 64^3 block files by the HDF5 plugin."""
    _by_plugin(bench, lambda plugin: plugin.Zstd(clevel=1))


def blosc2_64(bench: Bench) -> None:
    """Merged read, blosc2-zstd 64^3 block files by the HDF5 plugin."""
    _by_plugin(bench, lambda plugin: plugin.Blosc2(cname="zstd", clevel=1))


def _gzip(bench: Bench, edge: int) -> None:
    compression = {"compression": "gzip", "compression_opts": 1}
    _race_reads(bench, edge, rate=True, chunks=(edge,) * 3, **compression)
    _race_reads(bench, edge, suffix=", h5py's auto-chunks", all_peers=False, **compression)
    bench.faster(LOOP, 3.5)
    bench.faster(DASK, 3.5, "dask's best")
    bench.faster("libdeflate on all cores", 0.85)


def _race_reads(
    bench: Bench,
    edge: int,
    *,
    fresh: bool = False,
    rate: bool = False,
    suffix: str = "",
    all_peers: bool = True,
    **options: Any,
) -> None:
    data = voxels(QUICK_SHAPE if bench.quick else FULL_SHAPE)
    folder = bench.scratch / f"volume{len(bench.values)}"
    folder.mkdir()
    fileset = new_fileset(folder, data.shape, edge, **options)
    fileset.write(Roi.from_shape(data.shape), data)
    _race(bench, fileset, data, edge, fresh=fresh, rate=rate, suffix=suffix, all_peers=all_peers)


def _by_plugin(bench: Bench, kind: Callable[[Any], Any]) -> None:
    """Block files as another program may have written them: blockmill reads them by the plugin."""
    if not installed(bench, "hdf5plugin"):
        return
    import hdf5plugin

    os.environ["HDF5_PLUGIN_PATH"] = hdf5plugin.PLUGIN_PATH  # for the peers' workers, which import h5py alone
    data = voxels(QUICK_SHAPE if bench.quick else FULL_SHAPE)
    fileset = new_fileset(bench.scratch, data.shape, 64)
    for block in blocks_of(fileset, 64):
        Path(block.path).parent.mkdir(parents=True, exist_ok=True)
        write_block(block.path, data[block.slices], chunks=(64,) * 3, **kind(hdf5plugin))
        fileset.set_block_status(block.roi.start, True)
    _race(bench, fileset, data, 64)
    bench.faster(LOOP, 2)


def _race(
    bench: Bench,
    fileset: BlockwiseFileset,
    data: NDArray[np.uint8],
    edge: int,
    *,
    fresh: bool = False,
    rate: bool = False,
    suffix: str = "",
    all_peers: bool = True,
) -> None:
    blocks = blocks_of(fileset, edge)
    targets_by_name: dict[str, NDArray[Any]] = {}

    def target(name: str) -> NDArray[Any]:
        if fresh:
            return np.empty(data.shape, data.dtype)
        if name not in targets_by_name:
            targets_by_name[name] = np.zeros(data.shape, data.dtype)
        return targets_by_name[name]

    with ExitStack() as stack:
        contenders: Contenders = {}
        if all_peers:
            contenders["memcpy"] = lambda: _copy_into(target("copy"), data)
        contenders |= {
            "h5py loop": lambda: _run_loop(read_loop, blocks, target("loop")),
            "h5py loop, read_direct": lambda: _run_loop(read_loop_direct, blocks, target("direct")),
        }
        workers = stack.enter_context(pool(bench.cores)) if all_peers else None
        contenders |= _blockmill(bench, stack, fileset, data.shape, fresh, lambda: target("one"))
        if all_peers:
            contenders |= _dask(bench, blocks, data.shape, edge, lambda: target("dask"))
            contenders["Pool"] = lambda: _read_with_pool(workers, blocks, target("Pool"))
        if rate:
            contenders |= _decoding(bench, blocks)
        _check(contenders, data)
        bench.race({name + suffix: _timed(run) for name, run in contenders.items()})
    targets = "made anew by each contender, and given away" if fresh else "used again each time, one each"
    bench.note(f"{data.nbytes >> 20} MiB of uint8 in {len(blocks)} files, caches warm; targets are {targets}")


def _timed(run: Callable[[], Any]) -> Callable[[], float]:
    """Make a contender that times `run` without the freeing of its result."""

    def timed() -> float:
        start_s = time.perf_counter()
        result = run()
        duration_s = result if isinstance(result, float) else time.perf_counter() - start_s
        del result
        return duration_s

    return timed


def _check(contenders: Contenders, data: NDArray[Any]) -> None:
    """Run each contender once, untimed, and check the voxels."""
    for name, run in contenders.items():
        result = run()
        if not isinstance(result, float) and not np.array_equal(result, data):
            raise AssertionError(f"{name} gives wrong voxels")


def _copy_into(out: NDArray[Any], data: NDArray[Any]) -> NDArray[Any]:
    np.copyto(out, data)
    return out


def _run_loop(loop: Callable[..., None], blocks: list[Block], out: NDArray[Any]) -> NDArray[Any]:
    loop(blocks, out)
    return out


def _blockmill(
    bench: Bench,
    stack: ExitStack,
    fileset: BlockwiseFileset,
    shape: tuple[int, ...],
    fresh: bool,
    target: Callable[[], NDArray[Any]],
) -> Contenders:
    full_roi = Roi.from_shape(shape)
    contenders: Contenders = {"ours, one process": lambda: fileset.read(full_roi, out=target())}
    if (kind := parallel_volume()) is None:
        bench.note("ours: this blockmill has no ParallelVolume")
        return contenders
    volume = stack.enter_context(kind(fileset.address, workers=bench.cores))
    if fresh:
        return {"ours": lambda: volume.read(full_roi), **contenders}
    out = volume.target(shape, fileset.dtype)
    return {"ours": lambda: volume.read(full_roi, out=out), **contenders}


def _dask(
    bench: Bench,
    blocks: list[Block],
    shape: tuple[int, ...],
    edge: int,
    target: Callable[[], NDArray[Any]],
) -> Contenders:
    if not installed(bench, "dask"):
        return {}
    import dask
    import dask.array as da

    paths = np.array([block.path for block in blocks]).reshape([n // edge for n in shape])
    tasks = da.map_blocks(
        _read_one,
        da.from_array(paths, chunks=1),
        chunks=tuple((edge,) * (n // edge) for n in shape),
        dtype=np.uint8,
        meta=np.empty((0,) * 3, np.uint8),
    )

    def compute() -> NDArray[Any]:
        with dask.config.set(scheduler="threads", num_workers=bench.cores):
            return tasks.compute()

    def store() -> NDArray[Any]:
        out = target()
        with dask.config.set(scheduler="threads", num_workers=bench.cores):
            da.store(tasks, out, lock=False)
        return out

    contenders: Contenders = {"dask map_blocks, threads": compute, "dask store, threads": store}
    if not bench.quick and installed(bench, "distributed"):
        service = partial(distributed, bench.cores)
        contenders["dask.distributed"] = with_service(service, lambda client: client.compute(tasks).result())
    return contenders


def _read_one(path: NDArray[Any]) -> NDArray[Any]:
    return read_block(str(path.item()))


def _read_with_pool(workers: Any, blocks: list[Block], out: NDArray[Any]) -> NDArray[Any]:
    jobs = ((block.path, block.slices) for block in blocks)
    for slices, array in workers.imap_unordered(_read_at, jobs):
        out[slices] = array
    return out


def _read_at(job: tuple[str, tuple[slice, ...]]) -> tuple[tuple[slice, ...], NDArray[Any]]:
    path, slices = job
    return slices, read_block(path)


def _decoding(bench: Bench, blocks: list[Block]) -> Contenders:
    """The contender of libdeflate alone, with chunks in memory, a process on each core."""
    if not installed(bench, "deflate"):
        return {}
    chunks = []
    for block in blocks:
        with h5py.File(block.path, "r") as file:
            dataset = file[DATASET]
            chunks.append((bytes(dataset.id.read_direct_chunk((0, 0, 0))[1]), dataset.size))
    bench.note("libdeflate on all cores: compressed chunks in memory, decoded into one small buffer")
    return {"libdeflate on all cores": lambda: _decode_on_cores(chunks, bench.cores)}


def _decode_on_cores(chunks: Sequence[tuple[bytes, int]], cores: int) -> float:
    """Return the longest of the processes' own times, which don't include the fork."""
    context = multiprocessing.get_context("fork")
    ends = [context.SimpleQueue() for _ in range(cores)]
    processes = [
        context.Process(target=_decode, args=(chunks[core::cores], ends[core])) for core in range(cores)
    ]
    for process in processes:
        process.start()
    duration_s = max(end.get() for end in ends)
    for process in processes:
        process.join()
    return duration_s


def _decode(chunks: Sequence[tuple[bytes, int]], end: Any) -> None:
    import deflate

    start_s = time.perf_counter()
    for data, size in chunks:
        deflate.zlib_decompress(data, size)
    end.put(time.perf_counter() - start_s)
