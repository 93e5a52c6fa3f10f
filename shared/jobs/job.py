"""The job: what a person asks for; one model for the file, the library and the wire.

``Job.model_dump(mode="json")`` gives plain JSON that `Job.of` takes back.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import ValidationError, model_validator

from ..errors import JobError, JobFileError
from ..files.places import absolute
from ..operations.base import UNNAMED, Operation
from ..operations.registry import OperationField
from ..schema.bounded_model import BoundedModel, Problems, mistakes_at, within_bounds
from ..schema.complaints import Complaint, complaints_of, format_key_path, left_out
from ..schema.fields import (
    Count,
    CountPerAxis,
    Extent,
    Extents,
    Integer,
    JobReferences,
    PositiveFloat,
    RoiField,
    ShortForm,
    Size,
    Switch,
    Text,
    parse_size,
)
from .volumes import InputField, InputVolume, OutputField
from .yaml_file import YamlDocument, parse_yaml, read_yaml

__all__ = [
    "InputVolume",
    "Job",
    "job_hash",
    "job_schema",
    "load_job",
    "message_with_position",
    "parse_size",
]

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_VARIABLE = re.compile(r"(?<![^/])\$(?:(\w+)|\{(\w+)\})(?![^/])", re.ASCII)
_LEADING_KEY = re.compile(r"\w+(?:\.\w+|\[\d+\])*(?=:?(?:\s|$))")


class _ToldInPlainWords(type(BoundedModel)):
    """Makes ``Job(...)`` raise a JobError; pydantic's own way in, `model_validate`, stays as it is."""

    if not TYPE_CHECKING:  # checkers go on to see the fields as parameters

        def __call__(cls, *args, **fields):
            try:
                return super().__call__(*args, **fields)
            except ValidationError as error:
                raise _job_error(error) from None


