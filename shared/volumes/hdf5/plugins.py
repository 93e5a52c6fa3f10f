"""HDF5 filters that HDF5 itself does not have: they come from the hdf5plugin package."""

from __future__ import annotations

import h5py

from ...errors import StorageError

# Lower numbers are HDF5's own.
_FIRST_FOREIGN = 256


def make_filters_known(plist: h5py.h5p.PropDCID) -> None:
    """Load the filters of a dataset that HDF5 lacks, from the hdf5plugin package.

    Raises
    ------
    StorageError
        With the filter that is missing, and the package that has it.
    """
    for index in range(plist.get_nfilters()):
        code, _flags, _values, name = plist.get_filter(index)
        if code >= _FIRST_FOREIGN and not _is_available(code):
            label = name.decode(errors="replace") or "unnamed"
            raise StorageError(
                f"it is packed by the HDF5 filter {code} ({label}), which is not installed; "
                "'pip install blockmill[compression]' installs the usual ones"
            )


def _is_available(code: int) -> bool:
    if h5py.h5z.filter_avail(code):
        return True
    try:
        import hdf5plugin as _  # noqa: F401 - late, and for its effect: it takes a tenth of a second
    except ImportError:
        return False
    return h5py.h5z.filter_avail(code)
