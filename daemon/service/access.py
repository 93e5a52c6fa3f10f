"""Access rights: owners, admins, and the folders that jobs may touch.

The kernel keeps people from the files of others (`shared.system.impersonation`); this module has the
decisions that are the service's own.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from importlib import metadata
from importlib.machinery import all_suffixes
from pathlib import Path

from ...shared.config.model import Access
from ...shared.errors import Refused
from ...shared.jobs.staged import AnyJob
from ...shared.system.confinement import Confinement, can_confine
from ...shared.system.impersonation import Identity, acting_as, identity_of, may_act, user_name, user_number
from ...shared.volumes.registry import format_of, split_address, split_input
from ..journal.records import JobRecord
from .jobs.clashes import JobFiles

ENTRY_POINTS = "blockmill.operations"
_log = logging.getLogger(__name__)
_ROOT = 0


class Rights:
    """The requests that each user may make.

    Parameters
    ----------
    access : Access
        The section of the configuration.
    system : bool
        True for the machine's service, which may touch only the folders that are named in it.
    uid : int, optional
        The service's own user. Default: the user of the process.

    Raises
    ------
    Refused
        If an admin has no account.
    """

    def __init__(self, access: Access, system: bool, uid: int | None = None) -> None:
        self._service_uid = os.getuid() if uid is None else uid
        self._admins = {_ROOT, self._service_uid, *map(user_number, access.admins)}
        no_roots = () if system else None
        self._roots = no_roots if access.data_roots is None else _resolve(access.data_roots)
        self._code = _resolve(access.user_code) or no_roots
        if self._roots and not can_confine():
            _log.warning(
                "there is no Landlock here (Linux 5.19 and later has it): access.data_roots is checked "
                "when a job is submitted and when it starts; links that change later can lead out of it"
            )

    @property
    def confinement(self) -> Confinement:
        """The folders that jobs may reach."""
        return Confinement(self._roots, self._code)

    def identity(self, owner: int) -> Identity | None:
        """The identity under which the files of a user's jobs are used; None: the service's own.

        Raises
        ------
        Refused
            If the service lacks the capabilities to take it on.
        """
        if owner == self._service_uid:
            return None
        if not may_act():
            raise Refused(
                f"this service, of {user_name(self._service_uid)}, can't use files as {user_name(owner)}: it "
                "lacks CAP_SETUID and CAP_SETGID; start a service of your own with: blockmill serve"
            )
        return identity_of(owner)

    def owns(self, uid: int, job_record: JobRecord) -> bool:
        """Test if a user owns a job, or is an admin.

        Parameters
        ----------
        uid : int
            The user's number.
        job_record : JobRecord

        Returns
        -------
        bool
        """
        return uid == job_record.info.owner or uid in self._admins

    def check_owner(self, uid: int, job_record: JobRecord, action: str) -> None:
        """Check that a user may do something to a job: its owner and admins may.

        Parameters
        ----------
        uid : int
            The user's number.
        job_record : JobRecord
        action : str
            A verb for the message, such as "cancel".

        Raises
        ------
        Refused
        """
        owner = job_record.info.owner
        if not self.owns(uid, job_record):
            raise Refused(
                f"job {job_record.info.id} belongs to {user_name(owner)}, who alone may {action} it, "
                f"as may an admin; you are {user_name(uid)}"
            )

    def is_admin(self, uid: int) -> bool:
        """Test if a user is an admin."""
        return uid in self._admins

    def check_admin(self, uid: int, action: str) -> None:
        """Check that a user is an admin, who may do something to the service.

        Parameters
        ----------
        uid : int
            The user's number.
        action : str
            A phrase for the message, such as "drain it".

        Raises
        ------
        Refused
        """
        if uid not in self._admins:
            raise Refused(f"only an admin of the service may {action}; you are {user_name(uid)}")

    def check_paths(self, job: AnyJob, owner: int, *, follow_links: bool = True) -> JobFiles:
        """Check that a job names only files below the configured folders, wherever links lead.

        Parameters
        ----------
        job : Job or StagedJob
        owner : int
            The user with whose rights the files are looked up.
        follow_links : bool
            Check links inside of HDF5 files as well; this opens the input.

        Returns
        -------
        JobFiles
            The files that the job reads and writes.

        Raises
        ------
        Refused
            If a file lies elsewhere, or the job calls a function that it may not call.
        """
        if relative := job.relative_paths():
            raise Refused(
                f"{'; '.join(relative)}: a relative path would mean another file here than where the job was "
                "written; give absolute paths (blockmill submit and Client do)"
            )
        with acting_as(self.identity(owner)):
            if self._roots is not None:
                _refuse_threads(job)
            files = JobFiles.of(job, follow_links=follow_links)
            for key, claims in files.by_key():
                for place in claims.places():
                    _check_below(place.path, self._roots, key, "access.data_roots")
            if job.user_code is not None:
                _check_below(job.user_code, self._code, "user_code", "access.user_code")
            for function in job.user_functions if self._code is not None else ():
                _check_function(function, job.user_code)
        return files


def _refuse_threads(job: AnyJob) -> None:
    """Refuse formats whose library uses files in threads of its own, which are not confined to the roots."""
    inputs = [(key, split_input(volume.address)) for key, volume in job.inputs_by_key().items()]
    outputs = [(key, split_address(output.address)) for key, output in job.outputs_by_key().items()]
    for key, address in (*inputs, *outputs):
        if format_of(address).io_threads:
            raise Refused(
                f"{key}: {address}: a service with access.data_roots can't use {address.format} volumes: a "
                "library uses them in threads that would not be bound to these folders; run the job with: "
                "blockmill run"
            )


def _resolve(folders: Iterable[str]) -> tuple[str, ...]:
    return tuple(os.path.realpath(Path(folder).expanduser()) for folder in folders)


def _check_function(function: str, user_code: str | None) -> None:
    """Check that a restricted service calls only functions that an administrator has installed."""
    module, _, name = function.partition(":")
    if user_code is not None:
        # That it is defined there is checked where it is imported: in the workers.
        if "." not in name and _is_module(Path(user_code, *module.split("."))):
            return
        expected = f"defined in {user_code}"
    else:
        if any(point.value == function for point in metadata.entry_points(group=ENTRY_POINTS)):
            return
        expected = f"an installed entry point of the group {ENTRY_POINTS}"
    raise Refused(f"operation.python.function: {function} is not {expected}; this service calls nothing else")


def _is_module(path: Path) -> bool:
    """Test if a path without its suffix is that of a module, or of a package that has a file of its own."""
    candidates = (path, path / "__init__")
    return any(Path(f"{one}{suffix}").is_file() for one in candidates for suffix in all_suffixes())


def _check_below(path: str, roots: tuple[str, ...] | None, key: str, setting: str) -> None:
    if roots is None:
        return
    real = os.path.realpath(path)
    if any(Path(real).is_relative_to(root) for root in roots):
        return
    link_hint = "" if real == os.path.normpath(path) else f" (it leads to {real})"
    allowed_hint = f"it is {', '.join(roots)}" if roots else "nothing is, yet"
    raise Refused(
        f"{key}: {path}{link_hint} does not lie below a folder that this service may touch; {allowed_hint}. "
        f"An administrator names such folders in {setting}"
    )
