"""Detection of changes in what a job reads: its input, all files that this leads to, and the user's code."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

from ....shared.files.fingerprints import content_of
from ....shared.jobs.code_files import MOST_DATA_FILES, CodeFiles, code_files, merged
from ....shared.jobs.job import Job
from ....shared.jobs.volumes import InputVolume
from ....shared.volumes.claims import Claims, claims_of
from ....shared.volumes.registry import Address, format_of, split_address


def input_state(target: Address, reads: Claims, *, live: bool = False) -> dict[str, str]:
    """Short hashes of the state and of the content of an input's files.

    All files count that a dataset leads to: sources of virtual datasets, external links, raw files.
    For a fileset it covers the status file of every block, which is new when a block is written again.
    For a volume of a web server it covers the description alone, because the blocks that are cached here
    don't affect its voxels.

    Parameters
    ----------
    target : Address
        Of the input.
    reads : Claims
        The files that it leads to; see `reads_of`.
    live : bool
        Another program is writing it, so that nothing but its shape counts.

    Returns
    -------
    dict
        ``state``, of sizes, times and inodes, and ``content``, of samples of the content; of a live
        input, that it is one.
    """
    if live:
        return {"state": "live"}
    state = hashlib.sha256()
    for part in format_of(target).state(target, reads):
        state.update(part)
    files = (place.path for place in reads.files)
    return {"state": state.hexdigest()[:16], "content": content_of(files)}


def code_of(job: Job, reads: Claims, *, besides: tuple[str, ...] = ()) -> CodeFiles | None:
    """The files behind the job's function, or None if its operation is no function of the user's.

    Parameters
    ----------
    job : Job
    reads : Claims
        The files that its input leads to; they are no files of the code.
    besides : tuple of str
        Further files and folders that are none, such as those of logs.

    Returns
    -------
    CodeFiles or None
    """
    if not job.operation.user_functions:
        return None
    volumes = (claims_of(split_address(job.output.address)), reads)
    apart = (*besides, *(place.real for claims in volumes for place in claims.places()))
    return merged(code_files(function, job.user_code, apart) for function in job.operation.user_functions)


def code_notes(code: CodeFiles | None) -> tuple[str, ...]:
    """What people are told of the user's code when a job begins."""
    if code is None or not code.too_many:
        return ()
    text = (
        f"user_code holds more than {MOST_DATA_FILES} files, so changes of data files in it are not noticed; "
    )
    return (f"{text}put the code into a folder of its own",)


def changed_while_running(address: str, job: Job, reads: Claims, code: CodeFiles | None) -> str:
    """Why a job can't end as done: what it reads is no longer as it was when the job began.

    Changed modules don't count: workers have imported them, and refuse to import others.

    Parameters
    ----------
    address : str
        Of an input that has changed; empty: none has.
    job : Job
    reads : Claims
        The files that its inputs lead to.
    code : CodeFiles or None
        The files behind the job's function at the beginning.

    Returns
    -------
    str
        Empty if nothing has changed.
    """
    if address:
        return (
            f"the input {address} changed while this job ran, so blocks of the output may be made "
            "of both; let it be finished, then run this again with --overwrite"
        )
    now = code_of(job, reads)
    changed = changed_files(code.data, now.data) if code is not None and now is not None else []
    if not changed:
        return ""
    return (
        f"{', '.join(changed[:3])} in user_code changed while this job ran. If the function reads it, run "
        "this again with --overwrite, else with --keep-finished"
    )


def input_changed(said: InputVolume, target: Address, reads: Claims, state: Mapping[str, object]) -> bool:
    """Test if an input is no longer as it was.

    Parameters
    ----------
    said : InputVolume
        What the job says of it.
    target : Address
        Of the input.
    reads : Claims
        The files that it leads to now.
    state : dict
        Its state at an earlier time; more keys than those of `input_state` don't matter.

    Returns
    -------
    bool
    """
    return not input_state(target, reads, live=said.live).items() <= state.items()


def changed_files(before: dict[str, str], now: dict[str, str]) -> list[str]:
    """Names of the files that have another content than before, or are gone.

    Parameters
    ----------
    before, now : dict of str
        Contents by name, as in `CodeFiles`.

    Returns
    -------
    list of str
    """
    return [name for name, content in before.items() if now.get(name) != content]


def python_files_hash(job: Job) -> str | None:
    """The hash of all Python files in `user_code`, as records of version 0.1 have it; None without one."""
    if not job.operation.user_functions or job.user_code is None:
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
