"""A sample volume to try things on: something like stained cells under a microscope."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...shared.geometry.grid import BlockGrid
from ...shared.geometry.roi import Roi, Shape
from ...shared.volumes.blockwise.description import FilesetDescription
from ...shared.volumes.blockwise.fileset import BlockwiseFileset

_BLOCK = 64
_CELL_SPACING = 24  # voxels between the sites of a jittered lattice, one cell each
_BACKGROUND = 22.0
_NOISE = 6.0


def create_sample(path: Path, shape: Shape, seed: int) -> None:
    """Write a blockwise fileset of uint8 with all its blocks; axes z, y, x.

    Parameters
    ----------
    path : Path
        The description to be made; the blocks lie in a folder beside it.
    shape : tuple of int
        Voxels in z, y and x.
    seed : int
        The same seed gives the same voxels.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    description = FilesetDescription(
        name=path.stem,
        axes="zyx",
        shape=shape,
        dtype=np.dtype(np.uint8),
        block_shape=(_BLOCK,) * 3,
        dataset_root_dir=f"{path.stem}_blocks",
        block_file_name_format="block-{roiString}.h5/volume/data",
    )
    with BlockwiseFileset.create(path, description) as fileset:
        for block in BlockGrid(Roi.from_shape(shape), (_BLOCK,) * 3):
            fileset.write(block, cells(block, seed))


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