class Job(BoundedModel, metaclass=_ToldInPlainWords):
    """One job: take `input` through `operation` into `output`, block by block.

    Attributes
    ----------
    input : InputVolume, or dict of str to InputVolume
        Operations of several volumes take them by name. In files and mappings a bare address may stand
        for a volume.
    output : OutputOptions
        A bare address may stand for it, too.
    operation : Operation
        ``{gaussian: {sigma: 1.5}}``, or a bare word such as ``copy``.
    name : str, optional
        For people; `load_job` takes the stem of the file.
    roi : Roi, optional
        The part of the input to process, in its voxels; default: all.
    block_shape : tuple of int, optional
        Extent of a task block, voxels per axis; default: chosen.
    halo : int or tuple of int, optional
        Voxels per axis, for the operation python alone; it is then the operation's.
    workers : int, optional
        Worker processes; default: one per usable core.
    memory_per_worker : int, optional
        Bytes; in files also ``2GiB``, for which ``2G`` may stand; ``2GB`` is decimal.
    retries : int
        Further attempts at a block that failed.
    on_error : {"fail", "finish"}
        A block that failed in its last attempt ends the job, or the other blocks go on.
    block_timeout_s : float, optional
        Longest time for one attempt at a block.
    user_code : str, optional
        Folder in which the workers find the user's own modules.
    check_input : bool
        Compare the stored blocks of an input that a job wrote with the checksums of that job, as
        they are read.
    order : {"arrival", "block"}
        The order in which results are merged: as they come, or by block number.
    label : str, optional
        For people, to find jobs of a kind in the service.
    priority : int
        In the service: higher goes first.
    after : tuple of int or str
        In the service: numbers or names of jobs that must be done before this one starts.

    Raises
    ------
    JobError
        One line per mistake, each with its key.
    """

    name: Text | None = None
    label: Text | None = None
    input: InputField
    output: Annotated[OutputField, ShortForm("address")]
    operation: OperationField
    roi: RoiField | None = None
    block_shape: Extents | None = None
    halo: CountPerAxis | None = None
    workers: Extent | None = None
    memory_per_worker: Size | None = None
    retries: Count = 2
    on_error: Literal["fail", "finish"] = "fail"
    block_timeout_s: PositiveFloat | None = None
    user_code: Text | None = None
    check_input: Switch = True
    order: Literal["arrival", "block"] = "arrival"
    priority: Integer = 0
    after: JobReferences = ()

    @model_validator(mode="before")
    @classmethod
    def _within_bounds(cls, data: object) -> object:
        return within_bounds(data)

    @model_validator(mode="after")
    def _fields_agree(self) -> Job:
        if problems := [*_unequal_axes(self), *_halo_misplaced(self)]:
            raise mistakes_at(problems)
        if any(volume.address == self.output.address for volume in self.inputs.values()):
            raise mistakes_at([(("output",), "is the input itself; name another output")])
        if self.halo is not None:
            merged = self.operation.model_copy(update={"halo": self.halo})
            object.__setattr__(self, "operation", merged)
        return self

    @property
    def inputs(self) -> Mapping[str, InputVolume]:
        """The inputs by their names, in the order of the job; an only one has the name "input"."""
        return {UNNAMED: self.input} if isinstance(self.input, InputVolume) else self.input

    def inputs_by_key(self) -> Mapping[str, InputVolume]:
        """The inputs by their keys in a job file, such as ``input`` or ``input.mask``."""
        return {_input_key(name): volume for name, volume in self.inputs.items()}

    def only_input(self, where: str) -> InputVolume:
        """The job's input.

        Parameters
        ----------
        where : str
            What takes one input alone, for the message.

        Raises
        ------
        JobError
            If it has several.
        """
        if len(self.inputs) > 1:
            raise JobError(f"input: {where} takes one volume, and the job names {', '.join(self.inputs)}")
        return next(iter(self.inputs.values()))

    @classmethod
    def of(cls, data: object) -> Job:
        """Make a job from a mapping as in a job file.

        Raises
        ------
        JobError
            One line per mistake, each with its key.
        """
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            raise _job_error(error) from None

    def relative_paths(self) -> list[str]:
        """Those paths of the job that mean another file in another working folder, with their keys."""
        paths = {key: volume.address for key, volume in self.inputs_by_key().items()}
        paths |= {"output": self.output.address, "user_code": self.user_code or ""}
        return [
            f"{key}: {path}"
            for key, path in paths.items()
            if path and not Path(path).is_absolute() and not _SCHEME.match(path)
        ]

    def resolved(self, folder: str | Path) -> Job:
        """The same job with all its paths absolute. Relative ones are taken from `folder`."""
        return Job.of(_with_absolute_paths(self.model_dump(mode="json"), Path(folder)))

    def identity(self, axes: str) -> dict[str, Any]:
        """Everything that decides the voxels of the output and how its files are made; plain JSON.

        Parameters
        ----------
        axes : str
            Of the input, as they are taken: they decide what a length in the operation means.

        Returns
        -------
        dict

        Notes
        -----
        Not in it: settings of the run (workers, memory, retries, ...), and the output's address,
        since the record of an output is kept beside it.
        """
        plain = self.model_dump(mode="json")
        named = {name: volume.address for name, volume in self.inputs.items()}
        identity = {
            **({"input": named[UNNAMED]} if [*named] == [UNNAMED] else {"inputs": named}),
            "operation": self.operation.plain_identity(axes),
            "roi": plain["roi"],
            "output": {key: plain["output"][key] for key in self.output.layout},
        }
        if self.operation.depends_on_blocks:
            identity |= {"block_shape": plain["block_shape"], "user_code": self.user_code}
        return identity


def _input_key(name: str) -> str:
    """Where an input stands in a job file."""
    return UNNAMED if name == UNNAMED else f"{UNNAMED}.{name}"


def _job_error(error: ValidationError) -> JobError:
    return JobError("\n".join([*map(str, complaints_of(error, job_schema())), *left_out(error)]))


