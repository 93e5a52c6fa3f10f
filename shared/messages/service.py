"""Requests to the service and its answers, and the only codec for them.

A client sends a `Call`, the service sends an `Answer` of the same number: a reply of the type
that the request names, or a `Refusal`. Nothing is streamed. To follow something, a client asks
for changes since the last answer, and is answered when there are some, or after `wait_s`; so either
side may be restarted in between. `decode_*` is total: any bytes give a
message or a `WireError`. Times are seconds since 1970, UTC.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Generic, Literal, TypeVar

import msgspec

from ..bounds import MOST_JOBS, MOST_KEYS, MOST_PREDECESSORS, MOST_TEXT, MOST_TOKEN
from ..errors import WireError
from ..outside_text import message_of
from .records import BlockFailure, JobInfo, LogLine, State, WorkerInfo

VERSION = 1
"""Version of this protocol, sent in each call and answer; both sides must agree."""

LONGEST_WAIT_S = 30.0
"""The service answers a waiting request after this long at the latest."""


# ---------------------------------------------------------------------------------- replies


class Reply(msgspec.Struct, tag=True, frozen=True, kw_only=True):
    """Base of all replies."""


class ServiceInfo(Reply, frozen=True, kw_only=True):
    """The service itself.

    `quiet` means that no block runs and none waits to be merged; `paused` is "all, by USER" while all jobs
    are paused, else empty.
    """

    version: str
    pid: int
    workers: int
    allowed: int
    started_s: float
    draining: bool
    quiet: bool
    jobs: int
    state_dir: str
    paused: str = ""


class Jobs(Reply, frozen=True, kw_only=True):
    """Jobs, active ones first."""

    jobs: tuple[JobInfo, ...]


class OneJob(Reply, frozen=True, kw_only=True):
    """A job; `spec` is the job as `Job.of` takes it and `file` its job file, where they were asked for."""

    job: JobInfo
    spec: dict[str, Any] | None = None
    file: str = ""


class Failures(Reply, frozen=True, kw_only=True):
    """Blocks given up, in order, and the number of all of them."""

    failures: tuple[BlockFailure, ...]
    count: int


class LogPart(Reply, frozen=True, kw_only=True):
    """Lines of a log and the offset of the next one; `ended`: nothing will follow."""

    lines: tuple[LogLine, ...]
    next_offset: int
    ended: bool


class Workers(Reply, frozen=True, kw_only=True):
    """The worker processes."""

    workers: tuple[WorkerInfo, ...]
    allowed: int


class Refusal(Reply, frozen=True, kw_only=True):
    """The request was not met, and nothing was changed."""

    kind: Literal["no_such_job", "refused", "bad_job", "protocol", "broken"]
    message: str


R = TypeVar("R", bound=Reply)

# --------------------------------------------------------------------------------- requests

JobNumbers = Annotated[tuple[int, ...], msgspec.Meta(max_length=MOST_JOBS)]
Predecessors = Annotated[tuple[int | str, ...], msgspec.Meta(max_length=MOST_PREDECESSORS)]
States = Annotated[tuple[State, ...], msgspec.Meta(max_length=MOST_KEYS)]
Label = FileName = Annotated[str, msgspec.Meta(max_length=MOST_TEXT)]
Token = Annotated[str, msgspec.Meta(max_length=MOST_TOKEN)]


class Request(msgspec.Struct, Generic[R], tag=True, frozen=True, kw_only=True):
    """Base of all requests; ``reply`` is the type that answers one."""

    reply: ClassVar[type[Reply]]


class GetService(Request[ServiceInfo], frozen=True, kw_only=True):
    """Ask for the service itself."""

    reply: ClassVar[type[Reply]] = ServiceInfo


class SubmitJob(Request[OneJob], frozen=True, kw_only=True):
    """A new job; answered once it is in the journal.

    `token` names the submission: one that is sent again, because its answer was lost, gives the
    job that is there. None stands for the value in the job itself.
    `keep_finished`: keep finished blocks of the output, though the user's code has changed since.
    `file`: the job file on the client's side, if there is one; the service does not read it.
    """

    reply: ClassVar[type[Reply]] = OneJob
    job: dict[str, Any]
    token: Token
    file: FileName = ""
    priority: int | None = None
    label: Label | None = None
    after: Predecessors = ()
    overwrite: bool = False
    keep_finished: bool = False


class ListJobs(Request[Jobs], frozen=True, kw_only=True):
    """Jobs in some states (none named: all), at most `limit` ended ones, the newest of them."""

    reply: ClassVar[type[Reply]] = Jobs
    states: States = ()
    label: Label | None = None
    limit: int = 100


class FindJobs(Request[Jobs], frozen=True, kw_only=True):
    """The jobs that a user means by a name or a label, in the order of their numbers.

    These are the user's own; by a name, if none of them has it, those of others. `ended`: only those that
    have ended, or that have not.
    """

    reply: ClassVar[type[Reply]] = Jobs
    name: Label | None = None
    label: Label | None = None
    ended: bool | None = None


class GetJob(Request[OneJob], frozen=True, kw_only=True):
    """One job, with what was submitted."""

    reply: ClassVar[type[Reply]] = OneJob
    id: int


class WaitJob(Request[OneJob], frozen=True, kw_only=True):
    """Long poll: answered when the job's `seen` differs, at the latest after `wait_s` s."""

    reply: ClassVar[type[Reply]] = OneJob
    id: int
    seen: int = -1
    wait_s: float = 10.0


