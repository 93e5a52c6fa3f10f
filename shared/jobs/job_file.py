"""Job files: read, checked, and every mistake told with its line."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ..errors import JobError, JobFileError
from ..schema.complaints import Complaint, complaints_of, left_out
from .job import Job
from .paths import with_absolute_paths
from .staged import AnyJob, StagedJob
from .yaml_file import YamlDocument, parse_yaml, read_yaml

_LEADING_KEY = re.compile(r"\w+(?:\.\w+|\[\d+\])*(?=:?(?:\s|$))")


def kind_of_job(data: object) -> type[Job] | type[StagedJob]:
    """The model for a job's mapping: one with the key ``stages`` has several."""
    return StagedJob if isinstance(data, dict) and "stages" in data else Job


def job_of(data: object) -> AnyJob:
    """Make a job from a mapping as in a job file, of one stage or of several.

    Raises
    ------
    JobError
        One line per mistake, each with its key.
    """
    return kind_of_job(data).of(data)


@cache
def job_file_schema() -> dict[str, Any]:
    """JSON Schema of any job file, with one stage or with several."""
    kinds = [kind.schema_of_files() for kind in (Job, StagedJob)]
    defs = {name: one for kind in kinds for name, one in kind["$defs"].items()}
    choices = [{key: value for key, value in kind.items() if key != "$defs"} for kind in kinds]
    return {"anyOf": choices, "$defs": defs}


def load_job(path: str | Path, text: str | None = None) -> AnyJob:
    """Read a job file. Relative paths in it are taken from its folder.

    Parameters
    ----------
    path : str or Path
        The file; its stem is the job's name if the file gives none. With `text` it
        need not exist; ``"-"`` is in the current folder.
    text : str, optional
        The content, if it comes from elsewhere.

    Returns
    -------
    Job or StagedJob

    Raises
    ------
    JobFileError
        All mistakes at once in the order of lines, each ``file:line:column key: what is wrong``.
    """
    document = read_yaml(path) if text is None else parse_yaml(text, str(path))
    if "_schema_name" in document.data:
        raise JobFileError(
            f"{path}: this describes a volume, and is no job; a job file names it: input: {Path(path).name}"
        )
    data = with_absolute_paths(document.data, Path(path).parent.absolute())
    if data.get("name") is None and (stem := Path(path).stem) != "-":
        data["name"] = stem
    kind = kind_of_job(data)
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        raise JobFileError("\n".join(_with_positions(error, document, kind.schema_of_files()))) from None


def _with_positions(error: ValidationError, document: YamlDocument, schema: dict[str, Any]) -> list[str]:
    """A line for each complaint, in the order of the file."""
    complaints = complaints_of(error, schema)
    problems = sorted((_position(complaint, document), str(complaint)) for complaint in complaints)
    lines = [f"{document.source}:{line}:{column} {text}" for (line, column), text in problems]
    return [*lines, *(f"{document.source}: {rest}" for rest in left_out(error))]


def _position(complaint: Complaint, document: YamlDocument) -> tuple[int, int]:
    """Line and column of a complaint; of the nearest thing around it where it is not in the file."""
    path, at = complaint.path, complaint.at
    if at == "parent":
        path, at = path[:-1], "key"
    while path not in document.positions:
        path = path[:-1]
    position = document.positions[path]
    return position.key if at == "key" else position.value


def message_with_position(path: str, message: str) -> str:
    """Put the position in the job file before a message about a job that was read earlier.

    Parameters
    ----------
    path : str
        The job file, as it was given to `load_job`; ``"-"`` has no positions.
    message : str
        Such as ``output.block_shape: ...``: the key comes first, then a colon or a blank.

    Returns
    -------
    str
        ``file:line:column message``, with the position of the longest part of the key that stands
        in the file; the bare message if there is no such part, or the file can't be read again.
    """
    try:
        position = _position_in_file(path, message)
    except (JobError, OSError, ValueError):  # the message counts, and its position is an extra
        return message
    return message if position is None else f"{path}:{position[0]}:{position[1]} {message}"


def _position_in_file(path: str, message: str) -> tuple[int, int] | None:
    match = _LEADING_KEY.match(message)
    # What is no regular file, such as a pipe, gave its content once and may block for ever now.
    if match is None or path == "-" or not Path(path).is_file():
        return None
    names = re.findall(r"\w+|\[\d+\]", match[0])
    key = tuple(int(name[1:-1]) if name.startswith("[") else name for name in names)
    document = read_yaml(path)
    fields = {**Job.model_fields, **StagedJob.model_fields}
    if key[0] not in fields or key[:1] not in document.positions:
        return None
    return _position(Complaint(key, message), document)
