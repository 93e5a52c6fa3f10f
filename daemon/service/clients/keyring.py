"""The service's own key, and the keys of the clients that may connect; changes apply at once."""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path

from ....shared.config.keys import SERVICE, load_pair, read_public
from ....shared.errors import BlockmillError, Refused
from ....shared.system.impersonation import user_number

NOBODY = -1
_log = logging.getLogger(__name__)


class Keyring:
    """Keys in a folder: ``service.key_secret``, and ``clients/NAME.key`` with the account of each.

    libzmq asks from a thread of its own, the service from its main thread.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._clients = folder / "clients"
        self._files: tuple[object, ...] | None = None
        self._keys: dict[str, int] = {}

    def service_keys(self) -> tuple[bytes, bytes]:
        """Public and secret key of the service."""
        return load_pair(self.folder / f"{SERVICE}.key_secret")

    def check(self) -> None:
        """Check that the service has a key, and that at least one client has one.

        Raises
        ------
        Refused
        """
        try:
            self.service_keys()
            client_keys = read_public(self._clients)
        except BlockmillError as error:
            raise Refused(f"tcp.listen needs keys, and so does not start: {error}") from error
        if not client_keys:
            raise Refused(
                f"tcp.listen needs at least one client's key in {self._clients}; "
                "add one with: blockmill keys allow FILE --account NAME"
            )

    def callback(self, domain: str, key: bytes) -> bool:
        """Test if a client with this key may connect; called by pyzmq.

        Parameters
        ----------
        domain : str
            Not used.
        key : bytes
            The client's public key.

        Returns
        -------
        bool
        """
        allowed = self.account_of(key.decode()) != NOBODY
        if not allowed:
            _log.warning("a client with a key that is not allowed was turned away")
        return allowed

    def account_of(self, key: str) -> int:
        """The account for which a key is allowed; `NOBODY` for any other key."""
        return self._accounts().get(key, NOBODY)

    def _accounts(self) -> dict[str, int]:
        try:
            files = _state_of(self._clients)
        except OSError:
            return {}
        if files != self._files:
            self._keys, self._files = self._read(), files
        return self._keys

    def _read(self) -> dict[str, int]:
        """All keys that have an account; a bad file does not affect the others."""
        accounts: dict[str, int] = {}
        try:
            entries = read_public(self._clients)
        except BlockmillError as error:
            _log.error("no key is allowed while one can't be read: %s", error)
            return accounts
        for entry in entries:
            try:
                accounts[entry.key] = user_number(entry.account)
            except BlockmillError as error:
                _log.error("the key %s is not allowed: %s", entry.name, error)
        return accounts


def _state_of(folder: Path) -> tuple[object, ...]:
    """A value that changes with each file in a folder, also if one is written anew in its place."""
    states: list[tuple[object, ...]] = []
    for path in sorted(folder.iterdir()):
        status = None
        with contextlib.suppress(OSError):  # a link that leads nowhere, or a file that has just gone
            status = path.stat()
        states.append((path.name, status and (status.st_ino, status.st_size, status.st_mtime_ns)))
    return tuple(states)