def _unequal_axes(job: Job) -> Problems:
    """The fields whose number of entries differs from that of the first field with an entry per axis."""
    entries: list[tuple[tuple[str | int, ...], object]] = [
        (("roi",), job.roi.start if job.roi else None),
        *((("output", key), getattr(job.output, key, None)) for key in job.output.per_axis),
        (("block_shape",), job.block_shape),
        (("halo",), job.halo),
        *(
            ((*where.split("."), key), tuple(value) if value else None)
            for where, volume in job.inputs_by_key().items()
            for key, value in (("axes", volume.axes), ("voxel_size", volume.voxel_size))
        ),
        *(((*path, key), getattr(step, key, None)) for path, step in _steps(job) for key in step.per_axis),
    ]
    counts = [(path, len(value)) for path, value in entries if isinstance(value, tuple)]
    if not counts:
        return []
    first, ndim = counts[0]
    return [
        (path, f"is for {count} axes, but {format_key_path(first)} for {ndim}")
        for path, count in counts[1:]
        if count != ndim
    ]


def _steps(job: Job) -> list[tuple[tuple[str | int, ...], Operation]]:
    """The steps of the operation, each with its path in the job."""
    steps = job.operation.steps
    if steps == (job.operation,):
        return [(("operation", job.operation.name), job.operation)]
    return [(("operation", number, step.name), step) for number, step in enumerate(steps)]


def _halo_misplaced(job: Job) -> Problems:
    if job.halo is None:
        return []
    if "halo" not in job.operation.per_axis:
        return [(("halo",), f"follows from the parameters of {job.operation.name}; leave it out")]
    if "halo" in job.operation.model_fields_set and getattr(job.operation, "halo", None) != job.halo:
        return [(("halo",), "is given twice and differently; keep operation.python.halo alone")]
    return []


def job_hash(identity: Mapping[str, Any]) -> str:
    """A name of 16 hex digits for an identity; the order of keys does not matter.

    Raises
    ------
    TypeError, ValueError
        If something in it is not plain JSON.
    """
    text = json.dumps(identity, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@cache
def job_schema() -> dict[str, Any]:
    """JSON Schema of a job file."""
    return Job.model_json_schema()


def load_job(path: str | Path, text: str | None = None) -> Job:
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
    Job

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
    data = _with_absolute_paths(document.data, Path(path).parent.absolute())
    if data.get("name") is None and (stem := Path(path).stem) != "-":
        data["name"] = stem
    try:
        return Job.model_validate(data)
    except ValidationError as error:
        raise JobFileError("\n".join(_with_positions(error, document))) from None


def _with_positions(error: ValidationError, document: YamlDocument) -> list[str]:
    """A line for each complaint, in the order of the file."""
    complaints = complaints_of(error, job_schema())
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
    if key[0] not in Job.model_fields or key[:1] not in document.positions:
        return None
    return _position(Complaint(key, message), document)


def _with_absolute_paths(data: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """A copy of a job's mapping, checked or not, in which no path depends on the current folder."""
    copied = dict(data)
    for key in ("input", "output"):
        if key in copied:
            copied[key] = _absolute_volume(copied[key], folder, named=key == "input")
    if isinstance(copied.get("user_code"), str):
        copied["user_code"] = _absolute(copied["user_code"], folder)
    return copied


def _absolute_volume(value: Any, folder: Path, *, named: bool) -> Any:
    """A volume as a job file has it, or several by their names, with absolute paths."""
    if isinstance(value, str):
        return _absolute(value, folder)
    if isinstance(value, dict) and isinstance(value.get("address"), str):
        return value | {"address": _absolute(value["address"], folder)}
    if named and isinstance(value, dict):
        return {name: _absolute_volume(volume, folder, named=False) for name, volume in value.items()}
    return value


def _absolute(address: str, folder: Path) -> str:
    """The file part of an address made absolute, without ``..``; what names a scheme is left alone."""
    if not address.strip() or _SCHEME.match(address):
        return address
    # A name that is no account's stays as it is: then it is the name of a folder.
    path = os.path.expanduser(address)  # noqa: PTH111
    return absolute(folder.absolute() / _with_variables(path, folder))


def _with_variables(path: str, folder: Path) -> str:
    """A path with ``$NAME`` and ``${NAME}`` replaced where they are whole names of folders or files.

    A variable that is not set, and a file that has such a name, stay as they are.
    """

    def value(match: re.Match[str]) -> str:
        literal = os.path.lexists(folder / path[: match.end()])
        return match[0] if literal else os.environ.get(match[1] or match[2], match[0])

    return _VARIABLE.sub(value, path)
