"""Whose an output is: this job's to go on with, another job's, somebody's, or nobody's yet."""

from __future__ import annotations

import os
from typing import Any

from ...shared.errors import JobError, OutputRefused
from ...shared.jobs.job import Job, job_hash
from ...shared.volumes.base.api import Volume
from ...shared.volumes.claims import claims_of, reads_of
from ...shared.volumes.formats import Address
from ..planning.plan import Plan
from .input_state import code_fingerprint, fingerprint
from .output_base import Output
from .output_record import OutputRecord, differences, json_values


def identity_of(job: Job, plan: Plan, source: Volume, target: Address) -> dict[str, object]:
    """The job's identity, with what its input, code and output turned out to be.

    Parameters
    ----------
    job : Job
    plan : Plan
    source : Volume
        The opened input.
    target : Address
        The output's.

    Returns
    -------
    dict
        Plain JSON values. Two runs with the same identity give the same voxels in the same files.
    """
    return json_values(
        {
            **job.identity(),
            "input_is": {
                "shape": source.shape,
                "dtype": source.dtype.str,
                "state": fingerprint(job.input.address),
            },
            "user_code_is": code_fingerprint(job),
            "output_is": {
                "shape": plan.shape,
                "dtype": plan.dtype.str,
                "axes": plan.axes,
                "storage_block": plan.storage_block,
                **({"inside": target.internal} if target.kind == "hdf5" else {}),
            },
        }
    )


def refuse_own_input(source: Address, target: Address) -> None:
    """Refuse an output that would replace part of its input, however both are spelled.

    Raises
    ------
    JobError
    """
    if os.path.realpath(source.file) == os.path.realpath(target.file):
        raise JobError(f"output {target.file} is the input itself; name another output file")
    if (met := claims_of(target).meeting(reads_of(source))) is not None:
        raise JobError(
            f"output {target.file} would replace {met}, which the input {source} is made of; "
            "name another output"
        )


def own_record(output: Output, ours: OutputRecord) -> OutputRecord | None:
    """The record of an output if it is the job's own, or None if nothing of it exists.

    Parameters
    ----------
    output : Output
    ours : Record
        As this job would write it.

    Returns
    -------
    Record or None
        As an earlier run left it; `ours` for an output that came here without its record and whose
        blocks name this job.

    Raises
    ------
    OutputRefused
        If the output is another job's, or its job is unknown.
    """
    record = output.files.read_record() or _adopted(output, ours)
    if record is None or not output.begun():
        _refuse_what_is_there(output)
        return None
    if differing := differences(_translated(record.identity, ours.identity, output), ours.identity):
        raise OutputRefused(
            f"{output.path} exists and belongs to another job; what differs:\n  "
            + "\n  ".join(differing)
            + "\nrun with --overwrite to replace it, or name another output"
        )
    return record


def _adopted(output: Output, ours: OutputRecord) -> OutputRecord | None:
    return ours if output.begun() and output.written_by(job_hash(ours.identity)) else None


def _translated(theirs: dict[str, Any], ours: dict[str, Any], output: Output) -> dict[str, Any]:
    """An identity of the form before paths inside of files belonged to it, in today's form."""
    noted = theirs.get("output_is")
    if not isinstance(noted, dict) or "inside" in noted or "inside" not in ours["output_is"]:
        return theirs
    return theirs | {"output_is": noted | {"inside": output.inside()}}


def _refuse_what_is_there(output: Output) -> None:
    if (found := output.in_the_way()) is not None:
        raise OutputRefused(
            f"{found} exists, and no record beside it says that this job wrote it; "
            "run with --overwrite to replace it, or name another output"
        )


def begin(output: Output, record: OutputRecord) -> None:
    """Begin an output; the old one goes first, and its record last.

    Parameters
    ----------
    output : Output
    record : Record
        Written before anything of the new output.

    Raises
    ------
    OutputRefused
        If what is there may not be replaced.
    StorageError
        If the system refuses.
    """
    output.check_replaceable()
    output.files.check_ours()
    output.discard()
    output.files.forget()
    output.files.write_record(record)
    output.start()
