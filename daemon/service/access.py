"""Access rights: owners, admins, and the folders that jobs may touch.

The kernel keeps people from the files of others (`shared.system.impersonation`); here stands what is the
service's own to decide.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from ...shared.config.model import Access
from ...shared.errors import Refused
from ...shared.jobs.job import Job
from ...shared.jobs.operations import PythonFunction
from ...shared.system.impersonation import Identity, acting_as, identity_of, may_act, user_name, user_number
from ..journal.records import JobRecord
from .jobs.clashes import JobPlaces

ENTRY_POINTS = "blockmill.operations"
_ROOT = 0


class Rights:
    """The requests that each user may make.

    Parameters
    ----------
    access : Access
        As configured.
    system : bool
        True if the service is the machine's, and so may touch nothing that is not named.
    uid : int, optional
        The service's own user; default: that of the process.

    Raises
    ------
    Refused
        If an admin has no account.
    """

    def __init__(self, access: Access, system: bool, uid: int | None = None) -> None:
        self._own = os.getuid() if uid is None else uid
        self._admins = {_ROOT, self._own, *map(user_number, access.admins)}
        nowhere = () if system else None
        self._roots = nowhere if access.data_roots is None else _resolved(access.data_roots)
        self._code = _resolved(access.user_code) or nowhere

    def identity(self, owner: int) -> Identity | None:
        """As whom the files of a user's jobs are used; None: as the service itself.

        Raises
        ------
        Refused
            If that needs capabilities that the service does not have.
        """
        if owner == self._own:
            return None
        if not may_act():
            raise Refused(
                f"this service, of {user_name(self._own)}, can't use files as {user_name(owner)}: it lacks "
                "CAP_SETUID and CAP_SETGID; start a service of your own with: blockmill serve"
            )
        return identity_of(owner)

    def owns(self, uid: int, record: JobRecord) -> bool:
        """Test if a job is this user's, or the user an admin."""
        return uid == record.info.owner or uid in self._admins

    def check_owner(self, uid: int, record: JobRecord, what: str) -> None:
        """Let only its owner and admins do something to a job.

        Raises
        ------
        Refused
        """
        owner = record.info.owner
        if not self.owns(uid, record):
            raise Refused(
                f"job {record.info.id} belongs to {user_name(owner)}, who alone may {what} it, "
                f"as may an admin; you are {user_name(uid)}"
            )

    def check_admin(self, uid: int, what: str) -> None:
        """Let only admins do something to the service.

        Raises
        ------
        Refused
        """
        if uid not in self._admins:
            raise Refused(f"only an admin of the service may {what}; you are {user_name(uid)}")

    def check_paths(self, job: Job, owner: int, *, follow_links: bool = True) -> JobPlaces:
        """Let a job name only files below the configured folders, wherever links lead.

        Parameters
        ----------
        job : Job
        owner : int
            The user as whom they are looked up.
        follow_links : bool
            Check links inside of HDF5 files as well; for that, the input is opened.

        Returns
        -------
        JobPlaces
            The files that the job reads and writes.

        Raises
        ------
        Refused
            If a place lies elsewhere, or the job calls a function that it may not.
        """
        with acting_as(self.identity(owner)):
            places = JobPlaces.of(job, follow_links=follow_links)
            for key, claims in places.by_key():
                for place in claims.places():
                    _check_below(place.path, self._roots, key, "access.data_roots")
            if job.user_code is not None:
                _check_below(job.user_code, self._code, "user_code", "access.user_code")
            if self._code is not None and isinstance(job.operation, PythonFunction):
                _check_function(job.operation.function, job.user_code)
        return places


def _resolved(folders: Iterable[str]) -> tuple[str, ...]:
    return tuple(os.path.realpath(Path(folder).expanduser()) for folder in folders)


def _check_function(function: str, user_code: str | None) -> None:
    """Let a restricted service call what an administrator has put there, and not the rest of Python."""
    module, _, name = function.partition(":")
    if user_code is not None:
        top = Path(user_code) / module.partition(".")[0]
        if "." not in name and (top.with_suffix(".py").is_file() or top.is_dir()):
            return
        where = f"defined in {user_code}"
    else:
        if any(point.value == function for point in metadata.entry_points(group=ENTRY_POINTS)):
            return
        where = f"an installed entry point of the group {ENTRY_POINTS}"
    raise Refused(f"operation.python.function: {function} is not {where}; this service calls nothing else")


def _check_below(path: str, roots: tuple[str, ...] | None, key: str, setting: str) -> None:
    if roots is None:
        return
    real = os.path.realpath(path)
    if any(Path(real).is_relative_to(root) for root in roots):
        return
    leads = "" if real == os.path.normpath(path) else f" (it leads to {real})"
    allowed = f"it is {', '.join(roots)}" if roots else "nothing is, yet"
    raise Refused(
        f"{key}: {path}{leads} does not lie below a folder that this service may touch; {allowed}. "
        f"An administrator names such folders in {setting}"
    )