class ListFailures(Request[Failures], frozen=True, kw_only=True):
    """Blocks that a job has given up, the first `limit` of them."""

    reply: ClassVar[type[Reply]] = Failures
    id: int
    limit: int = 1000


class ReadLog(Request[LogPart], frozen=True, kw_only=True):
    """Lines of a job's log from `offset` on; -1 starts near the end. Waits up to `wait_s` s for one."""

    reply: ClassVar[type[Reply]] = LogPart
    id: int
    offset: int = 0
    wait_s: float = 0.0


class CancelJob(Request[OneJob], frozen=True, kw_only=True):
    """End a job; its running blocks are ended, finished ones stay. `now`: without time to tidy up."""

    reply: ClassVar[type[Reply]] = OneJob
    id: int
    now: bool = False


class RetryJob(Request[OneJob], frozen=True, kw_only=True):
    """Queue an ended job again, for the blocks that are not finished.

    `failed_only`: for the failed blocks alone; others that are not finished stay so.
    `keep_finished`: also those that are finished stay, though the user's code has changed since.
    `job`: what to do from now on, with the same output; None: what was submitted. `file` as in `SubmitJob`.
    """

    reply: ClassVar[type[Reply]] = OneJob
    id: int
    failed_only: bool = False
    keep_finished: bool = False
    job: dict[str, Any] | None = None
    file: FileName = ""


class RemoveJobs(Request[Jobs], frozen=True, kw_only=True):
    """Forget jobs that have ended, with their logs; their outputs stay. All of them are removed, or none.

    `ids` None: all ended jobs of the user (with this `label`, if one is given) that no other job needs.
    """

    reply: ClassVar[type[Reply]] = Jobs
    ids: JobNumbers | None = None
    label: Label | None = None


class PauseJobs(Request[Jobs], frozen=True, kw_only=True):
    """Start no more blocks of these jobs; None: of all, and of those to come."""

    reply: ClassVar[type[Reply]] = Jobs
    ids: JobNumbers | None = None


class ResumeJobs(Request[Jobs], frozen=True, kw_only=True):
    """Undo `PauseJobs`; None: all jobs, and draining too."""

    reply: ClassVar[type[Reply]] = Jobs
    ids: JobNumbers | None = None


class Drain(Request[ServiceInfo], frozen=True, kw_only=True):
    """Let running blocks end and start no more, until resumed."""

    reply: ClassVar[type[Reply]] = ServiceInfo


class SetWorkers(Request[ServiceInfo], frozen=True, kw_only=True):
    """Set the number of worker processes."""

    reply: ClassVar[type[Reply]] = ServiceInfo
    count: int


class SetPriority(Request[OneJob], frozen=True, kw_only=True):
    """Change the priority of a job that has not ended."""

    reply: ClassVar[type[Reply]] = OneJob
    id: int
    priority: int


class ListWorkers(Request[Workers], frozen=True, kw_only=True):
    """The worker processes and what they do."""

    reply: ClassVar[type[Reply]] = Workers


AnyRequest = (
    GetService
    | SubmitJob
    | ListJobs
    | FindJobs
    | GetJob
    | WaitJob
    | ListFailures
    | ReadLog
    | CancelJob
    | RetryJob
    | RemoveJobs
    | PauseJobs
    | ResumeJobs
    | Drain
    | SetWorkers
    | SetPriority
    | ListWorkers
)
AnyReply = ServiceInfo | Jobs | OneJob | Failures | LogPart | Workers | Refusal


class Call(msgspec.Struct, array_like=True, frozen=True):
    """A request with the number that its answer will carry."""

    version: int
    number: int
    request: AnyRequest


class Answer(msgspec.Struct, array_like=True, frozen=True):
    """The reply to the call of this number."""

    version: int
    number: int
    reply: AnyReply


class _Head(msgspec.Struct, array_like=True, frozen=True):
    version: int
    number: int


_MOST_REASON = 500
_encode = msgspec.msgpack.Encoder().encode
_head = msgspec.msgpack.Decoder(_Head)
_call = msgspec.msgpack.Decoder(Call)
_answer = msgspec.msgpack.Decoder(Answer)
_T = TypeVar("_T")


class OtherVersion(WireError):
    """The other side speaks another version of the protocol."""

    def __init__(self, version: int, number: int) -> None:
        super().__init__(
            f"the other side speaks protocol {version}, this one {VERSION}: update the older one"
        )
        self.version, self.number = version, number


def encode(message: Call | Answer) -> bytes:
    """The bytes of a call or an answer."""
    return _encode(message)


def decode_call(data: bytes) -> Call:
    """A call, or `WireError`; `OtherVersion` where only that is wrong."""
    return _decode(_call, data)


def decode_answer(data: bytes) -> Answer:
    """An answer, or `WireError`; `OtherVersion` where only that is wrong."""
    return _decode(_answer, data)


def _decode(decoder: msgspec.msgpack.Decoder[_T], data: bytes) -> _T:
    try:
        head = _head.decode(data)  # the version first: the rest may be of a shape that is not ours
        if head.version != VERSION:
            raise OtherVersion(head.version, head.number)
        return decoder.decode(data)
    except (msgspec.DecodeError, RecursionError, OverflowError, UnicodeError) as error:
        reason = message_of(error, _MOST_REASON)  # it may quote the message
        raise WireError(f"not a message of protocol {VERSION} ({reason}): {data[:40]!r}") from error
