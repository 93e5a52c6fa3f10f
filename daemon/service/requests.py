"""The service's answers to requests.

Most answers are given at once. One that promises something waits for the journal (`Later`), and the
answer of a long poll is held back until there is news (`Held`).
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar

from ...shared.errors import BlockmillError, JobError, NoSuchJob, Refused
from ...shared.files.refusals import in_words
from ...shared.messages import service as p
from ...shared.outside_text import error_text, message_of
from ...shared.system.impersonation import user_name
from ...shared.version import __version__
from ..journal.records import JobRecord
from .clients.keyring import NOBODY
from .queue import JobQueue

_log = logging.getLogger(__name__)
MOST_WORKERS = 1024


@dataclass(frozen=True, slots=True)
class Later:
    """An answer that waits for the journal; `undo` is called if the journal can't be written."""

    future: Future[Any]
    reply: Callable[[Any], p.Reply]
    undo: Callable[[], None] = lambda: None


@dataclass(frozen=True, slots=True)
class Held:
    """An answer that waits for news, until the monotonic time `until_s` at the latest.

    `news` returns None while there is nothing new; called with True it always returns a reply.
    """

    until_s: float
    news: Callable[[bool], p.Reply | None]


_MOST_REFUSAL_CHARACTERS = 64_000
_MOST_ROWS = 1 << 31
_Q = TypeVar("_Q", bound=p.Request[Any])
_R = TypeVar("_R", bound=p.Reply | Later | Held)
_HANDLERS: dict[type[p.Request[Any]], Callable[[RequestHandler, Any, int], p.Reply | Later | Held]] = {}


def handles(kind: type[_Q]) -> Callable[[Callable[[Any, _Q, int], _R]], Callable[[Any, _Q, int], _R]]:
    """Register a method of `RequestHandler` for requests of this class."""

    def register(method: Callable[[Any, _Q, int], _R]) -> Callable[[Any, _Q, int], _R]:
        if kind in _HANDLERS:
            raise TypeError(f"{kind.__name__} has two methods that meet it")
        _HANDLERS[kind] = method
        return method

    return register


