"""A fileset as the output of a job: its folders, its description, what an earlier run has left of it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import JobError, OutputRefused
from ...files.places import Place, absolute
from ...files.refusals import storage_errors
from ..base.claims import Tree
from ..base.format import NewVolume
from ..base.info import Meaning
from .description import FilesetDescription, read_description, write_description
from .fileset import BlockwiseFileset

if TYPE_CHECKING:
    from ..hdf5.options import Hdf5Options

_TELL_AFTER_S = 2.0
_COMPARED_FIELDS = (
    "shape",
    "dtype",
    "axes",
    "block_shape",
    "chunks",
    "compression",
    "compression_opts",
    "dataset_root_dir",
    "block_file_name_format",
    "view_origin",
    "view_shape",
)
"""Fields in which an existing description must equal this job's own, for its blocks to be this job's."""


def blocks_folder(output: Path) -> Path:
    """Folder of the block files of a fileset that a job writes."""
    return output.with_name(f"{output.stem}_blocks")


def tree_of_blocks(description_path: str, description: FilesetDescription) -> Tree:
    """The folder in which the blocks of a description lie.

    Parameters
    ----------
    description_path : str
    description : FilesetDescription

    Returns
    -------
    Tree
    """
    inside = os.path.expanduser(description.dataset_root_dir)  # noqa: PTH111
    folder = os.path.dirname(absolute(description_path))
    place = Place.of(os.path.normpath(os.path.join(folder, inside)))
    home = Place.of(folder)
    shared = home.is_same(place) or home.is_inside(place)
    return Tree(place, description.axes[0] if shared else "")


def description_of(path: str, new: NewVolume) -> FilesetDescription:
    """The description that a job writes.

    Parameters
    ----------
    path : str
        Its file.
    new : NewVolume

    Returns
    -------
    FilesetDescription
    """
    options: Hdf5Options = new.options
    assert new.unit is not None, "the format gives one"
    return FilesetDescription(
        name=new.label,
        axes=new.meaning.axes,
        **_kept(new.meaning),
        shape=new.shape,
        dtype=new.dtype,
        block_shape=new.unit,
        chunks=options.chunks,
        compression=options.compression,
        compression_opts=options.compression_opts,
        dataset_root_dir=blocks_folder(Path(path)).name,
        block_file_name_format="block-{roiString}.h5/volume/data",
        schema_version=1.0,
    )


def _kept(meaning: Meaning) -> dict[str, Any]:
    """What the description says beside the axes; of guessed ones nothing but that."""
    if meaning.guessed:
        return {"axes_guessed": True, "drange": meaning.drange}
    return {
        "voxel_size": meaning.voxel_size,
        "units": meaning.units,
        "position": meaning.origin,
        "drange": meaning.drange,
    }


def make_root(path: str) -> None:
    """Make the folder of the blocks if it does not exist."""
    root = blocks_folder(Path(path))
    with storage_errors("make", root):
        root.mkdir(exist_ok=True)


def restore_description(path: str, new: NewVolume) -> None:
    """Write the description again if nothing is left of it, as after a power cut.

    Parameters
    ----------
    path : str
    new : NewVolume
    """
    file = Path(path)
    with storage_errors("write", file):
        if file.is_file() and not file.read_bytes().strip(b"\0"):
            write_description(file, description_of(path, new))


def refuse_other_layout(path: str, new: NewVolume) -> None:
    """Refuse an existing description that this job would not have written.

    Parameters
    ----------
    path : str
    new : NewVolume

    Raises
    ------
    OutputRefused
    """
    existing = read_description(path).with_view_filled_in()
    expected = description_of(path, new).with_view_filled_in()
    differences = [
        f"{key}: {getattr(existing, key)} there, {getattr(expected, key)} here"
        for key in _COMPARED_FIELDS
        if getattr(existing, key) != getattr(expected, key)
    ]
    if differences:
        raise OutputRefused(
            f"{path} is no longer what this job wrote: {'; '.join(differences)}; "
            "run with --overwrite to replace it, or name another output"
        )


def remove_blocks(path: str, check: Callable[[], None], tell: Callable[[str], None]) -> None:
    """Remove the blocks of an existing fileset.

    Parameters
    ----------
    path : str
        Its description.
    check : callable
        Raises if the run is interrupted.
    tell : callable
        Takes a line for people, if it takes long.

    Raises
    ------
    JobError
        If the description is wrong, so that nobody knows where the blocks are.
    """
    tell_at_s = time.monotonic() + _TELL_AFTER_S

    def check_and_tell() -> None:
        nonlocal tell_at_s
        check()
        if time.monotonic() >= tell_at_s:
            tell_at_s = inf
            tell(f"removing the old output {path}")

    try:
        with BlockwiseFileset(path, "a") as old:
            old.remove_blocks(check=check_and_tell)
    except JobError as error:
        raise JobError(
            f"{error}; so the blocks of the old output can't be found: "
            f"remove {path} and the folder of its blocks by hand, then run this again"
        ) from error
