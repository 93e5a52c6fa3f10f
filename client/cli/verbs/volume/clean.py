"""``blockmill volume clean``: removes the leftovers of dead runs beside an output."""

from __future__ import annotations

import click

from ....formatting.output import complain, say, say_json
from ... import options
from ...groups import VOLUMES, verb


@verb(VOLUMES, short_help="Remove what dead runs have left of an output.")
@click.argument("address", type=options.FILE)
@click.option("--unfinished", is_flag=True, help="Also what an unfinished run has merged into one file.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def command(address: str, unfinished: bool, as_json: bool) -> int:
    """Remove what dead runs have left of an output: locks, partial files, records of what is gone.

    Voxels that a later run would go on with stay, and so does all that is not blockmill's. An output
    that a run is writing is refused.
    """
    from .....daemon.runs.outputs.cleaning import clean
    from .....shared.volumes.registry import split_address

    done = clean(split_address(address), unfinished=unfinished)
    if as_json:
        say_json(address=address, removed=done.removed, kept=done.kept)
        return 0
    for path in done.removed:
        say(f"removed {path}")
    for reason in done.kept:
        complain(f"kept: {reason}")
    if not done.removed:
        say(f"{address}: nothing to remove")
    return 0
