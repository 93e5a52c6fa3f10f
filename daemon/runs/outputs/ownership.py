"""The owner of an output: this job, which resumes it; another job; another program; or nobody yet."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from ....shared.errors import JobError, OutputRefused, StorageError
from ....shared.files.places import absolute
from ....shared.jobs.code_files import CodeFiles
from ....shared.jobs.job import Job
from ....shared.volumes.claims import Claims, claims_of
from ....shared.volumes.registry import Address
from ...planning.plan import Plan
from .output import Output
from .output_record import OutputRecord, differences, json_values


def identity_of(
    job: Job,
    plan: Plan,
    inputs: Mapping[str, Any],
    target: Address,
    code: CodeFiles | None,
) -> dict[str, Any]:
    """The job's identity, with the state of its input and code and the layout of its output.

    Parameters
    ----------
    job : Job
    plan : Plan
    inputs : dict
        Shape, dtype and state of the inputs; see `RunInputs.identity`.
    target : Address
        Address of the output.
    code : CodeFiles or None
        The files behind the job's function.

    Returns
    -------
    dict
        Plain JSON values. Two runs with the same identity give the same voxels in the same files.
    """
    return json_values(
        {
            **_with_plain_paths(job.identity(plan.axes)),
            **inputs,
            "user_code_is": None if code is None else {"modules": code.modules, "data": code.data},
            "output_is": {
                "shape": plan.shape,
                "dtype": plan.dtype.str,
                "axes": plan.axes,
                "storage_block": plan.storage_block,
                **({"inside": target.internal} if target.internal else {}),
            },
        }
    )


def _with_plain_paths(identity: dict[str, Any]) -> dict[str, Any]:
    """An identity with paths without ``..``; earlier versions kept them as they were written."""
    paths = {key: identity[key] for key in ("input", "user_code") if isinstance(identity.get(key), str)}
    return identity | {key: absolute(path) for key, path in paths.items()}  # several inputs came later


def refuse_own_input(source: Address, reads: Claims, target: Address) -> None:
    """Refuse an output that would replace part of its input, however both are spelled.

    Parameters
    ----------
    source, target : Address
        Of the input, and of the output.
    reads : Claims
        The files that the input leads to.

    Raises
    ------
    JobError
    """
    if os.path.realpath(source.file) == os.path.realpath(target.file):
        raise JobError(f"output {target.file} is the input itself; name another output file")
    if (path := claims_of(target).meeting(reads)) is not None:
        raise JobError(
            f"output {target.file} would replace {path}, which the input {source} is made of; "
            "name another output"
        )


def own_record(
    output: Output,
    new_record: OutputRecord,
    old_code_hash: Callable[[], str | None],
    *,
    keep_finished: bool = False,
) -> OutputRecord | None:
    """The record of an output if the job may go on with it, or None if it is to begin anew.

    Parameters
    ----------
    output : Output
    new_record : OutputRecord
        The record that this job would write.
    old_code_hash : callable
        Returns the hash of the user's code as version 0.1 has recorded it.
    keep_finished : bool
        Keep finished blocks although the user's code has changed since they were made.

    Returns
    -------
    OutputRecord or None
        The record of an earlier run, with today's identity; `new_record` if the output was moved here
        without its record and its blocks name this job. None also for an output without a finished
        block: nothing in it is worth anything to anybody.

    Raises
    ------
    OutputRefused
        If the output is another job's, or its job is unknown.
    """
    record = output.files.read_record() or _adopt(output, new_record)
    if record is None or not output.begun():
        _refuse_existing(output)
        return None
    recorded = _translate(record.identity, new_record.identity, output, old_code_hash)
    other_hash = "" if record.block_hash == new_record.block_hash else record.block_hash
    current = replace(record, identity=new_record.identity, job_hash=other_hash)
    if not (lines := differences(recorded, new_record.identity)):
        return record if _is_of_today(record) else current
    if not output.has_finished_blocks():
        return None
    code_alone = recorded | {"user_code_is": None} == new_record.identity | {"user_code_is": None}
    if code_alone and keep_finished:
        return replace(current, earlier_code=[*record.earlier_code, recorded["user_code_is"]])
    advice = (
        f"run with --keep-finished to keep what is finished, or: {_advice(output)}"
        if code_alone
        else _advice(output)
    )
    whose = "was begun with other code" if code_alone else "exists and belongs to another job"
    raise OutputRefused(f"{output.path} {whose}; what differs:\n  " + "\n  ".join(lines) + f"\n{advice}")


def _adopt(output: Output, new_record: OutputRecord) -> OutputRecord | None:
    return new_record if output.begun() and output.written_by(new_record.block_hash) else None


def _translate(
    recorded: dict[str, Any],
    current: dict[str, Any],
    output: Output,
    old_code_hash: Callable[[], str | None],
) -> dict[str, Any]:
    """A recorded identity in today's form: what its version did not look at is as it is today."""
    layout, source, code = (recorded.get(key) for key in ("output_is", "input_is", "user_code_is"))
    translated = _with_plain_paths(recorded)
    if isinstance(layout, dict) and "inside" not in layout and "inside" in current["output_is"]:
        translated["output_is"] = layout | {"inside": output.inside()}
    if isinstance(source, dict) and "content" not in source and "content" in current.get("input_is", {}):
        translated["input_is"] = source | {"content": current["input_is"]["content"]}
    if isinstance(code, dict) and isinstance(current["user_code_is"], dict):
        translated["user_code_is"] = code | {"data": _with_new_files(code, current["user_code_is"])}
    elif not isinstance(code, dict) and code == old_code_hash():
        translated["user_code_is"] = current["user_code_is"]
    return translated


def _is_of_today(record: OutputRecord) -> bool:
    code, source = record.identity.get("user_code_is"), record.identity.get("input_is")
    return not isinstance(code, str) and (not isinstance(source, dict) or "content" in source)


def _with_new_files(recorded: dict[str, Any], current: dict[str, Any]) -> dict[str, Any]:
    """The recorded data files, and those that came later: a function that writes notes is no new function."""
    data = recorded.get("data", {})
    return {name: content for name, content in current["data"].items() if name not in data} | data


def _refuse_existing(output: Output) -> None:
    if (path := output.in_the_way()) is not None:
        raise OutputRefused(
            f"{path} exists, and no record beside it says that this job wrote it; {_advice(output)}"
        )


def _advice(output: Output) -> str:
    """Advice for people whose output is not this job's."""
    try:
        output.check_replaceable()
    except (OutputRefused, StorageError) as error:
        return f"name another output: with --overwrite it would not be replaced either ({error})"
    return "run with --overwrite to replace it, or name another output"


def begin(
    output: Output, record: OutputRecord, check: Callable[[], None], tell: Callable[[str], None]
) -> None:
    """Begin an output. The old output is removed first, its record after its files.

    Parameters
    ----------
    output : Output
    record : OutputRecord
        Written before anything of the new output.
    check : callable
        Raises if the run is interrupted.
    tell : callable
        Takes a line for people, if the removal takes long.

    Raises
    ------
    OutputRefused
        If an existing file may not be replaced.
    StorageError
        If the system refuses.
    """
    output.check_replaceable(check)
    output.files.check_ours()
    output.discard(check, tell)
    output.files.forget()
    output.files.write_record(record)
    output.start()
