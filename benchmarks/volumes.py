"""Voxels for measurements, filesets that hold them, and reads of their blocks by plain h5py."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from blockmill import BlockwiseFileset, FilesetDescription, Roi

DATASET = "volume/data"
QUICK_SHAPE = (128, 512, 512)  # 32 MiB
FULL_SHAPE = (256, 1024, 1024)  # 256 MiB
_TILE = 128


def voxels(shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Waves under noise, like an electron microscope's: gzip makes them only a little smaller."""
    rng = np.random.default_rng(1)
    ramp = np.indices((_TILE,) * 3, dtype=np.float32).sum(0)
    tile = (np.sin(ramp / 17) * 60 + 100 + rng.normal(0, 8, ramp.shape)).astype(np.uint8)
    return np.ascontiguousarray(np.tile(tile, [n // _TILE for n in shape]))


@dataclass(frozen=True, slots=True)
class Block:
    """A block file and the roi of its voxels."""

    path: str
    roi: Roi

    @property
    def slices(self) -> tuple[slice, ...]:
        """Slices of the roi in an array of the whole volume."""
        return self.roi.to_slice()


def new_fileset(folder: Path, shape: tuple[int, ...], edge: int, **options: Any) -> BlockwiseFileset:
    """Create an empty fileset of cubes.

    Parameters
    ----------
    folder : Path
        For description and blocks.
    shape : tuple of int
        In voxels.
    edge : int
        Voxels along each axis of a block.
    **options
        ``durability``, or fields of `FilesetDescription`.

    Returns
    -------
    BlockwiseFileset
    """
    create_options = {"durability": options.pop("durability")} if "durability" in options else {}
    description = FilesetDescription(
        axes="zyx",
        shape=shape,
        dtype=np.dtype(np.uint8),
        block_shape=(edge,) * 3,
        block_file_name_format="block-{roiString}.h5/" + DATASET,
        dataset_root_dir="blocks",
        **options,
    )
    return BlockwiseFileset.create(folder / "volume.json", description, **create_options)


def cubes(shape: tuple[int, ...], edge: int) -> Iterable[Roi]:
    """Yield the blocks of a volume.

    Parameters
    ----------
    shape : tuple of int
        Multiples of `edge`.
    edge : int
        Voxels along each axis of a block.

    Yields
    ------
    Roi
    """
    for start in itertools.product(*(range(0, n, edge) for n in shape)):
        yield Roi(start, tuple(a + edge for a in start))


def blocks_of(fileset: BlockwiseFileset, edge: int) -> list[Block]:
    """List the block files of a fileset.

    Parameters
    ----------
    fileset : BlockwiseFileset
    edge : int
        Voxels along each axis of a block.

    Returns
    -------
    list of Block
    """
    paths = ((fileset.dataset_path(roi.start), roi) for roi in cubes(fileset.shape, edge))
    return [Block(path.removesuffix("/" + DATASET), roi) for path, roi in paths]


def read_block(path: str) -> NDArray[Any]:
    """Read the voxels of a block file by plain h5py."""
    with h5py.File(path, "r") as file:
        return file[DATASET][()]


def read_loop(blocks: Iterable[Block], out: NDArray[Any]) -> None:
    """Read all blocks by plain h5py, and copy them into an array.

    Parameters
    ----------
    blocks : iterable of Block
    out : ndarray
        Of the volume's shape.
    """
    for block in blocks:
        out[block.slices] = read_block(block.path)


def read_loop_direct(blocks: Iterable[Block], out: NDArray[Any]) -> None:
    """Read all blocks by plain h5py; HDF5 writes the voxels into the array directly.

    Parameters
    ----------
    blocks : iterable of Block
    out : ndarray
        Of the volume's shape.
    """
    for block in blocks:
        with h5py.File(block.path, "r") as file:
            file[DATASET].read_direct(out, dest_sel=block.slices)


def write_block(path: str, block: NDArray[Any], **options: Any) -> None:
    """Write a block file by plain h5py.

    Parameters
    ----------
    path : str
    block : ndarray
    **options
        Of `create_dataset`.
    """
    with h5py.File(path, "w") as file:
        file.create_dataset(DATASET, data=block, **options)
