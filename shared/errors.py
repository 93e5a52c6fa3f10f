"""Every error that blockmill raises on purpose, sorted by who mends it.

The docstring of a class is its default message. Errors keep their facts as plain
arguments, so they survive pickling.
"""


class BlockmillError(Exception):
    """Something went wrong in blockmill."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message if message is not None else (type(self).__doc__ or ""))


class JobError(BlockmillError):
    """The job can't be run as it is written; whoever submitted it can mend it."""


class JobFileError(JobError):
    """The job file has mistakes, each told with file, line and key."""


class ConfigError(BlockmillError):
    """The configuration has mistakes, each told with file, line and key."""


class OutputRefused(JobError):
    """The output exists and belongs to something else, or another run holds it."""


class OutOfBounds(JobError, ValueError):
    """A roi leaves the volume, or is empty."""


class BlockError(BlockmillError):
    """A block failed; its roi, its last attempt and the reason are in the message."""


class StorageError(BlockmillError):
    """A volume could not be read or written."""


class MissingBlock(StorageError):
    """A block was asked for that has not been written, or is not marked available."""

    def __init__(self, message: str | None = None, block_start: tuple[int, ...] = ()) -> None:
        super().__init__(message)
        self.block_start = block_start

    def __reduce__(self) -> tuple[type["MissingBlock"], tuple[str, tuple[int, ...]]]:
        return type(self), (str(self), self.block_start)


class CorruptBlock(StorageError):
    """A block file does not hold what its status record says."""


class DamagedInput(StorageError):
    """A block of the input is not what the job that wrote it has recorded."""


class DownloadFailed(StorageError):
    """A server did not give what it was asked for; the message tells address and reason."""


class LockTimeout(StorageError, TimeoutError):
    """Another process held a lock for longer than the time-out."""


class LockLost(StorageError):
    """A lock file that was ours is gone or another's; nothing was changed under it."""


class WireError(BlockmillError):
    """Bytes that came over a socket are not a message of this protocol."""


class EngineError(BlockmillError):
    """The engine could not start or keep its workers."""


class ServiceUnreachable(BlockmillError):
    """No service answers; start one with ``blockmill serve``."""


class Refused(BlockmillError):
    """The service did not do what it was asked for; nothing has changed."""


class NoSuchJob(Refused):
    """The service knows no job of this number."""


class WaitTimeout(BlockmillError, TimeoutError):
    """The job had not ended when the time that was allowed was over."""
