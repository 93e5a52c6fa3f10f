"""Secrets for servers: the token of each server, which never appears in a message.

They come from the environment variable ``BLOCKMILL_TOKENS`` or from the file that
``BLOCKMILL_TOKENS_FILE`` names: one ``host[:port] token`` a line, ``#`` begins a comment. A token
is bound to its server, so a description from elsewhere can't send it to another.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from urllib.parse import urlsplit

from ...errors import ConfigError

VARIABLE = "BLOCKMILL_TOKENS"
FILE_VARIABLE = "BLOCKMILL_TOKENS_FILE"


def token_for(url: str) -> str | None:
    """The token for the server of an address, or None if there is none.

    Raises
    ------
    ConfigError
        If the file can't be read or others may read it, or a line is no ``host token``.
    """
    parts = urlsplit(url)
    hosts = {parts.hostname or "", f"{parts.hostname}:{parts.port}" if parts.port else ""}
    for where, text in _sources():
        for number, line in enumerate(text.splitlines(), 1):
            words = line.partition("#")[0].split()
            if words and len(words) != 2:
                raise ConfigError(f"{where}, line {number}: expected 'host[:port] token'")
            if words and words[0].lower() in hosts:
                return words[1]
    return None


def _sources() -> list[tuple[str, str]]:
    sources: list[tuple[str, str]] = []
    if text := os.environ.get(VARIABLE):
        sources.append((VARIABLE, text))
    if path := os.environ.get(FILE_VARIABLE):
        sources.append((path, _private_text(path)))
    return sources


def _private_text(path: str) -> str:
    try:
        mode = Path(path).stat().st_mode
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise ConfigError(f"{path}: others may read or change the tokens in it; run chmod 600 {path}")
        return Path(path).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}, named by {FILE_VARIABLE}, can't be read: {error}") from error
