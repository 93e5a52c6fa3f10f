"""The command line: one name, one verb per thing that a person wants.

Each verb is a module of its name in ``verbs``, with its options and what it does. Its exit code is one of
`exit_codes`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import click

from ... import __version__
from ..formatting.exit_codes import INTERRUPTED
from .groups import SECTIONS, Deed, Group

_FIRST = ("run", "submit", "ls", "status", "watch", "logs", "wait", "serve", "workers", "top")
"""Verbs that newcomers look for come first under their heading, the others by name."""

_EPILOG = """\b
To begin:
  blockmill volume create cells.json
  blockmill run job.yaml      where job.yaml holds
                              {input: cells.json, output: smooth.json, operation: {gaussian: {sigma: 1.5}}}

All about one verb: blockmill VERB --help"""


class _Command(Group):
    """The command itself: its help lists verbs by what they are for."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        found: dict[str, list[tuple[str, click.Command]]] = {section: [] for section in SECTIONS}
        for name in sorted(self.commands, key=_place):
            command = self.commands[name]
            assert isinstance(command, Deed)
            found[command.section] += _lines_of(name, command)
        width = max(len(name) for lines in found.values() for name, _ in lines)
        for section, lines in found.items():
            with formatter.section(section):
                most = formatter.width - 6 - width
                formatter.write_dl([(name.ljust(width), c.get_short_help_str(most)) for name, c in lines])


def _place(name: str) -> tuple[int, str]:
    return (_FIRST.index(name) if name in _FIRST else len(_FIRST)), name


def _lines_of(name: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    """A verb as a line of the help; a folder of verbs as a line for each of them."""
    if isinstance(command, Group) and command.is_folder:
        for inner, below in sorted(command.commands.items()):
            yield f"{name} {inner}", below
    else:
        yield name, command


@click.group(
    cls=_Command,
    package=f"{__package__}.verbs",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=_EPILOG,
)
@click.version_option(__version__, "-V", "--version", prog_name="blockmill")
def cli() -> None:
    """Take volumes of any size through a step, block by block, over worker processes."""


def main() -> None:
    """Entry point of ``blockmill``: errors of usage as click tells them, Ctrl-C always as 130."""
    try:
        sys.exit(cli.main(prog_name="blockmill", standalone_mode=False))
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        print("interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)
