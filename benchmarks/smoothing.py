"""Read, smooth with a halo, write a file per block: as users of each peer would write it.

    python benchmarks/smoothing.py CONTENDER INPUT FOLDER [--workers N]

Input is an HDF5 file, output a folder of block files; also used by the cases without a process of its own.
"""

from __future__ import annotations

import argparse
import itertools
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from volumes import DATASET, write_block

SIGMA, HALO, EDGE = 1.5, 6, 64
Corner = tuple[int, ...]


def corners(shape: Corner, edge: int) -> Iterator[Corner]:
    """Yield the first voxels of cubes.

    Parameters
    ----------
    shape : tuple of int
        Of the volume.
    edge : int
        Voxels along each axis of a cube.

    Yields
    ------
    tuple of int
    """
    return itertools.product(*(range(0, n, edge) for n in shape))


def smooth_block(source: str, folder: str, edge: int, corner: Corner) -> None:
    """Smooth a cube and write its block files.

    Parameters
    ----------
    source : str
        HDF5 file.
    folder : str
        For block files.
    edge : int
        Voxels along each axis of the cube.
    corner : tuple of int
        Its first voxel.
    """
    from scipy.ndimage import gaussian_filter

    with h5py.File(source, "r") as file:
        dataset = file[DATASET]
        low = [max(0, start - HALO) for start in corner]
        high = [min(n, start + edge + HALO) for start, n in zip(corner, dataset.shape, strict=True)]
        block = dataset[tuple(map(slice, low, high))]
    smooth = gaussian_filter(block, SIGMA, truncate=4.0)
    inner = tuple(
        slice(start - first, start - first + edge) for start, first in zip(corner, low, strict=True)
    )
    _write(folder, corner, smooth[inner])


def _write(folder: str, corner: Corner, voxels: np.ndarray) -> None:
    for offset in corners(voxels.shape, EDGE):
        name = "-".join(str(a + b) for a, b in zip(corner, offset, strict=True))
        path = os.path.join(folder, f"{name}.h5")
        write_block(path + ".tmp", voxels[tuple(slice(o, o + EDGE) for o in offset)])
        os.rename(path + ".tmp", path)  # noqa: PTH104


def serial(source: str, folder: str, cores: int, edge: int = EDGE) -> None:
    """Smooth one block after another.

    Parameters
    ----------
    source : str
        HDF5 file.
    folder : str
        For block files.
    cores : int
        Ignored.
    edge : int
        Voxels along each axis of a task.
    """
    for corner in corners(_shape(source), edge):
        smooth_block(source, folder, edge, corner)


def pool(source: str, folder: str, cores: int, edge: int = EDGE) -> None:
    """Smooth with `multiprocessing.Pool`.

    Parameters
    ----------
    source : str
        HDF5 file.
    folder : str
        For block files.
    cores : int
        Number of workers.
    edge : int
        Voxels along each axis of a task.
    """
    import multiprocessing

    with multiprocessing.get_context("fork").Pool(cores) as workers:
        smooth_with_pool(workers, source, folder, edge)


def smooth_with_pool(workers: Any, source: str, folder: str, edge: int) -> None:
    """Smooth with a pool whose workers have started.

    Parameters
    ----------
    workers : multiprocessing.Pool
    source : str
        HDF5 file.
    folder : str
        For block files.
    edge : int
        Voxels along each axis of a task.
    """
    work = partial(smooth_block, source, folder, edge)
    for _ in workers.imap_unordered(work, corners(_shape(source), edge)):
        pass


def loky(source: str, folder: str, cores: int, edge: int = EDGE) -> None:
    """Smooth with joblib and loky's processes.

    Parameters
    ----------
    source : str
        HDF5 file.
    folder : str
        For block files.
    cores : int
        Number of workers.
    edge : int
        Voxels along each axis of a task.
    """
    import joblib

    work = joblib.delayed(smooth_block)
    joblib.Parallel(cores)(work(source, folder, edge, corner) for corner in corners(_shape(source), edge))


def dask(source: str, folder: str, cores: int, edge: int = EDGE) -> None:
    """Smooth with dask's threads; its processes take longer to start than this job takes.

    Parameters
    ----------
    source : str
        HDF5 file.
    folder : str
        For block files.
    cores : int
        Number of threads.
    edge : int
        Voxels along each axis of a task.
    """
    import dask as module

    work = module.delayed(smooth_block)
    tasks = [work(source, folder, edge, corner) for corner in corners(_shape(source), edge)]
    module.compute(*tasks, scheduler="threads", num_workers=cores)


def daisy(source: str, folder: str, cores: int, edge: int = EDGE) -> None:
    """Smooth with daisy 2 and its worker processes.

    Parameters
    ----------
    source : str
        HDF5 file.
    folder : str
        For block files.
    cores : int
        Number of workers.
    edge : int
        Voxels along each axis of a task.
    """
    from peers import run_daisy

    def work(block: Any) -> None:
        smooth_block(source, folder, edge, tuple(int(n) for n in block.write_roi.begin))

    run_daisy(_shape(source), (edge,) * 3, HALO, work, cores)


def _shape(source: str) -> Corner:
    with h5py.File(source, "r") as file:
        return file[DATASET].shape


CONTENDERS: dict[str, Callable[..., None]] = {
    function.__name__: function for function in (serial, pool, loky, dask, daisy)
}


def main() -> None:
    """Run one contender."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("contender", choices=CONTENDERS)
    parser.add_argument("source")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    args.folder.mkdir()
    CONTENDERS[args.contender](args.source, str(args.folder), args.workers)


if __name__ == "__main__":
    main()
