"""``blockmill volume info``: properties of a volume."""

from __future__ import annotations

import click

from .....shared.errors import BlockmillError
from ....formatting.exit_codes import BAD_FILE
from ....formatting.output import complain, say, say_json
from ... import options
from ...groups import VOLUMES, verb


@verb(VOLUMES)
@click.argument("address", type=options.FILE)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def command(address: str, as_json: bool) -> int:
    """Say what a volume is: shape, element type, axes, blocks."""
    from .....shared.volumes.formats import open_volume

    try:
        volume = open_volume(address)
    except BlockmillError as error:
        complain(f"blockmill: {error}")
        return BAD_FILE
    facts = {
        "address": address,
        "shape": volume.shape,
        "dtype": str(volume.dtype),
        "axes": volume.axes,
        "block_shape": volume.block_shape,
    }
    volume.close()
    if as_json:
        say_json(**facts)
    else:
        for key, value in facts.items():
            if value is not None:
                say(f"{key:12} {list(value) if isinstance(value, tuple) else value}")
    return 0
