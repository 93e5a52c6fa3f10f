"""CURVE keys as files: a pair of one's own, and public ones of others.

The files have the format of ZeroMQ's certificates; a secret key is readable by its owner alone.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

import zmq
import zmq.auth

from ..errors import BlockmillError
from ..files.atomic import write_atomically
from .locations import config_dirs

SERVICE, CLIENT = "service", "client"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_Z85 = re.compile(r"[0-9a-zA-Z.\-:+=^!/*?&<>()\[\]{}@%$#]{40}")


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A public key of a file, with the account that it is allowed for (empty: none)."""

    name: str
    key: str
    account: str = ""


def default_folder() -> Path:
    """The usual folder of keys: ``keys`` in the last of the configuration folders."""
    return config_dirs()[-1] / "keys"


def checked_name(name: str) -> str:
    """A name that can be a file's.

    Raises
    ------
    BlockmillError
    """
    if not _NAME.fullmatch(name):
        raise BlockmillError(f"{name!r} can't be the name of a key; use letters, digits and . _ @ -")
    return name


def new_pair(folder: Path, name: str) -> Path:
    """Make a pair of keys, ``NAME.key`` and ``NAME.key_secret``.

    Parameters
    ----------
    folder : Path
        Made if need be.
    name : str
        NAME in the files' names.

    Returns
    -------
    Path
        The public key's file.

    Raises
    ------
    BlockmillError
        If there is one already: replacing it would lock out whoever relies on it.
    """
    public, secret = folder / f"{checked_name(name)}.key", folder / f"{name}.key_secret"
    for path in (public, secret):
        if path.exists():
            raise BlockmillError(f"{path} exists; remove it first if it is to be replaced")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        before = os.umask(0o077)
        try:
            zmq.auth.create_certificates(folder, name)
        finally:
            os.umask(before)
        public.chmod(0o644)
    except OSError as error:
        raise BlockmillError(f"no key could be made in {folder}: {error.strerror}") from error
    return public


def load_pair(path: Path) -> tuple[bytes, bytes]:
    """Public and secret key from a ``.key_secret`` file.

    Raises
    ------
    BlockmillError
        If there is none, or others than its owner may read it.
    """
    public, secret = _load(path)
    if secret is None or path.suffix != ".key_secret":
        raise BlockmillError(f"{path} holds no secret key; name the file that ends in .key_secret")
    if (mode := path.stat().st_mode) & 0o077:
        raise BlockmillError(f"{path} may be read by others (mode {mode & 0o777:o}); run: chmod 600 {path}")
    return public, secret


def _load(path: Path) -> tuple[bytes, bytes | None]:
    if not path.exists():
        raise BlockmillError(f"there is no key {path}; make one with: blockmill keys new")
    try:
        return zmq.auth.load_certificate(path)
    except (OSError, ValueError) as error:
        raise BlockmillError(f"{path} is no key: {error}") from error


def public_key(text: str) -> str:
    """The public key that a person names: its 40 characters, or a file that holds it.

    Raises
    ------
    BlockmillError
    """
    if _Z85.fullmatch(text) and not Path(text).exists():
        return text
    return _load(Path(text).expanduser())[0].decode()


def write_public(folder: Path, entry: PublicKey) -> Path:
    """Write a public key to ``NAME.key``; an older one of that name is replaced in one step.

    Parameters
    ----------
    folder : Path
        Made if need be.
    entry : PublicKey
        Its name is NAME.

    Returns
    -------
    Path
        The file.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / f"{checked_name(entry.name)}.key"
    meta = f'metadata\n    account = "{entry.account}"\n' if entry.account else "metadata\n"
    write_atomically(str(path), f'{meta}curve\n    public-key = "{entry.key}"\n'.encode())
    return path


def read_public(folder: Path) -> list[PublicKey]:
    """All public keys in a folder, by name; none where there is no folder.

    Raises
    ------
    BlockmillError
        If one can't be read.
    """
    entries = []
    for path in sorted(folder.glob("*.key")):
        key = _load(path)[0].decode()
        account = re.search(r'^\s+account = "([^"\n]*)"$', path.read_text(), re.MULTILINE)
        entries.append(PublicKey(path.stem, key, account[1] if account else ""))
    return entries
