"""``blockmill keys``: with which clients and services on a network prove who they are."""

from __future__ import annotations

from pathlib import Path

import click

from ....shared.errors import Refused
from ...formatting.output import complain, print_table, say, say_json
from .. import options
from ..groups import SERVICE, group

_folder = click.option("--folder", metavar="DIR", help="Default: tcp.keys of the configuration.")


@group(SERVICE, short_help="Keys of clients and services on a network.")
def command() -> None:
    """Keys with which clients and services on a network prove who they are."""


def _folder_of(given: str | None) -> Path:
    from ....shared.config.keys import default_folder
    from ....shared.config.layers import load_config

    if given is not None:
        return Path(given)
    configured = load_config().config.tcp.keys
    return Path(configured).expanduser() if configured is not None else default_folder()


@command.command("new")
@click.argument("name", default="client")
@_folder
def new(name: str, folder: str | None) -> int:
    """Make a pair of keys: "client" (the default), or "service" for a service."""
    import socket

    from ....shared.config.keys import CLIENT, SERVICE, new_pair

    path = new_pair(_folder_of(folder), name)
    say(str(path))
    if name == SERVICE:
        complain(
            f"give this file to each client, who runs: blockmill keys trust FILE --host {socket.getfqdn()}"
        )
    elif name == CLIENT:
        complain(f"the service's administrator runs: blockmill keys allow FILE --account {Path.home().name}")
    return 0


@command.command("list")
@_folder
@options.as_json
def list_keys(folder: str | None, as_json: bool) -> int:
    """List own keys, those of clients that may come in, and those of known services."""
    from ....shared.config.keys import read_public

    place = _folder_of(folder)
    kinds = {"own": place, "client": place / "clients", "service": place / "services"}
    found = [(kind, entry) for kind, where in kinds.items() for entry in read_public(where)]
    if as_json:
        keys = [
            {"kind": kind, "name": e.name, "key": e.key, "account": e.account or None} for kind, e in found
        ]
        say_json(folder=str(place), keys=keys)
    elif found:
        rows = [(kind, entry.name, entry.account or "-", entry.key) for kind, entry in found]
        print_table(("KIND", "NAME", "ACCOUNT", "KEY"), rows)
    return 0


@command.command("allow")
@click.argument("key", metavar="FILE|KEY")
@click.option("--account", required=True, help="Whose jobs the client's are: an account of this machine.")
@click.option("--name", help="What to call the key; default: as the account.")
@_folder
def allow(key: str, account: str, name: str | None, folder: str | None) -> int:
    """Let whoever has a key in; counts at once."""
    from ....shared.config.keys import PublicKey, public_key, read_public, write_public
    from ....shared.system.impersonation import user_number

    user_number(account)
    entry = PublicKey(name or account, public_key(key), account)
    clients = _folder_of(folder) / "clients"
    for known in read_public(clients):
        if known.key == entry.key and known.name != entry.name:
            raise Refused(f"this key is allowed already, as {known.name}; revoke that first")
    say(str(write_public(clients, entry)))
    return 0


@command.command("revoke")
@click.argument("name")
@_folder
def revoke(name: str, folder: str | None) -> int:
    """Let a key in no more; counts at once, for open connections too."""
    from ....shared.config.keys import checked_name

    path = _folder_of(folder) / "clients" / f"{checked_name(name)}.key"
    if not path.exists():
        raise Refused(f"there is no key {name} in {path.parent}; see: blockmill keys list")
    path.unlink()
    return 0


@command.command("trust")
@click.argument("key", metavar="FILE|KEY")
@click.option("--host", required=True, help="The service's host, as in tcp://HOST:PORT.")
@_folder
def trust(key: str, host: str, folder: str | None) -> int:
    """Know a service on another machine by its public key."""
    from ....shared.config.keys import PublicKey, public_key, write_public

    say(str(write_public(_folder_of(folder) / "services", PublicKey(host, public_key(key)))))
    return 0
