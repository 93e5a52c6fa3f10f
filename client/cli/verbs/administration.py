"""The verbs of whoever runs the service: their options, and where each is carried out.

What a verb needs is imported when it runs.
"""

from __future__ import annotations

import sys
from typing import Any

import click

_json = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")


@click.group()
def config() -> None:
    """The configuration of the service: what counts, what is wrong, what there is."""


_file = click.argument("file", required=False, type=click.Path(readable=False))


@config.command("show")
@_file
@click.option("--origin", is_flag=True, help="Where each key was set.")
@_json
def config_show(file: str | None, **options: Any) -> None:
    """Show the configuration as a service started now would take it, or that of one file."""
    from . import config as configuration

    sys.exit(configuration.show(file, **options))


@config.command("check")
@_file
@_json
def config_check(file: str | None, **options: Any) -> None:
    """Check all configuration files, or one; exit code 5 where something is wrong."""
    from . import config as configuration

    sys.exit(configuration.check(file, **options))


@config.command("schema")
@click.option("--job", is_flag=True, help="Of job files.")
def config_schema(job: bool) -> None:
    """Print the JSON Schema of configuration files, for editors."""
    from . import config as configuration

    sys.exit(configuration.schema(job))


_keys_folder = click.option("--folder", metavar="DIR", help="Default: tcp.keys of the configuration.")


@click.group()
def keys() -> None:
    """Keys with which clients and services on a network prove who they are."""


@keys.command("new")
@click.argument("name", default="client")
@_keys_folder
def keys_new(name: str, **options: Any) -> None:
    """Make a pair of keys: "client" (the default), or "service" for a service."""
    from . import keys

    sys.exit(keys.new(name, **options))


@keys.command("list")
@_keys_folder
@_json
def keys_list(**options: Any) -> None:
    """List own keys, those of clients that may come in, and those of known services."""
    from . import keys

    sys.exit(keys.show(**options))


@keys.command("allow")
@click.argument("key", metavar="FILE|KEY")
@click.option("--account", required=True, help="Whose jobs the client's are: an account of this machine.")
@click.option("--name", help="What to call the key; default: as the account.")
@_keys_folder
def keys_allow(key: str, **options: Any) -> None:
    """Let whoever has a key in; counts at once."""
    from . import keys

    sys.exit(keys.allow(key, **options))


@keys.command("revoke")
@click.argument("name")
@_keys_folder
def keys_revoke(name: str, **options: Any) -> None:
    """Let a key in no more; counts at once, for open connections too."""
    from . import keys

    sys.exit(keys.revoke(name, **options))


@keys.command("trust")
@click.argument("key", metavar="FILE|KEY")
@click.option("--host", required=True, help="The service's host, as in tcp://HOST:PORT.")
@_keys_folder
def keys_trust(key: str, **options: Any) -> None:
    """Know a service on another machine by its public key."""
    from . import keys

    sys.exit(keys.trust(key, **options))


@click.group()
def service() -> None:
    """Units of systemd: install and remove them."""


_user = click.option("--user/--system", default=True, help="Your own service, or the machine's.")
_root = click.option("--root", default="/", metavar="DIR", help="Write below this folder, as packagers do.")


@service.command("install")
@_user
@_root
@click.option("--command", metavar="PATH", help="What the units start; default: this very command.")
def service_install(**options: Any) -> None:
    """Write the units, and say how to start them."""
    from . import units

    sys.exit(units.install(**options))


@service.command("uninstall")
@_user
@_root
def service_uninstall(**options: Any) -> None:
    """Stop the service and remove its units; its state and configuration stay."""
    from . import units

    sys.exit(units.uninstall(**options))


_socket = click.option("--socket", metavar="PATH", help="Socket of the service; default: as everywhere.")


@click.command()
@click.argument("paths", metavar="[PATH...]", nargs=-1, type=click.Path(readable=False))
@_socket
@_json
def doctor(paths: tuple[str, ...], **options: Any) -> None:
    """Look for what is wrong with machine, installation and service; 1 where something fails.

    Name folders in which jobs will write, and they are looked at, too.
    """
    from . import doctor as healing

    sys.exit(healing.doctor(paths, **options))


@click.command("bug-report")
@click.option(
    "-o", "--output", metavar="FILE", help="Default: blockmill-report-DATE-TIME.tar.gz, here; must not exist."
)
@_socket
def bug_report(output: str | None, **options: Any) -> None:
    """Pack what others need to find a fault: doctor, configuration, versions, messages, states of jobs.

    Voxels, job files, keys and tokens stay out of it.
    """
    from . import doctor as healing

    sys.exit(healing.bug_report(output, **options))


_HOW_TO_COMPLETE = """\b
bash: blockmill completions bash > ~/.local/share/bash-completion/completions/blockmill
zsh:  blockmill completions zsh > DIR/_blockmill, where DIR is in $fpath
fish: blockmill completions fish > ~/.config/fish/completions/blockmill.fish"""


@click.command(epilog=_HOW_TO_COMPLETE)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completions(context: click.Context, shell: str) -> None:
    """Print the script with which a shell completes verbs, options, files and numbers of jobs."""
    from .. import completions_of_jobs as completing

    sys.exit(completing.script(shell, context.find_root().command))


@click.command()
@click.option(
    "-o",
    "--output",
    default="man",
    show_default=True,
    metavar="DIR",
    help="Such as ~/.local/share/man, or /usr/local/share/man for all.",
)
@click.pass_context
def man(context: click.Context, output: str) -> None:
    """Write the manual pages: of each verb, of configuration and job files, of the service."""
    from . import man as manual

    root = context.find_root().command
    assert isinstance(root, click.Group)
    sys.exit(manual.write(root, output))


def register(group: click.Group) -> None:
    """Add these verbs to the command."""
    for command in (config, keys, service, doctor, bug_report, completions, man):
        group.add_command(command)
