"""The user that a worker process is: it becomes the owner of its first job, and serves nobody else.

Only a service that acts for several people has jobs that say whose they are. Elsewhere every worker stays
the user that it was started as.
"""

from __future__ import annotations

import os
import socket
import threading
from typing import Protocol

import msgspec

from ..shared.errors import JobError, StorageError
from ..shared.messages import engine as wire
from ..shared.operations.registry import parse_operation
from ..shared.system.becoming import become
from ..shared.system.descriptors import receive_file
from ..shared.system.impersonation import Identity, user_name
from ..shared.volumes.registry import load_all, load_libraries
from .kernels import kernel_for
from .lifeline import reopened, tie_to


class Owner(Protocol):
    """What jobs need of the process that they are in."""

    def take_on(self, recipe: wire.Recipe) -> wire.Recipe:
        """Be who a job says; return its recipe as it is to be done by that user.

        Raises
        ------
        JobError
            If this process can't be that user.
        """
        ...

    def receive_file(self) -> int:
        """Return the descriptor of the next shared memory that was handed over."""
        ...


class StaysItself:
    """A process that stays who it is: it does jobs that are nobody's."""

    def take_on(self, recipe: wire.Recipe) -> wire.Recipe:
        """Return the recipe of a job that is nobody's; see `Owner`."""
        if recipe.identity is not None:
            raise JobError("a defect of blockmill, please report it: this worker can't become a job's owner")
        return recipe

    def receive_file(self) -> int:
        """Raise an error: whoever stays the same user opens shared memory by its path."""
        raise OSError("nothing is handed over to this worker")


class ProcessOwner:
    """The user of a worker process.

    Parameters
    ----------
    files : socket.socket
        Brings descriptors from the coordinator.
    lifeline_fd : int
        Read end of the coordinator's lifeline, common to all workers.
    connected : threading.Event
        Set once all connections are there that this process has a right to only as it was started.
    """

    def __init__(self, files: socket.socket, lifeline_fd: int, connected: threading.Event) -> None:
        self._files = files
        self._lifeline_fd = lifeline_fd
        self._connected = connected
        self._is_fresh = True
        self._identity: Identity | None = None
        self._error: JobError | None = None

    def take_on(self, recipe: wire.Recipe) -> wire.Recipe:
        """Become the owner of the first job; see `Owner`."""
        if self._is_fresh:
            self._is_fresh, self._identity = False, recipe.identity
            if recipe.identity is not None:
                self._become(recipe.identity, recipe)
        if self._error is not None:
            raise self._error  # who it is now is unknown: no job is safe with it
        if recipe.identity != self._identity:
            raise JobError(
                f"a defect of blockmill, please report it: a worker of {_name(self._identity)} was given "
                f"a job of {_name(recipe.identity)}"
            )
        return msgspec.structs.replace(recipe, identity=None)

    def _become(self, identity: Identity, recipe: wire.Recipe) -> None:
        _import_libraries(recipe)
        self._connected.wait()
        # The one that all workers share would not end a user's processes, nor may a user have hold of it.
        lifeline_fd = reopened(self._lifeline_fd)
        os.close(self._lifeline_fd)
        try:
            become(identity)
        except StorageError as error:
            self._error = JobError(str(error))
        tie_to(lifeline_fd)

    def receive_file(self) -> int:
        """Receive the descriptor that the coordinator has sent before the message about it."""
        _, fd = receive_file(self._files, 1)
        if fd is None:
            raise OSError("the coordinator has handed over no shared memory")
        return fd


def _import_libraries(recipe: wire.Recipe) -> None:
    """Import what a job needs while this process may read it: the owner may not be able to.

    User code is the owner's affair.
    """
    try:
        load_all()
        load_libraries()  # it may be a later job of this owner that needs them
        operation = parse_operation(recipe.operation or "copy")
        if not operation.user_functions:
            kernel_for(operation)
    except (JobError, ImportError):
        return  # the first block tells, when it comes to the same


def _name(identity: Identity | None) -> str:
    return "the service" if identity is None else user_name(identity.uid)
