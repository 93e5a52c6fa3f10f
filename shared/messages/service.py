"""Requests to the service, calls and answers, and the only codec for them; the replies are in `replies`.

A client sends a `Call`, the service sends an `Answer` of the same number: a reply of the type
that the request names, or a `Refusal`. Nothing is streamed. To follow something, a client asks
for changes since the last answer, and is answered when there are some, or after `wait_s`; so either
side may be restarted in between. `decode_*` is total: any bytes give a
message or a `WireError`. Times are seconds since 1970, UTC.

Clients and services of different versions talk to each other: a call carries the number of the oldest
protocol that takes it as it is meant, and an answer that of the oldest whose clients can read it. Both carry
the version of the code that sent them, so that each side can say which of them is older.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Generic, TypeVar

import msgspec

from ..bounds import MOST_JOBS, MOST_KEYS, MOST_PREDECESSORS, MOST_TEXT, MOST_TOKEN, MOST_VERSION
from ..errors import WireError
from ..outside_text import clean, message_of
from ..version import __version__
from .records import State
from .replies import Failures, Jobs, LogPart, OneJob, Refusal, Reply, ServiceInfo, Workers

VERSION = 2
"""Newest version of this protocol. A request, or a field that no service may ignore, needs another one."""

OLDEST = 1
"""Oldest version whose messages are understood; all answers are still of this one."""

LONGEST_WAIT_S = 30.0
"""The service answers a waiting request after this long at the latest."""


R = TypeVar("R", bound=Reply)

# --------------------------------------------------------------------------------- requests

JobNumbers = Annotated[tuple[int, ...], msgspec.Meta(max_length=MOST_JOBS)]
Predecessors = Annotated[tuple[int | str, ...], msgspec.Meta(max_length=MOST_PREDECESSORS)]
States = Annotated[tuple[State, ...], msgspec.Meta(max_length=MOST_KEYS)]
Label = FileName = Annotated[str, msgspec.Meta(max_length=MOST_TEXT)]
Token = Annotated[str, msgspec.Meta(max_length=MOST_TOKEN)]
Software = Annotated[str, msgspec.Meta(max_length=MOST_VERSION)]


class Request(msgspec.Struct, Generic[R], tag=True, frozen=True, kw_only=True):
    """Base of all requests.

    Attributes
    ----------
    reply : type
        The type that answers one.
    since : int
        Version of the protocol that has this request first.
    fields_since : dict
        Of later fields: the version that has them first. A service of an earlier one would ignore them, so a
        call in which such a field has another value than its default is of that version.
    """

    reply: ClassVar[type[Reply]]
    since: ClassVar[int] = 1
    fields_since: ClassVar[Mapping[str, int]] = {}


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
    fields_since: ClassVar[Mapping[str, int]] = {"keep_finished": 2}
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
    since: ClassVar[int] = 2
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
    fields_since: ClassVar[Mapping[str, int]] = {"keep_finished": 2, "job": 2}
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
    since: ClassVar[int] = 2
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
    """A request with the number that its answer will carry; `software` is the version of the client."""

    version: int
    number: int
    request: AnyRequest
    software: Software = ""

    @classmethod
    def of(cls, number: int, request: AnyRequest) -> Call:
        """The call that sends a request, of the oldest version that takes it as it is meant."""
        return cls(_oldest_for(request), number, request, __version__)


class Answer(msgspec.Struct, array_like=True, frozen=True):
    """The reply to the call of this number; `software` is the version of the service, empty for 0.1."""

    version: int
    number: int
    reply: AnyReply
    software: Software = ""

    @classmethod
    def of(cls, number: int, reply: AnyReply) -> Answer:
        """The answer that brings a reply."""
        return cls(OLDEST, number, reply, __version__)


def _oldest_for(request: AnyRequest) -> int:
    kind = type(request)
    defaults = {field.name: field.default for field in msgspec.structs.fields(kind)}
    used = [since for name, since in kind.fields_since.items() if getattr(request, name) != defaults[name]]
    return max(kind.since, *used) if used else kind.since


class _Head(msgspec.Struct, array_like=True, frozen=True):
    """The frame of any message of any version; what is in it, and who sent it, may be of another shape."""

    version: int
    number: int
    body: msgspec.Raw = msgspec.Raw()
    software: Any = ""


_MOST_REASON = 500
_encode = msgspec.msgpack.Encoder().encode
_head = msgspec.msgpack.Decoder(_Head)
_call = msgspec.msgpack.Decoder(Call)
_answer = msgspec.msgpack.Decoder(Answer)
_T = TypeVar("_T")


class OtherVersion(WireError):
    """The other side speaks another version of the protocol.

    Attributes
    ----------
    version, number : int
        Those of the message.
    software : str
        The version of the code on the other side; empty if it does not say.
    """

    def __init__(self, version: int, number: int, software: str = "") -> None:
        super().__init__(
            f"the other side speaks protocol {version}, this one {VERSION}: update the older one"
        )
        self.version, self.number, self.software = version, number, software


class NotUnderstood(WireError):
    """A message of a version that we speak, with something in it that we don't know.

    Attributes
    ----------
    number : int
        That of the message.
    software : str
        The version of the code on the other side; empty if it does not say.
    """

    def __init__(self, text: str, number: int, software: str) -> None:
        super().__init__(text)
        self.number, self.software = number, software


def encode(message: Call | Answer) -> bytes:
    """The bytes of a call or an answer."""
    return _encode(message)


def decode_call(data: bytes) -> Call:
    """A call, or `WireError`: `OtherVersion` or `NotUnderstood` where the frame can be read."""
    return _decode(_call, data)


def decode_answer(data: bytes) -> Answer:
    """An answer, or `WireError`: `OtherVersion` or `NotUnderstood` where the frame can be read."""
    return _decode(_answer, data)


def _decode(decoder: msgspec.msgpack.Decoder[_T], data: bytes) -> _T:
    head = _head_of(data)  # the version first: the rest may be of a shape that is not ours
    if not OLDEST <= head.version <= VERSION:
        raise OtherVersion(head.version, head.number, _software(head))
    try:
        return decoder.decode(data)
    except _UNREADABLE as error:
        raise NotUnderstood(_reason(error, data), head.number, _software(head)) from error


def _head_of(data: bytes) -> _Head:
    try:
        return _head.decode(data)
    except _UNREADABLE as error:
        raise WireError(_reason(error, data)) from error


_UNREADABLE = (msgspec.DecodeError, RecursionError, OverflowError, UnicodeError)


def _reason(error: BaseException, data: bytes) -> str:
    quoted = message_of(error, _MOST_REASON)  # it may quote the message
    return f"not a message of protocol {VERSION} ({quoted}): {data[:40]!r}"


def _software(head: _Head) -> str:
    return clean(head.software, MOST_VERSION) if isinstance(head.software, str) else ""
