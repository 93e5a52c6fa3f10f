"""``blockmill volume info``: properties of a volume."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from .....shared.errors import BlockmillError
from ....formatting.exit_codes import BAD_FILE
from ....formatting.output import complain, say, say_json
from ... import options
from ...groups import VOLUMES, verb

if TYPE_CHECKING:
    from .....shared.volumes.base.info import Meaning


@verb(VOLUMES)
@click.argument("address", type=options.FILE)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def command(address: str, as_json: bool) -> int:
    """Say what a volume is: shape, dtype, axes, blocks, voxel size."""
    from .....shared.volumes.base.info import meaning_of
    from .....shared.volumes.registry import open_volume

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
    meaning = meaning_of(volume)
    volume.close()
    if as_json:
        say_json(**facts, **_meant(meaning))
        return 0
    for key, value in {**facts, **_meant(meaning)}.items():
        if value is not None and key != "axes_guessed":
            say(f"{key:12} {list(value) if isinstance(value, tuple) else value}{_remark(key, meaning)}")
    return 0


def _meant(meaning: Meaning) -> dict[str, object]:
    return {
        "axes_guessed": meaning.guessed,
        "voxel_size": meaning.voxel_size,
        "units": meaning.units,
        "origin": meaning.origin,
        "drange": meaning.drange,
    }


def _remark(key: str, meaning: Meaning) -> str:
    return " (a guess: the file does not say)" if key == "axes" and meaning.guessed else ""
