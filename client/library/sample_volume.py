"""A sample volume to try things on: something like stained cells under a microscope."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...shared.errors import OutputRefused
from ...shared.files.atomic import write_atomically
from ...shared.files.refusals import storage_errors
from ...shared.geometry.grid import BlockGrid
from ...shared.geometry.roi import Roi, Shape
from ...shared.volumes.blockwise.description import FilesetDescription
from ...shared.volumes.blockwise.fileset import BlockwiseFileset

_BLOCK = 64
_CELL_SPACING = 24  # voxels between the sites of a jittered lattice, one cell each
_BACKGROUND = 22.0
_NOISE = 6.0


Progress = Callable[[int, int, int, int], None]


def create_sample(
    path: Path, shape: Shape, seed: int, progress: Progress = lambda blocks, before, done, nbytes: None
) -> None:
    """Write a blockwise fileset of uint8 with all its blocks; axes z, y, x.

    A file ``.NAME.partial`` beside it says until the end that blocks are missing. Where an interrupted
    call has left one, the next call writes the blocks that are missing.

    Parameters
    ----------
    path : Path
        The description to be made; the blocks lie in a folder beside it.
    shape : tuple of int
        Voxels in z, y and x.
    seed : int
        The same seed gives the same voxels.
    progress : callable
        Called at the beginning and after each block with the number of all blocks, of those that were there
        before, of those that this call has written, and their bytes.

    Raises
    ------
    OutputRefused
        If the file exists, or was begun with another shape or seed.
    StorageError
        If the system refuses.
    """
    with storage_errors("write", path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _begin(path, {"shape": list(shape), "seed": seed})
    with _opened(path, shape) as fileset:
        grid = BlockGrid(Roi.from_shape(shape), (_BLOCK,) * 3)
        missing = [block for block in grid if not fileset.block_status(block.start)]
        before, nbytes = len(grid) - len(missing), 0
        progress(len(grid), before, 0, 0)
        for number, block in enumerate(missing, 1):
            voxels = cells(block, seed)
            fileset.write(block, voxels)
            nbytes += voxels.nbytes
            progress(len(grid), before, number, nbytes)
    with storage_errors("remove", partial_mark(path)):
        partial_mark(path).unlink(missing_ok=True)


def partial_mark(path: Path) -> Path:
    """The file that says, while it is there, that the sample at `path` is not whole."""
    return path.with_name(f".{path.name}.partial")


def missing_blocks(path: Path) -> tuple[int, int]:
    """Number of blocks of an existing fileset that are not there, and of all its blocks.

    Raises
    ------
    BlockmillError
        If it can't be read.
    """
    with BlockwiseFileset(path) as fileset:
        status = [fileset.block_status(block.start) for block in fileset.block_rois()]
    return status.count(False), len(status)


def _begin(path: Path, order: dict[str, object]) -> None:
    """Note what is being made, or check that it is what an interrupted call has begun."""
    mark = partial_mark(path)
    content = json.dumps(order).encode()
    if mark.is_file():
        if (begun := mark.read_bytes()) != content:
            raise OutputRefused(
                f"{path} was begun with other values ({begun.decode(errors='replace')[:100]}) and is not "
                f"whole; give the same, or remove it, its blocks and {mark}"
            )
    elif path.exists():
        raise OutputRefused(f"{path} exists; choose another name or remove it first")
    else:
        write_atomically(str(mark), content, sync=True)


def _opened(path: Path, shape: Shape) -> BlockwiseFileset:
    if path.exists():
        return BlockwiseFileset(path, "a")
    description = FilesetDescription(
        name=path.stem,
        axes="zyx",
        shape=shape,
        dtype=np.dtype(np.uint8),
        block_shape=(_BLOCK,) * 3,
        dataset_root_dir=f"{path.stem}_blocks",
        block_file_name_format="block-{roiString}.h5/volume/data",
    )
    return BlockwiseFileset.create(path, description)


def cells(roi: Roi, seed: int) -> NDArray[np.uint8]:
    """The voxels of `roi`: bright ellipsoid cells with darker nuclei, uneven light, noise.

    The cells and the light depend on their position and `seed` alone, so they continue across any cut;
    the noise is drawn anew for each `roi`, and is the same for the same `roi` and `seed`.

    Parameters
    ----------
    roi : Roi
        In voxels, axes z, y, x; the sample has no end in any direction.
    seed : int

    Returns
    -------
    ndarray of shape ``roi.shape``, uint8
    """
    image = np.full(roi.shape, _BACKGROUND, np.float32)
    reach = (_CELL_SPACING,) * 3
    for site in BlockGrid(roi.grown(reach), reach):
        _draw_cell(image, roi, tuple(a // _CELL_SPACING for a in site.start), seed)
    z, y, x = np.ogrid[tuple(slice(a, b) for a, b in zip(roi.start, roi.stop, strict=True))]
    image *= 1.0 + 0.2 * np.sin(z / 190.0 + y / 310.0) * np.cos(x / 270.0)
    noise = np.random.default_rng([seed, *(a & 0xFFFFFFFF for a in roi.start)])
    image += noise.standard_normal(roi.shape, np.float32) * _NOISE
    return np.clip(image, 0, 255).astype(np.uint8)


def _draw_cell(image: NDArray[np.float32], roi: Roi, site: Shape, seed: int) -> None:
    rng = np.random.default_rng([seed, *(s & 0xFFFFFFFF for s in site)])
    if rng.random() < 0.25:
        return
    centre = (np.array(site) + rng.uniform(0.2, 0.8, 3)) * _CELL_SPACING
    radii = rng.uniform(5.0, 11.0, 3)
    box = Roi(tuple((centre - radii - 1).astype(int)), tuple((centre + radii + 2).astype(int)))
    if (overlap := box.intersection(roi)) is None:
        return
    z, y, x = np.ogrid[overlap.to_slice()]
    r2 = sum(((g - c) / r) ** 2 for g, c, r in zip((z, y, x), centre, radii, strict=True))
    body = np.clip((1.15 - r2) * 4.0, 0.0, 1.0) * rng.uniform(90.0, 170.0)
    body -= np.clip((0.16 - r2) * 12.0, 0.0, 1.0) * 45.0
    target = image[overlap.relative_to(roi.start).to_slice()]
    np.maximum(target, body + _BACKGROUND, out=target)
