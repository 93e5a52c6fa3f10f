"""``blockmill keys``: the keys of clients and services on a network."""

from __future__ import annotations

from pathlib import Path

import click

from ....shared.errors import Refused
from ...formatting.output import complain, say, say_json
from ...formatting.table import print_table
from .. import options
from ..groups import SERVICE, group

_folder = click.option("--folder", metavar="DIR", help="Default: tcp.keys of the configuration.")


@group(SERVICE, short_help="Keys of clients and services on a network.")
def command() -> None:
    """Keys with which clients and services on a network prove who they are."""


def _key_folder(option: str | None) -> Path:
    from ....shared.config.keys import default_folder
    from ....shared.config.layers import load_config

    if option is not None:
        return Path(option)
    configured = load_config().config.tcp.keys
    return Path(configured).expanduser() if configured is not None else default_folder()


@command.command("new")
@click.argument("name", default="client")
@_folder
def new(name: str, folder: str | None) -> int:
    """Make a pair of keys: "client" (the default), or "service" for a service."""
    import socket

    from ....shared.config.keys import CLIENT, SERVICE, new_pair

    path = new_pair(_key_folder(folder), name)
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

    own_folder = _key_folder(folder)
    kinds = {"own": own_folder, "client": own_folder / "clients", "service": own_folder / "services"}
    entries = [(kind, entry) for kind, key_folder in kinds.items() for entry in read_public(key_folder)]
    if as_json:
        keys = [
            {"kind": kind, "name": e.name, "key": e.key, "account": e.account or None} for kind, e in entries
        ]
        say_json(folder=str(own_folder), keys=keys)
    elif entries:
        rows = [(kind, entry.name, entry.account or "-", entry.key) for kind, entry in entries]
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
    clients = _key_folder(folder) / "clients"
    for client in read_public(clients):
        if client.key == entry.key and client.name != entry.name:
            raise Refused(f"this key is allowed already, as {client.name}; revoke that first")
    say(str(write_public(clients, entry)))
    return 0


@command.command("revoke")
@click.argument("name")
@_folder
def revoke(name: str, folder: str | None) -> int:
    """Let a key in no more; counts at once, for open connections too."""
    from ....shared.config.keys import checked_name

    path = _key_folder(folder) / "clients" / f"{checked_name(name)}.key"
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

    say(str(write_public(_key_folder(folder) / "services", PublicKey(host, public_key(key)))))
    return 0
