"""HDF5 filters that HDF5 itself does not have: they come from the hdf5plugin package."""

from __future__ import annotations

from collections.abc import Iterator

import h5py

from ...errors import StorageError
from .opening import open_to_read
from .sources import candidates

# Lower numbers are HDF5's own.
_FIRST_FOREIGN = 256
# Files don't always say the name of a filter; these numbers are registered.
_NAMES = {
    307: "bzip2",
    32001: "blosc",
    32004: "lz4",
    32008: "bitshuffle",
    32013: "zfp",
    32015: "zstd",
    32017: "sz",
    32024: "sz3",
    32026: "blosc2",
}


def make_filters_known(plist: h5py.h5p.PropDCID) -> None:
    """Load the filters of a dataset that HDF5 lacks, from the hdf5plugin package.

    Raises
    ------
    StorageError
        With the filter that is missing, and the package that has it.
    """
    if (missing := missing_filter(plist)) is not None:
        raise StorageError(missing)


def missing_filter(plist: h5py.h5p.PropDCID) -> str | None:
    """Load the filters of a dataset that HDF5 lacks; a sentence about the first one that is missing.

    A dataset can be read without a filter that none of its chunks was put through.
    """
    for code, label in _foreign_filters(plist):
        if not _is_available(code):
            return (
                f"it is packed by the HDF5 filter {code} ({label}), which is not installed; "
                "'pip install blockmill[compression]' installs the usual ones, with the package hdf5plugin"
            )
    return None


def packed_by(dataset: h5py.Dataset) -> str:
    """A clause with the foreign filters of a dataset, for the error of a chunk that can't be unpacked."""
    labels = [f"{code} ({label})" for code, label in _foreign_filters(dataset.id.get_create_plist())]
    return f"; it is packed by the HDF5 filter {', '.join(labels)}" if labels else ""


def _foreign_filters(plist: h5py.h5p.PropDCID) -> Iterator[tuple[int, str]]:
    """Number and name of each filter that HDF5 itself does not have."""
    for index in range(plist.get_nfilters()):
        code, _flags, _values, name = plist.get_filter(index)
        if code >= _FIRST_FOREIGN:
            yield code, _NAMES.get(code) or name.decode(errors="replace") or "unnamed"


def missing_filter_behind(dataset: h5py.Dataset) -> str | None:
    """A sentence about the first missing filter of a dataset or, if it is virtual, of its sources.

    Sources that can't be opened are left out.
    """
    if (missing := missing_filter(dataset.id.get_create_plist())) is not None or not dataset.is_virtual:
        return missing
    for path, name in {(source.file_name, source.dset_name) for source in dataset.virtual_sources()}:
        for file_path in candidates(dataset.file.filename, path):
            try:
                with open_to_read(file_path) as file:
                    found = file.get(name)
                    missing = missing_filter_behind(found) if isinstance(found, h5py.Dataset) else None
            except (OSError, RuntimeError):
                continue
            if missing is not None:
                return f"{file_path}: {missing}"
    return None


def _is_available(code: int) -> bool:
    if h5py.h5z.filter_avail(code):
        return True
    try:
        import hdf5plugin as _  # noqa: F401 - late, and for its effect: it takes a tenth of a second
    except ImportError:
        return False
    return h5py.h5z.filter_avail(code)
