"""Processes that check blocks at the same time: one that asks, and some that answer.

A question is a line ``first stop`` with the numbers of blocks, an answer a line of JSON. A child
ends with its standard input, so none outlives its parent.
"""

from __future__ import annotations

import contextlib
import json
import selectors
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from types import TracebackType

from ...shared.errors import StorageError
from .checks import Check, Tally, check_of, tally_of

_LARGEST_BATCH = 16
_BATCHES_PER_WORKER = 4
_POLL_S = 0.1


def tallies(address: str, check: Check, workers: int, poll: Callable[[], None]) -> Iterator[Tally]:
    """The results for all blocks, batch by batch, in the order in which they are known.

    Parameters
    ----------
    address : str
        Of the volume; relative to the working folder.
    check : Check
        Of the same volume, for this process.
    workers : int
        Processes; with 1 it is done in this one.
    poll : callable
        Called several times a second; it may raise to end this.
    """
    blocks = len(check.grid)
    size = max(1, min(_LARGEST_BATCH, blocks // (_BATCHES_PER_WORKER * workers)))
    batches = ((first, min(first + size, blocks)) for first in range(0, blocks, size))
    if workers == 1:
        for batch in batches:
            poll()
            yield tally_of(check, *batch)
        return
    yield from _answers(address, batches, workers, poll)


def _answers(
    address: str, batches: Iterator[tuple[int, int]], workers: int, poll: Callable[[], None]
) -> Iterator[Tally]:
    with contextlib.ExitStack() as stack, selectors.DefaultSelector() as selector:
        for _, batch in zip(range(workers), batches, strict=False):
            checker = stack.enter_context(_Checker(address))
            checker.ask(batch)
            selector.register(checker.answers, selectors.EVENT_READ, checker)
        while selector.get_map():
            poll()
            for key, _ in selector.select(_POLL_S):
                yield key.data.answer()
                if (batch := next(batches, None)) is not None:
                    key.data.ask(batch)
                else:
                    selector.unregister(key.fileobj)


class _Checker:
    """One child process."""

    def __init__(self, address: str) -> None:
        # In a session of its own: the Ctrl-C of a terminal is for the parent to deal with.
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "blockmill.client.verify.check_processes", address],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._questions = self._process.stdin
        self.answers = self._process.stdout

    def ask(self, batch: tuple[int, int]) -> None:
        """Have a batch of blocks checked."""
        with contextlib.suppress(BrokenPipeError):  # noticed by the missing answer
            print(*batch, file=self._questions, flush=True)

    def answer(self) -> Tally:
        """Wait for the result.

        Raises
        ------
        StorageError
            If the process has died.
        """
        line = self.answers.readline()
        if not line:
            raise StorageError(f"a checking process ended early, with exit code {self._process.wait()}")
        return Tally(**json.loads(line))

    def __enter__(self) -> _Checker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()  # it only reads
        self._process.wait()
        with contextlib.suppress(BrokenPipeError):
            self._questions.close()
        self.answers.close()


def serve(address: str) -> None:
    """Answer until nothing more is asked."""
    check = check_of(address)
    for line in sys.stdin:
        first, stop = map(int, line.split())
        print(json.dumps(asdict(tally_of(check, first, stop))), flush=True)


if __name__ == "__main__":
    serve(sys.argv[1])
