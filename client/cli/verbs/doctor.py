"""``blockmill doctor``: checks machine, installation and service."""

from __future__ import annotations

import click

from ...formatting.exit_codes import FAILED
from ...formatting.output import say, say_json, use_colour
from .. import options
from ..groups import MACHINE, verb


@verb(MACHINE, short_help="Look for what is wrong with machine and service.")
@click.argument("paths", metavar="[PATH...]", nargs=-1, type=options.FILE)
@options.socket
@options.as_json
def command(paths: tuple[str, ...], socket: str | None, as_json: bool) -> int:
    """Look for what is wrong with machine, installation and service; 1 where something fails.

    Name folders in which jobs will write, and they are looked at, too.
    """
    from ...doctor.examine import examine
    from ...doctor.finding import as_lines

    findings = examine(paths, socket)
    failed = any(finding.level == "fail" for finding in findings)
    if as_json:
        say_json(ok=not failed, findings=findings)
    else:
        say("\n".join(as_lines(findings, colour=use_colour())))
    return FAILED if failed else 0
