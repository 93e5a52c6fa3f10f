"""Detection of changes in what a job reads: its input, all files that this leads to, and the user's code."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from ...shared.files.fingerprints import content_of, file_state
from ...shared.jobs.code_files import CodeFiles, code_files
from ...shared.jobs.job import Job
from ...shared.jobs.operations import PythonFunction
from ...shared.volumes.blockwise.description import SCHEMA_NAME
from ...shared.volumes.blockwise.fileset import BlockwiseFileset
from ...shared.volumes.blockwise.layout import STATUS_NAME
from ...shared.volumes.claims import claims_of, reads_of
from ...shared.volumes.formats import split_address, split_input
from ...shared.volumes.restful.description import schema_name


def input_state(address: str) -> dict[str, str]:
    """Short hashes of the state and of the content of an input's files.

    All files count that a dataset leads to: sources of virtual datasets, external links, raw files.
    For a fileset it covers the status file of every block, which is new when a block is written again.
    For a volume of a web server it covers the description alone, because the blocks that are cached here
    don't affect its voxels.

    Parameters
    ----------
    address : str

    Returns
    -------
    dict
        ``state``, of sizes, times and inodes, and ``content``, of samples of the content.
    """
    target = split_input(address)
    files = [place.path for place in reads_of(target).files]
    state = hashlib.sha256()
    for path in files:
        state.update(file_state(path))
    if target.kind == "fileset" and schema_name(target.file) == SCHEMA_NAME:
        with BlockwiseFileset(target.file) as fileset:
            for block in fileset.block_rois():
                status = Path(fileset.dataset_directory(block.start)) / STATUS_NAME
                state.update(file_state(status))
    return {"state": state.hexdigest()[:16], "content": content_of(files)}


def code_of(job: Job) -> CodeFiles | None:
    """The files behind the job's function, or None if its operation is no function of the user's."""
    if not isinstance(job.operation, PythonFunction):
        return None
    volumes = (claims_of(split_address(job.output.address)), reads_of(split_input(job.input.address)))
    apart = tuple(place.real for claims in volumes for place in claims.places())
    return code_files(job.operation.function, job.user_code, apart)


def changes(job: Job, state: dict[str, object], code: CodeFiles | None) -> list[str]:
    """What a job reads and is no longer as it was when the job began.

    Parameters
    ----------
    job : Job
    state : dict
        The state of the input at the beginning; more keys than those of `input_state` don't matter.
    code : CodeFiles or None
        The files behind the job's function at the beginning.

    Returns
    -------
    list of str
        The input, and data files of the user's code. Changed modules don't count: workers have
        imported them, and refuse to import others.
    """
    changed: list[str] = []
    if not input_state(job.input.address).items() <= state.items():
        changed.append(f"the input {job.input.address}")
    now = code_of(job)
    if code is not None and now is not None:
        before = code.data.items()
        changed += [f"{name} in user_code" for name, content in before if now.data.get(name) != content]
    return changed


def python_files_hash(job: Job) -> str | None:
    """The hash of all Python files in `user_code`, as records of version 0.1 have it; None without one."""
    if not isinstance(job.operation, PythonFunction) or job.user_code is None:
        return None
    content = hashlib.sha256()
    root = Path(job.user_code)
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__pycache__")))
        for name in sorted(files):
            if name.endswith(".py"):
                path = Path(folder, name)
                content.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes() + b"\0")
    return content.hexdigest()[:16]
