"""Verbs and groups of verbs; a verb is found by the name of its module.

``verbs/bug_report.py`` holds the verb ``bug-report`` as its `command`, and so does the package of a group
that is a folder. The help of a verb and shell completion import it, so the functions import slow modules
themselves (a test checks that).
"""

from __future__ import annotations

import os
import pkgutil
import sys
from collections.abc import Callable, Iterator, MutableMapping
from importlib import import_module
from typing import Any

import click

from ...shared.errors import BlockmillError
from ..formatting import exit_codes
from ..formatting.output import StdoutFailed, complain, give_up

JOBS, SERVICE, VOLUMES, MACHINE = "Jobs", "Service", "Volumes", "Machine"
SECTIONS = (JOBS, SERVICE, VOLUMES, MACHINE)
"""The headings under which the command's help lists verbs."""


class Command(click.Command):
    """A command whose function returns the exit code; its errors become a message and an exit code."""

    def __init__(self, *args: Any, section: str = "", **options: Any) -> None:
        super().__init__(*args, **options)
        self.section = section

    def invoke(self, ctx: click.Context) -> None:
        try:
            _check_proc()
            code = super().invoke(ctx)
        except BlockmillError as error:
            complain(f"blockmill: {error}")
            code = exit_codes.exit_code_of(error)
        except KeyboardInterrupt:
            if "socket" not in ctx.params:
                raise
            complain("interrupted; the job, if there is one, goes on")
            code = exit_codes.INTERRUPTED
        except StdoutFailed as error:
            code = _lost_output(error)
        except BrokenPipeError:  # of other prints than ours
            give_up(sys.stdout)
            code = 0
        except OSError as error:  # of a path that nobody has expected to be refused
            from ...shared.files.refusals import in_words  # late: the command's help needs none

            complain(f"blockmill: {in_words(error)}")
            code = exit_codes.FAILED
        except UnicodeEncodeError as error:
            if "surrogates not allowed" not in error.reason:
                raise
            complain(f"blockmill: a name that is not UTF-8 can't be used here: {error.object!r}")
            code = exit_codes.FAILED
        ctx.exit(code or 0)


def _check_proc() -> None:
    if sys.platform == "linux" and not os.path.exists("/proc/self/stat"):  # noqa: PTH110
        raise BlockmillError("/proc is not mounted, and blockmill needs it: mount -t proc proc /proc")


def _lost_output(error: StdoutFailed) -> int:
    """Exit code of a verb whose output can't be printed; a reader that has enough is no failure."""
    if error.reader_ended:
        return 0
    complain(f"blockmill: {error}")
    return exit_codes.FAILED


class Verb(Command):
    """One verb: a function with its options, which returns the exit code."""


class Group(Command, click.Group):
    """Verbs below a verb.

    Parameters
    ----------
    package : str, optional
        Name of the package in which each module is a verb of this group.
    section : str, optional
        Its heading in the command's help.
    """

    command_class = Verb

    def __init__(self, *args: Any, package: str | None = None, **options: Any) -> None:
        super().__init__(*args, **options)
        self.is_folder = package is not None
        if package is not None:
            self.commands = _VerbModules(package)


class _VerbModules(MutableMapping[str, click.Command]):
    """The verbs of a package by name; the module of a verb is imported at its first use."""

    def __init__(self, package: str) -> None:
        modules = pkgutil.iter_modules(import_module(package).__path__)
        self._package = package
        names = (module.name.replace("_", "-") for module in modules)
        self._commands: dict[str, click.Command | None] = dict.fromkeys(names)

    def __getitem__(self, name: str) -> click.Command:
        command = self._commands[name]
        if command is None:
            command = import_module(f"{self._package}.{name.replace('-', '_')}").command
            command.name = name
            self._commands[name] = command
        return command

    def __setitem__(self, name: str, command: click.Command) -> None:
        self._commands[name] = command

    def __delitem__(self, name: str) -> None:
        del self._commands[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._commands)

    def __len__(self) -> int:
        return len(self._commands)


def verb(section: str = "", **options: Any) -> Callable[[Callable[..., int]], Verb]:
    """Make a function a verb.

    Parameters
    ----------
    section : str
        Heading of the verb in the command's help.
    **options
        Of ``click.command``.

    Returns
    -------
    callable
        The decorator.
    """
    return click.command(cls=Verb, section=section, **options)


def group(section: str, **options: Any) -> Callable[[Callable[..., int | None]], Group]:
    """Make a function a group of verbs.

    Parameters
    ----------
    section : str
        Heading of the group in the command's help.
    **options
        Of `Group` and ``click.group``.

    Returns
    -------
    callable
        The decorator.
    """
    return click.group(cls=Group, section=section, **options)
