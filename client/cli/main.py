"""The entry point of the command line.

Each verb is a module of its name in ``verbs``, with its options and its function. Its exit code is one of
`exit_codes`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import click

from ... import __version__
from ...shared.files.refusals import in_words
from ..formatting.exit_codes import FAILED, INTERRUPTED
from ..formatting.output import complain, give_up
from .groups import SECTIONS, Command, Group

_FIRST = ("run", "submit", "ls", "status", "watch", "logs", "wait", "serve", "workers", "top")
"""Verbs that newcomers look for come first under their heading, the others by name."""

_EPILOG = """\b
To begin:
  blockmill volume create cells.json
  blockmill run job.yaml      where job.yaml holds
                              {input: cells.json, output: smooth.json, operation: {gaussian: {sigma: 1.5}}}

All about one verb: blockmill VERB --help"""


class _RootGroup(Group):
    """The command itself; its help lists verbs under headings."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        lines_by_section: dict[str, list[tuple[str, click.Command]]] = {section: [] for section in SECTIONS}
        for name in sorted(self.commands, key=_sort_key):
            command = self.commands[name]
            assert isinstance(command, Command)
            lines_by_section[command.section] += _lines_of(name, command)
        width = max(len(name) for lines in lines_by_section.values() for name, _ in lines)
        for section, lines in lines_by_section.items():
            with formatter.section(section):
                limit = formatter.width - 6 - width
                formatter.write_dl([(name.ljust(width), c.get_short_help_str(limit)) for name, c in lines])


def _sort_key(name: str) -> tuple[int, str]:
    return (_FIRST.index(name) if name in _FIRST else len(_FIRST)), name


def _lines_of(name: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    """Yield the line of a verb in the help; for a folder of verbs, a line for each of them."""
    if isinstance(command, Group) and command.is_folder:
        for inner, below in sorted(command.commands.items()):
            yield f"{name} {inner}", below
    else:
        yield name, command


@click.group(
    cls=_RootGroup,
    package=f"{__package__}.verbs",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=_EPILOG,
)
@click.version_option(__version__, "-V", "--version", prog_name="blockmill")
def cli() -> None:
    """Take volumes of any size through a step, block by block, over worker processes."""


def main() -> None:
    """Entry point of ``blockmill``: click reports wrong usage, Ctrl-C always ends with 130."""
    _occupy_standard_streams()
    try:
        sys.exit(cli.main(prog_name="blockmill", standalone_mode=False))
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        complain("interrupted")
        sys.exit(INTERRUPTED)
    except OSError as error:  # click's own output, such as the help
        give_up(sys.stdout)
        if not isinstance(error, BrokenPipeError):
            complain(f"blockmill: {in_words(error)}")
        sys.exit(FAILED)


def _occupy_standard_streams() -> None:
    """Open the null device where the shell has closed stdin, stdout or stderr.

    Else the next file or socket that is opened would get its number, and what is printed.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
