"""``blockmill bug-report``: packs the facts that help to find a fault into one file."""

from __future__ import annotations

import time
from pathlib import Path

import click

from ....shared.units import format_size
from ...formatting.output import complain, say
from .. import options
from ..groups import MACHINE, verb


@verb(MACHINE, short_help="Pack what others need to find a fault.")
@click.option(
    "-o", "--output", metavar="FILE", help="Default: blockmill-report-DATE-TIME.tar.gz, here; must not exist."
)
@options.socket
def command(output: str | None, socket: str | None) -> int:
    """Pack what others need to find a fault: doctor, configuration, versions, messages, states of jobs.

    Voxels, job files, keys and tokens stay out of it.
    """
    from ...doctor.report import gather, write

    path = Path(output or time.strftime("blockmill-report-%Y%m%d-%H%M%S.tar.gz"))
    files = gather(socket)
    write(files, path)
    say(str(path))
    for name, content in files.items():
        say(f"  {name}  {format_size(len(content))}")
    complain(
        "keys, tokens and passwords are taken out as far as they can be told; look into it before you send it"
    )
    return 0
