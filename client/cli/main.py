"""The entry point of the command line.

Each verb is a module of its name in ``verbs``, with its options and its function. Its exit code is one of
`exit_codes`.
"""

from __future__ import annotations

import os
import sys

import click

from ... import __version__
from ..formatting.exit_codes import FAILED, INTERRUPTED
from ..formatting.output import complain, give_up
from .groups import SECTIONS, Group
from .summaries import SUMMARIES

_FIRST = ("run", "submit", "ls", "status", "watch", "logs", "wait", "serve", "workers", "top")
"""Verbs that newcomers look for come first under their heading, the others by name."""

_EPILOG = """\b
To begin:
  blockmill volume create cells.json
  blockmill run job.yaml      where job.yaml holds
                              {input: cells.json, output: smooth.json, operation: {gaussian: {sigma: 1.5}}}

All about one verb: blockmill VERB --help"""


_MEANT = {
    "add": "submit",
    "clean": "rm",
    "delete": "rm",
    "follow": "watch",
    "info": "status JOB, or volume info",
    "jobs": "ls",
    "kill": "cancel",
    "list": "ls",
    "log": "logs",
    "remove": "rm",
    "restart": "retry",
    "show": "status",
    "start": "serve",
    "stop": "cancel",
    "view": "volume view",
}
"""What people type who are used to other programs."""


class _RootGroup(Group):
    """The command itself; its help lists verbs under headings."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in self.commands and (meant := _MEANT.get(args[0])):
            raise click.UsageError(f"No such command '{args[0]}'. Did you mean {meant}?", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List verbs from the table that is made of them, because to import them all takes time."""
        lines: dict[str, list[tuple[str, str]]] = {section: [] for section in SECTIONS}
        width = max(map(len, SUMMARIES))
        for words in sorted(SUMMARIES, key=_sort_key):
            section, summary = SUMMARIES[words]
            lines[section].append((words.ljust(width), summary))
        for section in SECTIONS:
            with formatter.section(section):
                formatter.write_dl(lines[section])


def _sort_key(words: str) -> tuple[int, str]:
    return (_FIRST.index(words) if words in _FIRST else len(_FIRST)), words


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
        from ...shared.files.refusals import in_words  # late: the help needs none

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
