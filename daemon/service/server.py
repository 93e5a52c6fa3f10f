"""The service: one process that takes requests over a unix socket and runs jobs, for months.

The main thread serves clients and keeps the table of jobs; the engine's thread feeds the workers; each
running job has a thread that merges. So a slow merge never keeps a client waiting.
"""

from __future__ import annotations

import contextlib
import logging
import signal
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from types import FrameType
from typing import Any, cast

from ...shared.errors import BlockmillError, Refused, WireError
from ...shared.locking.candidates import remove_dead_candidates
from ...shared.locking.filelock import FileLock
from ...shared.messages import service as p
from ...shared.version import __version__, is_older
from ..engine.mailbox import Mailbox
from .clients.long_polls import LongPolls
from .logging_setup import LIMIT
from .queue import JobQueue
from .requests import Held, Later, RequestHandler, refusal
from .settings import Settings
from .sockets import Peer, Sockets
from .systemd import Systemd, inherited_sockets

_TICK_MS = 100
_MOST_HELD = 10_000
_MOST_HELD_OF_CONNECTION = 100
_log = logging.getLogger(__name__)


def serve(settings: Settings, reload: Callable[[], Settings] | None = None) -> int:
    """Run a service until it is asked to end.

    The first SIGTERM or SIGINT lets running blocks end, a second one ends them. Jobs that have not
    ended go on when a service is started on the same state again. SIGHUP reads the configuration again.

    Parameters
    ----------
    settings : Settings
    reload : callable, optional
        Reads the configuration and returns new settings.

    Returns
    -------
    int
        Exit code of the process.

    Raises
    ------
    Refused
        If another service has this state or listens at this socket.
    StorageError
        If the journal can't be used.
    """
    settings.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    settings.socket.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (
        _exclusive(settings.state_dir / "service", f"the state in {settings.state_dir}"),
        _exclusive(settings.socket, f"the socket {settings.socket}"),
    ):
        Service(settings, reload).run()
    return 0


