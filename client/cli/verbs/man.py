"""The verb that writes the manual pages."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from ....shared.errors import Refused
from ...formatting.output import complain, say, verb
from ...manpages.files import config_page, job_page
from ...manpages.roff import Page
from ...manpages.verbs import service_page, verb_pages


def pages(cli: click.Group) -> list[Page]:
    """All pages that there are."""
    return [*verb_pages(cli), config_page(), job_page(), service_page(cli)]


@verb
def write(cli: click.Group, output: str) -> int:
    """Write them below a folder, as man(1) wants them; each path goes to stdout."""
    for page in pages(cli):
        path = Path(output) / page.file
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(str(page), encoding="ascii")
        except OSError as error:
            raise Refused(f"{path} can't be written: {error.strerror}; give another --output") from error
        say(str(path))
    complain(f"read them with: man -M {shlex.quote(str(Path(output).absolute()))} blockmill")
    return 0
