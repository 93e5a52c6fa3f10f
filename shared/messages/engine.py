"""Every message that crosses a process border, and the only codec for them.

Messages are msgspec Structs written as msgpack arrays (a tag first). `decode_*` is
total: any bytes give a message or a `WireError`. Nothing here carries voxels or pickles:
voxels travel through shared memory (see `arena`) or block files.
"""

from __future__ import annotations

from typing import Any, Literal, TypeVar

import msgspec

from ..errors import WireError
from ..system.confinement import Confinement
from ..system.impersonation import Identity

VERSION = 5
"""Protocol version, sent in the hello; both sides must agree."""


class Message(msgspec.Struct, array_like=True, tag=True, frozen=True, gc=False):
    """Base of all messages."""


class Lease(msgspec.Struct, frozen=True, gc=False):
    """One attempt at one block: what a worker holds from the task until its reply."""

    job: str
    block: int
    attempt: int


class Slot(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Room for one result: `nbytes` bytes at `offset` in shared memory segment `segment`."""

    segment: int
    offset: int
    nbytes: int


class SharedArray(msgspec.Struct, frozen=True):
    """An array that lies in a shared memory file, C order."""

    path: str
    shape: tuple[int, ...]
    dtype: str
    axes: str


class Grid(msgspec.Struct, frozen=True):
    """A `BlockGrid`: block numbers stand for rois."""

    start: tuple[int, ...]
    stop: tuple[int, ...]
    block_shape: tuple[int, ...]
    anchor: tuple[int, ...]


class ArrayView(msgspec.Struct, frozen=True):
    """An array anywhere in shared memory segment `segment`, with strides in bytes as numpy has them."""

    segment: int
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: str


class Transfer(msgspec.Struct, frozen=True, kw_only=True):
    """A copy of voxels between a volume and an array in shared memory.

    Attributes
    ----------
    view : ArrayView
        The array; its first voxel is the one at `origin` of the volume.
    origin : tuple of int
    write : {"whole", "all", "none"} or None
        Into the volume, a fileset, and which blocks are marked available then; None: out of it.
    volume_id : str
        Names the `ParallelVolume` that asks. Workers keep its volumes open from one transfer to the next.
    """

    view: ArrayView
    origin: tuple[int, ...]
    write: Literal["whole", "all", "none"] | None = None
    volume_id: str = ""


class InputCheck(msgspec.Struct, frozen=True):
    """The record against which the stored blocks of the input are checked.

    Attributes
    ----------
    ledger : str or None
        Path of the checksums of a merged file; None: the status records of a fileset.
    block_shape : tuple of int
        Of the blocks in the ledger.
    """

    ledger: str | None = None
    block_shape: tuple[int, ...] = ()


class VolumePlace(msgspec.Struct, frozen=True):
    """A volume that workers open: name of its format, path, and path inside a file."""

    format: str
    file: str
    internal: str = ""


class Comparison(msgspec.Struct, frozen=True):
    """A volume whose blocks are compared with the checksums in a ledger.

    Attributes
    ----------
    place : VolumePlace
    ledger : str
        Path of the ledger.
    blocks : int
        Number of its entries.
    """

    place: VolumePlace
    ledger: str
    blocks: int


class Source(msgspec.Struct, frozen=True):
    """One input of a job.

    Attributes
    ----------
    volume : str or SharedArray
        Its address, or an array in shared memory.
    name : str
        As the operation knows it.
    live_extent : tuple of int or None
        Voxels per axis of a volume that another program is writing; None: it is an ordinary one.
    check : InputCheck or None
        Check its stored blocks; None: don't.
    place : VolumePlace or None
        The address taken apart; None: the worker takes it apart.
    """

    volume: str | SharedArray
    name: str = "input"
    live_extent: tuple[int, ...] | None = None
    check: InputCheck | None = None
    place: VolumePlace | None = None


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """All that a worker must know of a job to do any block of it.

    Attributes
    ----------
    sources : tuple of Source
        The inputs, all of one shape.
    mask : Source or None
        A volume of that shape; blocks in which it is 0 everywhere are not computed.
    operation : dict, list of dict, or None
        As in the job file, one key, or a list of such; None copies.
    axes : str or None
        Of the inputs, one letter per axis; None: as the first volume itself says.
    offset : tuple of int
        Input coordinate of the origin of block coordinates.
    part_stop : tuple of int
        End of the part of the input that the output is made of; empty: that of the input itself.
    output : VolumePlace or None
        A volume that the workers write themselves. None: results go to the coordinator.
    job_hash : str
        Bound into the status record of each block written.
    resume : bool
        Skip a block of the output whose record, size and checksum agree.
    durability : {"none", "block"}
        See `BlockwiseFileset`.
    checksum : bool
        Send the CRC of its voxels with each block.
    probe : bool
        Only open the input and import the operation, and report the result.
    user_code : str or None
        Folder in which the operation's own modules are.
    code_files : dict of str
        Path and hash of each of the user's own modules, so that changed ones are imported anew.
    identity : Identity or None
        The user that the worker is to be, for good; None: the one that it was started as.
    confinement : Confinement or None
        The folders that the job may reach; None: all.
    compare : Comparison or None
        Compare blocks of a volume with their checksums; then the rest of the recipe is not used, but for
        `identity` and `confinement`. A block that agrees is answered as skipped.
    transfer : Transfer or None
        Copy voxels between the only source and an array; then the rest of the recipe is not used.
    grid : Grid or None
        Of the blocks; tasks then hold nothing but the number.
    checked_block : int or None
        Number of the block at which the halo is checked.
    check_voxels : int
        Most voxels that this check may read.
    prompt : bool
        Send each answer at once, instead of several together.
    """

    sources: tuple[Source, ...]
    mask: Source | None = None
    operation: dict[str, Any] | list[dict[str, Any]] | None = None
    axes: str | None = None
    offset: tuple[int, ...] = ()
    part_stop: tuple[int, ...] = ()
    output: VolumePlace | None = None
    job_hash: str = ""
    resume: bool = False
    durability: Literal["none", "block"] = "none"
    checksum: bool = False
    probe: bool = False
    user_code: str | None = None
    code_files: dict[str, str] = {}
    identity: Identity | None = None
    confinement: Confinement | None = None
    compare: Comparison | None = None
    transfer: Transfer | None = None
    grid: Grid | None = None
    checked_block: int | None = None
    check_voxels: int = 0
    prompt: bool = False


class Task(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One attempt at one block.

    ``[start, stop)`` in block coordinates, without halo; empty where the recipe has the grid.
    """

    job: str
    block: int
    attempt: int
    start: tuple[int, ...] = ()
    stop: tuple[int, ...] = ()
    slot: Slot | None = None


# coordinator -> worker


class MapSegment(Message, frozen=True):
    """A shared memory segment for results: opened by `path`, `nbytes` long.

    Without a path its descriptor comes over the worker's own socket: a worker that has become a job's
    owner may not open what is the coordinator's. `populate`: all of it will be used again and again, so it
    is mapped at once.
    """

    segment: int
    path: str | None
    nbytes: int
    populate: bool = False


class Prepare(Message, frozen=True):
    """A job that tasks will name from now on."""

    job: str
    recipe: Recipe


class Run(Message, frozen=True):
    """Tasks, to be done in this order."""

    tasks: list[Task]


class Forget(Message, frozen=True):
    """The job has ended: close its files, and the shared memory `segments`."""

    job: str
    segments: list[int]


ToWorker = MapSegment | Prepare | Run | Forget


# worker -> coordinator


class Hello(Message, frozen=True):
    """A worker is up."""

    worker: int
    pid: int
    version: int = VERSION


class TaskDone(Message, frozen=True):
    """A block is finished: written, or its result lies in the slot of its task.

    `nbytes_read` and `nbytes_written` count voxel data; `skipped`: a finished
    block was found and left alone; `crc32` is that of the block if the recipe asks for it;
    `voxels` are those of the block; `note` is for people; `unrecorded` counts blocks of the input
    that were to be checked and have no checksum; `record` goes to the operation's reducer;
    `masked`: the block was left out, as the mask is 0 there.
    """

    job: str
    block: int
    attempt: int
    seconds: float
    nbytes_read: int = 0
    nbytes_written: int = 0
    skipped: bool = False
    crc32: int = 0
    voxels: int = 0
    note: str = ""
    unrecorded: int = 0
    record: bytes = b""
    masked: bool = False


class TaskFailed(Message, frozen=True):
    """A block failed; `retry` is False where another attempt would fail the same way.

    The first line of `error` is the reason, further ones the position in the user's code; `memory`:
    there was too little of it; `kind` is the class of the error if it is one of ours.
    """

    job: str
    block: int
    attempt: int
    error: str
    retry: bool = True
    memory: bool = False
    kind: str = ""


class Heartbeat(Message, frozen=True):
    """A sign of life; `rss_bytes` is the resident memory of the worker."""

    worker: int
    rss_bytes: int


TaskReply = TaskDone | TaskFailed


class TaskReplies(Message, frozen=True):
    """The results of some tasks, in the order in which `worker` did them."""

    worker: int
    replies: list[TaskReply]


FromWorker = Hello | TaskReplies | Heartbeat


# coordinator <-> nursery (the process that forks the workers)


class Spawn(Message, frozen=True):
    """Fork a worker that connects to `endpoint`.

    If it is to become the owner of a job, the descriptor of its own socket comes with this message. Its
    output goes to `log_path`. It counts the tasks that it has begun and ended in the `TaskCounters` at
    `counters_path`.
    """

    worker: int
    endpoint: str
    log_path: str
    counters_path: str


class SendSignal(Message, frozen=True):
    """Send a signal to a worker, if it still lives; `uid` is the user that it has become, if it has."""

    worker: int
    signum: int
    uid: int | None = None


ToNursery = Spawn | SendSignal


class Spawned(Message, frozen=True):
    """The worker runs under this pid."""

    worker: int
    pid: int


class Exited(Message, frozen=True):
    """A worker ended: exit code >= 0, or minus the signal; `max_rss_bytes` is its peak."""

    worker: int
    pid: int
    exit_code: int
    max_rss_bytes: int


FromNursery = Spawned | Exited


_encode = msgspec.msgpack.Encoder().encode
_to_worker = msgspec.msgpack.Decoder(ToWorker)
_from_worker = msgspec.msgpack.Decoder(FromWorker)
_to_nursery = msgspec.msgpack.Decoder(ToNursery)
_from_nursery = msgspec.msgpack.Decoder(FromNursery)

_T = TypeVar("_T")


def encode(message: Message) -> bytes:
    """The bytes of a message."""
    return _encode(message)


def _decode(decoder: msgspec.msgpack.Decoder[_T], data: bytes) -> _T:
    try:
        return decoder.decode(data)
    except (msgspec.DecodeError, RecursionError, OverflowError, UnicodeError) as error:
        raise WireError(f"not a message of protocol {VERSION} ({error}): {data[:40]!r}") from error


def decode_to_worker(data: bytes) -> ToWorker:
    """A message for a worker, or `WireError`."""
    return _decode(_to_worker, data)


def decode_from_worker(data: bytes) -> FromWorker:
    """A message from a worker, or `WireError`."""
    return _decode(_from_worker, data)


def decode_to_nursery(data: bytes) -> ToNursery:
    """A message for the nursery, or `WireError`."""
    return _decode(_to_nursery, data)


def decode_from_nursery(data: bytes) -> FromNursery:
    """A message from the nursery, or `WireError`."""
    return _decode(_from_nursery, data)
