"""Exports of parts of a fileset: one HDF5 file, or a smaller fileset of the same blocks."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import h5py
from numpy.typing import NDArray

from ...errors import OutOfBounds, OutputRefused, StorageError
from ...files.atomic import PARTIAL_MARK, replacing, write_atomically
from ...files.machine import boot_id
from ...files.places import absolute
from ...files.refusals import storage_errors
from ...geometry.grid import BlockGrid
from ...geometry.roi import Roi, Shape
from ...geometry.slicing import AnyRoi, as_roi
from ..hdf5.layout import create_dataset, put_voxels
from .blocks import FilesetBlocks
from .description import FilesetDescription, format_description
from .layout import STATUS_NAME, Naming
from .status import format_status, parse_status

_ATTEMPTS = 20


@dataclass(frozen=True, slots=True)
class Subset:
    """The result of `export_subset`.

    Attributes
    ----------
    description : str
        Path of the new description.
    copied, kept : int
        Blocks that were copied now, and that the destination had already.
    missing : tuple of tuple of int
        First corners of the blocks that are not available, in the view of the export's source.
    """

    description: str
    copied: int
    kept: int
    missing: tuple[Shape, ...]


def export_roi(
    blocks: FilesetBlocks,
    read: Callable[[Roi], NDArray],
    roi: AnyRoi,
    directory: str | os.PathLike[str],
    *,
    absolute: bool,
) -> str:
    """Write the voxels of a roi of the view into one HDF5 file.

    Parameters
    ----------
    blocks : FilesetBlocks
        The blocks of the fileset.
    read : callable
        Takes a roi of the view and returns its voxels.
    roi, directory, absolute
        As for `BlockwiseFileset.export_roi`, as are the errors.

    Returns
    -------
    str
        Path of the file.
    """
    roi, store = _roi_in_view(blocks, roi, absolute), blocks.store
    where = _existing(directory)
    on_disk = roi.shifted(blocks.description.origin)
    name, internal = store.naming.split(on_disk.start, on_disk.stop)
    path = os.path.join(where, name)
    with storage_errors("export to", path), replacing(path) as partial:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with h5py.File(partial, "w") as file:
            dataset = create_dataset(file, store.layout, internal, roi.shape)
            # One block in memory at a time, whatever the size of the roi.
            for piece in BlockGrid(roi, blocks.grid.block_shape):
                voxels = read(piece)
                if store.codec is not None:
                    voxels = store.codec.encode(voxels)
                put_voxels(dataset, piece.relative_to(roi.start), voxels)
    return path


def export_subset(
    blocks: FilesetBlocks, roi: AnyRoi, directory: str | os.PathLike[str], *, absolute: bool = False
) -> Subset:
    """Copy the available blocks of `roi`, and describe them as a fileset that shows just `roi`.

    The new view starts where `roi` starts; the original's starts where the old view did, so that all
    before `roi` is missing. The blocks always lie below `directory`, and the new description names that
    place, even if the old one has an absolute root (the original's goes on naming the old place).
    Locks and unfinished files are not copied. A second export completes one that was cut off.

    Parameters
    ----------
    roi : Roi
        Whole blocks: its ends are multiples of the block shape, or the end of the view.
    directory : path
        It must exist.
    absolute : bool
        Read `roi` as voxels on disk instead of voxels of the view.

    Returns
    -------
    Subset
        The new description's path, and the blocks that are missing.

    Raises
    ------
    OutOfBounds
        If `roi` leaves the view or cuts through blocks.
    OutputRefused
        If the description in `directory` is another one, or the blocks lie there already.
    StorageError
        If something can't be copied; blocks that were copied are whole.
    """
    roi = _whole_blocks(blocks, _roi_in_view(blocks, roi, absolute))
    where = _existing(directory)
    path = os.path.join(where, os.path.basename(blocks.path))
    description = _description_of(blocks.description, roi)
    naming = Naming(
        os.path.normpath(os.path.join(where, description.dataset_root_dir)),
        description.axes,
        description.block_file_name_format,
    )
    if os.path.realpath(naming.root) == os.path.realpath(blocks.store.naming.root):
        raise OutputRefused(f"{where} is where the blocks of {blocks.path} lie; choose another directory")
    content = format_description(description)
    _check_agrees(path, content)
    copied, kept, missing = 0, 0, []
    for block in blocks.grid.touching(roi):
        outcome = _copy_block(blocks, block.start, naming, content)
        copied += outcome == "copied"
        kept += outcome == "kept"
        if outcome == "missing":
            missing.append(block.start)
    # Last of all: what is described is there, as far as it is anywhere.
    with storage_errors("write", path), contextlib.suppress(FileExistsError):
        write_atomically(path, content, overwrite=False)
    return Subset(path, copied, kept, tuple(missing))


def _roi_in_view(blocks: FilesetBlocks, roi: AnyRoi, absolute: bool) -> Roi:
    """A roi in voxels of the view, within it."""
    if not absolute:
        return blocks.view.checked(roi)
    return blocks.view.checked(as_roi(roi, blocks.view.disk_shape).relative_to(blocks.view.origin))


def _existing(directory: str | os.PathLike[str]) -> str:
    where = absolute(os.path.expanduser(os.fspath(directory)))  # noqa: PTH111
    if not Path(where).is_dir():
        raise StorageError(f"{where} is no directory; make it first")
    return where


def _whole_blocks(blocks: FilesetBlocks, roi: Roi) -> Roi:
    ends = zip(roi.start, roi.stop, blocks.grid.block_shape, blocks.view.view.shape, strict=True)
    if any(a % n or (b % n and b != end) for a, b, n, end in ends):
        raise OutOfBounds(
            f"roi {roi} cuts through blocks; a subset starts and ends at multiples of "
            f"{list(blocks.grid.block_shape)} or at the end of the view {list(blocks.view.view.shape)}"
        )
    return roi


def _description_of(description: FilesetDescription, roi: Roi) -> FilesetDescription:
    """The description of the subset: its view is just the roi, its blocks lie below its own directory."""
    root = os.path.normpath(os.path.expanduser(description.dataset_root_dir))  # noqa: PTH111
    if root.startswith("/") or root.split("/", 1)[0] == "..":
        root = os.path.basename(root) if os.path.basename(root) not in ("", "..") else "blocks"
    return replace(
        description,
        view_origin=tuple(a + o for a, o in zip(roi.start, description.origin, strict=True)),
        view_shape=roi.shape,
        dataset_root_dir=root,
        hash_id=None,
    )


def _check_agrees(path: str, content: bytes) -> None:
    """Refuse a destination that is another fileset; the same one is completed."""
    try:
        existing = Path(path).read_bytes()
    except FileNotFoundError:
        return
    if existing != content:
        raise OutputRefused(
            f"{path} exists and describes something else; choose another directory or remove it first"
        )


def _copy_block(blocks: FilesetBlocks, start: Shape, naming: Naming, content: bytes) -> str:
    """Copy the directory of a block, its status last: "copied", "kept" or "missing"."""
    store, block = blocks.store, blocks.view.at(start)
    target = naming.paths(block)
    for _ in range(_ATTEMPTS):
        status, before = store.status(block), _state(store.paths(block).file)
        if status is None or before is None:
            return "missing"
        if Path(target.status).exists():
            return "kept"
        store.check_whole(block, status)
        with storage_errors("copy a block to", target.directory):
            _copy_files(
                store.paths(block).directory, target.directory, {store.description_copy.name: content}
            )
            # A writer may have put another file there meanwhile: then what was copied may be of both.
            if (store.status(block), _state(store.paths(block).file)) == (status, before):
                write_atomically(target.status, _status_of_copy(status))
                return "copied"
    raise StorageError(f"block {list(start)} of {blocks.path} is written again and again; export it later")


def _state(file: str) -> tuple[int, int, int] | None:
    """Facts that change when a file is written, or None if there is none."""
    try:
        facts = Path(file).stat()
    except FileNotFoundError:
        return None
    return facts.st_ino, facts.st_size, facts.st_mtime_ns


def _status_of_copy(content: bytes) -> bytes:
    """The status of a block's copy: the same facts, but this boot wrote it and did not sync it."""
    record = parse_status(content)
    return format_status(replace(record, boot=boot_id(), synced=False))


def _copy_files(source: str, target: str, replacements: dict[str, bytes]) -> None:
    """Copy what lies in a block directory, but locks, partial files and the status."""
    for path in _files_to_copy(source):
        name = os.path.relpath(path, source)
        goal = os.path.join(target, name)
        Path(goal).parent.mkdir(parents=True, exist_ok=True)
        if name in replacements:
            write_atomically(goal, replacements[name])
            continue
        with replacing(goal) as partial:
            shutil.copyfile(path, partial)


def _files_to_copy(directory: str) -> Iterator[str]:
    for folder, _, names in os.walk(directory):
        for name in names:
            if not (
                name == STATUS_NAME or name.endswith(".lock") or ".lock-" in name or PARTIAL_MARK in name
            ):
                yield os.path.join(folder, name)
