"""The record of an output: names its job, so that only the same job goes on with it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from ...shared.geometry.roi import Shape

_FORMAT = 1
_IN_WORDS = {
    "input_is.state": "the input's files have changed since (their sizes, times or number)",
    "user_code_is": "the Python files in user_code have changed since",
}


class OtherRecordVersion(ValueError):
    """A record of a form that this version does not know."""


@dataclass(frozen=True, slots=True)
class OutputRecord:
    """The facts that a job keeps about its output.

    Attributes
    ----------
    identity : dict
        Everything that decides the voxels of the output, as plain JSON values.
    task_block : tuple of int
        The task grid of the run that began it; a resumed run keeps to it.
    finished : bool
        True if the job ended as done.
    """

    identity: dict[str, Any]
    task_block: Shape
    finished: bool = False


def format_record(record: OutputRecord) -> bytes:
    """The content of a record's file."""
    return json.dumps({"format": _FORMAT, **asdict(record)}, indent=1).encode()


def parse_record(content: bytes) -> OutputRecord:
    """The record in the content of a file.

    Raises
    ------
    OtherVersion
        If another version has written it.
    ValueError
        If it is no record at all; the message is the reason.
    """
    try:
        mapping = json.loads(content)
        version = mapping.pop("format")
        if version == _FORMAT:
            return _checked(
                OutputRecord(
                    json_values["identity"], tuple(json_values["task_block"]), bool(json_values["finished"])
                )
            )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(str(error)) from error
    raise OtherRecordVersion("written by another version")


def _checked(record: OutputRecord) -> OutputRecord:
    if not isinstance(record.identity, dict):
        raise ValueError("its identity is no mapping")
    if not all(type(n) is int and n > 0 for n in record.task_block):
        raise ValueError("its task_block is no shape")
    return record


def differences(theirs: dict[str, Any], ours: dict[str, Any]) -> list[str]:
    """The differences between two identities, one line a key, for people.

    Parameters
    ----------
    theirs, ours : dict
        The identity in a record, and that of the job at hand.

    Returns
    -------
    list of str
        Empty if both are the same.
    """
    there, here = dict(_flat(theirs)), dict(_flat(ours))
    keys = dict.fromkeys((*there, *here))
    return [_in_words(key, there, here) for key in keys if there.get(key) != here.get(key)]


def _in_words(key: str, there: dict[str, str], here: dict[str, str]) -> str:
    """The meaning of a changed hash, which by itself means nothing to a person."""
    if key in _IN_WORDS and key in there and key in here:
        return f"{key}: {_IN_WORDS[key]}"
    return f"{key}: {there.get(key, 'not set')} there, {here.get(key, 'not set')} here"


def _flat(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from _flat(inner, f"{key}.{name}" if key else name)
    else:
        yield key, json.dumps(value)


def json_values(value: Any) -> Any:
    """`value` as JSON would give it back (tuples become lists)."""
    return json.loads(json.dumps(value))