class RequestHandler:
    """Answers the requests of clients from the queue of jobs.

    Parameters
    ----------
    queue : JobQueue

    Notes
    -----
    Each method with `handles` takes a request and the caller's user number, `uid`, and returns the answer.
    """

    def __init__(self, queue: JobQueue) -> None:
        self._queue = queue
        self._table = queue.table
        self._started_s = time.time()

    def handle(self, request: p.AnyRequest, uid: int) -> p.Reply | Later | Held:
        """Answer a request; an error becomes a refusal.

        Parameters
        ----------
        request : Request
        uid : int
            The caller's user number.

        Returns
        -------
        Reply, Later or Held
        """
        try:
            if uid == NOBODY and not isinstance(request, p.GetService):
                raise Refused("who you are can't be told; has your key been revoked?")
            return _HANDLERS[type(request)](self, request, uid)
        except Exception as error:  # noqa: BLE001 - one request must not end the service
            return refusal(error)

    # -- the service ----------------------------------------------------------------

    @handles(p.GetService)
    def get_service(self, request: p.GetService, uid: int) -> p.ServiceInfo:
        return self._service()

    def _service(self) -> p.ServiceInfo:
        keeper = self._queue.keeper
        return p.ServiceInfo(
            version=__version__,
            pid=os.getpid(),
            workers=keeper.workers,
            allowed=keeper.engine.view.allowed if keeper.engine is not None else 0,
            started_s=self._started_s,
            draining=keeper.draining,
            quiet=keeper.quiet,
            jobs=len(self._table.active),
            state_dir=str(self._queue.settings.state_dir),
            paused=self._table.paused_all,
        )

    @handles(p.Drain)
    def drain(self, request: p.Drain, uid: int) -> p.ServiceInfo:
        self._queue.rights.check_admin(uid, "drain it")
        self._queue.keeper.drain(True)
        return self._service()

    @handles(p.SetWorkers)
    def set_workers(self, request: p.SetWorkers, uid: int) -> p.ServiceInfo:
        if not 1 <= request.count <= MOST_WORKERS:
            raise Refused(f"{request.count} workers were asked for; give 1 to {MOST_WORKERS}")
        self._queue.rights.check_admin(uid, "set the number of workers")
        self._queue.keeper.set_workers(request.count)
        return self._service()

    @handles(p.ListWorkers)
    def list_workers(self, request: p.ListWorkers, uid: int) -> p.Workers:
        engine = self._queue.keeper.engine
        if engine is None:
            return p.Workers(workers=(), allowed=0)
        return p.Workers(workers=engine.view.workers, allowed=engine.view.allowed)

    # -- jobs -----------------------------------------------------------------------

    @handles(p.SubmitJob)
    def submit(self, request: p.SubmitJob, uid: int) -> Later:
        last_id = self._table.last_id
        number = self._queue.submit(request, uid).info.id
        if number <= last_id:  # it was sent again
            return self._reply_after_save(number)

        def accepted(_: Any) -> p.OneJob:
            self._queue.accept(number)
            return self._one_job(number)

        return Later(self._save(), accepted, lambda: self._queue.withdraw(number))

    def _reply_after_save(self, number: int) -> Later:
        """An answer with the job, given once all changes are on the medium."""
        return Later(self._save(), lambda _: self._one_job(number))

    def _save(self) -> Future[Any]:
        return self._queue.save() or self._queue.journal.flush()

    def _one_job(self, number: int) -> p.OneJob:
        return p.OneJob(job=self._table.get(number).info)

    @handles(p.ListJobs)
    def list_jobs(self, request: p.ListJobs, uid: int) -> p.Jobs:
        return p.Jobs(jobs=tuple(self._table.list(request.states, request.label, request.limit)))

    @handles(p.FindJobs)
    def find_jobs(self, request: p.FindJobs, uid: int) -> p.Jobs:
        return p.Jobs(jobs=tuple(self._table.find(uid, request.name, request.label, ended=request.ended)))

    @handles(p.GetJob)
    def get_job(self, request: p.GetJob, uid: int) -> p.OneJob:
        job_record = self._table.get(request.id)
        if not self._queue.rights.owns(uid, job_record):
            return p.OneJob(job=job_record.info)
        return p.OneJob(job=job_record.info, spec=job_record.spec, file=job_record.file)

    @handles(p.WaitJob)
    def wait(self, request: p.WaitJob, uid: int) -> p.Reply | Held:
        def news(anyway: bool) -> p.OneJob | None:
            info = self._table.get(request.id).info
            return p.OneJob(job=info) if anyway or info.ended or info.seen != request.seen else None

        return self._hold(news, request.wait_s)

    @handles(p.ListFailures)
    def list_failures(self, request: p.ListFailures, uid: int) -> Later:
        self._get_owned(request.id, uid, "see the failed blocks of")
        limit = min(max(request.limit, 0), _MOST_ROWS)
        failures = self._queue.journal.failures(request.id, limit)
        return Later(failures, lambda result: p.Failures(failures=tuple(result[0]), count=result[1]))

    def _get_owned(self, number: int, uid: int, action: str) -> JobRecord:
        """The job of this number, after a check that the user may do `action` to it."""
        job_record = self._table.get(number)
        self._queue.rights.check_owner(uid, job_record, action)
        return job_record

    @handles(p.ReadLog)
    def read_log(self, request: p.ReadLog, uid: int) -> p.Reply | Held:
        self._get_owned(request.id, uid, "read the log of")

        def news(anyway: bool) -> p.LogPart | None:
            ended = self._table.get(request.id).info.ended  # first: its last line is written before
            lines, next_offset = self._queue.logs.of(request.id).read(request.offset)
            if not (lines or ended or anyway):
                return None
            return p.LogPart(lines=tuple(lines), next_offset=next_offset, ended=ended and not lines)

        return self._hold(news, request.wait_s)

    def _hold(self, news: Callable[[bool], p.Reply | None], wait_s: float) -> p.Reply | Held:
        reply = news(not wait_s > 0)  # so that NaN is no wait
        return reply or Held(time.monotonic() + min(wait_s, p.LONGEST_WAIT_S), news)

    @handles(p.CancelJob)
    def cancel(self, request: p.CancelJob, uid: int) -> Later:
        self._get_owned(request.id, uid, "cancel")
        self._queue.cancel(request.id, now=request.now)
        return self._reply_after_save(request.id)

    @handles(p.RetryJob)
    def retry(self, request: p.RetryJob, uid: int) -> Later:
        self._get_owned(request.id, uid, "retry")
        job_record = self._queue.retry(request)
        edited = "" if request.job is None else ", as it was edited"
        self._queue.logs.add_text(job_record.info.id, f"is queued again{edited}")
        return self._reply_after_save(job_record.info.id)

    @handles(p.RemoveJobs)
    def remove(self, request: p.RemoveJobs, uid: int) -> Later:
        for number in request.ids or ():
            self._get_owned(number, uid, "remove")
        job_records = (
            self._table.remove_ended(uid, request.label)
            if request.ids is None
            else self._table.remove(request.ids)
        )

        def removed(_: Any) -> p.Jobs:
            for job_record in job_records:
                self._queue.logs.remove(job_record.info.id)
            return p.Jobs(jobs=tuple(job_record.info for job_record in job_records))

        saved = self._queue.journal.remove(job_record.info.id for job_record in job_records)
        return Later(saved, removed, lambda: self._table.restore(job_records))

    @handles(p.PauseJobs)
    def pause(self, request: p.PauseJobs, uid: int) -> Later:
        return self._set_paused(request.ids, uid, True)

    @handles(p.ResumeJobs)
    def resume(self, request: p.ResumeJobs, uid: int) -> Later:
        return self._set_paused(request.ids, uid, False)

    def _set_paused(self, numbers: tuple[int, ...] | None, uid: int, paused: bool) -> Later:
        verb = "pause" if paused else "resume"
        if numbers is None:
            self._queue.rights.check_admin(uid, f"{verb} all jobs")
        else:
            numbers = tuple(dict.fromkeys(numbers))  # the answer has each once
        for number in numbers or ():
            self._get_owned(number, uid, verb)
        self._queue.pause(numbers, paused, user_name(uid))
        saved = self._save()
        if numbers is None:
            return Later(saved, lambda _: p.Jobs(jobs=tuple(self._table.list((), None, 0))))
        return Later(saved, lambda _: p.Jobs(jobs=tuple(self._table.get(n).info for n in numbers)))

    @handles(p.SetPriority)
    def set_priority(self, request: p.SetPriority, uid: int) -> Later:
        self._get_owned(request.id, uid, "change the priority of")
        self._queue.set_priority(request.id, request.priority, uid)
        return self._reply_after_save(request.id)


def refusal(error: BaseException) -> p.Refusal:
    """The reply that carries an error."""
    match error:
        case NoSuchJob():
            kind = "no_such_job"
        case JobError():
            kind = "bad_job"
        case Refused():
            kind = "refused"
        case BlockmillError():
            kind = "broken"
        case OSError():
            _log.warning("a request was refused by the system", exc_info=error)
            return p.Refusal(kind="broken", message=in_words(error))
        case _:
            _log.error("a request broke down", exc_info=error)
            return p.Refusal(kind="broken", message=f"a defect of blockmill: {error_text(error)}")
    return p.Refusal(kind=kind, message=message_of(error, _MOST_REFUSAL_CHARACTERS))
