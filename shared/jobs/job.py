"""The job: what a person asks for; one model for the file, the library and the wire.

``Job.model_dump(mode="json")`` gives plain JSON that `Job.of` takes back.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Protocol

from pydantic import model_validator

from ..errors import JobError
from ..operations.base import UNNAMED, Operation
from ..operations.registry import OperationField
from ..schema.bounded_model import Problems, mistakes_at
from ..schema.complaints import format_key_path
from ..schema.fields import (
    CountPerAxis,
    Extents,
    RoiField,
    ShortForm,
)
from ..volumes.base.output_options import OutputOptions
from .paths import is_relative, with_absolute_paths
from .settings import JobSettings, with_settings_described
from .volumes import InputField, InputVolume, OneInput, OutputField

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_VARIABLE = re.compile(r"(?<![^/])\$(?:(\w+)|\{(\w+)\})(?![^/])", re.ASCII)
_LEADING_KEY = re.compile(r"\w+(?:\.\w+|\[\d+\])*(?=:?(?:\s|$))")


class AnyVolumes(Protocol):
    """What jobs of one stage and of several have in common: volumes that they read and write."""

    user_code: Any

    def inputs_by_key(self) -> Mapping[str, InputVolume]: ...
    def outputs_by_key(self) -> Mapping[str, OutputOptions]: ...


class Job(JobSettings):
    """One job: take `input` through `operation` into `output`, block by block.

    How it is run say the fields of `JobSettings`.

    Attributes
    ----------
    input : InputVolume, or dict of str to InputVolume
        Operations of several volumes take them by name. In files and mappings a bare address may stand
        for a volume.
    output : OutputOptions
        A bare address may stand for it, too.
    operation : Operation
        ``{gaussian: {sigma: 1.5}}``, or a bare word such as ``copy``.
    mask : InputVolume, optional
        A volume of the inputs' shape; blocks in which it is 0 everywhere are not computed, and become 0.
    roi : Roi, optional
        The part of the input to process, in its voxels; default: all.
    block_shape : tuple of int, optional
        Extent of a task block, voxels per axis; default: chosen.
    halo : int or tuple of int, optional
        Voxels per axis, for the operation python alone; it is then the operation's.

    Raises
    ------
    JobError
        One line per mistake, each with its key.
    """

    input: InputField
    output: Annotated[OutputField, ShortForm("address")]
    operation: OperationField
    mask: OneInput | None = None
    roi: RoiField | None = None
    block_shape: Extents | None = None
    halo: CountPerAxis | None = None

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

    @classmethod
    def schema_of_files(cls) -> dict[str, Any]:
        """JSON Schema of a job file."""
        return job_schema()

    @property
    def inputs(self) -> Mapping[str, InputVolume]:
        """The inputs by their names, in the order of the job; an only one has the name "input"."""
        return {UNNAMED: self.input} if isinstance(self.input, InputVolume) else self.input

    def inputs_by_key(self) -> Mapping[str, InputVolume]:
        """The inputs by their keys in a job file, such as ``input`` or ``input.mask``."""
        inputs = {_input_key(name): volume for name, volume in self.inputs.items()}
        return inputs if self.mask is None else inputs | {"mask": self.mask}

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

    @property
    def user_functions(self) -> tuple[str, ...]:
        """The user's own functions that it calls."""
        return self.operation.user_functions

    @property
    def preloads(self) -> tuple[str, ...]:
        """Modules that workers share if their nursery imports them."""
        return self.operation.preloads

    def outputs_by_key(self) -> Mapping[str, OutputOptions]:
        """The outputs by their keys in a job file; the last one is the job's."""
        return {"output": self.output}

    def relative_paths(self) -> list[str]:
        """Those paths of the job that mean another file in another working folder, with their keys."""
        return relative_paths_of(self)

    def resolved(self, folder: str | Path) -> Job:
        """The same job with all its paths absolute. Relative ones are taken from `folder`."""
        return Job.of(with_absolute_paths(self.model_dump(mode="json"), Path(folder)))

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
            **({} if self.mask is None else {"mask": self.mask.address}),
            "roi": plain["roi"],
            "output": {key: plain["output"][key] for key in self.output.layout},
        }
        if self.operation.depends_on_blocks:
            identity |= {"block_shape": plain["block_shape"], "user_code": self.user_code}
        return identity


def _input_key(name: str) -> str:
    """Where an input stands in a job file."""
    return UNNAMED if name == UNNAMED else f"{UNNAMED}.{name}"


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


def relative_paths_of(job: AnyVolumes) -> list[str]:
    """Those paths of a job that mean another file in another working folder, with their keys."""
    paths = {key: volume.address for key, volume in job.inputs_by_key().items()}
    paths |= {key: output.address for key, output in job.outputs_by_key().items()}
    paths |= {"user_code": job.user_code or ""}
    return [f"{key}: {path}" for key, path in paths.items() if path and is_relative(path)]


@cache
def job_schema() -> dict[str, Any]:
    """JSON Schema of a job file with one stage."""
    return with_settings_described(Job.model_json_schema())
