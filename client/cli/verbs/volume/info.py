"""The verb ``volume info``: what a volume is, in a few lines."""

from __future__ import annotations

import sys

from .....shared.errors import BlockmillError
from .....shared.volumes.formats import open_volume
from ....formatting import exit_codes as exitcodes
from ....formatting.document import document


def show_info(address: str, as_json: bool) -> int:
    """Print what the volume at `address` is; the exit code of the command."""
    try:
        volume = open_volume(address)
    except BlockmillError as error:
        print(f"blockmill: {error}", file=sys.stderr)
        return exitcodes.BAD_FILE
    facts = {
        "address": address,
        "shape": volume.shape,
        "dtype": str(volume.dtype),
        "axes": volume.axes,
        "block_shape": volume.block_shape,
    }
    volume.close()
    if as_json:
        print(document(**facts))
    else:
        for key, value in facts.items():
            print(f"{key:12} {list(value) if isinstance(value, tuple) else value}")
    return 0