class Service:
    """The sockets, the signals and the clock of a service."""

    def __init__(self, settings: Settings, reload: Callable[[], Settings] | None = None) -> None:
        self._settings = settings
        self._read_settings = reload or (lambda: settings)
        self._systemd = Systemd()
        self._mailbox = Mailbox()
        self._stops = 0
        self._reload_wanted = False
        self._long_polls: LongPolls[tuple[Peer, int, Held]] = LongPolls(_MOST_HELD, _MOST_HELD_OF_CONNECTION)

    def run(self) -> None:
        """Serve until asked to end."""
        with _signals(self._on_signal) as wake:
            self._sockets = Sockets(self._settings, inherited_sockets())
            try:
                self._work(JobQueue(self._settings, self._mailbox), wake)
            finally:
                self._sockets.close()
        _log.info("service ended")

    def _work(self, queue: JobQueue, wake: socket.socket) -> None:
        self._handler = RequestHandler(queue)
        settings = self._settings
        _log.info(
            "service ready: socket %s, state %s, %d workers",
            *(settings.socket, settings.state_dir, queue.keeper.workers),
        )
        try:
            self._serve(queue, wake)
        finally:
            self._systemd.stopping()
            queue.close()

    def _on_signal(self, signum: int, frame: FrameType | None) -> None:
        if signum == signal.SIGHUP:
            self._reload_wanted = True
        else:
            self._stops += 1

    def _serve(self, queue: JobQueue, wake: socket.socket) -> None:
        for descriptor in (self._mailbox.fileno(), wake.fileno()):
            self._sockets.register(descriptor)
        self._systemd.ready()
        while True:
            self._sockets.wait(_TICK_MS)
            with contextlib.suppress(BlockingIOError):
                wake.recv(64)
            self._take_calls()
            for verb, *args in self._mailbox.take():
                if verb == "answer":
                    peer, number, make = args
                    self._send(peer, number, make())
                else:
                    queue.handle_news(verb, *args)
            if self._stops and not queue.keeper.draining:
                _log.info("draining: running blocks end; a second signal ends them now")
                queue.keeper.drain(True)
            if self._reload_wanted:
                self._reload(queue)
            queue.turn()
            self._answer_held()
            for text, count in LIMIT.left_out():
                _log.info("%d more messages like this one were left out of the log: %s", count, text)
            if queue.keeper.responsive:  # else the watchdog restarts the service
                self._systemd.turn(time.monotonic(), queue.status_line())
            if self._stops > 1 or (self._stops and queue.keeper.quiet):
                return

    def _reload(self, queue: JobQueue) -> None:
        """Apply a changed configuration; one with a mistake changes nothing."""
        self._reload_wanted = False
        self._systemd.reloading()
        try:
            delayed = queue.reconfigure(self._read_settings())
        except BlockmillError as error:
            _log.error("the configuration is not taken up: %s", error)
        else:
            note = f"; {', '.join(delayed)} count from the next start on" if delayed else ""
            _log.info("the configuration was read again%s", note)
        self._systemd.ready()

    # -- clients --------------------------------------------------------------------

    def _take_calls(self) -> None:
        for peer, frames in self._sockets.calls():
            if len(frames) == 1:
                self._take_call(peer, frames[0])
            else:
                self._send(peer, 0, p.Refusal(kind="protocol", message="a call is one frame"))

    def _take_call(self, peer: Peer, data: bytes) -> None:
        try:
            call = p.decode_call(data)
        except p.OtherVersion as error:
            self._refuse(peer, error.number, error, error.software)
        except WireError as error:
            _log.warning("nonsense from a client: %s", error)
            self._refuse(peer, 0, error, error.software if isinstance(error, p.NotUnderstood) else "")
        else:
            self._reply(peer, call.number, self._handler.handle(call.request, peer.uid))

    def _refuse(self, peer: Peer, number: int, error: WireError, client: str) -> None:
        """Refuse a call that can't be read; where its client is of another version, say which is older."""
        text = str(error)
        if is_older(__version__, client):
            text = (
                f"the service is of version {__version__}, older than this client, {client}, and does not "
                "understand its request: start the service again, its jobs go on"
            )
        elif client and is_older(client, __version__):
            text = (
                f"this client is of version {client}, older than the service, {__version__}, which does not "
                "take its request any more: upgrade the client"
            )
        self._send(peer, number, p.Refusal(kind="protocol", message=text))

    def _reply(self, peer: Peer, number: int, answer: p.Reply | Later | Held) -> None:
        match answer:
            case Later():
                answer.future.add_done_callback(
                    lambda future: self._mailbox.put("answer", peer, number, _reply_maker(future, answer))
                )
            case Held():
                if not self._long_polls.add(
                    peer.uid, (id(peer.listener), peer.route), (peer, number, answer)
                ):
                    text = "too many of your calls wait for news already; end some of them"
                    self._send(peer, number, p.Refusal(kind="refused", message=text))
            case _:
                self._send(peer, number, answer)

    def _answer_held(self) -> None:
        now_s = time.monotonic()

        def try_answer(call: tuple[Peer, int, Held]) -> bool:
            peer, number, held = call
            try:
                reply = held.news(now_s >= held.until_s)
            except BlockmillError as error:
                reply = refusal(error)
            if reply is not None:
                self._send(peer, number, reply)
            return reply is not None

        self._long_polls.take(try_answer)

    def _send(self, peer: Peer, number: int, reply: p.Reply) -> None:
        self._sockets.send(peer, p.encode(p.Answer.of(number, cast("p.AnyReply", reply))))


def _reply_maker(future: Future[Any], later: Later) -> Callable[[], p.Reply]:
    """A function that makes the reply in the service's thread, once the journal's future is done."""

    def make() -> p.Reply:
        try:
            if (error := future.exception()) is None:
                return later.reply(future.result())
            later.undo()
        except BlockmillError as gone:  # such as a job that was removed meanwhile
            error = gone
        return refusal(error)

    return make


@contextlib.contextmanager
def _exclusive(path: Path, description: str) -> Iterator[None]:
    """Hold the lock of a file, so that no other service uses it."""
    lock = FileLock(str(path), private=True)
    if not lock.acquire(blocking=False):
        holder = lock.holder()
        owner = holder.describe() if holder is not None else "it has just ended"
        raise Refused(f"another service has {description} ({owner}); end it first, or give other places")
    remove_dead_candidates(lock.lock_path)
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def _signals(handler: Any) -> Iterator[socket.socket]:
    """Have SIGTERM, SIGINT and SIGHUP call `handler` and make the yielded socket readable."""
    receiver, sender = socket.socketpair()
    receiver.setblocking(False)
    sender.setblocking(False)
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    with receiver, sender:
        wake_before = signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
        before = {number: signal.signal(number, handler) for number in numbers}
        try:
            yield receiver
        finally:
            for number, old in before.items():
                signal.signal(number, old)
            signal.set_wakeup_fd(wake_before)
