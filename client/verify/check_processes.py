"""Child processes that check blocks in parallel.

A request is a line ``first stop`` with the numbers of blocks, a reply is a line of JSON. A child
ends when its standard input closes, so none outlives its parent.
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

_MAX_BATCH_BLOCKS = 16
_BATCHES_PER_WORKER = 4
_POLL_S = 0.1


def tallies(address: str, check: Check, workers: int, poll: Callable[[], None]) -> Iterator[Tally]:
    """Check all blocks, batch by batch; results come in the order in which batches finish.

    Parameters
    ----------
    address : str
        Of the volume; relative to the working folder.
    check : Check
        Of the same volume, for checks in this process.
    workers : int
        Number of processes; 1 checks in this process.
    poll : callable
        Called several times a second; it may raise to end the check.

    Yields
    ------
    Tally
        Of one batch.

    Raises
    ------
    StorageError
        If a process dies.
    """
    blocks = len(check.grid)
    size = max(1, min(_MAX_BATCH_BLOCKS, blocks // (_BATCHES_PER_WORKER * workers)))
    batches = ((first, min(first + size, blocks)) for first in range(0, blocks, size))
    if workers == 1:
        for batch in batches:
            poll()
            yield tally_of(check, *batch)
        return
    yield from _replies(address, batches, workers, poll)


def _replies(
    address: str, batches: Iterator[tuple[int, int]], workers: int, poll: Callable[[], None]
) -> Iterator[Tally]:
    with contextlib.ExitStack() as stack, selectors.DefaultSelector() as selector:
        for _, batch in zip(range(workers), batches, strict=False):
            checker = stack.enter_context(_Checker(address))
            checker.send(batch)
            selector.register(checker.replies, selectors.EVENT_READ, checker)
        while selector.get_map():
            poll()
            for key, _ in selector.select(_POLL_S):
                yield key.data.receive()
                if (batch := next(batches, None)) is not None:
                    key.data.send(batch)
                else:
                    selector.unregister(key.fileobj)


class _Checker:
    """One child process."""

    def __init__(self, address: str) -> None:
        # A new session (setsid): a terminal's Ctrl-C reaches the parent alone, which deals with it.
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "blockmill.client.verify.check_processes", address],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._requests = self._process.stdin
        self.replies = self._process.stdout

    def send(self, batch: tuple[int, int]) -> None:
        """Request the check of a batch: number of its first block, and that behind its last."""
        with contextlib.suppress(BrokenPipeError):  # noticed by the missing reply
            print(*batch, file=self._requests, flush=True)

    def receive(self) -> Tally:
        """Wait for the result.

        Raises
        ------
        StorageError
            If the process has died.
        """
        line = self.replies.readline()
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
            self._requests.close()
        self.replies.close()


def serve(address: str) -> None:
    """Check batches until standard input closes."""
    check = check_of(address)
    for line in sys.stdin:
        first, stop = map(int, line.split())
        print(json.dumps(asdict(tally_of(check, first, stop))), flush=True)


if __name__ == "__main__":
    serve(sys.argv[1])
