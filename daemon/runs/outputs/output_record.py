"""The record of an output: it names the job, so that no other job resumes the output."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from ....shared.geometry.roi import Shape
from ....shared.jobs.job import job_hash

_FORMAT = 1
_MEANINGS = {
    "input_is.state": "the input's files have changed since (their sizes, times or number)",
    "input_is.content": "the content of the input's files has changed since",
    "user_code_is": "the Python files in user_code have changed since",
}
_INPUT = re.compile(r"(inputs_are\.\w+|mask_is)\.")


class OtherRecordVersion(ValueError):
    """The record has a format that this version can't read."""


@dataclass(frozen=True, slots=True)
class OutputRecord:
    """The facts that a job keeps about its output.

    Attributes
    ----------
    identity : dict
        Everything that decides the voxels of the output, as plain JSON values.
    task_block : tuple of int
        Block shape of the run that began the output; a resumed run uses the same.
    finished : bool
        True if the job ended as done.
    job_hash : str
        The name of the job in the blocks that it writes; empty: the hash of the identity. It stays
        when an identity is put into today's form, or the finished blocks of older code are kept.
    earlier_code : list
        The states of the user's code that made blocks which were kept when the code had changed.
    """

    identity: dict[str, Any]
    task_block: Shape
    finished: bool = False
    job_hash: str = ""
    earlier_code: list[Any] = field(default_factory=list)

    @property
    def block_hash(self) -> str:
        """The name of the job in its blocks."""
        return self.job_hash or job_hash(_without_data_files(self.identity))


def _without_data_files(identity: dict[str, Any]) -> dict[str, Any]:
    """An identity as blocks name it: files that come to lie beside the code later change no block's name."""
    code = identity.get("user_code_is")
    return identity | {"user_code_is": code["modules"]} if isinstance(code, dict) else identity


def format_record(record: OutputRecord) -> bytes:
    """The content of a record's file."""
    return json.dumps({"format": _FORMAT, **asdict(record)}, indent=1).encode()


def parse_record(content: bytes) -> OutputRecord:
    """The record in the content of a file.

    Returns
    -------
    OutputRecord

    Raises
    ------
    OtherRecordVersion
        If another version wrote it.
    ValueError
        If it is no record; the message is the reason.
    """
    try:
        mapping = json.loads(content)
        version = mapping.pop("format")
        if version == _FORMAT:
            record = OutputRecord(
                mapping["identity"],
                tuple(mapping["task_block"]),
                bool(mapping["finished"]),
                str(mapping.get("job_hash", "")),
                list(mapping.get("earlier_code", [])),
            )
            _check(record)
            return record
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(str(error)) from error
    raise OtherRecordVersion("written by another version")


def _check(record: OutputRecord) -> None:
    if not isinstance(record.identity, dict):
        raise ValueError("its identity is no mapping")
    if not all(type(n) is int and n > 0 for n in record.task_block):
        raise ValueError("its task_block is no shape")


def differences(recorded: dict[str, Any], current: dict[str, Any]) -> list[str]:
    """The differences between two identities, one line a key, for people.

    Parameters
    ----------
    recorded : dict
        The identity in a record.
    current : dict
        The identity of the job at hand.

    Returns
    -------
    list of str
        Empty if both are the same.
    """
    old, new = dict(_flatten(recorded)), dict(_flatten(current))
    keys = [key for key in dict.fromkeys((*old, *new)) if old.get(key) != new.get(key)]
    touched = {key.removesuffix(".state") for key in keys if key.endswith(".state")}
    keys = [key for key in keys if key.removesuffix(".content") not in touched]  # then content is no news
    if "user_code_is" in keys:  # a hash of all, or no code at all: then single files say nothing
        keys = [key for key in keys if not key.startswith("user_code_is.")]
    return [_describe(key, old, new) for key in keys]


def _describe(key: str, old: dict[str, str], new: dict[str, str]) -> str:
    """One difference as a sentence. A changed hash means nothing to a person, so its meaning is given."""
    meaning = _MEANINGS.get(_INPUT.sub("input_is.", key))
    if meaning is not None and (key == "user_code_is" or (key in old and key in new)):
        return f"{key}: {meaning}"
    kind, _, name = key.removeprefix("user_code_is.").partition(".")
    if key.startswith("user_code_is.") and name:
        what = "is new" if key not in old else "is no longer there" if key not in new else "has changed since"
        return f"user_code_is: {name} {what if kind == 'data' or key in new else 'is no longer imported'}"
    return f"{key}: {old.get(key, 'not set')} there, {new.get(key, 'not set')} here"


def _flatten(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from _flatten(inner, f"{key}.{name}" if key else name)
    else:
        yield key, json.dumps(value)


def json_values(value: Any) -> Any:
    """`value` as it comes back from JSON: tuples become lists."""
    return json.loads(json.dumps(value))
