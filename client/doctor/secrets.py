"""Removes secrets from text that leaves the machine.

In two ways: values that are known to be secret here are removed wherever they occur (keys, tokens,
variables with telling names), and so is any text in a position where secrets occur (addresses with
passwords or queries, ``Authorization``, keys and options with telling names).
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

HIDDEN = "[removed]"
_SHORTEST = 4  # shorter secrets would remove ordinary words, too
_TELLING = r"(?:secret|token|passw|passphrase|credential|api_?key|private|auth|cookie|bearer)"
_NAME = re.compile(_TELLING, re.IGNORECASE)
_VALUE = r"""(?:\[[^\]]*\]|"[^"\n]*"|'[^'\n]*'|[^\s,}\]]+)"""
_SCHEME = r"(\b[a-z][a-z0-9+.-]{0,20}://"
_PATTERNS = (  # names are bounded: a line may be long
    (rf"{_SCHEME})[^/@\s\"']+@", rf"\1{HIDDEN}@"),
    (rf"{_SCHEME}[^?#\s\"']*)[?#][^\s\"']*", rf"\1?{HIDDEN}"),
    (r"\b(Bearer|Basic)\s+[^\s\"',;]+", rf"\1 {HIDDEN}"),
    (rf"({_TELLING}[\w.-]{{0,40}}[\"']?\s*[:=]\s*){_VALUE}", rf'\1"{HIDDEN}"'),
    (rf"(--[\w-]{{0,40}}{_TELLING}[\w-]{{0,40}}\s+)\S+", rf"\1{HIDDEN}"),
)
_RELEVANT = re.compile(
    r"BLOCKMILL\w*|XDG_\w+_(HOME|DIR)|\w+_DIRECTORY|HDF5_\w+|\w+_NUM_THREADS|LANG|LC_\w+|TZ|TMPDIR|PYTHON\w+"
)


class Scrubber:
    """Removes known secrets, and text that looks like one.

    Parameters
    ----------
    folders : iterable of Path
        Folders in which ``*.key_secret`` files may lie.
    environ : mapping, optional
        Default: the environment of the process.
    """

    def __init__(self, folders: Iterable[Path], environ: Mapping[str, str] | None = None) -> None:
        self._environ = os.environ if environ is None else environ
        secrets = {*_secrets_of_variables(self._environ), *_secrets_of_keys(folders, self._environ)}
        spellings = secrets | {json.dumps(secret)[1:-1] for secret in secrets}
        self._secrets = sorted((s for s in spellings if len(s) >= _SHORTEST), key=len, reverse=True)

    def __call__(self, text: str) -> str:
        """Return `text` without secrets."""
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        for pattern, replacement in _PATTERNS:
            text = re.sub(pattern, replacement, text, flags=re.IGNORECASE)
        return text

    def environment(self) -> dict[str, str]:
        """Environment variables that matter to blockmill; those with telling names without their values."""
        variables = {
            name: value for name, value in sorted(self._environ.items()) if _RELEVANT.fullmatch(name)
        }
        return {name: HIDDEN if _NAME.search(name) else self(value) for name, value in variables.items()}


def _secrets_of_variables(environ: Mapping[str, str]) -> Iterator[str]:
    for name, value in environ.items():
        if _NAME.search(name):
            yield value
            yield from _secrets_of_tokens(value)
    if path := environ.get("BLOCKMILL_TOKENS_FILE"):
        yield from _secrets_of_tokens(_text(Path(path)))


def _secrets_of_tokens(text: str) -> Iterator[str]:
    """Yield the tokens of lines ``host token``."""
    for line in text.splitlines():
        yield from line.split()[1:]


def _secrets_of_keys(folders: Iterable[Path], environ: Mapping[str, str]) -> Iterator[str]:
    files = [path for folder in folders for path in folder.glob("*.key_secret")]
    if own := environ.get("BLOCKMILL_KEY"):
        files.append(Path(own))
    for path in files:
        yield from re.findall(r'secret-key\s*=\s*"([^"\n]+)"', _text(path))


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""  # a file that can't be read can't be in the report either
