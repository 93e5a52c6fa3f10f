"""``blockmill man``: the manual pages."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from ....shared.errors import Refused
from ...formatting.output import complain, say
from ..groups import MACHINE, verb


@verb(MACHINE, short_help="Write the manual pages.")
@click.option(
    "-o",
    "--output",
    default="man",
    show_default=True,
    metavar="DIR",
    help="Such as ~/.local/share/man, or /usr/local/share/man for all.",
)
@click.pass_context
def command(context: click.Context, output: str) -> int:
    """Write the manual pages: of each verb, of configuration and job files, of the service."""
    from ...manpages.pages import pages

    root = context.find_root().command
    assert isinstance(root, click.Group)
    for page in pages(root):
        path = Path(output) / page.file
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(str(page), encoding="ascii")
        except OSError as error:
            raise Refused(f"{path} can't be written: {error.strerror}; give another --output") from error
        say(str(path))
    complain(f"read them with: man -M {shlex.quote(str(Path(output).absolute()))} blockmill")
    return 0
