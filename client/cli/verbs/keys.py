"""The verbs for the keys with which clients and services on a network prove who they are."""

from __future__ import annotations

import socket
from pathlib import Path

from ....shared.config.keys import (
    CLIENT,
    SERVICE,
    PublicKey,
    checked_name,
    default_folder,
    new_pair,
    public_key,
    read_public,
    write_public,
)
from ....shared.config.layers import load_config
from ....shared.errors import Refused
from ....shared.system.impersonation import user_number
from ...formatting.output import complain, print_table, say, say_json, verb


def _folder(given: str | None) -> Path:
    if given is not None:
        return Path(given)
    configured = load_config().config.tcp.keys
    return Path(configured).expanduser() if configured is not None else default_folder()


@verb
def new(name: str, *, folder: str | None) -> int:
    """Make a pair of keys."""
    path = new_pair(_folder(folder), name)
    say(str(path))
    if name == SERVICE:
        complain(
            f"give this file to each client, who runs: blockmill keys trust FILE --host {socket.getfqdn()}"
        )
    elif name == CLIENT:
        complain(f"the service's administrator runs: blockmill keys allow FILE --account {Path.home().name}")
    return 0


@verb
def allow(key: str, *, account: str, name: str | None, folder: str | None) -> int:
    """Let whoever has a key in, as an account of this machine."""
    user_number(account)
    entry = PublicKey(name or account, public_key(key), account)
    clients = _folder(folder) / "clients"
    for known in read_public(clients):
        if known.key == entry.key and known.name != entry.name:
            raise Refused(f"this key is allowed already, as {known.name}; revoke that first")
    say(str(write_public(clients, entry)))
    return 0


@verb
def revoke(name: str, *, folder: str | None) -> int:
    """Let a key in no more; what it has open counts no more, either."""
    path = _folder(folder) / "clients" / f"{checked_name(name)}.key"
    if not path.exists():
        raise Refused(f"there is no key {name} in {path.parent}; see: blockmill keys list")
    path.unlink()
    return 0


@verb
def trust(key: str, *, host: str, folder: str | None) -> int:
    """Know a service on another machine by its key."""
    say(str(write_public(_folder(folder) / "services", PublicKey(host, public_key(key)))))
    return 0


@verb
def show(*, folder: str | None, as_json: bool) -> int:
    """Own keys, clients that may come in, services that are known."""
    place = _folder(folder)
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
