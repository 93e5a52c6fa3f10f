"""The verb ``volume export``: a part of a fileset, as one HDF5 file or as a smaller fileset."""

from __future__ import annotations

import sys
from typing import Literal

from .....shared.errors import BlockmillError
from .....shared.lazyflow.roistrings import parse_roi
from .....shared.volumes.blockwise.fileset import BlockwiseFileset
from .....shared.volumes.formats import split_address
from ....formatting import exit_codes as exitcodes

Form = Literal["single-hdf5", "blockwise-subset"]


def export_volume(address: str, roi: str, directory: str, form: Form, absolute: bool) -> int:
    """Write what `roi` names into `directory`, and print where; the exit code of the command.

    It is 1 also where blocks of a subset were missing.
    """
    try:
        with BlockwiseFileset(split_address(address).file) as fileset:
            if form == "single-hdf5":
                print(fileset.export_roi(parse_roi(roi), directory, absolute=absolute))
                return 0
            subset = fileset.export_subset(parse_roi(roi), directory, absolute=absolute)
    except BlockmillError as error:
        print(f"blockmill: {error}", file=sys.stderr)
        return exitcodes.exit_code_of(error)
    print(subset.description)
    for start in subset.missing:
        print(f"block {list(start)} is not available and was left out", file=sys.stderr)
    return exitcodes.FAILED if subset.missing else 0
