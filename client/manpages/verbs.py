"""Pages of section 1, one a verb, from its help and options; and that of the service, in section 8."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from ... import __version__
from .roff import Page

_EXIT_CODES = (
    ("0", "fine"),
    ("1", "the job failed, was cancelled, or is done with failures; or a check failed"),
    ("2", "wrong usage"),
    ("3", "no such job"),
    ("4", "no service answers"),
    ("5", "a wrong job or configuration file"),
    ("6", "refused"),
    ("7", "the time that was given to wait is over"),
    ("130", "ended by Ctrl-C"),
)
_ENVIRONMENT = (
    ("BLOCKMILL_SOCKET", "Socket of the service, or tcp://HOST:PORT; --socket goes before it."),
    ("BLOCKMILL__A__B", "Sets the key a.b of the configuration; see blockmill-config(5)."),
    ("BLOCKMILL_KEY, BLOCKMILL_SERVICE_KEY", "Files of one's own key and of the service's, for TCP."),
    ("BLOCKMILL_COLOR, NO_COLOR", "always, auto or never; anything: no colours."),
    ("STATE_DIRECTORY, RUNTIME_DIRECTORY, CONFIGURATION_DIRECTORY", "Folders of a unit, before those below."),
    ("XDG_STATE_HOME, XDG_RUNTIME_DIR, XDG_CONFIG_HOME", "Base folders of state, socket and configuration."),
)
_SIGNALS = (
    (
        "SIGTERM, SIGINT",
        "Let running blocks end, start no more, then end; a second one ends all at once.",
    ),
    ("SIGHUP", "Read the configuration again, and take over what may change while the service runs."),
)
_SEE_ALSO = "blockmill(1), blockmill-config(5), blockmill-job(5), blockmill(8)"


def verb_pages(cli: click.Group) -> Iterator[Page]:
    """The page of the command, and one of each verb and the verbs below it."""
    context = click.Context(cli, info_name="blockmill")
    page = _page(context)
    _environment(page)
    _end(page)
    yield page
    yield from _below(context, cli)


def service_page(cli: click.Group) -> Page:
    """The page about the service for administrators."""
    serve = cli.commands["serve"]
    page = Page("blockmill", 8, "service that takes volumes through steps, block by block", __version__)
    _synopsis(page, click.Context(serve, info_name="serve", parent=click.Context(cli, info_name="blockmill")))
    page.heading("DESCRIPTION")
    page.text(
        "The service takes jobs over a unix socket, or over TCP from clients with keys, and works on them "
        "with worker processes. Each job is in its journal before it is accepted; after whatever end, the "
        "next start goes on with each job where it stopped."
    )
    _options(page, click.Context(serve, info_name="serve"))
    page.heading("SIGNALS")
    for name, text in _SIGNALS:
        page.item(name, text)
    _environment(page)
    page.heading("FILES")
    for name, text in (
        ("/etc/blockmill/config.yaml, /etc/blockmill/conf.d/*.yaml", "Configuration of the machine."),
        ("~/.config/blockmill/config.yaml", "Configuration of one person."),
        (
            "~/.local/state/blockmill, /var/lib/blockmill",
            "Journal and logs: of a person, of the machine.",
        ),
        ("/run/blockmill/service.sock", "Socket of the machine's service."),
    ):
        page.item(name, text)
    page.heading("UNITS")
    page.text(
        "blockmill service install writes units of systemd for one's own service; with --system "
        "blockmill.service, for all members of the group blockmill, and blockmill@USER.service. "
        "blockmill doctor looks for what is wrong."
    )
    _end(page)
    return page


def _below(context: click.Context, group: click.Group) -> Iterator[Page]:
    for name, command in sorted(group.commands.items()):
        inner = click.Context(command, info_name=name, parent=context)
        page = _page(inner)
        _end(page)
        yield page
        if isinstance(command, click.Group):
            yield from _below(inner, command)


def _page(context: click.Context) -> Page:
    command = context.command
    page = Page(context.command_path.replace(" ", "-"), 1, _about(command).rstrip("."), __version__)
    _synopsis(page, context)
    page.heading("DESCRIPTION")
    page.text(command.help or "")
    if isinstance(command, click.Group):
        page.heading("VERBS")
        for name, verb in sorted(command.commands.items()):
            page.item(name, _about(verb))
    _options(page, context)
    if command.epilog:
        page.heading("EXAMPLES")
        page.text(command.epilog)
    return page


def _about(command: click.Command) -> str:
    """The first sentence of a verb's help, which may be longer than its short help."""
    paragraph = " ".join((command.help or "").partition("\n\n")[0].split())
    return f"{paragraph.partition('. ')[0].rstrip('.')}."


def _synopsis(page: Page, context: click.Context) -> None:
    page.heading("SYNOPSIS")
    pieces = context.command.collect_usage_pieces(context)
    page.text(f"{context.command_path} {' '.join(pieces)}")


def _options(page: Page, context: click.Context) -> None:
    page.heading("OPTIONS")
    for parameter in context.command.get_params(context):
        entry: Any = parameter.get_help_record(context)
        if entry is not None:
            page.item(*entry)


def _environment(page: Page) -> None:
    page.heading("ENVIRONMENT")
    for name, text in _ENVIRONMENT:
        page.item(name, text)


def _end(page: Page) -> None:
    page.heading("EXIT STATUS")
    for code, text in _EXIT_CODES:
        page.item(code, text)
    page.heading("SEE ALSO")
    page.text(_SEE_ALSO)
