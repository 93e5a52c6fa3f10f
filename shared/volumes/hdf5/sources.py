"""The files behind the voxels of an HDF5 dataset: links, virtual datasets, raw files."""

from __future__ import annotations

import os
from collections.abc import Iterator

import h5py

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
    found: dict[tuple[str, str], None] = {}
    to_see = [(path, internal)]
    while to_see:
        one = to_see.pop(0)
        if one not in found:
            found[one] = None
            to_see += _sources(*one)
    return list(dict.fromkeys(file for file, _ in found))


def _sources(path: str, internal: str) -> list[tuple[str, str]]:
    """File and dataset of each source; the dataset is empty for raw files."""
    if not internal or not os.path.isfile(path):  # noqa: PTH113 - to open a pipe would wait for ever
        return []
    try:
        with h5py.File(path, "r") as file:
            linked = [(_beside(path, name), rest) for name, rest in _external_links(file, internal)]
            dataset = file.get(internal) if not linked else None
            found = list(_of_dataset(dataset)) if isinstance(dataset, h5py.Dataset) else []
    except _UNREADABLE:
        return []
    return linked or [
        (path if name == "." else _beside(path, str(name)), str(inside)) for name, inside in found
    ]


def _external_links(file: h5py.File, internal: str) -> Iterator[tuple[str, str]]:
    """Follow the path of a dataset; yields each file that it leads into, with the rest of the path."""
    parts = internal.strip("/").split("/")
    group: h5py.Group = file
    for index, part in enumerate(parts):
        link = group.get(part, getlink=True)
        if isinstance(link, h5py.ExternalLink):
            yield link.filename, "/".join([link.path.rstrip("/"), *parts[index + 1 :]])
            return
        if isinstance(link, h5py.SoftLink):
            yield from _external_links(
                file, "/".join([_target(parts[:index], link.path), *parts[index + 1 :]])
            )
            return
        step = group.get(part)
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


def _beside(path: str, name: str) -> str:
    """A file that HDF5 looks for beside the one that names it."""
    return os.path.join(os.path.dirname(path), name)
