"""Detection of changes in a job's input and in the user's code."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from ...shared.jobs.job import Job
from ...shared.jobs.operations import PythonFunction
from ...shared.volumes.blockwise.description import SCHEMA_NAME
from ...shared.volumes.blockwise.fileset import BlockwiseFileset
from ...shared.volumes.blockwise.layout import STATUS_NAME
from ...shared.volumes.formats import split_address
from ...shared.volumes.restful.description import schema_name


def fingerprint(address: str) -> str:
    """A short hash of the state of an input's files: their sizes and times of change.

    For a fileset it covers the status file of every block, which is new when a block is written again.
    For a volume of a web server it covers the description alone, because the blocks that are cached here
    don't affect its voxels.
    """
    target = split_address(address)
    state = hashlib.sha256(_state_of(Path(target.file)))
    if target.kind == "fileset" and schema_name(target.file) == SCHEMA_NAME:
        with BlockwiseFileset(target.file) as fileset:
            for block in fileset.block_rois():
                status = Path(fileset.dataset_directory(block.start)) / STATUS_NAME
                state.update(_state_of(status))
    return state.hexdigest()[:16]


def _state_of(path: Path) -> bytes:
    try:
        stat = path.stat()
    except FileNotFoundError:
        return b"none"
    return f"{stat.st_size} {stat.st_mtime_ns} {stat.st_ino};".encode()


def code_fingerprint(job: Job) -> str | None:
    """A short hash of the Python files in `user_code` and below; None if the job has no code of its own."""
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
