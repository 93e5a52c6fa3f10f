"""The files behind the voxels of an HDF5 dataset: links, virtual datasets, raw files."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from pathlib import Path

import h5py

from .opening import open_to_read

_UNREADABLE = (OSError, KeyError, ValueError, RuntimeError)


def files_behind(path: str, internal: str) -> list[str]:
    """All files that reading a dataset touches, as far as they can be opened; `path` comes first.

    Parameters
    ----------
    path : str
        The HDF5 file.
    internal : str
        Path of the dataset in it.

    Returns
    -------
    list of str
        The file itself, files that external links lead through, sources of virtual datasets,
        external raw files; each once. A file that can't be opened is named and not looked into.
    """
    visited: dict[tuple[str, str], None] = {}
    queue = [(path, internal)]
    while queue:
        source = queue.pop(0)
        if source not in visited:
            visited[source] = None
            queue += _sources(*source)
    return list(dict.fromkeys(file for file, _ in visited))


def _sources(path: str, internal: str) -> list[tuple[str, str]]:
    """File and dataset of each source; the dataset is empty for raw files."""
    if not internal or not os.path.isfile(path):  # noqa: PTH113 - to open a pipe would wait for ever
        return []
    try:
        with open_to_read(path) as file:
            references = list(_external_links(file, internal))
            dataset = file.get(internal) if not references else None
            if isinstance(dataset, h5py.Dataset):
                references = list(_of_dataset(dataset))
    except _UNREADABLE:
        return []
    return [(file, inside) for name, inside in references for file in candidates(path, name)]


def _external_links(file: h5py.File, internal: str) -> Iterator[tuple[str, str]]:
    """Follow the path of a dataset. Yields each file that it leads into, with the rest of the path."""
    names = internal.strip("/").split("/")
    group: h5py.Group = file
    for index, name in enumerate(names):
        link = group.get(name, getlink=True)
        if isinstance(link, h5py.ExternalLink):
            yield link.filename, "/".join([link.path.rstrip("/"), *names[index + 1 :]])
            return
        if isinstance(link, h5py.SoftLink):
            yield from _external_links(
                file, "/".join([_target(names[:index], link.path), *names[index + 1 :]])
            )
            return
        step = group.get(name)
        if not isinstance(step, h5py.Group):
            return
        group = step


def _target(parents: list[str], path: str) -> str:
    return path if path.startswith("/") else "/".join([*parents, path])


def _of_dataset(dataset: h5py.Dataset) -> Iterator[tuple[str, str]]:
    if dataset.is_virtual:
        yield from ((source.file_name, source.dset_name) for source in dataset.virtual_sources())
    for name, _, _ in dataset.external or ():
        yield name, ""


def candidates(path: str, name: str) -> list[str]:
    """The files that HDF5 may mean by a name in the file at `path`: those that exist, else the likeliest.

    It looks beside the file, as its path is spelled and without links, and in the working folder; of an
    absolute name that is gone it tries the last part. ``%b`` stands for numbers.
    """
    if name == ".":
        return [path]
    folders = [os.path.dirname(path), os.path.dirname(os.path.realpath(path)), os.curdir]
    folders += [folder for key in _PREFIXES for folder in os.environ.get(key, "").split(":") if folder]
    names = dict.fromkeys([name, os.path.basename(name)])
    candidates = [os.path.join(folder, one) for one in names for folder in folders]
    if "%b" in name:
        candidates = [numbered for candidate in candidates for numbered in _numbered(candidate)]
        return list(dict.fromkeys(candidates))
    existing = {os.path.realpath(file): file for file in reversed(candidates) if Path(file).exists()}
    return list(reversed(existing.values())) or candidates[:1]


def _numbered(path: str) -> list[str]:
    return glob.glob(glob.escape(path).replace("%b", "*"))  # noqa: PTH207 - a path as it is spelled


_PREFIXES = ("HDF5_EXT_PREFIX", "HDF5_VDS_PREFIX", "HDF5_EXTFILE_PREFIX")
