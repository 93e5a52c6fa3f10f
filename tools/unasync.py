"""Make the client for threads from the one for asyncio: without async and await, with other names.

python tools/unasync.py           write the files
python tools/unasync.py --check   say which of them are not as they should be; exit code 1 then
"""

from __future__ import annotations

import io
import itertools
import keyword
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

FOLDER = Path(__file__).parent.parent / "client" / "service"
FILES = {
    "async_caller.py": "caller.py",
    "async_client.py": "client.py",
    "async_connection.py": "connection.py",
}
NAMES = {
    "AsyncClient": "Client",
    "AsyncConnection": "Connection",
    "AsyncCaller": "Caller",
    "AsyncIterator": "Iterator",
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
    "async_caller": "caller",
    "async_connection": "connection",
    "asyncio": "time",  # which has a `sleep`, too
    "close_async_socket": "close_socket",
    "open_async_socket": "open_socket",
}
TEXTS = {
    "for asyncio; `Client` is the same for threads": "for threads; `AsyncClient` is the same for asyncio",
    "socket, for asyncio": "socket, for threads",
    "are kept, for asyncio": "are kept, for threads",
    "for one task at a time": "for one thread at a time",
    "    Its methods are coroutines and asynchronous iterators.\n\n": "",
    "Tasks may share one": "Threads may share one",
    "import asyncio\n": "",
    "AsyncIterator, Iterable, Mapping, Sequence": "Iterable, Iterator, Mapping, Sequence",
    "import TYPE_CHECKING, cast": "import cast",
    "if TYPE_CHECKING:\n    import zmq.asyncio\n\n": "",
    "for line in log_part.lines:\n                yield line": "yield from log_part.lines",
}
"""Texts to replace, before the tokens are."""


def unasync(text: str, name: str) -> str:
    """Convert the source of a module for asyncio into that for threads.

    Parameters
    ----------
    text : str
        Source of the module for asyncio.
    name : str
        Of that module's file, for the first line.

    Returns
    -------
    str
    """
    for old, new in TEXTS.items():
        text = text.replace(old, new)
    return f"# Made by tools/unasync.py from {name}: change that file, then run `make unasync`.\n" + "".join(
        _pieces(text)
    )


def _pieces(text: str) -> Iterator[str]:
    """Yield the text in pieces, with tokens that only asyncio needs dropped and names replaced."""
    starts = [0, *itertools.accumulate(map(len, text.splitlines(keepends=True)))]
    tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
    dropped = _dropped([token.string for token in tokens])
    end = 0
    for i, token in enumerate(tokens):
        begin = starts[token.start[0] - 1] + token.start[1]
        yield text[end:begin]
        end = starts[token.end[0] - 1] + token.end[1]
        if i not in dropped:
            yield NAMES.get(token.string, token.string) if token.type == tokenize.NAME else token.string
        elif token.string in ("async", "await"):
            end += 1  # the blank behind it


def _dropped(words: list[str]) -> set[int]:
    """Indices of the tokens to drop: async, await and parentheses around it, `.asyncio`."""
    dropped = set()
    for i, word in enumerate(words):
        if word in ("async", "await"):
            dropped.add(i)
        before = words[i - 2]
        called = before in (")", "]") or (before.isidentifier() and not keyword.iskeyword(before))
        if word == "await" and words[i - 1] == "(" and not called:
            dropped |= {i - 1, _closing(words, i - 1)}
        if word == "asyncio" and words[i - 1] == ".":
            dropped |= {i - 1, i}
    return dropped


def _closing(words: list[str], opening: int) -> int:
    depth = 0
    for i in range(opening, len(words)):
        depth += (words[i] == "(") - (words[i] == ")")
        if depth == 0:
            return i
    raise ValueError("a parenthesis is not closed")


def main() -> int:
    """Write or check all files; return the exit code."""
    check, code = "--check" in sys.argv[1:], 0
    for source, target in FILES.items():
        path = FOLDER / target
        text = unasync((FOLDER / source).read_text(), source)
        if not check:
            path.write_text(text)
        elif path.read_text() != text:
            print(f"{path} is not what {source} gives: change {source}, then run `make unasync`")
            code = 1
    return code


if __name__ == "__main__":
    sys.exit(main())
