"""``blockmill volume export``: a part of a fileset, as one HDF5 file or as a smaller fileset."""

from __future__ import annotations

from typing import Literal

import click

from ....formatting.exit_codes import FAILED
from ....formatting.output import complain, say
from ...groups import VOLUMES, verb


@verb(VOLUMES, short_help="Write a part of a blockwise fileset into a directory.")
@click.argument("address")
@click.argument("roi")
@click.argument("directory")
@click.option(
    "--format",
    "form",
    type=click.Choice(["single-hdf5", "blockwise-subset"]),
    default="single-hdf5",
    show_default=True,
    help="One file, or copies of whole blocks with a description.",
)
@click.option(
    "--coordinates",
    type=click.Choice(["absolute", "view"]),
    default="view",
    show_default=True,
    help="Whether ROI counts from the origin on disk or of the view.",
)
def command(
    address: str,
    roi: str,
    directory: str,
    form: Literal["single-hdf5", "blockwise-subset"],
    coordinates: Literal["absolute", "view"],
) -> int:
    """Write ROI, such as "[(0, 0, 0), (64, 64, 64)]", of a blockwise fileset into DIRECTORY."""
    from .....shared.lazyflow.roistrings import parse_roi
    from .....shared.volumes.blockwise.fileset import BlockwiseFileset
    from .....shared.volumes.registry import split_address

    absolute = coordinates == "absolute"
    with BlockwiseFileset(split_address(address).file) as fileset:
        if form == "single-hdf5":
            say(str(fileset.export_roi(parse_roi(roi), directory, absolute=absolute)))
            return 0
        subset = fileset.export_subset(parse_roi(roi), directory, absolute=absolute)
    say(str(subset.description))
    for start in subset.missing:
        complain(f"block {list(start)} is not available and was left out")
    return FAILED if subset.missing else 0
