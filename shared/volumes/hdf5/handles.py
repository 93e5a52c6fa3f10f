"""Datasets that a program has open in h5py: the address by which workers open them themselves."""

from __future__ import annotations

import fcntl
import os

import h5py

from ...errors import JobError, StorageError
from ...files.places import absolute
from ...files.refusals import refusal_of

_BY_NAME = {"sec2", "stdio", "direct"}
_IN_MEMORY = {"core", "fileobj"}


def place_of(dataset: h5py.Dataset) -> tuple[str, str] | None:
    """File and path of an open dataset. What the program has written to it is in the file then.

    Parameters
    ----------
    dataset : h5py.Dataset

    Returns
    -------
    (str, str) or None
        The absolute path of the file, and that of the dataset in it; None if no other process can open it:
        it is in memory, or has no name.

    Raises
    ------
    JobError
        If it is closed, or its file is open in a way that keeps other processes out.
    StorageError
        If the system refuses.
    """
    if not dataset:
        raise JobError("the dataset is closed; give the address of the file, as in f.h5/volume/data")
    file, name = dataset.file, dataset.name
    if file.driver in _IN_MEMORY or name is None:
        return None
    path = absolute(os.fsdecode(file.filename))
    where = f"{path}{name}"
    if file.driver not in _BY_NAME:
        raise JobError(f"{where} is open by HDF5's driver {file.driver!r}; workers open files by name alone")
    if file.mode != "r":
        _hand_over(file, where)
    _check_same(file, path, where)
    return path, name.strip("/")


def _hand_over(file: h5py.File, where: str) -> None:
    """Write out what is held back, and refuse a file that others can't open meanwhile."""
    if file.swmr_mode:
        raise JobError(
            f"{where} is being written by this program in SWMR mode; a job reads it with "
            "input: {address: ..., live: true}"
        )
    try:
        file.flush()
        descriptor = os.open(file.filename, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        finally:
            os.close(descriptor)
    except BlockingIOError:
        raise JobError(
            f"{where} is open for writing in this program, which keeps other processes out, the workers "
            "too. Close the file and give its address, open it with mode 'r', or give the voxels: "
            "dataset[...]"
        ) from None
    except OSError as error:
        raise StorageError(refusal_of("read", file.filename, error)) from error


def _check_same(file: h5py.File, path: str, where: str) -> None:
    """Refuse a file whose name leads elsewhere by now, as after a change of the working folder."""
    held = os.fstat(file.id.get_vfd_handle())
    try:
        now = os.stat(path)  # noqa: PTH116
    except OSError as error:
        raise StorageError(refusal_of("read", path, error)) from error
    if (held.st_dev, held.st_ino) != (now.st_dev, now.st_ino):
        raise JobError(
            f"{where} is not the file that the dataset was opened in: it was replaced, or the name was "
            "relative to another folder. Open it again, by an absolute path"
        )
